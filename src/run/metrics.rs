//! Writes `--metrics` when a run has ended, well or badly.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::present::Voice;
use super::signals::Signals;
use super::{Exit, collect};
use crate::config::resolve::Invocation;
use crate::disk::whole_file;
use crate::error::{Error, Result};
use crate::escape::quoted;
use crate::report::metrics::RunMetrics;
use crate::report::run_view::RunView;
use crate::schedule::stage::Press;
use crate::state::run_record::{Life, RunRecord};

/// The file, and what is to stand in it.
pub(super) struct Metrics {
    path: PathBuf,
    workflow: String,
    began: Timestamp,
    /// What the run has written at its end, if it got so far.
    record: RefCell<Option<RunRecord>>,
    turned_away: Cell<bool>,
}

impl Metrics {
    /// What is wanted, if anything is: a dry run writes nothing.
    ///
    /// # Errors
    ///
    /// A usage error when the file cannot be one: better now than in the morning.
    pub(super) fn wanted(invocation: &Invocation) -> Result<Option<Self>> {
        let Some(path) = invocation.metrics.clone().filter(|_| !invocation.dry_run) else {
            return Ok(None);
        };
        check(&path)?;
        Ok(Some(Self {
            path,
            workflow: invocation.workflow.name.clone(),
            began: Timestamp::now(),
            record: RefCell::new(None),
            turned_away: Cell::new(false),
        }))
    }

    /// Another run holds the workflow: the file is that one's.
    pub(super) fn turn_away(&self) {
        self.turned_away.set(true);
    }

    /// The run has come to its end, as `record` says.
    pub(super) fn ended(&self, record: RunRecord) {
        self.record.replace(Some(record));
    }

    /// Writes the file. A failure is a warning: the run itself went as it went.
    pub(super) async fn write(&self, result: &Result<Exit>, signals: &mut Signals, voice: &Voice) {
        if self.turned_away.get() {
            return;
        }
        let record = self.record.take();
        let started = record.as_ref().map_or(self.began, |record| record.started);
        let view = record.map(|record| RunView::new(record, &[], Life::Ended));
        let metrics = RunMetrics {
            workflow: &self.workflow,
            started,
            ended: Timestamp::now(),
            exit_status: exit_status(result),
            view: view.as_ref(),
        };
        let (text, path) = (metrics.text(), self.path.clone());
        let write = move || whole_file::write_for_all(&path, text.as_bytes());
        let written = match collect::aside("metrics", write) {
            Ok(written) => written,
            Err(error) => return voice.warning(&error.to_string()),
        };
        tokio::select! {
            biased;
            written = written => if let Ok(Err(error)) = written {
                let path = quoted(&self.path.to_string_lossy());
                voice.alarm(&format!("--metrics {path} cannot be written: {error}"));
            },
            // A disk that hangs does not keep a person who wants to go.
            _ = signals.next_press(|| ()) => {}
        }
    }
}

fn check(path: &Path) -> Result<()> {
    let shown = quoted(&path.to_string_lossy());
    let wrong = |why: &str| Error::usage(format!("--metrics {shown}: {why}"));
    let parent = path.parent().filter(|_| path.file_name().is_some());
    let Some(parent) = parent else {
        return Err(wrong("this is no name of a file"));
    };
    if path.is_dir() {
        return Err(
            wrong("this is a directory").with_hint("name a file in it, like orchestrate.prom")
        );
    }
    if !parent.is_dir() {
        return Err(wrong("its directory does not exist").with_hint("mkdir -p makes it"));
    }
    Ok(())
}

/// As a shell sees it.
fn exit_status(result: &Result<Exit>) -> u8 {
    use nix::sys::signal::Signal;
    let died_by = |signal: Signal| u8::try_from(128 + signal as i32).unwrap_or(u8::MAX);
    match result {
        Ok(Exit::Status(status)) => status.code(),
        Ok(Exit::Signal(Press::HangUp)) => died_by(Signal::SIGHUP),
        Ok(Exit::Signal(Press::Interrupt)) => died_by(Signal::SIGINT),
        Ok(Exit::Signal(Press::Terminate)) => died_by(Signal::SIGTERM),
        Ok(Exit::Signal(Press::Quit)) => died_by(Signal::SIGQUIT),
        Err(error) => error.status().code(),
    }
}
