//! Our own trouble: one error type, and the exit status of every way in which `orchestrate` can end.
//!
//! A failing child is not an error: it is an outcome, and data. What stands here is what stops *us*.
//! Messages are lower-case fragments that fit after `orchestrate: `, name the path, option or command, and
//! carry a remedy where one is known. Every room makes these; only `main.rs` turns them into an exit.

use std::fmt;

/// How `orchestrate` ends, as a shell sees it.
///
/// The numbers from 64 up are those of BSD `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Every item done, nothing to do, a dry run, or a drain in which nothing failed.
    Success,
    /// At least one item failed.
    Failed,
    /// Wrong usage or configuration; nothing was started.
    Usage,
    /// The journal is damaged; nothing was started (`EX_DATAERR`).
    Damaged,
    /// The item source could not be read (`EX_UNAVAILABLE`).
    Source,
    /// State could not be written (`EX_IOERR`).
    State,
    /// Nothing failed but work is left, or another run holds the workflow (`EX_TEMPFAIL`).
    WorkLeft,
    /// Every credential was rejected (`EX_NOPERM`).
    Rejected,
}

impl ExitStatus {
    /// The number that a shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Damaged => 65,
            Self::Source => 69,
            Self::State => 74,
            Self::WorkLeft => 75,
            Self::Rejected => 77,
        }
    }
}

/// What stopped us, for a person to read, with the status that we end with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    status: ExitStatus,
    message: String,
    hint: Option<String>,
}

/// The result of whatever can be stopped by our own trouble.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that ends the run with `status`; `message` fits after `orchestrate: `.
    #[must_use]
    pub fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            hint: None,
        }
    }

    /// Wrong usage or configuration (exit 2).
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Usage, message)
    }

    /// The item source could not be read (exit 69).
    #[must_use]
    pub fn source(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Source, message)
    }

    /// State could not be read or written (exit 74).
    #[must_use]
    pub fn state(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::State, message)
    }

    /// Says what to do next; shown on a line of its own.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says to do next what `other` says.
    #[must_use]
    pub fn with_hint_of(mut self, other: &Self) -> Self {
        self.hint.clone_from(&other.hint);
        self
    }

    /// The status that we end with.
    #[must_use]
    pub const fn status(&self) -> ExitStatus {
        self.status
    }

    /// What to do next, when that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
