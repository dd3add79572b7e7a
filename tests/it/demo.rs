//! `tapline demo`.

use crate::support::*;
use std::time::{Duration, Instant};

#[test]
fn the_whole_tool_is_shown_in_seconds_and_no_request_fails() {
    let started = Instant::now();
    let demo = run(&["demo"]);
    assert_eq!(demo.code, Some(0), "{}", demo.stderr);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let rows: Vec<Vec<&str>> = demo.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let row = |name: &str| rows.iter().find(|row| row.first() == Some(&name)).unwrap_or_else(|| panic!("no {name} in {}", demo.stdout));
    // "until beta dies", "beta dead" and "beta back" follow the name.
    let count = |name, column: usize| row(name)[column].parse::<u32>().unwrap();
    assert_eq!(count("beta", 2), 0);
    for (name, column) in [("alpha", 1), ("alpha", 2), ("alpha", 3), ("beta", 1), ("beta", 3), ("gamma", 1), ("gamma", 2), ("gamma", 3)] {
        assert!(count(name, column) > 0, "{name}: {}", demo.stdout);
    }
    let header = demo.stdout.lines().next().unwrap().split("  ").map(str::trim).filter(|title| !title.is_empty()).collect::<Vec<_>>();
    assert_eq!(header, ["backend", "until beta dies", "beta dead", "beta back", "median", "99th", "slowest"]);
    assert!(demo.stdout.contains("300 requests, 0 failed"), "{}", demo.stdout);
    assert!(!demo.stdout.contains('\u{1b}') && !demo.stderr.contains('\u{1b}'));
    assert!(demo.stderr.contains("is down") && demo.stderr.contains("is up"), "{}", demo.stderr);
}

#[test]
fn an_interrupted_demo_says_so() {
    let mut demo = Tapline::start(&["demo"]);
    demo.signal("INT");
    assert_eq!(demo.wait().code(), Some(3));
    let error = demo.seen.iter().find(|event| event["event"] == "error").expect("an error");
    assert!(error["text"].as_str().unwrap().contains("interrupted"), "{error}");
}
