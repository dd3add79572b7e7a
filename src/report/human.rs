//! Events and errors as lines for people.

use super::Style;
use anstyle::{AnsiColor, Style as Paint};
use std::{
    fmt::Write,
    time::{Duration, Instant},
};
use tapline::{
    addr::Endpoint,
    announced::Told,
    event::{By, End, Event, Phase},
    fault::{Kind, Strike},
    hello::{Protocol, Recognised},
    proxy_header::Command,
    server::BindError,
};

const DIM: Paint = Paint::new().dimmed();
const BAD: Paint = AnsiColor::Red.on_default();
const GOOD: Paint = AnsiColor::Green.on_default();

/// Whether an event is said at all. Without `--explain`, those that only lead to another one are not.
pub fn is_shown(event: &Event, style: Style) -> bool {
    if style.quiet {
        return false;
    }
    let step = matches!(
        event,
        Event::Opened { .. }
            | Event::Announced(_)
            | Event::Routed { .. }
            | Event::Handshake { .. }
            | Event::Dialed { .. }
            | Event::Builtin { .. }
            | Event::Target { .. }
            // The end of the connection says the same.
            | Event::Fault { fault: Kind::Cut | Kind::Reset, .. }
            | Event::DialFailed { next: false, .. }
            | Event::Drained { aborted: 0 }
            // The bytes themselves say the same.
            | Event::Recognised { what: Recognised { protocol: Protocol::Unknown, .. }, .. }
    );
    style.json || style.explain || !step
}

/// An event as a line, without its end.
pub fn event(event: &Event, style: Style, started: Instant) -> String {
    let paint = |paint: Paint, text: &str| if style.stderr.color { format!("{paint}{text}{paint:#}") } else { text.to_owned() };
    let line = match event {
        Event::Listening { addr } => format!("listening on {addr}"),
        Event::Builtin { target, addr } => format!("{target} listens on {addr}"),
        Event::Certificate { names, ca, try_with } => {
            format!("made a certificate for {}; its CA is in {ca}\ntry: {try_with}", names.join(", "))
        }
        Event::Opened { id, peer } => format!("{id} {peer} connected"),
        Event::Announced(told) => announced(told),
        Event::Routed { id, name, rule, target } => {
            let name = name.as_deref().map_or("no name".into(), |name| format!("name {}", safe(name)));
            format!("{id} {name}: rule {} -> {}", safe(rule), target.as_deref().unwrap_or("refused"))
        }
        Event::Handshake { id, name, version, cipher, resumed } => {
            let name = name.as_deref().map_or("no name".into(), |name| format!("name {}", safe(name)));
            format!("{id} TLS handshake done: {version}, {cipher}, {name}{}", if *resumed { ", resumed" } else { "" })
        }
        Event::Recognised { id, what } => format!("{id} {}", recognised(what)),
        Event::Saved { id, path } => format!("{id} goes to {}", safe(path)),
        Event::DialFailed { id, target, why, .. } => format!("{id} {}", paint(BAD, &format!("cannot connect to {target}: {why}"))),
        Event::Dialed { id, target, addr, elapsed } => {
            let at = if addr.to_string() == **target { String::new() } else { format!(" at {addr}") };
            format!("{id} connected to {target}{at} in {}", span(*elapsed))
        }
        Event::Request { id, target, method, path, status, retries, why, elapsed } => {
            let status = paint(if *status >= 500 { BAD } else { GOOD }, &status.to_string());
            let mut line = format!("{id} {} {} {status} {} {}", safe(method), safe(path), target.as_deref().unwrap_or("-"), span(*elapsed));
            if *retries > 0 {
                let _ = write!(line, " retries={retries}");
            }
            if let Some(why) = why {
                let _ = write!(line, " ({})", safe(why));
            }
            line
        }
        Event::Faults { seed, up, down, reset_percent: reset } => {
            let lanes = [("up", up), ("down", down)].into_iter().filter(|(_, lane)| !lane.is_empty());
            let mut parts: Vec<_> = lanes.map(|(name, lane)| format!("{name}: {lane}")).collect();
            parts.extend(reset.map(|share| format!("reset {share}")));
            format!("faults: {}; --seed {seed} repeats them", parts.join("; "))
        }
        Event::Fault { id, fault, direction, after } => {
            format!("{id} {}", Strike { fault: *fault, direction: *direction, after: *after })
        }
        Event::Closed { id, peer, client, target, end: ended, received, sent, spliced, elapsed } => {
            let via = if client == peer { String::new() } else { format!(" via {peer}") };
            let to = target.as_deref().map_or(String::new(), |target| format!(" -> {target}"));
            let spliced = if *spliced { ", spliced" } else { "" };
            let cause = if ended.failed { paint(BAD, &failure(ended)) } else { success(ended) };
            format!("{id} {}{via}{to}: {cause}, {} in, {} out, {}{spliced}", end(client), bytes(*received), bytes(*sent), span(*elapsed))
        }
        Event::Target { target, connections, failed, received, sent } => {
            format!("{target}: {connections} connections, {failed} failed, {} from it, {} to it", bytes(*received), bytes(*sent))
        }
        Event::Health { target, up: true, why } => format!("{target} is {}: {}", paint(GOOD, "up"), safe(why)),
        Event::Health { target, up: false, why } => format!("{target} is {}: {}", paint(BAD, "down"), safe(why)),
        Event::AcceptFailed { why, retry_in } => format!("cannot accept a connection: {why}; trying again in {}", span(*retry_in)),
        Event::Draining { open, grace } => format!("draining: {open} open, at most {} more; again to end them now", span(*grace)),
        Event::Drained { aborted: 0 } => "drained".into(),
        Event::Drained { aborted } => paint(BAD, &format!("drained, {aborted} cut short")),
        Event::Lost { id, datagrams, why } => {
            let whose = id.map_or(String::new(), |id| format!("{id} "));
            format!("{whose}{datagrams} datagrams not passed on: {why}")
        }
        Event::Dropped { events } => format!("({events} lines not shown: they came faster than they were read)"),
        Event::Note { text } => format!("note: {}", safe(text)),
        other => format!("{other:?}"),
    };
    if style.explain {
        return format!("{} {line}", paint(DIM, &format!("{:>9}", format!("+{:.3}s", started.elapsed().as_secs_f64()))));
    }
    line
}

fn recognised(what: &Recognised) -> String {
    let Recognised { protocol, name, alpn, method, path, version, malformed } = what;
    let mut facts = Vec::new();
    if let (Some(method), Some(path)) = (method, path) {
        facts.push(format!("{} {}", safe(method), safe(path)));
    }
    facts.extend(version.as_deref().map(safe));
    facts.extend(name.as_deref().map(|name| format!("{} {}", if *protocol == Protocol::Http { "host" } else { "name" }, safe(name))));
    if !alpn.is_empty() {
        facts.push(format!("ALPN {}", safe(&alpn.join(","))));
    }
    facts.extend(malformed.as_deref().map(|what| format!("malformed: {}", safe(what))));
    match (protocol, facts.is_empty()) {
        (Protocol::Unknown, _) => "looks like no protocol that is known".into(),
        (_, true) => format!("looks like {protocol}"),
        (_, false) => format!("looks like {protocol}: {}", facts.join(", ")),
    }
}

fn announced(Told { id, version, command, source, destination, .. }: &Told) -> String {
    match (source, destination, command) {
        (Some(source), Some(destination), _) => {
            format!("{id} PROXY {version} header: client {}, connected to {}", end(source), end(destination))
        }
        (.., Command::Local) => format!("{id} PROXY {version} header: LOCAL, the proxy's own connection"),
        _ => format!("{id} PROXY {version} header: client unknown"),
    }
}

/// One end of a connection; the path of a Unix socket may come from outside.
fn end(endpoint: &Endpoint) -> String {
    safe(&endpoint.to_string())
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Accept => "accept",
        Phase::ProxyHeader => "PROXY header",
        Phase::Hello => "hello",
        Phase::Handshake => "handshake",
        Phase::Dial => "dial",
        Phase::Relay => "relay",
        Phase::HalfClose => "half-close",
        Phase::Request => "request",
        Phase::Response => "response",
    }
}

/// The flag that sets the timeout of a phase.
fn flag(phase: Phase) -> &'static str {
    match phase {
        Phase::ProxyHeader => " (--proxy-header-timeout)",
        Phase::Hello => " (--hello-timeout)",
        Phase::Handshake => " (--handshake-timeout)",
        Phase::Dial => " (--connect-timeout)",
        Phase::Relay | Phase::Request => " (--idle-timeout)",
        Phase::HalfClose => " (--half-close-timeout)",
        Phase::Response => " (--response-timeout or --idle-timeout)",
        Phase::Accept => "",
    }
}

fn who(by: By) -> &'static str {
    match by {
        By::Client => "client",
        By::Target => "target",
        By::Timeout => "timeout",
        By::Rule => "rule",
        By::Fault => "fault",
        By::Shutdown => "shutdown",
        By::Local => "this machine",
    }
}

fn success(end: &End) -> String {
    if end.by == By::Rule { safe(&end.why) } else { format!("{} by {}", safe(&end.why), who(end.by)) }
}

fn failure(end: &End) -> String {
    let flag = if end.by == By::Timeout { flag(end.during) } else { "" };
    format!("failed by {} during {}: {}{flag}", who(end.by), phase(end.during), safe(&end.why))
}

/// An error that ends the program, and what to do about it where that is known.
pub fn error(error: &anyhow::Error, color: bool) -> String {
    // The library's errors carry their cause in their own text; a context adds only what it says itself.
    let (on, off) = if color { (format!("{BAD}"), format!("{BAD:#}")) } else { (String::new(), String::new()) };
    let mut text = format!("{on}tapline:{off} {}", safe(&chain(error)));
    if let Some(hint) = hint(error) {
        let _ = write!(text, "\nhint: {hint}");
    }
    text
}

/// The messages from the outermost on, leaving out those that the one before already ends with.
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            let _ = write!(text, ": {cause}");
        }
    }
    text
}

/// What helps against an error.
pub fn hint(error: &anyhow::Error) -> Option<&'static str> {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    let BindError { error, .. } = error.downcast_ref()?;
    match error.kind() {
        AddrInUse => Some("port 0 lets the kernel choose a free one; `ss -tlnp` shows who has this one"),
        PermissionDenied => Some("ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"),
        AddrNotAvailable => Some("no interface of this machine has that address; LISTEN comes first, then TARGET"),
        _ => None,
    }
}

/// Text that cannot steer a terminal: control characters, and marks that reorder or hide text, are shown as `\u{..}`.
pub fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers_terminal(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// C0 and C1 controls, DEL, bidirectional marks and invisible characters.
pub fn steers_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A number of bytes in at most four digits: `999 B`, `1.2 MiB`.
pub fn bytes(count: u64) -> String {
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut unit = "";
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if value < 1000.0 && !unit.is_empty() {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value < 10.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// A time in three digits at most: `850 us`, `1.2 ms`, `31 s`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 1e-3 => format!("{:.0} us", s * 1e6),
        s if s < 0.01 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 600.0 => format!("{s:.0} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_cannot_steer_a_terminal() {
        assert_eq!(safe("a\u{1b}[31m\nb\u{202e}\u{9b}é"), "a\\u{1b}[31m\\nb\\u{202e}\\u{9b}é");
    }

    #[test]
    fn sizes_and_times_are_short() {
        let sizes = [0, 999, 1023, 1024, 10_240, 1_048_576, 5 << 30];
        assert_eq!(sizes.map(bytes), ["0 B", "999 B", "1023 B", "1.0 KiB", "10 KiB", "1.0 MiB", "5.0 GiB"]);
        let times = [1, 999, 1_200, 12_000, 1_500_000, 31_000_000, 900_000_000];
        assert_eq!(times.map(|us| span(Duration::from_micros(us))), ["1 us", "999 us", "1.2 ms", "12 ms", "1.5 s", "31 s", "15 min"]);
    }

    #[test]
    fn a_cause_is_told_once() {
        let inner = std::io::Error::from(std::io::ErrorKind::AddrInUse);
        let text = inner.to_string();
        let error = anyhow::Error::new(BindError { addr: "80".parse().unwrap(), error: inner });
        assert_eq!(chain(&error), format!("cannot listen on 127.0.0.1:80: {text}"));
        assert!(hint(&error).unwrap().contains("port 0"));
    }
}
