//! The lock of one workflow: no two runs work on it at once, even when one of them was killed.
//!
//! `run` takes it before it opens the journal (which asks for it as proof) and releases it last. It is a
//! `flock`, by name: it belongs to the open file description, so every child that inherits the descriptor keeps
//! it held. That is on purpose: when everything of ours is killed at once, the workflow stays locked until the
//! last process of an item has ended.
//!
//! For the same reason, dropping a [`WorkflowLock`] only closes our descriptor, and only
//! [`release`](WorkflowLock::release) unlocks for everybody: a panic must not hand the workflow to the next run
//! while our children live. (`nix::fcntl::Flock` unlocks when dropped, and `std::fs::File::lock` does not promise
//! to stay a `flock`.)
//!
//! The pid in the file is only ever displayed. It is not looked up and never signalled.
//!
//! Beside it lies `alive`, which the run locks too and no child inherits: it tells whoever is turned away whether a run
//! lives or only what a dead one has left. It decides nothing. What the run has open could not be asked instead: nobody
//! may look into our processes, for there are keys in them.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::directory::{ALIVE, LOCK, WorkflowDirectory};
use crate::disk::held_directory::{Access, HeldDirectory, Identity};
use crate::disk::path_text::{shell_quoted, shown};
use crate::error::{Error, ExitStatus};

/// The lock file holds one short line; more than this is not ours and not read.
const HOLDER_BYTES_MAX: usize = 256;
/// How often the lock is tried: who only asks who holds it (see [`holder_of`]) has it for a moment.
const TRIES: u32 = 4;
/// How long lies between two tries.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// How many processes are named that a dead run has left.
const SURVIVORS_NAMED_MAX: usize = 20;
/// How often the lock file may be exchanged under us before we give up.
const ATTEMPTS_MAX: u32 = 16;

/// A held lock.
#[derive(Debug)]
pub struct WorkflowLock {
    file: File,
    /// Close-on-exec for ever.
    alive: Option<File>,
}

/// Who holds a lock, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process id, for display only.
    pub pid: Option<u32>,
    /// When the run began: text from outside.
    pub started: Option<String>,
}

/// Who holds the workflow's lock now; nothing when nobody does.
///
/// # Errors
///
/// Why the lock file cannot be used.
pub fn holder_of(directory: &WorkflowDirectory) -> crate::error::Result<Option<Holder>> {
    let held = directory.held();
    let Some(file) = held.open_file(LOCK, Access::Read)? else {
        return Ok(None);
    };
    // Shared, so that any number may ask at once, and given back at once.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let (pid, started) = holder(&file);
            Ok(Some(Holder { pid, started }))
        }
        Err(errno) => Err(held.failed("lock", LOCK, &errno.into())),
    }
}

/// Why the lock was not acquired.
#[derive(Debug)]
pub enum LockError {
    /// Another run holds it, or a process that it left behind.
    Held {
        /// The workflow.
        workflow: String,
        /// The lock file.
        path: PathBuf,
        /// Which file that is.
        identity: Identity,
        /// The holder's process id, for display only.
        pid: Option<u32>,
        /// When the holder began, in its own words: text from outside.
        started: Option<String>,
        /// Whether a run is known to be alive: one of an older version does not say so.
        run_lives: bool,
    },
    /// The lock file could not be opened or locked.
    Failed(Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held {
                workflow,
                pid,
                started,
                ..
            } => {
                write!(formatter, "another run holds the workflow `{workflow}`")?;
                if let Some(pid) = pid {
                    write!(formatter, ": pid {pid}")?;
                }
                if let Some(started) = started {
                    write!(formatter, ", started {}", started.escape_debug())?;
                }
                Ok(())
            }
            Self::Failed(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for LockError {}

impl From<LockError> for Error {
    fn from(error: LockError) -> Self {
        let message = error.to_string();
        match error {
            LockError::Failed(error) => error,
            LockError::Held { path, pid, .. } => {
                let gone = pid.map_or_else(String::new, |pid| format!("; if pid {pid} is gone"));
                Self::new(ExitStatus::WorkLeft, message).with_hint(format!(
                    "wait until it ends (--if-locked wait does){gone}, processes of its items are still alive: fuser -v {}",
                    shell_quoted(&path)
                ))
            }
        }
    }
}

impl LockError {
    /// What is said when the run that took the lock is known to be dead, and `survivors` are what it has left: each
    /// in words and with its process id.
    #[must_use]
    pub fn survived_by(self, survivors: &[(String, i32)]) -> Error {
        let Self::Held { workflow, .. } = &self else {
            return self.into();
        };
        let message = format!(
            "the last run of the workflow `{workflow}` was killed, and processes of its items are still alive"
        );
        let mut lines: Vec<String> = survivors
            .iter()
            .take(SURVIVORS_NAMED_MAX)
            .map(|(words, _)| words.clone())
            .collect();
        if survivors.len() > SURVIVORS_NAMED_MAX {
            lines.push(format!(
                "and {} more",
                survivors.len() - SURVIVORS_NAMED_MAX
            ));
        }
        let pids: Vec<String> = survivors.iter().map(|(_, pid)| pid.to_string()).collect();
        lines.push(format!(
            "wait until they end, or look at them and end them: kill {}",
            pids.join(" ")
        ));
        Error::new(ExitStatus::WorkLeft, message).with_hint(lines.join("\n"))
    }
}

impl WorkflowLock {
    /// Takes the lock, or says at once who holds it. `holder`, a process, and `started` are shown to those
    /// who come later.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] (exit 75), or why the lock file could not be used.
    pub fn acquire(
        directory: &WorkflowDirectory,
        holder: u32,
        started: &str,
    ) -> Result<Self, LockError> {
        let held = directory.held();
        for _ in 0..ATTEMPTS_MAX {
            let Some(file) = open_or_make(held, LOCK).map_err(LockError::Failed)? else {
                continue;
            };
            if let Some(file) = take(directory, file)? {
                let alive = mark_as_alive(directory.held()).map_err(LockError::Failed)?;
                return Self::announced(directory, file, alive, holder, started);
            }
        }
        let path = shown(&directory.lock_path());
        Err(LockError::Failed(Error::state(format!(
            "`{path}` is being replaced again and again"
        ))))
    }

    /// Takes over the lock that the process that started us holds, from an inherited descriptor.
    ///
    /// # Errors
    ///
    /// When the descriptor is not this workflow's lock file, or somebody else holds the lock.
    pub fn inherited(
        directory: &WorkflowDirectory,
        descriptor: OwnedFd,
    ) -> Result<Self, LockError> {
        let file = File::from(descriptor);
        if !is_at(directory.held(), &file).map_err(LockError::Failed)? {
            let path = shown(&directory.lock_path());
            let message = format!("the inherited descriptor is not the lock file `{path}`");
            return Err(LockError::Failed(Error::state(message)));
        }
        // For the open file description that holds the lock already this changes nothing (flock(2)).
        lock_now(directory, &file)?;
        let alive = mark_as_alive(directory.held()).map_err(LockError::Failed)?;
        Ok(Self { file, alive })
    }

    fn announced(
        directory: &WorkflowDirectory,
        file: File,
        alive: Option<File>,
        holder: u32,
        started: &str,
    ) -> Result<Self, LockError> {
        let line = format!("{holder} {started}\n");
        file.write_all_at(line.as_bytes(), 0)
            .and_then(|()| file.set_len(line.len() as u64))
            .map_err(|e| LockError::Failed(directory.held().failed("write", LOCK, &e)))?;
        Ok(Self { file, alive })
    }

    /// Unlocks the workflow for everybody, also when a child still has the descriptor.
    pub fn release(self) {
        // Who looks at a lock that is free must not read our name; no failure changes what follows.
        let _ = self.file.set_len(0);
        if let Some(alive) = &self.alive {
            // Before the next run locks it. Not only closed: a child that is being spawned has a copy for a moment.
            let _ = flock(alive, FlockOperation::Unlock);
        }
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl AsFd for WorkflowLock {
    /// The descriptor that children inherit on purpose. It is close-on-exec until somebody arranges that.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Locks the file; nothing when somebody removed or replaced it between our opening and our locking it, for then
/// what we hold guards nothing.
fn take(directory: &WorkflowDirectory, file: File) -> Result<Option<File>, LockError> {
    lock_now(directory, &file)?;
    let guards = is_at(directory.held(), &file).map_err(LockError::Failed)?;
    Ok(guards.then_some(file))
}

/// Nothing when somebody made or removed the file in the same moment.
fn open_or_make(directory: &HeldDirectory, name: &str) -> crate::error::Result<Option<File>> {
    if let Some(file) = directory.open_file(name, Access::Update)? {
        return Ok(Some(file));
    }
    match directory.create_new(name) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(directory.failed("make", name, &error)),
    }
}

/// Says that a run lives, as long as this process does. Only for who holds the lock; nothing when it cannot be said:
/// somebody who asks is stopped just then.
fn mark_as_alive(directory: &HeldDirectory) -> crate::error::Result<Option<File>> {
    let file = open_or_make(directory, ALIVE)?;
    Ok(file.filter(|file| try_lock(file).is_ok()))
}

/// Whether somebody has said that a run lives.
fn is_run_alive(directory: &HeldDirectory) -> bool {
    let Ok(Some(file)) = directory.open_file(ALIVE, Access::Read) else {
        return false;
    };
    // Shared, and given back at once, as in `holder_of`.
    flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}

/// Locks a file that nobody else may have locked for longer than a moment.
pub(super) fn try_lock(file: &File) -> rustix::io::Result<()> {
    let lock = || flock(file, FlockOperation::NonBlockingLockExclusive);
    let mut locked = lock();
    for _ in 1..TRIES {
        if locked != Err(rustix::io::Errno::WOULDBLOCK) {
            break;
        }
        std::thread::sleep(TRY_AGAIN_AFTER);
        locked = lock();
    }
    locked
}

fn lock_now(directory: &WorkflowDirectory, file: &File) -> Result<(), LockError> {
    match try_lock(file) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let (pid, started) = holder(file);
            let metadata = file.metadata();
            let metadata = metadata
                .map_err(|e| LockError::Failed(directory.held().failed("examine", LOCK, &e)))?;
            Err(LockError::Held {
                workflow: directory.workflow().to_owned(),
                path: directory.lock_path(),
                identity: Identity::from(&metadata),
                pid,
                started,
                run_lives: is_run_alive(directory.held()),
            })
        }
        Err(errno) => Err(LockError::Failed(directory.held().failed(
            "lock",
            LOCK,
            &errno.into(),
        ))),
    }
}

fn is_at(directory: &HeldDirectory, file: &File) -> crate::error::Result<bool> {
    let metadata = file
        .metadata()
        .map_err(|e| directory.failed("examine", LOCK, &e))?;
    Ok(directory.identity(LOCK)? == Some(Identity::from(&metadata)))
}

/// What the holder wrote, as far as it can be read: it may be writing just now.
fn holder(file: &File) -> (Option<u32>, Option<String>) {
    let mut buffer = [0; HOLDER_BYTES_MAX];
    let length = file.read_at(&mut buffer, 0).unwrap_or(0);
    let text = String::from_utf8_lossy(&buffer[..length]);
    let Some((line, _)) = text.split_once('\n') else {
        return (None, None);
    };
    let (pid, started) = line.split_once(' ').unwrap_or((line, ""));
    (
        pid.parse().ok(),
        Some(started.to_owned()).filter(|s| !s.is_empty()),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::state::directory::StateDirectory;

    const STARTED: &str = "2026-11-23T00:14:48Z";

    fn workflow() -> (tempfile::TempDir, WorkflowDirectory) {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        let directory = state.workflow("implement").unwrap();
        (base, directory)
    }

    #[test]
    fn who_asks_for_the_holder_turns_nobody_away() {
        let (_base, directory) = workflow();
        assert_eq!(holder_of(&directory).unwrap(), None);
        let over = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    holder_of(&directory).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            for number in 0..200 {
                let lock = WorkflowLock::acquire(&directory, number, "then").unwrap();
                let holder = holder_of(&directory).unwrap().unwrap();
                assert_eq!(
                    (holder.pid, holder.started.as_deref()),
                    (Some(number), Some("then"))
                );
                lock.release();
            }
            over.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn the_second_run_is_told_who_holds_the_workflow() {
        let (_base, directory) = workflow();
        let lock = WorkflowLock::acquire(&directory, std::process::id(), STARTED).unwrap();
        let mode = fs::metadata(directory.lock_path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600);
        for _ in 0..2 {
            let error = Error::from(
                WorkflowLock::acquire(&directory, std::process::id(), "later").unwrap_err(),
            );
            assert_eq!(error.status(), ExitStatus::WorkLeft);
            let pid = std::process::id();
            let expected =
                format!("another run holds the workflow `implement`: pid {pid}, started {STARTED}");
            assert_eq!(error.to_string(), expected);
            let hint = error.hint().unwrap();
            assert!(
                hint.contains("wait until it ends") && hint.contains("fuser -v /"),
                "{hint}"
            );
        }
        drop(lock);
        WorkflowLock::acquire(&directory, std::process::id(), STARTED).unwrap();
    }

    #[test]
    fn workflows_do_not_lock_each_other() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        let one = state.workflow("requirements").unwrap();
        let other = state.workflow("implement").unwrap();
        let _lock = WorkflowLock::acquire(&one, std::process::id(), STARTED).unwrap();
        WorkflowLock::acquire(&other, std::process::id(), STARTED).unwrap();
    }

    #[test]
    fn a_child_that_inherited_the_descriptor_keeps_the_lock_after_a_drop_but_not_after_a_release() {
        let (_base, directory) = workflow();
        let lock = WorkflowLock::acquire(&directory, std::process::id(), STARTED).unwrap();
        let child = lock.as_fd().try_clone_to_owned().unwrap();
        drop(lock);
        assert!(matches!(
            WorkflowLock::acquire(&directory, std::process::id(), STARTED),
            Err(LockError::Held { .. })
        ));

        WorkflowLock::inherited(&directory, child.try_clone().unwrap())
            .unwrap()
            .release();
        let again = WorkflowLock::acquire(&directory, std::process::id(), STARTED).unwrap();
        assert!(matches!(
            WorkflowLock::inherited(&directory, child),
            Err(LockError::Held { .. })
        ));
        again.release();
        assert_eq!(fs::read(directory.lock_path()).unwrap(), b"");
    }

    #[test]
    fn a_run_that_lives_is_told_from_what_a_dead_one_has_left() {
        let (_base, directory) = workflow();
        let refused = || match WorkflowLock::acquire(&directory, 7, "later") {
            Err(LockError::Held { run_lives, .. }) => run_lives,
            other => panic!("{other:?}"),
        };
        let lock = WorkflowLock::acquire(&directory, 6, STARTED).unwrap();
        assert!(refused());
        // What a child has inherited is the lock alone.
        let child = lock.as_fd().try_clone_to_owned().unwrap();
        drop(lock);
        assert!(!refused());
        drop(child);
        let next = WorkflowLock::acquire(&directory, 8, STARTED).unwrap();
        assert!(refused());
        next.release();

        // A run of an older version says nothing of it, and somebody who asks is no run.
        let asks = directory
            .held()
            .open_file(ALIVE, Access::Read)
            .unwrap()
            .unwrap();
        flock(&asks, FlockOperation::NonBlockingLockShared).unwrap();
        let older = open_or_make(directory.held(), LOCK).unwrap().unwrap();
        flock(&older, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(!refused());
        drop(older);
        WorkflowLock::acquire(&directory, 9, STARTED).unwrap();
    }

    #[test]
    fn another_file_is_not_taken_for_the_inherited_lock() {
        let (base, directory) = workflow();
        WorkflowLock::acquire(&directory, std::process::id(), STARTED)
            .unwrap()
            .release();
        let stranger = File::create(base.path().join("stranger")).unwrap();
        assert!(matches!(
            WorkflowLock::inherited(&directory, stranger.into()),
            Err(LockError::Failed(_))
        ));
    }

    #[test]
    fn a_holder_that_cannot_be_read_is_still_a_holder() {
        let (_base, directory) = workflow();
        let lock = WorkflowLock::acquire(&directory, std::process::id(), "x").unwrap();
        for (text, pid, started) in [
            ("", None, None),
            ("12", None, None),
            ("12 \x1b[2J\n", Some(12), Some("\x1b[2J")),
            ("12\nmore", Some(12), None),
            ("\u{fffd}\n", None, None),
            (&"9".repeat(4096), None, None),
        ] {
            fs::write(directory.lock_path(), text).unwrap();
            let error = WorkflowLock::acquire(&directory, std::process::id(), "y").unwrap_err();
            assert!(!error.to_string().contains('\x1b'));
            let LockError::Held {
                pid: found,
                started: since,
                ..
            } = error
            else {
                panic!("{text:?}")
            };
            assert_eq!((found, since.as_deref()), (pid, started), "{text:?}");
        }
        drop(lock);
    }

    #[test]
    fn a_lock_file_that_was_removed_or_replaced_guards_nothing() {
        let (_base, directory) = workflow();
        let open = || open_or_make(directory.held(), LOCK).unwrap().unwrap();
        let removed = open();
        fs::remove_file(directory.lock_path()).unwrap();
        assert!(take(&directory, removed).unwrap().is_none());
        let replaced = open();
        fs::remove_file(directory.lock_path()).unwrap();
        drop(open());
        assert!(take(&directory, replaced).unwrap().is_none());
        assert!(take(&directory, open()).unwrap().is_some());
    }

    #[test]
    fn a_link_planted_at_the_lock_is_refused_and_its_target_untouched() {
        let (base, directory) = workflow();
        let target = base.path().join("target");
        fs::write(&target, "untouched").unwrap();
        symlink(&target, directory.lock_path()).unwrap();
        let error = Error::from(
            WorkflowLock::acquire(&directory, std::process::id(), STARTED).unwrap_err(),
        );
        assert_eq!(error.status(), ExitStatus::Usage);
        assert_eq!(fs::read(&target).unwrap(), b"untouched");
    }

    #[test]
    fn of_many_that_try_at_once_exactly_one_gets_it() {
        let (_base, directory) = workflow();
        let start = std::sync::Barrier::new(20);
        let taken: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..20)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        WorkflowLock::acquire(&directory, std::process::id(), STARTED)
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(taken.iter().filter(|lock| lock.is_ok()).count(), 1);
    }
}
