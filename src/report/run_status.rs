//! One run, live or ended, in words for a person and as one JSON object.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::backpressure::lost_line;
use super::elapsed::elapsed;
use super::forecast::in_hindsight;
use super::json::{FORMAT_VERSION, line};
use super::paint::Paint;
use super::run_view::{ItemView, RunView, Standing};
use super::table::{Look, table};
use crate::escape::{clipped, escape_text};
use crate::schedule::bottleneck::Lost;
use crate::state::run_record::{CredentialState, Life, LostTime};

/// A reason is cut after this many characters.
const REASON_CHARACTERS_MAX: usize = 60;
/// So is what an item says of its progress.
const PROGRESS_CHARACTERS_MAX: usize = 60;
/// Failed items that are listed; the others are counted, and JSON has them all.
const FAILED_SHOWN_MAX: usize = 50;

/// On a terminal that is narrower than this, the paths of logs are left out, for half a path is none.
const LOG_COLUMNS_MIN: usize = 120;

/// What a person is shown; `state` is the path of `.orchestrate/`, as it can be pasted.
#[must_use]
pub fn text(view: &RunView, state: &str, now: Timestamp, look: Look) -> String {
    let mut text = heading(view, now, look.paint);
    let running = view.items.iter().filter(|it| it.state == Standing::Running);
    text.push_str(&table(
        &["RUNNING", "ATTEMPT", "FOR", "CREDENTIAL", "PROGRESS"],
        running.map(|item| {
            vec![
                shown(&item.id),
                attempt_number(item),
                duration(item.duration(now)),
                credential(item),
                progress(item),
            ]
        }),
        look,
    ));
    let waiting = view.items.iter().filter(|it| it.state == Standing::Waiting);
    text.push_str(&table(
        &["WAITING", "NEXT ATTEMPT", "LAST TOOK", "WHY"],
        waiting.map(|item| {
            let next = item.last().map_or(1, |last| last.attempt + 1);
            vec![
                shown(&item.id),
                next.to_string(),
                duration(item.last_duration()),
                reason(item),
            ]
        }),
        look,
    ));
    text.push_str(&failed(view, state, look));
    if let Some((median, slowest, item)) = view.durations() {
        let (median, slowest) = (elapsed(median), elapsed(slowest));
        let id = shown(&item.id);
        let _infallible = writeln!(
            text,
            "\ndone items took {median} (median), at most {slowest} ({id})"
        );
    }
    text.push_str(&table(
        &["CREDENTIAL", "ITEMS", "FAILURES", "STATE"],
        view.credentials()
            .into_iter()
            .map(|(label, (items, failures))| {
                let state = view.record.credential_states.get(label);
                vec![
                    shown(label),
                    items.to_string(),
                    failures.to_string(),
                    state.map(|state| standing(state, now)).unwrap_or_default(),
                ]
            }),
        look,
    ));
    text
}

pub(super) fn heading(view: &RunView, now: Timestamp, paint: Paint) -> String {
    let record = &view.record;
    let time = duration(view.duration(now));
    let fate = match (view.life, record.exit_status) {
        (Life::Running, _) => {
            let stage = view
                .stage
                .as_deref()
                .map(|stage| format!(" ({})", shown(stage)));
            format!(
                "{} for {time}{}",
                paint.good("running"),
                stage.unwrap_or_default()
            )
        }
        (Life::CutOff, _) => paint.bad("cut off"),
        (Life::Ended, Some(0)) => format!("{} after {time}, exit 0", paint.good("ended")),
        (Life::Ended, Some(code)) => {
            format!("{} after {time}, exit {code}", paint.bad("ended"))
        }
        (Life::Ended, None) => format!("{} after {time}, by a signal", paint.warn("ended")),
    };
    let width = match record.parallel {
        Some(width) => format!("up to {width} at once"),
        None => "one after the other".to_owned(),
    };
    let started = record.started.strftime("%Y-%m-%d %H:%M:%S UTC");
    let mut text = format!("{}: {fate}\n", shown(&record.workflow));
    let run = shown(&record.run);
    let _infallible = writeln!(text, "run {run}, begun {started}, {width}");
    let counts: Vec<String> = view
        .counts()
        .map(|(state, count)| {
            let words = format!("{count} {}", state.word().replace('-', " "));
            match state {
                Standing::Done => paint.good(&words),
                _ if state.is_failure() => paint.bad(&words),
                Standing::CutOff => paint.bad(&words),
                _ => words,
            }
        })
        .collect();
    let of = match view.items.len() {
        1 => "1 item".to_owned(),
        all => format!("{all} items"),
    };
    let colon = if counts.is_empty() { "" } else { ": " };
    let _infallible = writeln!(text, "{of}{colon}{}", counts.join(", "));
    if let (Life::Running, Some(limit)) = (view.life, &view.limit) {
        let (limiter, running, wanted) = (shown(&limit.limiter), limit.running, limit.wanted);
        let _infallible = writeln!(text, "limited by {limiter}, {running} of {wanted} run");
    }
    if let (Some(forecast), Some(time)) = (record.forecast_ms, view.duration(now)) {
        let line = in_hindsight(time, Duration::from_millis(forecast));
        text.extend(line.map(|line| format!("{line}\n")));
    }
    if let (Some(lost), Some(time)) = (&record.lost, view.duration(now)) {
        let line = lost_line(&lost_time(lost), time);
        text.extend(line.map(|line| format!("{line}\n")));
    }
    text
}

fn lost_time(lost: &LostTime) -> Lost {
    Lost {
        credentials: Duration::from_millis(lost.credentials_ms),
        one_more: Duration::from_millis(lost.one_more_credential_ms),
        provider: Duration::from_millis(lost.provider_ms),
        room: Duration::from_millis(lost.room_ms),
    }
}

/// `cooling, back in 12m`.
fn standing(state: &CredentialState, now: Timestamp) -> String {
    let wait = |until: Timestamp| Duration::try_from(until.duration_since(now)).ok();
    match (state.until, state.until.and_then(wait)) {
        (Some(_), Some(wait)) => format!("{}, back in {}", shown(&state.state), elapsed(wait)),
        (Some(_), None) => format!("{} until just now", shown(&state.state)),
        (None, _) => shown(&state.state),
    }
}

fn failed(view: &RunView, state: &str, look: Look) -> String {
    let bad = |item: &&ItemView| item.state.is_failure() || item.state == Standing::CutOff;
    let failed = view.items.iter().filter(bad);
    let is_narrow = look.columns.is_some_and(|it| it < LOG_COLUMNS_MIN);
    let rows = failed.clone().take(FAILED_SHOWN_MAX).map(|item| {
        let why = match (item.state, reason(item)) {
            (Standing::Failed, why) => why,
            (state, why) if why.is_empty() => state.word().replace('-', " "),
            (state, why) => format!("{}: {why}", state.word().replace('-', " ")),
        };
        let log = item.last().and_then(|last| last.log.as_deref());
        let log = log.filter(|_| !is_narrow);
        let log = log.map(|log| shown(&format!("{state}/{log}")));
        vec![
            shown(&item.id),
            duration(item.last_duration()),
            why,
            credential(item),
            log.unwrap_or_default(),
        ]
    });
    let mut text = table(&["FAILED", "AFTER", "WHY", "CREDENTIAL", "LOG"], rows, look);
    let has_log = |item: &ItemView| item.last().is_some_and(|last| last.log.is_some());
    let any_log = failed.clone().any(has_log);
    let more = failed.count().saturating_sub(FAILED_SHOWN_MAX);
    if more > 0 {
        let _infallible = writeln!(text, "… and {more} more; --format json lists all");
    }
    if is_narrow && any_log {
        text.push_str("`orchestrate logs ITEM` prints the log of one\n");
    }
    text
}

fn shown(text: &str) -> String {
    escape_text(text).into_owned()
}

fn reason(item: &ItemView) -> String {
    let reason = item.reason.as_deref().unwrap_or_default();
    clipped(reason, REASON_CHARACTERS_MAX)
}

fn progress(item: &ItemView) -> String {
    let progress = item.progress.as_deref().unwrap_or_default();
    clipped(progress, PROGRESS_CHARACTERS_MAX)
}

fn credential(item: &ItemView) -> String {
    let label = item.last().and_then(|last| last.credential.as_deref());
    label.map(shown).unwrap_or_default()
}

fn attempt_number(item: &ItemView) -> String {
    item.last()
        .map(|last| last.attempt.to_string())
        .unwrap_or_default()
}

fn duration(duration: Option<Duration>) -> String {
    duration.map(elapsed).unwrap_or_default()
}

/// The same as one JSON object on a line, with every item; titles and reasons are as they came.
#[must_use]
pub fn json_line(view: &RunView, state: &str, now: Timestamp) -> String {
    let record = &view.record;
    let life = match view.life {
        Life::Running => "running",
        Life::Ended => "ended",
        Life::CutOff => "cut-off",
    };
    let counts: serde_json::Map<String, Value> = view
        .counts()
        .map(|(state, count)| (state.word().to_owned(), count.into()))
        .collect();
    let items: Vec<Value> = view
        .items
        .iter()
        .map(|item| item_value(item, state, now))
        .collect();
    let credentials: Vec<Value> = view
        .credentials()
        .into_iter()
        .map(|(label, (items, failures))| {
            let state = view.record.credential_states.get(label);
            json!({
                "label": label,
                "items": items,
                "failures": failures,
                "state": state.map(|state| &state.state),
                "until": state.and_then(|state| state.until),
            })
        })
        .collect();
    let durations = view.durations();
    let limit = view.limit.as_ref().filter(|_| view.life == Life::Running);
    line(&json!({
        "type": "status",
        "version": FORMAT_VERSION,
        "run_id": record.run,
        "workflow": record.workflow,
        "state": life,
        "stage": view.stage,
        "started": record.started,
        "ended": record.ended,
        "duration_ms": view.duration(now).map(millis),
        "parallel": record.parallel,
        "exit_status": record.exit_status,
        "counts": counts,
        "items": items,
        "median_ms": durations.map(|(median, ..)| millis(median)),
        "slowest_ms": durations.map(|(_, slowest, _)| millis(slowest)),
        "slowest_id": durations.map(|(.., item)| item.id.as_str()),
        "credentials": credentials,
        "limiter": limit.map(|limit| &limit.limiter),
        "lost": record.lost,
        "forecast_ms": record.forecast_ms,
    }))
}

fn item_value(item: &ItemView, state: &str, now: Timestamp) -> Value {
    let last = item.last();
    json!({
        "id": item.id,
        "title": item.title,
        "state": item.state.word(),
        "reason": item.reason,
        "progress": item.progress,
        "attempt": last.map(|last| last.attempt),
        "started": last.map(|last| last.started),
        "duration_ms": item.duration(now).map(millis),
        "credential": last.and_then(|last| last.credential.as_deref()),
        "log": last.and_then(|last| last.log.as_deref()).map(|log| format!("{state}/{log}")),
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::run_view::tests::{at, begun, ended, line, started};
    use super::*;

    const PIPE: Look = Look {
        paint: Paint(false),
        columns: None,
    };

    use crate::state::record::Outcome;
    use crate::state::run_event::RunEvent;

    fn live() -> RunView {
        let stage = RunEvent::StageRaised {
            stage: "draining".to_owned(),
            running: 1,
            queued: 2,
        };
        let progressed = RunEvent::Progressed {
            item: "c".to_owned(),
            attempt: 1,
            text: "page 3 of 9 \u{1b}[2J".to_owned(),
        };
        let retrying = RunEvent::Retrying {
            item: "d".to_owned(),
            attempt: 2,
            wait_ms: 2000,
        };
        let cooling = RunEvent::CredentialChanged {
            credential: "key-1".to_owned(),
            state: "cooling".to_owned(),
            until: Some(at(135)),
        };
        let limited = RunEvent::LimiterChanged {
            limiter: Some("credentials".to_owned()),
            running: 1,
            wanted: 2,
        };
        let events = [
            line(1, cooling),
            line(1, limited),
            line(1, started("a", 1)),
            line(2, ended("a", Outcome::Done, "exit 0")),
            line(2, started("b", 1)),
            line(
                3,
                ended("b", Outcome::Failed, "not started: \u{1b}[2J\u{202e}"),
            ),
            line(3, started("d", 1)),
            line(4, ended("d", Outcome::TimedOut, "SIGKILL")),
            line(4, retrying),
            line(10, started("c", 1)),
            line(10, progressed),
            line(11, stage),
        ];
        RunView::new(
            begun(&["a", "b", "c", "d", "e", "f"]),
            &events,
            Life::Running,
        )
    }

    #[test]
    fn a_live_run_is_shown_in_parts() {
        insta::assert_snapshot!(text(&live(), ".orchestrate", at(75), PIPE));
    }

    #[test]
    fn on_a_terminal_of_80_columns_no_line_is_longer() {
        let (paint, columns) = (Paint(false), Some(80));
        let text = text(&live(), ".orchestrate", at(75), Look { paint, columns });
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(text.contains("orchestrate logs ITEM"), "{text}");
    }

    #[test]
    fn what_comes_from_outside_is_harmless() {
        let text = text(&live(), ".orchestrate", at(75), PIPE);
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }

    #[test]
    fn a_run_without_a_rest_shows_no_empty_parts() {
        let mut record = begun(&[]);
        record.credentials.clear();
        record.ended = Some(at(3));
        for (status, words) in [
            (Some(0), "ended after 3s, exit 0"),
            (Some(75), "ended after 3s, exit 75"),
            (None, "ended after 3s, by a signal"),
        ] {
            record.exit_status = status;
            let view = RunView::new(record.clone(), &[], Life::Ended);
            let text = text(&view, ".orchestrate", at(100), PIPE);
            assert!(text.starts_with(&format!("w: {words}\n")), "{text}");
            assert_eq!(text.lines().count(), 3, "{text}");
        }
    }

    #[test]
    fn the_json_is_one_line_with_every_item() {
        let text = json_line(&live(), ".orchestrate", at(75));
        assert_eq!(text.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["items"].as_array().unwrap().len(), 6);
        let log = &value["items"][2]["log"];
        assert_eq!(log, ".orchestrate/runs/R/logs/c.1.log");
        assert_eq!(value["stage"], "draining");
    }
}
