//! One line of `events.jsonl`: something that happened in a run, for who looks while it runs or after it was killed.
//!
//! Pure. `run` makes the events, [`event_log`](super::event_log) appends them, and the commands that look at a run
//! read them. Nothing ever decides by them: the journal says what is done. They hold labels of credentials, never more.
//!
//! Every line is one JSON object with `version`, `at` and `event`. A later release may add members and events, which
//! readers of this one pass over; another meaning of what is here needs a new version.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::Outcome;
use crate::output::mask::HoldsText;

/// The version that we write, and the greatest that we read.
pub const VERSION: u64 = 1;

/// A moment, and what happened then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    /// The version of the form.
    pub version: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: RunEvent,
}

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "snake_case"
)]
pub enum RunEvent {
    /// The run begins.
    RunStarted {
        /// The run's name.
        run: String,
        /// The workflow.
        workflow: String,
        /// How many items it is to run.
        items: usize,
    },
    /// An attempt begins.
    AttemptStarted {
        /// Whose.
        item: String,
        /// Its number, from 1.
        attempt: u32,
        /// The worker slot that it runs in.
        slot: u32,
        /// The label of its credential.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credential: Option<String>,
        /// Its raw output, relative to `.orchestrate/`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
    },
    /// An attempt that runs says how far it is.
    Progressed {
        /// Whose.
        item: String,
        /// Its number, from 1.
        attempt: u32,
        /// In its own words, masked, escaped and cut.
        text: String,
    },
    /// The system had no room for the attempt's process: it was not one, and its number is used again.
    AttemptWithdrawn {
        /// Whose.
        item: String,
    },
    /// An attempt has ended, and its outcome is in the journal unless `recorded` says otherwise.
    AttemptEnded {
        /// Whose.
        item: String,
        /// Its number, from 1.
        attempt: u32,
        /// The outcome.
        outcome: Outcome,
        /// How the process ended, for people: `exit 1`, `SIGKILL`.
        exit: String,
        /// How long it took, in milliseconds.
        duration_ms: u64,
        /// The label of its credential.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credential: Option<String>,
        /// Its raw output, relative to `.orchestrate/`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
        /// Whether the journal has it.
        recorded: bool,
    },
    /// An item is to have another attempt.
    Retrying {
        /// Which.
        item: String,
        /// The number of the next attempt.
        attempt: u32,
        /// How long it waits for it, in milliseconds.
        wait_ms: u64,
    },
    /// No credential came free in time for an item: it stays to be done.
    ItemDeferred {
        /// Which.
        item: String,
    },
    /// A credential stands otherwise than before.
    CredentialChanged {
        /// Its label.
        credential: String,
        /// How it stands: `ready`, `probation`, `cooling`, `spent`, `suspect`, `retired`, `disabled`.
        state: String,
        /// When that ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Another thing limits the run than before.
    LimiterChanged {
        /// What: `credentials`, `provider`, `room`; nothing when nothing does.
        limiter: Option<String>,
        /// How many items run.
        running: usize,
        /// How many would, if nothing but the number asked for limited them.
        wanted: usize,
    },
    /// The run is being stopped, one stage further than before.
    StageRaised {
        /// The stage: `draining`, `terminating`, `killing`.
        stage: String,
        /// How many items run.
        running: usize,
        /// How many were not started.
        queued: usize,
    },
    /// The run is over.
    RunEnded {
        /// The exit status; nothing when it dies by a signal.
        exit_status: Option<u8>,
    },
    /// What a later release tells.
    #[serde(other, skip_serializing)]
    Unknown,
}

impl HoldsText for EventLine {
    fn mask_texts(&mut self, mask: &dyn Fn(&mut String)) {
        match &mut self.event {
            RunEvent::Progressed { text, .. } => mask(text),
            RunEvent::AttemptEnded { exit, .. } => mask(exit),
            RunEvent::RunStarted { .. }
            | RunEvent::AttemptStarted { .. }
            | RunEvent::AttemptWithdrawn { .. }
            | RunEvent::Retrying { .. }
            | RunEvent::ItemDeferred { .. }
            | RunEvent::CredentialChanged { .. }
            | RunEvent::LimiterChanged { .. }
            | RunEvent::StageRaised { .. }
            | RunEvent::RunEnded { .. }
            | RunEvent::Unknown => {}
        }
    }
}

impl EventLine {
    /// The line, its line feed included.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "every event that we make has a form in JSON"
    )]
    pub fn to_json(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("an event has a form in JSON");
        line.push(b'\n');
        line
    }

    /// Reads a line without its line feed. Nothing when it is none, or of a later version.
    #[must_use]
    pub fn from_json(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line)
            .ok()
            .filter(|line: &Self| line.version <= VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended() -> EventLine {
        EventLine {
            version: VERSION,
            at: "2026-11-23T00:14:48Z".parse().unwrap(),
            event: RunEvent::AttemptEnded {
                item: "issue-42".to_owned(),
                attempt: 2,
                outcome: Outcome::TimedOut,
                exit: "\u{1b}]0;\n".to_owned(),
                duration_ms: 1500,
                credential: Some("key-1".to_owned()),
                log: None,
                recorded: true,
            },
        }
    }

    #[test]
    fn an_event_is_one_line_and_comes_back_as_it_was() {
        let line = ended().to_json();
        assert_eq!(line.split(|byte| *byte == b'\n').count(), 2);
        assert!(!line.contains(&0x1b));
        assert_eq!(EventLine::from_json(&line), Some(ended()));
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"version\":1,\"at\":\"2026-11-23T00:14:48Z\",\"event\":\"attempt-ended\",\"item\":\"issue-42\",\
             \"attempt\":2,\"outcome\":\"timed-out\",\"exit\":\"\\u001b]0;\\n\",\"duration_ms\":1500,\
             \"credential\":\"key-1\",\"recorded\":true}\n"
        );
    }

    #[test]
    fn what_a_later_release_adds_is_passed_over() {
        let more = br#"{"version":1,"at":"2026-11-23T00:14:48Z","event":"run-ended","exit_status":1,"host":"x"}"#;
        let event = EventLine::from_json(more).unwrap().event;
        let exit_status = Some(1);
        assert_eq!(event, RunEvent::RunEnded { exit_status });
        let other = br#"{"version":1,"at":"2026-11-23T00:14:48Z","event":"moon-rose","phase":3}"#;
        let event = EventLine::from_json(other).unwrap().event;
        assert_eq!(event, RunEvent::Unknown);
        let later = br#"{"version":2,"at":"2026-11-23T00:14:48Z","event":"run-ended"}"#;
        assert_eq!(EventLine::from_json(later), None);
        for torn in [&b""[..], b"{\"version\":1", b"[]", b"\xff"] {
            assert_eq!(EventLine::from_json(torn), None);
        }
    }
}
