//! From a connection to the way that it takes, or the answer that it gets.

use std::{num::NonZeroU16, sync::Arc, time::Duration};
use tapline::{
    addr::{Host, HostPort, Target, TargetSpec},
    balance::Policy,
    event::{By, ConnId, End, Event, Phase},
    forward::{Forward, Settings},
    hello::{Alert, Name},
    host::Version as HttpVersion,
    opening::{self, Answer, Http2Error, Opening},
    pool::Pool,
    route::{Also, Asked, Destination, Outcome, Routed, Scheme},
    routes::{Entry, Forwards, Kept, Live},
    server::{Conn, Handler},
    starttls::{Ask, Next, Starttls},
};

/// What is decided by for each connection.
pub struct Router {
    pub live: Live<Kept>,
    pub forwards: Arc<Forwards>,
    pub otherwise: Otherwise,
    /// How names are reached that clients choose.
    pub through: Arc<Settings>,
    /// For the whole opening, what comes before TLS included.
    pub limit: Duration,
    pub starttls: Option<Starttls>,
    /// Whether decisions are told: what goes into the telling costs more than deciding.
    pub told: bool,
}

/// The ways for those of whom no rule knows.
pub struct Otherwise {
    pub unknown_name: Option<Way>,
    pub no_name: Option<Way>,
    pub not_tls: Option<Way>,
    pub bad_hello: Option<Way>,
}

/// Where a connection goes.
#[derive(Clone)]
pub enum Way {
    Targets(Arc<Forward>),
    /// To the targets of a rule, whose pool is made for its first client.
    Rule(Arc<Entry<Kept>>),
}

/// What becomes of a connection.
enum Decision {
    Forward(Arc<Forward>, Option<Ask>),
    Refuse(Answer, End),
}

/// A decision by name, and its reasons where they are told.
struct Choice {
    outcome: Outcome,
    way: Option<Way>,
    rule: String,
    how: Option<&'static str>,
    also: Vec<Also>,
}

impl Handler for Router {
    async fn handle(&self, mut conn: Conn) -> End {
        // Boxed, so that its room is given back before the relay begins, which may be long.
        match Box::pin(self.decide(&mut conn)).await {
            Err(end) => end,
            Ok(Decision::Forward(forward, ask)) => forward.run_after(&mut conn, ask).await,
            Ok(Decision::Refuse(answer, end)) => {
                answer.say(conn.stream).await;
                end
            }
        }
    }
}

impl Router {
    async fn decide(&self, conn: &mut Conn) -> Result<Decision, End> {
        let (limit, mut spent, mut ask) = (self.limit, Duration::ZERO, None);
        if let Some(protocol) = self.starttls {
            match opening::before_tls(protocol, &mut conn.stream, limit, &conn.progress).await {
                Ok((next, elapsed)) => (spent, ask) = (elapsed, (next == Next::Hello).then_some(Ask::Tls(protocol))),
                Err((answer, end)) => return Ok(Decision::Refuse(answer, end)),
            }
        }
        let opening = opening::read(&mut conn.stream, limit, spent, self.starttls.is_none(), &conn.progress).await?;
        let choice = self.choose(&opening);
        let decision = match &choice.way {
            Some(Way::Targets(forward)) => Decision::Forward(forward.clone(), ask),
            Some(Way::Rule(entry)) => {
                let forward = match &entry.rule.to {
                    Destination::Targets(targets) => self.forwards.of(entry, targets).await,
                    Destination::Passthrough(port) => through(asked_host(&opening, *port)?, self.through.clone()).await.map(Arc::new),
                };
                Decision::Forward(forward.map_err(|error| End::io(By::Local, Phase::Dial, &error))?, ask)
            }
            None => self.refusal(&opening, &choice),
        };
        if self.told {
            conn.events.emit(Event::Routed(Box::new(routed(conn.id, &opening, choice, &decision))));
        }
        // As it was sent, for those who are told of the client.
        conn.authority = match opening {
            Opening::Tls(hello) => hello.authority,
            Opening::Http(request) => request.authority,
            Opening::NotTls(_) | Opening::Bad(_) => None,
        };
        Ok(decision)
    }

    fn choose(&self, opening: &Opening) -> Choice {
        let other = |outcome, way: &Option<Way>, rule: String| Choice { outcome, way: way.clone(), rule, how: None, also: Vec::new() };
        let Otherwise { unknown_name, no_name, not_tls, bad_hello } = &self.otherwise;
        match opening {
            Opening::NotTls(protocol) => other(Outcome::NotTls, not_tls, format!("not TLS but {protocol}")),
            Opening::Bad(bad) => other(Outcome::BadHello, bad_hello, format!("bad hello: {}", bad.end.why)),
            Opening::Http(request) if request.version == HttpVersion::Two => {
                other(Outcome::NoName, no_name, "no name that can be read: HTTP/2 without TLS".to_owned())
            }
            Opening::Tls(_) | Opening::Http(_) => {
                if name(opening).is_none_or(|name| *name == Name::Absent) {
                    return other(Outcome::NoName, no_name, Outcome::NoName.words().to_owned());
                }
                let Some(asked) = asked(opening) else {
                    return other(Outcome::UnknownName, unknown_name, Outcome::UnknownName.words().to_owned());
                };
                self.live.look(|table| {
                    let also = if self.told { Also::of(table, asked) } else { Vec::new() };
                    let Some(found) = table.find(asked) else {
                        return Choice { also, ..other(Outcome::UnknownName, unknown_name, Outcome::UnknownName.words().to_owned()) };
                    };
                    let rule = if self.told { found.to_string() } else { String::new() };
                    Choice { outcome: Outcome::Matched, way: Some(Way::Rule(found.to().clone())), rule, how: Some(found.how()), also }
                })
            }
        }
    }

    fn refusal(&self, opening: &Opening, choice: &Choice) -> Decision {
        let answer = match opening {
            Opening::Bad(bad) => return Decision::Refuse(bad.answer.clone(), bad.end.clone()),
            Opening::Tls(_) => Answer::Alert(Alert::UnrecognizedName),
            Opening::Http(request) if request.version == HttpVersion::Two => Answer::Http2(Http2Error::Http11Required),
            Opening::Http(_) if choice.outcome == Outcome::NoName => {
                Answer::Http(421, "the request names no host, and there is none for it".into())
            }
            Opening::Http(_) => Answer::Http(421, "there is no such host here".into()),
            Opening::NotTls(_) if self.starttls == Some(Starttls::Postgres) => Answer::Postgres("TLS is required, for the server's name"),
            Opening::NotTls(_) => Answer::Silence,
        };
        let what = name(opening).and_then(Name::text).map_or_else(|| choice.rule.clone(), |name| format!("{} {name}", choice.rule));
        Decision::Refuse(answer, End::failed(By::Rule, Phase::Hello, format!("no route: {what}")))
    }
}

/// What was decided, to be told.
fn routed(id: ConnId, opening: &Opening, choice: Choice, decision: &Decision) -> Routed {
    let hello = if let Opening::Tls(hello) = opening { Some(hello) } else { None };
    let scheme = match opening {
        Opening::Tls(_) => Some(Scheme::Tls),
        Opening::Http(_) => Some(Scheme::Http),
        Opening::NotTls(_) | Opening::Bad(_) => None,
    };
    let literal = if let Opening::Http(request) = opening { request.authority.clone() } else { None };
    let target = match decision {
        Decision::Forward(forward, _) => Some(forward.pool.backends().iter().map(|backend| &*backend.label).collect::<Vec<_>>().join(",")),
        Decision::Refuse(..) => None,
    };
    Routed {
        id,
        outcome: choice.outcome,
        scheme,
        name: name(opening).and_then(Name::text).or(literal),
        alpn: hello.map(|hello| hello.alpn_text()).unwrap_or_default(),
        size: hello.map(|hello| hello.size()),
        records: hello.map(|hello| hello.records()),
        rule: choice.rule,
        how: choice.how,
        also: choice.also,
        target,
    }
}

/// The way to a host that a client has named.
async fn through(to: HostPort, settings: Arc<Settings>) -> std::io::Result<Forward> {
    let pool = Pool::new(&[TargetSpec::from(Target::Tcp(to))], Policy::default()).await?;
    Ok(Forward { pool, settings })
}

fn name(opening: &Opening) -> Option<&Name> {
    match opening {
        Opening::Tls(hello) => Some(&hello.name),
        Opening::Http(request) => Some(&request.name),
        Opening::NotTls(_) | Opening::Bad(_) => None,
    }
}

/// What is looked up, where there is a name that can be.
fn asked(opening: &Opening) -> Option<Asked<'_>> {
    let name = name(opening)?.dns()?;
    Some(match opening {
        Opening::Tls(hello) => Asked { scheme: Scheme::Tls, name, alpn: &hello.alpn },
        _ => Asked { scheme: Scheme::Http, name, alpn: &[] },
    })
}

/// The host that passthrough leads to.
fn asked_host(opening: &Opening, port: NonZeroU16) -> Result<HostPort, End> {
    match asked(opening) {
        Some(asked) => Ok(HostPort { host: Host::Name(asked.name.to_string()), port: port.get() }),
        // Only rules lead there, and only names have rules.
        None => Err(End::failed(By::Rule, Phase::Hello, "no name to pass through to")),
    }
}
