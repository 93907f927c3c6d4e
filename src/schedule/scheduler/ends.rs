//! What follows the end of an attempt: another one, or the item's own end.

use std::time::Duration;

use super::super::active::{Active, Running, Stopping};
use super::super::event::{Action, Ending, Fault, ItemIndex, Notice, Outcome};
use super::super::retry::{REQUEUE_TIME_MAX, REQUEUES_MAX, requeue_wait};
use super::super::stage::{Cause, Discipline, Press, Stage};
use super::super::unrecorded::Next;
use super::{Requeues, Scheduler};

/// The number of SIGINT, the same on every Unix (POSIX `kill -2`).
pub(super) const SIGINT: i32 = 2;

impl Scheduler {
    pub(super) fn on_exited(
        &mut self,
        item: ItemIndex,
        ending: &Ending,
        fault: Fault,
        now: Duration,
    ) {
        if self.limits.discipline == Discipline::Shared
            && *ending.of_the_last_process() == Ending::Killed(SIGINT)
            && !self.is_being_stopped(item)
        {
            // The Ctrl-C that killed it may not have reached us yet; shells, too, stop after such a child.
            self.on_pressed(Press::Interrupt, now);
        }
        let Some(Active::Running(Running {
            slot,
            credential,
            started_at,
            stopping,
            ..
        })) = self.active.remove(item)
        else {
            debug_assert!(false, "an item ended that does not run: {item:?}");
            return;
        };
        self.last_end = now;
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

    /// Nothing was started, so nothing is used up: the item stands in front again, and fewer run at once.
    fn make_room(&mut self, item: ItemIndex, now: Duration) {
        if let Some(attempt) = self.attempts.get_mut(&item) {
            *attempt -= 1;
        }
        self.queue.put_back(item);
        let told = self.room.refused(self.active.running(), now);
        self.actions
            .extend(told.map(|width| Action::Emit(Notice::Crowded { item, width })));
    }

    fn is_being_stopped(&self, item: ItemIndex) -> bool {
        matches!(
            self.active.get(item),
            Some(Active::Running(Running {
                stopping: Stopping::Late(_) | Stopping::WithTheRun(_),
                ..
            }))
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

    pub(super) fn on_recorded(&mut self, item: ItemIndex, now: Duration) {
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

    pub(super) fn on_record_lost(&mut self, item: ItemIndex, now: Duration) {
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

    pub(super) fn end(&mut self, item: ItemIndex, outcome: Outcome) {
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
