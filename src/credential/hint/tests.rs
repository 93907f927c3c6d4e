use std::sync::LazyLock;

use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

static READER: LazyLock<HintReader> = LazyLock::new(HintReader::new);

/// Places with a rule of their own each, so that no file of the system is asked.
fn zones(name: &str) -> Option<TimeZone> {
    let rule = match name {
        "UTC" | "GMT" => return Some(TimeZone::UTC),
        "Asia/Kolkata" | "Asia/Calcutta" => "IST-5:30",
        "America/New_York" => "EST5EDT,M3.2.0,M11.1.0",
        "Europe/Berlin" => "CET-1CEST,M3.5.0,M10.5.0/3",
        _ => return None,
    };
    TimeZone::posix(rule).ok()
}

/// What `text` says at `now`, a time in UTC like `2025-06-14T12:00:00`.
fn at(now: &str, text: &str) -> Option<Hint> {
    let now: jiff::civil::DateTime = now.parse().unwrap();
    let now = now.to_zoned(TimeZone::UTC).unwrap();
    let calendar = Calendar {
        now: &now,
        zones: &zones,
    };
    READER.read(text.as_bytes(), &calendar)
}

const NOON: &str = "2025-06-14T12:00:00";

fn wait(text: &str) -> Option<Duration> {
    at(NOON, text).map(|hint| hint.wait)
}

const HOUR: u64 = 3600;

#[test]
fn every_form_is_read_exactly() {
    for (text, millis) in [
        ("retry-after-ms: 19800", 19_800),
        (r#""retryAfterMs": 2500.0"#, 2_500),
        ("x-ms-retry-after-ms: 1500", 1_500),
        ("Retry-After: 20", 20_000),
        ("< retry-after: 20\r", 20_000),
        ("retry-after: 1.5", 1_500),
        (r#"{"retry_after": 20.25, "x": 1}"#, 20_250),
        ("'retry-after': '20', 'x': '3'", 20_000),
        ("('retry-after', '20')", 20_000),
        ("(b'retry-after', b'20')", 20_000),
        (r#"{\"retry-after\":\"20\"}"#, 20_000),
        ("retry_after_seconds=20", 20_000),
        ("retryAfter: 2m", 120_000),
        ("Retry-After: Sat, 14 Jun 2025 12:00:36 GMT", 36_000),
        ("Retry-After: Saturday, 14-Jun-25 12:00:36 GMT", 36_000),
        ("Retry-After: Sat Jun 14 12:00:36 2025", 36_000),
        (
            "anthropic-ratelimit-requests-reset: 2025-06-14T12:01:30Z",
            90_000,
        ),
        ("anthropic-ratelimit-unified-reset: 1749902490", 90_000),
        ("x-ratelimit-reset-tokens: 1m30s", 90_000),
        ("x-ratelimit-reset-requests: 500ms", 1_000),
        ("x-ratelimit-reset-requests: 1500ms", 1_500),
        ("x-ratelimit-reset: 2025-06-14T12:01:30.25Z", 90_250),
        ("x-ratelimit-reset: 1749902490", 90_000),
        (r#""X-RateLimit-Reset": "1749902490000""#, 90_000),
        ("x-ratelimit-reset: 90", 90_000),
        (r#""retryDelay": "36.5s""#, 36_500),
        (r#"\"retryDelay\": \"36s\""#, 36_000),
        ("'retryDelay': '36s'", 36_000),
        ("retry_delay {\n  seconds: 36\n}", 36_000),
        (r#""resets_at":1749902490,"#, 90_000),
        (r#""resetsAt": "2025-06-14T12:01:30+00:00""#, 90_000),
        (r#""quotaResetTimeStamp": "2025-06-14T12:01:30Z""#, 90_000),
        (r#""resets_in_seconds":90}"#, 90_000),
        (r#""quotaResetDelay": "6h10m38.5s""#, 22_238_500),
        ("Please try again in 20s. Visit", 20_000),
        ("Please try again in 6m0s.", 360_000),
        ("or try again in 22 hours 11 minutes.", 79_860_000),
        ("Please retry in 36.43s.", 36_430),
        ("Please retry after 20 seconds.", 20_000),
        ("Your quota will reset after 15h11m58s.", 54_718_000),
        ("resets in 4hr 29min", 16_140_000),
        ("Claude AI usage limit reached|1749902490", 90_000),
        (
            "You will regain access on 2025-06-14 at 13:00 UTC.",
            3_600_000,
        ),
        ("claude: exhausted until 3:00 PM (297 min)", 17_820_000),
    ] {
        assert_eq!(wait(text), Some(Duration::from_millis(millis)), "{text}");
    }
}

#[test]
fn nanoseconds_are_kept() {
    assert_eq!(
        wait("Please retry in 36.429760048s."),
        Some(Duration::new(36, 429_760_048))
    );
}

#[test]
fn what_makes_no_sense_says_nothing_and_the_rest_is_clamped() {
    for (text, seconds) in [
        ("retry-after: 0", Some(1)),
        ("retry-after: 1e18", Some(24 * HOUR)),
        ("retry-after: 999999999999999999999999", Some(24 * HOUR)),
        ("retry-after: 86401", Some(24 * HOUR)),
        ("try again in 3 days 4 hours", Some(24 * HOUR)),
        ("try again in 99999999999999999999 weeks", Some(24 * HOUR)),
        (r#""resets_at": 99999999999999999999999"#, Some(24 * HOUR)),
        ("quota will reset after 0s.", Some(1)),
        ("Retry-After: Sat, 14 Jun 2025 12:00:00 GMT", Some(1)),
        ("retry-after: -5", None),
        ("retry-after: NaN", None),
        ("retry-after: inf", None),
        ("retry-after: soon", None),
        ("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("x-ratelimit-reset-tokens: 2025-06-14T11:59:59Z", None),
        ("limit reached|1700000000", None),
        ("try again in a moment", None),
        ("try again later", None),
        ("Retrying in 4s (attempt 2/5)", None),
        ("Retrying after 6173ms...", None),
        ("the counter resets 3 times", None),
        ("", None),
    ] {
        assert_eq!(wait(text), seconds.map(Duration::from_secs), "{text}");
    }
}

#[test]
fn what_is_meant_for_programs_comes_before_what_is_meant_for_people() {
    let forms = [
        "retry-after-ms: 11000",
        "Retry-After: 12",
        "x-ratelimit-reset-tokens: 13s",
        r#""retryDelay": "14s""#,
        r#""resets_at": 1749902415"#,
        r#""resets_in_seconds": 16"#,
        r#""quotaResetDelay": "17s""#,
        "Please try again in 18s",
        "quota will reset after 19s",
        "limit reached|1749902420",
    ];
    for (first, seconds) in (0..forms.len()).zip(11..) {
        let expected = Some(Duration::from_secs(seconds));
        let text = forms[first..].join("\n");
        assert_eq!(wait(&text), expected, "{text}");
        let backwards: Vec<&str> = forms[first..].iter().rev().copied().collect();
        assert_eq!(wait(&backwards.join(" ")), expected, "{backwards:?}");
    }
}

#[test]
fn a_form_that_says_nonsense_leaves_the_word_to_the_next() {
    assert_eq!(
        wait("retry-after: NaN\nPlease try again in 20s"),
        Some(Duration::from_secs(20))
    );
}

#[test]
fn the_last_of_several_counts_but_the_longest_budget() {
    let hint = at(NOON, "retry-after: 30\n\nretry-after: 20").unwrap();
    assert_eq!((hint.wait.as_secs(), hint.line), (20, 2));
    let hint = at(
        NOON,
        "x-ratelimit-reset-requests: 6m0s\nx-ratelimit-reset-tokens: 20s",
    );
    let hint = hint.unwrap();
    assert_eq!((hint.wait.as_secs(), hint.line), (360, 0));
    assert_eq!(hint.form, "ratelimit-reset");
}

#[test]
fn a_time_of_the_clock_is_the_next_one_there() {
    let kolkata = "limit reached ∙ resets 3pm (Asia/Kolkata)";
    let new_york = "resets 3:30pm (America/New_York)";
    for (now, text, seconds) in [
        // 3pm in Kolkata is 09:30 UTC; at 12:00 UTC it is 17:30 there.
        (NOON, kolkata, Some(21 * HOUR + 1800)),
        ("2025-06-14T09:00:00", kolkata, Some(1800)),
        // Its midnight is 18:30 UTC, the next day there is another one.
        ("2025-06-14T20:00:00", kolkata, Some(13 * HOUR + 1800)),
        ("2025-06-14T23:59:59", "resets 12am (UTC)", Some(1)),
        ("2025-06-14T09:35:00", kolkata, None),
        ("2025-06-14T09:41:00", kolkata, Some(24 * HOUR - 660)),
        // Summer, the night before winter, and winter.
        (NOON, new_york, Some(7 * HOUR + 1800)),
        ("2025-11-01T20:30:00", new_york, Some(24 * HOUR)),
        ("2025-11-02T12:00:00", new_york, Some(8 * HOUR + 1800)),
        // 2:30 is skipped that night, and what takes its place is an hour later.
        (
            "2025-03-09T06:00:00",
            "resets 2:30am (America/New_York)",
            Some(HOUR + 1800),
        ),
        (NOON, "Your limit will reset at 1pm (UTC).", Some(HOUR)),
        (NOON, "resets 13:00 UTC", Some(HOUR)),
        (NOON, "Limits will reset at 12:30 PM. View", Some(1800)),
        (NOON, "exhausted until 1:00 PM", Some(HOUR)),
        (NOON, "or try again at 1:00 p.m.", Some(HOUR)),
        (NOON, "resets Jun 14 at 3pm (UTC)", Some(3 * HOUR)),
        (NOON, "try again at Jun 14th, 2025 3:00 PM.", Some(3 * HOUR)),
        (NOON, "resets Jun 16, 3pm (UTC)", Some(24 * HOUR)),
        (
            "2025-12-31T20:00:00",
            "resets Jan 1, 1am (UTC)",
            Some(5 * HOUR),
        ),
        (NOON, "resets Jun 13, 3pm (UTC)", None),
    ] {
        let wait = at(now, text).map(|hint| hint.wait.as_secs());
        assert_eq!(wait, seconds, "{now} {text}");
    }
}

#[test]
fn a_clock_that_cannot_be_read_is_an_hour_away() {
    for text in [
        "resets 3pm (Mars/Olympus_Mons)",
        "resets 25:00 (UTC)",
        "resets 13pm (UTC)",
        "resets 9:75am",
        "resets Feb 30 at 3pm (UTC)",
        "resets Foo 12 at 3pm",
    ] {
        assert_eq!(wait(text), Some(UNREADABLE_CLOCK), "{text}");
    }
}

#[test]
fn a_hint_says_where_it_stands() {
    let hint = at(NOON, "first\nError: 429\nPlease try again in 20s.\n").unwrap();
    assert_eq!((hint.form, hint.line), ("try again in", 2));
}

#[test]
fn hostile_text_of_a_whole_tail_is_read_to_its_end() {
    let now = date(2025, 6, 14).to_zoned(TimeZone::UTC).unwrap();
    let calendar = Calendar {
        now: &now,
        zones: &zones,
    };
    for part in [
        "retry-after: ",
        "retry-after\\\\\\\\",
        "1h",
        "try again in 1h1m1s ",
        "resets ",
        "9",
        "{",
        "\n",
        "retry_delay {\n\n\n\n\n",
        "until (",
        "resets 3pm (",
        "x-ratelimit-reset-",
        "\u{ff}",
        "retry after 9",
    ] {
        let text = part.repeat(64 * 1024 / part.len());
        let hint = READER.read(text.as_bytes(), &calendar);
        assert!(hint.is_none_or(|hint| (HINT_MIN..=HINT_MAX).contains(&hint.wait)));
    }
}

proptest! {
    #[test]
    fn a_hint_is_none_or_within_its_bounds(
        words in vec(
            prop_oneof![
                prop::sample::select(vec![
                    "retry-after", "-ms", ": ", "=", "\"", "\\", "try again in ", "retry after ", "resets ", "at ",
                    "anthropic-ratelimit-x-reset: ", "x-ratelimit-reset", "retryDelay", "resets_at", "resets_in_seconds",
                    "quotaResetDelay", "limit reached|", "s", "ms", "h", "m", " days ", "pm", "am", ":", " (", ")",
                    "Asia/Kolkata", "Europe/Berlin", "Feb 30", "Dec 31", ", ", "0", "1", "59", "-", "1e18", "NaN",
                    "1749902490", "99999999999999999999999", "2025-06-14T12:00:00Z", "9999-12-31T23:59:59Z",
                    "Sat, 14 Jun 2025 12:00:36 GMT", "regain access on 9999-99-99 at 99:99 UTC", "until x (9 min)", "\n",
                ])
                .prop_map(|word| word.as_bytes().to_vec()),
                vec(any::<u8>(), 1..4),
            ],
            0..24,
        ),
        second in -377_705_000_000_i64..253_402_200_000,
        zone in prop::sample::select(vec!["UTC", "Asia/Kolkata", "America/New_York"]),
    ) {
        let now = jiff::Timestamp::from_second(second).unwrap().to_zoned(zones(zone).unwrap());
        let calendar = Calendar { now: &now, zones: &zones };
        let text = words.concat();
        if let Some(hint) = READER.read(&text, &calendar) {
            prop_assert!((HINT_MIN..=HINT_MAX).contains(&hint.wait), "{:?}", hint);
            prop_assert!(hint.line < text.split(|&byte| byte == b'\n').count());
        }
    }
}
