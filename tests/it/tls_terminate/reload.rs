//! Certificates that change while they are in use.

use super::several::{Folder, asked, shows};
use crate::{support::*, tls};
use serde_json::Value;
use std::{
    io::Write,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread::ScopedJoinHandle,
};

fn start(flags: &[&str]) -> Tapline {
    let mut tapline = Tapline::start(&[&["tls-terminate", "0", "builtin:echo"], flags].concat());
    tapline.event("loaded");
    tapline
}

#[test]
fn a_file_that_changes_is_read_again_and_a_connection_goes_on() {
    let folder = Folder::new();
    let (old, new) = (tls::issue(&["a.test"]), tls::issue(&["a.test", "b.test"]));
    let path = folder.both("a", &old);
    let mut tapline = start(&["--cert", &path]);
    let mut open = tls::client(tapline.connect(), tls::trusting(&old.ca, &[]), "a.test");
    open.write_all(b"one").unwrap();
    assert_eq!(read_n(&mut open, 3), b"one");
    folder.both("a", &new);
    let loaded = tapline.event("loaded");
    assert_eq!((&loaded["changed"], &loaded["names"], &loaded["why"]), (&1.into(), &serde_json::json!(["a.test", "b.test"]), &Value::Null));
    assert_eq!(asked(&tapline, &new, "b.test"), Ok(()));
    assert!(!shows(&tapline, &old, "a.test"));
    open.write_all(b"two").unwrap();
    assert_eq!(read_n(&mut open, 3), b"two");
}

#[test]
fn a_session_from_before_is_resumed_after() {
    let folder = Folder::new();
    let (old, new) = (tls::issue(&["a.test"]), tls::issue(&["a.test"]));
    let path = folder.both("a", &old);
    let mut tapline = start(&["--cert", &path]);
    let config = tls::trusting(&old.ca, &[]);
    for resumed in [false, true] {
        let mut client = tls::client(tapline.connect(), config.clone(), "a.test");
        client.write_all(b"x").unwrap();
        assert_eq!(read_n(&mut client, 1), b"x");
        assert_eq!(tapline.event("handshake")["resumed"], resumed);
        folder.both("a", &new);
        if !resumed {
            tapline.event("loaded");
        }
    }
}

#[test]
fn a_pair_that_does_not_fit_yet_leaves_the_old_one_until_it_does() {
    let folder = Folder::new();
    let (old, new) = (tls::issue(&["a.test"]), tls::issue(&["a.test"]));
    let (cert, key) = (folder.write("cert", &old.cert), folder.write("key", &old.key));
    let mut tapline = start(&["--cert", &cert, "--key", &key]);
    for (name, content, why) in [
        ("cert", new.cert.as_str(), "does not belong to the certificate in"),
        ("cert", "-----BEGIN CERTIFICATE-----\nMIIB\n\u{e4}\n", "cert, line 3: is no base64"),
        ("key", "", "key holds no private key"),
    ] {
        folder.write("cert", &old.cert);
        folder.write(name, content);
        let loaded = loop {
            let loaded = tapline.event("loaded");
            if loaded["why"] != Value::Null {
                break loaded;
            }
        };
        let said = loaded["why"].as_str().unwrap();
        assert!(said.contains(why) && said.ends_with("; the one before it stays"), "{said}");
        assert_eq!((&loaded["changed"], &loaded["certificates"]), (&0.into(), &1.into()));
        assert_eq!(asked(&tapline, &old, "a.test"), Ok(()));
    }
    folder.write("key", &new.key);
    folder.write("cert", &new.cert);
    while tapline.event("loaded")["why"] != Value::Null {}
    assert_eq!(asked(&tapline, &new, "a.test"), Ok(()));
}

#[test]
fn one_broken_pair_of_a_folder_keeps_back_no_other_and_pairs_come_and_go() {
    let folder = Folder::new();
    let [a, b, c] = ["a.test", "b.test", "c.test"].map(|name| tls::issue(&[name]));
    folder.both("a.pem", &a);
    folder.both("b.pem", &b);
    let mut tapline = start(&["--certs", folder.path(), "--strict-sni"]);
    folder.write("a.pem", &a.key);
    let said = tapline.event("loaded");
    assert!(said["why"].as_str().unwrap().contains("a.pem holds no certificate in PEM, but PRIVATE KEY (line 1)"), "{said}");
    folder.both("c.pem", &c);
    let said = tapline.event("loaded");
    assert_eq!((&said["names"], &said["changed"]), (&serde_json::json!(["a.test", "b.test", "c.test"]), &1.into()));
    for (issued, name) in [(&a, "a.test"), (&b, "b.test"), (&c, "c.test")] {
        assert_eq!(asked(&tapline, issued, name), Ok(()));
    }
    std::fs::remove_file(format!("{}/b.pem", folder.path())).unwrap();
    assert_eq!(tapline.event("loaded")["names"], serde_json::json!(["a.test", "c.test"]));
    assert!(asked(&tapline, &b, "b.test").unwrap_err().contains("UnrecognisedName"));
    // What is no certificate is left out also when it comes later.
    folder.write("d.pem", &a.key);
    let note = tapline.event("note");
    assert!(note["text"].as_str().unwrap().contains("d.pem holds no certificate"), "{note}");
    std::fs::remove_file(format!("{}/d.pem", folder.path())).unwrap();
    // Better the old ones than none.
    for name in ["a.pem", "c.pem"] {
        std::fs::remove_file(format!("{}/{name}", folder.path())).unwrap();
    }
    while !tapline.event("loaded")["why"].as_str().is_some_and(|why| why.contains("holds no certificate with a key")) {}
    assert_eq!(asked(&tapline, &c, "c.test"), Ok(()));
}

#[test]
fn a_folder_that_cannot_be_used_keeps_what_was_in_it_and_holds_up_no_other() {
    let (one, two) = (Folder::new(), Folder::new());
    let [old, new, other] = [&["a.test"][..], &["a.test"], &["b.test"]].map(tls::issue);
    one.both("b.pem", &other);
    let named = two.both("named", &old);
    two.both("a.pem", &old);
    let mut tapline = start(&["--certs", one.path(), "--certs", two.path(), "--cert", &named, "--strict-sni"]);
    for (is_there, issued) in [(false, &new), (true, &old), (false, &new)] {
        // Emptied it cannot be used, and what it had is not looked for.
        if is_there {
            one.both("b.pem", &other);
        } else {
            std::fs::remove_file(format!("{}/b.pem", one.path())).unwrap();
        }
        while (tapline.event("loaded")["why"] == Value::Null) != is_there {}
        two.both("a.pem", issued);
        two.both("named", issued);
        let mut changed = 0;
        while changed < 2 {
            let loaded = tapline.event("loaded");
            changed += loaded["changed"].as_u64().unwrap();
            assert_eq!(loaded["names"], serde_json::json!(["a.test", "b.test"]));
            let why = format!("{} holds no certificate with a key", one.path());
            let why = loaded["why"].as_str().is_some_and(|said| said.starts_with(&why) && said.ends_with("; what was in it stays"));
            assert_ne!(why, is_there, "{loaded}");
        }
        assert_eq!((asked(&tapline, issued, "a.test"), asked(&tapline, &other, "b.test")), (Ok(()), Ok(())));
    }
}

#[test]
fn a_folder_that_is_replaced_as_a_whole_is_followed_as_the_one_before() {
    let parent = Folder::new();
    let path = |name: &str| format!("{}/{name}", parent.path());
    let issued = [(); 4].map(|()| tls::issue(&["a.test"]));
    parent.both("certs/a.pem", &issued[0]);
    let mut tapline = start(&["--certs", &path("certs")]);
    let changed = |tapline: &mut Tapline| while tapline.event("loaded")["changed"] == 0 {};
    // One takes the place of another by renames, and then changes itself.
    parent.both("next/a.pem", &issued[1]);
    std::fs::rename(path("certs"), path("old")).unwrap();
    std::fs::rename(path("next"), path("certs")).unwrap();
    changed(&mut tapline);
    assert_eq!(asked(&tapline, &issued[1], "a.test"), Ok(()));
    // Nothing happens in the folder above, which is watched too. The first change may be seen by a look that was due anyway.
    for issued in [&issued[2], &issued[1], &issued[2], &issued[1]] {
        std::fs::write(path("certs/a.pem"), issued.cert.clone() + &issued.key).unwrap();
        changed(&mut tapline);
        assert_eq!(asked(&tapline, issued, "a.test"), Ok(()));
    }
    // One is removed, and made anew.
    std::fs::remove_dir_all(path("certs")).unwrap();
    while tapline.event("loaded")["why"] == Value::Null {}
    parent.both("certs/a.pem", &issued[3]);
    changed(&mut tapline);
    assert_eq!(asked(&tapline, &issued[3], "a.test"), Ok(()));
}

#[test]
fn where_only_a_certificate_without_its_key_is_left_the_ones_before_stay_and_that_is_said() {
    let folder = Folder::new();
    let (issued, other) = (tls::issue(&["a.test"]), tls::issue(&["b.test"]));
    folder.both("a.pem", &issued);
    let mut tapline = start(&["--certs", folder.path()]);
    folder.write("b.pem", &other.cert);
    let note = tapline.event("note");
    assert!(note["text"].as_str().unwrap().contains("b.pem holds no private key"), "{note}");
    std::fs::remove_file(format!("{}/a.pem", folder.path())).unwrap();
    while tapline.event("loaded")["why"] != "none of what is there can be used: those before stay" {}
    assert_eq!(asked(&tapline, &issued, "a.test"), Ok(()));
}

#[test]
fn what_becomes_odd_about_a_file_is_said_though_nothing_else_has_changed() {
    let folder = Folder::new();
    let path = folder.both("a.pem", &tls::issue(&["a.test"]));
    let mut tapline = start(&["--cert", &path]);
    rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(0o644)).unwrap();
    let note = tapline.event("note");
    assert!(note["text"].as_str().unwrap().contains("(mode 0644)"), "{note}");
    let last = tapline.seen.iter().rfind(|event| event["event"] == "loaded").unwrap();
    assert_eq!((&last["changed"], &last["why"]), (&0.into(), &Value::Null));
}

#[test]
fn a_signal_reads_all_again_and_says_so_and_ends_nobody_who_makes_his_own() {
    let folder = Folder::new();
    let issued = tls::issue(&["a.test"]);
    let mut tapline = start(&["--cert", &folder.both("a", &issued)]);
    tapline.signal("HUP");
    assert_eq!(tapline.event("loaded")["changed"], 0);
    assert_eq!(asked(&tapline, &issued, "a.test"), Ok(()));

    let mut tapline = Tapline::start(&["listen", "0", "--tls", "--echo"]);
    tapline.event("certificate");
    tapline.signal("HUP");
    assert!(tapline.event("note")["text"].as_str().unwrap().starts_with("SIGHUP: the certificates are made in memory"));
    assert_eq!(tapline.stop(), Some(0));
}

#[test]
fn a_pipe_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = fifo(&folder).0;
    let issued = tls::issue(&["a.test"]);
    let writer = std::thread::spawn({
        let (path, both) = (path.clone(), issued.cert.clone() + &issued.key);
        // It opens when there is a reader.
        move || std::fs::write(path, both)
    });
    let mut tapline = start(&["--cert", path.to_str().unwrap()]);
    writer.join().unwrap().unwrap();
    assert!(tapline.event("note")["text"].as_str().unwrap().contains("is read once"));
    tapline.signal("HUP");
    assert_eq!(tapline.event("loaded")["certificates"], 1);
    assert_eq!(asked(&tapline, &issued, "a.test"), Ok(()));
}

#[test]
fn authorities_of_clients_from_a_pipe_are_read_once_and_hold_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = fifo(&folder).0;
    let issued = tls::issue(&["client.test"]);
    let writer = std::thread::spawn({
        let (path, ca) = (path.clone(), issued.ca.clone());
        move || std::fs::write(path, ca)
    });
    let mut tapline = Tapline::start(&["tls-terminate", "0", "builtin:echo", "--client-ca", path.to_str().unwrap()]);
    writer.join().unwrap().unwrap();
    assert_eq!(tapline.event("loaded")["what"], "client_ca");
    assert!(tapline.event("note")["text"].as_str().unwrap().contains("is read once"));
    tapline.signal("HUP");
    assert_eq!(tapline.event("loaded")["certificates"], 1);
    assert_eq!(tapline.stop(), Some(0));
}

/// Ends those who go on until then.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn no_handshake_fails_while_the_certificate_is_replaced_fifty_times_once_by_a_broken_one() {
    let folder = Folder::new();
    // One authority for all: whichever is shown, the client trusts it.
    let issued: Vec<_> = (0..50).map(|_| tls::issue(&["a.test"])).collect();
    let all: String = issued.iter().map(|issued| issued.ca.as_str()).collect();
    let path = folder.both("a", &issued[0]);
    let mut tapline = start(&["--cert", &path]);
    let (done, shaken) = (AtomicBool::new(false), AtomicUsize::new(0));
    let addr = tapline.addr();
    std::thread::scope(|scope| {
        // Also where something fails here: the scope waits for them.
        let _until_the_end = Done(&done);
        let clients = [(); 2].map(|()| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    let mut client = tls::client(connect(addr), tls::trusting(&all, &[]), "a.test");
                    client.write_all(b"x").unwrap();
                    assert_eq!(read_n(&mut client, 1), b"x");
                    shaken.fetch_add(1, Relaxed);
                }
            })
        });
        for (number, issued) in issued.iter().enumerate().skip(1) {
            let before = shaken.load(Relaxed);
            if number == 25 {
                folder.write("a", &issued.cert[..issued.cert.len() / 2]);
                while tapline.event("loaded")["why"] == Value::Null {}
            }
            folder.both("a", issued);
            while tapline.event("loaded")["why"] != Value::Null {}
            // Somebody has shaken hands with each of them.
            while shaken.load(Relaxed) < before + 2 {
                assert!(!clients.iter().any(ScopedJoinHandle::is_finished), "a client has failed");
                std::thread::yield_now();
            }
        }
    });
    assert_eq!(asked(&tapline, &issued[49], "a.test"), Ok(()));
    tapline.stop();
    let failed = tapline.seen.iter().filter(|event| event["event"] == "closed" && event["during"] == "handshake").count();
    assert_eq!(failed, 0, "of {} handshakes", shaken.load(Relaxed));
}
