//! The processes that an item has started beside its own: those below it in other sessions, and those that outlive it.
//!
//! We are a child subreaper (prctl(2), `PR_SET_CHILD_SUBREAPER`): what an item leaves behind becomes our child and is
//! listed under our main thread, which starts no process itself. A process is known as an item's by the run and the
//! item in its environment. No process is ever signalled by a number that may have become a stranger's: a descriptor
//! of it is opened first, and what it is is looked at after that.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::process::{Pid as RawPid, PidfdFlags, pidfd_open, pidfd_send_signal};

use super::control::{Control, Request};
use super::process::as_signal;
use crate::answer::ASKED_BY;
use crate::escape::shown;
use crate::schedule::event::StopSignal;

/// What an item left behind has this long between SIGTERM and SIGKILL …
pub const LEFT_GRACE: Duration = Duration::from_secs(2);

/// … and this long in all, after which it is reported as unkillable and left.
pub const LEFT_TIME_MAX: Duration = Duration::from_secs(5);

/// What is said behind the name of a process that was left, for SIGKILL did not end it (an uninterruptible sleep).
pub const UNKILLABLE: &str = ", which cannot be killed";

/// A whole environment of this many bytes is looked at; Linux allows 6 MiB, in practice it is a few KiB.
const ENVIRONMENT_BYTES_MAX: u64 = 8 << 20;

/// How often, a millisecond apart, a process without an environment is looked at.
const EXEC_LOOKS_MAX: u32 = 100;

/// How many processes are looked at below one item.
const DESCENDANTS_MAX: usize = 4096;

/// By what an item's processes are known.
#[derive(Debug, Clone)]
pub struct Marker {
    entries: [Vec<u8>; 2],
}

impl Marker {
    /// The marker of an item in a run: both stand in the environment of all its processes.
    #[must_use]
    pub fn new(run: &str, item: &str) -> Self {
        let run = format!("ORCHESTRATE_RUN_ID={run}").into_bytes();
        Self {
            entries: [run, format!("ORCHESTRATE_ITEM_ID={item}").into_bytes()],
        }
    }

    fn is_in_environment_of(&self, pid: Pid) -> bool {
        let environment = settled_environment(pid);
        let has = |entry: &Vec<u8>| environment.split(|&byte| byte == 0).any(|it| it == entry);
        self.entries.iter().all(has)
    }
}

/// The processes that have become our children because whoever started them is gone.
///
/// Only who holds the lock reaps them, so that a number cannot change its owner between a look and a wait.
#[derive(Debug, Default)]
pub struct Orphans {
    reaping: Mutex<Children>,
}

/// The list of our main thread's children, held open: every item looks into it.
#[derive(Debug, Default)]
struct Children(Option<File>);

/// What there was when no item ran any more.
#[derive(Debug)]
pub struct Rest {
    /// What was left running: `sleep 60 (pid 4711)`.
    pub names: Vec<String>,
    /// Whether all of it has ended.
    pub has_ended: bool,
}

/// A living process that an item has left behind.
struct Left {
    process: OwnedFd,
    name: String,
}

impl Orphans {
    /// Ends what the item of `marker` has left behind, and says what that was: `sleep 60 (pid 4711)`.
    ///
    /// Call it when the item's own process is reaped. Whoever was killed, or is by a SIGKILL in `control`, leaves
    /// nothing that is asked first. Blocks for at most [`LEFT_TIME_MAX`].
    pub fn end_those_of(&self, marker: &Marker, control: &Control, killed: bool) -> Vec<String> {
        let began = now();
        let mut names: Vec<String> = Vec::new();
        let mut hurried = killed;
        loop {
            let (left, _) = self.living(|it| marker.is_in_environment_of(it));
            if left.is_empty() {
                return names;
            }
            let elapsed = now().duration_since(began);
            let signal = if hurried || elapsed >= LEFT_GRACE {
                StopSignal::Kill
            } else {
                StopSignal::Terminate
            };
            signal_and_name(&left, signal, &mut names);
            if elapsed >= LEFT_TIME_MAX {
                mark_as_unkillable(&left, &mut names);
                return names;
            }
            let patience = if signal == StopSignal::Terminate {
                LEFT_GRACE
            } else {
                LEFT_TIME_MAX
            };
            wait_for_any(&left, Some(control), patience.saturating_sub(elapsed));
            // What is being ended is not worth suspending.
            control.serve(|request| hurried |= request == Request::Stop(StopSignal::Kill));
        }
    }

    /// Reaps those that have ended while their items still run. Blocks for no longer than it takes to look.
    pub fn reap(&self) {
        let _living = self.alive();
    }

    /// Ends whatever is left of all items when none runs any more, and says what that was. A list of children may miss
    /// one whose neighbour ends in the same moment (proc(5)), so the last word is the kernel's: no child.
    #[must_use]
    pub fn end_the_rest(&self) -> Rest {
        let began = now();
        let mut names: Vec<String> = Vec::new();
        loop {
            let (left, others) = self.living(|it| !was_asked_by(Pid::this(), it));
            let elapsed = now().duration_since(began);
            let has_ended = left.is_empty() && (others > 0 || has_no_child());
            if has_ended || elapsed >= LEFT_TIME_MAX {
                mark_as_unkillable(&left, &mut names);
                return Rest { names, has_ended };
            }
            let signal = if elapsed >= LEFT_GRACE {
                StopSignal::Kill
            } else {
                StopSignal::Terminate
            };
            signal_and_name(&left, signal, &mut names);
            wait_for_any(&left, None, Duration::from_millis(50));
        }
    }

    /// Reaps what has ended, and finds those left running that `are_meant`, and how many there are besides.
    fn living(&self, are_meant: impl Fn(Pid) -> bool) -> (Vec<Left>, usize) {
        let (_lock, living) = self.alive();
        let (meant, others): (Vec<_>, Vec<_>) = living.into_iter().partition(|&it| are_meant(it));
        let opened = meant.into_iter().filter_map(|orphan| {
            Some(Left {
                process: open(orphan)?,
                name: format!("{} (pid {orphan})", command(orphan)),
            })
        });
        (opened.collect(), others.len())
    }

    /// Reaps what has ended, whoever left it. What is alive keeps its number as long as the lock is held.
    fn alive(&self) -> (MutexGuard<'_, Children>, Vec<Pid>) {
        let mut lock = self.reaping.lock().unwrap_or_else(PoisonError::into_inner);
        let mut orphans = lock.list();
        orphans.retain(|&orphan| {
            let looked = waitpid(orphan, Some(WaitPidFlag::WNOHANG));
            matches!(looked, Ok(WaitStatus::StillAlive))
        });
        (lock, orphans)
    }
}

impl Children {
    fn list(&mut self) -> Vec<Pid> {
        let file = match &self.0 {
            Some(file) => file,
            None => match File::open(children_path(Pid::this(), Pid::this())) {
                Ok(file) => self.0.insert(file),
                Err(_) => return Vec::new(),
            },
        };
        let mut listed = Vec::new();
        let mut block = [0; 4096];
        loop {
            match file.read_at(&mut block, listed.len() as u64) {
                Ok(0) => return pids(&String::from_utf8_lossy(&listed)),
                Ok(length) => listed.extend_from_slice(&block[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Vec::new(),
            }
        }
    }
}

/// Signals all of `left`, and names in `names` those that are not named yet.
fn signal_and_name(left: &[Left], signal: StopSignal, names: &mut Vec<String>) {
    for process in left {
        if !names.contains(&process.name) {
            names.push(process.name.clone());
        }
        // A stopped process acts on nothing but SIGKILL until it is continued.
        for signal in [as_signal(signal), Signal::SIGCONT] {
            send(&process.process, signal);
        }
    }
}

fn mark_as_unkillable(left: &[Left], names: &mut [String]) {
    for name in names {
        if left.iter().any(|left| left.name == *name) {
            name.push_str(UNKILLABLE);
        }
    }
}

fn has_no_child() -> bool {
    waitpid(None, Some(WaitPidFlag::WNOHANG)) == Err(Errno::ECHILD)
}

/// Those descendants of the process `leader` that are in other sessions, which a signal to its group does not reach.
/// The caller holds `leader` unreaped; it signals what it gets after the group, so that nobody learns of a worker's
/// end before it has its own signal.
pub(super) fn descendants_elsewhere(leader: Pid, marker: &Marker) -> Vec<OwnedFd> {
    descendants_that(leader, |descendant| {
        let in_group = nix::unistd::getpgid(Some(descendant)) == Ok(leader);
        !in_group && marker.is_in_environment_of(descendant)
    })
}

/// Kills what the process `leader`, which we have asked something and hold unreaped, has started and waits for.
pub fn kill_those_below(leader: Pid) {
    for descendant in descendants_that(leader, |it| was_asked_by(Pid::this(), it)) {
        send(&descendant, Signal::SIGKILL);
    }
}

/// Whether a process is what a program has left that `orchestrator` had asked something.
pub(super) fn was_asked_by(orchestrator: Pid, process: Pid) -> bool {
    environment_variable(process, ASKED_BY) == Some(orchestrator.to_string())
}

fn descendants_that(leader: Pid, are_meant: impl Fn(Pid) -> bool) -> Vec<OwnedFd> {
    let opened = |descendant: Pid| {
        let process = open(descendant)?;
        // Looked at through its number after the descriptor was opened: if both are one process, it is the one meant.
        are_meant(descendant).then_some(process)
    };
    descendants(leader).into_iter().filter_map(opened).collect()
}

fn descendants(leader: Pid) -> Vec<Pid> {
    let mut found = children(leader);
    let mut next = 0;
    while let Some(&process) = found.get(next) {
        found.extend(children(process));
        found.truncate(DESCENDANTS_MAX);
        next += 1;
    }
    found
}

/// The children of all threads of a process, as proc(5) lists them; none where the kernel does not.
pub(super) fn children(process: Pid) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    let threads = tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
    threads
        .flat_map(|thread| children_of_thread(process, thread))
        .collect()
}

fn children_of_thread(process: Pid, thread: Pid) -> Vec<Pid> {
    pids(&std::fs::read_to_string(children_path(process, thread)).unwrap_or_default())
}

fn children_path(process: Pid, thread: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/task/{thread}/children"))
}

fn pids(listed: &str) -> Vec<Pid> {
    let numbers = listed.split_whitespace().map(str::parse);
    numbers.flatten().map(Pid::from_raw).collect()
}

fn open(pid: Pid) -> Option<OwnedFd> {
    pidfd_open(RawPid::from_raw(pid.as_raw())?, PidfdFlags::empty()).ok()
}

/// Signals a process that may have ended meanwhile.
pub(super) fn send(process: &OwnedFd, signal: Signal) {
    if let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32) {
        // It fails only when the process has ended meanwhile.
        let _ended = pidfd_send_signal(process, signal);
    }
}

fn wait_for_any(left: &[Left], control: Option<&Control>, patience: Duration) {
    let mut polled: Vec<PollFd<'_>> = left
        .iter()
        .map(|left| PollFd::new(left.process.as_fd(), PollFlags::POLLIN))
        .collect();
    polled.extend(control.map(|control| PollFd::new(control.wake().as_fd(), PollFlags::POLLIN)));
    let timeout = PollTimeout::try_from(patience.as_millis() + 1).unwrap_or(PollTimeout::MAX);
    // Interrupted or not, the caller looks again.
    let _interrupted: Result<_, Errno> = poll(&mut polled, timeout);
}

/// The command line of a process, cut and escaped, for a person.
pub(super) fn command(pid: Pid) -> String {
    let line = read(pid, "cmdline").unwrap_or_default();
    let words: Vec<String> = line
        .split(|&byte| byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    if words.is_empty() {
        "a process".to_owned()
    } else {
        shown(&words.join(" "))
    }
}

/// A variable of a process, if we may see it and it is set.
pub(super) fn environment_variable(pid: Pid, name: &str) -> Option<String> {
    let environment = settled_environment(pid);
    let value = environment.split(|&byte| byte == 0).find_map(|entry| {
        entry
            .strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
    })?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The environment of a living process. While it executes another program it has none for a moment; a process that
/// has none at all is looked at for [`EXEC_LOOKS_MAX`] milliseconds.
fn settled_environment(pid: Pid) -> Vec<u8> {
    for _ in 0..EXEC_LOOKS_MAX {
        match read(pid, "environ") {
            Some(environment) if environment.is_empty() => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Some(environment) => return environment,
            None => break,
        }
    }
    Vec::new()
}

fn read(pid: Pid, file: &str) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let path = PathBuf::from(format!("/proc/{pid}/{file}"));
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .ok()?
        .take(ENVIRONMENT_BYTES_MAX)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

#[expect(
    clippy::disallowed_methods,
    reason = "processes are waited for in real time"
)]
fn now() -> Instant {
    Instant::now()
}
