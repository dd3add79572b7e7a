//! `passthrough`: the name that the client asks for is dialed itself, and nobody gets into the machine by it.

use crate::{support::*, tls::hello_with_name};
use std::io::Write;

fn ask_for(tapline: &Tapline, name: &str) -> (Vec<u8>, Result<(), std::io::ErrorKind>) {
    let mut client = tapline.connect();
    client.write_all(&hello_with_name(name.as_bytes())).unwrap();
    read_to_any_end(&mut client)
}

#[test]
fn what_is_not_public_is_refused_after_it_was_resolved() {
    let (listener, to) = lasting_listener();
    let mut tapline = Tapline::start(&["sni-route", "0", &format!("**=passthrough:{}", to.port())]);
    // A name of the resolver's, and addresses in forms that only it takes for addresses.
    for name in ["localhost", "2130706433", "0x7f000001", "127.1"] {
        let (heard, end) = ask_for(&tapline, name);
        assert_eq!((heard, end), (vec![], Err(std::io::ErrorKind::ConnectionReset)), "{name}");
        let routed = tapline.event("routed");
        assert_eq!(routed["target"], format!("{name}:{}", to.port()));
        let why = format!("{name}:{}: 127.0.0.1 is not a public address", to.port());
        assert_eq!(end_of(&tapline.closed()), ("rule", "dial", why.as_str(), true));
    }
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "something was connected to all the same");
}

#[test]
fn a_name_is_dialed_itself_where_it_is_allowed() {
    let to = naming("myself");
    let mut tapline = Tapline::start(&["sni-route", "0", &format!("localhost=passthrough:{}", to.port()), "--allow-private"]);
    assert_eq!(ask_for(&tapline, "LocalHost.").0, b"myself");
    let target = format!("localhost:{}", to.port());
    assert_eq!(tapline.event("routed")["target"], target);
    let dialed = tapline.event("dialed");
    assert_eq!((&dialed["target"], &dialed["addr"]), (&target.as_str().into(), &to.to_string().into()));
    tapline.closed();
    // By Host as well; and a name that no rule has goes nowhere.
    let mut client = tapline.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost:1\r\n\r\n").unwrap();
    assert_eq!(read_to_any_end(&mut client).0, b"myself");
    assert_eq!(ask_for(&tapline, "other.test").0, crate::tls::alert(112));
}

#[test]
fn it_is_for_rules_alone_and_needs_a_port() {
    for (args, why) in [
        (&["a.test=builtin:echo", "--unknown-name", "passthrough:443"][..], "**=passthrough:443"),
        (&["a.test=passthrough"], "write passthrough:443"),
        (&["a.test=passthrough:443,h:1"], "write passthrough:443"),
    ] {
        let finished = run(&[&["sni-route", "0"], args].concat());
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        assert!(finished.stderr.contains(why), "{}", finished.stderr);
    }
}
