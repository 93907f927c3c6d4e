//! Finds the place of a text among very many, without holding the texts: eight bytes for each. Pure.
//!
//! The journal's history and the check for equal ids keep their texts in one buffer and ask here where one of them stands.
//! The hash is keyed anew in every process, for the texts come from outside.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// Where texts stand.
#[derive(Debug, Default)]
pub(crate) struct Places {
    slots: HashTable<Slot>,
    hasher: RandomState,
}

/// The place of a text, with enough of its hash to grow the table, and to tell nearly every other text apart, without
/// looking at the texts: at a million of them, each look is a cache miss.
#[derive(Debug, Clone, Copy)]
struct Slot {
    tag: Tag,
    place: u32,
}

/// What is known of a text in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(u32);

impl Tag {
    /// Spreads it over the bits that the table looks at, its lowest and highest (Fibonacci hashing).
    const fn spread(self) -> u64 {
        (self.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Places {
    /// With room for so many.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self {
            slots: HashTable::with_capacity(count),
            hasher: RandomState::default(),
        }
    }

    /// The tag of `text`.
    pub(crate) fn tag(&self, text: &[u8]) -> Tag {
        Tag((self.hasher.hash_one(text) >> 32) as u32)
    }

    /// The place of the text with this tag of which `is_it` says that it stands there.
    pub(crate) fn find(&self, tag: Tag, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let fits = |slot: &Slot| slot.tag == tag && is_it(slot.place as usize);
        let slot = self.slots.find(tag.spread(), fits);
        slot.map(|slot| slot.place as usize)
    }

    /// A text with this tag, which has not been found, stands at `place`.
    pub(crate) fn insert(&mut self, tag: Tag, place: usize) {
        let place = u32::try_from(place).expect("four billion ids are a terabyte");
        let slot = Slot { tag, place };
        self.slots
            .insert_unique(tag.spread(), slot, |slot| slot.tag.spread());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_where_they_stand_even_when_their_tags_are_equal() {
        let mut places = Places::default();
        let texts: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        // Of two that follow each other, both have the tag of the first.
        let tag = |places: &Places, place: usize| places.tag(texts[place / 2 * 2].as_bytes());
        for place in 0..texts.len() {
            let found = places.find(tag(&places, place), |other| texts[other] == texts[place]);
            assert_eq!(found, None);
            places.insert(tag(&places, place), place);
        }
        for place in 0..texts.len() {
            let found = places.find(tag(&places, place), |other| texts[other] == texts[place]);
            assert_eq!(found, Some(place));
        }
    }
}
