//! The listening socket: making it, and taking connections from it.

use crate::{
    addr::{Endpoint, ListenAddr},
    dial::resolve,
    event::{Event, Events, is_shortage},
    seldom::Seldom,
    stream::{Socket, Stream},
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::time::sleep;

/// The queue of connections that the kernel has completed and nobody has accepted yet; the kernel cuts it to
/// net.core.somaxconn, listen(2).
const BACKLOG: i32 = 4096;
/// Bounds of the pause after a failed accept, as in Go's net/http.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));
/// More than a program takes from binding a Unix socket to listening on it.
#[cfg(unix)]
const STARTING: Duration = Duration::from_millis(20);

/// Who may connect to a Unix socket.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// Whomever the umask lets.
    Umask,
    /// Its owner.
    Owner,
}

/// A bound socket.
pub(super) enum Listener {
    Tcp(Acceptor),
    #[cfg(unix)]
    Unix(OwnSocket, tokio::net::UnixListener),
}

/// Hands sockets out that no event loop knows yet: the thread that serves a connection is chosen after it was accepted.
/// Tokio's listener registers what it accepts with its own loop; its stream waits on any socket for any system call.
#[cfg(target_os = "linux")]
type Acceptor = tokio::net::TcpStream;
#[cfg(not(target_os = "linux"))]
type Acceptor = tokio::net::TcpListener;

/// The path of a Unix socket that this process made, removed with it. It goes before its listener does: until then no
/// other file can have the same number.
#[cfg(unix)]
pub(super) struct OwnSocket {
    path: std::path::PathBuf,
    made: Option<(u64, u64)>,
}

#[cfg(unix)]
impl OwnSocket {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), made: file_number(path) }
    }
}

#[cfg(unix)]
impl Drop for OwnSocket {
    fn drop(&mut self) {
        // Another program may have put a socket of its own there.
        if self.made.is_some() && file_number(&self.path) == self.made {
            // Gone already is as good.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Which file this is, on which file system, stat(2); none where there is no file.
#[cfg(unix)]
fn file_number(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

impl Listener {
    /// Binds and listens.
    pub(super) async fn bind(addr: &ListenAddr, access: Access) -> io::Result<Self> {
        match addr {
            // A name that has several addresses is listened on at its first.
            ListenAddr::Tcp(to) => resolve(to).await.and_then(|addrs| tcp_listener(addrs[0])),
            ListenAddr::Every(port) => bind_every(*port, tcp_listener),
            ListenAddr::Unix(path) => unix_listener(path, access).await,
        }
    }

    pub(super) fn addr(&self) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Endpoint::Tcp),
            #[cfg(unix)]
            Self::Unix(own, _) => Ok(Endpoint::Unix(Some(own.path.clone()))),
        }
    }

    async fn accept(&self) -> io::Result<(Socket, Endpoint)> {
        match self {
            Self::Tcp(listener) => accept_tcp(listener).await.map(|(tcp, peer)| (Socket::Tcp(tcp), Endpoint::tcp(peer))),
            #[cfg(unix)]
            Self::Unix(_, listener) => {
                let (unix, peer) = listener.accept().await?;
                Ok((Socket::Unix(unix.into_std()?), Endpoint::Unix(peer.as_pathname().map(Path::to_owned))))
            }
        }
    }

    /// Accepts whatever it takes: after a failure again, after a pause. It is told where `failures` allows it.
    pub(super) async fn accept_patiently(&self, events: &Events, failures: &mut Seldom) -> (Socket, Endpoint) {
        let mut pause = BACK_OFF.0;
        loop {
            match self.accept().await {
                Ok(conn) => return conn,
                Err(error) => {
                    let wait = back_off(&error, &mut pause);
                    if failures.may_be_said() {
                        events.emit(Event::AcceptFailed { why: error.to_string(), retry_in: wait });
                    }
                    sleep(wait).await;
                }
            }
        }
    }

    /// Resets the clients that wait in the backlog, and says how many; none is waited for.
    pub(super) async fn reset_waiting(&self) -> usize {
        // No more than there can have been: others may come as fast as they are reset.
        for waiting in 0..BACKLOG as usize {
            let accepted = tokio::select! {
                biased;
                accepted = self.accept() => accepted,
                () = tokio::task::yield_now() => return waiting,
            };
            match accepted {
                // A stream that is dropped is reset.
                Ok((socket, _)) => drop(Stream::new(socket, Arc::default())),
                // Whoever is left is reset by the kernel, with the listener.
                Err(_) => return waiting,
            }
        }
        BACKLOG as usize
    }
}

/// An address family that the machine does not have: EAFNOSUPPORT, and the same of Windows.
#[cfg(unix)]
const NO_SUCH_FAMILY: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
#[cfg(not(unix))]
const NO_SUCH_FAMILY: i32 = 10_047;

/// Binds to every interface; a machine without IPv6 has those of IPv4 left.
pub(crate) fn bind_every<T>(port: u16, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    bind((Ipv6Addr::UNSPECIFIED, port).into()).or_else(|error| match error.raw_os_error() {
        Some(NO_SUCH_FAMILY) => bind((Ipv4Addr::UNSPECIFIED, port).into()),
        _ => Err(error),
    })
}

/// How long to wait after a failed accept. In a shortage the connection stays in the queue and accept(2) would fail again
/// at once, so that each wait is twice the one before. Any other error tells of one connection that is gone already
/// (accept(2): ECONNABORTED and the pending network errors): the next one waits no longer for it.
fn back_off(error: &io::Error, pause: &mut Duration) -> Duration {
    if is_shortage(error) { std::mem::replace(pause, (*pause * 2).min(BACK_OFF.1)) } else { BACK_OFF.0 }
}

#[cfg(target_os = "linux")]
async fn accept_tcp(listener: &Acceptor) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    use rustix::net::{SocketFlags, acceptfrom_with};
    listener
        .async_io(tokio::io::Interest::READABLE, || {
            let (tcp, peer) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
            let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).ok_or(io::ErrorKind::ConnectionAborted)?;
            Ok((tcp.into(), peer))
        })
        .await
}

#[cfg(not(target_os = "linux"))]
async fn accept_tcp(listener: &Acceptor) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    let (tcp, peer) = listener.accept().await?;
    tcp.set_nodelay(true)?;
    Ok((tcp.into_std()?, peer))
}

fn tcp_listener(addr: SocketAddr) -> io::Result<Listener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
    // A restart need not wait for the TIME_WAIT of old connections; on Unix this steals no port that is listened on.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        // One socket for both families where every interface is asked for, ipv6(7).
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    // A delayed small write costs up to 40 ms against a delayed ACK, tcp(7). On Linux what is accepted inherits this.
    socket.set_tcp_nodelay(true)?;
    socket.listen(BACKLOG)?;
    Acceptor::from_std(socket.into()).map(Listener::Tcp)
}

#[cfg(unix)]
async fn unix_listener(path: &Path, access: Access) -> io::Result<Listener> {
    use std::os::unix::fs::FileTypeExt;
    use tokio::net::UnixStream;
    let bound = match bind_unix(path, access) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
            if !is_socket {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is not a socket"));
            }
            // Only "refused" tells of a socket that nobody listens on; a full backlog (EAGAIN) is a live one.
            let refused = async || match UnixStream::connect(path).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "another program listens on this socket")),
            };
            // And only twice in a row: a program that is just starting refuses between its bind and its listen.
            refused().await?;
            sleep(STARTING).await;
            refused().await?;
            std::fs::remove_file(path)?;
            bind_unix(path, access)?
        }
        other => other?,
    };
    Ok(Listener::Unix(OwnSocket::new(path), bound))
}

#[cfg(unix)]
fn bind_unix(path: &Path, access: Access) -> io::Result<tokio::net::UnixListener> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    // On Linux a socket's file gets the mode of the socket, less the umask (unix_bind_bsd): nobody else can connect before it is
    // set.
    if matches!(access, Access::Owner) && cfg!(target_os = "linux") {
        rustix::fs::fchmod(&socket, mode)?;
    }
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    if matches!(access, Access::Owner) && !cfg!(target_os = "linux") {
        rustix::fs::chmod(path, mode)?;
    }
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    tokio::net::UnixListener::from_std(std::os::fd::OwnedFd::from(socket).into())
}

#[cfg(not(unix))]
async fn unix_listener(_: &Path, _: Access) -> io::Result<Listener> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn every_interface_is_those_of_ipv4_where_there_is_no_ipv6() {
        let without = |addr: SocketAddr| if addr.is_ipv4() { Ok(addr) } else { Err(io::Error::from_raw_os_error(NO_SUCH_FAMILY)) };
        assert_eq!(bind_every(80, without).unwrap(), (Ipv4Addr::UNSPECIFIED, 80).into());
        assert_eq!(bind_every(80, Ok).unwrap(), (Ipv6Addr::UNSPECIFIED, 80).into());
        let taken = |_| Err::<(), _>(io::ErrorKind::AddrInUse.into());
        assert_eq!(bind_every(80, taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn only_shortages_make_the_pause_longer() {
        let mut pause = BACK_OFF.0;
        let waits = [Errno::MFILE, Errno::CONNABORTED, Errno::NOMEM, Errno::CONNABORTED, Errno::NOBUFS, Errno::NFILE].map(|errno| {
            let wait = back_off(&errno.into(), &mut pause);
            wait.as_millis()
        });
        assert_eq!(waits, [5, 5, 10, 5, 20, 40]);
        for _ in 0..10 {
            back_off(&Errno::MFILE.into(), &mut pause);
        }
        assert_eq!(back_off(&Errno::MFILE.into(), &mut pause), BACK_OFF.1);
    }
}
