//! How long a run is expected to take before it begins, and what came of that. Pure.
//!
//! The dry run tells it, a run in parallel mode compares itself with it at its end: both ask here, so that they say the same.

use std::time::Duration;

use super::elapsed::elapsed;

/// Fewer done items of earlier runs tell too little.
const SAMPLES_MIN: usize = 3;

/// Below this nobody plans by it: neither forecast nor comparison is worth a line.
const TOLD_MIN: Duration = Duration::from_secs(10);

/// From so many times the forecast on, a factor is easier to read than a percentage.
const FACTOR_MIN: u32 = 2;

/// What earlier runs of a workflow tell of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// How long a done item took: the median.
    pub usual: Duration,
    /// Of how many items.
    pub samples: usize,
    /// How many keys the newest of these runs had.
    pub keys: usize,
}

impl Earlier {
    /// How long so many items will take, so many at once; nothing when too little is known, or nothing is to be done.
    #[must_use]
    pub fn forecast(&self, items: usize, at_once: usize) -> Option<Duration> {
        if self.samples < SAMPLES_MIN || items == 0 || at_once == 0 {
            return None;
        }
        let rounds = u32::try_from(items.div_ceil(at_once)).unwrap_or(u32::MAX);
        Some(self.usual.saturating_mul(rounds))
    }
}

/// How many items run at once, of those that were asked for, that there are slots of keys for, and that there are.
#[must_use]
pub fn at_once(asked: usize, slots: Option<usize>, items: usize) -> usize {
    asked.min(slots.unwrap_or(usize::MAX)).min(items)
}

/// What a dry run says of it, to stand behind its other words.
#[must_use]
pub fn in_advance(forecast: Duration) -> Option<String> {
    (forecast >= TOLD_MIN).then(|| format!("about {}, going by earlier runs", elapsed(forecast)))
}

/// What a run says of it that has come to its end: `took 2h13m, forecast 1h50m (21 % longer)`.
#[must_use]
pub fn in_hindsight(took: Duration, forecast: Duration) -> Option<String> {
    if took.max(forecast) < TOLD_MIN || forecast.is_zero() {
        return None;
    }
    let (shown, expected) = (elapsed(took), elapsed(forecast));
    // Whoever reads two equal times does not want to hear of a difference.
    if shown == expected {
        return Some(format!("took {shown}, as forecast"));
    }
    let difference = if took >= forecast.saturating_mul(FACTOR_MIN) {
        format!(
            "{:.1} times as long",
            took.as_secs_f64() / forecast.as_secs_f64()
        )
    } else {
        let word = if took > forecast { "longer" } else { "shorter" };
        let share = took.abs_diff(forecast).as_secs_f64() / forecast.as_secs_f64();
        // Nothing takes no time at all.
        format!("{:.0} % {word}", (share * 100.0).clamp(1.0, 99.0))
    };
    Some(format!("took {shown}, forecast {expected} ({difference})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn items_are_done_in_rounds_and_a_few_tell_nothing() {
        let known = |samples| Earlier {
            usual: s(60),
            samples,
            keys: 0,
        };
        for (items, at_once, expected) in [
            (1, 4, Some(s(60))),
            (4, 4, Some(s(60))),
            (5, 4, Some(s(120))),
            (7, 1, Some(s(420))),
            (0, 4, None),
            (4, 0, None),
        ] {
            assert_eq!(known(3).forecast(items, at_once), expected, "{items}");
        }
        assert_eq!(known(2).forecast(5, 4), None);
        let endless = Earlier {
            usual: Duration::MAX,
            ..known(3)
        };
        assert_eq!(endless.forecast(usize::MAX, 1), Some(Duration::MAX));
    }

    #[test]
    fn no_more_run_at_once_than_were_asked_for_have_keys_and_are_there() {
        assert_eq!(at_once(6, None, 40), 6);
        assert_eq!(at_once(6, Some(4), 40), 4);
        assert_eq!(at_once(6, Some(4), 3), 3);
    }

    #[test]
    fn a_run_is_compared_with_its_forecast_in_words_of_its_size() {
        for (took, forecast, words) in [
            (7980, 6600, "took 2h13m, forecast 1h50m (21 % longer)"),
            (3600, 7200, "took 1h, forecast 2h (50 % shorter)"),
            (7200, 7201, "took 2h, as forecast"),
            (400, 401, "took 6m40s, forecast 6m41s (1 % shorter)"),
            (630, 100, "took 10m30s, forecast 1m40s (6.3 times as long)"),
            (1, 3600, "took 1s, forecast 1h (99 % shorter)"),
        ] {
            assert_eq!(in_hindsight(s(took), s(forecast)).unwrap(), words);
        }
    }

    #[test]
    fn what_takes_seconds_is_not_worth_a_line() {
        assert_eq!(in_hindsight(s(9), s(5)), None);
        assert_eq!(in_hindsight(s(5), s(9)), None);
        assert_eq!(in_hindsight(s(60), s(0)), None);
        assert!(in_hindsight(s(5), s(10)).is_some());
        assert_eq!(in_advance(s(9)), None);
        let told = "about 1h50m, going by earlier runs";
        assert_eq!(in_advance(s(6600)).unwrap(), told);
    }
}
