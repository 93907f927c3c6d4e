//! Locks that are held for milliseconds, and waited for with a bound.
//!
//! They are `flock`s by name, and unlocked explicitly: a child that is being spawned at that moment has a copy of the
//! descriptor until it becomes its program. There is no call that waits for a lock for some time only, so it is tried
//! again and again. Their files are never removed: a lock on a file that is no longer there guards nothing. Who holds a
//! lock may keep a few bytes in its file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::holder::{Holder, holders};
use crate::disk::held_directory::{Access, HeldDirectory, failed};
use crate::disk::path_text::{shell_quoted, shown};
use crate::error::{Error, ExitStatus, Result};
use crate::escape::escape_text;

/// Locks are held for milliseconds: who has not got one after this long waits for a stopped process.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// The first pause between two tries; each further one is twice as long …
const PAUSE: Duration = Duration::from_micros(200);
/// … up to this.
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// A file to be locked.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
    patience: Duration,
}

/// A lock that is held, until it is dropped.
#[derive(Debug)]
pub(super) struct Guard<'a>(&'a File);

impl Lock {
    /// Opens the lock file `name`, and makes it when it is not there.
    pub(super) fn open(directory: &HeldDirectory, name: &str, patience: Duration) -> Result<Self> {
        Ok(Self {
            file: open_or_make(directory, name)?,
            path: directory.join(name),
            patience,
        })
    }

    /// Waits for the lock.
    ///
    /// # Errors
    ///
    /// When somebody else holds it all the time (exit 75): a process that is stopped, as a rule.
    pub(super) fn hold(&self) -> Result<Guard<'_>> {
        let (begun, mut pause) = (monotonic(), PAUSE);
        loop {
            match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Guard(&self.file)),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(errno) => return Err(failed("lock", &self.path, &errno.into())),
            }
            if begun.elapsed() >= self.patience {
                return Err(self.stuck());
            }
            sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn stuck(&self) -> Error {
        let message = format!(
            "another process has held `{}` for {} s: is it stopped?",
            shown(&self.path),
            self.patience.as_secs_f64()
        );
        let found: Vec<String> = holders(&[&self.path])
            .concat()
            .into_iter()
            .map(|Holder { pid, name }| format!("{} (kill -CONT {pid})", escape_text(&name)))
            .collect();
        let hint = if found.is_empty() {
            let command = format!("fuser -v {}", shell_quoted(&self.path));
            format!("see which one: {command}; then: kill -CONT PID")
        } else {
            format!("let it go on: {}", found.join(", "))
        };
        Error::new(ExitStatus::WorkLeft, message).with_hint(hint)
    }
}

impl Guard<'_> {
    /// Reads the beginning of the locked file, and returns how much of it there is.
    pub(super) fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(bytes, 0)
    }

    /// Replaces what stands at this place of the locked file.
    pub(super) fn write(&self, bytes: &[u8], place: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, place)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // It fails only for a descriptor that is none.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

/// Opens a file that is empty at first; two who make it at once get the same one.
pub(super) fn open_or_make(directory: &HeldDirectory, name: &str) -> Result<File> {
    loop {
        if let Some(file) = directory.open_file(name, Access::Update)? {
            return Ok(file);
        }
        match directory.create_new(name) {
            Ok(file) => return Ok(file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(directory.failed("make", name, &error)),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "another process is waited for in real time"
)]
fn monotonic() -> Instant {
    Instant::now()
}
