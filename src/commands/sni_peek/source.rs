//! What `sni-peek` is given: an address to listen on, or files to read.

use crate::args::UsageError;
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};
use tapline::addr::ListenAddr;

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Where to listen.
    Listen(ListenAddr),
    /// What to read.
    File(File),
}

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// `-`.
    Stdin,
    Path(PathBuf),
}

/// All arguments together.
#[derive(Debug, PartialEq, Eq)]
pub enum Sources {
    Listen(ListenAddr),
    Files(Vec<File>),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::File(File::Stdin));
        }
        let listen = text.parse::<ListenAddr>();
        let is_path = text.contains('/') && !text.starts_with("unix:");
        match listen {
            // Whoever meant the file must not wait for clients, and whoever meant the port not read what lies around.
            Ok(_) if !is_path && Path::new(text).exists() => {
                Err(format!("could be an address or the file of that name; write ./{text} for the file, or the address with its host"))
            }
            Ok(listen) if !is_path => Ok(Self::Listen(listen)),
            Err(_) if !is_path && !Path::new(text).exists() => Err(
                "is no file that is there, and not an address to listen on; write PORT, HOST:PORT, :PORT (every interface) or unix:/PATH"
                    .into(),
            ),
            _ => Ok(Self::File(File::Path(text.into()))),
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("-"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl Sources {
    /// One address, or files only.
    pub fn new(all: Vec<Source>) -> Result<Self, UsageError> {
        let several = all.len() > 1;
        let mut files = Vec::new();
        for source in all {
            match source {
                Source::Listen(listen) if several => {
                    return Err(UsageError(format!("{listen} is an address: give one address to listen on, or files only")));
                }
                Source::Listen(listen) => return Ok(Self::Listen(listen)),
                Source::File(File::Stdin) if files.contains(&File::Stdin) => {
                    return Err(UsageError("- is given twice, and stdin can be read once".into()));
                }
                Source::File(file) => files.push(file),
            }
        }
        Ok(Self::Files(files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(all: &[&str]) -> Result<Sources, String> {
        let all = all.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        Sources::new(all).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_told_from_files_and_what_is_neither_is_refused() {
        for text in ["8443", ":8443", "[::1]:0", "a.test:443", "unix:/run/x"] {
            assert_eq!(sources(&[text]), Ok(Sources::Listen(text.parse().unwrap())));
        }
        // Tests run where Cargo.toml lies.
        let path = |text: &str| File::Path(text.into());
        assert_eq!(sources(&["-"]), Ok(Sources::Files(vec![File::Stdin])));
        assert_eq!(
            sources(&["Cargo.toml", "-", "./8443", "/a"]),
            Ok(Sources::Files(vec![path("Cargo.toml"), File::Stdin, path("./8443"), path("/a")]))
        );
        assert!(sources(&["missing.pcap"]).unwrap_err().starts_with("is no file that is there, and not an address"));
        assert!(sources(&["Cargo.toml", "8443"]).unwrap_err().contains("8443 is an address"));
        assert!(sources(&["-", "-"]).unwrap_err().contains("twice"));
    }
}
