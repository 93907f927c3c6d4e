//! The proxy that the environment names, as `curl`, `git` and `gh` read it.
//!
//! `github.rs` asks once. Pure. Nothing for loopback goes through a proxy, which covers all
//! that is not encrypted: a proxy could read the token there. A proxy's URL may hold a password and is never shown.

use ureq::Proxy;

use super::Variable;
use super::api::Api;
use crate::error::{Error, Result};

/// Looked up in this order; `HTTP_PROXY` is for plain HTTP, which goes to loopback only.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The proxy for requests to `api`, if there is to be one.
pub(super) fn choose(api: &Api, set: Variable<'_>) -> Result<Option<Proxy>> {
    let exempt = set("NO_PROXY")
        .or_else(|| set("no_proxy"))
        .unwrap_or_default();
    if api.host().is_loopback() || is_exempt(api.url_host(), &exempt) {
        return Ok(None);
    }
    let named = VARIABLES.iter().find_map(|&name| Some((name, set(name)?)));
    let Some((name, url)) = named else {
        return Ok(None);
    };
    match Proxy::new(url.trim()) {
        Ok(proxy) if proxy.protocol() == ureq::ProxyProtocol::Http => Ok(Some(proxy)),
        Ok(proxy) if proxy.protocol() == ureq::ProxyProtocol::Https => Ok(Some(proxy)),
        Ok(proxy) => Err(refused(name, &format!("is a {} proxy", proxy.protocol()))),
        Err(_) => Err(refused(name, "is no proxy URL")),
    }
}

fn refused(name: &str, why: &str) -> Error {
    Error::usage(format!("{name} {why}, which cannot be used for GitHub"))
        .with_hint("write `http://HOST:PORT`, or name the GitHub host in NO_PROXY")
}

/// Whether a `NO_PROXY` list names `host`: itself, a domain above it, or `*`.
fn is_exempt(host: &str, list: &str) -> bool {
    let entries = list.split([',', ' ']).filter(|entry| !entry.is_empty());
    entries.into_iter().any(|entry| {
        let domain = entry
            .trim_start_matches('*')
            .trim_start_matches('.')
            .to_ascii_lowercase();
        let domain = domain.strip_suffix(":443").unwrap_or(&domain);
        let above = || {
            host.strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.'))
        };
        entry == "*" || host == domain || (!domain.is_empty() && above())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(api: &str, variables: &[(&str, &str)]) -> Result<Option<String>> {
        let set = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let proxy = choose(&Api::from_url(api)?, &set)?;
        Ok(proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port())))
    }

    #[test]
    fn a_proxy_is_used_for_encrypted_requests_to_hosts_not_exempt() {
        let github = "https://api.github.com";
        let proxy = ("HTTPS_PROXY", "http://me:s3cret@proxy.example:3128");
        for (api, variables, expected) in [
            (github, vec![], None),
            (github, vec![proxy], Some("proxy.example:3128")),
            (
                github,
                vec![("all_proxy", "proxy.example:81")],
                Some("proxy.example:81"),
            ),
            (
                github,
                vec![("ALL_PROXY", "http://b:2"), ("https_proxy", "http://a:1")],
                Some("a:1"),
            ),
            (github, vec![("HTTP_PROXY", "http://a:1")], None),
            (github, vec![proxy, ("NO_PROXY", "x, github.com")], None),
            (github, vec![proxy, ("NO_PROXY", ".github.com")], None),
            (github, vec![proxy, ("NO_PROXY", "*.GitHub.com:443")], None),
            (github, vec![proxy, ("no_proxy", "*")], None),
            (
                github,
                vec![proxy, ("NO_PROXY", "hub.com,com.,.")],
                Some("proxy.example:3128"),
            ),
            ("http://127.0.0.1:81", vec![proxy], None),
            ("https://localhost:81", vec![proxy], None),
        ] {
            assert_eq!(
                chosen(api, &variables).unwrap().as_deref(),
                expected,
                "{variables:?}"
            );
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_without_its_password() {
        for url in [
            "socks5://me:s3cret@proxy",
            "gopher://me:s3cret@proxy",
            "http://s3cret s3cret",
        ] {
            let error = chosen("https://api.github.com", &[("ALL_PROXY", url)]).unwrap_err();
            assert_eq!(error.status().code(), 2);
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
