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
use crate::state::record::Outcome;
use crate::state::run_record::RunRecord;
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
    /// Has it looked up on a thread of its own.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub(super) fn begin(root: PathBuf, workflow: String) -> Result<Self> {
        let known = Arc::default();
        let told = Arc::clone(&known);
        let answer = collect::aside("earlier-runs", move || {
            if let Ok(Some(state)) = StateDirectory::find(&root)
                && let Some(found) = earlier(&state, &workflow)
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

/// What the kept runs tell of `workflow`; nothing when none of its items was done in them.
pub(super) fn earlier(state: &StateDirectory, workflow: &str) -> Option<Earlier> {
    let runs = Runs::find(state).ok()??;
    let newest = runs.newest_first().into_iter().take(RECORDS_MAX);
    let records = newest.filter_map(|id| runs.record(&id).ok()?);
    add_up(records.filter(|record| record.workflow == workflow))
}

/// The newest record comes first.
fn add_up(records: impl Iterator<Item = RunRecord>) -> Option<Earlier> {
    let mut times: Vec<Duration> = Vec::new();
    let mut keys = None;
    for record in records {
        let before = times.len();
        times.extend(done_times(&record));
        if times.len() > before {
            keys.get_or_insert(record.credentials.len());
        }
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

fn done_times(record: &RunRecord) -> impl Iterator<Item = Duration> {
    let attempts = record.items.iter().filter_map(|item| item.attempts.last());
    let done = attempts.filter(|it| it.outcome == Some(Outcome::Done));
    done.filter_map(|it| it.duration_ms.map(Duration::from_millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::run_record::{ItemState, RunAttempt, RunItem};

    fn record(outcome: Outcome, keys: usize, seconds: &[u64]) -> RunRecord {
        let item = |(number, seconds): (usize, &u64)| RunItem {
            id: format!("item-{number}"),
            title: String::new(),
            state: ItemState::Ended,
            outcome: Some(outcome),
            reason: None,
            attempts: vec![RunAttempt {
                attempt: 1,
                started: jiff::Timestamp::UNIX_EPOCH,
                duration_ms: Some(seconds * 1000),
                outcome: Some(outcome),
                exit: None,
                credential: None,
                log: None,
            }],
        };
        let json = br#"{"format":"orchestrate-run","version":1,"run":"R","workflow":"w",
            "orchestrate_version":"0","started":"2026-11-23T00:00:00Z","command":["x"],"items":[]}"#;
        let mut record = RunRecord::from_json(json).unwrap();
        record.credentials = vec!["key".to_owned(); keys];
        record.items = seconds.iter().enumerate().map(item).collect();
        record
    }

    #[test]
    fn the_newest_runs_with_done_items_tell_until_there_are_enough() {
        let told = |records: Vec<RunRecord>| add_up(records.into_iter());
        let (done, failed) = (Outcome::Done, Outcome::Failed);
        let earlier = |seconds, samples, keys| {
            let usual = Duration::from_secs(seconds);
            Some(Earlier {
                usual,
                samples,
                keys,
            })
        };
        assert_eq!(told(vec![]), None);
        assert_eq!(told(vec![record(failed, 9, &[1, 2, 3])]), None);
        let mixed = vec![
            record(done, 7, &[]),
            record(failed, 8, &[1]),
            record(done, 2, &[10, 30]),
            record(done, 3, &[20]),
        ];
        assert_eq!(told(mixed), earlier(20, 3, 2));
        let many = vec![record(done, 1, &[5; 20]), record(done, 2, &[90; 90])];
        assert_eq!(told(many), earlier(5, 20, 1));
    }
}
