//! The way of a connection from here to a target: pick, dial, relay.

use crate::{
    dial::{DialError, Dialer},
    event::{By, End, Event, Phase, io_words},
    pool::Pool,
    relay::{self, relay},
    server::Conn,
};

/// Where connections go, and how.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The targets; a fixed target is a pool of one.
    pub pool: Pool,
    /// How they are connected to.
    pub dialer: Dialer,
    /// When a relay gives up.
    pub timeouts: relay::Timeouts,
}

impl Forward {
    /// Connects to the first target that takes the connection, and relays. Where none does, the client is reset.
    pub async fn run(&self, mut conn: Conn) -> End {
        conn.progress.enter(Phase::Dial);
        let mut last = None;
        let mut leases = self.pool.pick().peekable();
        while let Some(lease) = leases.next() {
            match self.dialer.dial(&lease.target).await {
                Ok(mut dialed) => {
                    conn.progress.set_target(lease.label.clone());
                    conn.events.emit(Event::Dialed {
                        id: conn.id,
                        target: lease.label.to_string(),
                        addr: dialed.addr,
                        elapsed: dialed.elapsed,
                    });
                    return relay(&mut conn.stream, &mut dialed.stream, &self.timeouts, &conn.progress).await;
                }
                Err(error) => {
                    let next = leases.peek().is_some();
                    conn.events.emit(Event::DialFailed { id: conn.id, target: lease.label.to_string(), why: io_words(&error.error), next });
                    last = Some((lease.label.clone(), error));
                }
            }
        }
        // The stream is dropped with its writing side open: RST, as the target itself would have answered.
        match last {
            Some((label, error)) => dial_end(&label, &error),
            None => End::failed(By::Rule, Phase::Dial, "no target"),
        }
    }
}

/// How a connection ends that no target took.
#[must_use]
pub fn dial_end(label: &str, error: &DialError) -> End {
    let by = match error {
        DialError { timed_out: true, .. } => By::Timeout,
        error if error.is_local() => By::Local,
        _ => By::Target,
    };
    End::failed(by, Phase::Dial, format!("{label}: {}", io_words(&error.error)))
}
