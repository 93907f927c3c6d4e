//! One descriptor that we write to, without ever waiting for its reader in `write`.
//!
//! Owned by the writing thread alone. A regular file takes everything at once. A pipe or terminal is opened anew as a
//! description of our own in non-blocking mode: setting `O_NONBLOCK` on the one that we were given would change it
//! for everyone who shares it, the user's shell among them. Where that fails (a socket, no `/proc`), we write only
//! after `poll` has said that it is possible, and little at a time.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::time::Instant;

use nix::errno::Errno;
use nix::libc;

use super::queue::{Entry, Kind, line_count};

/// How many blocks are joined in one `writev`, far below `IOV_MAX` (1024 on Linux).
pub(super) const JOINED_BLOCKS_MAX: usize = 64;

/// A pipe that `poll` calls writable takes this much without blocking (`PIPE_BUF`, POSIX `write`).
const CAUTIOUS_BYTES_MAX: usize = 4096;

pub(super) struct Sink {
    file: File,
    pub(super) is_terminal: bool,
    /// A `write` may block, so each needs a `poll` before it.
    may_block: bool,
    /// What is being written; its first entry from `written_bytes` on.
    pub(super) batch: VecDeque<Entry>,
    written_bytes: usize,
    /// The descriptor took nothing, and since when. To be asked with `poll`.
    pub(super) blocked_since: Option<Instant>,
}

/// What a write came to.
pub(super) enum Progress {
    /// So many bytes of blocks are written to their end.
    Written { block_bytes: usize },
    /// Nothing can be taken now.
    Blocked,
    /// Nothing will ever be taken again.
    Broken(Errno),
}

/// What was dropped of a batch.
pub(super) struct Dropped {
    pub(super) block_bytes: usize,
    pub(super) lines: u64,
}

impl Sink {
    pub(super) fn new(descriptor: OwnedFd, is_terminal: bool) -> Self {
        let given = File::from(descriptor);
        let waits_for_reader = is_terminal
            || given.metadata().is_ok_and(|metadata| {
                metadata.file_type().is_fifo() || metadata.file_type().is_socket()
            });
        let (file, may_block) = match waits_for_reader.then(|| reopened(&given)) {
            None => (given, false),
            Some(Ok(own)) => (own, false),
            Some(Err(_)) => (given, true),
        };
        Self {
            file,
            is_terminal,
            may_block,
            batch: VecDeque::new(),
            written_bytes: 0,
            blocked_since: None,
        }
    }

    /// Writes once as much of the batch as the descriptor takes; `now` is the time at which it is found blocked.
    pub(super) fn write(&mut self, now: impl Fn() -> Instant) -> Progress {
        let progress = match self.write_once().map_err(errno) {
            Ok(0) => Progress::Broken(Errno::EIO),
            Ok(bytes) => Progress::Written {
                block_bytes: self.advance(bytes),
            },
            Err(Errno::EINTR) => Progress::Written { block_bytes: 0 },
            Err(Errno::EAGAIN) => Progress::Blocked,
            Err(reason) => Progress::Broken(reason),
        };
        if self.may_block || matches!(progress, Progress::Blocked) {
            self.blocked_since = Some(now());
        }
        progress
    }

    /// Drops all blocks of the batch. What is left begins on a line of its own.
    pub(super) fn drop_blocks(&mut self) -> Dropped {
        let mut dropped = Dropped {
            block_bytes: 0,
            lines: 0,
        };
        let written = std::mem::take(&mut self.written_bytes);
        let mut torn_line = false;
        for (number, mut entry) in std::mem::take(&mut self.batch).into_iter().enumerate() {
            let done = if number == 0 { written } else { 0 };
            match entry.kind {
                Kind::Own => {
                    entry.bytes.drain(..done);
                    self.batch.push_back(entry);
                }
                Kind::Block => {
                    let rest = &entry.bytes[done..];
                    let torn = done > 0 && entry.bytes[done - 1] != b'\n';
                    torn_line |= torn;
                    dropped.block_bytes += entry.bytes.len();
                    dropped.lines += line_count(rest);
                    // All of this line is shown but its line feed, which we will write.
                    dropped.lines -= u64::from(torn && rest.first() == Some(&b'\n'));
                }
            }
        }
        if torn_line {
            self.batch.push_front(Entry::own(b"\n".to_vec()));
        }
        dropped
    }

    /// The display has ended.
    pub(super) fn clear(&mut self) {
        self.batch.clear();
        self.written_bytes = 0;
        self.blocked_since = None;
    }

    /// Whether the terminal is ours to draw on: that of our session, and we are the job that it serves, or another one
    /// (tcgetpgrp(3)).
    pub(super) fn is_in_foreground(&self) -> bool {
        rustix::termios::tcgetpgrp(&self.file).map_or(true, |job| job == rustix::process::getpgrp())
    }

    fn write_once(&self) -> io::Result<usize> {
        let first = self
            .batch
            .front()
            .map_or(&[][..], |entry| &entry.bytes[self.written_bytes..]);
        if self.may_block {
            return (&self.file).write(&first[..first.len().min(CAUTIOUS_BYTES_MAX)]);
        }
        if self.batch.len() == 1 {
            return (&self.file).write(first);
        }
        let mut slices = [IoSlice::new(&[]); JOINED_BLOCKS_MAX];
        slices[0] = IoSlice::new(first);
        for (slice, entry) in slices.iter_mut().zip(&self.batch).skip(1) {
            *slice = IoSlice::new(&entry.bytes);
        }
        let count = self.batch.len().min(JOINED_BLOCKS_MAX);
        (&self.file).write_vectored(&slices[..count])
    }

    /// Takes away what is written, and says how many bytes of blocks that completes.
    fn advance(&mut self, bytes: usize) -> usize {
        let mut block_bytes = 0;
        self.written_bytes += bytes;
        while let Some(entry) = self.batch.front() {
            if self.written_bytes < entry.bytes.len() {
                break;
            }
            self.written_bytes -= entry.bytes.len();
            block_bytes += entry.block_bytes();
            self.batch.pop_front();
        }
        block_bytes
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn errno(error: io::Error) -> Errno {
    Errno::try_from(error).unwrap_or(Errno::EIO)
}

/// The same pipe or terminal as an open file description of our own.
fn reopened(given: &File) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", given.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, fcntl};

    #[expect(
        clippy::disallowed_methods,
        reason = "only passed on; its value does not matter"
    )]
    fn now() -> Instant {
        Instant::now()
    }

    /// What is left of this block, after the pipe took what it could and the rest was dropped.
    fn left_after_drop(block: impl Fn(usize) -> Vec<u8>) -> (u64, Vec<Vec<u8>>) {
        let (_read, out) = nix::unistd::pipe().unwrap();
        let capacity = fcntl(&out, FcntlArg::F_GETPIPE_SZ).unwrap();
        let mut sink = Sink::new(out, false);
        let own = Entry::own(b"own\n".to_vec());
        let block = Entry {
            sequence: 0,
            bytes: block(usize::try_from(capacity).unwrap()),
            kind: Kind::Block,
        };
        let block_bytes = block.bytes.len();
        sink.batch.extend([block, own]);
        sink.write(now);
        assert!(matches!(sink.write(now), Progress::Blocked));
        let dropped = sink.drop_blocks();
        assert_eq!(dropped.block_bytes, block_bytes);
        let left = sink.batch.into_iter().map(|entry| entry.bytes).collect();
        (dropped.lines, left)
    }

    #[test]
    fn what_follows_a_torn_line_begins_on_its_own_and_shown_lines_are_not_counted_as_dropped() {
        let own = b"own\n".to_vec();
        let line_feed = b"\n".to_vec();
        let with = |before: &'static str, after: &'static str| {
            move |capacity: usize| {
                let filler = vec![b'x'; capacity - before.len()];
                [before.as_bytes(), &filler, after.as_bytes()].concat()
            }
        };
        for (after, lines) in [("torn\nnext\n", 2), ("\nnext\n", 1)] {
            let left = left_after_drop(with("shown\n", after));
            assert_eq!(left, (lines, vec![line_feed.clone(), own.clone()]));
        }
        let whole = |capacity| [vec![b'\n'; capacity], b"next\n".to_vec()].concat();
        assert_eq!(left_after_drop(whole), (1, vec![own]));
    }
}
