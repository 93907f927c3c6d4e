//! Why items failed, so that those which failed for one reason are told of once.
//!
//! [`groups`] is called by the summary in each of its forms. Two failures have one cause when they ended alike and the
//! line that says why reads the same without what differs from item to item: its name, numbers, paths, ids, times. What
//! tells causes apart stays: words, and the number after `HTTP`, `status`, `code` and their like. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::result::{ItemResult, ending_words};
use crate::schedule::event::Outcome;

/// So many lines from the end are looked at.
const LINES_SEARCHED_MAX: usize = 20;

/// A longer line is cut before it is looked at.
const LINE_CHARACTERS_MAX: usize = 500;

/// Words of a line that says why; as they begin.
const REASONS: [&str; 20] = [
    "abort",
    "cannot",
    "can't",
    "could",
    "denied",
    "error",
    "exceed",
    "exception",
    "fail",
    "fatal",
    "forbidden",
    "invalid",
    "killed",
    "missing",
    "panic",
    "refused",
    "timeout",
    "unable",
    "unauthorized",
    "unknown",
];

/// What begins lines that only accompany the reason.
const ACCOMPANIMENTS: [&str; 8] = [
    "at ",
    "file \"",
    "note: run with",
    "note: some details",
    "npm err! a complete log",
    "for more information",
    "during handling of",
    "traceback (most recent",
];

/// The number after one of these is what tells one cause from another.
const TELLING: [&str; 7] = ["code", "errno", "error", "exit", "http", "signal", "status"];

/// Failures with one cause.
#[derive(Debug)]
pub struct Group<'a> {
    /// How they ended: `exit 1`, `timed out`.
    pub ending: String,
    /// The line that says why; with `<n>`, `<path>` and the like where they differ. Empty when they said nothing.
    pub line: String,
    /// The failures, in the order of their ends; never empty.
    pub failures: Vec<&'a ItemResult>,
}

impl Group<'_> {
    /// The cause in one line: `exit 1: connection to <path> refused`.
    #[must_use]
    pub fn words(&self) -> String {
        if self.line.is_empty() {
            return self.ending.clone();
        }
        format!("{}: {}", self.ending, self.line)
    }
}

/// The failures among `results` by their cause: those with most failures first, then in the order of their first ends.
#[must_use]
pub fn groups(results: &[ItemResult]) -> Vec<Group<'_>> {
    let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for failure in results.iter().filter(|it| it.outcome.is_failure()) {
        let ending = ending(failure);
        let line = reason(failure);
        let key = (
            without_particulars(&ending, failure),
            without_particulars(&line, failure),
        );
        let place = *places.entry(key.clone()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => {
                if group.line != line {
                    group.line = key.1;
                }
                if group.ending != ending {
                    group.ending = key.0;
                }
                group.failures.push(failure);
            }
            None => groups.push(Group {
                ending,
                line,
                failures: vec![failure],
            }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.failures.len()));
    groups
}

/// How it ended. What a time limit has ended says nothing of why.
fn ending(failure: &ItemResult) -> String {
    match &failure.ending {
        _ if failure.outcome == Outcome::TimedOut => "timed out".to_owned(),
        Some(ending) => ending_words(ending),
        None => "not started".to_owned(),
    }
}

/// The line that says why: the last one that has a word for it, else the last that says anything.
fn reason(failure: &ItemResult) -> String {
    if failure.outcome == Outcome::TimedOut {
        return String::new();
    }
    let lines = failure.tail.iter().rev().take(LINES_SEARCHED_MAX);
    let meaningful: Vec<&str> = lines
        .map(|line| line.trim())
        .filter(|line| says_something(line))
        .collect();
    let reason = meaningful.iter().find(|line| has_reason(line));
    let line = reason.or(meaningful.first()).copied().unwrap_or_default();
    line.chars().take(LINE_CHARACTERS_MAX).collect()
}

fn says_something(line: &str) -> bool {
    let lower = line.to_lowercase();
    line.chars().filter(|c| c.is_alphanumeric()).count() > 2
        && !ACCOMPANIMENTS.iter().any(|it| lower.starts_with(it))
}

fn has_reason(line: &str) -> bool {
    let lower = line.to_lowercase();
    REASONS.iter().any(|word| lower.contains(word))
}

/// `line` without what differs from item to item.
fn without_particulars(line: &str, failure: &ItemResult) -> String {
    let line = without_item(line, failure);
    let mut words: Vec<Cow<'_, str>> = Vec::new();
    for word in line.split_whitespace() {
        let is_code = words.last().is_some_and(|before| is_telling(before));
        let word = generalised(word, is_code);
        // A date and a time are two words; at the beginning they say nothing.
        if word != "<time>" || words.last().is_some_and(|before| *before != word) {
            words.push(word);
        }
    }
    words.join(" ")
}

/// Its title and its id, where they stand as words; a short id only in quotes, for `a` is a word of its own.
fn without_item(line: &str, failure: &ItemResult) -> String {
    let mut line = line.to_owned();
    for name in [&failure.title, &failure.id] {
        if name.chars().count() > 2 {
            line = without_word(&line, name);
        }
    }
    for mark in ['"', '\'', '`'] {
        let name = format!("{mark}{}{mark}", failure.id);
        line = line.replace(&name, &format!("{mark}<item>{mark}"));
    }
    line
}

fn without_word(line: &str, name: &str) -> String {
    let mut general = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(name) {
        let (before, after) = (&rest[..start], &rest[start + name.len()..]);
        let is_word =
            !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric);
        general.push_str(before);
        general.push_str(if is_word { "<item>" } else { name });
        rest = after;
    }
    general + rest
}

fn is_telling(word: &str) -> bool {
    let word = word.trim_end_matches(|c: char| !c.is_alphanumeric());
    let last = word.rsplit(|c: char| !c.is_alphanumeric()).next();
    let lower = last.unwrap_or_default().to_lowercase();
    TELLING.contains(&lower.as_str()) || word.to_lowercase().starts_with("http/")
}

/// One word without what differs; `is_code` if it stands after a word that makes a number a name.
fn generalised(word: &str, is_code: bool) -> Cow<'_, str> {
    let is_mark = |c: char| "()[]{}<>\"'`,;:!?".contains(c);
    let core = word.trim_start_matches(is_mark);
    let core = core.trim_end_matches(|c| c == '.' || is_mark(c));
    let is_number = !core.is_empty() && core.bytes().all(|byte| byte.is_ascii_digit());
    if core.is_empty() || word.contains("<item>") || (is_code && is_number) {
        return Cow::Borrowed(word);
    }
    let general = if is_time(core) {
        // Brackets and commas around it belong to it.
        return Cow::Borrowed("<time>");
    } else if core.contains("://") {
        "<url>"
    } else if is_uuid(core) || is_hexadecimal(core) {
        "<hex>"
    } else if is_path(core) {
        "<path>"
    } else {
        return without_numbers(word);
    };
    Cow::Owned(word.replacen(core, general, 1))
}

/// `2026-11-23T00:14:48.5Z`, `2026-11-23`, `00:14:48,123`.
fn is_time(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let separators = |mark: u8| word.bytes().filter(|&byte| byte == mark).count();
    let is_of_time = |byte: u8| byte.is_ascii_digit() || b"-:.,TZ+/".contains(&byte);
    word.bytes().all(is_of_time)
        && word.starts_with(|c: char| c.is_ascii_digit())
        && digits >= 4
        && (separators(b':') >= 2 || separators(b'-') == 2)
}

fn is_uuid(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12] && parts.concat().bytes().all(|it| it.is_ascii_hexdigit())
}

/// `0x7f3a`, and at least seven digits of which some, but not all, are decimal.
fn is_hexadecimal(word: &str) -> bool {
    if let Some(digits) = word.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    word.len() >= 7
        && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A slash that does not stand between two short words, as in `and/or`, `5/9` or `HTTP/1.1`.
fn is_path(word: &str) -> bool {
    let first = word.split(['/', '\\']).next().unwrap_or_default();
    word.contains('/')
        && (first.is_empty()
            || matches!(first, "." | ".." | "~")
            || word.matches('/').count() > 1
            || word.rsplit('/').next().is_some_and(|name| {
                let (stem, extension) = name.rsplit_once('.').unwrap_or_default();
                !stem.is_empty() && extension.starts_with(|c: char| c.is_ascii_alphabetic())
            }))
}

fn without_numbers(word: &str) -> Cow<'_, str> {
    if !word.contains(|c: char| c.is_ascii_digit()) {
        return Cow::Borrowed(word);
    }
    let mut general = String::new();
    let mut rest = word;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        general.push_str(&rest[..start]);
        let number = &rest[start..];
        let is_of_number = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
        let end = number.find(|c| !is_of_number(c)).unwrap_or(number.len());
        // What ends the sentence is no part of it.
        let digits = number[..end].trim_end_matches(['.', ',']).len();
        // `status=503`, `"code":17`.
        let is_code = is_telling(&general);
        general.push_str(if is_code { &number[..digits] } else { "<n>" });
        rest = &number[digits..];
    }
    general.push_str(rest);
    Cow::Owned(general)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::schedule::event::Ending;

    fn failure(id: &str, ending: Ending, tail: &[&str]) -> ItemResult {
        ItemResult {
            id: id.to_owned(),
            title: format!("the title of {id}"),
            outcome: Outcome::Failed,
            attempt: 1,
            ending: Some(ending),
            duration: Duration::from_secs(1),
            credential: None,
            log: None,
            log_cut: None,
            tail: tail.iter().map(ToString::to_string).collect(),
            unrecorded: None,
        }
    }

    #[test]
    fn what_differs_from_item_to_item_is_made_general() {
        for (line, expected) in [
            ("connection refused", "connection refused"),
            ("issue-42: not found", "<item>: not found"),
            ("no such issue 'issue-42'", "no such issue '<item>'"),
            ("issue-421 is tissue-42", "issue-<n> is tissue-<n>"),
            ("in the title of issue-42 it fails", "in <item> it fails"),
            ("took 12.5s of 30", "took <n>s of <n>"),
            ("page3of9.", "page<n>of<n>."),
            ("1,000 tokens, 3.14.", "<n> tokens, <n>."),
            ("2026-11-23T00:14:48.123Z ERROR x", "ERROR x"),
            ("[2026-11-23 00:14:48,123] ERROR x", "ERROR x"),
            ("00:14:48 ERROR x", "ERROR x"),
            ("since 2026-11-23 00:14:48 down", "since <time> down"),
            ("open /srv/a/b.txt: denied", "open <path>: denied"),
            ("open \"./b.txt\", denied", "open \"<path>\", denied"),
            ("docs/a.md:12: bad", "<path>: bad"),
            ("and/or 5/9 read/write", "and/or <n>/<n> read/write"),
            ("GET https://example.org/42?x=1 failed", "GET <url> failed"),
            ("commit 4f2a9c1 is gone", "commit <hex> is gone"),
            ("defaced facade", "defaced facade"),
            ("at 0x7ffdeadbeef", "at <hex>"),
            (
                "request (123e4567-e89b-12d3-a456-426614174000) lost",
                "request (<hex>) lost",
            ),
            ("HTTP 429 after 3 tries", "HTTP 429 after <n> tries"),
            ("status: 503", "status: 503"),
            ("HTTP/1.1 500 Oops", "HTTP/1.1 500 Oops"),
            ("Error 2, code=17, n=4", "Error 2, code=17, n=<n>"),
            ("{\"status\":503,\"id\":7}", "{\"status\":503,\"id\":<n>}"),
            ("", ""),
        ] {
            let item = failure("issue-42", Ending::Exited(1), &[]);
            assert_eq!(without_particulars(line, &item), expected, "{line}");
        }
    }

    #[test]
    fn a_short_name_counts_only_in_quotes() {
        let item = failure("a", Ending::Exited(1), &[]);
        let general = without_particulars("a file 'a' is a mess", &item);
        assert_eq!(general, "a file '<item>' is a mess");
    }

    #[test]
    fn the_line_that_says_why_is_found() {
        for (tail, expected) in [
            (&["a", "boom boom"][..], "boom boom"),
            (&[], ""),
            (&["---", "}"], ""),
            (
                &["Error: no disk", "cleaning up", "bye bye"],
                "Error: no disk",
            ),
            (
                &[
                    "Traceback (most recent call last):",
                    "  File \"x\", line 3",
                    "ValueError: odd",
                    "",
                    "^^^",
                ],
                "ValueError: odd",
            ),
            (
                &[
                    "TypeError: x is undefined",
                    "    at main (/x.js:1:2)",
                    "    at failing (/x.js:1:2)",
                ],
                "TypeError: x is undefined",
            ),
            (
                &[
                    "thread 'main' panicked at src/main.rs:3:5:",
                    "note: run with `RUST_BACKTRACE=1`",
                ],
                "thread 'main' panicked at src/main.rs:3:5:",
            ),
        ] {
            let item = failure("x", Ending::Exited(1), tail);
            assert_eq!(reason(&item), expected, "{tail:?}");
        }
    }

    #[test]
    fn failures_that_differ_in_particulars_are_one_group_and_the_largest_comes_first() {
        let mut results = vec![
            failure("z", Ending::Killed(9), &["working"]),
            failure("y", Ending::Exited(1), &["HTTP 500"]),
        ];
        for number in 1..=12 {
            let id = format!("issue-{number}");
            let line = format!("{id}: cannot reach host {number} after {number}s");
            results.push(failure(&id, Ending::Exited(1), &[&line]));
        }
        results.push(failure("x", Ending::Exited(1), &["HTTP 429"]));
        results.push(failure("w", Ending::Exited(2), &["HTTP 500"]));
        let told: Vec<(String, usize)> = groups(&results)
            .iter()
            .map(|group| (group.words(), group.failures.len()))
            .collect();
        let told: Vec<(&str, usize)> = told
            .iter()
            .map(|(it, count)| (it.as_str(), *count))
            .collect();
        assert_eq!(
            told,
            [
                ("exit 1: <item>: cannot reach host <n> after <n>s", 12),
                ("SIGKILL: working", 1),
                ("exit 1: HTTP 500", 1),
                ("exit 1: HTTP 429", 1),
                ("exit 2: HTTP 500", 1),
            ]
        );
    }

    #[test]
    fn a_group_in_which_all_said_the_same_says_it_as_they_did() {
        let same = |id| failure(id, Ending::Exited(1), &["disk 7 is full: error"]);
        let results = [same("a"), same("b")];
        assert_eq!(groups(&results)[0].words(), "exit 1: disk 7 is full: error");
    }

    #[test]
    fn what_a_time_limit_has_ended_is_one_group_whatever_it_said_last() {
        let slow = |id, line: &str| ItemResult {
            outcome: Outcome::TimedOut,
            ..failure(id, Ending::Killed(15), &[line])
        };
        let results = [slow("a", "step one"), slow("b", "step two: error")];
        let groups = groups(&results);
        assert_eq!(
            (groups.len(), groups[0].words()),
            (1, "timed out".to_owned())
        );
    }

    #[test]
    fn items_that_were_never_started_have_the_cause_in_their_ending() {
        let unstarted = |id: &str| {
            let why = format!("the title of {id} would begin with a `-`");
            failure(id, Ending::Unstartable(why), &[])
        };
        let results = [unstarted("aaa"), unstarted("bbb")];
        let told = groups(&results)[0].words();
        assert_eq!(told, "not started: <item> would begin with a `-`");
    }

    #[test]
    fn done_and_interrupted_items_have_no_cause() {
        let done = ItemResult {
            outcome: Outcome::Done,
            ..failure("a", Ending::Exited(0), &["error"])
        };
        assert!(groups(&[done]).is_empty());
    }
}
