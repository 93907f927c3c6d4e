//! What an answer asks of us: take it, follow it, wait, try again, or stop and say why.
//!
//! `client.rs` calls [`judge`] for every answer that has arrived whole. Pure: the time comes in. Everything that
//! GitHub says stands in a message only after the caller's `outside` has blotted and escaped it.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp, Zoned};
use serde::Deserialize;
use ureq::http::HeaderMap;

/// The longest wait that we take on; a longer one stops the run with the time at which to come back.
const PAUSE_MAX: SignedDuration = SignedDuration::from_secs(60);
/// How long to wait when GitHub limits us and does not say for how long ("Rate limits for the REST API").
const PAUSE_UNSAID: SignedDuration = SignedDuration::from_secs(60);
/// No header moves a time further than this.
const PAUSE_SECONDS_SANE: i64 = 10 * 366 * 24 * 3_600;

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Reply {
    /// The status code.
    pub(super) status: u16,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body; of a refusal only its beginning.
    pub(super) body: Vec<u8>,
}

/// Who asked, and what they need to be told.
pub(super) struct Asker<'a> {
    /// Where the token came from, if there is one.
    pub(super) token_source: Option<&'static str>,
    /// The variable to put a token into.
    pub(super) token_variable: &'static str,
    /// Makes text from outside fit for a message.
    pub(super) outside: &'a dyn Fn(&str) -> String,
}

/// Why an answer is no use, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// A fragment that fits after a colon.
    pub(super) what: String,
    /// What to do next.
    pub(super) hint: Option<String>,
    /// What GitHub's support asks for.
    pub(super) request_id: Option<String>,
}

impl Refusal {
    /// A refusal without a remedy.
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: None,
            request_id: None,
        }
    }

    /// Adds what to do next.
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What an answer asks of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The body is what we asked for.
    Take,
    /// Ask there instead: the `Location`, as it was sent. True when it has moved for good.
    Follow(String, bool),
    /// Ask again after this time; the refusal holds when that was tried too often.
    Wait(Duration, Refusal),
    /// Perhaps a second try helps.
    Again(Refusal),
    /// Nothing helps but a person.
    Stop(Refusal),
}

impl Reply {
    /// A header's value, when it is plain ASCII.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// All values of a list header, as one (RFC 9110, section 5.3).
    pub(super) fn list_header(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter();
        let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
        values.collect::<Vec<_>>().join(", ")
    }

    /// What the body says in GitHub's error format; empty when it says nothing.
    fn message(&self) -> String {
        #[derive(Deserialize)]
        struct Body {
            message: String,
        }
        serde_json::from_slice(&self.body).map_or_else(|_| String::new(), |body: Body| body.message)
    }

    /// The moment at which GitHub answered; a wrong clock here does not lengthen a wait.
    fn sent_at(&self, now: &Zoned) -> Timestamp {
        let date = self.header("date").and_then(http_date);
        date.unwrap_or_else(|| now.timestamp())
    }

    /// How long we are asked to wait, when we are.
    fn pause(&self, now: &Zoned) -> Option<SignedDuration> {
        let sent_at = self.sent_at(now);
        let seconds = |text: &str| text.parse().ok().filter(|&seconds: &i64| seconds >= 0);
        if let Some(text) = self.header("retry-after") {
            let asked = seconds(text).map(SignedDuration::from_secs);
            let asked = asked.or_else(|| Some(http_date(text)?.duration_since(sent_at)));
            return Some(asked.unwrap_or(PAUSE_UNSAID));
        }
        if self.header("x-ratelimit-remaining") == Some("0") {
            let reset = self.header("x-ratelimit-reset").and_then(seconds);
            let reset = reset.and_then(|second| Timestamp::from_second(second).ok());
            // The reset is a whole second: one more, and it has passed for sure.
            let asked = reset.map(|reset| {
                reset
                    .duration_since(sent_at)
                    .saturating_add(SignedDuration::from_secs(1))
            });
            return Some(asked.unwrap_or(PAUSE_UNSAID));
        }
        let secondary = self
            .message()
            .to_lowercase()
            .contains("secondary rate limit");
        (self.status == 429 || secondary).then_some(PAUSE_UNSAID)
    }
}

/// A date in the format of RFC 9110, section 5.6.7.
fn http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

/// Says what `reply` asks of us.
pub(super) fn judge(reply: &Reply, asker: &Asker<'_>, now: &Zoned) -> Verdict {
    let verdict = match reply.status {
        200 => judge_content_type(reply, asker),
        301 | 302 | 303 | 307 | 308 => match reply.header("location") {
            Some(location) => {
                return Verdict::Follow(location.to_owned(), matches!(reply.status, 301 | 308));
            }
            None => Verdict::Stop(Refusal::new(format!(
                "a redirect ({}) that does not say where to",
                reply.status
            ))),
        },
        304 => Verdict::Stop(
            Refusal::new("the answer was 304 (not modified), though nothing was asked for twice")
                .with_hint("a cache between you and GitHub answers wrongly: go around it"),
        ),
        401 => Verdict::Stop(unauthorized(reply, asker)),
        403 | 429 | 503 => match reply.pause(now) {
            Some(pause) => limited(reply, asker, pause, now),
            None if reply.status == 403 => Verdict::Stop(no_access(reply, asker)),
            None => Verdict::Again(failed(reply, asker)),
        },
        404 => Verdict::Stop(unknown(asker)),
        410 => Verdict::Stop(
            Refusal::new(format!(
                "issues are switched off there (410){}",
                said(reply, asker)
            ))
            .with_hint("switch them on in the repository's settings, or name another one"),
        ),
        408 | 500..=599 => Verdict::Again(failed(reply, asker)),
        _ => Verdict::Stop(failed(reply, asker)),
    };
    let id = reply.header("x-github-request-id").map(asker.outside);
    match verdict {
        Verdict::Wait(pause, refusal) => Verdict::Wait(
            pause,
            Refusal {
                request_id: id,
                ..refusal
            },
        ),
        Verdict::Again(refusal) => Verdict::Again(Refusal {
            request_id: id,
            ..refusal
        }),
        Verdict::Stop(refusal) => Verdict::Stop(Refusal {
            request_id: id,
            ..refusal
        }),
        Verdict::Take | Verdict::Follow(..) => verdict,
    }
}

/// GitHub's own words, to be added to ours.
fn said(reply: &Reply, asker: &Asker<'_>) -> String {
    let message = reply.message();
    if message.is_empty() {
        return String::new();
    }
    format!(": `{}`", (asker.outside)(&message))
}

fn failed(reply: &Reply, asker: &Asker<'_>) -> Refusal {
    Refusal::new(format!(
        "the answer was {}{}",
        reply.status,
        said(reply, asker)
    ))
}

/// A login page of a proxy or of a wrong base URL comes with status 200 too.
fn judge_content_type(reply: &Reply, asker: &Asker<'_>) -> Verdict {
    let Some(value) = reply.header("content-type") else {
        return Verdict::Take;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.to_ascii_lowercase().ends_with("json") {
        return Verdict::Take;
    }
    let essence = (asker.outside)(essence);
    let what = format!("the answer is `{essence}` instead of JSON");
    Verdict::Stop(Refusal::new(what).with_hint(
        "a proxy or a login page may stand in between; is GITHUB_API_URL the API's address? \
         That of GitHub Enterprise Server ends in `/api/v3`",
    ))
}

fn unauthorized(reply: &Reply, asker: &Asker<'_>) -> Refusal {
    let said = said(reply, asker);
    let variable = asker.token_variable;
    match asker.token_source {
        Some(source) => Refusal::new(format!("the token from {source} was rejected (401){said}"))
            .with_hint(format!(
                "it is wrong, expired or revoked: set {variable} anew, or run `gh auth login`"
            )),
        None => Refusal::new(format!("a token is required (401){said}"))
            .with_hint(format!("set {variable}, or run `gh auth login`")),
    }
}

fn no_access(reply: &Reply, asker: &Asker<'_>) -> Refusal {
    let said = said(reply, asker);
    if let Some(sign_on) = reply.header("x-github-sso") {
        let sign_on = (asker.outside)(sign_on);
        let what = format!("no access (403){said}; x-github-sso: `{sign_on}`");
        let hint = "the organisation wants single sign-on: open that URL to authorise the token";
        return Refusal::new(what).with_hint(hint);
    }
    let hint = match asker.token_source {
        Some(source) => format!("the token from {source} needs read access to the issues"),
        None => format!("set {}, or run `gh auth login`", asker.token_variable),
    };
    Refusal::new(format!("no access (403){said}")).with_hint(hint)
}

fn unknown(asker: &Asker<'_>) -> Refusal {
    let what = "the repository is unknown, or private (404)";
    match asker.token_source {
        Some(source) => Refusal::new(what).with_hint(format!(
            "is the name right, and may the token from {source} read it?"
        )),
        None => Refusal::new(what).with_hint(format!(
            "is the name right? For a private one, set {} or run `gh auth login`",
            asker.token_variable
        )),
    }
}

/// Waits when the end of the limit is near, else stops and says when it comes.
fn limited(reply: &Reply, asker: &Asker<'_>, pause: SignedDuration, now: &Zoned) -> Verdict {
    let name = if reply.status == 503 {
        "the service is not available"
    } else {
        "the rate limit is used up"
    };
    let status = reply.status;
    let said = said(reply, asker);
    let sane = SignedDuration::from_secs(PAUSE_SECONDS_SANE);
    let pause = pause.clamp(SignedDuration::from_secs(1), sane);
    let hint = match asker.token_source {
        Some(_) => "run it again after that time".to_owned(),
        None => format!(
            "run it again after that time, or set {}: with a token GitHub answers 5,000 requests \
             an hour, not 60",
            asker.token_variable
        ),
    };
    let until = now.checked_add(pause).unwrap_or_else(|_| now.clone());
    let until = until.strftime("%Y-%m-%d %H:%M:%S %Z");
    let refusal = Refusal::new(format!("{name} until {until} ({status}){said}")).with_hint(hint);
    match Duration::try_from(pause) {
        Ok(wait) if pause <= PAUSE_MAX => Verdict::Wait(wait, refusal),
        _ => Verdict::Stop(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::github::shown;
    use jiff::tz::TimeZone;
    use ureq::http::{HeaderName, HeaderValue};

    /// 2026-02-04 12:00:00 UTC.
    const NOON: i64 = 1_770_206_400;

    fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
        let headers = headers.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        Reply {
            status,
            headers: headers.collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn verdict_for(token_source: Option<&'static str>, reply: &Reply) -> Verdict {
        let asker = Asker {
            token_source,
            token_variable: "GH_TOKEN",
            outside: &shown,
        };
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let now = Timestamp::from_second(NOON).unwrap().to_zoned(zone);
        judge(reply, &asker, &now)
    }

    fn verdict(status: u16, headers: &[(&str, &str)], body: &str) -> Verdict {
        verdict_for(Some("GH_TOKEN"), &reply(status, headers, body))
    }

    fn stopped(verdict: Verdict) -> (String, String, Option<String>) {
        let Verdict::Stop(refusal) = verdict else {
            panic!("{verdict:?}");
        };
        let hint = refusal.hint.unwrap_or_default();
        (refusal.what, hint, refusal.request_id)
    }

    fn waited_seconds(verdict: &Verdict) -> Option<u64> {
        if let Verdict::Wait(pause, _) = verdict {
            return Some(pause.as_secs());
        }
        None
    }

    #[test]
    fn only_json_is_taken() {
        for content_type in [
            "application/json; charset=utf-8",
            "application/vnd.github+JSON",
        ] {
            assert_eq!(
                verdict(200, &[("content-type", content_type)], "[]"),
                Verdict::Take
            );
        }
        assert_eq!(verdict(200, &[], "[]"), Verdict::Take);
        let (what, hint, _) = stopped(verdict(200, &[("content-type", "text/html")], "<html>"));
        assert_eq!(what, "the answer is `text/html` instead of JSON");
        assert!(hint.contains("/api/v3"));
    }

    #[test]
    fn redirects_say_where_to_and_whether_for_good() {
        for (status, for_good) in [(301, true), (302, false), (307, false), (308, true)] {
            let expected = Verdict::Follow("/x".to_owned(), for_good);
            assert_eq!(verdict(status, &[("location", "/x")], ""), expected);
        }
        assert!(
            stopped(verdict(301, &[], ""))
                .0
                .contains("does not say where")
        );
    }

    #[test]
    fn waits_are_as_long_as_github_asks() {
        let reset = |seconds: i64| (NOON + seconds).to_string();
        let (reset_30, reset_59, reset_past) = (reset(30), reset(59), reset(-5));
        let ahead = (NOON + 3_600 + 30).to_string();
        for (status, headers, seconds) in [
            (429, vec![("retry-after", "7")], Some(7)),
            (403, vec![("retry-after", "60")], Some(60)),
            (403, vec![("retry-after", "0")], Some(1)),
            (503, vec![("retry-after", "3")], Some(3)),
            (
                429,
                vec![("retry-after", "Wed, 04 Feb 2026 12:00:20 GMT")],
                Some(20),
            ),
            (429, vec![("retry-after", "soon")], Some(60)),
            (429, vec![("retry-after", "-3")], Some(60)),
            (429, vec![], Some(60)),
            (
                403,
                vec![
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", &reset_30),
                ],
                Some(31),
            ),
            (
                429,
                vec![
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", &reset_59),
                ],
                Some(60),
            ),
            (
                403,
                vec![
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", &reset_past),
                ],
                Some(1),
            ),
            (403, vec![("x-ratelimit-remaining", "0")], Some(60)),
            // The server's clock is an hour ahead of ours, and both headers are the server's.
            (
                403,
                vec![
                    ("date", "Wed, 04 Feb 2026 13:00:00 GMT"),
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", &ahead),
                ],
                Some(31),
            ),
            (
                403,
                vec![("retry-after", "5"), ("x-ratelimit-remaining", "0")],
                Some(5),
            ),
            (403, vec![("retry-after", "61")], None),
            (403, vec![("retry-after", "9223372036854775807")], None),
            (403, vec![("x-ratelimit-remaining", "1")], None),
        ] {
            let verdict = verdict(status, &headers, "");
            assert_eq!(
                waited_seconds(&verdict),
                seconds,
                "{status} {headers:?}: {verdict:?}"
            );
        }
        let body = r#"{"message":"You have exceeded a secondary rate limit."}"#;
        assert_eq!(waited_seconds(&verdict(403, &[], body)), Some(60));
    }

    #[test]
    fn a_limit_that_ends_late_stops_and_tells_the_local_time() {
        let reset = (NOON + 3_600).to_string();
        let headers = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", reset.as_str()),
            ("x-github-request-id", "AB:12"),
        ];
        let (what, hint, id) = stopped(verdict(403, &headers, ""));
        assert_eq!(
            what,
            "the rate limit is used up until 2026-02-04 15:00:01 +02 (403)"
        );
        assert_eq!(hint, "run it again after that time");
        assert_eq!(id.as_deref(), Some("AB:12"));
        let (_, hint, _) = stopped(verdict_for(None, &reply(429, &headers, "")));
        assert!(hint.contains("set GH_TOKEN"), "{hint}");
    }

    #[test]
    fn refusals_name_their_cause_and_a_remedy() {
        let sso = [(
            "x-github-sso",
            "required; url=https://github.com/orgs/o/sso?x=1",
        )];
        let body = r#"{"message":"Bad \u001b[2J credentials"}"#;
        for (status, headers, token, what, hint) in [
            (
                401,
                &[][..],
                Some("GH_TOKEN"),
                "the token from GH_TOKEN was rejected (401): `Bad \\x1b[2J",
                "expired",
            ),
            (401, &[], None, "a token is required (401)", "set GH_TOKEN"),
            (
                403,
                &[],
                Some("gh auth token"),
                "no access (403): `Bad",
                "token from gh auth token",
            ),
            (403, &[], None, "no access (403)", "set GH_TOKEN"),
            (
                403,
                &sso,
                Some("GH_TOKEN"),
                "x-github-sso: `required; url=https://github.com/orgs/o/sso?x=1`",
                "single sign-on",
            ),
            (
                404,
                &[],
                Some("GH_TOKEN"),
                "unknown, or private (404)",
                "may the token from GH_TOKEN",
            ),
            (404, &[], None, "unknown, or private (404)", "set GH_TOKEN"),
            (
                410,
                &[],
                None,
                "issues are switched off there (410)",
                "settings",
            ),
            (304, &[], None, "304 (not modified)", "a cache"),
            (204, &[], None, "the answer was 204", ""),
            (422, &[], None, "the answer was 422: `Bad", ""),
            (451, &[], None, "the answer was 451", ""),
        ] {
            let (said, remedy, _) = stopped(verdict_for(token, &reply(status, headers, body)));
            assert!(said.contains(what), "{said}");
            assert!(remedy.contains(hint), "{remedy}");
        }
    }

    #[test]
    fn a_failing_server_is_asked_again() {
        for status in [408, 500, 502, 503, 504] {
            let verdict = verdict(status, &[("x-github-request-id", "AB")], "<html>");
            let Verdict::Again(refusal) = verdict else {
                panic!("{status}: {verdict:?}");
            };
            assert_eq!(refusal.what, format!("the answer was {status}"));
            assert_eq!(refusal.request_id.as_deref(), Some("AB"));
        }
    }
}
