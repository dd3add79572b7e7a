//! What the matrix of tests/it does with less, because there it is run on every change.

use crate::support::*;
use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
};

const GIB: u64 = 1 << 30;

/// Sends so many bytes both ways at once, behind an opening of some length, and ends both sides in order.
fn a_gibibyte_both_ways<S: Sync>(tapline: &mut Tapline, (client, target): (S, S), opening: usize, end: impl Fn(&S), spliced: bool)
where
    for<'a> &'a S: Read + Write,
{
    both_ways_at_once(&client, &target, GIB);
    for (from, to) in [(&client, &target), (&target, &client)] {
        end(from);
        let (mut to, mut rest) = (to, Vec::new());
        to.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    }
    let closed = tapline.closed();
    assert_eq!(end_of(&closed), ("client", "relay", "done", false));
    assert_eq!((closed["received"].as_u64(), closed["sent"].as_u64()), (Some(GIB + opening as u64), Some(GIB)));
    assert_eq!(closed["spliced"], spliced);
}

#[test]
fn a_gibibyte_goes_both_ways_at_once_and_every_byte_of_it_is_compared() {
    let fast = cfg!(target_os = "linux");
    for (args, opening, spliced) in [
        (&["proxy", "0", "OUT"][..], &b""[..], fast),
        (&["sni-route", "0", "a.test=OUT", "--not-tls", "OUT"], b"SSH-2.0-x\r\n", fast),
        (
            &["proxy", "0", "OUT", "--accept-proxy", "127.0.0.1", "--send-proxy", "v1"],
            b"PROXY TCP4 192.0.2.1 198.51.100.1 1111 80\r\n",
            fast,
        ),
        (&["proxy", "0", "OUT", "--delay", "1ms"], b"", false),
    ] {
        let (listener, target) = listener();
        let args: Vec<_> = args.iter().map(|arg| arg.replace("OUT", &target.to_string())).collect();
        let mut tapline = Tapline::start(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let mut client = tapline.connect();
        // What is looked at comes before the target is dialed.
        client.write_all(opening).unwrap();
        let mut target = accept(&listener);
        assert_eq!(read_n(&mut target, opening.len()), opening);
        a_gibibyte_both_ways(&mut tapline, (client, target), opening.len(), |end| end.shutdown(Shutdown::Write).unwrap(), spliced);
    }
}

#[test]
fn a_gibibyte_goes_both_ways_at_once_between_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let [at, to] = ["in", "out"].map(|name| folder.path().join(name));
    let listener = patient_listener(UnixListener::bind(&to).unwrap());
    let mut tapline = Tapline::start(&["proxy", &format!("unix:{}", at.display()), &format!("unix:{}", to.display())]);
    let client = UnixStream::connect(&at).unwrap();
    let target = listener.accept().unwrap().0;
    for stream in [&client, &target] {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
    }
    a_gibibyte_both_ways(&mut tapline, (client, target), 0, |end| end.shutdown(Shutdown::Write).unwrap(), false);
}
