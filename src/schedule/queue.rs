//! The queue: items that have never been started, in their order, behind those that have come back.

use std::ops::Range;

use super::event::ItemIndex;

/// Items that wait for a slot; of those that have never been started it holds no more than their range.
#[derive(Debug)]
pub struct Queue {
    /// The next one comes last.
    back_again: Vec<ItemIndex>,
    untouched: Range<usize>,
}

impl Queue {
    /// So many items, of which none has been started.
    #[must_use]
    pub const fn new(items: usize) -> Self {
        Self {
            back_again: Vec::new(),
            untouched: 0..items,
        }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.back_again.len() + self.untouched.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts an item that was taken in front of all others.
    pub fn put_back(&mut self, item: ItemIndex) {
        self.back_again.push(item);
    }

    /// Takes the item in front.
    pub fn take(&mut self) -> Option<ItemIndex> {
        let untouched = &mut self.untouched;
        self.back_again
            .pop()
            .or_else(|| untouched.next().map(ItemIndex))
    }

    /// Takes those for which `is_meant` says so, of those that have come back, in their order.
    pub fn take_back_again(&mut self, is_meant: impl Fn(ItemIndex) -> bool) -> Vec<ItemIndex> {
        let mut taken: Vec<ItemIndex> = self
            .back_again
            .extract_if(.., |item| is_meant(*item))
            .collect();
        taken.reverse();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    use proptest::prelude::*;

    #[test]
    fn what_has_come_back_is_taken_out_in_its_order() {
        let mut queue = Queue::new(5);
        let taken: Vec<ItemIndex> = std::iter::from_fn(|| queue.take()).take(4).collect();
        taken
            .into_iter()
            .rev()
            .for_each(|item| queue.put_back(item));
        let odd = queue.take_back_again(|item| item.0 % 2 == 1);
        assert_eq!(odd, [ItemIndex(1), ItemIndex(3)]);
        let rest: Vec<usize> = std::iter::from_fn(|| queue.take()).map(|it| it.0).collect();
        assert_eq!(rest, [0, 2, 4]);
    }

    proptest! {
        #[test]
        fn it_is_a_queue_of_all_items(items in 0_usize..6, takes in prop::collection::vec(any::<bool>(), 0..20)) {
            let mut queue = Queue::new(items);
            let mut plain: VecDeque<ItemIndex> = (0..items).map(ItemIndex).collect();
            let mut running = Vec::new();
            for take in takes {
                if take {
                    let item = queue.take();
                    prop_assert_eq!(item, plain.pop_front());
                    running.extend(item);
                } else if let Some(item) = running.pop() {
                    queue.put_back(item);
                    plain.push_front(item);
                }
                prop_assert_eq!((queue.len(), queue.is_empty()), (plain.len(), plain.is_empty()));
            }
        }
    }
}
