//! A run as Prometheus reads it: the text exposition format, version 0.0.4, for the textfile collector of
//! `node_exporter`.
//!
//! Every series is a gauge about the workflow's last run. Names and meanings are promised: dashboards and alerts hang on
//! them. Credentials are told by label.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use jiff::Timestamp;

use super::run_view::{RunView, Standing};
use crate::schedule::bottleneck::Limiter;

/// The states that are told also when no item has them, so that an alert does not miss a series.
const STATES: [Standing; 7] = [
    Standing::Done,
    Standing::Failed,
    Standing::TimedOut,
    Standing::NotRecorded,
    Standing::Interrupted,
    Standing::Deferred,
    Standing::NotStarted,
];

/// What is told of a run.
#[derive(Debug)]
pub struct RunMetrics<'a> {
    /// The workflow.
    pub workflow: &'a str,
    /// When the run began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The status as a shell sees it: 128 and the signal's number after a death by one.
    pub exit_status: u8,
    /// What was done; nothing when the run did not get as far as its items.
    pub view: Option<&'a RunView>,
}

impl RunMetrics<'_> {
    /// The whole file.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let workflow = [("workflow", self.workflow)];
        let mut single = |name: &str, help: &str, value: String| {
            family(&mut text, name, help);
            sample(&mut text, name, &workflow, value);
        };
        let took = seconds(self.ended) - seconds(self.started);
        single(
            "orchestrate_run_start_time_seconds",
            "When the last run began, in seconds since 1970.",
            format!("{:.3}", seconds(self.started)),
        );
        single(
            "orchestrate_run_end_time_seconds",
            "When the last run ended, in seconds since 1970.",
            format!("{:.3}", seconds(self.ended)),
        );
        single(
            "orchestrate_run_duration_seconds",
            "How long the last run took.",
            format!("{:.3}", took.max(0.0)),
        );
        single(
            "orchestrate_run_success",
            "Whether the last run ended with exit status 0.",
            u8::from(self.exit_status == 0).to_string(),
        );
        single(
            "orchestrate_run_exit_status",
            "The exit status of the last run; 128 and the number of the signal that ended it.",
            self.exit_status.to_string(),
        );
        self.items(&mut text);
        self.lost(&mut text);
        self.credentials(&mut text);
        text
    }

    fn items(&self, text: &mut String) {
        let name = "orchestrate_run_items";
        family(
            text,
            name,
            "How many items of the last run have this state.",
        );
        for state in STATES {
            let items = self.view.iter().flat_map(|view| &view.items);
            let count = items.filter(|item| item.state == state).count();
            let labels = [("workflow", self.workflow), ("state", state.word())];
            sample(text, name, &labels, count);
        }
    }

    fn lost(&self, text: &mut String) {
        let Some(lost) = self.view.and_then(|view| view.record.lost) else {
            return;
        };
        let name = "orchestrate_run_lost_seconds";
        family(
            text,
            name,
            "How much longer the last run took for want of this.",
        );
        for (limiter, millis) in [
            (Limiter::Credentials, lost.credentials_ms),
            (Limiter::Provider, lost.provider_ms),
            (Limiter::Room, lost.room_ms),
        ] {
            let labels = [("workflow", self.workflow), ("limiter", limiter.word())];
            let lost = Duration::from_millis(millis).as_secs_f64();
            sample(text, name, &labels, format!("{lost:.3}"));
        }
    }

    fn credentials(&self, text: &mut String) {
        let all = self.view.map(RunView::credentials).unwrap_or_default();
        if all.is_empty() {
            return;
        }
        let labels = |credential| [("workflow", self.workflow), ("credential", credential)];
        let name = "orchestrate_run_credential_items";
        family(
            text,
            name,
            "On how many items of the last run this credential was used.",
        );
        for (label, (items, _)) in &all {
            sample(text, name, &labels(label), items);
        }
        let name = "orchestrate_run_credential_failures";
        family(
            text,
            name,
            "How many attempts of the last run failed with this credential.",
        );
        for (label, (_, failures)) in &all {
            sample(text, name, &labels(label), failures);
        }
        let states = self.view.map(|view| &view.record.credential_states);
        let Some(states) = states.filter(|states| !states.is_empty()) else {
            return;
        };
        let name = "orchestrate_run_credential_state";
        family(
            text,
            name,
            "How this credential stood when the last run ended: always 1, with the state as a label.",
        );
        for (label, state) in states {
            let [workflow, credential] = labels(label);
            sample(
                text,
                name,
                &[workflow, credential, ("state", &state.state)],
                1,
            );
        }
    }
}

fn family(text: &mut String, name: &str, help: &str) {
    let _infallible = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
}

fn sample(text: &mut String, name: &str, labels: &[(&str, &str)], value: impl Display) {
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
        .collect();
    let _infallible = writeln!(text, "{name}{{{}}} {value}", labels.join(","));
}

/// The value of a label: a backslash, a double quote and a line feed are escaped, and nothing else.
fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', r#"\""#)
        .replace('\n', r"\n")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit for 285 000 years"
)]
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::record::Outcome;
    use crate::state::run_record::{
        CredentialState, ItemState, Life, LostTime, RunAttempt, RunItem, RunRecord,
    };

    fn item(id: &str, outcome: Outcome, credential: &str) -> RunItem {
        RunItem {
            id: id.to_owned(),
            title: String::new(),
            state: ItemState::Ended,
            outcome: Some(outcome),
            reason: None,
            attempts: vec![RunAttempt {
                attempt: 1,
                started: Timestamp::UNIX_EPOCH,
                duration_ms: Some(1500),
                outcome: Some(outcome),
                exit: None,
                credential: Some(credential.to_owned()),
                log: None,
            }],
        }
    }

    fn record() -> RunRecord {
        RunRecord {
            run: "20261123T001448Z-4f2a".to_owned(),
            workflow: "w".to_owned(),
            orchestrate_version: "0.1.0".to_owned(),
            started: Timestamp::UNIX_EPOCH,
            ended: Some(Timestamp::UNIX_EPOCH),
            parallel: Some(2),
            command: Vec::new(),
            verify: Vec::new(),
            credentials: vec!["unused".to_owned()],
            credential_states: [(
                "unused".to_owned(),
                CredentialState {
                    state: "cooling".to_owned(),
                    until: None,
                },
            )]
            .into(),
            lost: Some(LostTime {
                credentials_ms: 41_500,
                one_more_credential_ms: 35_000,
                provider_ms: 0,
                room_ms: 0,
            }),
            forecast_ms: None,
            exit_status: Some(1),
            items: vec![
                item("a", Outcome::Done, "te\"am\\a\n"),
                item("b", Outcome::Failed, "te\"am\\a\n"),
            ],
        }
    }

    #[test]
    fn the_form_is_fixed() {
        let view = RunView::new(record(), &[], Life::Ended);
        let metrics = RunMetrics {
            workflow: "w",
            started: "2026-11-23T00:14:48.25Z".parse().unwrap(),
            ended: "2026-11-23T00:16:48.5Z".parse().unwrap(),
            exit_status: 1,
            view: Some(&view),
        };
        insta::assert_snapshot!(metrics.text());
    }

    #[test]
    fn a_run_that_did_not_get_to_its_items_has_all_series_but_those_of_credentials() {
        let metrics = RunMetrics {
            workflow: "w",
            started: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            exit_status: 69,
            view: None,
        };
        let text = metrics.text();
        assert!(
            text.contains("orchestrate_run_success{workflow=\"w\"} 0\n"),
            "{text}"
        );
        assert!(text.contains("orchestrate_run_items{workflow=\"w\",state=\"failed\"} 0\n"));
        assert!(!text.contains("credential"));
    }
}
