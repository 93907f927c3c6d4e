//! What the threads of a run tell its loop.

use std::time::Duration;

use super::item_output::OutputReport;
use crate::credential::evidence::Verdict;
use crate::credential::key_store::Hold;
use crate::credential::pool::Grant;
use crate::credential::snapshot::Snapshot;
use crate::credential::told::News;
use crate::error::{Error, Result};
use crate::schedule::event::{Ending, ItemIndex};

/// What the threads tell the loop.
pub(crate) enum Message {
    /// An attempt is over.
    Ended {
        /// Whose.
        item: ItemIndex,
        /// How it ended.
        ending: Ending,
        /// What is left of its output.
        report: OutputReport,
        /// What it left running, and we have ended.
        left: Vec<String>,
        /// What its end says of its key.
        verdict: Box<Verdict>,
    },
    /// An attempt that runs has said something in its status file.
    Told {
        /// Whose.
        item: ItemIndex,
        /// Its number.
        attempt: u32,
        /// What is new.
        news: Box<News>,
    },
    /// A key is leased to an item.
    Leased(Grant<Hold>),
    /// Nobody who waits will get a key in time.
    NoKey {
        /// How long it takes until one comes back; `None`: all were rejected.
        back_in: Option<Duration>,
    },
    /// The keys stand otherwise than before.
    KeysChanged(Snapshot),
    /// Other runs hold all keys, and nothing of ours runs: these processes, as far as they are known.
    KeysHeld(Vec<String>),
    /// The keys' state is in trouble, for this reason.
    KeyTrouble(String),
    /// Nothing of an item runs any more until it is resumed.
    Suspended(ItemIndex),
    /// `events.jsonl` cannot be written, for this reason.
    EventsLost(String),
    /// The guard that started us has died.
    GuardLost,
    /// The disk is full, for this reason.
    SpaceRanOut(Error),
    /// Outcomes are on disk, or will never be.
    Recorded {
        /// Whose.
        items: Vec<ItemIndex>,
        /// Why not.
        result: Result<()>,
    },
}
