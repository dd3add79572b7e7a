//! Lists in files, one item a line: read once, and again when they have changed.

mod follow;

pub(crate) use follow::follow;

use crate::event::brief;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The longest file that is read.
const LARGEST: u64 = 64 * 1024 * 1024;

/// A file that gives no list.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {path}: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, #[source] io::Error),
    /// A line is not what it should be.
    #[error("{path}, line {line}: {why}", path = .path.display())]
    Line { path: PathBuf, line: usize, why: String },
    /// There is something else in its place, of which nobody knows when it ends.
    #[error("{path} is no regular file any more", path = .0.display())]
    Replaced(PathBuf),
    /// There is too much of it.
    #[error("{path} is longer than 64 MiB or {most} {what}s", path = .path.display())]
    TooLong { path: PathBuf, most: usize, what: &'static str },
}

/// What the lines of a file are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    /// One of them, for people: "rule".
    pub(crate) what: &'static str,
    /// How many there may be.
    pub(crate) most: usize,
}

impl Lines {
    /// Reads a file; where it is a pipe, until its writers have gone. `item` gets each line that is not blank with its number,
    /// from 1.
    ///
    /// # Errors
    /// It cannot be read; a line is no item.
    pub(crate) fn read<T>(self, path: &Path, item: impl FnMut(usize, &str) -> Result<T, String>) -> Result<Vec<T>, FileError> {
        let failed = |error| FileError::Read(path.to_owned(), error);
        let mut bytes = Vec::new();
        File::open(path).map_err(failed)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > LARGEST {
            return Err(self.too_long(path));
        }
        self.parse(path, &bytes, item)
    }

    /// The same for what was read.
    pub(crate) fn parse<T>(
        self,
        path: &Path,
        bytes: &[u8],
        mut item: impl FnMut(usize, &str) -> Result<T, String>,
    ) -> Result<Vec<T>, FileError> {
        let mut all = Vec::new();
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let wrong = |why: &str| FileError::Line { path: path.to_owned(), line: number, why: brief(why) };
            let text = self.text(line).map_err(|why| wrong(&why))?;
            if text.is_empty() {
                continue;
            }
            let item = item(number, text).map_err(|why| wrong(&why))?;
            if all.len() == self.most {
                return Err(self.too_long(path));
            }
            all.push(item);
        }
        Ok(all)
    }

    /// A line without what follows a `#` at its start or after a space, and without the space around; empty where nothing is left.
    pub(crate) fn text(self, line: &[u8]) -> Result<&str, String> {
        let text = without_comment(std::str::from_utf8(line).map_err(|_| "is not UTF-8")?);
        if text.contains(char::is_whitespace) {
            return Err(format!("{text:?} holds a space; write one {} a line", self.what));
        }
        Ok(text)
    }

    fn too_long(self, path: &Path) -> FileError {
        FileError::TooLong { path: path.to_owned(), most: self.most, what: self.what }
    }
}

fn without_comment(line: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| line[..*at].chars().next_back().is_none_or(char::is_whitespace);
    let end = line.match_indices('#').find(begins).map_or(line.len(), |(at, _)| at);
    line[..end].trim()
}
