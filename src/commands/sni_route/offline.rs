//! `--test`: which rule a client would get, without a client.

use super::Routing;
use crate::{
    report::{Reporter, Show, safe},
    serve::exit,
};
use serde::Serialize;
use std::{fmt, process::ExitCode, str::FromStr};
use tapline::{
    addr::AddrError,
    name::ServerName,
    route::{Alpn, Also, Asked, Destination, Found, Leads, Outcome, Scheme, Table, write_why},
    routes::{Kept, Live},
    text::text,
};

/// What a client would ask for: `[SCHEME://]NAME[/ALPN[,ALPN...]]`.
#[derive(Clone, Debug)]
pub struct Question {
    scheme: Scheme,
    name: ServerName,
    alpn: Vec<Vec<u8>>,
}

impl FromStr for Question {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let (scheme, rest) = match (text.strip_prefix("http://"), text.strip_prefix("tls://")) {
            (Some(rest), _) => (Scheme::Http, rest),
            (None, rest) => (Scheme::Tls, rest.unwrap_or(text)),
        };
        let (name, alpn) = rest.split_once('/').map_or((rest, None), |(name, alpn)| (name, Some(alpn)));
        if scheme == Scheme::Http && alpn.is_some() {
            return Err(AddrError::new(text, "is more than a name; write http://NAME"));
        }
        let alpn = alpn.into_iter().flat_map(|alpn| alpn.split(',')).map(str::parse::<Alpn>);
        let alpn = alpn.map(|alpn| alpn.map(|alpn| alpn.as_str().as_bytes().to_vec())).collect::<Result<_, _>>()?;
        Ok(Self { scheme, name: name.parse()?, alpn })
    }
}

/// What a client would get, as a result.
#[derive(Serialize)]
#[serde(tag = "event", rename = "route")]
struct Route {
    outcome: Outcome,
    scheme: Scheme,
    name: String,
    alpn: Vec<String>,
    rule: Option<String>,
    how: Option<&'static str>,
    also: Vec<Also>,
    target: Option<String>,
}

/// Answers all questions on stdout.
pub async fn answer(routing: &Routing, live: &Live<Kept>, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let mut all_have_one = true;
    for question in &routing.test {
        let route = live.look(|table| route(question, routing, table));
        all_have_one &= route.target.is_some();
        if reporter.result(&route).await.is_err() {
            break;
        }
    }
    Ok(ExitCode::from(if all_have_one { 0 } else { exit::NO }))
}

fn route(question: &Question, routing: &Routing, table: &Table<impl Leads>) -> Route {
    let Question { scheme, name, alpn } = question;
    let asked = Asked { scheme: *scheme, name, alpn };
    let found = table.find(asked);
    let target = match found.map(|found| found.to().destination()) {
        Some(Destination::Passthrough(port)) => Some(format!("{name}:{port}")),
        Some(targets @ Destination::Targets(_)) => Some(targets.to_string()),
        None => routing.unknown_name.as_ref().map(|spec| spec.target.to_string()),
    };
    Route {
        outcome: if found.is_some() { Outcome::Matched } else { Outcome::UnknownName },
        scheme: *scheme,
        name: name.to_string(),
        alpn: alpn.iter().map(|protocol| text(protocol)).collect(),
        rule: found.map(|found| found.to_string()),
        how: found.as_ref().map(Found::how),
        also: Also::of(table, asked),
        target,
    }
}

impl Show for Route {
    fn line(&self) -> String {
        safe(&self.to_string())
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme == Scheme::Http {
            f.write_str("http://")?;
        }
        f.write_str(&self.name)?;
        if !self.alpn.is_empty() {
            write!(f, "/{}", self.alpn.join(","))?;
        }
        match &self.rule {
            Some(rule) => write!(f, " -> rule {rule}")?,
            None => write!(f, " -> {}", self.outcome.words())?,
        }
        write_why(f, self.how, &self.also)?;
        write!(f, " -> {}", self.target.as_deref().unwrap_or("refused"))
    }
}
