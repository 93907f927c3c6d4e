//! The raw log of one attempt on disk.
//!
//! Owns the open file; an item's thread writes every block of masked bytes to it. It must never stop the item: when
//! the disk is full, the work goes on without a log, which says that it was cut. The file is opened elsewhere, with
//! the permissions that the state directory demands.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;

use super::mask::Masked;

/// The log of one attempt, complete up to the first write that failed.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    truncated: Option<String>,
}

impl LogFile {
    /// A log that goes to `file`, from its present position on.
    #[must_use]
    pub const fn new(file: File) -> Self {
        Self {
            file,
            truncated: None,
        }
    }

    /// Writes a block. The first failure is remembered and marked in the file; after it nothing is written.
    pub fn write(&mut self, masked: Masked<&[u8]>) {
        if self.truncated.is_some() {
            return;
        }
        if let Err(error) = self.file.write_all(masked.bytes()) {
            // A mark is a courtesy to the reader: `truncated` tells the summary in any case.
            let _ = mark_as_cut(&mut self.file, &error);
            self.truncated = Some(error.to_string());
        }
    }

    /// The last `bytes_max` bytes of it, as far as they can be read back.
    #[must_use]
    pub fn end(&self, bytes_max: usize) -> Vec<u8> {
        let length = self.file.metadata().map_or(0, |metadata| metadata.len());
        let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let mut end = vec![0; usize::try_from(length.min(most)).unwrap_or(0)];
        match self
            .file
            .read_exact_at(&mut end, length.saturating_sub(most))
        {
            Ok(()) => end,
            Err(_) => Vec::new(),
        }
    }

    /// Why the log is incomplete, if it is.
    #[must_use]
    pub fn truncated(&self) -> Option<&str> {
        self.truncated.as_deref()
    }
}

/// Says at the end of the log that it was cut.
///
/// A full disk has no room for the mark behind what was written, so it then takes the place of the last bytes.
fn mark_as_cut(file: &mut File, reason: &io::Error) -> io::Result<()> {
    let mark = format!("\n[orchestrate: the log was cut here: {reason}]\n");
    let end = file.seek(SeekFrom::End(0))?;
    if file.write_all(mark.as_bytes()).is_ok() {
        return Ok(());
    }
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end.saturating_sub(mark.len() as u64)))?;
    file.write_all(mark.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;

    #[test]
    fn blocks_are_written_as_they_are() {
        let mut file = tempfile::tempfile().unwrap();
        let mut log = LogFile::new(file.try_clone().unwrap());
        log.write(Masked::of_masked_parts(b"one\0\xff"));
        log.write(Masked::of_masked_parts(b"two\n"));
        assert_eq!(log.truncated(), None);
        let mut written = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut written).unwrap();
        assert_eq!(written, b"one\0\xfftwo\n");
    }

    #[test]
    fn a_full_disk_is_remembered_once_and_stops_nothing() {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let mut log = LogFile::new(full);
        log.write(Masked::of_masked_parts(b"lost"));
        let reason = log.truncated().unwrap().to_owned();
        assert!(reason.starts_with("No space left on device"), "{reason}");
        log.write(Masked::of_masked_parts(b"lost too"));
        assert_eq!(log.truncated(), Some(reason.as_str()));
    }

    #[test]
    fn the_mark_follows_what_was_written_when_there_is_room() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"kept").unwrap();
        mark_as_cut(&mut file, &io::Error::other("reason")).unwrap();
        let mut written = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut written).unwrap();
        assert_eq!(
            written,
            "kept\n[orchestrate: the log was cut here: reason]\n"
        );
    }
}
