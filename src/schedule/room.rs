//! How many processes the system has room for just now: fewer after it has refused one, more again with every one that
//! ends well, and with time.

use std::time::Duration;

/// Nothing is started for this long after the system had no room for another process.
pub const CROWDED_WAIT: Duration = Duration::from_secs(1);

/// One more is tried after this long without a refusal.
pub const WIDEN_AFTER: Duration = Duration::from_secs(10);

/// When the system has had no room for a single process for this long, we give up and leave the rest.
pub const NO_ROOM_TIME_MAX: Duration = Duration::from_mins(5);

/// The room that there is.
#[derive(Debug)]
pub struct Room {
    width: usize,
    width_max: usize,
    /// When one more is tried, as long as there are fewer than there could be.
    widen_at: Option<Duration>,
    /// Nothing is started before this.
    crowded_until: Option<Duration>,
    /// Since when there is no room even for one process.
    none_since: Option<Duration>,
    is_told: bool,
}

impl Room {
    /// Room for `width` items at once, as far as we know.
    #[must_use]
    pub const fn new(width: usize) -> Self {
        Self {
            width,
            width_max: width,
            widen_at: None,
            crowded_until: None,
            none_since: None,
            is_told: false,
        }
    }

    /// Items at once, at least 1.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// A process could not be started while `running` others ran. Returns the new width when a person should know.
    pub fn refused(&mut self, running: usize, now: Duration) -> Option<usize> {
        self.crowded_until = Some(now.saturating_add(CROWDED_WAIT));
        self.none_since = match running {
            0 => self.none_since.or(Some(now)),
            _ => None,
        };
        self.widen_at = Some(now.saturating_add(WIDEN_AFTER));
        let width = running.max(1);
        let is_new = width != self.width || !self.is_told;
        (self.width, self.is_told) = (width, true);
        is_new.then_some(width)
    }

    /// A process that could be started has ended.
    pub fn recover(&mut self) {
        self.width = self.width_max.min(self.width + 1);
        (self.is_told, self.none_since) = (false, None);
    }

    /// Whether nothing is started for the moment. Asking it widens the room when it is time.
    pub fn is_crowded(&mut self, now: Duration) -> bool {
        if self.widen_at.is_some_and(|at| now >= at) {
            self.width = self.width_max.min(self.width + 1);
            let more = self.width < self.width_max;
            self.widen_at = more.then(|| now.saturating_add(WIDEN_AFTER));
        }
        self.crowded_until = self.crowded_until.filter(|&until| now < until);
        self.crowded_until.is_some()
    }

    /// When more may be started than now.
    #[must_use]
    pub fn look_at(&self) -> Option<Duration> {
        self.crowded_until.or(self.widen_at)
    }

    /// Whether it is hopeless.
    #[must_use]
    pub fn is_hopeless(&self, now: Duration) -> bool {
        let since = self.none_since;
        since.is_some_and(|since| now >= since.saturating_add(NO_ROOM_TIME_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_shrinks_to_what_runs_and_grows_by_one_with_each_that_ends() {
        let mut room = Room::new(4);
        assert_eq!(room.refused(2, s(0)), Some(2));
        assert_eq!(room.refused(2, s(1)), None, "told before");
        assert!(room.is_crowded(s(1)));
        assert_eq!(room.look_at(), Some(s(2)));
        assert!(!room.is_crowded(s(2)));
        assert_eq!(room.look_at(), Some(s(11)));
        for width in [3, 4, 4] {
            room.recover();
            assert_eq!(room.width(), width);
        }
        assert_eq!(room.refused(4, s(9)), Some(4), "told again");
    }

    #[test]
    fn it_grows_with_time_alone() {
        let mut room = Room::new(4);
        room.refused(2, s(0));
        assert!(!room.is_crowded(s(10)));
        assert_eq!(room.width(), 3);
        assert!(!room.is_crowded(s(20)));
        assert_eq!((room.width(), room.look_at()), (4, None));
    }

    #[test]
    fn no_room_for_a_single_process_is_hopeless_after_a_while() {
        let mut room = Room::new(2);
        room.refused(0, s(0));
        room.refused(0, s(299));
        assert!(!room.is_hopeless(s(299)));
        assert!(room.is_hopeless(s(300)));
        room.recover();
        assert!(!room.is_hopeless(s(300)));
        room.refused(0, s(400));
        room.refused(1, s(500));
        assert!(!room.is_hopeless(s(900)), "something ran meanwhile");
    }
}
