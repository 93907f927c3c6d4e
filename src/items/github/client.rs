//! One page of issues: the request, and all that may come between it and a whole answer.
//!
//! `pages.rs` calls [`Client::page`]. Tries, waits and redirects are counted here and are few. A request is sent
//! only to the API's base and to what [`Api::resolve`] lets through; ureq itself follows nothing.

use std::fmt;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::HeaderMap;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use super::api::Api;
use super::clock::Clock;
use super::issue::Issue;
use super::link;
use super::reply::{Asker, Refusal, Reply, Verdict, judge};
use super::repository::Repository;
use super::shown;
use super::token::{self, Token};
use super::trouble;
use super::{IssueQuery, Limits};
use crate::error::{Error, Result};

/// How often a page is asked for when the server fails or the network does.
const TRIES_MAX: u32 = 3;
/// How often we wait for a rate limit on one page.
const WAITS_MAX: u32 = 3;
/// How many redirects one page may take.
const REDIRECTS_MAX: u32 = 5;
/// How much of a refusal's body is read, in bytes.
const REFUSAL_BYTES_MAX: u64 = 64 * 1024;
/// The pause before the second try, before jitter; before the third it is three times as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// One whole page.
#[derive(Debug)]
pub(super) struct Page {
    /// Issues and pull requests, as they came.
    pub(super) issues: Vec<Issue>,
    /// The next page's URL, as it was sent.
    pub(super) next: Option<String>,
    /// Whether GitHub said that the repository has moved for good.
    pub(super) has_moved: bool,
}

/// Asks one API about one repository.
#[derive(Debug)]
pub(super) struct Client<'a> {
    limits: &'a Limits,
    clock: ClockOf<'a>,
    api: Api,
    repository: Repository,
    token: Option<Token>,
    agent: Agent,
}

/// A clock that has nothing to show.
struct ClockOf<'a>(&'a dyn Clock);

impl fmt::Debug for ClockOf<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}

/// What one request came to.
enum Step {
    Done(Vec<Issue>, Option<String>),
    Follow(String, bool),
    Wait(Duration, Refusal),
    Again(Refusal),
    Stop(Refusal),
}

impl<'a> Client<'a> {
    /// A client that sends `token` to `api` only.
    pub(super) fn new(
        limits: &'a Limits,
        clock: &'a dyn Clock,
        api: Api,
        repository: Repository,
        token: Option<Token>,
        proxy: Option<Proxy>,
    ) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let config = Config::builder()
            .http_status_as_error(false)
            .https_only(api.is_encrypted())
            .max_redirects(0)
            .proxy(proxy)
            .timeout_global(Some(limits.request_time))
            .tls_config(tls)
            .user_agent(concat!("orchestrate/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            limits,
            clock: ClockOf(clock),
            agent: config.new_agent(),
            api,
            repository,
            token,
        }
    }

    /// The repository that is asked about.
    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The URL of the first page.
    pub(super) fn first_url(&self, query: &IssueQuery) -> String {
        self.api.issues_url(&self.repository, query)
    }

    /// The URL of the next page, if it lies where we may go.
    pub(super) fn next_url(&self, reference: &str) -> Result<String> {
        self.api.resolve(reference).map_err(|refused| {
            self.stop(Refusal::new(
                refused.told_of("the next page", &|text| self.outside(text)),
            ))
        })
    }

    /// Gets the page at `url`; `number` is for the messages. Waits, tries again and follows as GitHub asks.
    ///
    /// # Errors
    ///
    /// What GitHub, the network or something in between refused (exit 69).
    pub(super) fn page(
        &self,
        number: usize,
        url: &str,
        report: &mut dyn FnMut(&str),
    ) -> Result<Page> {
        let mut url = url.to_owned();
        let (mut tries, mut waits, mut redirects, mut has_moved) = (0, 0, 0, false);
        loop {
            match self.step(number, &url) {
                Step::Done(issues, next) => {
                    return Ok(Page {
                        issues,
                        next,
                        has_moved,
                    });
                }
                Step::Follow(location, for_good) => {
                    redirects += 1;
                    has_moved |= for_good;
                    if redirects > REDIRECTS_MAX {
                        let what = format!("redirected more than {REDIRECTS_MAX} times");
                        return Err(self.stop(Refusal::new(what)));
                    }
                    url = self.api.resolve(&location).map_err(|refused| {
                        let what = refused
                            .told_of("the target of the redirect", &|text| self.outside(text));
                        self.stop(Refusal::new(what))
                    })?;
                }
                Step::Wait(pause, refusal) => {
                    waits += 1;
                    if waits > WAITS_MAX {
                        return Err(self.stop(refusal));
                    }
                    self.pause(pause, "rate limited", report);
                }
                Step::Again(mut refusal) => {
                    tries += 1;
                    if tries == TRIES_MAX {
                        refusal.what = format!("{} (tried {TRIES_MAX} times)", refusal.what);
                        return Err(self.stop(refusal));
                    }
                    let thousandths = 500 + self.clock.0.jitter_thousandths();
                    let pause = FIRST_PAUSE * 3_u32.pow(tries - 1) * thousandths / 1_000;
                    self.pause(pause, "the request failed", report);
                }
                Step::Stop(refusal) => return Err(self.stop(refusal)),
            }
        }
    }

    fn pause(&self, pause: Duration, why: &str, report: &mut dyn FnMut(&str)) {
        let seconds = pause.as_secs_f64().ceil();
        let repository = &self.repository;
        report(&format!(
            "fetching issues of {repository}: {why}, waiting {seconds:.0} s"
        ));
        self.clock.0.sleep(pause);
    }

    /// Sends one request and weighs the answer.
    fn step(&self, number: usize, url: &str) -> Step {
        let reply = match self.exchange(url) {
            Ok(reply) => reply,
            Err(step) => return step,
        };
        let outside = |text: &str| self.outside(text);
        let asker = Asker {
            token_source: self.token.as_ref().map(Token::source),
            token_variable: token::variables_for(self.api.host())[0],
            outside: &outside,
        };
        match judge(&reply, &asker, &self.clock.0.now()) {
            Verdict::Take => self.read(number, &reply),
            Verdict::Follow(location, for_good) => Step::Follow(location, for_good),
            Verdict::Wait(pause, refusal) => Step::Wait(pause, refusal),
            Verdict::Again(refusal) => Step::Again(refusal),
            Verdict::Stop(refusal) => Step::Stop(refusal),
        }
    }

    /// Sends one request and reads the answer to its end.
    fn exchange(&self, url: &str) -> std::result::Result<Reply, Step> {
        let mut request = self
            .agent
            .get(url)
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        if let Some(header) = self.token.as_ref().and_then(Token::header) {
            request = request.header("authorization", header);
        }
        let response = request.call().map_err(|error| self.trouble(&error, None))?;
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        let limit = if status == 200 {
            self.limits.body_bytes
        } else {
            REFUSAL_BYTES_MAX
        };
        let body = match body.into_with_config().limit(limit).read_to_vec() {
            Ok(body) => body,
            Err(error) if status == 200 => return Err(self.trouble(&error, Some(&parts.headers))),
            // The status and the headers say enough; the body would only have explained them.
            Err(_) => Vec::new(),
        };
        Ok(Reply {
            status,
            headers: parts.headers,
            body,
        })
    }

    /// Reads the body and the `Link` header of a good answer.
    fn read(&self, number: usize, reply: &Reply) -> Step {
        let with_id = |refusal| self.with_request_id(refusal, &reply.headers);
        let issues = match serde_json::from_slice(&reply.body) {
            Ok(issues) => issues,
            Err(error) if error.is_eof() => {
                let what = format!(
                    "page {number} ends in the middle: {}",
                    self.outside(&error.to_string())
                );
                return Step::Again(with_id(Refusal::new(what)));
            }
            Err(error) => {
                let what = format!(
                    "page {number} is no list of issues: {}",
                    self.outside(&error.to_string())
                );
                return Step::Stop(with_id(Refusal::new(what)));
            }
        };
        let header = reply.list_header("link");
        match link::next_target(&header) {
            Ok(next) => Step::Done(issues, next.map(str::to_owned)),
            Err(link::Malformed) => Step::Stop(with_id(Refusal::new(format!(
                "the Link header of page {number} cannot be read, so issues could be missing: `{}`",
                self.outside(&header)
            )))),
        }
    }

    /// What a failure below HTTP comes to; `headers` are there when they had arrived.
    fn trouble(&self, error: &ureq::Error, headers: Option<&HeaderMap>) -> Step {
        let outside = |text: &str| self.outside(text);
        let (is_passing, mut refusal) = trouble::weigh(error, self.limits, &outside);
        if let Some(headers) = headers {
            refusal = self.with_request_id(refusal, headers);
        }
        if is_passing {
            Step::Again(refusal)
        } else {
            Step::Stop(refusal)
        }
    }

    fn with_request_id(&self, refusal: Refusal, headers: &HeaderMap) -> Refusal {
        let id = headers
            .get("x-github-request-id")
            .and_then(|value| value.to_str().ok());
        Refusal {
            request_id: id.map(|id| self.outside(id)),
            ..refusal
        }
    }

    /// Text from outside, fit for a message: the token blotted out first, then escaped and cut.
    fn outside(&self, text: &str) -> String {
        match &self.token {
            Some(token) => shown(&token.blotted(text)),
            None => shown(text),
        }
    }

    /// The error that ends the fetch.
    pub(super) fn stop(&self, refusal: Refusal) -> Error {
        let Refusal {
            what,
            hint,
            request_id,
        } = refusal;
        let id = request_id.map_or_else(String::new, |id| format!(" (x-github-request-id: {id})"));
        let (repository, host) = (&self.repository, self.api.url_host());
        let error = Error::source(format!(
            "cannot read the issues of {repository} from {host}: {what}{id}"
        ));
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}
