//! The lines of a journal on disk, one after the other, in bounded memory whatever the file holds.
//!
//! The readers and writers of the journal in this room use it; it judges nothing.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::record::RECORD_BYTES_MAX;

/// How much of the journal is read at once.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

/// The whole lines of a file.
pub(super) struct Lines<'f> {
    file: &'f File,
    buffer: Vec<u8>,
    /// The unread part of the buffer.
    unread: Range<usize>,
    /// Where in the file the buffer ends.
    offset: u64,
}

impl<'f> Lines<'f> {
    pub(super) fn new(file: &'f File) -> Self {
        Self {
            file,
            buffer: vec![0; CHUNK_BYTES],
            unread: 0..0,
            offset: 0,
        }
    }

    /// Where in the file the next line begins.
    pub(super) fn next_offset(&self) -> u64 {
        self.offset - self.unread.len() as u64
    }

    /// The next line without its newline; nothing when what is left is no whole line of a permitted length.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let length = loop {
            let unread = &self.buffer[self.unread.clone()];
            let newline = memchr::memchr(b'\n', &unread[..unread.len().min(RECORD_BYTES_MAX)]);
            if let Some(newline) = newline {
                break newline;
            }
            if self.is_too_long() || !self.fill()? {
                return Ok(None);
            }
        };
        let start = self.unread.start;
        self.unread.start += length + 1;
        Ok(Some(&self.buffer[start..start + length]))
    }

    /// Whether what follows is longer than a line may be.
    pub(super) fn is_too_long(&self) -> bool {
        self.unread.len() >= RECORD_BYTES_MAX
            && memchr::memchr(b'\n', &self.buffer[self.unread.clone()][..RECORD_BYTES_MAX])
                .is_none()
    }

    /// When [`next`](Self::next) has none: what is left, or its beginning when it [is too long](Self::is_too_long).
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.unread.clone()]
    }

    /// Goes past a line that is too long, and its newline if it has one.
    pub(super) fn skip(&mut self) -> io::Result<()> {
        loop {
            if let Some(newline) = memchr::memchr(b'\n', self.rest()) {
                self.unread.start += newline + 1;
                return Ok(());
            }
            self.unread.start = self.unread.end;
            if !self.fill()? {
                return Ok(());
            }
        }
    }

    /// Reads on; says whether anything came.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let read = read_at(self.file, &mut self.buffer[self.unread.end..], self.offset)?;
        self.unread.end += read;
        self.offset += read as u64;
        Ok(read > 0)
    }
}

/// Up to so many bytes from `offset` on; fewer only at the end of the file.
pub(super) fn read_at_most(file: &File, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let available = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; bytes_max.min(usize::try_from(available).unwrap_or(bytes_max))];
    let mut length = 0;
    while length < bytes.len() {
        match read_at(file, &mut bytes[length..], offset + length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_that_are_too_long_are_passed_over_and_the_next_is_found() {
        for length in [RECORD_BYTES_MAX, CHUNK_BYTES, 3 * CHUNK_BYTES + 5] {
            let mut file = tempfile::tempfile().unwrap();
            let long = [&b"a\n"[..], &b"x".repeat(length)[..], b"\nb\nrest"].concat();
            file.write_all(&long).unwrap();
            let mut lines = Lines::new(&file);
            assert_eq!(lines.next().unwrap(), Some(&b"a"[..]));
            assert_eq!(lines.next().unwrap(), None);
            assert!(lines.is_too_long());
            assert_eq!(lines.next_offset(), 2);
            lines.skip().unwrap();
            assert_eq!(lines.next_offset(), 3 + length as u64);
            assert_eq!(lines.next().unwrap(), Some(&b"b"[..]));
            assert_eq!(lines.next().unwrap(), None);
            assert!(!lines.is_too_long());
            assert_eq!(lines.rest(), b"rest");
        }
    }
}
