//! What waits to be written, shared between those who have something to write and the one thread that writes.
//!
//! Owns the lock and the bound. Every method holds the lock for a moment and never while anything is written.

use std::any::Any;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use memchr::memchr_iter;
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::super::Target;
use super::super::mask::{Masked, Masker};
use super::{Full, QUEUED_BYTES_MAX};

/// Those who wait are woken when no more than this is queued, so that they find room for several blocks.
const ROOM_BYTES: usize = QUEUED_BYTES_MAX / 2;

pub(super) struct Shared {
    queue: Mutex<Queue>,
    masker: Mutex<Arc<Masker>>,
    /// Wakes the writing thread.
    wake: EventFd,
    /// Wakes who waits for the end.
    ended: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: [Lane; 2],
    next_sequence: u64,
    /// The status lines to be shown.
    pub(super) status: Vec<String>,
    /// What is dropped as soon as nothing can be written any more before something happens.
    pub(super) unsettled: Vec<Box<dyn Any + Send>>,
    /// What is dropped when the thread has done its last.
    pub(super) unended: Vec<Box<dyn Any + Send>>,
    /// The writing thread is in `poll` or about to be, so it must be woken.
    pub(super) asleep: bool,
    pub(super) stage: Stage,
}

/// How far the end has come; it only goes up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    #[default]
    Open,
    /// What is queued is still to be written.
    Closing,
    /// Nothing more is.
    Abandoned,
    /// The thread has done its last.
    Ended,
}

/// What waits for one target.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) entries: VecDeque<Entry>,
    /// The bytes of all blocks not yet written, those that the writing thread has taken included.
    block_bytes: usize,
    waiting: Vec<Arc<EventFd>>,
    pub(super) closed: Option<Errno>,
    /// While a blocked terminal is skipped: how many lines of blocks were dropped.
    pub(super) skipped_lines: Option<u64>,
}

/// Bytes to be written in one go, ending in a line feed.
#[derive(Debug)]
pub(super) struct Entry {
    /// The order over both targets.
    pub(super) sequence: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An item's lines: bounded, and dropped while a terminal is skipped.
    Block,
    /// Our own words: neither.
    Own,
}

impl Entry {
    pub(super) fn own(bytes: Vec<u8>) -> Self {
        Self {
            sequence: 0,
            bytes,
            kind: Kind::Own,
        }
    }

    /// What counts towards the bound.
    pub(super) fn block_bytes(&self) -> usize {
        match self.kind {
            Kind::Block => self.bytes.len(),
            Kind::Own => 0,
        }
    }
}

pub(super) fn line_count(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self {
            queue: Mutex::default(),
            masker: Mutex::default(),
            wake: EventFd::from_flags(flags)?,
            ended: Condvar::new(),
        })
    }

    /// A thread that panicked with the lock leaves a queue that can still be written.
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn try_send(&self, target: Target, block: Masked<Vec<u8>>) -> Result<(), Full> {
        if block.is_empty() {
            return Ok(());
        }
        let mut queue = self.lock();
        if !queue.is_written(target) {
            return Ok(());
        }
        let lane = queue.lane_mut(target);
        if let Some(lines) = &mut lane.skipped_lines {
            *lines += line_count(block.get());
            return Ok(());
        }
        if lane.block_bytes > 0 && lane.block_bytes + block.get().len() > QUEUED_BYTES_MAX {
            return Err(Full(block));
        }
        lane.block_bytes += block.get().len();
        queue.push(target, block.into_inner(), Kind::Block);
        self.release(queue);
        Ok(())
    }

    pub(super) fn wake_when_room(&self, target: Target, waker: Arc<EventFd>) {
        let mut queue = self.lock();
        let lane = queue.lane_mut(target);
        lane.waiting.push(waker);
        lane.wake_waiting_if_room();
    }

    /// Whoever has something to say need not know of any key.
    pub(super) fn mask_with(&self, masker: Arc<Masker>) {
        *self.masker.lock().unwrap_or_else(PoisonError::into_inner) = masker;
    }

    fn masked<'a>(&self, text: &'a str) -> Masked<Cow<'a, str>> {
        let masker = self.masker.lock().unwrap_or_else(PoisonError::into_inner);
        masker.mask_text(text)
    }

    pub(super) fn say(&self, target: Target, text: &str) {
        let mut bytes = self.masked(text).into_owned().into_bytes();
        if bytes.last() != Some(&b'\n') {
            bytes.push(b'\n');
        }
        let mut queue = self.lock();
        if queue.is_written(target) {
            queue.push(target, bytes, Kind::Own);
            self.release(queue);
        }
    }

    pub(super) fn set_status(&self, lines: &[String]) {
        let masked = lines.iter().map(|line| self.masked(line).into_owned());
        let lines: Vec<String> = masked.collect();
        let mut queue = self.lock();
        if queue.status != lines {
            queue.status = lines;
            self.release(queue);
        }
    }

    pub(super) fn settle(&self, token: Box<dyn Any + Send>) {
        let mut queue = self.lock();
        // Once the thread has ended, nobody would drop it.
        if queue.stage < Stage::Ended {
            queue.unsettled.push(token);
            self.release(queue);
        }
    }

    /// How often something was sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.lock().next_sequence
    }

    pub(super) fn closed(&self, target: Target) -> Option<Errno> {
        self.lock().lane(target).closed
    }

    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.stage = queue.stage.max(Stage::Closing);
        self.release(queue);
    }

    pub(super) fn at_end(&self, token: Box<dyn Any + Send>) {
        let mut queue = self.lock();
        // Once the thread has ended, nobody would drop it.
        if queue.stage < Stage::Ended {
            queue.unended.push(token);
        }
    }

    pub(super) fn abandon(&self) {
        let mut queue = self.lock();
        queue.stage = queue.stage.max(Stage::Abandoned);
        queue.asleep = false;
        wake(&self.wake);
        self.ended.notify_all();
    }

    /// Waits until the thread has ended (true) or was given up (false).
    pub(super) fn wait_for_end(&self) -> bool {
        let queue = self
            .ended
            .wait_while(self.lock(), |queue| queue.stage < Stage::Abandoned)
            .unwrap_or_else(PoisonError::into_inner);
        queue.stage == Stage::Ended
    }

    pub(super) fn end(&self) {
        let mut queue = self.lock();
        queue.stage = Stage::Ended;
        queue.unsettled.clear();
        queue.unended.clear();
        for target in Target::BOTH {
            queue.lane_mut(target).discard();
        }
        self.ended.notify_all();
    }

    /// The descriptor that becomes readable when the writing thread is to look at the queue.
    pub(super) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The writing thread is awake.
    pub(super) fn woken(&self) {
        self.lock().asleep = false;
        // Nothing to read is as good as something.
        let _ = self.wake.read();
    }

    /// Gives the queue back, and wakes the writing thread if it sleeps; it would else wake up only to wait for the lock.
    fn release(&self, mut queue: MutexGuard<'_, Queue>) {
        let is_asleep = std::mem::take(&mut queue.asleep);
        drop(queue);
        if is_asleep {
            wake(&self.wake);
        }
    }
}

impl Queue {
    pub(super) const fn lane(&self, target: Target) -> &Lane {
        &self.lanes[target.index()]
    }

    pub(super) const fn lane_mut(&mut self, target: Target) -> &mut Lane {
        &mut self.lanes[target.index()]
    }

    /// Whether what is sent to `target` will be written.
    fn is_written(&self, target: Target) -> bool {
        self.lane(target).closed.is_none() && self.stage < Stage::Abandoned
    }

    /// The place of what waits longest for `target` in the order over both.
    pub(super) fn first_sequence(&self, target: Target) -> Option<u64> {
        let first = self.lane(target).entries.front()?;
        Some(first.sequence)
    }

    fn push(&mut self, target: Target, bytes: Vec<u8>, kind: Kind) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.lane_mut(target).entries.push_back(Entry {
            sequence,
            bytes,
            kind,
        });
    }
}

impl Lane {
    /// Whether blocks wait, those that the writing thread has taken included.
    pub(super) const fn has_blocks(&self) -> bool {
        self.block_bytes > 0
    }

    /// So many bytes of blocks are written or dropped.
    pub(super) fn release(&mut self, block_bytes: usize) {
        self.block_bytes -= block_bytes;
        self.wake_waiting_if_room();
    }

    /// The display has ended, and why.
    pub(super) fn close(&mut self, reason: Errno) {
        self.closed = Some(reason);
        self.discard();
    }

    /// Drops everything; nothing more will be written.
    fn discard(&mut self) {
        self.entries.clear();
        self.block_bytes = 0;
        self.skipped_lines = None;
        self.wake_waiting_if_room();
    }

    /// Drops all blocks and counts their lines, from now until the terminal takes again.
    pub(super) fn skip(&mut self, lines: u64) {
        let mut lines = lines;
        let mut bytes = 0;
        self.entries.retain(|entry| {
            if entry.kind == Kind::Block {
                lines += line_count(&entry.bytes);
                bytes += entry.bytes.len();
            }
            entry.kind == Kind::Own
        });
        self.skipped_lines = Some(lines);
        self.release(bytes);
    }

    fn wake_waiting_if_room(&mut self) {
        if self.block_bytes <= ROOM_BYTES {
            for waker in self.waiting.drain(..) {
                wake(&waker);
            }
        }
    }
}

/// Fails only if the counter is full, and then its reader is woken anyway.
fn wake(eventfd: &EventFd) {
    let _ = eventfd.write(1);
}
