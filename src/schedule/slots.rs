//! Worker slots: the lowest free one is handed out, so that numbers stay small and prefixes stay stable.

use std::collections::BTreeSet;

use super::event::Slot;

/// The slots of a run, of which each is either free or taken.
#[derive(Debug)]
pub struct Slots {
    free: BTreeSet<Slot>,
}

impl Slots {
    /// `count` free slots, numbered from 1.
    #[must_use]
    pub fn new(count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            free: (1..=count).map(Slot).collect(),
        }
    }

    /// Takes the lowest free slot, if any is free.
    pub fn take(&mut self) -> Option<Slot> {
        self.free.pop_first()
    }

    /// Gives a slot back.
    pub fn put_back(&mut self, slot: Slot) {
        let was_taken = self.free.insert(slot);
        debug_assert!(was_taken, "slot {slot:?} was given back twice");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_slot_is_handed_out() {
        let mut slots = Slots::new(2);
        assert_eq!(slots.take(), Some(Slot(1)));
        assert_eq!(slots.take(), Some(Slot(2)));
        assert_eq!(slots.take(), None);
        slots.put_back(Slot(1));
        assert_eq!(slots.take(), Some(Slot(1)));
    }
}
