//! `state.json`: what all runs of a machine know of one key.
//!
//! Read and written only under the key's lock. It is replaced whole, when something changes by which others decide;
//! that a lease begins or ends well changes only the [tally](super::tally). Who has read it remembers it until the
//! tally, or the file system, says that there is another one.
//!
//! After a power cut, all leases are gone. What only says that a key rests for minutes is not worth an fsync: it may be
//! lost, and a damaged file means a key that has to prove itself. What lasts longer than a cooldown is made durable, with
//! the numbers of the leases that it speaks of: no later lease has one of those, even if the tally is lost.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::clock::Stamp;
use super::lock::Guard;
use super::tally::{self, Tally};
use crate::credential::key::{Key, Moment, Standing};
use crate::disk::held_directory::{Access, HeldDirectory, Version};
use crate::disk::path_text::shown;
use crate::error::{Error, Result};

const STATE: &str = "state.json";
/// Where the next state is written first. A name of its own each time would leave files behind when we are killed.
const NEXT: &str = "state.json.new";
const CORRUPT: &str = "state.json.corrupt";
/// The form of the file. In the first one, whoever began or ended a lease replaced the file, and there was no tally.
const FORMAT: u32 = 2;
/// The file whose content is the tally.
const TALLY: &str = super::KEY_LOCK;
/// Few are larger.
const USUAL_BYTES: usize = 1 << 10;
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

#[derive(Debug, Serialize, Deserialize)]
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

/// The file of one key.
#[derive(Debug)]
pub(super) struct KeyFile {
    remembered: Option<Remembered>,
}

/// What stood in the file when it was last read or written.
#[derive(Debug)]
struct Remembered {
    /// Of the tally. Without one, nothing can be relied upon.
    generation: Option<u64>,
    /// Somebody may have edited the file by hand.
    version: Option<Version>,
    /// Nothing, if there was no file.
    content: Option<Box<Content<KeyState>>>,
}

/// What was found, as of a moment, and as long as the lock is held.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) state: KeyState,
    tally: Option<Tally>,
    /// The file may be left as it is: it was written in this boot, in the present form.
    is_of_now: bool,
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

    /// Whether it differs from `other` in nothing but how far the key was used.
    fn stands_as(&self, other: &Self) -> bool {
        self.key.stands_as(&other.key)
            && (self.retired_at, self.since, &self.reason)
                == (other.retired_at, other.since, &other.reason)
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

impl KeyFile {
    /// A file that was not read yet.
    pub(super) const fn new() -> Self {
        Self { remembered: None }
    }

    /// What is known of the key in `directory`, as of `now`; a warning when it was damaged.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or was written by a later version.
    pub(super) fn read(
        &mut self,
        directory: &HeldDirectory,
        guard: &Guard<'_>,
        now: &Stamp,
    ) -> Result<(Found, Option<String>)> {
        let tally = tally::read(guard);
        let tally = tally.map_err(|error| directory.failed("read", TALLY, &error))?;
        let generation = tally.map(|tally| tally.generation);
        // Asked before it is read: what changes in between is read again.
        let version = directory.version(STATE)?;
        let remembered = self.remembered.take().filter(|remembered| {
            generation.is_some()
                && (remembered.generation, remembered.version) == (generation, version)
        });
        let content = match remembered {
            Some(remembered) => remembered.content,
            None => match load(directory)? {
                Loaded::Content(content) => content,
                Loaded::Damaged => return self.put_aside(directory, guard, tally, now),
            },
        };
        let mut state = content.as_ref().map_or_else(KeyState::default, |content| {
            content.state.clone().carried(&content.stamp, now)
        });
        if let Some(tally) = tally {
            state.key.note_usage(tally.usage(now));
        }
        let is_of_now = content.as_ref().is_some_and(|content| {
            content.format == FORMAT && content.stamp.is_of_the_boot_of(now)
        });
        self.remembered = Some(Remembered {
            generation,
            version,
            content,
        });
        let found = Found {
            state,
            tally,
            is_of_now,
        };
        Ok((found, None))
    }

    fn put_aside(
        &mut self,
        directory: &HeldDirectory,
        guard: &Guard<'_>,
        tally: Option<Tally>,
        now: &Stamp,
    ) -> Result<(Found, Option<String>)> {
        directory
            .rename(STATE, CORRUPT)
            .map_err(|error| directory.failed("put aside", STATE, &error))?;
        let mut state = KeyState {
            key: Key::on_probation(),
            ..KeyState::default()
        };
        if let Some(tally) = tally {
            state.key.note_usage(tally.usage(now));
        }
        let found = Found {
            state,
            tally,
            is_of_now: false,
        };
        let tally = self.write(directory, guard, &found, &found.state, now)?;
        let warning = format!(
            "`{}` is damaged and was put aside as {CORRUPT}; the key has to prove itself anew",
            shown(&directory.join(STATE))
        );
        let found = Found {
            tally: Some(tally),
            is_of_now: true,
            ..found
        };
        Ok((found, Some(warning)))
    }

    /// Notes what has become of what was `found`: nothing, when nothing has changed; in the tally alone, when the key
    /// was used and stands as it stood.
    ///
    /// # Errors
    ///
    /// When it cannot be written; what was there before is still there.
    pub(super) fn save(
        &mut self,
        directory: &HeldDirectory,
        guard: &Guard<'_>,
        found: &Found,
        state: &KeyState,
        now: &Stamp,
    ) -> Result<()> {
        match found.tally {
            Some(tally) if found.is_of_now && state.stands_as(&found.state) => {
                let usage = state.key.usage();
                if usage == found.state.key.usage() {
                    return Ok(());
                }
                tally::write_usage(guard, tally, usage, now)
                    .map_err(|error| directory.failed("write", TALLY, &error))
            }
            _ => self.write(directory, guard, found, state, now).map(drop),
        }
    }

    /// Replaces the file, whatever was `found`.
    ///
    /// # Errors
    ///
    /// When it cannot be written; what was there before is still there.
    pub(super) fn write(
        &mut self,
        directory: &HeldDirectory,
        guard: &Guard<'_>,
        found: &Found,
        state: &KeyState,
        now: &Stamp,
    ) -> Result<Tally> {
        self.remembered = None;
        let tally = tally::write_generation(guard, found.tally, state.key.usage(), now);
        let tally = tally.map_err(|error| directory.failed("write", TALLY, &error))?;
        let content = Content {
            format: FORMAT,
            stamp: now.clone(),
            state,
        };
        let mut bytes = serde_json::to_vec(&content).expect("numbers and texts");
        bytes.push(b'\n');
        replace(directory, &bytes, state.lasts())
            .map_err(|error| directory.failed("write", STATE, &error))?;
        Ok(tally)
    }
}

enum Loaded {
    /// Nothing, if there is no file.
    Content(Option<Box<Content<KeyState>>>),
    Damaged,
}

fn load(directory: &HeldDirectory) -> Result<Loaded> {
    let Some(file) = directory.open_file(STATE, Access::Read)? else {
        return Ok(Loaded::Content(None));
    };
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
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
    match serde_json::from_slice(&bytes) {
        Ok(content) if bytes.len() <= STATE_BYTES_MAX => Ok(Loaded::Content(Some(content))),
        _ => Ok(Loaded::Damaged),
    }
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
