//! Where the API lies, and what lies at the same origin.
//!
//! `github.rs` makes an [`Api`], `client.rs` and `pages.rs` ask it about every URL before anything is sent there.
//! Pure. The token is sent to [`Api::resolve`]'s results only, so the rule that keeps it at home stands here alone.

use std::fmt;

use ureq::http::Uri;

use super::repository::{Host, Repository, without_credentials};
use super::{IssueQuery, NAME_THE_REPOSITORY};
use crate::error::{Error, Result};

/// Scheme, host and port: what must stay the same from one request to the next (RFC 6454, section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: &'static str,
    /// In lower case, an IPv6 address in brackets.
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an absolute HTTP URL without user information.
    fn of(url: &Uri) -> Option<Self> {
        let (scheme, default_port) = match url.scheme_str()? {
            "https" => ("https", 443),
            "http" => ("http", 80),
            _ => return None,
        };
        let authority = url.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let rest = &authority.as_str()[authority.host().len()..];
        let port = match rest.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None => default_port,
        };
        let host = authority.host().to_ascii_lowercase();
        Some(Self { scheme, host, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme, self.host)?;
        match (self.scheme, self.port) {
            ("https", 443) | ("http", 80) => Ok(()),
            (_, port) => write!(formatter, ":{port}"),
        }
    }
}

/// Why a URL that GitHub named is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotFollowed {
    /// It is no URL that we understand; the text is not escaped.
    Unreadable(String),
    /// It lies at this other origin; the text is not escaped.
    Elsewhere(String),
}

/// The base of all requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Api {
    /// Without a slash at its end.
    base: String,
    origin: Origin,
    host: Host,
}

impl Api {
    /// The API of a host: GitHub's own, a tenant's, or an Enterprise Server's.
    pub(super) fn of_host(host: &Host) -> Result<Self> {
        let base = if *host == Host::github() {
            "https://api.github.com".to_owned()
        } else if host.is_tenant() {
            format!("https://api.{host}")
        } else {
            format!("https://{host}/api/v3")
        };
        Self::new(&base, host.clone()).ok_or_else(|| {
            Error::usage(format!("the host `{host}` makes no URL")).with_hint(NAME_THE_REPOSITORY)
        })
    }

    /// The API at the value of `GITHUB_API_URL`.
    pub(super) fn from_url(text: &str) -> Result<Self> {
        let text = text.trim();
        let refused = |why: &str| {
            let shown = without_credentials(text);
            Error::usage(format!("GITHUB_API_URL {why}: `{shown}`"))
                .with_hint("for example `https://api.github.com` or `https://HOST/api/v3`")
        };
        let url = text.parse::<Uri>().ok();
        let origin = url.as_ref().and_then(Origin::of);
        let (Some(url), Some(origin)) = (url, origin) else {
            return Err(refused("is no http(s) URL without user and password"));
        };
        if url.query().is_some() || text.contains('#') {
            return Err(refused("may not have a query or a fragment"));
        }
        let host = Self::host_behind(&origin).ok_or_else(|| refused("has no usable host"))?;
        if origin.scheme == "http" && !host.is_loopback() {
            return Err(refused(
                "would send the token over unencrypted HTTP (allowed for loopback only)",
            ));
        }
        Self::new(text, host).ok_or_else(|| refused("is no URL"))
    }

    fn new(base: &str, host: Host) -> Option<Self> {
        let base = base.trim_end_matches('/').to_owned();
        let origin = Origin::of(&base.parse().ok()?)?;
        Some(Self { base, origin, host })
    }

    /// The host whose tokens are good for the API at `origin`: the reverse of [`Api::of_host`].
    fn host_behind(origin: &Origin) -> Option<Host> {
        let tenant = origin.host.strip_prefix("api.");
        let tenant = tenant.filter(|rest| rest.ends_with(".ghe.com"));
        let port = origin.port;
        Host::parse(&format!("{}:{port}", tenant.unwrap_or(&origin.host)))
    }

    /// The host that the token must belong to.
    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// The host that requests go to, as it stands in the URL.
    pub(super) fn url_host(&self) -> &str {
        &self.origin.host
    }

    /// Whether requests are encrypted; those that are not stay on this machine.
    pub(super) fn is_encrypted(&self) -> bool {
        self.origin.scheme == "https"
    }

    /// The first page of issues.
    ///
    /// A label with a comma in it cannot be asked for: the comma separates. `pages.rs` looks for those itself.
    pub(super) fn issues_url(&self, repository: &Repository, query: &IssueQuery) -> String {
        let (base, state) = (&self.base, query.state);
        let mut url = format!(
            "{base}/repos/{repository}/issues?state={state}&sort=created&direction=asc&per_page=100"
        );
        let labels = query.labels.iter().filter(|label| !label.contains(','));
        let labels: Vec<String> = labels.map(|label| percent_encoded(label)).collect();
        if !labels.is_empty() {
            url.push_str("&labels=");
            url.push_str(&labels.join(","));
        }
        url
    }

    /// The absolute URL that `reference` names, if it lies at our origin.
    ///
    /// `reference` is an absolute URL or begins with a slash; GitHub sends the former.
    pub(super) fn resolve(&self, reference: &str) -> std::result::Result<String, NotFollowed> {
        let unreadable = || NotFollowed::Unreadable(without_query(reference).to_owned());
        let absolute = if reference.starts_with("//") {
            format!("{}:{reference}", self.origin.scheme)
        } else if reference.starts_with('/') {
            format!("{}{reference}", self.origin)
        } else {
            reference.to_owned()
        };
        let url: Uri = absolute.parse().map_err(|_| unreadable())?;
        let origin = Origin::of(&url).ok_or_else(unreadable)?;
        if origin != self.origin {
            return Err(NotFollowed::Elsewhere(origin.to_string()));
        }
        Ok(url.to_string())
    }
}

/// A query may hold whatever a server was given, so no message shows it.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

impl NotFollowed {
    /// What happened, after `what` (`the next page`), for a person.
    pub(super) fn told_of(&self, what: &str, outside: &dyn Fn(&str) -> String) -> String {
        match self {
            Self::Unreadable(url) => {
                format!(
                    "{what} lies at a URL that is not understood: `{}`",
                    outside(url)
                )
            }
            Self::Elsewhere(origin) => format!(
                "{what} lies at another origin, `{}`: it was not asked for, and no token was sent there",
                outside(origin)
            ),
        }
    }
}

/// `text` for a query: everything but the unreserved characters of RFC 3986, section 2.3, as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                encoded.push('%');
                for digit in [byte >> 4, byte & 0xf] {
                    let digit = char::from_digit(digit.into(), 16).unwrap_or('0');
                    encoded.push(digit.to_ascii_uppercase());
                }
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::github::{IssueState, repository};

    fn query(labels: &[&str]) -> IssueQuery {
        IssueQuery {
            state: IssueState::All,
            labels: labels.iter().map(ToString::to_string).collect(),
            ..IssueQuery::default()
        }
    }

    fn first_page(api: &Api, labels: &[&str]) -> String {
        let place = repository::from_setting("octo/tool").unwrap();
        api.issues_url(&place.repository, &query(labels))
    }

    #[test]
    fn every_kind_of_host_has_its_base() {
        for (host, base) in [
            ("github.com", "https://api.github.com/repos/"),
            ("octo.ghe.com", "https://api.octo.ghe.com/repos/"),
            ("git.example.com", "https://git.example.com/api/v3/repos/"),
            (
                "git.example.com:8443",
                "https://git.example.com:8443/api/v3/repos/",
            ),
        ] {
            let api = Api::of_host(&Host::parse(host).unwrap()).unwrap();
            assert!(first_page(&api, &[]).starts_with(base), "{host}");
            assert_eq!(api.host().to_string(), host);
        }
    }

    #[test]
    fn an_api_url_is_taken_with_its_path_and_tells_whose_token_is_meant() {
        for (url, start, host, cloud) in [
            (
                "https://api.github.com",
                "https://api.github.com/repos/",
                "github.com",
                true,
            ),
            (
                "https://api.github.com/",
                "https://api.github.com/repos/",
                "github.com",
                true,
            ),
            (
                "https://api.octo.ghe.com",
                "https://api.octo.ghe.com/repos/",
                "octo.ghe.com",
                true,
            ),
            (
                "https://g.example/api/v3/",
                "https://g.example/api/v3/repos/",
                "g.example",
                false,
            ),
            (
                "https://g.example:444/a",
                "https://g.example:444/a/repos/",
                "g.example:444",
                false,
            ),
            (
                "http://127.0.0.1:81",
                "http://127.0.0.1:81/repos/",
                "127.0.0.1:81",
                false,
            ),
            (
                "http://[::1]:81/x/y",
                "http://[::1]:81/x/y/repos/",
                "[::1]:81",
                false,
            ),
            (
                "http://localhost:81",
                "http://localhost:81/repos/",
                "localhost:81",
                false,
            ),
            (
                "https://ghe.com.evil.example",
                "https://ghe.com.evil.example/repos/",
                "ghe.com.evil.example",
                false,
            ),
            (
                "https://evilghe.com",
                "https://evilghe.com/repos/",
                "evilghe.com",
                false,
            ),
        ] {
            let api = Api::from_url(url).unwrap();
            assert!(first_page(&api, &[]).starts_with(start), "{url}");
            assert_eq!(api.host().to_string(), host, "{url}");
            assert_eq!(api.host().is_github_cloud(), cloud, "{url}");
        }
    }

    #[test]
    fn an_api_url_that_is_unsafe_or_unclear_is_refused_without_its_password() {
        for url in [
            "",
            "api.github.com",
            "/api/v3",
            "ftp://api.github.com",
            "https://",
            "https://me:s3cret@api.github.com",
            "https://api.github.com?token=s3cret",
            "https://api.github.com#s3cret",
            "http://api.github.com",
            "http://128.0.0.1",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "https://api.github.com:x",
            "https://a b",
        ] {
            let error = Api::from_url(url).unwrap_err();
            assert_eq!(error.status().code(), 2, "{url}");
            assert!(error.to_string().contains("GITHUB_API_URL"), "{url}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn only_our_own_origin_is_followed() {
        let api = Api::from_url("https://g.example/api/v3").unwrap();
        for (reference, expected) in [
            ("https://g.example/x?page=2", "https://g.example/x?page=2"),
            ("https://G.Example:443/x", "https://g.example:443/x"),
            (
                "/repositories/1?page=2",
                "https://g.example/repositories/1?page=2",
            ),
            ("//g.example/x", "https://g.example/x"),
        ] {
            let resolved = api.resolve(reference);
            assert_eq!(
                resolved.unwrap().to_ascii_lowercase(),
                expected,
                "{reference}"
            );
        }
        for reference in [
            "http://g.example/x",
            "https://g.example:444/x",
            "https://evil.example/x",
            "https://g.example.evil.example/x",
            "//evil.example/x",
        ] {
            let refused = api.resolve(reference);
            assert!(
                matches!(refused, Err(NotFollowed::Elsewhere(_))),
                "{reference}: {refused:?}"
            );
        }
        for reference in [
            "",
            "x?page=2",
            "?page=2",
            "https://g.example@evil.example/x",
            "https://me:s3cret@g.example/x",
            "https://g.example\\@evil.example/x",
            "javascript:alert(1)",
            "https://g.example/ x",
            "https://g.example:/x:",
            "https://g.example:99999/x",
        ] {
            let refused = api.resolve(reference);
            assert!(
                matches!(refused, Err(NotFollowed::Unreadable(_))),
                "{reference}: {refused:?}"
            );
        }
    }

    #[test]
    fn labels_are_encoded_and_those_with_a_comma_left_to_us() {
        let api = Api::of_host(&Host::github()).unwrap();
        assert_eq!(
            first_page(&api, &["needs-lld", "good first issue", "a,b", "c&d=#é"]),
            "https://api.github.com/repos/octo/tool/issues?state=all&sort=created&direction=asc\
             &per_page=100&labels=needs-lld,good%20first%20issue,c%26d%3D%23%C3%A9"
        );
        assert!(!first_page(&api, &["a,b"]).contains("labels"));
    }
}
