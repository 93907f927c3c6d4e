//! Durations for people: `850ms`, `12s`, `3m12s`, `2h5m`.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};

const PRINTER: SpanPrinter = SpanPrinter::new()
    .designator(Designator::Compact)
    .spacing(Spacing::None);

/// A duration, rounded to what a person cares about at its size.
#[must_use]
pub fn elapsed(duration: Duration) -> String {
    let unit = match duration.as_secs() {
        0 => Duration::from_millis(1),
        1..3600 => Duration::from_secs(1),
        _ => Duration::from_mins(1),
    };
    let half = unit / 2;
    let units = duration.saturating_add(half).as_nanos() / unit.as_nanos();
    let rounded = unit.saturating_mul(u32::try_from(units).unwrap_or(u32::MAX));
    SignedDuration::try_from(rounded).map_or_else(
        |_| "for ever".to_owned(),
        |rounded| PRINTER.duration_to_string(&rounded),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_to_what_matters() {
        for (millis, shown) in [
            (0, "0s"),
            (12, "12ms"),
            (850, "850ms"),
            (1_499, "1s"),
            (1_500, "2s"),
            (59_600, "1m"),
            (192_000, "3m12s"),
            (3_599_000, "59m59s"),
            (7_529_000, "2h5m"),
            (90_000_000, "25h"),
        ] {
            assert_eq!(elapsed(Duration::from_millis(millis)), shown);
        }
    }
}
