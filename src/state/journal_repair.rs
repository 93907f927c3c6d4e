//! Makes a damaged journal whole again, out of what is whole in it.
//!
//! Only a person asks for it (`orchestrate journal repair`), under the workflow's lock; no run repairs by itself. The
//! damaged journal stays beside the new one. What is kept is decided in [`super::salvage`].

use std::fs::File;
use std::io;

use super::directory::{JOURNAL, WorkflowDirectory};
use super::journal_lines::{Lines, read_at_most};
use super::journal_rewrite::{JournalCopy, keep_beside};
use super::journal_scan::{of_another_version, scan};
use super::lock::WorkflowLock;
use super::record::{Defect, read_sealed};
use super::salvage::{Plan, Repair, Salvage};
use crate::disk::held_directory::Access;
use crate::error::Result;

/// What [`repair`] would do; touches nothing.
///
/// # Errors
///
/// As [`repair`].
pub fn rehearse(directory: &WorkflowDirectory) -> Result<Repair> {
    let found = find_damage(directory)?;
    Ok(found.map_or_else(|repair| repair, |(_, plan)| Repair::Rehearsed { plan }))
}

/// Repairs the workflow's journal, if it is damaged.
///
/// # Errors
///
/// Exit 65 when the journal is of a version that we do not understand; exit 2 when the file is not ours; exit 74 when
/// it cannot be read or written. In all cases the damaged journal is as it was.
pub fn repair(directory: &WorkflowDirectory, _lock: &WorkflowLock) -> Result<Repair> {
    let held = directory.held();
    let (file, plan) = match find_damage(directory)? {
        Ok(found) => found,
        Err(repair) => return Ok(repair),
    };
    let original = keep_beside(held, "damaged")?;
    let copied = || {
        let mut copy = JournalCopy::begin(held)?;
        for kept in &plan.kept {
            let line = read_at_most(&file, kept.offset, kept.length)?;
            let sealed =
                read_sealed(&line).map_err(|defect| io::Error::other(defect.to_string()))?;
            copy.add(&sealed)?;
        }
        copy.publish()
    };
    let copied: io::Result<_> = copied();
    copied.map_err(|e| held.failed("write", JOURNAL, &e))?;
    Ok(Repair::Repaired { plan, original })
}

/// The damaged journal and what is to be done about it, or why there is nothing to be done.
fn find_damage(directory: &WorkflowDirectory) -> Result<std::result::Result<(File, Plan), Repair>> {
    let held = directory.held();
    let Some(file) = held.open_file(JOURNAL, Access::Read)? else {
        return Ok(Err(Repair::Absent));
    };
    // A torn end is no damage: the next run sets it aside.
    if scan(&file, directory).is_ok() {
        return Ok(Err(Repair::Whole));
    }
    match examine(&file) {
        Ok(Ok(plan)) => Ok(Ok((file, plan))),
        Ok(Err(defect)) => Err(of_another_version(directory, &defect)),
        Err(error) => Err(held.failed("read", JOURNAL, &error)),
    }
}

/// Shows every line to the salvage.
fn examine(file: &File) -> io::Result<std::result::Result<Plan, Defect>> {
    let mut salvage = Salvage::default();
    let mut lines = Lines::new(file);
    loop {
        let offset = lines.next_offset();
        let taken = if let Some(line) = lines.next()? {
            salvage.take(offset, line)
        } else if lines.is_too_long() {
            lines.skip()?;
            salvage.pass_over();
            Ok(())
        } else if lines.rest().is_empty() {
            return Ok(Ok(salvage.finish()));
        } else {
            let taken = salvage.take(offset, lines.rest());
            return Ok(taken.map(|()| salvage.finish()));
        };
        if let Err(defect) = taken {
            return Ok(Err(defect));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::directory::StateDirectory;
    use super::super::history::Standing;
    use super::super::journal::Journal;
    use super::super::journal_scan::read;
    use super::super::record::tests::{sample, sample_start};
    use super::super::record::{Outcome, RECORD_BYTES_MAX};
    use super::*;
    use crate::error::ExitStatus;
    use crate::items::item::ItemId;

    struct Place {
        _base: tempfile::TempDir,
        directory: WorkflowDirectory,
        lock: WorkflowLock,
    }

    impl Place {
        fn new() -> Self {
            let base = tempfile::tempdir_in("/dev/shm")
                .or_else(|_| tempfile::tempdir())
                .unwrap();
            let state = StateDirectory::prepare(base.path()).unwrap();
            let directory = state.workflow("implement").unwrap();
            let lock = WorkflowLock::acquire(&directory, 1, "now").unwrap();
            Self {
                _base: base,
                directory,
                lock,
            }
        }

        /// A place whose journal has three items: one done, one failed, one cut off.
        fn with_a_journal() -> Self {
            let place = Self::new();
            let (mut journal, _) = Journal::open(&place.directory, &place.lock).unwrap();
            let records = [
                sample_start("a", 1),
                sample("a", Outcome::Done, 1),
                sample("b", Outcome::Failed, 1),
                sample_start("c", 1),
            ];
            journal.append(&records).unwrap();
            place
        }

        fn bytes(&self) -> Vec<u8> {
            fs::read(self.directory.journal_path()).unwrap()
        }

        fn put(&self, bytes: &[u8]) {
            fs::write(self.directory.journal_path(), bytes).unwrap();
        }

        fn repair(&self) -> Repair {
            repair(&self.directory, &self.lock).unwrap()
        }

        fn standing(&self, item: &str) -> Option<Standing> {
            let history = read(&self.directory).unwrap();
            let last = history.last(&ItemId::new(item).unwrap())?;
            Some(last.standing)
        }
    }

    #[test]
    fn a_journal_that_is_whole_is_not_touched() {
        let place = Place::new();
        assert_eq!(place.repair(), Repair::Absent);
        let place = Place::with_a_journal();
        let whole = place.bytes();
        assert_eq!(place.repair(), Repair::Whole);
        place.put(&whole[..whole.len() - 3]);
        assert_eq!(place.repair(), Repair::Whole, "a torn end");
        assert_eq!(place.bytes(), whole[..whole.len() - 3]);
    }

    #[test]
    fn whatever_byte_is_flipped_the_repaired_journal_is_whole_and_the_damaged_one_is_kept() {
        let place = Place::with_a_journal();
        let whole = place.bytes();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x01;
            place.put(&damaged);
            let rehearsed = rehearse(&place.directory).unwrap();
            assert_eq!(place.bytes(), damaged);
            let Repair::Repaired { plan, original } = place.repair() else {
                panic!("byte {at}");
            };
            assert_eq!(rehearsed, Repair::Rehearsed { plan: plan.clone() });
            let beside = place.directory.held().join(&original);
            assert_eq!(fs::read(&beside).unwrap(), damaged, "byte {at}");
            fs::remove_file(beside).unwrap();
            let history = read(&place.directory).unwrap();
            assert_eq!(history.records(), plan.kept.len() as u64);
            assert!(history.records() >= 3, "byte {at}");
            // What it says of an item is what was recorded of it, or nothing.
            for (item, expected) in [
                ("a", Standing::Ended(Outcome::Done)),
                ("b", Standing::Ended(Outcome::Failed)),
                ("c", Standing::Unfinished),
            ] {
                let found = place.standing(item);
                let last_lost = item == "a" && found == Some(Standing::Unfinished);
                let right = found.is_none() || found == Some(expected) || last_lost;
                assert!(right, "byte {at}: {item} is {found:?}");
            }
        }
    }

    #[test]
    fn a_repaired_journal_takes_records_again() {
        let place = Place::with_a_journal();
        let mut damaged = place.bytes();
        damaged[100] ^= 1;
        place.put(&damaged);
        place.repair();
        let (mut journal, _) = Journal::open(&place.directory, &place.lock).unwrap();
        journal.append(&[sample("c", Outcome::Done, 1)]).unwrap();
        assert_eq!(place.standing("c"), Some(Standing::Ended(Outcome::Done)));
    }

    #[test]
    fn lines_of_any_length_are_passed_over() {
        let place = Place::with_a_journal();
        let whole = place.bytes();
        let second = memchr::memchr(b'\n', &whole).unwrap() + 1;
        let long = b"x".repeat(3 * RECORD_BYTES_MAX);
        place.put(&[&whole[..second], &long, b"\n", &whole[second..], &long].concat());
        let Repair::Repaired { plan, .. } = place.repair() else {
            panic!("it is damaged");
        };
        assert_eq!((plan.kept.len(), plan.wrong_lines), (4, 2));
        assert_eq!(place.bytes(), whole);
    }

    #[test]
    fn a_journal_of_a_later_version_is_refused() {
        let place = Place::with_a_journal();
        let body = r#"{"format":"orchestrate-journal","version":7"#;
        let sum = crc32fast::hash(body.as_bytes());
        let later = format!("{body},\"crc\":\"{sum:08x}\"}}\nwhatever").into_bytes();
        place.put(&later);
        let error = repair(&place.directory, &place.lock).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Damaged);
        assert_eq!(place.bytes(), later);
    }
}
