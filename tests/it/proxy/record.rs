//! `--record`: the file holds every byte of every connection.

use crate::{recordings, support::*};
use std::{
    io::{Read, Write},
    net::Shutdown,
    process::Stdio,
};

#[test]
fn every_byte_of_every_connection_is_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.pcapng");
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["proxy", "0", &target.to_string(), "--record", path.to_str().unwrap()]);
    let mut ports = Vec::new();
    for size in [0, 5, 3_000_000] {
        let mut client = tapline.connect();
        ports.push(client.local_addr().unwrap().port());
        let mut server = accept(&listener);
        let sender = std::thread::spawn(move || {
            client.write_all(&pattern(size)).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_all(&mut client), b"answer");
        });
        assert!(read_all(&mut server) == pattern(size));
        server.write_all(b"answer").unwrap();
        drop(server);
        sender.join().unwrap();
        let closed = tapline.closed();
        assert_eq!((&closed["failed"], &closed["spliced"]), (&false.into(), &false.into()));
    }
    assert_eq!(tapline.stop(), Some(0));
    let all = recordings::read(&path);
    for (port, size) in ports.iter().zip([0, 5, 3_000_000]) {
        assert!(all.bytes[&(*port, target.port())].0 == pattern(size));
        assert_eq!(all.bytes[&(target.port(), *port)].0, b"answer");
    }
    assert_eq!(all.comments.len(), 3);
    assert!(all.comments[1].starts_with("connection #2 from 127.0.0.1:"), "{:?}", all.comments);
}

#[test]
fn a_reset_and_an_abort_are_resets_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.pcapng");
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["proxy", "0", &target.to_string(), "--grace", "10ms", "--record", path.to_str().unwrap()]);
    let (client, mut server) = (tapline.connect(), accept(&listener));
    let port = client.local_addr().unwrap().port();
    tapline.event("dialed");
    reset(client);
    assert!(read_to_any_end(&mut server).1.is_err());
    let (aborted, _server) = (tapline.connect(), accept(&listener));
    tapline.event("dialed");
    assert_eq!(tapline.stop(), Some(5));
    let all = recordings::read(&path);
    assert_eq!(all.bytes[&(port, target.port())].1, 0x14);
    assert_eq!(all.bytes[&(target.port(), aborted.local_addr().unwrap().port())].1, 0x14);
}

#[test]
fn stdout_gets_the_recording_and_a_reader_who_goes_ends_the_program_quietly() {
    let mut command = program();
    command.args(["--json", "proxy", "0", "builtin:echo", "--record", "-"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let first: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let addr = first["addr"].as_str().unwrap().parse().unwrap();
    assert_eq!(ask(addr, b"hello"), b"hello");
    let mut stdout = child.stdout.take().unwrap();
    let mut header = [0; 12];
    stdout.read_exact(&mut header).unwrap();
    assert_eq!(header[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    drop(stdout);
    // What is said next meets the closed pipe. It may be gone before it takes one of these.
    while let Ok(mut client) = std::net::TcpStream::connect(addr) {
        let _ = client.write_all(b"more");
        let _ = client.read(&mut [0; 4]);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_recorded_is_said_and_not_quietly_left_out() {
    let refused = run(&["proxy", "0", "builtin:echo", "--record", "/no/such/folder/x.pcapng"]);
    assert_eq!((refused.code, refused.stderr.contains("cannot write /no/such/folder/x.pcapng")), (Some(3), true), "{}", refused.stderr);
    let refused = run(&["proxy", "0", "builtin:echo", "--record", "-", "--", "true"]);
    assert_eq!((refused.code, refused.stderr.contains("both write to stdout")), (Some(2), true), "{}", refused.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_takes_no_more_ends_the_recording_and_not_the_traffic() {
    let refused = run(&["proxy", "0", "builtin:echo", "--record", "/dev/full"]);
    assert_eq!((refused.code, refused.stderr.contains("cannot write /dev/full")), (Some(3), true), "{}", refused.stderr);

    let dir = tempfile::tempdir().unwrap();
    let (pipe, reader) = fifo(&dir);
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo", "--record", pipe.to_str().unwrap()]);
    drop(reader);
    assert_eq!(ask(tapline.addr(), b"one"), b"one");
    let note = tapline.event("note");
    assert!(note["text"].as_str().unwrap().contains("the recording ends here: cannot write"), "{note}");
    assert_eq!(ask(tapline.addr(), &pattern(100_000)), pattern(100_000));
    assert_eq!(tapline.stop(), Some(3));
}
