//! An attempt, from the key that it waits for to the record of its end.

use jiff::Timestamp;
use tokio::time::Instant;

use super::super::item_output::OutputReport;
use super::super::judge::{blame, repeats};
use super::super::keep;
use super::super::last_output::LastOutput;
use super::super::launch::{Order, millis};
use super::super::outlook::fingerprint;
use super::{
    Live, PROGRESS_CHARACTERS_MAX, PROGRESS_EVENTS_MAX, Session, masked, recorded, seen_from,
    shown_title,
};
use crate::child::control::Control;
use crate::config::resolve::{Mode, Verbosity};
use crate::credential::evidence::{Finding, Verdict};
use crate::credential::told::News as StatusNews;
use crate::escape::clipped;
use crate::items::item::{Item, ItemId};
use crate::report::result::{ItemResult, ending_words};
use crate::schedule::event::{CredentialIndex, Ending, Event, ItemIndex, Outcome};
use crate::state::record::{End, Record, Step};
use crate::state::run_event::RunEvent;
use crate::state::run_id::RunId;

impl Session<'_> {
    /// An attempt that runs says something.
    pub(super) fn hear(&mut self, item: ItemIndex, attempt: u32, news: StatusNews) {
        let live = self.live.get_mut(&item);
        // What we have ended says nothing any more.
        let is_meant = |live: &&mut Live| live.attempt == attempt && !live.stopped;
        let Some(live) = live.filter(is_meant) else {
            return;
        };
        if let Some(text) = news.progress {
            let text = clipped(
                self.masker.mask_text(&text).as_ref(),
                PROGRESS_CHARACTERS_MAX,
            );
            if live.progress_events < PROGRESS_EVENTS_MAX && live.progress.as_ref() != Some(&text) {
                live.progress_events += 1;
                self.chronicle.tell(RunEvent::Progressed {
                    item: self.items.id(item.0).to_owned(),
                    attempt,
                    text: text.clone(),
                });
            }
            live.progress = Some(text);
        }
        if let Some(verdict) = news.verdict {
            let before = live.heard.replace(verdict.finding);
            let Some(keys) = &self.keys else { return };
            if verdict.finding == Finding::Done {
                // Whether it served its item is known at its end.
                if before.is_some() {
                    keys.take_back(item);
                }
            } else {
                keys.hear(item, &verdict, &blame(&verdict));
            }
        }
    }

    /// What the end of an attempt says of its key, beside what it said while it ran.
    pub(super) fn note_verdict(&mut self, item: ItemIndex, ending: Ending, verdict: &Verdict) {
        let why = blame(verdict);
        let keys = self.keys.as_ref();
        let fault = verdict.fault(keys.is_some_and(|keys| keys.is_leased(item)));
        // What we have ended says nothing of its key.
        let live = self.live.get(&item);
        let is_news =
            live.is_none_or(|live| !live.stopped && !repeats(verdict.finding, live.heard));
        if let Some(keys) = keys.filter(|_| is_news) {
            keys.hear(item, verdict, &why);
        }
        if !why.is_empty() {
            self.blames.insert(item, why);
        }
        self.step(Event::Exited {
            item,
            ending,
            fault,
        });
    }

    pub(super) fn listen(&mut self, item: ItemIndex) {
        let control = self.live.get(&item).and_then(|live| live.control.as_ref());
        let heard = control.and_then(Control::heard_at).map(Instant::from_std);
        let since = heard.map_or_else(
            || self.now(),
            |heard| self.clock.at(heard.saturating_duration_since(self.began)),
        );
        self.due.push_back(Event::Silent { item, since });
    }

    pub(super) fn reserve(&mut self, item: ItemIndex) {
        match &self.keys {
            None => self.due.push_back(Event::Reserved {
                item,
                credential: None,
            }),
            Some(keys) => keys.request(item),
        }
    }

    pub(super) fn spawn(
        &mut self,
        index: ItemIndex,
        attempt: u32,
        slot: u32,
        credential: Option<CredentialIndex>,
    ) {
        let item = &*self.items.get(index.0);
        let secret = credential.map(|credential| &self.secrets[credential.0]);
        let order = Order {
            index,
            item,
            attempt,
            slot,
            secret,
            hold: self.keys.as_ref().and_then(|keys| keys.hold(index)),
            last_output: self
                .display
                .as_ref()
                .filter(|display| display.shows_items())
                .map(|_| LastOutput::default()),
        };
        if self.visit.invocation.verbosity == Verbosity::Verbose {
            let command = self.launcher.command_line(&order, &self.visit.invocation);
            self.visit.voice.starting(&order, &command);
        }
        // Before the launch, which may end at once.
        let mut live = Live {
            control: None,
            began: Instant::now(),
            started: Timestamp::now(),
            attempt,
            credential: secret.map(|secret| secret.label().to_owned()),
            stopped: false,
            heard: None,
            progress: None,
            progress_events: 0,
            last_output: order.last_output.clone(),
        };
        self.note_step(index, &live, Step::Started);
        live.control = self.launcher.launch(&order, &self.visit.invocation);
        self.chronicle.tell(RunEvent::AttemptStarted {
            item: item.id.to_string(),
            attempt,
            slot,
            credential: live.credential.clone(),
            log: self.log_reference(&item.id, attempt),
        });
        self.live.insert(index, live);
    }

    /// Has it written that an attempt begins, or does not. Nobody waits for the disk: what is lost with the power is
    /// only the knowledge that the item was cut off.
    pub(super) fn note_step(&self, index: ItemIndex, live: &Live, step: Step) {
        let Some(journal) = &self.journal else {
            return;
        };
        let item = &*self.items.get(index.0);
        let log = self.log_reference(&item.id, live.attempt);
        let record = record_of(item, &self.command, live, step, self.run.id(), log);
        journal.note(self.masker.mask(record));
    }

    /// Where an attempt's log lies, if it has one.
    pub(super) fn log_reference(&self, id: &ItemId, attempt: u32) -> Option<String> {
        let logged = self.visit.invocation.mode != Mode::Sequential;
        logged.then(|| self.run.log_reference(id, attempt))
    }

    pub(super) fn note_end(&mut self, index: ItemIndex, ending: &Ending, report: OutputReport) {
        let Some(live) = self.live.get(&index) else {
            return;
        };
        let item = &*self.items.get(index.0);
        let logged = self.visit.invocation.mode != Mode::Sequential && live.control.is_some();
        let result = ItemResult {
            id: item.id.to_string(),
            title: shown_title(&item.title, &self.masker),
            outcome: Outcome::Failed,
            attempt: live.attempt,
            ending: Some(masked(ending, &self.masker)),
            duration: live.began.elapsed(),
            credential: live.credential.clone(),
            log: logged.then(|| self.shown_log(&item.id, live.attempt)),
            log_cut: report.log_cut,
            tail: report.tail,
            unrecorded: None,
        };
        self.ended.insert(index, result);
    }

    /// The path of a log as it can be pasted: relative where the person stands in the workspace's root.
    pub(super) fn shown_log(&self, id: &ItemId, attempt: u32) -> String {
        let path = self.run.log_path(id, attempt);
        seen_from(&self.visit.surroundings.directory, &path)
    }

    pub(super) fn record(&mut self, index: ItemIndex, outcome: Outcome) {
        let item = &*self.items.get(index.0);
        let (Some(live), Some(result)) = (self.live.remove(&index), self.ended.get_mut(&index))
        else {
            return;
        };
        result.outcome = outcome;
        let ending = result.ending.as_ref();
        let exit = ending.map(ending_words).unwrap_or_default();
        let exit = self.masker.mask_text(&exit).into_owned();
        let code = match ending {
            Some(Ending::Exited(code)) => Some(*code),
            Some(
                Ending::Killed(_)
                | Ending::Unstartable(_)
                | Ending::Crowded(_)
                | Ending::Unverified(_),
            )
            | None => None,
        };
        let log = result
            .log
            .is_some()
            .then(|| self.run.log_reference(&item.id, live.attempt));
        keep::note(
            self.record.items.at(index.0),
            &live,
            result,
            &exit,
            log.clone(),
        );
        let event = RunEvent::AttemptEnded {
            item: item.id.to_string(),
            attempt: live.attempt,
            outcome: recorded(outcome),
            exit: exit.clone(),
            duration_ms: millis(result.duration),
            credential: live.credential.clone(),
            log: log.clone(),
            recorded: true,
        };
        self.chronicle.attempt_ended(index, event);
        let end = End {
            outcome: recorded(outcome),
            exit,
            code,
            duration_ms: millis(result.duration),
        };
        let step = Step::Ended(end);
        let record = record_of(item, &self.command, &live, step, self.run.id(), log);
        let token = u64::try_from(index.0).unwrap_or(u64::MAX);
        let handed_over = self.journal.as_ref().map_or(Ok(()), |journal| {
            journal.record(token, self.masker.mask(record))
        });
        if let Err(error) = handed_over {
            result.unrecorded = Some(error.to_string());
            keep::note_lost(self.record.items.at(index.0), &error);
            self.chronicle.recorded(index, false);
            self.due.push_back(Event::RecordLost { item: index });
        }
    }
}

fn record_of(
    item: &Item,
    command: &str,
    live: &Live,
    step: Step,
    run: &RunId,
    log: Option<String>,
) -> Record {
    Record {
        item: item.id.clone(),
        step,
        attempt: live.attempt,
        content_hash: fingerprint(item, command),
        started: live.started,
        credential: live.credential.clone(),
        run: run.clone(),
        log,
    }
}
