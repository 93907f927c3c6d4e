//! A provider with limits, in virtual time: token buckets and daily quotas of accounts, keys that are not valid any more,
//! and outages.

use std::time::Duration;

/// What is bought together: the keys of an account share all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Requests that a bucket that has rested bears at once.
    pub(crate) burst: u32,
    /// One more request fits after each of these.
    pub(crate) every: Duration,
    /// The day's budget.
    pub(crate) quota: Option<Quota>,
}

/// So many requests, and then none until the day ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    /// How many are left of it when the run begins.
    pub(crate) requests: usize,
    /// When the day ends; no run lasts until the one after that.
    pub(crate) resets_at: Duration,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Whose.
    pub(crate) account: usize,
    /// What the pool's file says of that.
    pub(crate) group: String,
    /// How many items may hold it at once.
    pub(crate) slots: usize,
    /// From when on it is not valid.
    pub(crate) rejected_from: Option<Duration>,
}

/// What the provider says of when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hints {
    /// When the next request fits.
    True,
    /// A quarter of that.
    TooShort,
    /// Nothing.
    None,
}

/// Everything that the provider is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) accounts: Vec<Account>,
    pub(crate) keys: Vec<Key>,
    /// What the provider bears of all of them together; more is turned away with 529.
    pub(crate) capacity: Option<Account>,
    pub(crate) hints: Hints,
    /// From when to when every request is turned away.
    pub(crate) outages: Vec<(Duration, Duration)>,
}

/// What a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// What was asked for.
    Served,
    /// 429: the bucket is empty.
    Limited { hint: Option<Duration> },
    /// 429: the day's budget is used up.
    Exhausted { hint: Option<Duration> },
    /// 529.
    Overloaded,
    /// 401.
    Rejected,
}

/// What has been taken from an account: its bucket by the "generic cell rate algorithm" (ITU-T I.371), which is a token
/// bucket without fractions of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// When the bucket would be full.
    full_at: Duration,
    today: usize,
}

impl Taken {
    /// How long the next request has to wait for the bucket.
    pub(crate) fn wait(self, account: &Account, now: Duration) -> Duration {
        let burst = account.every * (account.burst - 1);
        self.full_at.saturating_sub(burst).saturating_sub(now)
    }

    /// How long it has to wait for the day's end.
    pub(crate) fn day_wait(self, account: &Account, now: Duration) -> Duration {
        let quota = account.quota.filter(|quota| self.today >= quota.requests);
        quota.map_or(Duration::ZERO, |quota| quota.resets_at.saturating_sub(now))
    }

    /// A request is served.
    pub(crate) fn take(&mut self, account: &Account, now: Duration) {
        self.full_at = self.full_at.max(now) + account.every;
        let counts = account.quota.is_some_and(|quota| now < quota.resets_at);
        self.today += usize::from(counts);
    }
}

/// The provider while a run goes on.
#[derive(Debug)]
pub(crate) struct Provider<'a> {
    terms: &'a Terms,
    taken: Vec<Taken>,
    taken_by_all: Taken,
}

impl<'a> Provider<'a> {
    /// Nothing has been taken yet.
    pub(crate) fn new(terms: &'a Terms) -> Self {
        Self {
            terms,
            taken: vec![Taken::default(); terms.accounts.len()],
            taken_by_all: Taken::default(),
        }
    }

    /// One request with this key.
    pub(crate) fn ask(&mut self, key: usize, now: Duration) -> Reply {
        let key = &self.terms.keys[key];
        let capacity = self.terms.capacity.as_ref();
        let is_full = |capacity: &Account| !self.taken_by_all.wait(capacity, now).is_zero();
        if self.terms.is_out(now) || capacity.is_some_and(is_full) {
            return Reply::Overloaded;
        }
        if key.rejected_from.is_some_and(|from| now >= from) {
            return Reply::Rejected;
        }
        let account = &self.terms.accounts[key.account];
        let taken = &mut self.taken[key.account];
        let (day_wait, wait) = (taken.day_wait(account, now), taken.wait(account, now));
        let hint = |wait: Duration| match self.terms.hints {
            Hints::True => Some(wait),
            Hints::TooShort => Some(wait / 4),
            Hints::None => None,
        };
        if !day_wait.is_zero() {
            return Reply::Exhausted {
                hint: hint(day_wait),
            };
        }
        if !wait.is_zero() {
            return Reply::Limited { hint: hint(wait) };
        }
        taken.take(account, now);
        if let Some(capacity) = capacity {
            self.taken_by_all.take(capacity, now);
        }
        Reply::Served
    }
}

impl Terms {
    /// Whether every request is turned away.
    pub(crate) fn is_out(&self, now: Duration) -> bool {
        let mut outages = self.outages.iter();
        outages.any(|&(from, to)| now >= from && now < to)
    }

    /// How many items may hold a key at once.
    pub(crate) fn slots(&self) -> usize {
        self.keys.iter().map(|key| key.slots).sum()
    }
}
