//! The run itself: the scheduler, and everything that its actions act upon.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::blocks::{Block, Blocks, Look};
use super::chronicle::Chronicle;
use super::display::Display;
use super::item_output::OutputReport;
use super::judge::{Judge, Narrow, blame, repeats};
use super::keys::Keys;
use super::last_output::LastOutput;
use super::launch::{self, Launcher, Order, Programs, inheritable, millis};
use super::limits::limits;
use super::outlook::{command_fingerprint, fingerprint};
use super::signals::Received;
use super::suspension::{Permit, Suspending};
use super::{Exit, Message, Visit, keep};
use crate::child::control::Control;
use crate::child::kin::{Rest, UNKILLABLE};
use crate::config::options::{Format, OutputMode};
use crate::config::resolve::{Mode, Verbosity};
use crate::credential::evidence::{Finding, Verdict};
use crate::credential::secret::Secret;
use crate::credential::snapshot::Snapshot;
use crate::credential::told::News as StatusNews;
use crate::error::{ExitStatus, Result};
use crate::escape::{clipped, escape_text};
use crate::items::item::{Item, ItemId};
use crate::items::plan::{Plan, PlannedState};
use crate::output::Target;
use crate::output::mask::Masker;
use crate::output::terminal::TerminalHandle;
use crate::report::estimate::time_left;
use crate::report::live::{LiveItem, LiveView};
use crate::report::paint::Paint;
use crate::report::progress::{Progress, RunningItem};
use crate::report::result::{ItemResult, ending_words};
use crate::report::stages::StageView;
use crate::report::summary::Summary;
use crate::schedule::bottleneck::{Bottleneck, Lost};
use crate::schedule::clock::Clock;
use crate::schedule::event::{Action, CredentialIndex, Ending, Event, ItemIndex, Notice, Outcome};
use crate::schedule::scheduler::Scheduler;
use crate::schedule::stage::Raised;
use crate::state::directory::{RunDirectory, StateDirectory};
use crate::state::journal::Journal;
use crate::state::journal_thread::{JournalThread, News};
use crate::state::lock::WorkflowLock;
use crate::state::record::{End, Outcome as RecordedOutcome, Record, Step};
use crate::state::run_event::RunEvent;
use crate::state::run_id::RunId;
use crate::state::run_record::{CredentialState, LostTime, RunRecord};

/// That nothing runs because all keys rest is told when that lasts at least this long.
const STANDSTILL_TOLD: Duration = Duration::from_secs(5);

/// What an item says of its progress is cut after this many characters.
const PROGRESS_CHARACTERS_MAX: usize = 200;

/// So often the progress of one attempt is written down.
const PROGRESS_EVENTS_MAX: u32 = 1000;

/// What a run holds on disk.
pub(super) struct Stores {
    /// `.orchestrate/`.
    pub(super) state: StateDirectory,
    /// What is done.
    pub(super) journal: Journal,
    /// Nobody else runs this workflow.
    pub(super) lock: WorkflowLock,
    /// When the run began.
    pub(super) started: Timestamp,
    /// The per-item programs.
    pub(super) programs: Programs,
}

/// The run itself.
pub(super) struct Session<'a> {
    visit: Visit<'a>,
    scheduler: Scheduler,
    began: Instant,
    clock: Clock,
    suspension: Option<Suspension>,
    /// What the scheduler's indices mean.
    items: Vec<Item>,
    live: BTreeMap<ItemIndex, Live>,
    ended: BTreeMap<ItemIndex, ItemResult>,
    /// Of items that wait for another attempt.
    last_results: BTreeMap<ItemIndex, ItemResult>,
    /// Items that fail without being started.
    refused: Vec<ItemResult>,
    results: Vec<ItemResult>,
    /// Of all items that are to come to an end.
    count: usize,
    record: RunRecord,
    chronicle: Chronicle,
    launcher: Launcher,
    /// `None` in sequential mode: there the terminal is the items' own.
    display: Option<Display>,
    /// What shows the output of items that have ended, if it is shown then.
    blocks: Option<Blocks>,
    keys: Option<Keys>,
    /// What the last attempt of each item said of its key.
    blames: BTreeMap<ItemIndex, String>,
    bottleneck: Bottleneck,
    /// It was told that all keys rest, and nothing has run since.
    stands_still: bool,
    /// Why the run gave up for want of a key.
    no_key: Option<NoKey>,
    secrets: Vec<Secret>,
    masker: Arc<Masker>,
    run: Arc<RunDirectory>,
    /// What tells the workflow's command from another.
    command: String,
    /// Taken when the run ends.
    journal: Option<JournalThread>,
    lock: WorkflowLock,
    guard_lost: bool,
    space_ran_out: bool,
    /// Why the last process could not be started for want of room.
    crowding: String,
    /// Events that an action has brought about at once.
    due: VecDeque<Event>,
}

/// From Ctrl-Z until we go on. Nothing is decided meanwhile.
#[derive(Default)]
struct Suspension {
    /// We are not stopped before it is dropped.
    permit: Option<Permit>,
    /// Items of which something may still run.
    waiting: BTreeSet<ItemIndex>,
    /// What has been told meanwhile.
    held: Vec<Message>,
}

impl Suspension {
    /// Lets us be stopped as soon as nothing of any item runs and the terminal shows what was said.
    fn permit_if_all_wait(&mut self, terminal: &TerminalHandle) {
        if let Some(permit) = self.permit.take_if(|_| self.waiting.is_empty()) {
            terminal.settle(permit);
        }
    }
}

/// An attempt that runs.
pub(super) struct Live {
    control: Option<Control>,
    began: Instant,
    /// When it was started.
    pub(super) started: Timestamp,
    /// Its number, from 1.
    pub(super) attempt: u32,
    /// The label of its credential.
    pub(super) credential: Option<String>,
    /// We have ended it.
    stopped: bool,
    /// What it has said of its key so far, which the pool knows.
    heard: Option<Finding>,
    /// How far it says that it is, masked and escaped.
    progress: Option<String>,
    /// How often that was written down.
    progress_events: u32,
    /// What it has written, for the status lines.
    last_output: Option<LastOutput>,
}

/// No key comes back in time.
struct NoKey {
    /// How long it takes; `None`: all were rejected.
    back_in: Option<Duration>,
}

impl<'a> Session<'a> {
    /// Makes ready: the run's folder, the journal's thread, the pool.
    pub(super) fn begin(
        visit: Visit<'a>,
        plan: Plan,
        stores: Stores,
        secrets: Vec<Secret>,
        masker: Arc<Masker>,
        template_state: String,
        messages: UnboundedSender<Message>,
    ) -> Result<Self> {
        let Stores {
            state,
            journal,
            lock,
            started,
            programs,
        } = stores;
        let run = Arc::new(state.new_run(started)?);
        let invocation = &visit.invocation;
        let record = keep::beginning(&visit, &plan, &run, &secrets, &masker, started);
        run.write_record(&masker.mask(record.clone()))?;
        run.publish_latest()?;
        let shown_state = seen_from(&visit.surroundings.directory, state.path());
        let stream = (visit.voice.clone(), shown_state);
        let mut chronicle = Chronicle::begin(&run, Arc::clone(&masker), &messages, stream);
        chronicle.tell(RunEvent::RunStarted {
            run: record.run.clone(),
            workflow: record.workflow.clone(),
            items: record.items.len(),
        });
        let journal = journal_thread(journal, messages.clone())?;
        let told = messages.clone();
        let is_narrow = Narrow::default();
        let parts = launch::Parts {
            programs,
            run: Arc::clone(&run),
            state: template_state,
            inherited: inheritable(&lock)?,
            masker: Arc::clone(&masker),
            terminal: visit.terminal.clone(),
            messages,
            judge: Judge::new(invocation, !secrets.is_empty(), is_narrow.clone()),
            id_columns: longest_id(&plan),
        };
        let launcher = Launcher::new(parts, invocation, visit.surroundings, &secrets)?;
        let at_the_store = Arc::clone(&visit.at_the_store);
        let hooks = (at_the_store, is_narrow);
        let keys = Keys::start(invocation, &secrets, visit.surroundings, told, hooks)?;
        let display = display(&visit, &state)?;
        let blocks = blocks(&visit, &run, &masker)?;
        let refused = refused(&plan, &masker);
        let items: Vec<Item> = plan.into_pending().collect();
        let slots = keys.as_ref().map_or(usize::MAX, Keys::slots);
        let limits = limits(&visit, slots, items.len())?;
        Ok(Self {
            command: command_fingerprint(&invocation.workflow),
            scheduler: Scheduler::new(items.len(), limits),
            began: Instant::now(),
            clock: Clock::default(),
            suspension: None,
            count: items.len() + refused.len(),
            items,
            live: BTreeMap::new(),
            ended: BTreeMap::new(),
            last_results: BTreeMap::new(),
            refused,
            results: Vec::new(),
            record,
            chronicle,
            launcher,
            display,
            blocks,
            keys,
            blames: BTreeMap::new(),
            bottleneck: Bottleneck::new(slots_of_a_key(&visit)),
            stands_still: false,
            no_key: None,
            secrets,
            masker,
            run,
            journal: Some(journal),
            lock,
            guard_lost: false,
            space_ran_out: false,
            crowding: String::new(),
            due: VecDeque::new(),
            visit,
        })
    }

    /// Starts the first items.
    pub(super) fn begin_items(&mut self) {
        for result in std::mem::take(&mut self.refused) {
            self.tell_end(result, None);
        }
        self.step(Event::Began);
    }

    /// Old runs are gone, or it is told why not.
    pub(super) fn old_runs_removed(
        &self,
        removed: std::result::Result<Result<()>, oneshot::error::RecvError>,
    ) {
        if let Ok(Err(error)) = removed {
            let voice = &self.visit.voice;
            voice.warning(&format!("an old run cannot be removed: {error}"));
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.scheduler.is_over()
    }

    /// When to look at the clock again.
    pub(super) fn wake_at(&mut self) -> Option<Instant> {
        let look = self
            .clock
            .next_look(self.began.elapsed(), self.scheduler.wake_at());
        look.and_then(|look| self.began.checked_add(look))
    }

    pub(super) fn receive(&mut self, received: Received) {
        match received {
            Received::Press(press) => {
                if self.visit.invocation.mode == Mode::Sequential {
                    // The terminal has told the child itself, and nothing follows it.
                    let controls = self.live.values().filter_map(|live| live.control.as_ref());
                    controls.for_each(Control::note_stopping);
                }
                self.step(Event::Pressed(press));
            }
            Received::Question => self.tell_status(),
            // It is drawn anew after everything that is received.
            Received::Resized => {}
            Received::Suspension(Suspending::Asked(permit)) => self.suspend(permit),
            Received::Suspension(Suspending::Continued) => self.go_on(),
        }
    }

    pub(super) fn woke(&mut self) {
        // Nobody else does it while a long item leaves one behind after another.
        if self.visit.invocation.mode != Mode::Sequential {
            self.launcher.reap_orphans();
        }
        self.step(Event::Woke);
    }

    fn suspend(&mut self, permit: Permit) {
        self.clock.suspend(self.began.elapsed());
        let controls = self
            .live
            .iter()
            .filter_map(|(&item, live)| Some((item, live.control.as_ref()?)));
        let mut waiting = BTreeSet::new();
        for (item, control) in controls {
            control.suspend();
            waiting.insert(item);
        }
        if let Some(display) = &mut self.display {
            display.hide();
        }
        self.visit.voice.suspended(waiting.len());
        let suspension = self.suspension.get_or_insert_default();
        (suspension.permit, suspension.waiting) = (Some(permit), waiting);
        suspension.permit_if_all_wait(&self.visit.terminal);
    }

    fn go_on(&mut self) {
        let Some(suspension) = self.suspension.take() else {
            return;
        };
        for control in self.live.values().filter_map(|live| live.control.as_ref()) {
            control.resume();
        }
        let paused = self.clock.resume(self.began.elapsed());
        self.visit.voice.resumed(self.live.len(), paused);
        if let Some(display) = &mut self.display {
            display.unhide();
        }
        for message in suspension.held {
            self.take(message);
        }
    }

    /// While we are being suspended, nothing is decided, so that nothing new is started.
    pub(super) fn take(&mut self, message: Message) {
        let ended = match &message {
            Message::Suspended(item) | Message::Ended { item, .. } => Some(*item),
            Message::GuardLost
            | Message::Recorded { .. }
            | Message::SpaceRanOut(_)
            | Message::Told { .. }
            | Message::Leased(_)
            | Message::NoKey { .. }
            | Message::KeysChanged(_)
            | Message::KeyTrouble(_)
            | Message::EventsLost(_) => None,
        };
        // Without a guard there is nobody who would watch over what is suspended.
        let holds = !matches!(message, Message::GuardLost);
        let Some(suspension) = self.suspension.as_mut().filter(|_| holds) else {
            return self.note(message);
        };
        if let Some(item) = ended {
            suspension.waiting.remove(&item);
        }
        suspension.permit_if_all_wait(&self.visit.terminal);
        suspension.held.push(message);
    }

    /// Takes note of what a thread tells.
    fn note(&mut self, message: Message) {
        match message {
            Message::Suspended(_) => {}
            Message::EventsLost(reason) => self.visit.voice.events_lost(&reason),
            Message::GuardLost => {
                self.guard_lost = true;
                self.step(Event::GuardLost);
            }
            Message::SpaceRanOut(shortage) => {
                self.space_ran_out = true;
                self.visit.voice.warning(&shortage.to_string());
                self.step(Event::SpaceRanOut);
            }
            Message::Ended {
                item,
                ending,
                report,
                left,
                verdict,
            } => {
                self.tell_left(self.items[item.0].id.as_str(), &left);
                if let Ending::Crowded(why) = &ending {
                    if let Some(live) = self.live.remove(&item) {
                        self.note_step(item, &live, Step::Withdrawn);
                    }
                    self.crowding.clone_from(why);
                    let item = self.items[item.0].id.to_string();
                    self.chronicle.tell(RunEvent::AttemptWithdrawn { item });
                } else {
                    self.note_end(item, &ending, report);
                }
                self.note_verdict(item, ending, &verdict);
            }
            Message::Told {
                item,
                attempt,
                news,
            } => self.hear(item, attempt, *news),
            Message::Leased(grant) => {
                let (item, credential) = (grant.item, Some(grant.credential));
                if let Some(keys) = &mut self.keys {
                    keys.granted(grant);
                }
                self.step(Event::Reserved { item, credential });
            }
            Message::NoKey { back_in } => {
                let rejected = back_in.is_none();
                self.visit.voice.no_key(back_in);
                self.no_key = Some(NoKey { back_in });
                self.step(Event::NoCredential { rejected });
            }
            Message::KeysChanged(snapshot) => self.note_keys(snapshot),
            Message::KeyTrouble(why) => self.visit.voice.warning(&why),
            Message::Recorded { item, result } => {
                self.chronicle.recorded(item, result.is_ok());
                let event = match result {
                    Ok(()) => Event::Recorded { item },
                    Err(error) => {
                        keep::note_lost(&mut self.record.items[item.0], &error);
                        if let Some(result) = self.ended.get_mut(&item) {
                            result.unrecorded = Some(error.to_string());
                        }
                        Event::RecordLost { item }
                    }
                };
                self.step(event);
                // A lost one is not told by the scheduler, but it belongs into the summary.
                self.results.extend(self.ended.remove(&item));
            }
        }
    }

    /// An attempt that runs says something.
    fn hear(&mut self, item: ItemIndex, attempt: u32, news: StatusNews) {
        let live = self.live.get_mut(&item);
        // What we have ended says nothing any more.
        let is_meant = |live: &&mut Live| live.attempt == attempt && !live.stopped;
        let Some(live) = live.filter(is_meant) else {
            return;
        };
        if let Some(text) = news.progress {
            let text = clipped(
                self.masker.mask_text(&text).as_ref(),
                PROGRESS_CHARACTERS_MAX,
            );
            if live.progress_events < PROGRESS_EVENTS_MAX && live.progress.as_ref() != Some(&text) {
                live.progress_events += 1;
                self.chronicle.tell(RunEvent::Progressed {
                    item: self.items[item.0].id.to_string(),
                    attempt,
                    text: text.clone(),
                });
            }
            live.progress = Some(text);
        }
        if let Some(verdict) = news.verdict {
            let before = live.heard.replace(verdict.finding);
            let Some(keys) = &self.keys else { return };
            if verdict.finding == Finding::Done {
                // Whether it served its item is known at its end.
                if before.is_some() {
                    keys.take_back(item);
                }
            } else {
                keys.hear(item, &verdict, &blame(&verdict));
            }
        }
    }

    /// What the end of an attempt says of its key, beside what it said while it ran.
    fn note_verdict(&mut self, item: ItemIndex, ending: Ending, verdict: &Verdict) {
        let why = blame(verdict);
        let keys = self.keys.as_ref();
        let fault = verdict.fault(keys.is_some_and(|keys| keys.is_leased(item)));
        // What we have ended says nothing of its key.
        let live = self.live.get(&item);
        let is_news =
            live.is_none_or(|live| !live.stopped && !repeats(verdict.finding, live.heard));
        if let Some(keys) = keys.filter(|_| is_news) {
            keys.hear(item, verdict, &why);
        }
        if !why.is_empty() {
            self.blames.insert(item, why);
        }
        self.step(Event::Exited {
            item,
            ending,
            fault,
        });
    }

    fn step(&mut self, event: Event) {
        self.due.push_back(event);
        let now = self.clock.look(self.began.elapsed());
        while let Some(event) = self.due.pop_front() {
            for action in self.scheduler.on_event(event, now) {
                self.perform(action);
            }
        }
        self.note_load(now);
    }

    /// Adds up what is lost, and tells when another thing limits the run.
    fn note_load(&mut self, now: Duration) {
        let keys = self.keys.as_ref();
        let load = self.scheduler.load(keys.and_then(Keys::limiter));
        if self.bottleneck.note(load, now) {
            self.chronicle.tell(RunEvent::LimiterChanged {
                limiter: load.limiter().map(|limiter| limiter.word().to_owned()),
                running: load.running,
                wanted: load.wanted,
            });
        }
        self.stands_still &= load.running == 0;
        let counts = keys.map(Keys::counts);
        let rest = counts.filter(|keys| keys.free == 0 && load.running == 0 && load.wanted > 0);
        if let Some(back_in) = rest.and_then(|keys| keys.back_in)
            && back_in >= STANDSTILL_TOLD
            && !self.stands_still
        {
            self.stands_still = true;
            self.visit.voice.stands_still(load.wanted, back_in);
        }
    }

    fn note_keys(&mut self, snapshot: Snapshot) {
        let Some(keys) = &mut self.keys else { return };
        for (credential, CredentialState { state, until }) in keys.changed(snapshot, &self.secrets)
        {
            self.chronicle.tell(RunEvent::CredentialChanged {
                credential,
                state,
                until,
            });
        }
        self.note_load(self.now());
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Reserve { item } => self.reserve(item),
            Action::Withdraw { item } => {
                if let Some(keys) = &self.keys {
                    keys.withdraw(item);
                }
            }
            Action::Release { item } => {
                if let Some(keys) = &mut self.keys {
                    keys.release(item);
                }
            }
            Action::Spawn {
                item,
                attempt,
                slot,
                credential,
            } => {
                self.spawn(item, attempt, slot.0, credential);
            }
            Action::Signal { item, signal } => {
                if let Some(live) = self.live.get_mut(&item) {
                    live.stopped = true;
                    if let Some(control) = &live.control {
                        control.signal(signal);
                    }
                }
            }
            Action::Listen { item } => self.listen(item),
            Action::Record { item, outcome } => self.record(item, outcome),
            Action::Emit(notice) => self.emit(notice),
        }
    }

    fn listen(&mut self, item: ItemIndex) {
        let control = self.live.get(&item).and_then(|live| live.control.as_ref());
        let heard = control.and_then(Control::heard_at).map(Instant::from_std);
        let since = heard.map_or_else(
            || self.now(),
            |heard| self.clock.at(heard.saturating_duration_since(self.began)),
        );
        self.due.push_back(Event::Silent { item, since });
    }

    fn reserve(&mut self, item: ItemIndex) {
        match &self.keys {
            None => self.due.push_back(Event::Reserved {
                item,
                credential: None,
            }),
            Some(keys) => keys.request(item),
        }
    }

    fn spawn(
        &mut self,
        index: ItemIndex,
        attempt: u32,
        slot: u32,
        credential: Option<CredentialIndex>,
    ) {
        let item = &self.items[index.0];
        let secret = credential.map(|credential| &self.secrets[credential.0]);
        let order = Order {
            index,
            item,
            attempt,
            slot,
            secret,
            hold: self.keys.as_ref().and_then(|keys| keys.hold(index)),
            last_output: self
                .display
                .as_ref()
                .filter(|display| display.shows_items())
                .map(|_| LastOutput::default()),
        };
        if self.visit.invocation.verbosity == Verbosity::Verbose {
            let command = self.launcher.command_line(&order, &self.visit.invocation);
            self.visit.voice.starting(&order, &command);
        }
        // Before the launch, which may end at once.
        let mut live = Live {
            control: None,
            began: Instant::now(),
            started: Timestamp::now(),
            attempt,
            credential: secret.map(|secret| secret.label().to_owned()),
            stopped: false,
            heard: None,
            progress: None,
            progress_events: 0,
            last_output: order.last_output.clone(),
        };
        self.note_step(index, &live, Step::Started);
        live.control = self.launcher.launch(&order, &self.visit.invocation);
        self.chronicle.tell(RunEvent::AttemptStarted {
            item: item.id.to_string(),
            attempt,
            slot,
            credential: live.credential.clone(),
            log: self.log_reference(&item.id, attempt),
        });
        self.live.insert(index, live);
    }

    /// Has it written that an attempt begins, or does not. Nobody waits for the disk: what is lost with the power is
    /// only the knowledge that the item was cut off.
    fn note_step(&self, index: ItemIndex, live: &Live, step: Step) {
        let Some(journal) = &self.journal else {
            return;
        };
        let item = &self.items[index.0];
        let log = self.log_reference(&item.id, live.attempt);
        let record = record_of(item, &self.command, live, step, self.run.id(), log);
        journal.note(self.masker.mask(record));
    }

    /// Where an attempt's log lies, if it has one.
    fn log_reference(&self, id: &ItemId, attempt: u32) -> Option<String> {
        let logged = self.visit.invocation.mode != Mode::Sequential;
        logged.then(|| self.run.log_reference(id, attempt))
    }

    fn tell_left(&self, who: &str, left: &[String]) {
        if !left.is_empty() {
            let names = self.masker.mask_text(&left.join(", ")).into_owned();
            let all_ended = !left.iter().any(|name| name.ends_with(UNKILLABLE));
            self.visit.voice.left(who, left.len(), &names, all_ended);
        }
    }

    fn note_end(&mut self, index: ItemIndex, ending: &Ending, report: OutputReport) {
        let Some(live) = self.live.get(&index) else {
            return;
        };
        let item = &self.items[index.0];
        let logged = self.visit.invocation.mode != Mode::Sequential && live.control.is_some();
        let result = ItemResult {
            id: item.id.to_string(),
            title: shown_title(item, &self.masker),
            outcome: Outcome::Failed,
            ending: Some(masked(ending, &self.masker)),
            duration: live.began.elapsed(),
            credential: live.credential.clone(),
            log: logged.then(|| self.shown_log(&item.id, live.attempt)),
            log_cut: report.log_cut,
            tail: report.tail,
            unrecorded: None,
        };
        self.ended.insert(index, result);
    }

    /// The path of a log as it can be pasted: relative where the person stands in the workspace's root.
    fn shown_log(&self, id: &ItemId, attempt: u32) -> String {
        let path = self.run.log_path(id, attempt);
        seen_from(&self.visit.surroundings.directory, &path)
    }

    fn record(&mut self, index: ItemIndex, outcome: Outcome) {
        let item = &self.items[index.0];
        let (Some(live), Some(result)) = (self.live.remove(&index), self.ended.get_mut(&index))
        else {
            return;
        };
        result.outcome = outcome;
        let ending = result.ending.as_ref();
        let exit = ending.map(ending_words).unwrap_or_default();
        let exit = self.masker.mask_text(&exit).into_owned();
        let code = match ending {
            Some(Ending::Exited(code)) => Some(*code),
            Some(
                Ending::Killed(_)
                | Ending::Unstartable(_)
                | Ending::Crowded(_)
                | Ending::Unverified(_),
            )
            | None => None,
        };
        let log = result
            .log
            .is_some()
            .then(|| self.run.log_reference(&item.id, live.attempt));
        keep::note(
            &mut self.record.items[index.0],
            &live,
            result,
            &exit,
            log.clone(),
        );
        let event = RunEvent::AttemptEnded {
            item: item.id.to_string(),
            attempt: live.attempt,
            outcome: recorded(outcome),
            exit: exit.clone(),
            duration_ms: millis(result.duration),
            credential: live.credential.clone(),
            log: log.clone(),
            recorded: true,
        };
        self.chronicle.attempt_ended(index, event);
        let end = End {
            outcome: recorded(outcome),
            exit,
            code,
            duration_ms: millis(result.duration),
        };
        let step = Step::Ended(end);
        let record = record_of(item, &self.command, &live, step, self.run.id(), log);
        let token = u64::try_from(index.0).unwrap_or(u64::MAX);
        let handed_over = self.journal.as_ref().map_or(Ok(()), |journal| {
            journal.record(token, self.masker.mask(record))
        });
        if let Err(error) = handed_over {
            result.unrecorded = Some(error.to_string());
            keep::note_lost(&mut self.record.items[index.0], &error);
            self.chronicle.recorded(index, false);
            self.due.push_back(Event::RecordLost { item: index });
        }
    }

    fn emit(&mut self, notice: Notice) {
        match notice {
            Notice::Ended { item, outcome } => {
                let known = self
                    .ended
                    .remove(&item)
                    .or_else(|| self.last_results.remove(&item));
                let result = known
                    .unwrap_or_else(|| unstarted(&self.items[item.0], &self.masker, outcome, None));
                let index = item;
                if result.outcome == Outcome::Deferred {
                    let why = self.blames.remove(&item);
                    keep::note_deferred(&mut self.record.items[item.0], why);
                    let item = result.id.clone();
                    self.chronicle.tell(RunEvent::ItemDeferred { item });
                }
                self.tell_end(result, Some(index));
            }
            Notice::Retrying {
                item,
                attempt,
                wait,
                ..
            } => {
                self.chronicle.tell(RunEvent::Retrying {
                    item: self.items[item.0].id.to_string(),
                    attempt,
                    wait_ms: millis(wait),
                });
                if let Some(result) = self.ended.remove(&item) {
                    self.show_block(&result, item, false);
                    if result.outcome == Outcome::Deferred {
                        let why = self.blames.remove(&item).unwrap_or_default();
                        self.visit.voice.requeued(&result, &why, Some(wait));
                    } else {
                        let of = self.visit.invocation.retry.retries_max + 1;
                        self.visit.voice.retrying(&result, attempt, of, wait);
                    }
                    self.last_results.insert(item, result);
                }
            }
            Notice::Requeued { item } => {
                if let Some(result) = self.ended.remove(&item) {
                    self.show_block(&result, item, false);
                    let why = self.blames.remove(&item).unwrap_or_default();
                    self.visit.voice.requeued(&result, &why, None);
                    self.last_results.insert(item, result);
                }
            }
            Notice::Straggles { item, time, usual } => {
                let id = &self.items[item.0].id;
                let attempt = self.live.get(&item).map_or(1, |live| live.attempt);
                let log = self.shown_log(id, attempt);
                self.visit.voice.straggles(id.as_str(), time, usual, &log);
            }
            Notice::StageRaised {
                raised,
                running,
                queued,
            } => {
                self.chronicle.tell(RunEvent::StageRaised {
                    stage: raised.stage.word().to_owned(),
                    running,
                    queued,
                });
                self.tell_stage(raised, queued);
            }
            Notice::JournalLost => self.visit.voice.journal_lost(),
            Notice::Crowded { item, width } => self.tell_crowded(item, width),
        }
    }

    fn tell_end(&mut self, result: ItemResult, index: Option<ItemIndex>) {
        if let Some(index) = index {
            self.show_block(&result, index, true);
        }
        let number = self.results.len() + 1;
        if let Some(line) = self.visit.voice.ended(&result, number, self.count) {
            match &self.blocks {
                Some(blocks) => blocks.say(line),
                None => self.visit.terminal.say(Target::Stderr, line),
            }
        }
        if let Some(display) = &mut self.display {
            display.note_end(&result);
        }
        self.results.push(result);
    }

    /// Shows what the last attempt of an item has written, if it is to be shown when it has ended.
    fn show_block(&self, result: &ItemResult, index: ItemIndex, is_last: bool) {
        let is_shown = match self.visit.invocation.output {
            OutputMode::Group => true,
            OutputMode::Failures => is_last && result.outcome.is_failure(),
            OutputMode::Prefix | OutputMode::None => false,
        };
        let attempts = &self.record.items[index.0].attempts;
        let attempt = attempts.last().filter(|attempt| attempt.log.is_some());
        // An item that got no key has not written anything since its last attempt, which is shown.
        let has_run = result.ending.is_some();
        let (Some(blocks), Some(attempt)) = (&self.blocks, attempt) else {
            return;
        };
        if is_shown && has_run {
            blocks.show(Block {
                id: self.items[index.0].id.clone(),
                title: result.title.clone(),
                attempt: attempt.attempt,
                cut: result.log_cut.clone(),
            });
        }
    }

    /// What is to be waited for before the end: blocks that are not yet shown.
    pub(super) fn finish_blocks(&mut self) -> Option<oneshot::Receiver<()>> {
        self.blocks.as_mut().and_then(Blocks::finish)
    }

    /// Nobody wants to wait for them any more.
    pub(super) fn abandon_blocks(&self) {
        if let Some(blocks) = &self.blocks {
            blocks.abandon();
        }
    }

    /// Something has happened.
    pub(super) fn touch(&mut self) {
        if let Some(display) = &mut self.display {
            display.touch();
        }
    }

    /// When to show how the run stands.
    pub(super) fn show_at(&self) -> Option<Instant> {
        self.display.as_ref().and_then(Display::due_at)
    }

    /// Shows how the run stands.
    pub(super) fn show(&mut self) {
        let Some(display) = &self.display else {
            return;
        };
        let at = |live: &Live| {
            let written = || live.last_output.as_ref().and_then(LastOutput::line);
            live.progress.clone().or_else(written)
        };
        let running: Vec<LiveItem<'_>> = self
            .live
            .iter()
            .map(|(index, live)| LiveItem {
                id: self.items[index.0].id.as_str(),
                time: live.began.elapsed(),
                at: at(live),
            })
            .collect();
        let times: Vec<Duration> = running.iter().map(|item| item.time).collect();
        let queued = self.scheduler.queued();
        let coming = if display.stopping.is_some() {
            0
        } else {
            queued
        };
        let left = display.usual();
        let view = LiveView {
            count: self.count,
            ended: display.ended,
            running,
            queued,
            stopping: display.stopping,
            left: left.and_then(|usual| time_left(usual, &times, coming)),
            keys: self.keys.as_ref().map(Keys::counts),
            limiter: self.bottleneck.load().limiter(),
            time: self.began.elapsed(),
        };
        if let Some(display) = &mut self.display {
            display.show(&view);
        }
    }

    fn tell_crowded(&self, index: ItemIndex, width: usize) {
        let id = &self.items[index.0].id;
        let why = &self.crowding;
        self.visit.voice.warning(&format!(
            "{id} waits: {why}; at most {width} at once until there is room"
        ));
    }

    fn tell_stage(&mut self, raised: Raised, queued: usize) {
        if let Some(display) = &mut self.display {
            display.note_stage(raised.stage);
        }
        let mut running: Vec<(&str, Duration)> = self
            .live
            .iter()
            .map(|(index, live)| (self.items[index.0].id.as_str(), live.began.elapsed()))
            .collect();
        running.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        let grace = self.visit.invocation.grace;
        self.visit.voice.stage(&StageView {
            raised,
            running: &running,
            queued,
            grace,
        });
    }

    fn tell_status(&self) {
        let now = Instant::now();
        let silence = |live: &Live| {
            let heard = live.control.as_ref().and_then(Control::heard_at)?;
            Some(now.saturating_duration_since(Instant::from_std(heard)))
        };
        let shows_output = self.visit.invocation.mode != Mode::Sequential;
        let running: Vec<RunningItem<'_>> = self
            .live
            .iter()
            .map(|(index, live)| RunningItem {
                id: self.items[index.0].id.as_str(),
                time: live.began.elapsed(),
                silence: silence(live).filter(|_| shows_output),
                attempt: live.attempt,
                credential: live.credential.as_deref(),
                progress: live.progress.as_deref(),
            })
            .collect();
        self.visit.voice.progress(&Progress {
            results: &self.results,
            count: self.count,
            running: &running,
            queued: self.scheduler.queued(),
            load: self.bottleneck.load(),
            keys: self.keys.as_ref().map(Keys::counts),
            duration: self.began.elapsed(),
        });
    }

    fn now(&self) -> Duration {
        self.clock.at(self.began.elapsed())
    }

    /// Closes everything, tells how it went, and says how the program ends.
    pub(super) fn end(mut self, messages: &mut UnboundedReceiver<Message>) -> Result<Exit> {
        if let Some(display) = &mut self.display {
            display.hide();
        }
        let all_ended = self.end_the_rest();
        let lost = self.bottleneck.lost(self.now());
        self.record.lost = Some(lost_time(&lost));
        if let Some(keys) = self.keys.take() {
            self.record.credential_states = keys.finish(&self.secrets);
        }
        let poisoned = self
            .journal
            .take()
            .and_then(|journal| journal.finish().err());
        // Records that were lost have no notice of their own.
        self.results
            .extend(std::mem::take(&mut self.ended).into_values());
        let status = self.status(poisoned.is_some());
        let exit = match self.scheduler.fatal() {
            Some(press) => Exit::Signal(press),
            None => Exit::Status(status),
        };
        self.record.ended = Some(Timestamp::now());
        self.record.exit_status = matches!(exit, Exit::Status(_)).then(|| status.code());
        self.end_chronicle(messages);
        let record = self.masker.mask(self.record.clone());
        let kept = self.run.write_record(&record);
        let again = self.visit.voice.rerun(self.scheduler.queued() > 0);
        let rerun = self.masker.mask_text(&again).into_owned();
        let summary = Summary {
            results: &self.results,
            not_started: self.scheduler.queued(),
            duration: self.began.elapsed(),
            lost,
            rerun: &rerun,
        };
        if let Some(step) = &self.visit.step {
            let workflow = &self.visit.invocation.workflow.name;
            let annotations = step.ended(&summary, workflow);
            self.visit.voice.annotate(annotations);
        }
        self.visit
            .voice
            .summary(&summary, self.run.id().as_str(), self.record.exit_status);
        if all_ended {
            self.lock.release();
        }
        // Else it is held by what is left.
        if let Some(junit) = &self.visit.junit {
            junit.ended(record.get(), &self.results, self.began.elapsed());
        }
        if let Some(metrics) = &self.visit.metrics {
            metrics.ended(self.record);
        }
        match (kept, exit) {
            (Err(error), Exit::Status(ExitStatus::Success)) => Err(error),
            (Err(_) | Ok(()), exit) => Ok(exit),
        }
    }

    fn end_chronicle(&mut self, messages: &mut UnboundedReceiver<Message>) {
        let exit_status = self.record.exit_status;
        self.chronicle.tell(RunEvent::RunEnded { exit_status });
        let untold = self.chronicle.finish();
        for reason in untold.into_iter().chain(self.hear_the_last(messages)) {
            self.visit.voice.events_lost(&reason);
        }
    }

    /// Tells what has come too late for the loop, and says why events were lost. Nothing else is under way any more, so
    /// nothing else can still be told.
    fn hear_the_last(&self, messages: &mut UnboundedReceiver<Message>) -> Vec<String> {
        let mut lost = Vec::new();
        while let Ok(message) = messages.try_recv() {
            match message {
                Message::EventsLost(reason) => lost.push(reason),
                // A trouble with a lock is known after seconds; the run may be over by then.
                Message::KeyTrouble(why) => self.visit.voice.warning(&why),
                Message::Ended { .. }
                | Message::Suspended(_)
                | Message::GuardLost
                | Message::SpaceRanOut(_)
                | Message::Told { .. }
                | Message::Leased(_)
                | Message::NoKey { .. }
                | Message::KeysChanged(_)
                | Message::Recorded { .. } => {}
            }
        }
        lost
    }

    /// Ends what is left of any item, and says whether all of it has ended.
    fn end_the_rest(&self) -> bool {
        if self.visit.invocation.mode == Mode::Sequential {
            return true;
        }
        let Rest { names, has_ended } = self.launcher.end_the_rest();
        self.tell_left("the run", &names);
        has_ended
    }

    fn status(&self, poisoned: bool) -> ExitStatus {
        let any = |outcome| self.results.iter().any(|result| result.outcome == outcome);
        if self.guard_lost
            || poisoned
            || (self.space_ran_out && self.scheduler.queued() > 0)
            || self
                .results
                .iter()
                .any(|result| result.unrecorded.is_some())
        {
            ExitStatus::State
        } else if self
            .results
            .iter()
            .any(|result| result.outcome.is_failure())
        {
            ExitStatus::Failed
        } else if matches!(self.no_key, Some(NoKey { back_in: None })) {
            ExitStatus::Rejected
        } else if any(Outcome::Deferred) || self.scheduler.gave_up_on_work() {
            ExitStatus::WorkLeft
        } else {
            ExitStatus::Success
        }
    }
}

fn record_of(
    item: &Item,
    command: &str,
    live: &Live,
    step: Step,
    run: &RunId,
    log: Option<String>,
) -> Record {
    Record {
        item: item.id.clone(),
        step,
        attempt: live.attempt,
        content_hash: fingerprint(item, command),
        started: live.started,
        credential: live.credential.clone(),
        run: run.clone(),
        log,
    }
}

fn journal_thread(journal: Journal, messages: UnboundedSender<Message>) -> Result<JournalThread> {
    JournalThread::start(journal, move |news| {
        let message = match news {
            News::Recorded { token, result } => {
                let item = ItemIndex(usize::try_from(token).unwrap_or(usize::MAX));
                Message::Recorded { item, result }
            }
            News::Shortage(shortage) => Message::SpaceRanOut(shortage),
        };
        // The loop is gone only when the whole process is going.
        let _nobody = messages.send(message);
    })
}

fn display(visit: &Visit<'_>, state: &StateDirectory) -> Result<Option<Display>> {
    if visit.invocation.mode == Mode::Sequential {
        return Ok(None);
    }
    let display = Display::new(visit.terminal.clone(), visit.invocation.progress);
    display.look_back(state, &visit.invocation.workflow.name)?;
    Ok(Some(display))
}

fn blocks(
    visit: &Visit<'_>,
    run: &Arc<RunDirectory>,
    masker: &Arc<Masker>,
) -> Result<Option<Blocks>> {
    let invocation = &visit.invocation;
    if invocation.mode == Mode::Sequential
        || !matches!(invocation.output, OutputMode::Group | OutputMode::Failures)
    {
        return Ok(None);
    }
    let (target, colour) = match invocation.format {
        Format::Text => (Target::Stdout, invocation.stdout_colour),
        // Stdout is for JSON alone.
        Format::Json => (Target::Stderr, invocation.stderr_colour),
    };
    let paint = Paint(colour);
    let terminal = visit.terminal.clone();
    let (run, masker) = (Arc::clone(run), Arc::clone(masker));
    Blocks::start(run, masker, terminal, Look { target, paint }).map(Some)
}

fn longest_id(plan: &Plan) -> usize {
    let pending = plan
        .items
        .iter()
        .filter(|it| it.state == PlannedState::Pending);
    let lengths = pending.map(|planned| planned.item.id.as_str().len());
    lengths.max().unwrap_or(0)
}

/// Items that one key serves at once, as far as that is the same for all.
fn slots_of_a_key(visit: &Visit<'_>) -> usize {
    let table = visit.invocation.credentials.as_ref();
    table.map_or(1, |table| table.slots)
}

fn lost_time(lost: &Lost) -> LostTime {
    LostTime {
        credentials_ms: millis(lost.credentials),
        one_more_credential_ms: millis(lost.one_more),
        provider_ms: millis(lost.provider),
        room_ms: millis(lost.room),
    }
}

/// Items whose command cannot be built: they fail without being started, and harm nobody.
fn refused(plan: &Plan, masker: &Masker) -> Vec<ItemResult> {
    plan.items
        .iter()
        .filter(|planned| planned.state == PlannedState::Refused)
        .map(|planned| {
            let reason = masker.mask_text(&planned.reason);
            let why = Ending::Unstartable(escape_text(reason.as_ref()).into_owned());
            unstarted(&planned.item, masker, Outcome::Failed, Some(why))
        })
        .collect()
}

/// What became of an item of which no process was started.
fn unstarted(item: &Item, masker: &Masker, outcome: Outcome, ending: Option<Ending>) -> ItemResult {
    ItemResult {
        id: item.id.to_string(),
        title: shown_title(item, masker),
        outcome,
        ending,
        duration: Duration::ZERO,
        credential: None,
        log: None,
        log_cut: None,
        tail: Vec::new(),
        unrecorded: None,
    }
}

/// A path as it can be pasted by who stands in `here`.
fn seen_from(here: &Path, path: &Path) -> String {
    escape_text(&path.strip_prefix(here).unwrap_or(path).to_string_lossy()).into_owned()
}

/// How a process ended, without keys in what the system says of it.
fn masked(ending: &Ending, masker: &Masker) -> Ending {
    let mask = |why: &str| masker.mask_text(why).into_owned();
    match ending {
        Ending::Exited(_) | Ending::Killed(_) => ending.clone(),
        Ending::Unstartable(why) => Ending::Unstartable(mask(why)),
        Ending::Crowded(why) => Ending::Crowded(mask(why)),
        Ending::Unverified(ending) => Ending::Unverified(Box::new(self::masked(ending, masker))),
    }
}

pub(super) fn shown_title(item: &Item, masker: &Masker) -> String {
    escape_text(masker.mask_text(&item.title).as_ref()).into_owned()
}

pub(super) const fn recorded(outcome: Outcome) -> RecordedOutcome {
    match outcome {
        Outcome::Done => RecordedOutcome::Done,
        Outcome::Failed => RecordedOutcome::Failed,
        Outcome::TimedOut => RecordedOutcome::TimedOut,
        Outcome::Interrupted => RecordedOutcome::Interrupted,
        Outcome::Deferred => RecordedOutcome::Deferred,
    }
}
