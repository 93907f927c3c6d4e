//! Tables of reports and time.

use proptest::prelude::*;

use super::*;

const ALONE: Context = Context {
    only_key: true,
    random: 0,
};
const ONE_OF_MANY: Context = Context {
    only_key: false,
    random: 0,
};

const fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

const fn limited(class: Class, hint: Option<u64>, trust: Trust) -> Report {
    let hint = match hint {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => None,
    };
    Report::Limited { class, hint, trust }
}

fn until(standing: Standing) -> u64 {
    match standing {
        Standing::Cooling { until } | Standing::Spent { until } | Standing::Suspect { until } => {
            until.0.as_secs()
        }
        other => panic!("{other:?} does not wait"),
    }
}

/// Limits a new key again and again, as soon as it may be tried, and says how long it waited each time.
fn waits(class: Class, hint: Option<u64>, context: Context, times: usize) -> Vec<u64> {
    let (mut key, mut now) = (Key::default(), at(0));
    (0..times)
        .map(|_| {
            let epoch = key.grant(now);
            key.report(epoch, limited(class, hint, Trust::Child), now, context);
            let returns = key.returns_at(now).unwrap();
            let waited = returns.since(now).as_secs();
            now = returns;
            waited
        })
        .collect()
}

#[test]
fn waits_that_nobody_names_double_up_to_their_cap() {
    assert_eq!(
        waits(Class::Minute, None, ONE_OF_MANY, 8),
        [20, 40, 80, 160, 320, 640, 900, 900]
    );
    assert_eq!(waits(Class::Minute, None, ALONE, 4), [20, 40, 60, 60]);
    assert_eq!(
        waits(Class::Billing, None, ALONE, 5),
        [3600, 7200, 14400, 21600, 21600]
    );
}

#[test]
fn a_named_wait_is_believed_within_limits() {
    assert_eq!(waits(Class::Minute, Some(50), ALONE, 2), [50, 50]);
    assert_eq!(waits(Class::Minute, Some(0), ALONE, 1), [1]);
    assert_eq!(waits(Class::Minute, Some(1 << 40), ALONE, 1), [86400]);
    // A day's budget that is said to be back in 36 s is not, the third time.
    assert_eq!(waits(Class::Day, Some(36), ALONE, 4), [36, 36, 3600, 7200]);
}

#[test]
fn a_named_wait_that_was_not_enough_is_lengthened_and_spends_nothing() {
    let waited = waits(Class::Minute, Some(1), ONE_OF_MANY, 8);
    assert_eq!(waited, [1, 20, 40, 80, 160, 320, 450, 450]);
    let mut key = Key::default();
    let mut now = at(0);
    for _ in 0..6 {
        let epoch = key.grant(now);
        let report = limited(Class::Minute, Some(1), Trust::Child);
        key.report(epoch, report, now, ONE_OF_MANY);
        let standing = key.standing(now);
        assert!(matches!(standing, Standing::Cooling { .. }), "{standing:?}");
        now = key.returns_at(now).unwrap();
    }
    let epoch = key.grant(now);
    key.report(epoch, Report::Served, now, ONE_OF_MANY);
    let epoch = key.grant(now);
    let report = limited(Class::Minute, Some(1), Trust::Child);
    key.report(epoch, report, now, ONE_OF_MANY);
    assert_eq!(key.returns_at(now), Some(now.plus(Duration::from_secs(1))));
}

#[test]
fn a_long_wait_means_that_the_budget_is_spent() {
    for (report, is_spent) in [
        (limited(Class::Minute, Some(20), Trust::Child), false),
        (limited(Class::Minute, Some(121), Trust::Child), true),
        (limited(Class::Day, None, Trust::Child), true),
        (limited(Class::Billing, None, Trust::Child), true),
        (limited(Class::Minute, None, Trust::Child), false),
    ] {
        let mut key = Key::default();
        let epoch = key.grant(at(0));
        key.report(epoch, report, at(0), ONE_OF_MANY);
        let standing = key.standing(at(0));
        assert_eq!(
            matches!(standing, Standing::Spent { .. }),
            is_spent,
            "{report:?}: {standing:?}"
        );
        assert_eq!(key.slots(3, at(0)), 0);
    }
}

#[test]
fn a_text_alone_cools_for_a_quarter_of_an_hour_at_most() {
    let mut key = Key::default();
    let epoch = key.grant(at(0));
    let report = limited(Class::Day, Some(40_000), Trust::Text);
    key.report(epoch, report, at(0), ALONE);
    assert_eq!(until(key.standing(at(0))), 900);
}

#[test]
fn of_two_waits_the_later_one_counts() {
    let mut key = Key::default();
    let (first, second) = (key.grant(at(0)), key.grant(at(0)));
    key.report(
        first,
        limited(Class::Minute, Some(100), Trust::Child),
        at(0),
        ALONE,
    );
    key.report(
        second,
        limited(Class::Minute, Some(1), Trust::Child),
        at(5),
        ALONE,
    );
    assert_eq!(until(key.standing(at(5))), 100);
    key.report(
        second,
        limited(Class::Minute, None, Trust::Child),
        at(90),
        ALONE,
    );
    assert_eq!(until(key.standing(at(90))), 110);
}

#[test]
fn items_that_ran_together_and_were_limited_together_count_once() {
    let mut key = Key::default();
    let leases = [(); 4].map(|()| key.grant(at(0)));
    for (second, epoch) in (0..).zip(leases) {
        let report = limited(Class::Minute, None, Trust::Child);
        key.report(epoch, report, at(second), ONE_OF_MANY);
    }
    assert_eq!(until(key.standing(at(3))), 23);
}

#[test]
fn jitter_only_lengthens_and_by_little() {
    for random in [0, 1, 500, 1000, 1001, u64::MAX] {
        let context = Context {
            only_key: false,
            random,
        };
        let short = waits(Class::Minute, Some(100), context, 1)[0];
        assert!((100..=110).contains(&short), "{short}");
        let long = waits(Class::Minute, Some(80_000), context, 1)[0];
        assert!((80_000..=80_030).contains(&long), "{long}");
    }
}

#[test]
fn a_key_that_has_waited_serves_one_item_until_it_has_proved_itself() {
    let mut key = Key::default();
    let epoch = key.grant(at(0));
    key.report(
        epoch,
        limited(Class::Minute, Some(20), Trust::Child),
        at(0),
        ALONE,
    );
    assert_eq!(key.slots(4, at(19)), 0);
    assert_eq!(key.standing(at(20)), Standing::Probation);
    assert_eq!(key.slots(4, at(20)), 1);
    let trial = key.grant(at(20));
    // An older lease proves nothing.
    key.report(epoch, Report::Served, at(21), ALONE);
    assert_eq!(key.slots(4, at(21)), 1);
    key.report(trial, Report::Served, at(22), ALONE);
    assert_eq!(key.standing(at(22)), Standing::Ready);
    assert_eq!(key.slots(4, at(22)), 4);
}

#[test]
fn a_trial_that_runs_for_a_minute_without_a_report_has_passed() {
    let mut key = Key::default();
    let epoch = key.grant(at(0));
    key.report(
        epoch,
        limited(Class::Minute, Some(20), Trust::Child),
        at(0),
        ALONE,
    );
    // Nobody has tried it yet, however long ago it could have been.
    assert_eq!(key.standing(at(500)), Standing::Probation);
    key.grant(at(500));
    assert_eq!(key.standing(at(559)), Standing::Probation);
    assert_eq!(key.standing(at(560)), Standing::Ready);
}

#[test]
fn a_failed_trial_waits_for_the_next_step_and_a_success_begins_anew() {
    let mut key = Key::default();
    let mut now = at(0);
    for wait in [20, 40] {
        let epoch = key.grant(now);
        key.report(
            epoch,
            limited(Class::Minute, None, Trust::Child),
            now,
            ONE_OF_MANY,
        );
        assert_eq!(key.returns_at(now).unwrap().since(now).as_secs(), wait);
        now = key.returns_at(now).unwrap();
    }
    let epoch = key.grant(now);
    key.report(epoch, Report::Served, now, ONE_OF_MANY);
    let epoch = key.grant(now);
    key.report(
        epoch,
        limited(Class::Minute, None, Trust::Child),
        now,
        ONE_OF_MANY,
    );
    assert_eq!(key.returns_at(now).unwrap().since(now).as_secs(), 20);
}

#[test]
fn a_rejected_key_is_retired_and_no_late_success_revives_it() {
    let mut key = Key::default();
    let (older, lease) = (key.grant(at(0)), key.grant(at(1)));
    let rejected = Report::Rejected {
        trust: Trust::Child,
    };
    key.report(lease, rejected, at(2), ALONE);
    key.report(older, Report::Served, at(3), ALONE);
    assert_eq!(key.standing(at(9999)), Standing::Retired { since: at(2) });
    assert_eq!(
        (key.slots(4, at(9999)), key.returns_at(at(9999))),
        (0, None)
    );
}

#[test]
fn a_later_run_tries_a_rejected_key_once_more() {
    let rejected = Report::Rejected {
        trust: Trust::Child,
    };
    let mut key = Key::default();
    let epoch = key.grant(at(0));
    key.report(epoch, rejected, at(0), ALONE);
    key.begin_run(at(899));
    assert_eq!(key.slots(4, at(899)), 0, "too early");
    key.begin_run(at(900));
    assert_eq!(key.slots(4, at(900)), 1);
    let epoch = key.grant(at(900));
    key.report(epoch, rejected, at(901), ALONE);
    key.begin_run(at(90_000));
    assert_eq!(key.slots(4, at(90_000)), 0, "not a third time");
    key.reset();
    assert_eq!(key.slots(4, at(90_001)), 4);
}

#[test]
fn a_text_makes_a_key_suspect_and_a_second_one_retires_it() {
    let by_text = Report::Rejected { trust: Trust::Text };
    let mut key = Key::default();
    let epoch = key.grant(at(0));
    key.report(epoch, by_text, at(0), ALONE);
    assert_eq!(key.standing(at(299)), Standing::Suspect { until: at(300) });
    assert_eq!(key.slots(4, at(300)), 1);
    let epoch = key.grant(at(300));
    key.report(epoch, by_text, at(301), ALONE);
    assert_eq!(key.standing(at(301)), Standing::Retired { since: at(301) });
    // One that has served between the two is suspected anew.
    let mut key = Key::default();
    for (time, report) in [(0, by_text), (300, Report::Served), (301, by_text)] {
        let epoch = key.grant(at(time));
        key.report(epoch, report, at(time), ALONE);
    }
    assert!(matches!(key.standing(at(301)), Standing::Suspect { .. }));
}

#[test]
fn after_a_reset_earlier_leases_have_nothing_to_say() {
    let mut key = Key::default();
    let earlier = key.grant(at(0));
    key.reset();
    key.report(
        earlier,
        limited(Class::Minute, None, Trust::Child),
        at(1),
        ALONE,
    );
    assert_eq!(key.standing(at(1)), Standing::Ready);
    let later = key.grant(at(2));
    key.report(
        later,
        limited(Class::Minute, None, Trust::Child),
        at(2),
        ALONE,
    );
    assert!(matches!(key.standing(at(2)), Standing::Cooling { .. }));
}

#[test]
fn a_disabled_key_stays_so_whatever_is_reported() {
    let mut key = Key::default();
    let epoch = key.grant(at(0));
    key.disable(true);
    key.report(epoch, Report::Served, at(1), ALONE);
    key.begin_run(at(99_999));
    assert_eq!(key.standing(at(99_999)), Standing::Disabled);
    key.disable(false);
    assert_eq!(key.standing(at(99_999)), Standing::Ready);
}

fn any_report() -> impl Strategy<Value = Report> {
    let class = prop_oneof![Just(Class::Minute), Just(Class::Day), Just(Class::Billing)];
    let trust = prop_oneof![Just(Trust::Text), Just(Trust::Child)];
    let hint = prop::option::of((0_u64..200_000).prop_map(Duration::from_secs));
    prop_oneof![
        Just(Report::Served),
        (class, hint, trust).prop_map(|(class, hint, trust)| Report::Limited {
            class,
            hint,
            trust
        }),
        prop_oneof![Just(Trust::Text), Just(Trust::Child)]
            .prop_map(|trust| Report::Rejected { trust }),
    ]
}

proptest! {
    /// Whatever is reported, in whatever order: what was to wait is not handed out before its time, and what is
    /// closed stays so.
    #[test]
    fn no_report_shortens_a_wait_but_a_success_on_probation(
        course in prop::collection::vec((0_u64..4000, any_report(), any::<u64>(), 0_usize..4), 1..60),
    ) {
        let (mut key, mut now, mut leases) = (Key::default(), at(0), Vec::new());
        for (pause, report, random, lease) in course {
            now = now.plus(Duration::from_secs(pause));
            if key.slots(2, now) > 0 {
                leases.push(key.grant(now));
            }
            let Some(&epoch) = leases.iter().rev().nth(lease).or(leases.last()) else { continue };
            let before = key.clone();
            key.report(epoch, report, now, Context { only_key: false, random });
            let (was, is) = (before.returns_at(now), key.returns_at(now));
            match (was, is) {
                (None, revived) => prop_assert_eq!(revived, None),
                (Some(was), Some(is)) => prop_assert!(is >= was, "{:?} after {:?}", is, was),
                (Some(_), None) => {}
            }
            let waits = is.map_or(Duration::ZERO, |is| is.since(now));
            prop_assert!(waits <= HINT_MAX + JITTER_MAX);
            let kept = serde_json::to_string(&key).unwrap();
            prop_assert_eq!(serde_json::from_str::<Key>(&kept).unwrap(), key.clone());
        }
    }
}

#[test]
fn what_one_lease_tells_again_and_again_is_one_step() {
    for hint in [None, Some(5)] {
        let mut key = Key::default();
        let first = key.grant(at(0));
        let again = limited(Class::Minute, None, Trust::Child);
        key.report(first, again, at(0), ONE_OF_MANY);
        for second in 1..9 {
            let more = limited(Class::Minute, hint, Trust::Child);
            key.report(first, more, at(second), ONE_OF_MANY);
        }
        let next = key.grant(at(30));
        key.report(next, again, at(30), ONE_OF_MANY);
        assert_eq!(until(key.standing(at(30))), 30 + 40, "{hint:?}");
    }
}

#[test]
fn the_lease_that_told_a_limit_may_take_it_back_and_no_other() {
    for class in [Class::Minute, Class::Billing] {
        let mut key = Key::default();
        let (one, other) = (key.grant(at(0)), key.grant(at(0)));
        key.report(one, limited(class, None, Trust::Child), at(0), ONE_OF_MANY);
        let resting = key.standing(at(1));
        for stranger in [other, Epoch::NONE] {
            key.report(stranger, Report::TakenBack, at(1), ONE_OF_MANY);
            assert_eq!(key.standing(at(1)), resting);
        }
        key.report(one, Report::TakenBack, at(1), ONE_OF_MANY);
        assert_eq!(key.standing(at(1)), Standing::Ready);
    }
    let mut key = Key::default();
    let one = key.grant(at(0));
    let rejected = Report::Rejected {
        trust: Trust::Child,
    };
    key.report(one, rejected, at(0), ONE_OF_MANY);
    key.report(one, Report::TakenBack, at(1), ONE_OF_MANY);
    assert_eq!(key.standing(at(1)), Standing::Retired { since: at(0) });
}
