//! The status file of an attempt: given to it before it starts, read on while it runs, and read at its end.
//!
//! The item's own thread takes one, [`super::status_watch`] reads on. The file is read through the descriptor with which
//! it was made, so that whatever an item puts in its place, a link, a FIFO, a file of somebody else's, is never opened.
//! What stands in it is for [`crate::credential::told`] to judge.
//!
//! Most attempts say nothing. Their file is as it was made and serves the next one, because to make a file costs more than
//! most of what else is done for a short item; one that was written to is put aside under the attempt's name.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use memchr::{memchr, memrchr};

use crate::credential::told::STATUS_BYTES_MAX;
use crate::items::item::ItemId;
use crate::state::directory::RunDirectory;

/// All of a run.
#[derive(Debug)]
pub(super) struct StatusFiles {
    run: Arc<RunDirectory>,
    made: AtomicU64,
    untouched: Mutex<Vec<StatusFile>>,
}

/// A status file.
#[derive(Debug)]
pub(super) struct StatusFile {
    file: File,
    number: u64,
    path: PathBuf,
    /// What stands before this has been read on.
    read: u64,
}

impl StatusFiles {
    /// None as yet.
    pub(super) fn new(run: Arc<RunDirectory>) -> Self {
        Self {
            run,
            made: AtomicU64::new(0),
            untouched: Mutex::default(),
        }
    }

    /// An empty one. When there is none to be had, the attempt runs without it, and says what it has to say by how it ends.
    pub(super) fn take(&self) -> Option<StatusFile> {
        let mut untouched = self
            .untouched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = untouched.pop() {
            return Some(file);
        }
        drop(untouched);
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let (file, path) = self.run.create_status(number).ok()?;
        Some(StatusFile {
            file,
            number,
            path,
            read: 0,
        })
    }

    /// Takes back that of an attempt which is over; `alone`: nobody is left who might still write to it.
    pub(super) fn give_back(&self, file: StatusFile, item: &ItemId, attempt: u32, alone: bool) {
        let number = file.number;
        if alone && file.read == 0 && self.run.is_status_untouched(number, &file.file) {
            let mut untouched = self
                .untouched
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            untouched.push(file);
        } else {
            // It has been read, and lies there for people only.
            let _left = self.run.name_status(number, item, attempt);
        }
    }
}

impl StatusFile {
    /// Where it lies.
    pub(super) fn path(&self) -> &OsStr {
        self.path.as_os_str()
    }

    /// The whole lines that were not read before, or the last of them if they are more than is looked at. One that is not
    /// whole waits for its rest, unless nothing follows any more (`is_over`).
    pub(super) fn read_on(&mut self, is_over: bool) -> Vec<u8> {
        let length = self.length();
        if length < self.read {
            // It was emptied, and begins anew.
            self.read = 0;
        }
        if length == self.read {
            return Vec::new();
        }
        let from = self
            .read
            .max(length.saturating_sub(STATUS_BYTES_MAX as u64));
        let mut lines = self.bytes(from, length);
        let end = match memrchr(b'\n', &lines) {
            _ if is_over => lines.len(),
            Some(end) => end + 1,
            None => return Vec::new(),
        };
        lines.truncate(end);
        let is_inside_a_line = from > self.read;
        self.read = from + end as u64;
        if is_inside_a_line {
            let begun = memchr(b'\n', &lines).map_or(end, |end| end + 1);
            lines.drain(..begun);
        }
        lines
    }

    /// The end of what stands in it; nothing when it cannot be read.
    pub(super) fn end(&self) -> Vec<u8> {
        // The byte before what is looked at says whether its first line is whole.
        const READ: u64 = STATUS_BYTES_MAX as u64 + 1;
        let length = self.length();
        self.bytes(length.saturating_sub(READ), length)
    }

    fn length(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    fn bytes(&self, from: u64, to: u64) -> Vec<u8> {
        let wanted = usize::try_from(to - from).unwrap_or(STATUS_BYTES_MAX + 1);
        let mut bytes = vec![0; wanted];
        let read = self.file.read_exact_at(&mut bytes, from);
        read.map_or_else(|_| Vec::new(), |()| bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::state::directory::StateDirectory;

    /// A file, and another way to write to it.
    fn file() -> (StatusFile, File) {
        let file = tempfile::tempfile().unwrap();
        let other = file.try_clone().unwrap();
        let file = StatusFile {
            file,
            number: 1,
            path: PathBuf::new(),
            read: 0,
        };
        (file, other)
    }

    #[test]
    fn a_file_serves_until_it_is_made_use_of() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        let began = "2026-11-23T00:14:48Z".parse().unwrap();
        let run = Arc::new(state.new_run(began).unwrap());
        let (files, item) = (
            StatusFiles::new(Arc::clone(&run)),
            ItemId::new("a").unwrap(),
        );
        let first = files.take().unwrap();
        let other = files.take().unwrap();
        assert_ne!(first.path(), other.path());
        let path = first.path.clone();
        files.give_back(first, &item, 1, true);
        let first = files.take().unwrap();
        assert_eq!(first.path, path);
        std::fs::write(&path, "told\n").unwrap();
        files.give_back(first, &item, 2, true);
        assert_ne!(files.take().unwrap().path, path);
        let named = |attempt| run.path().join(format!("status/a.{attempt}.jsonl"));
        assert_eq!(std::fs::read_to_string(named(2)).unwrap(), "told\n");
        // Somebody may still write to it.
        files.give_back(other, &item, 3, false);
        assert!(named(3).exists());
    }

    #[test]
    fn each_whole_line_is_read_once_and_a_half_one_waits_for_its_rest() {
        let (mut file, mut other) = file();
        for (written, is_over, read) in [
            ("", false, ""),
            ("one", false, ""),
            ("\n", false, "one\n"),
            ("", false, ""),
            ("two\nthree\nfo", false, "two\nthree\n"),
            ("ur", false, ""),
            ("", true, "four"),
            ("", true, ""),
        ] {
            other.write_all(written.as_bytes()).unwrap();
            let lines = String::from_utf8(file.read_on(is_over)).unwrap();
            assert_eq!(lines, read);
        }
        assert_eq!(file.end(), b"one\ntwo\nthree\nfour");
    }

    #[test]
    fn of_very_much_the_last_whole_lines_are_read() {
        let (mut file, mut other) = file();
        other.write_all(b"first\n").unwrap();
        other.write_all(&vec![b'x'; 3 * STATUS_BYTES_MAX]).unwrap();
        assert_eq!(file.read_on(false), b"");
        other.write_all(b"\nlast\n").unwrap();
        assert_eq!(file.read_on(false), b"last\n");
        assert_eq!(file.end().len(), STATUS_BYTES_MAX + 1);
    }

    #[test]
    fn a_file_that_was_emptied_is_read_from_its_beginning() {
        let (mut file, mut other) = file();
        other.write_all(b"first\n").unwrap();
        assert_eq!(file.read_on(false), b"first\n");
        other.set_len(0).unwrap();
        other.write_all_at(b"new\n", 0).unwrap();
        assert_eq!(file.read_on(false), b"new\n");
    }
}
