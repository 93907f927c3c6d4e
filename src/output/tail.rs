//! Keeps the last lines of an item, to be shown beside its failure.
//!
//! An item's thread feeds it the log bytes (already masked) of both streams; the summary asks for the lines. Pure. It
//! looks at the last lines of a block only, holds at most [`LINES_MAX`] × [`LINE_BYTES_MAX`] bytes, and never hands
//! out a byte that could drive a terminal, nor what a child asks the runner of GitHub Actions to mask: these lines go into
//! reports that are kept and sent on.

use std::collections::VecDeque;

use memchr::{memchr, memrchr, memrchr_iter};

use super::Target;
use super::escape::escape_line;
use super::mask::Masked;
use super::workflow_command::without_masked_value;

/// How many lines are kept, of both streams together, in the order in which they ended.
pub const LINES_MAX: usize = 20;

/// How much of one line is kept, in bytes as they are shown.
pub const LINE_BYTES_MAX: usize = 2 * 1024;

/// Shown at the end of a line that was longer.
const CLIPPED: &str = "\u{2026}";

/// The last lines of one item.
#[derive(Debug, Default)]
pub struct Tail {
    lines: VecDeque<Segment>,
    unfinished: [Segment; 2],
}

/// What a terminal would be left with of a line: the bytes after its last carriage return.
#[derive(Debug, Default)]
struct Segment {
    bytes: Vec<u8>,
    /// The line went on, but what is kept is full.
    clipped: bool,
    /// A carriage return has come: the next byte begins anew.
    returned: bool,
}

impl Tail {
    /// Takes the next masked bytes of one stream.
    pub fn feed(&mut self, source: Target, masked: Masked<&[u8]>) {
        let masked = masked.bytes();
        let unfinished = &mut self.unfinished[source.index()];
        let Some(last) = memrchr(b'\n', masked) else {
            unfinished.extend(masked);
            return;
        };
        let (whole, rest) = masked.split_at(last + 1);
        // The line feed before the first line that will be kept ends the line before it.
        let start = match memrchr_iter(b'\n', whole).nth(LINES_MAX) {
            Some(before) => {
                *unfinished = Segment::default();
                before + 1
            }
            None => 0,
        };
        let mut kept = &whole[start..];
        while let Some(end) = memchr(b'\n', kept) {
            unfinished.extend(&kept[..end]);
            if self.lines.len() == LINES_MAX {
                self.lines.pop_front();
            }
            self.lines.push_back(std::mem::take(unfinished));
            kept = &kept[end + 1..];
        }
        unfinished.extend(rest);
    }

    /// The last lines, escaped, without colour and prefix; unfinished ones come last.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let unfinished = self
            .unfinished
            .iter()
            .filter(|segment| !segment.bytes.is_empty());
        let all: Vec<&Segment> = self.lines.iter().chain(unfinished).collect();
        all[all.len().saturating_sub(LINES_MAX)..]
            .iter()
            .map(|segment| segment.shown())
            .collect()
    }
}

impl Segment {
    /// Adds bytes of the same line.
    fn extend(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.iter().rposition(|&byte| byte != b'\r') else {
            self.returned |= !bytes.is_empty();
            return;
        };
        let text = &bytes[..=last];
        let start = memrchr(b'\r', text).map_or(0, |place| place + 1);
        if self.returned || start > 0 {
            self.bytes.clear();
            self.clipped = false;
        }
        self.returned = last + 1 < bytes.len();
        let text = &text[start..];
        let room = LINE_BYTES_MAX - self.bytes.len();
        self.clipped |= text.len() > room;
        self.bytes.extend_from_slice(&text[..text.len().min(room)]);
    }

    fn shown(&self) -> String {
        let mut shown = Vec::new();
        let line = without_masked_value(&self.bytes);
        escape_line(&line, false, &mut shown);
        let mut shown = String::from_utf8_lossy(&shown).into_owned();
        if self.clipped || shown.len() > LINE_BYTES_MAX {
            let end = shown.floor_char_boundary(LINE_BYTES_MAX - CLIPPED.len());
            shown.truncate(end);
            shown.push_str(CLIPPED);
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn tail_of(parts: &[(Target, &[u8])]) -> Vec<String> {
        let mut tail = Tail::default();
        for (source, bytes) in parts {
            tail.feed(*source, Masked::of_masked_parts(bytes));
        }
        tail.lines()
    }

    #[test]
    fn what_a_child_asks_to_have_masked_is_hidden() {
        let lines = tail_of(&[(
            Target::Stdout,
            b"::add-mask::value\n##[add-mask]value\n  ::ADD-MASK::value\nsay add-mask\n",
        )]);
        assert_eq!(
            lines,
            [
                "::add-mask::***",
                "##[add-mask]***",
                "  ::ADD-MASK::***",
                "say add-mask"
            ]
        );
    }

    #[test]
    fn lines_of_both_streams_stand_in_the_order_in_which_they_ended() {
        let lines = tail_of(&[
            (Target::Stdout, b"out 1\nout "),
            (Target::Stderr, b"\x1b[31merr 1\x1b[0m\nerr"),
            (Target::Stdout, b"2\n"),
            (Target::Stderr, b" 2\r"),
        ]);
        assert_eq!(lines, ["out 1", "err 1", "out 2", "err 2"]);
    }

    fn lines_from(first: usize) -> Vec<String> {
        (first..100)
            .map(|number| format!("line {number}"))
            .collect()
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let block = lines_from(0).join("\n") + "\n";
        let expected = lines_from(80);
        assert_eq!(tail_of(&[(Target::Stdout, block.as_bytes())]), expected);
        let with_unfinished = tail_of(&[
            (Target::Stdout, b"begun and "),
            (Target::Stdout, block.as_bytes()),
            (Target::Stderr, b"unfinished"),
        ]);
        assert_eq!(with_unfinished[..19], expected[1..]);
        assert_eq!(with_unfinished[19], "unfinished");
    }

    #[test]
    fn the_rest_of_a_line_that_is_not_kept_does_not_join_a_later_one() {
        let last_lines = "\nx".repeat(LINES_MAX + 1);
        let lines = tail_of(&[
            (Target::Stdout, b"begun"),
            (Target::Stdout, last_lines.as_bytes()),
        ]);
        assert_eq!(lines, ["x"; LINES_MAX]);
        let mut block = last_lines.into_bytes();
        block.push(b'\n');
        let lines = tail_of(&[(Target::Stdout, b"begun"), (Target::Stdout, &block)]);
        assert_eq!(lines, ["x"; LINES_MAX]);
    }

    #[test]
    fn a_long_line_is_clipped_and_says_so() {
        let long = vec![b'x'; 10_000];
        let shown = tail_of(&[(Target::Stdout, &long), (Target::Stdout, b"\n")]);
        assert_eq!(shown[0].len(), LINE_BYTES_MAX);
        assert!(shown[0].ends_with("x\u{2026}"));
        let control = vec![0_u8; LINE_BYTES_MAX];
        let shown = tail_of(&[(Target::Stdout, &control)]);
        assert!(shown[0].len() <= LINE_BYTES_MAX && shown[0].ends_with(CLIPPED));
    }

    #[test]
    fn of_a_progress_line_the_last_state_is_kept_however_long_it_was() {
        let states: Vec<String> = (0..5000).map(|number| format!("{number} done")).collect();
        let progress = states.join("\r");
        for size in [1, 7, 100_000] {
            let mut tail = Tail::default();
            for part in progress.as_bytes().chunks(size) {
                tail.feed(Target::Stderr, Masked::of_masked_parts(part));
            }
            assert_eq!(tail.lines(), ["4999 done"]);
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_tail(
            bytes in vec(prop::sample::select(b"ab\r\n\n\xe2\x82\xac\x1b".as_slice()), 0..200),
            size in 1..50_usize,
        ) {
            let mut tail = Tail::default();
            for part in bytes.chunks(size) {
                tail.feed(Target::Stdout, Masked::of_masked_parts(part));
            }
            prop_assert_eq!(tail.lines(), tail_of(&[(Target::Stdout, &bytes)]));
        }
    }
}
