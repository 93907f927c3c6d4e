//! The end of a run in words: counts, durations, each failure with its cause, and how to run what is left.

use std::fmt::Write as _;
use std::time::Duration;

use super::backpressure::lost_line;
use super::elapsed::elapsed;
use super::paint::Paint;
use super::result::{ItemResult, ending_words};
use crate::schedule::bottleneck::Lost;
use crate::schedule::event::Outcome;

/// Failures that are shown in full; the others are counted, and their logs are all in the run's folder.
const FAILURES_SHOWN_MAX: usize = 20;

/// What a run has come to.
#[derive(Debug)]
pub struct Summary<'a> {
    /// Every item that was started, in the order of their ends.
    pub results: &'a [ItemResult],
    /// Items that were not started.
    pub not_started: usize,
    /// From the first to the last moment of the run.
    pub duration: Duration,
    /// What it has lost for want of something.
    pub lost: Lost,
    /// The command line that runs what is left.
    pub rerun: &'a str,
}

impl Summary<'_> {
    /// How many items have this outcome, and it is on disk.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.recorded()
            .filter(|result| result.outcome == outcome)
            .count()
    }

    /// How many items failed or timed out, and it is on disk.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.recorded()
            .filter(|result| result.outcome.is_failure())
            .count()
    }

    fn recorded(&self) -> impl Iterator<Item = &ItemResult> {
        self.results
            .iter()
            .filter(|result| result.unrecorded.is_none())
    }

    /// Whether something is left to be run.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        self.not_started > 0
            || self
                .results
                .iter()
                .any(|it| it.outcome != Outcome::Done || it.unrecorded.is_some())
    }

    /// The median and the greatest duration of done items, the latter with its id.
    #[must_use]
    pub fn durations(&self) -> Option<(Duration, Duration, &str)> {
        let mut done: Vec<(Duration, &str)> = self
            .results
            .iter()
            .filter(|result| result.outcome == Outcome::Done)
            .map(|result| (result.duration, result.id.as_str()))
            .collect();
        done.sort_unstable();
        let (slowest, id) = *done.last()?;
        Some((done[done.len() / 2].0, slowest, id))
    }

    /// The whole summary, ending in a newline; `quiet` leaves out what went well.
    #[must_use]
    pub fn text(&self, paint: Paint, quiet: bool) -> String {
        let mut text = String::new();
        let failed = self.results.iter().filter(|it| it.outcome.is_failure());
        for failure in failed.clone().take(FAILURES_SHOWN_MAX) {
            text.push_str(&failure_text(failure, paint));
        }
        let more = failed.count().saturating_sub(FAILURES_SHOWN_MAX);
        if more > 0 {
            let _infallible = writeln!(text, "… and {more} more failed items");
        }
        for lost in self.results.iter().filter(|it| it.unrecorded.is_some()) {
            let why = lost.unrecorded.as_deref().unwrap_or_default();
            let ended = lost.ending.as_ref().map(ending_words).unwrap_or_default();
            let _infallible = writeln!(
                text,
                "{} {} ended ({ended}): {why}",
                paint.bad("not recorded:"),
                lost.id
            );
        }
        // A failure tells of its own log.
        let whole = |it: &&ItemResult| it.outcome.is_failure() || it.log_cut.is_none();
        let cut = self.results.iter().filter(|it| !whole(it));
        if let Some(first) = cut.clone().next() {
            let why = first.log_cut.as_deref().unwrap_or_default();
            let more = match cut.count() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let label = paint.warn("log cut:");
            let _infallible = writeln!(text, "{label} {}{more}: {why}", first.id);
        }
        if quiet && text.is_empty() && !self.has_rest() {
            return text;
        }
        let _infallible = writeln!(text, "{}", self.counts(paint));
        if let Some(line) = lost_line(&self.lost, self.duration) {
            let _infallible = writeln!(text, "{}", paint.dim(&line));
        }
        if self.has_rest() {
            let _infallible = writeln!(text, "to run what is left: {}", self.rerun);
        }
        text
    }

    fn counts(&self, paint: Paint) -> String {
        let mut parts = vec![paint.good(&format!("{} done", self.count(Outcome::Done)))];
        let mut part = |count: usize, words: &str, painted: fn(Paint, &str) -> String| {
            if count > 0 {
                parts.push(painted(paint, &format!("{count} {words}")));
            }
        };
        part(self.failures(), "failed", Paint::bad);
        part(self.count(Outcome::Interrupted), "interrupted", Paint::warn);
        part(self.count(Outcome::Deferred), "deferred", Paint::warn);
        part(
            self.results
                .iter()
                .filter(|it| it.unrecorded.is_some())
                .count(),
            "not recorded",
            Paint::bad,
        );
        part(self.not_started, "not started", Paint::warn);
        let mut line = format!("{} in {}", parts.join(", "), elapsed(self.duration));
        if let Some((median, slowest, id)) = self.durations() {
            let (median, slowest) = (elapsed(median), elapsed(slowest));
            let detail = format!(" (median {median}, slowest {slowest}: {id})");
            line.push_str(&paint.dim(&detail));
        }
        line
    }
}

fn failure_text(failure: &ItemResult, paint: Paint) -> String {
    let ending = failure
        .ending
        .as_ref()
        .map(ending_words)
        .unwrap_or_default();
    let mut text = format!(
        "{} {} after {}: {ending}",
        failure.id,
        paint.bad(if failure.outcome == Outcome::TimedOut {
            "timed out"
        } else {
            "failed"
        }),
        elapsed(failure.duration)
    );
    if let Some(credential) = &failure.credential {
        let _infallible = write!(text, " [{credential}]");
    }
    text.push('\n');
    for line in &failure.tail {
        let _infallible = writeln!(text, "  {} {line}", paint.dim("|"));
    }
    if let Some(log) = &failure.log {
        let _infallible = writeln!(text, "  log: {log}");
    }
    if let Some(cut) = &failure.log_cut {
        let _infallible = writeln!(text, "  the log is cut: {cut}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::event::Ending;

    fn result(id: &str, outcome: Outcome, ending: Ending, seconds: u64) -> ItemResult {
        ItemResult {
            id: id.to_owned(),
            title: String::new(),
            outcome,
            ending: Some(ending),
            duration: Duration::from_secs(seconds),
            credential: None,
            log: None,
            log_cut: None,
            tail: Vec::new(),
            unrecorded: None,
        }
    }

    #[test]
    fn a_failure_shows_its_exit_its_last_lines_its_log_and_what_to_run() {
        let failure = ItemResult {
            credential: Some("work-1".to_owned()),
            log: Some(".orchestrate/runs/R/logs/issue-57.1.log".to_owned()),
            tail: vec!["first".to_owned(), "boom".to_owned()],
            ..result("issue-57", Outcome::Failed, Ending::Exited(1), 12)
        };
        let results = [
            result("issue-42", Outcome::Done, Ending::Exited(0), 10),
            result("issue-43", Outcome::Done, Ending::Exited(0), 20),
            failure,
            result("issue-58", Outcome::Interrupted, Ending::Killed(2), 3),
        ];
        let summary = Summary {
            results: &results,
            not_started: 4,
            duration: Duration::from_mins(1),
            lost: Lost {
                credentials: Duration::from_secs(20),
                one_more: Duration::from_secs(10),
                ..Lost::default()
            },
            rerun: "orchestrate --parallel 4 requirements",
        };
        assert_eq!(
            summary.text(Paint(false), false),
            "issue-57 failed after 12s: exit 1 [work-1]\n  | first\n  | boom\n  \
             log: .orchestrate/runs/R/logs/issue-57.1.log\n\
             2 done, 1 failed, 1 interrupted, 4 not started in 1m (median 20s, slowest 20s: issue-43)\n\
             credentials cost 20s; one more key would have saved 10s\n\
             to run what is left: orchestrate --parallel 4 requirements\n"
        );
    }

    #[test]
    fn quiet_says_nothing_when_all_went_well_and_everything_when_not() {
        let results = [result("a", Outcome::Done, Ending::Exited(0), 1)];
        let good = Summary {
            results: &results,
            not_started: 0,
            duration: Duration::from_secs(1),
            lost: Lost::default(),
            rerun: "orchestrate x",
        };
        assert_eq!(good.text(Paint(false), true), "");
        let bad = Summary {
            not_started: 1,
            ..good
        };
        assert!(bad.text(Paint(false), true).contains("1 not started"));
    }

    #[test]
    fn an_item_whose_record_is_lost_is_not_counted_as_done() {
        let lost = ItemResult {
            unrecorded: Some("journal.jsonl: no space left".to_owned()),
            ..result("a", Outcome::Done, Ending::Exited(0), 1)
        };
        let summary = Summary {
            results: &[lost],
            not_started: 0,
            duration: Duration::from_secs(1),
            lost: Lost::default(),
            rerun: "orchestrate x",
        };
        let text = summary.text(Paint(false), false);
        assert!(text.starts_with("not recorded: a ended (exit 0): journal.jsonl: no space left\n0 done, 1 not recorded"), "{text}");
        assert!(
            text.ends_with("to run what is left: orchestrate x\n"),
            "{text}"
        );
    }

    #[test]
    fn a_log_that_was_cut_is_told_also_when_all_went_well() {
        let cut = |id| ItemResult {
            log_cut: Some("no space left".to_owned()),
            ..result(id, Outcome::Done, Ending::Exited(0), 1)
        };
        let results = [
            result("a", Outcome::Done, Ending::Exited(0), 1),
            cut("b"),
            cut("c"),
        ];
        let summary = Summary {
            results: &results,
            not_started: 0,
            duration: Duration::from_secs(1),
            lost: Lost::default(),
            rerun: "orchestrate x",
        };
        let text = summary.text(Paint(false), true);
        assert!(
            text.starts_with("log cut: b and 1 more: no space left\n3 done"),
            "{text}"
        );
    }
}
