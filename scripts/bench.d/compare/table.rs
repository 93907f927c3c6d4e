//! Medians, and how a table is written.

use std::fmt::Write as _;

/// The lower one of the two in the middle.
pub(crate) fn median<T: PartialOrd + Copy>(values: &[T]) -> Option<T> {
    quantile(values, 50)
}

/// The value below which so many of a hundred are, or which is the last of them.
pub(crate) fn quantile<T: PartialOrd + Copy>(values: &[T], percent: usize) -> Option<T> {
    let mut values = values.to_vec();
    values.sort_by(|one, other| one.partial_cmp(other).expect("a number"));
    let place = (values.len() * percent).div_ceil(100).max(1);
    values.get(place - 1).copied()
}

/// What a number is, and how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Of which less is better, from seconds.
    Milliseconds,
    /// … of megabytes a second, of which more is better.
    Speed,
    /// Seconds of CPU for a gigabyte.
    SecondsAGigabyte,
    /// From bytes.
    Mebibytes,
    ASecond,
}

impl Unit {
    fn show(self, value: f64) -> String {
        let (value, unit) = match self {
            Unit::Milliseconds => (value * 1e3, " ms"),
            Unit::Speed => (value, " MB/s"),
            Unit::SecondsAGigabyte => (value, " s/GB"),
            Unit::Mebibytes => (value / 1024.0 / 1024.0, " MiB"),
            Unit::ASecond => (value, "/s"),
        };
        format!("{}{unit}", three_digits(value))
    }

    /// How many times as bad the other one is.
    fn times(self, value: f64, other: f64) -> f64 {
        match self {
            Unit::Speed => value / other,
            _ => other / value,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Value(f64),
    Text(String),
    /// Does not do that, or is not there.
    None,
}

/// One line of a table: what was measured, and a cell for each column.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: Unit,
    pub(crate) floor: Cell,
    pub(crate) ours: Cell,
    pub(crate) others: Vec<Cell>,
}

/// What the first columns are when runners are compared …
pub(crate) const HEAD: [&str; 3] = ["floor", "orchestrate", "× floor"];

/// … and of what is compared with itself.
pub(crate) const HEAD_OF_COST: [&str; 3] = ["without", "with", "×"];

/// The table: the ratio to the floor has a column of its own, and each of the others says how many times as long (or as
/// much) as ours it takes.
pub(crate) fn markdown(head: [&str; 3], others: &[&str], rows: &[Row]) -> String {
    let mut text = format!("| | {} |", head.join(" | "));
    for name in others {
        _ = write!(text, " {name} |");
    }
    text += "\n|---|---:|---:|---:|";
    text += &"---:|".repeat(others.len());
    text.push('\n');
    for row in rows {
        let plain = |cell: &Cell| match cell {
            Cell::Value(value) => row.unit.show(*value),
            Cell::Text(text) => text.clone(),
            Cell::None => "–".to_owned(),
        };
        let ratio = match (&row.floor, &row.ours) {
            (Cell::Value(floor), Cell::Value(ours)) if *floor > 0.0 => {
                three_digits(row.unit.times(*floor, *ours))
            }
            _ => "–".to_owned(),
        };
        let (floor, ours) = (plain(&row.floor), plain(&row.ours));
        _ = write!(text, "| {} | {floor} | {ours} | {ratio} |", row.what);
        for other in &row.others {
            let ratio = match (&row.ours, other) {
                (Cell::Value(ours), Cell::Value(other)) if *ours > 0.0 => {
                    format!(" ×{}", three_digits(row.unit.times(*ours, *other)))
                }
                _ => String::new(),
            };
            _ = write!(text, " {}{ratio} |", plain(other));
        }
        text.push('\n');
    }
    text
}

/// Three digits that count, but all of those before the point.
fn three_digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, HEAD, Row, Unit, markdown, median, quantile};

    #[test]
    fn the_median_is_a_value_that_was_measured() {
        assert_eq!(median::<u32>(&[]), None);
        assert_eq!(median(&[3]), Some(3));
        assert_eq!(median(&[4, 1]), Some(1));
        assert_eq!(median(&[9, 1, 5]), Some(5));
    }

    #[test]
    fn the_highest_of_a_hundred_is_beyond_the_ninety_ninth() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!(quantile(&values, 99), Some(99));
        assert_eq!(quantile(&values, 100), Some(100));
        assert_eq!(quantile(&values, 0), Some(1));
    }

    #[test]
    fn a_ratio_above_one_says_that_the_other_is_behind() {
        let row = |unit, ours, other| Row {
            what: "it".to_owned(),
            unit,
            floor: Cell::Value(1.0),
            ours: Cell::Value(ours),
            others: vec![Cell::Value(other), Cell::None],
        };
        let rows = [
            row(Unit::Milliseconds, 2.0, 5.0),
            row(Unit::Speed, 0.5, 0.25),
        ];
        let text = markdown(HEAD, &["a", "b"], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "| | floor | orchestrate | × floor | a | b |");
        assert_eq!(
            lines[2],
            "| it | 1000 ms | 2000 ms | 2.00 | 5000 ms ×2.50 | – |"
        );
        assert_eq!(
            lines[3],
            "| it | 1.00 MB/s | 0.500 MB/s | 2.00 | 0.250 MB/s ×2.00 | – |"
        );
    }
}
