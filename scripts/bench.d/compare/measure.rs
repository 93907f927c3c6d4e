//! Starts a runner, waits for it, and says what it took: wall clock, and CPU of the whole tree of processes.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::family;

/// No process that is measured may take longer.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) wall: Duration,
    /// User and system, of the runner and everything that it had started.
    pub(crate) cpu: Duration,
}

/// Readable once somebody wants us to stop. With handlers, no child inherits an ignored signal either.
pub(crate) struct Interrupt(PipeReader);

impl Interrupt {
    /// `which` becomes the number of the signal.
    pub(crate) fn new(which: &Arc<AtomicUsize>) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let number = usize::try_from(signal).expect("a small number");
            signal_hook::flag::register_usize(signal, Arc::clone(which), number)?;
            signal_hook::low_level::pipe::register(signal, OwnedFd::from(writer.try_clone()?))?;
        }
        Ok(Self(reader))
    }

    /// Waits until something can be read, and says whether it could within the time.
    pub(crate) fn wait(&self, what: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
        let until = now() + limit;
        loop {
            let left = until.saturating_duration_since(now());
            let mut both = [what, self.0.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            let timeout = PollTimeout::try_from(left.as_millis().min(60_000)).expect("a minute");
            match poll(&mut both, timeout) {
                Err(nix::Error::EINTR) => continue,
                polled => polled?,
            };
            if both[1].any() == Some(true) {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
            }
            if both[0].any() == Some(true) || left < Duration::from_millis(1) {
                return Ok(both[0].any() == Some(true));
            }
        }
    }

    /// Lets time pass.
    pub(crate) fn pause(&self, time: Duration) -> io::Result<()> {
        let (reader, _held_open) = io::pipe()?;
        self.wait(reader.as_fd(), time).map(drop)
    }
}

pub(crate) struct Started {
    child: Child,
    pidfd: OwnedFd,
    began: Instant,
    cpu_before: Duration,
}

impl Started {
    /// In a process group of its own, so that a Ctrl-C reaches us alone.
    pub(crate) fn new(command: &mut Command) -> io::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let cpu_before = cpu_of_children()?;
        let began = now();
        let child = command.process_group(0).spawn()?;
        let pid = rustix::process::Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self {
            child,
            pidfd,
            began,
            cpu_before,
        })
    }

    /// Waits for the end of the runner; None when it took too long. What is left of it is not ended yet.
    pub(crate) fn wait(&mut self, by: &Interrupt, limit: Duration) -> io::Result<Option<Duration>> {
        let ended = by.wait(self.pidfd.as_fd(), limit)?;
        Ok(ended.then(|| self.began.elapsed()))
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    pub(crate) fn status(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Ends what is left, and counts the CPU of all of it.
    pub(crate) fn cpu(self) -> io::Result<Duration> {
        family::end();
        Ok(cpu_of_children()?.saturating_sub(self.cpu_before))
    }
}

/// Runs a command to its end, which has to be a good one.
pub(crate) fn run(command: &mut Command, by: &Interrupt) -> io::Result<Sample> {
    let mut started = Started::new(command)?;
    let wall = started.wait(by, LIMIT)?;
    let failed =
        |how: String| io::Error::other(format!("{}: {how}", command.get_program().display()));
    let Some(wall) = wall else {
        family::end();
        return Err(failed(format!("not done after {} s", LIMIT.as_secs())));
    };
    let status = started.status()?;
    let cpu = started.cpu()?;
    if status.success() {
        Ok(Sample { wall, cpu })
    } else {
        Err(failed(status.to_string()))
    }
}

/// The same; what it prints is read by a thread of ours and thrown away.
pub(crate) fn run_into_pipe(command: &mut Command, by: &Interrupt) -> io::Result<Sample> {
    let (mut reader, writer) = io::pipe()?;
    let sink = std::thread::spawn(move || {
        let mut block = vec![0; 1 << 20];
        while io::Read::read(&mut reader, &mut block).is_ok_and(|bytes| bytes > 0) {}
    });
    let sample = run(command.stdout(Stdio::from(writer)), by);
    command.stdout(Stdio::null());
    sink.join().expect("no panic");
    sample
}

fn cpu_of_children() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = |time: TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let micros = micros(usage.user_time()) + micros(usage.system_time());
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

#[expect(clippy::disallowed_methods, reason = "this is what is measured")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
