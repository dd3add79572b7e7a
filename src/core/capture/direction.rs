//! What one end of a TCP connection says, until it is certain that it holds no further hello.

use super::{
    Stamp,
    finder::{Finder, Found, is_hello},
    layers::Segment,
    reassembly::Reassembly,
};
use crate::hello::{Greeting, Protocol};

#[derive(Default)]
pub(super) enum Direction {
    /// Nothing was captured of it.
    #[default]
    Silent,
    Open(Box<Open>),
    /// Nothing of interest comes any more.
    Done(Verdict, Starts),
}

/// The sequence numbers at which the hellos began.
type Starts = [Option<u32>; 2];

#[derive(Default)]
pub(super) struct Open {
    reassembly: Reassembly,
    finder: Finder,
    last: Stamp,
    starts: Starts,
}

/// What a direction has held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No data.
    Nothing,
    /// A hello.
    Hello,
    /// TLS, of which the hello was not captured or is the other end's.
    Tls,
    /// Something else.
    Other(Protocol),
}

impl Direction {
    /// Takes a segment of this end.
    pub(super) fn take(&mut self, segment: &Segment<'_>, stamp: Stamp, found: &mut dyn FnMut(Found, usize, Stamp)) {
        if matches!(self, Self::Silent) && (segment.syn || !segment.payload.is_empty()) {
            *self = Self::Open(Box::default());
        }
        let Self::Open(open) = self else { return };
        // A SYN counts as one byte.
        let sequence = segment.sequence.wrapping_add(u32::from(segment.syn));
        // What is found stays where it is.
        let counts = segment.syn || !segment.payload.is_empty();
        if counts && !open.finder.has_found() && open.reassembly.begin(sequence, segment.syn) {
            // What was taken for the first bytes was not.
            open.finder = Finder::default();
        }
        if segment.payload.is_empty() && !segment.fin {
            return;
        }
        if open.reassembly.add(sequence, segment.payload, segment.fin, stamp.packet) {
            open.last = stamp;
            open.look(found);
        }
        while open.reassembly.is_stuck() && !open.finder.is_done() {
            open.skip(found);
        }
        if open.finder.is_done() {
            *self = Self::Done(open.verdict(), open.starts);
        } else if open.reassembly.is_whole() {
            self.end(found);
        }
    }

    /// No more comes: says what has begun, and looks behind the holes.
    pub(super) fn end(&mut self, found: &mut dyn FnMut(Found, usize, Stamp)) {
        if let Self::Open(open) = self {
            while !open.finder.is_done() {
                open.skip(found);
            }
            *self = Self::Done(open.verdict(), open.starts);
        }
    }

    /// What was found, as far as it is known.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Silent => Verdict::Nothing,
            Self::Open(open) => open.verdict(),
            Self::Done(verdict, _) => *verdict,
        }
    }

    /// Whether a segment begins another hello than those that were found, and does not go on where the last one ended.
    pub(super) fn is_another_hello(&self, segment: &Segment<'_>) -> bool {
        let (starts, next) = match self {
            Self::Silent => return false,
            Self::Open(open) => (open.starts, Some(open.reassembly.next())),
            Self::Done(_, starts) => (*starts, None),
        };
        let new = |sequence| !starts.contains(&sequence) && next != sequence;
        starts[0].is_some() && new(Some(segment.sequence)) && is_hello(segment.payload)
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done(..))
    }

    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Open(open) => size_of::<Open>() + open.reassembly.cost() + open.finder.cost(),
            Self::Silent | Self::Done(..) => 0,
        }
    }
}

impl Open {
    fn look(&mut self, found: &mut dyn FnMut(Found, usize, Stamp)) {
        while let Some(one) = self.finder.look(self.reassembly.bytes(), self.reassembly.is_from_start()) {
            self.tell(one, found);
        }
    }

    /// Gives up what is before the next hole, and looks behind it.
    fn skip(&mut self, found: &mut dyn FnMut(Found, usize, Stamp)) {
        let unfinished = self.finder.end(self.reassembly.bytes(), self.reassembly.is_from_start());
        let nothing_yet = unfinished.is_none() && !self.finder.has_found();
        if let Some(one) = unfinished {
            self.tell(one, found);
        }
        if nothing_yet && self.reassembly.skip_hole() {
            self.finder.restart();
            self.look(found);
        }
    }

    fn tell(&mut self, one: Found, found: &mut dyn FnMut(Found, usize, Stamp)) {
        self.starts[usize::from(one.second)] = Some(self.reassembly.sequence(one.range.start));
        // What shows that a hello is none may stand far behind the byte that is to blame.
        let end = if matches!(one.greeting, Greeting::Malformed(_)) { self.reassembly.bytes().len() } else { one.range.end };
        let packets = self.reassembly.packets(&(one.range.start..end));
        found(one, packets, self.last);
    }

    fn verdict(&self) -> Verdict {
        if self.finder.has_found() {
            Verdict::Hello
        } else if self.finder.is_tls() {
            Verdict::Tls
        } else if self.reassembly.is_empty() {
            Verdict::Nothing
        } else {
            Verdict::Other(self.finder.protocol())
        }
    }
}
