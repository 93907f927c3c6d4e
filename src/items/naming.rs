//! Whether a path that a `done` pattern matches is that of the item, and not of another one whose number or id goes on where
//! a wildcard stands: `LLD-100*.md` matches `LLD-1001.md`. Pure.

use super::template::{Placeholder, RenderError, Template, Values};

/// A pattern with an item's values in it, component by component.
#[derive(Debug)]
pub(super) struct Naming {
    components: Vec<Vec<Unit>>,
}

/// What a piece of a name must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Exactly(char),
    /// `?`, or one of a class: the directory's listing has matched it already.
    One,
    /// `*`.
    Run,
    /// Nothing, and no digit before it: a number or id begins here. A number may have zeros in front of it.
    NoDigitBefore {
        zeros: bool,
    },
    /// Nothing, and no digit behind it: a number or id ends here.
    NoDigitBehind,
}

/// What stands last in what was read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Wildcard,
    /// A number or id, the last character of which is a digit.
    Digit,
    Other,
}

impl Naming {
    /// The pattern for the item of `values`.
    ///
    /// # Errors
    ///
    /// The item has no value for one of its placeholders.
    pub(super) fn new(pattern: &Template, values: &Values<'_>) -> Result<Self, RenderError> {
        let mut units = Vec::new();
        let mut last = Last::Other;
        for (placeholder, text) in pattern.pieces(values)? {
            last = match placeholder {
                None => read_glob(&text, last, &mut units),
                Some(placeholder) => read_value(placeholder, &text, last, &mut units),
            };
        }
        let components = units.split(|unit| *unit == Unit::Exactly('/'));
        let mut components: Vec<Vec<Unit>> = components
            .filter(|it| !matches!(it, [] | [Unit::Exactly('.')]))
            .map(<[Unit]>::to_vec)
            .collect();
        if components.last().is_some_and(|it| goes_deep(it)) {
            components.push(vec![Unit::Run]);
        }
        Ok(Self { components })
    }

    /// Whether `path`, which the pattern matches, is the item's.
    pub(super) fn fits(&self, path: &str) -> bool {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        fits_path(&self.components, &names)
    }
}

fn read_glob(text: &str, mut last: Last, units: &mut Vec<Unit>) -> Last {
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        let is_wildcard = matches!(character, '*' | '?');
        if is_wildcard && last == Last::Digit {
            units.push(Unit::NoDigitBehind);
        }
        units.push(match character {
            '*' => Unit::Run,
            '?' => Unit::One,
            '[' => {
                skip_class(&mut rest);
                Unit::One
            }
            other => Unit::Exactly(other),
        });
        last = if is_wildcard {
            Last::Wildcard
        } else {
            Last::Other
        };
    }
    last
}

/// Skips the rest of a class such as `[!0-9]` or `[]]`.
fn skip_class(rest: &mut std::str::Chars<'_>) {
    let inside = rest.as_str();
    let inside = inside.strip_prefix('!').unwrap_or(inside);
    let skipped = rest.as_str().len() - inside.len();
    // A bracket in the first place is one of the class.
    let first = inside.chars().next().map_or(0, char::len_utf8);
    let end = inside[first..]
        .find(']')
        .map_or(inside.len(), |at| first + at + 1);
    *rest = rest.as_str()[skipped + end..].chars();
}

fn read_value(placeholder: Placeholder, text: &str, last: Last, units: &mut Vec<Unit>) -> Last {
    let zeros = matches!(placeholder, Placeholder::Number { .. });
    let names_items = zeros || placeholder == Placeholder::Id;
    if names_items && last == Last::Wildcard && text.starts_with(is_digit) {
        units.push(Unit::NoDigitBefore { zeros });
    }
    units.extend(text.chars().map(Unit::Exactly));
    if names_items && text.ends_with(is_digit) {
        Last::Digit
    } else if text.is_empty() {
        last
    } else {
        Last::Other
    }
}

fn goes_deep(component: &[Unit]) -> bool {
    matches!(component, [Unit::Run, Unit::Run])
}

fn fits_path(components: &[Vec<Unit>], names: &[&str]) -> bool {
    let Some((first, rest)) = components.split_first() else {
        return names.is_empty();
    };
    if goes_deep(first) {
        return (0..=names.len()).any(|skipped| fits_path(rest, &names[skipped..]));
    }
    names
        .split_first()
        .is_some_and(|(name, names)| fits_name(first, name, 0) && fits_path(rest, names))
}

fn fits_name(units: &[Unit], name: &str, at: usize) -> bool {
    let (before, behind) = name.split_at(at);
    let Some((first, rest)) = units.split_first() else {
        return behind.is_empty();
    };
    let next = behind.chars().next();
    let passed = |character: char| fits_name(rest, name, at + character.len_utf8());
    match *first {
        Unit::Exactly(character) => next == Some(character) && passed(character),
        Unit::One => next.is_some_and(passed),
        Unit::Run => {
            let ends = behind.char_indices().map(|(offset, _)| at + offset);
            ends.chain([name.len()])
                .any(|end| fits_name(rest, name, end))
        }
        Unit::NoDigitBefore { zeros } => {
            let before = if zeros {
                before.trim_end_matches('0')
            } else {
                before
            };
            !before.ends_with(is_digit) && fits_name(rest, name, at)
        }
        Unit::NoDigitBehind => !behind.starts_with(is_digit) && fits_name(rest, name, at),
    }
}

fn is_digit(character: char) -> bool {
    character.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::item::{ContentHash, Item, ItemId, Readiness};

    fn fits(pattern: &str, id: &str, path: &str) -> bool {
        let item = Item {
            id: ItemId::new(id).unwrap(),
            number: id.parse().ok(),
            title: String::new(),
            path: None,
            text: id.to_owned(),
            content_hash: ContentHash::OfText,
            readiness: Readiness::Ready(String::new()),
        };
        let values = Values {
            item: &item,
            attempt: 1,
            slot: 1,
            output: None,
            state: "",
        };
        let pattern = Template::parse(pattern).unwrap();
        Naming::new(&pattern, &values).unwrap().fits(path)
    }

    #[test]
    fn only_a_number_in_the_place_of_the_number_counts() {
        for (pattern, id, path) in [
            ("done/LLD-{number:03}*.md", "100", "done/LLD-100.md"),
            (
                "done/LLD-{number:03}*.md",
                "100",
                "done/LLD-100-from-1001.md",
            ),
            ("./done//**/LLD-{number}*", "7", "done/2026/11/LLD-7.md"),
            ("**/{number}.md", "7", "7.md"),
            ("*{number}*.md", "86", "LLD-086.md"),
            ("*{number}*.md", "86", "1-and-86.md"),
            ("out/2026{number:02}.pdf", "7", "out/202607.pdf"),
            ("out/img2{id}.pdf", "7a", "out/img27a.pdf"),
            ("out/{id}[!0-9]*.png", "7", "out/7x.png"),
            ("out/{id}[0-9].png", "7", "out/71.png"),
            ("out/{id}[]!]*", "7", "out/7]1"),
            ("/abs/{id}/**", "7", "/abs/7/a/b"),
        ] {
            assert!(fits(pattern, id, path), "{pattern} {id} {path}");
        }
        for (pattern, id, path) in [
            ("out/v1/LLD-{number}*.md", "1", "out/v1/LLD-10.md"),
            (
                "docs/LLD-{number:03}*.md",
                "100",
                "docs/LLD-1001-from-100.md",
            ),
            ("docs/LLD-{number:03}*.md", "42", "docs/LLD-0420-v42.md"),
            ("rep/issue-{number}*.md", "1", "rep/issue-10-fixes-1.md"),
            ("*{number}.md", "86", "186.md"),
            ("*{id}.md", "86", "086.md"),
            ("{id}?.md", "8", "86.md"),
        ] {
            assert!(!fits(pattern, id, path), "{pattern} {id} {path}");
        }
    }
}
