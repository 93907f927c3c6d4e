//! Who gets which credential: first come, first served, and the key that has been idle longest.
//!
//! Pure. The loop asks for its items and hands on what is granted. Providers refill a key's budget while it is
//! idle, so the key that was idle longest has the most head-room; that beats taking turns when leases differ in
//! length.

use std::collections::VecDeque;
use std::time::Duration;

use crate::schedule::event::{CredentialIndex, ItemIndex};

/// The credentials of a run and who holds or awaits one.
#[derive(Debug)]
pub struct Pool {
    keys: Vec<Key>,
    slots_each: usize,
    waiting: VecDeque<ItemIndex>,
}

#[derive(Debug, Default)]
struct Key {
    leases: usize,
    /// When a lease on it last began or ended; `None` before the first.
    last_used: Option<Duration>,
}

/// A credential that has been leased to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// To whom.
    pub item: ItemIndex,
    /// Which one.
    pub credential: CredentialIndex,
}

impl Pool {
    /// `keys` credentials, of which each can be held by `slots_each` items at once.
    #[must_use]
    pub fn new(keys: usize, slots_each: usize) -> Self {
        let keys = (0..keys).map(|_| Key::default()).collect();
        Self {
            keys,
            slots_each,
            waiting: VecDeque::new(),
        }
    }

    /// How many items can hold a credential at once.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.keys.len().saturating_mul(self.slots_each)
    }

    /// Puts an item at the end of the line, and grants what can be granted.
    pub fn request(&mut self, item: ItemIndex, now: Duration) -> Vec<Grant> {
        self.waiting.push_back(item);
        self.grant(now)
    }

    /// Takes an item out of the line.
    pub fn withdraw(&mut self, item: ItemIndex) {
        self.waiting.retain(|&waiting| waiting != item);
    }

    /// Takes a lease back, and grants what can be granted.
    ///
    /// # Panics
    ///
    /// When nobody holds this credential.
    pub fn release(&mut self, credential: CredentialIndex, now: Duration) -> Vec<Grant> {
        let key = &mut self.keys[credential.0];
        key.leases = key
            .leases
            .checked_sub(1)
            .expect("a credential was given back twice");
        key.last_used = Some(now);
        self.grant(now)
    }

    fn grant(&mut self, now: Duration) -> Vec<Grant> {
        let mut grants = Vec::new();
        while !self.waiting.is_empty() {
            let Some(credential) = self.best() else { break };
            let Some(item) = self.waiting.pop_front() else {
                break;
            };
            let key = &mut self.keys[credential.0];
            key.leases += 1;
            key.last_used = Some(now);
            grants.push(Grant { item, credential });
        }
        grants
    }

    /// The free key with the fewest leases, then the one idle longest, then the first.
    fn best(&self) -> Option<CredentialIndex> {
        let keys = self.keys.iter().enumerate();
        keys.filter(|(_, key)| key.leases < self.slots_each)
            .min_by_key(|(index, key)| (key.leases, key.last_used, *index))
            .map(|(index, _)| CredentialIndex(index))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn grant(item: usize, credential: usize) -> Grant {
        Grant {
            item: ItemIndex(item),
            credential: CredentialIndex(credential),
        }
    }

    #[test]
    fn two_keys_serve_items_in_the_order_of_their_coming() {
        let mut pool = Pool::new(2, 1);
        assert_eq!(pool.request(ItemIndex(0), at(0)), [grant(0, 0)]);
        assert_eq!(pool.request(ItemIndex(1), at(0)), [grant(1, 1)]);
        assert_eq!(pool.request(ItemIndex(2), at(0)), []);
        assert_eq!(pool.request(ItemIndex(3), at(0)), []);
        assert_eq!(pool.release(CredentialIndex(1), at(5)), [grant(2, 1)]);
        assert_eq!(pool.release(CredentialIndex(0), at(6)), [grant(3, 0)]);
    }

    #[test]
    fn the_key_that_has_been_idle_longest_is_next() {
        let mut pool = Pool::new(3, 1);
        for item in 0..3 {
            pool.request(ItemIndex(item), at(0));
        }
        pool.release(CredentialIndex(2), at(10));
        pool.release(CredentialIndex(0), at(20));
        assert_eq!(pool.request(ItemIndex(3), at(30)), [grant(3, 2)]);
        assert_eq!(pool.request(ItemIndex(4), at(30)), [grant(4, 0)]);
    }

    #[test]
    fn a_key_with_more_slots_is_shared_only_when_none_is_free() {
        let mut pool = Pool::new(2, 2);
        assert_eq!(pool.slots(), 4);
        let granted: Vec<Grant> = (0..5)
            .flat_map(|item| pool.request(ItemIndex(item), at(0)))
            .collect();
        assert_eq!(
            granted,
            [grant(0, 0), grant(1, 1), grant(2, 0), grant(3, 1)]
        );
    }

    #[test]
    fn an_item_that_withdrew_is_passed_over() {
        let mut pool = Pool::new(1, 1);
        for item in 0..3 {
            pool.request(ItemIndex(item), at(0));
        }
        pool.withdraw(ItemIndex(1));
        assert_eq!(pool.release(CredentialIndex(0), at(1)), [grant(2, 0)]);
    }

    proptest! {
        #[test]
        fn no_key_is_ever_held_more_often_than_it_has_slots_and_nobody_is_forgotten(
            keys in 1_usize..5,
            slots in 1_usize..4,
            course in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200),
        ) {
            let mut pool = Pool::new(keys, slots);
            let (mut held, mut asked) = (Vec::new(), 0);
            let mut served: Vec<ItemIndex> = Vec::new();
            for (second, (asks, index)) in (0..).zip(course) {
                let granted = if asks || held.is_empty() {
                    asked += 1;
                    pool.request(ItemIndex(asked - 1), at(second))
                } else {
                    let credential = held.swap_remove(index.index(held.len()));
                    pool.release(credential, at(second))
                };
                served.extend(granted.iter().map(|grant| grant.item));
                held.extend(granted.iter().map(|grant| grant.credential));
                for key in 0..keys {
                    prop_assert!(held.iter().filter(|held| held.0 == key).count() <= slots);
                }
                // Whoever waits, waits only because every slot is taken.
                prop_assert!(served.len() == asked || held.len() == keys * slots);
            }
            prop_assert!(served.iter().enumerate().all(|(place, item)| item.0 == place), "FIFO");
        }
    }
}
