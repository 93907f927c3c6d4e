//! The signals that stop a run, as a stream of presses.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Result};
use crate::schedule::stage::Press;

/// The signals that we listen to. One that was ignored when we were started stays ignored, as `nohup` and a
/// shell's `&` want it (POSIX, "Signals and Error Handling" of the shell).
#[derive(Debug)]
pub(super) struct Signals {
    hang_up: Option<Signal>,
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    quit: Option<Signal>,
}

impl Signals {
    /// Begins to listen. Call it inside the runtime, before anything is started or collected.
    ///
    /// # Errors
    ///
    /// When the system lets us install no handler.
    pub(super) fn listen(ignored: &[i32]) -> Result<Self> {
        let open = |kind: SignalKind| {
            if ignored.contains(&kind.as_raw_value()) {
                return Ok(None);
            }
            signal(kind)
                .map(Some)
                .map_err(|error| Error::state(format!("cannot listen to signals: {error}")))
        };
        Ok(Self {
            hang_up: open(SignalKind::hangup())?,
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
            quit: open(SignalKind::quit())?,
        })
    }

    /// The next press. Cancel safe: no signal is lost when this future is dropped.
    pub(super) async fn next(&mut self) -> Press {
        tokio::select! {
            biased;
            () = next_of(&mut self.quit) => Press::Quit,
            () = next_of(&mut self.terminate) => Press::Terminate,
            () = next_of(&mut self.interrupt) => Press::Interrupt,
            () = next_of(&mut self.hang_up) => Press::HangUp,
        }
    }

    /// A press that has already arrived, without waiting for one.
    pub(super) async fn arrived(&mut self) -> Option<Press> {
        // The runtime looks at its signal pipe only when this task yields.
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            press = self.next() => Some(press),
            () = std::future::ready(()) => None,
        }
    }
}

async fn next_of(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => match signal.recv().await {
            Some(()) => {}
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
