//! A TLS handshake, step by step.

use super::{bytes, counted, span};
use tapline::{
    event::{Client, Handshake, group_text},
    hello::names,
    text::text,
    tls::Shown,
};

/// Groups and protocols that are named in a line; of more, the number is told.
const NAMED: usize = 4;

/// What it means to withstand quantum computers, or not to.
const POST_QUANTUM: &str = "safe against recording now and decrypting with a quantum computer later";
const CLASSICAL: &str = "who records it now may decrypt it with a quantum computer later";

/// What the client offered, what was chosen and why, and what it took.
pub(super) fn steps(handshake: &Handshake) -> Vec<String> {
    let mut steps = vec![offer(handshake), choice(handshake)];
    steps.extend(exchange(handshake));
    steps.push(identity(handshake));
    steps.extend(handshake.client.as_ref().map(who));
    steps.push(cost(handshake));
    steps.iter().map(|step| format!("{} TLS: {step}", handshake.id)).collect()
}

fn offer(Handshake { name, offered, .. }: &Handshake) -> String {
    let versions: Vec<_> = offered.versions.iter().map(|version| names::version_text(*version)).collect();
    let versions = versions.join(", ");
    let name = name.as_deref().map_or("no name".into(), |name| format!("name {name}"));
    let alpn = match &offered.alpn[..] {
        [] => String::new(),
        protocols => format!(", ALPN {}", some(protocols.iter().map(|protocol| text(protocol)))),
    };
    let others = offered.groups.iter().filter(|group| !offered.key_shares.contains(group)).count() as u64;
    let groups = match (&offered.key_shares[..], others) {
        ([], 0) => String::new(),
        ([], _) => format!(", {}", counted(others, "group")),
        (shares, 0) => format!(", key shares for {}", some(shares.iter().copied().map(group_text))),
        (shares, _) => {
            format!(", key shares for {} and {} without one", some(shares.iter().copied().map(group_text)), counted(others, "group"))
        }
    };
    format!("the client offers {versions}, {name}{alpn}{groups}")
}

fn choice(Handshake { version, cipher, alpn, offered, .. }: &Handshake) -> String {
    let alpn = match alpn {
        Some(protocol) => format!(", ALPN {protocol}"),
        None if offered.alpn.is_empty() => String::new(),
        None => ", no answer to ALPN".into(),
    };
    format!("the server chooses {version}, {cipher}{alpn}")
}

fn exchange(Handshake { group, post_quantum, retry, offered, .. }: &Handshake) -> Option<String> {
    let group = group.as_deref()?;
    let why = if *post_quantum {
        POST_QUANTUM.into()
    } else if offered.groups.iter().any(|group| names::is_post_quantum(*group)) {
        CLASSICAL.to_owned()
    } else {
        format!("{CLASSICAL}, and the client offers nothing better")
    };
    let retry = if *retry { "; no key share was for it, HelloRetryRequest asked for one, at the cost of a round trip" } else { "" };
    Some(format!("key exchange {group}: {why}{retry}"))
}

fn identity(Handshake { resumed, certificate, .. }: &Handshake) -> String {
    match certificate {
        _ if *resumed => "an earlier session is taken up again, no certificate is shown".into(),
        Some(Shown { from, why }) => format!("the server shows the certificate {from}: {why}"),
        None => "the server shows its certificate".into(),
    }
}

fn who(Client { common_name, names, allowed }: &Client) -> String {
    let all: Vec<&str> = common_name.iter().chain(names).map(String::as_str).collect();
    let who = if all.is_empty() { "no name".to_owned() } else { all.join(", ") };
    let allowed = allowed.as_deref().map_or(String::new(), |name| format!(" (allowed: {name})"));
    format!("the client shows a certificate of {who}{allowed}")
}

fn cost(Handshake { tickets, round_trips, received, sent, elapsed, .. }: &Handshake) -> String {
    let tickets = match tickets {
        0 => "no ticket to take it up again".into(),
        count => counted(u64::from(*count), "ticket") + " to take it up again",
    };
    let round_trips = counted(u64::from(*round_trips), "round trip");
    format!("handshake done in {}, {round_trips}, {} in, {} out, {tickets}", span(*elapsed), bytes(*received), bytes(*sent))
}

/// The first of these, and how many more there are.
fn some(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    let more = items.len().saturating_sub(NAMED);
    let named = items.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}
