//! The thread that waits for the disk, so that the loop does not.
//!
//! `run` starts it with the open journal and a function that brings news back into the loop. It is the only
//! one that appends while the run lasts. An fsync may take half a minute; meanwhile the loop answers signals, and
//! what is recorded meanwhile waits together and then shares one write and one fsync (group commit). Where items end
//! faster than that, records gather for 20 ms. What is only noted, that an attempt begins, costs a write and no fsync,
//! and nobody waits for it.
//!
//! The queue has no limit of its own, because [`JournalThread::record`] must never block and a record must never
//! be dropped. The caller limits it: it starts nothing new while too many outcomes are not on disk.

use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::batches::{Pace, Receiver, Sender, batches};
use super::journal::Journal;
use super::record::Record;
use crate::error::{Error, Result};
use crate::output::mask::Masked;

/// Between two fsyncs lies at least this, unless many have gathered or somebody is in a hurry: a record that comes after a
/// silence is on disk as soon as the disk can, and two thousand items a second do not ask it two thousand times.
const GAP: Duration = Duration::from_millis(20);

/// As soon as so many ends have gathered, they are written: only then is it seen whether the disk has room for more.
const GATHER_MAX: usize = 64;

/// The journal with a thread of its own.
///
/// Dropped without [`finish`](JournalThread::finish), it still writes what waits, but nobody waits for it.
#[derive(Debug)]
pub struct JournalThread {
    queue: Sender<Waiting>,
    thread: JoinHandle<Result<Journal>>,
}

/// A record on its way to the disk, and the caller's name for it if somebody waits for it.
#[derive(Debug)]
struct Waiting {
    token: Option<u64>,
    record: Masked<Record>,
}

/// What the thread tells.
#[derive(Debug)]
pub enum News {
    /// Records are durable, or may not be.
    Recorded {
        /// The caller's names for them, in their order.
        tokens: Vec<u64>,
        /// Why they may not be durable.
        result: Result<()>,
    },
    /// The disk is full: what runs can still be recorded, and nothing else should be started. Said once.
    Shortage(Error),
}

impl JournalThread {
    /// Starts the thread, which first does what else may wait for the disk at the `beginning`, and then
    /// [settles](Journal::settle) the journal.
    ///
    /// `tell` is called on that thread, for everything that was recorded and in that order: with `Ok` after its
    /// fsync came back, or with the reason why it may not be durable. It should hand the news on and return; while it
    /// blocks, nothing is written.
    ///
    /// # Errors
    ///
    /// Exit 74 when there is no room for what may have to be recorded, or the system gives us no thread.
    pub fn start(
        mut journal: Journal,
        beginning: impl FnOnce() + Send + 'static,
        tell: impl Fn(News) + Send + 'static,
    ) -> Result<Self> {
        if let Some(shortage) = journal.shortage() {
            return Err(shortage);
        }
        let (queue, waiting) = batches(Pace {
            gap: GAP,
            whole: GATHER_MAX,
            limit: usize::MAX,
        });
        let thread = Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                beginning();
                commit_all(journal, waiting, tell)
            })
            .map_err(|error| Error::state(format!("cannot start the journal's thread: {error}")))?;
        Ok(Self { queue, thread })
    }

    /// Hands a record over; never blocks. `token` comes back in [`News::Recorded`].
    ///
    /// # Errors
    ///
    /// Exit 74 when the thread has ended because `tell` panicked: nothing is told of this record.
    pub fn record(&self, token: u64, record: Masked<Record>) -> Result<()> {
        let token = Some(token);
        let waiting = Waiting { token, record };
        self.queue.send(waiting, true).map_err(|_refused| ended())
    }

    /// Hands over a record that may be lost without harm; never blocks, and nothing is told of it.
    pub fn note(&self, record: Masked<Record>) {
        let waiting = Waiting {
            token: None,
            record,
        };
        // The next record that counts learns that the thread has ended.
        let _ended = self.queue.send(waiting, false);
    }

    /// Nothing else comes for now that could share the fsync of what was handed over: it need not wait. Never blocks.
    pub fn hurry(&self) {
        self.queue.hurry();
    }

    /// Waits until everything that was recorded is durable, that was told, and the thread has ended; gives the journal back.
    ///
    /// # Errors
    ///
    /// Exit 74 with the reason when something is not durable; it has been told what.
    pub fn finish(self) -> Result<Journal> {
        drop(self.queue);
        self.thread.join().unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> Error {
    Error::state("the journal's thread ended unexpectedly")
}

fn commit_all(
    mut journal: Journal,
    mut waiting: Receiver<Waiting>,
    tell: impl Fn(News),
) -> Result<Journal> {
    // A failure is told with the first record.
    let mut result = journal.settle();
    let mut shortage_is_told = false;
    while let Some(batch) = waiting.next() {
        let batch = batch.into_iter();
        let (tokens, records): (Vec<_>, Vec<_>) =
            batch.map(|it| (it.token, it.record.into_inner())).unzip();
        let counts = tokens.iter().any(Option::is_some);
        let written = if counts {
            journal.append(&records)
        } else {
            // A journal that is poisoned by it fails what counts, and so it is told.
            let _poisoned = journal.note(&records);
            Ok(())
        };
        if counts {
            let tokens = tokens.into_iter().flatten().collect();
            let result = written.clone();
            tell(News::Recorded { tokens, result });
        }
        result = result.and(written);
        if let Some(shortage) = journal.shortage().filter(|_| !shortage_is_told) {
            shortage_is_told = true;
            tell(News::Shortage(shortage));
        }
    }
    result.map(|()| journal)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};

    use super::super::directory::{StateDirectory, WorkflowDirectory};
    use super::super::history::History;
    use super::super::journal_scan;
    use super::super::lock::WorkflowLock;
    use super::super::record::Outcome;
    use super::super::record::tests::{sample, sample_start};
    use super::*;
    use crate::output::mask::Masker;

    fn masked(record: Record) -> Masked<Record> {
        Masker::default().mask(record)
    }
    use crate::error::ExitStatus;

    fn workflow() -> (tempfile::TempDir, Arc<WorkflowDirectory>, Journal) {
        let base = tempfile::tempdir().unwrap();
        let directory = StateDirectory::prepare(base.path())
            .unwrap()
            .workflow("implement")
            .unwrap();
        let lock = WorkflowLock::acquire(&directory, std::process::id(), "now").unwrap();
        let (journal, _) = Journal::open(&directory, &lock).unwrap();
        (base, Arc::new(directory), journal)
    }

    fn read(directory: &WorkflowDirectory) -> History {
        journal_scan::read(directory).unwrap()
    }

    /// What a full disk has to do with it is tested with a full disk.
    fn recorded(news: News) -> (Vec<u64>, Result<()>) {
        match news {
            News::Recorded { tokens, result } => (tokens, result),
            News::Shortage(shortage) => panic!("{shortage}"),
        }
    }

    fn record(number: u64) -> Record {
        sample(&format!("item-{number}"), Outcome::Done, 1)
    }

    #[test]
    fn done_is_said_in_order_and_only_of_what_is_in_the_journal() {
        let (_base, directory, journal) = workflow();
        let said = Arc::new(Mutex::new(Vec::new()));
        let thread = JournalThread::start(journal, || (), {
            let (said, directory) = (Arc::clone(&said), Arc::clone(&directory));
            move |news| {
                let (tokens, result) = recorded(news);
                result.unwrap();
                let history = read(&directory);
                let is_in_it = |&token: &u64| history.last(&record(token).item).is_some();
                assert!(tokens.iter().all(is_in_it));
                said.lock().unwrap().extend(tokens);
            }
        })
        .unwrap();
        for token in 0..300 {
            thread.note(masked(sample_start(&format!("item-{token}"), 1)));
            thread.record(token, masked(record(token))).unwrap();
        }
        thread.finish().unwrap();
        assert_eq!(*said.lock().unwrap(), (0..300).collect::<Vec<_>>());
        assert_eq!(read(&directory).records(), 600);
    }

    #[test]
    fn what_is_noted_stands_before_what_is_recorded_later_and_nothing_is_told_of_it() {
        let (_base, directory, journal) = workflow();
        let (said, told) = channel();
        let thread = JournalThread::start(
            journal,
            || (),
            move |news| {
                said.send(recorded(news).0).unwrap();
            },
        )
        .unwrap();
        thread.note(masked(sample_start("a", 1)));
        thread.note(masked(sample_start("item-7", 1)));
        thread.record(7, masked(record(7))).unwrap();
        thread.finish().unwrap();
        assert_eq!(told.iter().collect::<Vec<_>>(), [[7]]);
        assert_eq!(read(&directory).records(), 3);
    }

    #[test]
    fn records_that_wait_together_become_durable_together() {
        let (_base, directory, journal) = workflow();
        let (first_said, wait_for_first) = channel();
        let (go_on, wait_to_go_on) = channel();
        let said = Arc::new(Mutex::new(Vec::new()));
        let thread = JournalThread::start(journal, || (), {
            let (said, directory) = (Arc::clone(&said), Arc::clone(&directory));
            move |news| {
                let (tokens, result) = recorded(news);
                result.unwrap();
                let is_first = tokens == [0];
                said.lock()
                    .unwrap()
                    .push((tokens, read(&directory).records()));
                if is_first {
                    first_said.send(()).unwrap();
                    wait_to_go_on.recv().unwrap();
                }
            }
        })
        .unwrap();
        thread.record(0, masked(record(0))).unwrap();
        wait_for_first.recv().unwrap();
        for token in 1..=10 {
            thread.record(token, masked(record(token))).unwrap();
        }
        go_on.send(()).unwrap();
        thread.finish().unwrap();
        let together = (1..=10).collect();
        assert_eq!(*said.lock().unwrap(), [(vec![0], 1), (together, 11)]);
    }

    #[test]
    fn what_is_not_durable_is_named_with_the_reason() {
        let (_base, directory, journal) = workflow();
        let said = Arc::new(Mutex::new(Vec::new()));
        let thread = JournalThread::start(journal, || (), {
            let (said, path) = (Arc::clone(&said), directory.journal_path());
            move |news| {
                let (tokens, result) = recorded(news);
                let status = result.err().map(|error| error.status());
                said.lock().unwrap().push((tokens, status));
                let _ = fs::remove_file(&path);
            }
        })
        .unwrap();
        let (all_said, state) = ([0, 1, 2], Some(ExitStatus::State));
        for token in all_said {
            thread.record(token, masked(record(token))).unwrap();
            while said.lock().unwrap().len() as u64 <= token {
                std::thread::yield_now();
            }
        }
        let error = thread.finish().unwrap_err();
        assert!(
            error.to_string().contains("removed during the run"),
            "{error}"
        );
        let expected = [(vec![0], None), (vec![1], state), (vec![2], state)];
        assert_eq!(*said.lock().unwrap(), expected);
    }

    #[test]
    fn a_thread_that_died_is_noticed() {
        let (_base, _directory, journal) = workflow();
        let thread =
            JournalThread::start(journal, || (), |_| panic!("expected by this test")).unwrap();
        thread.record(0, masked(record(0))).unwrap();
        while thread.record(1, masked(record(1))).is_ok() {
            std::thread::yield_now();
        }
        assert_eq!(thread.finish().unwrap_err().status(), ExitStatus::State);
    }
}
