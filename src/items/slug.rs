//! The id of an item whose source gives it no id of its own, and the number in a name.
//!
//! The id depends on nothing but the item's own text: an item keeps its id, and so its place in the journal,
//! whatever stands around it in the list or the directory.

use super::digest;
use super::item::{ID_BYTES_MAX, ItemId};

/// How many hex digits of the hash tell two equal slugs apart.
const HASH_DIGITS: usize = 8;

/// `text` itself when it is a valid id, else a slug of it, `-` and 8 hex digits of the SHA-256 of `hashed`.
pub(crate) fn id_of(text: &str, hashed: &str) -> ItemId {
    if let Ok(id) = ItemId::new(text) {
        return id;
    }
    let digits = hash_digits(hashed);
    let slug = slug(text, ID_BYTES_MAX - HASH_DIGITS - 1);
    ItemId::new(format!("{slug}-{digits}")).expect("a slug and hex digits make a valid id")
}

/// What tells texts apart where a whole hash would be too long to read: 8 hex digits of the SHA-256.
pub(crate) fn hash_digits(text: &str) -> String {
    let mut digits = digest::of_bytes(text.as_bytes());
    digits.truncate(HASH_DIGITS);
    digits
}

/// At most `bytes_max` bytes of `text` with every run of other characters replaced by one `-`; never empty.
fn slug(text: &str, bytes_max: usize) -> String {
    let mut slug = String::new();
    for character in text.chars() {
        if slug.len() == bytes_max {
            break;
        }
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with(['-', '.', '_']) {
            slug.push(match character {
                '.' | '_' => character,
                _ => '-',
            });
        }
    }
    slug.truncate(slug.trim_end_matches(['-', '.', '_']).len());
    if slug.is_empty() {
        slug.push_str("item");
    }
    slug
}

/// The number in a file's stem: its first run of ASCII digits, `86` for `LLD-086-slug`.
///
/// None when there is no digit, or the run is no 64-bit number.
pub(crate) fn number_in(stem: &str) -> Option<u64> {
    let from = &stem[stem.find(|c: char| c.is_ascii_digit())?..];
    let end = from
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(from.len());
    from[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_valid_id_stays_and_anything_else_becomes_a_slug_with_a_hash() {
        assert_eq!(id_of("LLD-042", "x").as_str(), "LLD-042");
        for (text, slug) in [
            ("https://example.org/a?b=1", "https-example.org-a-b-1-"),
            ("-rf", "rf-"),
            ("../../etc/passwd", "etc-passwd-"),
            ("a..b", "a.b-"),
            ("\u{1b}[31m", "31m-"),
            ("日本", "item-"),
            ("", "item-"),
        ] {
            let id = id_of(text, text);
            let (start, digits) = id.as_str().split_at(slug.len());
            assert_eq!(start, slug, "{text:?}");
            assert_eq!(digits, &digest::of_bytes(text.as_bytes())[..8]);
        }
        assert_eq!(id_of(&"x".repeat(300), "y").as_str().len(), ID_BYTES_MAX);
    }

    #[test]
    fn the_number_is_the_first_run_of_digits() {
        for (stem, number) in [
            ("LLD-042", Some(42)),
            ("LLD-1688", Some(1688)),
            ("LLD-086-slug-7", Some(86)),
            ("86-slug", Some(86)),
            ("00012-add", Some(12)),
            ("notes", None),
            ("", None),
            ("x99999999999999999999", None),
            ("x\u{661}", None),
        ] {
            assert_eq!(number_in(stem), number, "{stem}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_an_id(text in any::<String>()) {
            let id = id_of(&text, &text);
            prop_assert!(ItemId::new(id.as_str()).is_ok());
        }

        #[test]
        fn texts_that_share_a_slug_differ_in_the_hash(a in "[ /a-c]{1,12}", b in "[ /a-c]{1,12}") {
            prop_assume!(a != b);
            prop_assert_ne!(id_of(&a, &a), id_of(&b, &b));
        }
    }
}
