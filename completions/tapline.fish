# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_tapline_global_optspecs
    string join \n json q/quiet explain color= h/help V/version
end

function __fish_tapline_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_tapline_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_tapline_using_subcommand
    set -l cmd (__fish_tapline_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c tapline -n "__fish_tapline_needs_command" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_needs_command" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_needs_command" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_needs_command" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_needs_command" -s h -l help -d 'Print help'
complete -c tapline -n "__fish_tapline_needs_command" -s V -l version -d 'Print version'
complete -c tapline -n "__fish_tapline_needs_command" -f -a "listen" -d 'Accept connections and copy what arrives to stderr'
complete -c tapline -n "__fish_tapline_needs_command" -f -a "proxy" -d 'Relay TCP or UDP to one target'
complete -c tapline -n "__fish_tapline_needs_command" -f -a "sni-peek" -d 'Show the ClientHellos of clients, captures and files'
complete -c tapline -n "__fish_tapline_needs_command" -f -a "sni-route" -d 'Route TLS by SNI and HTTP by Host, without decrypting'
complete -c tapline -n "__fish_tapline_needs_command" -f -a "tls-terminate" -d 'Decrypt TLS and forward plaintext'
complete -c tapline -n "__fish_tapline_needs_command" -f -a "lb4" -d 'Balance TCP connections over backends'
complete -c tapline -n "__fish_tapline_needs_command" -f -a "lb7" -d 'Balance HTTP/1.1 requests over backends'
complete -c tapline -n "__fish_tapline_needs_command" -f -a "scan" -d 'Find open, closed and filtered ports'
complete -c tapline -n "__fish_tapline_needs_command" -f -a "ctl" -d 'Look at the targets of a running command, and change them'
complete -c tapline -n "__fish_tapline_needs_command" -f -a "demo" -d 'See the main job done in a few seconds'
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l output -d 'Write the bytes there as they are, "-" for stdout (no terminal), instead of showing them' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l save -d 'Write each connection to a file of its own in DIR, which is made if need be, instead of showing the bytes. Named NUMBER-ADDRESS-PORT.bin, with another number where that exists: nothing is overwritten. None for one that sends nothing' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l reply -d 'Send this once, as soon as the client\'s first bytes (or its end) have come, then end this side and read on. A file is @FILE, /PATH, ./PATH or ../PATH; anything else is text, with \\r \\n \\t \\0 \\e \\xHH and \\\\' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l greet -d 'Send this as soon as a client is connected, as SSH and SMTP servers do, and go on; written as for --reply' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l cert -d 'Certificate chain (PEM), leaf first; may be given again [default: made in memory, with a CA for clients]' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l key -d 'The private key (PEM) of the --cert of the same place; without any, each is in the file of its certificate' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l certs -d 'A folder of certificates with their keys, in the order of their names, after those of --cert; may be given again' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l names -d 'The names that certificates are made for in memory, each when a client asks for it; others are refused [default: localhost,*.localhost,127.0.0.1,::1]' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l ca-out -d 'Write the certificate of the CA in memory here, to stay [default: a temporary file that goes with the command]' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l min-tls -d 'The oldest version that is spoken: 1.2 or 1.3' -r -f -a "1.2\t''
1.3\t''"
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l alpn -d 'Protocols to agree on by ALPN, the best first, such as h2,http/1.1 [default: none, and what clients offer goes unanswered]' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l client-ca -d 'Ask clients for a certificate that leads to one of the authorities in this file (PEM)' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l client-cert -d 'Whether a client without a certificate is refused: required or optional' -r -f -a "required\t''
optional\t''"
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l allow-client -d 'Take only clients whose certificate has this subject alternative name: a DNS name, *.NAME (exactly one label more), an IP address, a mailbox or a URI (spiffe://...); may be given again' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l client-crl -d 'Certificates of clients that were revoked (PEM, a CRL); may be given again' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l starttls -d 'Speak postgres or smtp with clients until TLS begins, within --hello-timeout' -r -f -a "postgres\t''
smtp\t''"
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l handshake-timeout -d 'For the TLS handshake, after the hello' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l keylog -d 'Append the secrets of all TLS sessions to FILE, in tls-terminate those with tls: targets too, for Wireshark (NSS key log format, what others take from SSLKEYLOGFILE, which is not read). Made for its owner alone: who has it can read the sessions' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l record-tls -d 'Record what clients and tapline exchange to a pcapng FILE ("-" for stdout), encrypted as it is, from the first byte to the last alert, with the keys in it: Wireshark decrypts it. The packets are made up, their addresses, times and bytes are real. Made for its owner alone' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l hello-timeout -d 'For the whole ClientHello, from the accept or the PROXY header on' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l idle-timeout -d 'Close a connection on which nothing passes for this long; noticed up to a quarter later ("off" for never)' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l max-connections -d 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l threads -d 'Threads that connections are served on [default: one for each CPU]' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l connections -d 'Take N connections and no more, stop when they have ended; exit 1 if one of them failed. With COMMAND, stop when that ends, with its status' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l for -d 'Stop after this time; exit 4 if nothing, or fewer than --connections, had come' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l grace -d 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them. Half a second later, what is not read on stdout is lost (exit 5)' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l accept-proxy -d 'Peers that must begin with a PROXY header and are believed: a network, an address, "unix"; may be given again' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l proxy-header-timeout -d 'For the whole PROXY header, from the accept on' -r
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l hex -d 'Show bytes as `hexdump -C` does, in both directions. Each read begins with a line: connection, `>` (received) or `<` (sent), local time to the microsecond, length, offsets of its first and last byte'
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l discard -d 'Show and keep nothing, as fast as possible'
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l echo -d 'Send back what arrives'
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l udp -d 'Receive datagrams (UDP): a session for each client address, which ends without one for --idle-timeout. --echo and --reply answer each datagram. What comes faster than it is shown is lost, and counted, as are the datagrams of more sessions than --max-connections'
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l tls -d 'Speak TLS: what is shown, kept and answered is the plaintext. The flags below belong to it'
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l strict-sni -d 'Refuse clients that ask for a name that no certificate is for, or for none (alert unrecognized_name)'
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand listen" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand listen" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand listen" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l connect-timeout -d 'For connecting to a target, from the resolver to its TLS handshake' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l bind-source -d 'The address of this machine that connections to targets come from' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l keepalive -d 'Probe clients and targets (TCP) after so long without a byte; the third unanswered probe ends the connection. Whole seconds, at most 32767' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l ca -d 'Certificates (PEM) that tls: targets must lead to [default: Mozilla\'s roots]' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l send-proxy -d 'Tell targets who the client is, by a PROXY header before any other byte, also before the TLS of a tls: target' -r -f -a "v1\t''
v2\t''"
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l metrics -d 'Figures for Prometheus at GET /metrics here: of each target, and of the process (docs/metrics.md)' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l idle-timeout -d 'Without a byte in either direction; noticed up to a quarter later ("off" for never) [default: 10m]' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l half-close-timeout -d 'The same, once one side has ended ("off" for never)' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l delay -d 'Deliver everything later by TIME, give or take up to JITTER, in order; holds 16 MiB a direction at most' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l rate -d 'Bytes a second at most; k, M and G are powers of 1024, as in curl --limit-rate' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l stall-after -d 'Deliver so many bytes, then nothing more; the other direction goes on' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l cut-after -d 'Reset both sides once so many bytes were delivered' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l reset -d 'Reset this share of the connections, at a random one of the first 65,535 bytes (the early ones more often) or in place of the first end' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l seed -d 'Repeat the random choices of an earlier run [default: a new one, which is said where there are faults]' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l record -d 'Record all connections to a pcapng FILE ("-" for stdout), as the client sees them, and in clear where the TLS is tapline\'s own (`tls-terminate`, a tls: target). The packets are made up, their addresses, times and bytes are real. A slow disk slows the connections; nothing is left out' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l max-connections -d 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l threads -d 'Threads that connections are served on [default: one for each CPU]' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l connections -d 'Take N connections and no more, stop when they have ended; exit 1 if one of them failed. With COMMAND, stop when that ends, with its status' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l for -d 'Stop after this time; exit 4 if nothing, or fewer than --connections, had come' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l grace -d 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them. Half a second later, what is not read on stdout is lost (exit 5)' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l accept-proxy -d 'Peers that must begin with a PROXY header and are believed: a network, an address, "unix"; may be given again' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l proxy-header-timeout -d 'For the whole PROXY header, from the accept on' -r
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l udp -d 'Relay UDP: a session for each client address, which ends without a datagram for --idle-timeout (2m unless given) or when the target\'s port is unreachable. The datagrams of more sessions than --max-connections are lost'
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l insecure -d 'Do not check who a tls: target is'
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l hex -d 'Show the bytes of both directions on stderr as `hexdump -C` does. Each read begins with a line: connection, client, `>` (from the client) or `<` (to it), local time to the microsecond, length, offsets of its first and last byte'
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l top -d 'Show targets and connections live, on the whole terminal; `q` ends the view and the run as Ctrl-C does, `?` tells the keys'
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand proxy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l fields -d 'Columns with tabs between them, a line a hello and none with names: client, source, destination, transport, time, file, sni, alpn, version (the highest), versions, legacy_version, ciphers, cipher_names, extensions, extension_names, groups, key_shares, signature_algorithms, pq, ech, ja3, ja3_text, ja3n, ja4, ja4_r, ja4_o, ja4_ro, random, session_id, size, records, packets, faults. Lists have commas; what is absent is empty' -r -f -a "client\t''
source\t''
destination\t''
transport\t''
time\t''
file\t''
sni\t''
alpn\t''
version\t''
versions\t''
legacy_version\t''
ciphers\t''
cipher_names\t''
extensions\t''
extension_names\t''
groups\t''
key_shares\t''
signature_algorithms\t''
pq\t''
ech\t''
ja3\t''
ja3_text\t''
ja3n\t''
ja4\t''
ja4_r\t''
ja4_o\t''
ja4_ro\t''
random\t''
session_id\t''
size\t''
records\t''
packets\t''
faults\t''"
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l then -d 'What comes then: "alert" (handshake_failure, for a bad hello decode_error; what is not TLS is closed), "close" (without a word), or a target that the connection goes on to, from its first byte on' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l hello-timeout -d 'For the whole ClientHello, from the accept or the PROXY header on' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l connect-timeout -d 'For connecting to a target, from the resolver to its TLS handshake' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l bind-source -d 'The address of this machine that connections to targets come from' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l keepalive -d 'Probe clients and targets (TCP) after so long without a byte; the third unanswered probe ends the connection. Whole seconds, at most 32767' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l ca -d 'Certificates (PEM) that tls: targets must lead to [default: Mozilla\'s roots]' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l send-proxy -d 'Tell targets who the client is, by a PROXY header before any other byte, also before the TLS of a tls: target' -r -f -a "v1\t''
v2\t''"
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l idle-timeout -d 'Without a byte in either direction; noticed up to a quarter later ("off" for never) [default: 10m]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l half-close-timeout -d 'The same, once one side has ended ("off" for never)' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l delay -d 'Deliver everything later by TIME, give or take up to JITTER, in order; holds 16 MiB a direction at most' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l rate -d 'Bytes a second at most; k, M and G are powers of 1024, as in curl --limit-rate' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l stall-after -d 'Deliver so many bytes, then nothing more; the other direction goes on' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l cut-after -d 'Reset both sides once so many bytes were delivered' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l reset -d 'Reset this share of the connections, at a random one of the first 65,535 bytes (the early ones more often) or in place of the first end' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l seed -d 'Repeat the random choices of an earlier run [default: a new one, which is said where there are faults]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l record -d 'Record all connections to a pcapng FILE ("-" for stdout), as the client sees them, and in clear where the TLS is tapline\'s own (`tls-terminate`, a tls: target). The packets are made up, their addresses, times and bytes are real. A slow disk slows the connections; nothing is left out' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l max-connections -d 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l threads -d 'Threads that connections are served on [default: one for each CPU]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l connections -d 'Take N connections and no more, stop when they have ended; exit 1 if one of them failed. With COMMAND, stop when that ends, with its status' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l for -d 'Stop after this time; exit 4 if nothing, or fewer than --connections, had come' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l grace -d 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them. Half a second later, what is not read on stdout is lost (exit 5)' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l accept-proxy -d 'Peers that must begin with a PROXY header and are believed: a network, an address, "unix"; may be given again' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l proxy-header-timeout -d 'For the whole PROXY header, from the accept on' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l detail -d 'Show tables of everything that it says'
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l anatomy -d 'Walk through its bytes and explain each'
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l all -d 'Also show captured connections that are not TLS'
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l diff -d 'Say why the fingerprints of two hellos differ: the first ones of two files, or the first two of one. What changes with every hello (random, GREASE, keys) makes no difference'
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l udp -d 'Receive datagrams (UDP), and show the hellos of QUIC (versions 1 and 2, drafts 29 to 32) and DTLS. By --then alert, a client of QUIC is refused by CONNECTION_CLOSE, or told of versions 1 and 2 where it speaks another'
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l insecure -d 'Do not check who a tls: target is'
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l hex -d 'Show the bytes of both directions on stderr as `hexdump -C` does. Each read begins with a line: connection, client, `>` (from the client) or `<` (to it), local time to the microsecond, length, offsets of its first and last byte'
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand sni-peek" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l routes -d 'Take rules from FILE or redis://HOST too, and follow their changes; may be given again. SIGHUP reads all again' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l routes-interval -d 'From one reading of all --routes to the next, beside what is noticed at once' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l unknown-name -d 'For names that no rule has [default: refuse]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l no-name -d 'For hellos and requests without a name; HTTP/2 without TLS has none that can be read [default: refuse]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l not-tls -d 'For clients that speak neither TLS nor HTTP [default: refuse]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l bad-hello -d 'For hellos and requests that are malformed, broken off or late, also of clients that wait for the server to speak first; all that was read is sent on [default: refuse]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l starttls -d 'Speak postgres or smtp with clients and targets until TLS begins; HTTP is not looked for' -r -f -a "postgres\t''
smtp\t''"
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l test -d 'Say which rule each NAME would get and why, and open no socket but to redis; NAME may be NAME/ALPN[,ALPN...] or http://NAME. Exit 1 if one of them has no route' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l hello-timeout -d 'For the whole ClientHello, from the accept or the PROXY header on' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l policy -d 'How the next backend is chosen [default: round-robin]' -r -f -a "round-robin\t'In turn, by weight'
random\t'Any, by weight'
least-connections\t'The one with the fewest open for its weight; of equals, who was chosen longest ago'
p2c\t'Of two drawn by weight, the one with fewer open for its weight'
first\t'The first that has room (max=N), in the order given'
rendezvous\t'By key: the highest score; moves only the keys of who goes'
ring\t'By key: the next point on a ring (ketama)'
maglev\t'By key: its place in a table (Maglev)'"
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l hash -d 'What of a client is its key, for rendezvous, ring and maglev: ip (the peer\'s address), ip-port, proxy-src (who a PROXY header announces, else the peer) or sni [default: proxy-src with --accept-proxy, else ip]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l hash-balance -d 'For ring: pass over backends that have more than so many percent of their share of what is open, 101 to 1000 (125 is common) [default: never, so that a key stays where it is]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l check -d 'What a check does: connect, tls[:NAME], send:TEXT, expect:TEXT, http:/PATH or exec:COMMAND; may be given again, for steps in order [default: connect]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l check-interval -d 'From one check of a backend to the next; the first ones are made at once, later ones spread over this time' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l check-timeout -d 'For one check' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l rise -d 'Good checks in a row that bring a backend up' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l fall -d 'Failed checks in a row that take it down; the first check of all decides alone' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l eject-after -d 'Leave a backend out that did not take N connections in a row ("off" for never)' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l eject-for -d 'For how long; doubled each time that it fails again right after, up to six times as long' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l when-all-down -d 'Where all backends are down: try all of them, as checks can be wrong, or fail at once' -r -f -a "try-all\t''
fail\t''"
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l slow-start -d 'How long a backend that was down or ejected takes to get its whole share again; for policies that go by no key, and not for first [default: none]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l max-per-target -d 'Connections at a time of each target that has no max=N of its own; more wait in a queue for the first that has a place' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l queue -d 'Places in that queue, first come, first served; whoever finds none is refused at once (0 for no queue)' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l queue-timeout -d 'For the wait in the queue' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l failover-timeout -d 'For connecting to all targets that are tried for a connection, one after the other [default: twice --connect-timeout]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l replay-after -d 'Leave a target also when its first byte has not come for so long after the client\'s last one' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l max-age -d 'Reset connections that are older than this, up to a tenth more or less, so that long ones are balanced anew' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l admin -d 'Take control while running: list, drain, ready, weight, add and remove targets by `tapline ctl ADDR` or HTTP (docs/admin.md), at a Unix socket of its owner\'s or a port of loopback' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l metrics -d 'Figures for Prometheus at GET /metrics here: of each target, and of the process (docs/metrics.md)' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l connect-timeout -d 'For connecting to a target, from the resolver to its TLS handshake' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l bind-source -d 'The address of this machine that connections to targets come from' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l keepalive -d 'Probe clients and targets (TCP) after so long without a byte; the third unanswered probe ends the connection. Whole seconds, at most 32767' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l ca -d 'Certificates (PEM) that tls: targets must lead to [default: Mozilla\'s roots]' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l send-proxy -d 'Tell targets who the client is, by a PROXY header before any other byte, also before the TLS of a tls: target' -r -f -a "v1\t''
v2\t''"
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l idle-timeout -d 'Without a byte in either direction; noticed up to a quarter later ("off" for never) [default: 10m]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l half-close-timeout -d 'The same, once one side has ended ("off" for never)' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l delay -d 'Deliver everything later by TIME, give or take up to JITTER, in order; holds 16 MiB a direction at most' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l rate -d 'Bytes a second at most; k, M and G are powers of 1024, as in curl --limit-rate' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l stall-after -d 'Deliver so many bytes, then nothing more; the other direction goes on' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l cut-after -d 'Reset both sides once so many bytes were delivered' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l reset -d 'Reset this share of the connections, at a random one of the first 65,535 bytes (the early ones more often) or in place of the first end' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l seed -d 'Repeat the random choices of an earlier run [default: a new one, which is said where there are faults]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l record -d 'Record all connections to a pcapng FILE ("-" for stdout), as the client sees them, and in clear where the TLS is tapline\'s own (`tls-terminate`, a tls: target). The packets are made up, their addresses, times and bytes are real. A slow disk slows the connections; nothing is left out' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l max-connections -d 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l threads -d 'Threads that connections are served on [default: one for each CPU]' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l connections -d 'Take N connections and no more, stop when they have ended; exit 1 if one of them failed. With COMMAND, stop when that ends, with its status' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l for -d 'Stop after this time; exit 4 if nothing, or fewer than --connections, had come' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l grace -d 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them. Half a second later, what is not read on stdout is lost (exit 5)' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l accept-proxy -d 'Peers that must begin with a PROXY header and are believed: a network, an address, "unix"; may be given again' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l proxy-header-timeout -d 'For the whole PROXY header, from the accept on' -r
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l allow-private -d 'Let passthrough reach addresses that are not public: loopback, private, link-local and the like'
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l no-checks -d 'Do not check; a backend that refuses is still passed over, and ejected'
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l replay -d 'Where a target takes a connection and ends or resets it before its first byte, send the next target what the client has said so far, up to 64 KiB'
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l insecure -d 'Do not check who a tls: target is'
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l hex -d 'Show the bytes of both directions on stderr as `hexdump -C` does. Each read begins with a line: connection, client, `>` (from the client) or `<` (to it), local time to the microsecond, length, offsets of its first and last byte'
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l top -d 'Show targets and connections live, on the whole terminal; `q` ends the view and the run as Ctrl-C does, `?` tells the keys'
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand sni-route" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l resolver -d 'Ask this DNS server for dns: and srv: targets, not those of the system' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l targets-interval -d 'From one reading of all sources of targets to the next, beside what is noticed at once' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l cert -d 'Certificate chain (PEM), leaf first; may be given again [default: made in memory, with a CA for clients]' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l key -d 'The private key (PEM) of the --cert of the same place; without any, each is in the file of its certificate' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l certs -d 'A folder of certificates with their keys, in the order of their names, after those of --cert; may be given again' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l names -d 'The names that certificates are made for in memory, each when a client asks for it; others are refused [default: localhost,*.localhost,127.0.0.1,::1]' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l ca-out -d 'Write the certificate of the CA in memory here, to stay [default: a temporary file that goes with the command]' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l min-tls -d 'The oldest version that is spoken: 1.2 or 1.3' -r -f -a "1.2\t''
1.3\t''"
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l alpn -d 'Protocols to agree on by ALPN, the best first, such as h2,http/1.1 [default: none, and what clients offer goes unanswered]' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l client-ca -d 'Ask clients for a certificate that leads to one of the authorities in this file (PEM)' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l client-cert -d 'Whether a client without a certificate is refused: required or optional' -r -f -a "required\t''
optional\t''"
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l allow-client -d 'Take only clients whose certificate has this subject alternative name: a DNS name, *.NAME (exactly one label more), an IP address, a mailbox or a URI (spiffe://...); may be given again' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l client-crl -d 'Certificates of clients that were revoked (PEM, a CRL); may be given again' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l starttls -d 'Speak postgres or smtp with clients until TLS begins, within --hello-timeout' -r -f -a "postgres\t''
smtp\t''"
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l handshake-timeout -d 'For the TLS handshake, after the hello' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l keylog -d 'Append the secrets of all TLS sessions to FILE, in tls-terminate those with tls: targets too, for Wireshark (NSS key log format, what others take from SSLKEYLOGFILE, which is not read). Made for its owner alone: who has it can read the sessions' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l record-tls -d 'Record what clients and tapline exchange to a pcapng FILE ("-" for stdout), encrypted as it is, from the first byte to the last alert, with the keys in it: Wireshark decrypts it. The packets are made up, their addresses, times and bytes are real. Made for its owner alone' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l hello-timeout -d 'For the whole ClientHello, from the accept or the PROXY header on' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l policy -d 'How the next backend is chosen [default: round-robin]' -r -f -a "round-robin\t'In turn, by weight'
random\t'Any, by weight'
least-connections\t'The one with the fewest open for its weight; of equals, who was chosen longest ago'
p2c\t'Of two drawn by weight, the one with fewer open for its weight'
first\t'The first that has room (max=N), in the order given'
rendezvous\t'By key: the highest score; moves only the keys of who goes'
ring\t'By key: the next point on a ring (ketama)'
maglev\t'By key: its place in a table (Maglev)'"
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l hash -d 'What of a client is its key, for rendezvous, ring and maglev: ip (the peer\'s address), ip-port, proxy-src (who a PROXY header announces, else the peer) or sni [default: proxy-src with --accept-proxy, else ip]' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l hash-balance -d 'For ring: pass over backends that have more than so many percent of their share of what is open, 101 to 1000 (125 is common) [default: never, so that a key stays where it is]' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l check -d 'What a check does: connect, tls[:NAME], send:TEXT, expect:TEXT, http:/PATH or exec:COMMAND; may be given again, for steps in order [default: connect]' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l check-interval -d 'From one check of a backend to the next; the first ones are made at once, later ones spread over this time' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l check-timeout -d 'For one check' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l rise -d 'Good checks in a row that bring a backend up' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l fall -d 'Failed checks in a row that take it down; the first check of all decides alone' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l eject-after -d 'Leave a backend out that did not take N connections in a row ("off" for never)' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l eject-for -d 'For how long; doubled each time that it fails again right after, up to six times as long' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l when-all-down -d 'Where all backends are down: try all of them, as checks can be wrong, or fail at once' -r -f -a "try-all\t''
fail\t''"
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l slow-start -d 'How long a backend that was down or ejected takes to get its whole share again; for policies that go by no key, and not for first [default: none]' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l max-per-target -d 'Connections at a time of each target that has no max=N of its own; more wait in a queue for the first that has a place' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l queue -d 'Places in that queue, first come, first served; whoever finds none is refused at once (0 for no queue)' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l queue-timeout -d 'For the wait in the queue' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l failover-timeout -d 'For connecting to all targets that are tried for a connection, one after the other [default: twice --connect-timeout]' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l replay-after -d 'Leave a target also when its first byte has not come for so long after the client\'s last one' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l max-age -d 'Reset connections that are older than this, up to a tenth more or less, so that long ones are balanced anew' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l admin -d 'Take control while running: list, drain, ready, weight, add and remove targets by `tapline ctl ADDR` or HTTP (docs/admin.md), at a Unix socket of its owner\'s or a port of loopback' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l metrics -d 'Figures for Prometheus at GET /metrics here: of each target, and of the process (docs/metrics.md)' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l connect-timeout -d 'For connecting to a target, from the resolver to its TLS handshake' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l bind-source -d 'The address of this machine that connections to targets come from' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l keepalive -d 'Probe clients and targets (TCP) after so long without a byte; the third unanswered probe ends the connection. Whole seconds, at most 32767' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l ca -d 'Certificates (PEM) that tls: targets must lead to [default: Mozilla\'s roots]' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l send-proxy -d 'Tell targets who the client is, by a PROXY header before any other byte, also before the TLS of a tls: target' -r -f -a "v1\t''
v2\t''"
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l idle-timeout -d 'Without a byte in either direction; noticed up to a quarter later ("off" for never) [default: 10m]' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l half-close-timeout -d 'The same, once one side has ended ("off" for never)' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l delay -d 'Deliver everything later by TIME, give or take up to JITTER, in order; holds 16 MiB a direction at most' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l rate -d 'Bytes a second at most; k, M and G are powers of 1024, as in curl --limit-rate' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l stall-after -d 'Deliver so many bytes, then nothing more; the other direction goes on' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l cut-after -d 'Reset both sides once so many bytes were delivered' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l reset -d 'Reset this share of the connections, at a random one of the first 65,535 bytes (the early ones more often) or in place of the first end' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l seed -d 'Repeat the random choices of an earlier run [default: a new one, which is said where there are faults]' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l record -d 'Record all connections to a pcapng FILE ("-" for stdout), as the client sees them, and in clear where the TLS is tapline\'s own (`tls-terminate`, a tls: target). The packets are made up, their addresses, times and bytes are real. A slow disk slows the connections; nothing is left out' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l max-connections -d 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l threads -d 'Threads that connections are served on [default: one for each CPU]' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l connections -d 'Take N connections and no more, stop when they have ended; exit 1 if one of them failed. With COMMAND, stop when that ends, with its status' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l for -d 'Stop after this time; exit 4 if nothing, or fewer than --connections, had come' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l grace -d 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them. Half a second later, what is not read on stdout is lost (exit 5)' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l accept-proxy -d 'Peers that must begin with a PROXY header and are believed: a network, an address, "unix"; may be given again' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l proxy-header-timeout -d 'For the whole PROXY header, from the accept on' -r
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l strict-sni -d 'Refuse clients that ask for a name that no certificate is for, or for none (alert unrecognized_name)'
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l no-checks -d 'Do not check; a backend that refuses is still passed over, and ejected'
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l replay -d 'Where a target takes a connection and ends or resets it before its first byte, send the next target what the client has said so far, up to 64 KiB'
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l insecure -d 'Do not check who a tls: target is'
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l hex -d 'Show the bytes of both directions on stderr as `hexdump -C` does. Each read begins with a line: connection, client, `>` (from the client) or `<` (to it), local time to the microsecond, length, offsets of its first and last byte'
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l top -d 'Show targets and connections live, on the whole terminal; `q` ends the view and the run as Ctrl-C does, `?` tells the keys'
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand tls-terminate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l resolver -d 'Ask this DNS server for dns: and srv: targets, not those of the system' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l targets-interval -d 'From one reading of all sources of targets to the next, beside what is noticed at once' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l policy -d 'How the next backend is chosen [default: round-robin]' -r -f -a "round-robin\t'In turn, by weight'
random\t'Any, by weight'
least-connections\t'The one with the fewest open for its weight; of equals, who was chosen longest ago'
p2c\t'Of two drawn by weight, the one with fewer open for its weight'
first\t'The first that has room (max=N), in the order given'
rendezvous\t'By key: the highest score; moves only the keys of who goes'
ring\t'By key: the next point on a ring (ketama)'
maglev\t'By key: its place in a table (Maglev)'"
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l hash -d 'What of a client is its key, for rendezvous, ring and maglev: ip (the peer\'s address), ip-port, proxy-src (who a PROXY header announces, else the peer) or sni [default: proxy-src with --accept-proxy, else ip]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l hash-balance -d 'For ring: pass over backends that have more than so many percent of their share of what is open, 101 to 1000 (125 is common) [default: never, so that a key stays where it is]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l check -d 'What a check does: connect, tls[:NAME], send:TEXT, expect:TEXT, http:/PATH or exec:COMMAND; may be given again, for steps in order [default: connect]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l check-interval -d 'From one check of a backend to the next; the first ones are made at once, later ones spread over this time' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l check-timeout -d 'For one check' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l rise -d 'Good checks in a row that bring a backend up' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l fall -d 'Failed checks in a row that take it down; the first check of all decides alone' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l eject-after -d 'Leave a backend out that did not take N connections in a row ("off" for never)' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l eject-for -d 'For how long; doubled each time that it fails again right after, up to six times as long' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l when-all-down -d 'Where all backends are down: try all of them, as checks can be wrong, or fail at once' -r -f -a "try-all\t''
fail\t''"
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l slow-start -d 'How long a backend that was down or ejected takes to get its whole share again; for policies that go by no key, and not for first [default: none]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l max-per-target -d 'Connections at a time of each target that has no max=N of its own; more wait in a queue for the first that has a place' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l queue -d 'Places in that queue, first come, first served; whoever finds none is refused at once (0 for no queue)' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l queue-timeout -d 'For the wait in the queue' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l failover-timeout -d 'For connecting to all targets that are tried for a connection, one after the other [default: twice --connect-timeout]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l replay-after -d 'Leave a target also when its first byte has not come for so long after the client\'s last one' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l max-age -d 'Reset connections that are older than this, up to a tenth more or less, so that long ones are balanced anew' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l admin -d 'Take control while running: list, drain, ready, weight, add and remove targets by `tapline ctl ADDR` or HTTP (docs/admin.md), at a Unix socket of its owner\'s or a port of loopback' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l metrics -d 'Figures for Prometheus at GET /metrics here: of each target, and of the process (docs/metrics.md)' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l simulate -d 'Say what N clients, each with a key of its own, would come to, and open no socket; LISTEN is left out, and a TARGET, of which there are two at least, may be any name. All policies, unless one is given' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l remove -d 'Take this target away, and say which part of the keys has another target then; "due" is the part that must' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l add -d 'Add this target, likewise' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l connect-timeout -d 'For connecting to a target, from the resolver to its TLS handshake' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l bind-source -d 'The address of this machine that connections to targets come from' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l keepalive -d 'Probe clients and targets (TCP) after so long without a byte; the third unanswered probe ends the connection. Whole seconds, at most 32767' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l ca -d 'Certificates (PEM) that tls: targets must lead to [default: Mozilla\'s roots]' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l send-proxy -d 'Tell targets who the client is, by a PROXY header before any other byte, also before the TLS of a tls: target' -r -f -a "v1\t''
v2\t''"
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l idle-timeout -d 'Without a byte in either direction; noticed up to a quarter later ("off" for never) [default: 10m]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l half-close-timeout -d 'The same, once one side has ended ("off" for never)' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l delay -d 'Deliver everything later by TIME, give or take up to JITTER, in order; holds 16 MiB a direction at most' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l rate -d 'Bytes a second at most; k, M and G are powers of 1024, as in curl --limit-rate' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l stall-after -d 'Deliver so many bytes, then nothing more; the other direction goes on' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l cut-after -d 'Reset both sides once so many bytes were delivered' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l reset -d 'Reset this share of the connections, at a random one of the first 65,535 bytes (the early ones more often) or in place of the first end' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l seed -d 'Repeat the random choices of an earlier run [default: a new one, which is said where there are faults]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l record -d 'Record all connections to a pcapng FILE ("-" for stdout), as the client sees them, and in clear where the TLS is tapline\'s own (`tls-terminate`, a tls: target). The packets are made up, their addresses, times and bytes are real. A slow disk slows the connections; nothing is left out' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l max-connections -d 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l threads -d 'Threads that connections are served on [default: one for each CPU]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l connections -d 'Take N connections and no more, stop when they have ended; exit 1 if one of them failed. With COMMAND, stop when that ends, with its status' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l for -d 'Stop after this time; exit 4 if nothing, or fewer than --connections, had come' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l grace -d 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them. Half a second later, what is not read on stdout is lost (exit 5)' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l accept-proxy -d 'Peers that must begin with a PROXY header and are believed: a network, an address, "unix"; may be given again' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l proxy-header-timeout -d 'For the whole PROXY header, from the accept on' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l no-checks -d 'Do not check; a backend that refuses is still passed over, and ejected'
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l replay -d 'Where a target takes a connection and ends or resets it before its first byte, send the next target what the client has said so far, up to 64 KiB'
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l plot -d 'Draw the shares as bars'
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l insecure -d 'Do not check who a tls: target is'
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l hex -d 'Show the bytes of both directions on stderr as `hexdump -C` does. Each read begins with a line: connection, client, `>` (from the client) or `<` (to it), local time to the microsecond, length, offsets of its first and last byte'
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l top -d 'Show targets and connections live, on the whole terminal; `q` ends the view and the run as Ctrl-C does, `?` tells the keys'
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand lb4" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l resolver -d 'Ask this DNS server for dns: and srv: targets, not those of the system' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l targets-interval -d 'From one reading of all sources of targets to the next, beside what is noticed at once' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l hash -d 'What of a client is its key, for rendezvous, ring and maglev: ip (the peer\'s address), ip-port, proxy-src (who a PROXY header announces, else the peer) or sni [default: proxy-src with --accept-proxy, else ip]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l hash-balance -d 'For ring: pass over backends that have more than so many percent of their share of what is open, 101 to 1000 (125 is common) [default: never, so that a key stays where it is]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l check -d 'What a check does: connect, tls[:NAME], send:TEXT, expect:TEXT, http:/PATH or exec:COMMAND; may be given again, for steps in order [default: connect]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l check-interval -d 'From one check of a backend to the next; the first ones are made at once, later ones spread over this time' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l check-timeout -d 'For one check' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l rise -d 'Good checks in a row that bring a backend up' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l fall -d 'Failed checks in a row that take it down; the first check of all decides alone' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l eject-after -d 'Leave a backend out that did not take N connections in a row ("off" for never)' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l eject-for -d 'For how long; doubled each time that it fails again right after, up to six times as long' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l when-all-down -d 'Where all backends are down: try all of them, as checks can be wrong, or fail at once' -r -f -a "try-all\t''
fail\t''"
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l slow-start -d 'How long a backend that was down or ejected takes to get its whole share again; for policies that go by no key, and not for first [default: none]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l max-per-target -d 'Connections at a time of each target that has no max=N of its own; more wait in a queue for the first that has a place' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l queue -d 'Places in that queue, first come, first served; whoever finds none is refused at once (0 for no queue)' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l queue-timeout -d 'For the wait in the queue' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l admin -d 'Take control while running: list, drain, ready, weight, add and remove targets by `tapline ctl ADDR` or HTTP (docs/admin.md), at a Unix socket of its owner\'s or a port of loopback' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l metrics -d 'Figures for Prometheus at GET /metrics here: of each target, and of the process (docs/metrics.md)' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l health -d 'Check backends by GET on this path; 200 to 399 is well. The same as --check http:PATH [default: by connecting]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l seed -d 'Repeat the random choices of an earlier run [default: a new one]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l connect-timeout -d 'For connecting to a target, from the resolver to its TLS handshake' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l bind-source -d 'The address of this machine that connections to targets come from' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l keepalive -d 'Probe clients and targets (TCP) after so long without a byte; the third unanswered probe ends the connection. Whole seconds, at most 32767' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l ca -d 'Certificates (PEM) that tls: targets must lead to [default: Mozilla\'s roots]' -r -F
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l response-timeout -d 'From the end of a request to the head of the backend\'s answer' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l idle-timeout -d 'For a client that neither asks nor reads, and a body that does not go on ("off" for never)' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l max-connections -d 'Connections at a time; more wait in the backlog [default: what the limit on open files allows]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l threads -d 'Threads that connections are served on [default: one for each CPU]' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l connections -d 'Take N connections and no more, stop when they have ended; exit 1 if one of them failed. With COMMAND, stop when that ends, with its status' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l for -d 'Stop after this time; exit 4 if nothing, or fewer than --connections, had come' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l grace -d 'How long connections may go on after SIGINT or SIGTERM; a second signal ends them. Half a second later, what is not read on stdout is lost (exit 5)' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l accept-proxy -d 'Peers that must begin with a PROXY header and are believed: a network, an address, "unix"; may be given again' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l proxy-header-timeout -d 'For the whole PROXY header, from the accept on' -r
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l policy -d 'How the next backend is chosen' -r -f -a "round-robin\t'In turn, by weight'
random\t'Any, by weight'
least-connections\t'The one with the fewest open for its weight; of equals, who was chosen longest ago'
p2c\t'Of two drawn by weight, the one with fewer open for its weight'
first\t'The first that has room (max=N), in the order given'
rendezvous\t'By key: the highest score; moves only the keys of who goes'
ring\t'By key: the next point on a ring (ketama)'
maglev\t'By key: its place in a table (Maglev)'"
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l no-checks -d 'Do not check; a backend that refuses is still passed over, and ejected'
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l insecure -d 'Do not check who a tls: target is'
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l top -d 'Show targets and connections live, on the whole terminal; `q` ends the view and the run as Ctrl-C does, `?` tells the keys'
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand lb7" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tapline -n "__fish_tapline_using_subcommand scan" -s p -l ports -d 'Ports: 22,80,8000-8100; 8000- is up to 65535, - is all' -r
complete -c tapline -n "__fish_tapline_using_subcommand scan" -l concurrency -d 'Probes at a time; less where the limit on open files is lower' -r
complete -c tapline -n "__fish_tapline_using_subcommand scan" -l connect-timeout -d 'For one probe; below 1s a single lost packet hides a port' -r
complete -c tapline -n "__fish_tapline_using_subcommand scan" -l retries -d 'Ask ports that do not answer so many times more' -r
complete -c tapline -n "__fish_tapline_using_subcommand scan" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand scan" -l all -d 'Also show ports that are closed, filtered or could not be asked'
complete -c tapline -n "__fish_tapline_using_subcommand scan" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand scan" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand scan" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand scan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and not __fish_seen_subcommand_from list drain ready weight add remove" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and not __fish_seen_subcommand_from list drain ready weight add remove" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and not __fish_seen_subcommand_from list drain ready weight add remove" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and not __fish_seen_subcommand_from list drain ready weight add remove" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and not __fish_seen_subcommand_from list drain ready weight add remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and not __fish_seen_subcommand_from list drain ready weight add remove" -a "list" -d 'Show the targets, how they stand, and what they have come to'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and not __fish_seen_subcommand_from list drain ready weight add remove" -a "drain" -d 'Send no new connections to a target; those that it has go on'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and not __fish_seen_subcommand_from list drain ready weight add remove" -a "ready" -d 'Send new connections again to a target that was drained or ejected'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and not __fish_seen_subcommand_from list drain ready weight add remove" -a "weight" -d 'Give a target another share of the traffic, until its source gives it other options'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and not __fish_seen_subcommand_from list drain ready weight add remove" -a "add" -d 'Add a target, with its options as on the command line'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and not __fish_seen_subcommand_from list drain ready weight add remove" -a "remove" -d 'Take a target out; its connections go on'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from list" -l pool -d 'Of this pool alone: the rule\'s name (sni-route), or the command\'s' -r
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from list" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from list" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from list" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l pool -d 'Of this pool alone: the rule\'s name (sni-route), or the command\'s' -r
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l deadline -d 'Reset the connections that are left after this time' -r
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l wait -d 'Wait until it has no connection left'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from drain" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from drain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from ready" -l pool -d 'Of this pool alone: the rule\'s name (sni-route), or the command\'s' -r
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from ready" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from ready" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from ready" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from ready" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from ready" -s h -l help -d 'Print help'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from weight" -l pool -d 'Of this pool alone: the rule\'s name (sni-route), or the command\'s' -r
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from weight" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from weight" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from weight" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from weight" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from weight" -s h -l help -d 'Print help'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from add" -l pool -d 'Of this pool alone: the rule\'s name (sni-route), or the command\'s' -r
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from add" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from add" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from add" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from remove" -l pool -d 'Of this pool alone: the rule\'s name (sni-route), or the command\'s' -r
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from remove" -l deadline -d 'Reset the connections that are left after this time' -r
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from remove" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from remove" -l wait -d 'Wait until it has no connection left'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from remove" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from remove" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand ctl; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tapline -n "__fish_tapline_using_subcommand demo" -l color -d 'Colour: auto, always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tapline -n "__fish_tapline_using_subcommand demo" -l json -d 'JSON Lines on both streams, with stable keys'
complete -c tapline -n "__fish_tapline_using_subcommand demo" -s q -l quiet -d 'Only results and errors'
complete -c tapline -n "__fish_tapline_using_subcommand demo" -l explain -d 'Say each step of each connection'
complete -c tapline -n "__fish_tapline_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
