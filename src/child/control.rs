//! The way from the loop to the thread of one attempt: requests go in, the thread wakes up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::schedule::event::StopSignal;

/// What the thread of an attempt is asked to do with everything that its item has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Send it this signal.
    Stop(StopSignal),
    /// Stop it where it is (SIGSTOP), until it is resumed.
    Suspend,
    /// Let it go on (SIGCONT).
    Resume,
}

/// Called when an attempt has been suspended, on its own thread.
type OnSuspended = Arc<dyn Fn() + Send + Sync>;

/// Requests on their way to one attempt. Cloned handles share one mailbox.
#[derive(Clone)]
pub struct Control {
    requests: Arc<Mutex<Vec<Request>>>,
    on_suspended: OnSuspended,
    wake: Arc<EventFd>,
    began: Instant,
    /// Of the last byte, in milliseconds since `began`.
    heard_ms: Arc<AtomicU64>,
    /// Nobody takes what the process writes, so its silence is ours.
    blocked: Arc<AtomicBool>,
}

impl Control {
    /// An empty mailbox. `on_suspended` is called after every [`Control::suspend`], when nothing of the item runs.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left for it.
    pub fn new(on_suspended: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_flags(flags)?;
        Ok(Self {
            requests: Arc::default(),
            on_suspended: Arc::new(on_suspended),
            wake: Arc::new(wake),
            began: now(),
            heard_ms: Arc::default(),
            blocked: Arc::default(),
        })
    }

    /// Sends a stop signal to everything that the item has started. Never blocks.
    pub fn signal(&self, signal: StopSignal) {
        self.ask(Request::Stop(signal));
    }

    /// Stops everything that the item has started where it is. Never blocks.
    pub fn suspend(&self) {
        self.ask(Request::Suspend);
    }

    /// Lets everything go on that was suspended. Never blocks.
    pub fn resume(&self) {
        self.ask(Request::Resume);
    }

    fn ask(&self, request: Request) {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
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

    /// When the process last wrote something; when the mailbox was made, if it never has. `None` while it cannot
    /// write, because nobody reads.
    #[must_use]
    pub fn heard_at(&self) -> Option<Instant> {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        (!self.blocked.load(Ordering::Relaxed)).then(|| self.began + heard)
    }

    /// What wakes the thread: readable when something was sent.
    #[must_use]
    pub fn wake(&self) -> &Arc<EventFd> {
        &self.wake
    }

    /// Does with `serve` what was asked for, in order, and makes [`Control::wake`] unreadable.
    pub fn serve(&self, mut serve: impl FnMut(Request)) {
        let _empty = self.wake.read();
        let asked =
            std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner));
        for request in asked {
            serve(request);
            if request == Request::Suspend {
                (self.on_suspended)();
            }
        }
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        formatter
            .debug_struct("Control")
            .field("requests", &*requests)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a process is listened to in real time"
)]
fn now() -> Instant {
    Instant::now()
}
