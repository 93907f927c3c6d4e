//! The GitHub issues of a repository, as items.
//!
//! Owns everything between `items = { github = … }` and a list of [`Item`]s: which repository, which host,
//! which token, the requests, and what each refusal means. `run` calls [`fetch`] on a thread of its own, because
//! it blocks: on the network, on a rate limit that ends soon, on `git` and `gh`.
//!
//! The token goes to one origin (scheme, host, port) and nowhere else: not to another host that a `Link` or a
//! `Location` names, not over plain HTTP unless that is loopback, and into no error, warning or `Debug` text.
//! Whatever GitHub or a proxy says is shown escaped. Titles are kept as they are: whoever shows one escapes it.
//!
//! | file | decides or touches | what |
//! |---|---|---|
//! | `repository.rs` | decides | `owner/name` and host, from a setting or a remote's URL |
//! | `api.rs` | decides | the API's base URL, and whether another URL lies at the same origin |
//! | `reply.rs` | decides | what a status and its headers ask of us |
//! | `issue.rs` | decides | one issue, and the item that it makes |
//! | `trouble.rs` | decides | what a failure below HTTP means |
//! | `link.rs` | decides | the next page, from `Link` headers |
//! | `proxy.rs` | decides | the proxy that the environment names |
//! | `token.rs` | touches | the token and where it came from |
//! | `client.rs` | touches | one page: request, retries, waits, redirects |
//! | `pages.rs` | touches | all pages, put together |
//! | `clock.rs` | touches | the time, a pause and a die, so that tests need none of them |

mod api;
mod client;
mod clock;
mod issue;
mod link;
mod pages;
mod proxy;
mod reply;
mod repository;
mod token;
mod trouble;

#[cfg(test)]
mod stub;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use self::api::Api;
use self::client::Client;
use self::clock::{Clock, SystemClock};
use self::repository::{Host, Place, Repository};
use crate::error::{Error, Result};
use crate::escape::clipped;
use crate::items::item::Item;

/// How an environment variable is looked up.
type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The longest quotation of what GitHub, a remote's URL or a setting says, in characters.
const QUOTED_CHARACTERS_MAX: usize = 300;

/// The longest answer of `git` or `gh`, in bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// How outside text stands in our messages.
fn shown(text: &str) -> String {
    clipped(text.trim(), QUOTED_CHARACTERS_MAX)
}

/// Where a program lies on the `PATH` of the caller's environment.
fn find_program(name: &str, root: &Path, set: Variable<'_>) -> Option<PathBuf> {
    which::which_in(name, Some(set("PATH")?), root).ok()
}

/// The remedy for every way in which the repository can be unclear.
const NAME_THE_REPOSITORY: &str =
    "name the repository: `repo = \"owner/name\"` in `items = { github = … }`";

/// Which issues are asked for, by their state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IssueState {
    /// Open issues only.
    #[default]
    Open,
    /// Closed issues only.
    Closed,
    /// Both.
    All,
}

impl IssueState {
    /// The word that GitHub and the configuration file use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::All => "all",
        }
    }
}

impl fmt::Display for IssueState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for IssueState {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Open, Self::Closed, Self::All]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                Error::usage(format!("no issue state: `{}`", shown(text)))
                    .with_hint("the states are `open`, `closed` and `all`")
            })
    }
}

/// What `items = { github = … }` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IssueQuery {
    /// `owner/name`, also `host/owner/name`; without it the `origin` remote says.
    pub repo: Option<String>,
    /// Only issues in this state.
    pub state: IssueState,
    /// Only issues that carry all of these labels.
    pub labels: Vec<String>,
    /// No issue that carries one of these labels, whatever its case.
    pub exclude_labels: Vec<String>,
}

/// The issues, and what a person should know about how they were read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fetched {
    /// One item an issue, by rising number.
    pub items: Vec<Item>,
    /// Texts that fit after `warning: `.
    pub warnings: Vec<String>,
}

/// What may be used up before we give in.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// For one request, from the name's resolution to the last byte of the body.
    request_time: Duration,
    /// For one run of `git` or `gh`.
    program_time: Duration,
    /// The body of one answer.
    body_bytes: u64,
    /// Pages of one walk; with 100 issues a page that is a tenth of a million.
    pages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_time: Duration::from_secs(30),
            program_time: Duration::from_secs(10),
            body_bytes: 50_000_000,
            pages: 1_000,
        }
    }
}

/// Reads the issues that `query` asks for, all pages of them, and makes items of them. Blocks.
///
/// `root` is the workspace, where the `origin` remote is looked up. `variable` looks an environment variable up:
/// `GITHUB_API_URL`, `GH_HOST`, the token variables, `PATH`, and the proxy variables. `report` is
/// called with a short text before each page and before each wait.
///
/// # Errors
///
/// Exit status 2 when the repository, the API's URL, a token or a proxy is written wrongly or missing; 69 when GitHub, the
/// network or what lies between refuses.
pub fn fetch(
    query: &IssueQuery,
    root: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    report: &mut dyn FnMut(&str),
) -> Result<Fetched> {
    let limits = Limits::default();
    fetch_within(&limits, &SystemClock, query, root, variable, report)
}

/// [`fetch`], with its limits and its clock in the caller's hand.
fn fetch_within(
    limits: &Limits,
    clock: &dyn Clock,
    query: &IssueQuery,
    root: &Path,
    variable: Variable<'_>,
    report: &mut dyn FnMut(&str),
) -> Result<Fetched> {
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    refuse_empty_labels(query)?;
    let (named_host, repository) = locate(limits, query, root, &set)?;
    let api = match (set("GITHUB_API_URL"), &named_host) {
        (Some(url), _) => Api::from_url(&url)?,
        (None, Some(host)) => Api::of_host(host)?,
        (None, None) => Api::of_host(&Host::github())?,
    };
    let mut warnings = Vec::from_iter(host_warning(named_host.as_ref(), &api));
    let proxy = proxy::choose(&api, &set)?;
    let token = token::find(limits, api.host(), root, &set, &mut warnings)?;
    let client = Client::new(limits, clock, api, repository, token, proxy);
    let items = pages::walk(limits, &client, query, &mut warnings, report)?;
    Ok(Fetched { items, warnings })
}

/// Says so when requests go to another host than the one that was named; a stub on loopback is meant to be another.
fn host_warning(named: Option<&Host>, api: &Api) -> Option<String> {
    let named = named.filter(|&named| named != api.host() && !api.host().is_loopback())?;
    Some(format!(
        "the repository lies on {named}, but GITHUB_API_URL sends the requests to {}",
        api.host()
    ))
}

/// The repository, and the host that it lies on if anything names one.
///
/// As with `gh`, `GH_HOST` is the host of a repository that is named without one.
fn locate(
    limits: &Limits,
    query: &IssueQuery,
    root: &Path,
    set: Variable<'_>,
) -> Result<(Option<Host>, Repository)> {
    let default_host = set("GH_HOST").map(|text| Host::from_setting("GH_HOST", &text));
    let default_host = default_host.transpose()?;
    if let Some(text) = &query.repo {
        let Place { host, repository } = repository::from_setting(text)?;
        return Ok((host.or(default_host), repository));
    }
    let url = repository::origin_url(limits.program_time, root, set)?;
    let Some(remote) = repository::from_remote(&url) else {
        return Err(Error::usage(format!(
            "the URL of the `origin` remote names no GitHub repository: `{}`",
            repository::without_credentials(&url)
        ))
        .with_hint(NAME_THE_REPOSITORY));
    };
    if !remote.may_be_alias {
        return Ok((Some(remote.host), remote.repository));
    }
    if default_host.is_some() || set("GITHUB_API_URL").is_some() {
        return Ok((default_host, remote.repository));
    }
    let alias = remote.host;
    Err(Error::usage(format!(
        "the host of the `origin` remote, `{alias}`, looks like an alias from your SSH configuration"
    ))
    .with_hint(format!("{NAME_THE_REPOSITORY}, or set GH_HOST")))
}

/// An empty label would ask GitHub for all issues: more than anyone who wrote it had in mind.
fn refuse_empty_labels(query: &IssueQuery) -> Result<()> {
    let keys = [
        ("labels", &query.labels),
        ("exclude-labels", &query.exclude_labels),
    ];
    for (key, labels) in keys {
        if labels.iter().any(|label| label.trim().is_empty()) {
            let message = format!("an empty label in `{key}` of `items = {{ github = … }}`");
            let hint = format!("for issues with any label, write `{key} = []`");
            return Err(Error::usage(message).with_hint(hint));
        }
    }
    Ok(())
}
