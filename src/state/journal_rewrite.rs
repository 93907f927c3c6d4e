//! Copies a journal into a new one: of the present version, or without what is superseded, or without what is damaged.
//!
//! Who holds the lock calls it, before anything is appended or when nothing is any more. Whoever reads meanwhile, or after a
//! power cut, finds the old journal or the new one, never a mixture ([`crate::disk::whole_file`]).

use std::fs::File;
use std::io;

use super::directory::JOURNAL;
use super::journal_lines::{CHUNK_BYTES, Lines};
use super::record::{Position, Sealed, header_line, read_sealed, write_line_again};
use crate::disk::held_directory::{Access, HeldDirectory};
use crate::disk::path_text::shown;
use crate::disk::whole_file::Draft;
use crate::error::{Error, Result};

/// How many files of one kind may lie beside a journal before somebody has to look.
pub(super) const FILES_BESIDE_MAX: u32 = 1000;

/// A journal on its way to the disk.
pub(super) struct JournalCopy<'d> {
    draft: Draft<&'d HeldDirectory>,
    buffer: Vec<u8>,
    position: Position,
}

impl<'d> JournalCopy<'d> {
    pub(super) fn begin(held: &'d HeldDirectory) -> io::Result<Self> {
        let (buffer, position) = header_line();
        Ok(Self {
            draft: Draft::begin(held)?,
            buffer,
            position,
        })
    }

    pub(super) fn add(&mut self, record: &Sealed<'_>) -> io::Result<()> {
        self.position = write_line_again(&mut self.buffer, self.position, record)
            .map_err(|defect| io::Error::other(defect.to_string()))?;
        if self.buffer.len() >= CHUNK_BYTES {
            self.draft.write(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Takes the journal's place, durably; says where its chain ends.
    pub(super) fn publish(mut self) -> io::Result<Position> {
        self.draft.write(&self.buffer)?;
        self.draft.publish(JOURNAL)?;
        Ok(self.position)
    }
}

/// Copies those records of a whole journal whose numbers `is_wanted` says, which is asked in their order.
pub(super) fn copy(
    held: &HeldDirectory,
    original: &File,
    mut is_wanted: impl FnMut(u64) -> bool,
) -> Result<Position> {
    let mut copied = || {
        let mut copy = JournalCopy::begin(held)?;
        let mut lines = Lines::new(original);
        let mut number = 0;
        while let Some(line) = lines.next()? {
            // The header's number is 0.
            if number > 0 && is_wanted(number) {
                // It was whole when it was read a moment ago.
                let sealed =
                    read_sealed(line).map_err(|defect| io::Error::other(defect.to_string()))?;
                copy.add(&sealed)?;
            }
            number += 1;
        }
        copy.publish()
    };
    let copied: io::Result<Position> = copied();
    copied.map_err(|e| held.failed("copy", JOURNAL, &e))
}

/// Keeps the journal as it is beside itself, durably, under a name that ends in `kind` and a number; says which.
pub(super) fn keep_beside(held: &HeldDirectory, kind: &str) -> Result<String> {
    for number in 1..=FILES_BESIDE_MAX {
        let name = format!("{JOURNAL}.{kind}-{number}");
        match held.name_again(JOURNAL, &name).or_else(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                Err(error)
            } else {
                copy_bytes(held, &name)
            }
        }) {
            Ok(()) => {
                held.sync().map_err(|e| held.failed("sync", &name, &e))?;
                return Ok(name);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(held.failed("make", &name, &error)),
        }
    }
    Err(too_many_beside(held, kind))
}

/// More files lie beside the journal than can be right.
pub(super) fn too_many_beside(held: &HeldDirectory, kind: &str) -> Error {
    let journal = shown(&held.join(JOURNAL));
    let message = format!("more than {FILES_BESIDE_MAX} files `*.{kind}-*` lie beside `{journal}`");
    Error::state(message).with_hint("find out why there are so many, then remove them")
}

/// Where there are no second names.
fn copy_bytes(held: &HeldDirectory, name: &str) -> io::Result<()> {
    let original = held
        .open_file(JOURNAL, Access::Read)
        .map_err(|error| io::Error::other(error.to_string()))?;
    let mut original = original.ok_or(io::ErrorKind::NotFound)?;
    let mut copy = held.create_new(name)?;
    io::copy(&mut original, &mut copy)?;
    copy.sync_all()
}
