//! The flags of a server of TLS.

use super::duration;
use crate::watching::WatchTls;
use clap::{ArgAction, Args, ValueEnum};
use std::{path::PathBuf, time::Duration};
use tapline::{
    identity::Allowed,
    starttls::Starttls,
    tls::{AllowedClient, ClientRules, ServerSettings, Version},
};

/// The server's end of TLS.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub struct Tls {
    #[command(flatten)]
    pub identity: Identity,
    /// The oldest version that is spoken: 1.2 or 1.3
    #[arg(long, value_name = "VERSION", default_value = "1.2", hide_possible_values = true)]
    pub min_tls: MinTls,
    /// Protocols to agree on by ALPN, the best first, such as h2,http/1.1 [default: none, and what clients offer goes unanswered]
    ///
    /// In tls-terminate give what the target speaks: the bytes reach it as they are. A client that offers only others is refused (alert 120,
    /// no_application_protocol); one that offers none is not. A tls: target is offered what the client got, and nothing else.
    #[arg(long, value_name = "PROTOCOL", value_delimiter = ',', value_parser = protocol)]
    pub alpn: Vec<Protocol>,
    /// Ask clients for a certificate that leads to one of the authorities in this file (PEM)
    ///
    /// A client whose session is resumed is checked anew. This file and those of --client-crl are read again when they change
    /// and on SIGHUP; one that is broken then leaves what it was before.
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is refused: required or optional
    #[arg(long, value_name = "WHEN", default_value = "required", hide_possible_values = true, requires = "client_ca")]
    pub client_cert: ClientCert,
    /// Take only clients whose certificate has this subject alternative name: a DNS name, *.NAME (exactly one label more), an IP
    /// address, a mailbox or a URI (spiffe://...); may be given again
    ///
    /// Others are refused (alert 49, access_denied), and so is a client without a certificate. The common name does not count.
    #[arg(long, value_name = "NAME", action = ArgAction::Append, requires = "client_ca")]
    pub allow_client: Vec<AllowedClient>,
    /// Certificates of clients that were revoked (PEM, a CRL); may be given again
    ///
    /// An authority that has none has revoked nothing. One whose next update is overdue counts.
    #[arg(long, value_name = "FILE", action = ArgAction::Append, requires = "client_ca")]
    pub client_crl: Vec<PathBuf>,
    /// Speak postgres or smtp with clients until TLS begins, within --hello-timeout
    ///
    /// postgres: SSLRequest is answered, TLS from the first byte (sslnegotiation=direct) is taken, and a client that asks for no
    /// TLS is told that it is required. smtp: clients get nothing but STARTTLS. In tls-terminate what they say within TLS goes to
    /// the target, whose own greeting they do not see; one that greets with anything but 220 has not taken the connection.
    #[arg(long, value_name = "PROTOCOL", hide_possible_values = true)]
    pub starttls: Option<StarttlsName>,
    /// For the TLS handshake, after the hello
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub handshake_timeout: Duration,
    #[command(flatten)]
    pub watch: WatchTls,
}

impl Tls {
    /// What is asked of the server besides who it is, and what clients are asked for, which comes from files that are followed.
    pub fn settings(&self) -> ServerSettings {
        let starttls = self.starttls.map(Starttls::from);
        let given: Vec<_> = self.alpn.iter().map(|Protocol(name)| name.clone()).collect();
        // PostgreSQL 17 and its clients take TLS from the first byte only with their protocol in it.
        let own = starttls.and_then(Starttls::alpn).map(<[u8]>::to_vec);
        ServerSettings {
            min_version: self.min_tls.into(),
            alpn: if given.is_empty() { own.into_iter().collect() } else { given },
            ..ServerSettings::default()
        }
    }

    /// What clients are asked for, where they are.
    pub fn clients(&self) -> Option<ClientRules> {
        let required = matches!(self.client_cert, ClientCert::Required);
        let rules = |ca| ClientRules { ca, crls: self.client_crl.clone(), required, allowed: self.allow_client.clone() };
        self.client_ca.clone().map(rules)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum MinTls {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

impl From<MinTls> for Version {
    fn from(min: MinTls) -> Self {
        match min {
            MinTls::Tls12 => Self::Tls12,
            MinTls::Tls13 => Self::Tls13,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ClientCert {
    Required,
    Optional,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum StarttlsName {
    Postgres,
    Smtp,
}

impl From<StarttlsName> for Starttls {
    fn from(name: StarttlsName) -> Self {
        match name {
            StarttlsName::Postgres => Self::Postgres,
            StarttlsName::Smtp => Self::Smtp,
        }
    }
}

/// The identifier of a protocol.
#[derive(Clone, Debug)]
pub struct Protocol(Vec<u8>);

/// An identifier has 1 to 255 bytes (RFC 7301 section 3.1).
fn protocol(text: &str) -> Result<Protocol, String> {
    match text.len() {
        1..=255 => Ok(Protocol(text.as_bytes().to_vec())),
        length => Err(format!("a protocol has 1 to 255 bytes, not {length}")),
    }
}

/// Who the server is.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub struct Identity {
    /// Certificate chain (PEM), leaf first; may be given again [default: made in memory, with a CA for clients]
    ///
    /// The client's server name chooses: the certificate that has it among its DNS names (subjectAltName), then one with a
    /// wildcard for its first label, else the first one. Of several for one name (RSA and ECDSA) the first that the client can
    /// check. Files are read again when they change and on SIGHUP; one that is broken then leaves what it was before.
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    pub cert: Vec<PathBuf>,
    /// The private key (PEM) of the --cert of the same place; without any, each is in the file of its certificate
    #[arg(long, value_name = "FILE", requires = "cert", action = ArgAction::Append)]
    pub key: Vec<PathBuf>,
    /// A folder of certificates with their keys, in the order of their names, after those of --cert; may be given again
    ///
    /// NAME.crt, NAME.cert or NAME.pem with the key in NAME.key, in NAME-key.pem (mkcert) or in the same file (haproxy);
    /// NAME/fullchain.pem with NAME/privkey.pem (certbot). Anything else is passed over, and said so; so is
    /// a file without a certificate or its key. A folder that cannot be read later leaves what was in it, and only that.
    #[arg(long, value_name = "DIR", action = ArgAction::Append)]
    pub certs: Vec<PathBuf>,
    /// Refuse clients that ask for a name that no certificate is for, or for none (alert unrecognized_name)
    #[arg(long)]
    pub strict_sni: bool,
    /// The names that certificates are made for in memory, each when a client asks for it; others are refused [default:
    /// localhost,*.localhost,127.0.0.1,::1]
    ///
    /// a.test, *.a.test (exactly one label more), **.a.test (one or more), .a.test (the name and all beneath), ** (every name),
    /// or an address. A client that asks for no name gets one for all of them and the loopback addresses. The CA can vouch
    /// for these names, those beneath them and the loopback addresses only, with ** for every name; its key is nowhere but in
    /// memory, and ends with the command.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', conflicts_with_all = ["cert", "certs"], action = ArgAction::Append)]
    pub names: Vec<Allowed>,
    /// Write the certificate of the CA in memory here, to stay [default: a temporary file that goes with the command]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cert", "certs"])]
    pub ca_out: Option<PathBuf>,
}
