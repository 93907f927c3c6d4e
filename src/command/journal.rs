//! `orchestrate journal`: whether a workflow's journal is whole, and making it whole again.

use jiff::Timestamp;

use super::Site;
use crate::config::options::Format;
use crate::error::{Error, ExitStatus, Result};
use crate::output::Target;
use crate::report::journal_state::{self, JournalState};
use crate::state::directory::{StateDirectory, WorkflowDirectory};
use crate::state::journal_repair;
use crate::state::journal_scan::read_whole;
use crate::state::lock::{WorkflowLock, holder_of};
use crate::state::salvage::Repair;

/// Reads one journal, or all, and says what is in it. A journal that is damaged does not hide the others.
pub(super) fn verify(site: &Site<'_>, workflow: Option<&str>) -> Result<ExitStatus> {
    let state = site.state()?;
    let names = match workflow {
        Some(name) => vec![name.to_owned()],
        None => state.workflows()?,
    };
    let mut first_trouble = None;
    let mut found = 0;
    for name in names {
        match examine(&state, &name) {
            Ok(Some(known)) => {
                found += 1;
                tell(site, &known);
            }
            Ok(None) => {}
            Err(error) => {
                found += 1;
                if workflow.is_none() || site.format == Format::Json {
                    tell(site, &JournalState::damaged(&name, &error));
                }
                first_trouble.get_or_insert(error);
            }
        }
    }
    match (first_trouble, workflow) {
        (Some(error), _) => Err(error),
        (None, Some(name)) if found == 0 => Err(absent(&state, name)),
        (None, _) => Ok(ExitStatus::Success),
    }
}

fn tell(site: &Site<'_>, known: &JournalState) {
    let text = match site.format {
        Format::Text => known.text(site.paint),
        Format::Json => known.json_line(),
    };
    site.terminal.say(Target::Stdout, text);
}

fn examine(state: &StateDirectory, name: &str) -> Result<Option<JournalState>> {
    let Some(directory) = state.find_workflow(name)? else {
        return Ok(None);
    };
    // Asked first: a run that ends in between has recorded everything.
    let live = holder_of(&directory)?.is_some();
    let reading = read_whole(&directory)?;
    Ok(reading.map(|reading| JournalState::whole(name, &reading, live)))
}

/// Keeps what is whole, and says what is not.
pub(super) fn repair(site: &Site<'_>, workflow: &str) -> Result<ExitStatus> {
    let state = site.state()?;
    let directory = state
        .find_workflow(workflow)?
        .ok_or_else(|| absent(&state, workflow))?;
    let repair = if site.dry_run {
        journal_repair::rehearse(&directory)?
    } else {
        repair_alone(site, &directory)?
    };
    if repair == Repair::Absent {
        return Err(absent(&state, workflow));
    }
    let text = match site.format {
        Format::Text => journal_state::repair_text(workflow, &repair),
        Format::Json => journal_state::repair_line(workflow, &repair),
    };
    site.terminal.say(Target::Stdout, text);
    Ok(ExitStatus::Success)
}

/// While no run is at it.
fn repair_alone(site: &Site<'_>, directory: &WorkflowDirectory) -> Result<Repair> {
    let now = Timestamp::now().to_string();
    let lock = WorkflowLock::acquire(directory, site.surroundings.process, &now)?;
    let repair = journal_repair::repair(directory, &lock);
    lock.release();
    repair
}

fn absent(state: &StateDirectory, workflow: &str) -> Error {
    let known = state.workflows().unwrap_or_default();
    let message = format!("the workflow `{}` has no journal", workflow.escape_debug());
    let hint = crate::suggest::hint(workflow, known.iter().map(String::as_str));
    Error::usage(message).with_hint(hint)
}
