//! `orchestrate check`: would tonight's run work? It looks at everything that a run needs, and runs nothing of the user's but
//! what a dry run does.
//!
//! What can be asked of the program itself is asked of it as a person would: a dry run of each workflow, and a whole run
//! of a made-up item that gives its made-up key away. So what is checked is what runs.

mod canary;
mod clock;
mod cron;
mod keys;
mod masking;
mod ourselves;
mod state;
mod workflows;

use std::io;
use std::path::Path;

use super::Site;
use crate::cli::Check;
use crate::config::file::ConfigFile;
use crate::config::options::Format;
use crate::error::{Error, ExitStatus, Result};
use crate::output::Target;
use crate::output::terminal::TerminalHandle;
use crate::report::checklist::{Finding, Health, json_lines, text};
use crate::surroundings::Surroundings;
use ourselves::Ourselves;

/// Plays the item that gives its key away; only `check` itself calls it.
pub(super) fn sing(
    terminal: &TerminalHandle,
    surroundings: &Surroundings,
    file: &Path,
) -> Result<ExitStatus> {
    canary::sing(terminal, surroundings, file)
}

/// Looks at everything, and says what it has found.
pub(super) fn look(site: &Site<'_>, arguments: &Check) -> Result<ExitStatus> {
    let ourselves = Ourselves::find()?;
    if arguments.cron {
        return cron::look(site, &ourselves, arguments);
    }
    let mut findings = Vec::new();
    let file = configuration(site.place.config.as_deref(), &mut findings);
    if let Some(file) = &file {
        let names = workflows::names(site, file, arguments.workflow.as_deref())?;
        for name in &names {
            findings.push(workflows::look(site, &ourselves, name)?);
        }
        findings.extend(keys::look(site, file, &names));
    }
    findings.push(state::look(site));
    findings.push(clock::look(site, &ourselves));
    findings.push(masking::look(site.surroundings, &ourselves)?);
    let text = match site.format {
        Format::Text => text(&findings, site.paint),
        Format::Json => json_lines(&findings),
    };
    site.terminal.say(Target::Stdout, text);
    let bad = |finding: &Finding| finding.health == Health::Bad;
    Ok(if findings.iter().any(bad) {
        ExitStatus::Failed
    } else {
        ExitStatus::Success
    })
}

fn configuration(path: Option<&Path>, findings: &mut Vec<Finding>) -> Option<ConfigFile> {
    const SUBJECT: &str = "configuration";
    let Some(path) = path else {
        let words = "there is no orchestrate.toml; the built-in workflows need none";
        findings.push(Finding::good(SUBJECT, words));
        return Some(ConfigFile::default());
    };
    match ConfigFile::read(path) {
        Ok(file) => {
            findings.push(Finding::good(SUBJECT, path.display().to_string()));
            Some(file)
        }
        Err(error) => {
            findings.push(failed(SUBJECT, &error));
            None
        }
    }
}

fn broken(what: &Path, error: &io::Error) -> Error {
    Error::state(format!("{}: {error}", what.display()))
}

fn failed(subject: impl Into<String>, error: &Error) -> Finding {
    let finding = Finding::new(subject, Health::Bad, error.to_string());
    match error.hint() {
        Some(hint) => finding.with_remedy(hint),
        None => finding,
    }
}
