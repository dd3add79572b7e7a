//! Starting the real program and talking to it. Nothing sleeps: tests wait for events, for bytes and for ends, each with
//! a deadline that only a failing test meets.
#![allow(dead_code, reason = "each of the two test binaries uses its own part")]

use serde_json::Value;
use std::{
    ffi::OsStr,
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    path::PathBuf,
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
    finished(spawn(command))
}

/// The same with these bytes on its stdin, all of which it has to read.
pub fn finish_fed(command: &mut Command, input: &[u8]) -> Finished {
    let mut child = spawn(command.stdin(Stdio::piped()));
    // From a thread of its own: what comes back fills the other pipe meanwhile. Dropping it ends the input.
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let finished = finished(child);
    writer.join().unwrap().unwrap();
    finished
}

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn finished(mut child: Child) -> Finished {
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

    /// The events that have come by now and were not looked at.
    pub fn said(&mut self) -> Vec<Value> {
        let said: Vec<_> = self.events.try_iter().collect();
        self.seen.extend(said.iter().cloned());
        said
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

/// The program under a limit of open files.
pub fn with_descriptors(limit: u32, args: &[&str]) -> Tapline {
    let mut command: Command = outside("sh");
    let script = format!("ulimit -n {limit}; exec \"$@\"");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_tapline"), "--json"]).args(args);
    Tapline::from(&mut command)
}

/// The limit on open files of the running program is low, until this is dropped.
pub struct Starved {
    pid: rustix::process::Pid,
    before: rustix::process::Rlimit,
}

/// The running program can open nothing more.
pub fn starve(tapline: &Tapline) -> Starved {
    limit_descriptors(tapline, 0)
}

/// The running program can have so many more descriptors open than it has.
pub fn starve_but(tapline: &Tapline, more: usize) -> Starved {
    let open: std::collections::BTreeSet<u64> = std::fs::read_dir(format!("/proc/{}/fd", tapline.pid()))
        .unwrap()
        .map(|fd| fd.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    limit_descriptors(tapline, (0..).filter(|fd| !open.contains(fd)).nth(more).unwrap())
}

fn limit_descriptors(tapline: &Tapline, current: u64) -> Starved {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let pid = Pid::from_raw(tapline.pid().cast_signed()).unwrap();
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let before = prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(current), maximum }).unwrap();
    Starved { pid, before }
}

impl Drop for Starved {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut self.before, rustix::process::Rlimit { current: None, maximum: None });
        // Fails where the program has ended meanwhile.
        let _ = rustix::process::prlimit(Some(self.pid), rustix::process::Resource::Nofile, before);
    }
}

/// The descriptors of a process of one kind: "socket:", "pipe:".
pub fn descriptors(pid: u32, kind: &str) -> usize {
    let all = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = all.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with(kind)).count()
}

/// The CPU time of a process so far, by proc_pid_stat(5): fields 14 and 15, in ticks of which Linux has 100 a second.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name before may hold anything.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

/// The bytes of a process that are in memory.
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    1024 * line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
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

/// Sends so many bytes from each end to the other at once, and compares every one of them: wrong, lost, doubled and
/// exchanged ones alike. Neither end is shut.
pub fn both_ways_at_once<S>(one: &S, other: &S, bytes: u64)
where
    S: Sync,
    for<'a> &'a S: Read + Write,
{
    // A block that begins with its number is found nowhere else.
    let (block, stamped) = (Block::new(), bytes / Block::LEN as u64);
    std::thread::scope(|scope| {
        for (from, to) in [(one, other), (other, one)] {
            let (mut sender, mut expected) = (block.clone(), block.clone());
            scope.spawn(move || {
                let (mut from, mut left) = (from, bytes);
                for number in 0..=stamped {
                    let part = sender.part(number, &mut left);
                    from.write_all(part).unwrap();
                }
            });
            scope.spawn(move || {
                let (mut to, mut left, mut came) = (to, bytes, vec![0; Block::LEN]);
                for number in 0..=stamped {
                    let part = expected.part(number, &mut left);
                    let came = &mut came[..part.len()];
                    to.read_exact(came).unwrap();
                    assert!(came == part, "other bytes in block {number}");
                }
            });
        }
    });
}

/// Bytes without a pattern, with a number in front.
#[derive(Clone)]
struct Block(Vec<u8>);

impl Block {
    /// Odd, so that it lies across the borders of every buffer.
    const LEN: usize = 1_000_003;

    fn new() -> Self {
        let mut random = Xorshift::new(1);
        Self(std::iter::repeat_with(|| random.next().to_le_bytes()).flatten().take(Self::LEN).collect())
    }

    /// The block of this number, or what is left of all.
    fn part(&mut self, number: u64, left: &mut u64) -> &[u8] {
        self.0[..8].copy_from_slice(&number.to_le_bytes());
        let len = (*left).min(Self::LEN as u64);
        *left -= len;
        &self.0[..len as usize]
    }
}

/// Numbers without sense, the same for the same seed.
pub struct Xorshift(u64);

impl Xorshift {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }
}

/// A program from outside; the test fails where it is missing.
pub fn outside(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A named pipe in a folder, and its reader.
pub fn fifo(folder: &tempfile::TempDir) -> (PathBuf, File) {
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Opened for both, it does not wait for the other end.
    let reader = File::options().read(true).write(true).open(&path).unwrap();
    (path, reader)
}

/// How a connection ended, of a `closed` event: by, during, why, failed.
pub fn end_of(closed: &Value) -> (&str, &str, &str, bool) {
    let text = |key: &str| closed[key].as_str().unwrap_or_else(|| panic!("no {key} in {closed}"));
    (text("by"), text("during"), text("why"), closed["failed"].as_bool().unwrap())
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
