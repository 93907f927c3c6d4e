//! What the journal says, in memory: the last record of every item.
//!
//! Made from the journal's bytes by `journal.rs`, asked by the plan. The deciding part of reading stands here
//! too: which end of a file is the rest of a write that was cut short, and which is damage ([`judge_end`]).
//! Pure: no files, no clock.
//!
//! # Torn or damaged
//!
//! A write appends whole lines, and no end of an attempt is acknowledged before its fdatasync came back. So only the
//! bytes since the *last* fdatasync, [`WRITE_BYTES_MAX`] of them at most, can be missing without anybody having been
//! told that they were there, and this is how they look afterwards:
//!
//! - Their beginning only (killed in the middle, disk full, size not yet on disk): whole lines, then a last line
//!   **without a newline**. The whole lines are records like any other; the last line is torn, even when only
//!   the newline is missing.
//! - After a power cut, their full length but with **blocks of zeros** in it: a file system may make the new size
//!   durable before the data, or some blocks before others. What was never written reads as zeros, from the old
//!   end of the file or a block's start to a block's end or the end of the file. JSON has no zero bytes.
//!
//! Everything else after the last good line is damage, which is never guessed around. Above all:
//!
//! - A last line that has its newline but a wrong checksum. A tear takes the end of a line away first; a line
//!   that has its end was written whole, perhaps acknowledged, and changed later.
//! - Anything that a sealed line follows. What stands before the last fdatasync was durable, and whether a sealed
//!   line was written after it cannot be told. (A power cut that loses a block in the middle of several records can
//!   look so; it is rare enough for a person to decide.)
//! - More bytes than may wait for an fdatasync.
//! - A sealed line whose newline became something else.
//!
//! Whole records that somebody removed from the end leave a shorter journal that is right in itself; no journal
//! can know better.

use super::record::{Defect, Head, Mark, Outcome, RECORD_BYTES_MAX, may_begin_header, unseal};
use crate::items::collected::ITEMS_MAX;
use crate::items::item::ItemId;
use crate::places::{Places, Tag};

/// How many records one write to the journal may have.
pub const RECORDS_PER_WRITE_MAX: usize = 256;
/// How many bytes one write to the journal may have, and how many may wait for an fdatasync: so many may be cut short.
pub const WRITE_BYTES_MAX: usize = RECORDS_PER_WRITE_MAX * RECORD_BYTES_MAX;
/// Storage loses or keeps data in blocks of this many bytes, or multiples.
const BLOCK_BYTES: u64 = 512;

/// Where the last attempt at an item has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It ended like this.
    Ended(Outcome),
    /// It began, and nobody recorded its end: it runs just now, or it was cut off.
    Unfinished,
}

/// What the last records of an item say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last<'a> {
    /// Where the last attempt has come to.
    pub standing: Standing,
    /// Which attempt it was.
    pub attempt: u32,
    /// The item's content when the last attempt began that has ended, or else the one that has not.
    pub content_hash: &'a str,
}

/// The last records of every item, and what there is to say about the journal.
///
/// One buffer of text and the places in it: about 140 bytes an item, its SHA-256 included.
#[derive(Debug, Default)]
pub struct History {
    text: String,
    entries: Vec<Entry>,
    /// Of the items, in `entries`.
    places: Places,
    records: u64,
    notes: Vec<String>,
}

/// What a journal that is whole says.
#[derive(Debug)]
pub struct Reading {
    /// The last records of every item, and what there is to say about the journal.
    pub history: History,
    /// The version of its format.
    pub version: u64,
    /// Its length.
    pub bytes: u64,
}

/// Where the text of an item stands, its id, then its content hash, and what its last records say.
///
/// The places of records are their numbers; 0, the header's, where there is none.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    ended_at: u64,
    ended_attempt: u32,
    /// Says nothing when nothing has ended.
    outcome: Outcome,
    began_attempt: u32,
    began_at: u64,
    id_bytes: u16,
    hash_bytes: u16,
}

impl Entry {
    /// Where the item has come to, and at which attempt; nothing when all that began was withdrawn.
    const fn standing(&self) -> Option<(Standing, u32)> {
        match (self.began_at, self.ended_at) {
            (0, 0) => None,
            (0, _) => Some((Standing::Ended(self.outcome), self.ended_attempt)),
            (_, _) => Some((Standing::Unfinished, self.began_attempt)),
        }
    }

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

/// What an ordinary record takes in the journal, and what is kept of it as text.
const RECORD_BYTES: u64 = 340;
const TEXT_BYTES: usize = 92;

impl History {
    /// Of nothing as yet, with room for what a journal of so many bytes says, if there may be so many items. What is not
    /// needed of it stays untouched, and so takes no memory, but for the table of places.
    pub(super) fn of_journal(bytes: u64) -> Self {
        let items =
            usize::try_from(bytes / RECORD_BYTES).map_or(ITEMS_MAX, |items| items.min(ITEMS_MAX));
        Self {
            text: String::with_capacity(items * TEXT_BYTES),
            entries: Vec::with_capacity(items),
            places: Places::with_capacity(items),
            ..Self::default()
        }
    }

    /// What the last records of `item` say.
    #[must_use]
    pub fn last(&self, item: &ItemId) -> Option<Last<'_>> {
        let entry =
            &self.entries[self.find(item.as_str(), self.places.tag(item.as_str().as_bytes()))?];
        let (standing, attempt) = entry.standing()?;
        Some(Last {
            standing,
            attempt,
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

    /// Where every item has come to.
    pub fn standings(&self) -> impl Iterator<Item = Standing> {
        let entries = self.entries.iter();
        entries.filter_map(|entry| Some(entry.standing()?.0))
    }

    /// The numbers of the records that say everything which [`last`](Self::last) says, in their order.
    #[must_use]
    pub fn needed_numbers(&self) -> Vec<u64> {
        let mut needed: Vec<u64> = self.needed_in_any_order().collect();
        needed.sort_unstable();
        needed
    }

    /// How many records say everything which [`last`](Self::last) says.
    #[must_use]
    pub fn needed(&self) -> u64 {
        self.needed_in_any_order().count() as u64
    }

    fn needed_in_any_order(&self) -> impl Iterator<Item = u64> {
        let both = |entry: &Entry| [entry.ended_at, entry.began_at];
        let all = self.entries.iter().flat_map(both);
        all.filter(|&sequence| sequence > 0)
    }

    /// What a person should be told: one sentence each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Takes the next record in, which stands at `sequence`.
    pub(super) fn take(&mut self, head: &Head<'_>, sequence: u64) {
        self.records += 1;
        let tag = self.places.tag(head.item.as_bytes());
        let index = self
            .find(head.item, tag)
            .unwrap_or_else(|| self.insert(head, tag));
        let entry = &mut self.entries[index];
        let says_what_it_was = match head.mark {
            Mark::Started => {
                (entry.began_at, entry.began_attempt) = (sequence, head.attempt);
                entry.ended_at == 0
            }
            Mark::Withdrawn => {
                entry.began_at = 0;
                false
            }
            Mark::Ended(outcome) => {
                entry.began_at = 0;
                (entry.ended_at, entry.ended_attempt) = (sequence, head.attempt);
                entry.outcome = outcome;
                true
            }
        };
        if says_what_it_was && entry.content_hash(&self.text) != head.content_hash {
            let (start, hash_bytes) = append(&mut self.text, head);
            (entry.start, entry.hash_bytes) = (start, hash_bytes);
        }
    }

    /// Makes room for an item of which nothing is known yet.
    fn insert(&mut self, head: &Head<'_>, tag: Tag) -> usize {
        let (start, hash_bytes) = append(&mut self.text, head);
        let index = self.entries.len();
        self.entries.push(Entry {
            start,
            ended_at: 0,
            ended_attempt: 0,
            outcome: Outcome::Interrupted,
            began_attempt: 0,
            began_at: 0,
            id_bytes: length(head.item),
            hash_bytes,
        });
        self.places.insert(tag, index);
        index
    }

    fn find(&self, id: &str, tag: Tag) -> Option<usize> {
        self.places
            .find(tag, |index| self.entries[index].id(&self.text) == id)
    }
}

/// Adds an item's text to the buffer; says where it begins, and how long the hash is. What stood there for it before
/// stays behind: content seldom changes.
fn append(text: &mut String, head: &Head<'_>) -> (usize, u16) {
    let start = text.len();
    text.push_str(head.item);
    text.push_str(&head.content_hash);
    (start, length(&head.content_hash))
}

fn length(part: &str) -> u16 {
    const {
        assert!(
            RECORD_BYTES_MAX < u16::MAX as usize,
            "an entry holds lengths in 16 bits"
        );
    };
    u16::try_from(part.len()).expect("a record is shorter than 64 KiB")
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
        let torn = may_begin_header(end) || end.iter().all(|&byte| byte == 0);
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
    use super::super::record::{Position, header_line, write_line};
    use super::*;

    fn head<'a>(item: &'a str, mark: Mark, attempt: u32, hash: &'a str) -> Head<'a> {
        Head {
            item,
            mark,
            attempt,
            content_hash: Cow::Borrowed(hash),
        }
    }

    fn history(records: &[(&str, Mark, u32, &str)]) -> History {
        let mut history = History::default();
        for (sequence, &(item, mark, attempt, hash)) in (1..).zip(records) {
            history.take(&head(item, mark, attempt, hash), sequence);
        }
        history
    }

    fn last<'a>(history: &'a History, item: &str) -> Option<Last<'a>> {
        history.last(&ItemId::new(item).unwrap())
    }

    const DONE: Mark = Mark::Ended(Outcome::Done);
    const FAILED: Mark = Mark::Ended(Outcome::Failed);

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
        let history = history(&[
            ("a", FAILED, 1, "h1"),
            ("b", DONE, 1, ""),
            ("a", DONE, 2, "h1"),
            ("ab", Mark::Ended(Outcome::Interrupted), 1, "h1"),
            ("b", Mark::Ended(Outcome::TimedOut), 2, "a longer one"),
        ]);
        let ended = |outcome, attempt, content_hash| {
            let standing = Standing::Ended(outcome);
            Some(Last {
                standing,
                attempt,
                content_hash,
            })
        };
        assert_eq!(last(&history, "a"), ended(Outcome::Done, 2, "h1"));
        assert_eq!(
            last(&history, "b"),
            ended(Outcome::TimedOut, 2, "a longer one")
        );
        assert_eq!(last(&history, "ab"), ended(Outcome::Interrupted, 1, "h1"));
        assert_eq!(last(&history, "ah1"), None);
        assert_eq!((history.records(), history.items()), (5, 3));
        assert_eq!(history.needed_numbers(), [3, 4, 5]);
    }

    #[test]
    fn an_attempt_that_began_and_did_not_end_is_unfinished() {
        let unfinished = |attempt, content_hash| {
            Some(Last {
                standing: Standing::Unfinished,
                attempt,
                content_hash,
            })
        };
        let known = history(&[("a", Mark::Started, 1, "h1")]);
        assert_eq!(last(&known, "a"), unfinished(1, "h1"));
        assert_eq!(known.needed_numbers(), [1]);
        let known = history(&[
            ("a", Mark::Started, 1, "h1"),
            ("a", DONE, 1, "h1"),
            ("a", Mark::Started, 2, "h2"),
        ]);
        assert_eq!(last(&known, "a"), unfinished(2, "h1"));
        assert_eq!(known.needed_numbers(), [2, 3]);
    }

    #[test]
    fn an_attempt_that_was_withdrawn_never_was() {
        let known = history(&[
            ("a", Mark::Started, 1, "h1"),
            ("a", Mark::Withdrawn, 1, "h1"),
            ("b", FAILED, 3, "h1"),
            ("b", Mark::Started, 1, "h2"),
            ("b", Mark::Withdrawn, 1, "h2"),
        ]);
        assert_eq!(last(&known, "a"), None);
        let b = last(&known, "b").unwrap();
        assert_eq!(b.standing, Standing::Ended(Outcome::Failed));
        assert_eq!((b.attempt, b.content_hash), (3, "h1"));
        assert_eq!(known.needed_numbers(), [3]);
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
            for (sequence, (item, outcome, attempt, hash)) in (1..).zip(&records) {
                let outcome = [Outcome::Done, Outcome::Failed][*outcome];
                history.take(&head(item, Mark::Ended(outcome), *attempt, hash), sequence);
                let standing = Standing::Ended(outcome);
                map.insert(item, Last { standing, attempt: *attempt, content_hash: hash });
            }
            prop_assert_eq!(history.items(), map.len());
            for (item, expected) in map {
                prop_assert_eq!(last(&history, item), Some(expected));
            }
        }

        /// What compaction rests on: the records that are needed say what all of them say.
        #[test]
        fn the_needed_records_say_the_same_as_all(
            records in proptest::collection::vec(("[ab]", 0..4_usize, 1..9_u32, "[xy]"), 0..40)
        ) {
            let marks = [DONE, FAILED, Mark::Started, Mark::Withdrawn];
            let heads: Vec<Head<'_>> = records
                .iter()
                .map(|(item, mark, attempt, hash)| head(item, marks[*mark], *attempt, hash))
                .collect();
            let mut all = History::default();
            for (sequence, head) in (1..).zip(&heads) {
                all.take(head, sequence);
            }
            let mut few = History::default();
            let mut renumbered = Vec::new();
            for (sequence, needed) in (1..).zip(all.needed_numbers()) {
                few.take(&heads[usize::try_from(needed).unwrap() - 1], sequence);
                renumbered.push(sequence);
            }
            for item in ["a", "b"] {
                prop_assert_eq!(last(&few, item), last(&all, item));
            }
            prop_assert_eq!(few.needed_numbers(), renumbered);
        }
    }
}
