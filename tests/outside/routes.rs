//! `sni-route --routes redis://...` with the real redis, in both of the formats that routers have used.

use crate::{
    servers::{Server, redis},
    support::*,
    tls::{REFUSED, hear},
};
use serde_json::Value;
use std::time::{Duration, Instant};

fn cli(server: &Server, args: &[&str]) -> String {
    let socket = server.socket();
    let done = finish(outside("redis-cli").args(["-s", socket.to_str().unwrap()]).args(args));
    assert!(done.code == Some(0) && !done.stdout.contains("ERR"), "{args:?}: {done:?}");
    done.stdout
}

/// Where tapline finds the server.
fn url(server: &Server) -> String {
    format!("redis+unix://{}", server.socket().display())
}

fn start(args: &[&str]) -> Tapline {
    Tapline::start(&[&["sni-route", "0"], args].concat())
}

fn counts(routes: &Value) -> [u64; 5] {
    ["rules", "added", "removed", "changed", "skipped"].map(|key| routes[key].as_u64().unwrap())
}

fn why(routes: &Value) -> &str {
    routes["why"].as_str().unwrap_or_default()
}

#[test]
fn a_set_of_backends_and_a_list_of_urls_are_rules() {
    let server = Server::redis();
    let [one, two, three] = ["one", "two", "three"].map(|name| naming(name).to_string());
    let http = |addr: &str| format!("http://{addr}");
    cli(&server, &["sadd", "hostnames:a.test:backends", &one]);
    cli(&server, &["rpush", "frontend:b.test", "id", &http(&one), &http(&two)]);
    cli(&server, &["rpush", "frontend:*.c.test", "id", &http(&two)]);
    cli(&server, &["rpush", "frontend:x.c.test", "id", &http(&three)]);
    // A name in both formats, one that is an argument as well, and what else lies around.
    cli(&server, &["rpush", "frontend:a.test", "id", &http(&two)]);
    cli(&server, &["sadd", "hostnames:arg.test:backends", &two]);
    cli(&server, &["set", "frontend", "other"]);
    cli(&server, &["hset", "users:1", "name", "x"]);
    let mut tapline = start(&[&format!("arg.test={one}"), "--routes", &url(&server)]);
    let routes = tapline.event("routes");
    assert_eq!((counts(&routes), why(&routes)), ([5, 5, 0, 0, 1], "arg.test has a rule in the arguments already"));
    for (name, answer) in [
        ("a.test", "one"),
        ("A.Test.", "one"),
        ("x.c.test", "three"),
        ("y.c.test", "two"),
        ("z.y.c.test", "two"),
        ("c.test", REFUSED),
        ("arg.test", "one"),
        ("other.test", REFUSED),
    ] {
        assert_eq!(hear(tapline.addr(), name), answer, "{name}");
    }
    let mut turns: Vec<_> = (0..4).map(|_| hear(tapline.addr(), "b.test")).collect();
    turns.sort();
    assert_eq!(turns, ["one", "one", "two", "two"]);
    // The frontend of all names.
    cli(&server, &["rpush", "frontend:*", "id", &http(&three)]);
    assert_eq!(counts(&tapline.event("routes")), [6, 1, 0, 0, 0]);
    assert_eq!((hear(tapline.addr(), "other.test"), hear(tapline.addr(), "a.test")), ("three".into(), "one".into()));
    // Without the set, the list counts.
    cli(&server, &["del", "hostnames:a.test:backends"]);
    assert_eq!(counts(&tapline.event("routes")), [6, 0, 0, 1, 0]);
    assert_eq!(hear(tapline.addr(), "a.test"), "two");
    cli(&server, &["flushall"]);
    assert_eq!(counts(&tapline.event("routes")), [0, 0, 6, 0, 0]);
    assert_eq!((hear(tapline.addr(), "a.test"), hear(tapline.addr(), "arg.test")), (REFUSED.into(), "one".into()));
}

#[test]
fn a_backend_that_is_marked_dead_is_left_out_until_the_mark_expires() {
    let server = Server::redis();
    let urls = ["one", "two"].map(|name| format!("http://{}", naming(name)));
    cli(&server, &["rpush", "frontend:a.test", "id", &urls[0], &urls[1]]);
    let mut tapline = start(&["--routes", &url(&server)]);
    tapline.event("routes");
    cli(&server, &["sadd", "dead:a.test", "0"]);
    assert_eq!(counts(&tapline.event("routes")), [1, 0, 0, 1, 0]);
    assert_eq!([(); 3].map(|()| hear(tapline.addr(), "a.test")), ["two"; 3]);
    // Nobody takes it away: it is over.
    cli(&server, &["pexpire", "dead:a.test", "1"]);
    assert_eq!(counts(&tapline.event("routes")), [1, 0, 0, 1, 0]);
    let mut heard = [(); 2].map(|()| hear(tapline.addr(), "a.test"));
    heard.sort();
    assert_eq!(heard, ["one", "two"]);
}

#[test]
fn a_change_is_seen_by_two_processes_within_a_second() {
    let server = Server::redis();
    let mut both = [(); 2].map(|()| start(&["--routes", &url(&server), "--routes-interval", "1h"]));
    for tapline in &mut both {
        assert_eq!(counts(&tapline.event("routes")), [0; 5]);
    }
    for round in 0..5 {
        let name = ["one", "two"][round % 2];
        let to = naming(name).to_string();
        cli(&server, &["eval", "redis.call('del', KEYS[1]); redis.call('sadd', KEYS[1], ARGV[1])", "1", "hostnames:a.test:backends", &to]);
        let told = Instant::now();
        for tapline in &mut both {
            tapline.event("routes");
            assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
            assert_eq!(hear(tapline.addr(), "a.test"), name);
        }
    }
}

#[test]
fn one_tenants_mistake_is_skipped_and_the_others_are_served() {
    let server = Server::redis();
    let one = naming("one").to_string();
    cli(&server, &["sadd", "hostnames:good.test:backends", &one]);
    for (key, value) in
        [("hostnames:a b:backends", "h:1"), ("hostnames:x.test:backends", "unix:/etc/passwd"), ("hostnames:\u{1b}[31m:backends", "h:1")]
    {
        cli(&server, &["sadd", key, value]);
    }
    cli(&server, &["set", "frontend:string.test", "http://h:1"]);
    let mut tapline = start(&["--routes", &url(&server)]);
    let routes = tapline.event("routes");
    assert_eq!(counts(&routes), [1, 1, 0, 0, 4]);
    assert!(why(&routes).ends_with("; and 1 more"), "{routes}");
    assert_eq!(hear(tapline.addr(), "good.test"), "one");
    cli(&server, &["rpush", "frontend:late.test", "id", "ftp://h:1", &format!("http://{one}")]);
    let routes = tapline.event("routes");
    assert_eq!((counts(&routes), why(&routes)), ([2, 1, 0, 0, 1], "frontend:late.test: \"ftp://h:1\" is not http://HOST:PORT"));
    assert_eq!(hear(tapline.addr(), "late.test"), "one");
}

#[test]
fn an_entry_of_any_length_is_told_and_the_last_rules_stay() {
    let server = Server::redis();
    cli(&server, &["sadd", "hostnames:a.test:backends", &naming("one").to_string()]);
    let mut tapline = start(&["--routes", &url(&server)]);
    tapline.event("routes");
    cli(&server, &["eval", "redis.call('sadd', 'hostnames:b.test:backends', string.rep('x', 70000000))", "0"]);
    let routes = tapline.event("routes");
    let told = "an answer of more than 64 MiB; its last rules stay";
    assert_eq!((counts(&routes), why(&routes)), ([1, 0, 0, 0, 0], told));
    assert_eq!(hear(tapline.addr(), "a.test"), "one");
    cli(&server, &["del", "hostnames:b.test:backends"]);
    assert_eq!((counts(&tapline.event("routes")), hear(tapline.addr(), "a.test")), ([1, 0, 0, 0, 0], "one".into()));
}

#[test]
fn while_the_server_is_away_its_last_rules_stay_and_then_its_new_ones_come() {
    let mut server = Server::redis();
    let [one, two] = ["one", "two"].map(|name| naming(name).to_string());
    cli(&server, &["sadd", "hostnames:a.test:backends", &one]);
    cli(&server, &["sadd", "hostnames:b.test:backends", &one]);
    let mut tapline = start(&["--routes", &url(&server)]);
    assert_eq!(counts(&tapline.event("routes")), [2, 2, 0, 0, 0]);
    server.kill();
    let routes = tapline.event("routes");
    assert!(counts(&routes) == [2, 0, 0, 0, 0] && why(&routes).ends_with("its last rules stay"), "{routes}");
    assert_eq!(hear(tapline.addr(), "a.test"), "one");
    // It is back, with a password that it did not have.
    server.again(|folder| redis(folder, &["--requirepass", "new"]));
    let routes = tapline.event("routes");
    assert!(counts(&routes) == [2, 0, 0, 0, 0] && why(&routes).contains("NOAUTH"), "{routes}");
    server.kill();
    // It has forgotten everything, and is filled by and by.
    server.again(|folder| redis(folder, &[]));
    let routes = tapline.event("routes");
    assert!(counts(&routes) == [2, 0, 0, 0, 0] && why(&routes).contains("has none now"), "{routes}");
    assert_eq!(hear(tapline.addr(), "a.test"), "one");
    cli(&server, &["sadd", "hostnames:a.test:backends", &two]);
    assert_eq!(counts(&tapline.event("routes")), [2, 0, 0, 1, 0]);
    assert_eq!(["a.test", "b.test"].map(|name| hear(tapline.addr(), name)), ["two", "one"]);
    // Asked for, what it has is what there is.
    tapline.signal("HUP");
    assert_eq!(counts(&tapline.event("routes")), [1, 0, 1, 0, 0]);
    assert_eq!(["a.test", "b.test"].map(|name| hear(tapline.addr(), name)), ["two", REFUSED]);
}

#[test]
fn a_server_that_tells_no_changes_is_read_again_and_again() {
    let old: &[&str] = &["--rename-command", "HELLO", ""];
    let unwilling: &[&str] = &["--user", "default", "on", "nopass", "~*", "+@all", "-client|tracking"];
    for (args, why) in [(old, "it does not speak RESP3"), (unwilling, "NOPERM")] {
        let server = Server::start(|folder| redis(folder, args));
        let mut tapline = start(&["--routes", &url(&server), "--routes-interval", "100ms"]);
        tapline.event("routes");
        let note = tapline.event("note");
        assert!(note["text"].as_str().unwrap().contains(&format!("tells no changes: {why}")), "{note}");
        cli(&server, &["sadd", "hostnames:a.test:backends", &naming("one").to_string()]);
        assert_eq!(counts(&tapline.event("routes")), [1, 1, 0, 0, 0]);
        assert_eq!(hear(tapline.addr(), "a.test"), "one");
    }
}

#[test]
fn a_password_opens_the_server_over_tcp_and_tls_and_is_never_shown() {
    let server = Server::start(|folder| redis(folder, &["--user", "reader", "on", ">sec/ret", "~*", "+@all", "--user", "default", "off"]));
    let tcp = Tapline::start(&["proxy", "0", &server.target()]);
    let mut tls = Tapline::start(&["tls-terminate", "0", &server.target(), "--names", "localhost"]);
    let ca = tls.event("certificate")["ca"].as_str().unwrap().to_owned();
    let plain = format!("redis://reader:sec%2Fret@{}/1", tcp.addr());
    let secure = format!("rediss://reader:sec%2Fret@localhost:{}/1", tls.addr().port());
    for (url, shown, args) in [
        (&plain, format!("redis://{}/1", tcp.addr()), &[][..]),
        (&secure, format!("rediss://localhost:{}/1", tls.addr().port()), &["--ca", &ca]),
    ] {
        let mut tapline = start(&[&["--routes", url], args].concat());
        assert_eq!(tapline.event("routes")["source"], *shown);
        let done = finish(
            outside("redis-cli")
                .args(["-h", &tcp.addr().ip().to_string(), "-p", &tcp.addr().port().to_string(), "-n", "1"])
                .args(["--no-auth-warning", "--user", "reader", "--pass", "sec/ret"])
                .args(["sadd", "hostnames:a.test:backends", &naming("one").to_string()]),
        );
        assert_eq!(done.stdout, "1\n", "{done:?}");
        tapline.event("routes");
        assert_eq!(hear(tapline.addr(), "a.test"), "one");
    }
    for (url, why) in [
        (plain.replace("sec%2Fret", "wrong"), "WRONGPASS"),
        (plain.replace("reader:sec%2Fret@", ""), "NOAUTH"),
        (secure.clone(), "certificate"),
    ] {
        let ended = run(&["sni-route", "0", "--routes", &url]);
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
        for secret in ["sec%2Fret", "sec/ret", "wrong"] {
            assert!(!ended.stderr.contains(secret), "{}", ended.stderr);
        }
    }
}
