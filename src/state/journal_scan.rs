//! Reads a journal from its first line to its last: what it says, how far it is good, and what is wrong with it.
//!
//! [`super::journal`] scans before it appends; a dry run and `orchestrate journal verify` only [`read`]. Nothing here
//! writes. What a line is worth is decided in [`super::record`], what an end is worth in [`super::history`].

use std::fs::File;
use std::io;

use super::directory::{JOURNAL, WorkflowDirectory};
use super::history::{History, Reading, WRITE_BYTES_MAX, judge_end};
use super::journal_lines::{Lines, read_at_most};
use super::record::{Defect, Position, VERSION, read_head, read_header};
use crate::disk::held_directory::{Access, failed};
use crate::disk::path_text::{shell_quoted, shown};
use crate::error::{Error, ExitStatus, Result};

/// What reading found.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) history: History,
    /// The last good line; none when there is not even a header.
    pub(super) position: Option<Position>,
    pub(super) version: u64,
    pub(super) good_bytes: u64,
    good_lines: u64,
    /// Whether something has to be cut off, or a header has to be written.
    pub(super) torn: bool,
    /// What follows the good lines.
    pub(super) end: Vec<u8>,
}

impl Scan {
    fn accept(&mut self, line: &[u8]) -> std::result::Result<(), Defect> {
        let position = match self.position {
            None => {
                let (position, version) = read_header(line)?;
                self.version = version;
                position
            }
            Some(previous) => {
                let (head, position) = read_head(line, previous)?;
                self.history.take(&head, position.sequence);
                position
            }
        };
        self.position = Some(position);
        self.good_bytes += line.len() as u64 + 1;
        self.good_lines += 1;
        Ok(())
    }
}

/// Reads the whole journal in `file`.
pub(super) fn scan(file: &File, directory: &WorkflowDirectory) -> Result<Scan> {
    let path = directory.journal_path();
    let unreadable = |error: io::Error| failed("read", &path, &error);
    let bytes = file.metadata().map_err(unreadable)?.len();
    let mut scan = Scan {
        history: History::of_journal(bytes),
        position: None,
        version: VERSION,
        good_bytes: 0,
        good_lines: 0,
        torn: false,
        end: Vec::new(),
    };
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
        .map_err(|defect| damaged(directory, &scan, &defect))?;
    scan.torn = true;
    Ok(scan)
}

/// Names the place and the exact repair (exit 65).
fn damaged(directory: &WorkflowDirectory, scan: &Scan, defect: &Defect) -> Error {
    let path = directory.journal_path();
    if let Defect::Version(_) = defect {
        return of_another_version(directory, defect);
    }
    let (line, bytes) = (scan.good_lines + 1, scan.good_bytes);
    let place = shown(&path);
    Error::new(
        ExitStatus::Damaged,
        format!("the journal `{place}` is damaged at line {line} (byte {bytes}): {defect}"),
    )
    .with_hint(format!(
        "to keep every record that is whole, and the damaged journal beside it: {}",
        repair_command(directory)
    ))
}

/// A journal that only another `orchestrate` understands (exit 65).
pub(super) fn of_another_version(directory: &WorkflowDirectory, defect: &Defect) -> Error {
    let path = directory.journal_path();
    let (place, word) = (shown(&path), shell_quoted(&path));
    let message = format!("the journal `{place}` cannot be read: {defect}");
    Error::new(ExitStatus::Damaged, message).with_hint(format!(
        "use the orchestrate that wrote it, or begin anew, every item included: mv {word} {word}.old"
    ))
}

/// What a person types, from anywhere.
fn repair_command(directory: &WorkflowDirectory) -> String {
    let (options, workflow) = (directory.options(), directory.workflow());
    format!("orchestrate {options} journal repair {workflow}")
}

/// Reads the workflow's journal without touching it; nothing when there is none.
///
/// A torn end is left where it is and noted: another run may be writing it just now.
///
/// # Errors
///
/// Exit 65 when the journal is damaged or of another version; exit 2 when the file is not ours; exit 74 when it
/// cannot be read.
pub fn read_whole(directory: &WorkflowDirectory) -> Result<Option<Reading>> {
    let Some(file) = directory.held().open_file(JOURNAL, Access::Read)? else {
        return Ok(None);
    };
    let mut scan = scan(&file, directory)?;
    if scan.torn && !scan.end.is_empty() {
        scan.history.note(format!(
            "`{}` ends in the middle of a record ({} bytes); another run may be writing it, else the next run sets them aside",
            shown(&directory.journal_path()),
            scan.end.len(),
        ));
    }
    Ok(Some(Reading {
        history: scan.history,
        version: scan.version,
        bytes: scan.good_bytes + scan.end.len() as u64,
    }))
}

/// What the workflow's journal says; no journal is an empty history.
///
/// # Errors
///
/// As [`read_whole`].
pub fn read(directory: &WorkflowDirectory) -> Result<History> {
    let reading = read_whole(directory)?;
    Ok(reading.map_or_else(History::default, |reading| reading.history))
}
