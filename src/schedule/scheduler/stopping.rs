//! How a run that is to stop does so, stage by stage.

use std::time::Duration;

use super::super::active::{Active, Running, Stopping};
use super::super::event::{Action, ItemIndex, Notice, Outcome, StopSignal};
use super::super::stage::{Cause, Discipline, Press, Raised, Stage};
use super::super::stop::StopSequence;
use super::Scheduler;

impl Scheduler {
    pub(super) fn on_pressed(&mut self, press: Press, now: Duration) {
        if let Some(raised) = self.stages.press(press, now) {
            self.enter(raised, now);
        }
        if self.limits.discipline == Discipline::Shared {
            self.tell_the_shared_child(press);
        }
    }

    pub(super) fn on_no_credential(&mut self, rejected: bool, now: Duration) {
        let cause = if rejected {
            Cause::CredentialsRejected
        } else {
            Cause::NoCredential
        };
        self.gave_up |= !self.is_stopping();
        self.raise(Stage::Draining, cause, now);
    }

    pub(super) fn raise(&mut self, stage: Stage, cause: Cause, now: Duration) {
        if let Some(raised) = self.stages.raise(stage, cause) {
            self.enter(raised, now);
        }
    }

    pub(super) fn enter(&mut self, raised: Raised, now: Duration) {
        self.withdraw_reservations();
        self.end_what_waits();
        let running = self.active.running();
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
            .map(|(item, _)| item)
            .collect();
        for item in waiting.into_iter().rev() {
            self.leave_reservation(item);
            self.queue.put_back(item);
        }
    }

    pub(super) fn leave_reservation(&mut self, item: ItemIndex) {
        if let Some(Active::Reserving { slot, .. }) = self.active.remove(item) {
            self.slots.put_back(slot);
            self.actions.push(Action::Withdraw { item });
        }
    }

    /// What failed and was to be tried again stays failed: nothing new starts.
    fn end_what_waits(&mut self) {
        let waiting = |active: &Active| match active {
            Active::Waiting { outcome, .. } => Some(*outcome),
            Active::Reserving { .. } | Active::Running(_) => None,
        };
        let ended: Vec<(ItemIndex, Outcome)> = self
            .active
            .iter()
            .filter_map(|(item, active)| waiting(active).map(|outcome| (item, outcome)))
            .collect();
        for (item, outcome) in ended {
            self.active.remove(item);
            self.end(item, outcome);
        }
    }

    /// What had failed and waited in the queue for a slot stays failed, too.
    pub(super) fn end_what_will_not_be_tried_again(&mut self) {
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

    /// In sequential mode the terminal has told the child; a SIGTERM that only we got is passed on.
    fn tell_the_shared_child(&mut self, press: Press) {
        for (item, running) in self.active.running_mut() {
            if running.stopping == Stopping::No {
                running.stopping = Stopping::Told;
            }
            if press == Press::Terminate {
                let signal = StopSignal::Terminate;
                self.actions.push(Action::Signal { item, signal });
            }
        }
    }

    fn begin_stop(&mut self, now: Duration) {
        let grace = self.limits.grace;
        for (item, running) in self.active.running_mut() {
            if running.stopping == Stopping::No {
                running.stopping = Stopping::WithTheRun(StopSequence::begin(now, grace));
                let signal = StopSignal::Interrupt;
                self.actions.push(Action::Signal { item, signal });
            }
        }
    }

    fn kill_all(&mut self, now: Duration) {
        let grace = self.limits.grace;
        for (item, Running { stopping, .. }) in self.active.running_mut() {
            if stopping.sequence().is_none() {
                *stopping = Stopping::WithTheRun(StopSequence::begin(now, grace));
            }
            let signal = stopping.sequence().and_then(StopSequence::kill);
            self.actions
                .extend(signal.map(|signal| Action::Signal { item, signal }));
        }
    }
}
