//! Events and errors as lines for people.

mod handshake;
mod targets;
#[cfg(test)]
mod tests;

use super::{Style, escape::safe};
use anstyle::{AnsiColor, Style as Paint};
use std::{
    fmt::Write,
    time::{Duration, Instant},
};
use tapline::{
    announced::Told,
    capture::Summary,
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
            | Event::Routed(_)
            | Event::Handshake(_)
            // The end of the connection says the same.
            | Event::HandshakeFailed { .. }
            | Event::Dialed { .. }
            | Event::Queued { .. }
            | Event::Picked { .. }
            | Event::Builtin { .. }
            | Event::Target { .. }
            | Event::Fault { fault: Kind::Cut | Kind::Reset, .. }
            | Event::DialFailed { next: false, .. }
            | Event::Drained { aborted: 0 }
            // The bytes themselves say the same.
            | Event::Recognised { what: Recognised { protocol: Protocol::Unknown, .. }, .. }
    );
    style.json || style.explain || !step
}

/// A line, of which one part may have a colour. All of it is plain text, from wherever it comes: it is escaped once, when
/// the line is put together.
struct Line {
    before: String,
    painted: Option<(Paint, String)>,
    after: String,
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self { before: text, painted: None, after: String::new() }
    }
}

impl Line {
    fn painted(before: impl Into<String>, paint: Paint, text: impl Into<String>, after: impl Into<String>) -> Self {
        Self { before: before.into(), painted: Some((paint, text.into())), after: after.into() }
    }

    fn put_together(&self, color: bool) -> String {
        let mut line = safe(&self.before);
        if let Some((with, text)) = &self.painted {
            line += &paint(color, *with, &safe(text));
        }
        line + &safe(&self.after)
    }
}

fn paint(color: bool, paint: Paint, text: &str) -> String {
    if color { format!("{paint}{text}{paint:#}") } else { text.to_owned() }
}

/// An event as a line, a handshake as one for each step, without the last end.
pub fn event(event: &Event, style: Style, started: Instant) -> String {
    let mut lines = match event {
        Event::Handshake(handshake) => handshake::steps(handshake).iter().map(|step| safe(step)).collect(),
        _ => vec![line(event).put_together(style.stderr.color)],
    };
    if style.explain {
        let since = format!("+{:.3}s", started.elapsed().as_secs_f64());
        let since = paint(style.stderr.color, DIM, &format!("{since:>9}"));
        lines = lines.iter().map(|line| format!("{since} {line}")).collect();
    }
    if let Event::Certificate { try_with, .. } = event {
        // On a line of its own, to be copied.
        lines.push(format!("try: {}", safe(try_with)));
    }
    lines.join("\n")
}

fn line(event: &Event) -> Line {
    let text = match event {
        Event::Listening { addr } => format!("listening on {addr}"),
        Event::Builtin { target, addr } => format!("{target} listens on {addr}"),
        Event::Certificate { names, ca, .. } => format!("certificates are made for {}; their CA is in {ca}", names.join(", ")),
        Event::Loaded { what, certificates, names, changed, why } => {
            let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            let shown = if names.len() > 5 { format!("{shown} and others") } else { shown };
            let names = if shown.is_empty() { shown } else { format!(" for {shown}") };
            let changed = if *changed == 0 { "as before".to_owned() } else { format!("{changed} new or changed") };
            let before = format!("{what}: {certificates} in force{names}, {changed}");
            return match why {
                Some(why) => Line::painted(format!("{before}: "), BAD, why, ""),
                None => before.into(),
            };
        }
        Event::Opened { id, peer } => format!("{id} {peer} connected"),
        Event::Announced(told) => announced(told),
        Event::Routed(routed) => format!("{} {routed}", routed.id),
        Event::HandshakeFailed { id, name, versions, alert, why } => {
            let name = name.as_deref().map_or("no name".into(), |name| format!("name {name}"));
            let alert = alert.as_ref().map_or(String::new(), |alert| format!(" ({alert})"));
            return Line::painted(
                format!("{id} TLS handshake "),
                BAD,
                "failed",
                format!(": {why}{alert}; {name}, offered {}", versions.join(", ")),
            );
        }
        Event::Recognised { id, what } => format!("{id} {}", recognised(what)),
        Event::Saved { id, path } => format!("{id} goes to {path}"),
        Event::DialFailed { id, target, why, .. } => {
            return Line::painted(format!("{id} "), BAD, format!("cannot connect to {target}: {why}"), "");
        }
        Event::Dialed { id, target, addr, elapsed, waited } => {
            let at = if addr.to_string() == **target { String::new() } else { format!(" at {addr}") };
            let waited = waited.map_or(String::new(), |waited| format!(", after {} in the queue", span(waited)));
            format!("{id} connected to {target}{at} in {}{waited}", span(*elapsed))
        }
        Event::Request { id, target, method, path, status, retries, why, elapsed } => {
            let mut after = format!(" {} {}", target.as_deref().unwrap_or("-"), span(*elapsed));
            if *retries > 0 {
                let _ = write!(after, " retries={retries}");
            }
            if let Some(why) = why {
                let _ = write!(after, " ({why})");
            }
            return Line::painted(format!("{id} {method} {path} "), if *status >= 500 { BAD } else { GOOD }, status.to_string(), after);
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
        Event::Closed { id, peer, client, target, end, received, sent, spliced, elapsed } => {
            let via = if client == peer { String::new() } else { format!(" via {peer}") };
            let to = target.as_deref().map_or(String::new(), |target| format!(" -> {target}"));
            let before = format!("{id} {client}{via}{to}: ");
            let spliced = if *spliced { ", spliced" } else { "" };
            let after = format!(", {} in, {} out, {}{spliced}", bytes(*received), bytes(*sent), span(*elapsed));
            if end.failed {
                return Line::painted(before, BAD, failure(end), after);
            }
            format!("{before}{}{after}", success(end))
        }
        Event::AcceptFailed { why, retry_in } => format!("cannot accept a connection: {why}; trying again in {}", span(*retry_in)),
        Event::Draining { open, grace } => format!("draining: {open} open, at most {} more; again to end them now", span(*grace)),
        Event::Drained { aborted: 0 } => "drained".into(),
        Event::Drained { aborted } => return Line::painted("", BAD, format!("drained, {aborted} cut short"), ""),
        Event::Lost { id, datagrams, why } => {
            let whose = id.map_or(String::new(), |id| format!("{id} "));
            format!("{whose}{} not passed on: {why}", counted(*datagrams, "datagram"))
        }
        Event::Capture { file, summary } => capture(file, summary),
        Event::Dropped { events } => format!("({events} lines not shown: they came faster than they were read)"),
        Event::Note { text } => format!("note: {text}"),
        other => return targets::line(other),
    };
    text.into()
}

fn recognised(what: &Recognised) -> String {
    let Recognised { protocol, name, alpn, method, path, version, malformed } = what;
    let mut facts = Vec::new();
    if let (Some(method), Some(path)) = (method, path) {
        facts.push(format!("{method} {path}"));
    }
    facts.extend(version.clone());
    facts.extend(name.as_deref().map(|name| format!("{} {name}", if *protocol == Protocol::Http { "host" } else { "name" })));
    if !alpn.is_empty() {
        facts.push(format!("ALPN {}", alpn.join(",")));
    }
    facts.extend(malformed.as_deref().map(|what| format!("malformed: {what}")));
    match (protocol, facts.is_empty()) {
        (Protocol::Unknown, _) => "looks like no protocol that is known".into(),
        (_, true) => format!("looks like {protocol}"),
        (_, false) => format!("looks like {protocol}: {}", facts.join(", ")),
    }
}

/// So many of something whose plural ends with an s.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What there was, then what was found in it.
fn capture(file: &str, summary: &Summary) -> String {
    let Summary { packets, streams, datagram_flows, hellos, .. } = summary;
    let mut text = format!("{file}: {}, {}", counted(*packets, "packet"), counted(*streams, "TCP connection"));
    if *datagram_flows > 0 {
        let _ = write!(text, ", {} of QUIC or DTLS", counted(*datagram_flows, "UDP flow"));
    }
    let _ = write!(text, ": {}", counted(*hellos, "hello"));
    for (count, what) in [
        (summary.malformed, "malformed or not whole"),
        (summary.not_tls, "not TLS"),
        (summary.without_hello, "TLS without its hello"),
        (summary.given_up, "given up, because there were too many at a time"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    for (link, packets) in &summary.other_links {
        let _ = write!(text, "; {} of {link} not decoded", counted(*packets, "packet"));
    }
    if summary.truncated {
        text += "; it ends within a packet";
    }
    text
}

fn announced(Told { id, version, command, source, destination, .. }: &Told) -> String {
    match (source, destination, command) {
        (Some(source), Some(destination), _) => {
            format!("{id} PROXY {version} header: client {source}, connected to {destination}")
        }
        (.., Command::Local) => format!("{id} PROXY {version} header: LOCAL, the proxy's own connection"),
        _ => format!("{id} PROXY {version} header: client unknown"),
    }
}

/// A phase, in words.
pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Accept => "accept",
        Phase::ProxyHeader => "PROXY header",
        Phase::Hello => "hello",
        Phase::Handshake => "handshake",
        Phase::Queue => "queue",
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
        Phase::Queue => " (--queue-timeout)",
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
    if end.by == By::Rule { end.why.to_string() } else { format!("{} by {}", end.why, who(end.by)) }
}

fn failure(end: &End) -> String {
    // Some causes name their flag themselves.
    let flag = if end.by == By::Timeout && !end.why.ends_with(')') { flag(end.during) } else { "" };
    format!("failed by {} during {}: {}{flag}", who(end.by), phase(end.during), end.why)
}

/// An error that ends the program, and what to do about it where that is known.
pub fn error(error: &anyhow::Error, color: bool) -> String {
    // The library's errors carry their cause in their own text; a context adds only what it says itself.
    let mut text = format!("{} {}", paint(color, BAD, "tapline:"), safe(&chain(error)));
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
