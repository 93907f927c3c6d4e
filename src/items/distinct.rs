//! Whether the items of a run can be told apart. Pure.
//!
//! Ids become file names, and some file systems do not tell case apart: two ids that differ only in case would share a log, an
//! output and perhaps a worktree. So the check is made once, over all items, before anything is named after them.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::batch::Batch;
use super::item::{ID_BYTES_MAX, Item};
use crate::error::{Error, Result};
use crate::escape::quoted;

/// Refuses two items whose ids are equal, or differ only in case.
///
/// # Errors
///
/// The first such pair, both items named (exit 69).
pub fn check(items: &Batch) -> Result<()> {
    let mut taken = TakenIds::default();
    for (index, id) in items.ids().enumerate() {
        if let Some(other) = taken.holder(items, id) {
            return Err(twins(&items.get(other), &items.get(index)));
        }
        taken.take(items, index);
    }
    Ok(())
}

/// Ids that are taken, whatever their case: places in a batch, four bytes each, for the text stands there.
#[derive(Default)]
pub(super) struct TakenIds {
    places: HashTable<u32>,
    hasher: RandomState,
}

impl TakenIds {
    /// Which of `items` has taken `id`.
    pub(super) fn holder(&self, items: &Batch, id: &str) -> Option<usize> {
        let hash = hash_without_case(&self.hasher, id);
        let holds = |&place: &u32| items.id(place as usize).eq_ignore_ascii_case(id);
        self.places.find(hash, holds).map(|&place| place as usize)
    }

    /// The item at `index` takes its id, which nobody has.
    pub(super) fn take(&mut self, items: &Batch, index: usize) {
        let hash = |&place: &u32| hash_without_case(&self.hasher, items.id(place as usize));
        let place = u32::try_from(index).expect("a batch has a million items at most");
        self.places.insert_unique(hash(&place), place, hash);
    }
}

fn hash_without_case(hasher: &RandomState, id: &str) -> u64 {
    let mut lower = [0; ID_BYTES_MAX];
    let lower = &mut lower[..id.len()];
    lower.copy_from_slice(id.as_bytes());
    lower.make_ascii_lowercase();
    hasher.hash_one(&*lower)
}

/// What to say of two items whose ids are equal, or differ only in case.
pub(super) fn twins(first: &Item, second: &Item) -> Error {
    let places = format!("{} and {}", place(first), place(second));
    let message = if first.id == second.id {
        format!("two items have the id {}: {places}", first.id)
    } else {
        format!(
            "the item ids {} and {} differ only in case: {places}",
            first.id, second.id
        )
    };
    Error::source(message)
        .with_hint("rename one of them, or narrow the source so that it gives only one")
}

/// Where a person finds the item.
fn place(item: &Item) -> String {
    quoted(item.path.as_deref().unwrap_or(&item.text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::item::ContentHash;
    use crate::items::item::{ItemId, Readiness};

    fn item(id: &str, path: &str) -> Item {
        Item {
            id: ItemId::new(id).unwrap(),
            number: None,
            title: String::new(),
            path: Some(path.to_owned()),
            text: path.to_owned(),
            content_hash: ContentHash::OfText,
            readiness: Readiness::Ready(String::new()),
        }
    }

    #[test]
    fn twins_are_named_with_their_places() {
        for (ids, expected) in [
            (["a", "b"], None),
            (
                ["a", "a"],
                Some("two items have the id a: \"x/1\" and \"x/2\""),
            ),
            (
                ["LLD-1", "lld-1"],
                Some("the item ids LLD-1 and lld-1 differ only in case: \"x/1\" and \"x/2\""),
            ),
        ] {
            let items = [item(ids[0], "x/1"), item(ids[1], "x/2")]
                .into_iter()
                .collect();
            let said = check(&items).map_err(|error| error.to_string()).err();
            assert_eq!(said.as_deref(), expected);
        }
        let items = [item("a", "1"), item("A", "2")].into_iter().collect();
        let error = check(&items).unwrap_err();
        assert!(error.hint().unwrap().contains("rename"));
    }
}
