//! The answer to "how is it going?" (SIGUSR1): what has ended, what runs and for how long, what waits.
//!
//! Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::backpressure::{KeyCounts, limit_line};
use super::elapsed::elapsed;
use super::result::{ItemResult, outcome_word};
use crate::schedule::bottleneck::Load;

/// Running items that are told of; the others are counted.
const NAMED_MAX: usize = 40;

/// A run that is under way.
#[derive(Debug)]
pub struct Progress<'a> {
    /// What has ended.
    pub results: &'a [ItemResult],
    /// Of all items that are to come to an end.
    pub count: usize,
    /// What runs.
    pub running: &'a [RunningItem<'a>],
    /// Items that wait for their first attempt.
    pub queued: usize,
    /// How wide it is, and what limits that.
    pub load: &'a Load,
    /// How its keys stand, if it has any.
    pub keys: Option<KeyCounts>,
    /// Since the run began.
    pub duration: Duration,
}

/// An attempt that runs.
#[derive(Debug, Clone, Copy)]
pub struct RunningItem<'a> {
    /// The item.
    pub id: &'a str,
    /// For how long.
    pub time: Duration,
    /// For how long it has printed nothing; `None` where we do not see its output.
    pub silence: Option<Duration>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The label of its credential.
    pub credential: Option<&'a str>,
    /// How far it says that it is, masked and escaped.
    pub progress: Option<&'a str>,
}

/// One line for the run, and one for each running item.
#[must_use]
pub fn progress_message(progress: &Progress<'_>) -> String {
    let Progress {
        results,
        count,
        running,
        queued,
        load,
        keys,
        duration,
    } = progress;
    let mut text = format!(
        "{} of {count} ended{}, {} running, {queued} queued, {} so far",
        results.len(),
        endings(results),
        running.len(),
        elapsed(*duration)
    );
    if let Some(limit) = limit_line(load, keys.as_ref()) {
        let _infallible = write!(text, "\n  {limit}");
    }
    for item in running.iter().take(NAMED_MAX) {
        let _infallible = write!(text, "\n  {} for {}", item.id, elapsed(item.time));
        if item.attempt > 1 {
            let _infallible = write!(text, ", attempt {}", item.attempt);
        }
        if let Some(label) = item.credential {
            let _infallible = write!(text, ", with {label}");
        }
        if let Some(silence) = item.silence.filter(|silence| silence.as_secs() > 0) {
            let _infallible = write!(text, ", silent for {}", elapsed(silence));
        }
        if let Some(progress) = item.progress {
            let _infallible = write!(text, ": {progress}");
        }
    }
    let more = running.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        let _infallible = write!(text, "\n  and {more} more");
    }
    text
}

/// ` (4 done, 1 failed)`.
fn endings(results: &[ItemResult]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for result in results {
        let word = outcome_word(result.outcome);
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    if counts.is_empty() {
        return String::new();
    }
    let words: Vec<String> = counts
        .iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    format!(" ({})", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::bottleneck::Limiter;
    use crate::schedule::event::Outcome;

    fn result(outcome: Outcome) -> ItemResult {
        ItemResult {
            id: "x".to_owned(),
            title: String::new(),
            outcome,
            attempt: 1,
            ending: None,
            duration: Duration::ZERO,
            credential: None,
            log: None,
            log_cut: None,
            tail: Vec::new(),
            unrecorded: None,
        }
    }

    #[test]
    fn what_ended_what_runs_and_what_waits_is_told() {
        let running = [
            RunningItem {
                id: "issue-42",
                time: Duration::from_secs(192),
                silence: Some(Duration::from_secs(20)),
                attempt: 2,
                credential: Some("alpha"),
                progress: Some("page 3 of 9"),
            },
            RunningItem {
                id: "issue-57",
                time: Duration::from_secs(1),
                silence: Some(Duration::from_millis(3)),
                attempt: 1,
                credential: None,
                progress: None,
            },
        ];
        let results = [Outcome::Done, Outcome::Failed, Outcome::Done].map(result);
        let load = Load {
            running: 2,
            fits: 2,
            wanted: 4,
            width_by: Some(Limiter::Room),
            slot_by: None,
        };
        let message = progress_message(&Progress {
            results: &results,
            count: 20,
            running: &running,
            queued: 15,
            load: &load,
            keys: None,
            duration: Duration::from_secs(750),
        });
        assert_eq!(
            message,
            "3 of 20 ended (2 done, 1 failed), 2 running, 15 queued, 12m30s so far\n\
             \x20 limited by the room for processes on this machine, 2 of 4 run\n\
             \x20 issue-42 for 3m12s, attempt 2, with alpha, silent for 20s: page 3 of 9\n\
             \x20 issue-57 for 1s"
        );
    }

    #[test]
    fn of_very_many_running_items_some_are_named() {
        let item = RunningItem {
            id: "x",
            time: Duration::ZERO,
            silence: None,
            attempt: 1,
            credential: None,
            progress: None,
        };
        let message = progress_message(&Progress {
            results: &[],
            count: 50,
            running: &[item; 50],
            queued: 0,
            load: &Load::default(),
            keys: None,
            duration: Duration::ZERO,
        });
        assert_eq!(message.lines().count(), NAMED_MAX + 2);
        assert!(message.ends_with("and 10 more"));
        assert!(message.starts_with("0 of 50 ended, 50 running"));
    }
}
