//! `--admin`: control while running, by HTTP as it is on the wire, and by `tapline ctl`.

mod ctl;
mod drains;

use crate::support::*;
use serde_json::{Value, json};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    ops::Deref,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
};

/// A command with `--admin` at a socket of its own.
struct Controlled {
    tapline: Tapline,
    admin: Admin,
    _folder: tempfile::TempDir,
}

/// Where it is asked.
struct Admin {
    socket: PathBuf,
}

impl Deref for Controlled {
    type Target = Admin;

    fn deref(&self) -> &Admin {
        &self.admin
    }
}

impl Controlled {
    fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin");
        let admin = format!("unix:{}", socket.display());
        let mut tapline = Tapline::start(&[args, &["--admin", &admin]].concat());
        assert_eq!(tapline.event("beside"), json!({ "event": "beside", "what": "admin", "addr": admin }));
        Self { tapline, admin: Admin { socket }, _folder: folder }
    }
}

impl Admin {
    /// Asks over the socket: the status, and the answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, answer) = exchange(UnixStream::connect(&self.socket).unwrap(), &request(method, path, "a", body));
        (status, serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}")))
    }

    /// The same for what must be done; the targets that it answers.
    fn done(&self, method: &str, path: &str, body: &str) -> Vec<Value> {
        let (status, answer) = self.ask(method, path, body);
        assert!(status == 200 || status == 201, "{status} {answer}");
        answer["targets"].as_array().unwrap().clone()
    }

    /// Each target and its state.
    fn states(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.done("GET", "/targets", "").iter().map(|listed| (text(&listed["target"]), text(&listed["state"]))).collect()
    }

    fn ctl(&self, args: &[&str]) -> Finished {
        run(&[&["ctl", &format!("unix:{}", self.socket.display())], args].concat())
    }
}

fn request(method: &str, path: &str, host: &str, body: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Sends a request, and reads the answer to its end: the status, and the body.
fn exchange(mut stream: impl Read + Write, request: &str) -> (u16, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Who answers the next connection.
fn name(tapline: &Tapline) -> String {
    String::from_utf8(read_all(&mut tapline.connect())).unwrap()
}

#[test]
fn targets_are_listed_with_what_they_have_come_to() {
    let (_held, refused) = refusing();
    let mut lb = Controlled::start(&["lb4", "0", "builtin:echo,weight=3,max=9", &refused.to_string(), "--no-checks"]);
    for _ in 0..4 {
        assert_eq!(ask(lb.tapline.addr(), b"12345"), b"12345");
        lb.tapline.closed();
    }
    let mut open = lb.tapline.connect();
    open.write_all(b"x").unwrap();
    read_n(&mut open, 1);
    // The bytes of the one that is open count too.
    let listed = until("all bytes", || Some(lb.done("GET", "/targets", "")).filter(|all| all[0]["received"] == 21 && all[0]["sent"] == 21));
    let keys = ["target", "source", "state", "up", "weight", "max", "open", "connections", "failed", "received", "sent"];
    let row = |at: usize| keys.map(|key| listed[at][key].clone());
    let addr = refused.to_string();
    let first: [Value; 11] = [
        "builtin:echo".into(),
        "arguments".into(),
        "up".into(),
        true.into(),
        3.into(),
        9.into(),
        1.into(),
        5.into(),
        0.into(),
        21.into(),
        21.into(),
    ];
    assert_eq!(row(0), first);
    assert_eq!((&listed[1]["target"], &listed[1]["max"], &listed[1]["last"]["why"]), (&addr.into(), &Value::Null, &"refused".into()));
    assert!(listed[1]["failed"].as_u64().unwrap() > 0);
    assert_eq!(lb.done("GET", "/targets/builtin:echo?pool=lb4", "")[0]["open"], 1);
}

#[test]
fn targets_are_added_weighed_and_removed_while_it_runs() {
    let (a, b) = (naming("a"), naming("b"));
    let mut lb = Controlled::start(&["lb4", "0", &a.to_string(), "--no-checks"]);
    let (status, answer) = lb.ask("POST", "/targets", &json!({ "target": format!("{b},weight=2") }).to_string());
    assert_eq!((status, &answer["targets"][0]["source"], &answer["targets"][0]["weight"]), (201, &"admin".into(), &2.into()));
    assert_eq!(lb.tapline.event("admin")["action"], "add");
    let mut names: Vec<_> = (0..6).map(|_| name(&lb.tapline)).collect();
    names.sort();
    assert_eq!(names.concat(), "aabbbb");
    assert_eq!(lb.done("PUT", &format!("/targets/{a}/weight"), "2")[0]["weight"], 2);
    let weighed = lb.tapline.event("admin");
    assert_eq!((&weighed["action"], &weighed["weight"]), (&"weight".into(), &2.into()));
    let mut names: Vec<_> = (0..4).map(|_| name(&lb.tapline)).collect();
    names.sort();
    assert_eq!(names.concat(), "aabb");
    assert_eq!(lb.done("DELETE", &format!("/targets/{a}"), "")[0]["state"], "removed");
    assert_eq!(lb.states(), [(b.to_string(), "up".to_owned())]);
    assert_eq!((0..3).map(|_| name(&lb.tapline)).collect::<String>(), "bbb");
    // Without any target the client is reset, with the reason.
    lb.done("DELETE", &format!("/targets/{b}"), "");
    fate(lb.tapline.addr()).1.unwrap_err();
    lb.done("POST", "/targets", &json!({ "target": a.to_string() }).to_string());
    assert_eq!(name(&lb.tapline), "a");
}

#[test]
fn what_was_removed_is_listed_until_its_last_connection_ends() {
    let lb = Controlled::start(&["lb4", "0", "builtin:echo", "--no-checks"]);
    let mut client = lb.tapline.connect();
    client.write_all(b"1").unwrap();
    read_n(&mut client, 1);
    assert_eq!(lb.done("DELETE", "/targets/builtin:echo", "")[0]["source"], Value::Null);
    assert_eq!(lb.states(), [("builtin:echo".to_owned(), "removed".to_owned())]);
    client.write_all(b"2").unwrap();
    assert_eq!(read_n(&mut client, 1), b"2");
    // The connection is over before its end is said.
    drop(client);
    let mut lb = lb;
    lb.tapline.closed();
    assert_eq!(lb.states(), []);
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let lb = Controlled::start(&["lb4", "0", "builtin:echo", "--no-checks"]);
    for (method, path, body, status, why) in [
        ("GET", "/nothing", "", 404, "there is nothing at /nothing"),
        ("GET", "/targets/", "", 404, "there is no target \"\""),
        ("GET", "/targets/h9:80", "", 404, "there is no target \"h9:80\""),
        ("GET", "/targets?pool=web", "", 404, "there is no pool \"web\""),
        ("POST", "/targets/builtin:echo/drain?pool=web", "", 404, "there is no pool \"web\""),
        ("PUT", "/targets", "", 405, "PUT is not for this path; it takes GET, POST"),
        ("GET", "/targets/builtin:echo/drain", "", 405, "GET is not for this path; it takes POST"),
        ("POST", "/targets/builtin:echo/drain?deadlin=5s", "", 400, "\"deadlin\" is not asked for here"),
        (
            "POST",
            "/targets/builtin:echo/drain?deadline=soon",
            "",
            400,
            "deadline \"soon\": expected number at 0; write a time such as 500ms, 5s or 10m",
        ),
        ("POST", "/targets/builtin:echo/drain?deadline=0s", "", 400, "deadline \"0s\": a time above zero is needed"),
        ("POST", "/targets/builtin:echo/ready?deadline=5s", "", 400, "\"deadline\" is not asked for here"),
        ("PUT", "/targets/builtin:echo/weight", "0", 400, "0 is not a weight from 1 to 1000; to send nothing there, drain it"),
        ("PUT", "/targets/builtin:echo/weight", "1001", 400, "1001 is not a weight from 1 to 1000"),
        ("PUT", "/targets/builtin:echo/weight", "-1", 400, "the body is not a weight; write a number, as 3"),
        ("POST", "/targets", r#"{"target": "builtin:echo"}"#, 409, "builtin:echo is in pool \"lb4\" already"),
        (
            "POST",
            "/targets",
            r#"{"target": "h9"}"#,
            400,
            "\"h9\" is not a target; write HOST:PORT, PORT (loopback), unix:/PATH, tls:HOST:PORT or builtin:echo|http|discard",
        ),
        ("POST", "/targets", r#"{"target": "h1:1,h2:1"}"#, 400, "\"h1:1,h2:1\" holds several targets; separate them by spaces"),
        ("GET", "/targets/%ff", "", 400, "\"%ff\" is not UTF-8"),
    ] {
        assert_eq!(lb.ask(method, path, body), (status, json!({ "error": why })), "{method} {path} {body}");
    }
    let (status, answer) = lb.ask("POST", "/targets", "h9:80");
    assert!(status == 400 && answer["error"].as_str().unwrap().contains(r#"the body is as {"target":"h5:80,weight=2"}"#), "{answer}");
    let (status, answer) = lb.ask("POST", "/targets", &format!("{{\"target\": \"{}\"}}", "x".repeat(70_000)));
    assert_eq!((status, &answer["error"]), (413, &"the body is longer than 65536 bytes".into()));
    let (status, _) = exchange(UnixStream::connect(&lb.socket).unwrap(), "GET / HTTP/9\r\n\r\n");
    assert_eq!(status, 400);
    assert_eq!(lb.states(), [("builtin:echo".to_owned(), "up".to_owned())]);
    assert_eq!(lb.ask("GET", "/", "").1["command"], "lb4");
}

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_command() {
    let mut lb = Controlled::start(&["lb4", "0", "builtin:echo"]);
    assert_eq!(std::fs::metadata(&lb.socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(lb.tapline.stop(), Some(0));
    assert!(!lb.socket.exists());
}

#[test]
fn a_port_is_for_this_machine_and_not_for_the_pages_that_it_shows() {
    let mut lb = Tapline::start(&["lb4", "0", "builtin:echo", "--admin", "0"]);
    let addr: std::net::SocketAddr = lb.event("beside")["addr"].as_str().unwrap().parse().unwrap();
    let ask = |text: &str| exchange(connect(addr), text).0;
    assert_eq!(ask(&request("GET", "/targets", &addr.to_string(), "")), 200);
    assert_eq!(ask(&request("GET", "/targets", &format!("localhost:{}", addr.port()), "")), 200);
    assert_eq!(ask(&request("GET", "/targets", "rebound.test", "")), 403);
    assert_eq!(ask("GET /targets HTTP/1.0\r\n\r\n"), 403);
    assert_eq!(ask(&format!("POST /targets/builtin:echo/drain HTTP/1.1\r\nHost: {addr}\r\nOrigin: http://evil.test\r\n\r\n")), 403);
    // Others than its owner may come to a port.
    assert_eq!(ask(&request("POST", "/targets", &addr.to_string(), r#"{"target": "unix:/run/secret"}"#)), 403);
    assert_eq!(exchange(connect(addr), &request("GET", "/targets", "127.0.0.1", "")).1.matches("\"state\":\"up\"").count(), 1);
    for elsewhere in [":0", "0.0.0.0:0", "192.0.2.1:80", "some.test:80"] {
        let refused = run(&["lb4", "0", "builtin:echo", "--admin", elsewhere]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(
            refused.stderr.contains("can be reached from other machines; write unix:/PATH, or a port of loopback"),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn it_answers_while_the_command_drains() {
    let mut lb = Controlled::start(&["lb4", "0", "builtin:echo", "--grace", "20s"]);
    let mut client = lb.tapline.connect();
    client.write_all(b"x").unwrap();
    read_n(&mut client, 1);
    lb.tapline.signal("TERM");
    lb.tapline.event("draining");
    assert_eq!(lb.done("GET", "/targets", "")[0]["open"], 1);
    lb.done("POST", "/targets/builtin:echo/drain?deadline=1ms", "");
    assert_eq!(read_to_any_end(&mut client).1, Err(ErrorKind::ConnectionReset));
    assert_eq!(lb.tapline.wait().code(), Some(0));
}

#[test]
fn a_client_of_it_that_says_nothing_is_given_up() {
    let lb = Controlled::start(&["lb4", "0", "builtin:echo"]);
    let mut silent = UnixStream::connect(&lb.socket).unwrap();
    silent.set_read_timeout(Some(DEADLINE)).unwrap();
    silent.write_all(b"GET / HT").unwrap();
    assert_eq!(silent.read(&mut [0; 100]).unwrap(), 0);
    assert_eq!(lb.ask("GET", "/", "").0, 200);
}

#[test]
fn several_who_change_it_at_a_time_do_not_get_in_each_others_way() {
    let lb = Controlled::start(&["lb4", "0", "builtin:echo", "--no-checks"]);
    let addr = lb.tapline.addr();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let lb = &lb.admin;
            scope.spawn(move || {
                for round in 0..10 {
                    let target = format!("127.0.0.1:{}", 1 + n * 10 + round);
                    lb.done("POST", "/targets", &json!({ "target": target }).to_string());
                    lb.done("PUT", &format!("/targets/{target}/weight"), "7");
                    lb.done("POST", &format!("/targets/{target}/drain?deadline=5s"), "");
                    if round % 2 == 0 {
                        lb.done("DELETE", &format!("/targets/{target}"), "");
                    }
                }
            });
        }
        for _ in 0..40 {
            assert_eq!(ask(addr, b"x"), b"x");
        }
    });
    let listed = lb.done("GET", "/targets", "");
    assert_eq!(listed.len(), 41);
    let added = listed.iter().filter(|one| one["source"] == "admin");
    assert_eq!(added.filter(|one| one["weight"] == 7 && one["state"] == "draining").count(), 40);
    // Of each target there is one to be added.
    let wins = std::thread::scope(|scope| {
        let lb = &lb.admin;
        let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| lb.ask("POST", "/targets", r#"{"target": "h:1"}"#).0)).collect();
        tries.into_iter().map(|one| one.join().unwrap()).filter(|status| *status == 201).count()
    });
    assert_eq!(wins, 1);
}

#[test]
fn each_rule_of_sni_route_has_a_pool_by_its_name() {
    let lb =
        Controlled::start(&["sni-route", "0", "b.test=h1:1,h2:1", "a.test=h1:1,h2:1", "c.test=h1:1", "--not-tls", "h9:1", "--no-checks"]);
    let pools = |listed: &[Value]| {
        listed.iter().map(|one| format!("{} {}", one["pool"].as_str().unwrap(), one["target"].as_str().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(pools(&lb.done("GET", "/targets", "")), ["a.test h1:1", "a.test h2:1", "c.test h1:1", "--not-tls h9:1"]);
    assert_eq!(pools(&lb.done("POST", "/targets/h1:1/drain", "")), ["a.test h1:1", "c.test h1:1"]);
    assert_eq!(pools(&lb.done("POST", "/targets/h1:1/ready?pool=c.test", "")), ["c.test h1:1"]);
    assert_eq!(lb.ask("POST", "/targets/h9:1/drain?pool=c.test", "").1["error"], "there is no target \"h9:1\" in pool \"c.test\"");
    assert_eq!(lb.ask("POST", "/targets", r#"{"target": "h3:1"}"#).1["error"], "there are several pools; say which one by its name");
    assert_eq!(pools(&lb.done("POST", "/targets", r#"{"target": "h3:1", "pool": "c.test"}"#)), ["c.test h3:1"]);
}

#[test]
fn what_is_removed_of_a_file_stays_out_while_the_file_lists_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "h1:1\nh2:1\n").unwrap();
    let source = format!("@{}", file.path().display());
    let mut lb = Controlled::start(&["lb4", "0", &source, "--no-checks"]);
    assert_eq!(lb.done("GET", "/targets/h1:1", "")[0]["source"], source);
    lb.done("DELETE", "/targets/h1:1", "");
    let listed = |lb: &Controlled| lb.states().into_iter().map(|(target, _)| target).collect::<Vec<_>>().join(" ");
    let mut write = |text: &str| {
        std::fs::write(&file, text).unwrap();
        // The first reading is told too, and one of a file that is half written.
        while lb.tapline.event("targets")["targets"] != text.lines().count() {}
        listed(&lb)
    };
    assert_eq!(write("h1:1\nh2:1\nh3:1\n"), "h2:1 h3:1");
    assert_eq!(write("h3:1\n"), "h3:1");
    assert_eq!(write("h1:1\nh3:1\n"), "h1:1 h3:1");
}

#[test]
fn the_requests_of_lb7_go_elsewhere_and_are_not_cut_off() {
    let lb = Controlled::start(&["lb7", "0", "builtin:http", "builtin:http", "--no-checks"]);
    lb.done("POST", "/targets/builtin:http%231/drain", "");
    for _ in 0..3 {
        let answer = heard(lb.tapline.addr(), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(answer.contains("backend: builtin:http#2"), "{answer}");
    }
    let (status, answer) = lb.ask("POST", "/targets/builtin:http%231/drain?deadline=1s", "");
    assert!(status == 400 && answer["error"].as_str().unwrap().contains("drain without one"), "{answer}");
}
