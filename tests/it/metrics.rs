//! `--metrics`: figures in the text format of Prometheus, compared with what was done.

use crate::support::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    net::SocketAddr,
};

/// Every sample, by its name and labels.
type Samples = BTreeMap<String, f64>;

/// Reads the format strictly (OpenMetrics 1.0, section "Text Format"): each family once and in one piece, its type and help before
/// its samples, each sample once, a name that fits the type, labels that are escaped, and the end that is asked for.
fn parse(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no end: {text}"));
    let (mut families, mut samples) = (BTreeSet::new(), Samples::new());
    let mut family = (String::new(), String::new());
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()), "{name} twice");
            assert!(!help.is_empty() && help.is_ascii());
            family = (name.to_owned(), String::new());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family.0);
            kind.clone_into(&mut family.1);
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            let (name, labels) = series.split_once('{').map_or((series, ""), |(name, rest)| (name, rest.strip_suffix('}').unwrap()));
            let suffix = name.strip_prefix(&family.0).unwrap_or_else(|| panic!("{line} is in the family {}", family.0));
            let fits: &[&str] = match family.1.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "info" => &["_info"],
                "histogram" => &["_bucket", "_count", "_sum"],
                other => panic!("{other}"),
            };
            assert!(fits.contains(&suffix), "{line}");
            check_labels(labels);
            assert!(samples.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{series} twice");
        }
    }
    check_histograms(&samples);
    samples
}

/// `name="value"`, separated by commas; of the values, quotes, backslashes and line feeds are escaped.
fn check_labels(labels: &str) {
    let mut rest = labels;
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("{labels}"));
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{labels}");
        let mut escaped = false;
        let ends = |c| {
            let was = escaped;
            escaped = !was && c == '\\';
            !was && c == '"'
        };
        let end = value.find(ends).unwrap_or_else(|| panic!("{labels}"));
        rest = value[end + 1..].strip_prefix(',').unwrap_or(&value[end + 1..]);
    }
}

/// The buckets of each histogram only grow, and the last one holds all.
fn check_histograms(samples: &Samples) {
    let mut all: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (series, count) in samples.iter().filter(|(series, _)| series.contains("_bucket{le=\"")) {
        let (before, rest) = series.split_once("le=\"").unwrap();
        let (bound, after) = rest.split_once('"').unwrap();
        let bound: f64 = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
        let labels = after.trim_start_matches(',').trim_end_matches('}');
        let whole = format!(
            "{}_count{}",
            before.strip_suffix("_bucket{").unwrap(),
            if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
        );
        all.entry(whole).or_default().push((bound, *count));
    }
    assert!(!all.is_empty());
    for (whole, mut buckets) in all {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{whole}: {buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, samples[&whole])), "{whole}");
    }
}

fn metrics_of(tapline: &mut Tapline) -> SocketAddr {
    let told = tapline.event("beside");
    assert_eq!(told["what"], "metrics");
    told["addr"].as_str().unwrap().parse().unwrap()
}

fn get(addr: SocketAddr, path: &str) -> String {
    heard(addr, format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").as_bytes())
}

fn scrape(addr: SocketAddr) -> Samples {
    let answer = get(addr, "/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n")
            && head.contains("\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
        "{head}"
    );
    parse(body)
}

#[test]
fn figures_are_what_was_done() {
    let (_held, refused) = refusing();
    let mut lb =
        Tapline::start(&["lb4", "0", "builtin:echo", &refused.to_string(), "--metrics", "0", "--no-checks", "--max-connections", "50"]);
    let at = metrics_of(&mut lb);
    for _ in 0..4 {
        assert_eq!(ask(lb.addr(), b"12345"), b"12345");
        lb.closed();
    }
    reset(lb.connect());
    lb.closed();
    let mut open = lb.connect();
    open.write_all(b"x").unwrap();
    read_n(&mut open, 1);
    lb.event("dialed");
    let echo = r#"pool="lb4",target="builtin:echo""#;
    // The bytes of the one that is open count too.
    let bytes = ["received", "sent"].map(|way| format!("tapline_target_{way}_bytes_total{{{echo}}}"));
    let samples = until("all bytes", || Some(scrape(at)).filter(|samples| bytes.iter().all(|name| samples[name] >= 21.0)));
    let refused_times = lb.seen.iter().filter(|event| event["event"] == "dial_failed").count() as f64;
    let other = format!(r#"pool="lb4",target="{refused}""#);
    let taken = samples[&format!("tapline_target_connections_total{{{echo}}}")];
    let of = |name: &str| samples.get(name).copied();
    for (name, value) in [
        ("tapline_build_info{version=\"0.1.0\",command=\"lb4\"}", 1.0),
        ("tapline_connections_accepted_total", 6.0),
        ("tapline_connections_open", 1.0),
        ("tapline_connections_limit", 50.0),
        ("tapline_connection_duration_seconds_count", 5.0),
        ("tapline_received_bytes_total", 20.0),
        ("tapline_sent_bytes_total", 20.0),
        ("tapline_events_dropped_total", 0.0),
        ("tapline_accept_failures_total", 0.0),
        ("tapline_connections_ended_total{by=\"client\",during=\"relay\",failed=\"false\"}", 4.0),
        ("tapline_pool_targets{pool=\"lb4\"}", 2.0),
        ("tapline_targets_left_out", 0.0),
        (&format!("tapline_target_open{{{echo}}}"), 1.0),
        (&format!("tapline_target_up{{{echo}}}"), 1.0),
        (&format!("tapline_target_weight{{{echo}}}"), 1.0),
        (&format!("tapline_target_draining{{{echo}}}"), 0.0),
        (&bytes[0], 21.0),
        (&bytes[1], 21.0),
        (&format!("tapline_target_failures_total{{{echo}}}"), 0.0),
        (&format!("tapline_target_connect_duration_seconds_count{{{echo}}}"), taken),
        (&format!("tapline_target_connections_total{{{other}}}"), 0.0),
        (&format!("tapline_target_failures_total{{{other}}}"), refused_times),
        (&format!("tapline_target_failure_causes_total{{{other},cause=\"refused\"}}"), refused_times),
    ] {
        assert_eq!(of(name), Some(value), "{name}");
    }
    assert!(refused_times > 0.0 && (5.0..=6.0).contains(&taken), "{refused_times} {taken}");
    let ended: f64 = samples.iter().filter(|(name, _)| name.starts_with("tapline_connections_ended_total")).map(|(_, count)| count).sum();
    assert!((ended - 5.0).abs() < 0.5);
    assert!(of("process_open_fds") < of("process_max_fds") && of("process_resident_memory_bytes") > Some(1e6));
    assert!(of("process_cpu_seconds_total").is_some() && of("process_start_time_seconds") > Some(1.7e9));
}

#[test]
fn every_command_that_relays_gives_figures() {
    let pool = |lb: &mut Tapline| {
        let at = metrics_of(lb);
        let all = scrape(at);
        all.keys().find(|name| name.starts_with("tapline_target_open{")).unwrap_or_else(|| panic!("{all:?}")).clone()
    };
    for (args, expected) in [
        (&["proxy", "0", "builtin:echo"][..], "pool=\"proxy\",target=\"builtin:echo\""),
        (&["lb7", "0", "builtin:http"], "pool=\"lb7\",target=\"builtin:http\""),
        (&["tls-terminate", "0", "builtin:echo"], "pool=\"tls-terminate\",target=\"builtin:echo\""),
        (&["sni-route", "0", "a.test=builtin:echo"], "pool=\"a.test\",target=\"builtin:echo\""),
        (&["sni-route", "0", "a.test=passthrough:443", "--no-name", "h:1"], "pool=\"--no-name\",target=\"h:1\""),
    ] {
        let mut lb = Tapline::start(&[args, &["--metrics", "0"]].concat());
        assert_eq!(pool(&mut lb), format!("tapline_target_open{{{expected}}}"), "{args:?}");
    }
    let mut datagrams = Tapline::start(&["proxy", "--udp", "0", "127.0.0.1:9", "--metrics", "0"]);
    let at = metrics_of(&mut datagrams);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"x", datagrams.addr()).unwrap();
    datagrams.event("opened");
    assert!((scrape(at)["tapline_connections_accepted_total"] - 1.0).abs() < 0.5);
}

#[test]
fn requests_of_lb7_are_counted_by_their_status() {
    let mut lb = Tapline::start(&["lb7", "0", "builtin:http", "--metrics", "0"]);
    let at = metrics_of(&mut lb);
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n", "GET /x HTTP/1.1\r\nHost: a\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n"] {
        heard(lb.addr(), format!("{request}Connection: close\r\n\r\n").as_bytes());
        lb.closed();
    }
    let samples = scrape(at);
    // Counts are whole numbers.
    let count = |name: &str| samples[name] as u64;
    let answered = |status: &str| count(&format!("tapline_requests_total{{status=\"{status}\"}}"));
    assert_eq!([answered("2xx"), answered("4xx"), answered("5xx")], [2, 1, 0]);
    assert_eq!(count("tapline_request_duration_seconds_count"), 3);
    assert_eq!(count("tapline_target_connections_total{pool=\"lb7\",target=\"builtin:http\"}"), 1);
}

#[test]
fn names_from_outside_break_no_line() {
    let mut lb = Tapline::start(&["lb4", "0", "--no-checks", "--metrics", "0", "unix:/x\"y\\z{a}"]);
    let at = metrics_of(&mut lb);
    let samples = scrape(at);
    assert!(samples.contains_key(r#"tapline_target_open{pool="lb4",target="unix:/x\"y\\z{a}"}"#), "{samples:?}");
}

#[test]
fn there_are_no_other_pages_and_no_other_methods() {
    let mut lb = Tapline::start(&["lb4", "0", "builtin:echo", "--metrics", "0"]);
    let at = metrics_of(&mut lb);
    assert!(get(at, "/").starts_with("HTTP/1.1 404 "));
    assert!(get(at, "/targets").starts_with("HTTP/1.1 404 "));
    let post = heard(at, format!("POST /metrics HTTP/1.1\r\nHost: {at}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("\r\nallow: GET\r\n"), "{post}");
    let head = heard(at, format!("HEAD /metrics HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes());
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    let rebound = heard(at, b"GET /metrics HTTP/1.1\r\nHost: rebound.test\r\n\r\n");
    assert!(rebound.starts_with("HTTP/1.1 403 "), "{rebound}");
}

#[test]
fn every_name_is_documented_and_every_documented_name_is_told() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<_> = rows.map(|row| row.split('`').next().unwrap().to_owned()).collect();
    let (_held, refused) = refusing();
    let mut told = BTreeSet::new();
    for command in ["lb4", "lb7"] {
        let mut lb = Tapline::start(&[command, "0", &refused.to_string(), "--metrics", "0"]);
        let at = metrics_of(&mut lb);
        if command == "lb4" {
            // A client that is reset may be so before it is connected.
            fate(lb.addr()).1.unwrap_err();
        } else {
            heard(lb.addr(), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        }
        lb.closed();
        told.extend(scrape(at).into_keys().map(|series| {
            let name = series.split('{').next().unwrap();
            ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name).to_owned()
        }));
    }
    assert_eq!(told, documented);
}
