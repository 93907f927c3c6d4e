//! The run itself: the scheduler, and everything that its actions act upon.

mod attempts;
mod ending;
mod load;
mod suspending;
mod telling;

use self::load::slots_of_a_key;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::blocks::{Block, Blocks, Look};
use super::chronicle::Chronicle;
use super::display::Display;
use super::earlier::LookBack;
use super::judge::{Judge, Narrow};
use super::keys::Keys;
use super::last_output::LastOutput;
use super::launch::{Launcher, Programs, inheritable};
use super::limits::limits;
use super::message::Message;
use super::outlook::command_fingerprint;
use super::signals::Received;
use super::suspension::{Permit, Suspending};
use super::visit::Visit;
use super::{keep, launch};
use crate::child::control::Control;
use crate::config::options::{Format, OutputMode};
use crate::config::resolve::Mode;
use crate::credential::evidence::Finding;
use crate::credential::secret::Secret;
use crate::disk::held_directory::HeldDirectory;
use crate::disk::whole_file::Draft;
use crate::error::{Error, Result};
use crate::escape::escape_text;
use crate::items::batch::Batch;
use crate::items::item::Item;
use crate::items::plan::{Plan, PlannedState};
use crate::output::Target;
use crate::output::mask::Masker;
use crate::output::terminal::TerminalHandle;
use crate::report::estimate::time_left;
use crate::report::forecast::at_once;
use crate::report::live::{LiveItem, LiveView};
use crate::report::paint::Paint;
use crate::report::result::ItemResult;
use crate::schedule::bottleneck::Bottleneck;
use crate::schedule::clock::Clock;
use crate::schedule::event::{Action, Ending, Event, ItemIndex, Outcome};
use crate::schedule::scheduler::Scheduler;
use crate::state::directory::{RunDirectory, StateDirectory, WorkflowDirectory};
use crate::state::journal::Journal;
use crate::state::journal_thread::{JournalThread, News};
use crate::state::lock::WorkflowLock;
use crate::state::record::{Outcome as RecordedOutcome, Step};
use crate::state::run_event::RunEvent;
use crate::state::run_items::RunItems;
use crate::state::run_record::RunRecord;

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
    /// Where the journal is.
    pub(super) directory: WorkflowDirectory,
    /// What is done.
    pub(super) journal: Journal,
    /// Nobody else runs this workflow.
    pub(super) lock: WorkflowLock,
    /// When the run began.
    pub(super) started: Timestamp,
    /// The per-item programs.
    pub(super) programs: Programs,
}

/// What the journal's thread does for the run's folder: it is shown, and then it is durable. Dropped, it waits for both: no
/// folder stays that nobody knows.
struct RunSteps(mpsc::Receiver<Result<()>>);

impl RunSteps {
    fn next(&self) -> Result<()> {
        let ended = |_| Err(Error::state("the run's folder could not be made durable"));
        self.0.recv().unwrap_or_else(ended)
    }
}

impl Drop for RunSteps {
    fn drop(&mut self) {
        while self.0.recv().is_ok() {}
    }
}

/// The run itself.
pub(super) struct Session<'a> {
    visit: Visit<'a>,
    scheduler: Scheduler,
    began: Instant,
    clock: Clock,
    suspension: Option<Suspension>,
    /// What the scheduler's indices mean.
    items: Rc<Batch>,
    live: BTreeMap<ItemIndex, Live>,
    ended: BTreeMap<ItemIndex, ItemResult>,
    /// Of items that wait for another attempt.
    last_results: BTreeMap<ItemIndex, ItemResult>,
    /// Items that fail without being started.
    refused: Vec<ItemResult>,
    results: Vec<ItemResult>,
    /// Of all items that are to come to an end.
    count: usize,
    /// So many of them can run at once.
    at_once: usize,
    record: RunRecord<RunItems>,
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
    run_steps: RunSteps,
    /// Of the journal.
    directory: WorkflowDirectory,
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
            directory,
            journal,
            lock,
            started,
            programs,
        } = stores;
        let run = Arc::new(state.new_run(started)?);
        let invocation = &visit.invocation;
        let refused = refused(&plan, &masker);
        let (items, in_record) = keep::items(plan, &masker);
        let mut record = keep::beginning(&visit, in_record, &run, &secrets, &masker, started);
        let draft = run.draft_record(masker.mask_in_place(&mut record))?;
        let (journal, run_steps) = journal_thread(journal, (&run, draft), messages.clone())?;
        let chronicle = chronicle(&visit, &record, &run, &masker, state.path(), &messages);
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
            id_columns: items.ids().map(str::len).max().unwrap_or(0),
        };
        let launcher = Launcher::new(parts, invocation, visit.surroundings, &secrets)?;
        let hooks = (Arc::clone(&visit.at_the_store), is_narrow);
        let keys = Keys::start(invocation, &secrets, visit.surroundings, told, hooks)?;
        let display = display(&visit, &run)?;
        let blocks = blocks(&visit, &run, &masker)?;
        let slots = keys.as_ref().map_or(usize::MAX, Keys::slots);
        let limits = limits(&visit, slots, items.len())?;
        run_steps.next()?;
        let at_once = at_once(limits.width, None, items.len());
        Ok(Self {
            command: command_fingerprint(&invocation.workflow),
            scheduler: Scheduler::new(items.len(), limits),
            began: Instant::now(),
            clock: Clock::default(),
            suspension: None,
            count: items.len() + refused.len(),
            at_once,
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
            run_steps,
            directory,
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

    /// Whether we are to die by a signal.
    pub(super) const fn is_stopped_by_a_signal(&self) -> bool {
        self.scheduler.fatal().is_some()
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
                self.tell_left(self.items.id(item.0), &left);
                if let Ending::Crowded(why) = &ending {
                    if let Some(live) = self.live.remove(&item) {
                        self.note_step(item, &live, Step::Withdrawn);
                    }
                    self.crowding.clone_from(why);
                    let item = self.items.id(item.0).to_owned();
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
            Message::KeysHeld(holders) => {
                let waiting = self.scheduler.queued() + self.scheduler.reserving();
                self.visit.voice.keys_are_held(waiting, &holders);
            }
            Message::KeyTrouble(why) => self.visit.voice.warning(&why),
            Message::Recorded { items, result } => {
                for item in items {
                    self.note_record(item, &result);
                }
            }
        }
    }

    fn note_record(&mut self, item: ItemIndex, result: &Result<()>) {
        self.chronicle.recorded(item, result.is_ok());
        let event = match result {
            Ok(()) => Event::Recorded { item },
            Err(error) => {
                keep::note_lost(self.record.items.at(item.0), error);
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

    fn step(&mut self, event: Event) {
        if let Some(usual) = self.display.as_ref().and_then(Display::usual_earlier) {
            self.scheduler.foresee(usual);
        }
        self.due.push_back(event);
        let now = self.clock.look(self.began.elapsed());
        while let Some(event) = self.due.pop_front() {
            for action in self.scheduler.on_event(event, now) {
                self.perform(action);
            }
        }
        if let Some(journal) = &self.journal
            && self.scheduler.waits_for_the_disk()
        {
            journal.hurry();
        }
        self.note_load(now);
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

    /// Shows what the last attempt of an item has written, if it is to be shown when it has ended.
    fn show_block(&self, result: &ItemResult, index: ItemIndex, is_last: bool) {
        let is_shown = match self.visit.invocation.output {
            OutputMode::Group => true,
            OutputMode::Failures => is_last && result.outcome.is_failure(),
            OutputMode::Prefix | OutputMode::None => false,
        };
        let attempts = self.record.items.attempts(index.0);
        let attempt = attempts.last().filter(|attempt| attempt.log.is_some());
        // An item that got no key has not written anything since its last attempt, which is shown.
        let has_run = result.ending.is_some();
        let (Some(blocks), Some(attempt)) = (&self.blocks, attempt) else {
            return;
        };
        if is_shown && has_run {
            blocks.show(Block {
                id: self.items.get(index.0).into_owned().id,
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
                id: self.items.id(index.0),
                time: live.began.elapsed(),
                at: at(live),
            })
            .collect();
        let times: Vec<Duration> = running.iter().map(|item| item.time).collect();
        let queued = self.scheduler.queued() + self.scheduler.reserving();
        let again = self.scheduler.waiting();
        let coming = if display.stopping.is_some() {
            0
        } else {
            queued + again
        };
        let left = display.usual();
        let view = LiveView {
            count: self.count,
            ended: display.ended,
            running,
            queued,
            again,
            stopping: display.stopping,
            left: left.and_then(|usual| time_left(usual, &times, coming)),
            keys: self.keys.as_ref().map(Keys::counts),
            limiter: self.bottleneck.load().limiter(),
            time: self.began.elapsed(),
        };
        if let Some(display) = &mut self.display {
            display.show(&view, Instant::now());
        }
    }

    fn now(&self) -> Duration {
        self.clock.at(self.began.elapsed())
    }
}

fn chronicle(
    visit: &Visit<'_>,
    record: &RunRecord<RunItems>,
    run: &Arc<RunDirectory>,
    masker: &Arc<Masker>,
    state: &Path,
    messages: &UnboundedSender<Message>,
) -> Chronicle {
    let shown_state = seen_from(&visit.surroundings.directory, state);
    let stream = (visit.voice.clone(), shown_state);
    let mut chronicle = Chronicle::begin(run, Arc::clone(masker), messages, stream);
    chronicle.tell(RunEvent::RunStarted {
        run: record.run.clone(),
        workflow: record.workflow.clone(),
        items: record.items.len(),
    });
    chronicle
}

/// Starts the journal's thread, which begins with the run's folder: the disk is waited for while we make ready.
fn journal_thread(
    journal: Journal,
    (run, draft): (&Arc<RunDirectory>, Draft<Arc<HeldDirectory>>),
    messages: UnboundedSender<Message>,
) -> Result<(JournalThread, RunSteps)> {
    let (sender, steps) = mpsc::channel();
    let run = Arc::clone(run);
    let beginning = move || {
        // Nobody listens any more when something else has failed.
        let _given_up = sender.send(run.begin(draft));
        let _given_up = sender.send(run.sync());
    };
    let thread = JournalThread::start(journal, beginning, move |news| {
        let message = match news {
            News::Recorded { tokens, result } => {
                let item = |token| ItemIndex(usize::try_from(token).unwrap_or(usize::MAX));
                let items = tokens.into_iter().map(item).collect();
                Message::Recorded { items, result }
            }
            News::Shortage(shortage) => Message::SpaceRanOut(shortage),
        };
        // The loop is gone only when the whole process is going.
        let _nobody = messages.send(message);
    })?;
    Ok((thread, RunSteps(steps)))
}

fn display(visit: &Visit<'_>, run: &RunDirectory) -> Result<Option<Display>> {
    if visit.invocation.mode == Mode::Sequential {
        return Ok(None);
    }
    let (root, workflow) = (&visit.invocation.place.root, &visit.invocation.workflow);
    let earlier = LookBack::begin(root.clone(), workflow.name.clone(), Some(run.id().clone()))?;
    let (terminal, progress) = (visit.terminal.clone(), visit.invocation.progress);
    let display = Display::new(terminal, progress, earlier, Instant::now());
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

/// Items whose command cannot be built: they fail without being started, and harm nobody.
fn refused(plan: &Plan, masker: &Masker) -> Vec<ItemResult> {
    plan.in_state(PlannedState::Refused)
        .map(|planned| {
            let reason = masker.mask_text(planned.reason);
            let why = Ending::Unstartable(escape_text(reason.as_ref()).into_owned());
            unstarted(&planned.item, masker, Outcome::Failed, Some(why))
        })
        .collect()
}

/// What became of an item of which no process was started.
fn unstarted(item: &Item, masker: &Masker, outcome: Outcome, ending: Option<Ending>) -> ItemResult {
    ItemResult {
        id: item.id.to_string(),
        title: shown_title(&item.title, masker),
        outcome,
        attempt: 0,
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

pub(super) fn shown_title(title: &str, masker: &Masker) -> String {
    escape_text(masker.mask_text(title).as_ref()).into_owned()
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
