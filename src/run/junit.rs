//! Writes `--junit` when a run has ended, well or badly.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use super::Exit;
use super::present::Voice;
use super::report_file::ReportFile;
use super::signals::Signals;
use crate::config::resolve::Invocation;
use crate::disk::whole_file;
use crate::error::{Error, Result};
use crate::escape::escape_text;
use crate::output::mask::Masker;
use crate::report::junit;
use crate::report::result::ItemResult;
use crate::state::run_record::RunRecord;

/// The file, and what is to stand in it.
pub(super) struct Junit {
    pub(super) file: ReportFile,
    workflow: String,
    /// What the run has come to, if it got so far.
    text: RefCell<Option<String>>,
    turned_away: Cell<bool>,
    masker: RefCell<Arc<Masker>>,
}

impl Junit {
    /// What is wanted, if anything is: a dry run writes nothing.
    ///
    /// # Errors
    ///
    /// A usage error when the file cannot be one.
    pub(super) fn wanted(invocation: &Invocation, masker: &Arc<Masker>) -> Result<Option<Self>> {
        let Some(path) = invocation.junit.clone().filter(|_| !invocation.dry_run) else {
            return Ok(None);
        };
        Ok(Some(Self {
            file: ReportFile::new("--junit", path, "orchestrate.xml")?,
            workflow: invocation.workflow.name.clone(),
            text: RefCell::new(None),
            turned_away: Cell::new(false),
            masker: RefCell::new(Arc::clone(masker)),
        }))
    }

    /// From now on, what stops the run is masked with this.
    pub(super) fn mask_with(&self, masker: &Arc<Masker>) {
        self.masker.replace(Arc::clone(masker));
    }

    /// Another run holds the workflow: the file is that one's.
    pub(super) fn turn_away(&self) {
        self.turned_away.set(true);
    }

    /// The run has come to its end.
    pub(super) fn ended(&self, record: &RunRecord, results: &[ItemResult], duration: Duration) {
        let text = junit::of_run(record, results, duration);
        self.text.replace(Some(text));
    }

    /// Writes the file: an old one would be taken for this run's.
    pub(super) async fn write(&self, result: &Result<Exit>, signals: &mut Signals, voice: &Voice) {
        if self.turned_away.get() {
            return;
        }
        let error = result.as_ref().err().map(|error| self.masked(error));
        let text = self.text.take();
        let text = text.unwrap_or_else(|| junit::of_no_run(&self.workflow, error.as_ref()));
        let to = (signals, voice);
        self.file.write(text, whole_file::write_as_usual, to).await;
    }
    fn masked(&self, error: &Error) -> Error {
        let masker = self.masker.borrow();
        let mask = |text: &str| masker.mask_text(&escape_text(text)).into_owned();
        let told = Error::new(error.status(), mask(&error.to_string()));
        match error.hint() {
            Some(hint) => told.with_hint(mask(hint)),
            None => told,
        }
    }
}
