//! Removes the folders of old runs, so that a workspace does not grow for ever.
//!
//! `run` calls it when a run has begun. Only what is ours goes: a real directory with the name of a run and a
//! `run.json` that we can read, of a run that is over. Everything is reached through directories that are held open,
//! and no link is ever followed. The journal does not depend on any of it.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use nix::errno::Errno;

use super::directory::{RUN_RECORD, StateDirectory};
use super::run_record::Life;
use super::runs::Runs;
use crate::disk::held_directory::HeldDirectory;
use crate::error::Result;

/// Folders of ours are two deep; what is deeper is somebody else's, and stays.
const DEPTH_MAX: usize = 4;

/// Removes the oldest runs of the workspace at `base` until at most `keep` are left.
///
/// # Errors
///
/// Exit 74 with the first reason why a run could not be removed; the others are then tried all the same.
pub fn remove_old(base: &Path, keep: usize) -> Result<()> {
    let Some(state) = StateDirectory::find(base)? else {
        return Ok(());
    };
    let Some(runs) = Runs::find(&state)? else {
        return Ok(());
    };
    let mut result = Ok(());
    for id in runs.newest_first().iter().skip(keep) {
        // Without a record that we can read, nobody knows what it is.
        if !matches!(runs.life(id), Ok(Some(Life::Ended | Life::CutOff))) {
            continue;
        }
        let removed = remove_run(runs.held(), id.as_str());
        let removed = removed.map_err(|error| runs.held().failed("remove", id.as_str(), &error));
        result = result.and(removed);
    }
    result
}

/// The record goes last: while it is there, an interrupted removal is taken up again.
fn remove_run(runs: &HeldDirectory, name: &str) -> io::Result<()> {
    let Some(run) = child(runs, OsStr::new(name))? else {
        return Ok(());
    };
    for entry in run.names()? {
        if entry != RUN_RECORD {
            remove_all(&run, &entry, DEPTH_MAX)?;
        }
    }
    gone(run.remove(RUN_RECORD))?;
    gone(runs.remove_directory(name))
}

fn remove_all(directory: &HeldDirectory, name: &OsStr, depth: usize) -> io::Result<()> {
    match directory.remove(name).map_err(|error| errno(&error)) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        // A directory says EISDIR on Linux (unlink(2)), and EPERM by POSIX.
        Err(Errno::EISDIR | Errno::EPERM) if depth > 0 => {}
        Err(error) => return Err(error.into()),
    }
    let Some(below) = child(directory, name)? else {
        return Ok(());
    };
    for entry in below.names()? {
        remove_all(&below, &entry, depth - 1)?;
    }
    gone(directory.remove_directory(name))
}

/// A directory of ours that is no link; nothing when it is gone.
fn child(directory: &HeldDirectory, name: &OsStr) -> io::Result<Option<HeldDirectory>> {
    directory
        .find_child(name)
        .map_err(|error| io::Error::other(error.to_string()))
}

/// Another run may be removing the same.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::lock::WorkflowLock;
    use super::super::run_id::RunId;
    use super::super::run_record::RunRecord;
    use super::*;

    fn record(number: i64, ended: bool) -> RunRecord {
        let started = jiff::Timestamp::from_second(1_000_000_000 + number).unwrap();
        RunRecord {
            run: RunId::new(started, 7).to_string(),
            workflow: "w".to_owned(),
            orchestrate_version: "0.1.0".to_owned(),
            started,
            ended: ended.then_some(started),
            parallel: None,
            command: Vec::new(),
            verify: Vec::new(),
            credentials: Vec::new(),
            credential_states: std::collections::BTreeMap::new(),
            lost: None,
            forecast_ms: None,
            exit_status: None,
            items: Vec::new(),
        }
    }

    fn keep(state: &StateDirectory, number: i64, ended: bool) -> String {
        let record = record(number, ended);
        let directory = state.path().join("runs").join(&record.run);
        let logs = directory.join("logs");
        fs::create_dir_all(&logs).unwrap();
        fs::write(logs.join("a.1.log"), "x").unwrap();
        fs::write(directory.join("events.jsonl"), "x").unwrap();
        fs::write(directory.join(RUN_RECORD), record.to_json()).unwrap();
        record.run
    }

    fn names(state: &StateDirectory) -> Vec<String> {
        let entries = fs::read_dir(state.path().join("runs")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_newest_are_kept_and_the_others_go_with_all_that_is_in_them() {
        let base = tempfile::tempdir().unwrap();
        remove_old(base.path(), 1).unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        remove_old(base.path(), 1).unwrap();
        let kept: Vec<String> = (0..7)
            .map(|number| keep(&state, number, number % 2 == 0))
            .collect();
        let old = state.path().join("runs").join(&kept[0]);
        fs::write(old.join(".0123.tmp"), "x").unwrap();
        fs::create_dir(old.join("report")).unwrap();
        fs::write(old.join("report/index.html"), "x").unwrap();
        remove_old(base.path(), 7).unwrap();
        assert_eq!(names(&state), kept);
        remove_old(base.path(), 3).unwrap();
        assert_eq!(names(&state), kept[4..]);
    }

    #[test]
    fn what_is_not_ours_or_still_lives_stays() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        let live = keep(&state, 0, false);
        let workflow = state.workflow("w").unwrap();
        let started = record(0, false).started.to_string();
        let lock = WorkflowLock::acquire(&workflow, 1, &started).unwrap();
        let gone = keep(&state, 1, true);
        let runs = state.path().join("runs");
        let elsewhere = base.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("precious"), "x").unwrap();
        fs::write(elsewhere.join(RUN_RECORD), record(2, true).to_json()).unwrap();
        symlink(&elsewhere, runs.join(record(2, true).run)).unwrap();
        // Within a run, a link goes and what it leads to stays.
        symlink(&elsewhere, runs.join(&gone).join("logs/b.1.log")).unwrap();
        let unfinished = RunId::new(jiff::Timestamp::UNIX_EPOCH, 1).to_string();
        fs::create_dir(runs.join(&unfinished)).unwrap();
        let damaged = RunId::new(jiff::Timestamp::UNIX_EPOCH, 2).to_string();
        fs::create_dir(runs.join(&damaged)).unwrap();
        fs::write(runs.join(&damaged).join(RUN_RECORD), "rubbish").unwrap();
        fs::create_dir(runs.join("notes")).unwrap();
        symlink(&gone, runs.join("latest")).unwrap();
        let newest = keep(&state, 9, true);
        remove_old(base.path(), 1).unwrap();
        let mut expected = vec![live, newest, unfinished, damaged, record(2, true).run];
        expected.extend(["latest".to_owned(), "notes".to_owned()]);
        expected.sort();
        assert_eq!(names(&state), expected);
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 2);
        lock.release();
        remove_old(base.path(), 1).unwrap();
        assert_eq!(names(&state).len(), expected.len() - 1);
    }
}
