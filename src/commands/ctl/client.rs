//! Asking over HTTP.

use crate::report::Refused;
use anyhow::{Context, anyhow};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use tapline::{addr::Target, control::Listed, event::cause_words};

/// For one answer. The other side gives a request 10 s.
const LIMIT: Duration = Duration::from_secs(15);
/// The largest answer, in bytes: some 100,000 targets.
const MOST: usize = 64 << 20;

/// Who asks one command.
pub(super) struct Client {
    admin: Target,
    http: reqwest::Client,
    base: String,
}

/// What comes back.
#[derive(Deserialize)]
struct Answer {
    targets: Vec<Listed>,
}

#[derive(Deserialize)]
struct Error {
    error: String,
}

type Done = anyhow::Result<Vec<Listed>>;

impl Client {
    pub(super) fn new(admin: &Target) -> anyhow::Result<Self> {
        let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(LIMIT);
        let (builder, base) = match admin {
            #[cfg(unix)]
            Target::Unix(path) => (builder.unix_socket(path.clone()), "http://localhost".to_owned()),
            other => (builder, format!("http://{other}")),
        };
        Ok(Self { admin: admin.clone(), http: builder.build()?, base })
    }

    pub(super) async fn list(&self, pool: Option<&str>) -> Done {
        self.ask(self.request(Method::GET, "/targets", pool, None)).await
    }

    pub(super) async fn drain(&self, target: &str, pool: Option<&str>, deadline: Option<Duration>) -> Done {
        self.ask(self.request(Method::POST, &format!("{}/drain", path(target)), pool, deadline)).await
    }

    pub(super) async fn ready(&self, target: &str, pool: Option<&str>) -> Done {
        self.ask(self.request(Method::POST, &format!("{}/ready", path(target)), pool, None)).await
    }

    pub(super) async fn weigh(&self, target: &str, pool: Option<&str>, weight: u32) -> Done {
        self.ask(self.request(Method::PUT, &format!("{}/weight", path(target)), pool, None).body(weight.to_string())).await
    }

    pub(super) async fn add(&self, target: &str, pool: Option<&str>) -> Done {
        let body = match pool {
            Some(pool) => json!({ "target": target, "pool": pool }),
            None => json!({ "target": target }),
        };
        self.ask(self.request(Method::POST, "/targets", None, None).body(body.to_string())).await
    }

    pub(super) async fn remove(&self, target: &str, pool: Option<&str>, deadline: Option<Duration>) -> Done {
        self.ask(self.request(Method::DELETE, &path(target), pool, deadline)).await
    }

    fn request(&self, method: Method, path: &str, pool: Option<&str>, deadline: Option<Duration>) -> RequestBuilder {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pool.map(|pool| ("pool", pool)));
        query.extend_pairs(deadline.map(|deadline| ("deadline", humantime::format_duration(deadline).to_string())));
        let query = query.finish();
        let asked = if query.is_empty() { query } else { format!("?{query}") };
        self.http.request(method, format!("{}{path}{asked}", self.base))
    }

    async fn ask(&self, request: RequestBuilder) -> Done {
        let failed = |error: reqwest::Error| anyhow!("cannot ask {}: {}", self.admin, cause_words(&error));
        let mut answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > MOST {
                return Err(anyhow!("the answer of {} is longer than {} MiB", self.admin, MOST >> 20));
            }
            body.extend_from_slice(&piece);
        }
        if status.is_success() {
            let answer: Answer =
                serde_json::from_slice(&body).with_context(|| format!("{} is not the --admin of a tapline", self.admin))?;
            return Ok(answer.targets);
        }
        let why = serde_json::from_slice(&body).map_or_else(|_| format!("{} answered {status}", self.admin), |Error { error }| error);
        // What was asked wrongly is told like any other answer that is no: the words are the other side's.
        if status == StatusCode::INTERNAL_SERVER_ERROR { Err(anyhow!(why)) } else { Err(Refused(why).into()) }
    }
}

fn path(target: &str) -> String {
    format!("/targets/{}", utf8_percent_encode(target, NON_ALPHANUMERIC))
}
