//! The flags of a server of TLS.

use super::duration;
use clap::{ArgAction, Args};
use std::{path::PathBuf, time::Duration};

/// The server's end of TLS.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub struct Tls {
    #[command(flatten)]
    pub identity: Identity,
    /// For the TLS handshake, after the hello
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub handshake_timeout: Duration,
}

/// Who the server is.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub struct Identity {
    /// Certificate chain (PEM), leaf first [default: made in memory, with a CA for clients]
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// A name for the certificate made in memory; may be given again [default: localhost and the loopback addresses]
    #[arg(long, value_name = "NAME", conflicts_with = "cert", action = ArgAction::Append)]
    pub name: Vec<String>,
}
