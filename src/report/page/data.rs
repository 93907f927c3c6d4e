//! What the page's script is told of a run: one JSON object, short because there may be many attempts.
//!
//! Times are milliseconds since the run began. `page.js` is the only reader, and always of the same release. Pure.

use std::collections::HashMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::run_view::{ItemView, RunView, Standing};
use crate::escape::clipped;
use crate::state::run_event::{EventLine, RunEvent};
use crate::state::run_record::{Life, RunAttempt};

/// Titles, reasons and what items say of themselves are cut after this many characters.
const TEXT_CHARACTERS_MAX: usize = 300;

pub(super) fn data(view: &RunView, events: &[EventLine], logs: &str, now: Timestamp) -> Value {
    let record = &view.record;
    let since = |at: Timestamp| at.as_millisecond() - record.started.as_millisecond();
    let last = events.last().map_or(record.started, |line| line.at);
    let until = match view.life {
        Life::Running => now,
        Life::Ended => record.ended.unwrap_or(last),
        // Nobody knows when it was killed; then it still lived.
        Life::CutOff => last,
    };
    let labels: Vec<&str> = view.credentials().into_keys().collect();
    let key = |label: &str| labels.iter().position(|known| *known == label);
    let slots = slots(events);
    let attempts: Vec<Value> = view
        .items
        .iter()
        .enumerate()
        .flat_map(|(place, item)| item.attempts.iter().map(move |it| (place, item, it)))
        .map(|(place, item, attempt)| {
            let log = attempt.log.as_deref();
            json!([
                place,
                attempt.attempt,
                slots.get(&(item.id.as_str(), attempt.attempt)),
                since(attempt.started),
                attempt.duration_ms,
                standing(view, item, attempt).word(),
                attempt.exit.as_deref().map(text),
                attempt.credential.as_deref().and_then(key),
                log.and_then(|log| log_name(log, &record.run)),
            ])
        })
        .collect();
    let items: Vec<Value> = view.items.iter().map(item_data).collect();
    json!({
        "run": text(&record.run),
        "started": record.started.as_millisecond(),
        "until": since(until).max(0),
        "live": view.life == Life::Running,
        "parallel": record.parallel,
        "logs": percent_encoded(logs),
        "keys": labels.iter().map(|label| text(label)).collect::<Vec<_>>(),
        "items": items,
        "attempts": attempts,
        "states": states(events, &key, &since),
        "limits": limits(events, &since),
    })
}

fn item_data(item: &ItemView) -> Value {
    let reason = item.progress.as_ref().or(item.reason.as_ref());
    json!([
        text(&item.id),
        text(&item.title),
        item.state.word(),
        reason.map(|reason| text(reason)),
    ])
}

/// How an attempt stands: its item may stand otherwise, when this was not its last.
fn standing(view: &RunView, item: &ItemView, attempt: &RunAttempt) -> Standing {
    let is_last = item.last().is_some_and(|last| std::ptr::eq(last, attempt));
    match attempt.outcome {
        _ if is_last && item.state == Standing::NotRecorded => Standing::NotRecorded,
        Some(outcome) => Standing::of(outcome),
        None if view.life == Life::Running => Standing::Running,
        None => Standing::CutOff,
    }
}

/// The worker slot of each attempt. An attempt that was withdrawn has its number again.
fn slots(events: &[EventLine]) -> HashMap<(&str, u32), u32> {
    let started = events.iter().filter_map(|line| match &line.event {
        RunEvent::AttemptStarted {
            item,
            attempt,
            slot,
            ..
        } => Some(((item.as_str(), *attempt), *slot)),
        _ => None,
    });
    started.collect()
}

/// Which key stands otherwise than before: when, which, how, and until when if that ends by itself.
fn states(
    events: &[EventLine],
    key: &impl Fn(&str) -> Option<usize>,
    since: &impl Fn(Timestamp) -> i64,
) -> Vec<Value> {
    let changed = events.iter().filter_map(|line| match &line.event {
        RunEvent::CredentialChanged {
            credential,
            state,
            until,
        } => {
            let until = until.map(since);
            Some(json!([
                since(line.at),
                key(credential)?,
                text(state),
                until
            ]))
        }
        _ => None,
    });
    changed.collect()
}

fn limits(events: &[EventLine], since: &impl Fn(Timestamp) -> i64) -> Vec<Value> {
    let changed = events.iter().filter_map(|line| match &line.event {
        RunEvent::LimiterChanged { limiter, .. } => {
            Some(json!([since(line.at), limiter.as_deref().map(text)]))
        }
        _ => None,
    });
    changed.collect()
}

fn text(text: &str) -> String {
    clipped(text, TEXT_CHARACTERS_MAX)
}

/// The name of a log in the run's folder of logs, for a link. Nothing for a path that leads anywhere else.
fn log_name(reference: &str, run: &str) -> Option<String> {
    let below = reference
        .strip_prefix("runs/")?
        .strip_prefix(run)?
        .strip_prefix("/logs/")?;
    let is_name = !below.is_empty() && !below.contains('/') && below != "..";
    is_name.then(|| percent_encoded(below))
}

/// A relative path in a link (RFC 3986, 2 and 4.2): no character of it is a scheme's, a query's or a fragment's.
fn percent_encoded(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_linked_when_it_is_one_of_the_runs_own() {
        let name = |reference| log_name(reference, "R");
        assert_eq!(
            name("runs/R/logs/a b.1.log").as_deref(),
            Some("a%20b.1.log")
        );
        for elsewhere in [
            "runs/Q/logs/a.1.log",
            "runs/R/logs/../../a",
            "runs/R/logs/..",
            "runs/R/logs/",
            "//host/a.log",
            "javascript:alert(1)",
        ] {
            assert_eq!(name(elsewhere), None, "{elsewhere}");
        }
        assert_eq!(
            percent_encoded("../a:b?c#d\"%é"),
            "../a%3Ab%3Fc%23d%22%25%C3%A9"
        );
    }
}
