//! What a machine reads: one JSON object a line, each with its `type`.

use std::time::Duration;

use serde_json::{Value, json};

use super::result::{ItemResult, ending_words, outcome_word};
use super::summary::Summary;
use crate::schedule::event::{Ending, Outcome};

/// The version of these objects; it rises when a field changes its meaning or goes away.
pub const FORMAT_VERSION: u32 = 1;

/// One line: an item has come to its end.
#[must_use]
pub fn item_line(result: &ItemResult) -> String {
    let exit_code = match result.ending {
        Some(Ending::Exited(code)) => Some(code),
        Some(
            Ending::Killed(_) | Ending::Unstartable(_) | Ending::Crowded(_) | Ending::Unverified(_),
        )
        | None => None,
    };
    line(&json!({
        "type": "item",
        "id": result.id,
        "title": result.title,
        "outcome": outcome_word(result.outcome),
        "exit": result.ending.as_ref().map(ending_words),
        "exit_code": exit_code,
        "duration_ms": millis(result.duration),
        "credential": result.credential,
        "log": result.log,
        "log_cut": result.log_cut,
        "not_recorded": result.unrecorded,
    }))
}

/// The last line: what the run has come to.
#[must_use]
pub fn summary_line(
    summary: &Summary<'_>,
    run_id: Option<&str>,
    exit_status: Option<u8>,
) -> String {
    let failures: Vec<Value> = summary
        .results
        .iter()
        .filter(|result| result.outcome.is_failure())
        .map(|result| {
            json!({
                "id": result.id,
                "exit": result.ending.as_ref().map(ending_words),
                "tail": result.tail,
                "log": result.log,
            })
        })
        .collect();
    let durations = summary.durations();
    line(&json!({
        "type": "summary",
        "version": FORMAT_VERSION,
        "run_id": run_id,
        "done": summary.count(Outcome::Done),
        "failed": summary.failures(),
        "timed_out": summary.count(Outcome::TimedOut),
        "interrupted": summary.count(Outcome::Interrupted),
        "deferred": summary.count(Outcome::Deferred),
        "not_recorded": summary.results.iter().filter(|it| it.unrecorded.is_some()).count(),
        "not_started": summary.not_started,
        "duration_ms": millis(summary.duration),
        "median_ms": durations.map(|(median, ..)| millis(median)),
        "slowest_ms": durations.map(|(_, slowest, _)| millis(slowest)),
        "slowest_id": durations.map(|(.., id)| id),
        "lost": {
            "credentials_ms": millis(summary.lost.credentials),
            "one_more_credential_ms": millis(summary.lost.one_more),
            "provider_ms": millis(summary.lost.provider),
            "room_ms": millis(summary.lost.room),
        },
        "failures": failures,
        "rerun": summary.has_rest().then_some(summary.rerun),
        "exit_status": exit_status,
    }))
}

pub(crate) fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::bottleneck::Lost;

    #[test]
    fn every_line_is_one_object_whatever_a_title_holds() {
        let result = ItemResult {
            id: "issue-42".to_owned(),
            title: "two\nlines \"quoted\" \u{1b}[31m".to_owned(),
            outcome: Outcome::Failed,
            ending: Some(Ending::Exited(1)),
            duration: Duration::from_millis(1500),
            credential: Some("work-1".to_owned()),
            log: None,
            log_cut: None,
            tail: vec!["boom".to_owned()],
            unrecorded: None,
        };
        let text = item_line(&result);
        assert_eq!(text.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["exit_code"], 1);
        assert_eq!(value["duration_ms"], 1500);
        let summary = Summary {
            results: &[result],
            not_started: 2,
            duration: Duration::from_secs(2),
            lost: Lost::default(),
            rerun: "orchestrate x",
        };
        let value: Value =
            serde_json::from_str(&summary_line(&summary, Some("R"), Some(1))).unwrap();
        assert_eq!(
            (&value["failed"], &value["not_started"]),
            (&json!(1), &json!(2))
        );
        assert_eq!(value["failures"][0]["tail"][0], "boom");
        assert_eq!(value["rerun"], "orchestrate x");
    }
}
