//! How a process ended.

use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

/// How a process ended, as its parent sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It exited with this code.
    Exited(i32),
    /// It died by this signal.
    Killed(Signal),
}

impl End {
    /// The end in a status of waitpid(2), if it is one.
    pub(crate) fn of(status: WaitStatus) -> Option<Self> {
        match status {
            WaitStatus::Exited(_, code) => Some(Self::Exited(code)),
            WaitStatus::Signaled(_, signal, _) => Some(Self::Killed(signal)),
            _ => None,
        }
    }
}
