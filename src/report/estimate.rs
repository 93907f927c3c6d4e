//! How long a run will still take, from how long its items took. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// Of so many of the newest done items the median is taken: what comes is like what was last.
const SAMPLES_MAX: usize = 101;

/// From so many done items on, this run knows better than earlier ones.
const SAMPLES_TRUSTED: usize = 3;

/// How long done items took.
#[derive(Debug, Default)]
pub struct Durations {
    newest: VecDeque<Duration>,
}

impl Durations {
    /// Another item is done.
    pub fn note(&mut self, duration: Duration) {
        if self.newest.len() == SAMPLES_MAX {
            self.newest.pop_front();
        }
        self.newest.push_back(duration);
    }

    /// How long an item usually takes: the median of this run if enough of its items are done, else that of `earlier`
    /// runs, else what there is.
    #[must_use]
    pub fn usual(&self, earlier: Option<Duration>) -> Option<Duration> {
        let own = median(self.newest.iter().copied().collect());
        let trusted = own.filter(|_| self.newest.len() >= SAMPLES_TRUSTED);
        trusted.or(earlier).or(own)
    }
}

/// The median, the upper one of two.
#[must_use]
pub fn median(mut durations: Vec<Duration>) -> Option<Duration> {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied()
}

/// How long it takes until all are done, if an item usually takes `usual`: those that run, each for as long as `running`
/// says, and those that are `queued`, as many at once as run now. Nothing when nothing runs, for then nobody knows
/// when that changes.
///
/// An item that takes longer than usual is taken for one that ends just now.
#[must_use]
pub fn time_left(usual: Duration, running: &[Duration], queued: usize) -> Option<Duration> {
    let width = u32::try_from(running.len()).ok().filter(|&it| it > 0)?;
    let rests = running.iter().map(|time| usual.saturating_sub(*time));
    let longest = rests.clone().max().unwrap_or_default();
    let work = usual.saturating_mul(u32::try_from(queued).unwrap_or(u32::MAX));
    let all = rests.fold(work, Duration::saturating_add);
    Some(
        longest
            .max(all / width)
            .max(if queued > 0 { usual } else { Duration::ZERO }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_usual_time_is_that_of_this_run_as_soon_as_it_has_one() {
        let mut durations = Durations::default();
        assert_eq!(durations.usual(None), None);
        assert_eq!(durations.usual(Some(s(60))), Some(s(60)));
        durations.note(s(10));
        assert_eq!(durations.usual(None), Some(s(10)));
        assert_eq!(durations.usual(Some(s(60))), Some(s(60)));
        durations.note(s(1000));
        durations.note(s(20));
        assert_eq!(durations.usual(Some(s(60))), Some(s(20)));
        for _ in 0..SAMPLES_MAX {
            durations.note(s(5));
        }
        assert_eq!(durations.usual(None), Some(s(5)), "old ones are forgotten");
        assert_eq!(durations.newest.len(), SAMPLES_MAX);
    }

    #[test]
    fn what_is_left_is_shared_by_those_that_run_at_once() {
        for (running, queued, left) in [
            (&[][..], 5, None),
            (&[s(0)], 0, Some(s(60))),
            (&[s(50), s(20)], 0, Some(s(40))),
            (&[s(90)], 0, Some(s(0))),
            (&[s(90)], 2, Some(s(120))),
            (&[s(60), s(60), s(60), s(60)], 8, Some(s(120))),
            (&[s(60), s(60), s(60), s(60)], 1, Some(s(60))),
        ] {
            assert_eq!(
                time_left(s(60), running, queued),
                left,
                "{running:?} {queued}"
            );
        }
        assert!(time_left(Duration::MAX, &[s(1)], usize::MAX).is_some());
    }
}
