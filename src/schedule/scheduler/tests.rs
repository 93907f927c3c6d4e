//! The scheduler as a whole: scripts of events with exactly their actions, and a naive world as oracle.

mod load;

use proptest::prelude::*;

use super::super::event::{Ending, Fault, Notice, Slot, StopSignal};
use super::super::retry::{ExitCodes, JITTER_PERCENT_MAX, RETRY_AFTER};
use super::super::room::{CROWDED_WAIT, NO_ROOM_TIME_MAX};
use super::super::stage::{Press, Raised};
use super::super::straggler::STRAGGLER_AFTER_MIN;
use super::super::unrecorded::QUICK_DISK;
use super::ends::SIGINT;
use super::timers::CREDENTIAL_WAIT_MIN;
use super::*;

const A: ItemIndex = ItemIndex(0);
const B: ItemIndex = ItemIndex(1);
const C: ItemIndex = ItemIndex(2);

fn limits(width: usize) -> Limits {
    Limits {
        width,
        asked: width,
        narrowed_by: None,
        failures_max: None,
        timeout: Duration::MAX,
        idle_timeout: Duration::MAX,
        stop_after: Duration::MAX,
        retry: RetryRule {
            retries_max: 0,
            exit_codes: ExitCodes::default(),
        },
        seed: 0,
        credential_wait: Duration::from_mins(15),
        grace: Duration::from_secs(8),
        discipline: Discipline::Isolated,
    }
}

/// A scheduler at work: events in, and exactly the expected actions out.
struct Script {
    scheduler: Scheduler,
    now: Duration,
}

impl Script {
    fn new(items: usize, limits: Limits) -> Self {
        Self {
            scheduler: Scheduler::new(items, limits),
            now: Duration::ZERO,
        }
    }

    /// One event and the actions it brings, and nothing else.
    fn expect(&mut self, event: Event, actions: &[Action]) -> &mut Self {
        let context = format!("{event:?} at {:?}", self.now);
        assert_eq!(
            self.scheduler.on_event(event, self.now),
            actions,
            "{context}"
        );
        self
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    /// Starts the items that fit, in order, each without a credential.
    fn started(mut self, running: &[ItemIndex]) -> Self {
        let reserves: Vec<Action> = running.iter().map(|&item| reserve(item)).collect();
        self.expect(Event::Began, &reserves);
        for (slot, &item) in (1..).zip(running) {
            self.expect(granted(item), &[spawn(item, slot)]);
        }
        self
    }
}

fn reserve(item: ItemIndex) -> Action {
    Action::Reserve { item }
}

fn granted(item: ItemIndex) -> Event {
    Event::Reserved {
        item,
        credential: None,
    }
}

fn spawn(item: ItemIndex, slot: u32) -> Action {
    Action::Spawn {
        item,
        attempt: 1,
        slot: Slot(slot),
        credential: None,
    }
}

fn exited(item: ItemIndex, code: i32) -> Event {
    Event::Exited {
        item,
        ending: Ending::Exited(code),
        fault: Fault::Item,
    }
}

fn record(item: ItemIndex, outcome: Outcome) -> Action {
    Action::Record { item, outcome }
}

fn ended(item: ItemIndex, outcome: Outcome) -> Action {
    Action::Emit(Notice::Ended { item, outcome })
}

fn signal(item: ItemIndex, signal: StopSignal) -> Action {
    Action::Signal { item, signal }
}

fn raised(stage: Stage, cause: Cause, running: usize, queued: usize) -> Action {
    Action::Emit(Notice::StageRaised {
        raised: Raised { stage, cause },
        running,
        queued,
    })
}

#[test]
fn an_item_is_shown_as_done_only_after_its_record_is_on_disk() {
    let mut script = Script::new(1, limits(4)).started(&[A]);
    script
        .expect(exited(A, 0), &[record(A, Outcome::Done)])
        .expect(Event::Recorded { item: A }, &[ended(A, Outcome::Done)]);
    assert!(script.scheduler.is_over());
    assert_eq!(
        script.scheduler.tally(),
        Tally {
            done: 1,
            ..Tally::default()
        }
    );
}

#[test]
fn the_next_item_takes_the_slot_without_waiting_for_the_disk() {
    Script::new(3, limits(2))
        .started(&[A, B])
        .expect(exited(A, 1), &[record(A, Outcome::Failed), reserve(C)])
        .expect(granted(C), &[spawn(C, 1)])
        .expect(Event::Recorded { item: A }, &[ended(A, Outcome::Failed)]);
}

#[test]
fn a_disk_that_falls_behind_holds_up_new_items() {
    Script::new(3, limits(1))
        .started(&[A])
        .expect(exited(A, 0), &[record(A, Outcome::Done), reserve(B)])
        .expect(granted(B), &[spawn(B, 1)])
        .after(QUICK_DISK + Duration::from_nanos(1))
        .expect(exited(B, 0), &[record(B, Outcome::Done)])
        .expect(
            Event::Recorded { item: A },
            &[ended(A, Outcome::Done), reserve(C)],
        );
}

#[test]
fn the_disk_is_waited_for_when_nothing_runs() {
    let mut script = Script::new(2, limits(2)).started(&[A, B]);
    script.expect(exited(A, 0), &[record(A, Outcome::Done)]);
    assert!(!script.scheduler.waits_for_the_disk(), "B runs");
    script.expect(exited(B, 0), &[record(B, Outcome::Done)]);
    assert!(script.scheduler.waits_for_the_disk());
    for item in [A, B] {
        script.expect(Event::Recorded { item }, &[ended(item, Outcome::Done)]);
    }
    assert!(!script.scheduler.waits_for_the_disk(), "it has come");
}

#[test]
fn a_quick_disk_holds_up_no_short_item() {
    Script::new(3, limits(1))
        .started(&[A])
        .expect(exited(A, 0), &[record(A, Outcome::Done), reserve(B)])
        .expect(granted(B), &[spawn(B, 1)])
        .after(QUICK_DISK)
        .expect(exited(B, 0), &[record(B, Outcome::Done), reserve(C)]);
}

#[test]
fn a_credential_is_released_when_its_item_ends() {
    let credential = CredentialIndex(7);
    let mut script = Script::new(1, limits(1));
    script
        .expect(Event::Began, &[reserve(A)])
        .expect(
            Event::Reserved {
                item: A,
                credential: Some(credential),
            },
            &[Action::Spawn {
                item: A,
                attempt: 1,
                slot: Slot(1),
                credential: Some(credential),
            }],
        )
        .expect(
            exited(A, 0),
            &[Action::Release { item: A }, record(A, Outcome::Done)],
        );
}

#[test]
fn when_no_credential_comes_in_time_all_give_up_at_once_and_what_was_not_tried_stays_queued() {
    let mut script = Script::new(3, limits(2));
    script.expect(Event::Began, &[reserve(A), reserve(B)]);
    let wait = Duration::from_mins(15);
    assert_eq!(script.scheduler.wake_at(), Some(wait));
    script
        .after(wait.saturating_sub(Duration::from_secs(1)))
        .expect(Event::Woke, &[])
        .after(Duration::from_secs(1))
        .expect(
            Event::Woke,
            &[
                Action::Withdraw { item: A },
                ended(A, Outcome::Deferred),
                Action::Withdraw { item: B },
                ended(B, Outcome::Deferred),
                raised(Stage::Draining, Cause::NoCredential, 0, 1),
            ],
        )
        // It was on its way.
        .expect(
            Event::Reserved {
                item: A,
                credential: Some(CredentialIndex(0)),
            },
            &[Action::Release { item: A }],
        );
    assert!(script.scheduler.is_over() && script.scheduler.gave_up_on_work());
    assert_eq!(script.scheduler.queued(), 1);
    assert_eq!(script.scheduler.tally().deferred, 2);
}

#[test]
fn who_began_to_wait_late_does_not_wait_longer_than_the_first() {
    let mut script = Script::new(2, with_retries(1)).started(&[A]);
    script.expect(exited(A, 1), &[record(A, Outcome::Failed), reserve(B)]);
    let wait = announced_wait(&mut script, A);
    assert!(script.scheduler.reserving() == 1 && script.scheduler.waiting() == 1);
    // The retry has its time, and no slot: it keeps what it came to.
    script.after(wait).expect(Event::Woke, &[]);
    assert_eq!(script.scheduler.wake_at(), Some(Duration::from_mins(15)));
    script.now = Duration::from_mins(15);
    script.expect(
        Event::Woke,
        &[
            Action::Withdraw { item: B },
            ended(B, Outcome::Deferred),
            raised(Stage::Draining, Cause::NoCredential, 0, 1),
            ended(A, Outcome::Failed),
        ],
    );
    assert!(script.scheduler.is_over());
}

#[test]
fn a_credential_that_is_free_has_time_to_come_whatever_the_wait() {
    let limits = Limits {
        credential_wait: Duration::ZERO,
        ..limits(1)
    };
    let mut script = Script::new(1, limits);
    script
        .expect(Event::Began, &[reserve(A)])
        .expect(Event::Woke, &[]);
    assert_eq!(script.scheduler.wake_at(), Some(CREDENTIAL_WAIT_MIN));
    script.expect(granted(A), &[spawn(A, 1)]);
}

#[test]
fn an_item_waits_for_a_credential_from_the_end_of_the_last_that_may_give_one_back() {
    let wait = Duration::from_mins(15);
    let mut script = Script::new(2, limits(2));
    script.expect(Event::Began, &[reserve(A), reserve(B)]);
    script.expect(granted(A), &[spawn(A, 1)]);
    assert_eq!(script.scheduler.wake_at(), None);
    script.after(wait * 2);
    script.expect(exited(A, 0), &[record(A, Outcome::Done)]);
    let end = script.now;
    assert_eq!(script.scheduler.wake_at(), Some(end + wait));
    script.after(wait.saturating_sub(Duration::from_secs(1)));
    script.expect(Event::Recorded { item: A }, &[ended(A, Outcome::Done)]);
    script.after(Duration::from_secs(1)).expect(
        Event::Woke,
        &[Action::Withdraw { item: B }, ended(B, Outcome::Deferred)],
    );
}

#[test]
fn an_item_that_is_limited_again_and_again_is_deferred_in_the_end_and_not_failed() {
    let limited = || Event::Exited {
        item: A,
        ending: Ending::Exited(75),
        fault: Fault::Credential,
    };
    let leased = || Event::Reserved {
        item: A,
        credential: Some(CredentialIndex(0)),
    };
    for (attempts, pause) in [
        (21, Duration::from_secs(1)),
        // For six hours.
        (7, Duration::from_hours(1)),
    ] {
        let mut script = Script::new(1, limits(1));
        script.expect(Event::Began, &[reserve(A)]);
        for attempt in 1..=attempts {
            let start = Action::Spawn {
                item: A,
                attempt,
                slot: Slot(1),
                credential: Some(CredentialIndex(0)),
            };
            let outcome = Outcome::Deferred;
            let release = Action::Release { item: A };
            let last = [ended(A, outcome)];
            let again = [Action::Emit(Notice::Requeued { item: A }), reserve(A)];
            script
                .expect(leased(), &[start])
                .after(pause)
                .expect(limited(), &[release, record(A, outcome)])
                .expect(
                    Event::Recorded { item: A },
                    if attempt == attempts { &last } else { &again },
                );
        }
        assert!(script.scheduler.is_over());
        assert_eq!(script.scheduler.tally().deferred, 1);
        assert_eq!(script.scheduler.tally().failed, 0);
    }
}

#[test]
fn one_interrupt_lets_running_items_end_and_starts_nothing_more() {
    let mut script = Script::new(3, limits(2)).started(&[A, B]);
    script
        .expect(
            Event::Pressed(Press::Interrupt),
            &[raised(
                Stage::Draining,
                Cause::Pressed(Press::Interrupt),
                2,
                1,
            )],
        )
        .expect(exited(A, 0), &[record(A, Outcome::Done)])
        .expect(exited(B, 1), &[record(B, Outcome::Failed)])
        .expect(Event::Recorded { item: A }, &[ended(A, Outcome::Done)])
        .expect(Event::Recorded { item: B }, &[ended(B, Outcome::Failed)]);
    assert!(script.scheduler.is_over());
    assert_eq!(script.scheduler.queued(), 1);
    assert_eq!(script.scheduler.fatal(), None);
}

#[test]
fn a_drain_takes_waiting_reservations_back_to_the_front_of_the_queue() {
    let mut script = Script::new(3, limits(3));
    script
        .expect(Event::Began, &[reserve(A), reserve(B), reserve(C)])
        .expect(granted(B), &[spawn(B, 2)])
        .expect(
            Event::Pressed(Press::HangUp),
            &[
                Action::Withdraw { item: C },
                Action::Withdraw { item: A },
                raised(Stage::Draining, Cause::Pressed(Press::HangUp), 1, 2),
            ],
        );
}

#[test]
fn a_second_interrupt_takes_running_items_through_the_stop_sequence() {
    let mut script = Script::new(2, limits(1)).started(&[A]);
    script.expect(
        Event::Pressed(Press::Interrupt),
        &[raised(
            Stage::Draining,
            Cause::Pressed(Press::Interrupt),
            1,
            1,
        )],
    );
    script.after(Duration::from_secs(10)).expect(
        Event::Pressed(Press::Interrupt),
        &[
            raised(Stage::Terminating, Cause::Pressed(Press::Interrupt), 1, 1),
            signal(A, StopSignal::Interrupt),
        ],
    );
    assert_eq!(script.scheduler.wake_at(), Some(Duration::from_secs(16)));
    script
        .after(Duration::from_secs(6))
        .expect(Event::Woke, &[signal(A, StopSignal::Terminate)])
        .after(Duration::from_secs(2))
        .expect(Event::Woke, &[signal(A, StopSignal::Kill)])
        .expect(
            Event::Exited {
                item: A,
                ending: Ending::Killed(9),
                fault: Fault::Item,
            },
            &[record(A, Outcome::Interrupted)],
        )
        .expect(
            Event::Recorded { item: A },
            &[ended(A, Outcome::Interrupted)],
        );
    assert!(script.scheduler.is_over());
    assert_eq!(script.scheduler.fatal(), Some(Press::Interrupt));
}

#[test]
fn a_quit_kills_at_once() {
    let mut script = Script::new(1, limits(1)).started(&[A]);
    script.expect(
        Event::Pressed(Press::Quit),
        &[
            raised(Stage::Killing, Cause::Pressed(Press::Quit), 1, 0),
            signal(A, StopSignal::Kill),
        ],
    );
}

#[test]
fn a_stopped_item_is_interrupted_even_when_it_exits_with_0() {
    Script::new(1, limits(1))
        .started(&[A])
        .expect(
            Event::Pressed(Press::Terminate),
            &[
                raised(Stage::Terminating, Cause::Pressed(Press::Terminate), 1, 0),
                signal(A, StopSignal::Interrupt),
            ],
        )
        .expect(exited(A, 0), &[record(A, Outcome::Interrupted)]);
}

#[test]
fn the_nth_failure_drains() {
    let mut script = Script::new(
        4,
        Limits {
            failures_max: Some(2),
            ..limits(1)
        },
    )
    .started(&[A]);
    script
        .expect(exited(A, 1), &[record(A, Outcome::Failed), reserve(B)])
        .expect(granted(B), &[spawn(B, 1)])
        .expect(
            Event::Exited {
                item: B,
                ending: Ending::Unstartable("gone".to_owned()),
                fault: Fault::Item,
            },
            &[
                record(B, Outcome::Failed),
                raised(Stage::Draining, Cause::Failures, 0, 2),
            ],
        );
}

#[test]
fn a_full_disk_drains_while_what_runs_is_still_recorded() {
    let mut script = Script::new(3, limits(2)).started(&[A, B]);
    script
        .expect(
            Event::SpaceRanOut,
            &[raised(Stage::Draining, Cause::SpaceRanOut, 2, 1)],
        )
        .expect(exited(A, 0), &[record(A, Outcome::Done)])
        .expect(exited(B, 1), &[record(B, Outcome::Failed)])
        .expect(Event::SpaceRanOut, &[]);
    assert!(!script.scheduler.is_over(), "what ended is not on disk yet");
}

#[test]
fn a_lost_journal_drains_and_counts_what_it_could_not_take() {
    let mut script = Script::new(3, limits(2)).started(&[A, B]);
    script
        .expect(exited(A, 0), &[record(A, Outcome::Done), reserve(C)])
        .expect(
            Event::RecordLost { item: A },
            &[
                Action::Withdraw { item: C },
                raised(Stage::Draining, Cause::JournalLost, 1, 1),
            ],
        )
        .expect(exited(B, 0), &[record(B, Outcome::Done)])
        .expect(Event::RecordLost { item: B }, &[]);
    assert!(script.scheduler.is_over());
    assert_eq!(
        script.scheduler.tally(),
        Tally {
            unrecorded: 2,
            ..Tally::default()
        }
    );
}

#[test]
fn an_attempt_that_takes_too_long_is_stopped_and_counts_as_failed() {
    let timeout = Duration::from_secs(90);
    let mut script = Script::new(
        1,
        Limits {
            timeout,
            ..limits(1)
        },
    )
    .started(&[A]);
    assert_eq!(script.scheduler.wake_at(), Some(timeout));
    script
        .after(timeout)
        .expect(Event::Woke, &[signal(A, StopSignal::Interrupt)])
        .after(Duration::from_secs(8))
        .expect(Event::Woke, &[signal(A, StopSignal::Kill)])
        .expect(
            Event::Exited {
                item: A,
                ending: Ending::Killed(9),
                fault: Fault::Item,
            },
            &[record(A, Outcome::TimedOut)],
        )
        .expect(Event::Recorded { item: A }, &[ended(A, Outcome::TimedOut)]);
    assert_eq!(script.scheduler.tally().failed, 1);
}

#[test]
fn a_silent_attempt_is_stopped_and_one_that_prints_is_not() {
    let idle_timeout = Duration::from_mins(1);
    let mut script = Script::new(
        1,
        Limits {
            idle_timeout,
            ..limits(1)
        },
    )
    .started(&[A]);
    let second = Duration::from_secs;
    script
        .after(second(60))
        .expect(Event::Woke, &[Action::Listen { item: A }])
        .expect(
            Event::Silent {
                item: A,
                since: second(50),
            },
            &[],
        );
    assert_eq!(
        script.scheduler.wake_at(),
        Some(second(110)),
        "60 s after its last byte"
    );
    script
        .after(second(50))
        .expect(Event::Woke, &[Action::Listen { item: A }])
        .expect(
            Event::Silent {
                item: A,
                since: second(50),
            },
            &[signal(A, StopSignal::Interrupt)],
        );
}

#[test]
fn the_deadline_drains_and_leaves_the_rest() {
    let stop_after = Duration::from_hours(1);
    let mut script = Script::new(
        2,
        Limits {
            stop_after,
            ..limits(1)
        },
    )
    .started(&[A]);
    assert_eq!(script.scheduler.wake_at(), Some(stop_after));
    script
        .after(stop_after)
        .expect(
            Event::Woke,
            &[raised(Stage::Draining, Cause::Deadline, 1, 1)],
        )
        .expect(exited(A, 0), &[record(A, Outcome::Done)])
        .expect(Event::Recorded { item: A }, &[ended(A, Outcome::Done)]);
    assert!(script.scheduler.is_over() && script.scheduler.gave_up_on_work());
    assert_eq!(script.scheduler.wake_at(), None);
}

#[test]
fn nothing_is_started_that_would_not_end_before_the_deadline() {
    let stop_after = Duration::from_hours(1);
    let hour = |width| Limits {
        stop_after,
        ..limits(width)
    };
    let mut script = Script::new(2, hour(1)).started(&[A]);
    script.scheduler.foresee(Duration::from_mins(20));
    let last_start = Duration::from_mins(40);
    assert_eq!(script.scheduler.wake_at(), Some(last_start));
    let nothing_fits = raised(Stage::Draining, Cause::NothingFits, 1, 1);
    script
        .after(last_start)
        .expect(Event::Woke, &[nothing_fits]);
    assert!(script.scheduler.gave_up_on_work());

    let mut all_started = Script::new(1, hour(1)).started(&[A]);
    all_started.scheduler.foresee(Duration::from_mins(20));
    assert_eq!(all_started.scheduler.wake_at(), Some(stop_after));

    let mut never_fits = Script::new(2, hour(1)).started(&[A]);
    never_fits.scheduler.foresee(stop_after);
    assert_eq!(never_fits.scheduler.wake_at(), Some(stop_after));
}

#[test]
fn how_long_items_of_this_run_took_counts_more_than_earlier_runs() {
    let mut script = Script::new(
        5,
        Limits {
            stop_after: Duration::from_hours(1),
            ..limits(3)
        },
    )
    .started(&[A, B, C]);
    script.scheduler.foresee(Duration::from_mins(50));
    assert_eq!(script.scheduler.deadline(), Duration::from_mins(10));
    for _ in 0..3 {
        script.scheduler.done_times.add(Duration::from_mins(2));
    }
    assert_eq!(script.scheduler.deadline(), Duration::from_mins(58));
}

#[test]
fn an_item_for_which_the_system_has_no_room_waits_and_fewer_run_until_it_recovers() {
    let mut script = Script::new(3, limits(3)).started(&[A, B, C]);
    let crowded = Event::Exited {
        item: C,
        ending: Ending::Crowded("EAGAIN".to_owned()),
        fault: Fault::Item,
    };
    script.expect(
        crowded,
        &[Action::Emit(Notice::Crowded { item: C, width: 2 })],
    );
    assert_eq!(script.scheduler.wake_at(), Some(CROWDED_WAIT));
    script
        .after(CROWDED_WAIT)
        .expect(Event::Woke, &[])
        .expect(exited(A, 0), &[record(A, Outcome::Done), reserve(C)])
        .expect(granted(C), &[spawn(C, 1)]);
    assert_eq!(script.scheduler.wake_at(), None);
}

#[test]
fn a_system_without_room_for_a_single_process_ends_the_run_and_leaves_the_rest() {
    let mut script = Script::new(2, limits(1)).started(&[A]);
    let crowded = || Event::Exited {
        item: A,
        ending: Ending::Crowded("EAGAIN".to_owned()),
        fault: Fault::Item,
    };
    script
        .expect(
            crowded(),
            &[Action::Emit(Notice::Crowded { item: A, width: 1 })],
        )
        .after(CROWDED_WAIT)
        .expect(Event::Woke, &[reserve(A)])
        .expect(granted(A), &[spawn(A, 1)])
        .after(NO_ROOM_TIME_MAX)
        .expect(crowded(), &[raised(Stage::Draining, Cause::NoRoom, 0, 2)]);
    assert!(script.scheduler.is_over() && script.scheduler.gave_up_on_work());
}

#[test]
fn an_item_that_runs_much_longer_than_the_others_did_is_told_of_once() {
    const D: ItemIndex = ItemIndex(3);
    let mut script = Script::new(4, limits(4)).started(&[A, B, C, D]);
    script.after(Duration::from_secs(1));
    for item in [A, B, C] {
        script
            .expect(exited(item, 0), &[record(item, Outcome::Done)])
            .expect(Event::Recorded { item }, &[ended(item, Outcome::Done)]);
    }
    assert_eq!(script.scheduler.wake_at(), Some(STRAGGLER_AFTER_MIN));
    let (time, usual) = (STRAGGLER_AFTER_MIN, Duration::from_secs(1));
    let straggles = Notice::Straggles {
        item: D,
        time,
        usual,
    };
    script
        .after(STRAGGLER_AFTER_MIN.saturating_sub(usual))
        .expect(Event::Woke, &[Action::Emit(straggles)])
        .after(STRAGGLER_AFTER_MIN)
        .expect(Event::Woke, &[]);
    assert_eq!(script.scheduler.wake_at(), None);
}

fn with_retries(retries_max: u32) -> Limits {
    Limits {
        retry: RetryRule {
            retries_max,
            exit_codes: ExitCodes::default(),
        },
        ..limits(1)
    }
}

/// The wait that the scheduler announces for the next attempt of `item`.
fn announced_wait(script: &mut Script, item: ItemIndex) -> Duration {
    let actions = script
        .scheduler
        .on_event(Event::Recorded { item }, script.now);
    let [Action::Emit(Notice::Retrying { wait, .. }), ..] = actions[..] else {
        panic!("no retry was announced: {actions:?}");
    };
    wait
}

#[test]
fn a_failed_item_gets_its_slot_again_after_its_wait_and_keeps_its_place() {
    let mut script = Script::new(2, with_retries(1)).started(&[A]);
    script
        .expect(exited(A, 1), &[record(A, Outcome::Failed), reserve(B)])
        .expect(granted(B), &[spawn(B, 1)]);
    let wait = announced_wait(&mut script, A);
    assert!((RETRY_AFTER..=RETRY_AFTER * 3 / 2).contains(&wait) && JITTER_PERCENT_MAX == 50);
    assert_eq!(script.scheduler.wake_at(), Some(wait));
    script
        .after(wait)
        .expect(Event::Woke, &[])
        .expect(exited(B, 0), &[record(B, Outcome::Done), reserve(A)])
        .expect(
            granted(A),
            &[Action::Spawn {
                item: A,
                attempt: 2,
                slot: Slot(1),
                credential: None,
            }],
        )
        .expect(exited(A, 1), &[record(A, Outcome::Failed)])
        .expect(Event::Recorded { item: A }, &[ended(A, Outcome::Failed)]);
}

#[test]
fn a_drain_is_obeyed_while_a_retry_waits() {
    let mut script = Script::new(1, with_retries(3)).started(&[A]);
    script.expect(exited(A, 1), &[record(A, Outcome::Failed)]);
    announced_wait(&mut script, A);
    assert!(!script.scheduler.is_over());
    script.expect(
        Event::Pressed(Press::Interrupt),
        &[
            ended(A, Outcome::Failed),
            raised(Stage::Draining, Cause::Pressed(Press::Interrupt), 0, 0),
        ],
    );
    assert!(script.scheduler.is_over());
}

#[test]
fn only_the_last_failure_of_an_item_counts_for_max_failures() {
    let mut script = Script::new(
        1,
        Limits {
            failures_max: Some(1),
            ..with_retries(1)
        },
    );
    script
        .expect(Event::Began, &[reserve(A)])
        .expect(granted(A), &[spawn(A, 1)]);
    script.expect(exited(A, 1), &[record(A, Outcome::Failed)]);
    let wait = announced_wait(&mut script, A);
    script
        .after(wait)
        .expect(Event::Woke, &[reserve(A)])
        .expect(
            granted(A),
            &[Action::Spawn {
                item: A,
                attempt: 2,
                slot: Slot(1),
                credential: None,
            }],
        );
    script.expect(
        exited(A, 1),
        &[
            record(A, Outcome::Failed),
            raised(Stage::Draining, Cause::Failures, 0, 0),
        ],
    );
}

fn sequential() -> Limits {
    Limits {
        discipline: Discipline::Shared,
        ..limits(1)
    }
}

#[test]
fn an_item_that_takes_back_its_exit_0_is_not_done() {
    for (fault, outcome) in [
        (Fault::Credential, Outcome::Deferred),
        (Fault::Provider, Outcome::Deferred),
        (Fault::Denied, Outcome::Failed),
        (Fault::Item, Outcome::Done),
    ] {
        let event = Event::Exited {
            item: A,
            ending: Ending::Exited(0),
            fault,
        };
        Script::new(1, limits(1))
            .started(&[A])
            .expect(event, &[record(A, outcome)]);
    }
}

#[test]
fn a_sequential_item_begins_when_the_one_before_is_on_disk() {
    Script::new(2, sequential())
        .started(&[A])
        .expect(exited(A, 0), &[record(A, Outcome::Done)])
        .expect(
            Event::Recorded { item: A },
            &[ended(A, Outcome::Done), reserve(B)],
        );
}

#[test]
fn a_sequential_item_that_we_stopped_for_its_time_does_not_stop_the_run() {
    let timeout = Duration::from_secs(90);
    let mut script = Script::new(
        2,
        Limits {
            timeout,
            ..sequential()
        },
    )
    .started(&[A]);
    script
        .after(timeout)
        .expect(Event::Woke, &[signal(A, StopSignal::Interrupt)])
        .expect(
            Event::Exited {
                item: A,
                ending: Ending::Killed(SIGINT),
                fault: Fault::Item,
            },
            &[record(A, Outcome::TimedOut)],
        )
        .expect(
            Event::Recorded { item: A },
            &[ended(A, Outcome::TimedOut), reserve(B)],
        );
}

#[test]
fn a_failed_item_whose_retry_waits_for_a_slot_stays_failed_when_the_run_drains() {
    let mut script = Script::new(2, with_retries(1)).started(&[A]);
    script
        .expect(exited(A, 1), &[record(A, Outcome::Failed), reserve(B)])
        .expect(granted(B), &[spawn(B, 1)]);
    let wait = announced_wait(&mut script, A);
    script.after(wait).expect(Event::Woke, &[]).expect(
        Event::Pressed(Press::Interrupt),
        &[
            raised(Stage::Draining, Cause::Pressed(Press::Interrupt), 1, 1),
            ended(A, Outcome::Failed),
        ],
    );
    assert_eq!(script.scheduler.queued(), 0);
}

#[test]
fn a_sequential_run_stops_after_the_child_that_ctrl_c_reached() {
    let mut script = Script::new(2, sequential()).started(&[A]);
    script
        .expect(
            Event::Pressed(Press::Interrupt),
            &[raised(
                Stage::Draining,
                Cause::Pressed(Press::Interrupt),
                1,
                1,
            )],
        )
        .expect(exited(A, 0), &[record(A, Outcome::Interrupted)]);
    assert_eq!(script.scheduler.fatal(), Some(Press::Interrupt));
}

#[test]
fn a_sequential_child_that_died_of_ctrl_c_stops_the_run_before_the_signal_reaches_us() {
    let mut script = Script::new(2, sequential()).started(&[A]);
    script
        .expect(
            Event::Exited {
                item: A,
                ending: Ending::Killed(SIGINT),
                fault: Fault::Item,
            },
            &[
                raised(Stage::Draining, Cause::Pressed(Press::Interrupt), 1, 1),
                record(A, Outcome::Interrupted),
            ],
        )
        .expect(Event::Pressed(Press::Interrupt), &[]);
    assert_eq!(script.scheduler.fatal(), Some(Press::Interrupt));
}

#[test]
fn a_sequential_run_passes_sigterm_on() {
    Script::new(2, sequential()).started(&[A]).expect(
        Event::Pressed(Press::Terminate),
        &[
            raised(Stage::Draining, Cause::Pressed(Press::Terminate), 1, 1),
            signal(A, StopSignal::Terminate),
        ],
    );
}

/// The world as naively as it can be told: it answers actions in any order and keeps count.
#[derive(Default)]
struct World {
    reserving: Vec<ItemIndex>,
    running: BTreeMap<ItemIndex, Slot>,
    recording: Vec<ItemIndex>,
    recorded: Vec<ItemIndex>,
    ended: Vec<ItemIndex>,
    listening: Vec<ItemIndex>,
    attempts_max: u32,
    stage: Option<Stage>,
}

impl World {
    fn take(&mut self, actions: Vec<Action>, width: usize) {
        for action in actions {
            match action {
                Action::Reserve { item } => self.reserving.push(item),
                Action::Withdraw { item } => self.reserving.retain(|&waiting| waiting != item),
                Action::Spawn {
                    item,
                    slot,
                    attempt,
                    ..
                } => {
                    assert!(attempt <= self.attempts_max, "too many attempts");
                    assert!(self.stage.is_none(), "started while stopping");
                    assert!(!self.ended.contains(&item), "started after its end");
                    assert!(!self.running.contains_key(&item), "started twice");
                    assert!(
                        self.running.values().all(|&taken| taken != slot),
                        "slot taken"
                    );
                    assert!((1..=width).contains(&(slot.0 as usize)), "no such slot");
                    self.running.insert(item, slot);
                    assert!(self.running.len() <= width, "too many at once");
                }
                Action::Signal { item, .. } => assert!(self.running.contains_key(&item)),
                Action::Listen { item } => self.listening.push(item),
                Action::Record { item, .. } => self.recording.push(item),
                Action::Emit(Notice::Ended { item, outcome }) => {
                    assert!(
                        outcome == Outcome::Deferred || self.recorded.contains(&item),
                        "shown before it was recorded"
                    );
                    assert!(!self.ended.contains(&item), "ended twice");
                    self.ended.push(item);
                }
                Action::Emit(Notice::StageRaised {
                    raised, running, ..
                }) => {
                    assert!(Some(raised.stage) > self.stage, "the stage fell");
                    assert_eq!(running, self.running.len(), "running is miscounted");
                    self.stage = Some(raised.stage);
                }
                Action::Release { .. }
                | Action::Emit(
                    Notice::JournalLost
                    | Notice::Retrying { .. }
                    | Notice::Requeued { .. }
                    | Notice::Straggles { .. }
                    | Notice::Crowded { .. },
                ) => {}
            }
        }
    }

    /// The event that `choice` picks among those that can happen now.
    fn next(&mut self, choice: u8, fate: u8, now: Duration) -> Event {
        if let Some(item) = self.listening.pop() {
            let since = now.saturating_sub(Duration::from_millis(fate.into()) * 40);
            return Event::Silent { item, since };
        }
        let nth = usize::from(choice) / 4;
        match choice % 4 {
            0 if !self.reserving.is_empty() => {
                let item = self.reserving.remove(nth % self.reserving.len());
                Event::Reserved {
                    item,
                    credential: None,
                }
            }
            1 if !self.running.is_empty() => {
                let item = *self
                    .running
                    .keys()
                    .nth(nth % self.running.len())
                    .expect("some run");
                self.running.remove(&item);
                let ending = match fate % 5 {
                    4 => Ending::Crowded(String::new()),
                    0 => Ending::Exited(1),
                    1 => Ending::Killed(9),
                    _ => Ending::Exited(0),
                };
                Event::Exited {
                    item,
                    ending,
                    fault: Fault::Item,
                }
            }
            2 if !self.recording.is_empty() => {
                let item = self.recording.remove(nth % self.recording.len());
                self.recorded.push(item);
                Event::Recorded { item }
            }
            3 if fate == 255 => Event::Pressed(Press::Interrupt),
            3 if fate == 254 => Event::Pressed(Press::Terminate),
            _ => Event::Woke,
        }
    }
}

proptest! {
    #[test]
    fn any_course_of_events_keeps_the_rules(
        items in 0_usize..40,
        width in 1_usize..6,
        failures_max in prop::option::of(1_usize..4),
        retries_max in 0_u32..3,
        timeouts in (1_u64..60, 1_u64..10),
        // Time flies, or hardly passes.
        course in prop::collection::vec((any::<u8>(), any::<u8>(), prop_oneof![0_u64..5000, 0_u64..20]), 0..400),
    ) {
        let limits = Limits {
            failures_max,
            timeout: Duration::from_secs(timeouts.0),
            idle_timeout: Duration::from_secs(timeouts.1),
            retry: RetryRule { retries_max, exit_codes: ExitCodes::default() },
            ..limits(width)
        };
        let mut scheduler = Scheduler::new(items, limits);
        let mut world = World { attempts_max: retries_max + 1, ..World::default() };
        let mut now = Duration::ZERO;
        world.take(scheduler.on_event(Event::Began, now), width);
        for (choice, fate, millis) in course {
            now += Duration::from_millis(millis);
            let event = world.next(choice, fate, now);
            // The world takes an ended item out first, as the process is gone when the event is sent.
            world.take(scheduler.on_event(event, now), width);
        }
        // Whatever happened so far, answering everything brings the run to its end.
        for round in 0.. {
            if scheduler.is_over() { break; }
            prop_assert!(round < 1000, "the run does not end");
            now = now.max(scheduler.wake_at().unwrap_or_default());
            let event = world.next([0, 1, 2, 3][round % 4], 2, now);
            world.take(scheduler.on_event(event, now), width);
        }
        prop_assert!(world.running.is_empty() && world.recording.is_empty());
        let tally = scheduler.tally();
        let told = tally.done + tally.failed + tally.interrupted + tally.deferred;
        prop_assert_eq!(told, world.ended.len());
        prop_assert_eq!(told + scheduler.queued(), items);
        prop_assert_eq!(scheduler.wake_at(), None);
    }
}
