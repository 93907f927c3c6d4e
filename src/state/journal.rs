//! The journal of one workflow: the truth about what is done, on the disk.
//!
//! The one place that appends to it. `run` opens it under the workflow's lock and hands it to the journal's
//! thread ([`super::journal_thread`]); a dry run only reads it ([`super::journal_scan`]). What a line looks like is
//! decided in [`super::record`], what is a tear and what is damage in [`super::history`].
//!
//! - **Durable before visible**: [`Journal::append`] returns after fdatasync came back. That an attempt begins is only
//!   [noted](Journal::note): the next fdatasync takes it along. A power cut may lose it, or a kill that comes while it
//!   waits to be written, and nothing is wrong then but that nobody knows that the item was cut off.
//! - **No second try**: after a failed fsync the kernel has dropped the page and calls it clean, so a later fsync
//!   that succeeds would say nothing (<https://wiki.postgresql.org/wiki/Fsync_Errors> tells the
//!   story). The first failure poisons the journal: nothing is appended any more.
//! - **A reserve**: [`RESERVE_BYTES`] behind its end are allocated ahead (fallocate(2), `FALLOC_FL_KEEP_SIZE`). When
//!   no more can be had, because the disk is full, [`Journal::shortage`] says so while what runs can still be
//!   recorded. A reserve file that is removed in need would be worse: the items' own logs, which filled the disk,
//!   would fill what it gave back. A file system that allocates nothing ahead gives no reserve.
//! - **Never guessed around**: damage is refused with the repair in the message; what is cut off is saved first.
//! - What a killed run wrote but did not sync is made durable before it is believed.
//! - When it is opened, an older version is copied into the present one, and a long journal that is mostly superseded
//!   into a short one (`journal_rewrite.rs`). The same is done when a run has ended by itself, for then nobody is in a
//!   hurry: each end has superseded its attempt's beginning, and the next run has half as much to read.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::directory::{JOURNAL, WorkflowDirectory};
use super::history::{History, RECORDS_PER_WRITE_MAX, WRITE_BYTES_MAX};
use super::journal_rewrite::{FILES_BESIDE_MAX, copy, keep_beside, too_many_beside};
use super::journal_scan::{Scan, scan};
use super::lock::{WorkflowLock, try_lock};
use super::record::{Position, RECORD_BYTES_MAX, Record, Step, VERSION, header_line, write_line};
use crate::disk::held_directory::{Access, HeldDirectory, Identity, failed};
use crate::disk::path_text::shown;
use crate::disk::whole_file::{self, remove_drafts};
use crate::error::{Error, ExitStatus, Result};

/// How much room the journal keeps behind its end. An ordinary record has less than half a KiB, and an attempt has two; some
/// hundred may be on their way when the disk turns out to be full.
pub const RESERVE_BYTES: u64 = 384 * 1024;
/// When less than this is left of it, more is asked for.
const RESERVE_LOW_BYTES: u64 = RESERVE_BYTES / 4 * 3;
/// A journal with fewer records is read in no time, and never compacted.
const COMPACTION_RECORDS_MIN: u64 = 10_000;

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    identity: Identity,
    position: Position,
    /// At least so many of its records say nothing that a later one does not say better.
    superseded: u64,
    buffer: Vec<u8>,
    /// Its length.
    bytes: u64,
    /// How many of its last bytes no fdatasync has covered.
    unsynced_bytes: usize,
    reserve: Reserve,
    /// Where something is new without which it would not be found; made durable before the first record.
    way_down: Vec<Arc<HeldDirectory>>,
    poison: Option<Error>,
}

/// How far room is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reserve {
    /// To this offset.
    Until(u64),
    /// Nobody gives us any.
    None,
}

impl Journal {
    /// Opens the workflow's journal for appending, makes it if it is not there, and reads it.
    ///
    /// The lock is the proof that nobody else is appending: a torn end is saved beside the journal and cut off,
    /// which would destroy a write that is on its way. The history's notes say so.
    ///
    /// # Errors
    ///
    /// Exit 65 when the journal is damaged or of another version; exit 2 when the file is not ours; exit 74 when
    /// it cannot be read or written.
    pub fn open(directory: &WorkflowDirectory, _lock: &WorkflowLock) -> Result<(Self, History)> {
        let held = directory.held();
        let is_new = held.identity(JOURNAL)?.is_none();
        if is_new {
            write_header(held)?;
        }
        let mut file = open_alone(directory)?;
        remove_drafts(held).map_err(|e| failed("read", held.path(), &e))?;
        let mut scan = scan(&file, directory)?;
        if scan.torn {
            scan.history.note(save_aside(held, &scan)?);
            if scan.position.is_none() {
                write_header(held)?;
                scan.version = VERSION;
                file = open_alone(directory)?;
            } else {
                file.set_len(scan.good_bytes)
                    .map_err(|e| held.failed("cut", JOURNAL, &e))?;
            }
        }
        // What an earlier run has written may not be on disk; what was just made is.
        if !is_new {
            file.sync_data()
                .and_then(|()| held.sync())
                .map_err(|e| held.failed("sync", JOURNAL, &e))?;
        }
        let mut position = scan.position.unwrap_or(header_line().1);
        if let Some(copied) = renew(held, &file, &mut scan)? {
            position = copied;
            file = open_alone(directory)?;
        }
        let mut journal = Self::over(file, directory.journal_path(), position)?;
        // Whoever made these directories may have been killed before it could sync them.
        if scan.history.records() == 0 {
            journal.way_down = directory.way_down().into();
        }
        journal.superseded = position.sequence.saturating_sub(scan.history.needed());
        Ok((journal, scan.history))
    }

    /// Whether it is long, and half of it is superseded.
    #[must_use]
    pub const fn is_worth_shortening(&self) -> bool {
        let records = self.position.sequence;
        records >= COMPACTION_RECORDS_MIN && self.superseded >= records / 2 && self.poison.is_none()
    }

    /// Replaces it by one that has only what is not superseded.
    ///
    /// # Errors
    ///
    /// Why it could not be; it is as it was then, unless the last fsync failed.
    pub fn shorten(self, directory: &WorkflowDirectory, _lock: &WorkflowLock) -> Result<()> {
        self.check_still_there()?;
        let scan = scan(&self.file, directory)?;
        if !scan.torn {
            compact(directory.held(), &self.file, &scan.history)?;
        }
        Ok(())
    }

    fn over(file: File, path: PathBuf, position: Position) -> Result<Self> {
        let metadata = file.metadata().map_err(|e| failed("examine", &path, &e))?;
        Ok(Self {
            identity: Identity::from(&metadata),
            bytes: metadata.len(),
            file,
            path,
            position,
            superseded: 0,
            buffer: Vec::new(),
            unsynced_bytes: 0,
            reserve: Reserve::Until(0),
            way_down: Vec::new(),
            poison: None,
        })
    }

    /// Makes the way to a new journal durable, before there is anything in it that could be lost. Waits for the disk; what
    /// is written first does so otherwise.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn settle(&mut self) -> Result<()> {
        self.unless_poisoned(Self::sync_way_down)
    }

    fn sync_way_down(&mut self) -> Result<()> {
        for directory in std::mem::take(&mut self.way_down) {
            directory
                .sync()
                .map_err(|e| failed("sync", directory.path(), &e))?;
        }
        Ok(())
    }

    /// Appends `records` and makes them and all before them durable: one write and one fdatasync for up to
    /// [`RECORDS_PER_WRITE_MAX`] of them.
    ///
    /// # Errors
    ///
    /// Exit 74 when they may not be durable; every later call then fails with the same reason.
    pub fn append(&mut self, records: &[Record]) -> Result<()> {
        self.unless_poisoned(|journal| {
            for records in records.chunks(RECORDS_PER_WRITE_MAX) {
                journal.write(records)?;
                journal.sync()?;
                journal.check_still_there()?;
            }
            Ok(())
        })
    }

    /// Appends `records` without waiting for the disk: what is appended next makes them durable.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn note(&mut self, records: &[Record]) -> Result<()> {
        self.unless_poisoned(|journal| {
            for records in records.chunks(RECORDS_PER_WRITE_MAX) {
                journal.write(records)?;
            }
            journal.check_still_there()
        })
    }

    /// Sees that there is room for what may have to be recorded soon, and says why there is not.
    ///
    /// What is left of the reserve can still be used then, for what runs and no more.
    #[must_use]
    pub fn shortage(&mut self) -> Option<Error> {
        let Reserve::Until(end) = self.reserve else {
            return None;
        };
        if end >= self.bytes + RESERVE_LOW_BYTES {
            return None;
        }
        match allocate(&self.file, self.bytes, RESERVE_BYTES) {
            Ok(()) => {
                self.reserve = Reserve::Until(self.bytes + RESERVE_BYTES);
                None
            }
            Err(errno @ (Errno::ENOSPC | Errno::EDQUOT)) => Some(
                failed("keep room behind", &self.path, &errno.into())
                    .with_hint("make room on the disk, then run the same again"),
            ),
            // It is a precaution, and this file system does not know it.
            Err(_) => {
                self.reserve = Reserve::None;
                None
            }
        }
    }

    fn unless_poisoned(&mut self, write: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if let Some(reason) = &self.poison {
            return Err(reason.clone());
        }
        write(self).inspect_err(|reason| self.poison = Some(reason.clone()))
    }

    fn write(&mut self, records: &[Record]) -> Result<()> {
        self.sync_way_down()?;
        let mut position = self.position;
        self.buffer.clear();
        for record in records {
            position = write_line(&mut self.buffer, position, record).map_err(|_| {
                let item = &record.item;
                Error::state(format!(
                    "the record of `{item}` is longer than {RECORD_BYTES_MAX} bytes"
                ))
            })?;
        }
        // The longest end that reading takes for torn.
        if self.unsynced_bytes + self.buffer.len() > WRITE_BYTES_MAX {
            self.sync()?;
        }
        write_once(&self.file, &self.buffer)
            .map_err(|e| failed("write", &self.path, &e).with_hint(UNRECORDED_HINT))?;
        self.unsynced_bytes += self.buffer.len();
        self.bytes += self.buffer.len() as u64;
        self.position = position;
        let ends = records
            .iter()
            .filter(|it| matches!(it.step, Step::Ended(_)));
        self.superseded += ends.count() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|e| failed("sync", &self.path, &e).with_hint(UNRECORDED_HINT))?;
        self.unsynced_bytes = 0;
        Ok(())
    }

    /// What is durable in a file that nobody will find again is lost.
    fn check_still_there(&self) -> Result<()> {
        // Not through the held directory: it would be found there even when the directory itself was moved.
        let found = std::fs::symlink_metadata(&self.path);
        if found.is_ok_and(|metadata| Identity::from(&metadata) == self.identity) {
            return Ok(());
        }
        let path = shown(&self.path);
        let message = format!("`{path}` was moved, replaced or removed during the run");
        Err(Error::state(message)
            .with_hint("put it back if you have it; what was recorded last is in the moved file"))
    }
}

const UNRECORDED_HINT: &str =
    "what was recorded before stays recorded; items that ended since run again next time";

/// Room behind the end of `file`, which does not become longer.
fn allocate(file: &File, offset: u64, bytes: u64) -> nix::Result<()> {
    let signed = |number: u64| i64::try_from(number).map_err(|_| Errno::EFBIG);
    let (offset, bytes) = (signed(offset)?, signed(bytes)?);
    loop {
        match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, offset, bytes) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Copies a journal of an older version into one of the present version, and a long one that is mostly superseded into
/// a short one; says where the chain of the new one ends.
fn renew(held: &HeldDirectory, file: &File, scan: &mut Scan) -> Result<Option<Position>> {
    if scan.version != VERSION {
        let before = scan.version;
        let beside = keep_beside(held, &format!("version{before}"))?;
        let position = copy(held, file, |_| true)?;
        scan.history.note(format!(
            "`{}` was of version {before} and is of version {VERSION} now; the old one is `{beside}` beside it",
            shown(&held.join(JOURNAL)),
        ));
        return Ok(Some(position));
    }
    let records = scan.history.records();
    if records < COMPACTION_RECORDS_MIN || scan.history.needed() >= records / 2 {
        return Ok(None);
    }
    compact(held, file, &scan.history).map(Some)
}

/// Copies what `history` still rests on; says where the chain of the copy ends.
fn compact(held: &HeldDirectory, file: &File, history: &History) -> Result<Position> {
    let mut next = history.needed_numbers().into_iter().peekable();
    copy(held, file, |number| next.next_if_eq(&number).is_some())
}

/// One write for all of `bytes`; a part of it is a failure. A write that was interrupted before it began is not.
fn write_once(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    loop {
        match file.write(bytes) {
            Ok(written) if written == bytes.len() => return Ok(()),
            Ok(written) => {
                let part = format!("only {written} of {} bytes were written", bytes.len());
                return Err(io::Error::new(io::ErrorKind::WriteZero, part));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn write_header(held: &HeldDirectory) -> Result<()> {
    whole_file::place_with(held, JOURNAL, |out| out.write_all(&header_line().0))
        .map_err(|e| held.failed("make", JOURNAL, &e))
}

/// Opens it for nobody else to append to. A lock of its own says so beside the workflow's: whoever has removed the lock file
/// of a run that lives would else have two of them append, and all items twice.
fn open_alone(directory: &WorkflowDirectory) -> Result<File> {
    let held = directory.held();
    let file = held
        .open_file(JOURNAL, Access::Append)?
        .ok_or_else(|| held.failed("open", JOURNAL, &io::ErrorKind::NotFound.into()))?;
    match try_lock(&file) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let workflow = directory.workflow();
            let message = format!(
                "another run of the workflow `{workflow}` has its journal open, though the lock is free"
            );
            Err(Error::new(ExitStatus::WorkLeft, message).with_hint(
                "its lock file was removed; wait until that run ends, and leave the file to it",
            ))
        }
        Err(errno) => Err(held.failed("lock", JOURNAL, &errno.into())),
    }
}

/// Saves the torn end beside the journal, durably, before anything is cut off; says where.
fn save_aside(held: &HeldDirectory, scan: &Scan) -> Result<String> {
    let journal = shown(&held.join(JOURNAL));
    if scan.end.is_empty() {
        return Ok(format!("`{journal}` was empty and begins anew"));
    }
    for number in 1..=FILES_BESIDE_MAX {
        let name = format!("{JOURNAL}.torn-{number}");
        let mut file = match held.create_new(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(held.failed("make", &name, &error)),
        };
        file.write_all(&scan.end)
            .and_then(|()| file.sync_all())
            .and_then(|()| held.sync())
            .map_err(|e| held.failed("write", &name, &e))?;
        return Ok(format!(
            "`{journal}` ended in the middle of a record, as after a power cut; its last {} bytes were set aside in \
             `{name}`, and the items that they belonged to run again",
            scan.end.len(),
        ));
    }
    Err(too_many_beside(held, "torn"))
}

#[cfg(test)]
mod tests;
