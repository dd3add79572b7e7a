//! What is said while a full-screen view has the terminal: kept for the view, and said once it has gone.

use super::escape::safe;
use jiff::Zoned;
use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Lines that are kept; of more, the oldest go.
const MOST: usize = 200;

/// Between stderr and its terminal. Clones are the same one.
#[derive(Clone, Default)]
pub struct Curtain(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    drawn: Option<Drawn>,
    lines: VecDeque<Line>,
    forgotten: u64,
}

/// What the view is drawn over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Drawn {
    /// The terminal that stderr is.
    OverStderr,
    /// Another terminal: what is said goes to stderr all the same.
    Beside,
}

/// Something that was said.
#[derive(Clone, Debug)]
pub struct Line {
    /// Local time of the day.
    pub time: String,
    /// As it is written, with its colours.
    pub text: String,
}

impl Curtain {
    /// From here on the view has the terminal.
    pub fn draw(&self, drawn: Drawn) {
        *self.state() = State { drawn: Some(drawn), ..State::default() };
    }

    /// The terminal is as it was before the view: what was said meanwhile and could not be seen there is written to `stream`,
    /// before anything else is.
    pub fn lift(&self, stream: &mut impl Write) -> io::Result<()> {
        let mut state = self.state();
        if state.drawn.take() != Some(Drawn::OverStderr) {
            return Ok(());
        }
        let mut text = String::new();
        if state.forgotten > 0 {
            text = format!("({} lines before these were shown in the view alone)\n", state.forgotten);
        }
        for line in std::mem::take(&mut state.lines) {
            text.extend([&line.text, "\n"]);
        }
        stream.write_all(text.as_bytes())?;
        stream.flush()
    }

    /// Whether the view has the terminal that stderr is.
    pub fn hides_stderr(&self) -> bool {
        self.state().drawn == Some(Drawn::OverStderr)
    }

    /// The lines said last, at most so many.
    pub fn last(&self, most: usize) -> Vec<Line> {
        let state = self.state();
        state.lines.range(state.lines.len().saturating_sub(most)..).cloned().collect()
    }

    /// Keeps a text that would have gone to the terminal by itself.
    pub fn keep(&self, text: &str) {
        self.state().keep(text.lines().map(safe));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, lines: impl Iterator<Item = String>) {
        let time = Zoned::now().strftime("%H:%M:%S").to_string();
        for text in lines {
            if self.lines.len() == MOST {
                self.lines.pop_front();
                self.forgotten += 1;
            }
            self.lines.push_back(Line { time: time.clone(), text });
        }
    }
}

/// A stream that is written to unless a view is drawn over it.
pub struct Behind<W> {
    pub stream: W,
    pub curtain: Curtain,
}

impl<W: Write> Write for Behind<W> {
    /// All of the bytes are taken where they are kept: whole lines, as the only printer writes them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.curtain.state();
        if let Some(drawn) = state.drawn {
            state.keep(String::from_utf8_lossy(bytes).lines().map(ToOwned::to_owned));
            if drawn == Drawn::OverStderr {
                return Ok(bytes.len());
            }
        }
        drop(state);
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_behind_the_view_is_said_after_it_and_before_what_comes() {
        let curtain = Curtain::default();
        let mut stderr = Behind { stream: Vec::new(), curtain: curtain.clone() };
        stderr.write_all(b"before\n").unwrap();
        curtain.draw(Drawn::OverStderr);
        stderr.write_all(b"one\ntwo\n").unwrap();
        curtain.keep("a \x1b[2J panic");
        assert_eq!(stderr.stream, b"before\n");
        let last: Vec<_> = curtain.last(2).into_iter().map(|line| line.text).collect();
        assert_eq!(last, ["two", r"a \u{1b}[2J panic"]);
        curtain.lift(&mut stderr.stream).unwrap();
        stderr.write_all(b"after\n").unwrap();
        assert_eq!(String::from_utf8(stderr.stream).unwrap(), "before\none\ntwo\na \\u{1b}[2J panic\nafter\n");
        assert!(!curtain.hides_stderr());
    }

    #[test]
    fn only_the_last_lines_are_kept_and_the_others_are_counted() {
        let curtain = Curtain::default();
        curtain.draw(Drawn::OverStderr);
        (0..MOST + 3).for_each(|n| curtain.keep(&n.to_string()));
        let mut said = Vec::new();
        curtain.lift(&mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with("(3 lines before these were shown in the view alone)\n3\n4\n") && said.lines().count() == MOST + 1);
    }

    #[test]
    fn a_view_beside_stderr_takes_nothing_from_it() {
        let curtain = Curtain::default();
        let mut stderr = Behind { stream: Vec::new(), curtain: curtain.clone() };
        curtain.draw(Drawn::Beside);
        stderr.write_all(b"one\n").unwrap();
        assert_eq!(curtain.last(9).len(), 1);
        let mut terminal = Vec::new();
        curtain.lift(&mut terminal).unwrap();
        assert_eq!((stderr.stream, terminal), (b"one\n".to_vec(), Vec::new()));
    }
}
