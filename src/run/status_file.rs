//! The status file of an attempt: made before it starts, read on while it runs, and read at its end.
//!
//! The item's own thread makes it, [`super::status_watch`] reads on. The file is read through the descriptor with which
//! it was made, so that whatever an item puts in its place, a link, a FIFO, a file of somebody else's, is never opened.
//! What stands in it is for [`crate::credential::told`] to judge.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use memchr::{memchr, memrchr};

use crate::child::environment::add;
use crate::credential::told::{STATUS_BYTES_MAX, STATUS_VARIABLE};
use crate::items::item::ItemId;
use crate::state::directory::RunDirectory;

/// A status file.
#[derive(Debug)]
pub(super) struct StatusFile {
    file: File,
    /// What stands before this has been read on.
    read: u64,
}

impl StatusFile {
    /// Makes the file of one attempt, and tells its path in `environments`. When that cannot be, the attempt runs without
    /// one, and says what it has to say by how it ends.
    pub(super) fn give<'a>(
        run: &RunDirectory,
        item: &ItemId,
        attempt: u32,
        environments: impl Iterator<Item = &'a mut Vec<CString>>,
    ) -> Option<Self> {
        let (file, path) = run.create_status(item, attempt).ok()?;
        for environment in environments {
            add(environment, STATUS_VARIABLE, path.as_os_str()).ok()?;
        }
        Some(Self { file, read: 0 })
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

    /// A file, and another way to write to it.
    fn file() -> (StatusFile, File) {
        let file = tempfile::tempfile().unwrap();
        let other = file.try_clone().unwrap();
        (StatusFile { file, read: 0 }, other)
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
