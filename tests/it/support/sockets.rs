//! Sockets, each with a deadline that only a failing test meets.

use super::{DEADLINE, pattern};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    time::Duration,
};

/// A connection whose reads and writes do not wait for ever.
pub fn connect(addr: SocketAddr) -> TcpStream {
    patient(TcpStream::connect_timeout(&addr, DEADLINE).unwrap())
}

/// The same for one that was accepted.
pub fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// A listener on a port of the kernel's choice, and its address. It does not wait for a connection for ever.
pub fn listener() -> (TcpListener, SocketAddr) {
    let (listener, addr) = lasting_listener();
    (patient_listener(listener), addr)
}

/// One that waits for connections as long as the test runs.
pub fn lasting_listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// A listener whose accept(2) fails after a while: on Linux, SO_RCVTIMEO bounds that too, socket(7).
pub fn patient_listener<L: AsFd>(listener: L) -> L {
    socket2::SockRef::from(&listener).set_read_timeout(Some(DEADLINE)).unwrap();
    listener
}

/// A port on which nobody listens. It stays taken, so that nobody else gets it, until the socket is dropped.
pub fn refusing() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

/// Accepts one connection.
pub fn accept(listener: &TcpListener) -> TcpStream {
    patient(listener.accept().unwrap().0)
}

/// A server that handles each connection in a thread of its own for as long as the test runs.
pub fn server(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let (listener, addr) = lasting_listener();
    let handle = std::sync::Arc::new(handle);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let handle = handle.clone();
            std::thread::spawn(move || handle(patient(stream)));
        }
    });
    addr
}

/// A server that says its name to whoever connects, and ends.
pub fn naming(name: &'static str) -> SocketAddr {
    server(move |mut stream| {
        let _ = stream.write_all(name.as_bytes());
    })
}

/// Closes with RST.
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Everything up to the end.
pub fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// What comes until the end, and how it ends: `Ok` for FIN, the kind of the error for RST and the rest.
pub fn read_to_any_end(stream: &mut TcpStream) -> (Vec<u8>, Result<(), std::io::ErrorKind>) {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).map(|_| ()).map_err(|error| error.kind());
    (bytes, end)
}

/// What comes back for `bytes`, as text, however it ends: a server that has not read them all resets after its answer.
pub fn heard(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(addr);
    stream.write_all(bytes).unwrap();
    String::from_utf8_lossy(&read_to_any_end(&mut stream).0).into_owned()
}

/// Sends all of `bytes`, ends the writing side, and reads to the end.
pub fn ask(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(addr);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    read_all(&mut stream)
}

/// Waits until the kernel has sent all that was written: RST discards what it has not.
pub fn wait_sent(stream: &impl AsFd) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(1).unwrap();
    let deadline = Timespec { tv_sec: DEADLINE.as_secs().cast_signed(), tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&deadline)).unwrap();
    assert_eq!(ready, 1, "what was written was not sent");
}

/// Writes until nothing is taken any more for a while, and returns how much was.
pub fn fill(stream: &mut TcpStream) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let (chunk, mut sent) = (pattern(64 * 1024), 0);
    while let Ok(n) = stream.write(&chunk) {
        sent += n;
    }
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    sent
}

/// Exactly so many bytes.
pub fn read_n(stream: &mut impl Read, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Nothing comes for a moment, and no end either.
pub fn assert_open_and_silent(stream: &mut TcpStream, moment: Duration) {
    stream.set_read_timeout(Some(moment)).unwrap();
    let came = stream.read(&mut [0]).map_err(|error| error.kind());
    assert!(matches!(came, Err(std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)), "{came:?}");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
}

/// The next datagram.
pub fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let n = socket.recv(&mut buffer).unwrap();
    buffer.truncate(n);
    buffer
}

/// What someone gets who connects and says nothing, and how it ends. A reset may come before connect(2) returns.
pub fn fate(addr: SocketAddr) -> (Vec<u8>, Result<(), std::io::ErrorKind>) {
    match TcpStream::connect_timeout(&addr, DEADLINE) {
        Ok(stream) => read_to_any_end(&mut patient(stream)),
        Err(error) => (Vec::new(), Err(error.kind())),
    }
}

/// Writes each byte in a segment of its own, as far as the other side takes them.
pub fn drip(stream: &mut TcpStream, bytes: &[u8]) {
    stream.set_nodelay(true).unwrap();
    for byte in bytes {
        stream.write_all(&[*byte]).unwrap();
        wait_sent(stream);
    }
}

/// A listener that takes no connection any more, with those that fill its queue: the kernel drops every further SYN.
pub fn full_backlog() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let listener: TcpListener = socket.into();
    let addr = listener.local_addr().unwrap();
    let fill = std::iter::from_fn(|| TcpStream::connect_timeout(&addr, Duration::from_millis(100)).ok());
    let waiting = fill.take(100).collect::<Vec<_>>();
    assert!(waiting.len() < 100, "the queue has no end");
    (listener, addr, waiting)
}
