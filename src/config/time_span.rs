//! Durations as people write them: `90s`, `45m`, `2h`, `1h30m`, `none`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

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
        let span: jiff::SignedDuration = text.parse().map_err(|_| malformed())?;
        let duration = Duration::try_from(span).map_err(|_| malformed())?;
        Ok(Self(Some(duration)))
    }
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
            "99999999999999999999h",
        ] {
            assert!(bad.parse::<TimeSpan>().is_err(), "{bad:?}");
        }
    }
}
