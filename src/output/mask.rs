//! Finds keys in what children write and puts `[REDACTED:label]` in their place.
//!
//! Owns the values of all keys of the pool (wiped when the last user lets go) and the search for them. An item's
//! thread feeds each of its two streams through a [`MaskedStream`]; other sinks call [`Masker::mask_text`]. It must
//! never depend on where a read ended: the output is that of the whole text masked at once, however it was cut. It
//! must never print a value, hence the `Debug` by hand.
//!
//! The search samples. Every key has at least `window` bytes, so the four bytes at each `stride`-th place of a text
//! (`stride = window − 3`) fall into the first window of any occurrence exactly once. A bit set of all four-byte
//! pieces of those windows rejects nearly every sample; the rest is compared. So all occurrences of all keys are
//! found, overlapping ones too, while an ordinary text costs one look-up every few dozen bytes, however many keys
//! there are.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use memchr::memchr_iter;
use zeroize::Zeroizing;

use crate::escape::escape_text;

/// Of a value with several lines, lines shorter than this many bytes (`}`, `{`) are no secret.
pub const SECRET_LINE_BYTES_MIN: usize = 8;

/// The sampled window grows no longer than this: further bytes would fill the bit set and save nothing.
const WINDOW_BYTES_MAX: usize = 64;

/// Bytes looked at by one sample, when all keys are that long.
const GRAM_BYTES_MAX: usize = 4;

const BUCKET_BITS: u32 = 16;
const BITS_PER_WORD: usize = 64;

/// Knows all keys and masks them; share it as `Arc<Masker>`.
#[derive(Default)]
pub struct Masker {
    needles: Vec<Needle>,
    /// How many bytes one sample looks at: [`GRAM_BYTES_MAX`], fewer if a key is shorter than that.
    gram_bytes: usize,
    /// The distance between samples, in bytes.
    stride: usize,
    /// One bit for each bucket that has an entry in `grams`; empty without keys.
    filter: Zeroizing<Vec<u64>>,
    /// `(bucket, needle, offset in the needle)`, sorted.
    grams: Zeroizing<Vec<(u16, u32, u32)>>,
}

struct Needle {
    /// What stands in the value's place: `[REDACTED:label]`.
    replacement: String,
    label: String,
    value: Zeroizing<Vec<u8>>,
}

/// One occurrence of one needle in a text.
#[derive(Clone, Copy)]
struct Mark {
    start: usize,
    end: usize,
    needle: usize,
}

impl Masker {
    /// A masker of these `(label, value)` pairs; of two equal values the first label counts.
    ///
    /// A value of several lines is masked line by line (lines of at least [`SECRET_LINE_BYTES_MIN`] bytes), because
    /// that is how it can appear in output. An empty value masks nothing.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut needles = Vec::new();
        for (label, value) in secrets {
            add_needles(&mut needles, &label, Zeroizing::new(value));
        }
        let Some(shortest) = needles.iter().map(|needle| needle.value.len()).min() else {
            return Self::default();
        };
        let window = shortest.min(WINDOW_BYTES_MAX);
        let gram_bytes = window.min(GRAM_BYTES_MAX);
        let stride = window - gram_bytes + 1;
        let mut filter = Zeroizing::new(vec![0_u64; (1 << BUCKET_BITS) / BITS_PER_WORD]);
        // Exact capacity: a vector that grows would leave unwiped copies behind.
        let mut grams = Zeroizing::new(Vec::with_capacity(needles.len() * stride));
        for (number, needle) in (0_u32..).zip(&needles) {
            for (offset, place) in (0_u32..).zip(0..stride) {
                let bucket = bucket(&needle.value[place..place + gram_bytes]);
                filter[usize::from(bucket) / BITS_PER_WORD] |=
                    1 << (usize::from(bucket) % BITS_PER_WORD);
                grams.push((bucket, number, offset));
            }
        }
        grams.sort_unstable();
        Self {
            needles,
            gram_bytes,
            stride,
            filter,
            grams,
        }
    }

    /// Whether there is nothing to mask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// Appends `text` to `out` with every key masked: all occurrences are found, overlapping ones too, and each
    /// maximal run of bytes that belong to any of them becomes one `[REDACTED:label]`, by the key that begins it.
    pub fn mask_line(&self, text: &[u8], out: &mut Vec<u8>) {
        let mut run = Run::default();
        self.mask_until(text, text.len(), &mut run, out);
    }

    /// The same for a text of our own or of a title: borrowed when nothing stands in it.
    #[must_use]
    pub fn mask_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.marks(text.as_bytes()).is_empty() {
            return Cow::Borrowed(text);
        }
        let mut masked = Vec::with_capacity(text.len());
        self.mask_line(text.as_bytes(), &mut masked);
        Cow::Owned(String::from_utf8_lossy(&masked).into_owned())
    }

    /// How many bytes at the end of `text` are the beginning of a key, and so must be held back until more is
    /// known; at most the length of the longest key less one.
    #[must_use]
    pub fn longest_suffix_that_begins_a_secret(&self, text: &[u8]) -> usize {
        if text.last() == Some(&b'\n') {
            return 0;
        }
        let suffix_of = |needle: &Needle| {
            let value = &needle.value[..];
            let near_end = &text[text.len() - text.len().min(value.len() - 1)..];
            memchr_iter(value[0], near_end)
                .find(|&place| value.starts_with(&near_end[place..]))
                .map_or(0, |place| near_end.len() - place)
        };
        self.needles.iter().map(suffix_of).max().unwrap_or(0)
    }

    /// All occurrences of all keys, by their beginning, the longest first.
    fn marks(&self, text: &[u8]) -> Vec<Mark> {
        let mut marks = Vec::new();
        if self.is_empty() {
            return marks;
        }
        let mut place = 0;
        while let Some(gram) = text.get(place..place + self.gram_bytes) {
            let bucket = bucket(gram);
            let word = self.filter[usize::from(bucket) / BITS_PER_WORD];
            if word >> (usize::from(bucket) % BITS_PER_WORD) & 1 == 1 {
                self.compare_at(text, place, bucket, &mut marks);
            }
            place += self.stride;
        }
        marks.sort_unstable_by_key(|mark| (mark.start, Reverse(mark.end), mark.needle));
        marks
    }

    /// Compares every needle that has a piece in `bucket` with the text around `place`.
    fn compare_at(&self, text: &[u8], place: usize, bucket: u16, marks: &mut Vec<Mark>) {
        let first = self.grams.partition_point(|gram| gram.0 < bucket);
        let same_bucket = self.grams[first..]
            .iter()
            .take_while(|gram| gram.0 == bucket);
        for &(_, needle, offset) in same_bucket {
            let needle = needle as usize;
            let value = &self.needles[needle].value[..];
            let Some(start) = place.checked_sub(offset as usize) else {
                continue;
            };
            if text[start..].starts_with(value) {
                marks.push(Mark {
                    start,
                    end: start + value.len(),
                    needle,
                });
            }
        }
    }

    /// Appends `text[..cut]` masked; `run` carries a run of marked bytes over from the text before, and to the next.
    ///
    /// A mark that begins at or after `cut` is left to the next call, which sees those bytes again.
    fn mask_until(&self, text: &[u8], cut: usize, run: &mut Run, out: &mut Vec<u8>) {
        // Where the newest run ends; `None` while the text has none that could be continued.
        let mut run_end = run.open.then_some(run.bytes_ahead);
        for mark in self.marks(text) {
            if mark.start >= cut {
                break;
            }
            match run_end {
                Some(end) if mark.start <= end => run_end = Some(end.max(mark.end)),
                _ => {
                    out.extend_from_slice(&text[run_end.unwrap_or(0)..mark.start]);
                    out.extend_from_slice(self.needles[mark.needle].replacement.as_bytes());
                    run_end = Some(mark.end);
                }
            }
        }
        let end = run_end.unwrap_or(0);
        if end < cut {
            out.extend_from_slice(&text[end..cut]);
        }
        *run = Run {
            open: run_end.is_some() && end >= cut,
            bytes_ahead: end.saturating_sub(cut),
        };
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.needles.iter().map(|needle| &needle.label);
        formatter.write_str("Masker ")?;
        formatter.debug_list().entries(labels).finish()
    }
}

fn add_needles(needles: &mut Vec<Needle>, label: &str, value: Zeroizing<Vec<u8>>) {
    let label = escape_text(label).into_owned();
    let mut add = |value: Zeroizing<Vec<u8>>| {
        if !value.is_empty() && needles.iter().all(|known| known.value != value) {
            needles.push(Needle {
                replacement: format!("[REDACTED:{label}]"),
                label: label.clone(),
                value,
            });
        }
    };
    if !value.contains(&b'\n') {
        add(value);
        return;
    }
    for line in value.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() >= SECRET_LINE_BYTES_MIN {
            add(Zeroizing::new(line.to_vec()));
        }
    }
}

/// The bucket of up to four bytes, by multiplicative hashing (Knuth, TAOCP 6.4).
fn bucket(gram: &[u8]) -> u16 {
    let number = match *gram {
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        _ => gram
            .iter()
            .fold(0, |number, &byte| number << 8 | u32::from(byte)),
    };
    (number.wrapping_mul(0x9E37_79B1) >> (u32::BITS - BUCKET_BITS)) as u16
}

/// What the text before has to say about the bytes that follow it.
#[derive(Default, Clone, Copy)]
struct Run {
    /// The last byte belonged to a key and its `[REDACTED:…]` is written: marked bytes that follow add nothing.
    open: bool,
    /// So many of the following bytes belong to it as well.
    bytes_ahead: usize,
}

/// Masks one stream that comes in blocks of any size.
///
/// What it has written at any moment is what [`Masker::mask_line`] makes of the bytes so far, less a suffix that
/// may turn out to be the beginning of a key. Whole lines are never held back.
pub struct MaskedStream {
    masker: Arc<Masker>,
    run: Run,
    held: Vec<u8>,
}

impl MaskedStream {
    /// A stream at its beginning.
    #[must_use]
    pub const fn new(masker: Arc<Masker>) -> Self {
        Self {
            masker,
            run: Run {
                open: false,
                bytes_ahead: 0,
            },
            held: Vec::new(),
        }
    }

    /// Takes the next bytes and appends to `out` what is known not to be part of a key, masked.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.masker.is_empty() {
            out.extend_from_slice(bytes);
            return;
        }
        if self.held.is_empty() {
            let cut = self.write_decided(bytes, out);
            self.held.extend_from_slice(&bytes[cut..]);
            return;
        }
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(bytes);
        let cut = self.write_decided(&text, out);
        self.held.extend_from_slice(&text[cut..]);
    }

    /// The stream has ended: appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let text = std::mem::take(&mut self.held);
        self.masker
            .mask_until(&text, text.len(), &mut self.run, out);
        self.run = Run::default();
    }

    /// Masks all of `text` but the suffix to hold back, and says where that begins.
    fn write_decided(&mut self, text: &[u8], out: &mut Vec<u8>) -> usize {
        let held_bytes = self.masker.longest_suffix_that_begins_a_secret(text);
        let cut = text.len() - held_bytes;
        self.masker.mask_until(text, cut, &mut self.run, out);
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const K: &str = "sk-ant-api03-Zr7pQ2mX9vLt4Kc8Ny1Bw6Hf3Jd5Gs0Ra7Ue2Io9Pq4Mz8Xk1Cv6Tb3Wn5Yh7Lj2Fg9Ds4Ae8Ri1Uo6Pt3Qw5Kz7AA";
    const G: &str = "AIzaSyD4x9Kq2Lm7Pn3Rt8Vw1Zb6Hc5Jf0Ge2Us";

    fn masker(secrets: &[(&str, &str)]) -> Masker {
        Masker::new(
            secrets
                .iter()
                .map(|(label, value)| ((*label).to_owned(), value.as_bytes().to_vec())),
        )
    }

    fn masked(masker: &Masker, text: &[u8]) -> String {
        let mut out = Vec::new();
        masker.mask_line(text, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn masked_in_parts<'a>(
        masker: &Arc<Masker>,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Vec<u8> {
        let mut stream = MaskedStream::new(Arc::clone(masker));
        let mut out = Vec::new();
        for part in parts {
            stream.feed(part, &mut out);
        }
        stream.finish(&mut out);
        out
    }

    /// The definition, as slowly as it reads: a byte is marked when any occurrence covers it.
    fn masked_by_definition(secrets: &[(String, Vec<u8>)], text: &[u8]) -> Vec<u8> {
        let mut covered = vec![false; text.len()];
        let mut starts: Vec<Option<(usize, &str)>> = vec![None; text.len()];
        for (label, value) in secrets {
            for start in 0..text.len() {
                if text[start..].starts_with(value) {
                    covered[start..start + value.len()].fill(true);
                    if starts[start].is_none_or(|(length, _)| value.len() > length) {
                        starts[start] = Some((value.len(), label));
                    }
                }
            }
        }
        let mut out = Vec::new();
        for place in 0..text.len() {
            if !covered[place] {
                out.push(text[place]);
            } else if place == 0 || !covered[place - 1] {
                let label = starts[place].unwrap().1;
                out.extend_from_slice(format!("[REDACTED:{label}]").as_bytes());
            }
        }
        out
    }

    #[test]
    fn overlapping_nested_and_adjacent_keys_become_one_mark() {
        let kk = format!("{K}{K}");
        let kg = format!("{K}{G}");
        let inside = format!("a {K} b {G} c");
        let prefix_of_k = &K[..40];
        for (secrets, text, expected) in [
            (vec![("k", K)], K, "[REDACTED:k]"),
            (vec![("k", K)], kk.as_str(), "[REDACTED:k]"),
            (vec![("k", K), ("g", G)], kg.as_str(), "[REDACTED:k]"),
            (
                vec![("k", K), ("g", G)],
                inside.as_str(),
                "a [REDACTED:k] b [REDACTED:g] c",
            ),
            (vec![("s", "1212123x")], "121212123x", "12[REDACTED:s]"),
            (
                vec![("s", "ABABABABABABC")],
                "ABABABABABABABABC",
                "ABAB[REDACTED:s]",
            ),
            (
                vec![("a", "key-one-key"), ("b", "one-key-two-zzzz")],
                "key-one-key-two-zzzz!",
                "[REDACTED:a]!",
            ),
            (
                vec![
                    ("a", "key-one-"),
                    ("b", "key-one-SECRET22zz"),
                    ("c", "SECRET22"),
                ],
                "key-one-SECRET22!",
                "[REDACTED:a]!",
            ),
            (vec![("a", prefix_of_k), ("b", K)], K, "[REDACTED:b]"),
            (vec![("a", "x")], "axb", "a[REDACTED:a]b"),
            (
                vec![("a", "same-value"), ("b", "same-value")],
                "same-value",
                "[REDACTED:a]",
            ),
            (vec![("a", "")], "nothing", "nothing"),
            (vec![], K, K),
        ] {
            let masker = masker(&secrets);
            assert_eq!(masked(&masker, text.as_bytes()), expected);
            assert_eq!(masker.mask_text(text), expected);
        }
    }

    #[test]
    fn a_key_between_invalid_bytes_is_masked_and_the_bytes_are_kept() {
        let text = [b"\xff\xfe", K.as_bytes(), b"\xff\nnext\n"].concat();
        let mut out = Vec::new();
        masker(&[("k", K)]).mask_line(&text, &mut out);
        assert_eq!(out, b"\xff\xfe[REDACTED:k]\xff\nnext\n");
    }

    #[test]
    fn a_key_cut_at_any_place_is_masked() {
        let masker = Arc::new(masker(&[("k", K), ("g", G)]));
        for cut in 0..=K.len() {
            let (left, right) = K.as_bytes().split_at(cut);
            let got = masked_in_parts(&masker, [b"a ".as_slice(), left, right, b" b"]);
            assert_eq!(got, b"a [REDACTED:k] b", "cut at {cut}");
        }
        let bytewise = masked_in_parts(&masker, K.as_bytes().chunks(1));
        assert_eq!(bytewise, b"[REDACTED:k]");
    }

    #[test]
    fn only_what_may_begin_a_key_is_held_back() {
        let masker = masker(&[("k", K), ("s", "1212123x")]);
        for (text, held) in [
            ("", 0),
            ("nothing", 0),
            ("a s", 1),
            ("a sk-ant-", 7),
            ("121212", 6),
            ("12121212", 6),
            ("1212123x", 0),
            ("sk-ant-\n", 0),
        ] {
            assert_eq!(
                masker.longest_suffix_that_begins_a_secret(text.as_bytes()),
                held,
                "{text:?}"
            );
        }
        let all_but_last = &K.as_bytes()[..K.len() - 1];
        let held = masker.longest_suffix_that_begins_a_secret(all_but_last);
        assert_eq!(held, all_but_last.len());
    }

    #[test]
    fn a_value_of_several_lines_is_masked_line_by_line() {
        let masker = masker(&[("pem", "{\r\nfirst-line-of-it\r\nsecond-line-of-it\n}\n")]);
        let text = b"{ first-line-of-it / second-line-of-it }";
        assert_eq!(masked(&masker, text), "{ [REDACTED:pem] / [REDACTED:pem] }");
    }

    #[test]
    fn debug_shows_labels_only() {
        let shown = format!("{:?}", masker(&[("work-1", K), ("work-2", G)]));
        assert_eq!(shown, r#"Masker ["work-1", "work-2"]"#);
    }

    #[test]
    fn an_endless_run_of_keys_is_one_mark_and_holds_back_less_than_a_key() {
        let masker = Arc::new(masker(&[("k", K)]));
        let mut stream = MaskedStream::new(masker);
        let mut out = Vec::new();
        for part in K.repeat(1000).as_bytes().chunks(61) {
            stream.feed(part, &mut out);
            assert!(stream.held.len() < K.len());
        }
        stream.finish(&mut out);
        assert_eq!(out, b"[REDACTED:k]");
    }

    /// Few letters, so that prefixes, overlaps and repetitions are common.
    fn secrets() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
        vec(vec(prop::sample::select(b"abc".as_slice()), 1..12), 0..5).prop_map(|values| {
            let label = |number: usize| format!("{number}");
            let labelled = values.into_iter().enumerate();
            labelled
                .map(|(number, value)| (label(number), value))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn masking_is_as_defined_however_the_text_is_cut(
            secrets in secrets(),
            parts in vec(vec(prop::sample::select(b"abcabcabc\n\xff".as_slice()), 0..20), 0..12),
        ) {
            let text = parts.concat();
            let expected = masked_by_definition(&secrets, &text);
            let masker = Arc::new(Masker::new(secrets));
            let mut whole = Vec::new();
            masker.mask_line(&text, &mut whole);
            prop_assert_eq!(&whole, &expected);
            let in_parts = masked_in_parts(&masker, parts.iter().map(Vec::as_slice));
            prop_assert_eq!(&in_parts, &expected);
        }

        #[test]
        fn long_keys_are_found_wherever_they_stand(
            before in vec(any::<u8>(), 0..300),
            after in vec(any::<u8>(), 0..300),
            cut in 0..400_usize,
        ) {
            let masker = Arc::new(masker(&[("k", K), ("g", G)]));
            let text = [&before, K.as_bytes(), &after].concat();
            let (left, right) = text.split_at(cut.min(text.len()));
            let got = masked_in_parts(&masker, [left, right]);
            let expected = [&before, b"[REDACTED:k]".as_slice(), &after].concat();
            prop_assert_eq!(got, expected);
        }
    }
}
