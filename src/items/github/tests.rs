//! The whole source against a scripted GitHub on loopback. No test sleeps: the clock is a list.

use std::cell::RefCell;
use std::fmt::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::api::Api;
use super::clock::Clock;
use super::repository::Host;
use super::stub::{Answer, Stub, answer, page};
use super::{Fetched, IssueQuery, IssueState, Limits, fetch_within, host_warning};
use crate::error::{Error, Result};
use crate::items::item::Readiness;

const TOKEN: &str = "ghs_s3cretS3cret";
/// 2026-02-04 12:00:00 UTC.
const NOON: i64 = 1_770_206_400;
const JSON: (&str, &str) = ("content-type", "application/json");

/// A clock that stands still and writes down how long it was asked to wait, in milliseconds.
#[derive(Default)]
struct Pauses(RefCell<Vec<u128>>);

impl Clock for Pauses {
    fn now(&self) -> Zoned {
        Timestamp::from_second(NOON)
            .unwrap()
            .to_zoned(TimeZone::UTC)
    }

    fn sleep(&self, pause: Duration) {
        self.0.borrow_mut().push(pause.as_millis());
    }

    fn jitter_thousandths(&self) -> u32 {
        250
    }
}

/// One fetch, and all that can be seen of it.
struct Attempt {
    result: Result<Fetched>,
    pauses_ms: Vec<u128>,
    reports: Vec<String>,
}

impl Attempt {
    fn numbers(&self) -> Vec<u64> {
        let items = &self.result.as_ref().unwrap().items;
        items.iter().map(|item| item.number.unwrap()).collect()
    }

    /// The error and its hint; neither shows the token or a control character.
    fn error(&self) -> (u8, String, String) {
        let error: &Error = self.result.as_ref().unwrap_err();
        let (message, hint) = (
            error.to_string(),
            error.hint().unwrap_or_default().to_owned(),
        );
        let all = format!("{error:?} {message} {hint} {}", self.reports.join(" "));
        assert!(!all.contains(TOKEN), "{all}");
        assert!(
            !format!("{message}{hint}").contains(char::is_control),
            "{message}"
        );
        (error.status().code(), message, hint)
    }
}

/// What stands around a fetch.
struct Setting<'a> {
    query: IssueQuery,
    root: &'a Path,
    limits: Limits,
    variables: Vec<(&'static str, String)>,
}

fn octo() -> IssueQuery {
    IssueQuery {
        repo: Some("octo/tool".to_owned()),
        ..IssueQuery::default()
    }
}

impl Setting<'_> {
    /// `octo/tool` at `api`, with a token.
    fn at(api: &str) -> Self {
        Self {
            query: octo(),
            root: Path::new("/"),
            limits: Limits::default(),
            variables: vec![
                ("GITHUB_API_URL", api.to_owned()),
                ("GH_ENTERPRISE_TOKEN", TOKEN.to_owned()),
            ],
        }
    }

    fn fetch(&self) -> Attempt {
        let variable = |name: &str| {
            let found = self.variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.clone())
        };
        let (clock, mut reports) = (Pauses::default(), Vec::new());
        let mut report = |text: &str| reports.push(text.to_owned());
        let result = fetch_within(
            &self.limits,
            &clock,
            &self.query,
            self.root,
            &variable,
            &mut report,
        );
        Attempt {
            result,
            pauses_ms: clock.0.into_inner(),
            reports,
        }
    }
}

fn fetch_from(stub: &Stub) -> Attempt {
    Setting::at(stub.base()).fetch()
}

/// One stub, one script, one fetch.
fn scripted(script: Vec<Answer>) -> Attempt {
    fetch_from(&Stub::start(script))
}

/// A JSON list of issues with these numbers; every fifth number is a pull request.
fn issues(numbers: impl IntoIterator<Item = u64>) -> String {
    let mut list = String::new();
    for number in numbers {
        let pull = if number % 5 == 0 {
            r#","pull_request":{"url":"x"}"#
        } else {
            ""
        };
        let comma = if list.is_empty() { "" } else { "," };
        let issue = format!(
            r#"{comma}{{"number":{number},"title":"Issue {number}","body":null,"user":null,"state":"open","labels":[]{pull}}}"#
        );
        list.push_str(&issue);
    }
    format!("[{list}]")
}

#[test]
fn three_pages_give_every_issue_once_and_no_pull_request() {
    let stub = Stub::start(vec![
        page(
            &issues(1..=100),
            Some("{base}/repositories/7/issues?page=2"),
        ),
        // Issue 99 has moved down while the first page was read.
        page(&issues(99..=200), Some("/repositories/7/issues?page=3")),
        page(&issues(201..=250), None),
    ]);
    let attempt = fetch_from(&stub);
    let expected: Vec<u64> = (1..=250).filter(|number| number % 5 != 0).collect();
    assert_eq!(attempt.numbers(), expected);
    assert_eq!(
        attempt.reports,
        [
            "fetching issues of octo/tool: page 1, 0 so far",
            "fetching issues of octo/tool: page 2, 80 so far",
            "fetching issues of octo/tool: page 3, 160 so far",
        ]
    );
    let fetched = attempt.result.unwrap();
    assert_eq!(fetched.warnings, [""; 0]);
    assert_eq!(fetched.items[41].id.as_str(), "issue-52");
    assert_eq!(
        fetched.items[41].readiness,
        Readiness::Ready("open".to_owned())
    );
    let requests = stub.requests();
    let targets: Vec<_> = requests.iter().map(super::stub::Request::target).collect();
    assert_eq!(
        targets,
        [
            "/repos/octo/tool/issues?state=open&sort=created&direction=asc&per_page=100",
            "/repositories/7/issues?page=2",
            "/repositories/7/issues?page=3",
        ]
    );
    for request in &requests {
        let bearer = format!("Bearer {TOKEN}");
        assert_eq!(request.header("authorization"), Some(bearer.as_str()));
        assert_eq!(
            request.header("accept"),
            Some("application/vnd.github+json")
        );
        assert_eq!(request.header("x-github-api-version"), Some("2022-11-28"));
        let agent = request.header("user-agent").unwrap();
        assert!(agent.starts_with("orchestrate/"), "{agent}");
    }
}

#[test]
fn the_base_path_of_an_enterprise_server_is_kept() {
    for path in ["/api/v3", "/api/v3/", "/github/api"] {
        let stub = Stub::start(vec![page("[]", None)]);
        let attempt = Setting::at(&format!("{}{path}", stub.base())).fetch();
        assert_eq!(attempt.numbers(), [0; 0]);
        let expected = format!("{}/repos/octo/tool/issues?", path.trim_end_matches('/'));
        assert!(stub.requests()[0].target().starts_with(&expected));
    }
}

#[test]
fn state_and_labels_are_asked_for_and_the_rest_is_dropped_here() {
    let body = r#"[
        {"number":1,"title":"a","body":"b","state":"closed","labels":[{"name":"a,b"}]},
        {"number":2,"title":"a","state":"open","labels":[{"name":"A,B"},{"name":"BLOCKED"}]},
        {"number":3,"title":"a","state":"open","labels":[]},
        {"number":4,"title":"a","state":"open","labels":["A,b"]}
    ]"#;
    let later = r#"[{"number":4,"title":"a","state":"open","labels":["A,b", "blocked"]}]"#;
    let stub = Stub::start(vec![page(body, Some("/2")), page(later, None)]);
    let mut setting = Setting::at(stub.base());
    setting.query.state = IssueState::All;
    setting.query.labels = vec!["needs lld".to_owned(), "a,b".to_owned()];
    setting.query.exclude_labels = vec!["blocked".to_owned()];
    let attempt = setting.fetch();
    assert_eq!(attempt.numbers(), [1]);
    let closed = &attempt.result.unwrap().items[0];
    assert_eq!(closed.readiness, Readiness::Ready("closed".to_owned()));
    let target = stub.requests()[0].target().to_owned();
    assert!(
        target.contains("state=all&") && target.ends_with("&labels=needs%20lld"),
        "{target}"
    );
}

#[test]
fn a_hostile_title_is_kept_as_it_is() {
    let body = r#"[{"number":1,"title":"\u001b]0;x\u0007\u202e$(rm) \"{id}\"\n[issue-2] \ud83d\ude00","state":"open"}]"#;
    let fetched = scripted(vec![page(body, None)]).result.unwrap();
    let title = "\u{1b}]0;x\u{7}\u{202e}$(rm) \"{id}\"\n[issue-2] \u{1f600}";
    assert_eq!(fetched.items[0].title, title);
    assert_eq!(fetched.items[0].id.as_str(), "issue-1");
}

#[test]
fn a_next_page_on_another_host_is_never_asked_for() {
    let elsewhere = Stub::start(vec![page("[]", None)]);
    let next = format!("{}/issues?page=2&key=s3cret", elsewhere.base());
    let first = page(&issues([1]), Some(&next));
    for script in [vec![first], vec![answer(301, &[("location", &next)], "")]] {
        let (status, message, _) = scripted(script).error();
        assert_eq!(status, 69);
        assert!(message.contains("at another origin"), "{message}");
        assert!(
            message.contains(elsewhere.base()) && !message.contains("s3cret"),
            "{message}"
        );
    }
    assert!(elsewhere.requests().is_empty(), "the token has left");
}

#[test]
fn a_next_page_that_is_no_url_ends_the_fetch() {
    for next in [
        "?page=2",
        "http://me@127.0.0.1/x",
        "gopher://x/",
        "http://x y/",
    ] {
        let (status, message, _) = scripted(vec![page("[]", Some(next))]).error();
        assert_eq!(status, 69);
        assert!(message.contains("not understood"), "{message}");
    }
    let broken = answer(200, &[JSON, ("link", "<x; rel=next")], "[]");
    let (_, message, _) = scripted(vec![broken]).error();
    assert!(
        message.contains("Link header of page 1 cannot be read"),
        "{message}"
    );
}

#[test]
fn a_loop_of_pages_ends() {
    let stub = Stub::start(vec![
        page("[]", Some("{base}/a")),
        page("[]", Some("{base}/b")),
        page("[]", Some("{base}/a")),
    ]);
    let (status, message, _) = fetch_from(&stub).error();
    assert_eq!(status, 69);
    assert!(message.contains("page 3 names a page"), "{message}");
    assert_eq!(stub.requests().len(), 3);
    // Ever new pages are no loop, and end as well.
    let script = (2..10).map(|number| page("[]", Some(&format!("/{number}"))));
    let stub = Stub::start(script.collect());
    let mut setting = Setting::at(stub.base());
    setting.limits.pages = 4;
    let (_, message, hint) = setting.fetch().error();
    assert!(
        message.contains("more than 4 pages") && hint.contains("labels"),
        "{message}"
    );
    assert_eq!(stub.requests().len(), 4);
}

#[test]
fn a_renamed_repository_is_followed_at_the_same_origin() {
    let stub = Stub::start(vec![
        answer(
            301,
            &[("location", "{base}/repositories/7/issues?page=1")],
            "{}",
        ),
        page(&issues([1]), Some("{base}/repositories/7/issues?page=2")),
        answer(
            308,
            &[("location", "/repositories/7/issues?page=2&x=1")],
            "{}",
        ),
        page(&issues([2]), None),
    ]);
    let attempt = fetch_from(&stub);
    assert_eq!(attempt.numbers(), [1, 2]);
    let warnings = attempt.result.unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("octo/tool has a new owner or name"),
        "{warnings:?}"
    );
    assert!(
        stub.requests()
            .iter()
            .all(|request| request.header("authorization").is_some())
    );
    let round = || answer(302, &[("location", "/round")], "");
    let stub = Stub::start((0..20).map(|_| round()).collect());
    let (_, message, _) = fetch_from(&stub).error();
    assert!(
        message.contains("redirected more than 5 times"),
        "{message}"
    );
    assert_eq!(stub.requests().len(), 6);
}

/// One answer ends the fetch: one request, no pause, and an error with these words.
fn ends_the_fetch(answer: Answer, what: &str, remedy: &str) {
    let stub = Stub::start(vec![answer]);
    let attempt = fetch_from(&stub);
    let (status, message, hint) = attempt.error();
    assert_eq!(status, 69, "{message}");
    assert!(message.starts_with("cannot read the issues of octo/tool from 127.0.0.1: "));
    assert!(message.contains(what), "{message}");
    assert!(hint.contains(remedy), "{hint}");
    assert_eq!(stub.requests().len(), 1, "{message}");
    assert_eq!(attempt.pauses_ms, [0; 0]);
}

#[test]
fn refusals_end_the_fetch_with_a_cause_and_a_remedy() {
    let reset = (NOON + 7_200).to_string();
    let late = [
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", reset.as_str()),
    ];
    let retry = [("retry-after", "3600")];
    let sign_on = [(
        "x-github-sso",
        "required; url=https://github.com/orgs/o/sso",
    )];
    for (status, headers, what, remedy) in [
        (
            401,
            &[][..],
            "token from GH_ENTERPRISE_TOKEN was rejected (401)",
            "gh auth login",
        ),
        (401, &[], "(401): `no \\x1b[2J \\u{202e} way`", ""),
        (
            403,
            &late,
            "used up until 2026-02-04 14:00:01 UTC (403)",
            "again",
        ),
        (429, &retry, "until 2026-02-04 13:00:00 UTC (429)", "again"),
        (
            403,
            &sign_on,
            "x-github-sso: `required; url=https://github.com/orgs",
            "single sign-on",
        ),
        (403, &[], "no access (403)", "read access"),
        (404, &[], "unknown, or private (404)", "is the name right"),
        (410, &[], "switched off there (410)", "settings"),
        (418, &[], "the answer was 418", ""),
    ] {
        let said = r#"{"message":"no \u001b[2J \u202e way"}"#;
        ends_the_fetch(answer(status, headers, said), what, remedy);
    }
    ends_the_fetch(answer(304, &[], ""), "304 (not modified)", "a cache");
}

#[test]
fn what_is_no_list_of_issues_ends_the_fetch_and_names_the_place() {
    let html = [("content-type", "text/html")];
    let html = answer(200, &html, "<html>");
    ends_the_fetch(html, "`text/html` instead of JSON", "GITHUB_API_URL");
    for (body, what) in [
        (
            "<html>",
            "page 1 is no list of issues: expected value at line 1 column 1",
        ),
        (
            "{\"message\":\"x\"}",
            "page 1 is no list of issues: invalid type: map",
        ),
        (
            "[\n{\"number\":\"\\u001b\"}]",
            "\"\\u{1b}\", expected u64 at line 2",
        ),
        (
            "[{\"number\":-1}]",
            "invalid value: integer `-1`, expected u64 at line 1",
        ),
    ] {
        ends_the_fetch(answer(200, &[JSON], body), what, "");
    }
    let no_http = Answer::Raw("SSH-2.0-x\r\n\r\n".to_owned());
    ends_the_fetch(no_http, "no HTTP that we understand", "GitHub's API");
}

#[test]
fn the_request_id_is_told_and_a_token_sent_back_is_not() {
    let id = ("x-github-request-id", TOKEN);
    let echoed = format!(r#"{{"message":"{} Bearer {TOKEN}"}}"#, "x".repeat(280));
    let stub = Stub::start(vec![answer(
        404,
        &[("x-github-request-id", "AB12:CD34")],
        "",
    )]);
    assert!(
        fetch_from(&stub)
            .error()
            .1
            .ends_with("(x-github-request-id: AB12:CD34)")
    );
    let html = [("content-type", TOKEN), ("x-github-request-id", TOKEN)];
    let location = format!("https://{TOKEN}.example/{TOKEN}");
    let link = format!("<{TOKEN}; rel=next");
    for answer in [
        answer(422, &[JSON, id], &echoed),
        answer(403, &[JSON, ("x-github-sso", TOKEN)], &echoed),
        answer(200, &html, "x"),
        answer(302, &[("location", &location)], ""),
        answer(200, &[JSON, ("link", &link)], "[]"),
        answer(200, &[JSON], &format!(r#"[{{"number":"{TOKEN}"}}]"#)),
    ] {
        let (_, message, _) = scripted(vec![answer]).error();
        assert!(!message.to_lowercase().contains("s3cret"), "{message}");
        assert!(!message.contains("ghs_"), "{message}");
    }
}

#[test]
fn a_failing_server_gets_three_tries_with_jitter() {
    let bad = || answer(502, &[("x-github-request-id", "AB")], "<html>");
    let attempt = scripted(vec![bad(), bad(), page(&issues([1]), None)]);
    assert_eq!(attempt.numbers(), [1]);
    assert_eq!(attempt.pauses_ms, [750, 2_250]);
    assert_eq!(
        attempt.reports[1],
        "fetching issues of octo/tool: the request failed, waiting 1 s"
    );
    let stub = Stub::start(vec![bad(), bad(), bad(), page("[]", None)]);
    let (_, message, _) = fetch_from(&stub).error();
    assert!(message.ends_with("the answer was 502 (tried 3 times) (x-github-request-id: AB)"));
    assert_eq!(stub.requests().len(), 3);
}

#[test]
fn a_limit_that_ends_soon_is_waited_for() {
    let reset = (NOON + 20).to_string();
    let near = [
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", reset.as_str()),
    ];
    let attempt = scripted(vec![
        answer(403, &near, ""),
        answer(429, &[("retry-after", "7")], ""),
        page(&issues([1]), None),
    ]);
    assert_eq!(attempt.numbers(), [1]);
    assert_eq!(attempt.pauses_ms, [21_000, 7_000]);
    assert_eq!(
        attempt.reports[1],
        "fetching issues of octo/tool: rate limited, waiting 21 s"
    );
    let again = || answer(429, &[("retry-after", "1")], "");
    let stub = Stub::start((0..9).map(|_| again()).collect());
    let attempt = fetch_from(&stub);
    assert!(
        attempt
            .error()
            .1
            .contains("the rate limit is used up until")
    );
    assert_eq!(attempt.pauses_ms, [1_000; 3]);
    assert_eq!(stub.requests().len(), 4);
}

#[test]
fn a_cut_body_is_asked_for_again() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let by_length = format!("{head}content-length: 500\r\n\r\n[");
    let by_chunk = format!("{head}transfer-encoding: chunked\r\n\r\n10\r\n[");
    let by_end = format!("{head}\r\n[{{\"number\":1,");
    let by_silence = String::new();
    for cut in [by_length, by_chunk, by_end, by_silence] {
        let cut = Answer::Raw(cut);
        let good = page(&issues([1]), None);
        let attempt = scripted(vec![cut.clone(), good]);
        assert_eq!(attempt.numbers(), [1], "{cut:?}");
        assert_eq!(attempt.pauses_ms, [750]);
        let stub = Stub::start(vec![cut.clone(), cut.clone(), cut.clone()]);
        let (status, message, _) = fetch_from(&stub).error();
        assert_eq!(status, 69);
        assert!(message.ends_with("(tried 3 times)"), "{message}");
        assert!(
            message.contains("cut off") || message.contains("in the middle"),
            "{message}"
        );
    }
}

#[test]
fn a_slow_server_runs_out_of_time() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n[";
    for said in ["", "HTTP/1.1 200 OK\r\n", head] {
        let stalls = Answer::Stalls(said.to_owned());
        let stub = Stub::start(vec![stalls.clone(), stalls.clone(), stalls]);
        let mut setting = Setting::at(stub.base());
        setting.limits.request_time = Duration::from_millis(50);
        let (status, message, hint) = setting.fetch().error();
        assert_eq!(status, 69);
        assert!(message.contains("no whole answer within"), "{message}");
        assert!(hint.contains("network"), "{hint}");
    }
}

#[test]
fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let body = issues([1]);
    for (limit, fits) in [(body.len(), true), (body.len() - 1, false)] {
        let stub = Stub::start(vec![page(&body, None)]);
        let mut setting = Setting::at(stub.base());
        setting.limits.body_bytes = limit as u64;
        let attempt = setting.fetch();
        assert_eq!(attempt.result.is_ok(), fits);
        if !fits {
            let expected = format!("larger than {limit} bytes");
            assert!(attempt.error().1.contains(&expected));
            assert_eq!(stub.requests().len(), 1);
        }
    }
    assert_eq!(Limits::default().body_bytes, 50_000_000);
}

#[test]
fn a_host_that_does_not_answer_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let attempt = Setting::at(&base).fetch();
    let (status, message, hint) = attempt.error();
    assert_eq!(status, 69);
    assert!(message.contains("octo/tool from 127.0.0.1: ") && message.contains("efused"));
    assert!(message.ends_with("(tried 3 times)"), "{message}");
    assert!(hint.contains("network"), "{hint}");
    assert_eq!(attempt.pauses_ms.len(), 2);
}

#[test]
fn a_host_that_speaks_no_tls_gets_no_token() {
    let stub = Stub::start(vec![page("[]", None)]);
    let base = stub.base().replace("http://", "https://");
    let (status, message, hint) = Setting::at(&base).fetch().error();
    assert_eq!(status, 69);
    assert!(message.contains("no trusted TLS connection"), "{message}");
    assert!(hint.contains("certificate"), "{hint}");
    assert!(stub.requests().is_empty());
}

#[test]
fn without_a_token_no_header_is_sent_and_a_warning_says_so() {
    let stub = Stub::start(vec![page("[]", None), answer(404, &[], "")]);
    let mut setting = Setting::at(stub.base());
    setting.variables.truncate(1);
    // These are for github.com, and must not reach another host.
    setting.variables.push(("GH_TOKEN", TOKEN.to_owned()));
    setting.variables.push(("GITHUB_TOKEN", TOKEN.to_owned()));
    // Set to nothing is not set.
    setting
        .variables
        .push(("GH_ENTERPRISE_TOKEN", " ".to_owned()));
    let warnings = setting.fetch().result.unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("no token for 127.0.0.1:"),
        "{warnings:?}"
    );
    assert!(warnings[0].contains("GH_ENTERPRISE_TOKEN"), "{warnings:?}");
    let (_, _, hint) = setting.fetch().error();
    assert!(hint.contains("set GH_ENTERPRISE_TOKEN"), "{hint}");
    assert!(
        stub.requests()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

#[test]
fn wrong_configuration_asks_nothing_of_anyone() {
    let stub = Stub::start(vec![]);
    let with = |change: &dyn Fn(&mut Setting<'_>)| {
        let mut setting = Setting::at(stub.base());
        change(&mut setting);
        let (status, message, hint) = setting.fetch().error();
        assert_eq!(status, 2, "{message}");
        assert!(!hint.is_empty(), "{message}");
        message
    };
    for repo in ["tool", "octo/to\u{1b}ol", "a/b/c/d", "octo/../x"] {
        let message = with(&|setting| setting.query.repo = Some(repo.to_owned()));
        assert!(message.contains("names no repository"), "{message}");
    }
    let insecure = |setting: &mut Setting<'_>| {
        setting.variables[0].1 = "http://api.github.com".to_owned();
    };
    assert!(with(&insecure).contains("unencrypted"));
    assert!(with(&|setting| setting.variables[1].1 = "a b".to_owned()).contains("is no token"));
    let host = ("GH_HOST", "https://x".to_owned());
    assert!(with(&|setting| setting.variables.push(host.clone())).contains("GH_HOST"));
    let empty = vec![" ".to_owned()];
    assert!(with(&|setting| setting.query.labels.clone_from(&empty)).contains("`labels`"));
    let message = with(&|setting| setting.query.exclude_labels.clone_from(&empty));
    assert!(message.contains("`exclude-labels`"), "{message}");
    // No `PATH`, so no `git`.
    assert!(with(&|setting| setting.query.repo = None).contains("`git` is not found"));
    assert!(stub.requests().is_empty());
}

#[test]
fn states_are_read_and_written_as_github_names_them() {
    for state in [IssueState::Open, IssueState::Closed, IssueState::All] {
        assert_eq!(state.to_string().parse(), Ok(state));
    }
    let error = "Open\u{1b}".parse::<IssueState>().unwrap_err();
    assert_eq!(error.to_string(), "no issue state: `Open\\x1b`");
    assert_eq!(error.status().code(), 2);
}

#[test]
fn an_api_of_another_host_than_the_repositorys_is_worth_a_warning() {
    let api = |url: &str| Api::from_url(url).unwrap();
    let host = |text: &str| Host::parse(text).unwrap();
    for (named, url, warns) in [
        (Some("github.com"), "https://api.github.com", false),
        (Some("github.com"), "https://ghe.example/api/v3", true),
        (Some("ghe.example"), "https://api.github.com", true),
        (Some("github.com"), "http://127.0.0.1:81", false),
        (None, "https://ghe.example/api/v3", false),
    ] {
        let warning = host_warning(named.map(host).as_ref(), &api(url));
        assert_eq!(warning.is_some(), warns, "{named:?} {url}");
    }
}

/// The `PATH` of this process, for `git`.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no caller that could hand it the environment"
)]
fn path() -> (&'static str, String) {
    ("PATH", std::env::var("PATH").unwrap())
}

fn repository_with_origin(url: Option<&str>) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let status = Command::new("git")
            .args(arguments)
            .current_dir(&directory)
            .status();
        assert!(status.unwrap().success(), "{arguments:?}");
    };
    git(&["init", "--quiet"]);
    if let Some(url) = url {
        git(&["config", "remote.origin.url", url]);
    }
    directory
}

fn at_origin<'a>(stub: &Stub, root: &'a Path) -> Setting<'a> {
    let setting = Setting::at(stub.base());
    let query = IssueQuery::default();
    let mut variables = setting.variables.clone();
    variables.push(path());
    Setting {
        query,
        root,
        variables,
        limits: Limits::default(),
    }
}

#[test]
fn the_origin_remote_says_which_repository() {
    let directory = repository_with_origin(Some("git@work:team/thing.git"));
    let below = directory.path().join("docs");
    std::fs::create_dir(&below).unwrap();
    for root in [directory.path(), &below] {
        let stub = Stub::start(vec![page("[]", None)]);
        let attempt = at_origin(&stub, root).fetch();
        assert_eq!(attempt.numbers(), [0; 0]);
        assert!(
            stub.requests()[0]
                .target()
                .starts_with("/repos/team/thing/issues?")
        );
    }
}

#[test]
fn an_origin_that_says_nothing_is_named_with_the_remedy() {
    let stub = Stub::start(vec![]);
    let none = tempfile::tempdir().unwrap();
    let without = repository_with_origin(None);
    let strange = repository_with_origin(Some("https://me:s3cret@example.com/a/b/c?k=s3cret"));
    for (directory, what) in [
        (&none, "lies in no git repository"),
        (&without, "has no `origin` remote"),
        (
            &strange,
            "names no GitHub repository: `https://…@example.com/a/b/c`",
        ),
    ] {
        let attempt = at_origin(&stub, directory.path()).fetch();
        let (status, message, hint) = attempt.error();
        assert_eq!(status, 2);
        assert!(message.contains(what), "{message}");
        assert!(
            hint.contains("`repo = \"owner/name\"` in `items = { github = "),
            "{hint}"
        );
        assert!(!message.contains("s3cret"), "{message}");
    }
}

#[test]
fn an_alias_of_ssh_needs_a_host() {
    let directory = repository_with_origin(Some("git@work:team/thing.git"));
    let stub = Stub::start(vec![]);
    let mut setting = at_origin(&stub, directory.path());
    setting.variables.remove(0);
    let (status, message, hint) = setting.fetch().error();
    assert_eq!(status, 2);
    assert!(message.contains("`work`, looks like an alias") && hint.contains("GH_HOST"));
    // With a host it gets as far as the next mistake.
    setting
        .variables
        .push(("GH_HOST", "127.0.0.1:1".to_owned()));
    let (status, message, _) = setting.fetch().error();
    assert_eq!(status, 69);
    assert!(message.contains("team/thing from 127.0.0.1"), "{message}");
}

#[test]
fn nothing_that_is_shown_holds_the_token() {
    let mut text = String::new();
    for status in [
        200, 301, 304, 400, 401, 403, 404, 410, 418, 422, 429, 500, 503,
    ] {
        let body = format!(r#"{{"message":"{TOKEN}"}}"#);
        let headers = [
            JSON,
            ("retry-after", "9999"),
            ("location", TOKEN),
            ("date", TOKEN),
        ];
        let attempt = scripted(vec![answer(status, &headers, &body); 3]);
        let error = attempt.result.unwrap_err();
        write!(text, "{error} {error:?} {}", attempt.reports.join(" ")).unwrap();
    }
    assert!(!text.contains(TOKEN), "{text}");
}
