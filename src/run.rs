//! The one room that knows all the others: it joins them, feeds the scheduler with what has happened, and does what
//! the scheduler says.
//!
//! `request` reads what was typed, `visit` makes everything ready, `session` acts, and `drive` is the loop between it and
//! the world. The loop never blocks: the disk, the terminal and every child have threads of their own, which send it messages.

mod alarm;
mod blocks;
mod chronicle;
mod closing;
mod collect;
mod display;
mod drive;
mod earlier;
mod github_actions;
mod inputs;
mod item_output;
mod judge;
mod junit;
mod keep;
mod keys;
mod last_output;
mod launch;
mod limits;
mod locking;
mod masking;
mod message;
mod metrics;
mod outlook;
mod present;
mod rehearse;
mod report_file;
mod request;
mod session;
mod signals;
mod status_file;
mod status_watch;
mod suspension;
mod visit;
mod workers;

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::sync::oneshot;

use crate::command;
use crate::config::resolve::Invocation;
use crate::credential::coordinator::AtTheStore;
use crate::error::{Error, ExitStatus, Result};
use crate::output::Target;
use crate::output::mask::{Masker, UnknownKeys};
use crate::output::panic::die_of_panics;
use crate::output::terminal::{Outputs, Terminal, TerminalHandle};
use crate::schedule::stage::Press;
use crate::surroundings::Surroundings;
use github_actions::Step;
use junit::Junit;
use masking::masker;
use metrics::Metrics;
use present::Voice;
pub use request::Request;
use request::is_guarded;
use signals::Signals;
use visit::Visit;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With a status.
    Status(ExitStatus),
    /// By this signal, after cleaning up, so that shells see it.
    Signal(Press),
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
    let format = request.format(surroundings);
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
    let resolved = match request {
        Request::OneShot(one) => {
            let (command, cli) = *one;
            let done = command::perform(command, cli, surroundings, &handle);
            let status = done.unwrap_or_else(|error| {
                present::error(&handle, &error, format);
                error.status()
            });
            // A signal ends us here as everywhere.
            terminal.finish();
            let status = unless_unwritten(status, &handle, surroundings);
            return Ok(Exit::Status(status));
        }
        Request::Run(resolved, _) => *resolved,
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
        let is_stopped = matches!(exit, Exit::Signal(_));
        flush(terminal, &handle, &mut signals, is_stopped).await;
        Ok(exit)
    })
}

/// What an answer ends with that could not be written: success only when nobody wants it any more.
fn unless_unwritten(
    status: ExitStatus,
    terminal: &TerminalHandle,
    surroundings: &Surroundings,
) -> ExitStatus {
    let reason = terminal.closed(Target::Stdout);
    let is_fault = reason.is_some_and(|reason| reason != Errno::EPIPE);
    match status {
        ExitStatus::Success if is_fault && !surroundings.stdout_is_terminal => ExitStatus::State,
        other => other,
    }
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

/// A reader that is stuck holds up a run that was stopped for no longer than this.
const LAST_WORDS_TIME_MAX: Duration = Duration::from_millis(400);

/// When nobody waits for a reader any more; never, unless the run was stopped.
async fn readers_time_is_up(is_stopped: bool) {
    if is_stopped {
        tokio::time::sleep(LAST_WORDS_TIME_MAX).await;
    } else {
        std::future::pending::<()>().await;
    }
}

/// Waits until everything is written; a further press gives up on a reader that is stuck.
async fn flush(
    terminal: Terminal,
    handle: &TerminalHandle,
    signals: &mut Signals,
    is_stopped: bool,
) {
    let (token, mut written) = oneshot::channel::<()>();
    terminal.close(token);
    tokio::select! {
        biased;
        _ = &mut written => {}
        _ = signals.next_press(|| ()) => handle.abandon(),
        () = readers_time_is_up(is_stopped) => handle.abandon(),
    }
    terminal.finish();
}
