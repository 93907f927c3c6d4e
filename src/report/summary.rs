//! The end of a run in words: counts, durations, the failures by their cause, and how to run what is left.

use std::fmt::Write as _;
use std::time::Duration;

use unicode_width::UnicodeWidthStr as _;

use super::backpressure::lost_line;
use super::cause::{Group, groups};
use super::elapsed::elapsed;
use super::fit::clip;
use super::forecast::in_hindsight;
use super::paint::Paint;
use super::result::{ItemResult, ending_words};
use crate::schedule::bottleneck::Lost;
use crate::schedule::event::Outcome;

/// Causes that are shown, with an example each; other failures are counted, and all logs are in the run's folder.
const CAUSES_SHOWN_MAX: usize = 20;

/// So wide is a terminal that nobody has made wider.
const COLUMNS: usize = 80;

/// So many items, how they ended, and in which colour that is told.
type Part = (usize, &'static str, fn(Paint, &str) -> String);

/// What a run has come to.
#[derive(Debug)]
pub struct Summary<'a> {
    /// Every item that was started, in the order of their ends.
    pub results: &'a [ItemResult],
    /// Items that were not started.
    pub not_started: usize,
    /// From the first to the last moment of the run.
    pub duration: Duration,
    /// How long it was to take, if that can be compared with how long it took.
    pub forecast: Option<Duration>,
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

    /// How many items are done, but were not at their first attempt: what is done now and then only wants to be known.
    fn done_again(&self) -> usize {
        let done = self.recorded().filter(|it| it.outcome == Outcome::Done);
        done.filter(|it| it.attempt > 1).count()
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

    /// The failures by their cause.
    #[must_use]
    pub fn causes(&self) -> Vec<Group<'_>> {
        groups(self.results)
    }

    /// The whole summary, ending in a newline; `quiet` leaves out what went well, and without `evidence` the last lines of
    /// failures are left out, for they stand above: they still tell causes apart.
    #[must_use]
    pub fn text(&self, paint: Paint, quiet: bool, evidence: bool) -> String {
        let mut text = String::new();
        let causes = self.causes();
        for group in causes.iter().take(CAUSES_SHOWN_MAX) {
            text.push_str(&group_text(group, paint, evidence));
        }
        let more = &causes[causes.len().min(CAUSES_SHOWN_MAX)..];
        let more: usize = more.iter().map(|group| group.failures.len()).sum();
        if more > 0 {
            let _infallible = writeln!(text, "… and {more} more failed items");
        }
        self.push_losses(&mut text, paint);
        if quiet && text.is_empty() && !self.has_rest() {
            return text;
        }
        let _infallible = writeln!(text, "{}", self.counts(paint));
        for line in self.remarks() {
            let _infallible = writeln!(text, "{}", paint.dim(&line));
        }
        if self.has_rest() {
            let _infallible = writeln!(text, "to run what is left: {}", self.rerun);
        }
        text
    }

    /// What a person may want to know of how long it took.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let forecast = self.forecast.and_then(|it| in_hindsight(self.duration, it));
        let lost = lost_line(&self.lost, self.duration);
        forecast.into_iter().chain(lost).collect()
    }

    /// What is on no disk, and which logs are not whole.
    fn push_losses(&self, text: &mut String, paint: Paint) {
        for lost in self.results.iter().filter(|it| it.unrecorded.is_some()) {
            let why = lost.unrecorded.as_deref().unwrap_or_default();
            let ended = lost.ending.as_ref().map(ending_words).unwrap_or_default();
            let label = paint.bad("not recorded:");
            let _infallible = writeln!(text, "{label} {} ended ({ended}): {why}", lost.id);
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
    }

    /// How many items ended how, and how long it took; in two lines when one is too long for a terminal.
    #[must_use]
    pub fn counts(&self, paint: Paint) -> String {
        let unrecorded = self.results.iter().filter(|it| it.unrecorded.is_some());
        let parts: [Part; 6] = [
            (self.count(Outcome::Done), "done", Paint::good),
            (self.failures(), "failed", Paint::bad),
            (self.count(Outcome::Interrupted), "interrupted", Paint::warn),
            (self.count(Outcome::Deferred), "deferred", Paint::warn),
            (unrecorded.count(), "not recorded", Paint::bad),
            (self.not_started, "not started", Paint::warn),
        ];
        let told = parts.iter().filter(|it| it.0 > 0 || it.1 == "done");
        let again = match self.done_again() {
            0 => String::new(),
            count => format!(" ({count} at a later attempt)"),
        };
        let line = |paint: Paint| {
            let words = told.clone();
            let words = words.map(|(count, word, painted)| {
                let again = if *word == "done" { &again } else { "" };
                painted(paint, &format!("{count} {word}")) + again
            });
            let words: Vec<String> = words.collect();
            format!("{} in {}", words.join(", "), elapsed(self.duration))
        };
        let Some((median, slowest, id)) = self.durations() else {
            return line(paint);
        };
        let (median, slowest) = (elapsed(median), elapsed(slowest));
        let detail = format!("(median {median}, slowest {slowest}: {id})");
        // Colours take no room.
        let fits = line(Paint(false)).width() + 1 + detail.width() <= COLUMNS;
        let apart = if fits { " " } else { "\n" };
        format!("{}{apart}{}", line(paint), paint.dim(&detail))
    }
}

/// One failure by itself, or the cause of several, and one of them as an example.
fn group_text(group: &Group<'_>, paint: Paint, evidence: bool) -> String {
    let [example, others @ ..] = &group.failures[..] else {
        return String::new();
    };
    if others.is_empty() {
        return failure_text(example, paint, evidence);
    }
    let count = group.failures.len();
    let words = clip(
        &group.words(),
        COLUMNS.saturating_sub(format!("{count} failed: ").len()),
    );
    let mut text = format!("{}: {words}\n", paint.bad(&format!("{count} failed")));
    let ids: Vec<&str> = group.failures.iter().map(|it| it.id.as_str()).collect();
    let _infallible = writeln!(text, "  {}", some_of(&ids, COLUMNS - 2));
    push_evidence(&mut text, example, paint, evidence);
    text
}

/// As many of the names as fit into so many columns, one at least, and how many more there are.
fn some_of(names: &[&str], columns: usize) -> String {
    let told = |count: usize| {
        let more = match names.len() - count {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        names[..count].join(", ") + &more
    };
    // A name and what parts it from the next take three columns at least.
    let count_max = names.len().min(columns / 3 + 1);
    let fitting = (1..=count_max).rev().map(told);
    let mut fitting = fitting.skip_while(|text| text.width() > columns);
    fitting.next().unwrap_or_else(|| told(1))
}

fn failure_text(failure: &ItemResult, paint: Paint, evidence: bool) -> String {
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
    push_evidence(&mut text, failure, paint, evidence);
    text
}

/// The last lines of a failure, and where the others are.
fn push_evidence(text: &mut String, failure: &ItemResult, paint: Paint, evidence: bool) {
    // Without a log there was no block either.
    let is_shown = evidence || failure.log.is_none();
    for line in failure.tail.iter().filter(|_| is_shown) {
        let _infallible = writeln!(text, "  {} {line}", paint.dim("|"));
    }
    if let Some(log) = &failure.log {
        let _infallible = writeln!(text, "  log: {log}");
    }
    if let Some(cut) = &failure.log_cut {
        let _infallible = writeln!(text, "  the log is cut: {cut}");
    }
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
            attempt: 1,
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
            forecast: None,
            lost: Lost {
                credentials: Duration::from_secs(20),
                one_more: Duration::from_secs(10),
                ..Lost::default()
            },
            rerun: "orchestrate --parallel 4 requirements",
        };
        assert_eq!(
            summary.text(Paint(false), false, true),
            "issue-57 failed after 12s: exit 1 [work-1]\n  | first\n  | boom\n  \
             log: .orchestrate/runs/R/logs/issue-57.1.log\n\
             2 done, 1 failed, 1 interrupted, 4 not started in 1m\n\
             (median 20s, slowest 20s: issue-43)\n\
             credentials cost 20s; one more key would have saved 10s\n\
             to run what is left: orchestrate --parallel 4 requirements\n"
        );
    }

    #[test]
    fn a_run_that_was_forecast_is_compared_with_that() {
        let results = [result("a", Outcome::Done, Ending::Exited(0), 60)];
        let summary = Summary {
            results: &results,
            not_started: 0,
            duration: Duration::from_mins(2),
            forecast: Some(Duration::from_mins(1)),
            lost: Lost::default(),
            rerun: "orchestrate x",
        };
        let text = summary.text(Paint(false), false, true);
        let told = "\ntook 2m, forecast 1m (2.0 times as long)\n";
        assert!(text.ends_with(told), "{text}");
        let unknown = Summary {
            forecast: None,
            ..summary
        };
        assert!(!unknown.text(Paint(false), false, true).contains("took"));
    }

    #[test]
    fn failures_with_one_cause_are_told_once_and_fit_a_terminal() {
        let mut results: Vec<ItemResult> = (1..=12)
            .map(|number| ItemResult {
                tail: vec![format!("Error: cannot reach 10.0.0.{number} after {number} seconds of trying, and nobody knows why")],
                log: Some(format!("logs/issue-{number}.1.log")),
                ..result(&format!("issue-{number}"), Outcome::Failed, Ending::Exited(1), number)
            })
            .collect();
        results.push(result(
            "issue-13",
            Outcome::TimedOut,
            Ending::Killed(15),
            60,
        ));
        let summary = Summary {
            results: &results,
            not_started: 0,
            duration: Duration::from_mins(1),
            forecast: None,
            lost: Lost::default(),
            rerun: "orchestrate x",
        };
        let text = summary.text(Paint(false), false, true);
        let expected = "\
12 failed: exit 1: Error: cannot reach <n> after <n> seconds of trying, and nob…
  issue-1, issue-2, issue-3, issue-4, issue-5, issue-6, issue-7 and 5 more
  | Error: cannot reach 10.0.0.1 after 1 seconds of trying, and nobody knows why
  log: logs/issue-1.1.log
issue-13 timed out after 1m: SIGTERM
0 done, 13 failed in 1m
to run what is left: orchestrate x
";
        assert_eq!(text, expected);
        assert!(text.lines().all(|line| line.width() <= COLUMNS));
        let unseen = |line: &&str| !line.starts_with("  | ");
        let seen: Vec<&str> = expected.lines().filter(unseen).collect();
        let text = summary.text(Paint(false), false, false);
        assert_eq!(text.lines().collect::<Vec<_>>(), seen);
    }

    #[test]
    fn as_many_names_are_told_as_fit() {
        for (columns, expected) in [
            (80, "one, two, three"),
            (15, "one, two, three"),
            (14, "one and 2 more"),
            (3, "one and 2 more"),
        ] {
            assert_eq!(some_of(&["one", "two", "three"], columns), expected);
        }
    }

    #[test]
    fn what_was_done_at_a_later_attempt_only_is_counted_apart() {
        let again = |id, outcome| ItemResult {
            attempt: 2,
            ..result(id, outcome, Ending::Exited(0), 1)
        };
        let results = [
            result("a", Outcome::Done, Ending::Exited(0), 1),
            again("b", Outcome::Done),
            again("c", Outcome::Failed),
        ];
        let summary = Summary {
            results: &results,
            not_started: 0,
            duration: Duration::from_secs(3),
            forecast: None,
            lost: Lost::default(),
            rerun: "orchestrate x",
        };
        assert_eq!(
            summary.counts(Paint(false)),
            "2 done (1 at a later attempt), 1 failed in 3s (median 1s, slowest 1s: b)"
        );
    }

    #[test]
    fn quiet_says_nothing_when_all_went_well_and_everything_when_not() {
        let results = [result("a", Outcome::Done, Ending::Exited(0), 1)];
        let good = Summary {
            results: &results,
            not_started: 0,
            duration: Duration::from_secs(1),
            forecast: None,
            lost: Lost::default(),
            rerun: "orchestrate x",
        };
        assert_eq!(good.text(Paint(false), true, true), "");
        let bad = Summary {
            not_started: 1,
            ..good
        };
        assert!(bad.text(Paint(false), true, true).contains("1 not started"));
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
            forecast: None,
            lost: Lost::default(),
            rerun: "orchestrate x",
        };
        let text = summary.text(Paint(false), false, true);
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
            forecast: None,
            lost: Lost::default(),
            rerun: "orchestrate x",
        };
        let text = summary.text(Paint(false), true, true);
        assert!(
            text.starts_with("log cut: b and 1 more: no space left\n3 done"),
            "{text}"
        );
    }
}
