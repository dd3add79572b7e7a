//! `--save` and `--discard`.

use crate::support::*;
use std::{
    fs,
    io::{ErrorKind, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn each_connection_has_a_file_of_its_own_and_a_silent_one_has_none() {
    let folder = tempfile::tempdir().unwrap();
    // Made where it is not there, with those above it.
    let kept = folder.path().join("a/b");
    let mut tapline = Tapline::start(&["listen", "0", "--connections", "3", "--save", kept.to_str().unwrap()]);
    let (mut first, silent, mut third) = (tapline.connect(), tapline.connect(), tapline.connect());
    let peers = [&first, &third].map(|client| client.local_addr().unwrap());
    // At the same time, and not mixed.
    for part in pattern(1 << 20).chunks(100_000) {
        first.write_all(part).unwrap();
        third.write_all(b"part\n").unwrap();
    }
    drop((first, silent, third));
    assert_eq!(tapline.wait().code(), Some(0));
    let expected = [format!("000001-127.0.0.1-{}.bin", peers[0].port()), format!("000003-127.0.0.1-{}.bin", peers[1].port())];
    assert_eq!(names(&kept), expected);
    assert!(fs::read(kept.join(&expected[0])).unwrap() == pattern(1 << 20));
    assert_eq!(fs::read_to_string(kept.join(&expected[1])).unwrap(), "part\n".repeat(11));
    let saved: Vec<_> = tapline.seen.iter().filter(|event| event["event"] == "saved").collect();
    assert_eq!(saved.len(), 2, "{:#?}", tapline.seen);
    for event in saved {
        let path = kept.join(&expected[usize::from(event["id"] != 1)]);
        assert_eq!(event["path"], path.to_str().unwrap());
    }
    assert!(tapline.seen.iter().all(|event| event["event"] != "data"), "what is kept is not shown");
}

#[test]
fn nothing_of_an_earlier_run_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, socket) = (folder.path().join("kept"), folder.path().join("socket"));
    for text in ["first", "second", "third"] {
        let listen = format!("unix:{}", socket.display());
        let mut tapline = Tapline::start(&["listen", &listen, "--connections", "1", "--save", kept.to_str().unwrap()]);
        let mut client = UnixStream::connect(&socket).unwrap();
        client.write_all(text.as_bytes()).unwrap();
        drop(client);
        assert_eq!(tapline.wait().code(), Some(0));
    }
    let all = names(&kept);
    assert_eq!(all, ["000001-unix-2.bin", "000001-unix-3.bin", "000001-unix.bin"]);
    let texts = all.iter().map(|name| fs::read_to_string(kept.join(name)).unwrap()).collect::<Vec<_>>();
    assert_eq!(texts, ["second", "third", "first"]);
}

#[test]
fn a_directory_that_cannot_be_made_is_named_before_anyone_connects() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let refused = run(&["listen", "0", "--save", path]);
    assert_eq!(refused.code, Some(3));
    assert!(refused.stderr.contains(&format!("cannot make the directory {path}")), "{}", refused.stderr);
}

#[test]
fn a_file_that_cannot_be_made_is_this_machines_failure() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let mut tapline = Tapline::start(&["listen", "0", "--connections", "1", "--save", kept.to_str().unwrap()]);
    fs::remove_dir(&kept).unwrap();
    let mut client = tapline.connect();
    client.write_all(b"nowhere to go").unwrap();
    let closed = tapline.closed();
    let (by, _, why, failed) = end_of(&closed);
    assert_eq!((by, failed), ("local", true));
    assert!(why.starts_with(&format!("cannot write {}/000001-127.0.0.1-", kept.display())) && why.contains("No such file"), "{why}");
    assert_eq!(read_to_any_end(&mut client).1, Err(ErrorKind::ConnectionReset));
    assert_eq!(tapline.wait().code(), Some(1));
}

#[test]
fn discard_reads_everything_and_shows_nothing() {
    const SIZE: usize = 32 << 20;
    let mut tapline = Tapline::start(&["listen", "0", "--connections", "1", "--discard"]);
    let mut client = tapline.connect();
    client.write_all(&pattern(SIZE)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), b"");
    let closed = tapline.closed();
    assert_eq!((&closed["received"], &closed["sent"], &closed["failed"]), (&SIZE.into(), &0.into(), &false.into()));
    assert_eq!(tapline.wait().code(), Some(0));
    assert!(tapline.seen.iter().all(|event| event["event"] != "data"));
}

#[test]
fn a_reset_is_told_and_every_byte_before_it_counted_where_nothing_is_looked_at() {
    let mut tapline = Tapline::start(&["listen", "0", "--connections", "1", "--discard"]);
    let mut client = tapline.connect();
    // What it speaks is known after the first of them: from there on the kernel drops the bytes.
    for _ in 0..20 {
        client.write_all(&pattern(100_000)).unwrap();
    }
    wait_sent(&client);
    reset(client);
    let closed = tapline.closed();
    assert_eq!(end_of(&closed), ("client", "relay", "reset", true));
    assert_eq!(closed["received"], 2_000_000);
    assert_eq!(tapline.wait().code(), Some(1));
}

#[test]
fn what_is_discarded_costs_no_memory() {
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:discard", "--threads", "1", "--max-connections", "200"]);
    // Again and again: allocations that were given back are not those of new memory.
    for _ in 0..4 {
        let mut clients: Vec<_> = (0..200).map(|_| tapline.connect()).collect();
        for client in &mut clients {
            client.write_all(b"x").unwrap();
            tapline.event("dialed");
        }
        let resident = resident(tapline.pid());
        assert!(resident < 48 << 20, "{resident}");
        for client in &mut clients {
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_all(client), b"");
        }
    }
}
