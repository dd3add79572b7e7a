//! The rules in the order in which they win, whatever the order in which they were given.
//!
//! An exact name wins, then the longest suffix; for the same suffix `*.` wins over `**.`, and that over `.`. Among the rules
//! of one pattern the first protocol of the client's ALPN that has a rule wins, then the rule bound to the client's scheme,
//! then the rule for both. A pattern none of whose rules fits leaves it to the next.

use super::{Alpn, Matcher, Pattern, Scheme};
use crate::name::ServerName;
use std::{collections::HashMap, fmt};

/// Rules by the suffix of their names. A look-up is one probe for each label, allocates nothing, and takes no longer for
/// more rules. A rule takes some 150 bytes and what it leads to.
#[derive(Clone, Debug)]
pub struct Table<T> {
    /// By suffix, in no order: there are a few for one suffix.
    rules: HashMap<Box<str>, Vec<Slot<T>>>,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// How it asks.
    pub scheme: Scheme,
    /// The name.
    pub name: &'a ServerName,
    /// The protocols that it offers by ALPN, in its order; none in HTTP.
    pub alpn: &'a [Vec<u8>],
}

/// A rule of the table.
#[derive(Debug)]
pub struct Found<'a, T> {
    suffix: &'a str,
    slot: &'a Slot<T>,
}

/// A rule whose name matches, and whether it fits in all else.
#[derive(Clone, Debug)]
pub struct Candidate<'a, T> {
    /// The rule.
    pub rule: Found<'a, T>,
    /// Why it does not fit, where it does not.
    pub unfit: Option<Unfit>,
}

/// Why a rule does not fit whose name matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is for the other scheme.
    Scheme,
    /// The client does not offer its protocol.
    Alpn,
}

/// Two rules for the same clients, so that one of them would never be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two rules are given for {0}")]
pub struct DuplicateRule(pub Box<Matcher>);

#[derive(Clone, Debug)]
struct Slot<T> {
    depth: Depth,
    scheme: Option<Scheme>,
    alpn: Option<Alpn>,
    to: T,
}

/// How many labels a name has before the suffix, in the order in which patterns win.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    None,
    One,
    OneOrMore,
    Any,
}

/// How well a rule fits among those of its pattern; less is better.
type Rank = (usize, bool);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rules: HashMap::new() }
    }
}

impl<T> Table<T> {
    /// A table of rules.
    ///
    /// # Errors
    /// Two rules for the same clients.
    pub fn new(rules: impl IntoIterator<Item = (Matcher, T)>) -> Result<Self, DuplicateRule> {
        let mut table = Self::default();
        for (matcher, to) in rules {
            table.insert(matcher, to)?;
        }
        Ok(table)
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// There is a rule for the same clients; the table is as it was.
    pub fn insert(&mut self, matcher: Matcher, to: T) -> Result<(), DuplicateRule> {
        if self.get(&matcher).is_some() {
            return Err(DuplicateRule(Box::new(matcher)));
        }
        let Matcher { scheme, pattern, alpn } = matcher;
        // Most suffixes have one rule, and there may be many of them: room for no more.
        let slots = self.rules.entry(pattern.suffix().into()).or_default();
        slots.reserve_exact(1);
        slots.push(Slot { depth: Depth::of(&pattern), scheme, alpn, to });
        Ok(())
    }

    /// Takes a rule out; what it led to is returned.
    pub fn remove(&mut self, matcher: &Matcher) -> Option<T> {
        let slots = self.rules.get_mut(matcher.pattern.suffix())?;
        let at = slots.iter().position(|slot| slot.is_of(matcher))?;
        let slot = slots.swap_remove(at);
        if slots.is_empty() {
            self.rules.remove(matcher.pattern.suffix());
        }
        Some(slot.to)
    }

    /// What the rule for exactly these clients leads to.
    #[must_use]
    pub fn get(&self, matcher: &Matcher) -> Option<&T> {
        self.rules.get(matcher.pattern.suffix())?.iter().find(|slot| slot.is_of(matcher)).map(|slot| &slot.to)
    }

    /// All rules, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Found<'_, T>> {
        self.rules.iter().flat_map(|(suffix, slots)| slots.iter().map(|slot| Found { suffix, slot }))
    }

    /// The rule that wins.
    #[must_use]
    pub fn find(&self, asked: Asked<'_>) -> Option<Found<'_, T>> {
        self.patterns(asked.name).find_map(|(suffix, slots, depth)| {
            let fitting = slots.iter().filter(|slot| slot.depth == depth).filter_map(|slot| Some((slot.rank(asked).ok()?, slot)));
            fitting.min_by_key(|(rank, _)| *rank).map(|(_, slot)| Found { suffix, slot })
        })
    }

    /// Every rule whose name matches, the better one first; the first that fits is what [`Table::find`] finds.
    #[must_use]
    pub fn candidates(&self, asked: Asked<'_>) -> Vec<Candidate<'_, T>> {
        let mut all = Vec::new();
        for (suffix, slots, depth) in self.patterns(asked.name) {
            let of_pattern = slots.iter().filter(|slot| slot.depth == depth);
            let mut ranked: Vec<_> = of_pattern.map(|slot| (slot.rank(asked), slot)).collect();
            // Those that fit come first: Ok(_) is less than Err(_).
            ranked.sort_by_key(|(rank, _)| rank.map_err(|_| ()));
            all.extend(ranked.into_iter().map(|(rank, slot)| Candidate { rule: Found { suffix, slot }, unfit: rank.err() }));
        }
        all
    }

    /// The rules of each suffix of the name and the depth at which they match, the better one first.
    fn patterns<'t>(&'t self, name: &ServerName) -> impl Iterator<Item = (&'t str, &'t [Slot<T>], Depth)> {
        let name = name.as_str();
        // The whole name, what follows each of its dots, and nothing.
        let starts = std::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1)).chain([name.len()]);
        let suffixes = starts.enumerate().filter_map(|(before, start)| Some((before, self.rules.get_key_value(&name[start..])?)));
        suffixes.flat_map(|(before, (suffix, slots))| {
            let depths: &[Depth] = match before {
                0 => &[Depth::None, Depth::Any],
                1 => &[Depth::One, Depth::OneOrMore, Depth::Any],
                _ => &[Depth::OneOrMore, Depth::Any],
            };
            depths.iter().map(|depth| (&**suffix, slots.as_slice(), *depth))
        })
    }
}

impl<T> Slot<T> {
    fn is_of(&self, matcher: &Matcher) -> bool {
        self.depth == Depth::of(&matcher.pattern) && self.scheme == matcher.scheme && self.alpn == matcher.alpn
    }

    fn rank(&self, asked: Asked<'_>) -> Result<Rank, Unfit> {
        if self.scheme.is_some_and(|scheme| scheme != asked.scheme) {
            return Err(Unfit::Scheme);
        }
        let place = match &self.alpn {
            None => usize::MAX,
            Some(_) if asked.scheme == Scheme::Http => return Err(Unfit::Scheme),
            Some(alpn) => asked.alpn.iter().position(|offered| offered == alpn.as_str().as_bytes()).ok_or(Unfit::Alpn)?,
        };
        Ok((place, self.scheme.is_none()))
    }
}

impl Depth {
    fn of(pattern: &Pattern) -> Self {
        match pattern {
            Pattern::Exact(_) => Self::None,
            Pattern::OneLabel(_) => Self::One,
            Pattern::Labels(_) | Pattern::Any => Self::OneOrMore,
            Pattern::Tree(_) => Self::Any,
        }
    }
}

impl<'a, T> Found<'a, T> {
    /// What the rule leads to.
    #[must_use]
    pub fn to(&self) -> &'a T {
        &self.slot.to
    }

    /// How it came to match the name, in a few words.
    #[must_use]
    pub fn how(&self) -> &'static str {
        match (self.slot.depth, self.suffix) {
            (Depth::None, _) => "exact name",
            (_, "") => "every name",
            (Depth::One, _) => "wildcard of one label",
            (Depth::OneOrMore, _) => "wildcard of one or more labels",
            (Depth::Any, _) => "name and all beneath",
        }
    }

    /// Whether both are the same rule.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.slot, other.slot)
    }

    /// Whether both are rules of the same pattern.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        self.suffix == other.suffix && self.slot.depth == other.slot.depth
    }

    /// What every name that it is for ends with; empty where it is for all.
    #[must_use]
    pub fn suffix(&self) -> &'a str {
        self.suffix
    }

    /// Whether it is for that name alone.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.slot.depth == Depth::None
    }

    /// The protocol that a client must offer.
    #[must_use]
    pub fn alpn(&self) -> Option<&'a Alpn> {
        self.slot.alpn.as_ref()
    }

    /// The scheme that the rule is bound to.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        self.slot.scheme
    }
}

impl<T> Clone for Found<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Found<'_, T> {}

impl<T> fmt::Display for Found<'_, T> {
    /// As a [`Matcher`] is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.slot.scheme {
            write!(f, "{}://", scheme.as_str())?;
        }
        f.write_str(match (self.slot.depth, self.suffix) {
            (Depth::None, _) => "",
            (Depth::One, _) => "*.",
            (Depth::OneOrMore, "") => "**",
            (Depth::OneOrMore, _) => "**.",
            (Depth::Any, _) => ".",
        })?;
        f.write_str(self.suffix)?;
        self.slot.alpn.as_ref().map_or(Ok(()), |alpn| write!(f, "/{}", alpn.as_str()))
    }
}

#[cfg(test)]
mod tests;
