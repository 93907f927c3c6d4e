//! What a person is told while the run goes on.

use std::time::Duration;

use tokio::time::Instant;

use super::super::keep;
use super::super::keys::Keys;
use super::super::launch::millis;
use super::{Live, Session, unstarted};
use crate::child::control::Control;
use crate::child::kin::UNKILLABLE;
use crate::config::resolve::Mode;
use crate::output::Target;
use crate::report::progress::{Progress, RunningItem};
use crate::report::result::ItemResult;
use crate::report::stages::StageView;
use crate::schedule::event::{ItemIndex, Notice, Outcome};
use crate::schedule::stage::Raised;
use crate::state::run_event::RunEvent;

impl Session<'_> {
    pub(super) fn tell_left(&self, who: &str, left: &[String]) {
        if !left.is_empty() {
            let names = self.masker.mask_text(&left.join(", ")).into_owned();
            let all_ended = !left.iter().any(|name| name.ends_with(UNKILLABLE));
            self.visit.voice.left(who, left.len(), &names, all_ended);
        }
    }

    pub(super) fn emit(&mut self, notice: Notice) {
        match notice {
            Notice::Ended { item, outcome } => {
                let known = self
                    .ended
                    .remove(&item)
                    .or_else(|| self.last_results.remove(&item));
                let result = known.unwrap_or_else(|| {
                    unstarted(&self.items.get(item.0), &self.masker, outcome, None)
                });
                let index = item;
                if result.outcome == Outcome::Deferred {
                    let why = self.blames.remove(&item);
                    let why = why.unwrap_or_else(|| self.why_no_key());
                    keep::note_deferred(self.record.items.at(item.0), why);
                    let item = result.id.clone();
                    self.chronicle.tell(RunEvent::ItemDeferred { item });
                }
                self.tell_end(result, Some(index));
            }
            Notice::Retrying {
                item,
                attempt,
                wait,
                ..
            } => {
                self.chronicle.tell(RunEvent::Retrying {
                    item: self.items.id(item.0).to_owned(),
                    attempt,
                    wait_ms: millis(wait),
                });
                if let Some(result) = self.ended.remove(&item) {
                    self.show_block(&result, item, false);
                    if result.outcome == Outcome::Deferred {
                        let why = self.blames.remove(&item).unwrap_or_default();
                        self.visit.voice.requeued(&result, &why, Some(wait));
                    } else {
                        let of = self.visit.invocation.retry.retries_max + 1;
                        self.visit.voice.retrying(&result, attempt, of, wait);
                    }
                    self.last_results.insert(item, result);
                }
            }
            Notice::Requeued { item } => {
                if let Some(result) = self.ended.remove(&item) {
                    self.show_block(&result, item, false);
                    let why = self.blames.remove(&item).unwrap_or_default();
                    self.visit.voice.requeued(&result, &why, None);
                    self.last_results.insert(item, result);
                }
            }
            Notice::Straggles { item, time, usual } => {
                let id = &self.items.get(item.0).id;
                let attempt = self.live.get(&item).map_or(1, |live| live.attempt);
                let log = self.shown_log(id, attempt);
                self.visit.voice.straggles(id.as_str(), time, usual, &log);
            }
            Notice::StageRaised {
                raised,
                running,
                queued,
            } => {
                self.chronicle.tell(RunEvent::StageRaised {
                    stage: raised.stage.word().to_owned(),
                    running,
                    queued,
                });
                self.tell_stage(raised, queued);
            }
            Notice::JournalLost => self.visit.voice.journal_lost(),
            Notice::Crowded { item, width } => self.tell_crowded(item, width),
        }
    }

    pub(super) fn tell_end(&mut self, result: ItemResult, index: Option<ItemIndex>) {
        if let Some(index) = index {
            self.show_block(&result, index, true);
        }
        let number = self.results.len() + 1;
        let why_no_key = self.why_no_key();
        let voice = &self.visit.voice;
        if let Some(line) = voice.ended(&result, &why_no_key, number, self.count) {
            match &self.blocks {
                Some(blocks) => blocks.say(line),
                None => self.visit.terminal.say(Target::Stderr, line),
            }
        }
        if let Some(display) = &mut self.display {
            display.note_end(&result);
        }
        self.results.push(result);
    }

    /// Why an item that waited for a key got none.
    fn why_no_key(&self) -> String {
        match self.keys.as_ref().and_then(Keys::trouble) {
            Some(trouble) => format!("no credential can be had: {trouble}"),
            None => "no credential came free in time".to_owned(),
        }
    }

    pub(super) fn tell_crowded(&self, index: ItemIndex, width: usize) {
        let id = self.items.id(index.0);
        let why = &self.crowding;
        self.visit.voice.warning(&format!(
            "{id} waits: {why}; at most {width} at once until there is room"
        ));
    }

    pub(super) fn tell_stage(&mut self, raised: Raised, queued: usize) {
        if let Some(display) = &mut self.display {
            display.note_stage(raised.stage);
        }
        let mut running: Vec<(&str, Duration)> = self
            .live
            .iter()
            .map(|(index, live)| (self.items.id(index.0), live.began.elapsed()))
            .collect();
        running.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        let grace = self.visit.invocation.grace;
        self.visit.voice.stage(&StageView {
            raised,
            running: &running,
            queued,
            grace,
        });
    }

    pub(super) fn tell_status(&self) {
        let now = Instant::now();
        let silence = |live: &Live| {
            let heard = live.control.as_ref().and_then(Control::heard_at)?;
            Some(now.saturating_duration_since(Instant::from_std(heard)))
        };
        let shows_output = self.visit.invocation.mode != Mode::Sequential;
        let running: Vec<RunningItem<'_>> = self
            .live
            .iter()
            .map(|(index, live)| RunningItem {
                id: self.items.id(index.0),
                time: live.began.elapsed(),
                silence: silence(live).filter(|_| shows_output),
                attempt: live.attempt,
                credential: live.credential.as_deref(),
                progress: live.progress.as_deref(),
            })
            .collect();
        self.visit.voice.progress(&Progress {
            results: &self.results,
            count: self.count,
            running: &running,
            queued: self.scheduler.queued(),
            load: self.bottleneck.load(),
            keys: self.keys.as_ref().map(Keys::counts),
            duration: self.began.elapsed(),
        });
    }
}
