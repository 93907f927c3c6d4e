//! The end of a run: what is left is ended, everything is closed, and the exit status follows from what has happened.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::super::Exit;
use super::super::closing::Closing;
use super::super::launch::millis;
use super::super::message::Message;
use super::super::visit::Visit;
use super::{NoKey, Session};
use crate::child::kin::Rest;
use crate::config::resolve::Mode;
use crate::error::{ExitStatus, Result};
use crate::report::result::ItemResult;
use crate::report::summary::Summary;
use crate::schedule::bottleneck::Lost;
use crate::schedule::event::Outcome;
use crate::state::journal_thread::JournalThread;
use crate::state::run_event::RunEvent;
use crate::state::run_items::RunItems;
use crate::state::run_record::{LostTime, RunRecord};

impl Session<'_> {
    /// Closes all but what it gives back, tells how it went, and says how the program ends.
    pub(in crate::run) fn end(
        mut self,
        messages: &mut UnboundedReceiver<Message>,
    ) -> (Result<Exit>, Closing) {
        if let Some(display) = &mut self.display {
            display.hide();
        }
        let all_ended = self.end_the_rest();
        let lost = self.bottleneck.lost(self.now());
        self.record.lost = Some(lost_time(&lost));
        if let Some(keys) = self.keys.take() {
            self.record.credential_states = keys.finish(&self.secrets);
        }
        let journal = self.journal.take().map(JournalThread::finish);
        let poisoned = matches!(journal, Some(Err(_)));
        // Records that were lost have no notice of their own.
        self.results
            .extend(std::mem::take(&mut self.ended).into_values());
        let status = self.status(poisoned);
        let exit = match self.scheduler.fatal() {
            Some(press) => Exit::Signal(press),
            None => Exit::Status(status),
        };
        let forecast = self.forecast(status);
        self.record.forecast_ms = forecast.map(millis);
        self.record.ended = Some(Timestamp::now());
        self.record.exit_status = matches!(exit, Exit::Status(_)).then(|| status.code());
        self.end_chronicle(messages);
        let record = self.masker.mask_in_place(&mut self.record);
        let kept = self
            .run_steps
            .next()
            .and_then(|()| self.run.write_record(record));
        let again = self.visit.voice.rerun(self.scheduler.queued() > 0);
        let rerun = self.masker.mask_text(&again).into_owned();
        let summary = Summary {
            results: &self.results,
            not_started: self.scheduler.queued(),
            duration: self.began.elapsed(),
            forecast,
            lost,
            rerun: &rerun,
        };
        if let Some(step) = &self.visit.step {
            let workflow = &self.visit.invocation.workflow.name;
            let annotations = step.ended(&summary, workflow);
            self.visit.voice.annotate(annotations);
        }
        self.visit
            .voice
            .summary(&summary, self.run.id().as_str(), self.record.exit_status);
        let took = self.began.elapsed();
        let is_calm = !self.scheduler.is_stopping() && !self.guard_lost && !self.space_ran_out;
        hand_over(&self.visit, self.record, &self.results, took);
        let closing = Closing {
            journal: journal.and_then(Result::ok).filter(|_| is_calm),
            directory: self.directory,
            lock: Some(self.lock).filter(|_| all_ended),
        };
        let exit = match (kept, exit) {
            (Err(error), Exit::Status(ExitStatus::Success)) => Err(error),
            (Err(_) | Ok(()), exit) => Ok(exit),
        };
        (exit, closing)
    }

    /// What has to come before [`end`](Self::end), if there is anything to compare this run with.
    pub(in crate::run) fn looked_back(&mut self) -> Option<oneshot::Receiver<()>> {
        let display = self.display.as_mut().filter(|it| it.stopping.is_none())?;
        display.earlier.take_answer()
    }

    /// How long the run was to take; nothing when it has not gone to its end, for then that cannot be compared with how
    /// long it took.
    fn forecast(&self, status: ExitStatus) -> Option<Duration> {
        let display = self.display.as_ref().filter(|it| it.stopping.is_none())?;
        let went_to_its_end = matches!(status, ExitStatus::Success | ExitStatus::Failed)
            && self.scheduler.queued() == 0;
        let is_left =
            |it: &ItemResult| matches!(it.outcome, Outcome::Interrupted | Outcome::Deferred);
        if !went_to_its_end || self.results.iter().any(is_left) {
            return None;
        }
        let earlier = display.earlier.known()?;
        earlier.forecast(self.items.len(), self.at_once)
    }

    pub(super) fn end_chronicle(&mut self, messages: &mut UnboundedReceiver<Message>) {
        let exit_status = self.record.exit_status;
        self.chronicle.tell(RunEvent::RunEnded { exit_status });
        let untold = self.chronicle.finish();
        for reason in untold.into_iter().chain(self.hear_the_last(messages)) {
            self.visit.voice.events_lost(&reason);
        }
    }

    /// Tells what has come too late for the loop, and says why events were lost. Nothing else is under way any more, so
    /// nothing else can still be told.
    pub(super) fn hear_the_last(&self, messages: &mut UnboundedReceiver<Message>) -> Vec<String> {
        let mut lost = Vec::new();
        while let Ok(message) = messages.try_recv() {
            match message {
                Message::EventsLost(reason) => lost.push(reason),
                // A trouble with a lock is known after seconds; the run may be over by then.
                Message::KeyTrouble(why) => self.visit.voice.warning(&why),
                Message::Ended { .. }
                | Message::Suspended(_)
                | Message::GuardLost
                | Message::SpaceRanOut(_)
                | Message::Told { .. }
                | Message::Leased(_)
                | Message::NoKey { .. }
                | Message::KeysChanged(_)
                | Message::KeysHeld(_)
                | Message::Recorded { .. } => {}
            }
        }
        lost
    }

    /// Ends what is left of any item, and says whether all of it has ended.
    pub(super) fn end_the_rest(&self) -> bool {
        if self.visit.invocation.mode == Mode::Sequential {
            return true;
        }
        let Rest { names, has_ended } = self.launcher.end_the_rest();
        self.tell_left("the run", &names);
        has_ended
    }

    pub(super) fn status(&self, poisoned: bool) -> ExitStatus {
        let any = |outcome| self.results.iter().any(|result| result.outcome == outcome);
        if self.guard_lost
            || poisoned
            || (self.space_ran_out && self.scheduler.queued() > 0)
            || self
                .results
                .iter()
                .any(|result| result.unrecorded.is_some())
        {
            ExitStatus::State
        } else if self
            .results
            .iter()
            .any(|result| result.outcome.is_failure())
        {
            ExitStatus::Failed
        } else if matches!(self.no_key, Some(NoKey { back_in: None })) {
            ExitStatus::Rejected
        } else if any(Outcome::Deferred) || self.scheduler.gave_up_on_work() {
            ExitStatus::WorkLeft
        } else {
            ExitStatus::Success
        }
    }
}

/// Hands over what is written when all is over, if anything is.
fn hand_over(
    visit: &Visit<'_>,
    record: RunRecord<RunItems>,
    results: &[ItemResult],
    duration: Duration,
) {
    if visit.junit.is_none() && visit.metrics.is_none() {
        return;
    }
    let record = record.with_list();
    if let Some(junit) = &visit.junit {
        junit.ended(&record, results, duration);
    }
    if let Some(metrics) = &visit.metrics {
        metrics.ended(record);
    }
}

fn lost_time(lost: &Lost) -> LostTime {
    LostTime {
        credentials_ms: millis(lost.credentials),
        one_more_credential_ms: millis(lost.one_more),
        provider_ms: millis(lost.provider),
        room_ms: millis(lost.room),
    }
}
