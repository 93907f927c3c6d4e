//! What limits a run, and what that has cost, in words.
//!
//! Pure.

use std::time::Duration;

use super::elapsed::elapsed;
use crate::schedule::bottleneck::{Limiter, Load, Lost};

/// What is not worth a word: less than this …
const TOLD_MIN: Duration = Duration::from_secs(1);
/// … or than this share of the whole time.
const TOLD_SHARE: u32 = 50;

/// How many keys stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// Held by an item of this run.
    pub busy: usize,
    /// Free, as far as this run knows.
    pub free: usize,
    /// Limited: they come back.
    pub resting: usize,
    /// Rejected, or disabled.
    pub out: usize,
    /// How long it takes until the first of those that rest comes back.
    pub back_in: Option<Duration>,
}

/// What limits the run now, and how its keys stand; nothing if it has no keys and nothing limits it.
#[must_use]
pub fn limit_line(load: &Load, keys: Option<&KeyCounts>) -> Option<String> {
    let of = format!("{} of {} run", load.running, load.wanted);
    let limit = load.limiter().map(|limiter| match limiter {
        Limiter::Credentials => format!("limited by credentials, {of}"),
        Limiter::Provider => format!("limited by the provider, which is overloaded, {of}"),
        Limiter::Room => format!("limited by the room for processes on this machine, {of}"),
    });
    let keys = keys.map(key_words);
    match (limit, keys) {
        (Some(limit), Some(keys)) => Some(format!("{limit}; keys: {keys}")),
        (Some(limit), None) => Some(limit),
        (None, Some(keys)) => Some(format!("keys: {keys}")),
        (None, None) => None,
    }
}

/// `2 busy, 1 free, 1 resting (back in 12m)`.
pub(super) fn key_words(keys: &KeyCounts) -> String {
    let mut words = vec![format!("{} busy", keys.busy), format!("{} free", keys.free)];
    if keys.resting > 0 {
        let back = keys.back_in.map(elapsed).unwrap_or_default();
        words.push(format!("{} resting (back in {back})", keys.resting));
    }
    if keys.out > 0 {
        words.push(format!("{} rejected or disabled", keys.out));
    }
    words.join(", ")
}

/// What a run of `duration` has lost to what: `credentials cost 41m; one more key would have saved 35m`. Nothing when it is
/// not worth a word.
#[must_use]
pub fn lost_line(lost: &Lost, duration: Duration) -> Option<String> {
    let is_told = |time: Duration| time >= TOLD_MIN && time * TOLD_SHARE >= duration;
    let mut words = Vec::new();
    if is_told(lost.credentials) {
        words.push(format!("credentials cost {}", elapsed(lost.credentials)));
        if is_told(lost.one_more) {
            let saved = elapsed(lost.one_more);
            words.push(format!("one more key would have saved {saved}"));
        }
    }
    for (limiter, what) in [
        (Limiter::Provider, "the provider's overload"),
        (Limiter::Room, "want of room for processes"),
    ] {
        let time = lost.by(limiter);
        if is_told(time) {
            words.push(format!("{what} cost {}", elapsed(time)));
        }
    }
    (!words.is_empty()).then(|| words.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn m(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    #[test]
    fn what_was_lost_is_told_when_it_is_worth_a_word() {
        let lost = Lost {
            credentials: m(41),
            one_more: m(35),
            ..Lost::default()
        };
        let told = "credentials cost 41m; one more key would have saved 35m";
        assert_eq!(lost_line(&lost, m(90)).unwrap(), told);
        assert_eq!(lost_line(&lost, m(60) * 40), None);
        let all = Lost {
            credentials: m(41),
            one_more: Duration::ZERO,
            provider: m(5),
            room: m(2),
        };
        assert_eq!(
            lost_line(&all, m(90)).unwrap(),
            "credentials cost 41m; the provider's overload cost 5m; want of room for processes cost 2m"
        );
        assert_eq!(lost_line(&Lost::default(), m(1)), None);
        let blink = Lost {
            credentials: Duration::from_millis(900),
            ..Lost::default()
        };
        assert_eq!(lost_line(&blink, Duration::from_secs(1)), None);
    }

    #[test]
    fn the_one_limiter_is_named_and_the_keys_are_counted() {
        let keys = KeyCounts {
            busy: 2,
            resting: 1,
            back_in: Some(m(12)),
            ..KeyCounts::default()
        };
        let load = Load {
            running: 2,
            fits: 3,
            wanted: 6,
            width_by: Some(Limiter::Credentials),
            slot_by: Some(Limiter::Credentials),
        };
        let line = |load: &Load, keys| limit_line(load, keys).unwrap();
        assert_eq!(
            line(&load, Some(&keys)),
            "limited by credentials, 2 of 6 run; keys: 2 busy, 0 free, 1 resting (back in 12m)"
        );
        let provider = Load {
            slot_by: Some(Limiter::Provider),
            ..load
        };
        assert!(
            line(&provider, Some(&keys))
                .starts_with("limited by the provider, which is overloaded, 2 of 6")
        );
        let wide = Load {
            running: 6,
            fits: 6,
            ..load
        };
        let out = KeyCounts { out: 1, ..keys };
        assert_eq!(
            line(&wide, Some(&out)),
            "keys: 2 busy, 0 free, 1 resting (back in 12m), 1 rejected or disabled"
        );
        assert_eq!(limit_line(&wide, None), None);
    }
}
