//! The runs that are kept, for who looks at them: which there are, and what each has written down.
//!
//! The commands that look at a run read through this file; it writes nothing but a page about a run beside it. A run that goes on meanwhile is read as it
//! is at one moment: `run.json` is always whole, and of `events.jsonl` a last line that is still being written is left
//! out.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::PathBuf;

use super::directory::{EVENTS, LOGS, RUN_RECORD, StateDirectory, parse_log_name};
use super::event_file::EventFile;
use super::lock;
use super::run_event::EventLine;
use super::run_id::RunId;
use super::run_record::{Life, RunRecord};
use super::run_times::RunTimes;
use crate::disk::held_directory::{Access, HeldDirectory, failed};
use crate::disk::path_text::shown;
use crate::disk::whole_file;
use crate::error::{Error, Result};

/// A page about a run, in its folder.
const PAGE: &str = "report.html";
/// More of a `run.json` than this is not read.
const RECORD_BYTES_MAX: u64 = 256 << 20;
/// How much of a `run.json` is in memory that is read piece by piece.
const PIECE_BYTES: usize = 64 * 1024;
/// How many bytes of a run's name tell its second: `20261123T001448Z`.
const SECOND_BYTES: usize = 16;

/// All runs that are kept.
#[derive(Debug)]
pub struct Runs<'a> {
    state: &'a StateDirectory,
    directory: HeldDirectory,
    /// Oldest first.
    ids: Vec<RunId>,
}

/// One run, as it is now.
#[derive(Debug)]
pub struct KeptRun {
    /// What `run.json` says.
    pub record: RunRecord,
    /// What has happened, in order.
    pub events: Vec<EventLine>,
    /// Whether it still goes on.
    pub life: Life,
}

impl<'a> Runs<'a> {
    /// What is kept in `state`; nothing when there never was a run.
    ///
    /// # Errors
    ///
    /// When the directory of the runs cannot be read.
    pub fn find(state: &'a StateDirectory) -> Result<Option<Self>> {
        let Some(directory) = state.find_runs()? else {
            return Ok(None);
        };
        let names = readable_names(&directory)?;
        let ids = names.iter().filter_map(|name| RunId::parse(name).ok());
        let mut ids: Vec<RunId> = ids.collect();
        ids.sort_unstable();
        Ok(Some(Self {
            state,
            directory,
            ids,
        }))
    }

    /// The directory of all runs.
    pub(super) const fn held(&self) -> &HeldDirectory {
        &self.directory
    }

    /// The names of all runs, newest first.
    #[must_use]
    pub fn newest_first(&self) -> Vec<RunId> {
        let mut sorted: Vec<RunId> = Vec::new();
        let second =
            |a: &RunId, b: &RunId| a.as_str()[..SECOND_BYTES] == b.as_str()[..SECOND_BYTES];
        for same in self.ids.chunk_by(second).rev() {
            if let [one] = same {
                sorted.push(one.clone());
                continue;
            }
            // The name does not tell runs of the same second apart, their records do. One that cannot be read stands
            // behind; who reads it is told.
            let started = |id| self.record(id).ok().flatten().map(|record| record.started);
            let mut begun: Vec<_> = same.iter().map(|id| (started(id), id)).collect();
            begun.sort_unstable();
            sorted.extend(begun.into_iter().rev().map(|(_, id)| id.clone()));
        }
        sorted
    }

    /// The run with this name, or the one whose name begins so.
    ///
    /// # Errors
    ///
    /// A usage error when there is none, or more than one.
    pub fn named(&self, name: &str) -> Result<RunId> {
        let fits = |id: &&RunId| !name.is_empty() && id.as_str().starts_with(name);
        let fitting: Vec<&RunId> = self.ids.iter().filter(fits).collect();
        match fitting[..] {
            [one] => Ok(one.clone()),
            [] => {
                let message = format!("there is no run `{}`", name.escape_debug());
                let known = self.ids.iter().rev().take(3).map(RunId::as_str);
                let known: Vec<&str> = known.collect();
                let hint = match known[..] {
                    [] => "there is none at all yet".to_owned(),
                    _ => format!("the newest are {}", known.join(", ")),
                };
                Err(Error::usage(message).with_hint(hint))
            }
            [first, second, ..] => {
                let name = name.escape_debug();
                let message = format!("more than one run begins with `{name}`");
                Err(Error::usage(message).with_hint(format!("{first} or {second}?")))
            }
        }
    }

    /// What is known of a run now; nothing when it has written nothing down yet, or is gone.
    ///
    /// # Errors
    ///
    /// Exit 65 when what it has written is damaged; when it cannot be read.
    pub fn read(&self, id: &RunId) -> Result<Option<KeptRun>> {
        let Some((record, life)) = self.record_and_life(id)? else {
            return Ok(None);
        };
        let events = self.events(id)?;
        if life == Life::Ended {
            return Ok(Some(KeptRun {
                record,
                events,
                life,
            }));
        }
        // It may have ended since.
        let record = self.record(id)?.unwrap_or(record);
        let life = record.ended.map_or(life, |_| Life::Ended);
        Ok(Some(KeptRun {
            record,
            events,
            life,
        }))
    }

    /// Whether a run still goes on; nothing when it has written nothing down yet, or is gone.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn life(&self, id: &RunId) -> Result<Option<Life>> {
        Ok(self.record_and_life(id)?.map(|(_, life)| life))
    }

    fn record_and_life(&self, id: &RunId) -> Result<Option<(RunRecord, Life)>> {
        let Some(record) = self.record(id)? else {
            return Ok(None);
        };
        if record.ended.is_some() {
            return Ok(Some((record, Life::Ended)));
        }
        let runs = self.is_running(&record)?;
        // Who no longer holds the lock has written its last.
        let record = self.record(id)?.unwrap_or(record);
        let life = match (record.ended, runs) {
            (Some(_), _) => Life::Ended,
            (None, true) => Life::Running,
            (None, false) => Life::CutOff,
        };
        Ok(Some((record, life)))
    }

    /// Whether this very run holds its workflow's lock, or a process that it has left behind does.
    fn is_running(&self, record: &RunRecord) -> Result<bool> {
        let Some(workflow) = self.state.find_workflow(&record.workflow)? else {
            return Ok(false);
        };
        let started = record.started.to_string();
        let holder = lock::holder_of(&workflow)?;
        Ok(holder.is_some_and(|holder| holder.started == Some(started)))
    }

    /// What `run.json` says; nothing when it is not written yet, or gone.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn record(&self, id: &RunId) -> Result<Option<RunRecord>> {
        let Some((run, file)) = self.record_file(id)? else {
            return Ok(None);
        };
        let mut json = Vec::new();
        file.take(RECORD_BYTES_MAX)
            .read_to_end(&mut json)
            .map_err(|error| run.failed("read", RUN_RECORD, &error))?;
        let record = RunRecord::from_json(&json).map_err(|error| {
            let path = shown(&run.join(RUN_RECORD));
            Error::new(error.status(), format!("`{path}`: {error}")).with_hint(
                "nothing depends on it; another run can be named: orchestrate status RUN",
            )
        })?;
        Ok(Some(record))
    }

    /// What `run.json` tells of the times that items take; nothing when it cannot be read.
    #[must_use]
    pub fn times(&self, id: &RunId) -> Option<RunTimes> {
        let (_, file) = self.record_file(id).ok()??;
        let pieces = BufReader::with_capacity(PIECE_BYTES, file.take(RECORD_BYTES_MAX));
        RunTimes::read(pieces)
    }

    fn record_file(&self, id: &RunId) -> Result<Option<(HeldDirectory, File)>> {
        let Some(run) = self.directory.find_child(id.as_str())? else {
            return Ok(None);
        };
        let file = run.open_file(RUN_RECORD, Access::Read)?;
        Ok(file.map(|file| (run, file)))
    }

    fn events(&self, id: &RunId) -> Result<Vec<EventLine>> {
        match self.event_file(id)? {
            Some(mut file) => file.read_on(),
            None => Ok(Vec::new()),
        }
    }

    /// Where the logs of a run lie.
    #[must_use]
    pub fn log_path(&self, id: &RunId) -> PathBuf {
        self.directory.join(id.as_str()).join(LOGS)
    }

    /// Where a page about a run lies.
    #[must_use]
    pub fn page_path(&self, id: &RunId) -> PathBuf {
        self.directory.join(id.as_str()).join(PAGE)
    }

    /// Writes a page about a run beside its record, in place of an older one, and says where it lies.
    ///
    /// # Errors
    ///
    /// Exit 74 when it cannot be written, or the run's folder is gone.
    pub fn write_page(&self, id: &RunId, html: &[u8]) -> Result<PathBuf> {
        let Some(run) = self.directory.find_child(id.as_str())? else {
            let gone = io::ErrorKind::NotFound.into();
            return Err(self.directory.failed("open", id.as_str(), &gone));
        };
        whole_file::write_in(&run, PAGE, html).map_err(|e| run.failed("write", PAGE, &e))?;
        Ok(self.page_path(id))
    }

    /// What has happened in a run, to be read from its beginning; nothing when that was not written down.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn event_file(&self, id: &RunId) -> Result<Option<EventFile>> {
        let Some(run) = self.directory.find_child(id.as_str())? else {
            return Ok(None);
        };
        let file = run.open_file(EVENTS, Access::Read)?;
        Ok(file.map(|file| EventFile::new(file, run.join(EVENTS))))
    }

    /// The items and attempts of which a run has logs, in no order.
    ///
    /// # Errors
    ///
    /// When they cannot be listed.
    pub fn logs(&self, id: &RunId) -> Result<Vec<(String, u32)>> {
        let Some(logs) = self.log_directory(id)? else {
            return Ok(Vec::new());
        };
        let names = readable_names(&logs)?;
        Ok(names
            .iter()
            .filter_map(|name| parse_log_name(name))
            .collect())
    }

    /// The log of an attempt, and where it lies; nothing when it is not there.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn open_log(
        &self,
        id: &RunId,
        item: &str,
        attempt: u32,
    ) -> Result<Option<(File, PathBuf)>> {
        let Some(logs) = self.log_directory(id)? else {
            return Ok(None);
        };
        let names = readable_names(&logs)?;
        let wanted = |name: &&String| parse_log_name(name) == Some((item.to_owned(), attempt));
        let Some(name) = names.iter().find(wanted) else {
            return Ok(None);
        };
        let file = logs.open_file(name, Access::Read)?;
        Ok(file.map(|file| (file, logs.join(name))))
    }

    fn log_directory(&self, id: &RunId) -> Result<Option<HeldDirectory>> {
        match self.directory.find_child(id.as_str())? {
            Some(run) => run.find_child(LOGS),
            None => Ok(None),
        }
    }
}

/// The names in a directory that are text, as all of ours are.
fn readable_names(directory: &HeldDirectory) -> Result<Vec<String>> {
    let names = directory
        .names()
        .map_err(|error| failed("read", directory.path(), &error))?;
    Ok(names
        .into_iter()
        .filter_map(|name| name.into_string().ok())
        .collect())
}
