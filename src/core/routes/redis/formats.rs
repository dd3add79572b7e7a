//! The two ways in which routers have kept their rules in redis.
//!
//! The SNI router of 2013: a set `hostnames:NAME:backends` with a member `HOST[:PORT]` for each backend. Without a port it is
//! 443 for TLS and 80 for HTTP, as that router had it; its NAMEs `httpsDefault` and `httpDefault` are for names that are not
//! found.
//!
//! hipache: a list `frontend:NAME`, first an identifier of any kind, then a URL `http://HOST:PORT` for each backend;
//! `*.NAME` stands for names with any number of labels more, `*` for all. A set `dead:NAME` holds the indexes, from 0, of
//! the URLs that are not to be used for now; its expiry brings them back.
//!
//! A name in both has the backends of the set.

use crate::{
    addr::{Target, TargetSpec},
    route::{Destination, Matcher, Rule, Scheme},
    text,
};
use std::collections::BTreeSet;

/// Targets that one name may have.
pub(super) const MOST_TARGETS: usize = 256;

/// What all keys that matter begin with.
pub(super) const PREFIXES: [&str; 3] = ["hostnames:", "frontend:", "dead:"];

/// The kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// The set of backends of the router of 2013.
    Hostnames,
    /// The list of hipache.
    Frontend,
    /// hipache's set of indexes that are out of use.
    Dead,
}

/// What redis has of a name; the error of a key is that of the name.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) backends: Result<Vec<Vec<u8>>, String>,
    pub(super) frontend: Result<Vec<Vec<u8>>, String>,
    pub(super) dead: Result<Vec<Vec<u8>>, String>,
}

impl Family {
    fn affixes(self) -> (&'static str, &'static str) {
        match self {
            Self::Hostnames => (PREFIXES[0], ":backends"),
            Self::Frontend => (PREFIXES[1], ""),
            Self::Dead => (PREFIXES[2], ""),
        }
    }
}

/// The key of a name.
pub(super) fn key_of(family: Family, name: &[u8]) -> Vec<u8> {
    let (before, after) = family.affixes();
    [before.as_bytes(), name, after.as_bytes()].concat()
}

/// The name of a key, where it is one of these.
pub(super) fn name_of(key: &[u8]) -> Option<(Family, &[u8])> {
    [Family::Hostnames, Family::Frontend, Family::Dead].into_iter().find_map(|family| {
        let (before, after) = family.affixes();
        Some((family, key.strip_prefix(before.as_bytes())?.strip_suffix(after.as_bytes())?))
    })
}

/// Every matcher that the rules of a name may have.
pub(super) fn matchers(name: &[u8]) -> Vec<Matcher> {
    let Ok(name) = std::str::from_utf8(name) else { return Vec::new() };
    let texts = match name {
        "httpsDefault" => vec!["tls://**".to_owned()],
        "httpDefault" => vec!["http://**".to_owned()],
        // Both schemes of this one are those of the names above.
        "*" => vec!["**".to_owned()],
        _ => {
            let Some(pattern) = pattern(name) else { return Vec::new() };
            vec![pattern.clone(), format!("tls://{pattern}"), format!("http://{pattern}")]
        }
    };
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// A name as a rule has it, where it is one: in the one form in which it is compared, so that it has one key.
fn pattern(name: &str) -> Option<String> {
    let pattern = match name.strip_prefix("*.") {
        Some(parent) => format!("**.{parent}"),
        None => name.to_owned(),
    };
    let matcher: Matcher = pattern.parse().ok()?;
    let plain = !name.starts_with(['.', '*']) || name.starts_with("*.");
    (plain && matcher.to_string() == pattern && matcher.scheme.is_none() && matcher.alpn.is_none()).then_some(pattern)
}

/// The rules of a name. What is wrong is skipped and told: a tenant's mistake is that tenant's alone.
pub(super) fn rules(name: &[u8], named: &Named, mut skip: impl FnMut(&str)) -> Vec<Rule> {
    let (family, members) = match (&named.backends, &named.frontend) {
        (Ok(backends), Ok(frontend)) if backends.is_empty() && frontend.is_empty() => return Vec::new(),
        (Ok(backends), frontend) if backends.is_empty() => (Family::Frontend, frontend),
        (backends, _) => (Family::Hostnames, backends),
    };
    let mut wrong = |why: &str| skip(&format!("{}: {why}", text::text(&key_of(family, name))));
    let members = match members {
        Ok(members) if members.len() > MOST_TARGETS + usize::from(family == Family::Frontend) => {
            wrong(&format!("has more than {MOST_TARGETS} targets"));
            return Vec::new();
        }
        Ok(members) => members,
        Err(why) => {
            wrong(why);
            return Vec::new();
        }
    };
    if matchers(name).is_empty() {
        wrong("names no host in lower case");
        return Vec::new();
    }
    let shown = text::text(name);
    if family == Family::Frontend {
        let dead = match &named.dead {
            Ok(dead) => dead.as_slice(),
            Err(why) => {
                wrong(&format!("dead:{shown} {why}"));
                &[]
            }
        };
        return frontend(&shown, members, dead, wrong);
    }
    backends(&shown, members, wrong)
}

/// The rules of a set of the router of 2013: one for both schemes, or one for each where a member leaves the port to it.
fn backends(name: &str, members: &[Vec<u8>], mut wrong: impl FnMut(&str)) -> Vec<Rule> {
    let mut with_port = BTreeSet::new();
    let mut without = BTreeSet::new();
    // In one order, as a set has none: the same members are the same rule.
    for member in members {
        match target(member) {
            Some(to) => with_port.insert(to),
            None => match host(member) {
                Some(host) => without.insert(host),
                None => {
                    wrong(&format!("{:?} is not HOST:PORT", without_secret(member)));
                    continue;
                }
            },
        };
    }
    let for_scheme = |scheme: Scheme, port: u16| {
        let to: BTreeSet<_> = with_port.iter().cloned().chain(without.iter().map(|host| format!("{host}:{port}"))).collect();
        rule(&format!("{}://{}", scheme.as_str(), if name.ends_with("Default") { "**" } else { name }), to)
    };
    let rules = match name {
        "httpsDefault" => vec![for_scheme(Scheme::Tls, 443)],
        "httpDefault" => vec![for_scheme(Scheme::Http, 80)],
        _ if name == "*" || name.starts_with("*.") => {
            wrong("names no host in lower case");
            Vec::new()
        }
        _ if without.is_empty() => vec![rule(name, with_port)],
        _ => vec![for_scheme(Scheme::Tls, 443), for_scheme(Scheme::Http, 80)],
    };
    rules.into_iter().flatten().collect()
}

/// The rule of a list of hipache.
fn frontend(name: &str, list: &[Vec<u8>], dead: &[Vec<u8>], mut wrong: impl FnMut(&str)) -> Vec<Rule> {
    let is_dead = |index: usize| dead.iter().any(|member| *member == index.to_string().into_bytes());
    let (mut alive, mut all) = (Vec::new(), Vec::new());
    // The first is an identifier.
    for (index, url) in list.iter().skip(1).enumerate() {
        match url_target(url) {
            Some(to) => {
                if !is_dead(index) {
                    alive.push(to.clone());
                }
                all.push(to);
            }
            None => wrong(&format!("{:?} is not http://HOST:PORT", without_secret(url))),
        }
    }
    // All of them dead is as good as none: they are tried all the same, as marks can be wrong.
    let to = if alive.is_empty() { all } else { alive };
    let matcher = match name {
        "*" => Some("**".to_owned()),
        _ => pattern(name),
    };
    let Some(matcher) = matcher else {
        wrong("names no host in lower case");
        return Vec::new();
    };
    rule(&matcher, to).into_iter().collect()
}

/// A rule; none without a target.
fn rule(matcher: &str, to: impl IntoIterator<Item = String>) -> Option<Rule> {
    let to: Vec<_> = to.into_iter().collect();
    // Targets alone: `passthrough:443` would be a host of that name.
    let to = TargetSpec::list(&to.join(",")).ok()?;
    Some(Rule { matcher: matcher.parse().ok()?, to: Destination::Targets(to) })
}

/// `HOST:PORT`, and nothing else that a target of a rule can be: who writes to redis does not choose among this machine's
/// sockets and files.
fn target(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let (host, port) = text.rsplit_once(':')?;
    let sound = !host.is_empty() && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    // A comma or `=` would be more than one target.
    let sound = sound && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:[]".contains(&b));
    match text.parse() {
        Ok(Target::Tcp(to)) if sound => Some(to.to_string()),
        _ => None,
    }
}

/// `HOST` alone, an address or a name.
fn host(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let bracketed = if text.contains(':') { format!("[{text}]") } else { text.to_owned() };
    // A number alone is more likely a port than a host.
    let number = text.bytes().all(|b| b.is_ascii_digit());
    target(format!("{bracketed}:443").as_bytes()).filter(|_| !number).map(|_| bracketed)
}

/// The host and port of a URL, of which nothing else matters to who passes bytes on.
fn url_target(url: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(url).ok()?;
    let (rest, port) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => (rest, 80),
        (_, Some(rest)) => (rest, 443),
        _ => return None,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let has_port = rest.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    target(if has_port { rest.to_owned() } else { format!("{rest}:{port}") }.as_bytes())
}

/// A text that is no target, to be shown: what is before an `@` may be a user and a password.
fn without_secret(text: &[u8]) -> String {
    let text = text::text(text);
    text.rsplit_once('@').map(|(_, rest)| format!("...@{rest}")).unwrap_or(text)
}

#[cfg(test)]
mod tests;
