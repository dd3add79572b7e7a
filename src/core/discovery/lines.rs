//! Targets on stdin: each line adds one, gives it other options, or removes it.

use super::{Found, MOST_TARGETS, file::LINES};
use crate::{
    addr::{AddrError, Target, TargetSpec},
    event::{Event, Events, io_words},
    reading::{Send, Skipped},
};
use std::{
    collections::BTreeMap,
    io::{self, BufRead},
    thread,
};
use tokio::runtime::Handle;

/// The longest line.
const LONGEST: usize = 4096;

/// The targets so far, in the order in which they came.
struct Listed<T> {
    defaults: TargetSpec<T>,
    targets: BTreeMap<u64, TargetSpec>,
    places: BTreeMap<String, u64>,
    last: u64,
}

impl<T> Listed<T> {
    fn new(defaults: TargetSpec<T>) -> Self {
        Self { defaults, targets: BTreeMap::new(), places: BTreeMap::new(), last: 0 }
    }

    /// What a line does. The error is told; everything is as it was.
    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        let text = LINES.text(line)?;
        if text.is_empty() {
            return Ok(());
        }
        if let Some(removed) = text.strip_prefix('-') {
            let target: Target = removed.parse().map_err(|error: AddrError| error.to_string())?;
            let place = self.places.remove(&target.to_string()).ok_or_else(|| format!("{target} is not there to be removed"))?;
            self.targets.remove(&place);
            return Ok(());
        }
        let spec = TargetSpec::one_like(text, &self.defaults).map_err(|error| error.to_string())?;
        let name = spec.target.to_string();
        let place = match self.places.get(&name) {
            Some(place) => *place,
            None if self.places.len() == MOST_TARGETS => return Err(format!("{name} is more than {MOST_TARGETS} targets")),
            None => {
                self.last += 1;
                self.places.insert(name, self.last);
                self.last
            }
        };
        self.targets.insert(place, spec);
        Ok(())
    }

    fn found(&self, skipped: Skipped) -> Found {
        Found::All { targets: self.targets.values().cloned().collect(), skipped }
    }
}

/// Reads lines until their end; what is there then stays. A thread of its own waits for them, which holds no end up.
///
/// # Errors
/// There is no thread for it.
pub(super) fn follow<T: std::marker::Send + 'static>(defaults: TargetSpec<T>, found: Send<Found>, events: Events) -> io::Result<()> {
    let runtime = Handle::current();
    let reading = move || {
        let mut listed = Listed::new(defaults);
        let outcome = read(io::stdin().lock(), &mut listed, |what, told| runtime.block_on(found.send(what, told)).is_ok());
        let text = match outcome {
            Ok(Ended::Input) => format!("stdin has ended; its targets stay ({})", listed.targets.len()),
            Ok(Ended::Wanted) => return,
            Err(error) => format!("cannot read stdin: {}; its targets stay as they are", io_words(&error)),
        };
        events.emit(Event::Note { text });
    };
    thread::Builder::new().name("targets".into()).spawn(reading).map(drop)
}

/// What ends a reading.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// There are no more lines.
    Input,
    /// Nobody wants to know any more.
    Wanted,
}

/// Hands over what the lines come to that are there at a time, until nobody wants to know any more.
fn read<T>(mut input: impl BufRead, listed: &mut Listed<T>, mut hand: impl FnMut(Found, bool) -> bool) -> io::Result<Ended> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let (ended, length) = (chunk.is_empty(), chunk.len());
        let mut skipped = Skipped::default();
        let mut complete = 0;
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST.saturating_sub(line.len());
            too_long |= piece.len() > room;
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                complete += 1;
                take(listed, &mut line, &mut too_long, &mut skipped);
            }
        }
        // The last line may have no end.
        if ended && !line.is_empty() {
            complete += 1;
            take(listed, &mut line, &mut too_long, &mut skipped);
        }
        input.consume(length);
        // Each wrong line is told, also one that was wrong before.
        let told = skipped.total() > 0;
        if complete > 0 && !hand(listed.found(skipped), told) {
            return Ok(Ended::Wanted);
        }
        if ended {
            return Ok(Ended::Input);
        }
    }
}

fn take<T>(listed: &mut Listed<T>, line: &mut Vec<u8>, too_long: &mut bool, skipped: &mut Skipped) {
    let taken = if *too_long { Err(format!("a line is longer than {LONGEST} bytes")) } else { listed.take(line) };
    if let Err(why) = taken {
        skipped.add(&why);
    }
    line.clear();
    *too_long = false;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Read};

    fn told(found: Found) -> (String, String) {
        match found {
            Found::All { targets, skipped } => {
                let targets: Vec<_> = targets.iter().map(|spec| format!("{}*{}", spec.target, spec.weight)).collect();
                (targets.join(" "), skipped.words().unwrap_or_default())
            }
            Found::Nothing(why) => panic!("{why}"),
        }
    }

    fn readings(input: impl Read, room: usize) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let mut listed = Listed::new(TargetSpec::from(()));
        read(BufReader::with_capacity(room, input), &mut listed, |found, _| {
            all.push(told(found));
            true
        })
        .unwrap();
        all
    }

    #[test]
    fn lines_add_change_and_remove() {
        let text = "# two\nb:1\na:1,weight=2\n\nb:1,weight=3\n-a:1\nc:1";
        assert_eq!(readings(text.as_bytes(), 4096), [("b:1*3".into(), String::new()), ("b:1*3 c:1*1".into(), String::new())]);
        // However it is cut.
        for room in 1..text.len() {
            assert_eq!(readings(text.as_bytes(), room).last().unwrap().0, "b:1*3 c:1*1");
        }
    }

    #[test]
    fn what_a_line_cannot_be_is_told_and_changes_nothing() {
        let long = format!("a:1\n{}\n-x:1\nnothing\nb:1 c:1\n", "x".repeat(100_000));
        let all = readings(long.as_bytes(), 1 << 20);
        assert_eq!(all[0].0, "a:1*1");
        for why in ["longer than 4096 bytes", "x:1 is not there", "is not a target", "and 1 more"] {
            assert!(all[0].1.contains(why), "{all:?}");
        }
        for line in ["http://u:secret@h:1", "-http://u:secret@h:1", "http://u:a,weight=secret@h"] {
            let why = readings(line.as_bytes(), 4096).pop().unwrap().1;
            assert!(why.contains("...@h") && !why.contains("secret"), "{why}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_lines_come_to_the_same_however_they_are_cut(lines in proptest::collection::vec("-?[a-d]:[12](,weight=[0-3])?|\\PC{0,6}", 0..20), room in 1_usize..40) {
            let text = lines.join("\n");
            let whole = readings(text.as_bytes(), 1 << 16).pop().map(|last| last.0);
            proptest::prop_assert_eq!(readings(text.as_bytes(), room).pop().map(|last| last.0), whole);
        }
    }
}
