//! The line, the keys and the clock.

mod courses;

use proptest::prelude::*;

use super::super::store::PrivateStore;
use super::*;

const PATIENCE: Duration = Duration::from_mins(15);

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn members(groups: &[&str], slots: usize) -> Vec<Member> {
    let members = groups.iter().map(|group| Member {
        slots,
        group: (*group).to_owned(),
    });
    members.collect()
}

/// Keys of the groups in `groups`, and an hour on the clock.
fn pool(groups: &[&str], slots: usize) -> Pool<PrivateStore> {
    let store = PrivateStore::new(&vec![slots; groups.len()]);
    Pool::new(store, members(groups, slots), 0, at(0)).unwrap()
}

type Granted = (usize, usize, Epoch);

/// Grants everything that can be granted from `now` on within ten seconds, and says when the last start was.
fn granted(pool: &mut Pool<PrivateStore>, now: Moment) -> (Vec<Granted>, Moment) {
    let (mut granted, mut time) = (Vec::new(), now);
    loop {
        for Grant {
            item,
            credential,
            epoch,
            ..
        } in pool.grant(time).unwrap()
        {
            granted.push((item.0, credential.0, epoch));
        }
        match pool.wake_at(time) {
            Some(wake) if wake > time && wake.since(now) < Duration::from_secs(10) => time = wake,
            Some(_) | None => return (granted, time),
        }
    }
}

/// Asks for these items and says which keys they got.
fn serve(pool: &mut Pool<PrivateStore>, items: &[usize], now: Moment) -> Vec<Granted> {
    for &item in items {
        pool.request(ItemIndex(item), now);
    }
    granted(pool, now).0
}

fn keys(granted: &[Granted]) -> Vec<(usize, usize)> {
    granted.iter().map(|&(item, key, _)| (item, key)).collect()
}

fn end(pool: &mut Pool<PrivateStore>, lease: Granted, said: impl Into<Option<Said>>, now: Moment) {
    let (item, key, epoch) = lease;
    let (item, key) = (ItemIndex(item), CredentialIndex(key));
    if let Some(said) = said.into() {
        pool.hear(item, key, epoch, said, "", now).unwrap();
    }
    pool.release(item, key, (), now).unwrap();
}

fn limited(seconds: u64, trust: Trust, key_only: bool) -> Said {
    Said::Limited {
        class: Class::Minute,
        hint: Some(Duration::from_secs(seconds)),
        trust,
        key_only,
    }
}

#[test]
fn two_keys_serve_items_in_the_order_of_their_coming() {
    let mut pool = pool(&["a", "b"], 1);
    let leases = serve(&mut pool, &[0, 1, 2, 3], at(0));
    assert_eq!(keys(&leases), [(0, 0), (1, 1)]);
    end(&mut pool, leases[1], Some(Said::Served), at(5));
    assert_eq!(keys(&granted(&mut pool, at(5)).0), [(2, 1)]);
    end(&mut pool, leases[0], Some(Said::Served), at(6));
    assert_eq!(keys(&granted(&mut pool, at(6)).0), [(3, 0)]);
}

#[test]
fn the_key_that_has_been_idle_longest_is_next() {
    let mut pool = pool(&["a", "b", "c"], 1);
    let leases = serve(&mut pool, &[0, 1, 2], at(0));
    end(&mut pool, leases[2], None, at(10));
    end(&mut pool, leases[0], None, at(20));
    let next = serve(&mut pool, &[3, 4], at(30));
    assert_eq!(keys(&next), [(3, 2), (4, 0)]);
}

#[test]
fn a_key_with_more_slots_is_shared_only_when_none_is_free() {
    let mut pool = pool(&["a", "b"], 2);
    let leases = serve(&mut pool, &[0, 1, 2, 3, 4], at(0));
    assert_eq!(keys(&leases), [(0, 0), (1, 1), (2, 0), (3, 1)]);
}

#[test]
fn starts_are_spread() {
    let mut pool = pool(&["a"; 4], 1);
    for item in 0..4 {
        pool.request(ItemIndex(item), at(0));
    }
    assert_eq!(pool.grant(at(0)).unwrap().len(), 1);
    let (rest, last) = granted(&mut pool, at(0));
    assert_eq!(rest.len(), 3);
    let apart = last.since(at(0)) / 3;
    assert!(
        (START_GAP / 2..=START_GAP * 3 / 2).contains(&apart),
        "{apart:?}"
    );
}

#[test]
fn who_takes_the_place_of_one_that_was_served_starts_at_once() {
    let mut pool = pool(&["a"; 4], 1);
    let now = at(5);
    let leases = serve(&mut pool, &[0, 1, 2, 3, 4, 5, 6], at(0));
    assert_eq!(leases.len(), 4);
    for &lease in &leases[..3] {
        end(&mut pool, lease, Said::Served, now);
    }
    assert_eq!(pool.grant(now).unwrap().len(), 3);
}

#[test]
fn a_place_is_kept_for_a_moment_only() {
    let mut pool = pool(&["a"; 4], 1);
    for lease in serve(&mut pool, &[0, 1, 2, 3], at(0)) {
        end(&mut pool, lease, Said::Served, at(5));
    }
    for item in 4..8 {
        pool.request(ItemIndex(item), at(6));
    }
    assert_eq!(pool.grant(at(6)).unwrap().len(), 1);
}

#[test]
fn no_place_is_kept_by_one_that_failed_or_once_something_was_limited() {
    for trouble in [None, Some(limited(60, Trust::Child, true))] {
        let mut pool = pool(&["a"; 4], 1);
        let leases = serve(&mut pool, &[0, 1, 2, 3, 4, 5, 6], at(0));
        let served = trouble.map(|_| Said::Served);
        end(&mut pool, leases[0], served, at(5));
        end(&mut pool, leases[1], trouble, at(5));
        end(&mut pool, leases[2], served, at(5));
        assert_eq!(pool.grant(at(5)).unwrap().len(), 1);
    }
}

#[test]
fn an_item_that_withdrew_is_passed_over() {
    let mut pool = pool(&["a"], 1);
    let leases = serve(&mut pool, &[0, 1, 2], at(0));
    pool.withdraw(ItemIndex(1));
    end(&mut pool, leases[0], None, at(1));
    assert_eq!(keys(&granted(&mut pool, at(1)).0), [(2, 0)]);
}

#[test]
fn a_limited_key_is_not_granted_before_its_time_and_soon_after() {
    let mut pool = pool(&["a"], 1);
    let leases = serve(&mut pool, &[0, 1], at(0));
    end(
        &mut pool,
        leases[0],
        limited(20, Trust::Child, false),
        at(0),
    );
    assert_eq!(pool.grant(at(19)).unwrap().len(), 0);
    let wake = pool.wake_at(at(1)).unwrap();
    assert!((at(20)..=at(22)).contains(&wake), "{wake:?}");
    assert_eq!(pool.grant(wake).unwrap().len(), 1);
}

#[test]
fn a_limited_item_tries_another_key_first() {
    let mut pool = pool(&["a", "b"], 2);
    let leases = serve(&mut pool, &[0], at(0));
    assert_eq!(keys(&leases), [(0, 0)]);
    end(&mut pool, leases[0], limited(1, Trust::Child, true), at(0));
    let other = serve(&mut pool, &[1], at(1));
    assert_eq!(keys(&other), [(1, 1)]);
    // Both could serve it by now, and the first has been idle longer.
    assert_eq!(keys(&serve(&mut pool, &[0], at(9))), [(0, 1)]);
}

#[test]
fn a_limit_of_a_group_rests_all_its_keys_and_one_probes_for_all() {
    let mut pool = pool(&["g", "g", "g", "h"], 1);
    let leases = serve(&mut pool, &[0], at(0));
    end(
        &mut pool,
        leases[0],
        limited(100, Trust::Child, false),
        at(0),
    );
    let next = serve(&mut pool, &[1, 2, 3, 4], at(1));
    assert_eq!(keys(&next), [(1, 3)], "only the other group's");
    // When the time is over, one of the three serves first.
    let probe = granted(&mut pool, at(200)).0;
    assert_eq!(probe.len(), 1);
    assert_eq!(granted(&mut pool, at(201)).0, []);
    end(&mut pool, probe[0], Some(Said::Served), at(205));
    let rest = granted(&mut pool, at(205)).0;
    assert_eq!(rest.len(), 1, "the next one proves its own key");
    // A limit of one key alone concerns no other.
    let mut pool = self::pool(&["g", "g"], 1);
    let leases = serve(&mut pool, &[0], at(0));
    end(
        &mut pool,
        leases[0],
        limited(100, Trust::Child, true),
        at(0),
    );
    assert_eq!(keys(&serve(&mut pool, &[1], at(1))), [(1, 1)]);
}

#[test]
fn a_text_alone_rests_no_other_key() {
    let mut pool = pool(&["g", "g"], 1);
    let leases = serve(&mut pool, &[0], at(0));
    end(
        &mut pool,
        leases[0],
        limited(100, Trust::Text, false),
        at(0),
    );
    assert_eq!(keys(&serve(&mut pool, &[1], at(1))), [(1, 1)]);
}

#[test]
fn an_overloaded_provider_narrows_the_run_and_blames_no_key() {
    let mut pool = pool(&["a"; 4], 1);
    let leases = serve(&mut pool, &[0, 1, 2, 3], at(0));
    end(
        &mut pool,
        leases[0],
        Some(Said::Overloaded { hint: None }),
        at(10),
    );
    assert!(
        pool.keys()
            .all(|key| key.standing(at(10)) == Standing::Ready)
    );
    assert_eq!(pool.width().limit(), 2);
    assert_eq!(serve(&mut pool, &[4], at(16)), [], "three still run");
    assert_eq!(pool.snapshot(at(16)).obstacle, Some(Obstacle::Provider));
    end(&mut pool, leases[1], None, at(17));
    end(&mut pool, leases[2], None, at(17));
    assert_eq!(granted(&mut pool, at(17)).0.len(), 1);
}

#[test]
fn a_run_that_was_narrowed_does_not_widen_while_successes_speak_of_limits() {
    for (said, limit) in [(Said::Served, 3), (Said::ServedAtTheLimit, 2)] {
        let mut pool = pool(&["a"; 4], 1);
        let leases = serve(&mut pool, &[0, 1, 2, 3], at(0));
        let overloaded = Said::Overloaded { hint: None };
        end(&mut pool, leases[0], overloaded, at(10));
        end(&mut pool, leases[1], said, at(17));
        end(&mut pool, leases[2], said, at(17));
        assert_eq!(pool.width().limit(), limit, "{said:?}");
        let mut keys = pool.keys();
        assert!(keys.all(|key| key.standing(at(17)) == Standing::Ready));
    }
}

#[test]
fn a_rejected_key_is_never_handed_out_again() {
    let mut pool = pool(&["a", "b"], 1);
    let leases = serve(&mut pool, &[0, 1], at(0));
    let rejected = Said::Rejected {
        trust: Trust::Child,
    };
    end(&mut pool, leases[0], Some(rejected), at(1));
    assert_eq!(serve(&mut pool, &[0], at(100_000)), []);
    assert_eq!(
        pool.is_hopeless(PATIENCE, at(100_000)),
        None,
        "the other is at work"
    );
    end(&mut pool, leases[1], Some(rejected), at(100_001));
    assert_eq!(granted(&mut pool, at(200_000)).0, []);
    assert_eq!(
        pool.is_hopeless(PATIENCE, at(200_000)),
        Some(Prospect::Never)
    );
}

#[test]
fn a_suspect_is_retired_when_its_item_gets_past_authentication_elsewhere() {
    let by_text = Said::Rejected { trust: Trust::Text };
    for proof in [Said::Served, limited(5, Trust::Child, true)] {
        let mut pool = pool(&["a", "b"], 1);
        let leases = serve(&mut pool, &[0], at(0));
        end(&mut pool, leases[0], Some(by_text), at(1));
        let second = serve(&mut pool, &[0], at(2));
        assert_eq!(keys(&second), [(0, 1)]);
        end(&mut pool, second[0], Some(proof), at(3));
        let first = pool.keys().next().unwrap();
        assert!(matches!(first.standing(at(3)), Standing::Retired { .. }));
    }
}

#[test]
fn whoever_would_wait_in_vain_learns_it_at_once() {
    let mut pool = pool(&["a", "b"], 1);
    let leases = serve(&mut pool, &[0, 1, 2], at(0));
    end(
        &mut pool,
        leases[0],
        limited(7200, Trust::Child, true),
        at(1),
    );
    assert_eq!(
        pool.is_hopeless(PATIENCE, at(1)),
        None,
        "the other one comes back"
    );
    end(
        &mut pool,
        leases[1],
        limited(600, Trust::Child, true),
        at(1),
    );
    assert_eq!(
        pool.is_hopeless(PATIENCE, at(1)),
        None,
        "ten minutes are worth waiting"
    );
    let next = granted(&mut pool, at(700)).0;
    assert_eq!(keys(&next), [(2, 1)]);
    end(
        &mut pool,
        next[0],
        limited(7200, Trust::Child, true),
        at(700),
    );
    pool.request(ItemIndex(3), at(700));
    let Some(Prospect::NotBefore(back)) = pool.is_hopeless(PATIENCE, at(700)) else {
        panic!("two hours are too long");
    };
    assert!((at(7201)..=at(7231)).contains(&back), "{back:?}");
}

/// Has an item served by each of the pool's keys, from `now` on, in this time.
fn serve_all(pool: &mut Pool<PrivateStore>, count: usize, now: Moment, seconds: u64) {
    let items: Vec<usize> = (0..count).collect();
    for lease in serve(pool, &items, now) {
        let ended = now.plus(Duration::from_secs(seconds));
        end(pool, lease, Some(Said::Served), ended);
    }
}

#[test]
fn after_a_limit_a_key_rests_as_long_as_an_item_usually_takes() {
    let mut pool = pool(&["a", "b"], 1);
    serve_all(&mut pool, 2, at(0), 100);
    let leases = serve(&mut pool, &[0, 1], at(200));
    let limit = limited(1, Trust::Child, false);
    end(&mut pool, leases[0], limit, at(250));
    end(&mut pool, leases[1], Some(Said::Served), at(250));
    assert_eq!(keys(&serve(&mut pool, &[2, 3], at(251))), [(2, 1)]);
    let mut seconds = 262..400;
    let granted_at = seconds.find(|&second| !pool.grant(at(second)).unwrap().is_empty());
    assert!(granted_at.is_some_and(|second| (349..352).contains(&second)));
}

#[test]
fn a_slot_that_has_met_limits_rests_for_a_share_of_what_it_has_worked() {
    let mut pool = pool(&["a"], 2);
    let first = serve(&mut pool, &[0], at(0));
    end(&mut pool, first[0], limited(1, Trust::Child, true), at(100));
    let both = serve(&mut pool, &[0, 1], at(1000));
    assert_eq!(both.len(), 1, "one tries it");
    end(&mut pool, both[0], Some(Said::Served), at(1100));
    let (rest, _) = granted(&mut pool, at(1100));
    assert_eq!(rest.len(), 1, "the other slot has rested");
    pool.request(ItemIndex(2), at(1101));
    let wake = pool.wake_at(at(1101)).unwrap();
    assert!((at(1110)..=at(1120)).contains(&wake), "{wake:?}");
    assert_eq!(pool.grant(wake).unwrap().len(), 1);
}

proptest! {
    /// Whatever happens: no slot twice, no key before its time, first come first served, and nobody forgotten.
    #[test]
    fn the_rules_of_the_line_hold(
        groups in prop::collection::vec(0_u8..3, 1..5),
        slots in 1_usize..3,
        course in prop::collection::vec((0_u8..8, any::<prop::sample::Index>(), 0_u64..40), 1..150),
    ) {
        let names: Vec<String> = groups.iter().map(ToString::to_string).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut pool = pool(&names, slots);
        let (mut now, mut asked, mut served): (Moment, usize, Vec<usize>) = (at(0), 0, Vec::new());
        let mut held: Vec<Grant<()>> = Vec::new();
        for (choice, index, pause) in course {
            now = now.plus(Duration::from_millis(pause * 400));
            if choice < 3 || held.is_empty() {
                pool.request(ItemIndex(asked), now);
                asked += 1;
            } else {
                let lease = held.swap_remove(index.index(held.len()));
                let said = match choice {
                    3 => Some(limited(pause, Trust::Child, pause % 2 == 0)),
                    4 => Some(Said::Overloaded { hint: None }),
                    5 => None,
                    _ => Some(Said::Served),
                };
                end(&mut pool, (lease.item.0, lease.credential.0, lease.epoch), said, now);
            }
            let before: Vec<Key> = pool.keys().cloned().collect();
            for grant in pool.grant(now).unwrap() {
                let key = grant.credential.0;
                prop_assert!(before[key].slots(slots, now) > 0, "before its time");
                served.push(grant.item.0);
                held.push(grant);
                prop_assert!(held.iter().filter(|it| it.credential.0 == key).count() <= slots);
            }
            let in_order = served.iter().enumerate().all(|(place, item)| place == *item);
            prop_assert!(in_order, "first come, first served");
            let waits = served.len() < asked;
            let wakes = pool.wake_at(now);
            prop_assert!(!waits || wakes.is_some() || !held.is_empty(), "somebody is forgotten");
            prop_assert!(wakes.is_none_or(|wake| wake > now), "it would never sleep");
        }
    }
}
