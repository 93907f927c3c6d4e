//! Makes an attempt of an item: its arguments and environment, its control and its output, and the thread it runs on.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::item_output::{ItemOutput, OutputReport, Side, Untouched};
use super::judge::Judge;
use super::last_output::LastOutput;
use super::message::Message;
use super::outlook::fill;
use super::status_file::{StatusFile, StatusFiles};
use super::status_watch::StatusWatch;
use super::workers::{self, Workers};
use crate::child::attempt::{Attempt, Ended};
use crate::child::control::{Control, Wakes};
use crate::child::environment::{Additions, BaseEnvironment, arguments};
use crate::child::kin::{Marker, Orphans, Rest};
use crate::child::preflight::find_program;
use crate::child::process::Attachment;
use crate::child::verify::run_and_verify;
use crate::config::builtin::Builtin;
use crate::config::options::{Format, OutputMode};
use crate::config::resolve::{Invocation, Mode};
use crate::credential::evidence::{TAIL_BYTES_MAX, Verdict};
use crate::credential::secret::Secret;
use crate::credential::told::STATUS_VARIABLE;
use crate::error::{Error, Result};
use crate::escape::clipped;
use crate::items::item::Item;
use crate::items::template::Template;
use crate::output::Target;
use crate::output::line::Stream;
use crate::output::mask::Masker;
use crate::output::terminal::{Screen, TerminalHandle};
use crate::report::paint::Paint;
use crate::schedule::event::{Ending, ItemIndex};
use crate::state::directory::RunDirectory;
use crate::surroundings::Surroundings;

/// What every child of the run may know of itself; an outer `orchestrate` may have set them for us.
const OWN_VARIABLES: &[&str] = &[
    "ORCHESTRATE_RUN_ID",
    "ORCHESTRATE_WORKFLOW",
    "ORCHESTRATE_ITEM_ID",
    "ORCHESTRATE_ITEM_NUMBER",
    "ORCHESTRATE_ITEM_TITLE",
    "ORCHESTRATE_ITEM_PATH",
    "ORCHESTRATE_ATTEMPT",
    "ORCHESTRATE_SLOT",
    CREDENTIAL_VARIABLE,
    STATUS_VARIABLE,
];

/// In it a child finds the label of its key.
const CREDENTIAL_VARIABLE: &str = "ORCHESTRATE_CREDENTIAL";

/// Lines of items are aligned behind ids of up to this many columns; behind longer ones there would be no room.
const ALIGNED_COLUMNS_MAX: usize = 24;

/// … and behind ids of up to this share of the terminal's columns: 24 of 80.
const ALIGNED_PERCENT_MAX: usize = 30;

/// A command that is told is cut after this many characters.
const COMMAND_CHARACTERS_MAX: usize = 500;

/// The programs that a workflow runs for each item, as absolute paths.
pub(super) struct Programs {
    /// That of the command.
    pub(super) command: PathBuf,
    /// That of what verifies it, if there is such a thing.
    pub(super) verify: Option<PathBuf>,
}

/// Everything that the attempts of a run have in common.
pub(super) struct Launcher {
    command: Runnable,
    verify: Option<Runnable>,
    /// The run's own folder.
    pub(super) run: Arc<RunDirectory>,
    /// The workflow's folder, as `{state}` says it.
    pub(super) state: String,
    inherited: Arc<OwnedFd>,
    orphans: Arc<Orphans>,
    masker: Arc<Masker>,
    terminal: TerminalHandle,
    messages: UnboundedSender<Message>,
    workers: Workers,
    wakes: Wakes,
    judge: Arc<Judge>,
    /// The width of the longest id, as far as others are aligned with it.
    id_columns: usize,
    /// Whether stdout and stderr are.
    are_terminals: [bool; 2],
    status_files: Arc<StatusFiles>,
    /// `None` in sequential mode, in which an item has no status file.
    watch: Option<StatusWatch>,
}

/// A program, and the environment from which each of its processes starts.
struct Runnable {
    program: CString,
    base: BaseEnvironment,
}

/// What an attempt runs.
struct Work {
    command: Attempt,
    /// Only when that exited with 0.
    verify: Option<Attempt>,
}

/// The parts of a launcher that others have prepared.
pub(super) struct Parts {
    /// The programs.
    pub(super) programs: Programs,
    /// The run's own folder.
    pub(super) run: Arc<RunDirectory>,
    /// The workflow's folder, as `{state}` says it.
    pub(super) state: String,
    /// The run's lock.
    pub(super) inherited: Arc<OwnedFd>,
    /// Masks the keys of the pool.
    pub(super) masker: Arc<Masker>,
    /// Where output is shown.
    pub(super) terminal: TerminalHandle,
    /// Where the end of an attempt is told.
    pub(super) messages: UnboundedSender<Message>,
    /// What the end of an attempt says.
    pub(super) judge: Judge,
    /// The width of the longest id.
    pub(super) id_columns: usize,
}

/// One attempt to be started.
pub(super) struct Order<'a> {
    /// Whose.
    pub(super) index: ItemIndex,
    /// The item.
    pub(super) item: &'a Item,
    /// The number of the attempt.
    pub(super) attempt: u32,
    /// The worker slot.
    pub(super) slot: u32,
    /// The key that it may use.
    pub(super) secret: Option<&'a Secret>,
    /// What it inherits of the key's lease.
    pub(super) hold: Option<Arc<OwnedFd>>,
    /// Where it is noted what it writes, if somebody wants to see that.
    pub(super) last_output: Option<LastOutput>,
}

/// Finds the per-item programs, before anything starts.
///
/// # Errors
///
/// A usage error (2) that names the command.
pub(super) fn preflight(invocation: &Invocation, surroundings: &Surroundings) -> Result<Programs> {
    Ok(Programs {
        command: find_command(invocation, surroundings)?,
        verify: find_verify(invocation, surroundings)?,
    })
}

fn find_verify(invocation: &Invocation, surroundings: &Surroundings) -> Result<Option<PathBuf>> {
    let workflow = &invocation.workflow;
    let Some(program) = workflow.verify.first() else {
        return Ok(None);
    };
    let found = literal_program(program, &workflow.name)
        .and_then(|name| find_in(invocation, surroundings, &name));
    found.map(Some).map_err(|error| {
        let message = format!("`verify` of workflow `{}`: {error}", workflow.name);
        let hint = error.hint().map(str::to_owned);
        hint.into_iter()
            .fold(Error::usage(message), Error::with_hint)
    })
}

fn find_in(invocation: &Invocation, surroundings: &Surroundings, name: &str) -> Result<PathBuf> {
    let path = surroundings.environment.get(std::ffi::OsStr::new("PATH"));
    find_program(name, path.map(AsRef::as_ref), &invocation.directory)
}

fn literal_program(program: &Template, workflow: &str) -> Result<String> {
    if program.has_placeholder() {
        let message = format!("the program `{program}` of workflow `{workflow}` has a placeholder");
        let hint = "no item may choose the program; placeholders belong into the arguments";
        return Err(Error::usage(message).with_hint(hint));
    }
    Ok(literal(program.source()))
}

fn find_command(invocation: &Invocation, surroundings: &Surroundings) -> Result<PathBuf> {
    let workflow = &invocation.workflow;
    let name = literal_program(&workflow.command[0], &workflow.name)?;
    let find = |name: &str| find_in(invocation, surroundings, name);
    let Some(tool) = workflow.tool().map(Builtin::tool) else {
        return find(&name);
    };
    if !invocation.directory.join(tool).is_file() {
        let message = format!(
            "{tool} does not exist in {}",
            invocation.directory.display()
        );
        let hint = format!(
            "this repository does not have the tool; say what does an item in orchestrate.toml:\n\
             [workflow.{}]\ncommand = [\"./do-one.sh\", \"{{number}}\"]",
            workflow.name
        );
        return Err(Error::usage(message).with_hint(hint));
    }
    // Debian and others have no `python` without a version.
    find(&name).or_else(|error| {
        if name == "python" {
            find("python3")
        } else {
            Err(error)
        }
    })
}

fn runnable(program: PathBuf, base: BaseEnvironment) -> Result<Runnable> {
    let program = CString::new(program.into_os_string().into_vec())
        .map_err(|_| Error::usage("the path of a command holds a NUL byte"))?;
    Ok(Runnable { program, base })
}

fn literal(source: &str) -> String {
    source.replace("{{", "{").replace("}}", "}")
}

impl Launcher {
    /// A launcher for a run in `invocation`'s mode.
    ///
    /// # Errors
    ///
    /// When the program's path cannot be passed to the system, or when there is no thread to be had.
    pub(super) fn new(
        parts: Parts,
        invocation: &Invocation,
        surroundings: &Surroundings,
        secrets: &[Secret],
    ) -> Result<Self> {
        let Parts {
            programs,
            run,
            state,
            inherited,
            masker,
            terminal,
            messages,
            judge,
            id_columns,
        } = parts;
        let base = match invocation.mode {
            Mode::Sequential => BaseEnvironment::unchanged(&surroundings.environment),
            Mode::Parallel(_) => {
                let mut dropped: Vec<String> =
                    OWN_VARIABLES.iter().map(ToString::to_string).collect();
                dropped.extend(invocation.pool_variables.iter().cloned());
                BaseEnvironment::new(&surroundings.environment, &dropped, secrets)
            }
        };
        let verify = programs.verify.map(|program| {
            // It is there to look, and has no business with the provider.
            let injected = invocation.credentials.as_ref().map(|it| &it.inject[..]);
            let injected = injected.filter(|_| invocation.mode != Mode::Sequential);
            runnable(program, base.without(injected.unwrap_or_default()))
        });
        let watch = match invocation.mode {
            Mode::Sequential => None,
            Mode::Parallel(_) => Some(StatusWatch::start(run.status_path(), messages.clone())?),
        };
        Ok(Self {
            verify: verify.transpose()?,
            command: runnable(programs.command, base)?,
            status_files: Arc::new(StatusFiles::new(Arc::clone(&run))),
            run,
            state,
            inherited,
            orphans: Arc::default(),
            masker,
            terminal,
            workers: Workers::new(messages.clone()),
            wakes: Wakes::default(),
            messages,
            judge: Arc::new(judge),
            id_columns: id_columns
                .min(ALIGNED_COLUMNS_MAX)
                .min(Screen::of_stderr().columns * ALIGNED_PERCENT_MAX / 100),
            are_terminals: [
                surroundings.stdout_is_terminal,
                surroundings.stderr_is_terminal,
            ],
            watch,
        })
    }

    /// Starts an attempt on a thread that it has for itself; its end comes as a [`Message::Ended`], also when there is none to be
    /// had.
    pub(super) fn launch(&self, order: &Order<'_>, invocation: &Invocation) -> Option<Control> {
        match self.prepare(order, invocation) {
            Ok((work, control)) => {
                self.start(order, work, control.clone(), invocation);
                Some(control)
            }
            Err(ending) => {
                self.tell_unstarted(order.index, ending);
                None
            }
        }
    }

    /// Reaps those processes that items have left and that have ended.
    pub(super) fn reap_orphans(&self) {
        self.orphans.reap();
    }

    /// Ends whatever items have left, when none runs any more, and says what that was.
    pub(super) fn end_the_rest(&self) -> Rest {
        self.orphans.end_the_rest()
    }

    /// The command of an attempt as a person would type it, for `--verbose`.
    pub(super) fn command_line(&self, order: &Order<'_>, invocation: &Invocation) -> String {
        let numbers = (order.attempt, order.slot);
        let parallel = invocation.mode != Mode::Sequential;
        let filled = fill(invocation, &self.state, order.item, numbers, parallel);
        let words = filled.map(|filled| filled.command).unwrap_or_default();
        // Masked before it is quoted: quotes would stand within a key.
        let words: Vec<_> = words
            .iter()
            .map(|word| self.masker.mask_text(word))
            .collect();
        let line = shlex::try_join(words.iter().map(AsRef::as_ref)).unwrap_or_default();
        clipped(&line, COMMAND_CHARACTERS_MAX)
    }

    fn prepare(
        &self,
        order: &Order<'_>,
        invocation: &Invocation,
    ) -> std::result::Result<(Work, Control), Ending> {
        let parallel = invocation.mode != Mode::Sequential;
        let numbers = (order.attempt, order.slot);
        let filled = fill(invocation, &self.state, order.item, numbers, parallel)
            .map_err(|error| Ending::Unstartable(error.to_string()))?;
        let mut additions = Additions::new();
        if parallel {
            additions.extend(self.own_variables(order, invocation));
        }
        // The workflow's table comes last but for the key, which nothing may replace.
        additions.extend(filled.env);
        let verify = match (&self.verify, filled.verify) {
            (Some(verify), Some(words)) => {
                Some(self.attempt(verify, &words, &additions, None, order, parallel)?)
            }
            (Some(_) | None, _) => None,
        };
        if let (Some(secret), Some(table)) = (order.secret, &invocation.credentials) {
            let key = || secret.expose().to_owned();
            additions.push((CREDENTIAL_VARIABLE.to_owned(), secret.label().to_owned()));
            additions.extend(table.inject.iter().map(|name| (name.clone(), key())));
        }
        let (command, hold) = (&self.command, order.hold.clone());
        let command = self.attempt(command, &filled.command, &additions, hold, order, parallel)?;
        let (messages, index) = (self.messages.clone(), order.index);
        let on_suspended = move || {
            // The loop is gone only when the whole process is going.
            let _nobody = messages.send(Message::Suspended(index));
        };
        let control = Control::new(&self.wakes, on_suspended)
            .map_err(|error| Ending::Crowded(format!("there is no eventfd for it: {error}")))?;
        Ok((Work { command, verify }, control))
    }

    fn attempt(
        &self,
        runnable: &Runnable,
        words: &[String],
        additions: &Additions,
        hold: Option<Arc<OwnedFd>>,
        order: &Order<'_>,
        parallel: bool,
    ) -> std::result::Result<Attempt, Ending> {
        let environment = runnable.base.with(additions);
        Ok(Attempt {
            program: runnable.program.clone(),
            arguments: arguments(words).map_err(Ending::Unstartable)?,
            environment: environment.map_err(Ending::Unstartable)?,
            attachment: if parallel {
                Attachment::Detached
            } else {
                Attachment::Shared
            },
            inherited: if parallel {
                let lock = Arc::clone(&self.inherited);
                std::iter::once(lock).chain(hold).collect()
            } else {
                Vec::new()
            },
            kin: parallel.then(|| {
                let marker = Marker::new(self.run.id().as_str(), order.item.id.as_str());
                (marker, Arc::clone(&self.orphans))
            }),
        })
    }

    fn own_variables(&self, order: &Order<'_>, invocation: &Invocation) -> Additions {
        let item = order.item;
        let mut variables = vec![
            ("RUN_ID", self.run.id().to_string()),
            ("WORKFLOW", invocation.workflow.name.clone()),
            ("ITEM_ID", item.id.to_string()),
            ("ITEM_TITLE", item.title.clone()),
            ("ATTEMPT", order.attempt.to_string()),
            ("SLOT", order.slot.to_string()),
        ];
        variables.extend(
            item.number
                .map(|number| ("ITEM_NUMBER", number.to_string())),
        );
        variables.extend(item.path.clone().map(|path| ("ITEM_PATH", path)));
        variables
            .into_iter()
            .map(|(name, value)| (format!("ORCHESTRATE_{name}"), value))
            .collect()
    }

    fn start(&self, order: &Order<'_>, work: Work, control: Control, invocation: &Invocation) {
        let index = order.index;
        let judge = Arc::clone(&self.judge);
        let Work {
            mut command,
            mut verify,
        } = work;
        let work: workers::Work = match invocation.mode {
            Mode::Sequential => Box::new(move |buffer| {
                let output = &mut Untouched;
                let ended = run_and_verify(command, verify.as_ref(), &control, output, buffer);
                let verdict = judge.judge(&ended.ending, &[], Vec::new);
                told(index, ended, OutputReport::default(), verdict)
            }),
            Mode::Parallel(_) => {
                let sides = self.sides(order, invocation);
                let terminal = self.terminal.clone();
                let (run, id, number) =
                    (Arc::clone(&self.run), order.item.id.clone(), order.attempt);
                let watch = self.watch.clone();
                let last_output = order.last_output.clone();
                let files = Arc::clone(&self.status_files);
                Box::new(move |buffer| {
                    let log = run.create_log(&id, number);
                    let waker = Arc::clone(control.wake());
                    let mut output = ItemOutput::new(sides, log, terminal, waker, last_output);
                    let attempts = std::iter::once(&mut command).chain(&mut verify);
                    let status = files.take().filter(|status| {
                        let mut environments = attempts.map(|it| &mut it.environment);
                        environments.all(|it| it.add(STATUS_VARIABLE, status.path()).is_ok())
                    });
                    if let (Some(watch), Some(status)) = (&watch, status) {
                        watch.follow(index, number, status);
                    }
                    let verify = verify.as_ref();
                    let ended = run_and_verify(command, verify, &control, &mut output, buffer);
                    let status = watch.and_then(|watch| watch.take_back(index));
                    let said = status.as_ref().map_or_else(Vec::new, StatusFile::end);
                    if let Some(status) = status {
                        files.give_back(status, &id, number, ended.left.is_empty());
                    }
                    let log = || output.log_end(TAIL_BYTES_MAX);
                    let verdict = judge.judge(&ended.ending, &said, log);
                    told(index, ended, output.into_report(), verdict)
                })
            }
        };
        if let Err(error) = self.workers.run(work) {
            let why = format!("there is no thread for it: {error}");
            self.tell_unstarted(index, Ending::Crowded(why));
        }
    }

    fn sides(&self, order: &Order<'_>, invocation: &Invocation) -> (Side, Side) {
        let shows = |modes: &[OutputMode]| modes.contains(&invocation.output);
        let at_once = shows(&[OutputMode::Prefix]);
        let later = shows(&[OutputMode::Group, OutputMode::Failures]);
        let side = |target: Target, colour: bool| {
            let prefix = Paint(colour).prefix(order.item.id.as_str());
            let prefix = prefix + &" ".repeat(self.padding(target, order));
            let prefix = self.masker.mask_text(&prefix).into();
            let stream = Stream::new(Arc::clone(&self.masker), prefix, colour);
            Side {
                stream,
                shown: at_once.then_some(target),
                shown_without_log: later.then_some(target),
            }
        };
        let stderr = || side(Target::Stderr, invocation.stderr_colour);
        match invocation.format {
            Format::Text => (side(Target::Stdout, invocation.stdout_colour), stderr()),
            // Stdout is for JSON alone.
            Format::Json => (stderr(), stderr()),
        }
    }

    /// So many spaces begin the lines of all items in one column, on a terminal.
    fn padding(&self, target: Target, order: &Order<'_>) -> usize {
        let is_terminal = self.are_terminals[match target {
            Target::Stdout => 0,
            Target::Stderr => 1,
        }];
        let columns = if is_terminal { self.id_columns } else { 0 };
        columns.saturating_sub(order.item.id.as_str().len())
    }

    fn tell_unstarted(&self, index: ItemIndex, ending: Ending) {
        let ended = Ended {
            ending,
            left: Vec::new(),
        };
        let verdict = self.judge.judge(&ended.ending, &[], Vec::new);
        let report = OutputReport::default();
        // The loop is gone only when the whole process is going.
        let _nobody = self.messages.send(told(index, ended, report, verdict));
    }
}

fn told(item: ItemIndex, ended: Ended, report: OutputReport, verdict: Verdict) -> Message {
    let Ended { ending, left } = ended;
    Message::Ended {
        item,
        ending,
        report,
        left,
        verdict: Box::new(verdict),
    }
}

/// A descriptor of the lock that children inherit; our own one stays with the lock.
///
/// # Errors
///
/// When there is no descriptor left.
pub(super) fn inheritable(lock: &crate::state::lock::WorkflowLock) -> Result<Arc<OwnedFd>> {
    lock.as_fd()
        .try_clone_to_owned()
        .map(Arc::new)
        .map_err(|error| Error::state(format!("cannot duplicate the lock's descriptor: {error}")))
}

/// Milliseconds as they stand in the journal.
#[must_use]
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
