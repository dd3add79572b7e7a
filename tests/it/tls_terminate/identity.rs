//! Certificates and keys: made, loaded, and refused.

use super::{several::assert_refused, start};
use crate::{support::*, tls};
use std::{io::Write, path::Path};

/// Whether a client that trusts `ca` gets an echo by this name.
fn echoes(tapline: &Tapline, ca: &str, name: &str) -> Result<(), String> {
    let mut client = tls::client(tapline.connect(), tls::trusting(ca, &[]), name);
    client.write_all(b"echo").map_err(|error| error.to_string())?;
    assert_eq!(read_n(&mut client, 4), b"echo");
    Ok(())
}

#[test]
fn the_certificate_that_is_made_holds_for_this_machine_and_for_nothing_else() {
    let (mut tapline, ca) = start("builtin:echo", &[]);
    for name in ["localhost", "127.0.0.1", "::1"] {
        echoes(&tapline, &ca, name).unwrap();
    }
    // Browsers take these for this machine.
    echoes(&tapline, &ca, "app.localhost").unwrap();
    assert!(echoes(&tapline, &ca, "other.test").unwrap_err().contains("UnrecognisedName"));
    let closed = std::iter::repeat_with(|| tapline.closed()).find(|closed| closed["by"] == "rule").unwrap();
    assert_refused(&closed, "other.test is not among --names");
}

#[test]
fn the_certificate_that_is_made_holds_for_the_names_that_are_asked_for() {
    let mut tapline = Tapline::start(&["tls-terminate", "0", "builtin:echo", "--names", "a.test", "--names", "192.0.2.7"]);
    let certificate = tapline.event("certificate");
    assert_eq!(certificate["names"], serde_json::json!(["a.test", "192.0.2.7"]));
    let path = certificate["ca"].as_str().unwrap().to_owned();
    let ca = std::fs::read_to_string(&path).unwrap();
    assert!(!ca.contains("PRIVATE KEY"), "the authority's key is in {path}");
    for name in ["a.test", "192.0.2.7"] {
        echoes(&tapline, &ca, name).unwrap();
    }
    assert!(echoes(&tapline, &ca, "localhost").is_err());
    let line = certificate["try_with"].as_str().unwrap();
    assert!(line.contains(&path) && line.contains("a.test") && line.contains(&tapline.addr().to_string()), "{line}");
    // The file goes with the program.
    assert_eq!(tapline.stop(), Some(0));
    assert!(!Path::new(&path).exists(), "{path} is still there");
}

#[test]
fn two_runs_do_not_trust_each_other() {
    let ((first, _), (_second, ca)) = (start("builtin:echo", &[]), start("builtin:echo", &[]));
    assert!(echoes(&first, &ca, "localhost").is_err());
}

#[test]
fn a_certificate_and_a_key_of_ones_own_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let issued = tls::issue(&["own.test"]);
    let path = |name: &str, content: &str| {
        std::fs::write(dir.path().join(name), content).unwrap();
        dir.path().join(name).display().to_string()
    };
    let (cert, key) = (path("cert.pem", &issued.cert), path("key.pem", &issued.key));
    // Both may stand in one file, in either order and with words around them.
    let both = path("both.pem", &format!("of own.test\n{}\n{}", issued.key, issued.cert));
    for (cert, key) in [(&cert, &key), (&both, &both)] {
        let mut tapline = Tapline::start(&["tls-terminate", "0", "builtin:echo", "--cert", cert, "--key", key]);
        echoes(&tapline, &issued.ca, "own.test").unwrap();
        assert_eq!(tapline.stop(), Some(0));
        assert!(tapline.seen.iter().all(|event| event["event"] != "certificate"));
    }
}

#[test]
fn what_cannot_be_used_is_named_in_one_line_that_holds_nothing_of_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let (issued, other) = (tls::issue(&["own.test"]), tls::issue(&["own.test"]));
    let path = |name: &str, content: &str| {
        std::fs::write(dir.path().join(name), content).unwrap();
        dir.path().join(name).display().to_string()
    };
    let (cert, key) = (path("cert.pem", &issued.cert), path("key.pem", &issued.key));
    let other_key = path("other.pem", &other.key);
    let missing = dir.path().join("missing.pem").display().to_string();
    let directory = dir.path().display().to_string();
    let garbage = path("garbage.pem", "not a certificate, not a key\n");
    let lines: Vec<_> = issued.key.lines().collect();
    // A key whose last bytes are gone, and one that was damaged so that it is no key any more.
    let cut = path("cut.pem", &issued.key[..issued.key.len() / 2]);
    let damaged = path("damaged.pem", &issued.key.replace(lines[1], &lines[1].chars().rev().collect::<String>()));
    let broken_cert = path("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (cert, key, named, why) in [
        (&cert, &other_key, &other_key, "does not belong to the certificate in"),
        (&missing, &key, &missing, "No such file"),
        (&cert, &missing, &missing, "No such file"),
        (&directory, &key, &directory, "cannot read"),
        (&garbage, &key, &garbage, "holds no certificate"),
        (&cert, &garbage, &garbage, "holds no private key"),
        (&key, &key, &key, "holds no certificate"),
        (&cert, &cert, &cert, "holds no private key"),
        (&cert, &cut, &cut, "line 1: PRIVATE KEY has no end"),
        (&cert, &damaged, &damaged, "cannot use"),
        (&broken_cert, &key, &broken_cert, "line 1: certificate 1 of the file is malformed"),
    ] {
        let finished = run(&["tls-terminate", "0", "builtin:echo", "--cert", cert, "--key", key]);
        let text = finished.stderr;
        assert_eq!(finished.code, Some(3), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("tapline: ") && text.contains(named.as_str()) && text.contains(why), "{why} is not in {text}");
        for secret in [&issued.key, &other.key] {
            for line in secret.lines().filter(|line| !line.starts_with("-----")) {
                assert!(!text.contains(line) && !text.contains(&line[..line.len().min(12)]), "a piece of a key is in {text}");
            }
        }
        assert_eq!(finished.stdout, "");
    }
    // Without a key of its own, a certificate is to have it in its file.
    let alone = run(&["tls-terminate", "0", "builtin:echo", "--cert", &cert]);
    assert_eq!(alone.code, Some(3), "{alone:?}");
    assert!(alone.stderr.contains("holds no private key in PEM (PKCS#8, PKCS#1 or SEC1), but CERTIFICATE (line 1)"), "{alone:?}");
    // A key without its certificate is wrong usage.
    for flags in [&["--key", &key][..], &["--cert", &cert, "--cert", &cert, "--key", &key], &["--cert", &cert, "--names", "a.test"]] {
        let refused = run(&[&["tls-terminate", "0", "builtin:echo"], flags].concat());
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
}

#[test]
fn a_name_that_no_client_could_ask_for_is_refused() {
    for (name, why) in [
        ("not a name", "is not a DNS name"),
        ("a..test", "is not a DNS name"),
        ("", "is not a DNS name"),
        ("*", "is not a name"),
        ("a.test:443", "has a port"),
        ("a.*.test", "has a wildcard that is not its first label"),
    ] {
        let finished = run(&["tls-terminate", "0", "builtin:echo", "--names", &format!("a.test,{name}")]);
        assert_eq!(finished.code, Some(2), "{name:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(&format!("{name:?} {why}")), "{}", finished.stderr);
    }
    let mut tapline = Tapline::start(&["tls-terminate", "0", "builtin:echo", "--names", "*.a.test"]);
    let ca = std::fs::read_to_string(tapline.event("certificate")["ca"].as_str().unwrap()).unwrap();
    echoes(&tapline, &ca, "x.a.test").unwrap();
}
