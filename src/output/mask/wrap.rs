//! Keys that the end of a line cuts in two: what a program or a box wraps at its width.
//!
//! A line that ends in the beginning of a needle is marked there, and where a key runs into the end of a line, the next
//! line is searched for the rest, behind blanks and the frame of a box. What goes over from line to line is a
//! [`Wrapped`], one for each stream, so that another child's line between the halves changes nothing. Pure.

use super::index::{Found, Hit, WindowIndex, same_prefix};
use super::needle::{Needle, PREFIX_BYTES_MIN};

/// So many bytes of the beginning of a needle at the end of a line are remembered, though they are not marked.
pub(super) const REMEMBERED_BYTES_MIN: usize = 4;

/// So many bytes of the rest on the next line are taken for it.
const REST_BYTES_MIN: usize = 4;

/// A longer indent is none.
const INDENT_BYTES_MAX: usize = 256;

/// Of a value that repeats itself, no more places are followed.
const PLACES_MAX: usize = 256;

/// Where a needle may go on in the next line of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    needle: u32,
    /// The next byte of it.
    offset: usize,
    /// How many bytes of it have come so far.
    bytes: usize,
}

/// What the line before leaves open.
#[derive(Default, Clone)]
pub(super) struct Wrapped {
    places: Vec<Place>,
}

/// Recognises the beginnings of needles at the ends of lines.
#[derive(Default)]
pub(super) struct Beginnings {
    /// One bit for the hash of four bytes; empty without needles.
    filter: Vec<u64>,
    /// `(hash, needle, bytes)`, sorted: the needle's first `bytes` end in four bytes with this hash.
    entries: Vec<(u16, u32, usize)>,
}

impl Beginnings {
    pub(super) fn new(needles: &[Needle]) -> Self {
        let mut entries = Vec::new();
        for (number, needle) in (0..).zip(needles).filter(|(_, it)| it.is_known_by_prefix) {
            for bytes in REMEMBERED_BYTES_MIN..needle.window {
                entries.push((hash(&needle.bytes[..bytes]), number, bytes));
            }
        }
        entries.sort_unstable();
        let words = if entries.is_empty() {
            0
        } else {
            (1 << 16) / 64
        };
        let mut filter = vec![0; words];
        for (hash, _, _) in &entries {
            filter[usize::from(*hash) / 64] |= 1_u64 << (hash % 64);
        }
        Self { filter, entries }
    }

    /// Whether the line that ends at `end` ends in the beginning of a needle. That it may is told by its last bytes,
    /// without a branch.
    #[inline]
    pub(super) fn end_line(&self, needles: &[Needle], text: &[u8], end: usize) -> bool {
        // What is shorter than four bytes ends in no beginning of a needle.
        text[..end]
            .last_chunk::<REMEMBERED_BYTES_MIN>()
            .is_some_and(|last| {
                (is_frame_byte(last[REMEMBERED_BYTES_MIN - 1]) | self.may_hold(hash(last)))
                    && self.end(needles, &text[..end])
            })
    }

    #[cold]
    fn end(&self, needles: &[Needle], text: &[u8]) -> bool {
        let mut any = false;
        // No needle reaches over a line feed, so it makes no difference where the line begins.
        self.of(needles, &text[..trimmed(text)], |_, _| any = true);
        any
    }

    fn may_hold(&self, hash: u16) -> bool {
        let word = self.filter.get(usize::from(hash) / 64);
        word.is_some_and(|word| word >> (hash % 64) & 1 == 1)
    }

    /// Every `(needle, bytes)` with whose first bytes `line` ends.
    fn of(&self, needles: &[Needle], line: &[u8], mut take: impl FnMut(u32, usize)) {
        if line.len() < REMEMBERED_BYTES_MIN || self.entries.is_empty() {
            return;
        }
        let hash = hash(line);
        if !self.may_hold(hash) {
            return;
        }
        let first = self.entries.partition_point(|entry| entry.0 < hash);
        for &(_, needle, bytes) in self.entries[first..].iter().take_while(|it| it.0 == hash) {
            if line.ends_with(&needles[needle as usize].bytes[..bytes]) {
                take(needle, bytes);
            }
        }
    }
}

/// What is needed to follow needles over line ends.
pub(super) struct Wraps<'a> {
    pub(super) needles: &'a [Needle],
    pub(super) windows: &'a WindowIndex,
    pub(super) beginnings: &'a Beginnings,
}

impl Wraps<'_> {
    /// Adds to the hits in `text`, which are those of whole windows, what line ends have cut; `any` may ([`glance`]).
    /// `text` begins where a line begins, or goes on with one that leaves nothing open; its last line ends with it if
    /// `ends`.
    ///
    /// [`glance`]: super::glance
    pub(super) fn follow(
        &self,
        text: &[u8],
        ends: bool,
        any: bool,
        wrapped: &mut Wrapped,
        found: &mut Found,
    ) {
        if !any && wrapped.places.is_empty() && found.hits.is_empty() {
            return;
        }
        found.hits.sort_unstable_by_key(|hit| hit.start);
        let windows = found.hits.len();
        let (mut number, mut reached, mut start) = (0, 0, 0);
        while start < text.len() {
            let line_feed = memchr::memchr(b'\n', &text[start..]);
            let end = line_feed.map_or(text.len(), |step| start + step);
            let line = &text[start..end];
            let seen = start + trimmed(line);
            let before = std::mem::take(wrapped);
            self.go_on(&before, line, start, wrapped, found);
            while number < windows && found.hits[number].start < end {
                reached = reached.max(found.hits[number].end);
                number += 1;
            }
            if line_feed.is_none() && !ends {
                wrapped.places.clear();
                return;
            }
            if seen > start {
                let line = &text[start..seen];
                if reached >= seen {
                    self.windows.ends(self.needles, line, |needle, offset| {
                        wrapped.add(self.needles, needle, offset, PREFIX_BYTES_MIN);
                    });
                }
                self.begin(line, start, wrapped, found);
            }
            start = end + 1;
        }
    }

    /// Looks for the rest of what the line before has left open.
    fn go_on(
        &self,
        before: &Wrapped,
        line: &[u8],
        start: usize,
        wrapped: &mut Wrapped,
        found: &mut Found,
    ) {
        if before.places.is_empty() {
            return;
        }
        let (indent, seen) = (indent(line), trimmed(line));
        if indent >= seen {
            // A line of nothing but frame: the rest may follow.
            wrapped.places.clone_from(&before.places);
            return;
        }
        let mut best: Option<Hit> = None;
        for place in &before.places {
            let rest = &self.needles[place.needle as usize].bytes[place.offset..];
            let (at, bytes) = rest_in(line, indent, rest);
            found.bytes_compared += bytes as u64 + 1;
            let (reaches_end, is_whole) = (at + bytes >= seen, bytes == rest.len());
            let together = place.bytes + bytes;
            let window = self.needles[place.needle as usize].window;
            let enough = if place.bytes >= PREFIX_BYTES_MIN {
                bytes >= REST_BYTES_MIN || is_whole
            } else {
                together >= window || reaches_end && together >= PREFIX_BYTES_MIN
            };
            if bytes == 0 || !enough {
                continue;
            }
            if best.is_none_or(|best| best.end < start + at + bytes) {
                best = Some(Hit {
                    start: start + at,
                    end: start + at + bytes,
                    needle: place.needle,
                    offset: place.offset,
                });
            }
            if reaches_end {
                let offset = place.offset + bytes;
                wrapped.add(self.needles, place.needle, offset, together);
            }
        }
        found.hits.extend(best);
    }

    /// Marks and remembers the beginnings of needles in which `line` ends.
    fn begin(&self, line: &[u8], start: usize, wrapped: &mut Wrapped, found: &mut Found) {
        let mut longest: Option<(u32, usize)> = None;
        self.beginnings.of(self.needles, line, |needle, bytes| {
            if bytes >= PREFIX_BYTES_MIN && longest.is_none_or(|(_, known)| known < bytes) {
                longest = Some((needle, bytes));
            }
            wrapped.add(self.needles, needle, bytes, bytes);
        });
        found.hits.extend(longest.map(|(needle, bytes)| Hit {
            start: start + line.len() - bytes,
            end: start + line.len(),
            needle,
            offset: 0,
        }));
    }
}

impl Wrapped {
    fn add(&mut self, needles: &[Needle], needle: u32, offset: usize, bytes: usize) {
        let is_whole = offset == needles[needle as usize].bytes.len();
        let place = Place {
            needle,
            offset,
            bytes,
        };
        if !is_whole && self.places.len() < PLACES_MAX && !self.places.contains(&place) {
            self.places.push(place);
        }
    }
}

/// Where in `line` the rest of a needle begins, and how many bytes of it are there: behind the indent, or, if it begins
/// with a character that could belong to one, earlier.
fn rest_in(line: &[u8], indent: usize, rest: &[u8]) -> (usize, usize) {
    let begins_like_frame = rest
        .first()
        .is_some_and(|byte| is_frame_byte(*byte) || *byte == b'>');
    let from = if begins_like_frame { 0 } else { indent };
    let places = (from..=indent).map(|at| (at, same_prefix(&line[at..], rest, rest.len())));
    places
        .rev()
        .max_by_key(|&(_, bytes)| bytes)
        .unwrap_or((indent, 0))
}

/// How many bytes at the beginning of a line are blanks, `|`, `>` and characters that draw boxes.
fn indent(line: &[u8]) -> usize {
    let mut rest = &line[..line.len().min(INDENT_BYTES_MAX)];
    let whole = rest.len();
    loop {
        rest = match rest {
            // The last are U+2500 to U+259F.
            [b' ' | b'\t' | b'|' | b'>', after @ ..]
            | [0xe2, 0x94..=0x96, 0x80..=0xbf, after @ ..] => after,
            _ => return whole - rest.len(),
        };
    }
}

/// The length of a line without the blanks and the frame at its end.
fn trimmed(line: &[u8]) -> usize {
    let least = line.len().saturating_sub(INDENT_BYTES_MAX);
    let mut rest = line;
    while rest.len() > least {
        rest = match rest {
            [before @ .., b' ' | b'\t' | b'|'] | [before @ .., 0xe2, 0x94..=0x96, 0x80..=0xbf] => {
                before
            }
            _ => break,
        };
    }
    rest.len()
}

/// Whether a byte may end (or be) what [`trimmed`] takes away.
const fn is_frame_byte(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'|' | 0x80..=0xbf)
}

/// The hash of the last four bytes.
fn hash(bytes: &[u8]) -> u16 {
    let last = bytes.last_chunk().copied().unwrap_or_default();
    (u32::from_le_bytes(last).wrapping_mul(0x9E37_79B1) >> 16) as u16
}
