//! One end of a connection through the program.

use crate::support::{DEADLINE, pattern, wait_sent};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{SockRef, Socket};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// A TCP or Unix socket with deadlines.
pub struct Peer {
    socket: Socket,
    is_unix: bool,
    counts: Arc<Counts>,
}

/// The bytes that it has sent and got.
#[derive(Default)]
pub struct Counts {
    sent: AtomicU64,
    got: AtomicU64,
}

impl Counts {
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    pub fn got(&self) -> u64 {
        self.got.load(Relaxed)
    }
}

impl Peer {
    pub fn new(socket: Socket, is_unix: bool) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        if !is_unix {
            socket.set_tcp_nodelay(true).unwrap();
        }
        Self { socket, is_unix, counts: Arc::default() }
    }

    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    pub fn is_unix(&self) -> bool {
        self.is_unix
    }

    pub fn send(&self, bytes: &[u8]) {
        (&self.socket).write_all(bytes).unwrap();
        self.counts.sent.fetch_add(bytes.len() as u64, Relaxed);
    }

    /// Sends and reads once. Whoever is reset may learn it from the write already.
    pub fn ask(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.socket).write_all(bytes)?;
        (&self.socket).read(&mut [0])
    }

    /// Sends in a thread, and ends.
    pub fn send_and_end(&self, bytes: Vec<u8>) -> thread::JoinHandle<()> {
        let peer = Self { socket: self.socket.try_clone().unwrap(), is_unix: self.is_unix, counts: self.counts() };
        thread::spawn(move || {
            peer.send(&bytes);
            peer.end();
        })
    }

    /// Writes until nothing is taken any more for a while: the bytes that were.
    pub fn fill(&self) -> Vec<u8> {
        self.socket.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let (chunk, mut sent) = (pattern(64 * 1024), Vec::new());
        while let Ok(n) = (&self.socket).write(&chunk) {
            sent.extend(&chunk[..n]);
        }
        self.socket.set_write_timeout(Some(DEADLINE)).unwrap();
        self.counts.sent.fetch_add(sent.len() as u64, Relaxed);
        assert!(sent.len() > 100_000, "{}", sent.len());
        sent
    }

    /// Writes until that fails: the other side has gone.
    pub fn write_until_it_fails(&self) {
        let error = (0..).find_map(|_| (&self.socket).write(&[0; 1000]).err()).unwrap();
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    }

    pub fn read_n(&self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        (&self.socket).read_exact(&mut bytes).unwrap();
        self.counts.got.fetch_add(n as u64, Relaxed);
        bytes
    }

    pub fn end(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// What comes until the end, `chunk` bytes at a time, and how it ends.
    fn read_to_any_end(&self, chunk: usize) -> (Vec<u8>, Result<(), ErrorKind>) {
        let (mut bytes, mut chunk) = (Vec::new(), vec![0; chunk]);
        loop {
            match (&self.socket).read(&mut chunk) {
                Ok(0) => return (bytes, Ok(())),
                Ok(n) => {
                    bytes.extend(&chunk[..n]);
                    self.counts.got.fetch_add(n as u64, Relaxed);
                }
                Err(error) => return (bytes, Err(error.kind())),
            }
            thread::yield_now();
        }
    }

    fn sees(&self, expected: &[u8], end: Result<(), ErrorKind>) {
        // Slowly, so that what is in flight stays there for a while.
        let (bytes, came) = self.read_to_any_end(10_000);
        assert_eq!((bytes.len(), came), (expected.len(), end));
        assert!(bytes == expected, "other bytes");
    }

    /// These bytes come, then the end.
    pub fn sees_end(&self, bytes: &[u8]) {
        self.sees(bytes, Ok(()));
    }

    /// These bytes come, then a reset. Unix sockets have none for a peer all of whose bytes were taken, unix(7): it sees
    /// an end, and its writes fail.
    pub fn sees_reset(&self, bytes: &[u8]) {
        self.sees(bytes, if self.is_unix { Ok(()) } else { Err(ErrorKind::ConnectionReset) });
        if self.is_unix {
            self.write_until_it_fails();
        }
    }

    /// The same for a peer that has ended its own side.
    pub fn sees_reset_after_its_end(&self) {
        self.sees(b"", if self.is_unix { Ok(()) } else { Err(ErrorKind::ConnectionReset) });
    }

    /// The same for a peer that has sent what nobody takes any more.
    pub fn sees_reset_of_what_it_sent(&self, bytes: &[u8]) {
        self.sees(bytes, Err(ErrorKind::ConnectionReset));
    }

    /// Its reading side had its end long ago; now the connection is broken.
    pub fn sees_that_it_is_broken(&self) {
        self.wait_for(PollFlags::HUP);
        self.write_until_it_fails();
    }

    /// The end has come, behind whatever came before; nothing is read.
    pub fn wait_for_end(&self) {
        self.wait_for(PollFlags::RDHUP);
    }

    fn wait_for(&self, what: PollFlags) {
        let deadline = Timespec { tv_sec: DEADLINE.as_secs().cast_signed(), tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&self.socket, what)], Some(&deadline)).unwrap();
        assert_eq!(ready, 1, "{what:?} did not come");
    }

    /// A Unix socket is reset by being closed with something unread: this puts it there.
    pub fn will_reset(&self, other: &Peer) {
        if self.is_unix {
            other.send(b"!");
            self.wait_for(PollFlags::IN);
        }
    }

    /// Waits until the kernel has sent all that was written. What a Unix socket has taken is with the other side already.
    pub fn wait_sent(&self) {
        if !self.is_unix {
            wait_sent(&self.socket);
        }
    }

    /// Closes with a reset.
    pub fn reset(self) {
        if !self.is_unix {
            SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    pub fn count(&self, sent: u64, got: u64) {
        self.counts.sent.fetch_add(sent, Relaxed);
        self.counts.got.fetch_add(got, Relaxed);
    }
}
