//! The keys of a pool, in words for a person and as JSON: how each stands, never what it is.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::elapsed::elapsed;
use super::json::{FORMAT_VERSION, line};
use super::table::{Look, table};
use crate::credential::key::{Key, Moment, Standing};
use crate::escape::{clipped, escape_text};

/// A reason is cut after this many characters in the table.
const REASON_CHARACTERS_MAX: usize = 60;

/// What is shown of a key.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// What a person calls it.
    pub label: String,
    /// What it is called on disk and in the journal.
    pub kid: String,
    /// How it stands.
    pub key: Key,
    /// Since when, as far as that was noted.
    pub since: Option<Timestamp>,
    /// Why, as far as that was noted.
    pub reason: Option<String>,
    /// How many items may hold it at once.
    pub slots: usize,
    /// For each slot that is taken, the processes that hold it, as far as they can be seen: pid and name.
    pub leases: Vec<Vec<(u32, String)>>,
}

/// Now, by both clocks, and where the reader's wall clock hangs.
#[derive(Debug, Clone)]
pub struct Now {
    /// As keys count it.
    pub moment: Moment,
    /// As people do.
    pub wall: Timestamp,
    /// Where.
    pub zone: TimeZone,
}

impl KeyRow {
    fn standing(&self, now: &Now) -> (&'static str, Option<Duration>) {
        let wait = |until: Moment| Some(until.since(now.moment));
        match self.key.standing(now.moment) {
            Standing::Ready if self.leases.is_empty() => ("ready", None),
            Standing::Ready => ("leased", None),
            Standing::Probation => ("probation", None),
            Standing::Cooling { until } => ("cooling", wait(until)),
            Standing::Spent { until } => ("spent", wait(until)),
            Standing::Suspect { until } => ("suspect", wait(until)),
            Standing::Retired { .. } => ("retired", None),
            Standing::Disabled => ("disabled", None),
        }
    }
}

/// For a person.
#[must_use]
pub fn text(rows: &[KeyRow], now: &Now, look: Look) -> String {
    let paint = look.paint;
    let cells = rows.iter().map(|row| {
        let (state, wait) = row.standing(now);
        let state = match state {
            "ready" | "leased" => paint.good(state),
            "retired" | "disabled" => paint.bad(state),
            _ => paint.warn(state),
        };
        vec![
            escape_text(&row.label).into_owned(),
            row.kid.clone(),
            state,
            wait.map(|wait| until(wait, now)).unwrap_or_default(),
            leases(row),
            clipped(
                row.reason.as_deref().unwrap_or_default(),
                REASON_CHARACTERS_MAX,
            ),
        ]
    });
    let heads = ["KEY", "ID", "STATE", "UNTIL", "LEASES", "WHY"];
    table(&heads, cells, look).trim_start().to_owned()
}

/// `14:05 (in 12m)`, with the day where that is not today.
fn until(wait: Duration, now: &Now) -> String {
    let at = |time: Timestamp| time.to_zoned(now.zone.clone());
    let end = now.wall.saturating_add(wait).map_or(now.wall, |end| end);
    let form = if at(end).date() == at(now.wall).date() {
        "%H:%M"
    } else {
        "%Y-%m-%d %H:%M"
    };
    format!("{} (in {})", at(end).strftime(form), elapsed(wait))
}

/// `1 of 2: 4711 orchestrate, 4720 claude`.
fn leases(row: &KeyRow) -> String {
    if row.leases.is_empty() {
        return String::new();
    }
    let holders: Vec<String> = row
        .leases
        .iter()
        .map(|holders| match &holders[..] {
            [] => "a process that cannot be seen".to_owned(),
            holders => {
                let words = holders
                    .iter()
                    .map(|(pid, name)| format!("{pid} {}", escape_text(name)));
                words.collect::<Vec<_>>().join(" + ")
            }
        })
        .collect();
    format!(
        "{} of {}: {}",
        row.leases.len(),
        row.slots,
        holders.join(", ")
    )
}

/// One line of JSON for a key.
#[must_use]
pub fn json_line(row: &KeyRow, now: &Now) -> String {
    let (state, wait) = row.standing(now);
    let until = wait.and_then(|wait| now.wall.saturating_add(wait).ok());
    let lease = |holders: &Vec<(u32, String)>| -> Value {
        holders
            .iter()
            .map(|(pid, name)| json!({ "pid": pid, "name": name }))
            .collect()
    };
    line(&json!({
        "type": "key",
        "version": FORMAT_VERSION,
        "label": row.label,
        "kid": row.kid,
        "state": state,
        "since": row.since,
        "until": until,
        "until_in_ms": wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        "reason": row.reason,
        "slots": row.slots,
        "leases": row.leases.iter().map(lease).collect::<Vec<_>>(),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::paint::Paint;
    use super::*;

    const PIPE: Look = Look {
        paint: Paint(false),
        columns: None,
    };

    use crate::credential::key::{Class, Context, Report, Trust};

    fn row(label: &str, key: Key) -> KeyRow {
        KeyRow {
            label: label.to_owned(),
            kid: "0123456789ab".to_owned(),
            key,
            since: None,
            reason: None,
            slots: 2,
            leases: Vec::new(),
        }
    }

    fn limited(seconds: u64) -> Key {
        let mut key = Key::default();
        let epoch = key.grant(Moment::default());
        let report = Report::Limited {
            class: Class::Minute,
            hint: Some(Duration::from_secs(seconds)),
            trust: Trust::Child,
        };
        let context = Context {
            only_key: true,
            random: 0,
        };
        key.report(epoch, report, Moment::default(), context);
        key
    }

    fn now() -> Now {
        Now {
            moment: Moment::default(),
            wall: "2026-11-23T13:53:00Z".parse().unwrap(),
            zone: TimeZone::fixed(jiff::tz::offset(1)),
        }
    }

    #[test]
    fn the_table_says_how_each_key_stands_and_until_when() {
        let mut retired = Key::default();
        retired.retire(Moment::default());
        let mut rows = [
            row("a", Key::default()),
            row("b", limited(720)),
            row("c", limited(60)),
            row("d", limited(12 * 3600)),
            row("e", retired),
            row("f", Key::default()),
        ];
        rows[1].reason = Some("HTTP 429: slow\u{1b} down".to_owned());
        rows[5].leases = vec![
            vec![(7, "orchestrate".to_owned()), (9, "x\u{7}".to_owned())],
            Vec::new(),
        ];
        let expected = "\
KEY  ID            STATE    UNTIL                          LEASES                                                    WHY
a    0123456789ab  ready
b    0123456789ab  spent    15:05 (in 12m)                                                                         HTTP 429: slow\\x1b down
c    0123456789ab  cooling  14:54 (in 1m)
d    0123456789ab  spent    2026-11-24 02:53 (in 12h)
e    0123456789ab  retired
f    0123456789ab  leased                                  2 of 2: 7 orchestrate + 9 x\\x07, a process that cannot be seen
";
        let shown = text(&rows, &now(), PIPE);
        let squeezed = |text: &str| {
            let lines = text
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            lines.collect::<Vec<_>>()
        };
        assert_eq!(squeezed(&shown), squeezed(expected), "{shown}");
    }

    #[test]
    fn a_line_of_json_says_the_same() {
        let value: Value =
            serde_json::from_str(&json_line(&row("b", limited(720)), &now())).unwrap();
        assert_eq!(value["type"], "key");
        assert_eq!(
            (&value["label"], &value["state"]),
            (&json!("b"), &json!("spent"))
        );
        assert_eq!(value["until"], "2026-11-23T14:05:00Z");
        assert_eq!(value["until_in_ms"], 720_000);
    }
}
