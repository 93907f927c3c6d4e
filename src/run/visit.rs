//! One execution, from what was asked for to its end: the order of everything that has to be there before an item starts.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::drive::drive;
use super::github_actions::{self, Step};
use super::junit::Junit;
use super::locking::Locked;
use super::masking::{masker, refuse_keys_as_ids};
use super::message::Message;
use super::metrics::Metrics;
use super::present::Voice;
use super::request::is_guarded;
use super::session::{Session, Stores};
use super::signals::Signals;
use super::{Exit, collect, launch, outlook, readers_time_is_up};
use crate::child::core_file;
use crate::child::guard::{adopt_orphans, wait_for_the_guards_death};
use crate::config::options::Format;
use crate::config::place::Place;
use crate::config::resolve::{CoreFiles, Invocation, Mode, NetworkState, Progress};
use crate::credential::coordinator::AtTheStore;
use crate::credential::secret::Secret;
use crate::error::{Error, ExitStatus, Result};
use crate::items::plan::{LastOutcome, Plan, PlannedState};
use crate::output::mask::{Masker, UnknownKeys};
use crate::output::panic::die_of_panics;
use crate::output::terminal::TerminalHandle;
use crate::schedule::stage::Press;
use crate::state::directory::StateDirectory;
use crate::state::journal::Journal;
use crate::state::lock::WorkflowLock;
use crate::state::retention;
use crate::surroundings::Surroundings;

/// One execution, from its items to its end.
pub(super) struct Visit<'a> {
    pub(super) invocation: Invocation,
    pub(super) surroundings: &'a Surroundings,
    pub(super) terminal: TerminalHandle,
    pub(super) voice: Voice,
    pub(super) guard: Option<OwnedFd>,
    pub(super) metrics: Option<Rc<Metrics>>,
    pub(super) junit: Option<Rc<Junit>>,
    pub(super) step: Option<Rc<Step>>,
    /// What masks all but the keys of the pool.
    pub(super) inherited: Arc<Masker>,
    /// Ctrl-Z waits for whoever holds it.
    pub(super) at_the_store: AtTheStore,
}

impl Visit<'_> {
    /// Whatever happens, what has to be said at the end is said.
    pub(super) async fn run_and_tell(self, signals: &mut Signals) -> Result<Exit> {
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

    async fn perform(self, signals: &mut Signals) -> Result<Exit> {
        if is_guarded(&self.invocation) {
            self.watch_over_items()?;
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
        let Place { config, root } = &self.invocation.place;
        if self.invocation.network_state == NetworkState::Refused {
            StateDirectory::refuse_network(root)?;
        }
        let state = StateDirectory::prepare(root)?.with_config(config.as_deref());
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
            Err(press) => {
                drop(journal);
                return Ok(self.stopped_early(press, Some(lock)));
            }
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
            drop(journal);
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

    /// What holds for our items from now on.
    fn watch_over_items(&self) -> Result<()> {
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
        })
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
                () = readers_time_is_up(session.is_stopped_by_a_signal()) => session.abandon_blocks(),
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

    /// Whether there is a terminal to draw status lines on.
    pub(super) fn draws(&self) -> bool {
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

    pub(super) fn state_path(&self) -> String {
        let root = &self.invocation.place.root;
        let state = root.join(crate::state::directory::STATE_DIRECTORY);
        state
            .join(&self.invocation.workflow.name)
            .display()
            .to_string()
    }
}
