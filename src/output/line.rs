//! Turns the bytes of one stream of one child into log bytes and display lines.
//!
//! Owns line assembly. An item's thread has a [`Stream`] for each of its child's two pipes, feeds it every block that
//! it reads, and passes on what was [`Produced`]. Pure: no clock (the thread knows when a second of silence has
//! passed), no descriptor. It must never depend on where a read ended, and its memory must not grow with the length
//! of a line. Bytes are masked before they are looked at for lines, so no later step can bring a key back; blocks are
//! copied as blocks, because a call for each line would cost more than reading it.

use std::sync::Arc;

use super::escape::{escape_line, last_segment, unfinished_code_point};
use super::glance::glance;
use super::mask::{Masked, MaskedStream, Masker};

/// A line longer than this is displayed in pieces; counted in masked bytes, without prefix and line feed.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// A buffer for an unfinished line that has grown beyond this is given back when the line ends, as hundreds of
/// streams may be open.
const KEPT_BYTES_MAX: usize = 8 * 1024;

/// What became of the bytes of a stream; to be reused, so that the steady state allocates nothing.
#[derive(Debug, Default)]
pub struct Produced {
    /// For the raw log: the child's bytes with keys masked, otherwise exactly as written.
    pub log: Masked<Vec<u8>>,
    /// For the terminal: whole lines, each with prefix and line feed, escaped.
    pub display: Masked<Vec<u8>>,
}

impl Produced {
    /// Makes room for the next block; the memory is kept.
    pub fn clear(&mut self) {
        self.log.clear();
        self.display.clear();
    }
}

/// One of a child's two streams, from its first byte to its end.
pub struct Stream {
    masked: MaskedStream,
    lines: Lines,
}

/// The display's half: assembles masked bytes to lines.
struct Lines {
    prefix: Masked<Vec<u8>>,
    colour: bool,
    /// What has come of the current line and is not yet shown; masked, at most [`LINE_BYTES_MAX`].
    partial: Vec<u8>,
    /// A piece of the current line is already shown.
    continued: bool,
    /// Where lines end, when nobody has said so; kept for its memory.
    ends: Vec<usize>,
}

impl Stream {
    /// A stream whose displayed lines begin with `prefix` (which may hold colour codes) and keep the child's own
    /// colours if `colour`.
    #[must_use]
    pub fn new(masker: Arc<Masker>, prefix: Masked<Vec<u8>>, colour: bool) -> Self {
        Self {
            masked: MaskedStream::new(masker),
            lines: Lines {
                prefix,
                colour,
                partial: Vec::new(),
                continued: false,
                ends: Vec::new(),
            },
        }
    }

    /// Takes the next bytes. Lines are appended when they are whole.
    pub fn feed(&mut self, bytes: &[u8], produced: &mut Produced) {
        let before = produced.log.get().len();
        let plain_ends = self.masked.feed(bytes, &mut produced.log);
        let masked = produced.log.as_slice().after(before);
        let display = produced.display.buffer();
        match plain_ends {
            Some(ends) => self.lines.take_lines(masked, ends, true, display),
            None => self.lines.take(masked, display),
        }
    }

    /// Whether [`Self::flush_partial`] would show anything.
    #[must_use]
    pub fn has_partial(&self) -> bool {
        self.masked.has_partial() || self.lines.showable_bytes() > 0
    }

    /// Shows the unfinished line (a prompt, a progress line), less what may begin a key and less a torn code point;
    /// what comes of it later is shown as a further line. The log gets the same bytes.
    pub fn flush_partial(&mut self, produced: &mut Produced) {
        self.pass_on(produced, MaskedStream::flush);
        let bytes = self.lines.showable_bytes();
        self.lines.show_partial(bytes, produced.display.buffer());
    }

    /// The stream has ended: appends all that was held back. Only the display gets a line feed that the child did
    /// not write.
    pub fn finish(&mut self, produced: &mut Produced) {
        self.pass_on(produced, MaskedStream::finish);
        if self.lines.partial.is_empty() {
            self.lines.continued = false;
        } else {
            self.lines.end_line(produced.display.buffer());
        }
    }

    /// Appends to the log what `mask` makes, and to the display the lines of it.
    fn pass_on(
        &mut self,
        produced: &mut Produced,
        mask: impl FnOnce(&mut MaskedStream, &mut Masked<Vec<u8>>),
    ) {
        let before = produced.log.get().len();
        mask(&mut self.masked, &mut produced.log);
        let masked = produced.log.as_slice().after(before);
        self.lines.take(masked, produced.display.buffer());
    }
}

impl Lines {
    /// Takes masked bytes of which nothing is known.
    fn take(&mut self, masked: Masked<&[u8]>, display: &mut Vec<u8>) {
        let mut ends = std::mem::take(&mut self.ends);
        let plain = glance(masked.bytes(), &mut ends);
        self.take_lines(masked, &ends, plain, display);
        self.ends = ends;
    }

    /// Takes masked bytes with line feeds at `ends`, which are plain ([`glance`]) if `plain`; what is appended to `display`
    /// is made of them and of our own prefix.
    fn take_lines(
        &mut self,
        masked: Masked<&[u8]>,
        mut ends: &[usize],
        plain: bool,
        display: &mut Vec<u8>,
    ) {
        let (masked, mut start) = (masked.bytes(), 0);
        if let (true, Some((&first, rest))) = (self.is_inside_a_line(), ends.split_first()) {
            self.extend_partial(&masked[..first], display);
            self.end_line(display);
            (ends, start) = (rest, first + 1);
        }
        display.reserve(masked.len() - start + ends.len() * self.prefix.get().len());
        for &end in ends {
            if end - start > LINE_BYTES_MAX {
                self.extend_partial(&masked[start..end], display);
                self.end_line(display);
            } else if plain {
                display.extend_from_slice(self.prefix.get());
                display.extend_from_slice(&masked[start..=end]);
            } else {
                self.show(&masked[start..end], display);
            }
            start = end + 1;
        }
        self.extend_partial(&masked[start..], display);
    }

    const fn is_inside_a_line(&self) -> bool {
        self.continued || !self.partial.is_empty()
    }

    /// Adds to the current line, and shows a piece of it whenever it has become too long.
    fn extend_partial(&mut self, mut bytes: &[u8], display: &mut Vec<u8>) {
        while self.partial.len() + bytes.len() > LINE_BYTES_MAX {
            let (now, later) = bytes.split_at(LINE_BYTES_MAX - self.partial.len());
            self.partial.extend_from_slice(now);
            let bytes_shown = self.showable_bytes();
            self.show_partial(bytes_shown, display);
            bytes = later;
        }
        self.partial.extend_from_slice(bytes);
    }

    /// The current line is whole. When a piece of it was shown, the rest may be nothing (`\r`) and shows nothing.
    fn end_line(&mut self, display: &mut Vec<u8>) {
        if !self.continued || !last_segment(&self.partial).is_empty() {
            self.show(&self.partial, display);
        }
        self.continued = false;
        self.partial.clear();
        if self.partial.capacity() > KEPT_BYTES_MAX {
            self.partial = Vec::new();
        }
    }

    fn show_partial(&mut self, bytes: usize, display: &mut Vec<u8>) {
        let piece = &self.partial[..bytes];
        if !last_segment(piece).is_empty() {
            self.show(piece, display);
            self.continued = true;
        }
        self.partial.drain(..bytes);
    }

    fn showable_bytes(&self) -> usize {
        self.partial.len() - unfinished_code_point(&self.partial)
    }

    fn show(&self, line: &[u8], display: &mut Vec<u8>) {
        display.extend_from_slice(self.prefix.get());
        escape_line(line, self.colour, display);
        display.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::mask::{Secrets, UnknownKeys};
    use proptest::collection::vec;
    use proptest::prelude::*;

    const KEY: &str = "secret-value-0123456789";

    fn masker() -> Arc<Masker> {
        let mut secrets = Secrets::default();
        secrets.add_key("k", KEY.as_bytes());
        Arc::new(Masker::new(secrets, UnknownKeys::Masked))
    }

    fn stream(masker: Arc<Masker>) -> Stream {
        Stream::new(masker, Masked::of_masked_parts(b"[a] ".to_vec()), true)
    }

    /// The log and the display of a stream that came in these parts.
    fn produced<'a>(
        masker: Arc<Masker>,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> (Vec<u8>, Vec<u8>) {
        let mut stream = stream(masker);
        let mut produced = Produced::default();
        for part in parts {
            stream.feed(part, &mut produced);
            assert!(stream.lines.partial.len() <= LINE_BYTES_MAX);
        }
        stream.finish(&mut produced);
        (produced.log.into_inner(), produced.display.into_inner())
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_are_prefixed_and_the_log_keeps_the_bytes() {
        for (input, log, display) in [
            ("", "", ""),
            ("one\ntwo\n", "one\ntwo\n", "[a] one\n[a] two\n"),
            (
                "no final newline",
                "no final newline",
                "[a] no final newline\n",
            ),
            ("\n\n", "\n\n", "[a] \n[a] \n"),
            ("\r\n", "\r\n", "[a] \n"),
            ("crlf\r\nx\n", "crlf\r\nx\n", "[a] crlf\n[a] x\n"),
            ("1%\r2%\r3%\n", "1%\r2%\r3%\n", "[a] 3%\n"),
            ("1%\r2%\r", "1%\r2%\r", "[a] 2%\n"),
            (
                "[b] forged\r[b] too\n",
                "[b] forged\r[b] too\n",
                "[a] [b] too\n",
            ),
            (
                "x secret-value-0123456789 y\n",
                "x [REDACTED:k] y\n",
                "[a] x [REDACTED:k] y\n",
            ),
            (
                "secret-value-0123456789",
                "[REDACTED:k]",
                "[a] [REDACTED:k]\n",
            ),
            (
                "caf\u{e9}\nsecret-",
                "caf\u{e9}\nsecret-",
                "[a] caf\u{e9}\n[a] secret-\n",
            ),
        ] {
            let (got_log, got_display) = produced(masker(), [input.as_bytes()]);
            assert_eq!(text(&got_log), log, "{input:?}");
            assert_eq!(text(&got_display), display, "{input:?}");
        }
    }

    #[test]
    fn silence_shows_the_unfinished_line_less_what_may_begin_a_key() {
        let mut stream = stream(masker());
        let mut produced = Produced::default();
        assert!(!stream.has_partial());
        stream.feed(b"ready? \xe2\x82", &mut produced);
        assert!(stream.has_partial());
        stream.flush_partial(&mut produced);
        assert_eq!(text(produced.display.get()), "[a] ready? \n");
        assert!(
            !stream.has_partial(),
            "a torn code point alone shows nothing"
        );

        produced.clear();
        stream.feed(b"\xac and secret-", &mut produced);
        stream.flush_partial(&mut produced);
        assert_eq!(text(produced.display.get()), "[a] \u{20ac} and \n");
        assert!(
            !stream.has_partial(),
            "the beginning of a key shows nothing"
        );

        produced.clear();
        stream.feed(b"value-0123456789", &mut produced);
        stream.flush_partial(&mut produced);
        stream.feed(b"\r\nnext\n", &mut produced);
        assert_eq!(text(produced.display.get()), "[a] [REDACTED:k]\n[a] next\n");
        assert_eq!(text(produced.log.get()), "[REDACTED:k]\r\nnext\n");
    }

    #[test]
    fn the_end_of_a_flushed_line_adds_no_empty_line() {
        for (rest, expected) in [
            ("\n", "[a] abc\n"),
            ("\r\n", "[a] abc\n"),
            ("", "[a] abc\n"),
            ("d\n", "[a] abc\n[a] d\n"),
            ("\n\n", "[a] abc\n[a] \n"),
        ] {
            let mut stream = stream(masker());
            let mut produced = Produced::default();
            stream.feed(b"abc", &mut produced);
            stream.flush_partial(&mut produced);
            stream.feed(rest.as_bytes(), &mut produced);
            stream.finish(&mut produced);
            assert_eq!(text(produced.display.get()), expected, "{rest:?}");
        }
    }

    #[test]
    fn a_line_of_the_greatest_length_is_one_line_and_one_byte_more_makes_two() {
        for (bytes, pieces) in [
            (LINE_BYTES_MAX, 1),
            (LINE_BYTES_MAX + 1, 2),
            (2 * LINE_BYTES_MAX, 2),
            (2 * LINE_BYTES_MAX + 1, 3),
        ] {
            let line = [vec![b'x'; bytes], b"\n".to_vec()].concat();
            for part_bytes in [line.len(), 1000, LINE_BYTES_MAX, LINE_BYTES_MAX + 1] {
                let (log, display) = produced(masker(), line.chunks(part_bytes));
                assert_eq!(log, line);
                assert_eq!(memchr::memchr_iter(b'\n', &display).count(), pieces);
                assert_eq!(display.len(), bytes + pieces * "[a] \n".len());
            }
        }
    }

    #[test]
    fn neither_a_key_nor_a_code_point_is_split_where_a_long_line_is_cut() {
        for shift in 0..KEY.len() + 4 {
            let filler = "x".repeat(LINE_BYTES_MAX - shift);
            let line = format!("{filler}{KEY}\u{20ac}{KEY}\u{20ac}tail\n");
            let (log, display) = produced(masker(), line.as_bytes().chunks(4096));
            let masked = line.replace(KEY, "[REDACTED:k]");
            assert_eq!(text(&log), masked);
            let joined = text(&display).replace("\n[a] ", "");
            assert_eq!(joined, format!("[a] {masked}"));
        }
    }

    #[test]
    fn an_endless_line_takes_bounded_memory() {
        let mut stream = stream(masker());
        let mut produced = Produced::default();
        let block = vec![0xff; 64 * 1024];
        let mut bytes = 0;
        for _ in 0..64 {
            produced.clear();
            stream.feed(&block, &mut produced);
            bytes += produced.log.get().len();
            assert!(stream.lines.partial.capacity() <= 2 * LINE_BYTES_MAX);
        }
        produced.clear();
        stream.feed(b"\n", &mut produced);
        assert_eq!(bytes + produced.log.get().len(), 64 * block.len() + 1);
        assert!(stream.lines.partial.capacity() <= KEPT_BYTES_MAX);
    }

    fn nasty_parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        const PIECES: &[&[u8]] = &[
            b"secret-",
            b"value-",
            b"0123456789",
            KEY.as_bytes(),
            b"\n",
            b"\r\n",
            b"\r",
            b"text ",
            b"\x1b[31m",
            b"\x1b[0m",
            b"\x1b]0;",
            b"\xe2",
            b"\x82",
            b"\xac",
            b"\x9b",
            b"\0",
        ];
        vec(vec(prop::sample::select(PIECES), 0..6), 0..12)
            .prop_map(|parts| parts.into_iter().map(|part| part.concat()).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_split_of_long_lines_gives_the_same(
            lengths in vec((0..150_000_usize, prop::sample::select(b"x\xff\r".as_slice())), 1..4),
            size in 1000..200_000_usize,
        ) {
            let mut whole = Vec::new();
            for (length, byte) in lengths {
                whole.resize(whole.len() + length, byte);
                whole.extend_from_slice("\u{20ac}\n".as_bytes());
            }
            let at_once = produced(masker(), [whole.as_slice()]);
            prop_assert_eq!(&produced(masker(), whole.chunks(size)), &at_once);
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_log_and_display(parts in nasty_parts(), size in 1..40_usize) {
            let whole = parts.concat();
            let at_once = produced(masker(), [whole.as_slice()]);
            prop_assert_eq!(&produced(masker(), parts.iter().map(Vec::as_slice)), &at_once);
            prop_assert_eq!(&produced(masker(), whole.chunks(size)), &at_once);
        }

        #[test]
        fn without_keys_the_log_is_the_input(parts in vec(vec(any::<u8>(), 0..80), 0..8)) {
            let none = Arc::new(Masker::default());
            let (log, _) = produced(none, parts.iter().map(Vec::as_slice));
            prop_assert_eq!(log, parts.concat());
        }

        #[test]
        fn every_display_line_has_the_prefix_and_no_control_byte(
            parts in nasty_parts(),
            silences in vec(any::<bool>(), 12),
        ) {
            let mut stream = Stream::new(masker(), Masked::of_masked_parts(b"[a] ".to_vec()), false);
            let mut produced = Produced::default();
            for (part, silence) in parts.iter().zip(silences) {
                stream.feed(part, &mut produced);
                if silence {
                    let would_show = stream.has_partial();
                    stream.flush_partial(&mut produced);
                    prop_assert!(would_show || !stream.has_partial());
                }
            }
            stream.finish(&mut produced);
            let display = text(produced.display.get());
            let log = String::from_utf8_lossy(produced.log.get());
            prop_assert!(!log.contains(KEY));
            prop_assert!(display.is_empty() || display.ends_with('\n'));
            for line in display.lines() {
                prop_assert!(line.starts_with("[a] "), "{line:?}");
                prop_assert!(!line.contains(char::is_control), "{line:?}");
            }
        }
    }
}
