//! Instants as providers and tools write them: dates of headers, epochs, times of the clock.
//!
//! Pure. Which time it is, and what the clock shows elsewhere, comes in as a [`Calendar`].

use std::fmt;
use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use regex::bytes::Captures;

/// A time of the clock that cannot be read, or of a place that nobody knows, is believed to be this far away.
pub const UNREADABLE_CLOCK: Duration = Duration::from_hours(1);

/// A time of the clock that was so shortly ago is that of today, not of tomorrow: it came while the child ended.
const JUST_PASSED: Duration = Duration::from_mins(10);

/// Epochs from here on count milliseconds: in seconds they would be in the year 5138.
const MILLISECOND_EPOCHS_FROM: u128 = 100_000_000_000;

/// Numbers below are no epochs but seconds to wait: an epoch would be in the year 2001.
const EPOCHS_FROM: u128 = 1_000_000_000;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Which time it is, here and elsewhere.
#[derive(Clone, Copy)]
pub struct Calendar<'a> {
    /// Now, in the time zone of children that name none.
    pub now: &'a Zoned,
    /// The time zone of a name (`Asia/Kolkata`), if it is known.
    pub zones: &'a dyn Fn(&str) -> Option<TimeZone>,
}

impl fmt::Debug for Calendar<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Calendar").field(self.now).finish()
    }
}

impl Calendar<'_> {
    /// How long it is until then; `None` when it has passed.
    pub(super) fn until(&self, instant: Timestamp) -> Option<Duration> {
        Duration::try_from(instant.duration_since(self.now.timestamp())).ok()
    }

    /// How long it is until the number of seconds, or milliseconds, since 1970 that `text` begins with; `None` when it
    /// has passed, or when the number is so small that it is no such thing.
    pub(in crate::credential) fn until_epoch(&self, text: &[u8]) -> Option<Duration> {
        let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number: u128 = std::str::from_utf8(&text[..length]).ok()?.parse().ok()?;
        let millis = match number {
            ..EPOCHS_FROM => return None,
            EPOCHS_FROM..MILLISECOND_EPOCHS_FROM => number * 1000,
            MILLISECOND_EPOCHS_FROM.. => number,
        };
        let instant = i64::try_from(millis).ok().map(Timestamp::from_millisecond);
        match instant {
            Some(Ok(instant)) => self.until(instant),
            // Later than any year that a calendar has.
            Some(Err(_)) | None => Some(Duration::MAX),
        }
    }

    /// How long it is until the date of RFC 3339 that `text` begins with.
    pub(in crate::credential) fn until_rfc3339(&self, text: &[u8]) -> Option<Duration> {
        let part_of_date = |byte: &&u8| byte.is_ascii_alphanumeric() || b":.+-".contains(byte);
        let length = text.iter().take_while(part_of_date).count();
        let date = std::str::from_utf8(&text[..length]).ok()?;
        self.until(date.trim_end_matches('.').parse().ok()?)
    }

    /// How long it is until the date of a header that `text` begins with, in one of the three forms of RFC 9110, 5.6.7.
    pub(super) fn until_http_date(&self, text: &[u8]) -> Option<Duration> {
        let text = text.utf8_chunks().next()?.valid();
        let through_gmt = text.find("GMT").map(|at| &text[..at + 3]);
        let preferred = through_gmt.and_then(|date| rfc2822::parse(date).ok());
        let obsolete = |format: &str, date: &str| {
            let parts = strtime::BrokenDownTime::parse(format, date).ok()?;
            parts.to_datetime().ok()?.to_zoned(TimeZone::UTC).ok()
        };
        let instant = preferred
            .or_else(|| obsolete("%A, %d-%b-%y %H:%M:%S GMT", through_gmt?))
            .or_else(|| obsolete("%a %b %e %H:%M:%S %Y", text.get(..24)?))?;
        self.until(instant.timestamp())
    }

    /// How long it is until the day and the minute of `date` and `time` in UTC.
    pub(super) fn until_utc(&self, date: &[u8], time: &[u8]) -> Option<Duration> {
        let date: Date = std::str::from_utf8(date).ok()?.parse().ok()?;
        let time: Time = std::str::from_utf8(time).ok()?.parse().ok()?;
        let instant = date.to_datetime(time).to_zoned(TimeZone::UTC).ok()?;
        self.until(instant.timestamp())
    }

    /// How long it is until a time of the clock: its groups are `hour`, `minute`, `half` (of the day), `zone` or `utc`,
    /// `month`, `day` and `year`, of which all but the hour may be missing.
    ///
    /// Without a day, the next time that the clock shows it there. [`UNREADABLE_CLOCK`] when there is no such time or
    /// place; `None` when it is no time of the clock, or one that has just passed.
    pub(super) fn until_clock(&self, clock: &Captures<'_>) -> Option<Duration> {
        if clock.name("minute").is_none() && clock.name("half").is_none() {
            return None;
        }
        let zone = match text(clock, "zone").or_else(|| text(clock, "utc")) {
            Some(name) => (self.zones)(name),
            None => Some(self.now.time_zone().clone()),
        };
        let Some((zone, time)) = zone.zip(time(clock)) else {
            return Some(UNREADABLE_CLOCK);
        };
        let here = self.now.with_time_zone(zone.clone());
        if clock.name("month").is_none() {
            return self.next(&here, time);
        }
        let Some(day) = date(clock, &here) else {
            return Some(UNREADABLE_CLOCK);
        };
        let instant = day.to_datetime(time).to_zoned(zone).ok()?;
        self.until(instant.timestamp())
    }

    /// How long it is until the clock that shows `here` shows `time`.
    fn next(&self, here: &Zoned, time: Time) -> Option<Duration> {
        let on = |day: Date| day.to_datetime(time).to_zoned(here.time_zone().clone());
        let today = on(here.date()).ok()?;
        let wait = self.until(today.timestamp());
        if wait.is_some() {
            return wait;
        }
        let passed = here.timestamp().duration_since(today.timestamp());
        if passed.unsigned_abs() <= JUST_PASSED {
            return None;
        }
        let tomorrow = here.date().tomorrow().ok().map(on);
        self.until(tomorrow?.ok()?.timestamp())
    }
}

fn text<'a>(clock: &'a Captures<'_>, group: &str) -> Option<&'a str> {
    std::str::from_utf8(clock.name(group)?.as_bytes()).ok()
}

fn time(clock: &Captures<'_>) -> Option<Time> {
    let hour: i8 = text(clock, "hour")?.parse().ok()?;
    let minute = match text(clock, "minute") {
        Some(minute) => minute.parse().ok()?,
        None => 0,
    };
    let hour = match (text(clock, "half"), hour) {
        (None, hour) => hour,
        (Some("a" | "A"), 12) => 0,
        (Some("a" | "A"), 0..=11) | (Some(_), 12) => hour,
        (Some(_), 1..=11) => hour + 12,
        (Some(_), _) => return None,
    };
    Time::new(hour, minute, 0, 0).ok()
}

/// The day that is named; `None` when there is no such day.
fn date(clock: &Captures<'_>, here: &Zoned) -> Option<Date> {
    let name = text(clock, "month")?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|month| name.starts_with(month))?;
    let month = i8::try_from(month + 1).ok()?;
    let day = text(clock, "day")?.parse().ok()?;
    if let Some(year) = text(clock, "year") {
        return Date::new(year.parse().ok()?, month, day).ok();
    }
    // Without a year it is the next one, unless it was lately: `Jan 2` in December is no day of the past.
    let lately = here.date().checked_sub(Span::new().months(6)).ok();
    let this_year = Date::new(here.year(), month, day).ok();
    if this_year < lately {
        return Date::new(here.year().checked_add(1)?, month, day).ok();
    }
    this_year
}
