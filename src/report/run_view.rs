//! What is known of one run, its record and its events laid over each other.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::state::record::Outcome;
use crate::state::run_event::{EventLine, RunEvent};
use crate::state::run_record::{CredentialState, ItemState, Life, RunAttempt, RunItem, RunRecord};

/// One run.
#[derive(Debug)]
pub struct RunView {
    /// What the run has written down, its items apart.
    pub record: RunRecord,
    /// Whether it still goes on.
    pub life: Life,
    /// The stage that its stop has reached, if it is being stopped.
    pub stage: Option<String>,
    /// What limits it, if it goes on: what, how many items run, and how many would.
    pub limit: Option<Limit>,
    /// Its items, in their order.
    pub items: Vec<ItemView>,
}

/// What keeps a run from being as wide as was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// `credentials`, `provider`, `room`: text from outside.
    pub limiter: String,
    /// How many items ran when it began.
    pub running: usize,
    /// How many would have.
    pub wanted: usize,
}

/// One item of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemView {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// How far it is.
    pub state: Standing,
    /// Why it is no further.
    pub reason: Option<String>,
    /// Its attempts in this run, one that goes on included.
    pub attempts: Vec<RunAttempt>,
    /// How far it says that it is; only while it runs.
    pub progress: Option<String>,
}

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// It took too long, or was silent for too long.
    TimedOut,
    /// It ended, and the journal does not know.
    NotRecorded,
    /// It was stopped with the run.
    Interrupted,
    /// It got no credential in time.
    Deferred,
    /// It ran when the run was killed.
    CutOff,
    /// It runs.
    Running,
    /// It waits for another attempt.
    Waiting,
    /// It waits for its first attempt.
    Pending,
    /// The run is over, and it was not started.
    NotStarted,
    /// It was not to be started.
    Skipped,
}

impl Standing {
    /// All, those that a person asks for first in front.
    pub const ALL: [Self; 12] = [
        Self::Done,
        Self::Failed,
        Self::TimedOut,
        Self::NotRecorded,
        Self::Interrupted,
        Self::Deferred,
        Self::CutOff,
        Self::Running,
        Self::Waiting,
        Self::Pending,
        Self::NotStarted,
        Self::Skipped,
    ];

    /// The word that stands in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::NotRecorded => "not-recorded",
            Self::Interrupted => "interrupted",
            Self::Deferred => "deferred",
            Self::CutOff => "cut-off",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Pending => "pending",
            Self::NotStarted => "not-started",
            Self::Skipped => "skipped",
        }
    }

    /// Whether it is a failure that a person has to look at.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::NotRecorded)
    }

    pub(super) const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Failed => Self::Failed,
            Outcome::TimedOut => Self::TimedOut,
            Outcome::Interrupted => Self::Interrupted,
            Outcome::Deferred => Self::Deferred,
        }
    }
}

impl RunView {
    /// Lays what has happened over what was written down. What the run wrote at its end is the last word.
    #[must_use]
    pub fn new(mut record: RunRecord, events: &[EventLine], life: Life) -> Self {
        let items = std::mem::take(&mut record.items);
        let mut view = Self {
            items: items.into_iter().map(ItemView::new).collect(),
            stage: None,
            limit: None,
            record,
            life,
        };
        if life != Life::Ended {
            view.lay_over(events);
        }
        for item in &mut view.items {
            item.state = match (view.life, item.state) {
                (Life::CutOff, Standing::Running) => Standing::CutOff,
                (Life::CutOff | Life::Ended, Standing::Pending | Standing::Waiting) => {
                    Standing::NotStarted
                }
                (_, state) => state,
            };
        }
        view
    }

    fn lay_over(&mut self, events: &[EventLine]) {
        let places: BTreeMap<String, usize> = self
            .items
            .iter()
            .enumerate()
            .map(|(place, item)| (item.id.clone(), place))
            .collect();
        for line in events {
            let item = match &line.event {
                RunEvent::AttemptStarted { item, .. }
                | RunEvent::Progressed { item, .. }
                | RunEvent::AttemptWithdrawn { item }
                | RunEvent::AttemptEnded { item, .. }
                | RunEvent::Retrying { item, .. }
                | RunEvent::ItemDeferred { item } => item,
                RunEvent::CredentialChanged {
                    credential,
                    state,
                    until,
                } => {
                    let state = CredentialState {
                        state: state.clone(),
                        until: *until,
                    };
                    let states = &mut self.record.credential_states;
                    states.insert(credential.clone(), state);
                    continue;
                }
                RunEvent::LimiterChanged {
                    limiter,
                    running,
                    wanted,
                } => {
                    self.limit = limiter.clone().map(|limiter| Limit {
                        limiter,
                        running: *running,
                        wanted: *wanted,
                    });
                    continue;
                }
                RunEvent::StageRaised { stage, .. } => {
                    self.stage = Some(stage.clone());
                    continue;
                }
                RunEvent::RunEnded { exit_status } => {
                    // It was killed between its last event and its last record.
                    self.life = Life::Ended;
                    self.record.ended = Some(line.at);
                    self.record.exit_status = *exit_status;
                    continue;
                }
                RunEvent::RunStarted { .. } | RunEvent::Unknown => continue,
            };
            if let Some(&place) = places.get(item) {
                self.items[place].happened(line);
            }
        }
    }

    /// How many items are how far; what none is, is left out.
    pub fn counts(&self) -> impl Iterator<Item = (Standing, usize)> {
        Standing::ALL.into_iter().filter_map(|state| {
            let count = self.items.iter().filter(|item| item.state == state).count();
            (count > 0).then_some((state, count))
        })
    }

    /// How long the run took, or has taken until `now`; nothing when it was killed, for nobody knows when.
    #[must_use]
    pub fn duration(&self, now: Timestamp) -> Option<Duration> {
        let until = match self.life {
            Life::CutOff => return None,
            Life::Ended => self.record.ended?,
            Life::Running => now,
        };
        Some(since(self.record.started, until))
    }

    /// The median and the greatest duration of the last attempts of done items, the latter with its item.
    #[must_use]
    pub fn durations(&self) -> Option<(Duration, Duration, &ItemView)> {
        let done = self.items.iter().filter(|it| it.state == Standing::Done);
        let mut known: Vec<(Duration, &ItemView)> = done
            .filter_map(|item| Some((item.last_duration()?, item)))
            .collect();
        known.sort_by_key(|(duration, _)| *duration);
        let (slowest, item) = *known.last()?;
        Some((known[known.len() / 2].0, slowest, item))
    }

    /// The credentials, by label: on how many items each was used, and how many attempts failed with it.
    #[must_use]
    pub fn credentials(&self) -> BTreeMap<&str, (usize, usize)> {
        let labels = self.record.credentials.iter();
        let mut all: BTreeMap<&str, (usize, usize)> =
            labels.map(|label| (label.as_str(), (0, 0))).collect();
        for item in &self.items {
            let mut used: Vec<&str> = Vec::new();
            for attempt in &item.attempts {
                let Some(label) = attempt.credential.as_deref() else {
                    continue;
                };
                let (items, failures) = all.entry(label).or_default();
                *items += usize::from(!used.contains(&label));
                *failures += usize::from(attempt.outcome.is_some_and(is_failure));
                used.push(label);
            }
        }
        all
    }
}

impl ItemView {
    fn new(item: RunItem) -> Self {
        let state = match (item.state, item.outcome) {
            (ItemState::NotRecorded, _) => Standing::NotRecorded,
            (ItemState::Ended, Some(outcome)) => Standing::of(outcome),
            (ItemState::Running, _) => Standing::Running,
            (ItemState::Skipped, _) => Standing::Skipped,
            (ItemState::Pending, _) | (ItemState::Ended, None) => Standing::Pending,
        };
        let exit = item.attempts.last().and_then(|last| last.exit.clone());
        Self {
            id: item.id,
            title: item.title,
            state,
            reason: item.reason.or(exit),
            attempts: item.attempts,
            progress: None,
        }
    }

    fn happened(&mut self, line: &EventLine) {
        // Whatever else happens, it begins or ends.
        self.progress = match &line.event {
            RunEvent::Progressed { text, .. } => Some(text.clone()),
            _ => None,
        };
        match &line.event {
            RunEvent::AttemptStarted {
                attempt,
                credential,
                log,
                ..
            } => {
                self.state = Standing::Running;
                self.reason = None;
                self.attempts.push(RunAttempt {
                    attempt: *attempt,
                    started: line.at,
                    duration_ms: None,
                    outcome: None,
                    exit: None,
                    credential: credential.clone(),
                    log: log.clone(),
                });
            }
            RunEvent::AttemptWithdrawn { .. } => {
                self.attempts.pop();
                self.state = Standing::Pending;
            }
            RunEvent::AttemptEnded {
                outcome,
                exit,
                duration_ms,
                recorded,
                ..
            } => {
                self.state = if *recorded {
                    Standing::of(*outcome)
                } else {
                    Standing::NotRecorded
                };
                self.reason = Some(exit.clone());
                if let Some(last) = self.attempts.last_mut() {
                    last.duration_ms = Some(*duration_ms);
                    last.outcome = Some(*outcome);
                    last.exit = Some(exit.clone());
                }
            }
            RunEvent::Retrying { .. } => self.state = Standing::Waiting,
            RunEvent::ItemDeferred { .. } => self.state = Standing::Deferred,
            RunEvent::CredentialChanged { .. }
            | RunEvent::LimiterChanged { .. }
            | RunEvent::Progressed { .. }
            | RunEvent::RunStarted { .. }
            | RunEvent::StageRaised { .. }
            | RunEvent::RunEnded { .. }
            | RunEvent::Unknown => {}
        }
    }

    /// The attempt that goes on, or the last one.
    #[must_use]
    pub fn last(&self) -> Option<&RunAttempt> {
        self.attempts.last()
    }

    /// How long its last attempt took, when that has ended.
    #[must_use]
    pub fn last_duration(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.last()?.duration_ms?))
    }

    /// How long its last attempt took, or has taken until `now` when it runs.
    #[must_use]
    pub fn duration(&self, now: Timestamp) -> Option<Duration> {
        match self.state {
            Standing::Running => Some(since(self.last()?.started, now)),
            _ => self.last_duration(),
        }
    }
}

const fn is_failure(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Failed | Outcome::TimedOut)
}

fn since(from: Timestamp, until: Timestamp) -> Duration {
    // A clock that was set back meanwhile.
    Duration::try_from(until.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
pub(in crate::report) mod tests {
    use super::*;
    use crate::state::run_event::VERSION;

    pub(in crate::report) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    pub(in crate::report) fn line(second: i64, event: RunEvent) -> EventLine {
        EventLine {
            version: VERSION,
            at: at(second),
            event,
        }
    }

    pub(in crate::report) fn started(item: &str, attempt: u32) -> RunEvent {
        RunEvent::AttemptStarted {
            item: item.to_owned(),
            attempt,
            slot: 1,
            credential: Some("key-1".to_owned()),
            log: Some(format!("runs/R/logs/{item}.{attempt}.log")),
        }
    }

    pub(in crate::report) fn ended(item: &str, outcome: Outcome, exit: &str) -> RunEvent {
        RunEvent::AttemptEnded {
            item: item.to_owned(),
            attempt: 1,
            outcome,
            exit: exit.to_owned(),
            duration_ms: 1500,
            credential: Some("key-1".to_owned()),
            log: None,
            recorded: true,
        }
    }

    fn withdrawn(item: &str) -> RunEvent {
        let item = item.to_owned();
        RunEvent::AttemptWithdrawn { item }
    }

    fn retrying(item: &str) -> RunEvent {
        RunEvent::Retrying {
            item: item.to_owned(),
            attempt: 2,
            wait_ms: 2000,
        }
    }

    fn unrecorded(item: &str) -> RunEvent {
        match ended(item, Outcome::Done, "exit 0") {
            RunEvent::AttemptEnded {
                item,
                attempt,
                outcome,
                exit,
                duration_ms,
                credential,
                log,
                ..
            } => RunEvent::AttemptEnded {
                item,
                attempt,
                outcome,
                exit,
                duration_ms,
                credential,
                log,
                recorded: false,
            },
            other => other,
        }
    }

    /// A run of these items that has only begun.
    pub(in crate::report) fn begun(items: &[&str]) -> RunRecord {
        let item = |id: &&str| RunItem {
            id: (*id).to_owned(),
            title: String::new(),
            state: ItemState::Pending,
            outcome: None,
            reason: None,
            attempts: Vec::new(),
        };
        RunRecord {
            run: "20231114T221320Z-4f2a".to_owned(),
            workflow: "w".to_owned(),
            orchestrate_version: "0.1.0".to_owned(),
            started: at(0),
            ended: None,
            parallel: Some(2),
            command: Vec::new(),
            verify: Vec::new(),
            credentials: vec!["key-1".to_owned()],
            credential_states: BTreeMap::new(),
            lost: None,
            forecast_ms: None,
            exit_status: None,
            items: items.iter().map(item).collect(),
        }
    }

    #[test]
    fn an_item_is_as_far_as_its_last_event_says() {
        let done = || ended("a", Outcome::Done, "exit 0");
        let failed = || ended("a", Outcome::Failed, "exit 1");
        let deferred = || RunEvent::ItemDeferred {
            item: "a".to_owned(),
        };
        for (events, running, cut_off) in [
            (vec![], Standing::Pending, Standing::NotStarted),
            (vec![started("a", 1)], Standing::Running, Standing::CutOff),
            (
                vec![started("a", 1), withdrawn("a")],
                Standing::Pending,
                Standing::NotStarted,
            ),
            (
                vec![started("a", 1), done()],
                Standing::Done,
                Standing::Done,
            ),
            (
                vec![started("a", 1), failed()],
                Standing::Failed,
                Standing::Failed,
            ),
            (
                vec![started("a", 1), failed(), retrying("a")],
                Standing::Waiting,
                Standing::NotStarted,
            ),
            (
                vec![started("a", 1), failed(), retrying("a"), started("a", 2)],
                Standing::Running,
                Standing::CutOff,
            ),
            (
                vec![started("a", 1), unrecorded("a")],
                Standing::NotRecorded,
                Standing::NotRecorded,
            ),
            (vec![deferred()], Standing::Deferred, Standing::Deferred),
            (
                vec![RunEvent::Unknown, started("stranger", 1)],
                Standing::Pending,
                Standing::NotStarted,
            ),
            // The beginning of the file is missing.
            (vec![done()], Standing::Done, Standing::Done),
        ] {
            let lines: Vec<EventLine> = events.into_iter().map(|event| line(1, event)).collect();
            for (life, expected) in [(Life::Running, running), (Life::CutOff, cut_off)] {
                let view = RunView::new(begun(&["a"]), &lines, life);
                assert_eq!(view.items[0].state, expected, "{life:?} {lines:?}");
            }
        }
    }

    #[test]
    fn what_was_written_at_the_end_is_the_last_word() {
        let mut record = begun(&["a"]);
        record.ended = Some(at(9));
        record.items[0].state = ItemState::Ended;
        record.items[0].outcome = Some(Outcome::Done);
        let view = RunView::new(record, &[line(1, started("a", 1))], Life::Ended);
        assert_eq!(view.items[0].state, Standing::Done);
        assert_eq!(view.duration(at(100)), Some(Duration::from_secs(9)));
    }

    #[test]
    fn a_run_that_was_killed_after_its_last_event_has_ended() {
        let exit_status = Some(1);
        let events = [line(7, RunEvent::RunEnded { exit_status })];
        let view = RunView::new(begun(&["a"]), &events, Life::CutOff);
        assert_eq!((view.life, view.record.exit_status), (Life::Ended, Some(1)));
        assert_eq!(view.items[0].state, Standing::NotStarted);
        let cut = RunView::new(begun(&["a"]), &[], Life::CutOff);
        assert_eq!(cut.duration(at(100)), None);
    }

    #[test]
    fn a_credential_counts_items_once_and_failures_always() {
        let events = [
            line(1, started("a", 1)),
            line(2, ended("a", Outcome::Failed, "exit 1")),
            line(3, started("a", 2)),
            line(4, ended("a", Outcome::TimedOut, "SIGKILL")),
            line(5, started("b", 1)),
        ];
        let view = RunView::new(begun(&["a", "b"]), &events, Life::Running);
        assert_eq!(view.credentials(), BTreeMap::from([("key-1", (2, 2))]));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_negative_time() {
        let view = RunView::new(begun(&["a"]), &[line(5, started("a", 1))], Life::Running);
        assert_eq!(view.duration(at(-100)), Some(Duration::ZERO));
        assert_eq!(view.items[0].duration(at(1)), Some(Duration::ZERO));
    }
}
