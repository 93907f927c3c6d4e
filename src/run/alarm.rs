//! The timer of the loop: set anew before each wait, mostly to a later moment, which costs nothing.

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// From the moment on that it is set to it rings whenever it is asked.
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    at: Option<Instant>,
}

impl Alarm {
    /// Not set. Call it inside the runtime.
    pub(super) fn new() -> Self {
        Self {
            sleep: Box::pin(sleep_until(Instant::now())),
            at: None,
        }
    }

    /// Rings from this moment on, in place of the one before; never for `None`.
    pub(super) fn set(&mut self, at: Option<Instant>) {
        if let Some(at) = at.filter(|_| at != self.at) {
            self.sleep.as_mut().reset(at);
        }
        self.at = at;
    }

    /// Waits until it rings. Cancel safe.
    pub(super) async fn ring(&mut self) {
        if self.at.is_none() {
            std::future::pending::<()>().await;
        }
        self.sleep.as_mut().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, ready};
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);
    const SHORT: Duration = Duration::from_millis(1);

    fn run(test: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().build().unwrap().block_on(test);
    }

    #[test]
    fn it_rings_when_it_was_last_set_to() {
        run(async {
            let mut alarm = Alarm::new();
            let began = Instant::now();
            for (number, last) in [(1, began + SHORT), (2, began + SHORT * 2)] {
                for at in [began + LONG, began + LONG * number, last, last] {
                    alarm.set(Some(at));
                }
                alarm.ring().await;
                assert!(Instant::now() >= last);
            }
        });
    }

    #[test]
    fn one_that_is_not_set_does_not_ring() {
        run(async {
            let mut alarm = Alarm::new();
            for at in [None, Some(Instant::now()), None] {
                alarm.set(at);
            }
            tokio::select! {
                biased;
                () = alarm.ring() => panic!("it was not set"),
                () = ready(()) => {}
            }
        });
    }
}
