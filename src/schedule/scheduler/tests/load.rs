//! How wide the run is, and what it lacks.

use super::super::super::bottleneck::Load;
use super::*;

const KEYS: Option<Limiter> = Some(Limiter::Credentials);

fn narrowed(width: usize, asked: usize) -> Limits {
    Limits {
        asked,
        narrowed_by: KEYS,
        ..limits(width)
    }
}

#[test]
fn slots_that_are_lacking_and_slots_that_wait_for_a_credential_are_told_apart() {
    let mut script = Script::new(9, narrowed(3, 5));
    script.expect(Event::Began, &[reserve(A), reserve(B), reserve(C)]);
    script.expect(granted(A), &[spawn(A, 1)]);
    let load = Load {
        running: 1,
        fits: 3,
        wanted: 5,
        width_by: KEYS,
        slot_by: Some(Limiter::Provider),
    };
    assert_eq!(script.scheduler.load(Some(Limiter::Provider)), load);
    script.expect(granted(B), &[spawn(B, 2)]);
    script.expect(granted(C), &[spawn(C, 3)]);
    let full = Load {
        running: 3,
        slot_by: None,
        ..load
    };
    assert_eq!(script.scheduler.load(Some(Limiter::Provider)), full);
    assert_eq!(full.limiter(), KEYS);
}

#[test]
fn the_last_items_of_a_run_and_a_run_that_drains_lack_nothing() {
    let mut script = Script::new(2, narrowed(3, 5)).started(&[A, B]);
    assert_eq!(script.scheduler.load(None).limiter(), None);
    let mut more = Script::new(9, narrowed(2, 5)).started(&[A, B]);
    assert_eq!(more.scheduler.load(None).limiter(), KEYS);
    let _told = more
        .scheduler
        .on_event(Event::Pressed(Press::Interrupt), more.now);
    let load = more.scheduler.load(None);
    assert_eq!((load.running, load.wanted, load.limiter()), (2, 2, None));
    script.expect(exited(A, 0), &[record(A, Outcome::Done)]);
    assert_eq!(script.scheduler.load(None).wanted, 1);
}

#[test]
fn an_item_for_which_the_system_has_no_room_is_lacking() {
    let mut script = Script::new(2, limits(2)).started(&[A, B]);
    let crowded = Event::Exited {
        item: B,
        ending: Ending::Crowded("fork: EAGAIN".to_owned()),
        fault: Fault::Item,
    };
    let _told = script.scheduler.on_event(crowded, script.now);
    let load = script.scheduler.load(None);
    assert_eq!((load.running, load.wanted), (1, 2));
    assert_eq!(load.limiter(), Some(Limiter::Room));
}
