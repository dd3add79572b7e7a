//! Who is refused, how, and what changes that.

use super::rule;
use crate::{
    support::*,
    tls::{REFUSED, alert, hear, hello, hello_with_name, in_records},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr},
};

const SSH: &[u8] = b"SSH-2.0-x\r\n";
/// A hello of TLS 1.0 in the format of SSL 2.0, which has no room for a name.
const SSL2: &[u8] = b"\x80\x1f\x01\x03\x01\0\x06\0\0\0\x10\0\0\x2f\x01\0\x80ABCDEFGHIJKLMNOP";

/// What a client gets that sends these bytes; it must end as an end, not as a reset.
fn answer(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut client = connect(addr);
    client.write_all(bytes).unwrap();
    read_all(&mut client)
}

#[test]
fn an_unknown_name_and_no_name_are_refused_with_an_alert_and_anything_else_without_a_word() {
    let mut tapline = Tapline::start(&["sni-route", "0", &rule("a.test", "a")]);
    assert_eq!(alert(112), [0x15, 3, 3, 0, 2, 2, 0x70]);
    for (bytes, got, why) in [
        (&hello("b.test", &["h2"])[..], &alert(112)[..], "no route: unknown name b.test"),
        (&hello("127.0.0.1", &[]), &alert(112), "no route: no name"),
        (SSL2, &alert(112), "no route: no name"),
        // An address is no name, and neither are these.
        (&hello_with_name(b"127.0.0.1"), &alert(112), "no route: unknown name 127.0.0.1"),
        (&hello_with_name(b"a.test\0"), &alert(112), "no route: unknown name a.test\0"),
        (&hello_with_name(b"\xff\xfe"), &alert(112), "no route: unknown name \\xff\\xfe"),
        (SSH, b"", "no route: not TLS but SSH"),
        (b"\0\0\0\x08\x04\xd2\x16\x2f", b"", "no route: not TLS but PostgreSQL"),
    ] {
        assert_eq!(answer(tapline.addr(), bytes), got, "{why}");
        assert_eq!(tapline.event("routed")["target"], serde_json::Value::Null);
        assert_eq!(end_of(&tapline.closed()), ("rule", "hello", why, true));
    }
    // A refusal is not the end of the program.
    assert_eq!(hear(tapline.addr(), "a.test"), "a");
}

#[test]
fn a_refused_client_that_has_sent_much_more_still_reads_the_alert() {
    let tapline = Tapline::start(&["sni-route", "0", &rule("a.test", "a")]);
    let bytes = [hello("b.test", &[]), pattern(200_000)].concat();
    assert_eq!(answer(tapline.addr(), &bytes), alert(112));
}

#[test]
fn strangers_and_rules_of_one_target_have_the_limits_and_the_checks_that_were_asked_for() {
    let (listener, addr) = listener();
    let (_held, dead) = refusing();
    let a = format!("a.test={dead}");
    let args = ["sni-route", "0", &a, "--not-tls", &addr.to_string(), "--max-per-target", "1", "--queue", "0", "--when-all-down", "fail"];
    let mut tapline = Tapline::start(&args);
    let health = tapline.event("health");
    assert_eq!((&health["target"], &health["up"]), (&dead.to_string().into(), &false.into()));
    let mut first = connect(tapline.addr());
    first.write_all(SSH).unwrap();
    let _there = accept(&listener);
    let mut second = connect(tapline.addr());
    second.write_all(SSH).unwrap();
    let why = "every target has all the connections that it may have (--queue 0)";
    assert_eq!(end_of(&tapline.closed()), ("rule", "queue", why, true));
}

#[test]
fn each_kind_of_stranger_has_a_route_of_its_own_by_its_own_flag() {
    let (unknown, none, other) = (naming("unknown").to_string(), naming("no name").to_string(), naming("not tls").to_string());
    let a = rule("a.test", "a");
    for (flag, to) in [("--unknown-name", &unknown), ("--no-name", &none), ("--not-tls", &other)] {
        let tapline = Tapline::start(&["sni-route", "0", &a, flag, to]);
        let get = |bytes: &[u8]| heard(tapline.addr(), bytes);
        let expect = |routed_by: &str, answer: &'static str, refusal: &'static str| if flag == routed_by { answer } else { refusal };
        assert_eq!(get(&hello("b.test", &[])), expect("--unknown-name", "unknown", REFUSED), "{flag}");
        assert_eq!(get(&hello_with_name(b"192.0.2.1")), expect("--unknown-name", "unknown", REFUSED), "{flag}");
        assert_eq!(get(&hello("127.0.0.1", &[])), expect("--no-name", "no name", REFUSED), "{flag}");
        assert_eq!(get(SSL2), expect("--no-name", "no name", REFUSED), "{flag}");
        assert_eq!(get(SSH), expect("--not-tls", "not tls", ""), "{flag}");
        assert_eq!(get(&hello("a.test", &[])), "a");
    }
}

#[test]
fn what_is_not_tls_reaches_its_route_from_the_first_byte_on() {
    let (listener, target) = listener();
    let tapline = Tapline::start(&["sni-route", "0", &rule("a.test", "a"), "--not-tls", &target.to_string()]);
    let mut client = tapline.connect();
    client.write_all(SSH).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut server = accept(&listener);
    assert_eq!(read_all(&mut server), SSH);
    server.write_all(b"SSH-2.0-y\r\n").unwrap();
    drop(server);
    assert_eq!(read_all(&mut client), b"SSH-2.0-y\r\n");
}

#[test]
fn a_malformed_hello_is_never_routed_whatever_flags_are_given() {
    let anywhere = naming("must not be heard").to_string();
    let flags = ["--unknown-name", &anywhere, "--no-name", &anywhere, "--not-tls", &anywhere];
    let a = format!("a.test={anywhere}");
    let mut tapline = Tapline::start(&[&["sni-route", "0", &a][..], &flags].concat());
    let good = hello_with_name(b"a.test");
    let mut long_list = good.clone();
    long_list[good.len() - 11] = 0xff;
    // A second, different name in the same list, with every length made to fit.
    let two_names = {
        let mut bytes = good.clone();
        bytes.extend(b"\0\0\x06b.test");
        // The record, the message, the extensions, this one, its list.
        for at in [4, 8, good.len() - 16, good.len() - 12, good.len() - 10] {
            bytes[at] += 9;
        }
        bytes
    };
    let mut another_type = in_records(&good, 20);
    another_type[25] = 23;
    for (bytes, what) in [
        (&long_list[..], "a server name that cannot be read"),
        (&two_names, "two server names"),
        (&another_type, "a record of another type"),
        (&[22, 3, 1, 0, 0], "an empty record"),
        (&[22, 3, 1, 0, 5, 2], "a handshake message that is no ClientHello"),
    ] {
        assert_eq!(answer(tapline.addr(), bytes), alert(50), "{what}");
        let routed = tapline.event("routed");
        assert_eq!((&routed["outcome"], &routed["target"]), (&"bad_hello".into(), &serde_json::Value::Null));
        let closed = tapline.closed();
        let (by, during, why, failed) = end_of(&closed);
        assert_eq!((by, during, failed), ("client", "hello", true));
        assert!(why.starts_with(what), "{why} is not {what}");
        assert_eq!(routed["rule"], format!("bad hello: {why}"));
    }
}

#[test]
fn half_a_hello_is_never_routed() {
    let anywhere = naming("must not be heard").to_string();
    let flags = ["--unknown-name", &anywhere, "--no-name", &anywhere, "--not-tls", &anywhere, "--hello-timeout", "300ms"];
    let a = format!("a.test={anywhere}");
    let mut tapline = Tapline::start(&[&["sni-route", "0", &a][..], &flags].concat());
    let bytes = hello("a.test", &[]);
    let half = &bytes[..bytes.len() - 1];
    // Half, then FIN.
    let mut client = tapline.connect();
    client.write_all(half).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), alert(50));
    let why = format!("ended after {} bytes of a hello", half.len());
    assert_eq!(end_of(&tapline.closed()), ("client", "hello", why.as_str(), true));
    // Half, then silence.
    let mut client = tapline.connect();
    client.write_all(half).unwrap();
    assert_eq!(read_all(&mut client), alert(50));
    drop(client);
    let closed = tapline.closed();
    assert_eq!((end_of(&closed).0, end_of(&closed).1), ("timeout", "hello"));
    // Silence alone is closed without a word.
    let mut client = tapline.connect();
    assert_eq!(read_all(&mut client), b"");
    drop(client);
    assert_eq!(end_of(&tapline.closed()), ("timeout", "hello", "nothing for 300ms", true));
    let routed: Vec<_> = tapline.seen.iter().filter(|event| event["event"] == "routed").collect();
    assert_eq!(routed.len(), 3);
    assert!(routed.iter().all(|routed| routed["outcome"] == "bad_hello" && routed["target"].is_null()), "{routed:#?}");
    // Half, then RST: nobody is left to decide for. So it is without a byte.
    let mut client = tapline.connect();
    client.write_all(half).unwrap();
    wait_sent(&client);
    reset(client);
    assert_eq!(end_of(&tapline.closed()), ("client", "hello", "reset", true));
    drop(tapline.connect());
    assert_eq!(end_of(&tapline.closed()), ("client", "hello", "ended without a hello", true));
    assert_eq!(tapline.seen.iter().filter(|event| event["event"] == "routed").count(), 3);
}

#[test]
fn a_bad_or_late_hello_goes_where_it_is_told_to_with_all_that_was_read() {
    let (listener, target) = listener();
    let args = ["sni-route", "0", &rule("a.test", "a"), "--bad-hello", &target.to_string(), "--hello-timeout", "300ms"];
    let mut tapline = Tapline::start(&args);
    let bytes = hello("a.test", &[]);
    // Malformed, half with and without an end, half a request, and a client that waits for the server to speak first.
    for (sent, ends) in [
        (&[22, 3, 1, 0, 5, 2][..], false),
        (&bytes[..100], true),
        (&bytes[..100], false),
        (b"GET / HTTP/1.1\r\nHost: a.te", true),
        (b"GET / HTTP/1.1\r\nHost: a.te", false),
        (b"", false),
    ] {
        let mut client = tapline.connect();
        client.write_all(sent).unwrap();
        if ends {
            client.shutdown(Shutdown::Write).unwrap();
        }
        let mut server = accept(&listener);
        assert_eq!(read_n(&mut server, sent.len()), sent);
        server.write_all(b"220 welcome").unwrap();
        assert_eq!(read_n(&mut client, 11), b"220 welcome");
        client.write_all(b"").unwrap();
        drop(server);
        assert_eq!(read_all(&mut client), b"");
        drop(client);
        let routed = tapline.event("routed");
        assert_eq!((&routed["outcome"], &routed["target"]), (&"bad_hello".into(), &target.to_string().into()));
        assert_eq!(tapline.closed()["target"], target.to_string());
    }
    assert_eq!(hear(tapline.addr(), "a.test"), "a");
}

#[test]
fn a_name_whose_targets_all_refuse_is_a_reset_and_named() {
    let (_held, dead) = refusing();
    let (_held_too, dead_too) = refusing();
    let mut tapline = Tapline::start(&["sni-route", "0", &format!("a.test={dead},{dead_too}")]);
    let mut client = tapline.connect();
    client.write_all(&hello("a.test", &[])).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let closed = tapline.closed();
    let (by, during, why, failed) = end_of(&closed);
    assert_eq!((by, during, failed), ("target", "dial", true));
    assert!(why.contains("refused"), "{why}");
}

#[test]
fn two_rules_for_one_name_are_wrong_usage() {
    for (first, second) in [("a.test=1", "A.Test.=2"), ("*.a.test=1", "*.A.test=1")] {
        let finished = run(&["sni-route", "0", first, second]);
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        let name = first.split('=').next().unwrap();
        assert!(finished.stderr.contains(&format!("two rules are given for {name}")), "{}", finished.stderr);
    }
    for wrong in ["a.test", "a..test=1", "*=1", "127.0.0.1=1", "a.test=", "a.test=0"] {
        assert_eq!(run(&["sni-route", "0", wrong]).code, Some(2), "{wrong}");
    }
}
