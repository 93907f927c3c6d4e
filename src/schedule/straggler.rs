//! When an item runs so much longer than the others did that a person should know ("straggler": Dean and Ghemawat,
//! "`MapReduce`", OSDI 2004). It is only told, never stopped: that is what a timeout is for.

use std::collections::VecDeque;
use std::time::Duration;

/// This many times longer than the usual item …
const FACTOR: u32 = 3;

/// … longer than any of the last this many …
const KEPT_MAX: usize = 99;

/// … of which there are at least this many, …
const KEPT_MIN: usize = 3;

/// … and at least this long: what ends within a minute needs no notice.
pub const STRAGGLER_AFTER_MIN: Duration = Duration::from_mins(1);

/// How long the items took that are done.
#[derive(Debug, Default)]
pub struct DoneTimes {
    kept: VecDeque<Duration>,
    /// The same, the shortest first.
    sorted: Vec<Duration>,
    usual: Duration,
    straggles_after: Option<Duration>,
}

impl DoneTimes {
    /// Takes note of an item that is done.
    pub fn add(&mut self, time: Duration) {
        if self.kept.len() == KEPT_MAX
            && let Some(oldest) = self.kept.pop_front()
            && let Ok(place) = self.sorted.binary_search(&oldest)
        {
            self.sorted.remove(place);
        }
        self.kept.push_back(time);
        let place = self.sorted.partition_point(|&it| it < time);
        self.sorted.insert(place, time);
        let sorted = &self.sorted;
        self.usual = sorted[sorted.len() / 2];
        self.straggles_after = sorted
            .last()
            .filter(|_| sorted.len() >= KEPT_MIN)
            .map(|&longest| (self.usual * FACTOR).max(longest).max(STRAGGLER_AFTER_MIN));
    }

    /// How long the usual item took: the median.
    #[must_use]
    pub const fn usual(&self) -> Duration {
        self.usual
    }

    /// The same, unless too few are done to tell.
    #[must_use]
    pub fn usual_if_known(&self) -> Option<Duration> {
        (self.kept.len() >= KEPT_MIN).then_some(self.usual)
    }

    /// From when on an item that still runs is a straggler; `None` as long as too few are done to tell.
    #[must_use]
    pub const fn straggles_after(&self) -> Option<Duration> {
        self.straggles_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(minutes: &[u64]) -> Option<Duration> {
        let mut times = DoneTimes::default();
        for &time in minutes {
            times.add(Duration::from_mins(time));
        }
        times.straggles_after()
    }

    #[test]
    fn a_straggler_takes_three_times_as_long_as_the_usual_item_and_longer_than_any() {
        assert_eq!(after(&[5, 5]), None, "two are too few to tell");
        assert_eq!(after(&[5, 4, 6]), Some(Duration::from_mins(15)));
        assert_eq!(after(&[5, 4, 60]), Some(Duration::from_hours(1)));
        assert_eq!(after(&[0, 0, 0]), Some(STRAGGLER_AFTER_MIN));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let times: Vec<u64> = std::iter::once(600).chain([5; KEPT_MAX]).collect();
        assert_eq!(after(&times), Some(Duration::from_mins(15)));
    }
}
