//! The ITEMs of the command line: which items a run is restricted to. Pure.

use super::batch::Batch;
use super::item::{Item, ItemId};
use crate::error::{Error, Result};
use crate::escape::quoted;
use crate::suggest::nearest;
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

/// One ITEM as it was typed: a number, a range of numbers or an item id.
///
/// `42` and `100-120` are valid ids too: an item whose id is just that text is meant as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    text: String,
    numbers: Option<RangeInclusive<u64>>,
}

impl Selector {
    /// Reads `42`, `100-120` or `issue-42`.
    ///
    /// # Errors
    ///
    /// A range that runs backwards, or a text that is no valid id (exit 2).
    pub fn parse(text: &str) -> Result<Self> {
        let id = ItemId::new(text).map_err(|why| {
            Error::usage(format!("{} is no item: {why}", quoted(text)))
                .with_hint("an ITEM is a number (42), a range (100-120) or an item id (issue-42)")
        })?;
        let numbers = match text.split_once('-') {
            Some((first, last)) => number(first).zip(number(last)),
            None => number(text).map(|only| (only, only)),
        };
        if let Some((first, last)) = numbers.filter(|(first, last)| first > last) {
            return Err(Error::usage(format!("the range {id} runs backwards"))
                .with_hint(format!("did you mean {last}-{first}?")));
        }
        Ok(Self {
            text: text.to_owned(),
            numbers: numbers.map(|(first, last)| first..=last),
        })
    }

    /// The text as it was typed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn names(&self, item: &Item) -> bool {
        let in_range = self.numbers.as_ref().zip(item.number);
        self.text == item.id.as_str()
            || in_range.is_some_and(|(numbers, number)| numbers.contains(&number))
    }
}

/// A number as people type it: digits only (`u64::from_str` would take a `+` too).
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The items that the selectors name.
pub(crate) struct Selected<'a> {
    /// In their order; all of them when there is no selector.
    pub(crate) items: Batch,
    /// Selectors that no item matches.
    unmatched: Vec<&'a Selector>,
    /// What a mistyped selector is compared with: the ids of all items, chosen or not.
    known: Vec<ItemId>,
}

/// The items that at least one selector names.
pub(crate) fn select(mut items: Batch, selectors: &[Selector]) -> Selected<'_> {
    if selectors.is_empty() {
        return Selected {
            items,
            unmatched: Vec::new(),
            known: Vec::new(),
        };
    }
    let matched = Matched::over(&items, selectors);
    let unmatched: Vec<&Selector> = selectors
        .iter()
        .enumerate()
        .filter(|(index, _)| !matched.selectors.contains(index))
        .map(|(_, selector)| selector)
        .collect();
    let known = if unmatched.is_empty() {
        Vec::new()
    } else {
        items.iter().map(|item| item.into_owned().id).collect()
    };
    let mut kept = matched.items.into_iter();
    items.retain(|| kept.next().unwrap_or(false));
    Selected {
        items,
        unmatched,
        known,
    }
}

impl Selected<'_> {
    /// Whether a selector has found nothing.
    pub(crate) fn misses_some(&self) -> bool {
        !self.unmatched.is_empty()
    }

    /// Adds those of `others` that a selector without an item names and that `accept` takes.
    pub(crate) fn extend_from(
        &mut self,
        others: impl Iterator<Item = Item>,
        mut accept: impl FnMut(&Item) -> bool,
    ) {
        let mut found = HashSet::new();
        for item in others {
            let mut named = (0..self.unmatched.len())
                .filter(|&index| self.unmatched[index].names(&item))
                .peekable();
            if named.peek().is_some() && accept(&item) {
                found.extend(named);
                self.items.push(item);
            }
        }
        let mut index = 0..;
        self.unmatched
            .retain(|_| index.next().is_none_or(|index| !found.contains(&index)));
    }

    /// The items.
    ///
    /// # Errors
    ///
    /// Selectors that no item matches, all of them named, with the nearest id each (exit 2).
    pub(crate) fn complete(self) -> Result<Batch> {
        if self.unmatched.is_empty() {
            return Ok(self.items);
        }
        Err(no_such_items(&self.unmatched, &self.known))
    }
}

/// Which selectors met an item, and for each item whether it met a selector.
struct Matched {
    selectors: HashSet<usize>,
    items: Vec<bool>,
}

impl Matched {
    /// One pass over the items; single numbers and ids are looked up, only true ranges are tried one by one.
    fn over(items: &Batch, selectors: &[Selector]) -> Self {
        let mut by_text: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut by_number: HashMap<u64, Vec<usize>> = HashMap::new();
        let mut ranges = Vec::new();
        for (index, selector) in selectors.iter().enumerate() {
            by_text.entry(&selector.text).or_default().push(index);
            match &selector.numbers {
                Some(numbers) if numbers.start() == numbers.end() => {
                    by_number.entry(*numbers.start()).or_default().push(index);
                }
                Some(numbers) => ranges.push((index, numbers)),
                None => {}
            }
        }
        let mut matched = Self {
            selectors: HashSet::new(),
            items: Vec::with_capacity(items.len()),
        };
        for item in items.iter() {
            let by_id = by_text.get(item.id.as_str()).into_iter().flatten();
            let number = item.number.and_then(|number| by_number.get(&number));
            let in_range = ranges.iter().filter_map(|(index, numbers)| {
                let number = item.number?;
                numbers.contains(&number).then_some(index)
            });
            let before = matched.items.len();
            for &index in by_id.chain(number.into_iter().flatten()).chain(in_range) {
                matched.selectors.insert(index);
                matched.items.resize(before + 1, true);
            }
            matched.items.resize(before + 1, false);
        }
        matched
    }
}

fn no_such_items(unmatched: &[&Selector], known: &[ItemId]) -> Error {
    let names: Vec<&str> = unmatched.iter().map(|selector| selector.text()).collect();
    let message = match &names[..] {
        [one] => format!("no item matches {one}"),
        _ => format!("no item matches any of {}", names.join(", ")),
    };
    let mut near: Vec<&str> = names
        .iter()
        .filter_map(|name| nearest(name, known_names(known, name)))
        .map(|name| id_behind(name, known))
        .collect();
    near.dedup();
    let error = Error::usage(message);
    if near.is_empty() {
        error.with_hint("--dry-run without an ITEM lists the items")
    } else {
        error.with_hint(format!("did you mean {}?", near.join(", ")))
    }
}

/// What a mistyped ITEM is compared with: ids, and for a number the digits in them.
fn known_names<'a>(known: &'a [ItemId], typed: &str) -> impl Iterator<Item = &'a str> {
    let numeric = number(typed).is_some();
    known.iter().map(move |id| {
        let id = id.as_str();
        if numeric { digits_in(id) } else { id }
    })
}

fn digits_in(id: &str) -> &str {
    let Some(start) = id.find(|c: char| c.is_ascii_digit()) else {
        return "";
    };
    let rest = &id[start..];
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].trim_start_matches('0')
}

/// The id that a compared name came from.
fn id_behind<'a>(name: &'a str, known: &'a [ItemId]) -> &'a str {
    known
        .iter()
        .map(ItemId::as_str)
        .find(|id| *id == name || digits_in(id) == name)
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::item::ContentHash;
    use crate::items::item::Readiness;

    fn items(ids: &[(&str, Option<u64>)]) -> Batch {
        ids.iter()
            .map(|&(id, number)| Item {
                id: ItemId::new(id).unwrap(),
                number,
                title: String::new(),
                path: None,
                text: id.to_owned(),
                content_hash: ContentHash::OfText,
                readiness: Readiness::Ready(String::new()),
            })
            .collect()
    }

    fn pick(typed: &[&str]) -> Result<Vec<String>> {
        let known = items(&[
            ("LLD-042", Some(42)),
            ("LLD-100", Some(100)),
            ("LLD-1688", Some(1688)),
            ("7", None),
            ("100-120", None),
            ("cat", None),
        ]);
        let selectors: Vec<Selector> = typed
            .iter()
            .map(|text| Selector::parse(text))
            .collect::<Result<_>>()?;
        let picked = select(known, &selectors).complete()?;
        Ok(picked.ids().map(str::to_owned).collect())
    }

    #[test]
    fn numbers_ranges_and_ids_pick_items_in_the_sources_order() {
        for (typed, expected) in [
            (&["cat", "42"][..], &["LLD-042", "cat"][..]),
            (&["042"], &["LLD-042"]),
            (&["40-99"], &["LLD-042"]),
            (
                &["0-18446744073709551615"],
                &["LLD-042", "LLD-100", "LLD-1688"],
            ),
            (&["LLD-042", "42", "42"], &["LLD-042"]),
            (&["7"], &["7"]),
            (&["100-120"], &["LLD-100", "100-120"]),
        ] {
            assert_eq!(pick(typed).unwrap(), expected, "{typed:?}");
        }
        assert_eq!(pick(&[]).unwrap().len(), 6);
    }

    #[test]
    fn every_selector_without_an_item_is_named() {
        for (typed, message, hint) in [
            (
                &["42", "43", "dog", "zebra"][..],
                "no item matches any of 43, dog, zebra",
                "did you mean LLD-042?",
            ),
            (
                &["lld-042"],
                "no item matches lld-042",
                "did you mean LLD-042?",
            ),
            (&["1689"], "no item matches 1689", "did you mean LLD-1688?"),
            (
                &["zebra"],
                "no item matches zebra",
                "--dry-run without an ITEM lists the items",
            ),
            (
                &["99999999999999999999"],
                "no item matches 99999999999999999999",
                "--dry-run without an ITEM lists the items",
            ),
        ] {
            let error = pick(typed).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(error.hint(), Some(hint), "{typed:?}");
            assert_eq!(error.status().code(), 2);
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for (typed, message) in [
            ("120-100", "the range 120-100 runs backwards"),
            ("", "\"\" is no item: an item id may not be empty"),
            (
                "#42",
                "\"#42\" is no item: an item id begins with a letter or digit",
            ),
        ] {
            assert_eq!(pick(&[typed]).unwrap_err().to_string(), message);
        }
    }
}
