//! One port: a connection is tried, and what came back is a verdict.

use crate::event::{io_words, is_shortage};
use serde::Serialize;
use std::{
    fmt, io,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpSocket,
    time::{sleep, timeout},
};

/// What is known of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It took a connection.
    Open,
    /// It refused one.
    Closed,
    /// Nothing came back, or word that packets do not get through.
    Filtered,
    /// It could not be asked, for a reason on this machine. Never told as closed.
    Error,
}

/// The verdict on one port.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Address and port.
    pub addr: SocketAddr,
    /// What it is.
    pub state: State,
    /// What that rests on, in a few words.
    pub reason: String,
    /// From the last question to its answer.
    pub elapsed: Duration,
}

/// The pause where a probe finds no descriptor, memory or local port left.
const SHORTAGE: Duration = Duration::from_millis(20);
/// How often such a pause is made before the probe is given up as an error.
const PATIENCE: u32 = 500;

pub(super) async fn probe(addr: SocketAddr, limit: Duration, retries: u32) -> Verdict {
    let (mut unanswered, mut short) = (0, 0);
    loop {
        let started = Instant::now();
        let (state, reason) = match timeout(limit, connect(addr)).await {
            Err(_) if unanswered < retries => {
                unanswered += 1;
                continue;
            }
            Err(_) => (State::Filtered, "no answer".to_owned()),
            Ok(Ok(local)) if local == addr => {
                // The kernel took the probed port as the source, and the connection met itself: nobody listens there
                // (RFC 9293 section 3.5). Asked again, with another source, it says so.
                continue;
            }
            Ok(Ok(_)) => (State::Open, "took a connection".to_owned()),
            Ok(Err(error)) if (is_shortage(&error) || error.kind() == io::ErrorKind::AddrNotAvailable) && short < PATIENCE => {
                short += 1;
                sleep(SHORTAGE).await;
                continue;
            }
            Ok(Err(error)) => (state_of(&error), io_words(&error)),
        };
        return Verdict { addr, state, reason, elapsed: started.elapsed() };
    }
}

/// Connects and says from which address; the connection is reset at once, which leaves no TIME_WAIT behind.
async fn connect(addr: SocketAddr) -> io::Result<SocketAddr> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_zero_linger()?;
    socket.connect(addr).await?.local_addr()
}

fn state_of(error: &io::Error) -> State {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => State::Closed,
        // ICMP says that packets do not get through, or nobody answers ARP.
        io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut => State::Filtered,
        // No route, among others: this machine never asked.
        _ => State::Error,
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Filtered => "filtered",
            Self::Error => "error",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_errors_are_errors_and_never_closed() {
        for (code, state) in [
            (111, State::Closed),
            (113, State::Filtered),
            (101, State::Error),
            (99, State::Error),
            (24, State::Error),
            (13, State::Error),
            (1, State::Error),
        ] {
            assert_eq!(state_of(&io::Error::from_raw_os_error(code)), state, "errno {code}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_meets_itself_is_closed() {
        // Bound to the probed port itself, the socket can only meet itself.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = socket.local_addr().unwrap();
        let tcp = socket.connect(addr).await.unwrap();
        assert_eq!(tcp.local_addr().unwrap(), tcp.peer_addr().unwrap());
        drop(tcp);
        assert_eq!(probe(addr, Duration::from_secs(5), 0).await.state, State::Closed);
    }
}
