//! `state.json`: what all runs of a machine know of one key.
//!
//! Read and written only under the key's lock, each time anew: nothing is ever remembered between two looks. It is
//! replaced whole. What it says is not worth an fsync for every lease: after a power cut, a damaged file means a key
//! that has to prove itself. Only what lasts longer than a cooldown is made durable.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::clock::Stamp;
use crate::credential::key::{Key, Moment, Standing};
use crate::disk::held_directory::{Access, HeldDirectory};
use crate::disk::path_text::shown;
use crate::error::{Error, Result};

const STATE: &str = "state.json";
/// Where the next state is written first. A name of its own each time would leave files behind when we are killed.
const NEXT: &str = "state.json.new";
const CORRUPT: &str = "state.json.corrupt";
/// The form of the file; what follows is of our own time only.
const FORMAT: u32 = 1;
/// More than this is no state of a key.
const STATE_BYTES_MAX: usize = 1 << 16;
/// A reason is for one line of a table.
const REASON_CHARS_MAX: usize = 200;

/// What is known of a key, and what a person may want to know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyState {
    /// What decides.
    pub(super) key: Key,
    /// When it was last rejected: runs that had begun then do not use it any more.
    pub(super) retired_at: Option<Moment>,
    /// Since when it stands as it does, in wall time: for display only.
    pub(super) since: Option<Timestamp>,
    /// What it stands so for: one line, masked and escaped by whoever wrote it.
    pub(super) reason: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Content<S> {
    format: u32,
    #[serde(flatten)]
    stamp: Stamp,
    #[serde(flatten)]
    state: S,
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

impl KeyState {
    /// What a run that began at `run_began` may know of it: a key that was rejected since stays so for that run,
    /// even when a later run has tried it again.
    pub(super) fn seen_by(&self, run_began: Moment) -> Key {
        let mut key = self.key.clone();
        if let Some(retired_at) = self.retired_at
            && retired_at >= run_began
        {
            key.retire(retired_at);
        }
        key
    }

    /// Changes the key, and notes since when and why it stands as it does then.
    pub(super) fn change(
        &mut self,
        now: Moment,
        wall: Timestamp,
        reason: Option<&str>,
        change: impl FnOnce(&mut Key),
    ) {
        let before = self.key.clone();
        change(&mut self.key);
        let (stood, stands) = (before.standing(now), self.key.standing(now));
        if stood == stands {
            return;
        }
        if matches!(stands, Standing::Retired { .. }) {
            self.retired_at = Some(now);
        }
        if std::mem::discriminant(&stood) != std::mem::discriminant(&stands) {
            self.since = Some(wall);
            // What a key proves itself after is still of interest.
            if stands != Standing::Probation {
                self.reason = None;
            }
        }
        if let Some(reason) = reason {
            let words = reason.chars().filter(|c| !c.is_control());
            self.reason = Some(words.take(REASON_CHARS_MAX).collect());
        }
    }

    /// Whether a power cut may not undo it.
    fn lasts(&self) -> bool {
        matches!(
            self.key.standing(Moment(Duration::ZERO)),
            Standing::Spent { .. } | Standing::Retired { .. } | Standing::Disabled
        )
    }

    fn carried(self, then: &Stamp, now: &Stamp) -> Self {
        if then.is_of_the_boot_of(now) {
            return Self {
                key: self.key.carried(|past| past, |until| now.believed(until)),
                ..self
            };
        }
        let past = |moment| then.carried_past(moment, now);
        let ahead = |moment| then.carried(moment, now);
        Self {
            key: self.key.carried(past, ahead),
            // No run has survived the boot.
            retired_at: None,
            ..self
        }
    }
}

/// Reads the state of the key in `directory`, as of `now`; a warning when it was damaged.
///
/// # Errors
///
/// When it cannot be read, or was written by a later version.
pub(super) fn read(directory: &HeldDirectory, now: &Stamp) -> Result<(KeyState, Option<String>)> {
    let Some(file) = directory.open_file(STATE, Access::Read)? else {
        return Ok((KeyState::default(), None));
    };
    let mut bytes = Vec::new();
    file.take(STATE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| directory.failed("read", STATE, &error))?;
    if let Ok(head) = serde_json::from_slice::<Head>(&bytes)
        && head.format > FORMAT
    {
        let path = shown(&directory.join(STATE));
        let message = format!("`{path}` was written by a later version of orchestrate");
        return Err(Error::state(message).with_hint("use that version"));
    }
    match serde_json::from_slice::<Content<KeyState>>(&bytes) {
        Ok(content) if bytes.len() <= STATE_BYTES_MAX => {
            Ok((content.state.carried(&content.stamp, now), None))
        }
        _ => put_aside(directory, now),
    }
}

fn put_aside(directory: &HeldDirectory, now: &Stamp) -> Result<(KeyState, Option<String>)> {
    directory
        .rename(STATE, CORRUPT)
        .map_err(|error| directory.failed("put aside", STATE, &error))?;
    let state = KeyState {
        key: Key::on_probation(),
        ..KeyState::default()
    };
    write(directory, &state, now)?;
    let warning = format!(
        "`{}` is damaged and was put aside as {CORRUPT}; the key has to prove itself anew",
        shown(&directory.join(STATE))
    );
    Ok((state, Some(warning)))
}

/// Replaces the state of the key in `directory`.
///
/// # Errors
///
/// When it cannot be written; what was there before is still there.
pub(super) fn write(directory: &HeldDirectory, state: &KeyState, now: &Stamp) -> Result<()> {
    let content = Content {
        format: FORMAT,
        stamp: now.clone(),
        state,
    };
    let mut bytes = serde_json::to_vec(&content).expect("numbers and texts");
    bytes.push(b'\n');
    replace(directory, &bytes, state.lasts())
        .map_err(|error| directory.failed("write", STATE, &error))
}

fn replace(directory: &HeldDirectory, bytes: &[u8], durably: bool) -> io::Result<()> {
    let mut file = make_next(directory)?;
    file.write_all(bytes)?;
    if durably {
        file.sync_all()?;
    }
    directory.rename(NEXT, STATE)?;
    if durably { directory.sync() } else { Ok(()) }
}

fn make_next(directory: &HeldDirectory) -> io::Result<File> {
    match directory.create_new(NEXT) {
        // Somebody was killed while writing: nobody else writes, for we hold the lock.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            directory.remove(NEXT)?;
            directory.create_new(NEXT)
        }
        made => made,
    }
}
