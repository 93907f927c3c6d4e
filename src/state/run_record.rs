//! `run.json`: what one run was, for people and for later commands.
//!
//! Pure. `run` fills it in and has it written whole at the start and at the end; nothing ever decides by it,
//! the journal does. It holds templates and labels, never an environment or a credential.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::Outcome;
use super::run_items::RunItems;
use crate::error::{Error, ExitStatus, Result};
use crate::output::mask::HoldsText;

/// The format's name.
pub const FORMAT: &str = "orchestrate-run";
/// The version that we write, and the only one that we read.
pub const VERSION: u64 = 1;

/// What one run was; `Items` is a plain list where it is read, and [`RunItems`] while it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord<Items = Vec<RunItem>> {
    /// The run's name.
    pub run: String,
    /// The workflow.
    pub workflow: String,
    /// The version of `orchestrate` that ran.
    pub orchestrate_version: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; nothing while it runs, and when it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// How many items at once; nothing when sequential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u32>,
    /// The per-item command as it was configured, placeholders and all.
    pub command: Vec<String>,
    /// The command that verifies what that one did, likewise; nothing without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<String>,
    /// The labels of the credential pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<String>,
    /// How the credentials stood when the run ended, by label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub credential_states: BTreeMap<String, CredentialState>,
    /// What it has lost for want of something; nothing while it runs, and when it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostTime>,
    /// How long it was to take when it began, going by earlier runs, in milliseconds; nothing while it runs, when it was
    /// sequential, when too little was known, and when it did not go to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast_ms: Option<u64>,
    /// The exit status; nothing while it runs, when it was killed, and when it died by a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u8>,
    /// The items of the run, in order.
    pub items: Items,
}

/// How a credential stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialState {
    /// `ready`, `probation`, `cooling`, `spent`, `suspect`, `retired`, `disabled`.
    pub state: String,
    /// When that ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The time that a run has lost, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostTime {
    /// For want of credentials.
    pub credentials_ms: u64,
    /// What one more credential would have saved of that.
    pub one_more_credential_ms: u64,
    /// By the provider's overload.
    pub provider_ms: u64,
    /// For want of room for processes.
    pub room_ms: u64,
}

/// One item of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunItem {
    /// The item's id.
    pub id: String,
    /// Its title: text from outside, as it came.
    pub title: String,
    /// How far it got in this run.
    pub state: ItemState,
    /// How its last attempt in this run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why there is no attempt, or why its outcome is in no journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its attempts in this run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<RunAttempt>,
}

/// How far an item got in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemState {
    /// It was not started.
    Pending,
    /// It was not to be started: done before, or not ready.
    Skipped,
    /// It is running, or was when the run was killed.
    Running,
    /// It has come to its end in this run. Without an attempt: no process could be started for it.
    Ended,
    /// It ran, and the journal could not take its outcome: it runs again next time.
    NotRecorded,
}

/// Whether a run still goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs, or processes that it has left behind do.
    Running,
    /// It has come to its end.
    Ended,
    /// It was killed.
    CutOff,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAttempt {
    /// Counted from 1, over all runs.
    pub attempt: u32,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in milliseconds; nothing while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// How it ended; nothing while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How the process ended, for people: `exit 1`, `SIGKILL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<String>,
    /// The label of its credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Its raw output, relative to `.orchestrate/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

impl<Items: HoldsText> HoldsText for RunRecord<Items> {
    fn mask_texts(&mut self, mask: &dyn Fn(&mut String)) {
        let Self {
            run: _,
            workflow: _,
            orchestrate_version: _,
            started: _,
            ended: _,
            parallel: _,
            command,
            verify,
            credentials: _,
            credential_states: _,
            lost: _,
            forecast_ms: _,
            exit_status: _,
            items,
        } = self;
        command.iter_mut().chain(verify).for_each(mask);
        items.mask_texts(mask);
    }
}

impl HoldsText for RunItem {
    fn mask_texts(&mut self, mask: &dyn Fn(&mut String)) {
        let Self {
            id: _,
            title,
            state: _,
            outcome: _,
            reason,
            attempts,
        } = self;
        mask(title);
        reason.iter_mut().for_each(mask);
        for attempt in attempts {
            attempt.exit.iter_mut().for_each(mask);
        }
    }
}

impl<Items: Serialize> RunRecord<Items> {
    /// Writes the content of `run.json`, piece by piece: it may be long.
    ///
    /// # Errors
    ///
    /// Why `out` does not take it.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        #[derive(Serialize)]
        struct Document<'a, Items> {
            format: &'a str,
            version: u64,
            #[serde(flatten)]
            record: &'a RunRecord<Items>,
        }
        let document = Document {
            format: FORMAT,
            version: VERSION,
            record: self,
        };
        serde_json::to_writer_pretty(&mut *out, &document)?;
        out.write_all(b"\n")
    }

    /// The same, on its own.
    #[cfg(test)]
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        self.write_json(&mut json).unwrap();
        json
    }
}

impl RunRecord<RunItems> {
    /// The same with a plain list, for who asks only when the run is over.
    #[must_use]
    pub fn with_list(self) -> RunRecord {
        RunRecord {
            run: self.run,
            workflow: self.workflow,
            orchestrate_version: self.orchestrate_version,
            started: self.started,
            ended: self.ended,
            parallel: self.parallel,
            command: self.command,
            verify: self.verify,
            credentials: self.credentials,
            credential_states: self.credential_states,
            lost: self.lost,
            forecast_ms: self.forecast_ms,
            exit_status: self.exit_status,
            items: self.items.iter().map(Cow::into_owned).collect(),
        }
    }
}

impl RunRecord {
    /// Reads the content of a `run.json`; members that are not known are ignored.
    ///
    /// # Errors
    ///
    /// Exit 65 when it is not one, or of another version.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Kind {
            format: String,
            version: u64,
        }
        let damaged = |message: String| Error::new(ExitStatus::Damaged, message);
        let unreadable = |error: serde_json::Error| {
            let why = error.to_string();
            damaged(format!(
                "the record of a run cannot be read: {}",
                why.escape_debug()
            ))
        };
        let kind: Kind = serde_json::from_slice(json).map_err(unreadable)?;
        if kind.format != FORMAT {
            return Err(damaged(format!(
                "this is {:?}, not the record of a run",
                kind.format
            )));
        }
        if kind.version != VERSION {
            return Err(damaged(format!(
                "the record of a run is of version {}, and this orchestrate reads version {VERSION}",
                kind.version
            )));
        }
        serde_json::from_slice(json).map_err(unreadable)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::state) fn sample() -> RunRecord {
        RunRecord {
            run: "20261123T001448Z-4f2a".to_owned(),
            workflow: "implement".to_owned(),
            orchestrate_version: "0.1.0".to_owned(),
            started: "2026-11-23T00:14:48Z".parse().unwrap(),
            ended: Some("2026-11-23T01:00:00.5Z".parse().unwrap()),
            parallel: Some(4),
            command: vec!["./implement.sh".to_owned(), "{number}".to_owned()],
            verify: Vec::new(),
            credentials: vec!["team-a".to_owned()],
            credential_states: BTreeMap::new(),
            lost: None,
            forecast_ms: None,
            exit_status: Some(1),
            items: vec![
                RunItem {
                    id: "LLD-042".to_owned(),
                    title: "\u{1b}[31m \"quoted\"".to_owned(),
                    state: ItemState::Ended,
                    outcome: Some(Outcome::TimedOut),
                    reason: None,
                    attempts: vec![RunAttempt {
                        attempt: 3,
                        started: "2026-11-23T00:14:49Z".parse().unwrap(),
                        duration_ms: Some(7_200_000),
                        outcome: Some(Outcome::TimedOut),
                        exit: Some("SIGKILL".to_owned()),
                        credential: Some("team-a".to_owned()),
                        log: Some("runs/20261123T001448Z-4f2a/logs/LLD-042.3.log".to_owned()),
                    }],
                },
                RunItem {
                    id: "LLD-043".to_owned(),
                    title: String::new(),
                    state: ItemState::Skipped,
                    outcome: None,
                    reason: None,
                    attempts: Vec::new(),
                },
            ],
        }
    }

    #[test]
    fn a_run_comes_back_as_it_was() {
        let sequential = RunRecord {
            ended: None,
            parallel: None,
            credentials: Vec::new(),
            credential_states: BTreeMap::new(),
            lost: None,
            forecast_ms: None,
            verify: vec!["./check".to_owned()],
            exit_status: None,
            ..sample()
        };
        for run in [sample(), sequential] {
            let json = run.to_json();
            assert!(
                !json.contains(&0x1b),
                "a title's escape sequence is not raw in the file"
            );
            assert_eq!(RunRecord::from_json(&json), Ok(run));
        }
    }

    #[test]
    fn the_form_is_fixed() {
        insta::assert_snapshot!(String::from_utf8(sample().to_json()).unwrap());
    }

    #[test]
    fn members_of_a_later_release_are_ignored_and_other_versions_refused() {
        let text = String::from_utf8(sample().to_json()).unwrap();
        let more = text.replacen("\"workflow\"", "\"host\": \"x\", \"workflow\"", 1);
        assert_eq!(RunRecord::from_json(more.as_bytes()), Ok(sample()));
        let later = text.replacen("\"version\": 1", "\"version\": 2", 1);
        let error = RunRecord::from_json(later.as_bytes()).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Damaged);
        assert!(error.to_string().contains("version 2") && error.to_string().contains("version 1"));
        assert!(RunRecord::from_json(b"{}").is_err());
        for hostile in [
            r#"{"format":"\u001b","version":1}"#,
            &text.replace("timed-out", "\\u001b"),
        ] {
            let error = RunRecord::from_json(hostile.as_bytes()).unwrap_err();
            assert!(!error.to_string().contains('\u{1b}'));
        }
    }
}
