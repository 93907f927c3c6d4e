//! The thread that looks after one attempt: it spawns the command, reads what it writes, passes stop signals on,
//! and says how it ended when nothing of it runs any more.
//!
//! The process's exit decides, not the end of its output: a background process that keeps a pipe open is given
//! [`LEAK_IDLE_MAX`] of silence or [`LEAK_TIME_MAX`] in all, then it is killed with the rest of the group. A reader
//! that is slower than the child slows the child down through its pipe, never this thread's answer to a signal.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::control::{Control, Request};
use super::environment::Environment;
use super::kin::{Marker, Orphans};
use super::process::{Attachment, Command, Pipes, Process, spawn};
use crate::schedule::event::{Ending, StopSignal};

/// After the process has ended, what it left in its pipes is read until they are silent for this long …
pub const LEAK_IDLE_MAX: Duration = Duration::from_millis(200);

/// … or until this long after its end, however much a background process keeps writing.
pub const LEAK_TIME_MAX: Duration = Duration::from_secs(2);

/// A process that is still there so long after its SIGKILL cannot be killed (an uninterruptible sleep): it is left.
pub const KILL_TIME_MAX: Duration = Duration::from_secs(5);

/// A process that is killed before it has become the command is started again, so often in all.
const STARTS_MAX: u32 = 10;

/// An unfinished line is shown after this long without another byte.
pub const PARTIAL_LINE_AFTER: Duration = Duration::from_secs(1);

/// The stack of an attempt's thread, in bytes: it keeps its buffers on the heap, and what it does not touch takes no
/// memory. Reading the wait hints of a failed attempt, with their time zones, takes the most.
pub const STACK_BYTES: usize = 1 << 20;

const READ_BYTES: usize = 64 << 10;

/// Which of a child's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// Where the bytes of a child go. None of its methods may block for longer than a write to a disk takes.
pub trait Output: Send {
    /// Takes bytes as they were read.
    fn feed(&mut self, stream: StreamKind, bytes: &[u8]);
    /// Whether the stream ends in an unfinished line that has not been shown.
    fn has_partial(&self, stream: StreamKind) -> bool;
    /// Shows the unfinished line of a stream that has been silent.
    fn flush_partial(&mut self, stream: StreamKind);
    /// Both streams are over.
    fn finish(&mut self);
    /// Hands on what there is to be shown. `false`: there is no room, and the attempt's [`Control::wake`] will be
    /// written to when there is.
    fn hand_on(&mut self) -> bool;
    /// Nothing needs to be shown any more: the user does not want to wait for a blocked terminal.
    fn abandon(&mut self);
}

/// What a pipe is read into. A thread has one for all its attempts: memory that is never written to costs nothing.
#[derive(Debug, Default)]
pub struct ReadBuffer(Vec<u8>);

impl ReadBuffer {
    fn bytes(&mut self) -> &mut [u8] {
        if self.0.is_empty() {
            // Not grown: that would write to all of it.
            self.0 = vec![0; READ_BYTES];
        }
        &mut self.0
    }
}

/// An attempt that is ready to be run.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The program, as an absolute path.
    pub program: CString,
    /// Its arguments, with its name as the first.
    pub arguments: Vec<CString>,
    /// All that it finds in its environment.
    pub environment: Environment,
    /// How it relates to our terminal.
    pub attachment: Attachment,
    /// Descriptors that the child inherits on purpose: while any of its descendants lives, the run's lock is held, and the
    /// lease of its key.
    pub inherited: Vec<Arc<OwnedFd>>,
    /// By what the processes that it starts are known, and where those are found that outlive it.
    pub kin: Option<(Marker, Arc<Orphans>)>,
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// How its process ended.
    pub ending: Ending,
    /// What it left running, and we have ended: `sleep 60 (pid 4711)`.
    pub left: Vec<String>,
}

impl Attempt {
    /// Runs the attempt to its end, on the calling thread, and reads what it writes into `buffer`.
    pub fn run(
        self,
        control: &Control,
        output: &mut impl Output,
        buffer: &mut ReadBuffer,
    ) -> Ended {
        let command = Command {
            program: &self.program,
            arguments: &self.arguments,
            environment: &self.environment.entries(),
            attachment: self.attachment,
            inherited: &self.inherited,
            marker: self.kin.as_ref().map(|(marker, _)| marker),
        };
        let mut starts = 0;
        let watched = loop {
            let (process, pipes) = match spawn(&command) {
                Ok(spawned) => spawned,
                Err(error) => return self.unstarted(error),
            };
            starts += 1;
            let mut watch = Watch::new(process, pipes, control, buffer.bytes());
            watch.until_it_ends(output);
            // Nobody meant it, so it is started as if the signal had come a moment later.
            if starts == STARTS_MAX || watch.was_stopped || !watch.process.never_began() {
                break watch.finish(output);
            }
            let _killed = watch.process.reap();
        };
        let kin = self.kin;
        drop((self.arguments, self.environment));
        let left =
            kin.map(|(marker, orphans)| orphans.end_those_of(&marker, control, watched.killed));
        let unkillable = watched.unkillable.into_iter();
        Ended {
            ending: watched.ending,
            left: unkillable.chain(left.unwrap_or_default()).collect(),
        }
    }
}

impl Attempt {
    fn unstarted(&self, error: Errno) -> Ended {
        let why = describe(&self.program, error);
        let ending = if is_crowded(error) {
            Ending::Crowded(why)
        } else {
            Ending::Unstartable(why)
        };
        Ended {
            ending,
            left: Vec::new(),
        }
    }
}

/// Whether the system may have room for a process a little later.
fn is_crowded(error: Errno) -> bool {
    matches!(
        error,
        Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE
    )
}

fn describe(program: &CString, error: Errno) -> String {
    let program = program.to_string_lossy();
    let program = Path::new(program.as_ref()).display();
    match error {
        Errno::ENOENT => format!("{program} or its interpreter does not exist"),
        Errno::ENOEXEC => format!("{program} is no program: a script begins with `#!`"),
        Errno::ETXTBSY => format!("{program} is being written by another process"),
        Errno::E2BIG => format!("{program} cannot take arguments and variables of this size"),
        other => format!("{program} cannot be started: {}", other.desc()),
    }
}

/// A running child under watch.
struct Watch<'a> {
    process: Process,
    streams: Vec<Stream>,
    control: &'a Control,
    buffer: &'a mut [u8],
    ended_at: Option<Instant>,
    last_byte_at: Instant,
    killed_at: Option<Instant>,
    /// We have sent it a stop signal.
    was_stopped: bool,
}

/// What is known when a watch is over.
struct Watched {
    ending: Ending,
    /// Whether we were asked to kill it.
    killed: bool,
    /// The process, if that was in vain.
    unkillable: Option<String>,
}

/// A pipe that has not come to its end.
struct Stream {
    kind: StreamKind,
    pipe: OwnedFd,
    last_byte_at: Instant,
}

/// What a poll has found.
struct Ready {
    ended: bool,
    woken: bool,
    readable: Vec<bool>,
}

impl<'a> Watch<'a> {
    fn new(
        process: Process,
        pipes: Option<Pipes>,
        control: &'a Control,
        buffer: &'a mut [u8],
    ) -> Self {
        let now = now();
        let stream = |kind, pipe| Stream {
            kind,
            pipe,
            last_byte_at: now,
        };
        let streams: Vec<Stream> = pipes.map_or_else(Vec::new, |pipes| {
            vec![
                stream(StreamKind::Stdout, pipes.stdout),
                stream(StreamKind::Stderr, pipes.stderr),
            ]
        });
        Self {
            process,
            streams,
            control,
            buffer,
            ended_at: None,
            last_byte_at: now,
            killed_at: None,
            was_stopped: false,
        }
    }

    fn until_it_ends(&mut self, output: &mut impl Output) {
        let mut room = true;
        while !self.is_over(room) {
            let began = now();
            let ready = self.poll(room, output);
            if !room {
                self.forget_blocked_time(began);
            }
            if ready.woken {
                self.serve_requests(output);
            }
            self.read(&ready.readable, output);
            if room {
                self.flush_silent_streams(output);
            }
            if ready.ended && self.ended_at.is_none() {
                let now = now();
                (self.ended_at, self.last_byte_at) = (Some(now), now);
            }
            room = output.hand_on();
            self.control.note_blocked(!room);
        }
    }

    /// Hands the rest of its output on, and reaps it.
    fn finish(mut self, output: &mut impl Output) -> Watched {
        output.finish();
        while !output.hand_on() {
            self.streams.clear();
            if self.poll(false, output).woken {
                self.serve_requests(output);
            }
        }
        let killed = self.killed_at.is_some();
        let (ending, unkillable) = if self.ended_at.is_some() {
            (self.process.reap(), None)
        } else {
            (
                Ending::Killed(Signal::SIGKILL as i32),
                Some(self.process.give_up()),
            )
        };
        Watched {
            ending,
            killed,
            unkillable,
        }
    }

    /// When a process that does not end in spite of its SIGKILL is left to itself.
    fn give_up_at(&self) -> Option<Instant> {
        let killed_at = self.killed_at.filter(|_| self.ended_at.is_none())?;
        Some(killed_at + KILL_TIME_MAX)
    }

    /// The process has ended, and its pipes are closed, silent, or have been read for long enough.
    fn is_over(&self, room: bool) -> bool {
        let now = now();
        let Some(ended_at) = self.ended_at else {
            return self.give_up_at().is_some_and(|at| now >= at);
        };
        self.streams.is_empty()
            || room && now >= (self.last_byte_at + LEAK_IDLE_MAX).min(ended_at + LEAK_TIME_MAX)
    }

    /// While nobody takes what we have, a pipe's silence is ours, not the child's.
    fn forget_blocked_time(&mut self, began: Instant) {
        let blocked = now().saturating_duration_since(began);
        self.last_byte_at += blocked;
        for stream in &mut self.streams {
            stream.last_byte_at += blocked;
        }
        self.ended_at = self.ended_at.map(|ended_at| ended_at + blocked);
    }

    fn poll(&self, room: bool, output: &impl Output) -> Ready {
        let mut polled = vec![PollFd::new(self.control.wake().as_fd(), PollFlags::POLLIN)];
        let watches_end = self.ended_at.is_none();
        if watches_end {
            polled.push(PollFd::new(self.process.ended(), PollFlags::POLLIN));
        }
        let first_stream = polled.len();
        if room {
            polled.extend(
                self.streams
                    .iter()
                    .map(|it| PollFd::new(it.pipe.as_fd(), PollFlags::POLLIN)),
            );
        }
        // An interrupted poll is an empty one: the loop comes back.
        let _interrupted = poll(&mut polled, self.timeout(room, output));
        let found: Vec<bool> = polled
            .iter()
            .map(|polled| polled.any().unwrap_or(false))
            .collect();
        Ready {
            woken: found[0],
            ended: watches_end && found[1],
            readable: found[first_stream..].to_vec(),
        }
    }

    /// Until the next thing that happens by itself; endless when nothing does.
    fn timeout(&self, room: bool, output: &impl Output) -> PollTimeout {
        let leak = self
            .ended_at
            .filter(|_| room)
            .map(|ended_at| (self.last_byte_at + LEAK_IDLE_MAX).min(ended_at + LEAK_TIME_MAX));
        let partial = self
            .streams
            .iter()
            .filter(|stream| room && output.has_partial(stream.kind))
            .map(|stream| stream.last_byte_at + PARTIAL_LINE_AFTER);
        let Some(next) = partial.chain(leak).chain(self.give_up_at()).min() else {
            return PollTimeout::NONE;
        };
        // Rounded up: a poll that returns a moment too early would only be called again.
        let millis = next.saturating_duration_since(now()).as_millis() + 1;
        PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
    }

    fn serve_requests(&mut self, output: &mut impl Output) {
        let control = self.control;
        // An ended process stays unreaped until the end of this watch: its number is still its own.
        control.serve(|request| match request {
            Request::Stop(signal) => {
                self.was_stopped = true;
                self.process.signal(signal);
                if signal == StopSignal::Kill {
                    self.killed_at = self.killed_at.or_else(|| Some(now()));
                    output.abandon();
                }
            }
            Request::Suspend => self.process.suspend(),
            Request::Resume => self.process.resume(),
        });
    }

    fn read(&mut self, readable: &[bool], output: &mut impl Output) {
        let mut readable = readable.iter();
        let (buffer, control, mut last_byte_at) =
            (&mut *self.buffer, self.control, self.last_byte_at);
        self.streams.retain_mut(|stream| {
            if !readable.next().copied().unwrap_or(false) {
                return true;
            }
            match nix::unistd::read(&stream.pipe, buffer) {
                Ok(0) => false,
                Ok(length) => {
                    control.note_heard();
                    output.feed(stream.kind, &buffer[..length]);
                    stream.last_byte_at = now();
                    last_byte_at = stream.last_byte_at;
                    true
                }
                Err(Errno::EAGAIN | Errno::EINTR) => true,
                Err(_) => false,
            }
        });
        self.last_byte_at = last_byte_at;
    }

    fn flush_silent_streams(&self, output: &mut impl Output) {
        let now = now();
        for stream in &self.streams {
            if now >= stream.last_byte_at + PARTIAL_LINE_AFTER && output.has_partial(stream.kind) {
                output.flush_partial(stream.kind);
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this thread watches a process in real time"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::super::control::Wakes;
    use super::super::environment::BaseEnvironment;
    use super::*;

    fn control() -> Control {
        Control::new(&Wakes::default(), || {}).unwrap()
    }

    fn environment() -> Environment {
        let base = BaseEnvironment::unchanged(&BTreeMap::new());
        base.with(&Vec::new()).unwrap()
    }

    /// Keeps what it is fed; has no room while `blocked`.
    #[derive(Default)]
    struct Kept {
        bytes: Vec<u8>,
        blocked: bool,
        partials: usize,
        /// Where a line is written when an unfinished line is shown.
        on_partial: Option<PathBuf>,
    }

    impl Output for Kept {
        fn feed(&mut self, _: StreamKind, bytes: &[u8]) {
            self.bytes.extend_from_slice(bytes);
        }
        fn has_partial(&self, _: StreamKind) -> bool {
            self.partials == 0 && self.bytes.last().is_some_and(|&last| last != b'\n')
        }
        fn flush_partial(&mut self, _: StreamKind) {
            self.partials += 1;
            if let Some(path) = &self.on_partial {
                std::fs::write(path, "shown\n").unwrap();
            }
        }
        fn finish(&mut self) {}
        fn hand_on(&mut self) -> bool {
            !self.blocked
        }
        fn abandon(&mut self) {
            self.blocked = false;
        }
    }

    fn shell(script: &str) -> Attempt {
        Attempt {
            program: c"/bin/sh".to_owned(),
            arguments: vec![
                c"sh".to_owned(),
                c"-c".to_owned(),
                CString::new(script).unwrap(),
            ],
            environment: environment(),
            attachment: Attachment::Detached,
            inherited: Vec::new(),
            kin: None,
        }
    }

    fn run(script: &str) -> (Ending, Kept) {
        let mut kept = Kept::default();
        let ending = shell(script)
            .run(&control(), &mut kept, &mut ReadBuffer::default())
            .ending;
        (ending, kept)
    }

    #[test]
    fn everything_that_a_child_wrote_is_read_before_its_end_is_told() {
        let (ending, kept) =
            run("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; exit 3");
        assert_eq!(ending, Ending::Exited(3));
        let lines = String::from_utf8(kept.bytes).unwrap();
        assert!(
            lines
                .lines()
                .map(|line| line.parse::<u32>().unwrap())
                .eq(0..20_000)
        );
    }

    #[test]
    fn a_background_process_that_keeps_the_pipes_open_does_not_hold_the_attempt() {
        let (ending, kept) = run("sleep 1000 & echo started");
        assert_eq!(
            (ending, kept.bytes.as_slice()),
            (Ending::Exited(0), &b"started\n"[..])
        );
        let (ending, _) = run("while :; do echo chatter; done & exit 4");
        assert_eq!(ending, Ending::Exited(4));
    }

    #[test]
    fn a_child_that_closes_its_output_is_waited_for() {
        let (ending, _) = run("exec >&- 2>&-; sleep 0.3; exit 5");
        assert_eq!(ending, Ending::Exited(5));
    }

    #[test]
    fn an_unfinished_line_is_shown_while_the_child_is_silent() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("shown");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // The child goes on only when its prompt has been shown.
        let script = format!(
            "printf 'Proceed? '; read answer < {}; exit 6",
            fifo.display()
        );
        let mut kept = Kept {
            on_partial: Some(fifo),
            ..Kept::default()
        };
        let ending = shell(&script)
            .run(&control(), &mut kept, &mut ReadBuffer::default())
            .ending;
        assert_eq!((ending, kept.partials), (Ending::Exited(6), 1));
    }

    #[test]
    fn a_signal_that_was_sent_before_the_spawn_reaches_the_child() {
        let control = control();
        control.signal(StopSignal::Terminate);
        let ending = shell("sleep 1000")
            .run(&control, &mut Kept::default(), &mut ReadBuffer::default())
            .ending;
        assert_eq!(ending, Ending::Killed(15));
    }

    #[test]
    fn a_blocked_reader_loses_nothing_and_a_kill_does_not_wait_for_it() {
        let control = control();
        let mut kept = Kept {
            blocked: true,
            ..Kept::default()
        };
        control.signal(StopSignal::Kill);
        let ending = shell("yes")
            .run(&control, &mut kept, &mut ReadBuffer::default())
            .ending;
        assert_eq!(ending, Ending::Killed(9));
    }

    #[test]
    fn a_program_that_cannot_be_started_is_an_ending_with_its_reason() {
        let attempt = Attempt {
            program: c"/no/such".to_owned(),
            ..shell("")
        };
        let ending = attempt
            .run(&control(), &mut Kept::default(), &mut ReadBuffer::default())
            .ending;
        let expected = "/no/such or its interpreter does not exist";
        assert_eq!(ending, Ending::Unstartable(expected.to_owned()));
    }
}
