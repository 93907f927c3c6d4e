//! The same check as cron would run it: with the environment that crontab(5) promises, and nothing else.

use std::ffi::OsStr;

use super::super::Site;
use super::ourselves::Ourselves;
use crate::cli::Check;
use crate::config::options::Format;
use crate::error::{ExitStatus, Result};
use crate::output::Target;

/// What crontab(5) promises as PATH, and as SHELL.
const FIXED: [(&str, &str); 2] = [("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh")];
/// What it takes from the user's account.
const KEPT: [&str; 3] = ["HOME", "LOGNAME", "USER"];

/// Starts this program again in that environment.
pub(super) fn look(
    site: &Site<'_>,
    ourselves: &Ourselves,
    arguments: &Check,
) -> Result<ExitStatus> {
    let mut command = ourselves.bare();
    command.envs(FIXED);
    for name in KEPT {
        let value = site.surroundings.environment.get(OsStr::new(name));
        command.envs(value.map(|value| (name, value)));
    }
    command.arg("-C").arg(&site.place.root);
    if let Some(config) = &site.place.config {
        command.arg("--config").arg(config);
    }
    let format = match site.format {
        Format::Text => "text",
        Format::Json => "json",
    };
    let colour = if site.paint.0 { "always" } else { "never" };
    command.args(["check", "--format", format, "--color", colour]);
    command.args(&arguments.workflow);
    let output = ourselves.finish(&mut command)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    site.terminal.say(Target::Stdout, text(&output.stdout));
    if !output.stderr.is_empty() {
        site.terminal.say(Target::Stderr, text(&output.stderr));
    }
    Ok(match output.status.code() {
        Some(0) => ExitStatus::Success,
        Some(2) => ExitStatus::Usage,
        Some(_) | None => ExitStatus::Failed,
    })
}
