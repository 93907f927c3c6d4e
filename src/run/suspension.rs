//! Ctrl-Z: the thread that notices it, has everything suspended first, and then lets the kernel stop us.
//!
//! SIGTSTP is blocked in every thread and never taken: as long as it is pending, a SIGCONT makes the kernel forget it, so
//! that the last of many keystrokes counts, whatever we are doing meanwhile. When the loop has suspended the items, and no
//! lock is held that other runs wait for, this thread lets the signal through, and its default action stops all of us, or
//! nothing, where nobody could continue us.

use std::os::fd::AsFd as _;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::credential::coordinator::AtTheStore;
use crate::error::{Error, Result};

/// What happens on Ctrl-Z, in this order.
#[derive(Debug)]
pub(super) enum Suspending {
    /// Suspend everything, then drop the permit.
    Asked(Permit),
    /// We go on, whether we were stopped or not.
    Continued,
}

/// Whoever holds it keeps us from being stopped.
#[derive(Debug)]
pub(super) struct Permit {
    _given_back: std::sync::mpsc::Sender<()>,
}

/// Begins to watch. We are never stopped while somebody holds `at_the_store`.
///
/// # Errors
///
/// When there is no descriptor or no thread to be had.
pub(super) fn watch(at_the_store: AtTheStore) -> Result<UnboundedReceiver<Suspending>> {
    let cannot =
        |error: &dyn std::fmt::Display| Error::state(format!("cannot listen to signals: {error}"));
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTSTP);
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let pending = SignalFd::with_flags(&stop, flags).map_err(|error| cannot(&error))?;
    let (steps, received) = unbounded_channel();
    let body = move || {
        loop {
            wait_until_pending(&pending);
            let (given_back, waits) = std::sync::mpsc::channel();
            let permit = Permit {
                _given_back: given_back,
            };
            if steps.send(Suspending::Asked(permit)).is_err() {
                return;
            }
            // It ends when the permit is dropped.
            let _dropped = waits.recv();
            let nobody_there = at_the_store.lock();
            // Between these two calls we are stopped, if the signal is still pending.
            let passed = stop.thread_unblock().and_then(|()| stop.thread_block());
            drop(nobody_there);
            if passed.is_err() || steps.send(Suspending::Continued).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("suspend".to_owned());
    thread.spawn(body).map_err(|error| cannot(&error))?;
    Ok(received)
}

/// Has SIGTSTP and SIGCHLD do what they do to other programs, in this thread and in those that it starts: a guard, from
/// which we were split off with both blocked, is only there to reap, and nobody [watches](watch).
///
/// # Errors
///
/// When the system refuses it.
pub(super) fn leave_it_to_the_kernel() -> Result<()> {
    let mut blocked = SigSet::empty();
    blocked.extend([Signal::SIGTSTP, Signal::SIGCHLD]);
    blocked
        .thread_unblock()
        .map_err(|error| Error::state(format!("cannot unblock signals: {error}")))
}

fn wait_until_pending(pending: &SignalFd) {
    let mut polled = [PollFd::new(pending.as_fd(), PollFlags::POLLIN)];
    while poll(&mut polled, PollTimeout::NONE) == Err(Errno::EINTR) {}
}
