//! A machine of the tests' own: a state home, and a clock that goes as a test says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::credential::key::{Class, Context, Moment, Report, Trust};
use crate::credential::secret::Secret;
use crate::credential::shared_store::{Clock, PATIENCE, PoolKey, SharedStore};
use crate::error::Result;

pub(super) const ALONE: Context = Context {
    only_key: true,
    random: 0,
};
/// A limit for which nobody says how long to wait.
pub(super) const LIMITED: Report = Report::Limited {
    class: Class::Minute,
    hint: None,
    trust: Trust::Child,
};
pub(super) const REJECTED: Report = Report::Rejected {
    trust: Trust::Child,
};
/// What every key of these tests begins with.
pub(super) const VALUE: &str = "value-of-a-key";

/// What the wall clocks show at first.
const BEGINNING_MS: i64 = 2_000_000_000_000;

pub(super) const fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

pub(super) const fn limited(seconds: u64) -> Report {
    Report::Limited {
        class: Class::Minute,
        hint: Some(Duration::from_secs(seconds)),
        trust: Trust::Child,
    }
}

/// A state home with the clocks of its machine.
#[derive(Debug)]
pub(super) struct Machine {
    home: tempfile::TempDir,
    clock: FakeClock,
}

#[derive(Debug, Clone)]
struct FakeClock {
    boot: String,
    wall_ms: Arc<AtomicI64>,
}

impl Clock for FakeClock {
    fn boot(&self) -> &str {
        &self.boot
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millisecond(self.wall_ms.load(Ordering::Relaxed)).unwrap()
    }
}

fn clock() -> FakeClock {
    FakeClock {
        boot: "first".to_owned(),
        wall_ms: Arc::new(AtomicI64::new(BEGINNING_MS)),
    }
}

impl Machine {
    pub(super) fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            clock: clock(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.home.path()
    }

    /// A run that begins at this second, with these keys.
    pub(super) fn run(&self, keys: &[&str], slots: usize, second: u64) -> SharedStore {
        open_by(
            self.path(),
            keys,
            slots,
            at(second),
            self.clock.clone(),
            PATIENCE,
        )
        .unwrap()
    }

    /// Somebody who only looks.
    pub(super) fn visitor(&self, keys: &[&str], second: u64) -> SharedStore {
        let secrets = secrets(keys);
        let pool = pool(&secrets, 1);
        let clock = Box::new(self.clock.clone());
        SharedStore::visit_by(self.path(), &pool, at(second), clock, PATIENCE).unwrap()
    }

    pub(super) fn key_directory(&self, store: &SharedStore) -> PathBuf {
        let directory = self.path().join("orchestrate/credentials");
        directory.join(store.kid(0).as_str())
    }

    pub(super) fn wall(&self) -> Timestamp {
        self.clock.wall()
    }

    pub(super) fn set_wall_hours(&self, hours: i64) {
        let ms = BEGINNING_MS + hours * 3_600_000;
        self.clock.wall_ms.store(ms, Ordering::Relaxed);
    }

    pub(super) fn reboot(&mut self) {
        self.clock.boot.push_str(", and the next");
    }
}

/// Opens a store as a run in another process does.
pub(super) fn open(home: &Path, keys: &[&str]) -> Result<SharedStore> {
    open_by(home, keys, 1, at(0), clock(), PATIENCE)
}

/// The same, waiting for locks only so long.
pub(super) fn open_impatient(
    home: &Path,
    keys: &[&str],
    patience: Duration,
) -> Result<SharedStore> {
    open_by(home, keys, 1, at(0), clock(), patience)
}

/// The same, with more slots.
pub(super) fn open_wide(home: &Path, keys: &[&str], slots: usize) -> SharedStore {
    open_by(home, keys, slots, at(0), clock(), PATIENCE).unwrap()
}

fn open_by(
    home: &Path,
    keys: &[&str],
    slots: usize,
    now: Moment,
    clock: FakeClock,
    patience: Duration,
) -> Result<SharedStore> {
    let secrets = secrets(keys);
    let pool = pool(&secrets, slots);
    SharedStore::open_by(home, &pool, now, Box::new(clock), patience)
}

fn secrets(keys: &[&str]) -> Vec<Secret> {
    let secret = |key: &&str| Secret::new((*key).to_owned(), format!("{VALUE}-{key}").into());
    keys.iter().map(secret).collect()
}

fn pool(secrets: &[Secret], slots: usize) -> Vec<PoolKey<'_>> {
    let keys = secrets.iter().map(|secret| PoolKey { secret, slots });
    keys.collect()
}
