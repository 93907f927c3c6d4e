//! What `main.rs` saw when the program began: environment, directory, terminal. Read once, then handed on.
//!
//! No other file asks the process about itself, so that every decision can be tested with made-up surroundings.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::escape::quoted;

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
    /// The value of a variable, when it is set and not empty, be it text or not: for paths, and for what only has to be
    /// set, such as `NO_COLOR`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        let value = self.environment.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value)
    }

    /// The value of a variable that is not ours, such as `TERM`, when it is set, not empty, and text. One that is no text
    /// is none of the words that we know, so it passes for one that is not set.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        self.value(name)?.to_str().map(str::to_owned)
    }

    /// The value of a variable of our own, when it is set and not empty. Somebody has set it for us, so it is not passed over.
    ///
    /// # Errors
    ///
    /// A usage error that names the variable whose value is no text.
    pub fn own_variable(&self, name: &str) -> Result<Option<String>> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let text = value.to_str().ok_or_else(|| {
            let value = quoted(&value.to_string_lossy());
            let message = format!("{name}: {value} will not do: it is not UTF-8");
            Error::usage(message).with_hint(format!("set {name} to text, or unset it"))
        })?;
        Ok(Some(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn a_variable_that_is_no_text_is_refused_when_it_is_ours() {
        let name = "ORCHESTRATE_PARALLEL";
        let with = |value: &[u8]| Surroundings {
            environment: BTreeMap::from([(name.into(), OsString::from_vec(value.to_vec()))]),
            ..Surroundings::default()
        };
        assert_eq!(with(b"").own_variable(name), Ok(None));
        assert_eq!(with(b"4").own_variable(name), Ok(Some("4".to_owned())));
        let bytes = with(b"4\xff");
        let error = bytes.own_variable(name).unwrap_err();
        let says = "ORCHESTRATE_PARALLEL: \"4\u{fffd}\" will not do: it is not UTF-8";
        assert_eq!(error.to_string(), says);
        assert_eq!(bytes.variable(name), None);
        assert!(bytes.value(name).is_some());
    }
}
