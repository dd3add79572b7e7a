//! The program under test and others, as processes.

use super::{DEADLINE, connect};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::JoinHandle,
    time::Duration,
};

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

/// What a child comes to, once it has ended by itself.
pub fn finished(mut child: Child) -> Finished {
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

    /// Sends a signal: "HUP", "INT", "TERM", "STOP", "CONT".
    pub fn signal(&self, name: &str) {
        use rustix::process::{Pid, Signal, kill_process};
        let signal = match name {
            "HUP" => Signal::HUP,
            "INT" => Signal::INT,
            "TERM" => Signal::TERM,
            "STOP" => Signal::STOP,
            "CONT" => Signal::CONT,
            other => panic!("{other}"),
        };
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

/// What the program wrote to stdout, one JSON object a line; only after its end.
pub fn results(tapline: &mut Tapline) -> Vec<Value> {
    tapline.stdout().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}
