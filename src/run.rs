//! The one loop: it joins the rooms, feeds the scheduler with what has happened, and does what the scheduler says.
//!
//! It never blocks: the disk, the terminal and every child have threads of their own, which send it messages. It is
//! the only place that knows all the rooms.

mod alarm;
mod blocks;
mod chronicle;
mod closing;
mod collect;
mod display;
mod earlier;
mod github_actions;
mod item_output;
mod judge;
mod junit;
mod keep;
mod keys;
mod last_output;
mod launch;
mod limits;
mod metrics;
mod outlook;
mod present;
mod report_file;
mod session;
mod signals;
mod status_file;
mod status_watch;
mod suspension;
mod workers;

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::child::core_file;
use crate::child::guard::{adopt_orphans, wait_for_the_guards_death};
use crate::child::lock_keepers::{Keeper, keepers};
use crate::cli::{Cli, Command, OneShot};
use crate::command;
use crate::config::file::ItemSource;
use crate::config::options::{Format, IfLocked};
use crate::config::resolve::{CoreFiles, Invocation, Mode, NetworkState, Progress, resolve};
use crate::credential::coordinator::AtTheStore;
use crate::credential::evidence::Verdict;
use crate::credential::key_store::Hold;
use crate::credential::pool::Grant;
use crate::credential::secret::Secret;
use crate::credential::snapshot::Snapshot;
use crate::credential::source;
use crate::credential::told::News;
use crate::error::{Error, ExitStatus, Result};
use crate::items::collected::Collected;
use crate::items::plan::{LastOutcome, Plan, PlannedState};
use crate::output::Target;
use crate::output::mask::inherited::is_inherited_secret;
use crate::output::mask::{Masker, Secrets, UnknownKeys};
use crate::output::panic::die_of_panics;
use crate::output::terminal::{Outputs, Terminal, TerminalHandle};
use crate::report::dry_run;
use crate::report::forecast::at_once;
use crate::report::paint::Paint;
use crate::report::table::Look;
use crate::schedule::event::{Ending, ItemIndex};
use crate::schedule::stage::Press;
use crate::state::directory::{StateDirectory, WorkflowDirectory};
use crate::state::history::History;
use crate::state::journal::Journal;
use crate::state::journal_scan;
use crate::state::lock::{self, LockError, WorkflowLock};
use crate::state::retention;
use crate::surroundings::Surroundings;
use alarm::Alarm;
use github_actions::Step;
use item_output::OutputReport;
use junit::Junit;
use metrics::Metrics;
use present::Voice;
use session::{Session, Stores};
use signals::Signals;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With a status.
    Status(ExitStatus),
    /// By this signal, after cleaning up, so that shells see it.
    Signal(Press),
}

/// What the threads tell the loop.
pub(crate) enum Message {
    /// An attempt is over.
    Ended {
        /// Whose.
        item: ItemIndex,
        /// How it ended.
        ending: Ending,
        /// What is left of its output.
        report: OutputReport,
        /// What it left running, and we have ended.
        left: Vec<String>,
        /// What its end says of its key.
        verdict: Box<Verdict>,
    },
    /// An attempt that runs has said something in its status file.
    Told {
        /// Whose.
        item: ItemIndex,
        /// Its number.
        attempt: u32,
        /// What is new.
        news: Box<News>,
    },
    /// A key is leased to an item.
    Leased(Grant<Hold>),
    /// Nobody who waits will get a key in time.
    NoKey {
        /// How long it takes until one comes back; `None`: all were rejected.
        back_in: Option<Duration>,
    },
    /// The keys stand otherwise than before.
    KeysChanged(Snapshot),
    /// The keys' state is in trouble, for this reason.
    KeyTrouble(String),
    /// Nothing of an item runs any more until it is resumed.
    Suspended(ItemIndex),
    /// `events.jsonl` cannot be written, for this reason.
    EventsLost(String),
    /// The guard that started us has died.
    GuardLost,
    /// The disk is full, for this reason.
    SpaceRanOut(Error),
    /// Outcomes are on disk, or will never be.
    Recorded {
        /// Whose.
        items: Vec<ItemIndex>,
        /// Why not.
        result: Result<()>,
    },
}

/// How often somebody who waits for the workflow's lock looks whether it is free.
const LOCK_LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is read for longer than this is told on a terminal.
const WORTH_A_WORD: Duration = Duration::from_secs(1);

/// So many ids are searched for keys in one go.
const IDS_AT_ONCE: usize = 1024;

/// After so many messages we look for what is less urgent than a press: Ctrl-Z, a question, another size.
const MESSAGES_AT_ONCE: usize = 64;

/// Items that are being collected.
type Collecting = oneshot::Receiver<Result<Collected>>;

/// What came of the workflow's lock.
enum Locked {
    /// It is ours, since then.
    Ours(WorkflowLock, Timestamp),
    /// Another run holds it, and that is all right.
    Skipped,
    /// A signal came before it was free.
    Pressed(Press),
}

/// What was typed, and what it means.
#[derive(Debug)]
pub enum Request {
    /// Something else than a run.
    OneShot(Box<(OneShot, Cli)>),
    /// A run, or what is wrong with it.
    Run(Box<Result<Invocation>>, Format),
}

impl Request {
    /// Reads the configuration, if there is to be a run. A signal that comes meanwhile does what it does to any program.
    #[must_use]
    pub fn new(mut cli: Cli, surroundings: &Surroundings) -> Self {
        match cli.command.take() {
            Some(Command::OneShot(command)) => Self::OneShot(Box::new((command, cli))),
            other => {
                cli.command = other;
                let asked = asked_format(&cli, surroundings);
                Self::Run(Box::new(resolve(cli, surroundings)), asked)
            }
        }
    }

    /// The grace of its items, if it is something that a guard watches over.
    #[must_use]
    pub fn wants_a_guard(&self, surroundings: &Surroundings) -> Option<Duration> {
        // What is wrong is told by the run itself.
        let Self::Run(resolved, _) = self else {
            return None;
        };
        let invocation = resolved.as_ref().as_ref().ok()?;
        // As the first process of a container we inherit all its orphans, and somebody has to reap them.
        (is_guarded(invocation) || surroundings.process == 1).then_some(invocation.grace)
    }
}

/// Does what was typed; `line` is the command line as it was typed, for the summary to repeat, and `guard` is a pidfd
/// of the process that watches over us, if there is one.
///
/// # Errors
///
/// What stopped us before anything was started. What goes wrong later is part of the run, and of its exit.
///
/// # Panics
///
/// When the runtime cannot be built, which takes an epoll and an eventfd.
pub fn run(
    request: Request,
    surroundings: &Surroundings,
    line: &[String],
    outputs: Outputs,
    guard: Option<OwnedFd>,
) -> Result<Exit> {
    let (terminal, handle) = match request {
        // Who asks for one thing wants all of it.
        Request::OneShot(_) => Terminal::start_patient(outputs),
        Request::Run(..) => Terminal::start(outputs),
    }
    .map_err(|error| Error::state(format!("cannot start a thread: {error}")))?;
    // As long as the pool is not read.
    let inherited = Arc::new(masker(&[], surroundings, UnknownKeys::Masked));
    handle.mask_with(Arc::clone(&inherited));
    die_of_panics(Arc::clone(&inherited));
    let handle = if github_actions::reads_us(surroundings) {
        handle.disarming()
    } else {
        handle
    };
    let (resolved, asked) = match request {
        Request::OneShot(one) => {
            let (command, cli) = *one;
            let asked = asked_format(&cli, surroundings);
            let done = command::perform(command, cli, surroundings, &handle);
            let status = done.unwrap_or_else(|error| {
                present::error(&handle, &error, asked);
                error.status()
            });
            // A signal ends us here as everywhere.
            terminal.finish();
            return Ok(Exit::Status(status));
        }
        Request::Run(resolved, asked) => (*resolved, asked),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Error::state(format!("cannot begin: {error}")))?;
    runtime.block_on(async {
        let guarded = resolved.as_ref().is_ok_and(is_guarded);
        if guard.is_some() && !guarded {
            suspension::leave_it_to_the_kernel()?;
        }
        let format = resolved
            .as_ref()
            .map_or(asked, |invocation| invocation.format);
        let at_the_store = AtTheStore::default();
        let stops = guarded.then(|| Arc::clone(&at_the_store));
        let mut signals = Signals::listen(&surroundings.ignored_signals, stops)?;
        let result = match resolved {
            Ok(invocation) => {
                let voice = Voice::new(handle.clone(), &invocation, surroundings, line);
                match reports(&invocation, &inherited) {
                    Ok((metrics, junit)) => {
                        let visit = Visit {
                            invocation,
                            surroundings,
                            terminal: handle.clone(),
                            voice,
                            guard,
                            metrics: metrics.map(Rc::new),
                            junit: junit.map(Rc::new),
                            step: Step::find(surroundings).map(Rc::new),
                            inherited,
                            at_the_store,
                        };
                        Box::pin(visit.run_and_tell(&mut signals)).await
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        let exit = result.unwrap_or_else(|error| {
            present::error(&handle, &error, format);
            Exit::Status(error.status())
        });
        flush(terminal, &handle, &mut signals).await;
        Ok(exit)
    })
}

/// The files that are to tell how the run goes.
fn reports(
    invocation: &Invocation,
    masker: &Arc<Masker>,
) -> Result<(Option<Metrics>, Option<Junit>)> {
    let junit = Junit::wanted(invocation, masker)?;
    let metrics = Metrics::wanted(invocation)?;
    if let (Some(junit), Some(metrics)) = (&junit, &metrics) {
        junit.file.differs_from(&metrics.file)?;
    }
    Ok((metrics, junit))
}

/// The format that was typed, or that the environment gives, for what is wrong with all else.
fn asked_format(cli: &Cli, surroundings: &Surroundings) -> Format {
    let variable = || surroundings.variable("ORCHESTRATE_FORMAT")?.parse().ok();
    cli.options.format.or_else(variable).unwrap_or(Format::Text)
}

/// Waits until everything is written; a further press gives up on a reader that is stuck.
async fn flush(terminal: Terminal, handle: &TerminalHandle, signals: &mut Signals) {
    let (token, mut written) = oneshot::channel::<()>();
    terminal.close(token);
    tokio::select! {
        biased;
        _ = &mut written => {}
        _ = signals.next_press(|| ()) => handle.abandon(),
    }
    terminal.finish();
}

/// One execution, from its items to its end.
struct Visit<'a> {
    invocation: Invocation,
    surroundings: &'a Surroundings,
    terminal: TerminalHandle,
    voice: Voice,
    guard: Option<OwnedFd>,
    metrics: Option<Rc<Metrics>>,
    junit: Option<Rc<Junit>>,
    step: Option<Rc<Step>>,
    /// What masks all but the keys of the pool.
    inherited: Arc<Masker>,
    /// Ctrl-Z waits for whoever holds it.
    at_the_store: AtTheStore,
}

impl Visit<'_> {
    /// Whatever happens, what has to be said at the end is said.
    async fn run_and_tell(self, signals: &mut Signals) -> Result<Exit> {
        let (voice, metrics) = (self.voice.clone(), self.metrics.clone());
        let (junit, step) = (self.junit.clone(), self.step.clone());
        let result = self.run(signals).await;
        if let Some(metrics) = metrics {
            metrics.write(&result, signals, &voice).await;
        }
        if let Some(junit) = junit {
            junit.write(&result, signals, &voice).await;
        }
        if let Some(step) = step {
            step.write(signals, &voice).await;
            if let Err(error) = &result {
                voice.annotate(github_actions::annotation(error));
            }
        }
        if !matches!(result, Ok(Exit::Status(ExitStatus::Success))) {
            voice.tell_held();
        }
        result
    }

    async fn run(self, signals: &mut Signals) -> Result<Exit> {
        std::env::set_current_dir(&self.invocation.directory).map_err(|error| {
            Error::usage(format!("{}: {error}", self.invocation.directory.display()))
        })?;
        for warning in &self.invocation.warnings {
            self.voice.warning(warning);
        }
        if self.invocation.dry_run {
            self.rehearse(signals).await
        } else {
            self.perform(signals).await
        }
    }

    /// The dry run: reads what there is, and touches nothing.
    async fn rehearse(self, signals: &mut Signals) -> Result<Exit> {
        launch::preflight(&self.invocation, self.surroundings)?;
        let root = &self.invocation.place.root;
        let found = StateDirectory::find(root)?;
        let directory = match &found {
            Some(state) => state.find_workflow(&self.invocation.workflow.name)?,
            None => None,
        };
        // Asked before the journal is read: a run that ends in between has recorded everything.
        let unfinished = match &directory {
            Some(directory) if lock::holder_of(directory)?.is_some() => LastOutcome::Running,
            Some(_) | None => LastOutcome::CutOff,
        };
        let ahead = self.collect_ahead()?;
        let history =
            directory.map_or_else(|| Ok(History::default()), |it| journal_scan::read(&it))?;
        let items = match self.collect(ahead, signals).await? {
            Ok(items) => items,
            Err(press) => return Ok(Exit::Signal(press)),
        };
        let state = self.state_path();
        let parallel = self.invocation.mode != Mode::Sequential;
        let plan = outlook::decide(
            &self.invocation,
            &state,
            items.items,
            &history,
            unfinished,
            parallel,
        )?;
        self.voice.notes(
            &items.warnings,
            &history,
            outlook::collisions(&self.invocation, &plan).as_deref(),
        );
        let rows = outlook::rows(&self.invocation, &state, &plan);
        let outlook = self.outlook(found.as_ref(), plan.count(PlannedState::Pending));
        self.show(&rows, &outlook);
        Ok(Exit::Status(ExitStatus::Success))
    }

    /// How so many items would be run. No key is read for it: there are as many as there were last time.
    fn outlook(&self, state: Option<&StateDirectory>, pending: usize) -> dry_run::Outlook {
        let invocation = &self.invocation;
        let earlier =
            state.and_then(|state| earlier::earlier(state, &invocation.workflow.name, None));
        let (asked, table) = match invocation.mode {
            Mode::Sequential => (1, None),
            Mode::Parallel(width) => (width, invocation.credentials.as_ref()),
        };
        let keys = earlier.map(|it| it.keys).filter(|&keys| keys > 0);
        let slots = table.and_then(|table| Some(keys?.saturating_mul(table.slots)));
        let at_once = at_once(asked, slots, pending);
        dry_run::Outlook {
            how: present::how(invocation),
            at_once,
            forecast: earlier.and_then(|it| it.forecast(pending, at_once)),
        }
    }

    /// What the dry run is for.
    fn show(&self, rows: &[dry_run::Row], outlook: &dry_run::Outlook) {
        let text = match self.invocation.format {
            Format::Json => {
                let lines = dry_run::json_lines(rows, outlook);
                return self.terminal.say_verbatim(Target::Stdout, lines);
            }
            Format::Text if rows.is_empty() => "Nothing to process\n".to_owned(),
            Format::Text => {
                let look = Look {
                    paint: Paint(self.invocation.stdout_colour),
                    columns: self.surroundings.columns,
                };
                dry_run::text(rows, outlook, look)
            }
        };
        self.terminal.say(Target::Stdout, text);
    }

    async fn perform(self, signals: &mut Signals) -> Result<Exit> {
        if is_guarded(&self.invocation) {
            if self.invocation.core_files == CoreFiles::Refused {
                core_file::refuse().map_err(|error| {
                    Error::state(format!(
                        "cannot keep items from leaving core files: {error}"
                    ))
                    .with_hint("--allow-core runs them all the same")
                })?;
            }
            adopt_orphans().map_err(|error| {
                Error::state(format!(
                    "cannot watch over what items leave behind: {error}"
                ))
            })?;
        }
        let programs = launch::preflight(&self.invocation, self.surroundings)?;
        let secrets = match self.secrets(signals).await? {
            Ok(secrets) => secrets,
            Err(press) => return Ok(self.stopped_early(press, None)),
        };
        let unknown = self.invocation.unknown_keys;
        let masker = if secrets.is_empty() && unknown == UnknownKeys::Masked {
            Arc::clone(&self.inherited)
        } else {
            Arc::new(masker(&secrets, self.surroundings, unknown))
        };
        self.terminal.mask_with(Arc::clone(&masker));
        if let Some(junit) = &self.junit {
            junit.mask_with(&masker);
        }
        die_of_panics(Arc::clone(&masker));
        let root = &self.invocation.place.root;
        if self.invocation.network_state == NetworkState::Refused {
            StateDirectory::refuse_network(root)?;
        }
        let state = StateDirectory::prepare(root)?;
        let directory = state.workflow(&self.invocation.workflow.name)?;
        let (lock, started) = match self.lock(&directory, &masker, signals).await? {
            Locked::Ours(lock, started) => (lock, started),
            Locked::Skipped => return Ok(Exit::Status(ExitStatus::Success)),
            Locked::Pressed(press) => return Ok(self.stopped_early(press, None)),
        };
        let ahead = self.collect_ahead()?;
        let (journal, history) = Journal::open(&directory, &lock)?;
        let items = match self.collect(ahead, signals).await? {
            Ok(items) => items,
            Err(press) => return Ok(self.stopped_early(press, Some(lock))),
        };
        refuse_keys_as_ids(&items, &masker)?;
        let parallel = self.invocation.mode != Mode::Sequential;
        let template_state = self.state_path();
        let plan = outlook::decide(
            &self.invocation,
            &template_state,
            items.items,
            &history,
            LastOutcome::CutOff,
            parallel,
        )?;
        let collisions = outlook::collisions(&self.invocation, &plan).filter(|_| parallel);
        self.voice
            .notes(&items.warnings, &history, collisions.as_deref());
        drop(history);
        if plan.count(PlannedState::Pending) + plan.count(PlannedState::Refused) == 0 {
            self.voice.nothing_to_do(&plan);
            lock.release();
            return Ok(Exit::Status(ExitStatus::Success));
        }
        let stores = Stores {
            state,
            directory,
            journal,
            lock,
            started,
            programs,
        };
        self.execute(plan, stores, (secrets, masker), signals).await
    }

    /// Takes the workflow's lock, or does as `--if-locked` says.
    async fn lock(
        &self,
        directory: &WorkflowDirectory,
        masker: &Masker,
        signals: &mut Signals,
    ) -> Result<Locked> {
        let mut told = false;
        loop {
            let started = Timestamp::now();
            let process = self.surroundings.process;
            let held = match WorkflowLock::acquire(directory, process, &started.to_string()) {
                Ok(lock) => return Ok(Locked::Ours(lock, started)),
                Err(held @ LockError::Held { .. }) => held,
                Err(error @ LockError::Failed(_)) => return Err(error.into()),
            };
            match self.invocation.if_locked {
                IfLocked::Fail => {
                    self.turn_away();
                    return Err(turned_away(held, masker));
                }
                IfLocked::Skip => {
                    self.turn_away();
                    self.voice.skipped(&held.to_string());
                    return Ok(Locked::Skipped);
                }
                IfLocked::Wait if !told => self.voice.waits(&held.to_string()),
                IfLocked::Wait => {}
            }
            told = true;
            let question = || self.voice.waits(&held.to_string());
            tokio::select! {
                biased;
                press = signals.next_press(question) => return Ok(Locked::Pressed(press)),
                () = tokio::time::sleep(LOCK_LOOK_EVERY) => {}
            }
        }
    }

    fn turn_away(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.turn_away();
        }
        if let Some(junit) = &self.junit {
            junit.turn_away();
        }
    }

    async fn execute(
        mut self,
        plan: Plan,
        stores: Stores,
        (secrets, masker): (Vec<Secret>, Arc<Masker>),
        signals: &mut Signals,
    ) -> Result<Exit> {
        let (sender, mut messages) = unbounded_channel();
        self.watch_the_guard(&sender)?;
        let (state, voice) = (self.state_path(), self.voice.clone());
        let (root, keep) = (
            self.invocation.place.root.clone(),
            self.invocation.keep_runs,
        );
        if self.draws() && self.invocation.mode != Mode::Sequential {
            signals.listen_to_resizes();
        }
        let mut session = Session::begin(self, plan, stores, secrets, masker, state, sender)?;
        let removed = collect::aside("keep-runs", move || retention::remove_old(&root, keep))?;
        drive(&mut session, signals, &mut messages).await;
        if let Some(shown) = session.finish_blocks() {
            tokio::select! {
                biased;
                _ = shown => {}
                _ = signals.next_press(|| ()) => session.abandon_blocks(),
            }
        }
        tokio::select! {
            biased;
            removed = removed => session.old_runs_removed(removed),
            // Nobody waits for it who wants to go; the next run removes the rest.
            _ = signals.next_press(|| ()) => {}
        }
        if let Some(looked_back) = session.looked_back() {
            tokio::select! {
                biased;
                _ = looked_back => {}
                _ = signals.next_press(|| ()) => {}
            }
        }
        let (exit, closing) = session.end(&mut messages);
        closing.close(signals, &voice).await;
        exit
    }

    /// Whoever dies first, guard or orchestrator, the other one ends the items.
    fn watch_the_guard(&mut self, messages: &UnboundedSender<Message>) -> Result<()> {
        let Some(guard) = self.guard.take() else {
            return Ok(());
        };
        let messages = messages.clone();
        let watch = move || {
            wait_for_the_guards_death(&guard);
            // The loop is gone only when the whole process is going.
            let _nobody = messages.send(Message::GuardLost);
        };
        let thread = std::thread::Builder::new().name("guard".to_owned());
        thread
            .spawn(watch)
            .map(drop)
            .map_err(|error| Error::state(format!("cannot start a thread: {error}")))
    }

    /// The keys of the pool, or the press that came before them; none in sequential mode, which leases nothing and
    /// changes no environment.
    async fn secrets(
        &self,
        signals: &mut Signals,
    ) -> Result<std::result::Result<Vec<Secret>, Press>> {
        match (&self.invocation.credentials, self.invocation.mode) {
            (Some(table), Mode::Parallel(_)) => {
                let (table, surroundings) = (table.clone(), self.surroundings.clone());
                let root = self.invocation.place.root.clone();
                let read =
                    collect::aside("keys", move || source::read(&table, &root, &surroundings));
                self.unless_pressed(signals, read?, "the keys").await
            }
            (Some(_) | None, Mode::Sequential) | (None, Mode::Parallel(_)) => Ok(Ok(Vec::new())),
        }
    }

    /// Begins to collect the items while the journal is read, if that does nothing but read files: with a journal that is
    /// damaged no command is run, nobody is asked, and stdin is left alone.
    fn collect_ahead(&self) -> Result<Option<Collecting>> {
        let only_reads = match &self.invocation.workflow.items {
            ItemSource::Documents(_) | ItemSource::Files(_) => true,
            ItemSource::List(path) => path.as_os_str() != "-",
            ItemSource::Github(_) | ItemSource::Command(_) => false,
        };
        only_reads.then(|| self.begin_to_collect()).transpose()
    }

    fn begin_to_collect(&self) -> Result<Collecting> {
        let (terminal, draws) = (self.terminal.clone(), self.draws());
        let report = move |text: &str| {
            if draws {
                terminal.status(vec![text.to_owned()]);
            }
        };
        collect::begin(
            self.invocation.workflow.items.clone(),
            self.invocation.place.root.clone(),
            self.surroundings.clone(),
            report,
        )
    }

    /// The items, or the press that came before them.
    async fn collect(
        &self,
        ahead: Option<Collecting>,
        signals: &mut Signals,
    ) -> Result<std::result::Result<Collected, Press>> {
        let collected = ahead.map_or_else(|| self.begin_to_collect(), Ok)?;
        let collected = self.unless_pressed(signals, collected, "the items").await;
        self.terminal.status(Vec::new());
        collected
    }

    /// What a thread of ours reads, or the press that came before it.
    async fn unless_pressed<T>(
        &self,
        signals: &mut Signals,
        read: oneshot::Receiver<Result<T>>,
        what: &str,
    ) -> Result<std::result::Result<T, Press>> {
        let question = || {
            self.voice
                .say(&format!("{what} are being read; nothing runs yet"));
        };
        tokio::select! {
            biased;
            press = signals.next_press(question) => Ok(Err(press)),
            read = self.say_what_takes_long(read, what) => match read {
                Ok(read) => read.map(Ok),
                Err(_) => Err(Error::source(format!("{what} could not be read: a thread of ours died"))),
            },
        }
    }

    /// Waits for what a thread of ours reads, and says on a terminal what it is when that takes a while.
    async fn say_what_takes_long<T>(
        &self,
        read: oneshot::Receiver<T>,
        what: &str,
    ) -> std::result::Result<T, oneshot::error::RecvError> {
        // GitHub's pages are told one by one.
        let tells_itself = matches!(self.invocation.workflow.items, ItemSource::Github(_));
        if !self.draws() || tells_itself {
            return read.await;
        }
        tokio::pin!(read);
        if let Ok(read) = tokio::time::timeout(WORTH_A_WORD, &mut read).await {
            return read;
        }
        self.terminal.status(vec![format!("reading {what} …")]);
        let read = read.await;
        self.terminal.status(Vec::new());
        read
    }

    /// Whether there is a terminal to draw status lines on.
    fn draws(&self) -> bool {
        self.invocation.progress == Progress::Lines
    }

    /// A press before the first item is known: nothing runs, and nothing is lost.
    fn stopped_early(&self, press: Press, lock: Option<WorkflowLock>) -> Exit {
        if let Some(lock) = lock {
            lock.release();
        }
        self.terminal.status(Vec::new());
        self.voice.say("stopped before anything was started");
        if self.invocation.format == Format::Json {
            self.voice.nothing_happened();
        }
        match (self.invocation.mode, press) {
            (Mode::Parallel(_), Press::Interrupt | Press::HangUp) => {
                Exit::Status(ExitStatus::Success)
            }
            (Mode::Sequential, _) | (_, Press::Terminate | Press::Quit) => Exit::Signal(press),
        }
    }

    fn state_path(&self) -> String {
        let root = &self.invocation.place.root;
        let state = root.join(crate::state::directory::STATE_DIRECTORY);
        state
            .join(&self.invocation.workflow.name)
            .display()
            .to_string()
    }
}

/// An id names files and records, where nothing can be masked: other records refer to it.
fn refuse_keys_as_ids(items: &Collected, masker: &Masker) -> Result<()> {
    let items = &items.items;
    let redacted = |text: &str| {
        let harmless = masker.mask_text(text).into_owned();
        (harmless != text).then_some(harmless)
    };
    let ids = |first| (first..items.len().min(first + IDS_AT_ONCE)).map(|item| items.id(item));
    // Nearly always there is nothing to be found, which is seen sooner in many at once.
    let mut suspicious = (0..items.len())
        .step_by(IDS_AT_ONCE)
        .filter(|&first| redacted(&ids(first).collect::<Vec<_>>().join("\n")).is_some());
    let refused = suspicious.find_map(|first| ids(first).find_map(redacted));
    match refused {
        None => Ok(()),
        Some(harmless) => Err(Error::usage(format!("an item's id holds a key: {harmless}"))
            .with_hint("ids name files; take the key out of the list of items, and replace it: it may have been seen")),
    }
}

/// Masks the keys of the pool, and what children inherit that looks like one.
fn masker(secrets: &[Secret], surroundings: &Surroundings, unknown: UnknownKeys) -> Masker {
    let mut known = Secrets::default();
    for secret in secrets {
        known.add_key(secret.label(), secret.expose().as_bytes());
    }
    for (name, value) in &surroundings.environment {
        let (name, value) = (name.to_string_lossy(), value.as_bytes());
        if is_inherited_secret(&name, value) {
            known.add_inherited(&name, value);
        }
    }
    Masker::new(known, unknown)
}

/// Names what a dead run has left, if that is what keeps the lock.
fn turned_away(error: LockError, masker: &Masker) -> Error {
    let LockError::Held {
        path,
        identity,
        run_lives: false,
        ..
    } = &error
    else {
        return error.into();
    };
    let keepers = keepers(path, identity.device(), identity.inode());
    if keepers.run_lives || keepers.items.is_empty() {
        return error.into();
    }
    let words = |keeper: Keeper| {
        let Keeper { item, pid, command } = keeper;
        let item = item.as_deref().unwrap_or("an item");
        let words = format!("{item}: {command} (pid {pid})");
        (masker.mask_text(&words).into_owned(), pid)
    };
    let survivors: Vec<(String, i32)> = keepers.items.into_iter().map(words).collect();
    error.survived_by(&survivors)
}

/// Feeds the scheduler until the run is over.
async fn drive(
    session: &mut Session<'_>,
    signals: &mut Signals,
    messages: &mut UnboundedReceiver<Message>,
) {
    // A guard that died while the items were collected.
    while let Ok(message) = messages.try_recv() {
        session.take(message);
    }
    session.begin_items();
    let (mut wake, mut show) = (Alarm::new(), Alarm::new());
    while !session.is_over() {
        wake.set(session.wake_at());
        show.set(session.show_at());
        tokio::select! {
            biased;
            received = signals.next() => session.receive(received),
            Some(message) = messages.recv() => {
                let others = std::iter::from_fn(|| messages.try_recv().ok());
                for message in std::iter::once(message).chain(others).take(MESSAGES_AT_ONCE) {
                    // A Ctrl-C that ended the child has reached us as well: it comes first.
                    if let Some(received) = signals.arrived().await {
                        session.receive(received);
                    }
                    session.take(message);
                    if session.is_over() {
                        break;
                    }
                }
            }
            () = wake.ring() => session.woke(),
            () = show.ring() => {
                session.show();
                continue;
            }
        }
        session.touch();
    }
}

/// Whether a guard watches over the run.
fn is_guarded(invocation: &Invocation) -> bool {
    invocation.mode != Mode::Sequential && !invocation.dry_run
}
