//! Who a server that speaks TLS is: the certificates that were given, or those made in memory, with what clients need
//! to trust them.

use crate::{
    args::{self, UsageError},
    serve::{Session, connectable},
};
use anyhow::Context;
use std::{
    borrow::Cow,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};
use tapline::{
    addr::Endpoint,
    event::{Event, Events},
    identity::{Allowed, Authority, Files, Identities, Loader, Pair},
    reload::Reloads,
    route::Pattern,
    terminate::Terminator,
    tls::{FollowedClients, KeyLog, ServerSettings, ServerTls},
};
use tempfile::NamedTempFile;

/// What clients are shown, as far as it is to be said and followed.
pub struct Shown {
    made: Option<Made>,
    reloads: Option<Reloads>,
}

/// The authority in memory, and the file with what clients need to trust it.
struct Made {
    names: Vec<Allowed>,
    /// Where that is, or will be.
    path: PathBuf,
    /// Where it was written; without another place it goes with the value.
    file: Option<NamedTempFile>,
}

impl args::Tls {
    /// The server's end of TLS, and what is to be said of it. `keys` are told the secrets of sessions. Must be called within a
    /// runtime.
    pub fn terminator(&self, hello_timeout: Duration, keys: Option<KeyLog>) -> anyhow::Result<(Terminator, Shown)> {
        let mut reloads = Reloads::new().context("cannot catch SIGHUP")?;
        let (identities, made) = identities(&self.identity, &mut reloads)?;
        let tls = ServerTls::new(&identities, &ServerSettings { keys, ..self.settings() })?;
        if let Some(rules) = self.clients() {
            let (followed, loaded) = FollowedClients::new(rules, tls.clone())?;
            reloads.add(followed, loaded);
        }
        let starttls = self.starttls.map(Into::into);
        let terminator = Terminator { tls, identities, starttls, hello_timeout, handshake_timeout: self.handshake_timeout };
        Ok((terminator, Shown { made, reloads: Some(reloads) }))
    }
}

fn identities(given: &args::Identity, reloads: &mut Reloads) -> anyhow::Result<(Identities, Option<Made>)> {
    if given.cert.is_empty() && given.certs.is_empty() {
        let names = if given.names.is_empty() { default_names()? } else { given.names.clone() };
        let authority = Authority::new(names.clone())?;
        let made = Made::write(names, authority.pem(), given.ca_out.clone())?;
        return Ok((Identities::made(authority, given.strict_sni), Some(made)));
    }
    // Each has its key in its own file, unless keys are given.
    let keys = if given.key.is_empty() { &given.cert } else { &given.key };
    if keys.len() != given.cert.len() {
        let why = format!(
            "{} --cert and {} --key were given: the first key belongs to the first certificate, and so on; without any --key each is in the \
             file of its certificate",
            given.cert.len(),
            keys.len()
        );
        return Err(UsageError(why).into());
    }
    let pairs = given.cert.iter().zip(keys).map(|(cert, key)| Pair { cert: cert.clone(), key: key.clone() }).collect();
    let (loader, loaded) = Loader::load(Files { pairs, folders: given.certs.clone() }, given.strict_sni)?;
    let identities = loader.identities().clone();
    reloads.add(loader, loaded);
    Ok((identities, None))
}

/// What leads to this machine wherever it is; browsers take all names under localhost for it (RFC 6761 section 6.3).
fn default_names() -> anyhow::Result<Vec<Allowed>> {
    ["localhost", "*.localhost", "127.0.0.1", "::1"].iter().map(|name| Ok(name.parse()?)).collect()
}

impl Made {
    /// Writes the authority's certificate beside where it is to be, or to a file that goes with the value. What was there
    /// before stays until [`Shown::publish`].
    fn write(names: Vec<Allowed>, pem: &str, out: Option<PathBuf>) -> anyhow::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("tapline-ca-").suffix(".pem");
        let mut file = match &out {
            Some(path) => {
                let cannot = || format!("cannot write {}", path.display());
                anyhow::ensure!(!path.is_dir(), "{}: it is a directory", cannot());
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                public(&mut builder).tempfile_in(folder).with_context(cannot)?
            }
            None => builder.tempfile().context("cannot make a file for the CA's certificate")?,
        };
        file.write_all(pem.as_bytes()).with_context(|| format!("cannot write {}", file.path().display()))?;
        let path = out.unwrap_or_else(|| file.path().to_owned());
        Ok(Self { names, path, file: Some(file) })
    }

    fn announce(&self, addr: &Endpoint, events: &Events) {
        let ca = self.path.display().to_string();
        let given = quoted(&ca);
        let is_named = |addr: std::net::IpAddr| self.names.contains(&Allowed::Addr(addr));
        let name = self.example();
        let try_with = match connectable(addr) {
            Endpoint::Unix(path) => {
                let path = path.unwrap_or_default().display().to_string();
                format!("curl --cacert {given} --unix-socket {} {}", quoted(&path), quoted(&format!("https://{name}/")))
            }
            Endpoint::Tcp(addr) if is_named(addr.ip()) => format!("curl --cacert {given} {}", quoted(&format!("https://{addr}/"))),
            // The name may lead elsewhere, or nowhere: the address is given with it.
            Endpoint::Tcp(addr) => {
                let (to, url) = (format!("::{addr}"), format!("https://{name}:{}/", addr.port()));
                format!("curl --cacert {given} --connect-to {} {}", quoted(&to), quoted(&url))
            }
        };
        events.emit(Event::Certificate { names: self.names.iter().map(ToString::to_string).collect(), ca, try_with });
    }

    /// A host that the first of the names is for, as a URL has it.
    fn example(&self) -> String {
        match self.names.first() {
            Some(Allowed::Name(Pattern::Exact(name) | Pattern::Tree(name))) => name.to_string(),
            Some(Allowed::Name(Pattern::OneLabel(name) | Pattern::Labels(name))) => format!("www.{name}"),
            Some(Allowed::Addr(std::net::IpAddr::V6(addr))) => format!("[{addr}]"),
            Some(Allowed::Addr(addr)) => addr.to_string(),
            Some(Allowed::Name(Pattern::Any)) | None => "localhost".into(),
        }
    }
}

impl Shown {
    /// Puts the CA's certificate where it was asked for. It comes after the bind: who cannot listen must not have replaced the
    /// file of the process on that address.
    pub fn publish(&mut self) -> anyhow::Result<()> {
        let Some(made) = &mut self.made else { return Ok(()) };
        let Some(file) = made.file.take_if(|file| file.path() != made.path) else { return Ok(()) };
        file.persist(&made.path).map_err(|error| error.error).with_context(|| format!("cannot write {}", made.path.display()))?;
        Ok(())
    }

    /// Says what clients are shown, with a line for curl where a CA is to be trusted, and follows the files from now on.
    pub fn announce(&mut self, addr: &Endpoint, session: &Session) {
        let events = session.reporter.events();
        if let Some(made) = &self.made {
            made.announce(addr, &events);
        }
        if let Some(reloads) = self.reloads.take() {
            reloads.follow(&session.shutdown, &events);
        }
    }
}

/// A certificate is for everyone to read.
#[cfg(unix)]
fn public<'a, 'b>(builder: &'a mut tempfile::Builder<'b, 'b>) -> &'a mut tempfile::Builder<'b, 'b> {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(std::fs::Permissions::from_mode(0o644))
}

/// Other systems have rights of another kind.
#[cfg(not(unix))]
fn public<'a, 'b>(builder: &'a mut tempfile::Builder<'b, 'b>) -> &'a mut tempfile::Builder<'b, 'b> {
    builder
}

/// An argument as a shell takes it (POSIX, Shell Command Language, 2.2.2).
fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@%+=:,./_-".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}
