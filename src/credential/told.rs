//! What a child says of its key and its progress in its status file: one JSON object a line, of which the last that says
//! something of the key decides.
//!
//! Pure. Whoever runs children hands in new lines while a child runs ([`news`]), and the end of the file when it has
//! ended ([`told`]), and asks `evidence.rs` only when that says nothing: the child's own word beats its exit code and its
//! output. Anything may stand in that file, so what cannot be read is as if it was not there, and nothing here is an
//! error.

use std::time::Duration;

use serde_json::{Map, Value};

use super::evidence::{Finding, Scope, Verdict};
use super::hint::{Calendar, Hint};
use super::key::{Class, HINT_MAX, HINT_MIN, Trust};

/// The variable in which an item finds the path of its status file.
pub const STATUS_VARIABLE: &str = "ORCHESTRATE_STATUS_FILE";

/// This much of the end of a status file is looked at, in bytes.
pub const STATUS_BYTES_MAX: usize = 64 * 1024;

/// A longer line says nothing, in bytes without its newline.
pub const LINE_BYTES_MAX: usize = 4 * 1024;

/// This many lines at the end are looked at.
const LINES_MAX: usize = 100;

/// The form of a [`Hint`] that stood in a status file.
const FORM: &str = "status file";

/// What new lines of a status file say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// What the last of them that speaks of the key says of it.
    pub verdict: Option<Verdict>,
    /// How far the child is, in its own words, as they came: neither masked nor escaped.
    pub progress: Option<String>,
}

impl News {
    /// Whether they say nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.verdict.is_none() && self.progress.is_none()
    }
}

/// What these whole lines say; of more than a hundred, the last ones.
#[must_use]
pub fn news(lines: &[u8], calendar: &Calendar<'_>) -> News {
    let mut news = News::default();
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
    for (index, line) in (0..LINES_MAX).zip(lines.rsplit(|&byte| byte == b'\n')) {
        let Some(members) = members(line) else {
            continue;
        };
        if news.verdict.is_none() {
            news.verdict = said(index, &members, calendar);
        }
        if news.progress.is_none() {
            news.progress = progress(&members);
        }
    }
    news
}

/// What the child says of its key; `None` when it says nothing. `status` is its status file, or at least the last
/// [`STATUS_BYTES_MAX`] bytes and the one before them.
///
/// A last line without a newline counts when it is whole.
#[must_use]
pub fn told(status: &[u8], calendar: &Calendar<'_>) -> Option<Verdict> {
    let start = status.len().saturating_sub(STATUS_BYTES_MAX);
    let (before, looked_at) = status.split_at(start);
    let starts_inside_a_line = before.last().is_some_and(|&byte| byte != b'\n');
    let looked_at = looked_at.strip_suffix(b"\n").unwrap_or(looked_at);
    let lines: Vec<&[u8]> = looked_at
        .split(|&byte| byte == b'\n')
        .skip(usize::from(starts_inside_a_line))
        .collect();
    let told = lines.iter().enumerate().rev().take(LINES_MAX);
    let mut told = told.filter_map(|(index, line)| said(index, &members(line)?, calendar));
    told.next()
}

fn members(line: &[u8]) -> Option<Map<String, Value>> {
    let is_short = line.len() <= LINE_BYTES_MAX;
    is_short.then(|| serde_json::from_slice(line).ok())?
}

fn progress(members: &Map<String, Value>) -> Option<String> {
    let text = |name| members.get(name).and_then(Value::as_str);
    let is_progress = text("event")? == "progress";
    is_progress.then(|| text("text").map(str::to_owned))?
}

fn said(index: usize, members: &Map<String, Value>, calendar: &Calendar<'_>) -> Option<Verdict> {
    let text = |name| members.get(name).and_then(Value::as_str);
    let (finding, scope) = match text("event")? {
        "ok" => (Finding::Done, Scope::Item),
        "rate_limited" => {
            let class = match text("class") {
                Some("day") => Class::Day,
                Some("billing") => Class::Billing,
                _ => Class::Minute,
            };
            let scope = match text("scope") {
                Some("key") => Scope::Key,
                // As for an exit code: whoever knows that it is limited speaks for the account.
                _ => Scope::Group,
            };
            (Finding::RateLimited(class), scope)
        }
        "auth_failed" => (Finding::Rejected, Scope::Key),
        "overloaded" => (Finding::Overloaded, Scope::Provider),
        // `progress`, `cost` and `artifact` say nothing of a key, and what else there is nobody knows.
        _ => return None,
    };
    let has_hint = matches!(finding, Finding::RateLimited(_) | Finding::Overloaded);
    let wait = has_hint.then(|| wait(members, calendar)).flatten();
    Some(Verdict {
        finding,
        scope,
        hint: wait.map(|wait| Hint {
            wait: wait.clamp(HINT_MIN, HINT_MAX),
            form: FORM,
            line: index,
        }),
        trust: Trust::Child,
        line: None,
    })
}

/// `retry_after` in seconds, else `reset_at` as a date of RFC 3339 or an epoch.
fn wait(members: &Map<String, Value>, calendar: &Calendar<'_>) -> Option<Duration> {
    let seconds = members.get("retry_after").and_then(Value::as_f64);
    let seconds = seconds.filter(|seconds| *seconds >= 0.0);
    seconds.map(from_seconds).or_else(|| {
        let instant = match members.get("reset_at")? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let date = calendar.until_rfc3339(instant.as_bytes());
        date.or_else(|| calendar.until_epoch(instant.as_bytes()))
    })
}

/// What is longer than any duration is as long as one can be.
fn from_seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn hear(status: &[u8]) -> Option<Verdict> {
        let now: Timestamp = "2025-06-14T12:00:00Z".parse().unwrap();
        let now = now.to_zoned(TimeZone::UTC);
        let zones = |_: &str| None;
        let calendar = Calendar {
            now: &now,
            zones: &zones,
        };
        told(status, &calendar)
    }

    fn finding(status: &str) -> Option<Finding> {
        hear(status.as_bytes()).map(|verdict| verdict.finding)
    }

    /// How long a limit with these members makes its key wait, in seconds.
    fn waits(members: &str) -> Option<u64> {
        let line = format!(r#"{{"event":"rate_limited",{members}}}"#);
        let verdict = hear(line.as_bytes()).expect("a limit");
        verdict.hint.map(|hint| hint.wait.as_secs())
    }

    const LIMITED: &str = r#"{"event":"rate_limited"}"#;

    #[test]
    fn each_event_says_what_it_is_called() {
        let minute = Finding::RateLimited(Class::Minute);
        for (line, expected, scope) in [
            (LIMITED, minute, Scope::Group),
            (
                r#"{"event":"rate_limited","class":"day","scope":"key"}"#,
                Finding::RateLimited(Class::Day),
                Scope::Key,
            ),
            (
                r#" { "class" : "billing", "scope": "group", "event" : "rate_limited", "more": [1] } "#,
                Finding::RateLimited(Class::Billing),
                Scope::Group,
            ),
            // A member that cannot be meant is as if it was not there.
            (
                r#"{"event":"rate_limited","class":7,"scope":"galaxy"}"#,
                minute,
                Scope::Group,
            ),
            (r#"{"event":"auth_failed"}"#, Finding::Rejected, Scope::Key),
            (
                r#"{"event":"overloaded"}"#,
                Finding::Overloaded,
                Scope::Provider,
            ),
            (r#"{"event":"ok"}"#, Finding::Done, Scope::Item),
        ] {
            for ended in ["", "\n", "\r\n"] {
                let verdict = hear(format!("{line}{ended}").as_bytes()).expect(line);
                assert_eq!(
                    (verdict.finding, verdict.scope),
                    (expected, scope),
                    "{line}"
                );
                assert_eq!(verdict.trust, Trust::Child, "{line}");
            }
        }
    }

    #[test]
    fn what_says_nothing_of_the_key_is_passed_over() {
        for line in [
            "",
            "rate_limited",
            "null",
            "7",
            "[]",
            r#""rate_limited""#,
            r#"["rate_limited"]"#,
            "{}",
            r#"{"event":429}"#,
            r#"{"event":["rate_limited"]}"#,
            r#"{"event":"RATE_LIMITED"}"#,
            r#"{"event":"rate_limi"#,
            r#"{"event":"rate_limited"} {"event":"rate_limited"}"#,
            r#"{"event":"progress","text":"half way"}"#,
            r#"{"event":"cost","usd":0.2}"#,
            r#"{"event":"artifact","path":"x"}"#,
            "\u{0}\u{1}\u{7f}",
        ] {
            assert_eq!(finding(line), None, "{line}");
            let behind = format!("{{\"event\":\"auth_failed\"}}\n{line}\n");
            assert_eq!(finding(&behind), Some(Finding::Rejected), "{line}");
        }
    }

    #[test]
    fn the_last_word_decides() {
        let both = |first: &str, last: &str| {
            finding(&format!(
                "{{\"event\":\"{first}\"}}\n{{\"event\":\"{last}\"}}\n"
            ))
        };
        assert_eq!(both("rate_limited", "ok"), Some(Finding::Done));
        assert_eq!(both("ok", "auth_failed"), Some(Finding::Rejected));
        assert_eq!(both("ok", "progress"), Some(Finding::Done));
    }

    #[test]
    fn a_wait_is_said_in_seconds_or_as_an_instant() {
        for (members, expected) in [
            (r#""retry_after":20"#, Some(20)),
            (r#""retry_after":36.9"#, Some(36)),
            (r#""retry_after":0"#, Some(1)),
            (r#""retry_after":1e300"#, Some(24 * 3600)),
            (r#""retry_after":-5"#, None),
            (r#""retry_after":"soon""#, None),
            (r#""retry_after":null"#, None),
            (r#""reset_at":"2025-06-14T12:01:30Z""#, Some(90)),
            (r#""reset_at":"2025-06-14T14:01:30+02:00""#, Some(90)),
            (r#""reset_at":1749902430"#, Some(30)),
            (r#""reset_at":1749902430.5"#, Some(30)),
            (r#""reset_at":1749902430000"#, Some(30)),
            (r#""reset_at":"1749902430""#, Some(30)),
            (r#""reset_at":"2025-06-14T11:00:00Z""#, None),
            (r#""reset_at":-1"#, None),
            (r#""reset_at":30"#, None),
            (r#""reset_at":{}"#, None),
            (r#""retry_after":20,"reset_at":1749902430"#, Some(20)),
            (r#""retry_after":[],"reset_at":1749902430"#, Some(30)),
        ] {
            assert_eq!(waits(members), expected, "{members}");
        }
        let overloaded = hear(br#"{"event":"overloaded","retry_after":20}"#).unwrap();
        assert_eq!(overloaded.hint.unwrap().wait, Duration::from_secs(20));
        let rejected = hear(br#"{"event":"auth_failed","retry_after":20}"#).unwrap();
        assert_eq!(rejected.hint, None);
    }

    #[test]
    fn news_are_the_last_word_on_the_key_and_the_last_on_the_progress() {
        let zones = |_: &str| None;
        let calendar = Calendar {
            now: &jiff::Zoned::default(),
            zones: &zones,
        };
        let progress = |text: &str| format!(r#"{{"event":"progress","text":"{text}"}}"#);
        let many = format!("{}\n", progress("x")).repeat(LINES_MAX);
        for (lines, finding, text) in [
            (String::new(), None, None),
            ("\n\n{".to_owned(), None, None),
            (
                format!("{LIMITED}\n{}\n{}\n", progress("1"), progress("2\\n")),
                Some(Finding::RateLimited(Class::Minute)),
                Some("2\n"),
            ),
            (
                format!("{}\n{LIMITED}\n{{\"event\":\"ok\"}}", progress("1")),
                Some(Finding::Done),
                Some("1"),
            ),
            (r#"{"event":"progress","text":7}"#.to_owned(), None, None),
            (format!("{LIMITED}\n{many}"), None, Some("x")),
        ] {
            let news = news(lines.as_bytes(), &calendar);
            assert_eq!(news.verdict.map(|it| it.finding), finding, "{lines}");
            assert_eq!(news.progress.as_deref(), text, "{lines}");
        }
    }

    #[test]
    fn only_the_last_lines_and_bytes_are_looked_at() {
        let progress = "{\"event\":\"progress\"}\n";
        let behind = |lines: usize| finding(&format!("{LIMITED}\n{}", progress.repeat(lines)));
        assert!(behind(LINES_MAX - 1).is_some());
        assert_eq!(behind(LINES_MAX), None);

        let ended_at = |bytes: usize| finding(&format!("{LIMITED}\n{}", "x".repeat(bytes)));
        let whole = STATUS_BYTES_MAX - LIMITED.len() - 1;
        assert!(ended_at(whole).is_some());
        assert_eq!(ended_at(whole + 1), None);
        // What is left of a line may be an object of its own.
        let cut = format!("x{LIMITED}\n{}", "x".repeat(whole));
        assert_eq!(finding(&cut), None);
        let whole_behind_a_line = format!("\n{LIMITED}\n{}", "x".repeat(whole));
        assert!(finding(&whole_behind_a_line).is_some());
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        let padded = |bytes: usize| {
            let padding = " ".repeat(bytes - LIMITED.len());
            finding(&format!("{LIMITED}{padding}\n"))
        };
        assert!(padded(LINE_BYTES_MAX).is_some());
        assert_eq!(padded(LINE_BYTES_MAX + 1), None);
        let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
        assert_eq!(finding(&format!(r#"{{"event":{deep}}}"#)), None);
    }

    proptest! {
        #[test]
        fn no_file_is_too_much(
            words in vec(
                prop_oneof![
                    prop::sample::select(vec![
                        "{", "}", "\"event\":", "\"rate_limited\"", "\"auth_failed\"", ",", "\n", "\r", "\"retry_after\":",
                        "\"reset_at\":", "1e308", "-1", "99999999999999999999999", "\"9999-99-99T\"", "\"class\":\"day\"",
                        "{\"event\":\"rate_limited\",\"reset_at\":\"",
                    ])
                    .prop_map(|word| word.as_bytes().to_vec()),
                    vec(any::<u8>(), 1..8),
                ],
                0..40,
            ),
        ) {
            if let Some(hint) = hear(&words.concat()).and_then(|verdict| verdict.hint) {
                prop_assert!((HINT_MIN..=HINT_MAX).contains(&hint.wait));
            }
        }

        #[test]
        fn any_number_is_a_wait_or_none(seconds in any::<f64>(), instant in any::<i64>()) {
            for members in [format!("\"retry_after\":{seconds:e}"), format!("\"reset_at\":{instant}")] {
                let line = format!("{{\"event\":\"rate_limited\",{members}}}");
                if let Some(hint) = hear(line.as_bytes()).and_then(|verdict| verdict.hint) {
                    prop_assert!((HINT_MIN..=HINT_MAX).contains(&hint.wait));
                }
            }
        }
    }
}
