//! Takes the workflow's lock, or does what `--if-locked` says when another run has it.

use std::time::Duration;

use jiff::Timestamp;

use super::signals::Signals;
use super::visit::Visit;
use crate::child::lock_keepers::{Keeper, keepers};
use crate::config::options::IfLocked;
use crate::error::{Error, Result};
use crate::output::mask::Masker;
use crate::schedule::stage::Press;
use crate::state::directory::WorkflowDirectory;
use crate::state::lock::{LockError, WorkflowLock};

/// How often somebody who waits for the workflow's lock looks whether it is free.
const LOCK_LOOK_EVERY: Duration = Duration::from_secs(1);

/// What came of the workflow's lock.
pub(super) enum Locked {
    /// It is ours, since then.
    Ours(WorkflowLock, Timestamp),
    /// Another run holds it, and that is all right.
    Skipped,
    /// A signal came before it was free.
    Pressed(Press),
}

impl Visit<'_> {
    /// Takes the workflow's lock, or does as `--if-locked` says.
    pub(super) async fn lock(
        &self,
        directory: &WorkflowDirectory,
        masker: &Masker,
        signals: &mut Signals,
    ) -> Result<Locked> {
        let mut told = false;
        loop {
            let started = Timestamp::now();
            let process = self.surroundings.process;
            let held = match WorkflowLock::acquire(directory, process, &started.to_string()) {
                Ok(lock) => return Ok(Locked::Ours(lock, started)),
                Err(held @ LockError::Held { .. }) => held,
                Err(error @ LockError::Failed(_)) => return Err(error.into()),
            };
            match self.invocation.if_locked {
                IfLocked::Fail => {
                    self.turn_away();
                    return Err(turned_away(held, masker));
                }
                IfLocked::Skip => {
                    self.turn_away();
                    self.voice.skipped(&held.to_string());
                    return Ok(Locked::Skipped);
                }
                IfLocked::Wait if !told => self.voice.waits(&held.to_string()),
                IfLocked::Wait => {}
            }
            told = true;
            let question = || self.voice.waits(&held.to_string());
            tokio::select! {
                biased;
                press = signals.next_press(question) => return Ok(Locked::Pressed(press)),
                () = tokio::time::sleep(LOCK_LOOK_EVERY) => {}
            }
        }
    }

    fn turn_away(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.turn_away();
        }
        if let Some(junit) = &self.junit {
            junit.turn_away();
        }
    }
}

/// Names what a dead run has left, if that is what keeps the lock.
fn turned_away(error: LockError, masker: &Masker) -> Error {
    let LockError::Held {
        path,
        identity,
        run_lives: false,
        ..
    } = &error
    else {
        return error.into();
    };
    let keepers = keepers(path, identity.device(), identity.inode());
    if keepers.run_lives || keepers.items.is_empty() {
        return error.into();
    }
    let words = |keeper: Keeper| {
        let Keeper { item, pid, command } = keeper;
        let item = item.as_deref().unwrap_or("an item");
        let words = format!("{item}: {command} (pid {pid})");
        (masker.mask_text(&words).into_owned(), pid)
    };
    let survivors: Vec<(String, i32)> = keepers.items.into_iter().map(words).collect();
    error.survived_by(&survivors)
}
