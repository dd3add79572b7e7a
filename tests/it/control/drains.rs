//! Targets that take no new connections, with and without a deadline for the old ones.

use super::*;

#[test]
fn a_drained_target_gets_no_new_connections_and_keeps_the_old_ones() {
    let (listener, to_a) = listener();
    let b = naming("b");
    let mut lb = Controlled::start(&["lb4", "0", &to_a.to_string(), &b.to_string(), "--no-checks"]);
    let mut client = lb.tapline.connect();
    let mut at_a = accept(&listener);
    let drained = lb.done("POST", &format!("/targets/{to_a}/drain"), "");
    assert_eq!((&drained[0]["state"], &drained[0]["open"], &drained[0]["reset_in_ms"]), (&"draining".into(), &1.into(), &Value::Null));
    let told = lb.tapline.event("admin");
    assert_eq!((&told["action"], &told["target"], &told["pools"]), (&"drain".into(), &to_a.to_string().into(), &json!(["lb4"])));
    assert!(told["by"].as_str().unwrap().starts_with(&format!("uid {}, pid ", rustix::process::getuid().as_raw())), "{told}");
    for _ in 0..4 {
        assert_eq!(name(&lb.tapline), "b");
    }
    // What goes on is not touched.
    at_a.write_all(b"still here").unwrap();
    assert_eq!(read_n(&mut client, 10), b"still here");
    assert_eq!(lb.done("POST", &format!("/targets/{to_a}/ready"), "")[0]["state"], "up");
    let mut both = [lb.tapline.connect(), lb.tapline.connect()];
    both[0].write_all(b"?").unwrap();
    both[1].write_all(b"?").unwrap();
    drop(accept(&listener));
}

#[test]
fn the_deadline_of_a_drain_resets_what_is_left_and_says_so() {
    let (listener, to_a) = listener();
    let mut lb = Controlled::start(&["lb4", "0", &to_a.to_string(), "builtin:echo", "--no-checks"]);
    let mut client = lb.tapline.connect();
    let mut at_a = accept(&listener);
    lb.tapline.event("dialed");
    let drained = lb.done("POST", &format!("/targets/{to_a}/drain?deadline=200ms"), "");
    assert!(drained[0]["reset_in_ms"].as_u64().unwrap() <= 200);
    assert_eq!(lb.tapline.event("admin")["deadline_ms"], 200);
    assert_eq!(read_to_any_end(&mut client).1, Err(ErrorKind::ConnectionReset));
    assert_eq!(read_to_any_end(&mut at_a).1, Err(ErrorKind::ConnectionReset));
    assert_eq!(lb.tapline.event("cut"), json!({ "event": "cut", "pool": "lb4", "target": to_a.to_string(), "connections": 1 }));
    assert_eq!(end_of(&lb.tapline.closed()), ("rule", "relay", "the drain of its target was over", true));
    // The target takes connections again, and what was cut off is over.
    lb.done("POST", &format!("/targets/{to_a}/ready"), "");
    let mut clients = [lb.tapline.connect(), lb.tapline.connect()];
    let mut again = accept(&listener);
    again.write_all(b"fine").unwrap();
    drop(again);
    for client in &mut clients {
        client.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let heard: Vec<_> = clients.iter_mut().map(read_all).collect();
    assert!(heard.contains(&b"fine".to_vec()), "{heard:?}");
}

#[test]
fn a_drain_that_is_taken_back_resets_nobody() {
    let (listener, to_a) = listener();
    let mut lb = Controlled::start(&["lb4", "0", &to_a.to_string(), "--no-checks"]);
    let mut client = lb.tapline.connect();
    let mut at_a = accept(&listener);
    let path = format!("/targets/{to_a}");
    lb.done("POST", &format!("{path}/drain?deadline=300ms"), "");
    assert_eq!(lb.done("POST", &format!("{path}/ready"), "")[0]["reset_in_ms"], Value::Null);
    lb.done("POST", &format!("{path}/drain?deadline=300ms"), "");
    // A later drain has its own deadline, or none.
    assert_eq!(lb.done("POST", &format!("{path}/drain"), "")[0]["reset_in_ms"], Value::Null);
    // Another target's deadline passes meanwhile.
    lb.done("POST", "/targets", r#"{"target": "builtin:echo"}"#);
    lb.done("DELETE", "/targets/builtin:echo?deadline=600ms", "");
    assert_eq!(lb.tapline.event("cut")["target"], "builtin:echo");
    at_a.write_all(b"x").unwrap();
    assert_eq!(read_n(&mut client, 1), b"x");
}

#[test]
fn a_deadline_is_not_for_who_came_back_meanwhile() {
    let (listener, to_a) = listener();
    let file = tempfile::NamedTempFile::new().unwrap();
    let with_a = format!("{to_a}\n127.0.0.1:1\n");
    std::fs::write(&file, &with_a).unwrap();
    let mut lb = Controlled::start(&["lb4", "0", &format!("@{}", file.path().display()), "--policy", "first", "--no-checks"]);
    let drained = lb.done("POST", &format!("/targets/{to_a}/drain?deadline=2s"), "");
    assert!(drained[0]["reset_in_ms"].as_u64().is_some());
    for text in ["127.0.0.1:1\n", &with_a] {
        std::fs::write(&file, text).unwrap();
        while lb.tapline.event("targets")["targets"] != text.lines().count() {}
    }
    let back = lb.done("GET", &format!("/targets/{to_a}"), "");
    assert_eq!((&back[0]["state"], &back[0]["reset_in_ms"]), (&"up".into(), &Value::Null));
    let mut client = lb.tapline.connect();
    let mut at_a = accept(&listener);
    // A deadline that is set later is over later.
    lb.done("POST", "/targets/127.0.0.1:1/drain?deadline=2s", "");
    assert_eq!(lb.tapline.event("cut")["target"], "127.0.0.1:1");
    at_a.write_all(b"still here").unwrap();
    assert_eq!(read_n(&mut client, 10), b"still here");
}
