//! Whether the items of a run can be told apart. Pure.
//!
//! Ids become file names, and some file systems do not tell case apart: two ids that differ only in case would share a log, an
//! output and perhaps a worktree. So the check is made once, over all items, before anything is named after them.

use super::batch::Batch;
use super::item::{ID_BYTES_MAX, Item};
use crate::error::{Error, Result};
use crate::escape::quoted;
use crate::places::Places;

/// Refuses two items whose ids are equal, or differ only in case.
///
/// # Errors
///
/// The first such pair, both items named (exit 69).
pub fn check(items: &Batch) -> Result<()> {
    let mut taken = TakenIds::default();
    for (index, id) in items.ids().enumerate() {
        if let Some(other) = taken.take(items, id, index) {
            return Err(twins(&items.get(other), &items.get(index)));
        }
    }
    Ok(())
}

/// Ids that are taken, whatever their case.
#[derive(Default)]
pub(super) struct TakenIds(Places);

impl TakenIds {
    /// Says which of `items` has taken `id`; if none has, the one at `place`, which may be about to come, has it now.
    pub(super) fn take(&mut self, items: &Batch, id: &str, place: usize) -> Option<usize> {
        let mut lower = [0; ID_BYTES_MAX];
        let lower = &mut lower[..id.len()];
        lower.copy_from_slice(id.as_bytes());
        lower.make_ascii_lowercase();
        let tag = self.0.tag(lower);
        let holder = self
            .0
            .find(tag, |other| items.id(other).eq_ignore_ascii_case(id));
        if holder.is_none() {
            self.0.insert(tag, place);
        }
        holder
    }
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
