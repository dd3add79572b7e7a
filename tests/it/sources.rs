//! Targets that come and go while clients are served: `@FILE` and `-`.

use crate::support::*;
use serde_json::Value;
use std::{
    io::{PipeWriter, Write},
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};
use tempfile::TempDir;

struct File(TempDir);

impl File {
    fn new(text: &str) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        file.write(text);
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("targets")
    }

    fn argument(&self) -> String {
        format!("@{}", self.path().display())
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    /// In one step, as programs do that mean well.
    fn replace(&self, text: &str) {
        let new = self.0.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path()).unwrap();
    }
}

/// Targets, added, removed, changed, skipped.
fn counts(event: &Value) -> [u64; 5] {
    ["targets", "added", "removed", "changed", "skipped"].map(|key| event[key].as_u64().unwrap())
}

fn next(tapline: &mut Tapline) -> ([u64; 5], String) {
    let event = tapline.event("targets");
    (counts(&event), event["why"].as_str().unwrap_or_default().to_owned())
}

/// Who answers clients, in alphabetical order, each once. There may be other clients meanwhile, who take turns with these.
fn who(tapline: &Tapline) -> String {
    let mut all: Vec<_> = (0..40).map(|_| String::from_utf8(read_all(&mut tapline.connect())).unwrap()).collect();
    all.sort();
    all.dedup();
    all.join(" ")
}

/// Reads targets from a pipe, whose other end it returns.
fn fed(args: &[&str]) -> (Tapline, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    (Tapline::from(program().arg("--json").args(args).stdin(Stdio::from(reader))), writer)
}

#[test]
fn a_file_is_broken_and_mended_and_no_client_fails() {
    let [one, two, three] = ["one", "two", "three"].map(naming);
    let file = File::new(&format!("# all\n{one}\n{two},weight=2 # why\n"));
    let mut tapline = Tapline::start(&["lb4", "0", &file.argument(), "--no-checks"]);
    assert_eq!(next(&mut tapline), ([2, 2, 0, 0, 0], String::new()));
    assert_eq!(who(&tapline), "one two");
    let (addr, stop, served) = (tapline.addr(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients = std::thread::spawn({
        let (stop, served) = (stop.clone(), served.clone());
        move || {
            while !stop.load(Relaxed) {
                let name = read_all(&mut connect(addr));
                assert!([&b"one"[..], b"two", b"three"].contains(&&*name), "{name:?}");
                served.fetch_add(1, Relaxed);
            }
        }
    });
    file.replace(&format!("{one}\nnonsense\n{three}\n"));
    let (unchanged, why) = next(&mut tapline);
    assert_eq!(unchanged, [2, 0, 0, 0, 0]);
    assert!(why.contains("line 2") && why.contains("\"nonsense\" is not a target"), "{why}");
    // Wrong in another way, which is told too; then gone.
    file.replace(&format!("{one}\n{one},weight=2\n"));
    assert!(next(&mut tapline).1.ends_with(&format!("line 2: {one} is in line 1 already")));
    std::fs::remove_file(file.path()).unwrap();
    assert!(next(&mut tapline).1.contains("No such file"));
    assert_eq!(who(&tapline), "one two");
    file.write(&format!("{one},weight=3\n{three}\n"));
    // It may be read between its making and its writing.
    while next(&mut tapline).0[0] != 2 {}
    let closed = (0..).map(|_| tapline.closed()).take(3).collect::<Vec<_>>();
    assert!(closed.iter().all(|closed| closed["failed"] == false), "{closed:?}");
    // Asked for, it is told that it was read.
    tapline.signal("HUP");
    assert_eq!(next(&mut tapline), ([2, 0, 0, 0, 0], String::new()));
    assert_eq!(who(&tapline), "one three");
    stop.store(true, Relaxed);
    clients.join().unwrap();
    assert!(served.load(Relaxed) > 0);
    assert_eq!(tapline.stop(), Some(0));
    assert!(tapline.seen.iter().all(|event| event["event"] != "closed" || event["failed"] == false));
}

#[test]
fn lines_on_stdin_add_and_remove_targets_and_their_end_leaves_them() {
    let [one, two] = ["one", "two"].map(naming);
    let (mut tapline, mut input) = fed(&["lb4", "0", "-", "--no-checks"]);
    // There is none yet, and the client is told so by a reset.
    assert!(fate(tapline.addr()).1.is_err());
    let closed = tapline.closed();
    assert_eq!(end_of(&closed), ("rule", "dial", "no target", true));
    writeln!(input, "{one}").unwrap();
    assert_eq!(next(&mut tapline), ([1, 1, 0, 0, 0], String::new()));
    assert_eq!(who(&tapline), "one");
    // Several at a time are one change.
    input.write_all(format!("# more\n{two}\n{one},weight=2\n").as_bytes()).unwrap();
    assert_eq!(next(&mut tapline), ([2, 1, 0, 1, 0], String::new()));
    assert_eq!(who(&tapline), "one two");
    for _ in 0..2 {
        writeln!(input, "nonsense").unwrap();
        let (counts, why) = next(&mut tapline);
        assert!(counts == [2, 0, 0, 0, 1] && why.contains("\"nonsense\" is not a target"), "{why}");
    }
    // A connection goes on when its target goes; no new one goes there.
    writeln!(input, "-{one}").unwrap();
    assert_eq!(next(&mut tapline), ([1, 0, 1, 0, 0], String::new()));
    assert_eq!(who(&tapline), "two");
    // The last line may have no end.
    write!(input, "{one}").unwrap();
    drop(input);
    assert_eq!(next(&mut tapline), ([2, 1, 0, 0, 0], String::new()));
    assert_eq!(who(&tapline), "one two");
    assert_eq!(tapline.stop(), Some(0));
    let notes: Vec<_> = tapline.seen.iter().filter(|event| event["event"] == "note").map(|event| &event["text"]).collect();
    assert_eq!(notes, ["stdin has ended; its targets stay (2)"]);
}

#[test]
fn a_connection_outlives_its_target() {
    let (listening, addr) = listener();
    let file = File::new(&addr.to_string());
    let mut tapline = Tapline::start(&["lb4", "0", &file.argument(), "builtin:echo", "--no-checks"]);
    tapline.event("targets");
    // One after the other: of two at a time either may be the first to be given a target.
    let mut clients = [(), ()].map(|()| {
        let client = tapline.connect();
        tapline.event("dialed");
        client
    });
    let mut there = accept(&listening);
    file.replace("");
    assert_eq!(next(&mut tapline), ([0, 0, 1, 0, 0], String::new()));
    there.write_all(b"still here").unwrap();
    let other = ask(tapline.addr(), b"hello");
    assert_eq!(other, b"hello");
    // The policy begins with the argument.
    assert_eq!(read_n(&mut clients[1], 10), b"still here");
    drop((there, clients));
    assert_eq!(tapline.stop(), Some(0));
    let gone = tapline.seen.iter().find(|event| event["event"] == "target" && event["target"] == addr.to_string()).unwrap();
    assert_eq!((&gone["connections"], &gone["received"]), (&1.into(), &10.into()));
}

#[test]
fn lb7_and_tls_terminate_take_targets_from_a_file_too() {
    let file = File::new("builtin:http");
    let mut balancer = Tapline::start(&["lb7", "0", &file.argument()]);
    assert_eq!(next(&mut balancer).0, [1, 1, 0, 0, 0]);
    let answer = ask(balancer.addr(), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    let mut terminator = Tapline::start(&["tls-terminate", "0", &file.argument()]);
    assert_eq!(next(&mut terminator).0, [1, 1, 0, 0, 0]);
}

#[test]
fn sources_that_cannot_be_are_refused_with_the_reason_and_no_password() {
    let file = File::new("h1:80\nh2:80,colour=red\n");
    let empty = File::new("# nobody\n");
    for (args, code, why) in [
        (&["-", "--", "true"][..], 2, "- and COMMAND would both read stdin"),
        (&["-", "-"], 2, "- is given twice"),
        (&["dns:web", "h:1"], 2, "write dns:NAME:PORT"),
        (&["redis://u:secret@h?key="], 2, "has a key that is none"),
        (&["redis://u:secret@127.0.0.1:1"], 3, "cannot read the targets of redis://127.0.0.1:1/0: refused"),
        (&["h:1", "--resolver", "dns.test"], 2, "is not the address of a DNS server"),
        (&["@/nowhere/at/all"], 3, "cannot read /nowhere/at/all: No such file"),
        (&[&file.argument()], 3, "line 2: \"colour=red\" sets \"colour\""),
        (&[&empty.argument()], 3, "there is no target: "),
    ] {
        let done = run(&[&["lb4", "0"], args].concat());
        assert_eq!(done.code, Some(code), "{args:?}: {done:?}");
        assert!(done.stderr.contains(why) && !done.stderr.contains("secret"), "{args:?}: {done:?}");
    }
}
