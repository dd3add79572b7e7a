//! TLS that begins within another protocol: what is said before the ClientHello, to the client in the role of its server and
//! to the target in the role of its client. Neither side says anything else in clear.

mod postgres;
mod smtp;

pub(crate) use postgres::{GSSENC_REQUEST, SSL_REQUEST, error as postgres_error};

use crate::{
    event::{By, End, Phase},
    stream::{Probed, Stream},
};
use std::{fmt, io};

/// A protocol that TLS begins within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starttls {
    /// SSLRequest of PostgreSQL (protocol documentation, section "SSL Session Encryption").
    Postgres,
    /// STARTTLS of SMTP (RFC 3207).
    Smtp,
}

/// What comes next from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A ClientHello, which it was told to send.
    Hello,
    /// What it began with: it has asked for nothing.
    Anything,
}

/// What a target is asked for before it gets the first byte of a client that was answered in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// For TLS: the client's hello comes next.
    Tls(Starttls),
    /// For no more than the client has had: its TLS ends here, and what it says within comes next.
    Greeting(Starttls),
}

impl Ask {
    /// Asks the target.
    ///
    /// # Errors
    /// The target speaks no TLS, or not the protocol, or turns its clients away.
    pub async fn of(self, stream: &mut Stream) -> io::Result<()> {
        match self {
            Self::Tls(Starttls::Postgres) => postgres::with_target(stream).await,
            Self::Tls(Starttls::Smtp) => smtp::with_target(stream).await,
            // The client speaks first.
            Self::Greeting(Starttls::Postgres) => Ok(()),
            Self::Greeting(Starttls::Smtp) => smtp::greeted(stream).await,
        }
    }

    /// What is waited for.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Tls(_) => "TLS",
            Self::Greeting(_) => "greeting",
        }
    }
}

impl Starttls {
    /// Answers the client until it is to send its hello. Waits for as long as the client does; dropping the future loses
    /// nothing that was read but what was answered.
    ///
    /// # Errors
    /// How the connection ends of a client that is gone, or does not ask for TLS as it should.
    pub async fn with_client(self, stream: &mut Stream) -> Result<Next, End> {
        match self {
            Self::Postgres => postgres::with_client(stream).await,
            Self::Smtp => smtp::with_client(stream).await.map(|()| Next::Hello),
        }
    }

    /// The protocol that its clients offer by ALPN where TLS goes before everything, if there is one.
    #[must_use]
    pub fn alpn(self) -> Option<&'static [u8]> {
        match self {
            Self::Postgres => Some(b"postgresql"),
            Self::Smtp => None,
        }
    }

    /// The last words for a client that was answered and is late.
    #[must_use]
    pub fn late(self) -> &'static [u8] {
        match self {
            Self::Postgres => b"",
            Self::Smtp => b"421 4.4.2 no STARTTLS in time\r\n",
        }
    }
}

impl fmt::Display for Starttls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "postgres",
            Self::Smtp => "smtp",
        })
    }
}

/// Reads from a client until `parse` comes to a verdict.
async fn from_client<T>(stream: &mut Stream, most: usize, parse: impl FnMut(&[u8]) -> Option<T>) -> Result<Option<T>, End> {
    match stream.probe(most, parse).await {
        Ok(Probed::Match(verdict)) => Ok(Some(verdict)),
        Ok(Probed::Full | Probed::Eof) => Ok(None),
        Err(error) => Err(client_io(&error)),
    }
}

/// Reads from a target until `parse` comes to a verdict.
async fn from_target<T>(stream: &mut Stream, most: usize, parse: impl FnMut(&[u8]) -> Option<T>) -> io::Result<T> {
    match stream.probe(most, parse).await? {
        Probed::Match(verdict) => Ok(verdict),
        Probed::Eof => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "ended before TLS could begin")),
        Probed::Full => Err(unexpected("an answer without an end")),
    }
}

fn client_io(error: &io::Error) -> End {
    End::io(By::Client, Phase::Hello, error)
}

fn client_failed(why: impl fmt::Display) -> End {
    End::failed(By::Client, Phase::Hello, why)
}

fn unexpected(what: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}
