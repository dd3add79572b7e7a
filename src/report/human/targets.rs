//! What is said of targets: where they come from, how they stand, and who is chosen.

use super::{BAD, GOOD, Line, bytes, counted, span};
use tapline::{
    event::{Beside, Event},
    pool::{Drawn, Picked, Serving},
};

/// An event of targets and pools as a line.
pub(super) fn line(event: &Event) -> Line {
    let text = match event {
        Event::Picked { id, picked } => format!("{id} {}", pick(picked)),
        Event::Queued { id, before } => format!("{id} waits for a place, {before} before it"),
        Event::Replayed { id, target, why, bytes: again } => {
            return Line::painted(
                format!("{id} "),
                BAD,
                format!("{target}: {why}"),
                format!("; {} go to the next target", bytes(*again as u64)),
            );
        }
        Event::Target { target, connections, failed, received, sent } => {
            let connections = counted(*connections, "connection");
            format!("{target}: {connections}, {failed} failed, {} from it, {} to it", bytes(*received), bytes(*sent))
        }
        Event::Health { target, up, why } => {
            let (paint, state) = if *up { (GOOD, "up") } else { (BAD, "down") };
            return Line::painted(format!("{target} is "), paint, state, format!(": {why}"));
        }
        Event::Admin { by, action, target, pools } => {
            let within = action.deadline().map_or(String::new(), |deadline| format!(", its connections end within {}", span(deadline)));
            let to = action.weight().map_or(String::new(), |weight| format!(" {weight}"));
            format!("admin: {} {target}{to} in {}{within} ({by})", action.word(), pools.join(", "))
        }
        Event::Cut { pool, target, connections } => {
            let connections = counted(*connections as u64, "connection");
            format!("{target} in {pool}: the time for its drain is over, {connections} reset")
        }
        Event::Beside { what: Beside::Admin, addr } => format!("control at {addr}"),
        Event::Beside { what: Beside::Metrics, addr } if addr.socket_addr().is_some() => format!("figures at http://{addr}/metrics"),
        Event::Beside { what: Beside::Metrics, addr } => format!("figures at {addr}: GET /metrics"),
        Event::Ejected { target, failures, why, penalty } => {
            let row = if *failures == 1 { "a connection".into() } else { format!("{failures} connections in a row") };
            return Line::painted(format!("{target} is "), BAD, "ejected", format!(" for {}: did not take {row}: {why}", span(*penalty)));
        }
        Event::Readmitted { target, why } => return Line::painted(format!("{target} is "), GOOD, "used again", format!(": {why}")),
        Event::Serving { from, usable, of, names } => {
            let more = if *of > names.len() { " and others" } else { "" };
            return serving(format!("{}{more}: ", names.join(", ")), *from, *usable, *of);
        }
        Event::Routes { source, rules, added, removed, changed, skipped, why } => {
            let before = format!("routes of {source}: {}", counted(*rules as u64, "rule"));
            return read_again(&before, [*added, *removed, *changed, *skipped], why.as_deref());
        }
        Event::Targets { source, targets, added, removed, changed, skipped, why } => {
            let before = format!("targets of {source}: {}", counted(*targets as u64, "target"));
            return read_again(&before, [*added, *removed, *changed, *skipped], why.as_deref());
        }
        other => format!("{other:?}"),
    };
    text.into()
}

/// What a source was found to have.
fn read_again(before: &str, counts: [usize; 4], why: Option<&str>) -> Line {
    let changes = counts.into_iter().zip(["added", "removed", "changed", "skipped"]).filter(|(n, _)| *n > 0);
    let changes: Vec<_> = changes.map(|(n, what)| format!("{n} {what}")).collect();
    let changes = if changes.is_empty() { "as before".into() } else { changes.join(", ") };
    match why {
        Some(why) => Line::painted(format!("{before}, {changes}: "), BAD, why, ""),
        None => format!("{before}, {changes}").into(),
    }
}

fn serving(of_whom: String, from: Serving, usable: usize, of: usize) -> Line {
    match from {
        Serving::Regular => Line::painted(of_whom, GOOD, format!("{usable} of {of} in use again"), ""),
        Serving::Backups => Line::painted(of_whom, BAD, counted(usable as u64, "backup"), " in use, all others are down"),
        Serving::Ejected => Line::painted(of_whom, BAD, format!("{usable} ejected"), " in use all the same, all others are down"),
        Serving::All => Line::painted(of_whom, BAD, "all down", ", each is tried all the same"),
        Serving::Nobody if of == 0 => Line::painted("", BAD, "no target", " is left, clients are reset"),
        Serving::Nobody => Line::painted(of_whom, BAD, "none can be used", ", clients are refused"),
    }
}

fn pick(Picked { policy, key, drawn, of, winner, why }: &Picked) -> String {
    let one = |Drawn { target, open, weight }: &Drawn| match weight {
        1 => format!("{target} ({open} open)"),
        _ => format!("{target} ({open} open, weight {weight})"),
    };
    let key = key.map_or(String::new(), |key| format!(" by key {key:016x}"));
    let drew = drawn.iter().map(one).collect::<Vec<_>>().join(", ");
    format!("{policy}{key} drew {drew} of {of}: {winner} {why}")
}
