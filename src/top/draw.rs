//! How the view looks: a head, the targets, the connections, what was said last, and the keys.

#[cfg(test)]
mod tests;

use super::{
    figures::{Connection, MOST_CONNECTIONS, Row, View},
    keys::{Keys, Pane},
};
use crate::report::{self, bytes, span};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row as TableRow, Table, TableState},
};
use std::time::Duration;
use tapline::control::State;

/// Lines of what was said last that are shown at most.
pub const MOST_SAID: usize = 8;
/// What the view needs at least.
const SMALLEST: (u16, u16) = (60, 10);
/// From this height on, both lists are shown.
const TALL: u16 = 36;

const HELP: [&str; 18] = [
    "q, Ctrl-C   end the view and the run: open connections may end by themselves",
    "            until --grace is over, or until Ctrl-C comes once more",
    "Tab         targets or connections",
    "Up Down k j one row; PageUp, PageDown, Home, End: further",
    "s           another order",
    "/           show only what has a text in its name; Esc: all again",
    "Ctrl-L      draw everything anew",
    "?           this; any key ends it",
    "targets:     conn/s, to/s, from/s are connections that a target took, and bytes",
    "             to it and from it in a second, of the last 3 s; p50, p99: half, or 99",
    "             of 100, connected within this time then, or ever where none did then",
    "             errors: connections that it did not take or broke off, in all",
    "             last cause: of a failed connection or check",
    "connections: in and out are bytes from the client and to it; phase is what a",
    "             connection does, in the words of the messages",
    "A wider terminal shows more columns, a higher one both lists. The last lines",
    "above this one are what is said meanwhile. All of it is said again after the",
    "view, up to 200 lines.",
];

/// Draws all of it. What is looked at may move into what there is.
pub fn draw(frame: &mut Frame<'_>, view: &View, keys: &mut Keys, color: bool) {
    let area = frame.area();
    let look = Look { color };
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let (width, height) = SMALLEST;
        let text = format!("{}x{} is too small: {width}x{height} is needed; q ends", area.width, area.height);
        return frame.render_widget(Paragraph::new(text).wrap(ratatui::widgets::Wrap { trim: true }), area);
    }
    let said = if area.height < 16 { 0 } else { view.said.len().min(if area.height < TALL { 3 } else { MOST_SAID }) as u16 };
    let [head, lists, foot_of_lists, keys_line] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(4), Constraint::Length(said), Constraint::Length(1)]).areas(area);
    head_lines(frame, head, view, look);
    if keys.help {
        frame.render_widget(Paragraph::new(HELP.map(Line::from).to_vec()), lists);
    } else if area.height >= TALL {
        // As much as the targets need, at most the larger part.
        let most = lists.height * 3 / 5;
        let needed = u16::try_from(view.targets.len()).unwrap_or(u16::MAX).saturating_add(3).clamp(5, most);
        let [above, below] = Layout::vertical([Constraint::Length(needed), Constraint::Min(4)]).areas(lists);
        targets(frame, above, view, keys, look);
        connections(frame, below, view, keys, look);
        let focused = if keys.pane == Pane::Targets { above } else { below };
        keys.page = usize::from(focused.height.saturating_sub(2));
    } else {
        match keys.pane {
            Pane::Targets => targets(frame, lists, view, keys, look),
            Pane::Connections => connections(frame, lists, view, keys, look),
        }
        keys.page = usize::from(lists.height.saturating_sub(2));
    }
    let last: Vec<_> = view.said.iter().skip(view.said.len() - usize::from(said)).map(|line| look.said(line)).collect();
    frame.render_widget(Paragraph::new(last), foot_of_lists);
    let foot = if keys.typing {
        Line::from(format!("/{}_", report::safe(&keys.filter))).style(STRONG)
    } else {
        let other = if keys.pane == Pane::Targets { "connections" } else { "targets" };
        Line::from(format!("q quit (drains)  Tab {other}  s order  / filter  up/down scroll  ? help")).style(look.dim())
    };
    frame.render_widget(Paragraph::new(foot), keys_line);
}

const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);

/// Colours, where there are any. What they say is said by words, too.
#[derive(Clone, Copy)]
struct Look {
    color: bool,
}

impl Look {
    fn colored(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    fn dim(self) -> Style {
        if self.color { Style::new().add_modifier(Modifier::DIM) } else { Style::new() }
    }

    fn state(self, state: State) -> Style {
        match state {
            State::Up => self.colored(Color::Green),
            State::Draining | State::Removed => self.colored(Color::Yellow),
            State::Down | State::Ejected => self.colored(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    /// A line that was said, in its colours: of the codes of SGR (ECMA-48 section 8.3.117), those that lines are written with.
    fn said(self, line: &report::Line) -> Line<'static> {
        let mut spans = vec![Span::styled(format!("{} ", line.time), self.dim())];
        let mut style = Style::new();
        for (at, part) in line.text.split("\x1b[").enumerate() {
            let text = match part.split_once('m').filter(|_| at > 0) {
                Some((code, text)) => {
                    style = match code {
                        "31" => self.colored(Color::Red),
                        "32" => self.colored(Color::Green),
                        "2" => self.dim(),
                        _ => Style::new(),
                    };
                    text
                }
                None => part,
            };
            spans.push(Span::styled(text.to_owned(), style));
        }
        Line::from(spans)
    }
}

fn head_lines(frame: &mut Frame<'_>, area: Rect, view: &View, look: Look) {
    let left = format!("tapline {} on {}  up {}  ", view.command, view.addr, age(view.up));
    let well = format!("{}/{} targets usable", view.eligible, view.all);
    let well_style = if view.well { Style::new() } else { look.colored(Color::Red) };
    let mut process = Vec::new();
    process.extend(view.cpu.map(|share| format!("CPU {:.0} %", share * 100.0)));
    process.extend(view.resident.map(bytes));
    let second = format!(
        "open {}  total {}  {}/s  failed {}  to targets {}/s  from targets {}/s",
        view.open,
        view.opened,
        count(view.opened_rate),
        view.failed,
        bytes(view.sent_rate as u64),
        bytes(view.received_rate as u64)
    );
    let first = Line::from(vec![Span::styled(left, STRONG), Span::styled(well, well_style)]);
    let process = Line::from(process.join("  ")).right_aligned();
    let [above, below] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
    // Where there is room for both.
    if first.width() + process.width() < usize::from(area.width) {
        frame.render_widget(Paragraph::new(process), above);
    }
    frame.render_widget(first, above);
    frame.render_widget(Paragraph::new(second), below);
}

/// A column: its head, how wide it is, from which width of the terminal on it is shown, and what is in it.
struct Column<T> {
    head: &'static str,
    width: Constraint,
    from: u16,
    cell: fn(&T, Look) -> Cell<'static>,
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

/// A list: a line that says what is seen of it, a head, and as many rows as there is room for.
fn list<T>(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    (rows, columns): (&[T], &[Column<T>]),
    (at, focused): (&mut TableState, bool),
    look: Look,
) {
    // Where nothing was chosen, the first row is; where there are fewer rows than there were, the last.
    at.select(Some(at.selected().unwrap_or(0).min(rows.len().saturating_sub(1))));
    let columns: Vec<_> = columns.iter().filter(|column| area.width >= column.from).collect();
    let [title_line, below] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    let room = usize::from(below.height.saturating_sub(1));
    // Only what is seen is made ready: there may be many.
    let first = at
        .offset()
        .min(rows.len().saturating_sub(room))
        .clamp(at.selected().unwrap_or(0).saturating_sub(room.saturating_sub(1)), at.selected().unwrap_or(0));
    *at.offset_mut() = first;
    let seen: Vec<_> = rows.iter().skip(first).take(room).collect();
    let of = if rows.len() > seen.len() { format!(" {}-{} of", first + 1, first + seen.len()) } else { String::new() };
    let bar = if focused { Style::new().add_modifier(Modifier::REVERSED) } else { STRONG };
    frame.render_widget(Paragraph::new(format!("{of} {title}")).style(bar), title_line);
    let head = columns.iter().map(|column| match column.width {
        Constraint::Length(_) => right(column.head.into()),
        _ => Cell::from(column.head),
    });
    let widths: Vec<_> = columns.iter().map(|column| column.width).collect();
    let body = seen.iter().map(|row| TableRow::new(columns.iter().map(|column| (column.cell)(row, look))));
    let chosen = if focused { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
    let table = Table::new(body, widths).header(TableRow::new(head).style(look.dim())).row_highlight_style(chosen);
    let mut within = TableState::new().with_selected(at.selected().filter(|_| !rows.is_empty()).map(|selected| selected - first));
    frame.render_stateful_widget(table, below, &mut within);
}

fn targets(frame: &mut Frame<'_>, area: Rect, view: &View, keys: &mut Keys, look: Look) {
    // Causes get what the names and the figures leave.
    let names = view.targets.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).clamp(12, 60) as u16;
    let columns: [Column<Row>; 14] = [
        Column { head: "target", width: Constraint::Max(names), from: 0, cell: |row, _| row.name.clone().into() },
        Column {
            head: "state",
            width: Constraint::Length(8),
            from: 0,
            cell: |row, look| {
                let word = if row.backup && row.state == State::Up { "backup".into() } else { row.state.to_string() };
                right(word).style(look.state(row.state))
            },
        },
        Column { head: "weight", width: Constraint::Length(6), from: 110, cell: |row, _| right(row.weight.to_string()) },
        Column { head: "open", width: Constraint::Length(5), from: 0, cell: |row, _| right(count(row.open as f64)) },
        Column { head: "conn/s", width: Constraint::Length(6), from: 0, cell: |row, _| right(count(row.rate)) },
        Column { head: "taken", width: Constraint::Length(7), from: 110, cell: |row, _| right(row.taken.to_string()) },
        Column { head: "to/s", width: Constraint::Length(7), from: 0, cell: |row, _| right(bytes(row.sent_rate as u64)) },
        Column { head: "from/s", width: Constraint::Length(7), from: 0, cell: |row, _| right(bytes(row.received_rate as u64)) },
        Column { head: "to", width: Constraint::Length(8), from: 150, cell: |row, _| right(bytes(row.sent)) },
        Column { head: "from", width: Constraint::Length(8), from: 150, cell: |row, _| right(bytes(row.received)) },
        Column {
            head: "errors",
            width: Constraint::Length(6),
            from: 0,
            cell: |row, look| right(count(row.errors as f64)).style(if row.errors > 0 { look.colored(Color::Red) } else { Style::new() }),
        },
        Column {
            head: "p50",
            width: Constraint::Length(7),
            from: 130,
            cell: |row, _| right(row.connecting.map_or("-".into(), |(half, _)| span(half))),
        },
        Column {
            head: "p99",
            width: Constraint::Length(7),
            from: 0,
            cell: |row, _| right(row.connecting.map_or("-".into(), |(_, most)| span(most))),
        },
        Column {
            head: "last cause",
            width: Constraint::Min(9),
            from: 0,
            cell: |row, _| row.last.as_ref().map_or(String::new(), |(why, ago)| format!("{why} ({} ago)", age(*ago))).into(),
        },
    ];
    let title = format!("targets, {}{}", keys.targets.order.words(), filtered(&keys.filter));
    list(frame, area, &title, (&view.targets, &columns), (&mut keys.targets.at, keys.pane == Pane::Targets), look);
}

fn connections(frame: &mut Frame<'_>, area: Rect, view: &View, keys: &mut Keys, look: Look) {
    let columns: [Column<Connection>; 7] = [
        Column { head: "id", width: Constraint::Length(8), from: 0, cell: |one, _| right(format!("#{}", one.id)) },
        Column { head: "client", width: Constraint::Fill(2), from: 0, cell: |one, _| one.client.clone().into() },
        Column { head: "target", width: Constraint::Fill(2), from: 0, cell: |one, _| one.target.clone().into() },
        Column { head: "phase", width: Constraint::Length(10), from: 0, cell: |one, _| right(one.phase.into()) },
        Column { head: "age", width: Constraint::Length(8), from: 0, cell: |one, _| right(age(one.age)) },
        Column { head: "in", width: Constraint::Length(8), from: 0, cell: |one, _| right(bytes(one.received)) },
        Column { head: "out", width: Constraint::Length(8), from: 0, cell: |one, _| right(bytes(one.sent)) },
    ];
    let more =
        if view.fitting > view.connections.len() { format!(", the first {MOST_CONNECTIONS} of {}", view.fitting) } else { String::new() };
    let title = format!("connections, {}{more}{}", keys.connections.order.words(), filtered(&keys.filter));
    list(frame, area, &title, (&view.connections, &columns), (&mut keys.connections.at, keys.pane == Pane::Connections), look);
}

fn filtered(filter: &str) -> String {
    if filter.is_empty() { String::new() } else { format!(", with \"{}\" in their names", report::safe(filter)) }
}

/// A number in at most five characters.
fn count(number: f64) -> String {
    match number {
        n if n < 9.95 && n.fract() > 0.0 => format!("{n:.1}"),
        n if n < 99_999.5 => format!("{n:.0}"),
        n if n < 999_500.0 => format!("{:.0}k", n / 1e3),
        n if n < 9.95e6 => format!("{:.1}M", n / 1e6),
        n => format!("{:.0}M", n / 1e6),
    }
}

/// A time in whole seconds, in at most eight characters: `59s`, `1m05s`, `23h59m`, `12d03h`.
fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}
