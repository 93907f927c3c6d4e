//! A table for a person: columns that nothing stands in are left out.

use std::io::Write as _;

use tabwriter::TabWriter;

use super::fit::{GAP_COLUMNS, fit};
use super::paint::Paint;

/// How a table is shown.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// In which colours.
    pub paint: Paint,
    /// The width of the terminal, if it is one: there long cells are cut.
    pub columns: Option<usize>,
}

/// The table, after an empty line; nothing when there is no row.
pub(super) fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>, look: Look) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let used: Vec<usize> = (0..heads.len())
        .filter(|&column| rows.iter().any(|row| !row[column].is_empty()))
        .collect();
    let heads: Vec<&str> = used.iter().map(|&column| heads[column]).collect();
    let mut rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|mut row| {
            let cells = used.iter();
            cells
                .map(|&column| std::mem::take(&mut row[column]))
                .collect()
        })
        .collect();
    fit(&heads, &mut rows, look.columns);
    let mut writer = TabWriter::new(Vec::new())
        .minwidth(2)
        .padding(GAP_COLUMNS)
        .ansi(true);
    let heads: Vec<String> = heads.iter().map(|head| look.paint.dim(head)).collect();
    // Writing to memory does not fail.
    let _infallible = writeln!(writer, "{}", heads.join("\t"));
    for row in &rows {
        let _infallible = writeln!(writer, "{}", row.join("\t"));
    }
    let bytes = writer.into_inner().unwrap_or_default();
    let mut text = "\n".to_owned();
    for line in String::from_utf8_lossy(&bytes).lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
