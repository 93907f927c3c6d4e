//! The last of a run, when all of it is told: its journal is shortened if that is worth it, and the workflow is given back.
//!
//! Nobody waits for the journal who wants to go: whoever presses leaves it to its thread, which ends with the process if it
//! is not done before. Until then the lock is held, so nobody appends to what is being copied.

use super::collect;
use super::present::Voice;
use super::signals::Signals;
use crate::state::directory::WorkflowDirectory;
use crate::state::journal::Journal;
use crate::state::lock::WorkflowLock;

/// What a run leaves behind.
pub(super) struct Closing {
    /// The journal, if it may be shortened.
    pub(super) journal: Option<Journal>,
    /// Of the journal.
    pub(super) directory: WorkflowDirectory,
    /// None while something of an item is left that holds it.
    pub(super) lock: Option<WorkflowLock>,
}

impl Closing {
    /// Shortens the journal, unless there is a press, and unlocks the workflow. A failure is a warning: all is recorded.
    pub(super) async fn close(self, signals: &mut Signals, voice: &Voice) {
        let Some(lock) = self.lock else {
            return;
        };
        let Some(journal) = self.journal.filter(Journal::is_worth_shortening) else {
            lock.release();
            return;
        };
        let directory = self.directory;
        let shorten = move || {
            let shortened = journal.shorten(&directory, &lock);
            lock.release();
            shortened
        };
        let shortened = match collect::aside("shorten", shorten) {
            Ok(shortened) => tokio::select! {
                biased;
                shortened = shortened => shortened.unwrap_or(Ok(())),
                _ = signals.next_press(|| ()) => Ok(()),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = shortened {
            voice.warning(&format!("the journal could not be shortened: {error}"));
        }
    }
}
