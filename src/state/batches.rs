//! A queue whose reader takes everything that waits at once, and lets it gather for a moment when much comes: the way of
//! records and events to the threads that write them.
//!
//! What comes after a silence is taken at once. Behind what counts batches are at least a gap apart, unless a whole one has
//! gathered or the sender is in a hurry, so that a disk is asked rarely, and a sender wakes the reader as rarely.
//! [`Sender::send`] never blocks; whoever needs a bound has it refuse.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When a batch is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// From one to the next …
    pub(super) gap: Duration,
    /// … unless so many wait that count.
    pub(super) whole: usize,
    /// So many may wait, and no more.
    pub(super) limit: usize,
}

/// Why something was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many wait as may.
    Full,
    /// Nobody will read it.
    Gone,
}

/// The end that things are put in; there is one.
#[derive(Debug)]
pub(super) struct Sender<T>(Arc<Shared<T>>);

/// The end that they are taken out of.
#[derive(Debug)]
pub(super) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// When the last batch was taken in which anything counted.
    taken_at: Option<Instant>,
}

#[derive(Debug)]
struct Shared<T> {
    pace: Pace,
    queue: Mutex<Queue<T>>,
    wake: Condvar,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: Vec<T>,
    /// How many of them count.
    counted: usize,
    reader: Reader,
    /// Nothing else will come that could be taken with it.
    is_urgent: bool,
    is_closed: bool,
}

/// What the reader does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// It works on a batch, and looks by itself.
    Busy,
    /// It waits for anything.
    Idle,
    /// It waits for the gap to be over, or for a whole batch.
    Gathering,
    Gone,
}

/// An empty queue.
pub(super) fn batches<T>(pace: Pace) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        pace,
        queue: Mutex::new(Queue {
            waiting: Vec::new(),
            counted: 0,
            reader: Reader::Busy,
            is_urgent: false,
            is_closed: false,
        }),
        wake: Condvar::new(),
    });
    let receiver = Receiver {
        shared: Arc::clone(&shared),
        taken_at: None,
    };
    (Sender(shared), receiver)
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// Puts something in; `counts` towards a whole batch.
    ///
    /// # Errors
    ///
    /// When it will not be read.
    pub(super) fn send(&self, it: T, counts: bool) -> Result<(), Refused> {
        let Shared { pace, wake, .. } = &*self.0;
        let mut queue = self.0.lock();
        if queue.reader == Reader::Gone {
            return Err(Refused::Gone);
        }
        if queue.waiting.len() >= pace.limit {
            return Err(Refused::Full);
        }
        queue.waiting.push(it);
        queue.counted += usize::from(counts);
        let is_awaited = match queue.reader {
            Reader::Idle => true,
            Reader::Gathering => queue.counted >= pace.whole,
            Reader::Busy | Reader::Gone => false,
        };
        if is_awaited {
            queue.reader = Reader::Busy;
            // Else it would wake up only to wait for the lock.
            drop(queue);
            wake.notify_one();
        }
        Ok(())
    }

    /// Has what waits taken without a gap. Never blocks.
    pub(super) fn hurry(&self) {
        let mut queue = self.0.lock();
        queue.is_urgent = !queue.waiting.is_empty();
        if queue.is_urgent && queue.reader == Reader::Gathering {
            queue.reader = Reader::Busy;
            drop(queue);
            self.0.wake.notify_one();
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.wake.notify_one();
    }
}

impl<T> Receiver<T> {
    /// Waits for the next batch, which is never empty; `None` when the sender is gone and everything was taken.
    pub(super) fn next(&mut self) -> Option<Vec<T>> {
        let Shared { pace, wake, .. } = &*self.shared;
        let mut queue = self.shared.lock();
        while queue.waiting.is_empty() && !queue.is_closed {
            queue.reader = Reader::Idle;
            queue = wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        while let Some(rest) = self.gap_left(pace)
            && queue.counted < pace.whole
            && !queue.is_urgent
            && !queue.is_closed
        {
            queue.reader = Reader::Gathering;
            let waited = wake.wait_timeout(queue, rest);
            (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        queue.reader = Reader::Busy;
        queue.is_urgent = false;
        let counts = std::mem::take(&mut queue.counted) > 0;
        let batch = std::mem::take(&mut queue.waiting);
        drop(queue);
        if counts {
            self.taken_at = Some(now());
        }
        (!batch.is_empty()).then_some(batch)
    }

    fn gap_left(&self, pace: &Pace) -> Option<Duration> {
        let left = pace.gap.checked_sub(self.taken_at?.elapsed())?;
        (!left.is_zero()).then_some(left)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.reader = Reader::Gone;
        queue.waiting.clear();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the disk is asked so often in real time"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// So long that no test ever sees its end.
    const FOR_EVER: Duration = Duration::from_secs(100_000);

    const PACE: Pace = Pace {
        gap: FOR_EVER,
        whole: 3,
        limit: 5,
    };

    #[test]
    fn what_comes_first_is_taken_at_once_and_the_rest_when_it_is_whole_or_the_sender_is_gone() {
        let (sender, mut receiver) = batches(PACE);
        let (said, told) = std::sync::mpsc::channel();
        let reading = thread::spawn(move || {
            while let Some(batch) = receiver.next() {
                said.send(batch).unwrap();
            }
        });
        sender.send(1, true).unwrap();
        assert_eq!(told.recv(), Ok(vec![1]));
        for (it, counts) in [(2, true), (3, false), (4, true), (5, true)] {
            sender.send(it, counts).unwrap();
        }
        assert_eq!(told.recv(), Ok(vec![2, 3, 4, 5]));
        sender.send(6, true).unwrap();
        drop(sender);
        assert_eq!(told.recv(), Ok(vec![6]));
        reading.join().unwrap();
    }

    #[test]
    fn a_gap_that_is_over_ends_a_batch() {
        let gap = Duration::from_millis(1);
        let (sender, mut receiver) = batches(Pace { gap, ..PACE });
        for it in [1, 2] {
            sender.send(it, true).unwrap();
            assert_eq!(receiver.next(), Some(vec![it]));
        }
    }

    #[test]
    fn who_is_in_a_hurry_waits_for_no_gap() {
        let (sender, mut receiver) = batches(PACE);
        sender.hurry();
        let (said, told) = std::sync::mpsc::channel();
        let reading = thread::spawn(move || {
            while let Some(batch) = receiver.next() {
                said.send(batch).unwrap();
            }
        });
        for it in 1..=3 {
            sender.send(it, true).unwrap();
            // Whatever the reader is doing.
            sender.hurry();
            assert_eq!(told.recv(), Ok(vec![it]));
        }
        // That was then.
        sender.hurry();
        for it in [4, 5, 6] {
            sender.send(it, true).unwrap();
        }
        assert_eq!(told.recv(), Ok(vec![4, 5, 6]));
        drop(sender);
        reading.join().unwrap();
    }

    #[test]
    fn more_than_may_wait_is_refused_and_so_is_what_nobody_reads() {
        let (sender, mut receiver) = batches(PACE);
        for it in 0..PACE.limit {
            sender.send(it, true).unwrap();
        }
        assert_eq!(sender.send(9, true), Err(Refused::Full));
        assert_eq!(receiver.next(), Some(vec![0, 1, 2, 3, 4]));
        sender.send(9, true).unwrap();
        drop(receiver);
        assert_eq!(sender.send(10, true), Err(Refused::Gone));
    }

    #[test]
    fn nothing_is_lost_between_a_quick_sender_and_its_reader() {
        let gap = Duration::from_micros(1);
        let (sender, mut receiver) = batches(Pace {
            gap,
            whole: 7,
            limit: usize::MAX,
        });
        let sending = thread::spawn(move || {
            for it in 0..10_000 {
                sender.send(it, it % 3 == 0).unwrap();
            }
        });
        let read: Vec<i32> = std::iter::from_fn(|| receiver.next()).flatten().collect();
        sending.join().unwrap();
        assert_eq!(read, (0..10_000).collect::<Vec<_>>());
    }
}
