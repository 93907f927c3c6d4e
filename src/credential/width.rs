//! How many items run at once while the provider is overloaded: fewer after each complaint, more again as items end
//! well ("additive increase, multiplicative decrease": Chiu and Jain, 1989).
//!
//! Pure. No key is blamed for what is the provider's affair.

use std::time::Duration;

use super::key::Moment;

/// After a complaint this many percent of the items run on.
const CUT_PERCENT: usize = 70;
/// Complaints within this time are one. Whoever starts first after a pause and hears none for as long has found the
/// provider well again.
const EPISODE: Duration = Duration::from_secs(15);
/// It grows only while this many percent of it are in use.
const USED_PERCENT: usize = 80;
/// After the first complaint nothing starts for this long, after each further one for twice as long …
const PAUSE: Duration = Duration::from_secs(5);
/// … up to this.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// The number of items at once that the provider bears.
#[derive(Debug)]
pub struct Width {
    limit: usize,
    limit_max: usize,
    served: usize,
    complained_at: Option<Moment>,
    complaints: u32,
    paused_until: Option<Moment>,
    health: Health,
}

/// What we think of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    /// It has complained, and served nobody since.
    Ill,
    /// One item has been started since, and the others wait for what becomes of it.
    Probed,
}

impl Width {
    /// Up to `limit_max` items, until somebody complains.
    #[must_use]
    pub const fn new(limit_max: usize) -> Self {
        Self {
            limit: limit_max,
            limit_max,
            served: 0,
            complained_at: None,
            complaints: 0,
            paused_until: None,
            health: Health::Well,
        }
    }

    /// Items at once, at least 1.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Whether it is narrower than it could be.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.limit < self.limit_max
    }

    /// Until when nothing starts.
    #[must_use]
    pub fn paused_until(&self, now: Moment) -> Option<Moment> {
        self.paused_until.filter(|&until| now < until)
    }

    /// The provider says that it is overloaded; `hint` is how long it wants to be left alone.
    pub fn complain(&mut self, hint: Option<Duration>, now: Moment) {
        self.served = 0;
        let last = self.complained_at;
        if last.is_none_or(|last| now.since(last) >= EPISODE) {
            self.complained_at = Some(now);
            self.complaints = self.complaints.saturating_add(1);
            // Out of order is not overloaded: what would be cut again and again would take hours to grow.
            if self.health == Health::Well {
                self.limit = (self.limit * CUT_PERCENT / 100).max(1);
            }
        }
        self.health = Health::Ill;
        let grown = PAUSE.saturating_mul(2_u32.saturating_pow(self.complaints.saturating_sub(1)));
        let pause = hint.unwrap_or(grown).clamp(PAUSE, PAUSE_MAX);
        self.paused_until = self.paused_until.max(Some(now.plus(pause)));
    }

    /// An item ended well, although its output speaks of a limit: there is no room for more.
    pub const fn hold(&mut self) {
        self.served = 0;
    }

    /// An item starts, and nothing has kept it from it.
    pub fn start(&mut self, now: Moment) {
        self.health = match self.health {
            Health::Ill => {
                self.paused_until = Some(now.plus(EPISODE));
                Health::Probed
            }
            Health::Probed | Health::Well => Health::Well,
        };
    }

    /// An item ended well while `running` ran, itself included.
    pub fn serve(&mut self, running: usize) {
        (self.complaints, self.health) = (0, Health::Well);
        if !self.is_cut() || running * 100 < self.limit * USED_PERCENT {
            return;
        }
        self.served += 1;
        if self.served >= self.limit {
            (self.limit, self.served) = (self.limit + 1, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    #[test]
    fn a_complaint_narrows_it_once_an_episode() {
        let mut width = Width::new(10);
        for second in 0..5 {
            width.complain(None, at(second));
        }
        assert_eq!(width.limit(), 7);
        width.serve(1);
        width.complain(None, at(15));
        assert_eq!(width.limit(), 4);
        for second in 2..20 {
            width.serve(1);
            width.complain(None, at(second * 15));
        }
        assert_eq!(width.limit(), 1);
    }

    #[test]
    fn an_outage_narrows_it_once_however_long_it_lasts() {
        let mut width = Width::new(10);
        for second in 0..20 {
            width.complain(None, at(second * 60));
            width.start(at(second * 60 + 60));
        }
        assert_eq!(width.limit(), 7);
    }

    #[test]
    fn one_item_tries_a_provider_that_has_complained() {
        let mut width = Width::new(4);
        width.complain(None, at(0));
        width.start(at(5));
        assert_eq!(width.paused_until(at(19)), Some(at(20)));
        // Nobody has complained meanwhile.
        width.start(at(20));
        assert_eq!(width.paused_until(at(20)), None);
        width.complain(None, at(30));
        assert_eq!(width.limit(), 1, "that is a new episode");
    }

    #[test]
    fn it_widens_by_one_when_as_many_as_it_allows_have_ended_well() {
        let mut width = Width::new(4);
        width.complain(None, at(0));
        assert_eq!(width.limit(), 2);
        width.serve(1);
        width.serve(1);
        assert_eq!(width.limit(), 2, "it was not in use");
        width.serve(2);
        width.serve(2);
        assert_eq!(width.limit(), 3);
        for _ in 0..100 {
            width.serve(4);
        }
        assert_eq!(width.limit(), 4);
        assert!(!width.is_cut());
    }

    #[test]
    fn it_does_not_widen_while_those_that_end_well_speak_of_limits() {
        let mut width = Width::new(4);
        width.complain(None, at(0));
        for _ in 0..9 {
            width.serve(2);
            width.hold();
        }
        assert_eq!(width.limit(), 2);
        width.serve(2);
        width.serve(2);
        assert_eq!(width.limit(), 3);
    }

    #[test]
    fn nothing_starts_for_a_while_and_longer_each_time() {
        let mut width = Width::new(4);
        width.complain(None, at(0));
        assert_eq!(width.paused_until(at(1)), Some(at(5)));
        assert_eq!(width.paused_until(at(5)), None);
        width.complain(None, at(20));
        assert_eq!(width.paused_until(at(20)), Some(at(30)));
        width.complain(Some(Duration::from_hours(1)), at(40));
        assert_eq!(width.paused_until(at(40)), Some(at(100)));
        width.serve(1);
        width.complain(None, at(200));
        assert_eq!(width.paused_until(at(200)), Some(at(205)));
    }
}
