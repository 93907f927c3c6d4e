//! Joins an attempt to the output room: what a child writes goes through its stream's masks into the log, the tail
//! and the terminal's queue.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;

use nix::sys::eventfd::EventFd;

use super::last_output::LastOutput;
use crate::child::attempt::{Output, StreamKind};
use crate::output::Target;
use crate::output::line::{Produced, Stream};
use crate::output::log_file::LogFile;
use crate::output::mask::Masked;
use crate::output::tail::Tail;
use crate::output::terminal::{Full, TerminalHandle};

/// The output of one attempt.
pub(super) struct ItemOutput {
    stdout: Side,
    stderr: Side,
    produced: Produced,
    log: Option<LogFile>,
    log_missing: Option<String>,
    tail: Tail,
    terminal: TerminalHandle,
    waker: Arc<EventFd>,
    waiting: VecDeque<(Target, Masked<Vec<u8>>)>,
    last_output: Option<LastOutput>,
}

/// One stream, and where its lines are shown.
pub(super) struct Side {
    /// What makes lines of bytes.
    pub(super) stream: Stream,
    /// Where they are shown; `None` when they are not.
    pub(super) shown: Option<Target>,
    /// Where they are shown when there is no log any more from which they could be shown later.
    pub(super) shown_without_log: Option<Target>,
}

/// What is left of an attempt's output when it is over.
#[derive(Debug, Default)]
pub(crate) struct OutputReport {
    /// The last lines, masked and escaped.
    pub(super) tail: Vec<String>,
    /// Why the log is not whole, if it is not.
    pub(super) log_cut: Option<String>,
}

impl ItemOutput {
    /// The output of an attempt that is about to begin. A log that cannot be opened does not stop the item.
    pub(super) fn new(
        (stdout, stderr): (Side, Side),
        log: io::Result<File>,
        terminal: TerminalHandle,
        waker: Arc<EventFd>,
        last_output: Option<LastOutput>,
    ) -> Self {
        let (log, log_missing) = match log {
            Ok(file) => (Some(LogFile::new(file)), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let is_missing = log.is_none();
        let mut output = Self {
            stdout,
            stderr,
            produced: Produced::default(),
            log,
            log_missing,
            tail: Tail::default(),
            terminal,
            waker,
            waiting: VecDeque::new(),
            last_output,
        };
        if is_missing {
            output.show_without_log();
        }
        output
    }

    /// What would be read back from the log later is shown as it comes.
    fn show_without_log(&mut self) {
        for side in [&mut self.stdout, &mut self.stderr] {
            side.shown = side.shown.or(side.shown_without_log);
        }
    }

    /// The end of what went into the log.
    pub(super) fn log_end(&self, bytes_max: usize) -> Vec<u8> {
        let log = self.log.as_ref();
        log.map_or_else(Vec::new, |log| log.end(bytes_max))
    }

    /// What is left of it.
    #[must_use]
    pub(super) fn into_report(self) -> OutputReport {
        let cut = self
            .log
            .as_ref()
            .and_then(LogFile::truncated)
            .map(str::to_owned);
        OutputReport {
            tail: self.tail.lines(),
            log_cut: cut.or(self.log_missing),
        }
    }

    fn side(&self, kind: StreamKind) -> &Side {
        match kind {
            StreamKind::Stdout => &self.stdout,
            StreamKind::Stderr => &self.stderr,
        }
    }

    fn produce(&mut self, kind: StreamKind, make: impl FnOnce(&mut Stream, &mut Produced)) {
        let (side, source) = match kind {
            StreamKind::Stdout => (&mut self.stdout, Target::Stdout),
            StreamKind::Stderr => (&mut self.stderr, Target::Stderr),
        };
        make(&mut side.stream, &mut self.produced);
        let mut is_lost = false;
        if let Some(log) = &mut self.log {
            log.write(self.produced.log.as_slice());
            is_lost = log.truncated().is_some();
        }
        if is_lost {
            side.shown = side.shown.or(side.shown_without_log);
        }
        if let Some(last_output) = &self.last_output {
            last_output.note(self.produced.log.as_slice());
        }
        self.tail.feed(source, self.produced.log.as_slice());
        if let Some(target) = side.shown.filter(|_| !self.produced.display.is_empty()) {
            self.waiting
                .push_back((target, std::mem::take(&mut self.produced.display)));
        }
        self.produced.clear();
    }
}

impl Output for ItemOutput {
    fn feed(&mut self, kind: StreamKind, bytes: &[u8]) {
        self.produce(kind, |stream, produced| stream.feed(bytes, produced));
    }

    fn has_partial(&self, kind: StreamKind) -> bool {
        self.side(kind).stream.has_partial()
    }

    fn flush_partial(&mut self, kind: StreamKind) {
        self.produce(kind, Stream::flush_partial);
    }

    fn finish(&mut self) {
        self.produce(StreamKind::Stdout, Stream::finish);
        self.produce(StreamKind::Stderr, Stream::finish);
    }

    fn hand_on(&mut self) -> bool {
        while let Some((target, block)) = self.waiting.pop_front() {
            if let Err(Full(block)) = self.terminal.try_send(target, block) {
                self.waiting.push_front((target, block));
                self.terminal
                    .wake_when_room(target, Arc::clone(&self.waker));
                return false;
            }
        }
        true
    }

    fn abandon(&mut self) {
        self.waiting.clear();
        for side in [&mut self.stdout, &mut self.stderr] {
            (side.shown, side.shown_without_log) = (None, None);
        }
    }
}

/// A sequential child writes to our own stdout and stderr: there is nothing for us to do.
pub(super) struct Untouched;

impl Output for Untouched {
    fn feed(&mut self, _: StreamKind, _: &[u8]) {}

    fn has_partial(&self, _: StreamKind) -> bool {
        false
    }

    fn flush_partial(&mut self, _: StreamKind) {}

    fn finish(&mut self) {}

    fn hand_on(&mut self) -> bool {
        true
    }

    fn abandon(&mut self) {}
}
