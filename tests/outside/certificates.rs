//! Certificates of clients, shown by curl, openssl and GnuTLS, and what a witness reads of them in the PROXY header.

use crate::{support::*, tls};
use rcgen::SanType;
use std::path::PathBuf;

/// A folder with `ca.pem`, and the certificates and keys of two clients: `staff.pem`, `staff.key`, `guest.pem` and `guest.key`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), tls::authority("clients"));
        std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        for (name, dns) in [("staff", "one.staff.test"), ("guest", "one.guest.test")] {
            let issued = authority.client(name, vec![SanType::DnsName(dns.try_into().unwrap())]);
            std::fs::write(folder.path().join(format!("{name}.pem")), issued.cert).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), issued.key).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// The program, which lets in nobody but staff, and the file with its own authority.
    fn start(&self, target: &str, more: &[&str]) -> (Tapline, String) {
        let ca = self.path("ca.pem");
        let flags = ["tls-terminate", "0", target, "--client-ca", &ca, "--allow-client", "*.staff.test"];
        let mut tapline = Tapline::start(&[&flags[..], more].concat());
        let own = tapline.event("certificate")["ca"].as_str().unwrap().to_owned();
        (tapline, own)
    }
}

#[test]
fn the_line_printed_has_a_place_for_the_certificate_of_the_client() {
    let folder = Folder::new();
    let both = std::fs::read_to_string(folder.path("staff.pem")).unwrap() + &std::fs::read_to_string(folder.path("staff.key")).unwrap();
    std::fs::write(folder.path("CLIENT.pem"), both).unwrap();
    for more in [&[][..], &["--strict-sni"], &["--client-cert", "optional"]] {
        let ca = folder.path("ca.pem");
        let flags = ["tls-terminate", "0", "builtin:http", "--client-ca", &ca, "--allow-client", "*.staff.test"];
        let mut tapline = Tapline::start(&[&flags[..], more].concat());
        let made = tapline.event("certificate");
        let answer = finish(outside("sh").args(["-c", made["try_with"].as_str().unwrap()]).current_dir(folder.0.path()));
        assert!(answer.stdout.contains("request: GET /\n"), "{made}: {answer:?}");
    }
}

#[test]
fn curl_is_let_in_by_its_certificate_and_told_why_not_otherwise() {
    let folder = Folder::new();
    let (mut tapline, ca) = folder.start("builtin:http", &[]);
    let url = format!("https://{}/", tapline.addr());
    let curl = |args: &[&str]| finish(outside("curl").args(["-sS", "--max-time", "20", "--cacert", &ca, &url]).args(args));
    for version in ["--tlsv1.3", "--tls-max=1.2"].map(|flag| flag.split('=').collect::<Vec<_>>()) {
        let show = |name: &str| {
            let [cert, key] = ["pem", "key"].map(|end| folder.path(&format!("{name}.{end}")));
            curl(&[&["--cert", &cert, "--key", &key], version.as_slice()].concat())
        };
        let answer = show("staff");
        assert!(answer.stdout.contains("request: GET /\n"), "{answer:?}");
        assert_eq!(tapline.event("handshake")["client"]["allowed"], "*.staff.test");
        tapline.closed();
        let refused = show("guest");
        assert!(refused.stderr.contains("alert access denied"), "{refused:?}");
        let closed = tapline.closed();
        assert!(end_of(&closed).2.contains("one.guest.test"), "{closed}");
        let nobody = curl(&version);
        assert!(nobody.stderr.contains("alert") && nobody.stderr.contains("certificate required"), "{nobody:?}");
        tapline.closed();
    }
}

#[test]
fn openssl_and_gnutls_resume_the_sessions_of_their_certificates() {
    /// Answered, and the connection ended, by the server.
    const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
    let folder = Folder::new();
    let (mut tapline, ca) = folder.start("builtin:http", &[]);
    let [cert, key, session] = ["staff.pem", "staff.key", "session"].map(|name| folder.path(name));
    let addr = tapline.addr();
    let mut handshake = |resumed: bool| {
        let handshake = tapline.event("handshake");
        assert_eq!((&handshake["resumed"], &handshake["client"]["common_name"]), (&resumed.into(), &"staff".into()));
    };
    for version in ["-tls1_3", "-tls1_2"] {
        for way in ["-sess_out", "-sess_in"] {
            let mut client = outside("openssl");
            client.args(["s_client", "-connect", &addr.to_string(), "-CAfile", &ca, "-cert", &cert, "-key", &key, "-ign_eof", version]);
            let done = finish_fed(client.args([way, &session]), REQUEST);
            assert!(done.stdout.contains("request: GET /"), "{done:?}");
            handshake(way == "-sess_in");
        }
    }
    let gnutls = ["--resume", "--waitresumption", "--x509cafile", &ca, "--x509certfile", &cert, "--x509keyfile", &key];
    let done = finish_fed(outside("gnutls-cli").args(gnutls).args(["-p", &addr.port().to_string(), "localhost"]), REQUEST);
    assert!(done.stdout.contains("This is a resumed session"), "{done:?}");
    handshake(false);
    handshake(true);
}

#[test]
fn tshark_reads_the_certificate_in_the_header() {
    let folder = Folder::new();
    let file = PathBuf::from(folder.path("recording.pcapng"));
    let mut target = Tapline::start(&["proxy", "0", "builtin:discard", "--record", file.to_str().unwrap()]);
    let (tapline, ca) = folder.start(&target.addr().to_string(), &["--send-proxy", "v2"]);
    let [cert, key] = ["staff.pem", "staff.key"].map(|name| folder.path(name));
    let seen = finish_fed(
        outside("openssl").args([
            "s_client",
            "-brief",
            "-CAfile",
            &ca,
            "-cert",
            &cert,
            "-key",
            &key,
            "-connect",
            &tapline.addr().to_string(),
        ]),
        b"hello\n",
    );
    assert!(seen.stderr.contains("Verification: OK"), "{seen:?}");
    target.closed();
    target.stop();
    let fields = ["client", "verify", "version", "cn", "cipher"].map(|field| format!("-eproxy.v2.tlv.ssl.{field}"));
    let read =
        finish(outside("tshark").arg("-r").arg(&file).args(["-Tfields", "-Eseparator=/s", "-Yproxy.v2.tlv.ssl.client"]).args(fields));
    let words: Vec<_> = read.stdout.split_whitespace().collect();
    assert_eq!(words, ["0x07", "0x00000000", "TLSv1.3", "staff", "TLS_AES_128_GCM_SHA256"], "{read:?}");
}

#[test]
fn openssl_agrees_on_each_group_that_it_knows() {
    let mut tapline = Tapline::start(&["tls-terminate", "0", "builtin:discard"]);
    for (group, version, agreed) in [
        ("X25519", "-tls1_3", "x25519"),
        ("P-256", "-tls1_3", "secp256r1"),
        ("P-384", "-tls1_3", "secp384r1"),
        // It cannot guess which of them is taken, and is asked for another share.
        ("P-521:X448:P-256", "-tls1_3", "secp256r1"),
        ("P-384:P-256", "-tls1_2", "secp384r1"),
    ] {
        let seen = finish(outside("openssl").args(["s_client", "-connect", &tapline.addr().to_string(), "-groups", group, version]));
        assert!(seen.stdout.contains("Server Temp Key: "), "{seen:?}");
        assert_eq!(tapline.event("handshake")["group"], agreed);
    }
}
