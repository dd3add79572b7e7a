//! All identities that files give, and reading them again.

use super::{Identities, Identity, IdentityError, Pair, choice::Choice, folder};
use crate::reload::{Loaded, Reload, What, irregular, read_once};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::PathBuf,
};

/// So many names are told; the others are counted.
const MOST_TOLD: usize = 100;

/// Where identities come from, in the order in which they are preferred.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Certificates and keys that were named.
    pub pairs: Vec<Pair>,
    /// Folders of them, whose content may change.
    pub folders: Vec<PathBuf>,
}

/// Reads the identities of a server, at the start and again.
#[derive(Debug)]
pub struct Loader {
    files: Files,
    /// As they were read last, in their order.
    kept: Vec<(Pair, Kept)>,
    identities: Identities,
}

#[derive(Clone, Debug)]
struct Kept {
    identity: Identity,
    /// Of a pipe, which can be read once only.
    is_once: bool,
    notes: Vec<String>,
}

/// Pairs of files as they are now, each once and with whether it was found in a folder.
type Wanted = Vec<(Pair, bool)>;

impl Loader {
    /// Reads all files for the first time.
    ///
    /// # Errors
    /// One of them cannot be used, or there is none. Of a folder, what is a certificate without a key is left out.
    pub fn load(files: Files, strict: bool) -> Result<(Self, Loaded), IdentityError> {
        let mut loader = Self { files, kept: Vec::new(), identities: Identities::of_files(strict) };
        let (wanted, mut notes) = loader.wanted()?;
        for (pair, is_found) in wanted {
            match read(&pair) {
                Ok(kept) => loader.kept.push((pair, kept)),
                Err(error @ IdentityError::NoKey { .. }) if is_found => notes.push(format!("{error}; it is left out")),
                Err(error) => return Err(error),
            }
        }
        if loader.kept.is_empty() {
            return Err(IdentityError::NoPair(loader.files.folders.first().cloned().unwrap_or_default()));
        }
        let loaded = loader.take(loader.kept.len(), notes, &[]);
        Ok((loader, loaded))
    }

    /// The identities in force, now and later.
    #[must_use]
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    /// The pairs, and what was passed over.
    fn wanted(&self) -> Result<(Wanted, Vec<String>), IdentityError> {
        let mut wanted: Wanted = self.files.pairs.iter().map(|pair| (pair.clone(), false)).collect();
        let mut notes = Vec::new();
        for path in &self.files.folders {
            let found = folder::find(path)?;
            if found.pairs.is_empty() {
                return Err(IdentityError::NoPair(path.clone()));
            }
            wanted.extend(found.pairs.into_iter().map(|pair| (pair, true)));
            if let Some(passed) = some_of(&found.others) {
                notes.push(format!("{}: {passed} passed over: no certificate, or without its key, by the name", path.display()));
            }
        }
        let mut seen = BTreeSet::new();
        wanted.retain(|(pair, _)| seen.insert(pair.clone()));
        Ok((wanted, notes))
    }

    /// Takes the identities that are kept into force where some have changed, and tells what they are.
    fn take(&mut self, changed: usize, mut notes: Vec<String>, why: &[String]) -> Loaded {
        let kept = || self.kept.iter().map(|(_, kept)| kept);
        if changed > 0 {
            self.identities.replace(Choice::new(kept().map(|kept| kept.identity.clone()).collect()));
        }
        notes.extend(kept().flat_map(|kept| kept.notes.clone()));
        let mut seen = HashSet::new();
        let names = kept().flat_map(|kept| kept.identity.names().text()).filter(|name| seen.insert(name.clone()));
        Loaded { certificates: self.kept.len(), names: names.take(MOST_TOLD).collect(), changed, why: some_of(why), notes }
    }
}

impl Reload for Loader {
    fn what(&self) -> What {
        What::Identities
    }

    fn paths(&self) -> Vec<PathBuf> {
        let of = |Pair { cert, key }: Pair| if cert == key { vec![cert] } else { vec![cert, key] };
        let pairs: Vec<Pair> = match self.wanted() {
            Ok((wanted, _)) => wanted.into_iter().map(|(pair, _)| pair).collect(),
            // Of a folder that cannot be read now, those that were in it.
            Err(_) => self.kept.iter().map(|(pair, _)| pair.clone()).collect(),
        };
        self.files.folders.iter().cloned().chain(pairs.into_iter().flat_map(of)).collect()
    }

    fn reload(&mut self) -> Loaded {
        let (wanted, mut notes) = match self.wanted() {
            Ok(wanted) => wanted,
            Err(error) => return self.take(0, Vec::new(), &[error.to_string()]),
        };
        let mut before: BTreeMap<_, _> = self.kept.iter().cloned().collect();
        let (mut all, mut why, mut changed) = (Vec::new(), Vec::new(), 0);
        for (pair, is_found) in wanted {
            let old = before.remove(&pair);
            let kept = match (reread(&pair, old.as_ref()), old) {
                (Ok(new), old) => {
                    changed += usize::from(old.is_none_or(|old| !old.identity.is_same(&new.identity)));
                    new
                }
                (Err(error), Some(old)) => {
                    why.push(format!("{error}; the one before it stays"));
                    old
                }
                (Err(error @ IdentityError::NoKey { .. }), None) if is_found => {
                    notes.push(format!("{error}; it is left out"));
                    continue;
                }
                (Err(error), None) => {
                    why.push(error.to_string());
                    continue;
                }
            };
            all.push((pair, kept));
        }
        changed += before.len();
        if all.is_empty() {
            // None of what is there can be used: better the old ones than none.
            changed = 0;
        } else {
            self.kept = all;
        }
        self.take(changed, notes, &why)
    }
}

/// Reads a pair that may have been read before.
fn reread(pair: &Pair, old: Option<&Kept>) -> Result<Kept, IdentityError> {
    match old {
        Some(old) if old.is_once => Ok(old.clone()),
        _ => irregular([&pair.cert, &pair.key]).map_or_else(|| read(pair), |path| Err(IdentityError::Replaced(path.clone()))),
    }
}

fn read(pair: &Pair) -> Result<Kept, IdentityError> {
    let once = irregular([&pair.cert, &pair.key]);
    let (identity, mut notes) = Identity::load(pair)?;
    notes.extend(once.map(|path| read_once(path)));
    Ok(Kept { identity, is_once: once.is_some(), notes })
}

/// Some of many, in words.
fn some_of(all: &[String]) -> Option<String> {
    const SOME: usize = 3;
    let first = all.iter().take(SOME).cloned().collect::<Vec<_>>().join("; ");
    match all.len() {
        0 => None,
        1..=SOME => Some(first),
        more => Some(format!("{first}; and {} more", more - SOME)),
    }
}
