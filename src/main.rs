//! Start-up only: sees how we were started, hands everything to [`orchestrate::run`], and ends as it says.

use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;
use std::sync::Arc;

use nix::sys::signal::{SigSet, Signal};
use orchestrate::child::guard::{self, GuardedEnd, Role};
use orchestrate::cli::Cli;
use orchestrate::command::completions;
use orchestrate::config::options::Format;
use orchestrate::error::Error;
use orchestrate::output::panic::die_of_panics;
use orchestrate::output::terminal::{Outputs, Reflow};
use orchestrate::report::json::error_line;
use orchestrate::run::{Exit, Request, run};
use orchestrate::schedule::stage::Press;
use orchestrate::surroundings::Surroundings;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::low_level::emulate_default_handler;

fn main() -> ExitCode {
    hide_from_our_own_user();
    die_of_panics(Arc::default());
    let ended = surroundings().and_then(|surroundings| {
        if let Some(shell) = completions::asked(&surroundings) {
            return complete(shell, &surroundings);
        }
        let cli = typed();
        receive_signals(&surroundings.ignored_signals)?;
        let request = Request::new(cli, &surroundings);
        let format = request.format(&surroundings);
        let guard = match request.wants_a_guard(&surroundings).map(guard::split) {
            None => None,
            Some(Ok(Role::Orchestrator(guard))) => Some(guard),
            Some(Ok(Role::Guard(GuardedEnd::Exited(code)))) => return Ok(ExitCode::from(code)),
            Some(Ok(Role::Guard(GuardedEnd::Killed(signal)))) => return Ok(die_by(signal as i32)),
            Some(Err(error)) => {
                let error = format!("cannot start the process that runs items: {error}");
                return Ok(complain(&Error::state(error), format));
            }
        };
        let outputs = Outputs {
            stdout: std::io::stdout().as_fd().try_clone_to_owned()?,
            stderr: std::io::stderr().as_fd().try_clone_to_owned()?,
            stdout_is_terminal: surroundings.stdout_is_terminal,
            stderr_is_terminal: surroundings.stderr_is_terminal,
            reflow: reflow(&surroundings),
        };
        let exit = run(
            request,
            &surroundings,
            &command_line(&surroundings),
            outputs,
            guard,
        );
        Ok(exit.map_or_else(|error| complain(&error, format), leave))
    });
    ended.unwrap_or_else(|error| complain(&Error::usage(error.to_string()), Format::Text))
}

/// What was typed. Where that is wrong, or help was asked for, it is said, and the process ends.
fn typed() -> Cli {
    Cli::typed().unwrap_or_else(|error| {
        tell_machine(&error);
        error.exit()
    })
}

/// A shell asks what may stand at its cursor. It is never told of trouble: there is somebody who types.
fn complete(shell: &OsStr, surroundings: &Surroundings) -> std::io::Result<ExitCode> {
    let words = std::env::args_os().collect();
    let answer = completions::answer(shell, words, surroundings);
    std::io::stdout().write_all(&answer)?;
    Ok(ExitCode::SUCCESS)
}

/// The first act: from here on nobody reads our environment and memory, in which the keys are, from `/proc`, and no
/// debugger attaches, unless it is root's; and whatever kills us leaves no core file (`PR_SET_DUMPABLE`, prctl(2)). Our
/// children would else find all keys there, for they run as the same user. They themselves are as usual: it ends with
/// execve(2), and lasts across fork(2).
///
/// Every process of ours does it, not only one that has keys: nothing has been read that could tell.
fn hide_from_our_own_user() {
    // It fails on no Linux; where a sandbox forbids it, everything else is as well as it was.
    let _refused = nix::sys::prctl::set_dumpable(false);
}

/// What is wrong with the command line, as an object for who has asked for objects. The words for people follow.
fn tell_machine(error: &clap::Error) {
    let typed = std::env::args_os().skip(1).take_while(|word| word != "--");
    let typed: Vec<OsString> = typed.collect();
    let pair = |words: &[OsString]| words[0] == "--format" && words[1] == "json";
    let is_asked = typed.iter().any(|word| word == "--format=json") || typed.windows(2).any(pair);
    if error.use_stderr() && is_asked {
        let words = error.render().to_string();
        let (message, rest) = words.split_once("\n\n").unwrap_or((&words, ""));
        let message = message.trim_start_matches("error: ").replace('\n', " ");
        let error = Error::usage(message);
        let hint = rest.split("Usage:").next().unwrap_or_default().trim();
        let error = if hint.is_empty() {
            error
        } else {
            error.with_hint(hint)
        };
        // Nobody is told when stdout cannot be written to.
        let _unheard = write!(std::io::stdout(), "{}", error_line(&error));
    }
}

fn leave(exit: Exit) -> ExitCode {
    match exit {
        Exit::Status(status) => ExitCode::from(status.code()),
        Exit::Signal(Press::HangUp) => die_by(SIGHUP),
        Exit::Signal(Press::Interrupt) => die_by(SIGINT),
        Exit::Signal(Press::Terminate) => die_by(SIGTERM),
        Exit::Signal(Press::Quit) => die_by(SIGQUIT),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment is read here, once"
)]
fn surroundings() -> std::io::Result<Surroundings> {
    Ok(Surroundings {
        environment: std::env::vars_os().collect(),
        directory: std::env::current_dir()?,
        stdout_is_terminal: std::io::stdout().is_terminal(),
        columns: columns(),
        stderr_is_terminal: std::io::stderr().is_terminal(),
        process: std::process::id(),
        ignored_signals: ignored_signals(),
    })
}

/// What gives away the few terminals that do not wrap what was written before they were made narrower.
fn reflow(surroundings: &Surroundings) -> Reflow {
    let set = |name| surroundings.value(name).is_some();
    let is_console = surroundings.variable("TERM").as_deref() == Some("linux");
    // XTERM_VERSION is set by xterm, STY by GNU screen; tmux within them wraps.
    if !set("TMUX") && (set("XTERM_VERSION") || set("STY") || is_console) {
        Reflow::Cuts
    } else {
        Reflow::Wraps
    }
}

/// The width of the terminal that stdout is.
fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// The signals that our caller made us ignore: bit n-1 of `SigIgn` in proc(5). None where there is no such file.
fn ignored_signals() -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    (1..=64)
        .filter(|signal| mask >> (signal - 1) & 1 == 1)
        .collect()
}

/// Undoes what a careless launcher left us: with SIGCHLD ignored the system reaps our children itself, and how they ended
/// is lost (wait(2)); a blocked stop signal would never reach us. Before any thread starts, so that all inherit it.
///
/// SIGXFSZ is caught so that a file which reaches its size limit is a write that fails, told like a full disk, and not
/// our death (setrlimit(2)).
fn receive_signals(ignored: &[i32]) -> std::io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    if ignored.contains(&SIGCHLD) {
        // Any handler will do; only "ignored" reaps.
        signal_hook::flag::register(SIGCHLD, Arc::default())?;
    }
    let mut ours = SigSet::empty();
    ours.extend([
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGQUIT,
    ]);
    ours.thread_unblock()?;
    Ok(())
}

/// What was typed, for a person to paste: with our plain name where that finds us, else with the path that was typed.
fn command_line(surroundings: &Surroundings) -> Vec<String> {
    const NAME: &str = "orchestrate";
    let mut typed = std::env::args_os();
    let ourselves = typed.next().unwrap_or_default();
    let path = surroundings.environment.get(OsStr::new("PATH"));
    let found = which::which_in(NAME, path, &surroundings.directory).ok();
    let found = found.and_then(|found| found.canonicalize().ok());
    let is_found = found.is_some_and(|found| std::env::current_exe().is_ok_and(|it| it == found));
    let is_path = ourselves.as_bytes().contains(&b'/');
    let name = if is_found || !is_path {
        NAME.to_owned()
    } else {
        ourselves.to_string_lossy().into_owned()
    };
    let words = typed.map(|word| word.to_string_lossy().into_owned());
    std::iter::once(name).chain(words).collect()
}

/// Ends by the signal itself, so that an enclosing shell loop sees it and stops.
fn die_by(signal: i32) -> ExitCode {
    // SIGQUIT leaves no core file, for nothing does: see `hide_from_our_own_user`.
    // The first process of a container cannot die by a signal of its own (pid_namespaces(7)).
    if std::process::id() != 1 {
        // It returns only when the signal is blocked.
        let _blocked = emulate_default_handler(signal);
    }
    // The number that shells give to such a death.
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
}

/// Says what went wrong before there was a terminal thread that could, or without one.
fn complain(error: &Error, format: Format) -> ExitCode {
    // Nobody is told when what we write to is gone.
    if format == Format::Json {
        let _unheard = write!(std::io::stdout(), "{}", error_line(error));
    }
    let _unheard = writeln!(std::io::stderr(), "orchestrate: {error}");
    ExitCode::from(error.status().code())
}
