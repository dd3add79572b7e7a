//! What the keys have brought about: which part is looked at, in which order, from where on.

use ratatui::{
    crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    widgets::TableState,
};

/// The longest text that is searched for.
const LONGEST: usize = 64;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// To end the view.
    Leave,
    /// To draw everything anew.
    Clear,
    /// To draw what has changed.
    Draw,
}

/// What is shown of the view.
#[derive(Debug, Default)]
pub struct Keys {
    pub pane: Pane,
    pub targets: List<ByTarget>,
    pub connections: List<ByConnection>,
    /// Only what has this in its name is shown.
    pub filter: String,
    /// Whether the filter is being written.
    pub typing: bool,
    pub help: bool,
    /// How many rows a page has; whoever draws knows.
    pub page: usize,
}

/// The part that the keys work on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    #[default]
    Targets,
    Connections,
}

/// The order of a list, and where in it one is.
#[derive(Debug, Default)]
pub struct List<Order> {
    pub order: Order,
    pub at: TableState,
}

/// The order of targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByTarget {
    #[default]
    Given,
    Name,
    Open,
    Rate,
    Traffic,
    Errors,
    Connecting,
}

impl ByTarget {
    const ALL: [Self; 7] = [Self::Given, Self::Name, Self::Open, Self::Rate, Self::Traffic, Self::Errors, Self::Connecting];

    pub fn words(self) -> &'static str {
        match self {
            Self::Given => "as given",
            Self::Name => "by name",
            Self::Open => "most open first",
            Self::Rate => "most conn/s first",
            Self::Traffic => "most bytes/s first",
            Self::Errors => "most errors first",
            Self::Connecting => "slowest first",
        }
    }
}

/// The order of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByConnection {
    #[default]
    Newest,
    Oldest,
    Bytes,
    Client,
    Target,
}

impl ByConnection {
    const ALL: [Self; 5] = [Self::Newest, Self::Oldest, Self::Bytes, Self::Client, Self::Target];

    pub fn words(self) -> &'static str {
        match self {
            Self::Newest => "newest first",
            Self::Oldest => "oldest first",
            Self::Bytes => "most bytes first",
            Self::Client => "by client",
            Self::Target => "by target",
        }
    }
}

/// The one after it, round and round.
fn next<T: Copy + PartialEq>(all: &[T], now: T) -> T {
    let at = all.iter().position(|one| *one == now).unwrap_or_default();
    all[(at + 1) % all.len()]
}

impl Keys {
    /// Takes a key.
    pub fn pressed(&mut self, key: KeyEvent) -> Act {
        if key.kind == KeyEventKind::Release {
            return Act::Draw;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Act::Leave,
            KeyCode::Char('l') if control => return Act::Clear,
            _ if self.typing => self.typed(key.code),
            _ if self.help => {
                self.help = false;
                if key.code == KeyCode::Char('q') {
                    return Act::Leave;
                }
            }
            KeyCode::Char('q') => return Act::Leave,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Tab | KeyCode::BackTab => {
                self.pane = if self.pane == Pane::Targets { Pane::Connections } else { Pane::Targets };
            }
            KeyCode::Char('s') => match self.pane {
                Pane::Targets => self.targets.order = next(&ByTarget::ALL, self.targets.order),
                Pane::Connections => self.connections.order = next(&ByConnection::ALL, self.connections.order),
            },
            code => self.moved(code),
        }
        Act::Draw
    }

    fn typed(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => _ = self.filter.pop(),
            KeyCode::Char(c) if self.filter.chars().count() < LONGEST => self.filter.push(c),
            _ => {}
        }
    }

    fn moved(&mut self, code: KeyCode) {
        let page = u16::try_from(self.page.max(1)).unwrap_or(u16::MAX);
        let at = match self.pane {
            Pane::Targets => &mut self.targets.at,
            Pane::Connections => &mut self.connections.at,
        };
        match code {
            KeyCode::Up | KeyCode::Char('k') => at.scroll_up_by(1),
            KeyCode::Down | KeyCode::Char('j') => at.scroll_down_by(1),
            KeyCode::PageUp => at.scroll_up_by(page),
            KeyCode::PageDown | KeyCode::Char(' ') => at.scroll_down_by(page),
            KeyCode::Home | KeyCode::Char('g') => at.select_first(),
            KeyCode::End | KeyCode::Char('G') => at.select_last(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(keys: &mut Keys, codes: &[KeyCode]) -> Act {
        codes.iter().map(|code| keys.pressed((*code).into())).last().unwrap()
    }

    #[test]
    fn tab_changes_the_part_that_s_and_the_arrows_work_on() {
        let mut keys = Keys { page: 10, ..Keys::default() };
        press(&mut keys, &[KeyCode::Char('s'), KeyCode::Down, KeyCode::PageDown]);
        assert_eq!((keys.targets.order, keys.targets.at.selected()), (ByTarget::Name, Some(11)));
        press(&mut keys, &[KeyCode::Tab, KeyCode::Char('s'), KeyCode::Char('j'), KeyCode::Char('j'), KeyCode::Char('k')]);
        assert_eq!((keys.connections.order, keys.connections.at.selected()), (ByConnection::Oldest, Some(1)));
        assert_eq!((keys.targets.order, keys.targets.at.selected()), (ByTarget::Name, Some(11)));
        press(&mut keys, &[KeyCode::Char('s'); 4]);
        assert_eq!(keys.connections.order, ByConnection::Newest);
    }

    #[test]
    fn what_is_typed_into_the_filter_is_no_command() {
        let mut keys = Keys::default();
        let typed: Vec<_> = "/qs?x".chars().map(KeyCode::Char).collect();
        assert_eq!(press(&mut keys, &typed), Act::Draw);
        press(&mut keys, &[KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!((keys.filter.as_str(), keys.typing, keys.help), ("qs?", false, false));
        press(&mut keys, &[KeyCode::Esc]);
        assert_eq!(keys.filter, "");
    }

    #[test]
    fn q_and_control_c_leave_also_from_the_help() {
        let mut keys = Keys::default();
        assert_eq!(press(&mut keys, &[KeyCode::Char('?'), KeyCode::Char('q')]), Act::Leave);
        assert_eq!(keys.pressed(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Act::Leave);
        assert_eq!(keys.pressed(KeyEvent::new(KeyCode::Char('l'), KeyModifiers::CONTROL)), Act::Clear);
    }
}
