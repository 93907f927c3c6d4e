//! The signals that a run answers, as a stream: presses that stop it, Ctrl-Z, and the question how it is going.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::flag;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::suspension::{self, Suspending};
use crate::credential::coordinator::AtTheStore;
use crate::error::{Error, Result};
use crate::schedule::stage::Press;

/// Questions within this time are one: a signal to our whole group reaches us twice, once through the guard.
const QUESTIONS_APART: Duration = Duration::from_millis(300);

/// What has been received.
#[derive(Debug)]
pub(super) enum Received {
    /// Stop.
    Press(Press),
    /// SIGUSR1: how is it going?
    Question,
    /// Ctrl-Z, or what comes after it.
    Suspension(Suspending),
    /// SIGWINCH: the terminal has another size.
    Resized,
}

/// The signals that we listen to. One that was ignored when we were started stays ignored, as `nohup` and a
/// shell's `&` want it (POSIX, "Signals and Error Handling" of the shell).
#[derive(Debug)]
pub(super) struct Signals {
    hang_up: Option<Signal>,
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    quit: Option<Signal>,
    /// One of these four has come since we last looked for it.
    pressed: Arc<AtomicBool>,
    question: Option<Signal>,
    questioned_at: Option<Instant>,
    resized: Option<Signal>,
    suspensions: Option<UnboundedReceiver<Suspending>>,
}

impl Signals {
    /// Begins to listen. Call it inside the runtime, before anything is started or collected. A run that is not guarded
    /// shares its terminal with its items, which stop with us on Ctrl-Z without our doing; one that is gives what Ctrl-Z
    /// has to wait for.
    ///
    /// # Errors
    ///
    /// When the system lets us install no handler.
    pub(super) fn listen(ignored: &[i32], guarded: Option<AtTheStore>) -> Result<Self> {
        let cannot =
            |error: std::io::Error| Error::state(format!("cannot listen to signals: {error}"));
        let open = |kind: SignalKind| {
            if ignored.contains(&kind.as_raw_value()) {
                return Ok(None);
            }
            signal(kind).map(Some).map_err(cannot)
        };
        let pressed = Arc::<AtomicBool>::default();
        // Raised after the runtime was told: actions of one signal are taken in the order of their registration.
        let press = |kind: SignalKind| -> Result<Option<Signal>> {
            let signal = open(kind)?;
            if signal.is_some() {
                flag::register(kind.as_raw_value(), Arc::clone(&pressed)).map_err(cannot)?;
            }
            Ok(signal)
        };
        Ok(Self {
            hang_up: press(SignalKind::hangup())?,
            interrupt: press(SignalKind::interrupt())?,
            terminate: press(SignalKind::terminate())?,
            quit: press(SignalKind::quit())?,
            pressed,
            question: open(SignalKind::user_defined1())?,
            questioned_at: None,
            resized: None,
            suspensions: guarded.map(suspension::watch).transpose()?,
        })
    }

    /// Listens to changes of the terminal's size from now on, if the system lets us: they are a matter of looks.
    pub(super) fn listen_to_resizes(&mut self) {
        self.resized = signal(SignalKind::window_change()).ok();
    }

    /// The next of them. Cancel safe: no signal is lost when this future is dropped.
    pub(super) async fn next(&mut self) -> Received {
        loop {
            tokio::select! {
                biased;
                () = next_of(&mut self.quit) => return Received::Press(Press::Quit),
                () = next_of(&mut self.terminate) => return Received::Press(Press::Terminate),
                () = next_of(&mut self.interrupt) => return Received::Press(Press::Interrupt),
                () = next_of(&mut self.hang_up) => return Received::Press(Press::HangUp),
                step = next_step(&mut self.suspensions) => return Received::Suspension(step),
                () = next_of(&mut self.resized) => return Received::Resized,
                () = next_of(&mut self.question) => {
                    let before = self.questioned_at.replace(Instant::now());
                    if before.is_none_or(|before| before.elapsed() >= QUESTIONS_APART) {
                        return Received::Question;
                    }
                }
            }
        }
    }

    /// The next press. Whoever only waits for one has nothing to suspend: Ctrl-Z stops us at once. `on_question` answers
    /// the question how it is going.
    pub(super) async fn next_press(&mut self, mut on_question: impl FnMut()) -> Press {
        loop {
            match self.next().await {
                Received::Press(press) => return press,
                Received::Question => on_question(),
                // A step that is dropped is agreed to.
                Received::Suspension(_) | Received::Resized => {}
            }
        }
    }

    /// The press that has already arrived, without waiting for one.
    pub(super) async fn arrived(&mut self) -> Option<Received> {
        if !self.pressed.swap(false, Ordering::AcqRel) {
            return None;
        }
        // The runtime looks at its signal pipe only when this task yields.
        tokio::task::yield_now().await;
        let found = tokio::select! {
            biased;
            received = self.next() => Some(received),
            () = std::future::ready(()) => None,
        };
        // There may be another one.
        self.pressed.fetch_or(found.is_some(), Ordering::AcqRel);
        found
    }
}

async fn next_step(steps: &mut Option<UnboundedReceiver<Suspending>>) -> Suspending {
    let step = match steps {
        Some(steps) => steps.recv().await,
        None => None,
    };
    match step {
        Some(step) => step,
        None => std::future::pending().await,
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
