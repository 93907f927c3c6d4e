//! Durations as people write them: `90s`, `45m`, `2h`, `1h30m`, `none`. A longer one than [`LONGEST`] is a slip of the hand.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest span, ten years, as it is written: what is to last longer has no end, and says so with `none`.
pub const LONGEST: &str = "87600h";

const LONGEST_DURATION: Duration = Duration::from_hours(87_600);

/// A time span with a unit, or `none` for without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSpan(Option<Duration>);

impl TimeSpan {
    /// A span of this many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Some(Duration::from_secs(seconds)))
    }

    /// The span; [`Duration::MAX`] for `none`.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0.unwrap_or(Duration::MAX)
    }
}

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(format!(
                "a duration needs a unit: `{text}s`, `{text}m` or `{text}h`"
            ));
        }
        let malformed = || "a duration looks like `90s`, `45m`, `2h`, `1h30m` or `none`".to_owned();
        let too_long = || format!("a duration is at most `{LONGEST}`; `none` is without end");
        match duration(text) {
            Some(duration) if duration <= LONGEST_DURATION => Ok(Self(Some(duration))),
            Some(_) => Err(too_long()),
            None if duration(&with_small_numbers(text)).is_some() => Err(too_long()),
            None => Err(malformed()),
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(span).ok()
}

/// `text` with a 1 for each whole number: it is a duration when nothing but the size of a number is wrong with `text`.
/// Fractions stay, for no size makes one too large.
fn with_small_numbers(text: &str) -> String {
    let mut small = String::new();
    let mut is_fraction = false;
    for character in text.chars() {
        let is_digit = character.is_ascii_digit();
        is_fraction = character == '.' || (is_fraction && is_digit);
        if !is_digit || is_fraction {
            small.push(character);
        } else if !small.ends_with('1') {
            small.push('1');
        }
    }
    small
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.map(jiff::SignedDuration::try_from) {
            Some(Ok(span)) => write!(formatter, "{span:#}"),
            Some(Err(_)) | None => formatter.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("45m", 2700),
            ("2h", 7200),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("0s", 0),
        ] {
            let span: TimeSpan = text.parse().unwrap();
            assert_eq!(span.duration(), Duration::from_secs(seconds), "{text}");
        }
        assert_eq!(
            "500ms".parse::<TimeSpan>().unwrap().duration(),
            Duration::from_millis(500)
        );
        assert_eq!(
            "none".parse::<TimeSpan>().unwrap().duration(),
            Duration::MAX
        );
    }

    #[test]
    fn what_is_no_span_is_refused_with_a_hint() {
        let error = "90".parse::<TimeSpan>().unwrap_err();
        assert_eq!(error, "a duration needs a unit: `90s`, `90m` or `90h`");
        for bad in [
            "",
            "s",
            "-5s",
            "soon",
            "5 parsecs",
            "1e9999h",
            "-99999999999999999999h",
            "99999999999999999999d",
            "0.99999999999999999999s",
        ] {
            let error = bad.parse::<TimeSpan>().unwrap_err();
            assert!(error.contains("looks like"), "{bad:?}: {error}");
        }
    }

    #[test]
    fn the_longest_span_is_taken_and_what_is_longer_is_told_so() {
        let longest: TimeSpan = LONGEST.parse().unwrap();
        assert_eq!(longest.duration(), LONGEST_DURATION);
        for bad in [
            "87600h1s",
            "999999999999h",
            "9223372036854775807s",
            "9223372036854775808s",
            "99999999999999999999h",
            "9999999999999999h",
            "1h 99999999999999999999m",
            "99999999999999999999.5h",
        ] {
            let error = bad.parse::<TimeSpan>().unwrap_err();
            assert!(
                error.contains("at most `87600h`; `none`"),
                "{bad:?}: {error}"
            );
        }
    }
}
