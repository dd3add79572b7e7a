//! curl as the client.

use crate::support::*;

fn curl(args: &[&str]) -> Finished {
    finish(outside("curl").args(["-sS", "--max-time", "20"]).args(args))
}

#[test]
fn curl_gets_an_answer_through_proxy() {
    let tapline = Tapline::start(&["proxy", "0", "builtin:http"]);
    let answer = curl(&[&format!("http://{}/hello?x=1", tapline.addr())]);
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""));
    assert!(answer.stdout.contains("request: GET /hello?x=1\n"), "{}", answer.stdout);
}

#[test]
fn curl_is_refused_by_proxy_as_by_the_target_itself() {
    let (_held, nobody) = refusing();
    let tapline = Tapline::start(&["proxy", "0", &nobody.to_string()]);
    let answer = curl(&[&format!("http://{}/", tapline.addr())]);
    // 7: could not connect, or 56: reset by peer, whichever curl comes to first. 52, an empty answer, would be the clean
    // end of a relay that hides it.
    assert!(matches!(answer.code, Some(7 | 56)), "{answer:?}");
}

#[test]
fn the_line_printed_by_tls_terminate_works_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (out, socket) = (file("the ca's.pem"), format!("unix:{}", file("a socket")));
    for args in [
        &["0"][..],
        &["[::1]:0"],
        &[":0"],
        &[&socket],
        &["0", "--names", "*.a.test"],
        &["[::1]:0", "--names", "**.a.test,b.test", "--ca-out", &out],
        &["0", "--names", "**"],
        &["0", "--names", ".a.test"],
        &["0", "--names", "192.0.2.7"],
        &["0", "--names", "2001:db8::7,a.test"],
        &["0", "--strict-sni"],
        &[&socket, "--strict-sni", "--names", "127.0.0.1,*.a.test"],
    ] {
        let mut tapline = Tapline::start(&[&["tls-terminate", args[0], "builtin:http"], &args[1..]].concat());
        let made = tapline.event("certificate");
        let line = made["try_with"].as_str().unwrap();
        assert!(line.starts_with("curl --cacert "), "{line}");
        let answer = finish(outside("sh").args(["-c", line]));
        assert_eq!(answer.code, Some(0), "{line}: {}", answer.stderr);
        assert!(answer.stdout.contains("request: GET /\n"), "{}", answer.stdout);
        assert_eq!(tapline.event("handshake")["version"], "TLSv1.3");
    }
}

#[test]
fn curl_is_told_to_use_tls_on_a_tls_port() {
    let tapline = Tapline::start(&["tls-terminate", "0", "builtin:http"]);
    let answer = curl(&["-o", "-", "-w", "%{http_code}", &format!("http://{}/", tapline.addr())]);
    assert!(answer.stdout.contains("this port speaks TLS") && answer.stdout.ends_with("400"), "{answer:?}");
}

#[test]
fn sni_peek_shows_what_curl_offers() {
    let mut tapline = Tapline::start(&["sni-peek", "0", "--connections", "1"]);
    let to = format!("::{}", tapline.addr());
    let answer = curl(&["-k", "--connect-to", &to, "https://www.example.test/"]);
    assert_eq!(answer.code, Some(35), "a TLS alert is a failed handshake: {}", answer.stderr);
    assert!(answer.stderr.contains("alert handshake failure"), "{}", answer.stderr);
    assert_eq!(tapline.wait().code(), Some(0));
    let hello: serde_json::Value = serde_json::from_str(&tapline.stdout()).unwrap();
    assert_eq!((&hello["event"], &hello["sni"]), (&"hello".into(), &"www.example.test".into()));
    assert_eq!(hello["alpn"], serde_json::json!(["h2", "http/1.1"]));
    assert_eq!(hello["versions"][0], "TLSv1.3");
}

#[test]
fn curl_reaches_the_right_server_by_name_and_verifies_it() {
    let mut backend = Tapline::start(&["tls-terminate", "0", "builtin:http", "--names", "*.a.test"]);
    let ca = backend.event("certificate")["ca"].as_str().unwrap().to_owned();
    let mut router = Tapline::start(&["sni-route", "0", &format!("*.a.test={}", backend.addr())]);
    let to = format!("::{}", router.addr());
    let answer = curl(&["--cacert", &ca, "--connect-to", &to, "https://www.a.test/"]);
    assert!(answer.stdout.contains("host: www.a.test\n"), "{answer:?}");
    // Curl's to end; whether cleanly is its own matter: once it has closed, the server's close_notify meets nobody, and its kernel
    // resets (RFC 9293 section 3.6.1) sooner or later than the server's end comes.
    let closed = router.closed();
    assert_eq!((&closed["by"], &closed["target"]), (&"client".into(), &backend.addr().to_string().into()), "{closed}");
    // Another name is refused with an alert that says so.
    let refused = curl(&["-k", "--connect-to", &to, "https://b.test/"]);
    assert_eq!(refused.code, Some(35));
    assert!(refused.stderr.contains("unrecognized name"), "{}", refused.stderr);
}

#[test]
fn lb4_takes_turns_between_backends() {
    let tapline = Tapline::start(&["lb4", "0", "builtin:http", "builtin:http"]);
    let url = format!("http://{}/", tapline.addr());
    let mut backends: Vec<_> = (0..4).map(|_| curl(&[&url]).stdout.lines().next().unwrap().to_owned()).collect();
    backends.sort();
    assert_eq!(backends, ["backend: builtin:http#1", "backend: builtin:http#1", "backend: builtin:http#2", "backend: builtin:http#2"]);
}

#[test]
fn lb7_serves_every_kind_of_request_that_curl_makes() {
    let tapline = Tapline::start(&["lb7", "0", "builtin:http", "builtin:http", "builtin:http", "--policy", "round-robin"]);
    let url = format!("http://{}/", tapline.addr());
    // Three requests on one connection reach three backends.
    let three = curl(&[&url, &url, &url]).stdout;
    for backend in 1..=3 {
        assert_eq!(three.matches(&format!("backend: builtin:http#{backend}\n")).count(), 1, "{three}");
    }
    for (args, expected) in [
        (&["-H", "Accept: application/json"][..], r#""method":"GET""#),
        (&["-d", "12345"], "body: 5 bytes"),
        (&["-T", "Cargo.toml"], "request: PUT /"),
        (&["-T", "Cargo.toml", "-H", "Transfer-Encoding: chunked"], "request: PUT /"),
        (&["-d", "12345", "-H", "Expect: 100-continue"], "body: 5 bytes"),
        (&["--http1.0"], "request: GET /"),
        (&["-X", "OPTIONS"], "request: OPTIONS /"),
        (&["-I"], "HTTP/1.1 200 OK"),
        (&["-H", "X-Forwarded-For: 6.6.6.6"], "x-forwarded-for: 127.0.0.1\n"),
    ] {
        let answer = curl(&[args, &[url.as_str()]].concat());
        assert!(answer.code == Some(0) && answer.stdout.contains(expected), "{args:?}: {answer:?}");
    }
}

#[test]
fn lb7_says_why_there_is_no_answer() {
    let (_held, nobody) = refusing();
    let tapline = Tapline::start(&["lb7", "0", &nobody.to_string()]);
    let answer = curl(&["-w", "%{http_code}", &format!("http://{}/", tapline.addr())]);
    assert_eq!(answer.stdout, format!("503 Service Unavailable: cannot connect to {nobody}: refused\n503"));
}
