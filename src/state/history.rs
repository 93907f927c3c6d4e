//! What the journal says, in memory: the last record of every item.
//!
//! Made from the journal's bytes by `journal.rs`, asked by the plan. The deciding part of reading stands here
//! too: which end of a file is the rest of a write that was cut short, and which is damage ([`judge_end`]).
//! Pure: no files, no clock.
//!
//! # Torn or damaged
//!
//! A write appends whole lines and is not acknowledged before its fdatasync came back. So only the bytes of the
//! *last* write can be missing without anybody having been told that they were there, and this is how such a
//! write looks afterwards:
//!
//! - Its beginning only (killed in the middle, disk full, size not yet on disk): whole lines, then a last line
//!   **without a newline**. The whole lines are records like any other; the last line is torn, even when only
//!   the newline is missing.
//! - After a power cut, its full length but with **blocks of zeros** in it: a file system may make the new size
//!   durable before the data, or some blocks before others. What was never written reads as zeros, from the old
//!   end of the file or a block's start to a block's end or the end of the file. JSON has no zero bytes.
//!
//! Everything else after the last good line is damage, which is never guessed around. Above all:
//!
//! - A last line that has its newline but a wrong checksum. A tear takes the end of a line away first; a line
//!   that has its end was written whole, perhaps acknowledged, and changed later.
//! - Anything that a sealed line follows. What stands before the last write was durable before that
//!   write began, and whether a sealed line belongs to it cannot be told. (A power cut that loses a block in the
//!   middle of several records can look so; it is rare enough for a person to decide.)
//! - More bytes than one write can have.
//! - A sealed line whose newline became something else.
//!
//! Whole records that somebody removed from the end leave a shorter journal that is right in itself; no journal
//! can know better.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::record::{Defect, Head, Outcome, RECORD_BYTES_MAX, header_line, unseal};
use crate::items::item::ItemId;

/// How many records one write to the journal may have.
pub const RECORDS_PER_WRITE_MAX: usize = 256;
/// How many bytes one write to the journal may have, and so the rest of one that was cut short.
pub const WRITE_BYTES_MAX: usize = RECORDS_PER_WRITE_MAX * RECORD_BYTES_MAX;
/// Storage loses or keeps data in blocks of this many bytes, or multiples.
const BLOCK_BYTES: u64 = 512;

/// What the last record of an item says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last<'a> {
    /// How the attempt ended.
    pub outcome: Outcome,
    /// Which attempt it was.
    pub attempt: u32,
    /// The item's content when that attempt began.
    pub content_hash: &'a str,
}

/// The last record of every item, and what there is to say about the journal.
///
/// One buffer of text and a table of places in it: about 120 bytes an item, its SHA-256 included.
#[derive(Debug, Default)]
pub struct History {
    text: String,
    entries: Vec<Entry>,
    table: HashTable<Slot>,
    hasher: RandomState,
    records: u64,
    notes: Vec<String>,
}

/// The place of an item in `entries`, with enough of its id's hash to grow the table, and to tell nearly every
/// other item apart, without looking at the text: at a million items, each look is a cache miss.
#[derive(Debug, Clone, Copy)]
struct Slot {
    tag: u32,
    index: u32,
}

impl Slot {
    /// Spreads the tag over the bits that the table looks at, its lowest and highest (Fibonacci hashing).
    const fn spread(tag: u32) -> u64 {
        (tag as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Where the text of an item stands: its id, then its content hash.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    attempt: u32,
    id_bytes: u16,
    hash_bytes: u16,
    outcome: Outcome,
}

impl Entry {
    fn hash_start(&self) -> usize {
        self.start + usize::from(self.id_bytes)
    }

    fn id<'a>(&self, text: &'a str) -> &'a str {
        &text[self.start..self.hash_start()]
    }

    fn content_hash<'a>(&self, text: &'a str) -> &'a str {
        &text[self.hash_start()..][..usize::from(self.hash_bytes)]
    }
}

impl History {
    /// The last record of `item`.
    #[must_use]
    pub fn last(&self, item: &ItemId) -> Option<Last<'_>> {
        let entry = &self.entries[self.find(item.as_str(), self.tag(item.as_str()))?];
        Some(Last {
            outcome: entry.outcome,
            attempt: entry.attempt,
            content_hash: entry.content_hash(&self.text),
        })
    }

    /// How many records the journal has.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// How many items have a record.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.entries.len()
    }

    /// The ids of all items that have a record.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.id(&self.text))
    }

    /// What a person should be told: one sentence each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Takes the next record in.
    pub(super) fn take(&mut self, head: &Head<'_>) {
        self.records += 1;
        let tag = self.tag(head.item);
        let Some(index) = self.find(head.item, tag) else {
            let index = u32::try_from(self.entries.len()).expect("four billion ids are a terabyte");
            self.entries.push(appended(&mut self.text, head));
            let slot = Slot { tag, index };
            self.table
                .insert_unique(Slot::spread(tag), slot, |slot| Slot::spread(slot.tag));
            return;
        };
        let entry = &mut self.entries[index];
        entry.outcome = head.outcome;
        entry.attempt = head.attempt;
        if entry.content_hash(&self.text) != head.content_hash {
            *entry = appended(&mut self.text, head);
        }
    }

    fn tag(&self, id: &str) -> u32 {
        (self.hasher.hash_one(id) >> 32) as u32
    }

    fn find(&self, id: &str, tag: u32) -> Option<usize> {
        let is_it =
            |slot: &Slot| slot.tag == tag && self.entries[slot.index as usize].id(&self.text) == id;
        self.table
            .find(Slot::spread(tag), is_it)
            .map(|slot| slot.index as usize)
    }
}

/// Adds an item's text to the buffer. What stood there for it before stays behind: content seldom changes.
fn appended(text: &mut String, head: &Head<'_>) -> Entry {
    let short = |part: &str| u16::try_from(part.len()).expect("a record is shorter than 64 KiB");
    const {
        assert!(
            RECORD_BYTES_MAX < u16::MAX as usize,
            "an entry holds lengths in 16 bits"
        );
    };
    let start = text.len();
    text.push_str(head.item);
    text.push_str(&head.content_hash);
    Entry {
        start,
        attempt: head.attempt,
        id_bytes: short(head.item),
        hash_bytes: short(&head.content_hash),
        outcome: head.outcome,
    }
}

/// Says whether `end`, all that follows the last good line, is the rest of a write that was cut short.
///
/// `offset` is where it begins in the file, and `defect` what is wrong with its first line. An empty end is torn
/// only at the very start, where a header has to be.
///
/// # Errors
///
/// The damage.
pub fn judge_end(end: &[u8], offset: u64, defect: Defect) -> Result<(), Defect> {
    if end.len() > WRITE_BYTES_MAX {
        return Err(defect);
    }
    if offset == 0 {
        // The header is written whole and renamed into place: only what can be a piece of it may be taken away.
        let torn = header_line().0.starts_with(end) || end.iter().all(|&byte| byte == 0);
        return if torn { Ok(()) } else { Err(defect) };
    }
    let (whole, last) = match memchr::memrchr(b'\n', end) {
        Some(newline) => end.split_at(newline + 1),
        None => (&[][..], end),
    };
    if whole
        .split(|&byte| byte == b'\n')
        .any(|line| unseal(line).is_some())
    {
        return Err(defect);
    }
    if has_lost_block(end, offset) {
        return Ok(());
    }
    let newline_changed = last
        .split_last()
        .is_some_and(|(_, line)| unseal(line).is_some());
    if whole.is_empty() && !newline_changed {
        Ok(())
    } else {
        Err(defect)
    }
}

/// Whether the first line of `end` is bad because of blocks that never reached the disk: it has a run of zeros
/// from the start of `end` or of a block, to the end of `end` or of a block.
fn has_lost_block(end: &[u8], offset: u64) -> bool {
    let at_block = |index: usize| (offset + index as u64).is_multiple_of(BLOCK_BYTES);
    let first_line = &end[..memchr::memchr(b'\n', end).unwrap_or(end.len())];
    let mut index = 0;
    while let Some(zero) = memchr::memchr(0, &first_line[index..]) {
        let start = index + zero;
        index = start
            + first_line[start..]
                .iter()
                .take_while(|&&byte| byte == 0)
                .count();
        if (start == 0 || at_block(start)) && (index == end.len() || at_block(index)) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::super::record::tests::sample;
    use super::super::record::{Position, write_line};
    use super::*;

    fn head<'a>(item: &'a str, outcome: Outcome, attempt: u32, hash: &'a str) -> Head<'a> {
        Head {
            item,
            outcome,
            attempt,
            content_hash: Cow::Borrowed(hash),
        }
    }

    fn line() -> Vec<u8> {
        let mut line = Vec::new();
        write_line(
            &mut line,
            Position {
                sequence: 6,
                checksum: 1,
            },
            &sample("a", Outcome::Done, 1),
        )
        .unwrap();
        line
    }

    #[test]
    fn the_last_record_of_an_item_counts() {
        let mut history = History::default();
        for (item, outcome, attempt, hash) in [
            ("a", Outcome::Failed, 1, "h1"),
            ("b", Outcome::Done, 1, ""),
            ("a", Outcome::Done, 2, "h1"),
            ("ab", Outcome::Interrupted, 1, "h1"),
            ("b", Outcome::TimedOut, 2, "a longer one"),
        ] {
            history.take(&head(item, outcome, attempt, hash));
        }
        let last = |item: &str| history.last(&ItemId::new(item).unwrap());
        assert_eq!(
            last("a"),
            Some(Last {
                outcome: Outcome::Done,
                attempt: 2,
                content_hash: "h1"
            })
        );
        assert_eq!(
            last("b"),
            Some(Last {
                outcome: Outcome::TimedOut,
                attempt: 2,
                content_hash: "a longer one"
            })
        );
        assert_eq!(last("ab").unwrap().outcome, Outcome::Interrupted);
        assert_eq!(last("ah1"), None);
        assert_eq!((history.records(), history.items()), (5, 3));
    }

    /// Judged in the middle of a file, 24 bytes before the end of a block.
    fn is_torn(end: &[u8]) -> bool {
        judge_end(end, 1000, Defect::Checksum).is_ok()
    }

    fn flipped(at: usize, flip: u8) -> Vec<u8> {
        let mut line = line();
        line[at] ^= flip;
        line
    }

    #[test]
    fn the_beginning_of_a_write_is_torn() {
        let line = line();
        for cut in 1..line.len() {
            assert!(is_torn(&line[..cut]), "cut at {cut}");
        }
    }

    #[test]
    fn a_write_that_lost_blocks_is_torn() {
        let line = line();
        assert!(is_torn(&[0; 300]));
        assert!(is_torn(&[&line[..24], &[0; 300]].concat()));
        assert!(is_torn(&[&[0; 24], &line[50..]].concat()));
        assert!(is_torn(&[&[0; 24], &line[50..], &line[..9]].concat()));
        assert!(
            !is_torn(&[&[0; 23], &line[50..]].concat()),
            "no block ends there"
        );
        assert!(
            !is_torn(&[&[0; 24], &b"\n"[..], &line].concat()),
            "a sealed line follows"
        );
        assert!(
            !is_torn(&[&flipped(9, 1), &line[..24], &[0; 300]].concat()),
            "the block is not in the bad line"
        );
    }

    #[test]
    fn everything_else_is_damage() {
        let line = line();
        let end = line.len() - 1;
        for at in 0..=end {
            assert!(!is_torn(&flipped(at, 1)), "a bit of byte {at} flipped");
        }
        assert!(!is_torn(&flipped(50, line[50])), "a byte became zero");
        assert!(!is_torn(&line), "a sealed line in the wrong place");
        assert!(
            !is_torn(&[&flipped(9, 1), &line[..9]].concat()),
            "a flipped line, then half a line"
        );
        assert!(
            !is_torn(&[&line[..9], b"\n", &line[..]].concat()),
            "half a line, then a sealed one"
        );
        assert!(
            !is_torn(&vec![b'x'; WRITE_BYTES_MAX + 1]),
            "more than a write"
        );
    }

    #[test]
    fn at_the_very_start_only_a_piece_of_a_header_is_torn() {
        let header = header_line().0;
        for torn in [
            &b""[..],
            &header[..1],
            &header[..header.len() - 1],
            &[0; 20],
        ] {
            assert_eq!(judge_end(torn, 0, Defect::Checksum), Ok(()));
        }
        for other in [&b"hello"[..], b"\n", &line()] {
            assert_eq!(judge_end(other, 0, Defect::Checksum), Err(Defect::Checksum));
        }
    }

    proptest! {
        /// A write of four records lost everything from some block on.
        #[test]
        fn lost_blocks_at_the_end_are_torn_wherever_the_write_began(start in 0..512_u64, lost in 0..2_u64) {
            let offset = 4096 + start;
            let mut write = line().repeat(4);
            let from = usize::try_from((start + lost * 512).next_multiple_of(512) - start).unwrap();
            write[from..].fill(0);
            let bad = memchr::memrchr(b'\n', &write).map_or(0, |newline| newline + 1);
            prop_assert_eq!(judge_end(&write[bad..], offset + bad as u64, Defect::Checksum), Ok(()));
        }

        #[test]
        fn the_history_agrees_with_a_plain_map(
            records in proptest::collection::vec(("[ab]{1,2}", 0..2_usize, any::<u32>(), "[xy\u{e9}]{0,3}"), 0..60)
        ) {
            let mut history = History::default();
            let mut map = HashMap::new();
            for (item, outcome, attempt, hash) in &records {
                let outcome = [Outcome::Done, Outcome::Failed][*outcome];
                history.take(&head(item, outcome, *attempt, hash));
                map.insert(item, Last { outcome, attempt: *attempt, content_hash: hash });
            }
            prop_assert_eq!(history.items(), map.len());
            for (item, last) in map {
                prop_assert_eq!(history.last(&ItemId::new(item).unwrap()), Some(last));
            }
        }
    }
}
