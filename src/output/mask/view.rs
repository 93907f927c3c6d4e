//! What a reader sees of a text: the text without escape sequences and invisible characters, and where each byte of it
//! stood.
//!
//! A key with a colour code in it is a key to whoever reads it. Control characters other than TAB and the line feed are
//! left out, carriage returns among them, and so is every character that [`crate::escape`] calls deceptive. An escape
//! sequence that has no end, or too late a one, is text like any other, so that nothing can hide behind it and memory
//! stays bounded. Pure.

use crate::escape::is_deceptive;
use crate::output::escape::CONTROL_SEQUENCE_BYTES_MAX;
use crate::output::glance::is_plain_lines;

/// A longer string sequence (a title, a link) is text; that of a link can be as long as an address.
pub(super) const SEQUENCE_BYTES_MAX: usize = 4096;

/// A text as it is seen.
#[derive(Default)]
pub(super) struct View {
    /// The visible bytes, and the line feeds.
    pub(super) bytes: Vec<u8>,
    /// Stretches without a gap: where each begins here and in the text.
    pieces: Vec<Piece>,
    /// Where an escape sequence begins that may still get its end, if the text goes on.
    pub(super) unfinished: Option<usize>,
    /// So far no string sequence can end that begins before; else many that have no end would be searched again each.
    no_end_before: usize,
}

#[derive(Clone, Copy)]
struct Piece {
    seen: usize,
    place: usize,
}

impl View {
    /// Makes this the view of `text`. `false`: everything in it is visible, and this is left empty.
    pub(super) fn look_at(&mut self, text: &[u8]) -> bool {
        self.bytes.clear();
        self.pieces.clear();
        self.unfinished = None;
        self.no_end_before = 0;
        let mut copied = 0;
        let mut place = 0;
        while let Some(suspect) = next_suspect(text, place) {
            let hidden = self.hidden(text, suspect);
            if hidden == 0 {
                place = suspect + 1;
                continue;
            }
            self.push(&text[copied..suspect], copied);
            place = suspect + hidden;
            copied = place;
        }
        if self.pieces.is_empty() && copied == 0 {
            return false;
        }
        self.push(&text[copied..], copied);
        true
    }

    /// Where the visible byte of this number stands in the text.
    pub(super) fn place(&self, seen: usize) -> usize {
        let piece = self.pieces.partition_point(|piece| piece.seen <= seen);
        let piece = self.pieces[piece.max(1) - 1];
        piece.place + (seen - piece.seen)
    }

    /// How many visible bytes stand before this place in the text.
    pub(super) fn seen_before(&self, place: usize) -> usize {
        let number = self.pieces.partition_point(|piece| piece.place <= place);
        let Some(piece) = number.checked_sub(1).map(|number| self.pieces[number]) else {
            return 0;
        };
        let end = self
            .pieces
            .get(number)
            .map_or(self.bytes.len(), |next| next.seen);
        end.min(piece.seen + (place - piece.place))
    }

    /// Where the last stretch without a gap begins in the text, of those that begin at or after `place`.
    pub(super) fn piece_from(&self, place: usize) -> Option<usize> {
        let number = self.pieces.partition_point(|piece| piece.place < place);
        self.pieces.get(number).map(|piece| piece.place)
    }

    fn push(&mut self, stretch: &[u8], place: usize) {
        self.pieces.push(Piece {
            seen: self.bytes.len(),
            place,
        });
        self.bytes.extend_from_slice(stretch);
    }

    /// How many bytes at `place` are not seen: 0 when it is an ordinary character after all.
    fn hidden(&mut self, text: &[u8], place: usize) -> usize {
        let rest = &text[place..];
        let introducer = match rest {
            [b'\x1b', kind, ..] => Some((2, *kind)),
            // The same in one character, U+0080 to U+009F (ECMA-48 5.3).
            [0xc2, kind @ 0x80..=0x9f, ..] => Some((2, kind - 0x40)),
            [b'\x1b'] => {
                self.unfinished = self.unfinished.or(Some(place));
                return 1;
            }
            _ => None,
        };
        let Some((bytes, kind)) = introducer else {
            return invisible(rest);
        };
        match self.sequence(text, place + bytes, kind) {
            Sequence::Whole(length) => bytes + length,
            Sequence::None => bytes - usize::from(rest[0] == b'\x1b'),
            Sequence::Unfinished => {
                self.unfinished = self.unfinished.or(Some(place));
                bytes - usize::from(rest[0] == b'\x1b')
            }
        }
    }

    /// What follows an introducer (ECMA-48 5.4 and 5.6, and what terminals make of OSC).
    fn sequence(&mut self, text: &[u8], start: usize, kind: u8) -> Sequence {
        let body = &text[start..];
        match kind {
            b'[' => control(body),
            b']' | b'P' | b'X' | b'^' | b'_' => self.string(text, start),
            0x20..=0x2f => {
                let intermediate = |byte: &&u8| (0x20..=0x2f).contains(*byte);
                let more = body.iter().take_while(intermediate).count();
                match body.get(more) {
                    Some(0x30..=0x7e) => Sequence::Whole(more + 1),
                    _ => Sequence::None,
                }
            }
            0x30..=0x7e => Sequence::Whole(0),
            _ => Sequence::None,
        }
    }

    /// Up to BEL or ST, on one line.
    fn string(&mut self, text: &[u8], start: usize) -> Sequence {
        let end = text.len().min(start + SEQUENCE_BYTES_MAX);
        let from = start.max(self.no_end_before).min(end);
        let stop = memchr::memchr3(b'\x07', b'\x1b', b'\n', &text[from..end]);
        let stop = stop.map_or(end, |step| from + step);
        self.no_end_before = stop;
        match (text.get(stop), text.get(stop + 1)) {
            (None, _) if stop < start + SEQUENCE_BYTES_MAX => Sequence::Unfinished,
            (Some(b'\x1b'), None) if stop < end => Sequence::Unfinished,
            (Some(b'\x07'), _) if stop < end => Sequence::Whole(stop + 1 - start),
            (Some(b'\x1b'), Some(b'\\')) if stop < end => Sequence::Whole(stop + 2 - start),
            _ => Sequence::None,
        }
    }
}

enum Sequence {
    /// So many bytes behind the introducer belong to it.
    Whole(usize),
    /// It is none.
    None,
    /// It would be one if it went on.
    Unfinished,
}

/// The rule of [`crate::output::escape`]: what is dropped there may not stand between two halves here.
fn control(body: &[u8]) -> Sequence {
    let inner = body.iter().take(CONTROL_SEQUENCE_BYTES_MAX);
    let inner = inner
        .take_while(|byte| (0x20..=0x3f).contains(*byte))
        .count();
    match body.get(inner) {
        Some(b'[') => Sequence::None,
        Some(0x40..=0x7e) if inner + 3 <= CONTROL_SEQUENCE_BYTES_MAX => Sequence::Whole(inner + 1),
        None if inner + 3 <= CONTROL_SEQUENCE_BYTES_MAX => Sequence::Unfinished,
        Some(_) | None => Sequence::None,
    }
}

/// The length of an invisible character at the beginning of `rest`, 0 if the character there is visible.
fn invisible(rest: &[u8]) -> usize {
    let near = &rest[..rest.len().min(4)];
    let chunk = near.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    match chunk.chars().next() {
        Some('\t' | '\n') | None => 0,
        Some(character) if is_deceptive(character) => character.len_utf8(),
        Some(_) => 0,
    }
}

/// Whether a byte may begin something that is not seen; the rule of [`crate::output::escape`], with line feeds allowed.
const SUSPECT: [bool; 256] = {
    let mut suspect = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        suspect[byte] =
            matches!(byte, 0..=8 | 11..=0x1f | 0x7f | 0xc2 | 0xd8 | 0xe1 | 0xe2 | 0xef | 0xf3);
        byte += 1;
    }
    suspect
};

/// The next such byte. Most blocks hold none, which is cheaply seen.
fn next_suspect(text: &[u8], from: usize) -> Option<usize> {
    const BLOCK_BYTES: usize = 32;
    let mut place = from;
    for block in text[from..].chunks(BLOCK_BYTES) {
        if !is_plain_lines(block)
            && let Some(within) = block.iter().position(|&byte| SUSPECT[usize::from(byte)])
        {
            return Some(place + within);
        }
        place += block.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_invisible_characters_are_not_seen() {
        for (text, expected) in [
            ("plain\ttext\n", None),
            ("caf\u{e9} \u{2502} \u{4e2d}\n", None),
            ("a\x1b[31mb\x1b[0mc", Some("abc")),
            ("a\x1b[31;1", Some("a[31;1")),
            ("a\x1b[\u{e9}31mb", Some("a[\u{e9}31mb")),
            ("\x1b[[x]", Some("[[x]")),
            ("a\x1b]8;;http://x\x1b\\l\x1b]8;;\x07b", Some("alb")),
            ("a\x1b]0;title\nb", Some("a]0;title\nb")),
            ("a\x1bPq\x1b\\b\x1bcd\x1b(Be\x1b", Some("abde")),
            ("a\u{9b}31mb\u{9d}t\x07c\u{85}d", Some("abcd")),
            (
                "a\u{200b}b\u{ad}c\u{feff}d\u{202e}e\u{2060}f",
                Some("abcdef"),
            ),
            ("a\rb\r\n\0\x08\x7fc", Some("ab\nc")),
        ] {
            let mut view = View::default();
            let differs = view.look_at(text.as_bytes());
            let seen = String::from_utf8(view.bytes.clone()).unwrap();
            assert_eq!(differs.then_some(seen.as_str()), expected, "{text:?}");
            for (number, byte) in view.bytes.iter().enumerate() {
                let place = view.place(number);
                assert_eq!(text.as_bytes()[place], *byte, "{text:?}");
                assert_eq!(view.seen_before(place), number, "{text:?}");
            }
        }
    }

    #[test]
    fn a_sequence_without_end_is_text_and_may_get_its_end_only_near() {
        let mut view = View::default();
        for (bytes, unfinished) in [
            (0, true),
            (SEQUENCE_BYTES_MAX - 1, true),
            (SEQUENCE_BYTES_MAX, false),
        ] {
            let text = [b"ab\x1b]".as_slice(), &vec![b'x'; bytes]].concat();
            assert!(view.look_at(&text));
            assert_eq!(view.bytes.len(), text.len() - 1);
            assert_eq!(view.unfinished, unfinished.then_some(2));
        }
    }

    #[test]
    fn every_invisible_character_is_suspected_by_its_first_byte() {
        for character in (char::MIN..=char::MAX).filter(|&it| is_deceptive(it)) {
            let bytes = character.to_string();
            let suspect = next_suspect(bytes.as_bytes(), 0);
            assert_eq!(
                suspect,
                (!"\t\n".contains(character)).then_some(0),
                "{character:?}"
            );
        }
    }
}
