//! Control over HTTP: paths and methods for what [`Control`] does, answers in JSON. `docs/admin.md` is its contract.

use super::{Control, ControlError, Done, Listed, Of};
use crate::{
    addr::{Target, TargetSpec},
    duration::duration,
    page::{Answer, Answering, Asked},
};
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// The API of a command.
pub struct Api {
    /// What it does it by.
    pub control: Control,
    /// The command's name.
    pub command: &'static str,
}

/// What a request may say beside its path.
#[derive(Default)]
struct Query {
    pool: Option<String>,
    deadline: Option<Duration>,
}

/// What is to be added.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    target: String,
    pool: Option<String>,
}

/// What is answered where something was done.
#[derive(Serialize)]
struct Targets {
    targets: Vec<Listed>,
}

impl Answering for Api {
    async fn answer(&self, asked: Asked) -> Answer {
        match self.route(&asked).await {
            Ok(answer) | Err(answer) => answer,
        }
    }
}

impl Api {
    async fn route(&self, asked: &Asked) -> Result<Answer, Answer> {
        let segments: Vec<_> = asked.path.split('/').skip(1).collect();
        let get = [Method::GET, Method::HEAD].contains(&asked.method);
        let allowed = |is: bool, allow| if is { Ok(()) } else { Err(Answer::not_allowed(&asked.method, allow)) };
        match segments[..] {
            [""] => {
                allowed(get, "GET")?;
                query(asked, &[])?;
                Ok(self.about())
            }
            ["targets"] if asked.method == Method::POST => {
                query(asked, &[])?;
                self.add(asked).await
            }
            ["targets"] => {
                allowed(get, "GET, POST")?;
                let query = query(asked, &["pool"])?;
                let control = self.control.clone();
                // Of thousands of targets it takes a while, and this thread accepts clients.
                let list = move || answer(StatusCode::OK, control.list(query.pool.as_deref()));
                tokio::task::spawn_blocking(list).await.map_err(|error| Answer::failed(&error))?
            }
            ["targets", target] => {
                let target = decoded(target)?;
                if asked.method == Method::DELETE {
                    let query = query(asked, &["pool", "deadline"])?;
                    return answer(StatusCode::OK, self.control.remove(query.of(&target), query.deadline, &asked.by));
                }
                allowed(get, "GET, DELETE")?;
                let query = query(asked, &["pool"])?;
                answer(StatusCode::OK, self.control.look(query.of(&target)))
            }
            ["targets", target, "drain"] => {
                allowed(asked.method == Method::POST, "POST")?;
                let (target, query) = (decoded(target)?, query(asked, &["pool", "deadline"])?);
                answer(StatusCode::OK, self.control.drain(query.of(&target), query.deadline, &asked.by))
            }
            ["targets", target, "ready"] => {
                allowed(asked.method == Method::POST, "POST")?;
                let (target, query) = (decoded(target)?, query(asked, &["pool"])?);
                answer(StatusCode::OK, self.control.ready(query.of(&target), &asked.by))
            }
            ["targets", target, "weight"] => {
                allowed(asked.method == Method::PUT, "PUT")?;
                let (target, query) = (decoded(target)?, query(asked, &["pool"])?);
                let weight: u32 = serde_json::from_slice(&asked.body).map_err(|_| bad("the body is not a weight; write a number, as 3"))?;
                answer(StatusCode::OK, self.control.weigh(query.of(&target), weight, &asked.by))
            }
            _ => Err(Answer::not_found(&asked.path)),
        }
    }

    async fn add(&self, asked: &Asked) -> Result<Answer, Answer> {
        let Addition { target, pool } = serde_json::from_slice(&asked.body)
            .map_err(|error| bad(format!("{error}; the body is as {}", json!({ "target": "h5:80,weight=2" }))))?;
        // What a path leads to is for those alone who may use this process's own rights.
        if let Ok(TargetSpec { target: Target::Unix(_), .. }) = target.parse()
            && !asked.over_unix
        {
            return answer(StatusCode::CREATED, Err(ControlError::Forbidden(target)));
        }
        answer(StatusCode::CREATED, self.control.add(&target, pool.as_deref(), &asked.by).await)
    }

    fn about(&self) -> Answer {
        let paths = [
            "GET /targets[?pool=POOL]",
            "POST /targets",
            "GET /targets/TARGET[?pool=POOL]",
            "DELETE /targets/TARGET[?pool=POOL][&deadline=TIME]",
            "POST /targets/TARGET/drain[?pool=POOL][&deadline=TIME]",
            "POST /targets/TARGET/ready[?pool=POOL]",
            "PUT /targets/TARGET/weight[?pool=POOL]",
        ];
        let version = env!("CARGO_PKG_VERSION");
        Answer::json(StatusCode::OK, &json!({ "tapline": version, "command": self.command, "pid": std::process::id(), "paths": paths }))
    }
}

impl Query {
    fn of<'a>(&'a self, target: &'a str) -> Of<'a> {
        Of { target, pool: self.pool.as_deref() }
    }
}

/// Reads the query. What is not `known` is refused: a misspelt deadline must not be one that never comes.
fn query(asked: &Asked, known: &[&str]) -> Result<Query, Answer> {
    let mut query = Query::default();
    for (key, value) in form_urlencoded::parse(asked.query.as_deref().unwrap_or_default().as_bytes()) {
        match &*key {
            "pool" if known.contains(&"pool") => query.pool = Some(value.into_owned()),
            "deadline" if known.contains(&"deadline") => {
                query.deadline = Some(duration(&value).map_err(|why| bad(format!("deadline {value:?}: {why}")))?);
            }
            _ => return Err(bad(format!("{key:?} is not asked for here"))),
        }
    }
    Ok(query)
}

fn decoded(segment: &str) -> Result<String, Answer> {
    let text = percent_decode_str(segment).decode_utf8().map_err(|_| bad(format!("{segment:?} is not UTF-8")))?;
    Ok(text.into_owned())
}

fn bad(why: impl Into<String>) -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, why)
}

/// What was done, or why not.
#[expect(clippy::unnecessary_wraps, reason = "each way through the router ends with it")]
fn answer(status: StatusCode, done: Done) -> Result<Answer, Answer> {
    Ok(match done {
        Ok(targets) => Answer::json(status, &Targets { targets }),
        Err(error) => {
            let status = match &error {
                ControlError::NoTarget(_) | ControlError::NotIn(..) | ControlError::NoPool(_) => StatusCode::NOT_FOUND,
                ControlError::Exists(..) | ControlError::TooMany(_) => StatusCode::CONFLICT,
                ControlError::Forbidden(_) => StatusCode::FORBIDDEN,
                ControlError::Start(..) => StatusCode::INTERNAL_SERVER_ERROR,
                ControlError::WhichPool | ControlError::Target(_) | ControlError::Weight(_) | ControlError::NoCuts => {
                    StatusCode::BAD_REQUEST
                }
            };
            Answer::error(status, error.to_string())
        }
    })
}
