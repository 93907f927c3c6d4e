//! The way from the loop to the thread of one attempt: requests go in, the thread wakes up.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
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

/// Requests on their way to one attempt. Cloned handles share one mailbox.
#[derive(Clone)]
pub struct Control(Arc<Mailbox>);

/// The descriptors that have woken the threads of attempts which are over, for others: to make and close one takes as long
/// as a wake-up. Cloned handles share them.
///
/// Somebody may still write to one for its last owner. The next owner then looks into its mailbox in vain.
#[derive(Clone, Debug, Default)]
pub struct Wakes(Arc<Mutex<Vec<Arc<EventFd>>>>);

impl Wakes {
    fn take(&self) -> nix::Result<Arc<EventFd>> {
        if let Some(wake) = self.list().pop() {
            return Ok(wake);
        }
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        EventFd::from_flags(flags).map(Arc::new)
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<EventFd>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Mailbox {
    requests: Mutex<Vec<Request>>,
    /// Called when the attempt has been suspended, on its own thread.
    on_suspended: Box<dyn Fn() + Send + Sync>,
    wake: Arc<EventFd>,
    wakes: Wakes,
    began: Instant,
    /// Of the last byte, in milliseconds since `began`.
    heard_ms: AtomicU64,
    /// Nobody takes what the process writes, so its silence is ours.
    blocked: AtomicBool,
    /// Nothing new may be started for the item.
    stopping: AtomicBool,
    /// Nothing may be started for it before it is resumed.
    suspended: AtomicBool,
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.wakes.list().push(Arc::clone(&self.wake));
    }
}

impl Control {
    /// An empty mailbox, with a descriptor of `wakes`. `on_suspended` is called after every [`Control::suspend`], when
    /// nothing of the item runs.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left for it.
    pub fn new(
        wakes: &Wakes,
        on_suspended: impl Fn() + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Mailbox {
            requests: Mutex::default(),
            on_suspended: Box::new(on_suspended),
            wake: wakes.take()?,
            wakes: wakes.clone(),
            began: now(),
            heard_ms: AtomicU64::default(),
            blocked: AtomicBool::default(),
            stopping: AtomicBool::default(),
            suspended: AtomicBool::default(),
        })))
    }

    /// Sends a stop signal to everything that the item has started. Never blocks.
    pub fn signal(&self, signal: StopSignal) {
        self.note_stopping();
        self.ask(Request::Stop(signal));
    }

    /// Stops everything that the item has started where it is. Never blocks.
    pub fn suspend(&self) {
        self.0.suspended.store(true, Ordering::Release);
        self.ask(Request::Suspend);
    }

    /// Lets everything go on that was suspended. Never blocks.
    pub fn resume(&self) {
        self.0.suspended.store(false, Ordering::Release);
        self.ask(Request::Resume);
    }

    /// Takes note that the item is being stopped, by whomever: whatever runs is the last of it.
    pub fn note_stopping(&self) {
        self.0.stopping.store(true, Ordering::Release);
    }

    /// Whether it is.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Acquire)
    }

    /// Waits until the item is not suspended, while nothing of it runs. What is asked for in this moment comes later.
    pub fn wait_while_suspended(&self) {
        while self.0.suspended.load(Ordering::Acquire) && !self.is_stopping() {
            self.serve(|_| {});
            if self.0.suspended.load(Ordering::Acquire) {
                self.wait(PollTimeout::NONE);
            }
        }
    }

    /// Waits until something is asked for, or for that long.
    pub fn wait(&self, timeout: PollTimeout) {
        let mut polled = [PollFd::new(self.0.wake.as_fd(), PollFlags::POLLIN)];
        // An interrupted poll is an empty one: whoever waits looks again.
        let _interrupted = poll(&mut polled, timeout);
    }

    fn ask(&self, request: Request) {
        self.0
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
        // It can only be full, and then the thread is being woken anyway.
        let _full = self.0.wake.write(1);
    }

    /// Takes note that the process has just written something.
    pub fn note_heard(&self) {
        let elapsed = u64::try_from(now().duration_since(self.0.began).as_millis());
        self.0
            .heard_ms
            .store(elapsed.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Takes note whether we read what the process writes; while we do not, it is not silent.
    pub fn note_blocked(&self, blocked: bool) {
        if self.0.blocked.swap(blocked, Ordering::Relaxed) && !blocked {
            self.note_heard();
        }
    }

    /// When the process last wrote something; when the mailbox was made, if it never has. `None` while it cannot
    /// write, because nobody reads.
    #[must_use]
    pub fn heard_at(&self) -> Option<Instant> {
        let heard = Duration::from_millis(self.0.heard_ms.load(Ordering::Relaxed));
        (!self.0.blocked.load(Ordering::Relaxed)).then(|| self.0.began + heard)
    }

    /// What wakes the thread: readable when something was sent.
    #[must_use]
    pub fn wake(&self) -> &Arc<EventFd> {
        &self.0.wake
    }

    /// Does with `serve` what was asked for, in order, and makes [`Control::wake`] unreadable.
    pub fn serve(&self, mut serve: impl FnMut(Request)) {
        let _empty = self.0.wake.read();
        let asked = std::mem::take(
            &mut *self
                .0
                .requests
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for request in asked {
            serve(request);
            if request == Request::Suspend {
                (self.0.on_suspended)();
            }
        }
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let requests = self
            .0
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_wake_that_came_too_late_asks_the_next_attempt_for_nothing() {
        let wakes = Wakes::default();
        let control = || Control::new(&wakes, || ()).unwrap();
        let first = control();
        let late = Arc::clone(first.wake());
        drop(first);
        late.write(1).unwrap();
        let next = control();
        assert!(Arc::ptr_eq(&late, next.wake()));
        // It returns at once.
        next.wait(PollTimeout::NONE);
        next.serve(|request| panic!("{request:?}"));
        assert_eq!(next.wake().read(), Err(nix::errno::Errno::EAGAIN));
        assert!(!Arc::ptr_eq(&late, control().wake()), "it is taken");
    }

    #[test]
    fn who_waits_for_a_suspended_item_goes_on_when_it_is_resumed_or_stopped() {
        for go_on in [Control::resume, |control: &Control| {
            control.signal(StopSignal::Interrupt);
        }] {
            let (suspended, seen) = channel();
            let control =
                Control::new(&Wakes::default(), move || suspended.send(()).unwrap()).unwrap();
            control.wait_while_suspended();
            control.suspend();
            let theirs = control.clone();
            let waiting = std::thread::spawn(move || theirs.wait_while_suspended());
            seen.recv().unwrap();
            assert!(!waiting.is_finished());
            go_on(&control);
            waiting.join().unwrap();
        }
    }
}
