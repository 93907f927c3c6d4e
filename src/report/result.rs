//! What became of one item, as the summary, the JSON and `run.json` tell it.

use std::time::Duration;

use crate::schedule::event::{Ending, Outcome};

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemResult {
    /// Its id.
    pub id: String,
    /// Its title, masked and escaped.
    pub title: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The number of its last attempt, from 1; 0 when none was made.
    pub attempt: u32,
    /// How the process ended; `None` when none was started.
    pub ending: Option<Ending>,
    /// From spawn to end.
    pub duration: Duration,
    /// The label of its credential.
    pub credential: Option<String>,
    /// Its log, relative to the workspace root.
    pub log: Option<String>,
    /// Why the log is not whole, if it is not.
    pub log_cut: Option<String>,
    /// The last lines of its output, masked and escaped.
    pub tail: Vec<String>,
    /// Why its outcome is not in the journal, if it is not.
    pub unrecorded: Option<String>,
}

/// An outcome in one word, as it stands in JSON.
#[must_use]
pub const fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::TimedOut => "timed-out",
        Outcome::Interrupted => "interrupted",
        Outcome::Deferred => "deferred",
    }
}

/// How a process ended, in words: `exit 1`, `SIGKILL`, `command not found …`.
#[must_use]
pub fn ending_words(ending: &Ending) -> String {
    match ending {
        Ending::Exited(126) => "exit 126 (the command itself could not be executed)".to_owned(),
        Ending::Exited(127) => "exit 127 (a command was not found)".to_owned(),
        Ending::Exited(code) => format!("exit {code}"),
        Ending::Killed(signal) => match nix::sys::signal::Signal::try_from(*signal) {
            Ok(signal) => signal.as_str().to_owned(),
            Err(_) => format!("signal {signal}"),
        },
        Ending::Unstartable(why) | Ending::Crowded(why) => format!("not started: {why}"),
        Ending::Unverified(ending) => {
            format!("exit 0, but verify failed: {}", ending_words(ending))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_named_as_people_know_them() {
        for (ending, words) in [
            (Ending::Exited(1), "exit 1"),
            (Ending::Killed(9), "SIGKILL"),
            (Ending::Killed(60), "signal 60"),
            (Ending::Exited(127), "exit 127 (a command was not found)"),
            (Ending::Unstartable("gone".to_owned()), "not started: gone"),
            (
                Ending::Unverified(Box::new(Ending::Exited(3))),
                "exit 0, but verify failed: exit 3",
            ),
        ] {
            assert_eq!(ending_words(&ending), words);
        }
    }
}
