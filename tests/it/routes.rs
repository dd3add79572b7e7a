//! `sni-route --routes FILE`: rules that change while clients are served.

use crate::{
    support::*,
    tls::{REFUSED, hear, hello_with_name},
};
use serde_json::Value;
use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// In one step, as programs do that mean well.
    fn replace(&self, name: &str, text: &str) {
        let new = self.write("new", text);
        std::fs::rename(new, self.path(name)).unwrap();
    }
}

fn start(files: &[&Path], rules: &[&str]) -> Tapline {
    let files = files.iter().flat_map(|path| ["--routes", path.to_str().unwrap()]);
    Tapline::start(&["sni-route", "0"].into_iter().chain(rules.iter().copied()).chain(files).collect::<Vec<_>>())
}

fn counts(routes: &Value) -> [u64; 5] {
    ["rules", "added", "removed", "changed", "skipped"].map(|key| routes[key].as_u64().unwrap())
}

/// The next reading that has changed something.
fn changed(tapline: &mut Tapline) -> [u64; 5] {
    let routes = tapline.event("routes");
    assert_eq!(routes["why"], Value::Null, "{routes}");
    counts(&routes)
}

/// The next reading that could not be used, and why.
fn refused(tapline: &mut Tapline) -> String {
    let routes = tapline.event("routes");
    assert_eq!(counts(&routes)[1..], [0; 4], "{routes}");
    routes["why"].as_str().unwrap().to_owned()
}

#[test]
fn rules_of_files_serve_beside_those_of_arguments() {
    let folder = Folder::new();
    let (one, two) = (naming("one"), naming("two"));
    let first = folder.write("first", &format!("# of the first\n\na.test={one} # why not\n*.b.test={one},{one}\n"));
    let second = folder.write("second", &format!("c.test={two}"));
    let mut tapline = start(&[&first, &second], &[&format!("d.test={two}")]);
    let told = [tapline.event("routes"), tapline.event("routes")];
    assert_eq!(told.each_ref().map(|routes| routes["source"].as_str().unwrap()), [first.to_str().unwrap(), second.to_str().unwrap()]);
    assert_eq!(told.each_ref().map(counts), [[2, 2, 0, 0, 0], [1, 1, 0, 0, 0]]);
    for (name, answer) in [("a.test", "one"), ("x.b.test", "one"), ("c.test", "two"), ("d.test", "two"), ("e.test", REFUSED)] {
        assert_eq!(hear(tapline.addr(), name), answer, "{name}");
    }
    let tested = run(&["sni-route", "0", "--routes", second.to_str().unwrap(), "--test", "c.test", "a.test"]);
    assert!(tested.code == Some(1) && tested.stdout.contains("c.test -> rule c.test"), "{tested:?}");
    // Without any rule as an argument, too.
    assert_eq!(hear(start(&[&first], &[]).addr(), "a.test"), "one");
}

#[test]
fn an_edit_a_rename_and_a_signal_are_noticed() {
    let folder = Folder::new();
    let (one, two) = (naming("one"), naming("two"));
    let file = folder.write("routes", &format!("a.test={one}\n"));
    let mut tapline = start(&[&file], &[]);
    assert_eq!(changed(&mut tapline), [1, 1, 0, 0, 0]);
    // In place.
    folder.write("routes", &format!("a.test={one}\nb.test={two}\n"));
    assert_eq!(changed(&mut tapline), [2, 1, 0, 0, 0]);
    assert_eq!(hear(tapline.addr(), "b.test"), "two");
    folder.replace("routes", &format!("a.test={two}\nc.test={two}\n"));
    assert_eq!(changed(&mut tapline), [2, 1, 1, 1, 0]);
    assert_eq!(["a.test", "b.test", "c.test"].map(|name| hear(tapline.addr(), name)), ["two", REFUSED, "two"]);
    // Nothing has changed, and it is told that it was read.
    tapline.signal("HUP");
    assert_eq!(changed(&mut tapline), [2, 0, 0, 0, 0]);
    std::fs::remove_file(&file).unwrap();
    assert!(refused(&mut tapline).contains("No such file"));
    assert_eq!(hear(tapline.addr(), "a.test"), "two");
    folder.write("routes", "");
    assert_eq!(changed(&mut tapline), [0, 0, 2, 0, 0]);
    assert_eq!(hear(tapline.addr(), "a.test"), REFUSED);
}

#[test]
fn a_link_in_the_folder_or_on_the_way_is_followed_to_its_new_end() {
    // As Kubernetes mounts a ConfigMap: routes -> ..data/routes, and ..data -> a folder of the time.
    let folder = Folder::new();
    for (name, answer) in [("1", naming("one")), ("2", naming("two")), ("3", naming("three"))] {
        std::fs::create_dir(folder.path(name)).unwrap();
        folder.write(&format!("{name}/routes"), &format!("a.test={answer}"));
    }
    symlink("1", folder.path("..data")).unwrap();
    let file = folder.path("routes");
    symlink("..data/routes", &file).unwrap();
    let mut tapline = start(&[&file], &[]);
    assert_eq!(changed(&mut tapline), [1, 1, 0, 0, 0]);
    for (name, answer) in [("2", "two"), ("3", "three")] {
        symlink(name, folder.path("..new")).unwrap();
        std::fs::rename(folder.path("..new"), folder.path("..data")).unwrap();
        assert_eq!(changed(&mut tapline), [1, 0, 0, 1, 0]);
        assert_eq!(hear(tapline.addr(), "a.test"), answer);
    }
    // Where it leads now, it is watched too.
    folder.write("3/routes", &format!("a.test={}", naming("four")));
    assert_eq!(changed(&mut tapline), [1, 0, 0, 1, 0]);
    assert_eq!(hear(tapline.addr(), "a.test"), "four");
}

#[test]
fn a_bad_file_leaves_the_rules_as_they_were_and_says_the_line() {
    let folder = Folder::new();
    let one = naming("one");
    let file = folder.write("routes", &format!("a.test={one}\n"));
    let other = folder.write("other", &format!("o.test={one}\n"));
    let mut tapline = start(&[&file, &other], &[&format!("g.test={one}")]);
    changed(&mut tapline);
    changed(&mut tapline);
    for (text, why) in [
        ("a.test=1\nb.test=2\nb.test\n", "routes, line 3: \"b.test\" is not a rule"),
        ("a.test=1\n\nA.test.=2\n", "routes, line 3: a.test has a rule in line 1 already"),
        ("a.test=1\ng.test=2\n", "g.test has a rule in the arguments and in"),
        ("a.test=1\no.test=2\n", "o.test has a rule in"),
        ("a.test=99999\n", "routes, line 1: \"99999\" has port 99999"),
    ] {
        folder.replace("routes", text);
        let refused = refused(&mut tapline);
        assert!(refused.contains(why), "{refused}");
        assert_eq!(["a.test", "b.test", "g.test"].map(|name| hear(tapline.addr(), name)), ["one", REFUSED, "one"]);
    }
    folder.replace("routes", &format!("b.test={one}\n"));
    assert_eq!(changed(&mut tapline), [1, 1, 1, 0, 0]);
    assert_eq!(hear(tapline.addr(), "b.test"), "one");
}

#[test]
fn what_cannot_be_read_at_the_start_is_the_end() {
    let folder = Folder::new();
    let [good, bad, twice] = [("good", "a.test=1"), ("bad", "a.test=1\n\nb.test"), ("twice", "a.test=1\na.test=2")]
        .map(|(name, text)| folder.write(name, text).to_str().unwrap().to_owned());
    for (args, code, why) in [
        (vec!["--routes", "/nowhere/routes"], 3, "cannot read /nowhere/routes: No such file"),
        (vec!["--routes", &bad], 3, "bad, line 3: \"b.test\" is not a rule"),
        (vec!["--routes", &twice], 3, "twice, line 2: a.test has a rule in line 1 already"),
        (vec!["--routes", &good, "--routes", &good], 3, "a.test has a rule in "),
        (vec!["a.test=1", "--routes", &good], 3, "a.test has a rule in the arguments and in "),
        (vec!["a.test=1", "a.test=2", "--routes", &good], 2, "two rules are given for a.test"),
        (vec!["--routes", "redis://user:secret@127.0.0.1:1"], 3, "cannot read the rules of redis://127.0.0.1:1/0: refused"),
        (vec!["--routes", "redis://user:secret@"], 2, "is not a redis server"),
        (vec!["--routes", "etcd://user:secret@h"], 2, "is no source of rules"),
        (vec![], 2, "NAME=TARGET"),
        (vec!["a.test=1", "--routes-interval", "1s"], 2, "--routes"),
    ] {
        let ended = run(&[&["sni-route", "0"], args.as_slice()].concat());
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(why) && !ended.stderr.contains("secret"), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn a_connection_goes_on_whose_rule_has_gone_and_a_rule_that_stays_keeps_its_turn() {
    let folder = Folder::new();
    let (listener, target) = listener();
    let turns = format!("turns.test={},{}", naming("1"), naming("2"));
    let file = folder.write("routes", &format!("{turns}\na.test={target}\n"));
    let mut tapline = start(&[&file], &[]);
    changed(&mut tapline);
    let mut client: TcpStream = tapline.connect();
    let sent = hello_with_name(b"a.test");
    client.write_all(&sent).unwrap();
    let mut server = accept(&listener);
    assert_eq!(read_n(&mut server, sent.len()), sent);
    let mut heard = hear(tapline.addr(), "turns.test");
    folder.replace("routes", &format!("{turns}\nb.test={target}\n"));
    assert_eq!(changed(&mut tapline), [2, 1, 1, 0, 0]);
    assert_eq!(hear(tapline.addr(), "a.test"), REFUSED);
    client.write_all(b"still here").unwrap();
    assert_eq!(read_n(&mut server, 10), b"still here");
    heard += &hear(tapline.addr(), "turns.test");
    assert_eq!(heard, "12");
    drop((client, server));
    tapline.stop();
    // Also what a target has come to whose rule has gone is told.
    let told: Vec<_> = tapline.seen.iter().filter(|event| event["event"] == "target" && event["target"] == target.to_string()).collect();
    assert_eq!((told.len(), &told[0]["connections"]), (1, &1.into()), "{told:?}");
}

#[test]
fn a_rule_may_move_from_one_file_to_another_whichever_is_written_first() {
    let folder = Folder::new();
    let rule = format!("m.test={}\n", naming("one"));
    let (from, to) = (folder.write("from", &rule), folder.write("to", ""));
    let mut tapline = start(&[&from, &to], &[]);
    changed(&mut tapline);
    changed(&mut tapline);
    folder.replace("to", &rule);
    let why = refused(&mut tapline);
    assert!(why.starts_with("m.test has a rule in"), "{why}");
    folder.replace("from", "");
    assert_eq!(changed(&mut tapline), [0, 0, 1, 0, 0]);
    assert_eq!(changed(&mut tapline), [1, 1, 0, 0, 0]);
    assert_eq!(hear(tapline.addr(), "m.test"), "one");
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    let folder = Folder::new();
    let file = folder.write("routes", &format!("a.test={}", naming("one")));
    let mut tapline = start(&[&file], &[]);
    changed(&mut tapline);
    // No writer is left to wait for.
    drop(fifo(&folder.0).1);
    std::fs::rename(folder.path("pipe"), &file).unwrap();
    assert!(refused(&mut tapline).ends_with("is no regular file any more"));
    assert_eq!(hear(tapline.addr(), "a.test"), "one");
    folder.replace("routes", &format!("a.test={}", naming("two")));
    assert_eq!(changed(&mut tapline), [1, 0, 0, 1, 0]);
    assert_eq!(hear(tapline.addr(), "a.test"), "two");
}

#[test]
fn a_rule_that_leads_back_here_is_refused_at_once() {
    let folder = Folder::new();
    let file = folder.write("routes", "");
    let mut tapline = start(&[&file], &["--no-checks"]);
    changed(&mut tapline);
    let here = tapline.addr();
    folder.replace("routes", &format!("a.test={here}\nb.test={here},{}\n", naming("one")));
    assert_eq!(changed(&mut tapline), [2, 2, 0, 0, 0]);
    assert_eq!(hear(here, "a.test"), "");
    let why = format!("{here}: {here} is where this process listens itself");
    assert_eq!(end_of(&tapline.closed()), ("rule", "dial", why.as_str(), true));
    assert_eq!(hear(here, "b.test"), "one");
    tapline.stop();
    let closed = tapline.seen.iter().filter(|event| event["event"] == "closed").count();
    assert_eq!(closed, 2, "nothing came back");
}

#[test]
fn a_pipe_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = fifo(&folder).0;
    let rule = format!("a.test={}\n", naming("one"));
    let writer = std::thread::spawn({
        let path = path.clone();
        // It opens when there is a reader.
        move || std::fs::write(path, rule)
    });
    let mut tapline = start(&[&path], &[]);
    writer.join().unwrap().unwrap();
    assert_eq!(changed(&mut tapline), [1, 1, 0, 0, 0]);
    assert!(tapline.event("note")["text"].as_str().unwrap().contains("it is read once"));
    assert_eq!(hear(tapline.addr(), "a.test"), "one");
}

#[test]
fn every_client_gets_an_answer_while_rules_change_all_the_time() {
    let folder = Folder::new();
    let (one, two) = (naming("one"), naming("two"));
    let file = folder.write("routes", &format!("a.test={one}"));
    let mut tapline = start(&[&file], &[]);
    changed(&mut tapline);
    let (addr, done) = (tapline.addr(), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let done = done.clone();
            std::thread::spawn(move || {
                let mut answers = 0;
                while !done.load(Relaxed) {
                    let heard = hear(addr, "a.test");
                    assert!(heard == "one" || heard == "two", "{heard:?}");
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    for round in 0..20 {
        folder.replace("routes", &format!("a.test={}\nn{round}.test={one}", if round % 2 == 0 { two } else { one }));
        assert_eq!(changed(&mut tapline)[3], 1);
    }
    done.store(true, Relaxed);
    assert!(clients.into_iter().all(|client| client.join().unwrap() > 0));
}

#[test]
fn the_targets_of_a_rule_are_checked_from_its_first_client_until_it_goes() {
    let folder = Folder::new();
    let (listener, target) = listener();
    let to = format!("{target},{}", naming("other"));
    let file = folder.write("routes", &format!("a.test={to}\n"));
    let mut tapline = start(&[&file], &["--check-interval", "10ms"]);
    changed(&mut tapline);
    // A second reading of the same rule is no reason either.
    tapline.signal("HUP");
    changed(&mut tapline);
    let silence = |listener: &TcpListener| {
        let socket = socket2::SockRef::from(listener);
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let silent = listener.accept().is_err();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        silent
    };
    assert!(silence(&listener), "nobody has asked for the name yet");
    drop(tapline.connect());
    let mut client = tapline.connect();
    client.write_all(&hello_with_name(b"a.test")).unwrap();
    // The client and its checks, or its checks alone.
    for _ in 0..5 {
        drop(accept(&listener));
    }
    folder.replace("routes", "b.test=1\n");
    changed(&mut tapline);
    // Those that were on their way come still; at 10 ms each there would be no silence.
    assert!((0..20).any(|_| silence(&listener)), "the checks go on");
}
