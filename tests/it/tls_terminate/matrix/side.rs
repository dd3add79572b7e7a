//! One end of a connection through the program, with or without TLS.

use crate::support::{patient, wait_sent};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

pub struct Side {
    tcp: TcpStream,
    tls: Option<rustls::Connection>,
}

/// How the other end is seen to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// As it should: close_notify and FIN, or FIN alone where there is no TLS.
    End,
    /// FIN without close_notify, under TLS.
    Cut,
    Reset,
}

impl Side {
    pub fn plain(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).unwrap();
        Self { tcp: patient(tcp), tls: None }
    }

    pub fn tls(tcp: TcpStream, session: rustls::Connection) -> Self {
        Self { tls: Some(session), ..Self::plain(tcp) }
    }

    pub fn handshake(mut self) -> Self {
        if let Some(tls) = &mut self.tls {
            while tls.is_handshaking() {
                tls.complete_io(&mut self.tcp).unwrap();
            }
            flush(tls, &mut self.tcp).unwrap();
        }
        self
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.tcp.write_all(bytes) };
        for part in bytes.chunks(16 * 1024) {
            tls.writer().write_all(part)?;
            flush(tls, &mut self.tcp)?;
        }
        Ok(())
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// Says that it is done: by close_notify alone, or by FIN without TLS.
    pub fn end(&mut self) {
        match &mut self.tls {
            Some(tls) => {
                tls.send_close_notify();
                flush(tls, &mut self.tcp).unwrap();
            }
            None => self.fin(),
        }
    }

    /// FIN and nothing before it.
    pub fn fin(&mut self) {
        self.tcp.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with a reset, after all that was sent.
    pub fn reset(self) {
        wait_sent(&self.tcp);
        socket2::SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Writes until that fails: the other side has gone.
    pub fn write_until_it_fails(mut self) {
        let error = (0..).find_map(|_| self.try_send(&[0; 1000]).err()).unwrap();
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    }

    pub fn read_n(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// These bytes come, and then this end.
    pub fn sees(&mut self, expected: &[u8], end: Seen) {
        let mut bytes = Vec::new();
        let came = match self.read_to_end(&mut bytes).map_err(|error| error.kind()) {
            Ok(_) => Seen::End,
            Err(ErrorKind::UnexpectedEof) => Seen::Cut,
            Err(ErrorKind::ConnectionReset) => Seen::Reset,
            Err(other) => panic!("{other}"),
        };
        assert_eq!((bytes.len(), came), (expected.len(), end));
        assert!(bytes == expected, "other bytes");
        if self.is_tls() && end == Seen::End {
            // FIN follows close_notify.
            assert_eq!(self.tcp.read(&mut [0]).unwrap(), 0);
        }
    }
}

impl Read for Side {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.tcp.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            tls.read_tls(&mut self.tcp)?;
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

fn flush(tls: &mut rustls::Connection, tcp: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(tcp)?;
    }
    Ok(())
}
