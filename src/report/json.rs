//! What a machine reads: one JSON object a line, each with its `type` and the `version` of all of them.
//!
//! What happens in a run is told in the words of `events.jsonl`, with the event's name as the type. What has which form is
//! in [`schema`](super::schema), to which the tests hold every line. Output of items is not among it: it is in their logs,
//! which are named.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::cause::Group;
use super::result::{ItemResult, ending_words, outcome_word};
use super::summary::Summary;
use crate::error::Error;
use crate::escape::escape_text;
use crate::output::workflow_command::disarm_json;
use crate::schedule::event::{Ending, Outcome};
use crate::state::run_event::EventLine;

/// The version of these objects; it rises when a field changes its meaning or goes away.
pub const FORMAT_VERSION: u32 = 1;

/// Something has happened in a run; `state` is the path of `.orchestrate/` as its logs are to be named.
#[must_use]
pub fn event_line(event: &EventLine, state: &str) -> String {
    let told = serde_json::to_value(event).ok();
    let mut members = match told {
        Some(Value::Object(members)) => members,
        Some(_) | None => Map::new(),
    };
    let mut object = Map::new();
    object.insert(
        "type".to_owned(),
        members.shift_remove("event").unwrap_or_default(),
    );
    object.insert("version".to_owned(), FORMAT_VERSION.into());
    object.insert(
        "at".to_owned(),
        members.shift_remove("at").unwrap_or_default(),
    );
    members.shift_remove("version");
    if let Some(log) = members.get_mut("log")
        && let Some(path) = log.as_str()
    {
        *log = format!("{state}/{path}").into();
    }
    object.extend(members);
    line(&Value::Object(object))
}

/// What a person should know; the run goes on.
#[must_use]
pub fn warning_line(message: &str) -> String {
    line(&json!({
        "type": "warning",
        "version": FORMAT_VERSION,
        "message": message,
    }))
}

/// What has stopped us.
#[must_use]
pub fn error_line(error: &Error) -> String {
    line(&json!({
        "type": "error",
        "version": FORMAT_VERSION,
        "message": escape_text(&error.to_string()),
        "hint": error.hint().map(escape_lines),
        "exit_status": error.status().code(),
    }))
}

fn escape_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(escape_text).collect();
    lines.join("\n")
}

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
        "version": FORMAT_VERSION,
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
    let causes: Vec<Value> = summary.causes().iter().map(cause).collect();
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
        "forecast_ms": summary.forecast.map(millis),
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
        "causes": causes,
        "rerun": summary.has_rest().then_some(summary.rerun),
        "exit_status": exit_status,
    }))
}

fn cause(group: &Group<'_>) -> Value {
    let ids: Vec<&str> = group.failures.iter().map(|it| it.id.as_str()).collect();
    json!({ "cause": group.words(), "count": ids.len(), "ids": ids })
}

pub(crate) fn line(value: &Value) -> String {
    disarm_json(format!("{value}\n"))
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::bottleneck::Lost;

    #[test]
    fn an_event_keeps_its_words_and_its_log_is_a_path() {
        let json = r#"{"version":1,"at":"2026-11-23T00:14:48Z","event":"attempt-started","item":"a","attempt":1,"slot":2,"log":"runs/R/logs/a.1.log"}"#;
        let event = EventLine::from_json(json.as_bytes()).unwrap();
        assert_eq!(
            event_line(&event, "x/.orchestrate"),
            "{\"type\":\"attempt-started\",\"version\":1,\"at\":\"2026-11-23T00:14:48Z\",\"item\":\"a\",\
             \"attempt\":1,\"slot\":2,\"log\":\"x/.orchestrate/runs/R/logs/a.1.log\"}\n"
        );
    }

    #[test]
    fn an_error_is_an_object_with_its_remedy_and_status() {
        let error = Error::usage("no\u{1b}way").with_hint("go\nround");
        assert_eq!(
            error_line(&error),
            "{\"type\":\"error\",\"version\":1,\"message\":\"no\\\\x1bway\",\"hint\":\"go\\nround\",\
             \"exit_status\":2}\n"
        );
    }

    #[test]
    fn every_line_is_one_object_whatever_a_title_holds() {
        let result = ItemResult {
            id: "issue-42".to_owned(),
            title: "two\nlines \"quoted\" \u{1b}[31m".to_owned(),
            outcome: Outcome::Failed,
            attempt: 1,
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
            forecast: None,
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
