//! A run as `JUnit` XML: the workflow is a test suite, and each item a test case.
//!
//! Earlier attempts stand as Maven Surefire and nextest have them: `flakyFailure` in an item that is done after all,
//! `rerunFailure` in one that is not, whose last attempt is the `failure`, for that is the one whose output is known.
//! What did not come to an end is `skipped`. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use quick_junit::{
    NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite,
};

use super::result::{ItemResult, ending_words, outcome_word};
use crate::error::Error;
use crate::schedule::event::Outcome;
use crate::state::record::Outcome as RecordedOutcome;
use crate::state::run_record::{RunAttempt, RunItem, RunRecord};

/// The report of a run that has come to its end.
#[must_use]
pub fn of_run(record: &RunRecord, results: &[ItemResult], duration: Duration) -> String {
    let known: BTreeMap<&str, &ItemResult> =
        results.iter().map(|it| (it.id.as_str(), it)).collect();
    let mut suite = TestSuite::new(legal(&record.workflow));
    suite.set_time(duration);
    suite.add_property(Property::new("run", legal(&record.run)));
    for item in &record.items {
        let result = known.get(item.id.as_str()).copied();
        suite.add_test_case(case(&record.workflow, item, result));
    }
    text(suite)
}

/// The report of a run that had nothing to do, or could not begin.
#[must_use]
pub fn of_no_run(workflow: &str, error: Option<&Error>) -> String {
    let mut suite = TestSuite::new(legal(workflow));
    suite.set_time(Duration::ZERO);
    if let Some(error) = error {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(legal(&error.to_string()));
        status.set_type("error");
        status.set_description(legal(error.hint().unwrap_or_default()));
        let mut case = TestCase::new("orchestrate", status);
        case.set_classname(legal(workflow));
        case.set_time(Duration::ZERO);
        suite.add_test_case(case);
    }
    text(suite)
}

fn text(suite: TestSuite) -> String {
    let mut report = Report::new(suite.name.clone());
    report.time = suite.time;
    report.add_test_suite(suite);
    // Writing to memory does not fail.
    report.to_string().unwrap_or_default()
}

fn case(workflow: &str, item: &RunItem, result: Option<&ItemResult>) -> TestCase {
    let status = result.map_or_else(|| skipped("not started"), |result| status(item, result));
    let mut case = TestCase::new(legal(&item.id), status);
    case.set_classname(legal(workflow));
    case.set_time(result.map_or(Duration::ZERO, |result| result.duration));
    if !item.title.is_empty() {
        case.add_property(Property::new("title", legal(&item.title)));
    }
    if let Some(label) = result.and_then(|result| result.credential.as_ref()) {
        case.add_property(Property::new("credential", legal(label)));
    }
    if let Some(log) = result.and_then(|result| result.log.as_ref()) {
        case.add_property(Property::new("log", legal(log)));
    }
    case
}

fn status(item: &RunItem, result: &ItemResult) -> TestCaseStatus {
    let exit = result.ending.as_ref().map(ending_words).unwrap_or_default();
    let word = outcome_word(result.outcome);
    let earlier = item
        .attempts
        .split_last()
        .map_or(&[][..], |(_, earlier)| earlier);
    let mut status = match (&result.unrecorded, result.outcome) {
        (Some(why), _) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(legal(why));
            status.set_type("not-recorded");
            status
        }
        (None, Outcome::Done) => TestCaseStatus::success(),
        (None, Outcome::Failed | Outcome::TimedOut) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(legal(&exit));
            status.set_type(word);
            status.set_description(legal(&result.tail.join("\n")));
            status
        }
        (None, Outcome::Interrupted) => return skipped(&format!("interrupted: {exit}")),
        (None, Outcome::Deferred) => {
            let why = item.reason.as_deref().unwrap_or_default();
            return skipped(&format!("deferred: {why}"));
        }
    };
    // One that was put off was no failure.
    let is_failure = |it: &&RunAttempt| {
        matches!(
            it.outcome,
            Some(RecordedOutcome::Failed | RecordedOutcome::TimedOut)
        )
    };
    status.add_reruns(earlier.iter().filter(is_failure).map(rerun));
    status
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(legal(why));
    status
}

fn rerun(attempt: &RunAttempt) -> TestRerun {
    let mut rerun = TestRerun::new(NonSuccessKind::Failure);
    rerun.set_time(Duration::from_millis(attempt.duration_ms.unwrap_or(0)));
    rerun.set_message(legal(attempt.exit.as_deref().unwrap_or_default()));
    let timed_out = attempt.outcome == Some(RecordedOutcome::TimedOut);
    rerun.set_type(if timed_out { "timed-out" } else { "failed" });
    // Surefire's form has one in every case.
    let log = attempt.log.as_deref().unwrap_or_default();
    rerun.set_stack_trace(legal(&format!("attempt {} {log}", attempt.attempt)));
    rerun
}

/// `text` with U+FFFD for what cannot stand in XML 1.0, not even escaped (section 2.2). The crate drops TABs.
fn legal(text: &str) -> String {
    let text = text.replace('\t', " ");
    let is_legal = |c: char| matches!(c, '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars()
        .map(|c| if is_legal(c) { c } else { '\u{fffd}' })
        .collect()
}

#[cfg(test)]
mod tests {
    use roxmltree::{Document, Node};

    use super::*;
    use crate::schedule::event::Ending;
    use crate::state::run_record::ItemState;

    fn item(id: &str, outcomes: &[RecordedOutcome]) -> RunItem {
        let attempt = |(number, outcome): (usize, &RecordedOutcome)| RunAttempt {
            attempt: u32::try_from(number).unwrap() + 1,
            started: "2026-11-23T00:14:49Z".parse().unwrap(),
            duration_ms: Some(1500),
            outcome: Some(*outcome),
            exit: Some("exit 3".to_owned()),
            credential: None,
            log: Some(format!("runs/R/logs/{id}.{number}.log")),
        };
        RunItem {
            id: id.to_owned(),
            title: "<&\"'>\u{1b}\u{0}\u{ffff}]]>".to_owned(),
            state: ItemState::Ended,
            outcome: outcomes.last().copied(),
            reason: None,
            attempts: outcomes.iter().enumerate().map(attempt).collect(),
        }
    }

    fn result(id: &str, outcome: Outcome) -> ItemResult {
        ItemResult {
            id: id.to_owned(),
            title: String::new(),
            outcome,
            attempt: 1,
            ending: Some(Ending::Exited(4)),
            duration: Duration::from_millis(2500),
            credential: Some("work-1".to_owned()),
            log: Some("x.log".to_owned()),
            log_cut: None,
            tail: vec!["<last>".to_owned(), "\u{1} line ]]>".to_owned()],
            unrecorded: None,
        }
    }

    fn record(items: Vec<RunItem>) -> RunRecord {
        RunRecord {
            run: "R".to_owned(),
            workflow: "w".to_owned(),
            orchestrate_version: String::new(),
            started: "2026-11-23T00:14:48Z".parse().unwrap(),
            ended: None,
            parallel: None,
            command: Vec::new(),
            verify: Vec::new(),
            credentials: Vec::new(),
            credential_states: BTreeMap::new(),
            lost: None,
            forecast_ms: None,
            exit_status: None,
            items,
        }
    }

    fn named<'a>(document: &'a Document<'_>, name: &str) -> Node<'a, 'a> {
        let is_it = |node: &Node<'_, '_>| {
            node.has_tag_name("testcase") && node.attribute("name") == Some(name)
        };
        document.descendants().find(is_it).unwrap()
    }

    fn children(node: Node<'_, '_>) -> Vec<String> {
        let elements = node.children().filter(Node::is_element);
        elements.map(|it| it.tag_name().name().to_owned()).collect()
    }

    #[test]
    fn each_item_is_a_test_case_with_its_attempts() {
        use RecordedOutcome::{Deferred, Done, Failed, Interrupted, TimedOut};
        let lost = ItemResult {
            unrecorded: Some("disk full".to_owned()),
            ..result("lost", Outcome::Done)
        };
        let results = [
            result("flaky", Outcome::Done),
            result("bad", Outcome::Failed),
            result("put-off", Outcome::Deferred),
            result("stopped", Outcome::Interrupted),
            lost,
        ];
        let items = vec![
            item("flaky", &[Failed, Deferred, Done]),
            item("bad", &[TimedOut, Failed]),
            item("put-off", &[Deferred]),
            item("stopped", &[Interrupted]),
            item("lost", &[Done]),
            item("never", &[]),
        ];
        let xml = of_run(&record(items), &results, Duration::from_secs(9));
        let document = Document::parse(&xml).unwrap();
        let suite = document.root_element().first_element_child().unwrap();
        let number = |name| suite.attribute(name).unwrap();
        assert_eq!(
            ["name", "tests", "failures", "errors", "skipped", "time"].map(number),
            ["w", "6", "1", "1", "3", "9.000"]
        );
        let told = |name| {
            let case = named(&document, name);
            assert_eq!(case.attribute("classname"), Some("w"));
            children(case)
        };
        assert_eq!(told("flaky"), ["properties", "flakyFailure"]);
        assert_eq!(told("bad"), ["properties", "failure", "rerunFailure"]);
        assert_eq!(told("put-off"), ["properties", "skipped"]);
        assert_eq!(told("stopped"), ["properties", "skipped"]);
        assert_eq!(told("lost"), ["properties", "error"]);
        assert_eq!(told("never"), ["properties", "skipped"]);
        let bad = named(&document, "bad");
        let failure = bad
            .children()
            .find(|it| it.has_tag_name("failure"))
            .unwrap();
        assert_eq!(
            (
                failure.attribute("message"),
                failure.attribute("type"),
                failure.text()
            ),
            (
                Some("exit 4"),
                Some("failed"),
                Some("<last>\n\u{fffd} line ]]>")
            )
        );
        let rerun = bad.last_element_child().unwrap();
        assert_eq!(
            (
                rerun.attribute("message"),
                rerun.attribute("type"),
                rerun.attribute("time")
            ),
            (Some("exit 3"), Some("timed-out"), Some("1.500"))
        );
        let title = bad
            .descendants()
            .find(|it| it.attribute("name") == Some("title"))
            .unwrap();
        assert_eq!(
            title.attribute("value"),
            Some("<&\"'>\u{fffd}\u{fffd}\u{fffd}]]>")
        );
    }

    #[test]
    fn a_run_that_could_not_begin_is_an_error_and_one_without_items_is_empty() {
        let error = Error::usage("no <way>").with_hint("go round");
        let xml = of_no_run("w", Some(&error));
        let document = Document::parse(&xml).unwrap();
        let told = named(&document, "orchestrate")
            .first_element_child()
            .unwrap();
        assert_eq!(
            (told.attribute("message"), told.text()),
            (Some("no <way>"), Some("go round"))
        );
        let xml = of_no_run("w", None);
        let document = Document::parse(&xml).unwrap();
        let suite = document.root_element().first_element_child().unwrap();
        assert_eq!(
            (suite.attribute("tests"), suite.has_children()),
            (Some("0"), false)
        );
    }
}
