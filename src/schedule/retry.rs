//! Whether a failed attempt is worth another one, and when.

use std::time::Duration;

use super::event::Ending;

/// The first retry waits this long …
pub const RETRY_AFTER: Duration = Duration::from_secs(2);

/// … every further one this many times longer than the one before …
pub const RETRY_FACTOR: u32 = 4;

/// … and none longer than this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_mins(15);

/// An attempt that asks to be retried later waits at least this long.
pub const RETRY_LATER_AFTER: Duration = Duration::from_mins(5);

/// Waits are lengthened by up to this share of themselves, in percent, so that what failed together does not come
/// back together.
pub const JITTER_PERCENT_MAX: u64 = 50;

/// An item that was limited, and has no credential that could rest, waits this long, and twice as long each time.
const REQUEUE_AFTER: Duration = Duration::from_secs(20);

/// An item that goes back to the queue this often, for no fault of its own, is deferred …
pub const REQUEUES_MAX: u32 = 20;

/// … and one that does so for this long.
pub const REQUEUE_TIME_MAX: Duration = Duration::from_hours(6);

/// What an exit code says beyond "failed".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// The item is done.
    Done,
    /// The credential is limited, or something else that passes was in the way.
    RateLimited,
    /// The credential was rejected.
    Rejected,
    /// The provider is overloaded, and no credential is to blame.
    Overloaded,
    /// Another attempt would fail as well.
    NeverRetry,
    /// Another attempt may succeed, but not soon.
    RetryLater,
}

/// Exit codes with a meaning of their own. A code has one meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitCodes {
    /// The credential is limited, or something else that passes was in the way.
    pub rate_limited: Vec<i32>,
    /// The credential was rejected.
    pub rejected: Vec<i32>,
    /// The provider is overloaded, and no credential is to blame.
    pub overloaded: Vec<i32>,
    /// Another attempt would fail as well.
    pub never_retry: Vec<i32>,
    /// Another attempt may succeed, but not soon.
    pub retry_later: Vec<i32>,
}

impl Default for ExitCodes {
    /// `EX_TEMPFAIL`, `EX_NOPERM` and `EX_UNAVAILABLE` of BSD `sysexits.h`.
    fn default() -> Self {
        Self {
            rate_limited: vec![75],
            rejected: vec![77],
            overloaded: vec![69],
            never_retry: Vec::new(),
            retry_later: Vec::new(),
        }
    }
}

impl ExitCodes {
    /// What `code` says; `None` when it says only that the attempt failed.
    #[must_use]
    pub fn meaning(&self, code: i32) -> Option<Meaning> {
        let lists = [
            (&self.rate_limited, Meaning::RateLimited),
            (&self.rejected, Meaning::Rejected),
            (&self.overloaded, Meaning::Overloaded),
            (&self.never_retry, Meaning::NeverRetry),
            (&self.retry_later, Meaning::RetryLater),
        ];
        let listed = lists.iter().find(|(codes, _)| codes.contains(&code));
        match (code, listed) {
            (0, _) => Some(Meaning::Done),
            (_, Some((_, meaning))) => Some(*meaning),
            // The command itself cannot run (POSIX shells).
            (126 | 127, None) => Some(Meaning::NeverRetry),
            (_, None) => None,
        }
    }
}

/// The rule by which failed attempts are repeated.
#[derive(Debug, Clone)]
pub struct RetryRule {
    /// Extra attempts for one item.
    pub retries_max: u32,
    /// Exit codes with a meaning of their own.
    pub exit_codes: ExitCodes,
}

impl RetryRule {
    /// How long to wait before the next attempt after the `failure`th one (from 1) ended like this; `None` when there is
    /// to be none. `random` spreads the waits.
    #[must_use]
    pub fn wait(&self, failure: u32, ending: &Ending, random: u64) -> Option<Duration> {
        if failure > self.retries_max || self.is_hopeless(ending) {
            return None;
        }
        let grown =
            RETRY_AFTER.saturating_mul(RETRY_FACTOR.saturating_pow(failure.saturating_sub(1)));
        let later =
            matches!(ending, Ending::Exited(code) if self.exit_codes.retry_later.contains(code));
        let least = if later {
            RETRY_LATER_AFTER
        } else {
            Duration::ZERO
        };
        Some(spread(grown.min(RETRY_AFTER_MAX).max(least), random))
    }

    /// The command itself cannot run (126, 127 of POSIX shells, or nothing was started), or says so.
    fn is_hopeless(&self, ending: &Ending) -> bool {
        match ending {
            Ending::Exited(code) => {
                matches!(code, 126 | 127) || self.exit_codes.never_retry.contains(code)
            }
            Ending::Killed(_) | Ending::Crowded(_) => false,
            Ending::Unstartable(_) => true,
            // The lists are about the command's codes, and say nothing of another program's.
            Ending::Unverified(ending) => {
                matches!(**ending, Ending::Exited(126 | 127) | Ending::Unstartable(_))
            }
        }
    }
}

/// How long an item waits after it was limited for the `count`th time (from 1), where there is no pool whose keys rest.
#[must_use]
pub fn requeue_wait(count: u32, random: u64) -> Duration {
    let grown = REQUEUE_AFTER.saturating_mul(2_u32.saturating_pow(count.saturating_sub(1)));
    spread(grown.min(RETRY_AFTER_MAX), random)
}

fn spread(wait: Duration, random: u64) -> Duration {
    let percent = u32::try_from(random % (JITTER_PERCENT_MAX + 1)).unwrap_or(0);
    wait + wait * percent / 100
}

/// Numbers that look random enough to spread waits, and are the same for the same seed (`SplitMix64`, Steele, Lea and
/// Flood 2014).
#[derive(Debug, Clone)]
pub struct Spread(u64);

impl Spread {
    /// Numbers that follow from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    #[must_use]
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(retries_max: u32) -> RetryRule {
        let exit_codes = ExitCodes {
            never_retry: vec![91],
            retry_later: vec![92],
            ..ExitCodes::default()
        };
        RetryRule {
            retries_max,
            exit_codes,
        }
    }

    fn unverified(ending: Ending) -> Ending {
        Ending::Unverified(Box::new(ending))
    }

    #[test]
    fn waits_grow_and_are_bounded() {
        let waits: Vec<u64> = (1..=7)
            .map(|attempt| {
                rule(9)
                    .wait(attempt, &Ending::Exited(1), 0)
                    .unwrap()
                    .as_secs()
            })
            .collect();
        assert_eq!(waits, [2, 8, 32, 128, 512, 900, 900]);
        assert_eq!(
            rule(u32::MAX).wait(u32::MAX, &Ending::Exited(1), 0),
            Some(RETRY_AFTER_MAX)
        );
    }

    #[test]
    fn jitter_only_lengthens_by_at_most_half() {
        for random in 0..200 {
            let wait = rule(1).wait(1, &Ending::Exited(1), random).unwrap();
            assert!(
                (RETRY_AFTER..=RETRY_AFTER * 3 / 2).contains(&wait),
                "{wait:?}"
            );
        }
        assert_eq!(
            rule(1).wait(1, &Ending::Exited(1), 50),
            Some(RETRY_AFTER * 3 / 2)
        );
    }

    #[test]
    fn what_cannot_succeed_is_not_retried() {
        for (ending, retried) in [
            (Ending::Exited(1), true),
            (Ending::Killed(9), true),
            (Ending::Exited(92), true),
            (Ending::Exited(91), false),
            (Ending::Exited(126), false),
            (Ending::Exited(127), false),
            (Ending::Unstartable(String::new()), false),
            (unverified(Ending::Exited(1)), true),
            (unverified(Ending::Exited(91)), true),
            (unverified(Ending::Killed(9)), true),
            (unverified(Ending::Exited(127)), false),
            (unverified(Ending::Unstartable(String::new())), false),
        ] {
            assert_eq!(rule(1).wait(1, &ending, 0).is_some(), retried, "{ending:?}");
            assert_eq!(rule(1).wait(2, &ending, 0), None, "{ending:?}");
        }
        assert_eq!(
            rule(1).wait(1, &Ending::Exited(92), 0),
            Some(RETRY_LATER_AFTER)
        );
        assert_eq!(
            rule(1).wait(1, &unverified(Ending::Exited(92)), 0),
            Some(RETRY_AFTER)
        );
    }

    #[test]
    fn a_code_has_the_meaning_that_its_list_gives_it() {
        let codes = rule(0).exit_codes;
        for (code, meaning) in [
            (0, Some(Meaning::Done)),
            (1, None),
            (69, Some(Meaning::Overloaded)),
            (75, Some(Meaning::RateLimited)),
            (77, Some(Meaning::Rejected)),
            (91, Some(Meaning::NeverRetry)),
            (92, Some(Meaning::RetryLater)),
            (126, Some(Meaning::NeverRetry)),
            (127, Some(Meaning::NeverRetry)),
        ] {
            assert_eq!(codes.meaning(code), meaning, "{code}");
        }
    }

    #[test]
    fn numbers_differ_from_seed_to_seed_and_repeat_for_one() {
        let (mut one, mut same, mut other) = (Spread::new(1), Spread::new(1), Spread::new(2));
        let first = one.next();
        assert_eq!(first, same.next());
        assert_ne!(first, other.next());
        assert_ne!(first, one.next());
    }
}
