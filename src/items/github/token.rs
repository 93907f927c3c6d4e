//! The token: where it comes from, and how it is kept from showing.
//!
//! `github.rs` finds it, `client.rs` sends it. It has no `Display`, no `Clone` and no `Serialize`; `Debug` names
//! its source. It is wiped when it is dropped; the copies that the HTTP client makes while it sends are beyond our
//! reach.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::Command;

use ureq::http::HeaderValue;
use zeroize::Zeroizing;

use super::repository::Host;
use super::{ANSWER_BYTES_MAX, Limits, Variable, find_program};
use crate::answer::ask;
use crate::error::{Error, Result};

/// The variables for github.com and its tenants, in the order in which `gh` reads them.
const CLOUD_VARIABLES: [&str; 2] = ["GH_TOKEN", "GITHUB_TOKEN"];
/// The variables for an Enterprise Server.
const ENTERPRISE_VARIABLES: [&str; 2] = ["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"];
/// The longest token, in bytes; GitHub's own have 40 to about 500.
const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// A token that may be sent.
pub(super) struct Token {
    text: Zeroizing<String>,
    source: &'static str,
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Token({})", self.source)
    }
}

impl Token {
    /// Takes `text` when it can stand in a header as it is.
    fn new(text: &str, source: &'static str) -> Option<Self> {
        let fits = (1..=TOKEN_BYTES_MAX).contains(&text.len());
        (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self {
            text: Zeroizing::new(text.to_owned()),
            source,
        })
    }

    /// Where the token came from: a variable's name, or `gh auth token`.
    pub(super) fn source(&self) -> &'static str {
        self.source
    }

    /// The value of the `Authorization` header, marked so that its `Debug` hides it.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let text = Zeroizing::new(format!("Bearer {}", *self.text));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// `text` with every occurrence of the token blotted out, whatever its case: a server may send back what it was
    /// sent, and a host's name is put into lower case.
    pub(super) fn blotted(&self, text: &str) -> String {
        let token = Zeroizing::new(self.text.to_ascii_lowercase());
        // This keeps every byte in its place, so that what is found here lies there in `text`.
        let searched = text.to_ascii_lowercase();
        let mut blotted = String::new();
        let mut kept_to = 0;
        for (start, found) in searched.match_indices(token.as_str()) {
            blotted.push_str(&text[kept_to..start]);
            blotted.push_str("[token]");
            kept_to = start + found.len();
        }
        blotted.push_str(&text[kept_to..]);
        blotted
    }
}

/// The variables that may hold the token for `host`.
pub(super) fn variables_for(host: &Host) -> [&'static str; 2] {
    if host.is_github_cloud() {
        CLOUD_VARIABLES
    } else {
        ENTERPRISE_VARIABLES
    }
}

/// The token for `host`: the first variable that is set, else what `gh` keeps, else none and a warning.
///
/// # Errors
///
/// A variable whose value can be no token.
pub(super) fn find(
    limits: &Limits,
    host: &Host,
    root: &Path,
    set: Variable<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<Token>> {
    let variables = variables_for(host);
    for source in variables {
        if let Some(value) = set(source).map(Zeroizing::new) {
            return match Token::new(value.trim(), source) {
                Some(token) => Ok(Some(token)),
                None => Err(Error::usage(format!(
                    "{source} is no token: it is too long, or has white space or other characters \
                     that no token has"
                ))
                .with_hint(format!("set {source} to the token alone, or unset it"))),
            };
        }
    }
    if let Some(token) = ask_gh(limits, host, root, set, warnings) {
        return Ok(Some(token));
    }
    warnings.push(format!(
        "no token for {host}: set {} or run `gh auth login`; without one GitHub shows public \
         repositories only and answers 60 requests an hour",
        variables[0]
    ));
    Ok(None)
}

/// The token that `gh` keeps for `host`.
fn ask_gh(
    limits: &Limits,
    host: &Host,
    root: &Path,
    set: Variable<'_>,
    warnings: &mut Vec<String>,
) -> Option<Token> {
    let gh = find_program("gh", root, set)?;
    let mut command = Command::new(gh);
    command
        .args(["auth", "token", "--hostname", host.name()])
        .current_dir(root);
    command
        .env("GH_PROMPT_DISABLED", "1")
        .env("GH_NO_UPDATE_NOTIFIER", "1");
    match ask(&mut command, limits.program_time, ANSWER_BYTES_MAX) {
        Ok(answer) if answer.first_line().is_empty() => None,
        Ok(answer) => {
            let token = Token::new(answer.first_line(), "gh auth token");
            if token.is_none() {
                warnings
                    .push("`gh auth token` answered with something that is no token".to_owned());
            }
            token
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            let seconds = limits.program_time.as_secs();
            warnings.push(format!("`gh auth token` gave no answer within {seconds} s"));
            None
        }
        Err(error) => {
            warnings.push(format!("cannot run `gh auth token`: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::path::PathBuf;
    use std::process::Stdio;
    use std::time::Duration;

    struct Found {
        source: Option<&'static str>,
        header: Option<String>,
        warnings: Vec<String>,
    }

    fn found(host: &str, variables: &[(&str, &str)]) -> Result<Found> {
        found_within(Duration::from_mins(1), host, variables)
    }

    fn found_within(
        program_time: Duration,
        host: &str,
        variables: &[(&str, &str)],
    ) -> Result<Found> {
        let set = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let limits = Limits {
            program_time,
            ..Limits::default()
        };
        let (host, mut warnings) = (Host::parse(host).unwrap(), Vec::new());
        let token = find(&limits, &host, Path::new("/"), &set, &mut warnings)?;
        if let Some(token) = &token {
            assert_eq!(format!("{token:?}"), format!("Token({})", token.source()));
        }
        let header = token.as_ref().and_then(Token::header);
        Ok(Found {
            source: token.map(|token| token.source()),
            header: header.map(|header| header.to_str().unwrap().to_owned()),
            warnings,
        })
    }

    /// A directory with a `gh` in it. A shell writes it: were it open for writing here, a fork of another test
    /// could hold it open, and nobody could execute it.
    fn gh_that_does(script: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh")
            .args(["-c", "cat > gh && chmod +x gh"])
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = format!("#!/bin/sh\n{script}\n");
        shell
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(shell.wait().unwrap().success());
        let path = directory.path().to_owned();
        (directory, path)
    }

    #[test]
    fn the_hosts_own_variables_are_read_in_gh_order() {
        let all = [
            ("GITHUB_ENTERPRISE_TOKEN", "t4"),
            ("GH_ENTERPRISE_TOKEN", "t3"),
            ("GITHUB_TOKEN", "t2"),
            ("GH_TOKEN", "t1"),
        ];
        for (host, variables, expected) in [
            ("github.com", &all[..], Some("GH_TOKEN")),
            ("github.com", &all[..3], Some("GITHUB_TOKEN")),
            ("github.com", &all[..2], None),
            ("octo.ghe.com", &all[..], Some("GH_TOKEN")),
            ("octo.ghe.com", &all[..2], None),
            ("git.example.com", &all[..], Some("GH_ENTERPRISE_TOKEN")),
            (
                "git.example.com",
                &all[..1],
                Some("GITHUB_ENTERPRISE_TOKEN"),
            ),
            ("git.example.com", &all[2..], None),
            ("127.0.0.1:81", &all[2..], None),
        ] {
            let found = found(host, variables).unwrap();
            assert_eq!(found.source, expected, "{host} {variables:?}");
            assert_eq!(found.warnings.is_empty(), expected.is_some(), "{host}");
        }
    }

    #[test]
    fn a_token_is_trimmed_and_sent_as_bearer() {
        let found = found("github.com", &[("GH_TOKEN", " ghp_x \n")]).unwrap();
        assert_eq!(found.header.as_deref(), Some("Bearer ghp_x"));
    }

    #[test]
    fn a_token_is_blotted_out_of_any_text() {
        let token = Token::new("aBc", "GH_TOKEN").unwrap();
        for (text, expected) in [
            ("", ""),
            ("ab c", "ab c"),
            ("aBc", "[token]"),
            ("é aBcABC\u{130} abcx", "é [token][token]\u{130} [token]x"),
        ] {
            assert_eq!(token.blotted(text), expected);
        }
    }

    #[test]
    fn a_value_that_is_no_token_is_refused_and_not_shown() {
        for value in [
            "s3cret s3cret",
            "s3cret\u{e9}",
            "s3cret\nX: y",
            &"s3cret".repeat(700),
        ] {
            let Err(error) = found("github.com", &[("GH_TOKEN", value)]) else {
                panic!("{value:?} was taken");
            };
            assert_eq!(error.status().code(), 2);
            assert!(error.to_string().starts_with("GH_TOKEN is no token"));
            assert!(!format!("{error:?}").contains("s3cret"));
        }
    }

    #[test]
    fn gh_is_asked_for_the_host_only_when_no_variable_is_set() {
        let (_directory, path) = gh_that_does("echo \"$*\" | tr ' ' ,; echo s3cret >&2");
        let path = ("PATH", &*format!("{}:/usr/bin:/bin", path.display()));
        let asked = found("octo.ghe.com", &[path]).unwrap();
        assert_eq!(asked.source, Some("gh auth token"));
        assert_eq!(
            asked.header.as_deref(),
            Some("Bearer auth,token,--hostname,octo.ghe.com")
        );
        assert_eq!(asked.warnings, [""; 0]);
        let unasked = found("octo.ghe.com", &[path, ("GITHUB_TOKEN", "x")]).unwrap();
        assert_eq!(unasked.source, Some("GITHUB_TOKEN"));
    }

    #[test]
    fn a_gh_that_fails_hangs_or_babbles_leaves_us_without_a_token() {
        let (long, short) = (Duration::from_mins(1), Duration::from_millis(20));
        for (time_max, script, warning) in [
            (long, "echo 's3cret' >&2; exit 1", "no token for github.com"),
            (short, "exec sleep 600", "gave no answer within"),
            (long, "echo s3cret and more", "something that is no token"),
        ] {
            let (_directory, path) = gh_that_does(script);
            let path = format!("{}:/usr/bin:/bin", path.display());
            let found = found_within(time_max, "github.com", &[("PATH", &path)]).unwrap();
            assert_eq!(found.source, None, "{script}");
            let warnings = found.warnings.join("\n");
            assert!(warnings.contains(warning), "{warnings}");
            assert!(warnings.contains("no token for github.com"), "{warnings}");
            assert!(!warnings.contains("s3cret"), "{warnings}");
        }
    }
}
