//! Attempts that have ended and whose outcome is not on disk yet.
//!
//! They are what a sudden death loses: their items run once more. So a disk that falls behind holds up new items. Where
//! items are short and the disk is quick, waiting for it would cost more than what can be lost.

use std::collections::VecDeque;
use std::time::Duration;

use super::event::{ItemIndex, Outcome};

/// A disk on which an outcome is after no longer than this, with all that it waits for, holds up nothing …
pub const QUICK_DISK: Duration = Duration::from_millis(50);

/// … unless so many have gathered; the room that the journal keeps has to do for them and for all that run.
pub const UNRECORDED_MAX: usize = 192;

/// What follows when an attempt's outcome is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is the item's outcome.
    End,
    /// Another attempt, after this time.
    Retry(Duration),
    /// Another attempt, as soon as there is a slot.
    Requeue,
}

/// Those attempts.
#[derive(Debug)]
pub struct Unrecorded {
    /// As many wait for a slow disk.
    width: usize,
    /// The longest wait first: outcomes are written in this order.
    waiting: VecDeque<Ended>,
}

#[derive(Debug)]
struct Ended {
    item: ItemIndex,
    at: Duration,
    outcome: Outcome,
    next: Next,
}

impl Unrecorded {
    /// None yet. While the disk is slow, nothing is to be started when more than `width` wait; if that is 0, however quick
    /// the disk is.
    #[must_use]
    pub const fn new(width: usize) -> Self {
        Self {
            width,
            waiting: VecDeque::new(),
        }
    }

    /// An attempt has ended `now`.
    pub fn add(&mut self, item: ItemIndex, outcome: Outcome, next: Next, now: Duration) {
        let at = now;
        self.waiting.push_back(Ended {
            item,
            at,
            outcome,
            next,
        });
    }

    /// Its outcome is on disk, or never will be; `None` when nothing is known of it.
    pub fn remove(&mut self, item: ItemIndex) -> Option<(Outcome, Next)> {
        let place = self.waiting.iter().position(|it| it.item == item)?;
        let ended = self.waiting.remove(place)?;
        Some((ended.outcome, ended.next))
    }

    /// Whether all outcomes are on disk.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether something new may be started.
    #[must_use]
    pub fn leaves_room(&self, now: Duration) -> bool {
        let is_quick = |oldest: &Ended| now.saturating_sub(oldest.at) <= QUICK_DISK;
        let may_gather = self.width > 0 && self.waiting.len() < UNRECORDED_MAX;
        self.waiting.len() <= self.width || may_gather && self.waiting.front().is_some_and(is_quick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_nanos(1);

    fn unrecorded(width: usize, count: usize, at: Duration) -> Unrecorded {
        let mut unrecorded = Unrecorded::new(width);
        for item in 0..count {
            unrecorded.add(ItemIndex(item), Outcome::Done, Next::End, at);
        }
        unrecorded
    }

    #[test]
    fn a_slow_disk_leaves_room_for_as_many_as_run_at_once() {
        let late = Duration::from_hours(1);
        assert!(unrecorded(2, 2, Duration::ZERO).leaves_room(late));
        assert!(!unrecorded(2, 3, Duration::ZERO).leaves_room(late));
    }

    #[test]
    fn one_by_one_means_however_quick_the_disk_is() {
        assert!(unrecorded(0, 0, Duration::ZERO).leaves_room(Duration::ZERO));
        assert!(!unrecorded(0, 1, Duration::ZERO).leaves_room(Duration::ZERO));
    }

    #[test]
    fn a_quick_disk_leaves_room_for_many_more() {
        let soon = QUICK_DISK;
        assert!(unrecorded(2, UNRECORDED_MAX - 1, Duration::ZERO).leaves_room(soon));
        assert!(!unrecorded(2, UNRECORDED_MAX, Duration::ZERO).leaves_room(soon));
        assert!(!unrecorded(2, 3, Duration::ZERO).leaves_room(soon + MOMENT));
        assert!(unrecorded(UNRECORDED_MAX, UNRECORDED_MAX, Duration::ZERO).leaves_room(soon));
    }

    #[test]
    fn the_one_that_waits_longest_says_how_quick_the_disk_is() {
        let mut unrecorded = unrecorded(1, 3, Duration::ZERO);
        let late = QUICK_DISK + MOMENT;
        unrecorded.add(ItemIndex(3), Outcome::Failed, Next::Requeue, late);
        assert!(!unrecorded.leaves_room(late));
        for item in 0..3 {
            let known = unrecorded.remove(ItemIndex(item));
            assert_eq!(known, Some((Outcome::Done, Next::End)));
        }
        assert!(unrecorded.leaves_room(late + late));
        let last = unrecorded.remove(ItemIndex(3));
        assert_eq!(last, Some((Outcome::Failed, Next::Requeue)));
        assert_eq!(unrecorded.remove(ItemIndex(3)), None);
        assert!(unrecorded.is_empty());
    }
}
