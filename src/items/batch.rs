//! The items of a run, in their order, in little room: there may be very many, and nearly all of them only wait. Pure.
//!
//! An item that is no more than a line of a list is kept as that line, in one buffer with all others, and made anew when
//! somebody asks for it; any other is kept as it is. Sources fill it, the plan narrows it down, the run looks into it. It
//! must never show which of the two an item is.

use std::borrow::Cow;

use super::collected::ITEMS_MAX;
use super::item::{ContentHash, Item, ItemId, Readiness};

/// Items, in their order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The lines, each followed by its item's id where that is another text.
    text: String,
    rows: Vec<Row>,
}

/// What a line takes that is no longer than a name has to be.
const LINE_BYTES: usize = 8;

/// One item.
#[derive(Debug, Clone)]
enum Row {
    /// It is a line.
    Line(Line),
    /// It is more than that.
    Whole(Box<Item>),
}

/// Where a line stands in the text.
#[derive(Debug, Clone, Copy)]
struct Line {
    start: u32,
    bytes: u32,
    /// The length of the id behind it; 0 where the line is the id.
    id_bytes: u8,
}

impl Batch {
    /// With room for lines of so many bytes in all.
    #[must_use]
    pub fn for_text(bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            rows: Vec::with_capacity((bytes / LINE_BYTES).min(ITEMS_MAX)),
        }
    }

    /// Adds an item behind the others.
    pub fn push(&mut self, item: Item) {
        let row = match self.take_line(&item) {
            Some(line) => Row::Line(line),
            None => Row::Whole(Box::new(item)),
        };
        self.rows.push(row);
    }

    /// How many items there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The item at `index`.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn get(&self, index: usize) -> Cow<'_, Item> {
        match &self.rows[index] {
            Row::Line(line) => Cow::Owned(self.item_of(*line)),
            Row::Whole(item) => Cow::Borrowed(item),
        }
    }

    /// The id of the item at `index`.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn id(&self, index: usize) -> &str {
        match &self.rows[index] {
            Row::Line(line) => self.id_of(*line),
            Row::Whole(item) => item.id.as_str(),
        }
    }

    /// The title of the item at `index`.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn title(&self, index: usize) -> &str {
        match &self.rows[index] {
            Row::Line(_) => "",
            Row::Whole(item) => &item.title,
        }
    }

    /// All ids.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.id(index))
    }

    /// All items.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, Item>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// All items, on their own.
    #[must_use]
    pub fn into_vec(self) -> Vec<Item> {
        self.iter().map(Cow::into_owned).collect()
    }

    /// Keeps the items for which `is_kept`, asked once for each in their order, says so.
    pub fn retain(&mut self, mut is_kept: impl FnMut() -> bool) {
        self.rows.retain(|_| is_kept());
        self.rows.shrink_to_fit();
    }

    /// Keeps the text of an item that is no more than a line; nothing for any other.
    fn take_line(&mut self, item: &Item) -> Option<Line> {
        let Item {
            id,
            number,
            title,
            path,
            text,
            content_hash,
            readiness,
        } = item;
        let is_line = *number == number_of_line(text)
            && title.is_empty()
            && path.is_none()
            && *content_hash == ContentHash::OfText
            && matches!(readiness, Readiness::Ready(reason) if reason.is_empty());
        let own_id = if id.as_str() == text { "" } else { id.as_str() };
        let line = Line {
            start: u32::try_from(self.text.len()).ok().filter(|_| is_line)?,
            bytes: u32::try_from(text.len()).ok()?,
            id_bytes: u8::try_from(own_id.len()).ok()?,
        };
        self.text.push_str(text);
        self.text.push_str(own_id);
        Some(line)
    }

    fn item_of(&self, line: Line) -> Item {
        let id = ItemId::new(self.id_of(line)).expect("it was one when it came");
        item_of_line(id, self.text_of(line))
    }

    fn text_of(&self, line: Line) -> &str {
        &self.text[line.start as usize..][..line.bytes as usize]
    }

    fn id_of(&self, line: Line) -> &str {
        if line.id_bytes == 0 {
            return self.text_of(line);
        }
        &self.text[line.start as usize + line.bytes as usize..][..usize::from(line.id_bytes)]
    }
}

impl FromIterator<Item> for Batch {
    fn from_iter<T: IntoIterator<Item = Item>>(items: T) -> Self {
        let mut batch = Self::default();
        items.into_iter().for_each(|item| batch.push(item));
        batch
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Batch {}

/// An item that is no more than a line.
pub(super) fn item_of_line(id: ItemId, text: &str) -> Item {
    Item {
        id,
        number: number_of_line(text),
        title: String::new(),
        path: None,
        text: text.to_owned(),
        content_hash: ContentHash::OfText,
        readiness: Readiness::Ready(String::new()),
    }
}

/// The number of an item that is a line: the line, when it has only digits.
fn number_of_line(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_item() -> impl Strategy<Value = Item> {
        let text = prop_oneof!["[0-9]{1,3}", "[a-c é]{0,4}"];
        let number = prop_oneof![Just(None), any::<Option<u64>>()];
        let seldom = |value: &str| prop::option::weighted(0.2, Just(value.to_owned()));
        let parts = (text, "[a-c]{1,3}", number, any::<bool>(), any::<bool>());
        let more = (
            seldom("title"),
            seldom("path"),
            seldom("hash"),
            seldom("why"),
        );
        (parts, more).prop_map(
            |((text, id, number, is_plain, is_its_id), (title, path, hash, why))| Item {
                id: ItemId::new(text.as_str())
                    .ok()
                    .filter(|_| is_its_id)
                    .unwrap_or_else(|| ItemId::new(id).unwrap()),
                number: if is_plain {
                    number_of_line(&text)
                } else {
                    number
                },
                title: title.unwrap_or_default(),
                path,
                content_hash: hash.map_or(ContentHash::OfText, ContentHash::Is),
                readiness: Readiness::Ready(why.unwrap_or_default()),
                text,
            },
        )
    }

    proptest! {
        #[test]
        fn every_item_comes_back_as_it_was(items in prop::collection::vec(any_item(), 0..12)) {
            let batch: Batch = items.iter().cloned().collect();
            for (index, item) in items.iter().enumerate() {
                prop_assert_eq!(batch.id(index), item.id.as_str());
                prop_assert_eq!(batch.title(index), &item.title);
            }
            prop_assert_eq!(batch.into_vec(), items);
        }

        #[test]
        fn what_is_not_kept_is_gone_and_the_rest_stands_as_before(
            items in prop::collection::vec((any_item(), any::<bool>()), 0..12),
        ) {
            let mut batch: Batch = items.iter().map(|(item, _)| item.clone()).collect();
            let mut kept = items.iter().map(|(_, is_kept)| *is_kept);
            batch.retain(|| kept.next().unwrap());
            let rest = items.iter().filter(|(_, is_kept)| *is_kept).map(|(item, _)| item.clone());
            prop_assert_eq!(batch.into_vec(), rest.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_hundred_thousand_short_lines_take_less_than_three_megabytes() {
        let line = |number: u32| {
            let text = format!("item-{number}");
            Item {
                id: ItemId::new(text.as_str()).unwrap(),
                number: None,
                title: String::new(),
                path: None,
                text,
                content_hash: ContentHash::OfText,
                readiness: Readiness::Ready(String::new()),
            }
        };
        let batch: Batch = (0..100_000).map(line).collect();
        let bytes = batch.text.len() + batch.rows.len() * size_of::<Row>();
        assert!(bytes < 3_000_000, "{bytes}");
    }
}
