use super::*;
use crate::identity::facts;

fn authority(names: &str) -> Authority {
    Authority::new(names.split(',').map(|name| name.parse().unwrap()).collect()).unwrap()
}

fn name(name: &str) -> ServerName {
    name.parse().unwrap()
}

/// The names in what is shown.
fn shown(authority: &Authority, asked: Option<&str>) -> Option<Vec<String>> {
    let certified = authority.show(asked.map(name).as_ref())?;
    Some(facts::names(&facts::parse(&certified.cert[0]).unwrap()).text().collect())
}

#[test]
fn each_name_has_a_certificate_of_its_own_and_who_asks_for_none_one_for_all() {
    let authority = authority("a.test,*.b.test,**.c.test,.d.test,.localhost,192.0.2.1");
    assert_eq!(shown(&authority, Some("x.b.test")).unwrap(), ["x.b.test"]);
    let all = ["a.test", "d.test", "localhost", "*.b.test", "*.c.test", "*.d.test", "192.0.2.1", "127.0.0.1", "::1"];
    assert_eq!(shown(&authority, None).unwrap(), all);
    for other in ["b.test", "x.a.test", "test"] {
        assert_eq!(shown(&authority, Some(other)), None);
    }
    // Every name, also one that is longer than a common name may be.
    let any = self::authority("**");
    let long = format!("{}.{}", "x".repeat(63), "_-9.".repeat(40) + "test");
    assert_eq!(shown(&any, Some(&long)).unwrap(), [long]);
    assert_eq!(shown(&any, None).unwrap(), ["127.0.0.1", "::1"]);
}

#[test]
fn a_name_is_made_once_also_when_many_ask_at_once() {
    let authority = authority("**");
    let made: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| authority.show(Some(&name("a.test"))).unwrap())).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    assert!(made.iter().all(|one| Arc::ptr_eq(one, &made[0])));
}

#[test]
fn however_many_names_are_asked_for_few_are_kept_and_those_that_are_used() {
    let authority = authority("**");
    let used = authority.show(Some(&name("used.test"))).unwrap();
    for number in 0..3 * MOST_LEAVES {
        // Their places are what takes memory; to fill them takes time.
        authority.leaf(Some(name(&format!("{number}.test"))), SystemTime::now());
        if number % 100 == 0 {
            assert!(Arc::ptr_eq(&used, &authority.show(Some(&name("used.test"))).unwrap()));
        }
    }
    assert_eq!(authority.leaves.lock().unwrap().made.len(), MOST_LEAVES);
}

#[test]
fn another_one_is_made_long_before_the_first_one_ends() {
    let authority = authority("a.test");
    let (now, asked) = (SystemTime::now(), || Some(name("a.test")));
    let first = authority.leaf(asked(), now);
    assert!(Arc::ptr_eq(&first, &authority.leaf(asked(), now + LEAF_AGAIN - Duration::from_mins(1))));
    let second = authority.leaf(asked(), now + LEAF_AGAIN + Duration::from_mins(1));
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&second, &authority.leaf(asked(), now + 2 * LEAF_AGAIN)));
}

#[test]
fn two_authorities_and_two_leaves_have_nothing_in_common() {
    let serial = |der: &[u8]| facts::parse(der).unwrap().raw_serial().to_owned();
    let authority = authority("**");
    let leaves = ["a.test", "b.test"].map(|asked| serial(&authority.show(Some(&name(asked))).unwrap().cert[0]));
    assert_ne!(leaves[0], leaves[1]);
    assert!(leaves.iter().all(|serial| serial.len() >= 16), "{leaves:?}");
    assert_ne!(authority.pem(), self::authority("**").pem());
}
