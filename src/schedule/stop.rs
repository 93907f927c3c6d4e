//! The stop sequence of one item: SIGINT, SIGTERM shortly before the grace ends, SIGKILL at its end.

use std::time::Duration;

use super::event::StopSignal;

/// SIGTERM comes this long before SIGKILL, or half-way through a grace that is shorter than twice this.
pub const TERMINATE_BEFORE_KILL: Duration = Duration::from_secs(2);

/// Where one item is in its stop sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopSequence {
    terminate_at: Duration,
    kill_at: Duration,
    sent: StopSignal,
}

impl StopSequence {
    /// Begins at `now`; the SIGINT that begins it is the caller's to send.
    #[must_use]
    pub fn begin(now: Duration, grace: Duration) -> Self {
        let kill_at = now.saturating_add(grace);
        let ahead = TERMINATE_BEFORE_KILL.min(grace / 2);
        Self {
            terminate_at: kill_at.saturating_sub(ahead),
            kill_at,
            sent: StopSignal::Interrupt,
        }
    }

    /// The signal that is due at `now`, once.
    pub fn due(&mut self, now: Duration) -> Option<StopSignal> {
        let due = if now >= self.kill_at {
            StopSignal::Kill
        } else if now >= self.terminate_at {
            StopSignal::Terminate
        } else {
            return None;
        };
        self.advance(due)
    }

    /// Goes on to SIGKILL at once; `None` if that was sent.
    pub fn kill(&mut self) -> Option<StopSignal> {
        self.advance(StopSignal::Kill)
    }

    /// When the next signal is due, if one is left.
    #[must_use]
    pub const fn next(&self) -> Option<Duration> {
        match self.sent {
            StopSignal::Interrupt => Some(self.terminate_at),
            StopSignal::Terminate => Some(self.kill_at),
            StopSignal::Kill => None,
        }
    }

    fn advance(&mut self, signal: StopSignal) -> Option<StopSignal> {
        (signal > self.sent).then(|| {
            self.sent = signal;
            signal
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_is_sent_once_and_in_order() {
        let second = Duration::from_secs;
        let mut stop = StopSequence::begin(second(10), second(8));
        assert_eq!(stop.due(second(11)), None);
        assert_eq!(stop.next(), Some(second(16)));
        assert_eq!(stop.due(second(16)), Some(StopSignal::Terminate));
        assert_eq!(stop.due(second(17)), None);
        assert_eq!(stop.next(), Some(second(18)));
        assert_eq!(stop.due(second(18)), Some(StopSignal::Kill));
        assert_eq!(stop.due(second(99)), None);
        assert_eq!(stop.next(), None);
    }

    #[test]
    fn a_short_grace_still_leaves_time_between_the_signals() {
        let stop = StopSequence::begin(Duration::ZERO, Duration::from_secs(1));
        assert_eq!(stop.next(), Some(Duration::from_millis(500)));
    }

    #[test]
    fn a_late_look_goes_straight_to_kill() {
        let mut stop = StopSequence::begin(Duration::ZERO, Duration::from_secs(8));
        assert_eq!(stop.due(Duration::from_mins(1)), Some(StopSignal::Kill));
        assert_eq!(stop.kill(), None);
    }
}
