//! Who a server that speaks TLS is: the certificates that were given, or those made in memory, with what clients need
//! to trust them.

mod line;

use crate::{
    args::{self, UsageError},
    serve::{Session, connectable},
};
use anyhow::Context;
use line::Line;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};
use tapline::{
    addr::Endpoint,
    event::{Event, Events},
    identity::{Allowed, Authority, Files, Identities, Loader, Pair},
    reload::Reloads,
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
    /// What clients have to do to be let in, besides trusting it.
    line: Line,
    /// Where that file is, or will be, as it was given.
    path: PathBuf,
    /// Where it was written, and the file that it is to replace then. Without one it goes with the value.
    file: Option<(NamedTempFile, Option<PathBuf>)>,
}

impl args::Tls {
    /// The server's end of TLS, and what is to be said of it. `keys` are told the secrets of sessions. Must be called within a
    /// runtime.
    pub fn terminator(&self, hello_timeout: Duration, keys: Option<KeyLog>) -> anyhow::Result<(Terminator, Shown)> {
        let mut reloads = Reloads::new().context("cannot catch SIGHUP")?;
        let (identities, made) = self.identities(&mut reloads)?;
        let tls = ServerTls::new(&identities, &ServerSettings { keys, ..self.settings() })?;
        if let Some(rules) = self.clients() {
            let (followed, loaded) = FollowedClients::new(rules, tls.clone())?;
            reloads.add(followed, loaded);
        }
        let starttls = self.starttls.map(Into::into);
        let terminator = Terminator { tls, identities, starttls, hello_timeout, handshake_timeout: self.handshake_timeout };
        Ok((terminator, Shown { made, reloads: Some(reloads) }))
    }

    fn identities(&self, reloads: &mut Reloads) -> anyhow::Result<(Identities, Option<Made>)> {
        let given = &self.identity;
        if given.cert.is_empty() && given.certs.is_empty() {
            let names = if given.names.is_empty() { default_names()? } else { given.names.clone() };
            if given.strict_sni && !names.iter().any(|name| matches!(name, Allowed::Name(_))) {
                let why =
                    "--strict-sni refuses every client here: who connects to an address asks for no name, and --names has addresses only";
                return Err(UsageError(why.into()).into());
            }
            let authority = Authority::new(names.clone())?;
            let strict = given.strict_sni;
            let line = Line { names, strict, starttls: self.starttls.map(Into::into), wants_client: self.wants_client() };
            let made = Made::write(line, authority.pem(), given.ca_out.clone())?;
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

    /// Whether clients get nowhere without a certificate of their own; where names are allowed, those without one are refused too.
    fn wants_client(&self) -> bool {
        self.clients().is_some_and(|rules| rules.required || !rules.allowed.is_empty())
    }
}

/// What leads to this machine wherever it is; browsers take all names under localhost for it (RFC 6761 section 6.3).
fn default_names() -> anyhow::Result<Vec<Allowed>> {
    ["localhost", "*.localhost", "127.0.0.1", "::1"].iter().map(|name| Ok(name.parse()?)).collect()
}

impl Made {
    /// Writes the authority's certificate beside where it is to be, or to a file that goes with the value. What was there
    /// before stays until [`Shown::publish`].
    fn write(line: Line, pem: &str, out: Option<PathBuf>) -> anyhow::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("tapline-ca-").suffix(".pem");
        let (mut file, real) = match &out {
            Some(path) => {
                let cannot = || format!("cannot write {}", path.display());
                let real = replaced(path).with_context(cannot)?;
                let folder = real.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                (public(&mut builder).tempfile_in(folder).with_context(cannot)?, Some(real))
            }
            None => (builder.tempfile().context("cannot make a file for the CA's certificate")?, None),
        };
        file.write_all(pem.as_bytes()).with_context(|| format!("cannot write {}", file.path().display()))?;
        let path = out.unwrap_or_else(|| file.path().to_owned());
        Ok(Self { line, path, file: Some((file, real)) })
    }

    fn announce(&self, addr: &Endpoint, events: &Events) {
        let ca = self.path.display().to_string();
        let try_with = self.line.trusting(&ca, &connectable(addr));
        events.emit(Event::Certificate { names: self.line.names.iter().map(ToString::to_string).collect(), ca, try_with });
    }
}

/// The file that a rename to this path is to replace: of a link the one that it leads to. A rename takes the place of whatever is
/// there, also of a device.
fn replaced(path: &Path) -> io::Result<PathBuf> {
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Err(io::Error::other("it is a directory")),
        Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is no regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => Ok(path.to_owned()),
        Err(error) => Err(error),
        Ok(_) => path.canonicalize(),
    }
}

impl Shown {
    /// Puts the CA's certificate where it was asked for. It comes after the bind: who cannot listen must not have replaced the
    /// file of the process on that address.
    pub fn publish(&mut self) -> anyhow::Result<()> {
        let Some(made) = &mut self.made else { return Ok(()) };
        let Some((file, Some(real))) = made.file.take_if(|(_, real)| real.is_some()) else { return Ok(()) };
        file.persist(real).map_err(|error| error.error).with_context(|| format!("cannot write {}", made.path.display()))?;
        Ok(())
    }

    /// Says what clients are shown, with a command line for clients where a CA is to be trusted, and follows the files from now on.
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
