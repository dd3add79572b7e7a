//! The terminal while the view has it, and as it was before once the view has gone, however that comes about.

use crate::report::{Curtain, Drawn, Look};
use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::{Hide, Show},
        execute,
        style::force_color_output,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use std::io::{self, BufWriter, Write};

/// The name of the thread that draws.
pub const THREAD: &str = "top";

type Stream = BufWriter<Box<dyn Write + Send>>;

/// The whole terminal. It is given back when this is dropped.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stream>>,
    curtain: Curtain,
    color: bool,
}

impl Screen {
    /// Takes the terminal.
    pub fn enter(stream: Box<dyn Write + Send>, drawn: Drawn, look: Look, curtain: Curtain) -> io::Result<Self> {
        // Whether there is colour was decided once, of NO_COLOR and --color.
        force_color_output(look.color);
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(stream)))?;
        enable_raw_mode()?;
        curtain.draw(drawn);
        keep_panics(curtain.clone());
        // From here on it is given back whatever fails.
        let mut screen = Self { terminal, curtain, color: look.color };
        execute!(screen.terminal.backend_mut(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Draws; what has not changed is not written.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>, bool)) -> io::Result<()> {
        let color = self.color;
        self.terminal.draw(|frame| draw(frame, color)).map(|_| ())
    }

    /// Draws everything anew the next time: another program may have written over it.
    pub fn clear(&mut self) -> io::Result<()> {
        // Its own `clear` asks on stdout where the cursor is; stdout may be somewhere else.
        let area = self.terminal.get_frame().area();
        self.terminal.resize(area)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that has gone needs none of it.
        let _ = execute!(self.terminal.backend_mut(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        let _ = self.curtain.lift(self.terminal.backend_mut());
    }
}

/// A panic writes to stderr by itself: of a connection, which ends that alone, it is shown in the view; of the view, it is shown
/// once the terminal is given back.
fn keep_panics(curtain: Curtain) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if curtain.hides_stderr() {
            curtain.keep(&panic.to_string());
        } else {
            before(panic);
        }
    }));
}
