//! The scheduler: which item runs when, in which slot, and how a run comes to its end.
//!
//! `run` is its only caller. It owns the queue, the worker slots and the stage of the run, and must never
//! wait, read a clock or touch anything outside itself: that is what makes every path testable in microseconds.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bottleneck::{Limiter, Load};
use super::event::{
    Action, CredentialIndex, Ending, Event, Fault, ItemIndex, Notice, Outcome, Slot, StopSignal,
};
use super::queue::Queue;
use super::retry::{REQUEUE_TIME_MAX, REQUEUES_MAX, RetryRule, Spread, requeue_wait};
use super::room::Room;
use super::slots::Slots;
use super::stage::{Cause, Discipline, Press, Raised, Stage, Stages};
use super::stop::StopSequence;
use super::straggler::DoneTimes;
use super::unrecorded::{Next, Unrecorded};

/// The number of SIGINT, the same on every Unix (POSIX `kill -2`).
const SIGINT: i32 = 2;

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
    /// How long an item may wait for a credential.
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
    active: BTreeMap<ItemIndex, Active>,
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

/// Where an item is between the queue and its end.
#[derive(Debug)]
enum Active {
    Reserving {
        slot: Slot,
        since: Duration,
    },
    Running {
        slot: Slot,
        credential: Option<CredentialIndex>,
        started_at: Duration,
        /// A person knows that it takes long.
        straggles: bool,
        /// When the attempt has taken too long.
        late_at: Duration,
        /// When it is worth asking whether it has printed something.
        listen_at: Duration,
        stopping: Stopping,
    },
    /// Between two attempts, of which the first ended like this.
    Waiting {
        until: Duration,
        outcome: Outcome,
    },
}

/// How often an item has gone back to the queue, and since when.
#[derive(Debug, Clone, Copy)]
struct Requeues {
    count: u32,
    since: Duration,
}

/// What has been done to stop a running item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    /// Our terminal or our caller told it, not we.
    Told,
    /// The run is being stopped.
    WithTheRun(StopSequence),
    /// It took too long.
    Late(StopSequence),
}

impl Stopping {
    const fn sequence(&mut self) -> Option<&mut StopSequence> {
        match self {
            Self::No | Self::Told => None,
            Self::WithTheRun(stop) | Self::Late(stop) => Some(stop),
        }
    }
}

impl Scheduler {
    /// A run over `items` items, of which none has been started.
    #[must_use]
    pub fn new(items: usize, limits: Limits) -> Self {
        Self {
            stages: Stages::new(limits.discipline),
            slots: Slots::new(limits.width),
            queue: Queue::new(items),
            active: BTreeMap::new(),
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
        self.signal_what_is_due(now);
        self.stop_what_is_late(now);
        self.tell_of_stragglers(now);
        self.defer_what_waited_too_long(now);
        self.queue_what_has_waited(now);
        self.end_what_will_not_be_tried_again();
        self.fill_slots(now);
        std::mem::take(&mut self.actions)
    }

    /// When [`Event::Woke`] is to be sent, as a time since the run began; `None` when nothing is timed.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let deadline = Some(self.deadline()).filter(|_| !self.is_stopping());
        let room = self
            .room
            .look_at()
            .filter(|_| !self.is_stopping() && !self.queue.is_empty());
        let due = |active: &Active| match active {
            Active::Reserving { since, .. } => {
                Some(since.saturating_add(self.limits.credential_wait))
            }
            Active::Running {
                stopping,
                started_at,
                straggles,
                late_at,
                listen_at,
                ..
            } => match stopping {
                Stopping::No => {
                    let straggles_at = self.straggles_at(*started_at, *straggles);
                    Some(*late_at.min(listen_at).min(&straggles_at))
                }
                Stopping::Told => None,
                Stopping::WithTheRun(stop) | Stopping::Late(stop) => stop.next(),
            },
            Active::Waiting { until, .. } => Some(*until),
        };
        let first = self
            .active
            .values()
            .filter_map(due)
            .chain(deadline)
            .chain(room)
            .min();
        first.filter(|&wake| wake < Duration::MAX)
    }

    /// How long an item takes, going by earlier runs; as soon as items of this run say it, they know better.
    pub const fn foresee(&mut self, usual: Duration) {
        self.foreseen = Some(usual);
    }

    /// When to start nothing more for want of time: what waits then would not have ended by `--stop-after`. Items that
    /// never fit are tried all the same, or nobody would ever know that they have become faster.
    fn deadline(&self) -> Duration {
        let stop_after = self.limits.stop_after;
        if self.queue.is_empty() {
            return stop_after;
        }
        let usual = self.done_times.usual_if_known().or(self.foreseen);
        let last_start = usual.and_then(|usual| stop_after.checked_sub(usual));
        last_start
            .filter(|last_start| !last_start.is_zero())
            .unwrap_or(stop_after)
    }

    /// Whether nothing runs, nothing waits to be recorded, and nothing more will start.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.active.is_empty()
            && self.unrecorded.is_empty()
            && (self.queue.is_empty() || self.is_stopping())
    }

    /// Whether nothing runs, and outcomes wait to be recorded.
    #[must_use]
    pub fn waits_for_the_disk(&self) -> bool {
        !self.unrecorded.is_empty() && self.holding_slots() == 0
    }

    /// How many items have come to which end so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Items that were never started.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Items that have a slot, and wait for a credential.
    #[must_use]
    pub fn reserving(&self) -> usize {
        self.holding_slots() - self.running()
    }

    /// Items that wait until they may be tried again.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let waits = |active: &&Active| matches!(active, Active::Waiting { .. });
        self.active.values().filter(waits).count()
    }

    /// Whether `--stop-after`, or want of room, has kept items from being started.
    #[must_use]
    pub fn gave_up_on_work(&self) -> bool {
        self.gave_up && !self.queue.is_empty()
    }

    /// How wide the run is; `reservation_by` is what keeps a credential from the items that wait for one.
    ///
    /// Items that wait for another attempt want nothing yet, and a run that is being stopped wants no more than it has.
    #[must_use]
    pub fn load(&self, reservation_by: Option<Limiter>) -> Load {
        let running = self.running();
        let holding = self.holding_slots();
        let ready = if self.is_stopping() {
            running
        } else {
            holding + self.queue.len()
        };
        let is_crowded = holding >= self.room.width() && self.room.width() < self.limits.width;
        let slot_by = if holding > running {
            reservation_by
        } else {
            Some(Limiter::Room).filter(|_| is_crowded)
        };
        Load {
            running,
            fits: ready.min(self.limits.width),
            wanted: ready.min(self.limits.asked),
            width_by: self.limits.narrowed_by,
            slot_by,
        }
    }

    /// The signal to die by, when one has taken the run past draining.
    #[must_use]
    pub const fn fatal(&self) -> Option<Press> {
        self.stages.fatal()
    }

    /// Whether the run is being stopped, by whatever.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stages.stage() > Stage::Running
    }

    fn on_reserved(&mut self, item: ItemIndex, credential: Option<CredentialIndex>, now: Duration) {
        let Some(Active::Reserving { slot, .. }) = self.active.get(&item) else {
            // Withdrawn while the grant was on its way.
            self.actions
                .extend(credential.map(|_| Action::Release { item }));
            return;
        };
        let slot = *slot;
        let running = Active::Running {
            slot,
            credential,
            started_at: now,
            straggles: false,
            late_at: now.saturating_add(self.limits.timeout),
            listen_at: now.saturating_add(self.limits.idle_timeout),
            stopping: Stopping::No,
        };
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

    fn on_exited(&mut self, item: ItemIndex, ending: &Ending, fault: Fault, now: Duration) {
        if self.limits.discipline == Discipline::Shared
            && *ending.of_the_last_process() == Ending::Killed(SIGINT)
            && !self.is_being_stopped(item)
        {
            // The Ctrl-C that killed it may not have reached us yet; shells, too, stop after such a child.
            self.on_pressed(Press::Interrupt, now);
        }
        let Some(Active::Running {
            slot,
            credential,
            started_at,
            stopping,
            ..
        }) = self.active.remove(&item)
        else {
            debug_assert!(false, "an item ended that does not run: {item:?}");
            return;
        };
        self.slots.put_back(slot);
        self.actions
            .extend(credential.map(|_| Action::Release { item }));
        if matches!(ending, Ending::Crowded(_)) {
            self.make_room(item, now);
            return;
        }
        self.room.recover();
        let outcome = match (outcome_of(ending, stopping), fault) {
            // It says itself that it is not.
            (Outcome::Done, Fault::Credential | Fault::Provider | Fault::Denied) => Outcome::Failed,
            (outcome, _) => outcome,
        };
        if outcome == Outcome::Done {
            self.done_times.add(now.saturating_sub(started_at));
        }
        let (outcome, next) = match (outcome, fault) {
            (Outcome::Failed, Fault::Credential | Fault::Provider) => (
                Outcome::Deferred,
                self.requeue(item, credential.is_some(), now),
            ),
            _ => (outcome, self.retry(item, outcome, ending)),
        };
        self.unrecorded.add(item, outcome, next, now);
        self.actions.push(Action::Record { item, outcome });
        if outcome.is_failure() && next == Next::End {
            self.count_failure(now);
        }
    }

    fn retry(&mut self, item: ItemIndex, outcome: Outcome, ending: &Ending) -> Next {
        if !outcome.is_failure() {
            return Next::End;
        }
        let failures = self.failures.entry(item).or_default();
        *failures += 1;
        let random = self.spread.next();
        match self.limits.retry.wait(*failures, ending, random) {
            Some(wait) if !self.is_stopping() => Next::Retry(wait),
            Some(_) | None => Next::End,
        }
    }

    /// It was not the item's fault, so it comes next; but not for ever. Where no pool makes it wait, it waits by itself.
    fn requeue(&mut self, item: ItemIndex, has_pool: bool, now: Duration) -> Next {
        let new = Requeues {
            count: 0,
            since: now,
        };
        let is_stopping = self.is_stopping();
        let requeues = self.requeues.entry(item).or_insert(new);
        requeues.count += 1;
        let is_endless =
            requeues.count > REQUEUES_MAX || now >= requeues.since.saturating_add(REQUEUE_TIME_MAX);
        if is_endless || is_stopping {
            Next::End
        } else if has_pool {
            Next::Requeue
        } else {
            let count = requeues.count;
            Next::Retry(requeue_wait(count, self.spread.next()))
        }
    }

    fn on_no_credential(&mut self, rejected: bool, now: Duration) {
        let cause = if rejected {
            Cause::CredentialsRejected
        } else {
            Cause::NoCredential
        };
        self.gave_up |= !self.is_stopping();
        self.raise(Stage::Draining, cause, now);
    }

    /// Nothing was started, so nothing is used up: the item stands in front again, and fewer run at once.
    fn make_room(&mut self, item: ItemIndex, now: Duration) {
        if let Some(attempt) = self.attempts.get_mut(&item) {
            *attempt -= 1;
        }
        self.queue.put_back(item);
        let told = self.room.refused(self.running(), now);
        self.actions
            .extend(told.map(|width| Action::Emit(Notice::Crowded { item, width })));
    }

    fn is_being_stopped(&self, item: ItemIndex) -> bool {
        matches!(
            self.active.get(&item),
            Some(Active::Running {
                stopping: Stopping::Late(_) | Stopping::WithTheRun(_),
                ..
            })
        )
    }

    fn count_failure(&mut self, now: Duration) {
        self.failed += 1;
        if self
            .limits
            .failures_max
            .is_some_and(|max| self.failed >= max)
        {
            self.raise(Stage::Draining, Cause::Failures, now);
        }
    }

    fn on_recorded(&mut self, item: ItemIndex, now: Duration) {
        let Some((outcome, next)) = self.unrecorded.remove(item) else {
            debug_assert!(false, "a record came back that nobody asked for: {item:?}");
            return;
        };
        match next {
            Next::Requeue if !self.is_stopping() => {
                self.last_outcomes.insert(item, outcome);
                self.queue.put_back(item);
                self.actions.push(Action::Emit(Notice::Requeued { item }));
            }
            Next::Retry(wait) if !self.is_stopping() => {
                let until = now.saturating_add(wait);
                self.active.insert(item, Active::Waiting { until, outcome });
                self.last_outcomes.insert(item, outcome);
                let attempt = self.attempts.get(&item).copied().unwrap_or(0) + 1;
                self.actions.push(Action::Emit(Notice::Retrying {
                    item,
                    outcome,
                    attempt,
                    wait,
                }));
            }
            Next::End | Next::Requeue | Next::Retry(_) => self.end(item, outcome),
        }
    }

    /// A process that prints is not idle: it is asked again when its silence would have lasted too long.
    fn on_silent(&mut self, item: ItemIndex, since: Duration, now: Duration) {
        let silent_too_long_at = since.saturating_add(self.limits.idle_timeout);
        if let Some(Active::Running {
            listen_at, late_at, ..
        }) = self.active.get_mut(&item)
        {
            *listen_at = silent_too_long_at;
            if now >= silent_too_long_at {
                *late_at = now;
            }
        }
    }

    fn on_record_lost(&mut self, item: ItemIndex, now: Duration) {
        self.unrecorded.remove(item);
        self.tally.unrecorded += 1;
        match self.stages.raise(Stage::Draining, Cause::JournalLost) {
            Some(raised) => self.enter(raised, now),
            None if self.tally.unrecorded == 1 => {
                self.actions.push(Action::Emit(Notice::JournalLost));
            }
            None => {}
        }
    }

    fn on_pressed(&mut self, press: Press, now: Duration) {
        if let Some(raised) = self.stages.press(press, now) {
            self.enter(raised, now);
        }
        if self.limits.discipline == Discipline::Shared {
            self.tell_the_shared_child(press);
        }
    }

    /// In sequential mode the terminal has told the child; a SIGTERM that only we got is passed on.
    fn tell_the_shared_child(&mut self, press: Press) {
        for (&item, active) in &mut self.active {
            if let Active::Running { stopping, .. } = active {
                if *stopping == Stopping::No {
                    *stopping = Stopping::Told;
                }
                if press == Press::Terminate {
                    self.actions.push(Action::Signal {
                        item,
                        signal: StopSignal::Terminate,
                    });
                }
            }
        }
    }

    fn raise(&mut self, stage: Stage, cause: Cause, now: Duration) {
        if let Some(raised) = self.stages.raise(stage, cause) {
            self.enter(raised, now);
        }
    }

    fn enter(&mut self, raised: Raised, now: Duration) {
        self.withdraw_reservations();
        self.end_what_waits();
        let running = self.running();
        self.actions.push(Action::Emit(Notice::StageRaised {
            raised,
            running,
            queued: self.queue.len(),
        }));
        match raised.stage {
            Stage::Running | Stage::Draining => {}
            Stage::Terminating => self.begin_stop(now),
            Stage::Killing => self.kill_all(now),
        }
    }

    /// What waits for a credential goes back to the front of the queue, in its old order.
    fn withdraw_reservations(&mut self) {
        let waiting: Vec<ItemIndex> = self
            .active
            .iter()
            .filter(|(_, active)| matches!(active, Active::Reserving { .. }))
            .map(|(&item, _)| item)
            .collect();
        for item in waiting.into_iter().rev() {
            self.leave_reservation(item);
            self.queue.put_back(item);
        }
    }

    /// What failed and was to be tried again stays failed: nothing new starts.
    fn end_what_waits(&mut self) {
        let waiting = |active: &Active| match active {
            Active::Waiting { outcome, .. } => Some(*outcome),
            Active::Reserving { .. } | Active::Running { .. } => None,
        };
        let ended: Vec<(ItemIndex, Outcome)> = self
            .active
            .iter()
            .filter_map(|(&item, active)| waiting(active).map(|outcome| (item, outcome)))
            .collect();
        for (item, outcome) in ended {
            self.active.remove(&item);
            self.end(item, outcome);
        }
    }

    /// What had failed and waited in the queue for a slot stays failed, too.
    fn end_what_will_not_be_tried_again(&mut self) {
        if !self.is_stopping() || self.last_outcomes.is_empty() {
            return;
        }
        let outcomes = &self.last_outcomes;
        let tried = self
            .queue
            .take_back_again(|item| outcomes.contains_key(&item));
        for item in tried {
            if let Some(outcome) = self.last_outcomes.remove(&item) {
                self.end(item, outcome);
            }
        }
    }

    fn leave_reservation(&mut self, item: ItemIndex) {
        if let Some(Active::Reserving { slot, .. }) = self.active.remove(&item) {
            self.slots.put_back(slot);
            self.actions.push(Action::Withdraw { item });
        }
    }

    fn begin_stop(&mut self, now: Duration) {
        let grace = self.limits.grace;
        for (&item, active) in &mut self.active {
            if let Active::Running { stopping, .. } = active
                && *stopping == Stopping::No
            {
                *stopping = Stopping::WithTheRun(StopSequence::begin(now, grace));
                self.actions.push(Action::Signal {
                    item,
                    signal: StopSignal::Interrupt,
                });
            }
        }
    }

    fn kill_all(&mut self, now: Duration) {
        let grace = self.limits.grace;
        for (&item, active) in &mut self.active {
            if let Active::Running { stopping, .. } = active {
                if stopping.sequence().is_none() {
                    *stopping = Stopping::WithTheRun(StopSequence::begin(now, grace));
                }
                let signal = stopping.sequence().and_then(StopSequence::kill);
                self.actions
                    .extend(signal.map(|signal| Action::Signal { item, signal }));
            }
        }
    }

    fn signal_what_is_due(&mut self, now: Duration) {
        for (&item, active) in &mut self.active {
            if let Active::Running { stopping, .. } = active
                && let Some(signal) = stopping.sequence().and_then(|stop| stop.due(now))
            {
                self.actions.push(Action::Signal { item, signal });
            }
        }
    }

    fn stop_what_is_late(&mut self, now: Duration) {
        let (grace, idle_timeout) = (self.limits.grace, self.limits.idle_timeout);
        for (&item, active) in &mut self.active {
            let Active::Running {
                late_at,
                listen_at,
                stopping: stopping @ Stopping::No,
                ..
            } = active
            else {
                continue;
            };
            if now >= *late_at {
                *stopping = Stopping::Late(StopSequence::begin(now, grace));
                self.actions.push(Action::Signal {
                    item,
                    signal: StopSignal::Interrupt,
                });
            } else if now >= *listen_at {
                // Until the answer comes.
                *listen_at = now.saturating_add(idle_timeout);
                self.actions.push(Action::Listen { item });
            }
        }
    }

    fn tell_of_stragglers(&mut self, now: Duration) {
        let usual = self.done_times.usual();
        let Some(after) = self.done_times.straggles_after() else {
            return;
        };
        for (&item, active) in &mut self.active {
            if let Active::Running {
                started_at,
                straggles: straggles @ false,
                stopping: Stopping::No,
                ..
            } = active
                && now >= started_at.saturating_add(after)
                && self.limits.discipline == Discipline::Isolated
            {
                *straggles = true;
                let time = now.saturating_sub(*started_at);
                self.actions
                    .push(Action::Emit(Notice::Straggles { item, time, usual }));
            }
        }
    }

    /// When a person should learn that an attempt takes long; never, if they know it, or cannot be told.
    fn straggles_at(&self, started_at: Duration, is_known: bool) -> Duration {
        let told = is_known || self.limits.discipline == Discipline::Shared;
        let after = self.done_times.straggles_after().filter(|_| !told);
        after.map_or(Duration::MAX, |after| started_at.saturating_add(after))
    }

    fn queue_what_has_waited(&mut self, now: Duration) {
        let ready: Vec<ItemIndex> = self
            .active
            .iter()
            .filter(|(_, active)| matches!(active, Active::Waiting { until, .. } if now >= *until))
            .map(|(&item, _)| item)
            .collect();
        for item in ready.into_iter().rev() {
            self.active.remove(&item);
            self.queue.put_back(item);
        }
    }

    /// As long as something runs, its credential comes back, so the wait counts from its end.
    fn defer_what_waited_too_long(&mut self, now: Duration) {
        let wait = self.limits.credential_wait;
        if self.running() > 0 {
            for active in self.active.values_mut() {
                if let Active::Reserving { since, .. } = active {
                    *since = now;
                }
            }
            return;
        }
        let late: Vec<ItemIndex> = self
            .active
            .iter()
            .filter(|(_, active)| {
                matches!(active, Active::Reserving { since, .. } if now >= since.saturating_add(wait))
            })
            .map(|(&item, _)| item)
            .collect();
        for item in late {
            self.leave_reservation(item);
            self.end(item, Outcome::Deferred);
        }
    }

    fn fill_slots(&mut self, now: Duration) {
        if self.room.is_crowded(now) {
            return;
        }
        while !self.is_stopping()
            && !self.queue.is_empty()
            && self.unrecorded.leaves_room(now)
            && self.holding_slots() < self.room.width()
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

    fn end(&mut self, item: ItemIndex, outcome: Outcome) {
        let count = match outcome {
            Outcome::Done => &mut self.tally.done,
            Outcome::Failed | Outcome::TimedOut => &mut self.tally.failed,
            Outcome::Interrupted => &mut self.tally.interrupted,
            Outcome::Deferred => &mut self.tally.deferred,
        };
        *count += 1;
        self.actions
            .push(Action::Emit(Notice::Ended { item, outcome }));
    }

    fn holding_slots(&self) -> usize {
        let holds =
            |active: &&Active| matches!(active, Active::Reserving { .. } | Active::Running { .. });
        self.active.values().filter(holds).count()
    }

    fn running(&self) -> usize {
        self.active
            .values()
            .filter(|active| matches!(active, Active::Running { .. }))
            .count()
    }
}

/// So many outcomes may wait for a slow disk; in sequential mode each one is on disk before the next item begins.
const fn unrecorded_max(limits: &Limits) -> usize {
    match limits.discipline {
        Discipline::Shared => 0,
        Discipline::Isolated => limits.width,
    }
}

const fn outcome_of(ending: &Ending, stopping: Stopping) -> Outcome {
    match (ending, stopping) {
        (_, Stopping::Told | Stopping::WithTheRun(_)) => Outcome::Interrupted,
        (_, Stopping::Late(_)) => Outcome::TimedOut,
        (Ending::Exited(0), Stopping::No) => Outcome::Done,
        (
            Ending::Exited(_)
            | Ending::Killed(_)
            | Ending::Unstartable(_)
            | Ending::Crowded(_)
            | Ending::Unverified(_),
            Stopping::No,
        ) => Outcome::Failed,
    }
}

#[cfg(test)]
mod tests;
