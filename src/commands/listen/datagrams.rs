//! `listen --udp`: shows or keeps each datagram, and answers it.

use super::output::Output;
use std::time::Duration;
use tapline::{
    answer::{Answer, Reply},
    datagram::{DatagramHandler, Session},
    event::{By, End, Phase},
};

/// What becomes of datagrams.
pub struct Datagrams {
    pub answer: Answer,
    pub output: Output,
    pub idle: Option<Duration>,
}

impl DatagramHandler for Datagrams {
    async fn handle(&self, session: &mut Session) -> End {
        session.progress.enter(Phase::Relay);
        let client = self.output.client(session.id, &session.peer, &session.peer, &session.events);
        let mut over = std::pin::pin!(session.over(self.idle));
        loop {
            let datagram = tokio::select! {
                datagram = session.receive() => datagram,
                end = &mut over => return end,
            };
            if let Err(end) = client.received(&datagram).await {
                return end;
            }
            let answer = match &self.answer.reply {
                Reply::Echo => &datagram,
                Reply::Once(reply) => reply,
                Reply::Silence => continue,
            };
            match session.reply(answer).await {
                Ok(true) => client.sent(answer).await,
                Ok(false) => {}
                Err(error) => return End::io(By::Local, Phase::Relay, &error),
            }
        }
    }
}
