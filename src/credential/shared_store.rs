//! The keys of all runs of a user on one machine: their state on disk, their leases as locks of the kernel.
//!
//! Each key has a directory of its own, named by a [digest](Kid), so that pools which overlap meet. In it,
//! `state.json` says how the key stands, `lock` guards it for milliseconds, and a lock on `slot.N` is a lease. A
//! grant is one stroke under the key's lock: look at the state as it is now, take a free slot, count the lease. Beside
//! the keys, `queue` is the line of all who wait.
//!
//! Thousands of leases begin and end between two changes of how a key stands. So they are only counted (`tally.rs`), in
//! place, and `state.json` is written, and read, when it changes.
//!
//! No lock file is ever removed: a lock on a file that is no longer there guards nothing. No pid and no time to live
//! is needed to find out who is gone: the kernel drops a lock with its last descriptor.

mod clock;
mod holder;
mod identity;
mod key_file;
mod lock;
mod place;
mod queue;
mod slot;
mod tally;

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use self::clock::Stamp;
pub use self::clock::{Clock, SystemClock, now};
pub use self::holder::Holder;
use self::holder::holders;
pub use self::identity::Kid;
use self::identity::Salt;
use self::key_file::{KeyFile, KeyState};
use self::lock::Lock;
pub use self::lock::PATIENCE;
pub use self::place::state_home;
use self::queue::Queue;
pub use self::queue::SILENCE_MAX;
pub use self::slot::SlotLease;
use self::slot::Slots;
use super::key::{Context, Epoch, Key, Moment, Report};
use super::secret::Secret;
use super::store::Store;
use crate::disk::held_directory::HeldDirectory;
use crate::error::Result;
use crate::escape::escape_text;

/// Guards what is done once for all keys.
const DIRECTORY_LOCK: &str = "lock";
const KEY_LOCK: &str = "lock";
const QUEUE: &str = "queue";

/// A key of a pool, and how many items may hold it at once.
#[derive(Debug, Clone, Copy)]
pub struct PoolKey<'a> {
    /// The key.
    pub secret: &'a Secret,
    /// As far as its account allows it.
    pub slots: usize,
}

/// The keys of a pool, shared with all runs on this machine.
#[derive(Debug)]
pub struct SharedStore {
    keys: Vec<SharedKey>,
    queue: Queue,
    clock: Box<dyn Clock>,
    began: Moment,
    warnings: Vec<String>,
}

/// When the file of a key is replaced.
#[derive(Clone, Copy)]
enum Saving {
    /// When something has changed by which others decide.
    WhatHasChanged,
    InAnyCase,
}

#[derive(Debug)]
struct SharedKey {
    kid: Kid,
    /// How many items may hold it at once, as this run was told.
    width: usize,
    slots: Slots,
    directory: HeldDirectory,
    lock: Lock,
    file: KeyFile,
    /// Whether it was of no use to this run when it last looked. It waits for no such key, lest nobody gets it.
    is_out: bool,
}

impl SharedKey {
    /// What this run, which began then, may know of the key.
    fn seen(&mut self, state: &KeyState, run_began: Moment, now: Moment) -> Key {
        let key = state.seen_by(run_began);
        self.is_out = key.returns_at(now).is_none();
        key
    }
}

/// How a key stands, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// What decides.
    pub key: Key,
    /// Since when it stands so, as far as that was noted.
    pub since: Option<Timestamp>,
    /// Why, in one line that is masked and escaped.
    pub reason: Option<String>,
    /// The slots that are taken, and by which processes of this user, as far as the kernel says.
    pub leases: Vec<(usize, Vec<Holder>)>,
}

impl SharedStore {
    /// Opens the keys of a pool below [`state_home`] for a run that begins now: what was rejected once, some time
    /// ago, may be tried once more.
    ///
    /// # Errors
    ///
    /// When the directory, or a file in it, cannot be made or written, is not ours alone to write, or is of the wrong kind,
    /// or when it lies on a network file system: then a run has to keep its keys to [itself](super::store::PrivateStore), and say so. When a lock is not to be
    /// had within [`PATIENCE`] (exit 75): then there are other runs, and nobody may use the keys without their knowing.
    pub fn open(state_home: &Path, pool: &[PoolKey<'_>], now: Moment) -> Result<Self> {
        let clock = Box::new(SystemClock::new()?);
        Self::open_by(state_home, pool, now, clock, PATIENCE)
    }

    /// As [`open`](Self::open), by another clock and with another bound for waiting for locks.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_by(
        state_home: &Path,
        pool: &[PoolKey<'_>],
        now: Moment,
        clock: Box<dyn Clock>,
        patience: Duration,
    ) -> Result<Self> {
        let mut store = Self::visit_by(state_home, pool, now, clock, patience)?;
        for shared in &store.keys {
            Slots::check(&shared.directory, shared.width)?;
        }
        for index in 0..store.keys.len() {
            store.begin(index, now)?;
        }
        Ok(store)
    }

    /// Opens the keys of a pool for somebody who runs nothing: no key is tried once more for that.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn visit(state_home: &Path, pool: &[PoolKey<'_>], now: Moment) -> Result<Self> {
        let clock = Box::new(SystemClock::new()?);
        Self::visit_by(state_home, pool, now, clock, PATIENCE)
    }

    fn visit_by(
        state_home: &Path,
        pool: &[PoolKey<'_>],
        now: Moment,
        clock: Box<dyn Clock>,
        patience: Duration,
    ) -> Result<Self> {
        let directory = place::prepare(state_home)?;
        let salt = {
            let lock = Lock::open(&directory, DIRECTORY_LOCK, patience)?;
            let _guard = lock.hold()?;
            Salt::read_or_make(&directory)?
        };
        let keys = pool.iter().map(|key| {
            let kid = salt.name(key.secret);
            let directory = directory.child(kid.as_str())?;
            Ok(SharedKey {
                lock: Lock::open(&directory, KEY_LOCK, patience)?,
                kid,
                width: key.slots,
                slots: Slots::default(),
                directory,
                file: KeyFile::new(),
                is_out: false,
            })
        });
        Ok(Self {
            keys: keys.collect::<Result<_>>()?,
            queue: Queue::open(directory.child(QUEUE)?, patience)?,
            clock,
            began: now,
            warnings: Vec::new(),
        })
    }

    /// What the key is called on disk and in the journal.
    #[must_use]
    pub fn kid(&self, key: usize) -> &Kid {
        &self.keys[key].kid
    }

    /// How the key stands and who holds it, for display.
    ///
    /// # Errors
    ///
    /// When it cannot be read in time.
    pub fn view(&mut self, key: usize, now: Moment) -> Result<KeyView> {
        let stamp = Stamp::new(&*self.clock, now);
        let shared = &mut self.keys[key];
        let guard = shared.lock.hold()?;
        let (found, warning) = shared.file.read(&shared.directory, &guard, &stamp)?;
        let taken = slot::taken(&shared.directory)?;
        drop(guard);
        self.warnings.extend(warning);
        let state = found.state;
        let files: Vec<_> = taken
            .iter()
            .map(|&number| slot::path(&shared.directory, number))
            .collect();
        Ok(KeyView {
            key: state.key,
            since: state.since,
            reason: state.reason,
            leases: taken.into_iter().zip(holders(&files)).collect(),
        })
    }

    /// An operator says that the key is as good as new. What leases that were granted before report later is not
    /// heard any more, and runs that had given it up use it again.
    ///
    /// # Errors
    ///
    /// When it cannot be noted in time.
    pub fn reset(&mut self, key: usize, now: Moment) -> Result<()> {
        self.operate(key, now, None, Key::reset)
    }

    /// An operator takes the key out of service for all runs, or puts it back as good as new.
    ///
    /// # Errors
    ///
    /// When it cannot be noted in time.
    pub fn disable(&mut self, key: usize, is_disabled: bool, now: Moment) -> Result<()> {
        let reason = is_disabled.then_some("orchestrate keys disable");
        self.operate(key, now, reason, |key| key.disable(is_disabled))
    }

    /// A run begins. Written in any case: who cannot write has to know before the first lease.
    fn begin(&mut self, key: usize, now: Moment) -> Result<()> {
        let state = self.update(key, now, Saving::InAnyCase, |state, wall| {
            state.change(now, wall, None, |key| key.begin_run(now));
        })?;
        self.keys[key].seen(&state, self.began, now);
        Ok(())
    }

    fn operate(
        &mut self,
        key: usize,
        now: Moment,
        reason: Option<&str>,
        operation: impl FnOnce(&mut Key),
    ) -> Result<()> {
        self.update(key, now, Saving::WhatHasChanged, |state, wall| {
            let before = state.key.clone();
            state.change(now, wall, reason, operation);
            if state.key != before {
                state.retired_at = None;
            }
        })?;
        Ok(())
    }

    fn heard(
        &mut self,
        key: usize,
        now: Moment,
        reason: Option<&str>,
        report: impl FnOnce(&mut Key),
    ) -> Result<Key> {
        let state = self.update(key, now, Saving::WhatHasChanged, |state, wall| {
            state.change(now, wall, reason, report);
        })?;
        Ok(self.keys[key].seen(&state, self.began, now))
    }

    /// Changes the state of a key on disk as it is now.
    fn update(
        &mut self,
        key: usize,
        now: Moment,
        saving: Saving,
        change: impl FnOnce(&mut KeyState, Timestamp),
    ) -> Result<KeyState> {
        let stamp = Stamp::new(&*self.clock, now);
        let shared = &mut self.keys[key];
        let guard = shared.lock.hold()?;
        let (found, warning) = shared.file.read(&shared.directory, &guard, &stamp)?;
        self.warnings.extend(warning);
        let mut state = found.state.clone();
        change(&mut state, self.clock.wall());
        let (directory, file) = (&shared.directory, &mut shared.file);
        match saving {
            Saving::WhatHasChanged => file.save(directory, &guard, &found, &state, &stamp)?,
            Saving::InAnyCase => drop(file.write(directory, &guard, &found, &state, &stamp)?),
        }
        Ok(state)
    }
}

impl Store for SharedStore {
    type Hold = SlotLease;

    fn look(&mut self, key: usize, now: Moment) -> Result<Key> {
        let stamp = Stamp::new(&*self.clock, now);
        let shared = &mut self.keys[key];
        let guard = shared.lock.hold()?;
        let (found, warning) = shared.file.read(&shared.directory, &guard, &stamp)?;
        drop(guard);
        self.warnings.extend(warning);
        Ok(shared.seen(&found.state, self.began, now))
    }

    fn try_lease(&mut self, key: usize, now: Moment) -> Result<Option<(Epoch, SlotLease)>> {
        let shared = &mut self.keys[key];
        if !self.queue.is_first_for(&shared.kid, now)? {
            return Ok(None);
        }
        let stamp = Stamp::new(&*self.clock, now);
        let guard = shared.lock.hold()?;
        let directory = &shared.directory;
        let (found, warning) = shared.file.read(directory, &guard, &stamp)?;
        self.warnings.extend(warning);
        let seen = found.state.seen_by(self.began);
        let allowed = seen.slots(shared.width, now);
        let Some(lease) = shared.slots.try_take(directory, allowed)? else {
            drop(guard);
            shared.seen(&found.state, self.began, now);
            return Ok(None);
        };
        let mut epoch = Epoch::default();
        let mut state = found.state.clone();
        state.change(now, self.clock.wall(), None, |key| epoch = key.grant(now));
        let noted = shared.file.save(directory, &guard, &found, &state, &stamp);
        if let Err(error) = noted {
            shared.slots.free(lease);
            return Err(error);
        }
        drop(guard);
        self.queue.leave();
        Ok(Some((epoch, lease)))
    }

    fn release(&mut self, key: usize, hold: SlotLease, now: Moment) -> Result<Key> {
        let noted = self.heard(key, now, None, |key| key.release(now));
        self.keys[key].slots.free(hold);
        noted
    }

    fn report_because(
        &mut self,
        key: usize,
        epoch: Epoch,
        report: Report,
        now: Moment,
        context: Context,
        reason: &str,
    ) -> Result<Key> {
        let note = |key: &mut Key| key.report(epoch, report, now, context);
        self.heard(key, now, Some(reason).filter(|it| !it.is_empty()), note)
    }

    fn queue_up(&mut self, wanted: &[usize], now: Moment) -> Result<()> {
        let wanted = wanted.iter().map(|&key| &self.keys[key]);
        let wanted = wanted.filter(|shared| !shared.is_out);
        let kids: Vec<&Kid> = wanted.map(|shared| &shared.kid).collect();
        self.queue.join(&kids, now)
    }

    fn leave_queue(&mut self) {
        self.queue.leave();
    }

    fn holders(&mut self, key: usize) -> Vec<String> {
        let shared = &self.keys[key];
        let taken = {
            let guard = shared.lock.hold();
            guard.and_then(|_guard| slot::taken(&shared.directory))
        };
        let path = |number| slot::path(&shared.directory, number);
        let files: Vec<_> = taken.unwrap_or_default().into_iter().map(path).collect();
        let words = |Holder { pid, name }| format!("{} ({pid})", escape_text(&name));
        holders(&files).concat().into_iter().map(words).collect()
    }

    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

#[cfg(test)]
mod tests;
