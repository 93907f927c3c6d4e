//! What `run.json` says of the items of a run that goes on, without room for those of which there is nothing to say yet
//! but their ids. Pure.
//!
//! The run fills it in and has it written; who reads `run.json` has a plain list of [`RunItem`]s.

use std::borrow::Cow;
use std::rc::Rc;

use serde::{Serialize, Serializer};

use super::run_record::{ItemState, RunAttempt, RunItem};
use crate::items::batch::Batch;
use crate::output::mask::HoldsText;

/// The items of a run, in the order of their indices, and behind them those that were refused.
#[derive(Debug)]
pub struct RunItems {
    waiting: Rc<Batch>,
    /// Of which there is more to say; shorter than the batch by those at its end of which there is not.
    known: Vec<Option<Box<RunItem>>>,
    refused: Vec<RunItem>,
}

impl RunItems {
    /// None of `waiting` has been started yet; their titles are as `title` gives them, masked and escaped.
    #[must_use]
    pub fn new(waiting: Rc<Batch>, refused: Vec<RunItem>, title: impl Fn(&str) -> String) -> Self {
        let mut items = Self {
            waiting,
            known: Vec::new(),
            refused,
        };
        for index in 0..items.waiting.len() {
            let shown = Some(items.waiting.title(index))
                .filter(|it| !it.is_empty())
                .map(&title);
            if let Some(shown) = shown {
                items.at(index).title = shown;
            }
        }
        items
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len() + self.refused.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at `index`, to note what has become of it.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn at(&mut self, index: usize) -> &mut RunItem {
        if self.known.len() <= index {
            self.known.resize_with(index + 1, || None);
        }
        let waiting = &self.waiting;
        self.known[index].get_or_insert_with(|| Box::new(untouched(waiting.id(index))))
    }

    /// The attempts of the item at `index`.
    #[must_use]
    pub fn attempts(&self, index: usize) -> &[RunAttempt] {
        self.known_at(index).map_or(&[], |item| &item.attempts)
    }

    /// All items.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, RunItem>> {
        let waiting = self.waiting.ids().enumerate().map(|(index, id)| {
            let known = self.known_at(index).map(Cow::Borrowed);
            known.unwrap_or_else(|| Cow::Owned(untouched(id)))
        });
        waiting.chain(self.refused.iter().map(Cow::Borrowed))
    }

    fn known_at(&self, index: usize) -> Option<&RunItem> {
        self.known.get(index)?.as_deref()
    }
}

/// An item of which there is nothing to say but its id.
fn untouched(id: &str) -> RunItem {
    RunItem {
        id: id.to_owned(),
        title: String::new(),
        state: ItemState::Pending,
        outcome: None,
        reason: None,
        attempts: Vec::new(),
    }
}

impl Serialize for RunItems {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl HoldsText for RunItems {
    fn mask_texts(&mut self, mask: &dyn Fn(&mut String)) {
        let Self {
            waiting: _,
            known,
            refused,
        } = self;
        let known = known.iter_mut().flatten().map(|item| &mut **item);
        known.chain(refused).for_each(|item| item.mask_texts(mask));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::item::{ContentHash, Item, ItemId, Readiness};

    fn item(id: &str, title: &str) -> Item {
        Item {
            id: ItemId::new(id).unwrap(),
            number: None,
            title: title.to_owned(),
            path: None,
            text: id.to_owned(),
            content_hash: ContentHash::OfText,
            readiness: Readiness::Ready(String::new()),
        }
    }

    fn items() -> RunItems {
        let batch = [item("a", ""), item("b", "B"), item("c", ""), item("d", "")];
        let refused = RunItem {
            state: ItemState::Ended,
            ..untouched("e")
        };
        RunItems::new(Rc::new(batch.into_iter().collect()), vec![refused], |it| {
            format!("<{it}>")
        })
    }

    #[test]
    fn items_of_which_nothing_is_known_stand_among_the_others_and_take_no_room() {
        let mut items = items();
        assert_eq!(items.known.len(), 2);
        items.at(2).reason = Some("why".to_owned());
        let told: Vec<RunItem> = items.iter().map(Cow::into_owned).collect();
        let expected = [
            untouched("a"),
            RunItem {
                title: "<B>".to_owned(),
                ..untouched("b")
            },
            RunItem {
                reason: Some("why".to_owned()),
                ..untouched("c")
            },
            untouched("d"),
            RunItem {
                state: ItemState::Ended,
                ..untouched("e")
            },
        ];
        assert_eq!(told, expected);
        assert_eq!((items.len(), items.known.len()), (5, 3));
        assert_eq!(items.attempts(3), []);
    }

    #[test]
    fn it_is_written_as_a_list_and_every_text_in_it_is_masked() {
        let mut items = items();
        items.mask_texts(&|text| text.insert(0, '#'));
        let listed: Vec<RunItem> = items.iter().map(Cow::into_owned).collect();
        assert_eq!(listed[1].title, "#<B>");
        assert_eq!(listed[4].title, "#");
        let (written, list) = (
            serde_json::to_string(&items),
            serde_json::to_string(&listed),
        );
        assert_eq!(written.unwrap(), list.unwrap());
    }
}
