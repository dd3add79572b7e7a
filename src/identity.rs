//! Who a server that speaks TLS is: the certificate that was given, or one made in memory, with what its clients need
//! to trust it.

use crate::{args, serve::connectable};
use anyhow::Context;
use std::{io::Write, time::Duration};
use tapline::{
    addr::Endpoint,
    event::{Event, Events},
    identity::Identity,
    terminate::Terminator,
    tls::{KeyLog, ServerSettings, ServerTls},
};
use tempfile::NamedTempFile;

/// A certificate made in memory, and the file with what clients need to trust it. The file goes with the value.
pub struct Made {
    names: Vec<String>,
    ca: NamedTempFile,
}

impl args::Tls {
    /// The server's end of TLS, and the certificate where it was made here. `keys` are told the secrets of sessions.
    pub fn terminator(&self, hello_timeout: Duration, keys: Option<KeyLog>) -> anyhow::Result<(Terminator, Option<Made>)> {
        let (identity, made) = identity(&self.identity)?;
        let tls = ServerTls::new(&identity, &ServerSettings { keys, ..self.settings()? })?;
        let starttls = self.starttls.map(Into::into);
        Ok((Terminator { tls, starttls, hello_timeout, handshake_timeout: self.handshake_timeout }, made))
    }
}

fn identity(given: &args::Identity) -> anyhow::Result<(Identity, Option<Made>)> {
    if let (Some(cert), Some(key)) = (&given.cert, &given.key) {
        return Ok((Identity::load(cert, key)?, None));
    }
    let names = if given.name.is_empty() { ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec() } else { given.name.clone() };
    let minted = Identity::mint(&names)?;
    let mut ca =
        tempfile::Builder::new().prefix("tapline-ca-").suffix(".pem").tempfile().context("cannot make a file for the CA's certificate")?;
    ca.write_all(minted.ca_pem.as_bytes()).with_context(|| format!("cannot write {}", ca.path().display()))?;
    Ok((minted.identity, Some(Made { names, ca })))
}

impl Made {
    /// Says what was made, with a line for curl that trusts it.
    pub fn announce(&self, addr: &Endpoint, events: &Events) {
        let ca = self.ca.path().display().to_string();
        // A wildcard is a name for certificates only; any one label fits it.
        let name = self.names[0].replacen('*', "www", 1);
        let try_with = match connectable(addr) {
            Endpoint::Unix(path) => {
                format!("curl --cacert {ca} --unix-socket {} https://{name}/", path.unwrap_or_default().display())
            }
            Endpoint::Tcp(addr) if self.names.contains(&addr.ip().to_string()) => format!("curl --cacert {ca} https://{addr}/"),
            // The name may lead elsewhere, or nowhere: the address is given with it.
            Endpoint::Tcp(addr) => format!("curl --cacert {ca} --connect-to ::{addr} https://{name}:{}/", addr.port()),
        };
        events.emit(Event::Certificate { names: self.names.clone(), ca, try_with });
    }
}
