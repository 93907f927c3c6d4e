//! What keeps a run from being as wide as was asked for, and the time that this costs.
//!
//! `run` notes a [`Load`] whenever something has happened. Pure. Between two notes the load stands still: in a
//! stretch of time in which `running` of `wanted` items run, the share of it that the others would have saved is lost,
//! and each cause bears its part. Items that wait of their own accord, and runs that are being stopped, lose nothing.

use std::time::Duration;

/// What there is too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limiter {
    /// Credentials that may be handed out, or slots of them.
    Credentials,
    /// Capacity of the provider, who says that it is overloaded.
    Provider,
    /// Room for processes on this machine: processes, descriptors, memory.
    Room,
}

impl Limiter {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Credentials, Self::Provider, Self::Room];

    /// One word, for people and files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Provider => "provider",
            Self::Room => "room",
        }
    }
}

/// How wide a run is at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Items that run.
    pub running: usize,
    /// Items that would run if the width alone limited them: the number of slots, or fewer if there are no more items.
    pub fits: usize,
    /// Items that would run if nothing but the number asked for limited them.
    pub wanted: usize,
    /// Why there are not as many slots as were asked for.
    pub width_by: Option<Limiter>,
    /// What keeps a slot empty although an item waits for it.
    pub slot_by: Option<Limiter>,
}

impl Load {
    /// What keeps the next item from being started; nothing if nothing does, or only for a moment.
    #[must_use]
    pub const fn limiter(&self) -> Option<Limiter> {
        if self.running < self.fits {
            self.slot_by
        } else if self.fits < self.wanted {
            self.width_by
        } else {
            None
        }
    }

    /// How many items do not run for want of this.
    fn lacking(&self, limiter: Limiter) -> usize {
        let of = |by: Option<Limiter>, count: usize| if by == Some(limiter) { count } else { 0 };
        of(self.slot_by, self.fits.saturating_sub(self.running))
            + of(self.width_by, self.wanted.saturating_sub(self.fits))
    }
}

/// The time that a run has lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// For want of credentials.
    pub credentials: Duration,
    /// What one more credential would have saved of that, if it had never been limited itself.
    pub one_more: Duration,
    /// By the provider's overload.
    pub provider: Duration,
    /// For want of room for processes.
    pub room: Duration,
}

impl Lost {
    /// What was lost for want of this.
    #[must_use]
    pub const fn by(&self, limiter: Limiter) -> Duration {
        match limiter {
            Limiter::Credentials => self.credentials,
            Limiter::Provider => self.provider,
            Limiter::Room => self.room,
        }
    }

    const fn by_mut(&mut self, limiter: Limiter) -> &mut Duration {
        match limiter {
            Limiter::Credentials => &mut self.credentials,
            Limiter::Provider => &mut self.provider,
            Limiter::Room => &mut self.room,
        }
    }
}

/// Adds up what is lost.
#[derive(Debug)]
pub struct Bottleneck {
    /// Items that one credential can serve at once.
    slots: usize,
    load: Load,
    since: Duration,
    lost: Lost,
}

impl Bottleneck {
    /// A run of which nothing runs yet, with credentials of so many slots each.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            slots,
            load: Load::default(),
            since: Duration::ZERO,
            lost: Lost::default(),
        }
    }

    /// From `now` on the load is this one. Returns whether another thing limits the run than before.
    pub fn note(&mut self, load: Load, now: Duration) -> bool {
        self.lost = self.lost(now);
        self.since = now;
        let is_other = load.limiter() != self.load.limiter();
        self.load = load;
        is_other
    }

    /// The load at the moment.
    #[must_use]
    pub const fn load(&self) -> &Load {
        &self.load
    }

    /// What is lost until `now`.
    #[must_use]
    pub fn lost(&self, now: Duration) -> Lost {
        let time = now.saturating_sub(self.since);
        let Load {
            running, wanted, ..
        } = self.load;
        let mut lost = self.lost;
        for limiter in Limiter::ALL {
            *lost.by_mut(limiter) += share(time, self.load.lacking(limiter), wanted);
        }
        let gain = self.load.lacking(Limiter::Credentials).min(self.slots);
        // Where something runs, more of it would have brought the end of this stretch nearer. Where nothing does, the
        // stretch is as long as it is, and what is done meanwhile is saved later, when all that are wanted run.
        let rate = if running > 0 { running + gain } else { wanted };
        // Where slots are empty for another reason, too, it cannot save more than its lack has cost.
        let cost = lost.credentials.saturating_sub(self.lost.credentials);
        lost.one_more += share(time, gain, rate).min(cost);
        lost
    }
}

/// `part` of `whole` of a time.
fn share(time: Duration, part: usize, whole: usize) -> Duration {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    match count(whole) {
        0 => Duration::ZERO,
        whole => time.mul_f64(f64::from(count(part).min(whole)) / f64::from(whole)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn m(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    /// `running` of `fits` slots of `wanted` items.
    const fn load(running: usize, fits: usize, wanted: usize, slot_by: Option<Limiter>) -> Load {
        Load {
            running,
            fits,
            wanted,
            width_by: Some(Limiter::Credentials),
            slot_by,
        }
    }

    fn lost(slots: usize, loads: &[(Load, Duration)]) -> Lost {
        let mut bottleneck = Bottleneck::new(slots);
        let mut now = Duration::ZERO;
        for &(load, time) in loads {
            bottleneck.note(load, now);
            now += time;
        }
        bottleneck.lost(now)
    }

    #[test]
    fn each_cause_bears_its_part_of_the_time() {
        let keys = Some(Limiter::Credentials);
        let provider = Some(Limiter::Provider);
        let room = Some(Limiter::Room);
        for (load, credentials, one_more, provider, room) in [
            // Nothing is lacking, or nothing that anybody could give.
            (load(6, 6, 6, None), 0, 0, 0, 0),
            (load(2, 2, 2, None), 0, 0, 0, 0),
            (load(2, 6, 6, None), 0, 0, 0, 0),
            // Half of what was asked for has slots; a fourth slot would have taken 60 to 45 minutes.
            (load(3, 3, 6, None), 30, 15, 0, 0),
            // One of three keys rests.
            (load(2, 3, 3, keys), 20, 20, 0, 0),
            // All rest: the hour is lost, and one more key would have done a third of its work.
            (load(0, 3, 3, keys), 60, 20, 0, 0),
            // The provider is overloaded, and half of the slots were lacking anyway.
            (load(1, 3, 6, provider), 30, 30, 20, 0),
            (load(1, 3, 4, None), 15, 15, 0, 0),
            (load(0, 0, 0, keys), 0, 0, 0, 0),
            (load(1, 4, 4, room), 0, 0, 0, 45),
        ] {
            let expected = Lost {
                credentials: m(credentials),
                one_more: m(one_more),
                provider: m(provider),
                room: m(room),
            };
            assert_eq!(lost(1, &[(load, m(60))]), expected, "{load:?}");
        }
    }

    #[test]
    fn a_key_of_two_slots_would_have_saved_more() {
        let lost = lost(2, &[(load(2, 2, 6, None), m(60))]);
        assert_eq!((lost.credentials, lost.one_more), (m(40), m(30)));
    }

    #[test]
    fn stretches_add_up_and_the_present_one_counts() {
        let keys = Some(Limiter::Credentials);
        let mut bottleneck = Bottleneck::new(1);
        assert!(!bottleneck.note(load(2, 2, 2, None), m(0)));
        assert!(bottleneck.note(load(0, 2, 2, keys), m(10)));
        assert!(!bottleneck.note(load(1, 2, 2, keys), m(20)));
        assert_eq!(bottleneck.lost(m(30)).credentials, m(15));
        assert!(bottleneck.note(load(2, 2, 2, None), m(40)));
        assert_eq!(bottleneck.lost(m(90)).credentials, m(20));
    }

    #[test]
    fn the_limiter_is_what_keeps_the_next_item_back() {
        let provider = Some(Limiter::Provider);
        for (load, limiter) in [
            (load(6, 6, 6, provider), None),
            (load(3, 3, 6, provider), Some(Limiter::Credentials)),
            (load(2, 3, 6, provider), provider),
            (load(2, 3, 6, None), None),
        ] {
            assert_eq!(load.limiter(), limiter, "{load:?}");
        }
    }
}
