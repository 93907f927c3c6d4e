//! What holds for any secrets, any text and any reads.

use std::collections::{BTreeMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::encoding::forms;
use super::*;

/// What `text` would show of the secrets, as slowly as it reads: windows of needles in it and in its view.
fn leaks(secrets: &Secrets, text: &[u8]) -> Vec<String> {
    let mut view = View::default();
    let seen = if view.look_at(text) {
        &view.bytes
    } else {
        text
    };
    let mut windows: BTreeMap<usize, HashSet<&[u8]>> = BTreeMap::new();
    for needle in &secrets.needles {
        let same_length = windows.entry(needle.window).or_default();
        same_length.extend(needle.bytes.windows(needle.window));
    }
    let stretches = windows.iter().flat_map(|(length, windows)| {
        let written = text.windows(*length).enumerate();
        let written = written.filter(|&(place, _)| !is_in_a_colour_code(text, place));
        let stretches = written
            .map(|(_, stretch)| stretch)
            .chain(seen.windows(*length));
        stretches.filter(|stretch| windows.contains(stretch))
    });
    stretches.map(shown).collect()
}

/// The end of a colour code that stands before less than a window is by chance the byte that the window begins with: it
/// gives nothing away, and the view does not have it.
fn is_in_a_colour_code(text: &[u8], place: usize) -> bool {
    let is_parameter = |byte: &&u8| byte.is_ascii_digit() || **byte == b';';
    let (before, after) = text.split_at(place);
    let parameters = before.iter().rev().take_while(is_parameter).count();
    let rest = after.iter().take_while(is_parameter).count();
    before[..place - parameters].ends_with(b"\x1b[") && after.get(rest) == Some(&b'm')
}

/// What stands between, before and in keys.
const NOISE: &[&str] = &[
    "\n",
    "\r\n",
    " ",
    "\t",
    "\n  ",
    "\n| ",
    "\u{2502}\n\u{2502} ",
    "\x1b[31m",
    "\x1b[0m",
    "\x1b[",
    "\x1b]0;t\x07",
    "\x1b]8;;",
    "\x1b",
    "\u{200b}",
    "\u{ad}",
    "\u{9b}",
    "\r",
    "text",
    "=",
    "\"",
    "\\",
    "\u{e9}",
];

#[derive(Debug, Clone)]
enum Piece {
    Noise(&'static str),
    Bytes(Vec<u8>),
    /// A part of a form of a secret.
    Part {
        secret: Index,
        form: Index,
        from: Index,
        to: Index,
    },
    /// A form of a secret with something at a place in it.
    Whole {
        secret: Index,
        form: Index,
        at: Index,
        noise: &'static str,
    },
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let index = any::<Index>;
    let part = (index(), index(), index(), index());
    let whole = (index(), index(), index(), select(NOISE));
    let piece = prop_oneof![
        3 => select(NOISE).prop_map(Piece::Noise),
        1 => vec(any::<u8>(), 0..12).prop_map(Piece::Bytes),
        2 => part.prop_map(|(secret, form, from, to)| Piece::Part { secret, form, from, to }),
        2 => whole.prop_map(|(secret, form, at, noise)| Piece::Whole { secret, form, at, noise }),
    ];
    vec(piece, 0..12)
}

/// Values of a few letters repeat and overlap, those of many do not.
fn values() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let few = vec(select(b"ab".as_slice()), 8..80);
    let some = vec(select(b"abcXYZ019-_/+=\"\\| ".as_slice()), 8..60);
    let bytes = vec(
        any::<u8>().prop_filter("one line", |byte| !b"\r\n".contains(byte)),
        8..120,
    );
    let value = prop_oneof![few, some, bytes].prop_map(|mut value| {
        // A value is trimmed where it comes from.
        value[0] = b'k';
        *value.last_mut().unwrap() = b'K';
        value
    });
    vec(value, 1..5).prop_map(|values| {
        let labelled = values.into_iter().enumerate();
        labelled
            .map(|(number, value)| (format!("{number}"), value))
            .collect()
    })
}

fn text(values: &[(String, Vec<u8>)], pieces: &[Piece]) -> Vec<u8> {
    let form = |secret: &Index, form: &Index| {
        let forms = forms(&secret.get(values).1);
        form.get(&forms).bytes.to_vec()
    };
    let mut text = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Noise(noise) => text.extend_from_slice(noise.as_bytes()),
            Piece::Bytes(bytes) => text.extend_from_slice(bytes),
            Piece::Part {
                secret,
                form: which,
                from,
                to,
            } => {
                let bytes = form(secret, which);
                let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
                text.extend_from_slice(&bytes[from.min(to)..from.max(to)]);
            }
            Piece::Whole {
                secret,
                form: which,
                at,
                noise,
            } => {
                let bytes = form(secret, which);
                let (left, right) = bytes.split_at(at.index(bytes.len() + 1));
                text.extend([left, noise.as_bytes(), right].concat());
            }
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn no_window_of_a_needle_is_in_the_output_however_it_was_read(
        values in values(),
        pieces in pieces(),
        sizes in vec(1..60_usize, 1..4),
    ) {
        let text = text(&values, &pieces);
        let masker = masker(&values);
        let whole = masked(&masker, &text);
        prop_assert_eq!(leaks(&secrets(&values), &whole), Vec::<String>::new(), "{:?}", shown(&whole));
        for size in sizes {
            let in_parts = masked_in_parts(&masker, text.chunks(size));
            prop_assert_eq!(shown(&in_parts), shown(&whole));
        }
    }

    #[test]
    fn a_needle_that_stands_whole_shows_none_of_its_bytes(values in values(), which: Index, form: Index) {
        let forms = forms(&which.get(&values).1);
        let bytes = &form.get(&forms).bytes;
        let text = [b"<<".as_slice(), bytes, b">>\n"].concat();
        let got = shown(&masked(&masker(&values), &text));
        prop_assert!(got.starts_with("<<[REDACTED:") && got.ends_with("]>>\n"), "{}", got);
        prop_assert_eq!(got.matches("REDACTED").count(), 1);
    }

    #[test]
    fn text_without_keys_is_unchanged(parts in vec(vec(any::<u8>(), 0..200), 0..8)) {
        let text = parts.concat();
        let masker = Arc::new(Masker::new(secrets(&[("k", K), ("g", G)]), UnknownKeys::Masked));
        prop_assert_eq!(masked_in_parts(&masker, parts.iter().map(Vec::as_slice)), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6) })]

    #[test]
    fn lines_longer_than_what_is_held_are_the_same_however_they_were_read(
        values in values(),
        pieces in vec((pieces(), 0..40_000_usize), 1..6),
        sizes in vec(1000..200_000_usize, 2),
    ) {
        let mut long = Vec::new();
        for (pieces, filler) in pieces {
            let piece = text(&values, &pieces);
            long.extend(piece.into_iter().filter(|&byte| byte != b'\n'));
            long.resize(long.len() + filler, b'.');
        }
        let masker = masker(&values);
        let whole = masked(&masker, &long);
        prop_assert_eq!(leaks(&secrets(&values), &whole), Vec::<String>::new());
        for size in sizes {
            prop_assert!(masked_in_parts(&masker, long.chunks(size)) == whole);
        }
    }
}
