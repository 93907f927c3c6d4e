//! One child process: spawned, signalled and reaped here and nowhere else.
//!
//! The spawn stays on the `posix_spawn` path: no fork of a grown parent, no code of ours between fork and exec.
//! Whoever owns a [`Process`] is the only one who signals it, and only while it is unreaped, so that its number
//! cannot have become a stranger's.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, pipe2};
use rustix::process::{Pid as RawPid, PidfdFlags, pidfd_open};

use super::kin::{Marker, UNKILLABLE, command, descendants_elsewhere, send};
use crate::schedule::event::{Ending, StopSignal};

/// `POSIX_SPAWN_SETSID` of glibc and musl (`<spawn.h>`), which nix does not name.
const POSIX_SPAWN_SETSID: i16 = 0x80;

/// A program that is being written is tried again after this long …
const BUSY_WAIT: Duration = Duration::from_millis(50);

/// … this many times: for a second.
const BUSY_WAITS_MAX: u32 = 20;

/// How often we look for what a suspended item has started meanwhile.
const SUSPEND_LOOKS_MAX: u32 = 16;

/// How a child relates to our terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// It shares stdin, stdout, stderr, terminal and process group with us.
    Shared,
    /// A session of its own, stdin from `/dev/null`, stdout and stderr piped to us.
    Detached,
}

/// What is started.
#[derive(Debug)]
pub struct Command<'a> {
    /// The program, as an absolute path.
    pub program: &'a CStr,
    /// Its arguments, with its name as the first.
    pub arguments: &'a [CString],
    /// `NAME=value` each.
    pub environment: &'a [&'a CStr],
    /// How it relates to our terminal.
    pub attachment: Attachment,
    /// Descriptors that it inherits on purpose.
    pub inherited: &'a [Arc<OwnedFd>],
    /// By what the processes that it starts are known; `None`: only its own group is signalled.
    pub marker: Option<&'a Marker>,
}

/// A child that has not been reaped.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    attachment: Attachment,
    marker: Option<Marker>,
    pidfd: OwnedFd,
}

/// The ends of a detached child's pipes that are ours; reading never blocks.
#[derive(Debug)]
pub struct Pipes {
    /// From the child's stdout.
    pub stdout: OwnedFd,
    /// From the child's stderr.
    pub stderr: OwnedFd,
}

/// Starts `command`; a detached child comes with its pipes.
///
/// # Errors
///
/// What the system says; nothing has been started then.
pub fn spawn(command: &Command<'_>) -> nix::Result<(Process, Option<Pipes>)> {
    let mut actions = PosixSpawnFileActions::init()?;
    let mut attributes = PosixSpawnAttr::init()?;
    let mut pipes = None;
    // Held until the child has its copies.
    let mut child_ends = None;
    match command.attachment {
        Attachment::Shared => share(&mut attributes)?,
        Attachment::Detached => {
            let (stdout, child_stdout) = pipe2(OFlag::O_CLOEXEC)?;
            let (stderr, child_stderr) = pipe2(OFlag::O_CLOEXEC)?;
            for ours in [&stdout, &stderr] {
                fcntl(ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            }
            actions.add_open(0, c"/dev/null", OFlag::O_RDONLY, Mode::empty())?;
            actions.add_dup2(child_stdout.as_raw_fd(), 1)?;
            actions.add_dup2(child_stderr.as_raw_fd(), 2)?;
            detach(&mut attributes)?;
            child_ends = Some((child_stdout, child_stderr));
            pipes = Some(Pipes { stdout, stderr });
        }
    }
    for inherited in command.inherited {
        // Onto itself: clears close-on-exec in this child alone, whatever other threads spawn meanwhile.
        actions.add_dup2(inherited.as_raw_fd(), inherited.as_raw_fd())?;
    }
    let start = || {
        posix_spawn(
            command.program,
            &actions,
            &attributes,
            command.arguments,
            command.environment,
        )
    };
    let pid = when_written(start, || std::thread::sleep(BUSY_WAIT))?;
    drop(child_ends);
    Ok((Process::adopt(pid, command)?, pipes))
}

/// A program that is open for writing cannot be executed (ETXTBSY, execve(2)), but whoever writes it may be about to
/// close it.
fn when_written<T>(
    mut start: impl FnMut() -> nix::Result<T>,
    mut wait: impl FnMut(),
) -> nix::Result<T> {
    for _ in 0..BUSY_WAITS_MAX {
        match start() {
            Err(Errno::ETXTBSY) => wait(),
            started => return started,
        }
    }
    start()
}

/// As a shell would: only SIGPIPE, which the Rust runtime ignores, is put back.
fn share(attributes: &mut PosixSpawnAttr) -> nix::Result<()> {
    let mut defaults = SigSet::empty();
    defaults.add(Signal::SIGPIPE);
    attributes.set_sigdefault(&defaults)?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)
}

/// A session of its own, default dispositions and no blocked signals, whatever our own caller left us.
fn detach(attributes: &mut PosixSpawnAttr) -> nix::Result<()> {
    attributes.set_sigdefault(&SigSet::all())?;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_flags(
        PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
            | PosixSpawnFlags::from_bits_retain(POSIX_SPAWN_SETSID.into()),
    )
}

impl Process {
    fn adopt(pid: Pid, command: &Command<'_>) -> nix::Result<Self> {
        let raw = RawPid::from_raw(pid.as_raw()).ok_or(Errno::ESRCH)?;
        match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self {
                pid,
                attachment: command.attachment,
                marker: command.marker.cloned(),
                pidfd,
            }),
            Err(error) => {
                // We could not watch it, so it must not run.
                let _gone = kill(pid, Signal::SIGKILL);
                let _reaped = waitpid(pid, None);
                Err(Errno::from_raw(error.raw_os_error()))
            }
        }
    }

    /// Readable when the process has ended.
    #[must_use]
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Sends a stop signal: to its whole process group and to what it has started in other sessions when the group is
    /// its own, else to it alone.
    pub fn signal(&self, signal: StopSignal) {
        // Pinned first, while they can still be found below it.
        let elsewhere = self.elsewhere();
        // A stopped process acts on nothing but SIGKILL until it is continued.
        let signals = [as_signal(signal), Signal::SIGCONT];
        for signal in signals {
            self.send(signal);
        }
        for process in &elsewhere {
            for signal in signals {
                send(process, signal);
            }
        }
    }

    /// Stops everything that [`Process::signal`] reaches where it is. SIGTSTP would not do: a process group that nobody
    /// could continue ignores it (POSIX, "orphaned process group"), and each child leads one.
    pub fn suspend(&self) {
        self.send(Signal::SIGSTOP);
        let mut stopped = 0;
        // What is not stopped yet may start more.
        for _ in 0..SUSPEND_LOOKS_MAX {
            let elsewhere = self.elsewhere();
            for process in &elsewhere {
                send(process, Signal::SIGSTOP);
            }
            if elsewhere.len() == stopped {
                break;
            }
            stopped = elsewhere.len();
        }
    }

    /// Lets everything go on that was suspended.
    pub fn resume(&self) {
        self.send(Signal::SIGCONT);
        for process in &self.elsewhere() {
            send(process, Signal::SIGCONT);
        }
    }

    fn elsewhere(&self) -> Vec<OwnedFd> {
        let marker = self.marker.as_ref();
        marker.map_or_else(Vec::new, |marker| descendants_elsewhere(self.pid, marker))
    }

    fn send(&self, signal: Signal) {
        // It fails only when nobody is left to be signalled.
        let _nobody = match self.attachment {
            Attachment::Detached => killpg(self.pid, signal),
            Attachment::Shared => kill(self.pid, signal),
        };
    }

    /// Leaves it unreaped, for it cannot be killed, and says what it was.
    #[must_use]
    pub fn give_up(self) -> String {
        let (name, pid) = (command(self.pid), self.pid);
        format!("{name} (pid {pid}){UNKILLABLE}")
    }

    /// Whether it was killed before it became the program that was asked for. Until then it is of our own process group
    /// (`posix_spawn(3)`), and what is sent to that, such as a Ctrl-C that the items are not to notice, may kill it. Ask when
    /// [`Process::ended`] is readable.
    #[must_use]
    pub fn never_began(&self) -> bool {
        /// `PF_FORKNOEXEC` of Linux' `sched.h`, in the ninth field of `proc_pid_stat(5)`: forked, but no execve(2) yet.
        const FORKED_WITHOUT_EXEC: u64 = 0x40;
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        if !matches!(
            waitid(Id::Pid(self.pid), look),
            Ok(WaitStatus::Signaled(..))
        ) {
            return false;
        }
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        // The name, which may hold anything, stands in parentheses.
        let flags = stat.ok().and_then(|stat| {
            let (_, fields) = stat.rsplit_once(')')?;
            fields.split_ascii_whitespace().nth(6)?.parse::<u64>().ok()
        });
        flags.is_some_and(|flags| flags & FORKED_WITHOUT_EXEC != 0)
    }

    /// Kills what is left of its group, and reaps it. Call it when [`Process::ended`] is readable: it waits.
    #[must_use]
    pub fn reap(self) -> Ending {
        if self.attachment == Attachment::Detached {
            self.send(Signal::SIGKILL);
        }
        loop {
            match waitpid(self.pid, None) {
                Ok(WaitStatus::Exited(_, code)) => return Ending::Exited(code),
                Ok(WaitStatus::Signaled(_, signal, _)) => return Ending::Killed(signal as i32),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Ending::Unstartable(format!("its end is unknown: {error}")),
            }
        }
    }
}

/// The signal of this name.
pub(super) const fn as_signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Interrupt => Signal::SIGINT,
        StopSignal::Terminate => Signal::SIGTERM,
        StopSignal::Kill => Signal::SIGKILL,
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn run(arguments: &[&CStr], attachment: Attachment) -> (Process, Option<Pipes>) {
        let arguments: Vec<CString> = arguments.iter().map(|&word| word.to_owned()).collect();
        spawn(&Command {
            program: c"/bin/sh",
            arguments: &arguments,
            environment: &[],
            attachment,
            inherited: &[],
            marker: None,
        })
        .unwrap()
    }

    fn wait(process: &Process) {
        let mut polled = [PollFd::new(process.ended(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::NONE).unwrap();
    }

    #[test]
    fn each_way_to_end_is_told_apart() {
        let (process, _) = run(&[c"sh", c"-c", c"exit 7"], Attachment::Detached);
        wait(&process);
        assert_eq!(process.reap(), Ending::Exited(7));
        let (process, _) = run(&[c"sh", c"-c", c"kill -KILL $$"], Attachment::Shared);
        wait(&process);
        assert_eq!(process.reap(), Ending::Killed(9));
        let error = spawn(&Command {
            program: c"/no/such/program",
            arguments: &[c"x".to_owned()],
            environment: &[],
            attachment: Attachment::Detached,
            inherited: &[],
            marker: None,
        });
        assert_eq!(error.unwrap_err(), Errno::ENOENT);
    }

    #[test]
    fn a_program_that_is_being_written_is_tried_again_for_a_while() {
        let mut busy = vec![Ok(7), Err(Errno::ETXTBSY), Err(Errno::ETXTBSY)];
        let mut waits = 0;
        let started = when_written(|| busy.pop().unwrap(), || waits += 1);
        assert_eq!((started, waits), (Ok(7), 2));
        let mut tries = 0;
        let started: nix::Result<()> = when_written(
            || {
                tries += 1;
                Err(Errno::ETXTBSY)
            },
            || (),
        );
        assert_eq!((started, tries), (Err(Errno::ETXTBSY), BUSY_WAITS_MAX + 1));
        let gone: nix::Result<()> = when_written(|| Err(Errno::ENOENT), || panic!("no reason"));
        assert_eq!(gone, Err(Errno::ENOENT));
    }

    #[test]
    fn a_detached_child_leads_a_session_and_a_signal_reaches_its_whole_group() {
        let (process, pipes) = run(
            &[c"sh", c"-c", c"sleep 1000 & echo; wait"],
            Attachment::Detached,
        );
        // Its first byte says that the background process exists.
        let pipes = pipes.unwrap();
        let mut polled = [PollFd::new(pipes.stdout.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::NONE).unwrap();
        assert_eq!(nix::unistd::getsid(Some(process.pid)).unwrap(), process.pid);
        process.signal(StopSignal::Terminate);
        wait(&process);
        assert_eq!(process.reap(), Ending::Killed(15));
        // End of file: the background process, which held the other end, is gone as well.
        let mut polled = [PollFd::new(pipes.stderr.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::NONE).unwrap();
        assert_eq!(nix::unistd::read(&pipes.stderr, &mut [0; 8]).unwrap(), 0);
    }

    /// How many descriptors a child has; what our own caller leaked into us is among them.
    fn descriptors_of_a_child(inherited: &[Arc<OwnedFd>]) -> usize {
        let words = [c"sh", c"-c", c"ls /proc/self/fd | wc -l"].map(CStr::to_owned);
        let (process, pipes) = spawn(&Command {
            program: c"/bin/sh",
            arguments: &words,
            environment: &[],
            attachment: Attachment::Detached,
            inherited,
            marker: None,
        })
        .unwrap();
        wait(&process);
        let mut shown = [0; 16];
        let length = nix::unistd::read(&pipes.unwrap().stdout, &mut shown).unwrap();
        assert_eq!(process.reap(), Ending::Exited(0));
        std::str::from_utf8(&shown[..length])
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }

    #[test]
    fn only_the_descriptor_that_was_named_is_inherited() {
        let (inherited, _writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let without = descriptors_of_a_child(&[]);
        let inherited = [Arc::new(inherited)];
        assert_eq!(descriptors_of_a_child(&inherited), without + 1);
    }

    #[test]
    fn children_that_are_started_at_the_same_instant_inherit_nothing_of_each_other() {
        const TIMES: usize = 20;
        let without = descriptors_of_a_child(&[]);
        let together = std::sync::Barrier::new(3);
        let count = || {
            let (inherited, _writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
            let inherited = [Arc::new(inherited)];
            let count = |_| {
                together.wait();
                descriptors_of_a_child(&inherited)
            };
            (0..TIMES).map(count).collect::<Vec<_>>()
        };
        let counts = std::thread::scope(|threads| {
            let threads = [(); 3].map(|()| threads.spawn(count));
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(counts.concat(), [without + 1; 3 * TIMES]);
    }
}
