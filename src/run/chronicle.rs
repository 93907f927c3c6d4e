//! Tells `events.jsonl` what happens, in order, and whoever reads `--format json`.
//!
//! An attempt's end stands there only when its record is on disk: who reads that an item is done may rely on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;

use super::message::Message;
use super::present::Voice;
use crate::output::mask::Masker;
use crate::schedule::event::ItemIndex;
use crate::state::directory::RunDirectory;
use crate::state::event_log::EventLog;
use crate::state::run_event::{EventLine, RunEvent, VERSION};

/// The events of a run.
pub(super) struct Chronicle {
    /// `None` when there is no file to write to, which has been told.
    log: Option<EventLog>,
    masker: Arc<Masker>,
    /// Ends of attempts that wait for their records.
    ended: BTreeMap<ItemIndex, RunEvent>,
    voice: Voice,
    /// `.orchestrate/`, as it is shown.
    state: String,
}

impl Chronicle {
    /// Makes the file. That it cannot be written is told in `messages`, and stops nothing.
    pub(super) fn begin(
        run: &RunDirectory,
        masker: Arc<Masker>,
        messages: &UnboundedSender<Message>,
        (voice, state): (Voice, String),
    ) -> Self {
        let sender = messages.clone();
        let failed = move |reason| {
            // The loop is gone only when the whole process is going.
            let _nobody = sender.send(Message::EventsLost(reason));
        };
        let file = run.create_events().map_err(|error| error.to_string());
        let log = file.and_then(|file| {
            EventLog::start(file, failed.clone()).map_err(|error| error.to_string())
        });
        if let Err(reason) = &log {
            failed(reason.clone());
        }
        Self {
            log: log.ok(),
            masker,
            ended: BTreeMap::new(),
            voice,
            state,
        }
    }

    /// Something has happened just now.
    pub(super) fn tell(&mut self, event: RunEvent) {
        let line = self.masker.mask(EventLine {
            version: VERSION,
            at: Timestamp::now(),
            event,
        });
        self.voice.event(line.get(), &self.state);
        if let Some(log) = &mut self.log {
            log.append(line);
        }
    }

    /// An attempt has ended, which is told when its record is.
    pub(super) fn attempt_ended(&mut self, item: ItemIndex, event: RunEvent) {
        self.ended.insert(item, event);
    }

    /// The outcome of an item's attempt is on disk, or will never be.
    pub(super) fn recorded(&mut self, item: ItemIndex, on_disk: bool) {
        if let Some(mut event) = self.ended.remove(&item) {
            if let RunEvent::AttemptEnded { recorded, .. } = &mut event {
                *recorded = on_disk;
            }
            self.tell(event);
        }
    }

    /// Waits until everything is written; what is wrong with the file and was not told is returned.
    pub(super) fn finish(&mut self) -> Option<String> {
        self.log.take().and_then(|log| log.finish().err())
    }
}
