//! The dry run: a table of every item, what would happen to it, and why.

use std::io::Write as _;

use serde_json::json;
use tabwriter::TabWriter;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::json::{FORMAT_VERSION, line};
use super::paint::Paint;

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

/// A heading, and what stands below it.
type Column = (&'static str, fn(&Row, Paint) -> String);

/// The table, and a line that counts. A column in which nothing stands is left out.
#[must_use]
pub fn table(rows: &[Row], how: &str, paint: Paint) -> String {
    let columns: [Column; 5] = [
        ("ITEM", |row, _| row.id.clone()),
        ("TITLE", |row, _| clip(&row.title, TITLE_COLUMNS_MAX)),
        ("STATE", |row, paint| {
            if row.pending {
                paint.good(row.state)
            } else {
                paint.dim(row.state)
            }
        }),
        ("REASON", |row, _| {
            [std::slice::from_ref(&row.reason), &row.remarks]
                .concat()
                .join("; ")
        }),
        ("OUTPUT", |row, _| row.output.clone().unwrap_or_default()),
    ];
    let used = columns
        .iter()
        .filter(|(_, cell)| rows.iter().any(|row| !cell(row, Paint(false)).is_empty()));
    let used: Vec<_> = used.collect();
    let mut writer = TabWriter::new(Vec::new()).minwidth(2).padding(2).ansi(true);
    let heading: Vec<String> = used.iter().map(|(name, _)| paint.dim(name)).collect();
    // Writing to memory does not fail.
    let _infallible = writeln!(writer, "{}", heading.join("\t"));
    for row in rows {
        let cells: Vec<String> = used.iter().map(|(_, cell)| cell(row, paint)).collect();
        let _infallible = writeln!(writer, "{}", cells.join("\t"));
    }
    let bytes = writer.into_inner().unwrap_or_default();
    let mut text = String::new();
    for line in String::from_utf8_lossy(&bytes).lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let pending = rows.iter().filter(|row| row.pending).count();
    text + &format!("{pending} of {} would be run{how}\n", rows.len())
}

/// One JSON object a row, and one that counts.
#[must_use]
pub fn json_lines(rows: &[Row]) -> String {
    let mut text: String = rows
        .iter()
        .map(|row| {
            line(&json!({
                "type": "item",
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
    })));
    text
}

fn clip(text: &str, columns_max: usize) -> String {
    if text.width() <= columns_max {
        return text.to_owned();
    }
    let mut columns = 0;
    let kept = text.chars().take_while(|c| {
        columns += c.width().unwrap_or(0);
        columns < columns_max
    });
    kept.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(table(&rows(), ", two at a time", Paint(false)), expected);
    }

    #[test]
    fn a_column_in_which_nothing_stands_is_left_out() {
        let mut rows = rows();
        rows[0].output = None;
        let text = table(&rows, "", Paint(false));
        assert!(!text.contains("OUTPUT") && text.contains("TITLE"), "{text}");
    }

    #[test]
    fn json_has_a_line_for_each_item_and_one_that_counts() {
        let text = json_lines(&rows());
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
    }
}
