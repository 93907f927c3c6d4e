//! The guard: the process that the user started. It splits off the orchestrator proper (fork(2)), and waits for it. None of
//! us has started a thread by then, so the orchestrator goes on as if nothing had been (POSIX, fork), with the configuration
//! that was read before. To start it as a program of its own would add a fifth to what a start takes.
//!
//! When the orchestrator dies by any cause, everything that it had started becomes the guard's child, for the guard is
//! a child subreaper (prctl(2)); the guard ends all of it before it ends itself, but for what programs that were only asked
//! something have left: the agent of `pass` or `git` is there to stay. When the guard dies, the orchestrator,
//! which watches it through a pidfd, ends its items itself. The guard starts no thread and reads no key, so that
//! little can bring it down.
//!
//! Only its own unreaped children are signalled, whose numbers cannot have become a stranger's.
//!
//! A shell sees a job as stopped when the guard is. So on Ctrl-Z the orchestrator suspends its items and stops, and
//! then the guard stops: both by a SIGTSTP that has been blocked and pending meanwhile, which the kernel takes back
//! when a SIGCONT comes, and ignores where nobody could send one (POSIX, "orphaned process group").

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use fork::{Fork, fork};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};

use super::kin::{children, was_asked_by};
use super::process::as_signal;
use crate::schedule::event::StopSignal;
use crate::schedule::stop::StopSequence;

/// What is left gets SIGKILL for this long; a process in an uninterruptible sleep is then left behind.
const KILL_TIME_MAX: Duration = Duration::from_secs(2);

/// `SI_KERNEL` of sigaction(2): the terminal sent it.
const SI_KERNEL: i32 = 0x80;

/// How the orchestrator ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardedEnd {
    /// With this code.
    Exited(u8),
    /// By this signal.
    Killed(Signal),
}

/// Which of the two we are.
#[derive(Debug)]
pub enum Role {
    /// The orchestrator. The descriptor becomes readable when the guard has died (pidfd).
    Orchestrator(OwnedFd),
    /// The guard, and the orchestrator has ended like this.
    Guard(GuardedEnd),
}

/// Splits us in two: it returns at once in the orchestrator; in the guard it waits for the orchestrator's end, and ends
/// whatever that has left. `grace` is what those get between the first signal and SIGKILL.
///
/// No other thread may have been started: of a fork(2), only the one that calls it goes on.
///
/// # Errors
///
/// When there could be no orchestrator, or none that is guarded.
pub fn split(grace: Duration) -> io::Result<Role> {
    // Whoever called us may have had children of its own before it became us.
    let strangers = children(Pid::this());
    nix::sys::prctl::set_child_subreaper(true)?;
    // Opened here, where the number is known to be ours: it may be somebody else's, or nobody's, when that is asked later.
    let guard = pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    let watched = watched_signals();
    let (signals, stops) = (descriptor(&watched)?, descriptor(&suspend_signal())?);
    let before = (watched | suspend_signal()).thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let forked = fork().inspect_err(|_| {
        // Whoever reads of it may press Ctrl-C.
        let _blocked = before.thread_set_mask();
    });
    let orchestrator = match forked? {
        Fork::Child => {
            drop((signals, stops));
            orchestrators_mask(before).thread_set_mask()?;
            return Ok(Role::Orchestrator(guard));
        }
        Fork::Parent(orchestrator) => Pid::from_raw(orchestrator),
    };
    drop(guard);
    let mut guard = Guard {
        signals,
        stops,
        orchestrator,
        strangers,
        suspending: false,
    };
    guard.forward_what_came_before();
    let end = guard.wait_for_the_orchestrator();
    guard.end_what_is_left(grace);
    let end = end?;
    // A question that comes too late kills nobody.
    let question = SigSet::from(Signal::SIGUSR1);
    let after = if end == GuardedEnd::Killed(Signal::SIGUSR1) {
        before
    } else {
        before | question
    };
    after.thread_set_mask()?;
    Ok(Role::Guard(end))
}

/// The signal mask that we were started with; but SIGTSTP stays blocked, and so does SIGCHLD, for which the orchestrator does
/// not wait. Nobody who ignores that signal is woken by it, but who starts a process with `posix_spawn` has all signals
/// blocked meanwhile, and what is blocked is not ignored (signal(7)): a child that ends so soon would wake another thread,
/// which then finds nothing. One that stays pending is the last that does.
fn orchestrators_mask(before: SigSet) -> SigSet {
    before | suspend_signal() | Signal::SIGCHLD
}

fn watched_signals() -> SigSet {
    let mut watched = SigSet::empty();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGCONT,
        Signal::SIGCHLD,
    ] {
        watched.add(signal);
    }
    watched
}

fn descriptor(signals: &SigSet) -> nix::Result<SignalFd> {
    SignalFd::with_flags(signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Whether the orchestrator has got a signal as well, which is in our process group: what is typed at a terminal goes to the
/// whole group. But that a terminal was closed is told to the leader of its session alone, and that may be us.
fn is_for_the_group(signal: &siginfo) -> bool {
    signal.ssi_code == SI_KERNEL && signal.ssi_signo != Signal::SIGHUP as u32
}

struct Guard {
    signals: SignalFd,
    /// Readable while a SIGTSTP is pending; never read.
    stops: SignalFd,
    orchestrator: Pid,
    /// Children that were there before us, and are not ours to end.
    strangers: Vec<Pid>,
    /// The orchestrator knows of the SIGTSTP that is pending.
    suspending: bool,
}

impl Guard {
    fn wait_for_the_orchestrator(&mut self) -> io::Result<GuardedEnd> {
        loop {
            self.forward_signals(is_for_the_group);
            let looks = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
            match waitpid(self.orchestrator, Some(looks)) {
                Ok(WaitStatus::Exited(_, code)) => {
                    return Ok(GuardedEnd::Exited(u8::try_from(code).unwrap_or(u8::MAX)));
                }
                Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(GuardedEnd::Killed(signal)),
                Ok(WaitStatus::Stopped(_, Signal::SIGTSTP)) => self.stop_until_continued()?,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            // Last: what ended before we began to listen wakes nobody.
            self.reap_orphans();
            self.wait(None);
        }
    }

    /// Stops us, if the SIGTSTP has not been taken back by now, and then lets the orchestrator go on.
    fn stop_until_continued(&mut self) -> io::Result<()> {
        suspend_signal().thread_unblock()?;
        suspend_signal().thread_block()?;
        self.suspending = false;
        self.pass_on(Signal::SIGCONT);
        Ok(())
    }

    /// Sends the orchestrator a signal. It is unreaped: its number is its own.
    fn pass_on(&self, signal: Signal) {
        let _ended = kill(self.orchestrator, signal);
    }

    /// The orchestrator does not inherit what was pending when it was split off. What came a moment later it has got
    /// itself: two presses at once count as one.
    fn forward_what_came_before(&mut self) {
        self.forward_signals(|_| false);
    }

    /// Passes on what the orchestrator has not got, as it gets what the terminal sends to our whole group.
    fn forward_signals(&mut self, has_it: impl Fn(&siginfo) -> bool) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let signal = i32::try_from(info.ssi_signo)
                .ok()
                .and_then(|it| Signal::try_from(it).ok());
            if signal == Some(Signal::SIGCONT) {
                self.suspending = false;
            }
            if let Some(signal) = signal.filter(|&it| it != Signal::SIGCHLD && !has_it(&info)) {
                self.pass_on(signal);
            }
        }
        if !self.suspending && is_readable(&self.stops) {
            self.suspending = true;
            self.pass_on(Signal::SIGTSTP);
        }
    }

    /// Whoever has become our child and has ended: as the first process of a container, strangers too.
    fn reap_orphans(&self) {
        for orphan in self.children() {
            let _running = waitpid(orphan, Some(WaitPidFlag::WNOHANG));
        }
    }

    fn children(&self) -> impl Iterator<Item = Pid> {
        let children = children(Pid::this()).into_iter();
        children.filter(|child| *child != self.orchestrator)
    }

    fn orphans(&self) -> Vec<Pid> {
        self.children()
            .filter(|&child| {
                !self.strangers.contains(&child) && !was_asked_by(self.orchestrator, child)
            })
            .collect()
    }

    /// SIGINT, SIGTERM, SIGKILL to all our children until none is left; those of a child that ends become ours.
    fn end_what_is_left(mut self, grace: Duration) {
        // Ctrl-Z waits until nothing is left.
        self.suspending = true;
        let began = now();
        let over = grace.saturating_add(KILL_TIME_MAX);
        let mut stop = StopSequence::begin(Duration::ZERO, grace);
        let mut signal = StopSignal::Interrupt;
        let mut told: Vec<Pid> = Vec::new();
        loop {
            self.reap_orphans();
            let left = self.orphans();
            let elapsed = now().duration_since(began);
            if left.is_empty() || elapsed > over {
                return;
            }
            if let Some(next) = stop.due(elapsed) {
                signal = next;
                told.clear();
            }
            for &child in left.iter().filter(|child| !told.contains(child)) {
                // Our own child, and unreaped.
                let _ended = kill(child, as_signal(signal));
                let _ended = kill(child, Signal::SIGCONT);
            }
            told.extend(left);
            let next = stop.next().unwrap_or(over);
            self.wait(Some(next.saturating_sub(elapsed)));
            // A second signal does not wait for the grace.
            while let Ok(Some(info)) = self.signals.read_signal() {
                let stops = [
                    Signal::SIGINT,
                    Signal::SIGTERM,
                    Signal::SIGHUP,
                    Signal::SIGQUIT,
                ];
                if stops.iter().any(|&it| it as u32 == info.ssi_signo)
                    && let Some(kill_now) = stop.kill()
                {
                    signal = kill_now;
                    told.clear();
                }
            }
        }
    }

    fn wait(&self, patience: Option<Duration>) {
        let mut polled = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if !self.suspending {
            polled.push(PollFd::new(self.stops.as_fd(), PollFlags::POLLIN));
        }
        let timeout = patience.map_or(PollTimeout::NONE, |patience| {
            PollTimeout::try_from(patience.as_millis() + 1).unwrap_or(PollTimeout::MAX)
        });
        // Interrupted or not, the caller looks again.
        let _interrupted = poll(&mut polled, timeout);
    }
}

/// The signal of Ctrl-Z.
fn suspend_signal() -> SigSet {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTSTP);
    signals
}

fn is_readable(descriptor: &SignalFd) -> bool {
    let mut polled = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// Waits until the guard of [`Role::Orchestrator`] has died.
pub fn wait_for_the_guards_death(guard: &OwnedFd) {
    let mut polled = [PollFd::new(guard.as_fd(), PollFlags::POLLIN)];
    while poll(&mut polled, PollTimeout::NONE) == Err(Errno::EINTR) {}
}

/// Makes us the one to whom processes fall that have lost their parents.
///
/// # Errors
///
/// What the system says.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "processes are waited for in real time"
)]
fn now() -> Instant {
    Instant::now()
}
