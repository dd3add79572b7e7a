//! The clients of `sni-peek`: the first words of each are shown, and then it is refused or goes on to a target.

use super::{origin::Origin, output::Output, seen::Seen};
use std::time::Duration;
use tapline::{
    event::{By, End, Phase},
    forward::Forward,
    hello::{Alert, Greeting, Malformed},
    peek,
    server::{Conn, Handler},
};

pub struct Shown {
    pub output: Output,
    pub limit: Duration,
    pub next: Next,
}

/// What comes after a hello was shown, ready to be done.
pub enum Next {
    Alert,
    Close,
    Forward(Forward),
}

impl Handler for Shown {
    async fn handle(&self, mut conn: Conn) -> End {
        let (greeting, unfinished) = match peek::greeting(&mut conn.stream, self.limit, Duration::ZERO, &conn.progress).await {
            Ok(greeting) => (greeting, None),
            // A hello that was begun is shown as what it is, and answered.
            Err(unfinished) => match unfinished.hello(conn.stream.head()) {
                Some(malformed) => (Greeting::Malformed(malformed), Some(unfinished.end)),
                None => return unfinished.end,
            },
        };
        if let Greeting::Tls(hello) = &greeting {
            conn.authority.clone_from(&hello.authority);
        }
        let (end, alert) = verdict(&greeting);
        let end = unfinished.unwrap_or(end);
        let seen = Seen::new(Origin::connection(&conn), greeting);
        if self.output.show(&seen).await.is_err() {
            return End::done(By::Shutdown, Phase::Hello);
        }
        match (&self.next, alert) {
            // Whatever it was: what to make of it is for the target to say.
            (Next::Forward(forward), _) => return forward.run(&mut conn).await,
            (Next::Alert, Some(alert)) => peek::refuse(conn.stream, alert).await,
            (Next::Alert | Next::Close, _) => peek::close(conn.stream).await,
        }
        end
    }
}

/// How a connection ends that goes no further, and by which alert, where the client speaks TLS.
pub fn verdict(greeting: &Greeting) -> (End, Option<Alert>) {
    let bad = |malformed: &Malformed| (End::failed(By::Client, Phase::Hello, malformed), Some(Alert::DecodeError));
    match greeting {
        Greeting::Tls(hello) => match hello.faults.first() {
            Some(fault) => bad(fault),
            None => (End { why: "shown".into(), ..End::done(By::Rule, Phase::Hello) }, Some(Alert::HandshakeFailure)),
        },
        Greeting::Malformed(malformed) => bad(malformed),
        Greeting::NotTls(protocol) => (End::failed(By::Client, Phase::Hello, format!("not TLS but {protocol}")), None),
    }
}
