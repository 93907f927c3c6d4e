//! What of a damaged journal is whole, and in which order it is to stand again. Pure.
//!
//! [`super::journal_repair`] shows it every line, and copies what it keeps. The rules:
//!
//! - A record is kept when its seal is right and it has a form that we know. It is copied byte by byte but for its
//!   place in the chain. Nothing is made up, and nothing is mended: what an unreadable line said is not guessed.
//! - A line that is no record may still hold whole ones: when a newline was overwritten, two stand in one line. A
//!   record cannot hold the beginning of another, because JSON has no plain quote inside a string.
//! - Records stand again in the order of their numbers, in which they were written, whatever the order of the lines.
//!   The last record of an item decides, so this is what a moved line must not change.
//! - A record that stands there twice is kept once.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use super::record::{Defect, Position, read_header, read_sealed};

/// How many bad lines are told one by one; the others are counted.
const TOLD_MAX: usize = 20;

/// Where every record begins.
const RECORD_START: &[u8] = b"{\"seq\":";

/// A whole record in a damaged journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Where its line begins.
    pub offset: u64,
    /// How long it is, without its newline.
    pub length: usize,
    position: Position,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It is no record.
    Bad(Defect),
    /// Its newline is lost, but so many records were found in it.
    Joined(usize),
    /// All of it stands there twice.
    Repeated,
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(defect) => defect.fmt(formatter),
            Self::Joined(count) => write!(
                formatter,
                "it does not end where it should; {count} of its records are whole and kept"
            ),
            Self::Repeated => formatter.write_str("it stands there twice"),
        }
    }
}

/// What has been found so far.
#[derive(Debug, Default)]
pub struct Salvage {
    lines: u64,
    kept: Vec<Kept>,
    seen: HashSet<(u64, u32)>,
    wrong: Vec<(u64, Wrong)>,
    wrong_lines: u64,
}

/// What is to be done about a damaged journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The records that are whole, in the order in which they are to stand.
    pub kept: Vec<Kept>,
    /// The first bad lines, counted from 1, and what is wrong with them.
    pub wrong: Vec<(u64, Wrong)>,
    /// How many lines are bad.
    pub wrong_lines: u64,
    /// How many records are missing between those that are kept.
    pub missing: u64,
}

/// What a repair has done.
#[derive(Debug, PartialEq, Eq)]
pub enum Repair {
    /// There is no journal.
    Absent,
    /// It is whole: nothing was touched.
    Whole,
    /// It is damaged, and nothing was touched.
    Rehearsed {
        /// What would be kept, and what not.
        plan: Plan,
    },
    /// It is whole again.
    Repaired {
        /// What was kept, and what not.
        plan: Plan,
        /// The damaged journal, beside the new one.
        original: String,
    },
}

impl Salvage {
    /// Looks at the next line, which begins at `offset`, without its newline.
    ///
    /// # Errors
    ///
    /// [`Defect::Version`] when the journal is one that we do not understand, and must not touch.
    pub fn take(&mut self, offset: u64, line: &[u8]) -> Result<(), Defect> {
        self.lines += 1;
        if self.lines == 1 {
            match read_header(line) {
                Ok(_) => return Ok(()),
                Err(Defect::Version(version)) => return Err(Defect::Version(version)),
                Err(Defect::Checksum | Defect::Form | Defect::Chain | Defect::TooLong) => {}
            }
        }
        match read_sealed(line) {
            Ok(sealed) => {
                if !self.keep(offset, line.len(), sealed.position) {
                    self.tell(Wrong::Repeated);
                }
            }
            Err(defect) => self.take_apart(offset, line, defect),
        }
        Ok(())
    }

    /// Takes note of a line that is longer than any of ours.
    pub fn pass_over(&mut self) {
        self.lines += 1;
        self.tell(Wrong::Bad(Defect::TooLong));
    }

    /// What is to be done.
    #[must_use]
    pub fn finish(self) -> Plan {
        let mut kept = self.kept;
        kept.sort_by_key(|kept| kept.position.sequence);
        let mut numbers: Vec<u64> = kept.iter().map(|kept| kept.position.sequence).collect();
        numbers.dedup();
        let last = numbers.last().copied().unwrap_or(0);
        Plan {
            missing: last.saturating_sub(numbers.len() as u64),
            kept,
            wrong: self.wrong,
            wrong_lines: self.wrong_lines,
        }
    }

    fn take_apart(&mut self, offset: u64, line: &[u8], defect: Defect) {
        let mut found = 0;
        for (range, position) in records_in(line) {
            found += 1;
            self.keep(offset + range.start as u64, range.len(), position);
        }
        self.tell(if found == 0 {
            Wrong::Bad(defect)
        } else {
            Wrong::Joined(found)
        });
    }

    fn keep(&mut self, offset: u64, length: usize, position: Position) -> bool {
        let is_new = self.seen.insert((position.sequence, position.checksum));
        if is_new {
            self.kept.push(Kept {
                offset,
                length,
                position,
            });
        }
        is_new
    }

    fn tell(&mut self, wrong: Wrong) {
        self.wrong_lines += 1;
        if self.wrong.len() < TOLD_MAX {
            self.wrong.push((self.lines, wrong));
        }
    }
}

/// The whole records in a line that is none: each from its beginning to the next one's, or to a byte before it, which
/// was a newline once.
fn records_in(line: &[u8]) -> Vec<(Range<usize>, Position)> {
    let starts: Vec<usize> = memchr::memmem::find_iter(line, RECORD_START).collect();
    let ends = starts.iter().skip(1).copied().chain([line.len()]);
    let record = |(&start, end): (&usize, usize)| {
        [end, end - 1].into_iter().find_map(|end| {
            let sealed = read_sealed(&line[start..end]).ok()?;
            Some((start..end, sealed.position))
        })
    };
    starts.iter().zip(ends).filter_map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{sample, sample_start};
    use super::super::record::{Outcome, header_line, write_line};
    use super::*;

    /// A header and three records, each line with its newline.
    fn lines() -> Vec<Vec<u8>> {
        let (header, mut position) = header_line();
        let mut lines = vec![header];
        for record in [
            sample_start("a", 1),
            sample("a", Outcome::Done, 1),
            sample("b", Outcome::Failed, 1),
        ] {
            let mut line = Vec::new();
            position = write_line(&mut line, position, &record).unwrap();
            lines.push(line);
        }
        lines
    }

    fn salvage(bytes: &[u8]) -> Plan {
        let mut salvage = Salvage::default();
        let mut offset = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let whole = line.strip_suffix(b"\n").unwrap_or(line);
            salvage.take(offset, whole).unwrap();
            offset += line.len() as u64;
        }
        salvage.finish()
    }

    fn numbers(plan: &Plan) -> Vec<u64> {
        plan.kept.iter().map(|it| it.position.sequence).collect()
    }

    /// What is kept stands there, byte by byte, in the original.
    #[track_caller]
    fn assert_nothing_is_invented(plan: &Plan, damaged: &[u8]) {
        let originals = lines();
        for kept in &plan.kept {
            let start = usize::try_from(kept.offset).unwrap();
            let bytes = &damaged[start..start + kept.length];
            let is_it = |line: &Vec<u8>| line.strip_suffix(b"\n") == Some(bytes);
            assert!(originals.iter().any(is_it));
        }
    }

    #[test]
    fn a_whole_journal_is_kept_whole() {
        let plan = salvage(&lines().concat());
        assert_eq!(numbers(&plan), [1, 2, 3]);
        assert_eq!((plan.wrong_lines, plan.missing), (0, 0));
    }

    #[test]
    fn whatever_byte_is_flipped_every_whole_line_is_kept_and_nothing_is_invented() {
        let whole = lines().concat();
        for at in 0..whole.len() {
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                let plan = salvage(&damaged);
                assert_nothing_is_invented(&plan, &damaged);
                let line = memchr::memchr_iter(b'\n', &whole[..at]).count();
                let is_hit = |number: u64| line as u64 == number && whole[at] != b'\n';
                for number in [1, 2, 3] {
                    let is_kept = numbers(&plan).contains(&number);
                    assert_eq!(is_kept, !is_hit(number), "{number}, byte {at} by {flip:#x}");
                }
            }
        }
    }

    #[test]
    fn wherever_it_is_cut_every_whole_line_is_kept() {
        let whole = lines().concat();
        for cut in 0..=whole.len() {
            let plan = salvage(&whole[..cut]);
            assert_nothing_is_invented(&plan, &whole[..cut]);
            let ends = memchr::memchr_iter(b'\n', &whole[..cut]).count();
            assert!(plan.kept.len() >= ends.saturating_sub(1), "cut at {cut}");
        }
    }

    #[test]
    fn lines_stand_again_in_the_order_in_which_they_were_written() {
        let lines = lines();
        for (order, kept, wrong, missing) in [
            (&[0, 3, 1, 2][..], &[1, 2, 3][..], 0, 0),
            (&[0, 1, 1, 2, 3], &[1, 2, 3], 1, 0),
            (&[0, 1, 3], &[1, 3], 0, 1),
            (&[0, 3], &[3], 0, 2),
            (&[1, 2, 3], &[1, 2, 3], 0, 0),
            (&[0, 0, 1, 2, 3], &[1, 2, 3], 1, 0),
            (&[0], &[], 0, 0),
        ] {
            let bytes: Vec<u8> = order.iter().flat_map(|&it| lines[it].clone()).collect();
            let plan = salvage(&bytes);
            assert_eq!(numbers(&plan), kept, "{order:?}");
            assert_eq!(
                (plan.wrong_lines, plan.missing),
                (wrong, missing),
                "{order:?}"
            );
        }
    }

    #[test]
    fn bad_lines_are_told_with_their_numbers() {
        let lines = lines();
        let mut damaged = lines.concat();
        let second = lines[0].len() + lines[1].len();
        damaged[second + 9] ^= 1;
        assert_eq!(salvage(&damaged).wrong, [(3, Wrong::Bad(Defect::Checksum))]);
        let rubbish = [lines.concat(), b"x\n".repeat(100)].concat();
        let plan = salvage(&rubbish);
        assert_eq!((plan.wrong.len(), plan.wrong_lines), (TOLD_MAX, 100));
    }

    #[test]
    fn a_journal_of_a_later_version_is_not_touched() {
        let body = br#"{"format":"orchestrate-journal","version":7"#;
        let line = format!(
            "{},\"crc\":\"{:08x}\"}}",
            str::from_utf8(body).unwrap(),
            crc32fast::hash(body)
        );
        let refused = Salvage::default().take(0, line.as_bytes());
        assert_eq!(refused, Err(Defect::Version(7)));
    }
}
