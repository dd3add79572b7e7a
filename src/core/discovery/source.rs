//! What is written where a target is expected: the target itself, or where targets come from.

use crate::{
    addr::{self, AddrError, Target, TargetSpec},
    redis::Server,
};
use hickory_resolver::proto::rr::Name;
use std::{fmt, path::PathBuf, str::FromStr};

/// The key of redis where none is given.
const KEY: &str = "targets";
/// The longest key.
const LONGEST_KEY: usize = 512;

/// A target, or where targets come from while clients are served.
#[derive(Clone, Debug)]
pub enum TargetSource {
    /// A target itself; a name in it is resolved for each connection.
    Fixed(Target),
    /// `dns:NAME:PORT`: each IPv4 and IPv6 address of the name is a target.
    Dns(DnsName, u16),
    /// `srv:_SERVICE._tcp.NAME`: hosts, ports, weights and priorities (RFC 2782).
    Srv(DnsName),
    /// `@FILE`: one target a line.
    File(PathBuf),
    /// `redis://HOST?key=KEY`: a set, list or hash of targets.
    Redis(Server, String),
    /// `-`: lines on stdin that add and remove targets.
    Input,
}

/// A name for the resolver. One that ends with a dot is complete; to others the search list of the system applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsName(pub(super) Name);

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TargetSource {
    /// Whether all that can ever come from it is there from the start.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }
}

impl TargetSpec<TargetSource> {
    /// The target, where it is one by itself.
    #[must_use]
    pub fn fixed(&self) -> Option<TargetSpec> {
        match &self.target {
            TargetSource::Fixed(target) => Some(self.with(target.clone())),
            _ => None,
        }
    }
}

impl FromStr for TargetSpec<TargetSource> {
    type Err = AddrError;

    /// Reads a target or a source with its options after commas. A password that is in the text is in no error.
    fn from_str(text: &str) -> Result<Self, AddrError> {
        let is_redis = |scheme: &str| scheme.trim().to_ascii_lowercase().starts_with("redis");
        let source = if let Some(rest) = text.strip_prefix('@') {
            let (path, options) = options(rest, 0);
            if path.is_empty() {
                return Err(AddrError::new(text, "names no file; write @FILE"));
            }
            (TargetSource::File(path.into()), options)
        } else if text == "-" || text.starts_with("-,") {
            let (rest, options) = options(text, 0);
            if rest != "-" {
                return Err(AddrError::new(text, "is not -; after it come weight=N, max=N and backup"));
            }
            (TargetSource::Input, options)
        } else if let Some(rest) = text.strip_prefix("dns:") {
            let (rest, options) = options(rest, 0);
            (dns(text, rest)?, options)
        } else if let Some(rest) = text.strip_prefix("srv:") {
            let (rest, options) = options(rest, 0);
            if options.iter().any(|option| option.starts_with("weight=")) {
                return Err(AddrError::new(text, "sets a weight; the records of the service have their own"));
            }
            (TargetSource::Srv(name(text, rest)?), options)
        } else if text.split_once("://").is_some_and(|(scheme, _)| ["redis", "rediss", "redis+unix"].contains(&scheme)) {
            // What is before the last @ is a user and a password, in which there may be commas.
            let (url, options) = options(text, text.rfind('@').unwrap_or(0));
            (redis(url)?, options)
        } else if text.split_once(':').is_some_and(|(scheme, _)| is_redis(scheme)) && text.contains(['/', '@']) {
            // Mistyped, it is no host whose name, with a password in it, an error may repeat.
            let before = text.split(':').next().unwrap_or_default();
            return Err(AddrError::new(
                before,
                "is no redis server as it is written; write redis://HOST, rediss://HOST or redis+unix:///PATH",
            ));
        } else {
            let spec: TargetSpec = text.parse()?;
            return Ok(spec.with(TargetSource::Fixed(spec.target.clone())));
        };
        let (source, options) = source;
        let mut spec = Self::from(source);
        for part in options.into_iter().rev() {
            let (key, value) = addr::option(part).unwrap_or_default();
            spec.set(part, key, value)?;
        }
        Ok(spec)
    }
}

/// A text without the options at its end, and these, the last one first. None begins before `from`.
fn options(text: &str, from: usize) -> (&str, Vec<&str>) {
    let (mut rest, mut options) = (text, Vec::new());
    while let Some((before, part)) = rest.rsplit_once(',')
        && before.len() >= from
        && addr::option(part).is_some()
    {
        options.push(part);
        rest = before;
    }
    (rest, options)
}

fn dns(text: &str, rest: &str) -> Result<TargetSource, AddrError> {
    let target = rest.parse().map_err(|_| AddrError::new(text, "is no name and port; write dns:NAME:PORT"))?;
    match target {
        Target::Tcp(addr::HostPort { host: addr::Host::Name(host), port }) => Ok(TargetSource::Dns(name(text, &host)?, port)),
        Target::Tcp(to) => Err(AddrError::new(text, format!("has no name to resolve; {to} is a target by itself"))),
        _ => Err(AddrError::new(text, "is no name and port; write dns:NAME:PORT")),
    }
}

fn name(text: &str, name: &str) -> Result<DnsName, AddrError> {
    let none = |why: &dyn fmt::Display| AddrError::new(text, format!("has no DNS name in {name:?}: {why}"));
    if name.is_empty() || name == "." {
        return Err(none(&"it is empty"));
    }
    Name::from_utf8(name).map(DnsName).map_err(|error| none(&error))
}

/// `?key=` is this program's own; anything else is judged as a server.
fn redis(url: &str) -> Result<TargetSource, AddrError> {
    let (before, query) = url.split_once('?').unwrap_or((url, ""));
    let (keys, others): (Vec<_>, Vec<_>) = query.split('&').filter(|part| !part.is_empty()).partition(|part| part.starts_with("key="));
    let server = if others.is_empty() { before.parse()? } else { format!("{before}?{}", others.join("&")).parse()? };
    let key = match keys[..] {
        [] => KEY,
        [key] => &key["key=".len()..],
        _ => return Err(AddrError::new(&key_less(before), "has several keys")),
    };
    let sound = (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic() && !b"%#,".contains(&b));
    if !sound {
        let why = "has a key that is none; it is 1 to 512 printable characters without % # and comma";
        return Err(AddrError::new(&key_less(before), why));
    }
    Ok(TargetSource::Redis(server, key.to_owned()))
}

/// The scheme alone: a password may be anywhere else.
fn key_less(url: &str) -> String {
    url.split("//").next().unwrap_or_default().to_owned()
}

impl fmt::Display for TargetSource {
    /// As it was written, without a user and a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(target) => target.fmt(f),
            Self::Dns(name, port) => write!(f, "dns:{name}:{port}"),
            Self::Srv(name) => write!(f, "srv:{name}"),
            Self::File(path) => write!(f, "@{}", path.display()),
            Self::Redis(server, key) => {
                let server = server.to_string();
                let joint = if server.contains('?') { '&' } else { '?' };
                write!(f, "{server}{joint}key={key}")
            }
            Self::Input => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> TargetSpec<TargetSource> {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_source_is_shown_as_it_was_written_but_for_its_password_and_its_options() {
        for (text, shown) in [
            ("h1:80,weight=3", "h1:80"),
            ("8080", "127.0.0.1:8080"),
            ("dns:web.svc:80", "dns:web.svc:80"),
            ("dns:web.:80,max=9", "dns:web.:80"),
            ("srv:_http._tcp.a.test", "srv:_http._tcp.a.test"),
            ("@a,b/x=c,weight=2,backup", "@a,b/x=c"),
            ("-", "-"),
            ("-,weight=2", "-"),
            ("redis://u:p,weight=7@h,weight=2", "redis://h:6379/0?key=targets"),
            ("redis://h/3?key=web:{a}", "redis://h:6379/3?key=web:{a}"),
            ("redis+unix:///run/x,y.sock?db=2&key=web", "redis+unix:///run/x,y.sock?db=2&key=web"),
            ("rediss://:secret@h?key=k", "rediss://h:6379/0?key=k"),
        ] {
            let spec = parsed(text);
            assert_eq!(spec.target.to_string(), shown);
            assert!(!format!("{spec:?}").contains("secret"), "{spec:?}");
        }
    }

    #[test]
    fn options_are_for_all_that_comes_from_a_source() {
        let spec = parsed("dns:web:80,weight=2,max=100,backup");
        assert_eq!((spec.weight.get(), spec.most.map(std::num::NonZero::get), spec.backup), (2, Some(100), true));
        assert_eq!(TargetSpec::one_like("h:1,weight=5", &spec).unwrap().to_string_for_test(), "h:1 5 100 true");
        assert_eq!(parsed("redis://:a,weight=9@h,weight=3").weight.get(), 3);
        assert_eq!(parsed("h1:80,weight=3").fixed().unwrap().weight.get(), 3);
        assert!(spec.fixed().is_none());
    }

    impl TargetSpec {
        fn to_string_for_test(&self) -> String {
            format!("{} {} {} {}", self.target, self.weight, self.most.map_or(0, std::num::NonZero::get), self.backup)
        }
    }

    #[test]
    fn what_is_no_source_is_refused_and_never_tells_a_password() {
        for (text, why) in [
            ("@", "names no file"),
            ("dns:web", "write dns:NAME:PORT"),
            ("dns:127.0.0.1:80", "is a target by itself"),
            ("dns:unix:/x", "write dns:NAME:PORT"),
            ("dns:a..b:80", "has no DNS name"),
            ("dns:web:0", "write dns:NAME:PORT"),
            ("srv:", "it is empty"),
            ("srv:_x._tcp.a.test,weight=2", "have their own"),
            ("dns:web:80,weight=0", "is not a weight"),
            ("@f,colour=red", "sets \"colour\""),
            ("-,h1:80", "is not -; after it come"),
            ("-,", "is not -; after it come"),
            ("http://u:secret@h", "is not a target"),
            ("http://u:p,weight=secret@h", "is not a target"),
            ("redis://u:secret@", "is not a redis server"),
            ("redis://u:secret@h?key=", "has a key that is none"),
            ("redis://u:secret@h?key=a&key=b", "has several keys"),
            ("redis://u:secret@h?protocol=3", "is not a redis server"),
            (" redis://u:secret@h", "is no redis server as it is written"),
            ("Redis:u:secret@h", "is no redis server as it is written"),
            ("h1:80,h2:80", "holds several targets"),
            ("etcd://h", "is not a target"),
        ] {
            let error = text.parse::<TargetSpec<TargetSource>>().unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_source_or_an_error_and_what_is_shown_is_read_as_the_same(text in "(@|dns:|srv:|-|redis://|)[a-z0-9:,=/?&@._#-]{0,24}(,weight=[0-9]{1,4})?(,backup)?") {
            if let Ok(spec) = text.parse::<TargetSpec<TargetSource>>() {
                let shown = spec.target.to_string();
                let again: TargetSpec<TargetSource> = shown.parse().map_err(|error| proptest::test_runner::TestCaseError::fail(format!("{text}: {error}")))?;
                proptest::prop_assert_eq!(again.target.to_string(), shown);
            }
        }
    }
}
