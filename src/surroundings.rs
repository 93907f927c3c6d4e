//! What `main.rs` saw when the program began: environment, directory, terminal. Read once, then handed on.
//!
//! No other file asks the process about itself, so that every decision can be tested with made-up surroundings.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The process as its caller started it.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The environment.
    pub environment: BTreeMap<OsString, OsString>,
    /// The current directory.
    pub directory: PathBuf,
    /// Whether stdout is a terminal.
    pub stdout_is_terminal: bool,
    /// The width of the terminal that stdout is, if it is one and tells.
    pub columns: Option<usize>,
    /// Whether stderr is a terminal.
    pub stderr_is_terminal: bool,
    /// The process that the user started: our guard, or ourselves.
    pub process: u32,
    /// The numbers of the signals that were ignored.
    pub ignored_signals: Vec<i32>,
}

impl Surroundings {
    /// The value of a variable, when it is set, not empty, and text.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let value = self.environment.get(OsStr::new(name))?.to_str()?;
        (!value.is_empty()).then(|| value.to_owned())
    }
}
