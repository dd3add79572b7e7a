use super::{super::Look, *};
use std::sync::Arc;
use tapline::{
    addr::Endpoint,
    balance::Policy,
    capture::Summary,
    event::{Client, ConnId, Handshake, Offered},
    fault::{Direction, Lane},
    pool::{Drawn, Picked, Serving},
    proxy_header::{Transport, Version},
    reload::What,
    route::{Also, Outcome, Routed, Scheme},
    tls::Shown,
};

#[test]
fn sizes_and_times_are_short() {
    let sizes = [0, 999, 1023, 1024, 10_240, 1_048_576, 5 << 30];
    assert_eq!(sizes.map(bytes), ["0 B", "999 B", "1023 B", "1.0 KiB", "10 KiB", "1.0 MiB", "5.0 GiB"]);
    let times = [1, 999, 1_200, 12_000, 1_500_000, 31_000_000, 900_000_000];
    assert_eq!(times.map(|us| span(Duration::from_micros(us))), ["1 us", "999 us", "1.2 ms", "12 ms", "1.5 s", "31 s", "15 min"]);
}

#[test]
fn a_cause_is_told_once() {
    let inner = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    let text = inner.to_string();
    let error = anyhow::Error::new(BindError { addr: "80".parse().unwrap(), error: inner });
    assert_eq!(chain(&error), format!("cannot listen on 127.0.0.1:80: {text}"));
    assert!(hint(&error).unwrap().contains("port 0"));
}

/// A handshake with the same text wherever it has any.
fn handshake(id: ConnId, text: &str) -> Event {
    let (name, some) = (text.to_owned(), Some(text.to_owned()));
    let alpn = vec![text.as_bytes().to_vec(); 6];
    let offered = Offered { versions: vec![0x0304, 0x0303], groups: vec![0x11ec, 29, 23], key_shares: vec![29], alpn, size: 517 };
    Event::Handshake(Box::new(Handshake {
        id,
        name: some.clone(),
        version: name.clone(),
        cipher: name.clone(),
        group: some.clone(),
        post_quantum: false,
        alpn: some,
        resumed: false,
        retry: true,
        client: Some(Client { common_name: Some(text.to_owned()), names: vec![text.to_owned()], allowed: Some(text.to_owned()) }),
        offered,
        certificate: Some(Shown { from: name, why: "exact name" }),
        tickets: 2,
        round_trips: 2,
        received: 600,
        sent: 1200,
        elapsed: Duration::from_millis(2),
    }))
}

#[test]
fn a_handshake_is_told_step_by_step() {
    let look = Look { terminal: false, color: false };
    let style = Style { json: false, quiet: false, explain: true, stderr: look, stdout: look };
    let text = super::event(&handshake(ConnId(7), "x"), style, Instant::now());
    let steps: Vec<_> = text.lines().map(|line| line.split_once("s #7 TLS: ").unwrap().1).collect();
    let wanted = [
        "the client offers TLSv1.3, TLSv1.2, name x, ALPN x, x, x, x and 2 more, key shares for x25519 and 2 groups without one",
        "the server chooses x, x, ALPN x",
        "key exchange x: who records it now may decrypt it with a quantum computer later; no key share was for it, HelloRetryRequest asked \
         for one, at the cost of a round trip",
        "the server shows the certificate x: exact name",
        "the client shows a certificate of x, x (allowed: x)",
        "handshake done in 2.0 ms, 2 round trips, 600 B in, 1.2 KiB out, 2 tickets to take it up again",
    ];
    assert_eq!(steps, wanted);
}

/// Every event, with the same text wherever it has any.
fn every_event(text: &str) -> Vec<Event> {
    let (id, name, why, target) = (ConnId(1), text.to_owned(), text.to_owned(), text.to_owned());
    let (some, shared, time) = (Some(text.to_owned()), Arc::<str>::from(text), Duration::from_secs(1));
    let addr = Endpoint::Unix(Some(text.into()));
    let drawn = vec![Drawn { target: shared.clone(), open: 1, weight: 2 }];
    let picked = Box::new(Picked { policy: Policy::default(), key: Some(1), drawn, of: 1, winner: shared.clone(), why: "has its turn" });
    let header = Told {
        id,
        version: Version::V2,
        command: Command::Proxy,
        transport: Transport::Stream,
        source: Some(addr.clone()),
        destination: Some(addr.clone()),
        authority: some.clone(),
        alpn: some.clone(),
        unique_id: some.clone(),
        netns: some.clone(),
        tls: None,
    };
    let what = Recognised {
        protocol: Protocol::Http,
        name: some.clone(),
        alpn: vec![name.clone()],
        method: some.clone(),
        path: some.clone(),
        version: some.clone(),
        malformed: some.clone(),
    };
    let end = |by, failed| Event::Closed {
        id,
        peer: addr.clone(),
        client: Endpoint::Unix(Some(format!("{text}/client").into())),
        target: Some(shared.clone()),
        end: End { by, during: Phase::Relay, why: text.to_owned().into(), failed },
        received: 1,
        sent: 1,
        spliced: true,
        elapsed: time,
    };
    let asked = |status| Event::Request {
        id,
        target: some.clone(),
        method: name.clone(),
        path: name.clone(),
        status,
        retries: 1,
        why: some.clone(),
        elapsed: time,
    };
    let routed = Routed {
        id,
        outcome: Outcome::Matched,
        scheme: Some(Scheme::Tls),
        name: some.clone(),
        alpn: vec![name.clone()],
        size: Some(1),
        records: Some(1),
        rule: name.clone(),
        how: None,
        also: vec![Also { rule: name.clone(), why: "" }],
        target: some.clone(),
    };
    let serving = |from| Event::Serving { from, usable: 1, of: 1, names: vec![shared.clone()] };
    let lane = Lane { stall_after: Some(1), ..Lane::default() };
    vec![
        Event::Listening { addr: addr.clone() },
        Event::Builtin { target: target.clone(), addr: addr.clone() },
        Event::Certificate { names: vec![name.clone()], ca: name.clone(), try_with: name.clone() },
        Event::Opened { id, peer: addr.clone() },
        Event::Announced(Box::new(header)),
        Event::Routed(Box::new(routed)),
        handshake(id, text),
        Event::Recognised { id, what },
        Event::Saved { id, path: name.clone() },
        Event::DialFailed { id, target: shared.clone(), why: why.clone(), next: true },
        Event::Dialed { id, target: shared.clone(), addr: addr.clone(), elapsed: time, waited: Some(time) },
        Event::Picked { id, picked },
        Event::Queued { id, before: 1 },
        Event::Replayed { id, target: shared.clone(), why: why.clone(), bytes: 1 },
        asked(200),
        asked(502),
        Event::Faults { seed: 1, up: lane.clone(), down: lane, reset_percent: None },
        Event::Fault { id, fault: Kind::Stall, direction: Direction::Up, after: 1 },
        end(By::Client, true),
        end(By::Client, false),
        end(By::Rule, false),
        Event::Target { target: shared.clone(), connections: 1, failed: 1, received: 1, sent: 1 },
        Event::Health { target: target.clone(), up: true, why: why.clone() },
        Event::Health { target, up: false, why: why.clone() },
        Event::Ejected { target: shared.clone(), failures: 3, why: why.clone(), penalty: time },
        Event::Readmitted { target: shared.clone(), why: why.clone() },
        serving(Serving::Regular),
        serving(Serving::Backups),
        serving(Serving::Ejected),
        serving(Serving::All),
        serving(Serving::Nobody),
        Event::Loaded { what: What::Identities, certificates: 1, names: vec![name.clone()], changed: 1, why: some.clone() },
        Event::Routes { source: name.clone(), rules: 1, added: 1, removed: 1, changed: 1, skipped: 1, why: some.clone() },
        Event::Targets { source: name.clone(), targets: 1, added: 1, removed: 1, changed: 1, skipped: 1, why: some.clone() },
        Event::Capture { file: name.clone(), summary: Summary { other_links: [(name.clone(), 1)].into(), ..Summary::default() } },
        Event::AcceptFailed { why: why.clone(), retry_in: time },
        Event::Draining { open: 1, grace: time },
        Event::Drained { aborted: 1 },
        Event::Lost { id: Some(id), datagrams: 1, why },
        Event::Dropped { events: 1 },
        Event::Note { text: name },
    ]
}

/// The lines of an event as one: what is to be copied has one of its own, and so has each step of a handshake.
fn whole(event: &Event, lines: &str) -> String {
    let lines = lines.replace("\ntry: ", "");
    assert_eq!(lines.split('\n').count(), if let Event::Handshake(_) = event { 6 } else { 1 }, "{lines:?}");
    lines.replace('\n', "")
}

#[test]
fn no_event_takes_untrusted_text_to_a_terminal_as_it_is() {
    let look = |color| Look { terminal: true, color };
    let style = |color| Style { json: false, quiet: false, explain: true, stderr: look(color), stdout: look(color) };
    let hostile = "a\u{1b}]0;b\u{7}\u{9b}1m\u{202e}\n";
    for event in every_event(hostile) {
        let line = super::event(&event, style(false), Instant::now());
        let line = whole(&event, &line);
        assert!(line.is_ascii() && !line.contains(char::is_control), "{line:?}");
    }
    // With colour there is nothing else than colour.
    for event in every_event(hostile) {
        let line = whole(&event, &super::event(&event, style(true), Instant::now()));
        let plain =
            [DIM, BAD, GOOD].iter().fold(line, |line, paint| line.replace(&paint.to_string(), "").replace(&format!("{paint:#}"), ""));
        assert!(!plain.contains(char::is_control), "{plain:?}");
    }
}
