//! What `run.json` says of a run: written when it begins and when it ends.

use std::rc::Rc;

use jiff::Timestamp;

use super::launch::millis;
use super::session::{Live, recorded, shown_title};
use super::visit::Visit;
use crate::config::resolve::Mode;
use crate::credential::secret::Secret;
use crate::error::Error;
use crate::items::batch::Batch;
use crate::items::plan::{Plan, PlannedState};
use crate::items::template::Template;
use crate::output::mask::Masker;
use crate::report::result::ItemResult;
use crate::state::directory::RunDirectory;
use crate::state::record::Outcome;
use crate::state::run_items::RunItems;
use crate::state::run_record::{ItemState, RunAttempt, RunItem, RunRecord};

/// The items that are to run, and what the record says of them as long as the run goes on.
pub(super) fn items(plan: Plan, masker: &Masker) -> (Rc<Batch>, RunItems) {
    // No process will be started for these, which is known already.
    let refused = plan.in_state(PlannedState::Refused).map(|planned| RunItem {
        id: planned.item.id.to_string(),
        title: shown_title(&planned.item.title, masker),
        state: ItemState::Ended,
        outcome: Some(Outcome::Failed),
        reason: Some(masker.mask_text(planned.reason).into_owned()),
        attempts: Vec::new(),
    });
    let refused = refused.collect();
    let items = Rc::new(plan.into_pending());
    let title = |title: &str| shown_title(title, masker);
    let in_record = RunItems::new(Rc::clone(&items), refused, title);
    (items, in_record)
}

/// The record of a run that begins.
pub(super) fn beginning(
    visit: &Visit<'_>,
    items: RunItems,
    run: &RunDirectory,
    secrets: &[Secret],
    masker: &Masker,
    started: Timestamp,
) -> RunRecord<RunItems> {
    let invocation = &visit.invocation;
    let argument = |template: &Template| masker.mask_text(template.source()).into_owned();
    RunRecord {
        run: run.id().to_string(),
        workflow: invocation.workflow.name.clone(),
        orchestrate_version: env!("CARGO_PKG_VERSION").to_owned(),
        started,
        ended: None,
        parallel: match invocation.mode {
            Mode::Sequential => None,
            Mode::Parallel(width) => u32::try_from(width).ok(),
        },
        command: invocation.workflow.command.iter().map(argument).collect(),
        verify: invocation.workflow.verify.iter().map(argument).collect(),
        credentials: secrets
            .iter()
            .map(|secret| secret.label().to_owned())
            .collect(),
        credential_states: std::collections::BTreeMap::new(),
        lost: None,
        forecast_ms: None,
        exit_status: None,
        items,
    }
}

/// Takes note of an attempt that has ended.
pub(super) fn note(
    item: &mut RunItem,
    live: &Live,
    result: &ItemResult,
    exit: &str,
    log: Option<String>,
) {
    item.state = ItemState::Ended;
    item.outcome = Some(recorded(result.outcome));
    item.attempts.push(RunAttempt {
        attempt: live.attempt,
        started: live.started,
        duration_ms: Some(millis(result.duration)),
        outcome: Some(recorded(result.outcome)),
        exit: Some(exit.to_owned()),
        credential: live.credential.clone(),
        log,
    });
}

/// Takes note of an item that got no credential in time.
pub(super) fn note_deferred(item: &mut RunItem, why: String) {
    item.state = ItemState::Ended;
    item.outcome = Some(Outcome::Deferred);
    item.reason = Some(why);
}

/// Takes note of an attempt that the journal could not take.
pub(super) fn note_lost(item: &mut RunItem, error: &Error) {
    item.state = ItemState::NotRecorded;
    item.outcome = None;
    item.reason = Some(error.to_string());
}
