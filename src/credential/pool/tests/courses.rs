//! Whole runs by the clock: workers that take one item after the other, each for its time.

use super::*;

/// An item of a course: how long it takes, and what it says in the end.
#[derive(Clone, Copy)]
struct Work {
    seconds: u64,
    said: Said,
}

/// What became of an item.
#[derive(Debug, Clone, Copy)]
struct Ran {
    item: usize,
    key: usize,
    began: Moment,
    ended: Moment,
}

impl Ran {
    fn overlaps(&self, other: &Self) -> bool {
        self.began < other.ended && other.began < self.ended
    }
}

fn served(seconds: u64) -> Work {
    Work {
        seconds,
        said: Said::Served,
    }
}

/// Lets `workers` work off all of `course` from `now` on, and says what ran in the order of the starts.
fn course(
    pool: &mut Pool<PrivateStore>,
    workers: usize,
    course: &[Work],
    mut now: Moment,
) -> Vec<Ran> {
    let (mut ran, mut running): (Vec<Ran>, Vec<(usize, Epoch)>) = (Vec::new(), Vec::new());
    let mut items = 0..course.len();
    for item in items.by_ref().take(workers) {
        pool.request(ItemIndex(item), now);
    }
    loop {
        for grant in pool.grant(now).unwrap() {
            let work = course[grant.item.0];
            running.push((ran.len(), grant.epoch));
            ran.push(Ran {
                item: grant.item.0,
                key: grant.credential.0,
                began: now,
                ended: now.plus(Duration::from_secs(work.seconds)),
            });
        }
        let ends = running.iter().map(|&(index, _)| ran[index].ended);
        let Some(next) = ends.chain(pool.wake_at(now)).min() else {
            return ran;
        };
        now = next;
        let (over, goes_on) = running
            .into_iter()
            .partition(|&(index, _)| ran[index].ended <= now);
        running = goes_on;
        for (index, epoch) in over {
            let Ran { item, key, .. } = ran[index];
            end(pool, (item, key, epoch), course[item].said, now);
            if let Some(item) = items.next() {
                pool.request(ItemIndex(item), now);
            }
        }
    }
}

/// The most that ran at once, of those that `counts`.
fn at_once(ran: &[Ran], counts: impl Fn(&Ran) -> bool) -> usize {
    let ran: Vec<&Ran> = ran.iter().filter(|it| counts(it)).collect();
    let at_start = |one: &&&Ran| {
        let runs = ran
            .iter()
            .filter(|it| it.began <= one.began && one.began < it.ended);
        runs.count()
    };
    ran.iter().map(|it| at_start(&it)).max().unwrap_or(0)
}

fn seconds_in_all(ran: &[Ran], from: Moment) -> u64 {
    ran.iter()
        .map(|it| it.ended.since(from).as_secs())
        .max()
        .unwrap()
}

#[test]
fn eight_items_of_ten_seconds_take_as_many_rounds_as_the_slots_make_necessary() {
    for (slots, at_once_expected, seconds) in [(1, 2, 40), (2, 4, 20)] {
        let mut pool = pool(&["a", "b"], slots);
        let ran = course(&mut pool, 4, &[served(10); 8], at(0));
        assert_eq!(at_once(&ran, |_| true), at_once_expected);
        for key in [0, 1] {
            assert_eq!(at_once(&ran, |it| it.key == key), slots);
            assert_eq!(ran.iter().filter(|it| it.key == key).count(), 4);
        }
        let order: Vec<usize> = ran.iter().map(|it| it.item).collect();
        assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7]);
        // And what the starts are apart.
        let took = seconds_in_all(&ran, at(0));
        assert!((seconds..seconds + 4).contains(&took), "{took} s");
    }
}

#[test]
fn with_leases_of_different_lengths_no_key_is_shared_while_another_is_idle() {
    let lengths = [30, 1, 1].map(served);
    let work: Vec<Work> = lengths.into_iter().cycle().take(60).collect();
    let mut pool = pool(&["a", "b", "c"], 2);
    let ran = course(&mut pool, 4, &work, at(0));
    assert_eq!(ran.len(), work.len());
    for (index, one) in ran.iter().enumerate() {
        let before = &ran[..index];
        let leases = |key: usize| {
            let held = before
                .iter()
                .filter(|it| it.key == key && it.ended > one.began);
            held.count()
        };
        let least = (0..3).map(leases).min().unwrap();
        assert_eq!(leases(one.key), least, "{one:?} in {ran:?}");
        // When it was last used, before that: when its last lease began or ended.
        let last_used = |key: usize| {
            let used = before.iter().filter(|it| it.key == key);
            let moments = used.map(|it| {
                if it.ended <= one.began {
                    it.ended
                } else {
                    it.began
                }
            });
            moments.max()
        };
        let idle = (0..3).filter(|&key| leases(key) == least);
        let longest = idle.map(last_used).min().unwrap();
        assert_eq!(last_used(one.key), longest, "{one:?} in {ran:?}");
    }
}

/// A pool of keys of these groups, each of which has just been limited for so long.
fn limited_pool(groups: &[&str], slots: usize, seconds: u64) -> Pool<PrivateStore> {
    let mut pool = pool(groups, slots);
    let all: Vec<usize> = (0..groups.len()).collect();
    for lease in serve(&mut pool, &all, at(0)) {
        let said = limited(seconds, Trust::Child, true);
        end(&mut pool, lease, said, at(0));
    }
    pool
}

#[test]
fn who_waited_for_ten_minutes_is_let_in_one_by_one_and_the_rest_when_the_first_has_ended() {
    let mut pool = limited_pool(&["g"; 3], 2, 600);
    pool.request(ItemIndex(100), at(1));
    assert_eq!(pool.is_hopeless(PATIENCE, at(1)), None);
    pool.withdraw(ItemIndex(100));
    let ran = course(&mut pool, 6, &[served(50); 6], at(1));
    assert_eq!(ran.len(), 6);
    assert!((at(600)..=at(632)).contains(&ran[0].began), "{ran:?}");
    for two in ran.windows(2) {
        assert!(two[1].began >= two[0].began.plus(START_GAP / 2), "{ran:?}");
    }
    assert!(
        ran[1].began >= ran[0].ended,
        "one tries it for all: {ran:?}"
    );
}

#[test]
fn twenty_that_wait_for_the_end_of_a_limit_meet_one_at_each_key_first() {
    let mut pool = limited_pool(&["a", "b", "c"], 7, 20);
    let ran = course(&mut pool, 20, &[served(10); 20], at(1));
    assert_eq!(ran.len(), 20);
    assert!((at(20)..=at(22)).contains(&ran[0].began), "{ran:?}");
    for key in 0..3 {
        let mut of_key = ran.iter().filter(|it| it.key == key);
        let trial = of_key.next().unwrap();
        assert!(of_key.all(|it| !it.overlaps(trial)), "{ran:?}");
    }
    for two in ran.windows(2) {
        let apart = two[1].began.since(two[0].began);
        assert!(apart >= START_GAP / 2, "{apart:?} in {ran:?}");
    }
    // When the keys have proved themselves, they are used as far as they go.
    assert!(at_once(&ran, |_| true) > 3, "{ran:?}");
}

#[test]
fn of_keys_without_money_none_is_tried_again_and_the_others_do_the_work() {
    let mut pool = pool(&["a", "b"], 1);
    let leases = serve(&mut pool, &[0], at(0));
    let no_money = Said::Limited {
        class: Class::Billing,
        hint: None,
        trust: Trust::Child,
        key_only: true,
    };
    end(&mut pool, leases[0], no_money, at(0));
    let ran = course(&mut pool, 2, &[served(100); 20], at(1));
    assert!(ran.iter().all(|it| it.key == 1), "{ran:?}");
    assert!(
        (2000..2010).contains(&seconds_in_all(&ran, at(0))),
        "{ran:?}"
    );
}
