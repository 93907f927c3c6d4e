//! `orchestrate status`: how a run stands, or how it went.

use jiff::Timestamp;

use super::Site;
use crate::cli::Status;
use crate::config::options::Format;
use crate::error::{Error, ExitStatus, Result};
use crate::output::Target;
use crate::report::run_status;
use crate::report::run_view::RunView;
use crate::state::run_id::RunId;
use crate::state::runs::{KeptRun, Runs};

pub(super) fn show(site: &Site<'_>, arguments: &Status) -> Result<ExitStatus> {
    let state = site.state()?;
    let runs = Runs::find(&state)?.ok_or_else(|| site.no_run())?;
    let (_, kept) = wanted(site, &runs, arguments.run.as_deref())?;
    let view = RunView::new(kept.record, &kept.events, kept.life);
    let now = Timestamp::now();
    let path = site.seen_from_here(state.path()).display().to_string();
    let text = match site.format {
        Format::Text => run_status::text(&view, &path, now, site.look()),
        Format::Json => run_status::json_line(&view, &path, now),
    };
    site.terminal.say(Target::Stdout, text);
    Ok(ExitStatus::Success)
}

/// The run that was named, or the newest that has written something down: one has its folder a moment before.
pub(super) fn wanted(
    site: &Site<'_>,
    runs: &Runs<'_>,
    name: Option<&str>,
) -> Result<(RunId, KeptRun)> {
    if let Some(name) = name {
        let id = runs.named(name)?;
        let kept = runs.read(&id)?;
        let kept =
            kept.ok_or_else(|| Error::usage(format!("the run {id} has written nothing down")))?;
        return Ok((id, kept));
    }
    for id in runs.newest_first() {
        if let Some(kept) = runs.read(&id)? {
            return Ok((id, kept));
        }
    }
    Err(site.no_run())
}
