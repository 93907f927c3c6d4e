//! The journal of one workflow: the truth about what is done, on the disk.
//!
//! The one place that appends to it. `run.rs` opens it under the workflow's lock and hands it to the journal's
//! thread ([`super::journal_thread`]); a dry run only [`read`]s it. What a line looks like is decided in
//! [`super::record`], what is a tear and what is damage in [`super::history`].
//!
//! - **Durable before visible**: [`Journal::append`] returns after fdatasync came back.
//! - **No second try**: after a failed fsync the kernel has dropped the page and calls it clean, so a later fsync
//!   that succeeds would say nothing (<https://wiki.postgresql.org/wiki/Fsync_Errors> tells the
//!   story). The first failure poisons the journal: nothing is appended any more.
//! - **Never guessed around**: damage is refused with the repair in the message; what is cut off is saved first.
//! - What a killed run wrote but did not sync is made durable before it is believed.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::directory::{JOURNAL, WorkflowDirectory};
use super::held_directory::{Access, HeldDirectory, Identity, failed};
use super::history::{History, RECORDS_PER_WRITE_MAX, WRITE_BYTES_MAX, judge_end};
use super::lock::WorkflowLock;
use super::path_text::{shell_quoted, shown};
use super::record::{
    Defect, Position, RECORD_BYTES_MAX, Record, header_line, read_head, read_header, write_line,
};
use super::whole_file;
use crate::error::{Error, ExitStatus, Result};

/// How much of the journal is read at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// How many torn ends may lie beside a journal before somebody has to look.
const TORN_FILES_MAX: u32 = 1000;

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    identity: Identity,
    position: Position,
    buffer: Vec<u8>,
    poison: Option<Error>,
}

impl Journal {
    /// Opens the workflow's journal for appending, makes it if it is not there, and reads it.
    ///
    /// The lock is the proof that nobody else is appending: a torn end is saved beside the journal and cut off,
    /// which would destroy a write that is on its way. The history's notes say so.
    ///
    /// # Errors
    ///
    /// Exit 65 when the journal is damaged or of another version; exit 2 when the file is not ours; exit 74 when
    /// it cannot be read or written.
    pub fn open(directory: &WorkflowDirectory, _lock: &WorkflowLock) -> Result<(Self, History)> {
        let held = directory.held();
        if held.identity(JOURNAL)?.is_none() {
            write_header(held)?;
        }
        let mut file = open_existing(held)?;
        let mut scan = scan(&file, &directory.journal_path())?;
        if scan.torn {
            scan.history.note(save_aside(held, &scan)?);
            if scan.position.is_none() {
                write_header(held)?;
                file = open_existing(held)?;
            } else {
                file.set_len(scan.good_bytes)
                    .map_err(|e| held.failed("cut", JOURNAL, &e))?;
            }
        }
        file.sync_data()
            .and_then(|()| held.sync())
            .map_err(|e| held.failed("sync", JOURNAL, &e))?;
        let position = scan.position.unwrap_or(header_line().1);
        Ok((
            Self::over(file, directory.journal_path(), position)?,
            scan.history,
        ))
    }

    fn over(file: File, path: PathBuf, position: Position) -> Result<Self> {
        let metadata = file.metadata().map_err(|e| failed("examine", &path, &e))?;
        Ok(Self {
            identity: Identity::from(&metadata),
            file,
            path,
            position,
            buffer: Vec::new(),
            poison: None,
        })
    }

    /// Appends `records` and makes them durable: one write and one fdatasync for up to
    /// [`RECORDS_PER_WRITE_MAX`] of them.
    ///
    /// # Errors
    ///
    /// Exit 74 when they may not be durable; every later call then fails with the same reason.
    pub fn append(&mut self, records: &[Record]) -> Result<()> {
        if let Some(reason) = &self.poison {
            return Err(reason.clone());
        }
        for records in records.chunks(RECORDS_PER_WRITE_MAX) {
            self.append_at_once(records)
                .inspect_err(|reason| self.poison = Some(reason.clone()))?;
        }
        Ok(())
    }

    fn append_at_once(&mut self, records: &[Record]) -> Result<()> {
        let mut position = self.position;
        self.buffer.clear();
        for record in records {
            position = write_line(&mut self.buffer, position, record).map_err(|_| {
                let item = &record.item;
                Error::state(format!(
                    "the record of `{item}` is longer than {RECORD_BYTES_MAX} bytes"
                ))
            })?;
        }
        write_once(&self.file, &self.buffer)
            .map_err(|e| failed("write", &self.path, &e).with_hint(UNRECORDED_HINT))?;
        self.file
            .sync_data()
            .map_err(|e| failed("sync", &self.path, &e).with_hint(UNRECORDED_HINT))?;
        self.check_still_there()?;
        self.position = position;
        Ok(())
    }

    /// What is durable in a file that nobody will find again is lost.
    fn check_still_there(&self) -> Result<()> {
        // Not through the held directory: it would be found there even when the directory itself was moved.
        let found = std::fs::symlink_metadata(&self.path);
        if found.is_ok_and(|metadata| Identity::from(&metadata) == self.identity) {
            return Ok(());
        }
        let path = shown(&self.path);
        let message = format!("`{path}` was moved, replaced or removed during the run");
        Err(Error::state(message)
            .with_hint("put it back if you have it; what was recorded last is in the moved file"))
    }
}

const UNRECORDED_HINT: &str =
    "what was recorded before stays recorded; items that ended since run again next time";

/// Reads the workflow's journal without touching it; no journal is an empty history.
///
/// A torn end is left where it is and noted: another run may be writing it just now.
///
/// # Errors
///
/// As [`Journal::open`].
pub fn read(directory: &WorkflowDirectory) -> Result<History> {
    let Some(file) = directory.held().open_file(JOURNAL, Access::Read)? else {
        return Ok(History::default());
    };
    let mut scan = scan(&file, &directory.journal_path())?;
    if scan.torn && !scan.end.is_empty() {
        scan.history.note(format!(
            "`{}` ends in the middle of a record ({} bytes); another run may be writing it, else the next run sets them aside",
            shown(&directory.journal_path()),
            scan.end.len(),
        ));
    }
    Ok(scan.history)
}

/// What reading found.
#[derive(Debug, Default)]
struct Scan {
    history: History,
    /// The last good line; none when there is not even a header.
    position: Option<Position>,
    good_bytes: u64,
    good_lines: u64,
    /// Whether something has to be cut off, or a header has to be written.
    torn: bool,
    /// What follows the good lines.
    end: Vec<u8>,
}

impl Scan {
    fn accept(&mut self, line: &[u8]) -> std::result::Result<(), Defect> {
        let position = match self.position {
            None => read_header(line)?,
            Some(previous) => {
                let (head, position) = read_head(line, previous)?;
                self.history.take(&head);
                position
            }
        };
        self.position = Some(position);
        self.good_bytes += line.len() as u64 + 1;
        self.good_lines += 1;
        Ok(())
    }
}

fn scan(file: &File, path: &Path) -> Result<Scan> {
    let unreadable = |error: io::Error| failed("read", path, &error);
    let mut scan = Scan::default();
    let mut lines = Lines::new(file);
    let mut defect = None;
    while let Some(line) = lines.next().map_err(unreadable)? {
        if let Err(found) = scan.accept(line) {
            defect = Some(found);
            break;
        }
    }
    let defect = defect.unwrap_or(if lines.is_too_long() {
        Defect::TooLong
    } else {
        Defect::Checksum
    });
    scan.end = read_at_most(file, scan.good_bytes, WRITE_BYTES_MAX + 1).map_err(unreadable)?;
    if scan.end.is_empty() && scan.position.is_some() {
        return Ok(scan);
    }
    judge_end(&scan.end, scan.good_bytes, defect)
        .map_err(|defect| damaged(path, &scan, &defect))?;
    scan.torn = true;
    Ok(scan)
}

/// Names the place and the exact repair (exit 65).
fn damaged(path: &Path, scan: &Scan, defect: &Defect) -> Error {
    let journal = shell_quoted(path);
    let (place, lines, bytes) = (shown(path), scan.good_lines, scan.good_bytes);
    if let Defect::Version(_) = defect {
        let message = format!("the journal `{place}` cannot be read: {defect}");
        return Error::new(ExitStatus::Damaged, message).with_hint(format!(
            "use the orchestrate that wrote it, or begin anew, every item included: mv {journal} {journal}.old"
        ));
    }
    let line = lines + 1;
    let aside = shell_quoted(&PathBuf::from(format!(
        "{}.damaged-{bytes}",
        path.display()
    )));
    Error::new(
        ExitStatus::Damaged,
        format!("the journal `{place}` is damaged at line {line} (byte {bytes}): {defect}"),
    )
    .with_hint(format!(
        "to keep the {lines} lines before it (what was recorded after them runs again): \
             cp {journal} {aside} && head -n {lines} {aside} > {journal}"
    ))
}

/// The whole lines of a file, one after the other, in bounded memory.
struct Lines<'f> {
    file: &'f File,
    buffer: Vec<u8>,
    /// The unread part of the buffer.
    unread: std::ops::Range<usize>,
    /// Where in the file the buffer ends.
    offset: u64,
}

impl<'f> Lines<'f> {
    fn new(file: &'f File) -> Self {
        Self {
            file,
            buffer: vec![0; CHUNK_BYTES],
            unread: 0..0,
            offset: 0,
        }
    }

    /// The next line without its newline; nothing when what is left is no whole line of a permitted length.
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let length = loop {
            let unread = &self.buffer[self.unread.clone()];
            let newline = memchr::memchr(b'\n', &unread[..unread.len().min(RECORD_BYTES_MAX)]);
            if let Some(newline) = newline {
                break newline;
            }
            if self.is_too_long() || !self.fill()? {
                return Ok(None);
            }
        };
        let start = self.unread.start;
        self.unread.start += length + 1;
        Ok(Some(&self.buffer[start..start + length]))
    }

    fn is_too_long(&self) -> bool {
        self.unread.len() >= RECORD_BYTES_MAX
            && memchr::memchr(b'\n', &self.buffer[self.unread.clone()][..RECORD_BYTES_MAX])
                .is_none()
    }

    /// Reads on; says whether anything came.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let read = read_at(self.file, &mut self.buffer[self.unread.end..], self.offset)?;
        self.unread.end += read;
        self.offset += read as u64;
        Ok(read > 0)
    }
}

fn read_at_most(file: &File, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let available = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; bytes_max.min(usize::try_from(available).unwrap_or(bytes_max))];
    let mut length = 0;
    while length < bytes.len() {
        match read_at(file, &mut bytes[length..], offset + length as u64)? {
            0 => break,
            read => length += read,
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// One write for all of `bytes`; a part of it is a failure. A write that was interrupted before it began is not.
fn write_once(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    loop {
        match file.write(bytes) {
            Ok(written) if written == bytes.len() => return Ok(()),
            Ok(written) => {
                let part = format!("only {written} of {} bytes were written", bytes.len());
                return Err(io::Error::new(io::ErrorKind::WriteZero, part));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn write_header(held: &HeldDirectory) -> Result<()> {
    whole_file::write_in(held, JOURNAL, &header_line().0)
        .map_err(|e| held.failed("make", JOURNAL, &e))
}

fn open_existing(held: &HeldDirectory) -> Result<File> {
    held.open_file(JOURNAL, Access::Append)?
        .ok_or_else(|| held.failed("open", JOURNAL, &io::ErrorKind::NotFound.into()))
}

/// Saves the torn end beside the journal, durably, before anything is cut off; says where.
fn save_aside(held: &HeldDirectory, scan: &Scan) -> Result<String> {
    let journal = shown(&held.join(JOURNAL));
    if scan.end.is_empty() {
        return Ok(format!("`{journal}` was empty and begins anew"));
    }
    for number in 1..=TORN_FILES_MAX {
        let name = format!("{JOURNAL}.torn-{number}");
        let mut file = match held.create_new(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(held.failed("make", &name, &error)),
        };
        file.write_all(&scan.end)
            .and_then(|()| file.sync_all())
            .and_then(|()| held.sync())
            .map_err(|e| held.failed("write", &name, &e))?;
        return Ok(format!(
            "`{journal}` ended in the middle of a record, as after a power cut; its last {} bytes were set aside in \
             `{name}`, and the items that they belonged to run again",
            scan.end.len(),
        ));
    }
    Err(Error::state(format!(
        "more than {TORN_FILES_MAX} torn ends lie beside `{journal}`"
    ))
    .with_hint("find out why runs keep dying while they write, then remove the files `*.torn-*`"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::directory::StateDirectory;
    use super::super::history::Last;
    use super::super::record::tests::sample;
    use super::super::record::{Outcome, read_line};
    use super::*;
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
            Record {
                exit: "exit 0".to_owned(),
                code: Some(0),
                ..sample("issue-42", Outcome::Done, 1)
            },
            sample("issue-7", Outcome::Done, 2),
            Record {
                content_hash: "W/\"caf\u{e9}\\1\"".to_owned(),
                exit: "SIGKILL".to_owned(),
                code: None,
                credential: None,
                log: None,
                ..sample("LLD-042", Outcome::Interrupted, 4_294_967_295)
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
            let Record {
                outcome,
                attempt,
                content_hash,
                ..
            } = record;
            let last = Last {
                outcome: *outcome,
                attempt: *attempt,
                content_hash,
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
    fn the_repair_in_the_hint_repairs() {
        let whole = small_journal();
        let starts = line_starts(&whole);
        for damaged_line in 0..starts.len() - 1 {
            let mut bytes = whole.clone();
            bytes[starts[damaged_line] + 5] ^= 1;
            let place = Place::holding(&bytes);
            let error = place.open().unwrap_err();
            let (explained, command) = error.hint().unwrap().split_once(": ").unwrap();
            assert!(
                explained.contains(&format!("the {damaged_line} lines")),
                "{explained}"
            );
            let status = std::process::Command::new("sh")
                .args(["-c", command])
                .status()
                .unwrap();
            assert!(status.success(), "{command}");
            assert_holds(&place.open().unwrap().1, damaged_line.saturating_sub(1));
            let aside = place
                .directory
                .held()
                .join(format!("{JOURNAL}.damaged-{}", starts[damaged_line]));
            assert_eq!(fs::read(aside).unwrap(), bytes);
        }
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
                text.contains("version 7") && text.contains("version 1"),
                "{text}"
            );
            assert!(error.hint().unwrap().contains(".old"));
        }
        assert_eq!(place.bytes(), line);
    }

    #[test]
    fn version_1_opens_for_ever() {
        let golden = include_bytes!("../../tests/golden/journal-v1.jsonl");
        let place = Place::holding(golden);
        let (_, history) = place.open().unwrap();
        assert_holds(&history, 4);
        assert!(history.notes().is_empty());
        let mut lines = golden.split(|&byte| byte == b'\n');
        let mut position = read_header(lines.next().unwrap()).unwrap();
        for expected in records() {
            let (record, next) = read_line(lines.next().unwrap(), position).unwrap();
            assert_eq!(record, expected);
            position = next;
        }
    }

    #[test]
    fn version_1_is_written_as_ever() {
        let golden = include_bytes!("../../tests/golden/journal-v1.jsonl");
        assert_eq!(
            String::from_utf8_lossy(&small_journal()),
            String::from_utf8_lossy(golden)
        );
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
        let mut long = sample("a", Outcome::Done, 1);
        long.exit = "x".repeat(RECORD_BYTES_MAX);
        let error = journal
            .append(&[sample("b", Outcome::Done, 1), long])
            .unwrap_err();
        assert!(error.to_string().contains("the record of `a`"), "{error}");
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
}
