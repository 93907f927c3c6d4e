//! What every item source hands over: items, and what a person should know about how they were found.
//!
//! Owns the bounds on both, so that no source has to invent its own.

use super::batch::Batch;
use super::item::Item;
use crate::error::{Error, Result};

/// The greatest number of items in one run.
///
/// A batch is tens to thousands of items; a million still fits in memory, and anything above it is a mistaken source.
pub const ITEMS_MAX: usize = 1_000_000;

/// The greatest number of warnings that a source words in full; the rest is counted.
pub const WARNINGS_MAX: usize = 20;

/// The items of one source, in the source's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// The items.
    pub items: Batch,
    /// What the person who runs the batch should know; lower-case fragments, escaped, at most [`WARNINGS_MAX`] and a count.
    pub warnings: Vec<String>,
}

impl Collected {
    /// Adds an item of the source `source`.
    ///
    /// # Errors
    ///
    /// More than [`ITEMS_MAX`] items (exit 69).
    pub(crate) fn push(&mut self, item: Item, source: &str) -> Result<()> {
        if self.items.len() == ITEMS_MAX {
            return Err(
                Error::source(format!("{source} has more than {ITEMS_MAX} items"))
                    .with_hint("split it into several runs"),
            );
        }
        self.items.push(item);
        Ok(())
    }
}

/// Warnings that may be many: the first are kept, the others counted.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    worded: Vec<String>,
    more: u64,
}

impl Warnings {
    pub(crate) fn push(&mut self, warning: impl FnOnce() -> String) {
        if self.worded.len() < WARNINGS_MAX {
            self.worded.push(warning());
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn into_vec(mut self) -> Vec<String> {
        if self.more > 0 {
            self.worded
                .push(format!("and {} more such warnings", self.more));
        }
        self.worded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_warnings_end_in_a_count() {
        let mut warnings = Warnings::default();
        for n in 0..WARNINGS_MAX + 3 {
            warnings.push(|| n.to_string());
        }
        let all = warnings.into_vec();
        assert_eq!(all.len(), WARNINGS_MAX + 1);
        assert_eq!(all.last().unwrap(), "and 3 more such warnings");
    }
}
