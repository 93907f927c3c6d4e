//! Whether the items of a run can be told apart. Pure.
//!
//! Ids become file names, and some file systems do not tell case apart: two ids that differ only in case would share a log, an
//! output and perhaps a worktree. So the check is made once, over all items, before anything is named after them.

use super::item::Item;
use crate::error::{Error, Result};
use crate::escape::quoted;
use std::collections::HashMap;

/// Refuses two items whose ids are equal, or differ only in case.
///
/// # Errors
///
/// The first such pair, both items named (exit 69).
pub fn check(items: &[Item]) -> Result<()> {
    let mut seen: HashMap<String, &Item> = HashMap::with_capacity(items.len());
    for item in items {
        if let Some(other) = seen.insert(item.id.as_str().to_ascii_lowercase(), item) {
            return Err(twins(other, item));
        }
    }
    Ok(())
}

fn twins(first: &Item, second: &Item) -> Error {
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
            let items = [item(ids[0], "x/1"), item(ids[1], "x/2")];
            let said = check(&items).map_err(|error| error.to_string()).err();
            assert_eq!(said.as_deref(), expected);
        }
        let error = check(&[item("a", "1"), item("A", "2")]).unwrap_err();
        assert!(error.hint().unwrap().contains("rename"));
    }
}
