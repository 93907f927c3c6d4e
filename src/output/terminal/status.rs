//! The bytes of the status line. Pure.

use unicode_width::UnicodeWidthChar;

use crate::escape::escape_text;

/// To the first column, then erase to the end of the line (EL, ECMA-48 8.3.41).
pub(super) const ERASE: &[u8] = b"\r\x1b[K";

/// `line` without anything that could control the terminal, in less than `columns` columns: in a full line the cursor
/// would go on to the next one, where we could not erase it.
pub(super) fn clipped(line: &str, columns: usize) -> String {
    let mut shown = escape_text(line).into_owned();
    let mut columns_left = columns.saturating_sub(1);
    let too_long = shown.char_indices().find_map(|(place, character)| {
        let width = character.width().unwrap_or(0);
        let fits = width <= columns_left;
        columns_left = columns_left.saturating_sub(width);
        (!fits).then_some(place)
    });
    if let Some(place) = too_long {
        shown.truncate(place);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_leaves_the_last_column_free() {
        for (line, columns, expected) in [
            ("", 10, ""),
            ("123456789", 10, "123456789"),
            ("1234567890", 10, "123456789"),
            ("\u{4f60}\u{597d}\u{5417}", 6, "\u{4f60}\u{597d}"),
            ("\u{4f60}\u{597d}a", 5, "\u{4f60}\u{597d}"),
            ("a\nb\x1b[2J", 80, r"a\nb\x1b[2J"),
            ("abc", 1, ""),
            ("abc", 0, ""),
        ] {
            assert_eq!(clipped(line, columns), expected, "{line:?}");
        }
    }
}
