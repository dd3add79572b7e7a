//! `listen` as a server for clients from outside, and its dump beside hexdump's.

use crate::support::*;

/// Without a length: only the end says where the body ends.
const PAGE: &str = r"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello from listen\n";

#[test]
fn curl_gets_the_reply_and_is_recognised() {
    let mut tapline = Tapline::start(&["listen", "0", "--reply", PAGE, "--connections", "2"]);
    let url = format!("http://{}/a/b?c", tapline.addr());
    let answer = finish(outside("curl").args(["-sS", "--max-time", "20", &url]));
    assert_eq!((answer.code, answer.stdout.as_str(), answer.stderr.as_str()), (Some(0), "hello from listen\n", ""));
    let seen = tapline.event("recognised");
    assert_eq!((&seen["method"], &seen["path"], &seen["name"]), (&"GET".into(), &"/a/b".into(), &tapline.addr().to_string().into()));
    // A body that is longer than what comes with the head.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pattern(3 << 20)).unwrap();
    let body = format!("@{}", file.path().display());
    let answer = finish(outside("curl").args(["-sS", "--max-time", "20", "--data-binary", &body, "-H", "Expect:", &url]));
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), "hello from listen\n"), "{}", answer.stderr);
    tapline.wait();
}

#[test]
fn the_line_printed_by_listen_tls_works_as_it_stands() {
    for flags in [&[][..], &["--names", "*.a.test"]] {
        let mut tapline = Tapline::start(&[&["listen", "0", "--tls", "--reply", PAGE], flags].concat());
        let made = tapline.event("certificate");
        let line = made["try_with"].as_str().unwrap();
        let answer = finish(outside("sh").args(["-c", line]));
        assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), "hello from listen\n"), "{line}: {}", answer.stderr);
        // What curl said inside of TLS.
        assert_eq!(tapline.event("recognised")["method"], "GET");
        assert_eq!(tapline.closed()["failed"], false);
    }
}

#[test]
fn s_client_reads_the_greeting_and_verifies_the_server() {
    let mut tapline = Tapline::start(&[
        "listen",
        "0",
        "--tls",
        "--names",
        "mail.a.test",
        "--greet",
        r"220 mail.a.test ESMTP\r\n",
        "--reply",
        r"221 bye\r\n",
    ]);
    let ca = tapline.event("certificate")["ca"].as_str().unwrap().to_owned();
    let addr = tapline.addr().to_string();
    // A hello in plaintext is recognised for what it is.
    let mut plain = Tapline::start(&["listen", "0", "--connections", "1", "--idle-timeout", "300ms"]);
    let args = ["-verify_hostname", "mail.a.test", "-servername", "mail.a.test", "-CAfile", &ca, "-verify_return_error"];
    // Under -quiet it goes on until the server ends, which is after the reply.
    let script = "printf 'QUIT\\r\\n' | openssl s_client -quiet -connect \"$@\"";
    let seen = finish(outside("sh").args(["-c", script, "sh", &addr]).args(args));
    assert!(seen.code == Some(0) && seen.stdout.ends_with("220 mail.a.test ESMTP\r\n221 bye\r\n"), "{seen:?}");
    assert_eq!(tapline.event("handshake")["name"], "mail.a.test");
    finish(outside("openssl").args(["s_client", "-connect", &plain.addr().to_string(), "-servername", "b.test", "-alpn", "h2"]));
    let hello = plain.event("recognised");
    assert_eq!((&hello["protocol"], &hello["name"], &hello["alpn"][0]), (&"tls".into(), &"b.test".into(), &"h2".into()));
}

#[test]
fn ssh_takes_the_greeting_for_a_servers_and_is_recognised() {
    let flags = ["--greet", r"SSH-2.0-tapline_test\r\n", "--idle-timeout", "300ms", "--connections", "1"];
    let mut tapline = Tapline::start(&[&["listen", "0"], &flags[..]].concat());
    let port = tapline.addr().port().to_string();
    let seen = finish(outside("ssh").args(["-v", "-F", "none", "-o", "BatchMode=yes", "-p", &port, "x@127.0.0.1"]));
    assert!(seen.stderr.contains("remote software version tapline_test"), "{}", seen.stderr);
    let ssh = tapline.event("recognised");
    assert!(ssh["version"].as_str().unwrap().starts_with("SSH-2.0-OpenSSH"), "{ssh}");
}

#[test]
fn it_serves_under_nohup_with_every_kind_of_stdin() {
    for stdin in ["<&-", "</dev/null", ""] {
        let mut command = outside("sh");
        let script = format!("exec nohup \"$@\" {stdin}");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_tapline"), "--json", "listen", "0", "--connections", "1", "--echo"]);
        let mut tapline = Tapline::from(&mut command);
        assert_eq!(ask(tapline.addr(), b"hello"), b"hello", "{stdin}");
        assert_eq!(tapline.wait().code(), Some(0));
    }
}

#[test]
fn the_dump_is_that_of_hexdump() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..=255).chain(*b"the end").collect();
    std::fs::write(file.path(), &bytes).unwrap();
    let hexdump = finish(outside("hexdump").args(["-C", "-v"]).arg(file.path()));
    let send = "cat \"$0\" > /dev/tcp/{host}/{port}";
    let ours = finish(program().args(["listen", "0", "--hex", "--", "bash", "-c", send]).arg(file.path()));
    assert_eq!(ours.code, Some(0), "{}", ours.stderr);
    let dump: Vec<_> = ours.stderr.lines().filter(|line| line.contains('|')).collect();
    // hexdump ends with a line that has only the offset of the end.
    let expected: Vec<_> = hexdump.stdout.lines().filter(|line| line.contains('|')).collect();
    assert_eq!(dump, expected);
    assert_eq!(expected.len(), 17);
}
