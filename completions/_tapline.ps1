
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'tapline' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'tapline'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'tapline' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour: auto, always or never')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'JSON Lines on both streams, with stable keys')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Say each step of each connection')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('listen', 'listen', [CompletionResultType]::ParameterValue, 'Accept connections and copy what arrives to stderr')
            [CompletionResult]::new('proxy', 'proxy', [CompletionResultType]::ParameterValue, 'Relay TCP to one target')
            [CompletionResult]::new('sni-peek', 'sni-peek', [CompletionResultType]::ParameterValue, 'Show the ClientHello of each TLS client')
            [CompletionResult]::new('sni-route', 'sni-route', [CompletionResultType]::ParameterValue, 'Route TLS by server name (SNI), without decrypting')
            [CompletionResult]::new('tls-terminate', 'tls-terminate', [CompletionResultType]::ParameterValue, 'Decrypt TLS and forward plaintext')
            [CompletionResult]::new('lb4', 'lb4', [CompletionResultType]::ParameterValue, 'Balance TCP connections over backends')
            [CompletionResult]::new('lb7', 'lb7', [CompletionResultType]::ParameterValue, 'Balance HTTP/1.1 requests over backends')
            [CompletionResult]::new('scan', 'scan', [CompletionResultType]::ParameterValue, 'Find open, closed and filtered ports')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'See the main job done in a few seconds')
            break
        }
        'tapline;listen' {
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Write the bytes there as they are, "-" for stdout, instead of showing them')
            [CompletionResult]::new('--idle-timeout', '--idle-timeout', [CompletionResultType]::ParameterName, 'Close a connection that sends nothing for this long ("off" for never)')
            [CompletionResult]::new('--max-connections', '--max-connections', [CompletionResultType]::ParameterName, 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]')
            [CompletionResult]::new('--connections', '--connections', [CompletionResultType]::ParameterName, 'Stop after N connections; exit 1 if one of them failed')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'Stop after this time; exit 4 if nothing happened')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour: auto, always or never')
            [CompletionResult]::new('--hex', '--hex', [CompletionResultType]::ParameterName, 'Show bytes in hexadecimal with their offsets')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'JSON Lines on both streams, with stable keys')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Say each step of each connection')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'tapline;proxy' {
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'For connecting to a target, from the resolver to its TLS handshake')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Certificates (PEM) that tls: targets must lead to [default: Mozilla''s roots]')
            [CompletionResult]::new('--idle-timeout', '--idle-timeout', [CompletionResultType]::ParameterName, 'Without a byte in either direction; noticed up to a quarter later ("off" for never)')
            [CompletionResult]::new('--half-close-timeout', '--half-close-timeout', [CompletionResultType]::ParameterName, 'The same, once one side has ended ("off" for never)')
            [CompletionResult]::new('--max-connections', '--max-connections', [CompletionResultType]::ParameterName, 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]')
            [CompletionResult]::new('--connections', '--connections', [CompletionResultType]::ParameterName, 'Stop after N connections; exit 1 if one of them failed')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'Stop after this time; exit 4 if nothing happened')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour: auto, always or never')
            [CompletionResult]::new('--insecure', '--insecure', [CompletionResultType]::ParameterName, 'Do not check who a tls: target is')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'JSON Lines on both streams, with stable keys')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Say each step of each connection')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'tapline;sni-peek' {
            [CompletionResult]::new('--hello-timeout', '--hello-timeout', [CompletionResultType]::ParameterName, 'For the whole ClientHello, from the accept on')
            [CompletionResult]::new('--max-connections', '--max-connections', [CompletionResultType]::ParameterName, 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]')
            [CompletionResult]::new('--connections', '--connections', [CompletionResultType]::ParameterName, 'Stop after N connections; exit 1 if one of them failed')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'Stop after this time; exit 4 if nothing happened')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour: auto, always or never')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'JSON Lines on both streams, with stable keys')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Say each step of each connection')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'tapline;sni-route' {
            [CompletionResult]::new('--unknown-name', '--unknown-name', [CompletionResultType]::ParameterName, 'For names that no rule has [default: refuse]')
            [CompletionResult]::new('--no-name', '--no-name', [CompletionResultType]::ParameterName, 'For hellos without a name [default: refuse]')
            [CompletionResult]::new('--not-tls', '--not-tls', [CompletionResultType]::ParameterName, 'For clients that do not speak TLS [default: refuse]')
            [CompletionResult]::new('--hello-timeout', '--hello-timeout', [CompletionResultType]::ParameterName, 'For the whole ClientHello, from the accept on')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'For connecting to a target, from the resolver to its TLS handshake')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Certificates (PEM) that tls: targets must lead to [default: Mozilla''s roots]')
            [CompletionResult]::new('--idle-timeout', '--idle-timeout', [CompletionResultType]::ParameterName, 'Without a byte in either direction; noticed up to a quarter later ("off" for never)')
            [CompletionResult]::new('--half-close-timeout', '--half-close-timeout', [CompletionResultType]::ParameterName, 'The same, once one side has ended ("off" for never)')
            [CompletionResult]::new('--max-connections', '--max-connections', [CompletionResultType]::ParameterName, 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]')
            [CompletionResult]::new('--connections', '--connections', [CompletionResultType]::ParameterName, 'Stop after N connections; exit 1 if one of them failed')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'Stop after this time; exit 4 if nothing happened')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour: auto, always or never')
            [CompletionResult]::new('--insecure', '--insecure', [CompletionResultType]::ParameterName, 'Do not check who a tls: target is')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'JSON Lines on both streams, with stable keys')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Say each step of each connection')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'tapline;tls-terminate' {
            [CompletionResult]::new('--cert', '--cert', [CompletionResultType]::ParameterName, 'Certificate chain (PEM), leaf first [default: made in memory, with a CA for clients]')
            [CompletionResult]::new('--key', '--key', [CompletionResultType]::ParameterName, 'Its private key (PEM)')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'A name for the certificate made in memory; may be given again [default: localhost and the loopback addresses]')
            [CompletionResult]::new('--handshake-timeout', '--handshake-timeout', [CompletionResultType]::ParameterName, 'For the TLS handshake, after the hello')
            [CompletionResult]::new('--hello-timeout', '--hello-timeout', [CompletionResultType]::ParameterName, 'For the whole ClientHello, from the accept on')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'For connecting to a target, from the resolver to its TLS handshake')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Certificates (PEM) that tls: targets must lead to [default: Mozilla''s roots]')
            [CompletionResult]::new('--idle-timeout', '--idle-timeout', [CompletionResultType]::ParameterName, 'Without a byte in either direction; noticed up to a quarter later ("off" for never)')
            [CompletionResult]::new('--half-close-timeout', '--half-close-timeout', [CompletionResultType]::ParameterName, 'The same, once one side has ended ("off" for never)')
            [CompletionResult]::new('--max-connections', '--max-connections', [CompletionResultType]::ParameterName, 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]')
            [CompletionResult]::new('--connections', '--connections', [CompletionResultType]::ParameterName, 'Stop after N connections; exit 1 if one of them failed')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'Stop after this time; exit 4 if nothing happened')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour: auto, always or never')
            [CompletionResult]::new('--insecure', '--insecure', [CompletionResultType]::ParameterName, 'Do not check who a tls: target is')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'JSON Lines on both streams, with stable keys')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Say each step of each connection')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'tapline;lb4' {
            [CompletionResult]::new('--policy', '--policy', [CompletionResultType]::ParameterName, 'How the next backend is chosen')
            [CompletionResult]::new('--check-interval', '--check-interval', [CompletionResultType]::ParameterName, 'From one check of a backend to the next')
            [CompletionResult]::new('--check-timeout', '--check-timeout', [CompletionResultType]::ParameterName, 'For one check')
            [CompletionResult]::new('--rise', '--rise', [CompletionResultType]::ParameterName, 'Good checks in a row that bring a backend up')
            [CompletionResult]::new('--fall', '--fall', [CompletionResultType]::ParameterName, 'Failed checks in a row that take it down; the first check of all decides alone')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'For connecting to a target, from the resolver to its TLS handshake')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Certificates (PEM) that tls: targets must lead to [default: Mozilla''s roots]')
            [CompletionResult]::new('--idle-timeout', '--idle-timeout', [CompletionResultType]::ParameterName, 'Without a byte in either direction; noticed up to a quarter later ("off" for never)')
            [CompletionResult]::new('--half-close-timeout', '--half-close-timeout', [CompletionResultType]::ParameterName, 'The same, once one side has ended ("off" for never)')
            [CompletionResult]::new('--max-connections', '--max-connections', [CompletionResultType]::ParameterName, 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]')
            [CompletionResult]::new('--connections', '--connections', [CompletionResultType]::ParameterName, 'Stop after N connections; exit 1 if one of them failed')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'Stop after this time; exit 4 if nothing happened')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour: auto, always or never')
            [CompletionResult]::new('--no-checks', '--no-checks', [CompletionResultType]::ParameterName, 'Do not check; a backend that refuses is still passed over')
            [CompletionResult]::new('--insecure', '--insecure', [CompletionResultType]::ParameterName, 'Do not check who a tls: target is')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'JSON Lines on both streams, with stable keys')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Say each step of each connection')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'tapline;lb7' {
            [CompletionResult]::new('--policy', '--policy', [CompletionResultType]::ParameterName, 'How the next backend is chosen')
            [CompletionResult]::new('--check-interval', '--check-interval', [CompletionResultType]::ParameterName, 'From one check of a backend to the next')
            [CompletionResult]::new('--check-timeout', '--check-timeout', [CompletionResultType]::ParameterName, 'For one check')
            [CompletionResult]::new('--rise', '--rise', [CompletionResultType]::ParameterName, 'Good checks in a row that bring a backend up')
            [CompletionResult]::new('--fall', '--fall', [CompletionResultType]::ParameterName, 'Failed checks in a row that take it down; the first check of all decides alone')
            [CompletionResult]::new('--health', '--health', [CompletionResultType]::ParameterName, 'Check backends by GET on this path; 200 to 399 is well [default: by connecting]')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'For connecting to a target, from the resolver to its TLS handshake')
            [CompletionResult]::new('--ca', '--ca', [CompletionResultType]::ParameterName, 'Certificates (PEM) that tls: targets must lead to [default: Mozilla''s roots]')
            [CompletionResult]::new('--response-timeout', '--response-timeout', [CompletionResultType]::ParameterName, 'From the end of a request to the head of the backend''s answer')
            [CompletionResult]::new('--idle-timeout', '--idle-timeout', [CompletionResultType]::ParameterName, 'For a client that neither asks nor reads, and a body that does not go on')
            [CompletionResult]::new('--max-connections', '--max-connections', [CompletionResultType]::ParameterName, 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]')
            [CompletionResult]::new('--connections', '--connections', [CompletionResultType]::ParameterName, 'Stop after N connections; exit 1 if one of them failed')
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'Stop after this time; exit 4 if nothing happened')
            [CompletionResult]::new('--grace', '--grace', [CompletionResultType]::ParameterName, 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour: auto, always or never')
            [CompletionResult]::new('--no-checks', '--no-checks', [CompletionResultType]::ParameterName, 'Do not check; a backend that refuses is still passed over')
            [CompletionResult]::new('--insecure', '--insecure', [CompletionResultType]::ParameterName, 'Do not check who a tls: target is')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'JSON Lines on both streams, with stable keys')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Say each step of each connection')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'tapline;scan' {
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'Ports: 22,80,8000-8100; 8000- is up to 65535, - is all')
            [CompletionResult]::new('--ports', '--ports', [CompletionResultType]::ParameterName, 'Ports: 22,80,8000-8100; 8000- is up to 65535, - is all')
            [CompletionResult]::new('--concurrency', '--concurrency', [CompletionResultType]::ParameterName, 'Probes at a time; less where the limit on open files is lower')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'For one probe; below 1s a single lost packet hides a port')
            [CompletionResult]::new('--retries', '--retries', [CompletionResultType]::ParameterName, 'Ask ports that do not answer so many times more')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour: auto, always or never')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'Also show ports that are closed or filtered')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'JSON Lines on both streams, with stable keys')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Say each step of each connection')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'tapline;demo' {
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colour: auto, always or never')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'JSON Lines on both streams, with stable keys')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only results and errors')
            [CompletionResult]::new('--explain', '--explain', [CompletionResultType]::ParameterName, 'Say each step of each connection')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
