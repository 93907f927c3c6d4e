//! Writes `--metrics` when a run has ended, well or badly.

use std::cell::{Cell, RefCell};

use jiff::Timestamp;

use super::Exit;
use super::present::Voice;
use super::report_file::ReportFile;
use super::signals::Signals;
use crate::config::resolve::Invocation;
use crate::disk::whole_file;
use crate::error::Result;
use crate::report::metrics::RunMetrics;
use crate::report::run_view::RunView;
use crate::schedule::stage::Press;
use crate::state::run_record::{Life, RunRecord};

/// The file, and what is to stand in it.
pub(super) struct Metrics {
    pub(super) file: ReportFile,
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
        Ok(Some(Self {
            file: ReportFile::new("--metrics", path, "orchestrate.prom")?,
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
        let ended = record.as_ref().and_then(|record| record.ended);
        let view = record.map(|record| RunView::new(record, &[], Life::Ended));
        let metrics = RunMetrics {
            workflow: &self.workflow,
            started,
            ended: ended.unwrap_or_else(Timestamp::now),
            exit_status: exit_status(result),
            view: view.as_ref(),
        };
        let (text, to) = (metrics.text(), (signals, voice));
        self.file.write(text, whole_file::write_for_all, to).await;
    }
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
