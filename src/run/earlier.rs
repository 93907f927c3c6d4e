//! What earlier runs of a workflow tell of the next one: how long its items took, and how many keys there were.
//!
//! The dry run asks before it answers, a run in parallel mode while its items run already. It reads the records that are
//! kept, and decides nothing by them: what cannot be read is not known.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot;

use super::collect;
use crate::error::Result;
use crate::report::estimate::median;
use crate::report::forecast::Earlier;
use crate::state::directory::StateDirectory;
use crate::state::run_id::RunId;
use crate::state::run_times::RunTimes;
use crate::state::runs::Runs;

/// No more records are read: the newest.
const RECORDS_MAX: usize = 20;

/// Of older runs no item is counted when the newer ones have so many.
const SAMPLES_ENOUGH: usize = 20;

/// What is known of earlier runs, as soon as it is.
pub(super) struct LookBack {
    known: Arc<OnceLock<Earlier>>,
    answer: Option<oneshot::Receiver<()>>,
}

impl LookBack {
    /// Has it looked up on a thread of its own; `ours` is the run that asks, which has nothing to tell.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub(super) fn begin(root: PathBuf, workflow: String, ours: Option<RunId>) -> Result<Self> {
        let known = Arc::default();
        let told = Arc::clone(&known);
        let answer = collect::aside("earlier-runs", move || {
            if let Ok(Some(state)) = StateDirectory::find(&root)
                && let Some(found) = earlier(&state, &workflow, ours.as_ref())
            {
                let _known = OnceLock::set(&told, found);
            }
        })?;
        Ok(Self {
            known,
            answer: Some(answer),
        })
    }

    /// What is known now.
    pub(super) fn known(&self) -> Option<&Earlier> {
        self.known.get()
    }

    /// What to wait for until all is known that can be; once.
    pub(super) const fn take_answer(&mut self) -> Option<oneshot::Receiver<()>> {
        self.answer.take()
    }
}

/// What the kept runs tell of `workflow`, the one that asks apart; nothing when none of its items was done in them.
pub(super) fn earlier(
    state: &StateDirectory,
    workflow: &str,
    ours: Option<&RunId>,
) -> Option<Earlier> {
    let runs = Runs::find(state).ok()??;
    let newest = runs.newest_first().into_iter();
    let newest = newest.filter(|id| Some(id) != ours).take(RECORDS_MAX);
    let told = newest.filter_map(|id| runs.times(&id));
    add_up(told.filter(|run| run.workflow == workflow))
}

/// The newest run comes first.
fn add_up(runs: impl Iterator<Item = RunTimes>) -> Option<Earlier> {
    let mut times: Vec<Duration> = Vec::new();
    let mut keys = None;
    for run in runs {
        if !run.done.is_empty() {
            keys.get_or_insert(run.credentials);
        }
        times.extend(run.done);
        if times.len() >= SAMPLES_ENOUGH {
            break;
        }
    }
    let samples = times.len();
    Some(Earlier {
        usual: median(times)?,
        samples,
        keys: keys.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(credentials: usize, seconds: &[u64]) -> RunTimes {
        RunTimes {
            workflow: "w".to_owned(),
            credentials,
            done: seconds.iter().copied().map(Duration::from_secs).collect(),
        }
    }

    #[test]
    fn the_newest_runs_with_done_items_tell_until_there_are_enough() {
        let told = |runs: Vec<RunTimes>| add_up(runs.into_iter());
        let earlier = |seconds, samples, keys| {
            let usual = Duration::from_secs(seconds);
            Some(Earlier {
                usual,
                samples,
                keys,
            })
        };
        assert_eq!(told(vec![]), None);
        assert_eq!(told(vec![run(9, &[])]), None);
        let mixed = vec![run(7, &[]), run(2, &[10, 30]), run(3, &[20])];
        assert_eq!(told(mixed), earlier(20, 3, 2));
        let many = vec![run(1, &[5; 20]), run(2, &[90; 90])];
        assert_eq!(told(many), earlier(5, 20, 1));
    }
}
