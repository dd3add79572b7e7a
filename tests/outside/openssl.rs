//! openssl on both sides of TLS.

use crate::support::*;
use std::{
    io::{BufRead, BufReader},
    process::Child,
};

fn s_client(args: &[&str]) -> Finished {
    finish(outside("openssl").arg("s_client").args(args))
}

#[test]
fn s_client_verifies_the_minted_certificate_in_both_versions() {
    let mut tapline = Tapline::start(&["tls-terminate", "0", "builtin:discard", "--names", "www.a.test"]);
    let ca = tapline.event("certificate")["ca"].as_str().unwrap().to_owned();
    let addr = tapline.addr().to_string();
    for (flag, version) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let seen =
            s_client(&["-connect", &addr, "-servername", "www.a.test", "-verify_hostname", "www.a.test", "-CAfile", &ca, flag, "-brief"]);
        assert!(seen.stderr.contains("Verification: OK") && seen.stderr.contains(&format!("Protocol version: {version}")), "{seen:?}");
        let handshake = tapline.event("handshake");
        assert_eq!((&handshake["version"], &handshake["name"]), (&version.into(), &"www.a.test".into()));
        assert_eq!(tapline.closed()["failed"], false, "s_client ends with close_notify");
    }
}

#[test]
fn s_client_resumes_its_session() {
    let mut tapline = Tapline::start(&["tls-terminate", "0", "builtin:discard"]);
    let seen = s_client(&["-connect", &tapline.addr().to_string(), "-tls1_2", "-reconnect"]);
    assert_eq!(seen.stdout.matches("Reused, TLSv1.2").count(), 5, "{}", seen.stdout);
    assert_eq!(tapline.event("handshake")["resumed"], false);
    assert_eq!(tapline.event("handshake")["resumed"], true);
}

#[test]
fn s_client_is_told_that_its_name_is_unknown() {
    let tapline = Tapline::start(&["sni-route", "0", "a.test=builtin:discard"]);
    let seen = s_client(&["-connect", &tapline.addr().to_string(), "-servername", "b.test"]);
    assert!(seen.stderr.contains("unrecognized name") && seen.stderr.contains("alert number 112"), "{}", seen.stderr);
}

#[test]
fn a_key_that_does_not_belong_to_its_certificate_is_refused_before_listening() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for name in ["a", "b"] {
        let made =
            finish(outside("openssl").args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a.test", "-days", "2"]).args([
                "-keyout",
                &path(&format!("{name}.key")),
                "-out",
                &path(&format!("{name}.pem")),
            ]));
        assert_eq!(made.code, Some(0), "{}", made.stderr);
    }
    let refused = run(&["tls-terminate", "0", "1", "--cert", &path("a.pem"), "--key", &path("b.key")]);
    assert_eq!(refused.code, Some(3));
    assert_eq!(refused.stderr, format!("tapline: the key in {} does not belong to the certificate in {}\n", path("b.key"), path("a.pem")));
    // The pair that belongs together is shown to clients as it is.
    let tapline = Tapline::start(&["tls-terminate", "0", "builtin:discard", "--cert", &path("a.pem"), "--key", &path("a.key")]);
    let seen = s_client(&["-connect", &tapline.addr().to_string(), "-CAfile", &path("a.pem"), "-brief"]);
    assert!(seen.stderr.contains("Verification: OK"), "{}", seen.stderr);
}

/// `openssl s_server -www` on a port of the kernel's choice.
struct Server(Child, String);

impl Server {
    fn start(cert: &str, key: &str) -> Self {
        let mut child =
            outside("openssl").args(["s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", key, "-www"]).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.map_while(Result::ok).find(|line| line.starts_with("ACCEPT ")).expect("s_server says where it accepts");
        Self(child, line.trim_start_matches("ACCEPT ").to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_tls_target_is_verified_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = finish(
        outside("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                "/CN=localhost",
                "-days",
                "2",
            ])
            .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &path("key"), "-out", &path("cert")]),
    );
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let server = Server::start(&path("cert"), &path("key"));
    let target = format!("tls:{}", server.1);
    let mut unverified = Tapline::start(&["proxy", "0", &target, "--insecure"]);
    let answer = ask(unverified.addr(), b"GET / HTTP/1.0\r\n\r\n");
    assert!(String::from_utf8_lossy(&answer).contains("s_server"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(unverified.closed()["failed"], false);
    let mut strict = Tapline::start(&["proxy", "0", &target]);
    let (bytes, end) = read_to_any_end(&mut strict.connect());
    assert_eq!((bytes.len(), end.is_err()), (0, true), "who cannot be verified is not connected to");
    assert!(strict.event("dial_failed")["why"].as_str().unwrap().contains("certificate"), "{:?}", strict.seen);
}
