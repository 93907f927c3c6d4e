//! Which repository, and on which host: from a setting, or from the `origin` remote.
//!
//! `github.rs` asks; everything but [`origin_url`] is pure. Names and hosts are validated here, because they become
//! a part of a URL and an argument of `gh`. A remote's URL may carry a password: it is shown only by
//! [`without_credentials`].

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{ANSWER_BYTES_MAX, NAME_THE_REPOSITORY, Variable, find_program, shown};
use crate::answer;
use crate::error::{Error, Result};

/// The longest owner or repository name, in bytes; GitHub allows 39 and 100.
const NAME_BYTES_MAX: usize = 100;
/// The longest host name, in bytes (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// A GitHub host as people write it: `github.com`, `octo.ghe.com`, `git.example.com:8443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    name: String,
    port: Option<u16>,
}

impl Host {
    /// `github.com`.
    pub(super) fn github() -> Self {
        Self {
            name: "github.com".to_owned(),
            port: None,
        }
    }

    /// A host with an optional port, in lower case; any host below `github.com` (`ssh.`, `www.`) is `github.com`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, after) = if let Some(rest) = text.strip_prefix('[') {
            let (address, after) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            (format!("[{address}]"), after)
        } else {
            let (name, after) = text.split_at(text.find(':').unwrap_or(text.len()));
            (name.to_ascii_lowercase(), after)
        };
        let port: Option<u16> = match after.strip_prefix(':') {
            Some(port) => Some(port.parse().ok()?),
            None if after.is_empty() => None,
            None => return None,
        };
        if !name.starts_with('[') && !is_host_name(&name) {
            return None;
        }
        if name == "github.com" || name.ends_with(".github.com") {
            return Some(Self::github());
        }
        let port = port.filter(|&port| port != 443);
        Some(Self { name, port })
    }

    /// The value of the setting or variable `key` as a host.
    pub(super) fn from_setting(key: &str, text: &str) -> Result<Self> {
        Self::parse(text.trim()).ok_or_else(|| {
            Error::usage(format!("{key} is no host name: `{}`", shown(text)))
                .with_hint(format!("write the bare name: `{key}=github.example.com`"))
        })
    }

    /// The host without a port.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is GitHub's own service, for which `GH_TOKEN` and `GITHUB_TOKEN` are meant.
    pub(super) fn is_github_cloud(&self) -> bool {
        self.name == "github.com" || self.is_tenant()
    }

    /// Whether this is a tenant of GitHub Enterprise Cloud with data residency.
    pub(super) fn is_tenant(&self) -> bool {
        self.name.ends_with(".ghe.com")
    }

    /// Whether nothing sent there leaves this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let bare = self.name.trim_matches(['[', ']']);
        let address = bare.parse::<IpAddr>();
        self.name == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        self.port
            .map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

/// Letters, digits, `.` and `-`: what a URL and a command line can carry without quoting.
fn is_host_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let starts_well = |label: &str| !label.is_empty() && !label.starts_with('-');
    name.len() <= HOST_BYTES_MAX && name.bytes().all(allowed) && name.split('.').all(starts_well)
}

/// A validated `owner/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repository {
    owner: String,
    name: String,
}

impl Repository {
    /// `owner/name`, with slashes around it and `.git` behind it forgiven.
    fn parse(path: &str) -> Option<Self> {
        let path = path.trim_matches('/');
        let (owner, name) = path.strip_suffix(".git").unwrap_or(path).split_once('/')?;
        let fits = |text: &str| (1..=NAME_BYTES_MAX).contains(&text.len());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let dotted = |byte: u8| plain(byte) || byte == b'.';
        let owner_is_good = fits(owner) && owner.bytes().all(plain);
        let name_is_good = fits(name) && name.bytes().all(dotted) && name != "." && name != "..";
        (owner_is_good && name_is_good).then(|| Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.owner, self.name)
    }
}

/// A repository as the configuration names it, often without a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The host, when it was written.
    pub(super) host: Option<Host>,
    /// The repository there.
    pub(super) repository: Repository,
}

/// Reads `repo = "…"`: `owner/name`, `host/owner/name`, or a URL, as `gh --repo` does.
pub(super) fn from_setting(text: &str) -> Result<Place> {
    let text = text.trim();
    let place = if text.contains(':') {
        from_remote(text).map(|remote| Place {
            host: Some(remote.host),
            repository: remote.repository,
        })
    } else if text.trim_matches('/').matches('/').count() == 2 {
        let split = text.trim_matches('/').split_once('/');
        split.and_then(|(host, path)| {
            Some(Place {
                host: Some(Host::parse(host)?),
                repository: Repository::parse(path)?,
            })
        })
    } else {
        Repository::parse(text).map(|repository| Place {
            host: None,
            repository,
        })
    };
    place.ok_or_else(|| {
        Error::usage(format!(
            "`repo` in `items = {{ github = … }}` names no repository: `{}`",
            without_credentials(text)
        ))
        .with_hint("write `repo = \"owner/name\"`")
    })
}

/// A repository as a remote's URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    /// The host in the URL.
    pub(super) host: Host,
    /// The repository in the URL.
    pub(super) repository: Repository,
    /// The host has no dot and is reached by SSH, so it may be a name from `~/.ssh/config`.
    pub(super) may_be_alias: bool,
}

/// Reads a remote's URL in the forms that `git` knows for a host ("GIT URLS" in `git-fetch(1)`).
pub(super) fn from_remote(url: &str) -> Option<Remote> {
    let url = url.trim();
    let (by_ssh, authority, path) = if let Some((scheme, rest)) = url.split_once("://") {
        let by_ssh = match scheme.to_ascii_lowercase().as_str() {
            "ssh" | "git+ssh" | "ssh+git" | "git" => true,
            "https" | "http" => false,
            _ => return None,
        };
        let (authority, path) = rest.split_once('/')?;
        (by_ssh, authority, path)
    } else {
        let (authority, path) = split_scp(url)?;
        (true, authority, path)
    };
    let host = Host::parse(
        authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host),
    )?;
    // A port in an SSH or git URL is that protocol's: it says nothing about the API.
    let host = if by_ssh {
        Host { port: None, ..host }
    } else {
        host
    };
    Some(Remote {
        may_be_alias: by_ssh && !host.name.contains(['.', ':']) && !host.is_loopback(),
        repository: Repository::parse(path)?,
        host,
    })
}

/// Splits `user@host:path`, `[user@host:port]:path`, `user@[host:port]:path`, and `user@host:port/path`, which `git`
/// would take for a path but people write.
fn split_scp(url: &str) -> Option<(&str, &str)> {
    let start = url.find('[').filter(|&start| {
        let before = &url[..start];
        before.is_empty() || (before.ends_with('@') && !before.contains([':', '/']))
    });
    if let Some(start) = start {
        let (inside, path) = url[start + 1..].split_once("]:")?;
        return Some((inside, path));
    }
    let (authority, path) = url.split_once(':')?;
    if authority.contains('/') {
        return None;
    }
    match path.split_once('/') {
        Some((port, rest))
            if rest.trim_matches('/').contains('/') && port.parse::<u16>().is_ok() =>
        {
            Some((authority, rest))
        }
        _ => Some((authority, path)),
    }
}

/// `url` for a message: without user, password and query, and escaped.
///
/// A password may hold any character, so everything up to the last `@` goes; where that cannot be told from a query with an
/// `@` in it, all goes but the scheme.
pub(super) fn without_credentials(url: &str) -> String {
    let query = url.find(['?', '#']).unwrap_or(url.len());
    let Some(at) = url.rfind('@') else {
        return shown(&url[..query]);
    };
    let in_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let scheme = match url.split_once("://") {
        Some((scheme, _)) if scheme.chars().all(in_scheme) => format!("{scheme}://"),
        _ => String::new(),
    };
    if query < at {
        return shown(&format!("{scheme}…"));
    }
    shown(&format!("{scheme}…{}", &url[at..query]))
}

/// The URL of the `origin` remote of the git repository around `root`.
pub(super) fn origin_url(
    time_max: Duration,
    root: &Path,
    set: Variable<'_>,
) -> Result<Zeroizing<String>> {
    let place = shown(&root.display().to_string());
    let Some(git) = find_program("git", root, set) else {
        return Err(Error::usage(
            "the GitHub repository is not configured, and `git` is not found to ask for the `origin` remote",
        )
        .with_hint(NAME_THE_REPOSITORY));
    };
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(&git);
        command.args(arguments).current_dir(root);
        answer::ask(&mut command, time_max, ANSWER_BYTES_MAX).map_err(|error| {
            Error::source(format!("cannot run `git` in {place}: {error}"))
                .with_hint(NAME_THE_REPOSITORY)
        })
    };
    let url = ask(&["config", "--get", "remote.origin.url"])?;
    if !url.first_line().is_empty() {
        return Ok(Zeroizing::new(url.first_line().to_owned()));
    }
    let message = if ask(&["rev-parse", "--git-dir"])?.first_line().is_empty() {
        format!(
            "{place} lies in no git repository, so no `origin` remote says which issues to read"
        )
    } else {
        format!("the git repository of {place} has no `origin` remote to say which issues to read")
    };
    Err(Error::usage(message).with_hint(NAME_THE_REPOSITORY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// URL, host, repository.
    const REMOTES: &[(&str, &str, &str)] = &[
        ("git@github.com:octo/tool.git", "github.com", "octo/tool"),
        ("git@github.com:octo/tool", "github.com", "octo/tool"),
        ("git@github.com:/octo/tool/", "github.com", "octo/tool"),
        ("github.com:octo/tool.git", "github.com", "octo/tool"),
        (
            "ssh://git@github.com/octo/tool.git",
            "github.com",
            "octo/tool",
        ),
        (
            "ssh://git@ssh.github.com:443/octo/tool.git",
            "github.com",
            "octo/tool",
        ),
        (
            "git+ssh://git@github.com/octo/tool",
            "github.com",
            "octo/tool",
        ),
        (
            "https://github.com/octo/tool.git",
            "github.com",
            "octo/tool",
        ),
        ("https://github.com/octo/tool", "github.com", "octo/tool"),
        ("https://github.com/octo/tool/", "github.com", "octo/tool"),
        (
            "HTTPS://GitHub.com/Octo/Tool.js",
            "github.com",
            "Octo/Tool.js",
        ),
        (
            "https://www.github.com/octo/tool",
            "github.com",
            "octo/tool",
        ),
        (
            "https://me:ghp_x@github.com/octo/tool.git",
            "github.com",
            "octo/tool",
        ),
        (
            "https://x-access-token:a@b@github.com/octo/tool",
            "github.com",
            "octo/tool",
        ),
        ("http://github.com/octo/tool", "github.com", "octo/tool"),
        ("git://github.com/octo/tool.git", "github.com", "octo/tool"),
        (
            "git@octo.ghe.com:team/tool.git",
            "octo.ghe.com",
            "team/tool",
        ),
        (
            "https://octo.ghe.com/team/tool",
            "octo.ghe.com",
            "team/tool",
        ),
        (
            "ssh://git@git.example.com:2222/team/tool.git",
            "git.example.com",
            "team/tool",
        ),
        (
            "git@git.example.com:2222/team/tool.git",
            "git.example.com",
            "team/tool",
        ),
        (
            "git@[git.example.com:2222]:team/tool.git",
            "git.example.com",
            "team/tool",
        ),
        (
            "[git@git.example.com:2222]:team/tool.git",
            "git.example.com",
            "team/tool",
        ),
        ("git@github.com:2222/tool", "github.com", "2222/tool"),
        (
            "https://git.example.com:8443/team/tool",
            "git.example.com:8443",
            "team/tool",
        ),
        (
            "https://git.example.com:443/team/tool",
            "git.example.com",
            "team/tool",
        ),
        ("https://[::1]:8443/team/tool", "[::1]:8443", "team/tool"),
        ("org-42@github.com:octo/tool.git", "github.com", "octo/tool"),
        (
            "  git@github.com:octo/my_tool-2.x.git\n",
            "github.com",
            "octo/my_tool-2.x",
        ),
    ];

    #[test]
    fn remotes_are_read_in_every_form_that_git_knows() {
        for &(url, host, repository) in REMOTES {
            let remote = from_remote(url).unwrap_or_else(|| panic!("{url}"));
            assert_eq!(remote.host.to_string(), host, "{url}");
            assert_eq!(remote.repository.to_string(), repository, "{url}");
            assert!(!remote.may_be_alias, "{url}");
        }
    }

    #[test]
    fn what_names_no_repository_is_not_guessed_at() {
        for url in [
            "",
            "/srv/git/tool.git",
            "../tool",
            "octo/tool",
            "file:///srv/git/tool.git",
            "C:\\work\\tool",
            "https://github.com/octo",
            "https://github.com/octo/tool/issues",
            "https://gitlab.example.com/group/sub/tool.git",
            "https://github.com/octo/..",
            "https://github.com/../tool",
            "https://github.com/octo/to ol",
            "https://github.com/oc%2fto/tool",
            "https://-evil.com/octo/tool",
            "https://evil..com/octo/tool",
            "https://host:port/octo/tool",
            "https://host:99999/octo/tool",
            "https://[::1/octo/tool",
            "https:///octo/tool",
            "git@:octo/tool",
            "git@github.com:octo/tool?x=1",
            "[git@host:22:octo/tool",
        ] {
            assert_eq!(from_remote(url), None, "{url}");
        }
    }

    #[test]
    fn an_ssh_host_without_a_dot_may_be_an_alias() {
        for (url, alias) in [
            ("git@work:octo/tool", true),
            ("ssh://git@work/octo/tool", true),
            ("https://work/octo/tool", false),
            ("git@localhost:octo/tool", false),
        ] {
            assert_eq!(from_remote(url).unwrap().may_be_alias, alias, "{url}");
        }
    }

    #[test]
    fn a_setting_may_name_the_host_and_need_not() {
        for (text, host, repository) in [
            ("octo/tool", None, "octo/tool"),
            (" octo/tool.git ", None, "octo/tool"),
            (
                "git.example.com/team/tool",
                Some("git.example.com"),
                "team/tool",
            ),
            (
                "https://github.com/octo/tool",
                Some("github.com"),
                "octo/tool",
            ),
            (
                "git@octo.ghe.com:team/tool",
                Some("octo.ghe.com"),
                "team/tool",
            ),
        ] {
            let place = from_setting(text).unwrap();
            let read = place.host.map(|host| host.to_string());
            assert_eq!(read.as_deref(), host, "{text}");
            assert_eq!(place.repository.to_string(), repository, "{text}");
        }
        for bad in [
            "",
            "tool",
            "octo/",
            "/tool",
            "a/b/c/d",
            "octo/to ol",
            "octo/\u{1b}[2J",
        ] {
            let error = from_setting(bad).unwrap_err();
            assert_eq!(error.status().code(), 2, "{bad:?}");
            assert!(!error.to_string().contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_never_shown() {
        for (url, expected) in [
            ("https://me:s3cret@host/x", "https://…@host/x"),
            ("https://me:s3/cret@host/x", "https://…@host/x"),
            ("https://me:s3/cr?e#t@host/x", "https://…"),
            ("https://host/x?access_token=s3@cret", "https://…"),
            ("https://me:s3@cret@host/x?token=s3cret", "https://…@host/x"),
            ("me:s3cret@host:x", "…@host:x"),
            ("https://host/x?access_token=s3cret", "https://host/x"),
            ("me:s3c://ret@host", "…@host"),
            ("/srv/\u{1b}x", "/srv/\\x1bx"),
        ] {
            let text = without_credentials(url);
            assert_eq!(text, expected, "{url}");
        }
        let error = from_setting("https://me:s3cret@host/x").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }

    proptest! {
        #[test]
        fn any_url_is_read_or_refused_and_its_password_hidden(
            url in "(ssh|https)?(://)?[a-z:@\\[\\]/.?#0-9]{0,30}",
            password in "[A-Z]{6,12}",
        ) {
            let _ = from_remote(&url);
            let url = format!("https://me:{password}@{url}");
            prop_assert!(!without_credentials(&url).contains(&password));
        }
    }
}
