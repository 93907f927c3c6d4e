//! The thread that appends to `events.jsonl`, so that the loop does not wait for the disk.
//!
//! `run` starts it with the run and hands it every event; it is the only one that writes the file. The file is for
//! looking at, so it is not synced, and a failure to write it stops nothing: it is told once, and the file ends there.
//!
//! What happens within 20 ms is written together. The queue is bounded: on a disk that hangs, what no longer fits is
//! dropped, and that is told as a failure too.

use std::fs::File;
use std::io::Write as _;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::batches::{Pace, Receiver, Refused, Sender, batches};
use super::run_event::EventLine;
use crate::error::{Error, Result};
use crate::output::mask::Masked;

/// How many events may wait for the disk.
const EVENTS_WAITING_MAX: usize = 10_000;

/// Between two writes lies at least this: nobody who follows the file sees the difference.
const GAP: Duration = Duration::from_millis(20);

/// The file with a thread of its own.
#[derive(Debug)]
pub struct EventLog {
    queue: Sender<Masked<EventLine>>,
    /// Whether the file has failed.
    thread: JoinHandle<bool>,
    overflowed: bool,
}

impl EventLog {
    /// Starts the thread with the open file; `failed` is called on it, at most once, with the reason why the file
    /// ends where it does.
    ///
    /// # Errors
    ///
    /// Exit 74 when the system gives us no thread.
    pub fn start(file: File, failed: impl FnOnce(String) + Send + 'static) -> Result<Self> {
        let (queue, waiting) = batches(Pace {
            gap: GAP,
            whole: EVENTS_WAITING_MAX / 2,
            limit: EVENTS_WAITING_MAX,
        });
        let thread = Builder::new()
            .name("events".to_owned())
            .spawn(move || append_all(file, waiting, failed))
            .map_err(|error| Error::state(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            queue,
            thread,
            overflowed: false,
        })
    }

    /// Hands an event over; never blocks.
    pub fn append(&mut self, line: Masked<EventLine>) {
        if self.overflowed {
            return;
        }
        // The thread ends early only when the file has failed, which it has told.
        if self.queue.send(line, true) == Err(Refused::Full) {
            self.overflowed = true;
        }
    }

    /// Waits until everything is written. `failed` has been called by then, if it ever is.
    ///
    /// # Errors
    ///
    /// What was not told by `failed`: that events were dropped.
    pub fn finish(self) -> std::result::Result<(), String> {
        drop(self.queue);
        let told = self.thread.join().unwrap_or_default();
        if self.overflowed && !told {
            return Err("the disk was too slow".to_owned());
        }
        Ok(())
    }
}

fn append_all(
    mut file: File,
    mut waiting: Receiver<Masked<EventLine>>,
    failed: impl FnOnce(String),
) -> bool {
    while let Some(batch) = waiting.next() {
        let lines = batch.iter().map(|line| line.get().to_json());
        if let Err(error) = file.write_all(&lines.collect::<Vec<_>>().concat()) {
            failed(error.to_string());
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::super::run_event::{RunEvent, VERSION};
    use super::*;
    use crate::output::mask::Masker;

    fn line(item: &str) -> EventLine {
        EventLine {
            version: VERSION,
            at: "2026-11-23T00:14:48Z".parse().unwrap(),
            event: RunEvent::ItemDeferred {
                item: item.to_owned(),
            },
        }
    }

    #[test]
    fn events_stand_in_the_file_in_their_order() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("events.jsonl");
        let mut log = EventLog::start(File::create(&path).unwrap(), |_| unreachable!()).unwrap();
        for number in 0..100 {
            log.append(Masker::default().mask(line(&number.to_string())));
        }
        log.finish().unwrap();
        let text = std::fs::read(&path).unwrap();
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        for (number, read) in lines.enumerate() {
            assert_eq!(EventLine::from_json(read), Some(line(&number.to_string())));
        }
    }

    #[test]
    fn a_full_disk_is_told_once_and_stops_nothing() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let (sender, told) = channel();
        let failed = move |reason| sender.send(reason).unwrap();
        let mut log = EventLog::start(full.unwrap(), failed).unwrap();
        for number in 0..100 {
            log.append(Masker::default().mask(line(&number.to_string())));
        }
        log.finish().unwrap();
        let reasons: Vec<String> = told.iter().collect();
        assert_eq!(reasons.len(), 1);
        assert!(reasons[0].starts_with("No space left"), "{reasons:?}");
    }
}
