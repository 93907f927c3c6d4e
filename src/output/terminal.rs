//! The one place that writes to our stdout and stderr.
//!
//! Owns both descriptors and a thread that alone writes to them. Items' threads hand it blocks of whole lines with
//! [`TerminalHandle::try_send`], which is bounded; the loop hands it what `orchestrate` itself has to say, which is
//! not, as the number of items bounds it. None of these calls ever waits for the terminal: a reader that is stuck
//! must not keep anyone from answering a signal. What is refused is not lost: the item's thread stops reading its
//! child until there is room, so a slow reader slows the children down.
//!
//! A target that can no longer be written to (`| head`, a closed terminal) ends its display, not the work. A terminal
//! that takes nothing for [`PATIENCE`] (Ctrl-S, a forgotten pager) is skipped until it takes again: item output is
//! dropped, counted, and the count announced; what we say ourselves waits. A blocked pipe or file is never skipped.
//!
//! `queue.rs` is what both sides share, `writer.rs` the thread, `sink.rs` one descriptor, `status.rs` the status lines.
//! They are drawn here, and not by a crate for progress bars, because whatever draws has to know each line that is
//! written, and such crates (`indicatif`) write to the terminal themselves and wait for it.

mod queue;
mod sink;
mod status;
mod writer;

use std::any::Any;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;

use super::Target;
use super::mask::{Masked, Masker};
use super::workflow_command::disarm;
use queue::Shared;
use writer::Writer;

/// How many bytes of blocks may wait for each target; a single larger block is taken when nothing else waits.
pub const QUEUED_BYTES_MAX: usize = 1024 * 1024;

/// How long a terminal may take nothing before item output is skipped.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than any program of ours runs.
const ENDLESS_PATIENCE: Duration = Duration::from_hours(100 * 365 * 24);

/// Behind the last status line so many columns stay free: the terminal shows `^C` there for Ctrl-C, and twice for two in
/// one moment. Where that went on to the next row we would not know, and leave a line standing.
pub const ECHO_COLUMNS: usize = 4;

const STACK_BYTES: usize = 128 * 1024;

/// Where we write, and what stands there.
#[derive(Debug)]
pub struct Outputs {
    /// A duplicate of descriptor 1.
    pub stdout: OwnedFd,
    /// A duplicate of descriptor 2.
    pub stderr: OwnedFd,
    /// Whether stdout is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether stderr is a terminal; only then there are status lines.
    pub stderr_is_terminal: bool,
    /// What the terminal does with lines that are too long for it after it was made narrower.
    pub reflow: Reflow,
}

/// What a terminal does with lines that are too long for it after it was made narrower. It cannot be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reflow {
    /// It wraps them, as nearly all do.
    #[default]
    Wraps,
    /// It cuts them, as xterm and GNU screen do.
    Cuts,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// The width.
    pub columns: usize,
    /// The height.
    pub rows: usize,
}

impl Screen {
    /// Assumed of a terminal that does not say.
    const DEFAULT: Self = Self {
        columns: 80,
        rows: 24,
    };

    /// That of the terminal on stderr.
    #[must_use]
    pub fn of_stderr() -> Self {
        Self::of(io::stderr())
    }

    fn of(terminal: impl AsFd) -> Self {
        match rustix::termios::tcgetwinsize(terminal) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Self {
                columns: size.ws_col.into(),
                rows: size.ws_row.into(),
            },
            Ok(_) | Err(_) => Self::DEFAULT,
        }
    }
}

/// The thread that writes. Dropped without [`Terminal::finish`], it is left to itself.
#[derive(Debug)]
pub struct Terminal {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// Through which everyone else has something written.
#[derive(Debug, Clone)]
pub struct TerminalHandle {
    shared: Arc<Shared>,
    /// Whoever reads us may take lines for commands.
    read_for_commands: bool,
}

/// There is no room for this block: here it is again.
#[derive(Debug, PartialEq, Eq)]
pub struct Full(pub Masked<Vec<u8>>);

impl Terminal {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// What kept us from getting an eventfd or a thread.
    pub fn start(outputs: Outputs) -> io::Result<(Self, TerminalHandle)> {
        Self::start_with_patience(outputs, PATIENCE)
    }

    /// As [`Terminal::start`], but nothing is ever skipped: a terminal that takes nothing keeps its senders waiting.
    ///
    /// # Errors
    ///
    /// As [`Terminal::start`].
    pub fn start_patient(outputs: Outputs) -> io::Result<(Self, TerminalHandle)> {
        Self::start_with_patience(outputs, ENDLESS_PATIENCE)
    }

    fn start_with_patience(
        outputs: Outputs,
        patience: Duration,
    ) -> io::Result<(Self, TerminalHandle)> {
        let shared = Arc::new(Shared::new()?);
        let writer = Writer::new(Arc::clone(&shared), outputs, patience);
        let thread = thread::Builder::new()
            .name("terminal".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || writer.run())?;
        let handle = TerminalHandle {
            shared: Arc::clone(&shared),
            read_for_commands: false,
        };
        Ok((Self { shared, thread }, handle))
    }

    /// Has `token` dropped when all that was sent is written and the status line is gone: [`Self::finish`] then returns at
    /// once. Never waits.
    pub fn close(&self, token: impl Any + Send) {
        self.shared.at_end(Box::new(token));
        self.shared.close();
    }

    /// Waits until all that was sent is written and the status line is gone, or until someone calls
    /// [`TerminalHandle::abandon`]. A reader that is stuck keeps us here: who is to take a signal meanwhile calls
    /// [`Self::close`] first.
    pub fn finish(self) {
        self.shared.close();
        if self.shared.wait_for_end() {
            // A panic of the thread has been reported by the hook; there is nothing left to write.
            let _ = self.thread.join();
        }
    }
}

impl TerminalHandle {
    /// A handle through which no line goes that the runner of GitHub Actions, which reads what we write, would take for
    /// a command; but for [`Self::send_verbatim`] and [`Self::say_verbatim`].
    #[must_use]
    pub fn disarming(self) -> Self {
        Self {
            read_for_commands: true,
            ..self
        }
    }

    /// Has `block` (whole lines) written after everything sent to `target` before. Never waits.
    ///
    /// A block for a target that is closed or skipped is dropped.
    ///
    /// # Errors
    ///
    /// [`Full`] when [`QUEUED_BYTES_MAX`] would be exceeded; [`Self::wake_when_room`] says when to try again.
    pub fn try_send(&self, target: Target, block: Masked<Vec<u8>>) -> Result<(), Full> {
        self.shared.try_send(target, self.harmless(block))
    }

    fn harmless(&self, block: Masked<Vec<u8>>) -> Masked<Vec<u8>> {
        if self.read_for_commands {
            block.disarmed()
        } else {
            block
        }
    }

    /// As [`Self::try_send`], but waits until there is room. For who has nothing else to do.
    ///
    /// # Errors
    ///
    /// Why `target` can no longer be written to; or that there is no eventfd to wait with.
    pub fn send(&self, target: Target, block: Masked<Vec<u8>>) -> Result<(), Errno> {
        self.send_verbatim(target, self.harmless(block))
    }

    /// As [`Self::send`], for who wants the bytes as they are.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub fn send_verbatim(&self, target: Target, block: Masked<Vec<u8>>) -> Result<(), Errno> {
        let mut rest = block;
        while let Err(Full(block)) = self.shared.try_send(target, rest) {
            let waker = Arc::new(EventFd::new()?);
            self.wake_when_room(target, Arc::clone(&waker));
            waker.read()?;
            rest = block;
        }
        self.closed(target).map_or(Ok(()), Err)
    }

    /// Has `waker` written to once, as soon as `target` has room again: at once if it has, and also when its display
    /// has ended. Another thread may take the room first; then ask again.
    pub fn wake_when_room(&self, target: Target, waker: Arc<EventFd>) {
        self.shared.wake_when_room(target, waker);
    }

    /// From now on, everything that we say and show is masked with this, also what is said through other handles.
    pub fn mask_with(&self, masker: Arc<Masker>) {
        self.shared.mask_with(masker);
    }

    /// Has something of our own written, masked; a final line feed is added if it lacks one. Never waits, is never skipped.
    ///
    /// The text may hold colours, so whatever in it came from outside must have been escaped.
    pub fn say(&self, target: Target, text: impl AsRef<str>) {
        let text = text.as_ref();
        if self.read_for_commands {
            let text = disarm(text.as_bytes());
            self.shared.say(target, &String::from_utf8_lossy(&text));
        } else {
            self.shared.say(target, text);
        }
    }

    /// As [`Self::say`], for what is no command by its form, and for what is to be one.
    pub fn say_verbatim(&self, target: Target, text: impl AsRef<str>) {
        self.shared.say(target, text.as_ref());
    }

    /// Sets the lines that stand below all other output while stderr is a terminal, two at most, or with none takes them
    /// away. Each is clipped to the terminal's width, and what could control the terminal is shown escaped.
    pub fn status(&self, lines: impl AsRef<[String]>) {
        self.shared.set_status(lines.as_ref());
    }

    /// Has `token` dropped when everything that was sent is written and the status lines are as they were set, or when
    /// a terminal takes nothing more for now. Never waits.
    pub fn settle(&self, token: impl Any + Send) {
        self.shared.settle(Box::new(token));
    }

    /// A number that grows whenever something is sent or said.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent()
    }

    /// Why `target` can no longer be written to, if so: `EPIPE` when the reader has gone.
    #[must_use]
    pub fn closed(&self, target: Target) -> Option<Errno> {
        self.shared.closed(target)
    }

    /// Gives up what is not yet written: [`Terminal::finish`] returns at once. For a person who presses Ctrl-C again
    /// while the reader is stuck.
    pub fn abandon(&self) {
        self.shared.abandon();
    }
}

/// Whether our stdout has lost its reader, which a pipe or a terminal tells without being written to.
#[must_use]
pub fn stdout_has_no_reader() -> bool {
    let stdout = io::stdout();
    // POLLERR and POLLHUP need not be asked for (poll(2)).
    let mut polled = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
    poll(&mut polled, PollTimeout::ZERO).is_ok()
        && polled[0]
            .revents()
            .is_some_and(|events| events.intersects(gone))
}

#[cfg(test)]
mod tests;
