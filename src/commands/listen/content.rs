//! What `listen` sends: the bytes of a file, or a text with escapes.

use anyhow::{Context, bail};
use bytes::Bytes;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
};
use tapline::text::unescaped;

/// A file is read once, at the start, and kept in memory.
const MOST: u64 = 256 * 1024 * 1024;

/// The value of `--reply` and `--greet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `@FILE`, or a path that begins with `/`, `./` or `../`.
    File(PathBuf),
    /// Anything else.
    Text(Bytes),
}

impl FromStr for Content {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix('@') {
            return Ok(Self::File(path.into()));
        }
        if ["/", "./", "../"].iter().any(|start| text.starts_with(start)) {
            return Ok(Self::File(text.into()));
        }
        // Whoever meant the file must not send its name, and whoever meant the text not what happens to lie around.
        if Path::new(text).is_file() {
            return Err(format!("could be a text or the file of that name; write ./{text} for the file, or escape a character (\\x..)"));
        }
        unescaped(text).map(|bytes| Self::Text(bytes.into()))
    }
}

impl Content {
    pub fn load(&self) -> anyhow::Result<Bytes> {
        match self {
            Self::Text(bytes) => Ok(bytes.clone()),
            Self::File(path) => {
                let mut bytes = Vec::new();
                let read = File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes));
                let size = read.with_context(|| format!("cannot read {}", path.display()))?;
                if size as u64 > MOST {
                    bail!("{} is larger than 256 MiB, the most that is kept in memory to be sent", path.display());
                }
                Ok(bytes.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes_and_unknown_ones_are_refused() {
        assert_eq!(unescaped(r"a\r\n\t\0\e\\\x7f\xfFé b").unwrap(), b"a\r\n\t\0\x1b\\\x7f\xff\xc3\xa9 b");
        assert_eq!(unescaped("as it is\n").unwrap(), b"as it is\n");
        for wrong in [r"\q", r"\x", r"\x1", r"\x+1", r"\xé0", "\\"] {
            unescaped(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_path_is_told_from_a_text_by_how_it_begins() {
        for path in ["@reply.http", "@/a", "/a/b", "./a", "../a"] {
            assert_eq!(path.parse(), Ok(Content::File(path.trim_start_matches('@').into())));
        }
        assert_eq!("ok\\n".parse(), Ok(Content::Text("ok\n".into())));
        // Tests run where Cargo.toml lies.
        assert!("Cargo.toml".parse::<Content>().unwrap_err().contains("write ./Cargo.toml"));
    }
}
