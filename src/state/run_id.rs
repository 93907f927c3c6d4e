//! The name of one run: when it began, and a few random digits.
//!
//! Pure: time and randomness come in as arguments. It names a directory and is shown to people, so it sorts by
//! time as plain text and needs no quoting anywhere.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The name of a run, `20261123T001448Z-4f2a`: its start in UTC (ISO 8601 basic format) and four random digits.
///
/// Ids sort by time to the second, as text too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

/// The text is no run id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidRunId;

impl fmt::Display for InvalidRunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a run id looks like 20261123T001448Z-4f2a")
    }
}

impl std::error::Error for InvalidRunId {}

impl RunId {
    /// Names the run that began at `started`; `random` tells runs of the same second apart.
    #[must_use]
    pub fn new(started: Timestamp, random: u16) -> Self {
        let time = started.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ");
        Self(format!("{time}-{random:04x}"))
    }

    /// Takes `text` as a run id if it has the form of one.
    ///
    /// # Errors
    ///
    /// When it has not.
    pub fn parse(text: &str) -> Result<Self, InvalidRunId> {
        let fits = |(&byte, &form): (&u8, &u8)| match form {
            b'0' => byte.is_ascii_digit(),
            b'f' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            _ => byte == form,
        };
        let form = b"00000000T000000Z-ffff";
        if text.len() == form.len() && text.as_bytes().iter().zip(form).all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRunId)
        }
    }

    /// When the run began, to the second; nothing when the digits are no date.
    #[must_use]
    pub fn started(&self) -> Option<Timestamp> {
        let time = self.0.split('-').next()?;
        time.parse().ok()
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_its_start_and_four_digits() {
        let started: Timestamp = "2026-11-23T00:14:48.9Z".parse().unwrap();
        let id = RunId::new(started, 0x4f2a);
        assert_eq!(id.as_str(), "20261123T001448Z-4f2a");
        let second = "2026-11-23T00:14:48Z".parse().ok();
        assert_eq!(id.started(), second);
        assert_eq!(RunId::parse(id.as_str()), Ok(id));
        let none = RunId::parse("20269923T001448Z-4f2a").unwrap();
        assert_eq!(none.started(), None);
    }

    #[test]
    fn run_ids_sort_by_time() {
        let times = [
            "1999-12-31T23:59:59Z",
            "2026-01-02T00:00:00Z",
            "2026-01-02T00:00:01Z",
        ];
        let ids: Vec<_> = times
            .iter()
            .zip([9, 5, 1])
            .map(|(t, r)| RunId::new(t.parse().unwrap(), r))
            .collect();
        assert!(ids.is_sorted());
    }

    #[test]
    fn other_texts_are_no_run_ids() {
        for text in [
            "",
            "latest",
            "../../etc",
            "20261123T001448Z-4f2A",
            "20261123T001448Z-4f2a\n",
            "20261123T001448Z_4f2a",
        ] {
            assert_eq!(RunId::parse(text), Err(InvalidRunId), "{text:?}");
        }
    }
}
