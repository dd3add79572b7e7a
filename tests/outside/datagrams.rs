//! ncat as a client of `proxy --udp`.

use crate::support::*;
use std::{
    io::{Read, Write},
    net::UdpSocket,
    process::Stdio,
};

#[test]
fn ncat_gets_its_answers_through_the_proxy() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut tapline = Tapline::start(&["proxy", "--udp", "0", &server.local_addr().unwrap().to_string(), "--idle-timeout", "1s"]);
    let port = tapline.addr().port().to_string();
    // It ends where no answer comes.
    let mut ncat = outside("ncat").args(["-u", "-i", "20s", "127.0.0.1", &port]).stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (ncat.stdin.take().unwrap(), ncat.stdout.take().unwrap());
    for question in [b"one\n", b"two\n"] {
        stdin.write_all(question).unwrap();
        let mut datagram = [0; 100];
        let (n, from) = server.recv_from(&mut datagram).unwrap();
        assert_eq!(&datagram[..n], question);
        server.send_to(b"answer\n", from).unwrap();
        let mut answer = [0; 7];
        stdout.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer\n");
    }
    ncat.kill().unwrap();
    ncat.wait().unwrap();
    let closed = tapline.closed();
    assert_eq!((&closed["received"], &closed["sent"], &closed["failed"]), (&8.into(), &14.into(), &false.into()));
}
