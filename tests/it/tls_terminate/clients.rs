//! Certificates of clients: who has to show one, who is let in by it, and what the target is told.

use super::start;
use crate::{
    support::*,
    tls::{self, Authority},
};
use rcgen::SanType;
use rustls::{
    ClientConfig, DEFAULT_VERSIONS,
    pki_types::{CertificateDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use std::{
    io::{Read, Write},
    path::Path,
    sync::Arc,
};
use tapline::{
    identity::{self, Identities},
    proxy_header,
    tls::{ClientRules, ServerSettings, ServerTls},
};
use tokio::io::AsyncWriteExt;

/// A folder with the certificate of an authority, whose clients are to be let in.
fn folder(authority: &Authority) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, &authority.pem).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// What one byte to an echo server comes to.
fn echoed(tapline: &Tapline, config: ClientConfig) -> std::io::Result<()> {
    let mut client = tls::client(tapline.connect(), config, "localhost");
    client.write_all(b"x")?;
    let mut got = [0];
    client.read_exact(&mut got)?;
    assert_eq!(&got, b"x");
    client.conn.send_close_notify();
    client.flush()
}

/// The alert that a refused client reads, as rustls names it. In TLS 1.3 it comes after the client's own handshake is complete.
fn refused(tapline: &mut Tapline, config: ClientConfig, alert: &str) -> String {
    let error = echoed(tapline, config).unwrap_err();
    assert!(error.to_string().contains(alert), "{error}, not {alert}");
    let closed = tapline.closed();
    let (by, during, why, failed) = end_of(&closed);
    assert_eq!((by, during, failed), ("client", "handshake", true), "{closed}");
    why.to_owned()
}

#[test]
fn a_client_shows_a_certificate_of_the_authority_or_is_refused_by_an_alert() {
    let (ours, theirs) = (tls::authority("us"), tls::authority("them"));
    let (_folder, path) = folder(&ours);
    let (mut tapline, ca) = start("builtin:echo", &["--client-ca", &path]);
    let (good, bad) = (ours.client("one", vec![dns("one.a.test")]), theirs.client("two", vec![]));
    for version in [&TLS12, &TLS13] {
        echoed(&tapline, tls::showing(&ca, &good, &[version])).unwrap();
        let client = &tapline.event("handshake")["client"];
        assert_eq!(*client, serde_json::json!({"common_name": "one", "names": ["one.a.test"], "allowed": null}));
        assert_eq!(tapline.closed()["failed"], false);
        refused(&mut tapline, tls::showing(&ca, &bad, &[version]), "UnknownCA");
        refused(&mut tapline, tls::trusting_with(&ca, &[], &[version]), "CertificateRequired");
    }
}

#[test]
fn a_client_may_come_without_a_certificate_where_that_is_optional_but_not_with_a_wrong_one() {
    let (ours, theirs) = (tls::authority("us"), tls::authority("them"));
    let (_folder, path) = folder(&ours);
    let (mut tapline, ca) = start("builtin:echo", &["--client-ca", &path, "--client-cert", "optional"]);
    echoed(&tapline, tls::trusting(&ca, &[])).unwrap();
    assert!(tapline.event("handshake")["client"].is_null());
    tapline.closed();
    echoed(&tapline, tls::showing(&ca, &ours.client("one", vec![]), DEFAULT_VERSIONS)).unwrap();
    assert_eq!(tapline.event("handshake")["client"]["common_name"], "one");
    tapline.closed();
    refused(&mut tapline, tls::showing(&ca, &theirs.client("two", vec![]), DEFAULT_VERSIONS), "UnknownCA");
}

#[test]
fn only_clients_of_the_names_that_are_allowed_are_let_in() {
    let authority = tls::authority("us");
    let (_folder, path) = folder(&authority);
    let names = ["a.test", "*.b.test", "10.0.0.1", "me@a.test", "spiffe://a.test/one"];
    let flags: Vec<&str> = ["--client-ca", &path, "--client-cert", "optional"]
        .into_iter()
        .chain(names.iter().flat_map(|name| ["--allow-client", name]))
        .collect();
    let (mut tapline, ca) = start("builtin:echo", &flags);
    let uri = |uri: &str| SanType::URI(uri.try_into().unwrap());
    for (allowed, name) in names.into_iter().zip([
        dns("A.test"),
        dns("x.b.test"),
        SanType::IpAddress("10.0.0.1".parse().unwrap()),
        SanType::Rfc822Name("me@a.test".try_into().unwrap()),
        uri("spiffe://a.test/one"),
    ]) {
        let shown = authority.client("somebody", vec![dns("other.test"), name]);
        echoed(&tapline, tls::showing(&ca, &shown, DEFAULT_VERSIONS)).unwrap();
        assert_eq!(tapline.event("handshake")["client"]["allowed"], allowed);
        assert_eq!(tapline.closed()["failed"], false);
    }
    for version in [&TLS12, &TLS13] {
        let shown = authority.client("a.test", vec![dns("b.test"), uri("spiffe://a.test/two")]);
        let why = refused(&mut tapline, tls::showing(&ca, &shown, &[version]), "AccessDenied");
        assert!(why.contains("b.test, spiffe://a.test/two"), "{why}");
        // Nobody is let in without a name.
        refused(&mut tapline, tls::trusting_with(&ca, &[], &[version]), "CertificateRequired");
    }
}

#[test]
fn a_client_whose_certificate_was_revoked_is_refused() {
    let authority = tls::authority("us");
    let (folder, path) = folder(&authority);
    let list = folder.path().join("crl.pem");
    std::fs::write(&list, authority.revoking("two")).unwrap();
    let (mut tapline, ca) = start("builtin:echo", &["--client-ca", &path, "--client-crl", list.to_str().unwrap()]);
    echoed(&tapline, tls::showing(&ca, &authority.client("one", vec![]), DEFAULT_VERSIONS)).unwrap();
    assert_eq!(tapline.closed()["failed"], false);
    refused(&mut tapline, tls::showing(&ca, &authority.client("two", vec![]), DEFAULT_VERSIONS), "CertificateRevoked");
}

#[test]
fn files_without_what_they_should_hold_are_named_before_listening() {
    let authority = tls::authority("us");
    let (folder, path) = folder(&authority);
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing\n").unwrap();
    let empty = empty.to_str().unwrap();
    for (flags, why) in [
        (&["--client-ca", "/nowhere.pem"][..], "cannot read /nowhere.pem"),
        (&["--client-ca", empty], "holds no certificate in PEM"),
        (&["--client-ca", &path, "--client-crl", empty], "no certificate revocation list"),
    ] {
        let done = run(&[&["tls-terminate", "0", "1"], flags].concat());
        assert_eq!(done.code, Some(3), "{}", done.stderr);
        assert!(done.stderr.contains(why), "{}", done.stderr);
    }
    for flags in [&["--client-cert", "optional"][..], &["--allow-client", "a.test"], &["--client-ca", &path, "--allow-client", "*"]] {
        assert_eq!(run(&[&["tls-terminate", "0", "1"], flags].concat()).code, Some(2), "{flags:?}");
    }
}

/// What a target is told by a PROXY header of version 2 of a client, and the same of one that resumes its session.
fn told(config: &ClientConfig, tapline: &mut Tapline, listener: &std::net::TcpListener) -> [proxy_header::Ssl; 2] {
    [false, true].map(|resumed| {
        let mut client = tls::client(tapline.connect(), config.clone(), "localhost");
        client.write_all(b"x").unwrap();
        let mut target = accept(listener);
        let mut bytes = Vec::new();
        let header = loop {
            bytes.extend(read_n(&mut target, 1));
            if let Some(header) = proxy_header::read(&bytes) {
                break header.unwrap();
            }
        };
        assert_eq!(read_n(&mut target, 1), b"x");
        // The tickets of TLS 1.3 come before the first byte.
        target.write_all(b"y").unwrap();
        assert_eq!(read_n(&mut client, 1), b"y");
        assert_eq!(tapline.event("handshake")["resumed"], resumed);
        header.tlvs.ssl.unwrap()
    })
}

#[test]
fn a_target_is_told_of_the_certificate_and_whether_it_is_of_this_connection() {
    let authority = tls::authority("us");
    let (_folder, path) = folder(&authority);
    let (listener, target) = listener();
    let flags = ["--client-ca", &path, "--client-cert", "optional", "--send-proxy", "v2"];
    let (mut tapline, ca) = start(&target.to_string(), &flags);
    let shown = authority.client("Ä client", vec![dns("one.a.test")]);
    let der = CertificateDer::from_pem_slice(shown.cert.as_bytes()).unwrap().to_vec();
    for (version, text, group_when_resumed) in [(&TLS13, "TLSv1.3", true), (&TLS12, "TLSv1.2", false)] {
        let [first, second] = told(&tls::showing(&ca, &shown, &[version]), &mut tapline, &listener);
        assert_eq!((first.client, first.verify, second.client, second.verify), (1 | 2 | 4, 0, 1 | 4, 0));
        for ssl in [&first, &second] {
            assert_eq!((ssl.version.as_deref(), ssl.common_name.as_deref()), (Some(text), Some("Ä client")));
            assert_eq!(ssl.client_cert.as_ref(), Some(&der));
        }
        let group = Some(if group_when_resumed { "X25519MLKEM768" } else { "x25519" });
        assert_eq!(first.group.as_deref(), group);
        assert_eq!(second.group.as_deref(), group.filter(|_| group_when_resumed));
        let [first, _] = told(&tls::trusting_with(&ca, &[], &[version]), &mut tapline, &listener);
        assert_eq!((first.client, first.common_name, first.client_cert), (1, None, None));
        assert_ne!(first.verify, 0, "zero is for a certificate that was found good");
    }
}

#[test]
fn nobody_gets_in_by_the_session_of_a_name() {
    // The session of a client without a certificate, and one with: each is taken up as what it is.
    let authority = tls::authority("us");
    let (_folder, path) = folder(&authority);
    let (mut tapline, ca) = start("builtin:echo", &["--client-ca", &path, "--client-cert", "optional"]);
    let (without, with) = (tls::trusting(&ca, &[]), tls::showing(&ca, &authority.client("one", vec![]), DEFAULT_VERSIONS));
    for (config, name, resumed) in
        [(&without, None, false), (&with, Some("one"), false), (&without, None, true), (&with, Some("one"), true)]
    {
        echoed(&tapline, config.clone()).unwrap();
        let handshake = tapline.event("handshake");
        assert_eq!((handshake["client"]["common_name"].as_str(), &handshake["resumed"]), (name, &resumed.into()), "{handshake}");
    }
}

/// Whether a client was taken that says and hears a byte, and whether it resumed a session.
async fn taken(server: &ServerTls, config: &ClientConfig) -> std::io::Result<bool> {
    let (listener, addr) = listener();
    let config = config.clone();
    let client = std::thread::spawn(move || {
        let mut client = tls::client(connect(addr), config, "localhost");
        client.write_all(b"x").and_then(|()| client.read(&mut [0]))
    });
    let tcp = accept(&listener);
    tcp.set_nonblocking(true).unwrap();
    let accepted = server.accept(tokio::net::TcpStream::from_std(tcp).unwrap().into()).await;
    let taken = match accepted {
        Ok(mut stream) => {
            stream.write_all(b"y").await?;
            stream.shutdown().await?;
            Ok(stream.tls_session().unwrap().resumed)
        }
        Err((error, stream)) => {
            stream.close_gently(DEADLINE).await;
            Err(error)
        }
    };
    let heard = client.join().unwrap();
    // Who is refused after its handshake must not take that for an empty answer.
    match &taken {
        Ok(_) => assert_eq!(heard.unwrap(), 1),
        Err(_) => assert!(heard.unwrap_err().to_string().contains("CertificateRevoked")),
    }
    taken
}

#[tokio::test]
async fn a_session_is_resumed_for_as_long_as_its_certificate_is_good() {
    let authority = tls::authority("us");
    let (folder, ca) = folder(&authority);
    let list = folder.path().join("crl.pem");
    std::fs::write(&list, authority.revoking("one")).unwrap();
    let rules = |crls: &[&Path]| {
        let crls = crls.iter().map(|path| (*path).to_owned()).collect();
        Arc::new(ClientRules { ca: ca.clone().into(), crls, required: true, allowed: Vec::new() }.load().unwrap())
    };
    for version in [&TLS12, &TLS13] {
        let made = identity::Authority::new(vec!["localhost".parse().unwrap()]).unwrap();
        let trusted = made.pem().to_owned();
        let server = ServerTls::new(&Identities::made(made, false), &ServerSettings::default()).unwrap();
        server.replace_clients(rules(&[])).unwrap();
        let [config, other] = [(); 2].map(|()| tls::showing(&trusted, &authority.client("one", vec![]), &[version]));
        assert!(!taken(&server, &config).await.unwrap() && !taken(&server, &other).await.unwrap());
        assert!(taken(&server, &config).await.unwrap());
        server.replace_clients(rules(&[&list])).unwrap();
        let error = taken(&server, &config).await.unwrap_err();
        assert!(error.to_string().contains("Revoked"), "{error:?}");
        // Sessions outlive a change, for those who are still good. The refused one has used its ticket up.
        server.replace_clients(rules(&[])).unwrap();
        assert!(taken(&server, &other).await.unwrap());
    }
}

#[test]
fn the_authorities_of_clients_are_read_again_and_a_broken_file_changes_nothing() {
    let (one, two) = (tls::authority("one"), tls::authority("two"));
    let (_folder, path) = folder(&one);
    let (mut tapline, ca) = start("builtin:echo", &["--client-ca", &path]);
    let config = |authority: &Authority| tls::showing(&ca, &authority.client("somebody", vec![]), DEFAULT_VERSIONS);
    echoed(&tapline, config(&one)).unwrap();
    tapline.closed();
    let loaded = |tapline: &mut Tapline, is_broken: bool| {
        loop {
            let said = tapline.event("loaded");
            if said["what"] == "client_ca" && (is_broken != said["why"].is_null()) && (is_broken || said["changed"] != 0) {
                return;
            }
        }
    };
    std::fs::write(&path, &two.pem).unwrap();
    loaded(&mut tapline, false);
    echoed(&tapline, config(&two)).unwrap();
    tapline.closed();
    refused(&mut tapline, config(&one), "UnknownCA");
    std::fs::write(&path, "nothing\n").unwrap();
    loaded(&mut tapline, true);
    echoed(&tapline, config(&two)).unwrap();
}
