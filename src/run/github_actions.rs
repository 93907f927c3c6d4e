//! Tells GitHub Actions how a run went: annotations among what we say, and the summary of the step.
//!
//! No key of ours is told to the runner (`add-mask`), though it would mask it then: that would be printing it.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::collect;
use super::present::Voice;
use super::signals::Signals;
use crate::error::Error;
use crate::escape::{escape_text, quoted};
use crate::output::workflow_command::command;
use crate::report::step_summary::{self, STEP_BYTES_MAX};
use crate::report::summary::Summary;
use crate::surroundings::Surroundings;

/// Whether the runner of GitHub Actions reads what we write.
pub(super) fn reads_us(surroundings: &Surroundings) -> bool {
    surroundings.variable("GITHUB_ACTIONS").as_deref() == Some("true")
}

/// The step in which we run.
pub(super) struct Step {
    /// Where its summary is gathered; every program of the step adds to it.
    path: Option<PathBuf>,
    /// What is to be added.
    blocks: RefCell<Vec<String>>,
}

impl Step {
    /// The step, if there is one.
    pub(super) fn find(surroundings: &Surroundings) -> Option<Self> {
        reads_us(surroundings).then(|| Self {
            path: surroundings.value("GITHUB_STEP_SUMMARY").map(PathBuf::from),
            blocks: RefCell::default(),
        })
    }

    /// The run has ended so; what annotates it is returned.
    pub(super) fn ended(&self, summary: &Summary<'_>, workflow: &str) -> String {
        self.blocks.replace(step_summary::blocks(summary, workflow));
        step_summary::annotations(summary, workflow)
    }

    /// Adds to the step's summary. A failure is a warning: the run itself went as it went.
    pub(super) async fn write(&self, signals: &mut Signals, voice: &Voice) {
        let blocks = self.blocks.take();
        let Some(path) = self.path.clone().filter(|_| !blocks.is_empty()) else {
            return;
        };
        let shown = quoted(&path.to_string_lossy());
        let written = match collect::aside("summary", move || append(&path, &blocks)) {
            Ok(written) => written,
            Err(error) => return voice.warning(&error.to_string()),
        };
        tokio::select! {
            biased;
            written = written => if let Ok(Err(error)) = written {
                voice.warning(&format!("GITHUB_STEP_SUMMARY {shown} cannot be written: {error}"));
            },
            // A disk that hangs does not keep a person who wants to go.
            _ = signals.next_press(|| ()) => {}
        }
    }
}

/// What annotates a run that could not begin, or not go on.
pub(super) fn annotation(error: &Error) -> String {
    let words = escape_text(&error.to_string()).into_owned();
    let hint = error.hint().map(|hint| format!("\n{hint}"));
    command("error", "orchestrate", &(words + &hint.unwrap_or_default()))
}

fn append(path: &Path, blocks: &[String]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let there = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let text = step_summary::fitting(blocks, STEP_BYTES_MAX.saturating_sub(there));
    if text.is_empty() {
        return Err(io::Error::other("the summary of this step is full"));
    }
    file.write_all(text.as_bytes())
}
