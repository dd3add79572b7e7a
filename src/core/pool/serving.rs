//! Which backends of a pool may be chosen at a time.

use super::{Standing, WhenAllDown};
use serde::Serialize;

/// Which backends may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    /// Those that are no backups, as far as they are well.
    Regular,
    /// Backups, because none of the others may be chosen.
    Backups,
    /// Those that were ejected, because all others are down: ejection never leaves nobody.
    Ejected,
    /// All, because all are down and checks can be wrong.
    All,
    /// None.
    Nobody,
}

/// The numbers of those that may be chosen, and why it is those.
pub(super) fn eligible(standings: &[Standing], when_all_down: WhenAllDown) -> (Serving, Vec<usize>) {
    let of = |may: fn(&Standing) -> bool| -> Vec<usize> { (0..standings.len()).filter(|at| may(&standings[*at])).collect() };
    let all = match when_all_down {
        WhenAllDown::TryAll => of(|standing| !standing.draining),
        WhenAllDown::Fail => Vec::new(),
    };
    let steps = [
        (Serving::Regular, of(|standing| standing.is_eligible() && !standing.backup)),
        (Serving::Backups, of(Standing::is_eligible)),
        (Serving::Ejected, of(|standing| standing.up && !standing.draining)),
        (Serving::All, all),
    ];
    let found = steps.into_iter().find(|(_, those)| !those.is_empty());
    found.unwrap_or((Serving::Nobody, Vec::new()))
}

/// The numbers of those that are tried where none of the eligible ones takes a connection: backups, as in nginx. A client that
/// can be served is served, also before checks have found out.
pub(super) fn otherwise(standings: &[Standing], serving: Serving) -> Vec<usize> {
    let is_well = |at: &usize| standings[*at].is_eligible() && standings[*at].backup;
    if serving == Serving::Regular { (0..standings.len()).filter(is_well).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{addr::TargetSpec, pool::Ejection};
    use tokio::time::Instant;

    /// For each target a letter: `u`p, `d`own, `e`jected, draining (`-`); a capital for a backup.
    fn eligible_of(text: &str, when_all_down: WhenAllDown) -> (Serving, Vec<usize>) {
        let standing = |letter: char| {
            let mut standing = Standing::new(&"a:1".parse::<TargetSpec>().unwrap());
            standing.backup = letter.is_ascii_uppercase();
            match letter.to_ascii_lowercase() {
                'd' => standing.up = false,
                'e' => drop(standing.ejection.eject(Instant::now(), &Ejection::default())),
                '-' => standing.draining = true,
                _ => {}
            }
            standing
        };
        eligible(&text.chars().map(standing).collect::<Vec<_>>(), when_all_down)
    }

    #[test]
    fn backups_come_after_all_others_ejected_ones_after_these_and_those_that_are_down_last() {
        use Serving::{All, Backups, Ejected, Nobody, Regular};
        use WhenAllDown::{Fail, TryAll};
        for (text, when_all_down, serving, those) in [
            ("uuU", Fail, Regular, &[0, 1][..]),
            ("udU", Fail, Regular, &[0]),
            ("edU", Fail, Backups, &[2]),
            ("eeE", Fail, Ejected, &[0, 1, 2]),
            ("deD", TryAll, Ejected, &[1]),
            ("d-D", TryAll, All, &[0, 2]),
            ("d-D", Fail, Nobody, &[]),
            ("--", TryAll, Nobody, &[]),
            ("", TryAll, Nobody, &[]),
        ] {
            assert_eq!(eligible_of(text, when_all_down), (serving, those.to_vec()), "{text}");
        }
    }
}
