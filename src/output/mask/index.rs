//! Finds every stretch of a text that shares a window with a needle, at the cost of a look-up every few bytes.
//!
//! A run of `window` bytes holds, at one of any `window − gram + 1` places in a row, a whole *gram* of `gram` bytes. So
//! it is enough to look at the gram at each `stride`-th place of a text: a bit set of the grams of all needles turns
//! nearly every one down, and the rest is compared. Every window of every needle counts, so reads, wraps, cuts and the
//! edges of base64 need nothing special here. Pure.

use zeroize::Zeroizing;

use super::needle::Needle;

/// What needles with windows of at least sixteen bytes are looked up by.
const LONG_GRAM_BYTES: usize = 8;

/// What the others are looked up by.
const SHORT_GRAM_BYTES: usize = 4;

/// From so many bytes on, a window is long.
const LONG_WINDOW_BYTES: usize = 16;

/// The bit set has this many bits for each gram, as a power of two: one sample in 2⁵ or more is compared in vain.
const FILTER_BITS_PER_GRAM_LOG2: u32 = 5;

const FILTER_BITS_LOG2_MIN: u32 = 12;
const FILTER_BITS_LOG2_MAX: u32 = 24;
const BITS_PER_WORD: usize = 64;

/// A stretch of a text that is found in a needle, at least a window long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Which needle.
    pub(super) needle: u32,
    /// Where in the needle it begins.
    pub(super) offset: usize,
}

/// What a search has come upon.
#[derive(Default)]
pub(super) struct Found {
    /// By their beginning, more or less.
    pub(super) hits: Vec<Hit>,
    /// How many bytes were compared beyond the look-ups, so that a test can tell that hostile text is bounded.
    pub(super) bytes_compared: u64,
}

/// All windows of all needles.
#[derive(Default)]
pub(super) struct WindowIndex {
    long: GramIndex,
    short: GramIndex,
}

impl WindowIndex {
    pub(super) fn new(needles: &[Needle]) -> Self {
        let is_long = |needle: &Needle| needle.window >= LONG_WINDOW_BYTES;
        Self {
            long: GramIndex::new(needles, LONG_GRAM_BYTES, is_long),
            short: GramIndex::new(needles, SHORT_GRAM_BYTES, |needle| !is_long(needle)),
        }
    }

    /// Appends every stretch of `text` that shares a window with a needle; a long one may come in several pieces.
    pub(super) fn search(&self, needles: &[Needle], text: &[u8], found: &mut Found) {
        self.long.search(needles, text, found);
        self.short.search(needles, text, found);
    }

    /// Every `(needle, offset)` such that the window of `needle` before `offset` ends `text`.
    pub(super) fn ends(&self, needles: &[Needle], text: &[u8], mut take: impl FnMut(u32, usize)) {
        for index in [&self.long, &self.short] {
            index.ends(needles, text, &mut take);
        }
    }
}

/// Where a gram stands in a needle.
#[derive(Clone, Copy)]
struct Occurrence {
    hash: u32,
    needle: u32,
    offset: u32,
    /// Everything that is found by way of it is found by way of another one too.
    is_idle: bool,
}

#[derive(Default)]
struct GramIndex {
    gram_bytes: usize,
    /// The distance between samples, in bytes; 0 without needles.
    stride: usize,
    filter: Zeroizing<Vec<u64>>,
    /// How far the hash is shifted to be the number of a bit of the filter.
    filter_shift: u32,
    /// Where the occurrences of a bucket begin; the next bucket's beginning ends them.
    buckets: Vec<u32>,
    bucket_shift: u32,
    /// By hash; those that are not idle come first.
    occurrences: Vec<Occurrence>,
}

impl GramIndex {
    fn new(needles: &[Needle], gram_bytes: usize, belongs: impl Fn(&Needle) -> bool) -> Self {
        let mut occurrences = Vec::new();
        let mut window_min = usize::MAX;
        for (number, needle) in (0..).zip(needles).filter(|(_, needle)| belongs(needle)) {
            window_min = window_min.min(needle.window);
            for (offset, gram) in (0..).zip(needle.bytes.windows(gram_bytes)) {
                occurrences.push(Occurrence {
                    hash: hash(gram),
                    needle: number,
                    offset,
                    is_idle: false,
                });
            }
        }
        if occurrences.is_empty() {
            return Self::default();
        }
        occurrences.sort_unstable_by_key(|it| (it.hash, it.needle, it.offset));
        for same in occurrences.chunk_by_mut(|one, other| one.hash == other.hash) {
            set_idle(needles, gram_bytes, same);
        }
        let count_log2 = usize::BITS - occurrences.len().leading_zeros();
        let filter_log2 = count_log2 + FILTER_BITS_PER_GRAM_LOG2;
        let filter_log2 = filter_log2.clamp(FILTER_BITS_LOG2_MIN, FILTER_BITS_LOG2_MAX);
        // Blocks one after the other are faster to read than what lies a byte further apart.
        let stride = (window_min - gram_bytes + 1).min(LONG_GRAM_BYTES);
        let mut index = Self {
            gram_bytes,
            stride,
            filter: Zeroizing::new(vec![0; (1 << filter_log2) / BITS_PER_WORD]),
            filter_shift: u32::BITS - filter_log2,
            buckets: vec![0; (1 << count_log2) + 1],
            bucket_shift: u32::BITS - count_log2,
            occurrences,
        };
        index.fill();
        index
    }

    fn fill(&mut self) {
        let shift = self.bucket_shift;
        let key = |it: &Occurrence| (it.hash >> shift, it.is_idle, it.hash, it.needle, it.offset);
        self.occurrences.sort_unstable_by_key(key);
        for occurrence in &self.occurrences {
            let bit = (occurrence.hash >> self.filter_shift) as usize;
            self.filter[bit / BITS_PER_WORD] |= 1 << (bit % BITS_PER_WORD);
            self.buckets[(occurrence.hash >> shift) as usize + 1] += 1;
        }
        let mut before = 0;
        for bucket in &mut self.buckets {
            before += *bucket;
            *bucket = before;
        }
    }

    fn bucket(&self, hash: u32) -> &[Occurrence] {
        let bucket = (hash >> self.bucket_shift) as usize;
        &self.occurrences[self.buckets[bucket] as usize..self.buckets[bucket + 1] as usize]
    }

    fn may_hold(&self, hash: u32) -> bool {
        self.bit(hash) == 1
    }

    fn bit(&self, hash: u32) -> u64 {
        let bit = (hash >> self.filter_shift) as usize;
        self.filter[bit / BITS_PER_WORD] >> (bit % BITS_PER_WORD) & 1
    }

    fn search(&self, needles: &[Needle], text: &[u8], found: &mut Found) {
        match (self.stride, self.gram_bytes) {
            (0, _) => {}
            (_, LONG_GRAM_BYTES) => self.search_long(needles, text, found),
            (stride, _) => {
                let mut place = 0;
                while let Some(gram) = text[place..].first_chunk::<SHORT_GRAM_BYTES>() {
                    let hash = hash_short(*gram);
                    if self.may_hold(hash) {
                        self.compare_at(needles, text, place, hash, found);
                    }
                    place = text.len().min(place + stride);
                }
            }
        }
    }

    /// A run of sixteen bytes holds a whole block of eight. Four of them are looked up at once, so that the processor
    /// need not wait for one before the next.
    fn search_long(&self, needles: &[Needle], text: &[u8], found: &mut Found) {
        let (blocks, _) = text.as_chunks::<LONG_GRAM_BYTES>();
        let (fours, rest) = blocks.as_chunks::<4>();
        for (number, four) in fours.iter().enumerate() {
            let hashes = four.map(hash_long);
            if hashes.iter().fold(0, |any, hash| any | self.bit(*hash)) == 0 {
                continue;
            }
            for (within, hash) in hashes.into_iter().enumerate() {
                if self.may_hold(hash) {
                    let place = (4 * number + within) * LONG_GRAM_BYTES;
                    self.compare_at(needles, text, place, hash, found);
                }
            }
        }
        for (number, block) in (4 * fours.len()..).zip(rest) {
            let hash = hash_long(*block);
            if self.may_hold(hash) {
                self.compare_at(needles, text, number * LONG_GRAM_BYTES, hash, found);
            }
        }
    }

    #[cold]
    fn compare_at(
        &self,
        needles: &[Needle],
        text: &[u8],
        place: usize,
        hash: u32,
        found: &mut Found,
    ) {
        for occurrence in self.bucket(hash) {
            if occurrence.is_idle {
                break;
            }
            if occurrence.hash != hash {
                continue;
            }
            let needle = &needles[occurrence.needle as usize];
            let value = &needle.bytes[..];
            let offset = occurrence.offset as usize;
            let beyond = needle.window - self.gram_bytes;
            let left = same_suffix(&text[..place], &value[..offset], beyond);
            let most = self.gram_bytes + beyond;
            let right = same_prefix(&text[place..], &value[offset..], most);
            found.bytes_compared += (left + right) as u64;
            if right >= self.gram_bytes && left + right >= needle.window {
                found.push(Hit {
                    start: place - left,
                    end: place + right,
                    needle: occurrence.needle,
                    offset: offset - left,
                });
            }
        }
    }

    fn ends(&self, needles: &[Needle], text: &[u8], take: &mut impl FnMut(u32, usize)) {
        if self.stride == 0 || text.len() < self.gram_bytes {
            return;
        }
        let gram = &text[text.len() - self.gram_bytes..];
        let hash = hash(gram);
        for occurrence in self.bucket(hash).iter().filter(|it| it.hash == hash) {
            let needle = &needles[occurrence.needle as usize];
            let end = occurrence.offset as usize + self.gram_bytes;
            if end >= needle.window && text.ends_with(&needle.bytes[end - needle.window..end]) {
                take(occurrence.needle, end);
            }
        }
    }
}

impl Found {
    /// Adds a hit, to the hit of the sample before if both are pieces of one stretch.
    fn push(&mut self, hit: Hit) {
        /// How far back that one may stand when several needles are found at once.
        const LOOK_BACK: usize = 8;
        let same_stretch = |known: &&mut Hit| {
            known.needle == hit.needle
                && known.end >= hit.start
                && known.start <= hit.start
                && hit.start - known.start + known.offset == hit.offset
        };
        let mut last = self.hits.iter_mut().rev().take(LOOK_BACK);
        match last.find(same_stretch) {
            Some(known) => known.end = known.end.max(hit.end),
            None => self.hits.push(hit),
        }
    }
}

/// Of occurrences of the same gram, marks those whose surroundings are part of the surroundings of another one with the
/// same label: a value that repeats itself would be compared with itself at every place.
fn set_idle(needles: &[Needle], gram_bytes: usize, same: &mut [Occurrence]) {
    let surroundings = |it: &Occurrence| {
        let needle = &needles[it.needle as usize];
        let offset = it.offset as usize;
        let beyond = needle.window - gram_bytes;
        let start = offset.saturating_sub(beyond);
        let end = needle.bytes.len().min(offset + gram_bytes + beyond);
        (&needle.bytes[start..offset], &needle.bytes[offset..end])
    };
    let covers = |one: &Occurrence, other: &Occurrence| {
        let (wide, narrow) = (surroundings(one), surroundings(other));
        let window = |it: &Occurrence| needles[it.needle as usize].window;
        let label = |it: &Occurrence| needles[it.needle as usize].label;
        label(one) == label(other)
            && window(one) == window(other)
            && wide.0.ends_with(narrow.0)
            && wide.1.starts_with(narrow.1)
    };
    let mut kept: Vec<usize> = Vec::new();
    for place in 0..same.len() {
        if kept.iter().any(|&known| covers(&same[known], &same[place])) {
            same[place].is_idle = true;
            continue;
        }
        kept.retain(|&known| {
            same[known].is_idle = covers(&same[place], &same[known]);
            !same[known].is_idle
        });
        kept.push(place);
    }
}

/// How many bytes, at most `most`, both begin with.
pub(super) fn same_prefix(one: &[u8], other: &[u8], most: usize) -> usize {
    let pairs = one.iter().zip(other).take(most);
    pairs.take_while(|(one, other)| one == other).count()
}

fn same_suffix(one: &[u8], other: &[u8], most: usize) -> usize {
    let pairs = one.iter().rev().zip(other.iter().rev()).take(most);
    pairs.take_while(|(one, other)| one == other).count()
}

fn hash(gram: &[u8]) -> u32 {
    if let Ok(gram) = gram.try_into() {
        return hash_long(gram);
    }
    gram.try_into().map_or(0, hash_short)
}

/// Multiplicative hashing (Knuth, TAOCP 6.4); the upper bits are the good ones.
fn hash_long(gram: [u8; LONG_GRAM_BYTES]) -> u32 {
    (u64::from_le_bytes(gram).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

fn hash_short(gram: [u8; SHORT_GRAM_BYTES]) -> u32 {
    u32::from_le_bytes(gram).wrapping_mul(0x9E37_79B1)
}
