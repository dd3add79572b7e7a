//! What a check does, step by step, as it is written.

use crate::{
    addr::{AddrError, Host},
    text::unescaped,
};
use std::str::FromStr;

/// One step of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `connect`: nothing more than to connect, which each check but `exec:` does first.
    Connect,
    /// `tls`, `tls:NAME`: a handshake, with the target's host or this name as the server name, and the certificate verified for it.
    Tls(Option<Host>),
    /// `send:TEXT`: these bytes; `\r \n \t \0 \e \xHH \\` stand for what they do in a shell's `$'...'`.
    Send(Vec<u8>),
    /// `expect:TEXT`: these bytes come, after whatever others.
    Expect(Vec<u8>),
    /// `http:/PATH`: an answer to GET with a status of 200 to 399.
    Http(String),
    /// `exec:COMMAND`: a command of the shell ends with status 0.
    Exec(String),
}

/// The most bytes that are sent or expected in one step.
const LONGEST: usize = 4096;

impl FromStr for Step {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let wrong = |why: &str| AddrError::new(text, why);
        let (kind, value) = text.split_once(':').map_or((text, None), |(kind, value)| (kind, Some(value)));
        let bytes = |value| match unescaped(value) {
            Err(why) => Err(AddrError::new(text, why)),
            Ok(bytes) if bytes.is_empty() || bytes.len() > LONGEST => Err(wrong("needs a text of 1 to 4096 bytes")),
            Ok(bytes) => Ok(bytes),
        };
        match (kind, value) {
            ("connect", None) => Ok(Self::Connect),
            ("tls", None) => Ok(Self::Tls(None)),
            ("tls", Some("")) => Err(wrong("has no name after the colon; write tls alone for the target's host")),
            ("tls", Some(name)) => Ok(Self::Tls(Some(name.parse().map_or_else(|_| Host::Name(name.to_owned()), Host::Ip)))),
            ("send", Some(value)) => bytes(value).map(Self::Send),
            ("expect", Some(value)) => bytes(value).map(Self::Expect),
            ("http", Some(path)) => Self::http(path),
            ("exec", Some(command)) if !command.trim().is_empty() => Ok(Self::Exec(command.to_owned())),
            _ => Err(wrong("is no check; write connect, tls, tls:NAME, send:TEXT, expect:TEXT, http:/PATH or exec:COMMAND")),
        }
    }
}

impl Step {
    /// `http:` with this path.
    ///
    /// # Errors
    /// It does not begin with a slash, or holds what no request line may.
    pub fn http(path: &str) -> Result<Self, AddrError> {
        let legal = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()) && path.parse::<hyper::Uri>().is_ok();
        if legal { Ok(Self::Http(path.to_owned())) } else { Err(AddrError::new(path, "is no path: one begins with / and has no spaces")) }
    }
}

/// The steps of a check, in an order that makes sense.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe(Vec<Step>);

impl Probe {
    /// A check of these steps; of none, it only connects.
    ///
    /// # Errors
    /// `exec:` is not alone, `tls` is not first, or something comes after `http:`.
    pub fn new(steps: Vec<Step>) -> Result<Self, String> {
        let last = steps.len().saturating_sub(1);
        for (at, step) in steps.iter().enumerate() {
            let before = &steps[..at];
            match step {
                Step::Exec(_) if last > 0 => return Err("a check by exec: has no other step".into()),
                Step::Connect if at > 0 => return Err("connect is the first step of a check".into()),
                Step::Tls(_) if before.iter().any(|step| *step != Step::Connect) => {
                    return Err("tls is the first step of a check after connect".into());
                }
                Step::Http(_) if at < last => return Err("http: is the last step of a check".into()),
                Step::Http(_) if before.iter().any(|step| matches!(step, Step::Send(_) | Step::Expect(_))) => {
                    return Err("a check has http: or send: and expect:, not both".into());
                }
                _ => {}
            }
        }
        Ok(Self(steps.into_iter().filter(|step| *step != Step::Connect).collect()))
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_are_written() {
        for (text, step) in [
            ("connect", Step::Connect),
            ("tls", Step::Tls(None)),
            ("tls:a.test", Step::Tls(Some(Host::Name("a.test".into())))),
            (r"send:PING\r\n", Step::Send(b"PING\r\n".into())),
            ("expect:a:b", Step::Expect(b"a:b".into())),
            ("http:/x?y=1", Step::Http("/x?y=1".into())),
            ("exec:pg_isready -h $TAPLINE_HOST", Step::Exec("pg_isready -h $TAPLINE_HOST".into())),
        ] {
            assert_eq!(text.parse::<Step>(), Ok(step));
        }
        for text in ["", "ping", "connect:", "tls:", "send:", "expect", r"send:\q", "http:x", "http:/a b", "exec:", "exec: "] {
            assert!(text.parse::<Step>().is_err(), "{text}");
        }
    }

    #[test]
    fn steps_are_in_an_order_that_makes_sense() {
        let probe = |texts: &[&str]| Probe::new(texts.iter().map(|text| text.parse().unwrap()).collect());
        for texts in [&[][..], &["connect"], &["connect", "tls", "http:/"], &["tls", "expect:a", "send:b", "expect:c"], &["exec:x"]] {
            assert!(probe(texts).is_ok(), "{texts:?}");
        }
        for texts in [&["exec:x", "connect"][..], &["send:a", "tls"], &["http:/", "tls"], &["http:/", "http:/"], &["send:a", "http:/"]] {
            assert!(probe(texts).is_err(), "{texts:?}");
        }
        assert_eq!(probe(&["connect"]).unwrap(), Probe::default());
    }
}
