//! The bytes of the status lines, and of what erases them. Pure.

use std::iter::repeat_n;

use unicode_width::UnicodeWidthChar;

use super::{ECHO_COLUMNS, Reflow, Screen};
use crate::escape::escape_text;

/// On a screen of fewer rows there is one status line, however many are wanted.
const ROWS_FOR_TWO_MIN: usize = 6;

/// To the first column, then erase to the end of the row.
const ERASE_ROW: &[u8] = b"\r\x1b[K";

/// To the row above.
const UP: &[u8] = b"\x1b[A";

/// Shown at the end of a line that was cut.
const MARK: char = '\u{2026}';

/// Status lines as they stand on the screen, the cursor behind the last character.
#[derive(Debug)]
pub(super) struct Drawn {
    lines: Vec<String>,
    shown: Vec<String>,
}

impl Drawn {
    /// The first of `lines`, as many as `screen` has room for.
    pub(super) fn new(lines: Vec<String>, screen: Screen) -> Self {
        let count = if screen.rows < ROWS_FOR_TWO_MIN { 1 } else { 2 };
        let last = count.min(lines.len()).saturating_sub(1);
        let shown = lines.iter().take(count).enumerate().map(|(place, line)| {
            let free = if place == last { ECHO_COLUMNS } else { 0 };
            clipped(line, screen.columns.saturating_sub(free))
        });
        Self {
            shown: shown.collect(),
            lines,
        }
    }

    /// What was wanted.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// What draws them, from the beginning of an empty line on.
    pub(super) fn text(&self) -> String {
        self.shown.join("\r\n")
    }

    /// What erases them on a screen that has `columns` now, row by row upwards (EL and CUU, ECMA-48 8.3.41 and 8.3.22).
    /// To erase all below the first row at once would do as well, but when that is the first row of the screen, tmux
    /// keeps what is erased so as if it had scrolled out of sight.
    pub(super) fn erasure(&self, columns: usize, reflow: Reflow) -> Vec<u8> {
        let rows = |line: &String| match reflow {
            Reflow::Wraps => rows(line, columns),
            Reflow::Cuts => 1,
        };
        let rows = self.shown.iter().map(rows).sum::<usize>();
        let mut bytes = ERASE_ROW.to_vec();
        for _ in 1..rows {
            bytes.extend_from_slice(UP);
            bytes.extend_from_slice(ERASE_ROW);
        }
        bytes
    }
}

/// `line` without anything that could control the terminal or that terminals give different widths, in less than `columns` columns: in a full line the cursor
/// would go on to the next one, where we could not erase it.
fn clipped(line: &str, columns: usize) -> String {
    let line: String = line.chars().filter(|&it| !changes_width(it)).collect();
    let shown = escape_text(&line);
    let columns_max = columns.saturating_sub(1);
    let width = |character: char| character.width().unwrap_or(0);
    if shown.chars().map(width).sum::<usize>() <= columns_max {
        return shown.into_owned();
    }
    let mut used = 0;
    let kept = shown.chars().take_while(|&character| {
        used += width(character);
        used < columns_max
    });
    kept.chain(repeat_n(MARK, columns_max.min(1))).collect()
}

/// What makes one picture of several, or a wide one of a narrow: some terminals show it so, some do not, and where a line
/// ends must be known, or what stands above would be erased with it.
fn changes_width(character: char) -> bool {
    matches!(
        character,
        '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}'
    )
}

/// How many rows a terminal of `columns` needs for `line`: a character that does not fit goes to the next row.
fn rows(line: &str, columns: usize) -> usize {
    let (mut rows, mut used) = (1, 0);
    for width in line.chars().filter_map(UnicodeWidthChar::width) {
        if used + width > columns && used > 0 {
            rows += 1;
            used = 0;
        }
        used += width;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_leaves_the_last_column_free() {
        for (line, columns, expected) in [
            ("", 10, ""),
            ("123456789", 10, "123456789"),
            ("1234567890", 10, "12345678\u{2026}"),
            ("\u{4f60}\u{597d}\u{5417}", 6, "\u{4f60}\u{597d}\u{2026}"),
            ("\u{4f60}\u{597d}a", 5, "\u{4f60}\u{2026}"),
            ("a\nb\x1b[2J", 80, r"a\nb\x1b[2J"),
            (
                "\u{1f469}\u{200d}\u{1f467}\u{1f3fd}",
                10,
                "\u{1f469}\u{1f467}",
            ),
            ("\u{26a0}\u{fe0f}x", 3, "\u{26a0}x"),
            ("abc", 2, "\u{2026}"),
            ("abc", 1, ""),
            ("abc", 0, ""),
        ] {
            assert_eq!(clipped(line, columns), expected, "{line:?}");
        }
    }

    #[test]
    fn two_lines_are_drawn_where_there_is_room_for_them() {
        let drawn = |rows| {
            let lines = ["one", "two", "three"].map(str::to_owned).to_vec();
            Drawn::new(lines, Screen { columns: 80, rows })
        };
        assert_eq!(drawn(24).text(), "one\r\ntwo");
        assert_eq!(drawn(5).text(), "one");
    }

    #[test]
    fn behind_the_last_line_there_is_room_for_what_the_terminal_echoes() {
        let screen = Screen {
            columns: 10,
            rows: 24,
        };
        let drawn = Drawn::new(vec!["123456789".to_owned(); 2], screen);
        assert_eq!(drawn.text(), "123456789\r\n1234\u{2026}");
    }

    #[test]
    fn what_a_narrower_terminal_has_wrapped_is_erased_row_by_row() {
        let drawn = |lines: &[&str]| {
            let lines = lines.iter().map(ToString::to_string).collect();
            let (columns, rows) = (120, 24);
            Drawn::new(lines, Screen { columns, rows })
        };
        let erased = |drawn: &Drawn, columns, reflow| {
            let bytes = drawn.erasure(columns, reflow);
            String::from_utf8(bytes)
                .unwrap()
                .matches("\r\x1b[K")
                .count()
        };
        let long = "x".repeat(100);
        let two = drawn(&[&long, "short"]);
        for (columns, reflow, rows) in [
            (120, Reflow::Wraps, 2),
            (100, Reflow::Wraps, 2),
            (99, Reflow::Wraps, 3),
            (40, Reflow::Wraps, 4),
            (40, Reflow::Cuts, 2),
        ] {
            assert_eq!(erased(&two, columns, reflow), rows, "{columns}");
        }
        assert_eq!(two.erasure(120, Reflow::Wraps), b"\r\x1b[K\x1b[A\r\x1b[K");
        assert_eq!(erased(&drawn(&["one"]), 80, Reflow::Wraps), 1);
        // A wide character does not stand half in one row.
        let wide = drawn(&[&"\u{4f60}".repeat(10)]);
        assert_eq!(erased(&wide, 5, Reflow::Wraps), 5);
    }
}
