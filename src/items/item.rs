//! One unit of work, and the rule for its name.
//!
//! Sources make items; everything after this room names files, variables and journal records by [`ItemId`],
//! which is why an id is validated before it is used for anything.

use std::borrow::Cow;
use std::fmt;

use super::digest;

/// The greatest length of an item id, in bytes.
pub const ID_BYTES_MAX: usize = 80;

/// A validated item id: `[A-Za-z0-9][A-Za-z0-9._-]{0,79}` without `..`.
///
/// Safe as a file name, as a variable's value and on a terminal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(String);

/// Why a text is no item id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidId {
    /// Nothing is there.
    Empty,
    /// Longer than [`ID_BYTES_MAX`].
    TooLong,
    /// The first character is no ASCII letter or digit.
    Start,
    /// This character may not stand in an id.
    Character(char),
    /// `..` stands in it.
    DotDot,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("an item id may not be empty"),
            Self::TooLong => write!(
                formatter,
                "an item id has at most {ID_BYTES_MAX} characters"
            ),
            Self::Start => formatter.write_str("an item id begins with a letter or digit"),
            Self::Character(character) => write!(
                formatter,
                "an item id has only letters, digits, `.`, `_` and `-`, not `{}`",
                character.escape_default()
            ),
            Self::DotDot => formatter.write_str("an item id may not contain `..`"),
        }
    }
}

impl std::error::Error for InvalidId {}

impl ItemId {
    /// Takes `text` as an id if it is one.
    ///
    /// # Errors
    ///
    /// The first rule that `text` breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
        let text = text.into();
        let first = text.chars().next().ok_or(InvalidId::Empty)?;
        if text.len() > ID_BYTES_MAX {
            return Err(InvalidId::TooLong);
        }
        if !first.is_ascii_alphanumeric() {
            return Err(InvalidId::Start);
        }
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        if let Some(place) = text.bytes().position(|byte| !allowed(byte)) {
            // What stands before it is ASCII, so a character begins here.
            let character = text[place..].chars().next().unwrap_or_default();
            return Err(InvalidId::Character(character));
        }
        if text.as_bytes().windows(2).any(|two| two == b"..") {
            return Err(InvalidId::DotDot);
        }
        Ok(Self(text))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// Whether the source itself says that an item can be worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can; the reason is shown in the dry run (`approved`, `open`), empty when there is nothing to say.
    Ready(String),
    /// It cannot, and why: a document that is not approved, a file that is too large.
    Unready(String),
}

/// One unit of work, as its source describes it.
///
/// `title`, `path` and `text` come from outside: they are shown escaped and passed as single arguments only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The validated name.
    pub id: ItemId,
    /// The number, where the source has one.
    pub number: Option<u64>,
    /// What a person calls it; may be empty.
    pub title: String,
    /// Where it lies, relative to the workspace root, where the source has a path.
    pub path: Option<String>,
    /// The item as the source wrote it: the line of a list, the path of a file, the number of an issue.
    pub text: String,
    /// See [`Item::content_hash`].
    pub content_hash: ContentHash,
    /// Whether the source says that it can be worked on.
    pub readiness: Readiness,
}

/// Where the content hash of an item comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentHash {
    /// The item is no more than its text, of which the hash is made when it is needed: there may be very many.
    OfText,
    /// The source knows it.
    Is(String),
}

impl Item {
    /// Changes when the item's content changes: hex digits of a SHA-256, or the source's own stamp.
    #[must_use]
    pub fn content_hash(&self) -> Cow<'_, str> {
        match &self.content_hash {
            ContentHash::OfText => Cow::Owned(digest::of_bytes(self.text.as_bytes())),
            ContentHash::Is(hash) => Cow::Borrowed(hash),
        }
    }

    /// Whether this is its content hash.
    #[must_use]
    pub fn has_content(&self, hash: &str) -> bool {
        match &self.content_hash {
            ContentHash::OfText => digest::is_of_bytes(self.text.as_bytes(), hash),
            ContentHash::Is(own) => own == hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_rule() {
        for good in ["a", "issue-42", "LLD-042", "1.2_x", &"a".repeat(80)] {
            assert_eq!(ItemId::new(good).unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", InvalidId::Empty),
            (".", InvalidId::Start),
            ("-rf", InvalidId::Start),
            ("/x", InvalidId::Start),
            ("../x", InvalidId::Start),
            ("a/b", InvalidId::Character('/')),
            ("a\n", InvalidId::Character('\n')),
            ("a b", InvalidId::Character(' ')),
            ("caf\u{e9}", InvalidId::Character('\u{e9}')),
            ("a..b", InvalidId::DotDot),
            (&"a".repeat(81), InvalidId::TooLong),
        ] {
            assert_eq!(ItemId::new(bad), Err(why), "{bad:?}");
        }
    }
}
