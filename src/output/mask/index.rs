//! Finds every stretch of a text that shares a window with a needle, at the cost of a look-up every few bytes.
//!
//! A run of `window` bytes holds, at one of any `window − gram + 1` places in a row, a whole *gram* of `gram` bytes. So
//! it is enough to look at the gram at each `stride`-th place of a text: a filter of the grams of all needles turns
//! nearly every one down, and the rest is compared. Every window of every needle counts, so reads, wraps, cuts and the
//! edges of base64 need nothing special here. Pure.

use zeroize::Zeroizing;

use super::needle::{Needle, SECRET_BYTES_MIN};

/// From so many bytes on, a window is long.
const LONG_WINDOW_BYTES: usize = 16;

/// Of long windows, of any that begin in twelve places in a row, one holds the sampled five bytes.
type LongGrams = GramIndex<5, { LONG_WINDOW_BYTES - 5 + 1 }>;

/// Of the others, which have at least as many bytes as a secret, this holds for five places.
type ShortGrams = GramIndex<4, { SECRET_BYTES_MIN - 4 + 1 }>;

/// Samples are looked up by so many at once, so that the processor need not wait for one before the next.
const SAMPLES_AT_ONCE: usize = 4;

/// How many words a filter has, for few grams, more, and many: 4, 32 and 128 KiB. The smaller it is, the less of it
/// falls out of the processor's caches while blocks go through them.
const FEW_WORDS: usize = 1 << 9;
const MORE_WORDS: usize = 1 << 12;
const MANY_WORDS: usize = 1 << 14;

/// So many bits for each gram let one sample in 80 be compared in vain; with a hundred keys, for which there are fewer,
/// it is one in 20.
const FILTER_BITS_PER_GRAM: usize = 16;

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
    long: LongGrams,
    short: ShortGrams,
}

impl WindowIndex {
    pub(super) fn new(needles: &[Needle]) -> Self {
        let is_long = |needle: &Needle| needle.window >= LONG_WINDOW_BYTES;
        Self {
            long: GramIndex::new(needles, is_long),
            short: GramIndex::new(needles, |needle| !is_long(needle)),
        }
    }

    /// Appends every stretch of `text` that shares a window with a needle; a long one may come in several pieces.
    pub(super) fn search(&self, needles: &[Needle], text: &[u8], found: &mut Found) {
        self.long.search(needles, text, found);
        self.short.search(needles, text, found);
    }

    /// Every `(needle, offset)` such that the window of `needle` before `offset` ends `text`.
    pub(super) fn ends(&self, needles: &[Needle], text: &[u8], mut take: impl FnMut(u32, usize)) {
        self.long.ends(needles, text, &mut take);
        self.short.ends(needles, text, &mut take);
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

/// Windows by their grams of `GRAM` bytes, for texts that are looked at every `STRIDE` bytes.
#[derive(Default)]
struct GramIndex<const GRAM: usize, const STRIDE: usize> {
    /// Each gram sets two bits of one word (a blocked Bloom filter).
    filter: Zeroizing<Vec<u64>>,
    /// Where the occurrences of a bucket begin; the next bucket's beginning ends them.
    buckets: Vec<u32>,
    bucket_shift: u32,
    /// By hash; those that are not idle come first.
    occurrences: Vec<Occurrence>,
}

impl<const GRAM: usize, const STRIDE: usize> GramIndex<GRAM, STRIDE> {
    fn new(needles: &[Needle], belongs: impl Fn(&Needle) -> bool) -> Self {
        let mut occurrences = Vec::new();
        for (number, needle) in (0..).zip(needles).filter(|(_, needle)| belongs(needle)) {
            for (offset, gram) in (0..).zip(needle.bytes.windows(GRAM)) {
                occurrences.push(Occurrence {
                    hash: hash::<GRAM>(gram),
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
            set_idle(needles, GRAM, same);
        }
        let count_log2 = usize::BITS - occurrences.len().leading_zeros();
        let wanted = occurrences.len() * FILTER_BITS_PER_GRAM / 64;
        let enough = [FEW_WORDS, MORE_WORDS].into_iter().find(|&it| it >= wanted);
        let words = enough.unwrap_or(MANY_WORDS);
        let mut index = Self {
            filter: Zeroizing::new(vec![0; words]),
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
            let [one, other] = bits(occurrence.hash);
            let word = word(occurrence.hash, self.filter.len());
            self.filter[word] |= 1 << one | 1 << other;
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

    fn search(&self, needles: &[Needle], text: &[u8], found: &mut Found) {
        match self.filter.len() {
            FEW_WORDS => self.search_with::<FEW_WORDS>(needles, text, found),
            MORE_WORDS => self.search_with::<MORE_WORDS>(needles, text, found),
            _ => self.search_with::<MANY_WORDS>(needles, text, found),
        }
    }

    /// The same with a filter of `WORDS`, which is known while this is compiled, as it is asked so often.
    fn search_with<const WORDS: usize>(&self, needles: &[Needle], text: &[u8], found: &mut Found) {
        let Some(filter) = self.filter.first_chunk::<WORDS>() else {
            return;
        };
        let mut compare = |place, hash| {
            if may_hold(filter, hash) == 1 {
                self.compare_at(needles, text, place, hash, found);
            }
        };
        let stretches = text.chunks_exact(SAMPLES_AT_ONCE * STRIDE);
        let rest = text.len() - stretches.remainder().len();
        for (number, stretch) in stretches.enumerate() {
            let hashes: [u32; SAMPLES_AT_ONCE] =
                std::array::from_fn(|sample| hash::<GRAM>(&stretch[sample * STRIDE..]));
            if hashes
                .iter()
                .fold(0, |any, hash| any | may_hold(filter, *hash))
                == 0
            {
                continue;
            }
            for (sample, hash) in hashes.into_iter().enumerate() {
                compare((number * SAMPLES_AT_ONCE + sample) * STRIDE, hash);
            }
        }
        let last = (text.len() + 1).saturating_sub(GRAM);
        for place in (rest..last).step_by(STRIDE) {
            compare(place, hash::<GRAM>(&text[place..]));
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
            let beyond = needle.window - GRAM;
            let left = same_suffix(&text[..place], &value[..offset], beyond);
            let right = same_prefix(&text[place..], &value[offset..], GRAM + beyond);
            found.bytes_compared += (left + right) as u64;
            if right >= GRAM && left + right >= needle.window {
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
        let Some(gram) = text.last_chunk::<GRAM>() else {
            return;
        };
        if self.occurrences.is_empty() {
            return;
        }
        let hash = hash::<GRAM>(gram);
        for occurrence in self.bucket(hash).iter().filter(|it| it.hash == hash) {
            let needle = &needles[occurrence.needle as usize];
            let end = occurrence.offset as usize + GRAM;
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

/// The hash of the first `GRAM` bytes, of at most eight: multiplicative hashing (Knuth, TAOCP 6.4).
fn hash<const GRAM: usize>(bytes: &[u8]) -> u32 {
    let word = if let (5.., Some(eight)) = (GRAM, bytes.first_chunk()) {
        // One load, where there is room for it.
        u64::from_le_bytes(*eight) & (u64::MAX >> (u64::BITS as usize - 8 * GRAM))
    } else {
        let mut padded = [0; 8];
        padded[..GRAM].copy_from_slice(&bytes[..GRAM]);
        u64::from_le_bytes(padded)
    };
    (word.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

/// 1 if a gram may have this hash.
fn may_hold<const WORDS: usize>(filter: &[u64; WORDS], hash: u32) -> u64 {
    let [one, other] = bits(hash);
    let word = filter[word(hash, WORDS)];
    word >> one & word >> other & 1
}

/// Which word of a filter of so many a hash belongs to.
const fn word(hash: u32, words: usize) -> usize {
    (hash >> (u32::BITS - words.ilog2())) as usize
}

/// Which bits of a word of the filter stand for a hash: its lower half says so, as the upper bits choose the word.
const fn bits(hash: u32) -> [u32; 2] {
    [hash >> 5 & 0x3f, hash >> 11 & 0x3f]
}
