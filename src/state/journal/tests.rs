use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::directory::StateDirectory;
use super::super::history::{Last, Standing};
use super::super::journal_lines::CHUNK_BYTES;
use super::super::journal_scan::read;
use super::super::record::tests::{exiting, sample, sample_start};
use super::super::record::{Mark, Outcome, Step, read_header, read_line};
use super::*;
use crate::error::ExitStatus;
use crate::items::item::ItemId;

/// A workflow with a held lock, and the bytes of its journal.
struct Place {
    base: tempfile::TempDir,
    directory: WorkflowDirectory,
    lock: WorkflowLock,
}

impl Place {
    /// In memory where there is such a place: a thousand fsyncs take their time.
    fn new() -> Self {
        let base = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        let directory = state.workflow("implement").unwrap();
        let lock = WorkflowLock::acquire(&directory, std::process::id(), "now").unwrap();
        Self {
            base,
            directory,
            lock,
        }
    }

    fn holding(bytes: &[u8]) -> Self {
        let place = Self::new();
        drop(place.directory.held().create_new(JOURNAL).unwrap());
        place.put(bytes);
        place
    }

    fn open(&self) -> Result<(Journal, History)> {
        Journal::open(&self.directory, &self.lock)
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.directory.journal_path()).unwrap()
    }

    fn put(&self, bytes: &[u8]) {
        fs::write(self.directory.journal_path(), bytes).unwrap();
    }

    fn torn(&self, number: u32) -> Option<Vec<u8>> {
        fs::read(
            self.directory
                .held()
                .join(format!("{JOURNAL}.torn-{number}")),
        )
        .ok()
    }
}

/// Three items, one of them twice; one record with everything that is optional left out.
fn records() -> [Record; 4] {
    [
        sample("issue-7", Outcome::Failed, 1),
        exiting(sample("issue-42", Outcome::Done, 1), "exit 0", Some(0)),
        sample("issue-7", Outcome::Done, 2),
        Record {
            content_hash: "W/\"caf\u{e9}\\1\"".to_owned(),
            credential: None,
            log: None,
            ..exiting(
                sample("LLD-042", Outcome::Interrupted, 4_294_967_295),
                "SIGKILL",
                None,
            )
        },
    ]
}

fn small_journal() -> Vec<u8> {
    let place = Place::new();
    place.open().unwrap().0.append(&records()).unwrap();
    place.bytes()
}

/// Where every line begins; the last is the end.
fn line_starts(bytes: &[u8]) -> Vec<usize> {
    std::iter::once(0)
        .chain(memchr::memchr_iter(b'\n', bytes).map(|newline| newline + 1))
        .collect()
}

/// The history is that of the first records, no more and no fewer.
fn assert_holds(history: &History, count: usize) {
    assert_eq!(history.records(), count as u64);
    let mut expected = std::collections::HashMap::new();
    for record in &records()[..count] {
        expected.insert(record.item.clone(), record.clone());
    }
    assert_eq!(history.items(), expected.len());
    for (item, record) in &expected {
        let Mark::Ended(outcome) = record.step.mark() else {
            unreachable!("all of these have ended");
        };
        let last = Last {
            standing: Standing::Ended(outcome),
            attempt: record.attempt,
            content_hash: &record.content_hash,
        };
        assert_eq!(history.last(item), Some(last));
    }
}

#[test]
fn what_was_appended_is_there_when_the_journal_is_opened_again() {
    let place = Place::new();
    let (mut journal, history) = place.open().unwrap();
    assert_holds(&history, 0);
    let mode = fs::metadata(place.directory.journal_path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    journal.append(&records()[..1]).unwrap();
    journal.append(&[]).unwrap();
    journal.append(&records()[1..3]).unwrap();
    drop(journal);
    let (mut journal, history) = place.open().unwrap();
    assert_holds(&history, 3);
    journal.append(&records()[3..]).unwrap();
    drop(journal);
    assert_holds(&place.open().unwrap().1, 4);
    assert_eq!(
        place.bytes(),
        small_journal(),
        "how the records were grouped leaves no trace"
    );
    assert!(history.notes().is_empty());
}

#[test]
fn more_records_than_one_write_may_have_are_appended_in_order() {
    let place = Place::new();
    let many: Vec<_> = (1..=600).map(|n| sample("a", Outcome::Failed, n)).collect();
    place.open().unwrap().0.append(&many).unwrap();
    let (_, history) = place.open().unwrap();
    assert_eq!(history.records(), 600);
    assert_eq!(
        history.last(&ItemId::new("a").unwrap()).unwrap().attempt,
        600
    );
}

#[test]
fn a_journal_larger_than_the_read_buffer_is_read_whole() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    let many: Vec<_> = (0..3000)
        .map(|n| sample(&format!("item-{n}"), Outcome::Done, 1))
        .collect();
    journal.append(&many).unwrap();
    assert!(place.bytes().len() > 3 * CHUNK_BYTES);
    drop(journal);
    let (_, history) = place.open().unwrap();
    assert_eq!((history.records(), history.items()), (3000, 3000));
}

#[test]
fn reading_touches_nothing() {
    let place = Place::new();
    assert_holds(&read(&place.directory).unwrap(), 0);
    assert!(!place.directory.journal_path().exists());
    let whole = small_journal();
    let place = Place::holding(&whole[..whole.len() - 10]);
    let history = read(&place.directory).unwrap();
    assert_holds(&history, 3);
    assert!(
        history.notes()[0].contains("ends in the middle of a record"),
        "{:?}",
        history.notes()
    );
    assert_eq!(place.bytes(), whole[..whole.len() - 10]);
    assert_eq!(place.torn(1), None);
}

#[test]
fn a_journal_cut_at_any_byte_keeps_every_whole_record_and_saves_the_rest() {
    let whole = small_journal();
    let starts = line_starts(&whole);
    let place = Place::holding(&whole);
    for cut in 0..whole.len() {
        place.put(&whole[..cut]);
        let lines = starts.iter().filter(|&&start| start <= cut).count() - 1;
        let kept = starts[lines];
        let records_kept = lines.saturating_sub(1);

        assert_holds(&read(&place.directory).unwrap(), records_kept);
        let (mut journal, history) = place.open().unwrap();
        assert_holds(&history, records_kept);
        let torn = (cut > kept).then(|| whole[kept..cut].to_vec());
        assert_eq!(place.torn(1), torn, "cut at {cut}");
        assert_eq!(
            history.notes().len(),
            usize::from(torn.is_some() || cut == 0),
            "cut at {cut}"
        );

        journal.append(&records()[records_kept..]).unwrap();
        assert_eq!(place.bytes(), whole, "cut at {cut}");
        let _ = fs::remove_file(place.directory.held().join(format!("{JOURNAL}.torn-1")));
    }
}

#[test]
fn a_flip_of_any_byte_is_refused_and_nothing_is_touched() {
    let whole = small_journal();
    let starts = line_starts(&whole);
    let place = Place::holding(&whole);
    for at in 0..whole.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            place.put(&bytes);
            let line = starts.iter().filter(|&&start| start <= at).count();
            for error in [
                read(&place.directory).unwrap_err(),
                place.open().unwrap_err(),
            ] {
                assert_eq!(
                    error.status(),
                    ExitStatus::Damaged,
                    "byte {at} flipped by {flip:#x}: {error}"
                );
                let named = format!("at line {line} (byte {})", starts[line - 1]);
                assert!(
                    error.to_string().contains(&named),
                    "byte {at} flipped by {flip:#x}: {error}"
                );
            }
            assert_eq!(place.bytes(), bytes);
        }
    }
}

#[test]
fn a_zeroed_byte_loses_no_earlier_record() {
    let whole = small_journal();
    let starts = line_starts(&whole);
    let place = Place::holding(&whole);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] = 0;
        place.put(&bytes);
        if let Ok(history) = read(&place.directory) {
            let last_line = starts[starts.len() - 2];
            assert!(at >= last_line, "byte {at} is no part of the last write");
            assert_holds(&history, 3);
        }
    }
}

#[test]
fn a_line_removed_repeated_or_moved_is_refused() {
    let whole = small_journal();
    let lines: Vec<&[u8]> = whole.split_inclusive(|&byte| byte == b'\n').collect();
    for (what, order, bad_line) in [
        ("removed", &[0, 1, 3, 4][..], 3),
        ("repeated", &[0, 1, 1, 2, 3, 4], 3),
        ("last repeated", &[0, 1, 2, 3, 4, 4], 6),
        ("swapped", &[0, 2, 1, 3, 4], 2),
        ("last two swapped", &[0, 1, 2, 4, 3], 4),
        ("header removed", &[1, 2, 3, 4], 1),
        ("header repeated", &[0, 0, 1, 2, 3, 4], 2),
    ] {
        let bytes: Vec<u8> = order
            .iter()
            .flat_map(|&index| lines[index].to_vec())
            .collect();
        let place = Place::holding(&bytes);
        let error = place.open().unwrap_err();
        assert_eq!(error.status(), ExitStatus::Damaged, "{what}");
        assert!(
            error.to_string().contains(&format!("at line {bad_line} ")),
            "{what}: {error}"
        );
        assert_eq!(place.bytes(), bytes);
    }
}

#[test]
fn a_record_of_another_journal_is_refused() {
    let whole = small_journal();
    let other = Place::new();
    other
        .open()
        .unwrap()
        .0
        .append(&[sample("b", Outcome::Done, 1), sample("c", Outcome::Done, 1)])
        .unwrap();
    let strange = other.bytes();
    let mixed = [
        &whole[..line_starts(&whole)[2]],
        &strange[line_starts(&strange)[2]..],
    ]
    .concat();
    assert_eq!(
        Place::holding(&mixed).open().unwrap_err().status(),
        ExitStatus::Damaged
    );
}

#[test]
fn the_refusal_names_the_command_that_repairs() {
    let mut bytes = small_journal();
    bytes[100] ^= 1;
    let place = Place::holding(&bytes);
    let error = place.open().unwrap_err();
    let base = place.base.path().display();
    let command = format!(": orchestrate -C {base} journal repair implement");
    let hint = error.hint().unwrap();
    assert!(hint.ends_with(&command), "{hint}");
}

#[test]
fn torn_ends_do_not_replace_each_other() {
    let whole = small_journal();
    let place = Place::holding(&whole[..whole.len() - 1]);
    for number in 1..=3 {
        let (_, history) = place.open().unwrap();
        assert!(
            history.notes()[0].contains(&format!("torn-{number}")),
            "{:?}",
            history.notes()
        );
        assert!(place.torn(number).is_some());
        place.put(&[&place.bytes(), &b"{\"seq\":"[..]].concat());
    }
}

#[test]
fn a_write_that_lost_its_blocks_is_torn() {
    let whole = small_journal();
    let last = line_starts(&whole)[4];
    let mut bytes = whole.clone();
    bytes[last..].fill(0);
    let place = Place::holding(&bytes);
    assert_holds(&place.open().unwrap().1, 3);
    assert_eq!(place.torn(1).unwrap(), bytes[last..]);
    assert_eq!(place.bytes(), whole[..last]);
}

#[test]
fn a_line_without_end_is_damage_and_read_in_bounded_memory() {
    let whole = small_journal();
    for length in [RECORD_BYTES_MAX, WRITE_BYTES_MAX + 10] {
        let place = Place::holding(&[&whole[..], &b"x".repeat(length)[..], b"\n"].concat());
        let error = place.open().unwrap_err();
        assert!(
            error.to_string().contains("longer than anything"),
            "{error}"
        );
    }
}

#[test]
fn another_version_is_refused_with_both_versions_named() {
    let mut line = br#"{"format":"orchestrate-journal","version":7"#.to_vec();
    let checksum = crc32fast::hash(&line);
    line.extend_from_slice(format!(",\"crc\":\"{checksum:08x}\"}}\n").as_bytes());
    line.extend_from_slice(b"whatever version 7 looks like");
    let place = Place::holding(&line);
    for error in [
        read(&place.directory).unwrap_err(),
        place.open().unwrap_err(),
    ] {
        assert_eq!(error.status(), ExitStatus::Damaged);
        let text = error.to_string();
        assert!(
            text.contains("version 7") && text.contains("versions 1 to 2"),
            "{text}"
        );
        assert!(error.hint().unwrap().contains(".old"));
    }
    assert_eq!(place.bytes(), line);
}

/// Reads every member of every line.
fn assert_says(bytes: &[u8], version: u64, expected: &[Record]) {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let (mut position, found) = read_header(lines.next().unwrap()).unwrap();
    assert_eq!(found, version);
    for expected in expected {
        let (record, next) = read_line(lines.next().unwrap(), position).unwrap();
        assert_eq!(record, *expected);
        position = next;
    }
    assert_eq!(lines.next(), Some(&b""[..]));
}

/// What a journal of version 2 holds that one of version 1 cannot.
fn records_of_version_2() -> Vec<Record> {
    let mut records = vec![sample_start("issue-7", 1)];
    records.extend(self::records());
    records.push(Record {
        step: Step::Withdrawn,
        ..sample_start("issue-8", 1)
    });
    records.push(sample_start("issue-9", 3));
    records
}

const GOLDEN_1: &[u8] = include_bytes!("../../../tests/golden/journal-v1.jsonl");
const GOLDEN_2: &[u8] = include_bytes!("../../../tests/golden/journal-v2.jsonl");

#[test]
fn version_1_is_read_for_ever_and_copied_into_the_present_one() {
    assert_says(GOLDEN_1, 1, &records());
    let place = Place::holding(GOLDEN_1);
    let history = read(&place.directory).unwrap();
    assert_holds(&history, 4);
    assert!(history.notes().is_empty());
    assert_eq!(place.bytes(), GOLDEN_1, "reading touches nothing");

    let (mut journal, history) = place.open().unwrap();
    assert_holds(&history, 4);
    let [note] = history.notes() else {
        panic!("{:?}", history.notes());
    };
    assert!(
        note.contains("of version 1 and is of version 2 now"),
        "{note}"
    );
    let beside = place.directory.held().join("journal.jsonl.version1-1");
    assert_eq!(fs::read(beside).unwrap(), GOLDEN_1);
    assert_says(&place.bytes(), 2, &records());
    journal.append(&[sample_start("issue-9", 3)]).unwrap();
    drop(journal);
    let (_, history) = place.open().unwrap();
    assert_eq!((history.records(), history.notes()), (5, &[][..]));
}

#[test]
fn version_2_opens_for_ever() {
    assert_says(GOLDEN_2, 2, &records_of_version_2());
    let place = Place::holding(GOLDEN_2);
    let (_, history) = place.open().unwrap();
    assert!(history.notes().is_empty());
    let standing = |item: &str| Some(history.last(&ItemId::new(item).unwrap())?.standing);
    assert_eq!(standing("issue-7"), Some(Standing::Ended(Outcome::Done)));
    assert_eq!(standing("issue-8"), None);
    assert_eq!(standing("issue-9"), Some(Standing::Unfinished));
    assert_eq!(place.bytes(), GOLDEN_2);
}

#[test]
fn version_2_is_written_as_ever() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    journal.append(&records_of_version_2()).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&place.bytes()),
        String::from_utf8_lossy(GOLDEN_2)
    );
}

#[test]
fn what_was_noted_is_in_the_journal_before_the_disk_has_it() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    journal.note(&[sample_start("issue-7", 1)]).unwrap();
    let history = read(&place.directory).unwrap();
    let last = history.last(&ItemId::new("issue-7").unwrap());
    assert_eq!(last.map(|last| last.standing), Some(Standing::Unfinished));
    journal.append(&records()[..1]).unwrap();
    assert_eq!(journal.unsynced_bytes, 0);
}

#[test]
fn no_more_waits_for_the_disk_than_reading_takes_for_torn() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    let long = Record {
        content_hash: "x".repeat(RECORD_BYTES_MAX / 2),
        ..sample_start("a", 1)
    };
    let mut most = 0;
    for _ in 0..2 * WRITE_BYTES_MAX / (RECORD_BYTES_MAX / 2) {
        journal.note(std::slice::from_ref(&long)).unwrap();
        most = most.max(journal.unsynced_bytes);
    }
    assert!(
        most > WRITE_BYTES_MAX / 2 && most <= WRITE_BYTES_MAX,
        "{most}"
    );
}

/// A journal of `items` items that have failed so many times each.
fn long_journal(place: &Place, items: u32, times: u32) -> Vec<u8> {
    let (mut journal, _) = place.open().unwrap();
    for attempt in 1..=times {
        let records: Vec<_> = (0..items)
            .map(|item| sample(&format!("i{item}"), Outcome::Failed, attempt))
            .collect();
        journal.append(&records).unwrap();
    }
    place.bytes()
}

#[test]
fn a_long_journal_that_is_mostly_superseded_is_compacted() {
    let place = Place::new();
    let before = long_journal(&place, 3_400, 3);
    let (_, all) = place.open().unwrap();
    assert_eq!(all.records(), 10_200, "what was there is told");
    let after = place.bytes();
    assert!(after.len() * 2 < before.len());
    let (mut journal, few) = place.open().unwrap();
    assert_eq!((few.records(), few.items()), (3_400, 3_400));
    for id in few.ids() {
        let item = ItemId::new(id).unwrap();
        assert_eq!(few.last(&item), all.last(&item));
    }
    assert_eq!(place.bytes(), after, "there is nothing more to gain");
    journal.append(&records()).unwrap();
    assert_eq!(read(&place.directory).unwrap().records(), 3_404);
    let mut names = place.directory.held().names().unwrap();
    names.sort();
    assert_eq!(names, ["alive", "journal.jsonl", "lock"]);
}

#[test]
fn a_journal_that_is_short_or_needed_is_not_compacted() {
    for (items, times) in [(3_000, 3), (5_100, 2)] {
        let place = Place::new();
        let before = long_journal(&place, items, times);
        place.open().unwrap();
        assert_eq!(place.bytes(), before, "{items} items, {times} times");
    }
}

/// A journal with a run in it that began so many items and ended them.
fn journal_of_a_run(place: &Place, items: u32) -> Journal {
    let (mut journal, _) = place.open().unwrap();
    let ids = || (0..items).map(|item| format!("i{item}"));
    let began: Vec<_> = ids().map(|id| sample_start(&id, 1)).collect();
    let ended: Vec<_> = ids().map(|id| sample(&id, Outcome::Done, 1)).collect();
    journal.append(&began).unwrap();
    journal.append(&ended).unwrap();
    journal
}

#[test]
fn when_a_long_run_has_ended_what_its_ends_have_superseded_goes() {
    let place = Place::new();
    let journal = journal_of_a_run(&place, 5_000);
    let all = read(&place.directory).unwrap();
    assert!(journal.is_worth_shortening());
    journal.shorten(&place.directory, &place.lock).unwrap();
    let few = read(&place.directory).unwrap();
    assert_eq!((few.records(), few.items()), (5_000, 5_000));
    for id in few.ids() {
        let item = ItemId::new(id).unwrap();
        assert_eq!(few.last(&item), all.last(&item));
    }
}

#[test]
fn what_a_run_has_superseded_before_counts_when_the_next_one_ends() {
    let place = Place::new();
    let before = long_journal(&place, 5_100, 2);
    let (mut journal, _) = place.open().unwrap();
    journal.append(&[sample("i0", Outcome::Done, 3)]).unwrap();
    assert!(journal.is_worth_shortening());
    journal.shorten(&place.directory, &place.lock).unwrap();
    assert!(place.bytes().len() * 19 < before.len() * 10);
    assert_eq!(read(&place.directory).unwrap().records(), 5_100);
}

#[test]
fn a_journal_that_is_short_or_mostly_needed_is_not_worth_shortening() {
    let place = Place::new();
    assert!(!journal_of_a_run(&place, 4_999).is_worth_shortening());
    for times in [1, 2] {
        let place = Place::new();
        long_journal(&place, 10_000, 1);
        let (mut journal, _) = place.open().unwrap();
        for _ in 0..times {
            let ended: Vec<_> = (0..5_000)
                .map(|item| sample(&format!("i{item}"), Outcome::Done, 1))
                .collect();
            journal.append(&ended).unwrap();
        }
        // A third of it is superseded, and then half.
        assert_eq!(journal.is_worth_shortening(), times == 2);
    }
}

#[test]
fn a_journal_that_is_broken_is_not_worth_shortening() {
    let place = Place::new();
    let mut journal = journal_of_a_run(&place, 5_000);
    let long = Record {
        content_hash: "x".repeat(RECORD_BYTES_MAX),
        ..sample("a", Outcome::Done, 1)
    };
    journal.note(&[long]).unwrap_err();
    assert!(!journal.is_worth_shortening());
}

#[test]
fn a_journal_of_any_length_is_read_in_bounded_memory() {
    let place = Place::holding(&small_journal());
    let file = fs::OpenOptions::new()
        .write(true)
        .open(place.directory.journal_path());
    file.unwrap().set_len(1 << 40).unwrap();
    assert_eq!(place.open().unwrap_err().status(), ExitStatus::Damaged);
}

#[test]
fn a_journal_that_was_moved_is_not_made_short() {
    let place = Place::new();
    let journal = journal_of_a_run(&place, 5_000);
    let path = place.directory.journal_path();
    let elsewhere = path.with_extension("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    let error = journal.shorten(&place.directory, &place.lock).unwrap_err();
    assert_eq!(error.status(), ExitStatus::State);
    assert!(!path.exists(), "nothing takes its place");
    let kept = fs::read_to_string(&elsewhere).unwrap();
    assert_eq!(kept.lines().count(), 10_001);
}

#[test]
fn room_is_kept_behind_the_end() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    if allocate(&journal.file, 0, 1) == Err(Errno::EOPNOTSUPP) {
        // Straight to the descriptor: what a passing test prints is not shown.
        writeln!(
            io::stderr(),
            "SKIP: this file system allocates no room ahead"
        )
        .unwrap();
        return;
    }
    assert_eq!(journal.shortage(), None);
    let long = Record {
        content_hash: "x".repeat(RECORD_BYTES_MAX / 2),
        ..sample("a", Outcome::Done, 1)
    };
    for _ in 0..40 {
        journal.append(std::slice::from_ref(&long)).unwrap();
        assert_eq!(journal.shortage(), None);
        let metadata = journal.file.metadata().unwrap();
        assert_eq!(metadata.len(), place.bytes().len() as u64);
        assert!(metadata.blocks() * 512 >= metadata.len() + RESERVE_LOW_BYTES);
    }
}

#[test]
fn where_no_room_can_be_kept_the_journal_does_without() {
    // /dev/null has no room to give.
    let null = fs::OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .unwrap();
    let mut journal = over(null, "/dev/null");
    assert_eq!(journal.shortage(), None);
    assert_eq!(journal.reserve, Reserve::None);
}

/// A journal over something that is no regular file, to see it fail.
fn over(file: File, path: &str) -> Journal {
    Journal::over(file, PathBuf::from(path), header_line().1).unwrap()
}

fn assert_poisoned(mut journal: Journal, reason: &str) {
    let first = journal.append(&records()).unwrap_err();
    assert_eq!(first.status(), ExitStatus::State);
    assert!(first.to_string().contains(reason), "{first}");
    // What would succeed now must not be tried.
    journal.file = tempfile::tempfile().unwrap();
    assert_eq!(journal.append(&records()[..1]).unwrap_err(), first);
    assert_eq!(journal.append(&[]).unwrap_err(), first);
    assert_eq!(journal.file.metadata().unwrap().len(), 0);
}

#[test]
fn a_failed_write_poisons_the_journal() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    assert_poisoned(
        over(full, "/dev/full"),
        "cannot write `/dev/full`: No space left on device",
    );
}

#[test]
fn a_failed_sync_poisons_the_journal() {
    // /dev/null takes every write and knows no fdatasync.
    let null = fs::OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .unwrap();
    assert_poisoned(over(null, "/dev/null"), "cannot sync `/dev/null`");
}

#[test]
fn a_short_write_poisons_the_journal() {
    let (_reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK).unwrap();
    let mut journal = over(File::from(writer), "/pipe");
    let many: Vec<_> = (1..=RECORDS_PER_WRITE_MAX)
        .map(|n| sample("a", Outcome::Done, u32::try_from(n).unwrap()))
        .collect();
    let first = journal.append(&many).unwrap_err();
    assert!(first.to_string().contains("were written"), "{first}");
    assert_eq!(journal.append(&many[..1]).unwrap_err(), first);
}

#[test]
fn a_record_that_is_too_long_poisons_the_journal_and_writes_nothing() {
    let place = Place::new();
    let (mut journal, _) = place.open().unwrap();
    let long = "x".repeat(RECORD_BYTES_MAX);
    let long = exiting(sample("a", Outcome::Done, 1), &long, None);
    let error = journal
        .append(&[sample("b", Outcome::Done, 1), long])
        .unwrap_err();
    assert!(error.to_string().contains("the record of `a`"), "{error}");
    drop(journal);
    assert_holds(&place.open().unwrap().1, 0);
}

#[test]
fn a_journal_that_was_moved_or_removed_in_flight_is_noticed() {
    let exchange: [fn(&Place); 4] = [
        |place| fs::remove_file(place.directory.journal_path()).unwrap(),
        |place| place.directory.held().rename(JOURNAL, "elsewhere").unwrap(),
        |place| {
            fs::rename(
                place.base.path().join(".orchestrate"),
                place.base.path().join("moved"),
            )
            .unwrap();
        },
        |place| write_header(place.directory.held()).unwrap(),
    ];
    for exchange in exchange {
        let place = Place::new();
        let (mut journal, _) = place.open().unwrap();
        journal.append(&records()[..1]).unwrap();
        exchange(&place);
        let error = journal.append(&records()[1..]).unwrap_err();
        assert_eq!(error.status(), ExitStatus::State);
        assert!(
            error
                .to_string()
                .ends_with("was moved, replaced or removed during the run"),
            "{error}"
        );
    }
}

#[test]
fn links_planted_at_the_journal_are_refused_and_their_targets_untouched() {
    for target in ["present", "absent"] {
        let place = Place::new();
        let present = place.base.path().join("present");
        fs::write(&present, "untouched").unwrap();
        symlink(
            place.base.path().join(target),
            place.directory.journal_path(),
        )
        .unwrap();
        for error in [
            read(&place.directory).unwrap_err(),
            place.open().unwrap_err(),
        ] {
            assert_eq!(error.status(), ExitStatus::Usage);
            assert!(error.to_string().contains("is a symbolic link"), "{error}");
        }
        assert_eq!(fs::read(&present).unwrap(), b"untouched");
        assert!(!place.base.path().join("absent").exists());
    }
}

#[test]
fn a_link_planted_where_the_torn_end_goes_is_passed_over() {
    let whole = small_journal();
    let place = Place::holding(&whole[..whole.len() - 3]);
    let target = place.base.path().join("target");
    symlink(
        &target,
        place.directory.held().join(format!("{JOURNAL}.torn-1")),
    )
    .unwrap();
    let (_, history) = place.open().unwrap();
    assert!(history.notes()[0].contains("torn-2"));
    assert!(!target.exists());
}
