//! Items × what is known about them → what this run would do with each, and why. Pure.
//!
//! The run collects the facts (journal, done files, whether a command can be built) and asks here once; the dry run prints the
//! answer and the run obeys it, so both always agree. Every item gets a reason that a person can read.

use super::batch::Batch;
use super::item::{Item, Readiness};
use super::selector::{self, Selector};
use crate::error::Result;
use crate::escape::shown;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// How the last attempt at an item ended, as the journal has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastOutcome {
    /// It was done.
    Done,
    /// It failed.
    Failed,
    /// We stopped it.
    Interrupted,
    /// It ran out of time.
    TimedOut,
    /// It went back to the queue and was not tried again (rate limit, rejected credential).
    Deferred,
    /// It began, and nobody was left to record its end.
    CutOff,
    /// It has not ended: another run is at it.
    Running,
}

/// The last attempt at an item, as the journal has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAttempt<'h> {
    /// How it ended.
    pub outcome: LastOutcome,
    /// The item's content hash at that time.
    pub content_hash: &'h str,
    /// Whether the workflow's command is another one by now.
    pub command_changed: bool,
}

/// What is known about one item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts<'h> {
    /// The file that says that the item is done, when there is one.
    pub done_file: Option<String>,
    /// The last attempt, when there was one.
    pub last: Option<LastAttempt<'h>>,
    /// Why no command can be built for the item, when that is so.
    pub refusal: Option<String>,
}

/// Which done items run again (`--rerun`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rerun {
    /// None.
    #[default]
    None,
    /// Those whose content differs from what the journal recorded.
    Changed,
    /// All of them.
    All,
}

impl FromStr for Rerun {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "changed" => Ok(Self::Changed),
            "all" => Ok(Self::All),
            _ => Err("it is `changed` or `all`".to_owned()),
        }
    }
}

/// Which items alone run (`--only`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// Those whose last attempt failed, timed out, was interrupted or cut off.
    Failed,
}

impl FromStr for Only {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "failed" => Ok(Self::Failed),
            _ => Err("it is `failed`".to_owned()),
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The ITEMs of the command line; none means all.
    pub selectors: Vec<Selector>,
    /// Which done items run again.
    pub rerun: Rerun,
    /// Which items alone run.
    pub only: Option<Only>,
    /// How many items run at most.
    pub limit: Option<usize>,
}

/// What this run does with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlannedState {
    /// It runs.
    Pending,
    /// It is done.
    Done,
    /// Its source says that it cannot be worked on.
    Unready,
    /// No command can be built for it.
    Refused,
    /// `--only` or `--limit` leaves it out.
    Excluded,
}

impl fmt::Display for PlannedState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Unready => "unready",
            Self::Refused => "refused",
            Self::Excluded => "excluded",
        })
    }
}

/// One item of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned<'a> {
    /// The item.
    pub item: Cow<'a, Item>,
    /// What happens to it.
    pub state: PlannedState,
    /// Why, short and escaped.
    pub reason: &'a str,
}

/// What a run does with every selected item, in the source's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    items: Batch,
    /// What happens to so many items in a row: very many may wait, or be done, for the same reason.
    fates: Vec<(usize, Fate)>,
}

type Fate = (PlannedState, Cow<'static, str>);

impl Plan {
    /// The fate of each item.
    fn fates(&self) -> impl Iterator<Item = &Fate> {
        let fates = self.fates.iter();
        fates.flat_map(|(count, fate)| std::iter::repeat_n(fate, *count))
    }

    /// All items, in the source's order.
    pub fn planned(&self) -> impl Iterator<Item = Planned<'_>> {
        let pairs = self.items.iter().zip(self.fates());
        pairs.map(|(item, (state, reason))| Planned {
            item,
            state: *state,
            reason,
        })
    }

    /// Those that are in `state`.
    pub fn in_state(&self, state: PlannedState) -> impl Iterator<Item = Planned<'_>> {
        let fates = (0..).zip(self.fates());
        fates
            .filter(move |(_, (its_state, _))| *its_state == state)
            .map(|(index, (state, reason))| Planned {
                item: self.items.get(index),
                state: *state,
                reason,
            })
    }

    /// The items that run, in the source's order.
    #[must_use]
    pub fn into_pending(mut self) -> Batch {
        let counts = self.fates.iter();
        let mut fates = counts.flat_map(|(count, fate)| std::iter::repeat_n(fate, *count));
        let mut is_next_pending = || {
            let fate = fates.next();
            fate.is_some_and(|(state, _)| *state == PlannedState::Pending)
        };
        self.items.retain(&mut is_next_pending);
        self.items
    }

    /// How many items are in `state`.
    #[must_use]
    pub fn count(&self, state: PlannedState) -> usize {
        let fates = self.fates.iter();
        let counts = fates.filter(|(_, (its_state, _))| *its_state == state);
        counts.map(|(count, _)| count).sum()
    }

    /// How many items there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// Says what happens to each of `items`; `facts` is asked once for every selected item, in order.
///
/// A source may have a done item no more: its issue is closed, its document moved. So that the same command line can be
/// typed again until everything is done, an ITEM may also name one of those `remembered`, if that is done.
///
/// # Errors
///
/// Selectors that match no item, all of them named (exit 2).
pub fn plan<'h>(
    items: Batch,
    remembered: impl Iterator<Item = Item>,
    mut facts: impl FnMut(&Item) -> Facts<'h>,
    choice: &Choice,
) -> Result<Plan> {
    let mut room = choice.limit.unwrap_or(usize::MAX);
    let mut selected = selector::select(items, &choice.selectors);
    let present = selected.items.len();
    let mut gone = Vec::new();
    if selected.misses_some() && choice.rerun != Rerun::All {
        selected.extend_from(remembered, |item| {
            let facts = facts(item);
            let done = done_by(&facts);
            let is_done = done.is_some();
            let unfinished = facts.last.and_then(|last| last_time(last.outcome));
            let though = unfinished.map_or_else(String::new, |how| format!(", though it {how}"));
            gone.extend(done.map(|done| format!("{done}{though}; its source has it no more")));
            is_done
        });
    }
    let items = selected.complete()?;
    let gone = gone.into_iter();
    let gone = gone.map(|reason| (PlannedState::Done, Cow::Owned(reason)));
    let fates = items.iter().take(present).map(|item| {
        let (state, reason) = judge(&item, &facts(&item), choice);
        if state != PlannedState::Pending {
            return (state, reason);
        }
        if let Some(less) = room.checked_sub(1) {
            room = less;
            return (state, reason);
        }
        let reason = format!("beyond --limit {}", choice.limit.unwrap_or_default());
        (PlannedState::Excluded, Cow::Owned(reason))
    });
    let fates = in_a_row(fates.chain(gone));
    Ok(Plan { items, fates })
}

/// How many items in a row have which fate.
fn in_a_row(fates: impl Iterator<Item = Fate>) -> Vec<(usize, Fate)> {
    let mut rows: Vec<(usize, Fate)> = Vec::new();
    for fate in fates {
        match rows.last_mut() {
            Some((count, last)) if *last == fate => *count += 1,
            Some(_) | None => rows.push((1, fate)),
        }
    }
    rows
}

/// What says that an item is done, if something does: the journal, else a file.
fn done_by(facts: &Facts<'_>) -> Option<Cow<'static, str>> {
    if facts
        .last
        .is_some_and(|last| last.outcome == LastOutcome::Done)
    {
        return Some(Cow::Borrowed("done"));
    }
    let file = facts.done_file.as_ref()?;
    Some(Cow::Owned(format!("{} exists", shown(file))))
}

/// What happens to one item, whatever happens to the others.
///
/// Done comes first, because a done item is never started again unless somebody asks; the item's own obstacles come before
/// `--only`, so that the reason shown is the one that a person has to mend.
fn judge(item: &Item, facts: &Facts<'_>, choice: &Choice) -> Fate {
    let why = match doneness(item, facts, choice) {
        Doneness::Stays(reason) => return (PlannedState::Done, reason),
        Doneness::RunsAgain(reason) => Some(Cow::Owned(reason)),
        Doneness::NotDone => None,
    };
    let ready = match &item.readiness {
        Readiness::Ready(reason) => reason,
        Readiness::Unready(reason) => return (PlannedState::Unready, reason.clone().into()),
    };
    let last = facts.last.map(|last| last.outcome);
    if choice.only == Some(Only::Failed) && !last.is_some_and(is_failure) {
        return (PlannedState::Excluded, not_failed(last).into());
    }
    if let Some(refusal) = &facts.refusal {
        return (PlannedState::Refused, refusal.clone().into());
    }
    let reason = why
        .or_else(|| last.and_then(last_time).map(Cow::Borrowed))
        .or_else(|| (!ready.is_empty()).then(|| ready.clone().into()));
    let reason = reason.unwrap_or(Cow::Borrowed("not run yet"));
    (PlannedState::Pending, reason)
}

/// Whether an item is done, and whether that holds it back.
enum Doneness {
    Stays(Cow<'static, str>),
    RunsAgain(String),
    NotDone,
}

fn doneness(item: &Item, facts: &Facts<'_>, choice: &Choice) -> Doneness {
    let changed = facts.last.and_then(|last| what_changed(item, last));
    let Some(done) = done_by(facts) else {
        return Doneness::NotDone;
    };
    let unfinished = facts.last.and_then(|last| last_time(last.outcome));
    match choice.rerun {
        Rerun::All => return Doneness::RunsAgain(format!("{done}; --rerun all")),
        Rerun::Changed => {
            if let Some(what) = changed {
                return Doneness::RunsAgain(format!("{done}, {what} since; --rerun changed"));
            }
        }
        Rerun::None => {}
    }
    let hint = match (unfinished, changed) {
        // The file may be what the attempt left half-written, or somebody's own work since: only a person can tell.
        (Some(how), _) => format!(", though it {how}; --rerun all runs it"),
        (None, Some(what)) => format!(", {what} since; --rerun changed runs it"),
        (None, None) if !choice.selectors.is_empty() => "; --rerun all runs it".to_owned(),
        (None, None) => return Doneness::Stays(done),
    };
    Doneness::Stays(Cow::Owned(format!("{done}{hint}")))
}

fn what_changed(item: &Item, last: LastAttempt<'_>) -> Option<&'static str> {
    if !item.has_content(last.content_hash) {
        Some("changed")
    } else if last.command_changed {
        Some("command changed")
    } else {
        None
    }
}

/// How the last attempt ended, unless it was done.
const fn last_time(outcome: LastOutcome) -> Option<&'static str> {
    match outcome {
        LastOutcome::Done => None,
        LastOutcome::Failed => Some("failed last time"),
        LastOutcome::Interrupted => Some("was interrupted last time"),
        LastOutcome::TimedOut => Some("timed out last time"),
        LastOutcome::Deferred => Some("was put off last time"),
        LastOutcome::CutOff => Some("was cut off last time"),
        LastOutcome::Running => Some("is running now"),
    }
}

const fn is_failure(outcome: LastOutcome) -> bool {
    match outcome {
        LastOutcome::Failed
        | LastOutcome::Interrupted
        | LastOutcome::TimedOut
        | LastOutcome::CutOff => true,
        LastOutcome::Done | LastOutcome::Deferred | LastOutcome::Running => false,
    }
}

/// Why `--only failed` leaves an item out.
const fn not_failed(last: Option<LastOutcome>) -> &'static str {
    match last {
        None => "not run yet; --only failed",
        Some(_) => "did not fail last time; --only failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::item::ContentHash;
    use crate::items::item::ItemId;
    use proptest::prelude::*;

    const PENDING: PlannedState = PlannedState::Pending;
    const DONE: PlannedState = PlannedState::Done;

    fn item(number: u64, readiness: Readiness) -> Item {
        Item {
            id: ItemId::new(format!("LLD-{number:03}")).unwrap(),
            number: Some(number),
            title: String::new(),
            path: None,
            text: number.to_string(),
            content_hash: ContentHash::Is("now".to_owned()),
            readiness,
        }
    }

    fn ready() -> Readiness {
        Readiness::Ready("approved (line 5)".to_owned())
    }

    fn last(outcome: LastOutcome, content_hash: &str) -> Facts<'_> {
        Facts {
            last: Some(LastAttempt {
                outcome,
                content_hash,
                command_changed: false,
            }),
            ..Facts::default()
        }
    }

    fn with_file(facts: Facts<'_>) -> Facts<'_> {
        Facts {
            done_file: Some("docs/done/LLD-042.md".to_owned()),
            ..facts
        }
    }

    fn refused(facts: Facts<'_>) -> Facts<'_> {
        Facts {
            refusal: Some("the item has no path".to_owned()),
            ..facts
        }
    }

    fn rerun(rerun: Rerun) -> Choice {
        Choice {
            rerun,
            ..Choice::default()
        }
    }

    fn only_failed(rerun: Rerun) -> Choice {
        Choice {
            rerun,
            only: Some(Only::Failed),
            ..Choice::default()
        }
    }

    fn one(readiness: Readiness, facts: &Facts<'_>, choice: &Choice) -> (PlannedState, String) {
        let plan = plan(
            [item(42, readiness)].into_iter().collect(),
            std::iter::empty(),
            |_| facts.clone(),
            choice,
        )
        .unwrap();
        let rows: Vec<Planned<'_>> = plan.planned().collect();
        let [planned] = &rows[..] else {
            panic!("one item in, {} out", rows.len())
        };
        (planned.state, planned.reason.to_owned())
    }

    /// Checks rows of facts, choice, expected state and reason for an approved item.
    fn check<const ROWS: usize>(rows: [(Facts, Choice, PlannedState, &str); ROWS]) {
        for (facts, choice, state, reason) in rows {
            let expected = (state, reason.to_owned());
            let planned = one(ready(), &facts, &choice);
            assert_eq!(planned, expected, "{facts:?} {choice:?}");
        }
    }

    #[test]
    fn a_recorded_item_runs_again_only_as_asked() {
        let same = || last(LastOutcome::Done, "now");
        let edited = || last(LastOutcome::Done, "then");
        let named = Choice {
            selectors: vec![Selector::parse("42").unwrap()],
            ..Choice::default()
        };
        let done = "done";
        check([
            (same(), rerun(Rerun::None), DONE, done),
            (same(), rerun(Rerun::Changed), DONE, done),
            (same(), named, DONE, &format!("{done}; --rerun all runs it")),
            (
                same(),
                rerun(Rerun::All),
                PENDING,
                &format!("{done}; --rerun all"),
            ),
            (refused(same()), rerun(Rerun::None), DONE, done),
            (
                edited(),
                rerun(Rerun::None),
                DONE,
                &format!("{done}, changed since; --rerun changed runs it"),
            ),
            (
                edited(),
                rerun(Rerun::Changed),
                PENDING,
                &format!("{done}, changed since; --rerun changed"),
            ),
        ]);
    }

    #[test]
    fn an_item_with_a_done_file_runs_again_only_as_asked() {
        let unheard = || with_file(Facts::default());
        let failed = |hash| with_file(last(LastOutcome::Failed, hash));
        let exists = "docs/done/LLD-042.md exists";
        check([
            (unheard(), rerun(Rerun::None), DONE, exists),
            (unheard(), rerun(Rerun::Changed), DONE, exists),
            (
                unheard(),
                rerun(Rerun::All),
                PENDING,
                &format!("{exists}; --rerun all"),
            ),
            (
                failed("now"),
                rerun(Rerun::None),
                DONE,
                &format!("{exists}, though it failed last time; --rerun all runs it"),
            ),
            (
                failed("then"),
                rerun(Rerun::Changed),
                PENDING,
                &format!("{exists}, changed since; --rerun changed"),
            ),
        ]);
    }

    #[test]
    fn a_done_item_that_its_source_has_no_more_can_still_be_named() {
        let facts = |item: &Item| match item.number {
            Some(7) => last(LastOutcome::Done, "then"),
            Some(8) => with_file(last(LastOutcome::Interrupted, "then")),
            Some(9) => last(LastOutcome::Failed, "then"),
            _ => Facts::default(),
        };
        let decide = |typed: &[&str], rerun| {
            let choice = Choice {
                selectors: typed
                    .iter()
                    .map(|text| Selector::parse(text).unwrap())
                    .collect(),
                ..rerun
            };
            let remembered = (7..10).map(|number| item(number, ready()));
            plan(
                [item(42, ready())].into_iter().collect(),
                remembered,
                facts,
                &choice,
            )
        };
        let planned = decide(&["LLD-007", "8-9", "42"], rerun(Rerun::None)).unwrap();
        let rows: Vec<(Option<u64>, PlannedState, &str)> = planned
            .planned()
            .map(|planned| (planned.item.number, planned.state, planned.reason))
            .collect();
        assert_eq!(
            rows,
            [
                (Some(42), PENDING, "approved (line 5)"),
                (Some(7), DONE, "done; its source has it no more"),
                (
                    Some(8),
                    DONE,
                    "docs/done/LLD-042.md exists, though it was interrupted last time; \
                     its source has it no more"
                ),
            ]
        );
        assert_eq!(decide(&[], rerun(Rerun::None)).unwrap().len(), 1);
        for (typed, which) in [("9", Rerun::None), ("10", Rerun::None), ("7", Rerun::All)] {
            let error = decide(&["42", typed], rerun(which)).unwrap_err();
            assert_eq!(error.to_string(), format!("no item matches {typed}"));
        }
    }

    #[test]
    fn an_item_that_is_not_done_says_why_it_runs_or_not() {
        use LastOutcome::{Deferred, Done, Failed, Interrupted, TimedOut};
        let none = || rerun(Rerun::None);
        let failed = || only_failed(Rerun::None);
        let (refusal, left_out) = (PlannedState::Refused, PlannedState::Excluded);
        let did_not = "did not fail last time; --only failed";
        check([
            (Facts::default(), none(), PENDING, "approved (line 5)"),
            (last(Failed, "then"), none(), PENDING, "failed last time"),
            (
                last(TimedOut, "now"),
                none(),
                PENDING,
                "timed out last time",
            ),
            (
                last(Interrupted, "now"),
                none(),
                PENDING,
                "was interrupted last time",
            ),
            (
                last(Deferred, "now"),
                none(),
                PENDING,
                "was put off last time",
            ),
            (
                refused(Facts::default()),
                none(),
                refusal,
                "the item has no path",
            ),
            (
                refused(last(Failed, "now")),
                failed(),
                refusal,
                "the item has no path",
            ),
            (last(Failed, "now"), failed(), PENDING, "failed last time"),
            (
                last(TimedOut, "now"),
                failed(),
                PENDING,
                "timed out last time",
            ),
            (
                last(Interrupted, "now"),
                failed(),
                PENDING,
                "was interrupted last time",
            ),
            (last(Deferred, "now"), failed(), left_out, did_not),
            (
                last(Done, "now"),
                only_failed(Rerun::All),
                left_out,
                did_not,
            ),
            (
                Facts::default(),
                failed(),
                left_out,
                "not run yet; --only failed",
            ),
        ]);
        let silent = Readiness::Ready(String::new());
        let (_, reason) = one(silent, &Facts::default(), &none());
        assert_eq!(reason, "not run yet");
    }

    #[test]
    fn an_unready_item_never_runs() {
        let unready = || Readiness::Unready("not approved: status is \"Draft\"".to_owned());
        for (facts, choice) in [
            (Facts::default(), rerun(Rerun::None)),
            (last(LastOutcome::Done, "then"), rerun(Rerun::All)),
            (last(LastOutcome::Failed, "now"), only_failed(Rerun::None)),
            (refused(Facts::default()), rerun(Rerun::None)),
        ] {
            let (state, reason) = one(unready(), &facts, &choice);
            assert_eq!(state, PlannedState::Unready);
            assert_eq!(reason, "not approved: status is \"Draft\"");
        }
        let done = with_file(Facts::default());
        let (state, _) = one(unready(), &done, &rerun(Rerun::None));
        assert_eq!(state, PlannedState::Done);
    }

    #[test]
    fn the_limit_counts_pending_items_only() {
        let items = (1..=5).map(|number| item(number, ready())).collect();
        let facts = |item: &Item| match item.number {
            Some(1 | 3) => last(LastOutcome::Done, "now"),
            _ => Facts::default(),
        };
        let choice = Choice {
            limit: Some(2),
            ..Choice::default()
        };
        let plan = plan(items, std::iter::empty(), facts, &choice).unwrap();
        let pending: Vec<String> = pending(&plan).map(|item| item.id.to_string()).collect();
        assert_eq!(pending, ["LLD-002", "LLD-004"]);
        let last = plan.planned().last().unwrap();
        assert_eq!(last.state, PlannedState::Excluded);
        assert_eq!(last.reason, "beyond --limit 2");
        assert_eq!(plan.count(PlannedState::Done), 2);
    }

    #[test]
    fn a_changed_order_inserted_and_edited_items_leave_the_others_alone() {
        let journal = |item: &Item| match item.number {
            Some(1 | 2) => last(LastOutcome::Done, "now"),
            _ => Facts::default(),
        };
        let mut edited = item(2, ready());
        edited.content_hash = ContentHash::Is("edited".to_owned());
        let items: Batch = [item(3, ready()), edited, item(1, ready())]
            .into_iter()
            .collect();
        let states = |choice: &Choice| -> Vec<PlannedState> {
            let plan = plan(items.clone(), std::iter::empty(), journal, choice).unwrap();
            plan.planned().map(|planned| planned.state).collect()
        };
        assert_eq!(states(&rerun(Rerun::None)), [PENDING, DONE, DONE]);
        assert_eq!(states(&rerun(Rerun::Changed)), [PENDING, PENDING, DONE]);
        assert_eq!(states(&rerun(Rerun::All)), [PENDING, PENDING, PENDING]);
    }

    #[test]
    fn values_of_options_are_read_or_refused_with_what_they_can_be() {
        assert_eq!("changed".parse(), Ok(Rerun::Changed));
        assert_eq!("all".parse(), Ok(Rerun::All));
        assert_eq!("failed".parse(), Ok(Only::Failed));
        let error = "chnaged".parse::<Rerun>().unwrap_err();
        assert_eq!(error, "it is `changed` or `all`");
        assert_eq!("x".parse::<Only>().unwrap_err(), "it is `failed`");
    }

    fn any_outcome() -> impl Strategy<Value = LastOutcome> {
        prop::sample::select(vec![
            LastOutcome::Done,
            LastOutcome::Failed,
            LastOutcome::Interrupted,
            LastOutcome::TimedOut,
            LastOutcome::Deferred,
        ])
    }

    fn any_facts() -> impl Strategy<Value = Facts<'static>> {
        (
            any::<bool>(),
            prop::option::of((any_outcome(), any::<bool>())),
            prop::bool::weighted(0.2),
        )
            .prop_map(|(done_file, attempt, refusal)| {
                let mut facts = attempt.map_or_else(Facts::default, |(outcome, changed)| {
                    last(outcome, if changed { "then" } else { "now" })
                });
                facts.done_file = done_file.then(|| "done/file".to_owned());
                facts.refusal = refusal.then(|| "no".to_owned());
                facts
            })
    }

    /// Items numbered from 0 in a shuffled order, and their facts by number.
    fn any_batch() -> impl Strategy<Value = (Vec<Item>, Vec<Facts<'static>>)> {
        prop::collection::vec((any::<bool>(), any_facts()), 0..12).prop_flat_map(|all| {
            let items: Vec<Item> = (0..)
                .zip(&all)
                .map(|(number, &(is_ready, _))| {
                    let unready = Readiness::Unready("draft".to_owned());
                    item(number, if is_ready { ready() } else { unready })
                })
                .collect();
            let facts = all.into_iter().map(|(_, facts)| facts).collect::<Vec<_>>();
            (Just(items).prop_shuffle(), Just(facts))
        })
    }

    fn any_choice() -> impl Strategy<Value = Choice> {
        let reruns = vec![Rerun::None, Rerun::Changed, Rerun::All];
        (
            prop::sample::select(reruns),
            any::<bool>(),
            prop::option::of(0_usize..6),
        )
            .prop_map(|(rerun, only, limit)| Choice {
                selectors: Vec::new(),
                rerun,
                only: only.then_some(Only::Failed),
                limit,
            })
    }

    fn pending(plan: &Plan) -> impl Iterator<Item = Item> {
        let pending = plan.in_state(PENDING);
        pending.map(|planned| planned.item.into_owned())
    }

    fn planned(items: &[Item], facts: &[Facts], choice: &Choice) -> Plan {
        let of = |item: &Item| {
            let number = usize::try_from(item.number.unwrap()).unwrap();
            facts[number].clone()
        };
        plan(
            items.iter().cloned().collect(),
            std::iter::empty(),
            of,
            choice,
        )
        .unwrap()
    }

    proptest! {
        #[test]
        fn order_is_kept_and_the_answer_is_the_same_twice(
            (items, facts) in any_batch(), choice in any_choice(),
        ) {
            let plan = planned(&items, &facts, &choice);
            let kept: Vec<Item> = plan.planned().map(|planned| planned.item.into_owned()).collect();
            prop_assert_eq!(&kept, &items);
            prop_assert!(plan.planned().all(|planned| !planned.reason.is_empty()));
            prop_assert_eq!(&planned(&items, &facts, &choice), &plan);
            let pending: Vec<Item> = pending(&plan).collect();
            prop_assert_eq!(plan.into_pending().into_vec(), pending);
        }

        #[test]
        fn without_a_limit_no_item_depends_on_the_order(
            (items, facts) in any_batch(), choice in any_choice(),
        ) {
            let choice = Choice { limit: None, ..choice };
            let shuffled = planned(&items, &facts, &choice);
            let mut shuffled: Vec<Planned<'_>> = shuffled.planned().collect();
            let mut sorted = items;
            sorted.sort_by_key(|item| item.number);
            shuffled.sort_by_key(|planned| planned.item.number);
            let sorted = planned(&sorted, &facts, &choice);
            prop_assert_eq!(shuffled, sorted.planned().collect::<Vec<_>>());
        }

        #[test]
        fn a_limit_only_takes_away_from_the_end(
            (items, facts) in any_batch(), choice in any_choice(), limit in 0_usize..6,
        ) {
            let all = planned(&items, &facts, &Choice { limit: None, ..choice.clone() });
            let some = planned(&items, &facts, &Choice { limit: Some(limit), ..choice });
            let first: Vec<Item> = pending(&all).take(limit).collect();
            prop_assert_eq!(pending(&some).collect::<Vec<_>>(), first);
        }

        #[test]
        fn a_done_item_runs_only_when_somebody_asks((items, facts) in any_batch()) {
            for planned in planned(&items, &facts, &Choice::default()).planned() {
                let number = usize::try_from(planned.item.number.unwrap()).unwrap();
                let known = &facts[number];
                let recorded = known.last.as_ref().is_some_and(|last| last.outcome == LastOutcome::Done);
                let done = recorded || known.done_file.is_some();
                prop_assert_eq!(planned.state == PlannedState::Done, done);
            }
        }
    }
}
