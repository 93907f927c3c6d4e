//! The time that counts: what has passed since the run began, less the time in which nothing could run.
//!
//! Timeouts, graces and waits are measured by it, so that neither Ctrl-Z nor a machine that stood still for an hour
//! uses them up. A stop that we were told of is exact; of one that nobody told us (a frozen cgroup, a paused virtual
//! machine, SIGSTOP) we learn by waking up late, and so we look at the clock in good time.

use std::collections::VecDeque;
use std::time::Duration;

/// Whoever wakes up by this much too late was not allowed to run meanwhile.
pub const LATE_MIN: Duration = Duration::from_secs(1);

/// We look at the clock when this share of the time to the next timer is over, …
const LOOKS_PER_WAIT: u32 = 8;
/// … but not more often than this …
const LOOK_AFTER_MIN: Duration = Duration::from_secs(1);
/// … and not less often than this, so that idle children cost nothing and a pause is known to within this.
pub const LOOK_AFTER_MAX: Duration = Duration::from_secs(30);

/// Pauses that are told apart; older ones lie before everything that is still asked for.
const PAUSES_MAX: usize = 32;

/// A stretch of real time that does not count.
#[derive(Debug, Clone, Copy)]
struct Pause {
    from: Duration,
    length: Duration,
}

/// Turns real time since the run began into the time that counts.
#[derive(Debug, Default)]
pub struct Clock {
    pauses: VecDeque<Pause>,
    /// Of pauses that are not told apart any more.
    forgotten: Duration,
    /// Since when we are suspended.
    suspended_at: Option<Duration>,
    /// When we meant to look at the clock again.
    look_at: Option<Duration>,
}

impl Clock {
    /// What a look at `real` time shows. A look that comes much later than it was meant to finds a pause.
    pub fn look(&mut self, real: Duration) -> Duration {
        if let Some(meant) = self.look_at.take()
            && self.suspended_at.is_none()
            && real >= meant.saturating_add(LATE_MIN)
        {
            self.add(meant, real);
        }
        self.at(real)
    }

    /// The counted time at a moment of `real` time that is not long past.
    #[must_use]
    pub fn at(&self, real: Duration) -> Duration {
        let real = self.suspended_at.map_or(real, |since| real.min(since));
        let paused = |pause: &Pause| pause.length.min(real.saturating_sub(pause.from));
        let paused: Duration = self.pauses.iter().map(paused).sum();
        real.saturating_sub(paused + self.forgotten)
    }

    /// When to look again, in real time, if the next timer is due at `wake` of counted time. `None`: nothing is timed,
    /// or we are suspended.
    pub fn next_look(&mut self, real: Duration, wake: Option<Duration>) -> Option<Duration> {
        let due = wake.filter(|_| self.suspended_at.is_none())?;
        let wait = due.saturating_sub(self.at(real));
        let most = (wait / LOOKS_PER_WAIT).clamp(LOOK_AFTER_MIN, LOOK_AFTER_MAX);
        self.look_at = Some(real.saturating_add(wait.min(most)));
        self.look_at
    }

    /// From `real` time on nothing counts.
    pub fn suspend(&mut self, real: Duration) {
        self.look_at = None;
        self.suspended_at.get_or_insert(real);
    }

    /// From `real` time on time counts again. Returns how long it did not.
    pub fn resume(&mut self, real: Duration) -> Duration {
        let Some(since) = self.suspended_at.take() else {
            return Duration::ZERO;
        };
        self.add(since, real);
        real.saturating_sub(since)
    }

    fn add(&mut self, from: Duration, to: Duration) {
        let length = to.saturating_sub(from);
        self.pauses.push_back(Pause { from, length });
        if self.pauses.len() > PAUSES_MAX
            && let Some(oldest) = self.pauses.pop_front()
        {
            self.forgotten += oldest.length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn time_that_was_suspended_does_not_count() {
        let mut clock = Clock::default();
        assert_eq!(clock.look(s(10)), s(10));
        clock.suspend(s(12));
        assert_eq!(clock.look(s(50)), s(12));
        assert_eq!(clock.next_look(s(50), Some(s(13))), None);
        assert_eq!(clock.resume(s(72)), s(60));
        assert_eq!(clock.look(s(75)), s(15));
        assert_eq!(clock.at(s(11)), s(11), "before the pause");
        assert_eq!(clock.at(s(40)), s(12), "within it");
    }

    #[test]
    fn a_second_suspension_of_the_suspended_changes_nothing() {
        let mut clock = Clock::default();
        clock.suspend(s(1));
        clock.suspend(s(5));
        assert_eq!(clock.resume(s(10)), s(9));
        assert_eq!(clock.resume(s(20)), s(0));
        assert_eq!(clock.at(s(20)), s(11));
    }

    #[test]
    fn whoever_wakes_up_late_was_paused() {
        let mut clock = Clock::default();
        let look = clock.next_look(s(0), Some(s(90))).unwrap();
        assert!(look <= s(90) / LOOKS_PER_WAIT);
        // A minute in which the machine stood still.
        assert_eq!(clock.look(look + s(60)), look);
        assert_eq!(clock.at(look + s(61)), look + s(1));
    }

    #[test]
    fn a_look_that_is_early_or_a_little_late_finds_no_pause() {
        let mut clock = Clock::default();
        let look = clock.next_look(s(0), Some(s(4))).unwrap();
        assert_eq!(clock.look(look / 2), look / 2);
        let look = clock.next_look(s(1), Some(s(4))).unwrap();
        let late = look + LATE_MIN / 2;
        assert_eq!(clock.look(late), late);
    }

    #[test]
    fn an_idle_run_looks_rarely_and_an_untimed_one_never() {
        let mut clock = Clock::default();
        assert_eq!(clock.next_look(s(0), None), None);
        assert_eq!(clock.next_look(s(0), Some(s(7200))), Some(LOOK_AFTER_MAX));
        assert_eq!(clock.next_look(s(0), Some(s(0))), Some(s(0)));
        // Nothing was meant to happen for hours, so nothing was late.
        assert_eq!(clock.next_look(s(0), None), None);
    }

    #[test]
    fn many_pauses_are_all_subtracted() {
        let mut clock = Clock::default();
        for pause in 0..1000 {
            clock.suspend(s(pause * 2));
            clock.resume(s(pause * 2 + 1));
        }
        assert_eq!(clock.at(s(2000)), s(1000));
        assert_eq!(clock.pauses.len(), PAUSES_MAX);
    }
}
