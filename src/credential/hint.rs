//! How long to wait, as a provider or a tool says it: headers, members of JSON, prose.
//!
//! Pure: the time comes in as a [`Calendar`]. `evidence.rs` calls it for the end of a failed child's output. Anybody can
//! have written that text, so a hint is never longer than [`HINT_MAX`], and each form is bounded in length, which keeps
//! reading it linear in the text.

mod instant;
mod span;

use std::time::Duration;

use regex::bytes::{Captures, Regex, RegexBuilder};

pub use instant::{Calendar, UNREADABLE_CLOCK};
use span::{leading_seconds, leading_span};

use super::key::{HINT_MAX, HINT_MIN};

/// Where a header or a member of JSON ends and its value begins, however often it was quoted on its way:
/// `retry-after: 20`, `'retry-after': '20'`, `\"retryDelay\": \"36s\"`, `('retry-after', '20')`, `retry_after=20`.
const IS: &str = r#"\\{0,8}["']?[ \t]{0,4}[:=,][ \t]{0,4}b?\\{0,8}["']?"#;

/// A value, up to what ends it.
const VALUE: &str = r#"(?P<value>[^"'\\\r\n]{1,40})"#;

/// A span behind words that announce it.
const SPAN: &str = r"(?: about| approximately| another)? (?P<value>[0-9][^\r\n]{0,60})";

/// A time of the clock, with or without a day and a place.
const CLOCK: &str = concat!(
    r"(?:(?P<month>[A-Za-z]{3,9})\.? (?P<day>[0-9]{1,2})(?:st|nd|rd|th)?(?:,? (?P<year>[0-9]{4}))?,?(?: at)? )?",
    r"(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2}))?(?: ?(?P<half>[ap])\.?m\b)?",
    r"(?: \((?P<zone>[A-Za-z][0-9A-Za-z_+/-]{1,40})\)| (?P<utc>UTC|GMT)\b)?"
);

/// A way to say how long to wait.
struct Form {
    name: &'static str,
    /// With `{is}`, `{value}`, `{span}` and `{clock}` for the constants above; letter case does not matter.
    pattern: &'static str,
    read: fn(&Captures<'_>, &Calendar<'_>) -> Option<Duration>,
    /// Of several, the longest counts, not the last: each is a budget of its own.
    takes_longest: bool,
}

/// The most trustworthy first: what is meant for programs before what is meant for people.
const FORMS: &[Form] = &[
    form(
        "retry-after-ms",
        r"\bretry[-_]?after[-_]?m(?:s|illis|illiseconds){is}{value}",
        milliseconds,
    ),
    form(
        "retry-after",
        r"\bretry[-_ ]?after(?:[-_]?s(?:ecs?|econds?)?)?{is}{value}",
        seconds_or_date,
    ),
    Form {
        takes_longest: true,
        ..form(
            "ratelimit-reset",
            r"\b(?:anthropic-ratelimit-[a-z0-9-]{1,40}-reset|x-ratelimit-reset(?:-[a-z0-9-]{1,40})?){is}{value}",
            instant_or_seconds,
        )
    },
    form("retryDelay", r"\bretry_?delay{is}{value}", seconds),
    form(
        "retry_delay",
        r"\bretry_delay[ :]{0,2}\{\s{1,80}seconds: (?P<value>[0-9]{1,24})",
        seconds,
    ),
    form(
        "resets_at",
        r"\b(?:quota_?)?resets?_?(?:at|time|timestamp){is}{value}",
        instant,
    ),
    form(
        "resets_in_seconds",
        r"\bresets?_?in_?(?:seconds|secs)?{is}{value}",
        seconds,
    ),
    form(
        "quotaResetDelay",
        r"\bquota_?reset_?delay{is}{value}",
        seconds,
    ),
    form(
        "try again in",
        r"\b(?:try again|retry)(?: your request)? (?:in|after){span}",
        span,
    ),
    form("reset after", r"\bresets? (?:after|in){span}", span),
    form(
        "limit reached|",
        r"\blimit reached\|(?P<value>[0-9]{9,24})",
        instant,
    ),
    form(
        "regain access on",
        r"\bregain access on (?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2}) at (?P<time>[0-9]{2}:[0-9]{2}) UTC",
        |found, calendar| calendar.until_utc(&found["date"], &found["time"]),
    ),
    form(
        "exhausted until",
        r"\buntil [^()\r\n]{1,40} \((?P<value>[0-9]{1,6} min)",
        span,
    ),
    form(
        "resets at",
        r"\b(?:resets?|try again|exhausted until)(?: at| on)? {clock}",
        |found, calendar| calendar.until_clock(found),
    ),
];

const fn form(
    name: &'static str,
    pattern: &'static str,
    read: fn(&Captures<'_>, &Calendar<'_>) -> Option<Duration>,
) -> Form {
    Form {
        name,
        pattern,
        read,
        takes_longest: false,
    }
}

/// How long to wait, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hint {
    /// From now on: from [`HINT_MIN`] to [`HINT_MAX`].
    pub wait: Duration,
    /// The form in which it was said.
    pub form: &'static str,
    /// The line in which it stands, from 0.
    pub line: usize,
}

/// Reads hints.
#[derive(Debug)]
pub struct HintReader(Vec<Regex>);

impl HintReader {
    /// A reader of all forms.
    ///
    /// # Panics
    ///
    /// Never: the forms are constants, and each has a test.
    #[must_use]
    pub fn new() -> Self {
        let regex = |form: &Form| {
            let pattern = form
                .pattern
                .replace("{is}", IS)
                .replace("{value}", VALUE)
                .replace("{span}", SPAN)
                .replace("{clock}", CLOCK);
            RegexBuilder::new(&pattern)
                .unicode(false)
                .case_insensitive(true)
                .build()
                .expect("the forms of a hint are constants")
        };
        Self(FORMS.iter().map(regex).collect())
    }

    /// A reader that finds nothing.
    pub(super) const fn of_silence() -> Self {
        Self(Vec::new())
    }

    /// What `text`, one or more lines of an output, says about how long to wait.
    ///
    /// The first form in which something sensible is said decides; said several times, the last time does. Negative
    /// numbers, those that are not finite, and instants of the past say nothing; a wait is at least [`HINT_MIN`] and
    /// at most [`HINT_MAX`] long.
    #[must_use]
    pub fn read(&self, text: &[u8], calendar: &Calendar<'_>) -> Option<Hint> {
        let said = |(form, regex): (&Form, &Regex)| {
            let waits = regex.captures_iter(text).filter_map(|found| {
                let wait = (form.read)(&found, calendar)?;
                Some((wait, found.get(0)?.start()))
            });
            let (wait, at) = if form.takes_longest {
                waits.max_by_key(|&(wait, _)| wait)?
            } else {
                waits.last()?
            };
            Some(Hint {
                wait: wait.clamp(HINT_MIN, HINT_MAX),
                form: form.name,
                line: memchr::memchr_iter(b'\n', &text[..at]).count(),
            })
        };
        FORMS.iter().zip(&self.0).find_map(said)
    }
}

impl Default for HintReader {
    fn default() -> Self {
        Self::new()
    }
}

fn milliseconds(found: &Captures<'_>, _: &Calendar<'_>) -> Option<Duration> {
    let value = &found["value"];
    leading_span(value).or_else(|| leading_seconds(value).map(|wait| wait / 1000))
}

fn span(found: &Captures<'_>, _: &Calendar<'_>) -> Option<Duration> {
    leading_span(&found["value"])
}

fn seconds(found: &Captures<'_>, _: &Calendar<'_>) -> Option<Duration> {
    let value = &found["value"];
    leading_span(value).or_else(|| leading_seconds(value))
}

fn seconds_or_date(found: &Captures<'_>, calendar: &Calendar<'_>) -> Option<Duration> {
    let date = calendar.until_http_date(&found["value"]);
    date.or_else(|| seconds(found, calendar))
}

fn instant(found: &Captures<'_>, calendar: &Calendar<'_>) -> Option<Duration> {
    let value = &found["value"];
    let date = calendar.until_rfc3339(value);
    date.or_else(|| calendar.until_epoch(value))
}

fn instant_or_seconds(found: &Captures<'_>, calendar: &Calendar<'_>) -> Option<Duration> {
    let value = &found["value"];
    let is_epoch = value.iter().take(10).all(u8::is_ascii_digit) && value.len() >= 10;
    let is_date = value.get(4) == Some(&b'-');
    if is_epoch || is_date {
        instant(found, calendar)
    } else {
        seconds(found, calendar)
    }
}

#[cfg(test)]
mod tests;
