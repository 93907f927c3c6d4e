//! The scheduler: which item runs when, in which slot, and how a run comes to its end.
//!
//! `run` is its only caller. It owns the queue, the worker slots and the stage of the run, and must never
//! wait, read a clock or touch anything outside itself: that is what makes every path testable in microseconds.

mod asked;
mod ends;
mod stopping;
mod timers;

use std::collections::BTreeMap;
use std::time::Duration;

use super::active::{Active, ActiveItems, Running, Stopping};
use super::bottleneck::Limiter;
use super::event::{Action, CredentialIndex, Event, ItemIndex, Outcome};
use super::queue::Queue;
use super::retry::{RetryRule, Spread};
use super::room::Room;
use super::slots::Slots;
use super::stage::{Cause, Discipline, Stage, Stages};
use super::straggler::DoneTimes;
use super::unrecorded::Unrecorded;

/// What bounds a run.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Items at once, at least 1: the number asked for, or fewer where `narrowed_by` says so.
    pub width: usize,
    /// The number of items at once that was asked for.
    pub asked: usize,
    /// Why there are fewer slots than were asked for.
    pub narrowed_by: Option<Limiter>,
    /// Drain after this many failed items.
    pub failures_max: Option<usize>,
    /// How long an item may wait for a credential while nothing runs that could give one back; then all give up.
    pub credential_wait: Duration,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How long an attempt may print nothing.
    pub idle_timeout: Duration,
    /// Drain when the run has lasted this long.
    pub stop_after: Duration,
    /// Which failed attempts are repeated, and when.
    pub retry: RetryRule,
    /// Spreads the waits of retries.
    pub seed: u64,
    /// How long a stopped item has from the first signal to SIGKILL.
    pub grace: Duration,
    /// Who else receives a Ctrl-C.
    pub discipline: Discipline,
}

/// How many items have come to which end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Done, and on disk.
    pub done: usize,
    /// Failed, or timed out.
    pub failed: usize,
    /// Stopped by us.
    pub interrupted: usize,
    /// Without a credential for too long.
    pub deferred: usize,
    /// Ended, but the journal could not take it.
    pub unrecorded: usize,
}

/// Decides what happens next.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    stages: Stages,
    queue: Queue,
    slots: Slots,
    active: ActiveItems,
    /// When an attempt ended last, whose credential may have come back then.
    last_end: Duration,
    unrecorded: Unrecorded,
    /// Attempts of items that have been started.
    attempts: BTreeMap<ItemIndex, u32>,
    /// Attempts that failed by the item's own fault.
    failures: BTreeMap<ItemIndex, u32>,
    /// Items that have gone back to the queue for no fault of their own.
    requeues: BTreeMap<ItemIndex, Requeues>,
    /// Of items that were to have another attempt.
    last_outcomes: BTreeMap<ItemIndex, Outcome>,
    spread: Spread,
    tally: Tally,
    failed: usize,
    room: Room,
    done_times: DoneTimes,
    /// How long an item took in earlier runs.
    foreseen: Option<Duration>,
    /// We drain for want of time or room, not because somebody wants it.
    gave_up: bool,
    actions: Vec<Action>,
}

/// How often an item has gone back to the queue, and since when.
#[derive(Debug, Clone, Copy)]
struct Requeues {
    count: u32,
    since: Duration,
}

impl Scheduler {
    /// A run over `items` items, of which none has been started.
    #[must_use]
    pub fn new(items: usize, limits: Limits) -> Self {
        Self {
            stages: Stages::new(limits.discipline),
            slots: Slots::new(limits.width),
            queue: Queue::new(items),
            active: ActiveItems::default(),
            last_end: Duration::ZERO,
            unrecorded: Unrecorded::new(unrecorded_max(&limits)),
            attempts: BTreeMap::new(),
            failures: BTreeMap::new(),
            requeues: BTreeMap::new(),
            last_outcomes: BTreeMap::new(),
            spread: Spread::new(limits.seed),
            tally: Tally::default(),
            failed: 0,
            room: Room::new(limits.width),
            done_times: DoneTimes::default(),
            foreseen: None,
            gave_up: false,
            actions: Vec::new(),
            limits,
        }
    }

    /// Takes note of `event` and says what is to be done about it, in this order.
    ///
    /// `now` is the time since the run began and never goes back.
    #[must_use]
    pub fn on_event(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match event {
            Event::Began | Event::Woke => {}
            Event::Reserved { item, credential } => self.on_reserved(item, credential, now),
            Event::Exited {
                item,
                ending,
                fault,
            } => self.on_exited(item, &ending, fault, now),
            Event::NoCredential { rejected } => self.on_no_credential(rejected, now),
            Event::Silent { item, since } => self.on_silent(item, since, now),
            Event::Recorded { item } => self.on_recorded(item, now),
            Event::RecordLost { item } => self.on_record_lost(item, now),
            Event::SpaceRanOut => self.raise(Stage::Draining, Cause::SpaceRanOut, now),
            Event::GuardLost => self.raise(Stage::Terminating, Cause::GuardLost, now),
            Event::Pressed(press) => self.on_pressed(press, now),
        }
        if now >= self.deadline() && !self.is_stopping() {
            self.gave_up = true;
            let cause = if now >= self.limits.stop_after {
                Cause::Deadline
            } else {
                Cause::NothingFits
            };
            self.raise(Stage::Draining, cause, now);
        }
        if self.room.is_hopeless(now) && !self.is_stopping() {
            self.gave_up = true;
            self.raise(Stage::Draining, Cause::NoRoom, now);
        }
        if self.active.may_be_due(now) {
            self.signal_what_is_due(now);
            self.stop_what_is_late(now);
            self.queue_what_has_waited(now);
            self.active.note_nothing_is_due();
        }
        self.tell_of_stragglers(now);
        self.give_up_waiting_for_credentials(now);
        self.end_what_will_not_be_tried_again();
        self.fill_slots(now);
        std::mem::take(&mut self.actions)
    }

    fn on_reserved(&mut self, item: ItemIndex, credential: Option<CredentialIndex>, now: Duration) {
        let Some(Active::Reserving { slot, .. }) = self.active.get(item) else {
            // Withdrawn while the grant was on its way.
            self.actions
                .extend(credential.map(|_| Action::Release { item }));
            return;
        };
        let slot = *slot;
        let running = Active::Running(Running {
            slot,
            credential,
            started_at: now,
            straggles: false,
            late_at: now.saturating_add(self.limits.timeout),
            listen_at: now.saturating_add(self.limits.idle_timeout),
            stopping: Stopping::No,
        });
        self.active.insert(item, running);
        let attempt = self.attempts.entry(item).or_default();
        *attempt += 1;
        self.actions.push(Action::Spawn {
            item,
            attempt: *attempt,
            slot,
            credential,
        });
    }

    fn fill_slots(&mut self, now: Duration) {
        if self.room.is_crowded(now) {
            return;
        }
        while !self.is_stopping()
            && !self.queue.is_empty()
            && self.unrecorded.leaves_room(now)
            && self.active.holding_slots() < self.room.width()
        {
            let Some(slot) = self.slots.take() else {
                return;
            };
            if let Some(item) = self.queue.take() {
                self.active
                    .insert(item, Active::Reserving { slot, since: now });
                self.actions.push(Action::Reserve { item });
            }
        }
    }
}

/// So many outcomes may wait for a slow disk; in sequential mode each one is on disk before the next item begins.
const fn unrecorded_max(limits: &Limits) -> usize {
    match limits.discipline {
        Discipline::Shared => 0,
        Discipline::Isolated => limits.width,
    }
}

#[cfg(test)]
mod tests;
