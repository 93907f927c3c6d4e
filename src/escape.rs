//! Text from outside, made harmless to a terminal and honest to a reader.
//!
//! Owns the rule for which characters are shown as visible escapes (`\n`, `\x1b`, `\u{202e}`). Whoever shows a title,
//! a path, a name or a message from outside goes through here; nothing raw may ever reach a terminal. Backslashes are
//! not doubled: the result is for eyes, not for parsing back. Pure.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The greatest number of characters of outside text that a message shows.
const SHOWN_CHARACTERS_MAX: usize = 120;

/// `text` on one line, with everything that could drive a terminal or deceive a reader shown as a visible escape:
/// control characters (TAB and newline too), bidirectional marks, line separators, zero-width characters but for those that
/// join two others, as in some scripts and emoji.
#[must_use]
pub fn escape_text(text: &str) -> Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for (place, character) in text.char_indices() {
        if !is_deceptive(character) || is_joined(text, place) {
            shown.push(character);
        } else if let Ok(byte) = u8::try_from(character)
            && byte.is_ascii()
        {
            shown.extend(std::ascii::escape_default(byte).map(char::from));
        } else {
            shown.extend(character.escape_unicode());
        }
    }
    Cow::Owned(shown)
}

/// Whether a character is shown as an escape: it controls a terminal, is invisible, or changes the order of others.
pub(crate) fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'                       // soft hyphen
            | '\u{61c}'                    // Arabic letter mark
            | '\u{180e}'                   // Mongolian vowel separator, once a space
            | '\u{200b}'..='\u{200f}'      // zero-width space, joiners, direction marks
            | '\u{2028}'..='\u{202e}'      // line separators, embeddings, overrides
            | '\u{2060}'..='\u{206f}'      // word joiner, isolates, deprecated format characters
            | '\u{feff}'                   // byte order mark
            | '\u{fff9}'..='\u{fffb}'      // interlinear annotation
            | '\u{e0000}'..='\u{e007f}'    // tags: invisible ASCII
        )
}

/// Whether the character at `place` joins its neighbours, or keeps them apart, as scripts and emoji need it ("family" is
/// three faces joined by U+200D), and so is no deception: elsewhere it is merely invisible.
pub(crate) fn is_joined(text: &str, place: usize) -> bool {
    let (before, from) = text.split_at(place);
    let mut from = from.chars();
    let is_joiner = matches!(from.next(), Some('\u{200c}' | '\u{200d}'));
    let neighbours = [before.chars().next_back(), from.next()];
    is_joiner
        && neighbours
            .into_iter()
            .all(|it| it.is_some_and(takes_joiners))
}

/// From Arabic to Sinhala; arrows to symbols, emoji, and the mark that makes an emoji of a symbol.
fn takes_joiners(character: char) -> bool {
    let is_script = matches!(character, '\u{600}'..='\u{dff}');
    let is_symbol =
        matches!(character, '\u{2190}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}');
    (is_script || is_symbol) && !is_deceptive(character)
}

/// `bytes` as one word of a shell command, with everything deceptive told by its number: `$'…'` (POSIX.1-2024, Shell Command
/// Language, 2.2.4).
#[must_use]
pub fn dollar_quoted(bytes: &[u8]) -> String {
    let mut word = String::from("$'");
    let tell = |word: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Always three digits: what follows may be one, too.
            // Writing to a string does not fail.
            let _ = write!(word, "\\{byte:03o}");
        }
    };
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => word.push_str("\\n"),
                '\t' => word.push_str("\\t"),
                '\\' | '\'' => word.extend(['\\', character]),
                _ if is_deceptive(character) => {
                    tell(&mut word, character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => word.push(character),
            }
        }
        tell(&mut word, chunk.invalid());
    }
    word.push('\'');
    word
}

/// `text` escaped and, when it has more than `characters_max` characters, cut.
#[must_use]
pub fn clipped(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some((end, _)) => format!("{}…", escape_text(&text[..end])),
        None => escape_text(text).into_owned(),
    }
}

/// `text` escaped and cut for a message: for paths and names.
#[must_use]
pub fn shown(text: &str) -> String {
    clipped(text, SHOWN_CHARACTERS_MAX)
}

/// `text` in double quotes, escaped and cut for a message.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

/// A message that quotes outside text, escaped and cut; twice as long as a quotation may be.
#[must_use]
pub fn cut(message: &str) -> String {
    clipped(message, 2 * SHOWN_CHARACTERS_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_from_outside_is_one_harmless_line() {
        for (text, expected) in [
            ("", ""),
            ("Fix caf\u{e9} \u{1f600}", "Fix caf\u{e9} \u{1f600}"),
            ("a\nb\r\tc", r"a\nb\r\tc"),
            ("\x1b[2J\x07\x00\x7f", r"\x1b[2J\x07\x00\x7f"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("a\u{202e}b\u{2066}\u{200f}", r"a\u{202e}b\u{2066}\u{200f}"),
            ("\u{61c}\u{2028}\u{2029}", r"\u{61c}\u{2028}\u{2029}"),
            ("\u{200b}\u{feff}\u{ad}", r"\u{200b}\u{feff}\u{ad}"),
            // A family, a heart on fire, a Persian verb: joined. Between letters of ours, or at an end, it only hides.
            (
                "\u{1f469}\u{200d}\u{1f467}\n",
                "\u{1f469}\u{200d}\u{1f467}\\n",
            ),
            (
                "\u{2764}\u{fe0f}\u{200d}\u{1f525}\n",
                "\u{2764}\u{fe0f}\u{200d}\u{1f525}\\n",
            ),
            (
                "\u{645}\u{6cc}\u{200c}\u{62e}",
                "\u{645}\u{6cc}\u{200c}\u{62e}",
            ),
            (
                "a\u{200d}b\u{1f469}\u{200d}",
                "a\\u{200d}b\u{1f469}\\u{200d}",
            ),
            (
                "\u{1f469}\u{200d}\u{200d}\u{1f469}",
                "\u{1f469}\\u{200d}\\u{200d}\u{1f469}",
            ),
        ] {
            assert_eq!(escape_text(text), expected);
        }
        assert!(matches!(escape_text("caf\u{e9}"), Cow::Borrowed(_)));
    }

    #[test]
    fn long_text_is_cut_at_a_character_and_quotes_are_put_around_it() {
        let long = "é".repeat(SHOWN_CHARACTERS_MAX + 1);
        let cut = shown(&long);
        assert_eq!(cut.chars().count(), SHOWN_CHARACTERS_MAX + 1);
        assert!(cut.ends_with('…'));
        assert_eq!(shown(&long[2..]), long[2..]);
        assert_eq!(quoted("it's\n"), "\"it's\\n\"");
    }

    proptest! {
        #[test]
        fn nothing_shown_controls_or_deceives(text in any::<String>()) {
            for shown in [escape_text(&text), clipped(&text, 7).into()] {
                let mut deceptive = shown.char_indices().filter(|it| is_deceptive(it.1));
                prop_assert!(deceptive.all(|(place, _)| is_joined(&shown, place)));
            }
        }
    }
}
