//! A table for a person: columns that nothing stands in are left out.

use std::io::Write as _;

use tabwriter::TabWriter;

use super::paint::Paint;

/// The table, after an empty line; nothing when there is no row.
pub(super) fn table(
    heads: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    paint: Paint,
) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let used: Vec<usize> = (0..heads.len())
        .filter(|&column| rows.iter().any(|row| !row[column].is_empty()))
        .collect();
    let mut writer = TabWriter::new(Vec::new()).minwidth(2).padding(2).ansi(true);
    let heads: Vec<String> = used
        .iter()
        .map(|&column| paint.dim(heads[column]))
        .collect();
    // Writing to memory does not fail.
    let _infallible = writeln!(writer, "{}", heads.join("\t"));
    for row in &rows {
        let cells: Vec<&str> = used.iter().map(|&column| row[column].as_str()).collect();
        let _infallible = writeln!(writer, "{}", cells.join("\t"));
    }
    let bytes = writer.into_inner().unwrap_or_default();
    let mut text = "\n".to_owned();
    for line in String::from_utf8_lossy(&bytes).lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
