//! The way from the loop to the thread of one attempt: stop signals go in, the thread wakes up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::schedule::event::StopSignal;

/// Stop signals on their way to one attempt. Cloned handles share one mailbox.
#[derive(Debug, Clone)]
pub struct Control {
    signals: Arc<Mutex<Vec<StopSignal>>>,
    wake: Arc<EventFd>,
    began: Instant,
    /// Of the last byte, in milliseconds since `began`.
    heard_ms: Arc<AtomicU64>,
    /// Nobody takes what the process writes, so its silence is ours.
    blocked: Arc<AtomicBool>,
}

impl Control {
    /// An empty mailbox.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left for it.
    pub fn new() -> std::io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_flags(flags)?;
        Ok(Self {
            signals: Arc::default(),
            wake: Arc::new(wake),
            began: now(),
            heard_ms: Arc::default(),
            blocked: Arc::default(),
        })
    }

    /// Sends a stop signal to everything that the item has started. Never blocks.
    pub fn signal(&self, signal: StopSignal) {
        self.signals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(signal);
        // It can only be full, and then the thread is being woken anyway.
        let _full = self.wake.write(1);
    }

    /// Takes note that the process has just written something.
    pub fn note_heard(&self) {
        let elapsed = u64::try_from(now().duration_since(self.began).as_millis());
        self.heard_ms
            .store(elapsed.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Takes note whether we read what the process writes; while we do not, it is not silent.
    pub fn note_blocked(&self, blocked: bool) {
        if self.blocked.swap(blocked, Ordering::Relaxed) && !blocked {
            self.note_heard();
        }
    }

    /// How long the process has written nothing; since the mailbox was made, if it never has.
    #[must_use]
    pub fn silence(&self) -> Duration {
        if self.blocked.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        now().duration_since(self.began).saturating_sub(heard)
    }

    /// What wakes the thread: readable when something was sent.
    #[must_use]
    pub fn wake(&self) -> &Arc<EventFd> {
        &self.wake
    }

    /// Takes everything that was sent, in order, and makes [`Control::wake`] unreadable.
    #[must_use]
    pub fn take(&self) -> Vec<StopSignal> {
        let _empty = self.wake.read();
        std::mem::take(&mut self.signals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a process is listened to in real time"
)]
fn now() -> Instant {
    Instant::now()
}
