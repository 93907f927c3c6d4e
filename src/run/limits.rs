//! What bounds a run: what was asked for, as far as there are keys and descriptors for it.

use nix::sys::resource::{Resource, getrlimit};

use super::visit::Visit;
use crate::config::resolve::Mode;
use crate::error::{Error, Result};
use crate::schedule::bottleneck::Limiter;
use crate::schedule::scheduler::Limits;
use crate::schedule::stage::Discipline;

/// What we keep open ourselves, at most.
const OWN_DESCRIPTORS: usize = 32;

/// What a running item keeps open, both ends of its pipes while it is started included.
const ITEM_DESCRIPTORS_MAX: usize = 8;

/// The limits of a run of `items` items whose keys have this many slots; a person is told of what lowers the number of items at once.
///
/// # Errors
///
/// When not even one item may have the descriptors that it needs.
pub(super) fn limits(visit: &Visit<'_>, slots: usize, items: usize) -> Result<Limits> {
    let invocation = &visit.invocation;
    let (asked, discipline) = match invocation.mode {
        Mode::Sequential => (1, Discipline::Shared),
        Mode::Parallel(width) => (width, Discipline::Isolated),
    };
    let (mut width, mut narrowed_by) = (asked, None);
    if slots < width {
        (width, narrowed_by) = (slots, Some(Limiter::Credentials));
    }
    if slots < asked.min(items) {
        visit.voice.warning(&format!(
            "--parallel {asked} has only {slots} credential slots: no more items run at once; more keys, or \
             `slots` in [credentials], widen it"
        ));
    }
    let room = room_for_items()?;
    if room < width {
        (width, narrowed_by) = (room, Some(Limiter::Room));
        visit.voice.warning(&format!(
            "--parallel {asked} is lowered to {room}: no more file descriptors are allowed; `ulimit -n 1024` widens it"
        ));
    }
    Ok(Limits {
        width,
        asked,
        narrowed_by,
        failures_max: invocation.failures_max,
        credential_wait: invocation.credential_wait,
        timeout: invocation.timeout,
        idle_timeout: invocation.idle_timeout,
        stop_after: invocation.stop_after,
        retry: invocation.retry.clone(),
        // Two runs that began in the same second shall not retry in step.
        seed: u64::from(std::process::id()),
        grace: invocation.grace,
        discipline,
    })
}

/// How many items the limit on open files leaves room for (getrlimit(2)).
fn room_for_items() -> Result<usize> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE)
        .map_err(|error| Error::state(format!("cannot read the limit on open files: {error}")))?;
    let soft = usize::try_from(soft).unwrap_or(usize::MAX);
    match soft.saturating_sub(OWN_DESCRIPTORS) / ITEM_DESCRIPTORS_MAX {
        0 => {
            let message = format!("only {soft} open files are allowed, too few to run an item");
            Err(Error::usage(message).with_hint("ulimit -n 1024"))
        }
        room => Ok(room),
    }
}
