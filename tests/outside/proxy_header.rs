//! The PROXY protocol with those who speak it: curl sends it, haproxy and nginx send and receive it.

use crate::{
    servers::{haproxy, nginx},
    support::*,
};
use serde_json::Value;

const ACCEPT: [&str; 2] = ["--accept-proxy", "127.0.0.0/8"];

fn curl(args: &[&str]) -> String {
    let done = finish(outside("curl").args(["-sS", "--max-time", "20"]).args(args));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stdout
}

#[test]
fn curl_is_announced_by_itself() {
    let mut tapline = Tapline::start(&[&["lb7", "0", "builtin:http"][..], &ACCEPT].concat());
    let answer = curl(&["--haproxy-protocol", &format!("http://{}/", tapline.addr())]);
    assert!(answer.contains("x-forwarded-for: 127.0.0.1\n"), "{answer}");
    let announced = tapline.event("announced");
    assert_eq!((&announced["version"], &announced["destination"]), (&"v1".into(), &tapline.endpoint().into()));
    let closed = tapline.closed();
    assert_eq!((&closed["client"], &closed["failed"]), (&announced["source"], &false.into()), "curl announces its own address");
    assert_eq!(closed["client"], closed["peer"]);
}

/// What tapline is told by a haproxy whose own client is another one of ours, at a known address.
fn told_by_haproxy(options: &str) -> Value {
    let mut inner = Tapline::start(&[&["proxy", "0", "builtin:echo"][..], &ACCEPT].concat());
    // haproxy believes the header of `outer`, which speaks of a client over TCP.
    let haproxy = haproxy(&format!(
        "listen l\n mode tcp\n unique-id-format %[uuid]\n bind SOCKET accept-proxy\n server s {} {options}\n",
        inner.addr()
    ));
    let outer = Tapline::start(&["proxy", "0", &haproxy.target(), "--send-proxy", "v2"]);
    let mut client = outer.connect();
    let addr = client.local_addr().unwrap().to_string();
    std::io::Write::write_all(&mut client, b"hello").unwrap();
    assert_eq!(read_n(&mut client, 5), b"hello");
    let announced = inner.event("announced");
    assert_eq!((&announced["source"], &announced["destination"]), (&addr.into(), &outer.endpoint().into()), "{announced}");
    drop(client);
    let closed = inner.closed();
    assert_eq!(closed["client"], announced["source"]);
    announced
}

#[test]
fn haproxy_receives_and_sends_version_1() {
    assert_eq!(told_by_haproxy("send-proxy")["version"], "v1");
}

#[test]
fn haproxy_receives_and_sends_version_2_with_what_else_it_knows() {
    let announced = told_by_haproxy("send-proxy-v2 proxy-v2-options crc32c,unique-id,authority,ssl");
    assert_eq!(announced["version"], "v2");
    assert_eq!(announced["unique_id"].as_str().map(str::len), Some(36), "a UUID: {announced}");
    assert!(announced["tls"].is_null(), "{announced}");
}

#[test]
fn haproxy_tells_of_tls_and_of_the_name() {
    let mut inner = Tapline::start(&[&["proxy", "0", "builtin:http"][..], &ACCEPT].concat());
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("pem");
    let req = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=a.test", "-days", "2"];
    // Certificate and key go into one file.
    let made = finish(outside("openssl").args(req).arg("-keyout").arg(&pem));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let key = std::fs::read_to_string(&pem).unwrap();
    std::fs::write(&pem, made.stdout + &key).unwrap();
    let haproxy = haproxy(&format!(
        "listen l\n mode tcp\n bind SOCKET accept-proxy ssl crt {}\n server s {} send-proxy-v2 proxy-v2-options crc32c,authority,ssl,ssl-cipher\n",
        pem.display(),
        inner.addr()
    ));
    let front = Tapline::start(&["proxy", "0", &haproxy.target(), "--send-proxy", "v2"]);
    let url = format!("https://a.test:{}/", front.addr().port());
    let answer = curl(&["-k", "--tlsv1.3", "--connect-to", &format!("::{}", front.addr()), &url]);
    assert!(answer.contains("request: GET /"), "{answer}");
    let announced = inner.event("announced");
    assert_eq!(announced["authority"], "a.test", "{announced}");
    assert_eq!((&announced["tls"]["version"], &announced["tls"]["verified"]), (&"TLSv1.3".into(), &false.into()), "{announced}");
    assert!(announced["tls"]["cipher"].as_str().unwrap().starts_with("TLS_"), "{announced}");
}

#[test]
fn haproxy_takes_what_tapline_sends_of_tls_and_of_the_name() {
    // What haproxy has understood of the header, it answers.
    let haproxy = haproxy(
        "frontend f\n mode http\n bind SOCKET accept-proxy\n http-request return status 200 content-type text/plain \
         lf-string \"%[src] %[dst_port] %[fc_pp_authority] %[fc_pp_unique_id]\\n\"\n",
    );
    let mut tapline = Tapline::start(&["tls-terminate", "0", &haproxy.target(), "--names", "a.test", "--send-proxy", "v2"]);
    let ca = tapline.event("certificate")["ca"].as_str().unwrap().to_owned();
    let port = tapline.addr().port();
    let url = format!("https://a.test:{port}/");
    let answer = curl(&["--cacert", &ca, "--connect-to", &format!("::{}", tapline.addr()), &url]);
    let words: Vec<&str> = answer.split_whitespace().collect();
    assert_eq!(words[..3], ["127.0.0.1", &port.to_string(), "a.test"], "{answer}");
    assert!(words[3].ends_with("-1") && words[3].len() == 18, "{answer}");
}

#[test]
fn headers_without_ip_addresses_are_taken() {
    let haproxy = haproxy(
        "frontend f\n mode http\n bind SOCKET accept-proxy\n http-request return status 200 content-type text/plain string haproxy\n",
    );
    let nginx = nginx("http { server { listen SOCKET proxy_protocol; location / { return 200 nginx; } } }\n");
    let folder = tempfile::tempdir().unwrap();
    for (server, name) in [(&haproxy, "haproxy"), (&nginx, "nginx")] {
        for version in ["v1", "v2"] {
            let path = folder.path().join(format!("{name}-{version}"));
            let _tapline = Tapline::start(&["proxy", &format!("unix:{}", path.display()), &server.target(), "--send-proxy", version]);
            assert_eq!(curl(&["--unix-socket", path.to_str().unwrap(), "http://a.test/"]), name, "{version}");
        }
    }
}

#[test]
fn haproxy_takes_health_checks_for_none_of_its_clients() {
    let haproxy = haproxy(
        "frontend f\n mode http\n bind SOCKET accept-proxy\n http-request return status 200 content-type text/plain lf-string \"%[src]\\n\"\n",
    );
    for version in ["v1", "v2"] {
        let mut tapline = Tapline::start(&["lb4", "0", &haproxy.target(), "--send-proxy", version, "--check-interval", "20ms"]);
        for _ in 0..5 {
            assert_eq!(curl(&[&format!("http://{}/", tapline.addr())]), "127.0.0.1\n");
        }
        tapline.stop();
        assert!(tapline.seen.iter().all(|event| event["event"] != "health"), "it stayed up: {:?}", tapline.seen);
    }
}

#[test]
fn nginx_receives_both_versions() {
    let nginx = nginx(
        "http { server { listen SOCKET proxy_protocol; location / { \
         return 200 \"$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port\\n\"; } } }\n",
    );
    for version in ["v1", "v2"] {
        let mut tapline = Tapline::start(&["proxy", "0", &nginx.target(), "--send-proxy", version]);
        let answer = curl(&[&format!("http://{}/", tapline.addr())]);
        let client = tapline.closed()["client"].as_str().unwrap().replace(':', " ");
        assert_eq!(answer, format!("{client} {}\n", tapline.addr().port()), "{version}");
    }
}

#[test]
fn nginx_sends_who_its_client_is() {
    let mut inner = Tapline::start(&[&["lb7", "0", "builtin:http"][..], &ACCEPT].concat());
    // nginx cannot be asked for the port that it got. One that is held on 127.0.0.1 is given to nobody else.
    let (_held, addr) = refusing();
    let listen = format!("127.0.0.2:{}", addr.port());
    let _nginx =
        nginx(&format!("stream {{ server {{ listen SOCKET; listen {listen}; proxy_protocol on; proxy_pass {}; }} }}\n", inner.addr()));
    let answer = curl(&["-w", "from %{local_ip}:%{local_port}\n", &format!("http://{listen}/")]);
    let client = answer.lines().last().unwrap().strip_prefix("from ").unwrap();
    // Who looks whether nginx is there comes by the Unix socket, and is unknown.
    let announced = std::iter::repeat_with(|| inner.event("announced")).find(|event| !event["source"].is_null()).unwrap();
    assert_eq!((&announced["version"], &announced["source"]), (&"v1".into(), &client.into()), "{announced}");
    assert_eq!(announced["destination"], listen);
    assert!(answer.contains("x-forwarded-for: 127.0.0.1\n"), "{answer}");
}
