//! Makes a child's line harmless to a terminal and honest to a reader.
//!
//! `line.rs` and `tail.rs` call [`escape_line`] for what children write. It must never let a control byte through,
//! colours on request apart. Which characters deceive is the rule of [`crate::escape`]. Pure.

use memchr::memrchr;

use super::glance::is_plain;
use crate::escape::{is_deceptive, is_joined};

/// Longer control sequences are shown, not interpreted; real ones are far shorter.
pub const CONTROL_SEQUENCE_BYTES_MAX: usize = 64;

const COLOUR_RESET: &[u8] = b"\x1b[0m";

/// Appends to `out` what a terminal may show of one `line` of a child (without its line feed).
///
/// - Invalid UTF-8 becomes U+FFFD; TAB stays.
/// - The carriage return of CRLF is dropped. Of a line with others only the last non-empty segment is shown, which is
///   what a terminal would be left with, so that none can overwrite our prefix.
/// - SGR sequences (`ESC [ 0-9 ; : m`, ECMA-48 8.3.117) are kept if `colour`, with a reset at the end of a line that
///   leaves one on, else dropped.
/// - Other well-formed control sequences (cursor movement, erasing; ECMA-48 5.4) are dropped: progress bars are full
///   of them and they say nothing to a reader.
/// - Everything else (OSC, DCS, APC, C1, lone ESC, control bytes, and what [`crate::escape::escape_text`] escapes) is shown escaped,
///   so that nothing with text in it disappears.
pub fn escape_line(line: &[u8], colour: bool, out: &mut Vec<u8>) {
    let line = last_segment(line);
    if is_plain(line) {
        out.extend_from_slice(line);
        return;
    }
    let mut coloured = false;
    if let Ok(text) = std::str::from_utf8(line) {
        escape_valid(text, colour, &mut coloured, out);
    } else {
        for chunk in line.utf8_chunks() {
            escape_valid(chunk.valid(), colour, &mut coloured, out);
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    if coloured {
        out.extend_from_slice(COLOUR_RESET);
    }
}

/// What a terminal would be left with of a line with carriage returns: its last segment that is not empty.
pub(super) fn last_segment(line: &[u8]) -> &[u8] {
    let Some(last) = line.iter().rposition(|&byte| byte != b'\r') else {
        return &[];
    };
    let line = &line[..=last];
    memrchr(b'\r', line).map_or(line, |place| &line[place + 1..])
}

/// How many bytes at the end are the beginning of a code point whose rest has not come yet (0 to 3).
pub(super) fn unfinished_code_point(bytes: &[u8]) -> usize {
    let near_end = &bytes[bytes.len().saturating_sub(3)..];
    let Some(lead) = near_end.iter().rposition(|&byte| byte >= 0xc0) else {
        return 0;
    };
    let tail = &near_end[lead..];
    match std::str::from_utf8(tail) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() == 0 => tail.len(),
        _ => 0,
    }
}

/// The bytes that may begin a deceptive character (or be one); TAB is allowed in lines.
const SUSPECT: [bool; 256] = {
    let mut suspect = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        suspect[byte] = match byte {
            0x09 => false,
            // Controls; then what begins U+0080–BF, U+0600–3F, U+1000–1FFF, U+2000–2FFF, U+F000–FFFF, U+C0000–FFFFF.
            0..=0x1f | 0x7f | 0xc2 | 0xd8 | 0xe1 | 0xe2 | 0xef | 0xf3 => true,
            _ => false,
        };
        byte += 1;
    }
    suspect
};

/// Appends `text` without what a terminal would obey; says in `coloured` whether an SGR was left on.
fn escape_valid(text: &str, colour: bool, coloured: &mut bool, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    let mut place = 0;
    while let Some(step) = bytes[place..]
        .iter()
        .position(|&byte| SUSPECT[usize::from(byte)])
    {
        place += step;
        let rest = &text[place..];
        let character = rest.chars().next().unwrap_or_default();
        if !is_deceptive(character) || is_joined(text, place) {
            place += character.len_utf8();
            continue;
        }
        out.extend_from_slice(&bytes[copied..place]);
        if let Some(sequence) = control_sequence(rest) {
            if let Some(parameters) = graphic_rendition(sequence)
                && colour
            {
                out.extend_from_slice(sequence.as_bytes());
                *coloured = !parameters.bytes().all(|byte| byte == b'0');
            }
            place += sequence.len();
        } else {
            push_escape(character, out);
            place += character.len_utf8();
        }
        copied = place;
    }
    out.extend_from_slice(&bytes[copied..]);
}

fn push_escape(character: char, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match u8::try_from(character) {
        Ok(b'\n') => out.extend_from_slice(br"\n"),
        Ok(b'\r') => out.extend_from_slice(br"\r"),
        Ok(byte) if byte.is_ascii() => {
            let digits = [byte >> 4, byte & 0xf].map(|digit| DIGITS[usize::from(digit)]);
            out.extend_from_slice(&[b'\\', b'x', digits[0], digits[1]]);
        }
        _ => out.extend(
            character
                .escape_unicode()
                .filter_map(|part| u8::try_from(part).ok()),
        ),
    }
}

/// The control sequence that `text` begins with (ECMA-48 5.4: ESC `[`, parameters, intermediates, one final byte), if
/// it is whole and not too long.
///
/// `ESC [ [` is not one, though `[` is in the range of final bytes: no terminal function ends so, while a masked key
/// after `ESC [` begins so.
fn control_sequence(text: &str) -> Option<&str> {
    let body = text.strip_prefix("\x1b[")?;
    let parameters = body
        .bytes()
        .take_while(|byte| (0x30..=0x3f).contains(byte))
        .count();
    let intermediates = body[parameters..]
        .bytes()
        .take_while(|byte| (0x20..=0x2f).contains(byte))
        .count();
    let inner = parameters + intermediates;
    let last = *body.as_bytes().get(inner)?;
    let length = text.len() - body.len() + inner + 1;
    let whole = (0x40..=0x7e).contains(&last) && last != b'[';
    (whole && length <= CONTROL_SEQUENCE_BYTES_MAX).then(|| &text[..length])
}

/// The parameters of a control sequence that only selects colours and the like.
///
/// `ESC [ > 4 ; 2 m` and its kind end in `m` too, but change how a terminal reports keys.
fn graphic_rendition(sequence: &str) -> Option<&str> {
    let parameters = sequence.strip_prefix("\x1b[")?.strip_suffix('m')?;
    let allowed = |byte: u8| byte.is_ascii_digit() || byte == b';' || byte == b':';
    parameters.bytes().all(allowed).then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn shown(line: impl AsRef<[u8]>, colour: bool) -> String {
        let mut out = Vec::new();
        escape_line(line.as_ref(), colour, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_shows_what_a_terminal_would_be_left_with() {
        for (line, expected) in [
            ("plain\ttext", "plain\ttext"),
            ("crlf\r", "crlf"),
            ("\r", ""),
            ("10%\r50%\r100%", "100%"),
            ("10%\r100%\r\r", "100%"),
            ("\x1b[2K\x1b[1G100%", "100%"),
            ("a\x1b[?25lb\x1b[ qc", "abc"),
            ("a\x1b[31mb", "ab"),
            ("\x1b]0;title\x07x", r"\x1b]0;title\x07x"),
            (
                "\x1b]8;;http://x\x1b\\l\x1b]8;;\x1b\\",
                r"\x1b]8;;http://x\x1b\l\x1b]8;;\x1b\",
            ),
            ("\x1bPq\x1b\\", r"\x1bPq\x1b\"),
            ("\x1bc", r"\x1bc"),
            ("\x1b", r"\x1b"),
            ("\x1b[", r"\x1b["),
            ("\x1b[31", r"\x1b[31"),
            ("\x1b[[REDACTED:k]", r"\x1b[[REDACTED:k]"),
            ("\u{9b}2J", r"\u{9b}2J"),
            ("a\u{202e}b", r"a\u{202e}b"),
            (
                "\u{1f469}\u{200d}\u{1f467} a\u{200d}b",
                "\u{1f469}\u{200d}\u{1f467} a\\u{200d}b",
            ),
            ("\0\x08\x7f", r"\x00\x08\x7f"),
            ("a\nb", r"a\nb"),
        ] {
            assert_eq!(shown(line, false), expected, "{line:?}");
        }
        assert_eq!(
            shown(b"a\xff\xc3\xa9\xe2\x82", false),
            "a\u{fffd}\u{e9}\u{fffd}"
        );
        assert_eq!(shown(b"\x9b31m", true), "\u{fffd}31m");
        assert_eq!(shown(b"\x1b[\xff31m", true), "\\x1b[\u{fffd}31m");
    }

    #[test]
    fn colours_are_kept_on_request_and_end_with_the_line() {
        for (line, expected) in [
            ("\x1b[31mred", "\x1b[31mred\x1b[0m"),
            ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
            ("\x1b[31mred\x1b[m", "\x1b[31mred\x1b[m"),
            (
                "\x1b[31mred\x1b[0m\x1b[1m",
                "\x1b[31mred\x1b[0m\x1b[1m\x1b[0m",
            ),
            ("\x1b[38;2;1;2;3mx", "\x1b[38;2;1;2;3mx\x1b[0m"),
            ("\x1b[4:3mx", "\x1b[4:3mx\x1b[0m"),
            ("\x1b[>4;2mx\x1b[?4m", "x"),
            ("\x1b[31ma\rb", "b"),
        ] {
            assert_eq!(shown(line, true), expected, "{line:?}");
        }
        let long = format!("\x1b[{}mx", "1;".repeat(CONTROL_SEQUENCE_BYTES_MAX));
        assert!(shown(&long, true).starts_with("\\x1b[1;"));
    }

    #[test]
    fn every_deceptive_character_is_suspected_by_its_first_byte() {
        for character in (char::MIN..=char::MAX).filter(|&c| is_deceptive(c) && c != '\t') {
            let first = character.to_string().as_bytes()[0];
            assert!(SUSPECT[usize::from(first)], "{character:?}");
        }
    }

    #[test]
    fn many_sequences_in_one_line_take_no_stack() {
        assert_eq!(shown("\x1b[31m".repeat(200_000), false), "");
    }

    #[test]
    fn only_an_unfinished_code_point_at_the_end_counts() {
        for (bytes, expected) in [
            (b"".as_slice(), 0),
            (b"abc", 0),
            (b"\xe2\x82\xac", 0),
            (b"a\xe2\x82", 2),
            (b"a\xe2", 1),
            (b"\xf0\x9f\x98", 3),
            (b"\xf0\x9f\x98\x80", 0),
            (b"\xff", 0),
            (b"\x80\x80", 0),
            (b"\xe2\x82a", 0),
            (b"\xc3\xc3", 1),
        ] {
            assert_eq!(unfinished_code_point(bytes), expected, "{bytes:?}");
        }
    }

    /// Takes SGR sequences away; what is left may hold no control byte.
    fn without_colours(shown: &str) -> String {
        let mut rest = shown;
        let mut left = String::new();
        while let Some(place) = rest.find('\x1b') {
            left.push_str(&rest[..place]);
            let length = rest[place..].find('m').expect("an SGR sequence ends in m") + 1;
            let sequence = &rest[place..place + length];
            assert!(graphic_rendition(sequence).is_some(), "{sequence:?}");
            rest = &rest[place + length..];
        }
        left + rest
    }

    fn nasty_line() -> impl Strategy<Value = Vec<u8>> {
        const PIECES: &[&[u8]] = &[
            b"\x1b",
            b"[",
            b"]8;;",
            b"31",
            b"m",
            b"0",
            b"K",
            b"\r",
            b"\x9b",
            b"\xc2\x9b",
            b"\x07",
            b"\t",
            b"\xe2\x80\xae",
            b"\xe2",
            b"text",
            b"\0",
            b"\n",
            b"\xc3\xa9",
            b"\x7f",
            b"?",
        ];
        vec(prop::sample::select(PIECES), 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_control_byte_leaves(line in nasty_line(), noise in vec(any::<u8>(), 0..64)) {
            let line = [line, noise].concat();
            let is_bad = |text: &str| {
                let mut found = text.char_indices().filter(|it| it.1 != '\t' && is_deceptive(it.1));
                found.any(|(place, _)| !is_joined(text, place))
            };
            prop_assert!(!is_bad(&shown(&line, false)));
            let coloured = shown(&line, true);
            prop_assert!(!is_bad(&without_colours(&coloured)));
            prop_assert_eq!(without_colours(&coloured), shown(&line, false));
        }
    }
}
