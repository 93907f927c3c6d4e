//! `orchestrate tell`: an item says of itself what [`crate::credential::told`] hears, one line in its status file.
//!
//! It reads no configuration and touches nothing but that file, which the run has made: one `write` at its end, so that processes
//! of one item may tell at once. Whatever else lies at its path, a link or a FIFO, is left alone.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
use serde_json::{Value, json};

use crate::cli::Tell;
use crate::credential::told::STATUS_VARIABLE;
use crate::error::{Error, ExitStatus, Result};
use crate::escape::shown;
use crate::surroundings::Surroundings;

/// So much of a text is told, in characters: escaped, it still fits into a line that is read.
const TEXT_CHARACTERS_MAX: usize = 600;

pub(super) fn tell(event: &Tell, surroundings: &Surroundings, dry_run: bool) -> Result<ExitStatus> {
    if dry_run {
        return Err(Error::usage("`tell` has no dry run").with_hint("leave --dry-run out"));
    }
    let path = surroundings.environment.get(OsStr::new(STATUS_VARIABLE));
    let path = path.filter(|path| !path.is_empty()).ok_or_else(|| {
        Error::usage(format!("there is nobody to tell: {STATUS_VARIABLE} is not set")).with_hint(
            "`tell` is for the command of an item in a run with --parallel; elsewhere only the exit code speaks",
        )
    })?;
    append(Path::new(path), &line(event)).map_err(|error| {
        let path = shown(&path.to_string_lossy());
        Error::state(format!("cannot write the status file {path}: {error}")).with_hint(
            "the exit code can say the same: 75 rate limited, 77 rejected, 69 overloaded",
        )
    })?;
    Ok(ExitStatus::Success)
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut file = OpenOptions::new()
        .append(true)
        .custom_flags(flags.bits())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    // A rest would be a half line, whenever it came.
    match file.write(line.as_bytes())? {
        written if written == line.len() => Ok(()),
        written => Err(io::Error::other(format!(
            "only {written} of {} bytes were written",
            line.len()
        ))),
    }
}

/// One line, its newline included.
fn line(event: &Tell) -> String {
    let mut object = match event {
        Tell::RateLimited { class, scope, .. } => {
            json!({ "event": "rate_limited", "class": class, "scope": scope })
        }
        Tell::AuthFailed => json!({ "event": "auth_failed" }),
        Tell::Overloaded { .. } => json!({ "event": "overloaded" }),
        Tell::Ok => json!({ "event": "ok" }),
        Tell::Progress { text } => {
            let text: String = text.chars().take(TEXT_CHARACTERS_MAX).collect();
            json!({ "event": "progress", "text": text })
        }
    };
    if let Tell::RateLimited {
        retry_after: Some(wait),
        ..
    }
    | Tell::Overloaded {
        retry_after: Some(wait),
    } = event
    {
        object["retry_after"] = seconds(*wait);
    }
    format!("{object}\n")
}

fn seconds(wait: Duration) -> Value {
    if wait.subsec_nanos() == 0 {
        wait.as_secs().into()
    } else {
        wait.as_secs_f64().into()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Zoned;

    use super::*;
    use crate::credential::evidence::{Finding, Scope};
    use crate::credential::hint::Calendar;
    use crate::credential::key::Class;
    use crate::credential::told::{LINE_BYTES_MAX, told};

    /// What a run takes it for: what was found, whom it concerns, and how long to wait.
    fn heard(event: &Tell) -> Option<(Finding, Scope, Option<Duration>)> {
        let calendar = Calendar {
            now: &Zoned::default(),
            zones: &|_| None,
        };
        let verdict = told(line(event).as_bytes(), &calendar)?;
        let wait = verdict.hint.map(|hint| hint.wait);
        Some((verdict.finding, verdict.scope, wait))
    }

    #[test]
    fn what_is_told_is_heard() {
        let twenty = Some(Duration::from_secs(20));
        let half = Some(Duration::from_millis(1500));
        let limited = |retry_after, class: &str, scope: &str| Tell::RateLimited {
            retry_after,
            class: class.to_owned(),
            scope: scope.to_owned(),
        };
        for (event, expected) in [
            (
                limited(twenty, "minute", "group"),
                (Finding::RateLimited(Class::Minute), Scope::Group, twenty),
            ),
            (
                limited(half, "day", "key"),
                (Finding::RateLimited(Class::Day), Scope::Key, half),
            ),
            (
                limited(None, "billing", "key"),
                (Finding::RateLimited(Class::Billing), Scope::Key, None),
            ),
            (Tell::AuthFailed, (Finding::Rejected, Scope::Key, None)),
            (
                Tell::Overloaded {
                    retry_after: twenty,
                },
                (Finding::Overloaded, Scope::Provider, twenty),
            ),
            (Tell::Ok, (Finding::Done, Scope::Item, None)),
        ] {
            assert_eq!(heard(&event), Some(expected), "{event:?}");
        }
    }

    #[test]
    fn any_text_is_one_line_that_is_read() {
        for text in [
            "half way",
            "two\nlines",
            &"\u{1}".repeat(10_000),
            &"🦀".repeat(10_000),
        ] {
            let text = text.to_owned();
            let line = line(&Tell::Progress { text });
            let line = line.strip_suffix('\n').unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert!(line.len() <= LINE_BYTES_MAX, "{line}");
        }
    }
}
