//! Makes the rows of a table fit the width of a terminal: the longest cells are cut, and never an id.
//!
//! `dry_run.rs` and `table.rs` call it before they lay out a table. Pure. What is written to a pipe or a file, where a
//! program reads it, has no width and is never cut.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Columns of the terminal between two cells.
pub(super) const GAP_COLUMNS: usize = 2;

/// A cell is not cut below this many columns of the terminal, however narrow that is.
const CELL_COLUMNS_MIN: usize = 12;

/// Cuts cells of `rows` until each row, headed by `heads`, fits `columns_max`, or until all are as short as they may be.
/// The first cell of a row is never cut, nor is one that holds colours.
pub(super) fn fit(heads: &[&str], rows: &mut [Vec<String>], columns_max: Option<usize>) {
    let Some(columns_max) = columns_max else {
        return;
    };
    let mut widths: Vec<usize> = heads
        .iter()
        .enumerate()
        .map(|(column, head)| {
            let cells = rows.iter().map(|row| row[column].as_str());
            cells.map(shown_width).max().unwrap_or(0).max(head.width())
        })
        .collect();
    let gaps = GAP_COLUMNS * heads.len().saturating_sub(1);
    let is_coloured = |column: usize| rows.iter().any(|row| row[column].contains('\x1b'));
    let coloured: Vec<bool> = (0..heads.len()).map(is_coloured).collect();
    let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(columns_max);
    while excess > 0 {
        let cuttable = |&column: &usize| {
            !coloured[column] && widths[column] > CELL_COLUMNS_MIN.max(heads[column].width())
        };
        let Some(widest) = (1..heads.len())
            .filter(cuttable)
            .max_by_key(|&column| widths[column])
        else {
            break;
        };
        widths[widest] -= 1;
        excess -= 1;
    }
    for row in rows {
        for ((cell, &width), coloured) in row.iter_mut().zip(&widths).zip(&coloured).skip(1) {
            if !coloured {
                *cell = clip(cell, width);
            }
        }
    }
}

/// The beginning of `text`, with a mark where it is cut, in at most `columns_max` columns of a terminal.
pub(super) fn clip(text: &str, columns_max: usize) -> String {
    if text.width() <= columns_max {
        return text.to_owned();
    }
    let mut columns = 0;
    let kept = text.chars().take_while(|character| {
        columns += character.width().unwrap_or(0);
        columns < columns_max
    });
    kept.chain(['…']).collect()
}

/// The width of a cell without its colours (SGR, ECMA-48 8.3.117).
fn shown_width(cell: &str) -> usize {
    let mut parts = cell.split('\x1b');
    let first = parts.next().unwrap_or_default().width();
    let rest = parts.map(|part| part.split_once('m').map_or(0, |(_, shown)| shown.width()));
    first + rest.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(rows: &[&[&str]], columns_max: usize) -> Vec<Vec<String>> {
        let owned = |row: &&[&str]| row.iter().map(ToString::to_string).collect();
        let mut rows: Vec<Vec<String>> = rows.iter().map(owned).collect();
        fit(&["ITEM", "TITLE", "WHY"], &mut rows, Some(columns_max));
        rows
    }

    #[test]
    fn the_widest_cells_are_cut_first_and_an_id_never() {
        let (id, title, why) = ("x".repeat(20), "t".repeat(40), "w".repeat(30));
        let row: &[&str] = &[&id, &title, &why];
        assert_eq!(fitted(&[row], 94), [[id.as_str(), &title, &why]]);
        let cut = fitted(&[row], 80);
        assert_eq!(cut[0][0], id);
        assert_eq!(cut[0].iter().map(|it| it.width() + 2).sum::<usize>(), 82);
        assert_eq!(cut[0][2], why[..27].to_owned() + "…");
        let narrow = fitted(&[row], 20);
        assert_eq!(narrow[0][0], id);
        assert_eq!(narrow[0][1].width(), CELL_COLUMNS_MIN);
    }

    #[test]
    fn wide_characters_and_colours_are_measured_as_they_are_shown() {
        let coloured = "\x1b[32mpending\x1b[0m";
        assert_eq!(shown_width(coloured), 7);
        let cut = fitted(&[&["a", &"東".repeat(20), coloured]], 30);
        assert!(cut[0][1].width() <= 30 - 1 - 7 - 4, "{cut:?}");
        assert!(cut[0][1].ends_with('…'));
        assert_eq!(cut[0][2], coloured);
    }
}
