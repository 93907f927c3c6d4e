//! `events.jsonl`, read from its beginning and then on, while somebody else appends to it.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use memchr::memrchr;

use super::run_event::EventLine;
use crate::disk::held_directory::failed;
use crate::error::Result;

/// How much is read at once.
const READ_BYTES: u64 = 1 << 20;
/// A longer line is none of ours.
const LINE_BYTES_MAX: usize = 1 << 20;

/// The file, and how far it is read.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    path: PathBuf,
    /// What has come of a line that is not whole yet.
    partial: Vec<u8>,
}

impl EventFile {
    pub(super) const fn new(file: File, path: PathBuf) -> Self {
        Self {
            file,
            path,
            partial: Vec::new(),
        }
    }

    /// The events that were not read before. A last line that is still being written, or never was to its end, is
    /// left for the next time; one that is no event is passed over.
    ///
    /// # Errors
    ///
    /// Exit 74 when the file cannot be read.
    pub fn read_on(&mut self) -> Result<Vec<EventLine>> {
        let mut events = Vec::new();
        loop {
            let read = (&self.file)
                .take(READ_BYTES)
                .read_to_end(&mut self.partial)
                .map_err(|error| failed("read", &self.path, &error))?;
            if let Some(end) = memrchr(b'\n', &self.partial) {
                let lines = self.partial[..end].split(|byte| *byte == b'\n');
                events.extend(lines.filter_map(EventLine::from_json));
                self.partial.drain(..=end);
            }
            if self.partial.len() > LINE_BYTES_MAX {
                self.partial.clear();
            }
            if read == 0 {
                return Ok(events);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::run_event::{RunEvent, VERSION};
    use super::*;

    fn line(number: usize) -> EventLine {
        EventLine {
            version: VERSION,
            at: "2026-11-23T00:14:48Z".parse().unwrap(),
            event: RunEvent::ItemDeferred {
                item: format!("item-{number}"),
            },
        }
    }

    #[test]
    fn a_file_that_grows_byte_by_byte_is_read_line_by_line() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("events.jsonl");
        let mut written = File::create(&path).unwrap();
        let mut file = EventFile::new(File::open(&path).unwrap(), path);
        let text = [line(1).to_json(), b"rubbish\n".to_vec(), line(2).to_json()].concat();
        let mut events = Vec::new();
        for (place, byte) in text.iter().enumerate() {
            written.write_all(&[*byte]).unwrap();
            let read = file.read_on().unwrap();
            assert!(read.is_empty() || text[place] == b'\n');
            events.extend(read);
        }
        assert_eq!(events, [line(1), line(2)]);
        assert_eq!(file.read_on().unwrap(), []);
    }

    #[test]
    fn a_line_without_end_takes_no_memory_and_what_follows_is_read() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("events.jsonl");
        let many: Vec<u8> = (0..20_000)
            .flat_map(|number| line(number).to_json())
            .collect();
        let long = vec![b'x'; 5 * LINE_BYTES_MAX];
        std::fs::write(
            &path,
            [&many[..], &long, b"\n", &line(7).to_json()].concat(),
        )
        .unwrap();
        let mut file = EventFile::new(File::open(&path).unwrap(), path);
        let events = file.read_on().unwrap();
        assert_eq!((events.len(), events.last()), (20_001, Some(&line(7))));
        assert!(file.partial.len() <= LINE_BYTES_MAX);
    }
}
