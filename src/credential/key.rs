//! What is known of one key: whether it may be handed out, and until when not.
//!
//! Pure. A state machine over reports and time; whoever keeps it, in memory or on disk, brings both. A report carries
//! the epoch of the lease it speaks of, so that a late one neither revives a key nor undoes a reset.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time since the machine was started, the time it slept included (`CLOCK_BOOTTIME` of `clock_gettime(2)`): it goes on
/// while nothing of ours runs, and nobody can set it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Moment(pub Duration);

impl Moment {
    /// `time` after this moment.
    #[must_use]
    pub const fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    /// How long after `earlier` this is; zero if it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Counts the grants of a key: each lease has its own.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Speaks for no lease of this key: what was learned of another one concerns it as well.
    pub const NONE: Self = Self(u64::MAX);
}

/// No wait that a provider names is believed to be shorter, …
pub const HINT_MIN: Duration = Duration::from_secs(1);
/// … or longer than this.
pub const HINT_MAX: Duration = Duration::from_hours(24);
/// A key that is to wait longer than this is spent: its day's budget is gone.
const SPENT_FROM: Duration = Duration::from_mins(2);
/// The first wait of a key of which nobody says how long; each further one is twice as long …
const MINUTE_STEP: Duration = Duration::from_secs(20);
/// … up to this.
const MINUTE_STEP_MAX: Duration = Duration::from_mins(15);
/// With a single key there is nothing to gain from waiting longer than this.
const MINUTE_STEP_ONLY_KEY_MAX: Duration = Duration::from_mins(1);
/// The same for a day's budget, and for money.
const DAY_STEP: Duration = Duration::from_hours(1);
/// The longest such wait.
const DAY_STEP_MAX: Duration = Duration::from_hours(6);
/// What only the text of an output says cools a key for at most this long.
const TEXT_ONLY_MAX: Duration = Duration::from_mins(15);
/// Waits are lengthened by up to this share of themselves, in percent, …
const JITTER_PERCENT_MAX: u32 = 10;
/// … and by no more than this.
const JITTER_MAX: Duration = Duration::from_secs(30);
/// A key that has waited is on probation: it serves one item, until one has ended well or has run this long.
pub const PROBATION_TIME: Duration = Duration::from_mins(1);
/// How many short waits in a row are believed for a day's budget.
const SHORT_DAY_HINTS_MAX: u32 = 2;
/// A key that only the text of an output calls invalid rests this long.
const SUSPECT_TIME: Duration = Duration::from_mins(5);
/// A later run may try a key once more that was rejected once, this long ago.
pub const TRIAL_AFTER: Duration = Duration::from_mins(15);
/// Limits are counted over this time when keys are compared.
const RECENT: Duration = Duration::from_mins(10);
/// No more of them are counted.
const RECENT_MAX: usize = 32;

/// What kind of budget was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Requests or tokens of a minute.
    Minute,
    /// A day's quota.
    Day,
    /// Money.
    Billing,
}

/// How far what we know can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// The text of an output: anybody can have written it.
    Text,
    /// The child itself, by its exit code or its status file.
    Child,
}

/// What a child's end, or its status file, says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// It served its item.
    Served,
    /// It was limited.
    Limited {
        /// What was exceeded.
        class: Class,
        /// How long to wait, as the provider says.
        hint: Option<Duration>,
        /// Who says so.
        trust: Trust,
    },
    /// It was rejected.
    Rejected {
        /// Who says so.
        trust: Trust,
    },
    /// The limit of which the same lease has told is over.
    TakenBack,
}

/// Whether a key may be handed out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Standing {
    /// It may.
    #[default]
    Ready,
    /// To one item: it has waited, and has to prove itself.
    Probation,
    /// Not before this moment: it was limited.
    Cooling {
        /// When it may be tried again.
        until: Moment,
    },
    /// Not before this moment: the budget of a day, or the money, is gone.
    Spent {
        /// When it may be tried again.
        until: Moment,
    },
    /// Not before this moment: a text calls it invalid.
    Suspect {
        /// When it may be tried again.
        until: Moment,
    },
    /// Not any more: it was rejected.
    Retired {
        /// When.
        since: Moment,
    },
    /// Not before an operator says otherwise.
    Disabled,
}

/// One key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Whether it may be handed out.
    standing: Standing,
    /// Of the last lease.
    epoch: Epoch,
    /// Leases up to this one have nothing to say any more.
    settled: Epoch,
    /// The last lease at the time of the last limit: later ones prove something.
    limited: Epoch,
    /// The lease that told the last limit.
    #[serde(default)]
    limited_by: Epoch,
    /// Limits in a row.
    minute_steps: u32,
    /// The same, of a day's budget, for which nobody said how long to wait.
    day_steps: u32,
    /// Short waits in a row that were named for a day's budget.
    short_day_hints: u32,
    /// A text has called it invalid, and it has not served since.
    is_suspect: bool,
    /// Rejections without a success between them.
    rejections: u32,
    /// When a lease last began or ended.
    last_used: Option<Moment>,
    /// When it was limited lately, oldest first.
    limits: Vec<Moment>,
    /// When the last lease on probation began.
    tried_at: Option<Moment>,
}

/// What changes of a key with each of its leases, whatever becomes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the last lease.
    pub epoch: Epoch,
    /// When a lease last began or ended.
    pub last_used: Option<Moment>,
}

/// What a key's surroundings add to a report.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Whether the pool has no other key.
    pub only_key: bool,
    /// Spreads the waits.
    pub random: u64,
}

impl Key {
    /// A key of which nothing is known any more: it has to prove itself.
    #[must_use]
    pub fn on_probation() -> Self {
        Self {
            standing: Standing::Probation,
            ..Self::default()
        }
    }

    /// How far it was used.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        Usage {
            epoch: self.epoch,
            last_used: self.last_used,
        }
    }

    /// Takes note that it was used so far, at least.
    pub fn note_usage(&mut self, usage: Usage) {
        self.epoch = self.epoch.max(usage.epoch);
        self.last_used = self.last_used.max(usage.last_used);
    }

    /// Whether nothing but [how far it was used](Usage) tells it from `other`.
    #[must_use]
    pub fn stands_as(&self, other: &Self) -> bool {
        let used_alike = Self {
            epoch: other.epoch,
            last_used: other.last_used,
            ..self.clone()
        };
        used_alike == *other
    }

    /// The same key with its moments on another time line; `ahead` moves those that lie in the future, `past` the
    /// others.
    #[must_use]
    pub fn carried(
        mut self,
        past: impl Fn(Moment) -> Moment,
        ahead: impl Fn(Moment) -> Moment,
    ) -> Self {
        match &mut self.standing {
            Standing::Cooling { until }
            | Standing::Spent { until }
            | Standing::Suspect { until } => *until = ahead(*until),
            Standing::Retired { since } => *since = past(*since),
            Standing::Ready | Standing::Probation | Standing::Disabled => {}
        }
        self.last_used = self.last_used.map(&past);
        self.tried_at = self.tried_at.map(&past);
        for limit in &mut self.limits {
            *limit = past(*limit);
        }
        self
    }

    /// Whether it may be handed out, as of `now`.
    #[must_use]
    pub fn standing(&self, now: Moment) -> Standing {
        match self.standing {
            Standing::Cooling { until }
            | Standing::Spent { until }
            | Standing::Suspect { until }
                if now >= until =>
            {
                Standing::Probation
            }
            Standing::Probation
                if self
                    .tried_at
                    .is_some_and(|tried| now.since(tried) >= PROBATION_TIME) =>
            {
                Standing::Ready
            }
            standing => standing,
        }
    }

    /// How many items may hold it now, where an account allows `slots`.
    #[must_use]
    pub fn slots(&self, slots: usize, now: Moment) -> usize {
        match self.standing(now) {
            Standing::Ready => slots,
            Standing::Probation => slots.min(1),
            Standing::Cooling { .. }
            | Standing::Spent { .. }
            | Standing::Suspect { .. }
            | Standing::Retired { .. }
            | Standing::Disabled => 0,
        }
    }

    /// When it may be handed out again; `None` if it never may.
    #[must_use]
    pub fn returns_at(&self, now: Moment) -> Option<Moment> {
        match self.standing(now) {
            Standing::Ready | Standing::Probation => Some(now),
            Standing::Cooling { until }
            | Standing::Spent { until }
            | Standing::Suspect { until } => Some(until),
            Standing::Retired { .. } | Standing::Disabled => None,
        }
    }

    /// Smaller is better: the key that has been idle longest, for budgets refill while it is, and among equals the
    /// one that was limited least.
    #[must_use]
    pub fn preference(&self, now: Moment) -> (Option<Moment>, usize) {
        let recent = self.limits.iter();
        let recent = recent.filter(|&&limit| now.since(limit) < RECENT).count();
        (self.last_used, recent)
    }

    /// Hands it out. Ask [`Key::slots`] first.
    pub fn grant(&mut self, now: Moment) -> Epoch {
        self.standing = self.standing(now);
        if self.standing == Standing::Probation {
            self.tried_at = Some(now);
        }
        self.epoch.0 += 1;
        self.last_used = Some(now);
        self.epoch
    }

    /// A lease has ended.
    pub fn release(&mut self, now: Moment) {
        self.last_used = self.last_used.max(Some(now));
    }

    /// Takes note of what the lease `epoch` has to say.
    pub fn report(&mut self, epoch: Epoch, report: Report, now: Moment, context: Context) {
        let is_closed = matches!(self.standing, Standing::Retired { .. } | Standing::Disabled);
        if is_closed || epoch <= self.settled {
            return;
        }
        match report {
            Report::Served => self.serve(epoch, now),
            Report::Limited { class, hint, trust } => {
                let is_known = epoch <= self.limited;
                self.limit(class, hint, trust, is_known, now, context);
                self.limited_by = epoch;
            }
            Report::Rejected { trust } => self.reject(trust, now),
            Report::TakenBack if epoch == self.limited_by => self.take_back(),
            Report::TakenBack => {}
        }
    }

    fn serve(&mut self, epoch: Epoch, now: Moment) {
        (self.rejections, self.is_suspect) = (0, false);
        if epoch > self.limited {
            (self.minute_steps, self.day_steps, self.short_day_hints) = (0, 0, 0);
            if self.standing(now) == Standing::Probation {
                self.standing = Standing::Ready;
            }
        }
    }

    /// It rests no longer. What a text says of its validity is another matter.
    fn take_back(&mut self) {
        if let Standing::Cooling { .. } | Standing::Spent { .. } = self.standing {
            self.standing = Standing::Ready;
        }
    }

    fn limit(
        &mut self,
        class: Class,
        hint: Option<Duration>,
        trust: Trust,
        is_known: bool,
        now: Moment,
        context: Context,
    ) {
        let believed = hint.map(|hint| hint.clamp(HINT_MIN, HINT_MAX));
        let wait = self.wait(class, believed, is_known, context.only_key);
        let wait = match trust {
            Trust::Text => wait.min(TEXT_ONLY_MAX),
            Trust::Child => wait,
        };
        let is_long = wait > SPENT_FROM && class != Class::Minute;
        let is_spent = is_long || believed.is_some_and(|hint| hint > SPENT_FROM);
        let until = now.plus(jittered(wait, context.random));
        self.standing = match self.standing {
            Standing::Spent { until: known } => Standing::Spent {
                until: known.max(until),
            },
            Standing::Cooling { until: known } | Standing::Suspect { until: known }
                if known > until =>
            {
                Standing::Cooling { until: known }
            }
            _ if is_spent => Standing::Spent { until },
            _ => Standing::Cooling { until },
        };
        self.limited = self.epoch;
        self.limits.retain(|&limit| now.since(limit) < RECENT);
        self.limits.truncate(RECENT_MAX - 1);
        self.limits.push(now);
    }

    /// How long it rests. A provider that says when the next request fits does not say when a whole item does, so a key
    /// that was limited again before it has served anybody rests for half of a step at least. One that says "36 s" of
    /// a day's budget is believed twice.
    fn wait(
        &mut self,
        class: Class,
        hint: Option<Duration>,
        is_known: bool,
        only_key: bool,
    ) -> Duration {
        match (class, hint) {
            (Class::Minute, Some(hint)) => {
                let is_again = self.minute_steps > u32::from(is_known);
                let step = self.next_step(class, is_known, only_key) / 2;
                if is_again { hint.max(step) } else { hint }
            }
            (Class::Day | Class::Billing, Some(hint)) if hint > SPENT_FROM => hint,
            (Class::Day | Class::Billing, Some(hint)) => {
                self.short_day_hints = self.short_day_hints.saturating_add(1);
                if self.short_day_hints <= SHORT_DAY_HINTS_MAX {
                    hint
                } else {
                    self.next_step(class, is_known, only_key)
                }
            }
            (_, None) => self.next_step(class, is_known, only_key),
        }
    }

    /// Of who was already running when the last one was told (`is_known`) it is no further step, but the same again.
    fn next_step(&mut self, class: Class, is_known: bool, only_key: bool) -> Duration {
        let grown = |step: Duration, steps: u32| step.saturating_mul(2_u32.saturating_pow(steps));
        let again = u32::from(is_known);
        match class {
            Class::Minute => {
                let most = if only_key {
                    MINUTE_STEP_ONLY_KEY_MAX
                } else {
                    MINUTE_STEP_MAX
                };
                let taken = self.minute_steps.saturating_sub(again);
                self.minute_steps = taken.saturating_add(1);
                grown(MINUTE_STEP, taken).min(most)
            }
            Class::Day | Class::Billing => {
                let taken = self.day_steps.saturating_sub(again);
                self.day_steps = taken.saturating_add(1);
                grown(DAY_STEP, taken).min(DAY_STEP_MAX)
            }
        }
    }

    fn reject(&mut self, trust: Trust, now: Moment) {
        let is_first = !std::mem::replace(&mut self.is_suspect, true);
        if trust == Trust::Text && is_first {
            let until = now.plus(SUSPECT_TIME);
            let known = self.returns_at(now).unwrap_or(until);
            self.standing = Standing::Suspect {
                until: until.max(known),
            };
        } else {
            self.retire(now);
        }
    }

    /// Takes it out of service: somebody whom we trust, or a second one, says that it is not valid.
    pub fn retire(&mut self, now: Moment) {
        if !matches!(self.standing, Standing::Retired { .. }) {
            self.rejections = self.rejections.saturating_add(1);
            self.standing = Standing::Retired { since: now };
        }
    }

    /// A new run begins: a key that was rejected once, some time ago, may be tried once more.
    pub fn begin_run(&mut self, now: Moment) {
        if let Standing::Retired { since } = self.standing
            && self.rejections <= 1
            && now.since(since) >= TRIAL_AFTER
        {
            self.standing = Standing::Probation;
            self.tried_at = None;
            // The trial decides, and not what a lease of an earlier run has to say yet.
            self.settled = self.epoch;
        }
    }

    /// An operator says that it is as good as new. What earlier leases report later is not heard any more.
    pub fn reset(&mut self) {
        let (epoch, last_used) = (self.epoch, self.last_used);
        *self = Self {
            epoch,
            settled: epoch,
            last_used,
            ..Self::default()
        };
    }

    /// An operator takes it out of service, or puts it back.
    pub fn disable(&mut self, is_disabled: bool) {
        if is_disabled {
            self.standing = Standing::Disabled;
        } else if self.standing == Standing::Disabled {
            self.reset();
        }
    }
}

fn jittered(wait: Duration, random: u64) -> Duration {
    let most = (wait * JITTER_PERCENT_MAX / 100).min(JITTER_MAX);
    let share = u32::try_from(random % 1001).unwrap_or(0);
    wait + most * share / 1000
}

#[cfg(test)]
mod tests;
