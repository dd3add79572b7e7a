//! Starting the real program and talking to it. Nothing sleeps: tests wait for events, for bytes and for ends, each with
//! a deadline that only a failing test meets.
#![allow(dead_code, reason = "each of the two test binaries uses its own part")]

use serde_json::Value;
use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::JoinHandle,
    time::Duration,
};

/// How long a test waits for what must come.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The program, serving.
pub struct Tapline {
    child: Child,
    addr: String,
    events: Receiver<Value>,
    /// Every event so far.
    pub seen: Vec<Value>,
    stdout: Option<JoinHandle<Vec<u8>>>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapline"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Finished {
    finish(program().args(args))
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Finished {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let code = wait(&mut child).code();
    Finished { code, stdout: text(stdout), stderr: text(stderr) }
}

impl Tapline {
    /// Starts the program with `--json` and waits until it listens.
    pub fn start(args: &[&str]) -> Self {
        Self::from(program().arg("--json").args(args))
    }

    /// The same for a prepared command, which says `--json` itself.
    pub fn from(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = collect(child.stdout.take());
        let events = read_events(child.stderr.take().unwrap());
        let mut tapline = Self { child, addr: String::new(), events, seen: Vec::new(), stdout: Some(stdout) };
        let first = tapline.next();
        assert_eq!(first["event"], "listening", "the first event is another one: {first}");
        first["addr"].as_str().unwrap().clone_into(&mut tapline.addr);
        tapline
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr.parse().unwrap()
    }

    /// Where it listens, as it says it.
    pub fn endpoint(&self) -> &str {
        &self.addr
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection to it.
    pub fn connect(&self) -> TcpStream {
        connect(self.addr())
    }

    fn next(&mut self) -> Value {
        let event = self.events.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("no event came; so far: {:#?}", self.seen));
        self.seen.push(event.clone());
        event
    }

    /// The next event of this name; others are passed over.
    pub fn event(&mut self, name: &str) -> Value {
        loop {
            let event = self.next();
            if event["event"] == name {
                return event;
            }
        }
    }

    /// The next end of a connection.
    pub fn closed(&mut self) -> Value {
        self.event("closed")
    }

    /// Sends a signal: "INT", "TERM".
    pub fn signal(&self, name: &str) {
        use rustix::process::{Pid, Signal, kill_process};
        let signal = if name == "INT" { Signal::INT } else { Signal::TERM };
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Waits for its end; the events that were not looked at are in `seen`.
    pub fn wait(&mut self) -> ExitStatus {
        let status = wait(&mut self.child);
        self.seen.extend(self.events.iter());
        status
    }

    /// Ends it by SIGTERM and returns its exit status.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait().code()
    }

    /// What it wrote to stdout; only after its end.
    pub fn stdout(&mut self) -> String {
        text(self.stdout.take().unwrap())
    }
}

impl Drop for Tapline {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = Pid::from_child(child);
    let (ended, watchdog) = channel::<()>();
    // std has no wait with a deadline; a program that does not end is killed, and the test fails.
    let watchdog = std::thread::spawn(move || {
        let late = watchdog.recv_timeout(3 * DEADLINE) == Err(RecvTimeoutError::Timeout);
        late && kill_process(pid, Signal::KILL).is_ok()
    });
    let status = child.wait().unwrap();
    drop(ended);
    assert!(!watchdog.join().unwrap(), "{child:?} did not end");
    status
}

fn read_events(stderr: ChildStderr) -> Receiver<Value> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let event = serde_json::from_str(&line).unwrap_or_else(|_| serde_json::json!({ "event": "not json", "text": line }));
            if send.send(event).is_err() {
                break;
            }
        }
    });
    receive
}

fn collect(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    let mut stream = stream.expect("the stream is piped");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before a failure is what there is.
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

fn text(bytes: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.join().unwrap()).into_owned()
}

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

/// A listener on a port of the kernel's choice, and its address.
pub fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
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
    let (listener, addr) = listener();
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

/// Sends all of `bytes`, ends the writing side, and reads to the end.
pub fn ask(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(addr);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    read_all(&mut stream)
}

/// Bytes that are easy to compare and hard to confuse.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

/// A program from outside; the test fails where it is missing.
pub fn outside(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a connection ended, of a `closed` event: by, during, why, failed.
pub fn end_of(closed: &Value) -> (&str, &str, &str, bool) {
    let text = |key: &str| closed[key].as_str().unwrap_or_else(|| panic!("no {key} in {closed}"));
    (text("by"), text("during"), text("why"), closed["failed"].as_bool().unwrap())
}

/// Waits until the kernel has sent all that was written: RST discards what it has not.
pub fn wait_sent(stream: &TcpStream) {
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

/// Everything up to the end, by someone who takes little at a time.
pub fn read_slowly(stream: &mut TcpStream) -> Vec<u8> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 1000]);
    loop {
        match stream.read(&mut chunk).unwrap() {
            0 => return bytes,
            n => bytes.extend(&chunk[..n]),
        }
        std::thread::yield_now();
    }
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

/// What the program wrote to stdout, one JSON object a line; only after its end.
pub fn results(tapline: &mut Tapline) -> Vec<Value> {
    tapline.stdout().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}
