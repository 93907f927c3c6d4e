//! How long the slots of a group's keys rest between two items, learned from the limits that they meet.
//!
//! Pure. A provider that says when the next request fits does not say when a whole item does: who starts then is turned
//! away again on the way, and all that the item had done is lost. So after a limit a key rests as long as an item usually
//! takes, and from then on each of its slots rests for a share of the time that it has worked before it works again. The
//! share grows with every limit and shrinks slowly while there is none. `pool.rs` calls it; what is learned is of this run
//! and kept nowhere.

use std::time::Duration;

use super::key::Moment;

/// After the first limit a key rests for this share of the time that it has worked, in thousandths, …
const REST_FIRST: u32 = 200;
/// … after each further one for so many percent of the share before, …
const GROWN_PERCENT: u32 = 150;
/// … and for no more than this.
const REST_MAX: u32 = 4000;
/// Every item that ends well takes this part of the share away.
const EASED_BY: u32 = 64;
/// No rest that nobody has asked for is longer than this.
const REST_TIME_MAX: Duration = Duration::from_mins(5);
/// Of the usual time each new one is this part.
const NEW_PART: u32 = 8;

/// The pace of a group.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// In thousandths of the time worked.
    share: u32,
    /// How long an item takes that ends well, about.
    usual: Option<Duration>,
    /// When it met the last limit.
    limited_at: Option<Moment>,
}

impl Pace {
    /// A lease that began at `began` ended well.
    pub fn serve(&mut self, began: Moment, now: Moment) {
        let time = now.since(began);
        let usual = self.usual.unwrap_or(time);
        self.usual = Some(usual / NEW_PART * (NEW_PART - 1) + time / NEW_PART);
        self.share -= self.share.div_ceil(EASED_BY).min(self.share);
    }

    /// A lease that began at `began` met a limit. Those that ran together and met it together count once.
    pub fn limit(&mut self, began: Moment, now: Moment) {
        if self.limited_at.is_none_or(|limited| began >= limited) {
            self.share = (self.share * GROWN_PERCENT / 100).clamp(REST_FIRST, REST_MAX);
        }
        self.limited_at = Some(now);
    }

    /// How long a key rests that has worked for `worked`.
    #[must_use]
    pub fn rest(&self, worked: Duration) -> Duration {
        (worked.min(REST_TIME_MAX * 1000) * self.share / 1000).min(REST_TIME_MAX)
    }

    /// How long a key rests that has just met a limit.
    #[must_use]
    pub fn rest_after_limit(&self) -> Duration {
        self.usual.unwrap_or_default().min(REST_TIME_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const fn at(seconds: u64) -> Moment {
        Moment(s(seconds))
    }

    #[test]
    fn without_limits_nothing_rests() {
        let mut pace = Pace::default();
        pace.serve(at(0), at(100));
        assert_eq!(pace.rest(s(100)), s(0));
        assert_eq!(Pace::default().rest_after_limit(), s(0));
    }

    #[test]
    fn a_share_of_the_time_worked_grows_with_limits_and_shrinks_without() {
        let mut pace = Pace::default();
        for (second, rest) in [(0, 20), (10, 30), (20, 45)] {
            pace.limit(at(second), at(second + 10));
            assert_eq!(pace.rest(s(100)), s(rest));
        }
        for second in 20..30 {
            pace.limit(at(second), at(30));
        }
        assert_eq!(pace.rest(s(100)), s(45), "these ran together");
        let mut last = pace.rest(s(100));
        for second in 40..400 {
            pace.serve(at(second), at(second + 1));
            assert!(pace.rest(s(100)) <= last);
            last = pace.rest(s(100));
        }
        assert_eq!(last, s(0));
    }

    #[test]
    fn a_rest_is_bounded_however_many_limits_there_are() {
        let mut pace = Pace::default();
        for second in 0..100 {
            pace.limit(at(second), at(second));
        }
        assert_eq!(pace.rest(s(10)), s(40));
        assert_eq!(pace.rest(s(100_000)), REST_TIME_MAX);
        assert_eq!(pace.rest(Duration::MAX), REST_TIME_MAX);
    }

    #[test]
    fn after_a_limit_it_rests_as_long_as_an_item_usually_takes() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.serve(at(0), at(120));
        }
        let rest = pace.rest_after_limit();
        assert!(rest > s(119) && rest < s(121), "{rest:?}");
        for _ in 0..100 {
            pace.serve(at(0), at(100_000));
        }
        assert_eq!(pace.rest_after_limit(), REST_TIME_MAX);
    }
}
