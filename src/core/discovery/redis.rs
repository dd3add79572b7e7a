//! Targets in redis, under one key: the members of a set or a list, each a target with its options, or a hash of targets and
//! weights.

use super::{Found, MOST_TARGETS};
use crate::{
    addr::{self, Target, TargetSpec},
    reading::Skipped,
    redis::{Connection, Content},
    text,
};
use redis::cmd;
use std::collections::{BTreeMap, HashSet};

/// The targets of one key.
pub(super) struct Targets {
    pub(super) key: String,
    /// What every target has unless it has others.
    pub(super) options: TargetSpec<()>,
}

impl Content for Targets {
    type Found = Found;
    const WHAT: &'static str = "targets";

    fn prefixes(&self) -> Vec<Vec<u8>> {
        vec![self.key.clone().into()]
    }

    fn name_of(&self, key: &[u8]) -> Option<Vec<u8>> {
        (key == self.key.as_bytes()).then(|| key.to_vec())
    }

    async fn all(&self, connection: &mut Connection) -> Result<Found, String> {
        let kind: String = connection.ask_one(cmd("TYPE").arg(&self.key)).await?;
        let members: Vec<(Vec<u8>, Option<Vec<u8>>)> = match kind.as_str() {
            "none" => Vec::new(),
            "set" => single(connection.ask_one(cmd("SMEMBERS").arg(&self.key)).await?),
            "list" => single(connection.ask_one(cmd("LRANGE").arg(&self.key).arg(0).arg(-1)).await?),
            "hash" => {
                let all: BTreeMap<Vec<u8>, Vec<u8>> = connection.ask_one(cmd("HGETALL").arg(&self.key)).await?;
                all.into_iter().map(|(target, weight)| (target, Some(weight))).collect()
            }
            other => return Err(format!("its key {} is a {other}, and no set, list or hash", self.key)),
        };
        Ok(self.found(members))
    }

    async fn some(&self, connection: &mut Connection, names: HashSet<Vec<u8>>) -> Result<Found, String> {
        // There is one key.
        drop(names);
        self.all(connection).await
    }

    fn nothing(why: String) -> Found {
        Found::Nothing(why)
    }

    fn is_empty(found: &Found) -> bool {
        match found {
            Found::All { targets, .. } => targets.is_empty(),
            Found::Nothing(_) => true,
        }
    }
}

fn single(members: Vec<Vec<u8>>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    members.into_iter().map(|member| (member, None)).collect()
}

impl Targets {
    /// What is no target is skipped: it is one writer's mistake, and no reason to leave the others.
    fn found(&self, members: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Found {
        let mut skipped = Skipped::default();
        // A set has no order, and the same members are the same targets.
        let mut all: BTreeMap<String, TargetSpec> = BTreeMap::new();
        let mut too_many = 0;
        for (member, weight) in members {
            match self.one(&member, weight.as_deref()) {
                Ok(spec) => {
                    let name = spec.target.to_string();
                    match all.len() {
                        MOST_TARGETS if !all.contains_key(&name) => too_many += 1,
                        _ => drop(all.entry(name).or_insert(spec)),
                    }
                }
                Err(why) => skipped.add(&format!("{:?} {why}", addr::without_secret(&text::text(&member)))),
            }
        }
        skipped.add_many(too_many, Some(format!("it has more than {MOST_TARGETS} targets")));
        Found::All { targets: all.into_values().collect(), skipped }
    }

    /// `HOST:PORT` or `tls:HOST:PORT`, and nothing else that a target can be: who writes to redis does not choose among this
    /// machine's sockets and servers.
    fn one(&self, member: &[u8], weight: Option<&[u8]>) -> Result<TargetSpec, String> {
        let member = std::str::from_utf8(member).map_err(|_| "is not UTF-8")?;
        let sound = member.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:[],=".contains(&b));
        let mut spec = match TargetSpec::one_like(member, &self.options) {
            Ok(spec) if sound && matches!(spec.target, Target::Tcp(_) | Target::Tls(_)) => spec,
            _ => return Err("is not HOST:PORT[,weight=N][,max=N][,backup]".into()),
        };
        if let Some(weight) = weight {
            let weight = std::str::from_utf8(weight).unwrap_or_default();
            spec.set(weight, "weight", weight).map_err(|_| "has a weight that is not 1 to 1000")?;
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(members: &[(&str, Option<&str>)]) -> (Vec<String>, Option<String>) {
        let targets = Targets { key: "k".into(), options: TargetSpec { weight: 2.try_into().unwrap(), ..TargetSpec::from(()) } };
        let members = members.iter().map(|(member, weight)| (member.as_bytes().to_vec(), weight.map(Into::into))).collect();
        match targets.found(members) {
            Found::All { targets, skipped } => (
                targets.iter().map(|spec| format!("{}*{}{}", spec.target, spec.weight, if spec.backup { "b" } else { "" })).collect(),
                skipped.words(),
            ),
            Found::Nothing(why) => panic!("{why}"),
        }
    }

    #[test]
    fn members_are_targets_with_options_or_weights_in_one_order() {
        let (targets, why) = found(&[("b:1", None), ("a:1,weight=5,backup", None), ("tls:c:1", None), ("b:1", None)]);
        assert_eq!((targets, why), (vec!["a:1*5b".into(), "b:1*2".into(), "tls:c:1*2".into()], None));
        assert_eq!(found(&[("a:1", Some("7")), ("b:1", Some("1"))]).0, ["a:1*7", "b:1*1"]);
    }

    #[test]
    fn of_too_many_each_is_said_and_one_that_is_there_is_none_of_them() {
        let names: Vec<_> = (0..=MOST_TARGETS).map(|n| format!("h{n}:1")).collect();
        let mut members: Vec<_> = names[..MOST_TARGETS].iter().map(|name| (name.as_str(), None)).collect();
        members.push((&names[0], None));
        assert_eq!(found(&members).1, None);
        members.push((&names[MOST_TARGETS], None));
        let (targets, why) = found(&members);
        assert_eq!((targets.len(), why.as_deref()), (MOST_TARGETS, Some("it has more than 10000 targets")));
    }

    #[test]
    fn what_is_no_target_is_skipped_and_told_without_a_secret() {
        let (targets, why) = found(&[("unix:/run/x", None), ("a:1", None), ("b:1", Some("0")), ("u:secret@h:1", None)]);
        let why = why.unwrap();
        assert_eq!(targets, ["a:1*2"]);
        assert!(why.contains("\"unix:/run/x\" is not HOST:PORT") && why.contains("1 to 1000") && !why.contains("secret"), "{why}");
    }
}
