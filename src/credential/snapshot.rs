//! How the keys of a run stand at a moment, and what keeps whoever waits from getting one.
//!
//! The coordinator tells a new one whenever it differs from the last, which lease after lease leaves as it is; who keeps it
//! asks it with a clock of his own, because a key that rests comes back without anybody's doing.

use super::key::{Moment, Standing};

/// All keys of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Each key, by its place in the pool.
    pub keys: Vec<KeySnapshot>,
    /// Why the first in the line has not got a key; nothing if nobody waits, or only for the gap between two starts.
    pub obstacle: Option<Obstacle>,
    /// Why nobody knows whether there is a key for the first in the line: the store cannot decide. Then there is no obstacle.
    pub trouble: Option<String>,
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySnapshot {
    /// Whether it may be handed out, as of the moment it was looked at.
    pub standing: Standing,
}

/// What keeps a key from whoever waits for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// All that may be handed out are held, or none may be.
    Keys,
    /// The provider is overloaded.
    Provider,
}

/// How many keys stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Held by an item of this run.
    pub busy: usize,
    /// Free, as far as this run knows.
    pub free: usize,
    /// Limited, or suspect: they come back.
    pub resting: usize,
    /// Rejected, or disabled.
    pub out: usize,
    /// When the first of those that rest comes back.
    pub back_at: Option<Moment>,
}

/// One word for how a key stands, and when that ends by itself.
#[must_use]
pub const fn standing_word(standing: Standing) -> (&'static str, Option<Moment>) {
    match standing {
        Standing::Ready => ("ready", None),
        Standing::Probation => ("probation", None),
        Standing::Cooling { until } => ("cooling", Some(until)),
        Standing::Spent { until } => ("spent", Some(until)),
        Standing::Suspect { until } => ("suspect", Some(until)),
        Standing::Retired { .. } => ("retired", None),
        Standing::Disabled => ("disabled", None),
    }
}

impl Snapshot {
    /// How many keys stand how now, where `is_held` says which ones items of this run hold. One that is held and rests
    /// counts as resting: nobody else gets it.
    #[must_use]
    pub fn counts(&self, now: Moment, is_held: impl Fn(usize) -> bool) -> Counts {
        let mut counts = Counts::default();
        for (index, key) in self.keys.iter().enumerate() {
            match key.standing {
                Standing::Cooling { until }
                | Standing::Spent { until }
                | Standing::Suspect { until }
                    if now < until =>
                {
                    counts.resting += 1;
                    let first = counts.back_at.map_or(until, |known| known.min(until));
                    counts.back_at = Some(first);
                }
                Standing::Retired { .. } | Standing::Disabled => counts.out += 1,
                _ if is_held(index) => counts.busy += 1,
                _ => counts.free += 1,
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    #[test]
    fn a_key_that_rests_counts_as_free_when_its_time_is_over() {
        let standings = [
            Standing::Ready,
            Standing::Probation,
            Standing::Cooling { until: at(30) },
            Standing::Spent { until: at(60) },
            Standing::Disabled,
        ];
        let is_held = |key| [0, 2].contains(&key);
        let keys = standings.map(|standing| KeySnapshot { standing });
        let snapshot = Snapshot {
            keys: keys.to_vec(),
            ..Snapshot::default()
        };
        let early = Counts {
            busy: 1,
            free: 1,
            resting: 2,
            out: 1,
            back_at: Some(at(30)),
        };
        assert_eq!(snapshot.counts(at(10), is_held), early);
        let late = Counts {
            busy: 2,
            resting: 1,
            back_at: Some(at(60)),
            ..early
        };
        assert_eq!(snapshot.counts(at(30), is_held), late);
    }
}
