//! Several certificates, and which of them a client is shown.

use crate::{
    support::*,
    tls::{self, Issued},
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{io::Write, path::PathBuf};

/// A folder of files.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    /// Writes a file, by a rename.
    pub fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let temporary = self.0.path().join(format!(".{}", name.replace('/', "-")));
        std::fs::write(&temporary, content).unwrap();
        rustix::fs::chmod(&temporary, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        std::fs::rename(&temporary, &path).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Writes a certificate with its key into one file.
    pub fn both(&self, name: &str, issued: &Issued) -> String {
        self.write(name, &(issued.cert.clone() + &issued.key))
    }
}

/// Whether a client of `name` that trusts only the authority of `issued` gets an echo.
pub fn shows(tapline: &Tapline, issued: &Issued, name: &str) -> bool {
    asked(tapline, issued, name).is_ok()
}

/// The same, with what is wrong.
pub fn asked(tapline: &Tapline, issued: &Issued, name: &str) -> Result<(), String> {
    let mut config = tls::trusting(&issued.ca, &[]);
    // As who connects by address.
    config.enable_sni = !name.is_empty();
    let name = if name.is_empty() { "a.test" } else { name };
    let mut client = tls::client(tapline.connect(), config, name);
    client.write_all(b"echo").map_err(|error| error.to_string())?;
    assert_eq!(read_n(&mut client, 4), b"echo");
    Ok(())
}

/// A connection ended by a rule, and the client was told by the alert.
pub fn assert_refused(closed: &serde_json::Value, why: &str) {
    let (by, during, said, failed) = end_of(closed);
    assert_eq!((by, during, failed), ("rule", "handshake", true), "{closed}");
    assert!(said.starts_with(&format!("{why} (alert 112 unrecognized_name sent)")), "{said}");
}

fn start(flags: &[&str]) -> Tapline {
    Tapline::start(&[&["tls-terminate", "0", "builtin:echo"], flags].concat())
}

#[test]
fn the_name_chooses_the_exact_one_then_the_wildcard_then_the_first() {
    let folder = Folder::new();
    let issued = [&["a.test"][..], &["*.b.test", "a.test"], &["www.b.test"]].map(tls::issue);
    let [a, b, www] = &issued;
    let key = folder.write("a.key", &a.key);
    let (cert, b_file, www_file) = (folder.write("a.pem", &a.cert), folder.both("b", b), folder.both("www", www));
    let tapline = start(&["--cert", &cert, "--key", &key, "--cert", &b_file, "--key", &b_file, "--cert", &www_file, "--key", &www_file]);
    // Each client trusts one authority only: who else answered would be refused.
    for (name, by) in [("a.test", a), ("www.b.test", www), ("x.b.test", b), ("", a)] {
        assert_eq!(asked(&tapline, by, name), Ok(()), "{name}");
    }
    // A wildcard stands for one label, and no certificate is for these: the first is shown.
    for name in ["x.y.b.test", "b.test", "other.test"] {
        assert!(asked(&tapline, a, name).unwrap_err().contains("not valid for name"), "{name}");
    }
}

#[test]
fn strict_sni_refuses_other_names_and_none() {
    let folder = Folder::new();
    let issued = tls::issue(&["a.test", "*.b.test"]);
    let mut tapline = start(&["--cert", &folder.both("both", &issued), "--strict-sni"]);
    for name in ["a.test", "x.b.test"] {
        assert_eq!(asked(&tapline, &issued, name), Ok(()));
        tapline.closed();
    }
    for (name, why) in [
        ("b.test", "no certificate is for b.test (--strict-sni)"),
        ("x.y.b.test", "no certificate is for x.y.b.test (--strict-sni)"),
        ("", "no server name was asked for (--strict-sni)"),
    ] {
        assert!(asked(&tapline, &issued, name).unwrap_err().contains("UnrecognisedName"), "{name}");
        assert_refused(&tapline.closed(), why);
    }
    // The very bytes: a fatal alert 112.
    assert_eq!(tls::hear(tapline.addr(), "c.test"), tls::REFUSED);
}

#[test]
fn of_two_for_one_name_the_client_gets_the_one_that_it_can_check() {
    let folder = Folder::new();
    let p256 = tls::issue(&["a.test"]);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let cert = CertificateParams::new(["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let p384 = Issued { ca: cert.pem(), cert: cert.pem(), key: key.serialize_pem() };
    let tapline = start(&["--cert", &folder.both("p384", &p384), "--cert", &folder.both("p256", &p256)]);
    // A client that knows no P-384 gets the second one.
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let known = provider.signature_verification_algorithms.mapping;
    let mapping: Vec<_> = known.iter().filter(|(scheme, _)| *scheme != rustls::SignatureScheme::ECDSA_NISTP384_SHA384).copied().collect();
    provider.signature_verification_algorithms.mapping = mapping.leak();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(p256.ca.as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions().unwrap();
    let mut client = tls::client(tapline.connect(), config.with_root_certificates(roots).with_no_client_auth(), "a.test");
    client.write_all(b"x").unwrap();
    assert_eq!(read_n(&mut client, 1), b"x");
    // One that knows both gets the first.
    assert!(!shows(&tapline, &p256, "a.test"));
}

#[test]
fn a_folder_is_searched_in_the_ways_of_others() {
    let folder = Folder::new();
    let issued = ["nginx.test", "combined.test", "certbot.test", "mkcert.test", "dotted.test"].map(|name| tls::issue(&[name]));
    let [nginx, combined, certbot, mkcert, dotted] = &issued;
    folder.write("b-nginx.crt", &nginx.cert);
    folder.write("b-nginx.key", &nginx.key);
    folder.both("a-combined.pem", combined);
    folder.write("certbot.test/fullchain.pem", &certbot.cert);
    folder.write("certbot.test/privkey.pem", &certbot.key);
    folder.write("mkcert.test.pem", &mkcert.cert);
    folder.write("mkcert.test-key.pem", &mkcert.key);
    folder.both(".hidden.pem", dotted);
    folder.write("README", "nothing");
    folder.write("authority.pem", &nginx.ca);
    folder.write("dhparam.pem", "-----BEGIN DH PARAMETERS-----\nMAYCAQcCAQI=\n-----END DH PARAMETERS-----\n");
    folder.write("privkey.pem", &nginx.key);
    let mut tapline = start(&["--certs", folder.path()]);
    let loaded = tapline.event("loaded");
    assert_eq!(loaded["names"], serde_json::json!(["combined.test", "nginx.test", "certbot.test", "mkcert.test"]));
    assert_eq!((&loaded["certificates"], &loaded["what"], &loaded["why"]), (&4.into(), &"identities".into(), &serde_json::Value::Null));
    let notes = [(); 4].map(|()| tapline.event("note")["text"].as_str().unwrap().to_owned());
    assert!(notes.iter().any(|note| note.contains("README passed over")), "{notes:?}");
    for left_out in ["authority.pem holds no private key", "dhparam.pem holds no certificate", "privkey.pem holds no certificate"] {
        assert!(notes.iter().any(|note| note.contains(left_out) && note.ends_with("; it is left out")), "{notes:?}");
    }
    for (issued, name) in [(nginx, "nginx.test"), (combined, "combined.test"), (certbot, "certbot.test"), (mkcert, "mkcert.test")] {
        assert_eq!(asked(&tapline, issued, name), Ok(()));
    }
    assert!(!shows(&tapline, dotted, "dotted.test"));
    let empty = Folder::new();
    let finished = run(&["tls-terminate", "0", "builtin:echo", "--certs", empty.path()]);
    assert_eq!(finished.code, Some(3), "{finished:?}");
    assert!(finished.stderr.contains("holds no certificate with a key: NAME.crt"), "{finished:?}");
}

#[test]
fn certificates_are_made_for_the_names_of_the_patterns_and_no_other() {
    let folder = Folder::new();
    let out = PathBuf::from(folder.write("ca.pem", "what was there before"));
    let names = "a.test,*.b.test,.c.test,::1";
    let mut tapline = start(&["--names", names, "--names", "192.0.2.7", "--ca-out", out.to_str().unwrap()]);
    let certificate = tapline.event("certificate");
    assert_eq!(certificate["ca"], out.to_str().unwrap());
    assert_eq!(certificate["names"], serde_json::json!(["a.test", "*.b.test", ".c.test", "::1", "192.0.2.7"]));
    let ca = std::fs::read_to_string(&out).unwrap();
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----") && !ca.contains("KEY"), "{ca}");
    let made = Issued { ca, cert: String::new(), key: String::new() };
    let long = format!("{}.{}.c.test", "x".repeat(63), "y".repeat(63));
    for name in ["a.test", "A.test", "x.b.test", "c.test", "x.y.c.test", "x_y.c.test", &long, "192.0.2.7", "::1", "127.0.0.1"] {
        assert_eq!(asked(&tapline, &made, name), Ok(()), "{name}");
        tapline.closed();
    }
    for name in ["b.test", "x.y.b.test", "x.a.test", "d.test"] {
        assert!(asked(&tapline, &made, name).unwrap_err().contains("UnrecognisedName"), "{name}");
        assert_refused(&tapline.closed(), &format!("{name} is not among --names"));
    }
    tapline.stop();
    assert!(out.exists());
}

#[test]
fn a_file_for_the_authority_that_cannot_be_written_is_told_before_anything_is_served() {
    let folder = Folder::new();
    for (out, why) in [(format!("{}/none/ca.pem", folder.path()), "No such file"), (folder.path().to_owned(), "it is a directory")] {
        let finished = run(&["tls-terminate", "0", "builtin:echo", "--ca-out", &out]);
        assert_eq!(finished.code, Some(3), "{finished:?}");
        assert!(finished.stderr.starts_with(&format!("tapline: cannot write {out}: ")) && finished.stderr.contains(why), "{finished:?}");
        assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
    }
    // What is there is no file to be replaced, neither by itself nor behind a link; a device is none either.
    let (pipe, _reader) = fifo(&folder.0);
    let (link, nowhere) = (folder.0.path().join("link"), folder.0.path().join("nowhere"));
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    std::os::unix::fs::symlink(folder.0.path().join("none"), &nowhere).unwrap();
    for (out, why) in [(&pipe, "it is no regular file"), (&link, "it is no regular file"), (&nowhere, "No such file")] {
        let finished = run(&["tls-terminate", "0", "builtin:echo", "--ca-out", out.to_str().unwrap()]);
        assert_eq!(finished.code, Some(3), "{finished:?}");
        assert!(finished.stderr.starts_with(&format!("tapline: cannot write {}: {why}", out.display())), "{finished:?}");
        std::fs::remove_file(out).unwrap_or_else(|error| panic!("{} is gone: {error}", out.display()));
        if out == &pipe {
            rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        }
    }
    std::fs::remove_file(&pipe).unwrap();
    // Who cannot listen has not replaced the file of the process on that address.
    let (_held, addr) = listener();
    let out = folder.write("ca.pem", "of another process");
    let finished = run(&["tls-terminate", &addr.to_string(), "builtin:echo", "--ca-out", &out]);
    assert_eq!(finished.code, Some(3), "{finished:?}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "of another process");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_link_to_the_file_for_the_authority_stays_a_link() {
    let folder = Folder::new();
    let (real, link) = (folder.write("real.pem", "old"), folder.0.path().join("link.pem"));
    std::os::unix::fs::symlink("real.pem", &link).unwrap();
    let mut tapline = start(&["--ca-out", link.to_str().unwrap()]);
    assert_eq!(tapline.event("certificate")["ca"], link.to_str().unwrap());
    assert!(link.is_symlink() && std::fs::read_to_string(&real).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
}

#[test]
fn strict_sni_with_addresses_only_is_wrong_usage() {
    let finished = run(&["tls-terminate", "0", "builtin:echo", "--strict-sni", "--names", "127.0.0.1,::1"]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.stderr.contains("--strict-sni refuses every client here"), "{finished:?}");
}

#[test]
fn what_is_odd_about_a_certificate_or_a_key_is_said_and_served() {
    let folder = Folder::new();
    let key = KeyPair::generate().unwrap();
    let mut old = CertificateParams::new([]).unwrap();
    old.not_after = rcgen::date_time_ymd(2020, 2, 29);
    let old = old.self_signed(&key).unwrap().pem() + &key.serialize_pem();
    let path = folder.write("old.pem", &old);
    rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(0o644)).unwrap();
    let mut tapline = start(&["--cert", &path]);
    let notes = [0; 3].map(|_| tapline.event("note")["text"].as_str().unwrap().to_owned());
    assert_eq!(notes[0], format!("{path}: the certificate expired on 2020-02-29 (UTC)"));
    assert!(notes[1].contains("has no subjectAltName"), "{notes:?}");
    assert_eq!(
        notes[2],
        format!("{path}: the private key is open to the file's group and others (mode 0644); chmod 600 keeps it to its owner")
    );
}
