//! Targets in a file: one a line, with its options, as they are given as arguments.

use super::MOST_TARGETS;
use crate::{
    addr::{AddrError, TargetSpec},
    lines::{FileError, Lines},
};
use std::{collections::HashMap, path::Path};

pub(super) const LINES: Lines = Lines { what: "target", most: MOST_TARGETS };

/// Reads a file's targets, whose options are those of `defaults` unless a line has others; where it is a pipe, until its writers
/// have gone.
///
/// # Errors
/// It cannot be read; a line is no target; two lines are for the same one.
pub(super) fn read<T>(path: &Path, defaults: &TargetSpec<T>) -> Result<Vec<TargetSpec>, FileError> {
    let mut lines: HashMap<String, usize> = HashMap::new();
    LINES.read(path, |number, text| {
        let spec = TargetSpec::one_like(text, defaults).map_err(|error: AddrError| error.to_string())?;
        match lines.insert(spec.target.to_string(), number) {
            Some(first) => Err(format!("{} is in line {first} already", spec.target)),
            None => Ok(spec),
        }
    })
}
