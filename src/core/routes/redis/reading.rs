//! Asking redis for rules: everything by SCAN, which holds the server up for no one, or some names.

use super::formats::{Family, MOST_TARGETS, Named, key_of, matchers, name_of, rules};
use crate::{
    reading::Skipped,
    redis::Connection,
    routes::{MOST_RULES, follow::Found},
};
use redis::{Pipeline, RedisError, Value, cmd};
use std::collections::{HashMap, HashSet};

/// Names asked for at a time.
const BATCH: usize = 1000;
/// All rules of the server.
pub(super) async fn all(connection: &mut Connection) -> Result<Found, String> {
    // The set of backends of a name is all that counts of it: it is looked for first.
    let mut names: HashMap<Vec<u8>, Family> = HashMap::new();
    for family in [Family::Hostnames, Family::Frontend] {
        let mut cursor: Vec<u8> = b"0".into();
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(key_of(family, b"*")).arg("COUNT").arg(BATCH);
            let (next, keys): (Vec<u8>, Vec<Vec<u8>>) = connection.ask_one(&scan).await?;
            for (_, name) in keys.iter().filter_map(|key| name_of(key)) {
                if !names.contains_key(name) {
                    names.insert(name.to_vec(), family);
                }
            }
            if names.len() > MOST_RULES {
                return Err(format!("it has more than {MOST_RULES} names"));
            }
            if next == b"0" {
                break;
            }
            cursor = next;
        }
    }
    let mut names: Vec<_> = names.into_iter().collect();
    // In one order, so that of many mistakes the same are told, once.
    names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let (mut all, mut skipped) = (Vec::new(), Skipped::default());
    for batch in names.chunks(BATCH) {
        for ((name, _), named) in batch.iter().zip(ask(connection, batch).await?) {
            all.extend(rules(name, &named, |words| skipped.add(words)));
        }
    }
    Ok(Found::All { rules: all, skipped })
}

/// The rules of some names, which may be there or not.
pub(super) async fn some(connection: &mut Connection, names: HashSet<Vec<u8>>) -> Result<Found, String> {
    // Any of its keys may have changed.
    let names: Vec<_> = names.into_iter().map(|name| (name, Family::Dead)).collect();
    let (mut edits, mut skipped) = (Vec::new(), Skipped::default());
    for batch in names.chunks(BATCH) {
        for ((name, _), named) in batch.iter().zip(ask(connection, batch).await?) {
            let mut rules = rules(name, &named, |words| skipped.add(words));
            for matcher in matchers(name) {
                let at = rules.iter().position(|rule| rule.matcher == matcher);
                edits.push((matcher, at.map(|at| rules.swap_remove(at).to)));
            }
        }
    }
    Ok(Found::Some { edits, skipped })
}

/// What the server has of each name: of the keys of this family, and of those that matter beside them.
async fn ask(connection: &mut Connection, names: &[(Vec<u8>, Family)]) -> Result<Vec<Named>, String> {
    let mut questions = Pipeline::with_capacity(3 * names.len());
    for (name, family) in names {
        // One more than there may be tells that there are too many. Of a set with fewer this is all of it.
        if *family != Family::Frontend {
            questions.cmd("SRANDMEMBER").arg(key_of(Family::Hostnames, name)).arg(MOST_TARGETS + 1);
        }
        if *family != Family::Hostnames {
            questions.cmd("LRANGE").arg(key_of(Family::Frontend, name)).arg(0).arg(MOST_TARGETS + 1);
            questions.cmd("SRANDMEMBER").arg(key_of(Family::Dead, name)).arg(MOST_TARGETS + 1);
        }
    }
    let mut answers = connection.ask(questions).await?.into_iter();
    let mut all = Vec::with_capacity(names.len());
    for (_, family) in names {
        let mut next = |asked| if asked { texts(answers.next()) } else { Ok(Ok(Vec::new())) };
        let (backends, frontend) = (*family != Family::Frontend, *family != Family::Hostnames);
        all.push(Named { backends: next(backends)?, frontend: next(frontend)?, dead: next(frontend)? });
    }
    Ok(all)
}

/// The members of an answer. An error of one key, of another type for instance, is that key's; any other one is not.
fn texts(answer: Option<Result<Value, RedisError>>) -> Result<Result<Vec<Vec<u8>>, String>, String> {
    match answer {
        Some(Ok(Value::Array(members) | Value::Set(members))) => {
            let text = |member| if let Value::BulkString(text) = member { text } else { Vec::new() };
            Ok(Ok(members.into_iter().map(text).collect()))
        }
        Some(Ok(Value::Nil)) => Ok(Ok(Vec::new())),
        Some(Err(error)) if error.code() == Some("WRONGTYPE") => Ok(Err("is of another type".into())),
        Some(Err(error)) => Err(error.to_string()),
        Some(Ok(_)) | None => Err("an answer of another kind".into()),
    }
}
