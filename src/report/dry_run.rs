//! The dry run: a table of every item, what would happen to it, and why.

use std::time::Duration;

use serde_json::json;

use super::fit::clip;
use super::forecast::in_advance;
use super::json::{FORMAT_VERSION, line, millis};
use super::table::{Look, table};

/// A title is clipped to this many terminal columns.
pub const TITLE_COLUMNS_MAX: usize = 48;

/// One item of the dry run; every text is escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// `pending`, `done`, …
    pub state: &'static str,
    /// Whether it would be run.
    pub pending: bool,
    /// Why.
    pub reason: String,
    /// Where its result goes.
    pub output: Option<String>,
    /// What else a person should know.
    pub remarks: Vec<String>,
}

/// How the items would be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// In words, to stand behind the count.
    pub how: String,
    /// How many run at once.
    pub at_once: usize,
    /// How long that takes, if enough is known of earlier runs.
    pub forecast: Option<Duration>,
}

/// The table, and a line that counts. A column in which nothing stands is left out.
#[must_use]
pub fn text(rows: &[Row], outlook: &Outlook, look: Look) -> String {
    let cells = rows.iter().map(|row| {
        let state = if row.pending {
            look.paint.good(row.state)
        } else {
            look.paint.dim(row.state)
        };
        let why = [std::slice::from_ref(&row.reason), &row.remarks].concat();
        vec![
            row.id.clone(),
            clip(&row.title, TITLE_COLUMNS_MAX),
            state,
            why.join("; "),
            row.output.clone().unwrap_or_default(),
        ]
    });
    let heads = ["ITEM", "TITLE", "STATE", "REASON", "OUTPUT"];
    let table = table(&heads, cells, look);
    let pending = rows.iter().filter(|row| row.pending).count();
    let forecast = outlook.forecast.and_then(in_advance);
    format!(
        "{}{pending} of {} would be run{}{}\n",
        table.trim_start(),
        rows.len(),
        outlook.how,
        forecast.map(|it| format!(": {it}")).unwrap_or_default(),
    )
}

/// One JSON object a row, and one that counts.
#[must_use]
pub fn json_lines(rows: &[Row], outlook: &Outlook) -> String {
    let mut text: String = rows
        .iter()
        .map(|row| {
            line(&json!({
                "type": "item",
                "version": FORMAT_VERSION,
                "id": row.id,
                "title": row.title,
                "state": row.state,
                "reason": row.reason,
                "output": row.output,
                "remarks": row.remarks,
            }))
        })
        .collect();
    text.push_str(&line(&json!({
        "type": "summary",
        "version": FORMAT_VERSION,
        "dry_run": true,
        "items": rows.len(),
        "pending": rows.iter().filter(|row| row.pending).count(),
        "at_once": outlook.at_once,
        "forecast_ms": outlook.forecast.map(millis),
    })));
    text
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;
    use crate::report::paint::Paint;

    const PIPE: Look = Look {
        paint: Paint(false),
        columns: None,
    };

    fn outlook(forecast_ms: Option<u64>) -> Outlook {
        Outlook {
            how: ", two at a time".to_owned(),
            at_once: 1,
            forecast: forecast_ms.map(Duration::from_millis),
        }
    }

    fn rows() -> Vec<Row> {
        vec![
            Row {
                id: "LLD-042".to_owned(),
                title: "Café für 東京".to_owned(),
                state: "pending",
                pending: true,
                reason: "approved (line 5)".to_owned(),
                output: Some("out/LLD-042.md".to_owned()),
                remarks: vec!["no implementation spec".to_owned()],
            },
            Row {
                id: "LLD-7".to_owned(),
                title: "x".repeat(60),
                state: "done",
                pending: false,
                reason: "docs/lld/done/LLD-007.md exists".to_owned(),
                output: None,
                remarks: Vec::new(),
            },
        ]
    }

    #[test]
    fn the_table_is_aligned_and_counts() {
        let expected = format!(
            "\
ITEM     TITLE                                             STATE    REASON                                     OUTPUT
LLD-042  Café für 東京                                     pending  approved (line 5); no implementation spec  out/LLD-042.md
LLD-7    {}…  done     docs/lld/done/LLD-007.md exists
1 of 2 would be run, two at a time
",
            "x".repeat(47)
        );
        assert_eq!(text(&rows(), &outlook(None), PIPE), expected);
    }

    #[test]
    fn how_long_it_takes_stands_behind_the_count_if_it_is_known_and_takes_long() {
        for (milliseconds, end) in [
            (
                Some(6_600_000),
                "1 of 2 would be run, two at a time: about 1h50m, going by earlier runs\n",
            ),
            (Some(9_000), "1 of 2 would be run, two at a time\n"),
            (None, "1 of 2 would be run, two at a time\n"),
        ] {
            let text = text(&rows(), &outlook(milliseconds), PIPE);
            assert!(text.ends_with(end), "{text}");
        }
    }

    #[test]
    fn a_column_in_which_nothing_stands_is_left_out() {
        let mut rows = rows();
        rows[0].output = None;
        let text = text(&rows, &outlook(None), PIPE);
        assert!(!text.contains("OUTPUT") && text.contains("TITLE"), "{text}");
    }

    #[test]
    fn on_a_terminal_the_table_fits_its_width() {
        for paint in [Paint(false), Paint(true)] {
            let columns = Some(80);
            let text = text(&rows(), &outlook(None), Look { paint, columns });
            let plain: Vec<String> = text.lines().map(without_colours).collect();
            assert!(plain.iter().all(|line| line.width() <= 80), "{text}");
            assert!(plain[1].contains("approved (line 5)"), "{text}");
        }
    }

    fn without_colours(line: &str) -> String {
        let mut parts = line.split('\x1b');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |all, part| all + part.split_once('m').unwrap().1)
    }

    #[test]
    fn json_has_a_line_for_each_item_and_one_that_counts() {
        let text = json_lines(&rows(), &outlook(Some(6_600_000)));
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["state"], "pending");
        assert_eq!(
            (&lines[2]["items"], &lines[2]["pending"]),
            (&json!(2), &json!(1))
        );
        assert_eq!(
            (&lines[2]["at_once"], &lines[2]["forecast_ms"]),
            (&json!(1), &json!(6_600_000))
        );
    }
}
