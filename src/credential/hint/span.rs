//! Spans of time and plain numbers as providers and tools write them, read exactly.
//!
//! Pure. The forms of `hint.rs` call it with the text that stands behind their words.

use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A span has no more parts than this: weeks, days, hours, minutes, seconds, milliseconds.
const PARTS_MAX: usize = 6;

/// Between the parts of a span, and between a number and its unit.
const BLANKS_MAX: usize = 2;

/// The span that `text` begins with: `36.429760048s`, `1m30s`, `15h11m58s`, `3 days 4 hours`, `2 hours and 5 min`.
/// What stands behind it does not matter. `None` without a unit.
pub(super) fn leading_span(text: &[u8]) -> Option<Duration> {
    let mut nanos = None;
    let mut rest = text;
    for _ in 0..PARTS_MAX {
        let Some((part, after)) = leading_part(rest) else {
            break;
        };
        nanos = Some(nanos.unwrap_or(0_u128).saturating_add(part));
        rest = without_joint(after);
    }
    nanos.map(from_nanos)
}

/// The number of seconds that `text` begins with, as a fraction or in scientific form; `None` for one that is negative,
/// not finite, or not there.
pub(super) fn leading_seconds(text: &[u8]) -> Option<Duration> {
    let (nanos, rest) = decimal(text)?;
    if !matches!(rest.first(), Some(b'e' | b'E')) {
        return Some(from_nanos(nanos));
    }
    let length = text
        .iter()
        .take_while(|byte| byte.is_ascii_digit() || b".eE+-".contains(byte));
    let number = std::str::from_utf8(&text[..length.count()]).ok()?;
    let seconds: f64 = number.parse().ok()?;
    // Too many seconds for a `Duration` are too many for anybody.
    seconds
        .is_finite()
        .then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// A number with its unit, in nanoseconds, and what stands behind it.
fn leading_part(text: &[u8]) -> Option<(u128, &[u8])> {
    let (number, rest) = decimal(text)?;
    let rest = without_blanks(rest);
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphabetic());
    let (unit, rest) = rest.split_at(length.count());
    let nanos = match unit.to_ascii_lowercase().as_slice() {
        b"ms" | b"msec" | b"msecs" | b"milli" | b"millis" | b"millisecond" | b"milliseconds" => {
            number / 1_000
        }
        b"s" | b"sec" | b"secs" | b"second" | b"seconds" => number,
        b"m" | b"min" | b"mins" | b"minute" | b"minutes" => number.saturating_mul(60),
        b"h" | b"hr" | b"hrs" | b"hour" | b"hours" => number.saturating_mul(60 * 60),
        b"d" | b"day" | b"days" => number.saturating_mul(24 * 60 * 60),
        b"w" | b"week" | b"weeks" => number.saturating_mul(7 * 24 * 60 * 60),
        _ => return None,
    };
    Some((nanos, rest))
}

/// Digits with or without a fraction, as so many billionths, and what stands behind them.
fn decimal(text: &[u8]) -> Option<(u128, &[u8])> {
    let (whole, rest) = digits(text);
    if whole.is_empty() {
        return None;
    }
    let number = |digits: &[u8]| {
        digits.iter().fold(0_u128, |number, digit| {
            number
                .saturating_mul(10)
                .saturating_add(u128::from(digit - b'0'))
        })
    };
    let billionths = number(whole).saturating_mul(NANOS_PER_SECOND);
    let Some((fraction, rest)) = rest.strip_prefix(b".").map(digits) else {
        return Some((billionths, rest));
    };
    let kept = &fraction[..fraction.len().min(9)];
    let scale = 10_u128.pow(9 - u32::try_from(kept.len()).unwrap_or(9));
    Some((billionths.saturating_add(number(kept) * scale), rest))
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit());
    text.split_at(length.count())
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let blanks = text
        .iter()
        .take(BLANKS_MAX)
        .take_while(|&&byte| byte == b' ');
    &text[blanks.count()..]
}

/// Goes past what joins two parts of a span: blanks, a comma, `and`.
fn without_joint(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b",").unwrap_or(text);
    let text = without_blanks(text);
    let text = text.strip_prefix(b"and ").unwrap_or(text);
    without_blanks(text)
}

fn from_nanos(nanos: u128) -> Duration {
    let nanos_left = u32::try_from(nanos % NANOS_PER_SECOND).unwrap_or(0);
    u64::try_from(nanos / NANOS_PER_SECOND)
        .map_or(Duration::MAX, |seconds| Duration::new(seconds, nanos_left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_exactly() {
        for (text, seconds, nanos) in [
            ("20s", 20, 0),
            ("6m0s", 360, 0),
            ("1m30s", 90, 0),
            ("500ms", 0, 500_000_000),
            ("174ms. Visit", 0, 174_000_000),
            ("373.801628ms", 0, 373_801_628),
            ("36.429760048s", 36, 429_760_048),
            ("1.98499999999s.", 1, 984_999_999),
            ("15h11m58s.", 54_718, 0),
            ("3 days", 259_200, 0),
            ("3 days 4 hours", 273_600, 0),
            ("5 days 22 hours 11 minutes.", 511_860, 0),
            ("4hr 29min", 16_140, 0),
            ("2 hours and 5 minutes", 7_500, 0),
            ("1 hour, 2 minutes", 3_720, 0),
            ("20 seconds, then 30 more", 20, 0),
            ("20.387 second(s)", 20, 387_000_000),
            ("0s", 0, 0),
        ] {
            let expected = Some(Duration::new(seconds, nanos));
            assert_eq!(leading_span(text.as_bytes()), expected, "{text}");
        }
        for text in ["", "20", "20 more", "s", "-5s", ".5s", "NaNs", "1e3s"] {
            assert_eq!(leading_span(text.as_bytes()), None, "{text}");
        }
        let endless = b"99999999999999999999999999999999999999999999999999 weeks";
        assert_eq!(leading_span(endless), Some(Duration::MAX));
    }

    #[test]
    fn seconds_are_a_number_that_can_be_waited() {
        for (text, expected) in [
            ("20", Some(Duration::from_secs(20))),
            ("0", Some(Duration::ZERO)),
            ("0.25, and", Some(Duration::from_millis(250))),
            ("1e3", Some(Duration::from_secs(1000))),
            ("1e18", Some(Duration::from_secs(1_000_000_000_000_000_000))),
            ("1e300", Some(Duration::MAX)),
            ("1e999", None),
            ("-5", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
        ] {
            assert_eq!(leading_seconds(text.as_bytes()), expected, "{text}");
        }
    }
}
