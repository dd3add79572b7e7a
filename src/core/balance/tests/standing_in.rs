//! Who stands in for those that fail.

use super::*;

#[test]
fn who_stands_in_for_one_that_fails_has_a_turn_of_its_own() {
    for policy in [Policy::RoundRobin, Policy::LeastConnections] {
        for failing in 0..4 {
            let mut counts = vec![0; 4];
            let picking = Picking::new(settings(policy), &[("a:1", 2), ("b:1", 2), ("c:1", 2), ("d:1", 2)]);
            for _ in 0..3000 {
                let mut at = picking.chooser.choose(None, |_| 0).unwrap().at;
                picking.seats.get(at).into_iter().for_each(Seat::leave);
                if at == failing {
                    let mut rest = picking.chooser.rest(None, Some(at), |_| 0);
                    at = picking.chooser.next(&mut rest, |_| 0).unwrap();
                    picking.seats.get(at).into_iter().for_each(|seat| {
                        seat.enter();
                        seat.leave();
                    });
                }
                counts[at] += 1;
            }
            counts.remove(failing);
            assert!(counts.iter().all(|count| (998..=1002).contains(count)), "{policy} without {failing}: {counts:?}");
        }
    }
}

#[test]
fn who_stands_in_does_so_by_weight() {
    let picking = Picking::new(settings(Policy::RoundRobin), &[("a:1", 1000), ("b:1", 1), ("c:1", 1), ("d:1", 2)]);
    let mut counts = [0_u32; 4];
    for _ in 0..40_000 {
        let mut at = picking.chooser.choose(None, |_| 0).unwrap().at;
        if at == 0 {
            let mut rest = picking.chooser.rest(None, Some(at), |_| 0);
            at = picking.chooser.next(&mut rest, |_| 0).unwrap();
        }
        counts[at] += 1;
    }
    // Who has saved up credit for a turn of the whole sum, 1004, may spend it on 251 of the sum of three, once and for all.
    let off = [0, 10_000, 10_000, 20_000].iter().zip(counts).map(|(due, count)| count.abs_diff(*due)).max();
    assert!(counts[0] == 0 && off < Some(260), "{counts:?}");
}
