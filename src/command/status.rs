//! `orchestrate status`: how a run stands, or how it went.

use jiff::Timestamp;

use super::Site;
use crate::cli::Status;
use crate::config::options::Format;
use crate::error::{Error, ExitStatus, Result};
use crate::output::Target;
use crate::report::run_status;
use crate::report::run_view::RunView;
use crate::state::runs::{KeptRun, Runs};

pub(super) fn show(site: &Site<'_>, arguments: &Status) -> Result<ExitStatus> {
    let state = site.state()?;
    let runs = Runs::find(&state)?.ok_or_else(|| site.no_run())?;
    let kept = match &arguments.run {
        Some(name) => named(&runs, name)?,
        None => newest(&runs)?.ok_or_else(|| site.no_run())?,
    };
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

fn named(runs: &Runs<'_>, name: &str) -> Result<KeptRun> {
    let id = runs.named(name)?;
    runs.read(&id)?
        .ok_or_else(|| Error::usage(format!("the run {id} has written nothing down")))
}

/// The newest run that has written something down: one has its folder a moment before.
fn newest(runs: &Runs<'_>) -> Result<Option<KeptRun>> {
    for id in runs.newest_first() {
        if let Some(kept) = runs.read(&id)? {
            return Ok(Some(kept));
        }
    }
    Ok(None)
}
