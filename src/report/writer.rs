//! The threads that write: one for each stream.

use super::{Style, human, json};
use indicatif::MultiProgress;
use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tapline::event::Event;
use tokio::sync::{
    OwnedSemaphorePermit,
    mpsc::{self, error::TryRecvError},
};
use tokio_util::sync::CancellationToken;

/// Lines that wait to be written. A terminal takes them as fast as they come; who does not read gets no more.
const QUEUE: usize = 4096;
/// The least time from one write to the next. A line after a silence goes out at once; of many in a row, each that woke
/// the writing thread would cost the traffic on the same CPU more than its connection does.
const PACE: Duration = Duration::from_millis(5);
/// So many events at once are in the middle of more: at this pace they are three thousand a second and up.
const BUSY: usize = 16;

/// Something to be written.
pub enum Message {
    Event(Event),
    /// Something for a line of its own, and not to be lost.
    Line(String),
    /// The permit is for their number, given back when they are taken to be written.
    Bytes(Vec<u8>, Option<OwnedSemaphorePermit>),
    Last,
}

type Stream = Box<dyn Write + Send>;

/// Starts the thread of a stream; the token tells that it has written its last message. Where nothing more can be written,
/// `closed` says so, and `failed` why, unless the reader has just gone.
pub fn writer(
    stream: Stream,
    style: Style,
    dropped: Arc<AtomicU64>,
    bars: MultiProgress,
    closed: CancellationToken,
    failed: Arc<OnceLock<io::Error>>,
) -> (mpsc::Sender<Message>, CancellationToken) {
    let (send, receive) = mpsc::channel(QUEUE);
    let done = CancellationToken::new();
    let written = done.clone().drop_guard();
    std::thread::spawn(move || {
        let _written = written;
        write_all(receive, stream, style, &dropped, &bars, &closed, &failed);
    });
    (send, done)
}

fn write_all(
    mut receive: mpsc::Receiver<Message>,
    mut stream: Stream,
    style: Style,
    dropped: &AtomicU64,
    bars: &MultiProgress,
    closed: &CancellationToken,
    failed: &OnceLock<io::Error>,
) {
    let started = Instant::now();
    let (mut last, mut at_line_start, mut written_at, mut busy) = (false, true, None::<Instant>, false);
    while !last {
        if busy {
            // More is on its way: whoever says it need not wake this thread, which costs a connection's time, too.
            #[expect(clippy::disallowed_methods, reason = "this thread does nothing but write")]
            std::thread::sleep(PACE);
        }
        let Some(first) = receive.blocking_recv() else { return };
        if let (Message::Event(_), Some(rest)) = (&first, written_at.and_then(|at| PACE.checked_sub(at.elapsed()))) {
            #[expect(clippy::disallowed_methods, reason = "this thread does nothing but write")]
            std::thread::sleep(rest);
        }
        // What is there goes out in one write; a burst of events is not a burst of system calls.
        let mut text = Vec::new();
        let line = |line: &str, text: &mut Vec<u8>| {
            // Received bytes need not end in a newline; what has a line of its own begins one all the same.
            if !text.last().map_or(at_line_start, |byte| *byte == b'\n') {
                text.push(b'\n');
            }
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        };
        let (mut next, mut events) = (Ok(first), 0);
        loop {
            match next {
                Ok(Message::Event(event)) => {
                    line(&form(&event, style, started), &mut text);
                    events += 1;
                }
                Ok(Message::Line(told)) => line(&told, &mut text),
                Ok(Message::Bytes(bytes, _room)) => text.extend(bytes),
                Ok(Message::Last) => last = true,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
            if last || text.len() > 64 * 1024 {
                break;
            }
            next = receive.try_recv();
        }
        busy = events >= BUSY;
        let lost = dropped.swap(0, Relaxed);
        if lost > 0 {
            line(&form(&Event::Dropped { events: lost }, style, started), &mut text);
        }
        at_line_start = text.last().map_or(at_line_start, |byte| *byte == b'\n');
        // Bars are drawn on terminals only. Anywhere else their lock would tie one stream to the other: an unread stderr
        // would hold the results up.
        if closed.is_cancelled() {
            continue;
        }
        let written = if style.stderr.terminal { bars.suspend(|| put(&mut stream, &text)) } else { put(&mut stream, &text) };
        written_at = Some(Instant::now());
        if let Err(error) = written {
            // Nobody reads any more, which is no failure; or it cannot be written, on a full disk. The queue is emptied all the
            // same, so that nobody waits for it.
            if error.kind() != io::ErrorKind::BrokenPipe {
                let _ = failed.set(error);
            }
            closed.cancel();
        }
    }
}

/// Writes everything, also to a stream that another program has set to non-blocking.
fn put(stream: &mut Stream, mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        match stream.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => text = &text[n..],
            #[expect(clippy::disallowed_methods, reason = "this thread does nothing but write")]
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(5)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    stream.flush()
}

fn form(event: &Event, style: Style, started: Instant) -> String {
    if style.json { json(event) } else { human::event(event, style, started) }
}

#[cfg(test)]
mod tests {
    use super::{super::Look, *};

    #[derive(Clone, Default)]
    struct Paper(Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whatever_has_a_line_of_its_own_begins_one_behind_bytes_without_an_end() {
        let look = Look { terminal: false, color: false };
        let style = Style { json: true, quiet: false, explain: false, stderr: look, stdout: look };
        let paper = Paper::default();
        let closed = CancellationToken::new();
        let (send, receive) = mpsc::channel(QUEUE);
        let bytes = || Message::Bytes(b"open".into(), None);
        for message in
            [bytes(), Message::Event(Event::Drained { aborted: 0 }), bytes(), Message::Line("an error".into()), bytes(), Message::Last]
        {
            send.blocking_send(message).unwrap();
        }
        write_all(receive, Box::new(paper.clone()), style, &AtomicU64::new(7), &MultiProgress::new(), &closed, &OnceLock::new());
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        let lines = ["open", r#"{"event":"drained","aborted":0}"#, "open", "an error", "open", r#"{"event":"dropped","events":7}"#];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }
}
