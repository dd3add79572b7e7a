use super::*;
use crate::top::keys::{ByTarget, List};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};

fn row(n: usize) -> Row {
    Row {
        name: format!("10.0.0.{n}:8080"),
        state: if n % 4 == 2 { State::Down } else { State::Up },
        backup: false,
        weight: 1,
        open: n,
        taken: 1000 * n as u64,
        rate: 12.5 * n as f64,
        sent_rate: 1500.0,
        received_rate: 3.5e6,
        sent: 15_000,
        received: 35_000_000,
        errors: if n % 4 == 2 { 7 } else { 0 },
        connecting: Some((Duration::from_micros(350), Duration::from_micros(2100))),
        last: (n % 4 == 2).then(|| ("refused".into(), Duration::from_secs(75))),
    }
}

fn view(targets: usize, connections: usize) -> View {
    let line = |text: &str| report::Line { time: "12:00:00".into(), text: text.into() };
    let connection = |n: usize| Connection {
        id: n as u64,
        client: format!("192.0.2.7:{}", 40_000 + n),
        target: "10.0.0.1:8080".into(),
        phase: "relay",
        age: Duration::from_secs(n as u64),
        received: 10,
        sent: 2048,
    };
    View {
        command: "lb4",
        addr: "127.0.0.1:8080".into(),
        up: Duration::from_secs(3723),
        open: connections,
        opened: 123_456,
        opened_rate: 1234.5,
        failed: 3,
        sent_rate: 1e6,
        received_rate: 2e9,
        cpu: Some(0.35),
        resident: Some(12 << 20),
        all: targets,
        eligible: targets - (0..targets).filter(|n| n % 4 == 1).count(),
        well: targets < 2,
        targets: (1..=targets).map(row).collect(),
        connections: (1..=connections).map(connection).collect(),
        fitting: connections,
        said: vec![line("10.0.0.2:8080 is \x1b[31mdown\x1b[0m: refused")],
    }
}

fn drawn(size: (u16, u16), view: &View, keys: &mut Keys, color: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(frame, view, keys, color)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    buffer
        .content
        .chunks(width)
        .map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned())
        .collect()
}

fn screen(size: (u16, u16), view: &View, keys: &mut Keys) -> Vec<String> {
    lines(&drawn(size, view, keys, true))
}

#[test]
fn one_target_on_a_small_terminal() {
    let shown = screen((100, 12), &view(1, 2), &mut Keys::default());
    let head: Vec<_> = shown[0].split("  ").filter(|part| !part.is_empty()).map(str::trim).collect();
    assert_eq!(head, ["tapline lb4 on 127.0.0.1:8080", "up 1h02m", "1/1 targets usable", "CPU 35 %", "12 MiB"]);
    assert_eq!(shown[1], "open 2  total 123456  1234/s  failed 3  to targets 977 KiB/s  from targets 1.9 GiB/s");
    assert_eq!(shown[2], " targets, as given");
    let words: Vec<_> = shown[4].split_whitespace().collect();
    assert_eq!(words, ["10.0.0.1:8080", "up", "1", "12", "1.5", "KiB", "3.3", "MiB", "0", "2.1", "ms"]);
    assert!(shown[11].starts_with("q quit (drains)"), "{shown:#?}");
}

#[test]
fn eighty_columns_hold_what_matters_of_each_target() {
    let shown = screen((80, 24), &view(50, 3), &mut Keys::default());
    assert_eq!(shown.len(), 24);
    let head: Vec<_> = shown[3].split_whitespace().collect();
    assert_eq!(head, ["target", "state", "open", "conn/s", "to/s", "from/s", "errors", "p99", "last", "cause"]);
    assert!(shown[2].contains("1-18 of targets"), "{}", shown[2]);
    assert!(shown[4].contains("10.0.0.1:8080") && shown[21].contains("10.0.0.18:8080"), "{shown:#?}");
    assert!(shown[5].contains("down") && shown[5].contains("refused"), "{}", shown[5]);
    assert_eq!(shown[22], "12:00:00 10.0.0.2:8080 is down: refused");
}

#[test]
fn a_large_terminal_shows_more_columns_and_the_connections_too() {
    let shown = screen((200, 60), &view(50, 100), &mut Keys::default());
    for word in ["weight", "taken", "p50", " to ", " from "] {
        assert!(shown[3].contains(word), "{}", shown[3]);
    }
    assert!(shown.iter().any(|line| line.contains("(1m15s ago)")));
    let second = shown.iter().position(|line| line.contains("connections, newest first")).unwrap();
    assert!(second > 20 && shown[second + 2].contains("192.0.2.7:40001") && shown[second + 2].contains("2.0 KiB"), "{shown:#?}");
}

#[test]
fn of_five_hundred_targets_one_sees_where_one_is() {
    let (view, mut keys) = (view(500, 0), Keys { targets: List { order: ByTarget::Name, ..List::default() }, ..Keys::default() });
    for (size, page) in [((80, 24), 18), ((200, 60), 31)] {
        keys.targets.at.select_first();
        screen(size, &view, &mut keys);
        assert_eq!(keys.page, page);
        keys.pressed(ratatui::crossterm::event::KeyCode::End.into());
        let shown = screen(size, &view, &mut keys);
        assert!(shown[2].contains(&format!("{}-500 of targets, by name", 501 - page)), "{}", shown[2]);
        assert!(shown[3 + page].contains("10.0.0.500:8080"), "{shown:#?}");
        keys.pressed(ratatui::crossterm::event::KeyCode::PageUp.into());
        let shown = screen(size, &view, &mut keys);
        assert!(shown[2].contains(&format!("{}-", 500 - page)) || shown[2].contains("-500 of"), "{}", shown[2]);
    }
}

#[test]
fn what_is_chosen_stays_in_sight_when_rows_go() {
    let mut keys = Keys::default();
    screen((80, 24), &view(500, 0), &mut keys);
    keys.pressed(ratatui::crossterm::event::KeyCode::End.into());
    screen((80, 24), &view(500, 0), &mut keys);
    let shown = screen((80, 24), &view(3, 0), &mut keys);
    assert!(shown[4].contains("10.0.0.1:8080") && shown[6].contains("10.0.0.3:8080"), "{shown:#?}");
    assert_eq!(keys.targets.at.selected(), Some(2));
    screen((80, 24), &view(0, 0), &mut keys);
}

#[test]
fn a_terminal_that_is_too_small_says_so() {
    let shown = screen((30, 5), &view(3, 3), &mut Keys::default());
    assert_eq!(shown.join(" ").split_whitespace().collect::<Vec<_>>().join(" "), "30x5 is too small: 60x10 is needed; q ends");
    for size in [(1, 1), (60, 10), (61, 1), (1, 100), (300, 10)] {
        for help in [false, true] {
            screen(size, &view(3, 3), &mut Keys { help, ..Keys::default() });
        }
    }
}

#[test]
fn states_are_said_by_colours_and_without_them_by_words_alone() {
    let of = |color| drawn((80, 24), &view(5, 0), &mut Keys::default(), color);
    let colors = |buffer: &Buffer| buffer.content.iter().filter(|cell| cell.fg != Color::Reset).count();
    assert!(colors(&of(true)) > 0 && colors(&of(false)) == 0);
    assert_eq!(lines(&of(true)), lines(&of(false)));
}

#[test]
fn the_help_names_the_keys_and_the_filter_is_shown_while_it_is_written() {
    let mut keys = Keys { help: true, ..Keys::default() };
    assert!(screen((80, 24), &view(1, 1), &mut keys).iter().any(|line| line.starts_with("q, Ctrl-C")));
    let mut keys = Keys { typing: true, filter: "a.te\u{1b}".into(), ..Keys::default() };
    let shown = screen((80, 24), &view(1, 1), &mut keys);
    assert_eq!((shown[23].as_str(), shown[2].as_str()), (r"/a.te\u{1b}_", r#" targets, as given, with "a.te\u{1b}" in their names"#));
}

#[test]
fn numbers_and_times_keep_to_their_columns() {
    let numbers = [0.0, 0.04, 1.5, 7.0, 12.34, 99_999.0, 123_456.0, 999_499.0, 1_234_567.0, 123_456_789.0].map(count);
    assert_eq!(numbers, ["0", "0.0", "1.5", "7", "12", "99999", "123k", "999k", "1.2M", "123M"]);
    let times = [0, 59, 60, 3599, 3600, 86_399, 86_400, 864_000].map(|seconds| age(Duration::from_secs(seconds)));
    assert_eq!(times, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "10d00h"]);
}
