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
    /// By the place of the folder in which it was found; `None` for one that was named.
    folder: Option<usize>,
    /// Of a pipe, which can be read once only.
    is_once: bool,
    notes: Vec<String>,
}

/// What there is to be read.
struct Wanted {
    /// Pairs of files as they are now, each once and with the place of the folder in which it was found. Of a folder that cannot be
    /// used, those that were in it.
    pairs: Vec<(Pair, Option<usize>)>,
    /// What was passed over.
    notes: Vec<String>,
    /// The folders that cannot be used, by their places.
    unusable: BTreeMap<usize, IdentityError>,
}

impl Loader {
    /// Reads all files for the first time.
    ///
    /// # Errors
    /// One of them cannot be used, or there is none. Of a folder, a certificate without a key is left out, and so is what holds no
    /// certificate.
    pub fn load(files: Files, strict: bool) -> Result<(Self, Loaded), IdentityError> {
        let mut loader = Self { files, kept: Vec::new(), identities: Identities::of_files(strict) };
        let Wanted { pairs, mut notes, mut unusable } = loader.wanted();
        if let Some((_, error)) = unusable.pop_first() {
            return Err(error);
        }
        for (pair, folder) in pairs {
            match read(&pair, folder) {
                Ok(kept) => loader.kept.push((pair, kept)),
                Err(error) if is_left_out(&error, folder) => notes.push(left_out(&error)),
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

    /// What there is to be read now. It may block.
    fn wanted(&self) -> Wanted {
        let mut pairs: Vec<_> = self.files.pairs.iter().map(|pair| (pair.clone(), None)).collect();
        let (mut notes, mut unusable) = (Vec::new(), BTreeMap::new());
        for (place, path) in self.files.folders.iter().enumerate() {
            let some = |found: folder::Found| if found.pairs.is_empty() { Err(IdentityError::NoPair(path.clone())) } else { Ok(found) };
            match folder::find(path).and_then(some) {
                Ok(found) => {
                    pairs.extend(found.pairs.into_iter().map(|pair| (pair, Some(place))));
                    if let Some(passed) = some_of(&found.others) {
                        let why = "no certificate, or without its key, by the name";
                        notes.push(format!("{}: {passed} passed over: {why}", path.display()));
                    }
                }
                Err(error) => {
                    let before = self.kept.iter().filter(|(_, kept)| kept.folder == Some(place));
                    pairs.extend(before.map(|(pair, _)| (pair.clone(), Some(place))));
                    unusable.insert(place, error);
                }
            }
        }
        let mut seen = BTreeSet::new();
        pairs.retain(|(pair, _)| seen.insert(pair.clone()));
        Wanted { pairs, notes, unusable }
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
        self.files.folders.iter().cloned().chain(self.wanted().pairs.into_iter().flat_map(|(pair, _)| of(pair))).collect()
    }

    fn reload(&mut self) -> Loaded {
        let Wanted { pairs, mut notes, unusable } = self.wanted();
        let mut before: BTreeMap<_, _> = self.kept.iter().cloned().collect();
        let mut why: Vec<_> = unusable.values().map(|error| format!("{error}; what was in it stays")).collect();
        let (mut all, mut changed) = (Vec::new(), 0);
        for (pair, folder) in pairs {
            let old = before.remove(&pair);
            let is_stuck = folder.is_some_and(|place| unusable.contains_key(&place));
            let kept = match (old, is_stuck) {
                (Some(old), true) => old,
                (old, _) => match (reread(&pair, folder, old.as_ref()), old) {
                    (Ok(new), old) => {
                        changed += usize::from(old.is_none_or(|old| !old.identity.is_same(&new.identity)));
                        new
                    }
                    (Err(error), Some(old)) => {
                        why.push(format!("{error}; the one before it stays"));
                        old
                    }
                    (Err(error), None) if is_left_out(&error, folder) => {
                        notes.push(left_out(&error));
                        continue;
                    }
                    (Err(error), None) => {
                        why.push(error.to_string());
                        continue;
                    }
                },
            };
            all.push((pair, kept));
        }
        changed += before.len();
        if all.is_empty() {
            // Better the old ones than none. It comes first: of many reasons only some are told.
            why.insert(0, "none of what is there can be used: those before stay".into());
            changed = 0;
        } else {
            self.kept = all;
        }
        self.take(changed, notes, &why)
    }
}

/// Whether a file that cannot be used was never meant to be shown: it lay in a folder, as dhparam.pem does.
fn is_left_out(error: &IdentityError, folder: Option<usize>) -> bool {
    folder.is_some() && matches!(error, IdentityError::NoKey { .. } | IdentityError::NoCertificate { .. })
}

fn left_out(error: &IdentityError) -> String {
    format!("{error}; it is left out")
}

/// Reads a pair that may have been read before.
fn reread(pair: &Pair, folder: Option<usize>, old: Option<&Kept>) -> Result<Kept, IdentityError> {
    match (old, irregular([&pair.cert, &pair.key])) {
        (Some(old), _) if old.is_once => Ok(old.clone()),
        (_, Some(path)) => Err(IdentityError::Replaced(path.clone())),
        (_, None) => read(pair, folder),
    }
}

fn read(pair: &Pair, folder: Option<usize>) -> Result<Kept, IdentityError> {
    let once = irregular([&pair.cert, &pair.key]);
    let (identity, mut notes) = Identity::load(pair)?;
    notes.extend(once.map(|path| read_once(path)));
    Ok(Kept { identity, folder, is_once: once.is_some(), notes })
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
