//! `tapline ctl`.

use super::*;

#[test]
fn ctl_is_a_client_for_all_of_it() {
    let lb = Controlled::start(&["lb4", "0", "builtin:echo", "--no-checks"]);
    let ok = |args: &[&str]| {
        let finished = lb.ctl(args);
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{args:?}");
        finished.stdout
    };
    ok(&["add", "h5:80,weight=2,backup"]);
    ok(&["weight", "h5:80", "4", "--pool", "lb4"]);
    let table = ok(&["list"]);
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().take(4).collect()).collect();
    assert_eq!(rows, [["target", "state", "weight", "open"], ["builtin:echo", "up", "1", "0"], ["h5:80", "up", "backup", "4"]]);
    let drained: Value = serde_json::from_str(&ok(&["drain", "builtin:echo", "--deadline", "1h30m", "--json"])).unwrap();
    assert_eq!((&drained["event"], &drained["state"]), (&"listed".into(), &"draining".into()));
    assert!(drained["reset_in_ms"].as_u64().unwrap() > 5_000_000);
    ok(&["ready", "builtin:echo"]);
    ok(&["remove", "h5:80"]);
    assert_eq!(lb.states(), [("builtin:echo".to_owned(), "up".to_owned())]);

    let refused = lb.ctl(&["drain", "h5:80"]);
    assert_eq!((refused.code, refused.stderr.as_str()), (Some(1), "tapline: there is no target \"h5:80\"\n"));
    let nobody = run(&["ctl", "unix:/nowhere/at/all", "list"]);
    assert_eq!(
        (nobody.code, nobody.stderr.as_str()),
        (Some(3), "tapline: cannot ask unix:/nowhere/at/all: No such file or directory (os error 2)\n")
    );
    let other = run(&["ctl", lb.tapline.endpoint(), "list"]);
    assert_eq!(other.code, Some(3), "an echo is no admin: {other:?}");
    for wrong in [&["weight", "builtin:echo", "0"][..], &["drain"], &["drain", "x", "--deadline", "0s"], &["fly"]] {
        assert_eq!(lb.ctl(wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn ctl_waits_for_the_last_connection() {
    let lb = Controlled::start(&["lb4", "0", "builtin:echo", "--no-checks"]);
    let mut client: TcpStream = lb.tapline.connect();
    client.write_all(b"x").unwrap();
    read_n(&mut client, 1);
    let admin = format!("unix:{}", lb.socket.display());
    let waiting = program().args(["ctl", &admin, "remove", "builtin:echo", "--wait", "--json"]).spawn().unwrap();
    let mut lb = lb;
    assert_eq!(lb.tapline.event("admin")["action"], "remove");
    drop(client);
    let told = finished(waiting);
    assert_eq!(told.code, Some(0), "{told:?}");
    let listed: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((&listed["target"], &listed["open"]), (&"builtin:echo".into(), &0.into()));
}

#[test]
fn ctl_waits_for_what_somebody_else_has_removed_meanwhile() {
    let mut lb = Controlled::start(&["lb4", "0", "builtin:echo", "--no-checks"]);
    let mut client: TcpStream = lb.tapline.connect();
    client.write_all(b"x").unwrap();
    read_n(&mut client, 1);
    let admin = format!("unix:{}", lb.socket.display());
    let waiting = program().args(["ctl", &admin, "drain", "builtin:echo", "--wait", "--json"]).spawn().unwrap();
    assert_eq!(lb.tapline.event("admin")["action"], "drain");
    // Meanwhile it is looked several times.
    lb.done("DELETE", "/targets/builtin:echo?deadline=1s", "");
    let told = finished(waiting);
    assert_eq!(told.code, Some(0), "{told:?}");
    let listed: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((&listed["target"], &listed["open"]), (&"builtin:echo".into(), &0.into()));
}
