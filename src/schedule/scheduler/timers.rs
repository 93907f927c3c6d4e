//! What is to be done when its time has come: signals, timeouts, waits that are over, the run's deadline.

use std::time::Duration;

use super::super::active::{Active, Stopping};
use super::super::event::{Action, ItemIndex, Notice, Outcome, StopSignal};
use super::super::stage::Discipline;
use super::super::stop::StopSequence;
use super::Scheduler;

/// A credential that is free may take this long to come, whatever the wait: starts are spread, and others are asked.
pub(super) const CREDENTIAL_WAIT_MIN: Duration = Duration::from_secs(1);

impl Scheduler {
    /// When [`Event::Woke`](super::super::event::Event::Woke) is to be sent, as a time since the run began; `None` when nothing is timed.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let deadline = Some(self.deadline()).filter(|_| !self.is_stopping());
        let room = self
            .room
            .look_at()
            .filter(|_| !self.is_stopping() && !self.queue.is_empty());
        let straggler = self.straggles_after();
        let straggles_at = straggler.map(|after| self.active.oldest_start().saturating_add(after));
        let timed = [deadline, room, straggles_at, self.credential_wait_ends_at()];
        let first = timed.into_iter().flatten().min();
        let first = self
            .active
            .next_due_at()
            .min(first.unwrap_or(Duration::MAX));
        Some(first).filter(|&wake| wake < Duration::MAX)
    }

    /// How long an item takes, going by earlier runs; as soon as items of this run say it, they know better.
    pub const fn foresee(&mut self, usual: Duration) {
        self.foreseen = Some(usual);
    }

    /// When to start nothing more for want of time: what waits then would not have ended by `--stop-after`. Items that
    /// never fit are tried all the same, or nobody would ever know that they have become faster.
    pub(super) fn deadline(&self) -> Duration {
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

    /// A process that prints is not idle: it is asked again when its silence would have lasted too long.
    pub(super) fn on_silent(&mut self, item: ItemIndex, since: Duration, now: Duration) {
        let silent_too_long_at = since.saturating_add(self.limits.idle_timeout);
        if let Some(running) = self.active.running_item_mut(item) {
            running.listen_at = silent_too_long_at;
            if now >= silent_too_long_at {
                running.late_at = now;
            }
        }
    }

    pub(super) fn signal_what_is_due(&mut self, now: Duration) {
        for (item, running) in self.active.running_mut() {
            let sequence = running.stopping.sequence();
            if let Some(signal) = sequence.and_then(|stop| stop.due(now)) {
                self.actions.push(Action::Signal { item, signal });
            }
        }
    }

    pub(super) fn stop_what_is_late(&mut self, now: Duration) {
        let (grace, idle_timeout) = (self.limits.grace, self.limits.idle_timeout);
        for (item, running) in self.active.running_mut() {
            if running.stopping != Stopping::No {
                continue;
            }
            if now >= running.late_at {
                running.stopping = Stopping::Late(StopSequence::begin(now, grace));
                let signal = StopSignal::Interrupt;
                self.actions.push(Action::Signal { item, signal });
            } else if now >= running.listen_at {
                // Until the answer comes.
                running.listen_at = now.saturating_add(idle_timeout);
                self.actions.push(Action::Listen { item });
            }
        }
    }

    pub(super) fn tell_of_stragglers(&mut self, now: Duration) {
        let Some(after) = self.straggles_after() else {
            return;
        };
        let usual = self.done_times.usual();
        for (item, time) in self.active.take_stragglers(after, now) {
            let notice = Notice::Straggles { item, time, usual };
            self.actions.push(Action::Emit(notice));
        }
    }

    /// After how long a person should learn that an attempt takes long; never, if nobody can be told.
    fn straggles_after(&self) -> Option<Duration> {
        let is_told = self.limits.discipline == Discipline::Isolated;
        self.done_times.straggles_after().filter(|_| is_told)
    }

    pub(super) fn queue_what_has_waited(&mut self, now: Duration) {
        let ready: Vec<ItemIndex> = self
            .active
            .iter()
            .filter(|(_, active)| matches!(active, Active::Waiting { until, .. } if now >= *until))
            .map(|(item, _)| item)
            .collect();
        for item in ready.into_iter().rev() {
            self.active.remove(item);
            self.queue.put_back(item);
        }
    }

    /// When nobody who waits for a credential will get one any more: that long nothing has run, so nobody has given one
    /// back, and he who waits longest has got none.
    fn credential_wait_ends_at(&self) -> Option<Duration> {
        if self.active.running() > 0 || self.active.reserving() == 0 {
            return None;
        }
        let waits = self.active.iter().filter_map(|(_, active)| match active {
            Active::Reserving { since, .. } => Some(*since),
            Active::Running(_) | Active::Waiting { .. } => None,
        });
        let since = waits.min()?.max(self.last_end);
        let wait = self.limits.credential_wait.max(CREDENTIAL_WAIT_MIN);
        Some(since.saturating_add(wait))
    }

    /// What holds the credentials back holds them back from all items alike. So those that have a slot have waited for all
    /// others, too, and nothing more is tried: an item after the other would wait in vain.
    pub(super) fn give_up_waiting_for_credentials(&mut self, now: Duration) {
        if self.credential_wait_ends_at().is_none_or(|end| now < end) {
            return;
        }
        let waits = |active: &Active| matches!(active, Active::Reserving { .. });
        let waiting = self.active.iter().filter(|(_, active)| waits(active));
        let waiting: Vec<ItemIndex> = waiting.map(|(item, _)| item).collect();
        for item in waiting {
            self.leave_reservation(item);
            self.end(item, Outcome::Deferred);
        }
        if !self.is_over() {
            self.on_no_credential(false, now);
        }
    }
}
