//! `sni-peek --udp`: the hellos of QUIC and DTLS, and how their clients are refused.

use super::{listener::verdict, origin::Origin, output::Output, seen::Seen, then::Then};
use crate::{args, args::UsageError, serve};
use std::{pin::pin, process::ExitCode, time::Duration};
use tapline::{
    addr::ListenAddr,
    datagram::{DatagramHandler, DatagramServer, Session},
    event::{By, End, Phase},
    hello::{self, Alert, Greeting},
};
use tokio::time::{Instant, sleep};

/// How long a client is still heard that was refused: what it sends again belongs to the same hello. A client of QUIC sends
/// again after a second at first (RFC 9002 section 6.2.2).
const FAREWELL: Duration = Duration::from_millis(1200);

/// Serves until it is to end.
pub async fn run(
    listen: &ListenAddr,
    then: &Then,
    hello: &args::Hello,
    output: Output,
    serve: args::Serve,
    session: &serve::Session,
) -> anyhow::Result<ExitCode> {
    if let ListenAddr::Unix(_) = listen {
        return Err(UsageError(format!("--udp listens on HOST:PORT, not on {listen}")).into());
    }
    let refuses = match then {
        Then::Alert => true,
        Then::Close => false,
        Then::Forward(_) => return Err(UsageError("--udp shows hellos and goes on nowhere: --then takes alert or close".into()).into()),
    };
    let server = session.preparing(DatagramServer::bind(listen)).await??;
    serve.run_datagrams(server, Datagrams { output, limit: hello.hello_timeout, refuses }, session, |_| {}).await
}

struct Datagrams {
    output: Output,
    limit: Duration,
    refuses: bool,
}

impl DatagramHandler for Datagrams {
    async fn handle(&self, session: &mut Session) -> End {
        session.progress.enter(Phase::Hello);
        let mut flow = hello::Datagrams::default();
        let mut end: Option<(End, Option<Alert>)> = None;
        let mut silence = pin!(sleep(self.limit));
        let (shutdown, mut ending) = (session.shutdown.clone(), false);
        loop {
            let datagram = tokio::select! {
                datagram = session.receive() => datagram,
                () = &mut silence => break,
                // Who has been shown has only his last words left.
                () = shutdown.draining(), if end.is_some() && !ending => {
                    ending = true;
                    let soon = Instant::now() + FAREWELL;
                    if soon < silence.deadline() {
                        silence.as_mut().reset(soon);
                    }
                    continue;
                }
            };
            for greeting in flow.take(&datagram) {
                end = Some(verdict(&greeting));
                if let Err(end) = self.show(session, &flow, greeting).await {
                    return end;
                }
            }
            let Some((_, alert)) = &end else { continue };
            // Again for what is sent again, since a datagram may be lost (RFC 9000 section 10.2.1).
            let refusal = flow.refusal(alert.unwrap_or(Alert::HandshakeFailure)).filter(|_| self.refuses);
            if let Some(refusal) = &refusal
                && let Err(error) = session.reply(refusal).await
            {
                return End::io(By::Local, Phase::Hello, &error);
            }
            // Who was not refused goes on for longer.
            silence.as_mut().reset(Instant::now() + if refusal.is_some() || ending { FAREWELL } else { self.limit });
        }
        if let Some((end, _)) = end {
            return end;
        }
        let Some(malformed) = flow.unfinished() else {
            return End::failed(By::Timeout, Phase::Hello, format!("no hello in {:?}", self.limit));
        };
        // What came of it is shown, and its client is told.
        let end = End::failed(By::Timeout, Phase::Hello, format!("{malformed} in {:?}", self.limit));
        if let Err(end) = self.show(session, &flow, Greeting::Malformed(malformed)).await {
            return end;
        }
        match flow.refusal(Alert::DecodeError).filter(|_| self.refuses) {
            Some(refusal) => session.reply(&refusal).await.err().map_or(end, |error| End::io(By::Local, Phase::Hello, &error)),
            None => end,
        }
    }
}

impl Datagrams {
    /// Shows what a client has sent. Where nobody can see it, all ends.
    async fn show(&self, session: &Session, flow: &hello::Datagrams, greeting: Greeting) -> Result<(), End> {
        let seen = Seen::new(Origin { packets: Some(flow.came_in(&greeting)), ..Origin::session(session) }, greeting);
        self.output.show(&seen).await.map_err(|_| End::done(By::Shutdown, Phase::Hello))
    }
}
