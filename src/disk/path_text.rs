//! A path as text in a message: for reading, and for pasting into a shell.
//!
//! Who names one of our files in an error words it with these, because a directory's name comes from outside and may
//! hold a control character that must not reach the terminal raw.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::escape::{dollar_quoted, is_deceptive};

/// The path for a person to read, control characters escaped.
#[must_use]
pub fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.chars().any(needs_escape) {
        text.escape_debug().to_string()
    } else {
        text.into_owned()
    }
}

/// The path as one word of a POSIX shell command (POSIX.1-2024, Shell Command Language, 2.2), with nothing in it that must
/// not reach a terminal raw.
#[must_use]
pub fn shell_quoted(path: &Path) -> String {
    let text = match path.to_str() {
        Some(text) if !text.chars().any(|c| needs_escape(c) || is_deceptive(c)) => text.to_owned(),
        Some(_) | None => return dollar_quoted(path.as_os_str().as_bytes()),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Whether `escape_debug` would not show the character as it is, quotes apart.
fn needs_escape(character: char) -> bool {
    !matches!(character, '\'' | '"')
        && (character.escape_debug().len() > 1 || is_bidirectional_control(character))
}

/// The explicit directional marks of Unicode (UAX #9, 2), which reorder what stands around them.
const fn is_bidirectional_control(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_without_control_characters() {
        for (path, expected) in [
            ("/home/ann/it's here", "/home/ann/it's here"),
            ("/caf\u{e9}", "/caf\u{e9}"),
            ("/a\x1b[31m", r"/a\u{1b}[31m"),
            ("/a\nb", r"/a\nb"),
            ("/a\u{202e}b", r"/a\u{202e}b"),
        ] {
            assert_eq!(shown(Path::new(path)), expected);
        }
    }

    #[test]
    fn paths_are_one_shell_word() {
        for (path, expected) in [
            ("/a/b-1.x", "/a/b-1.x"),
            ("/a b", "'/a b'"),
            ("/it's", r"'/it'\''s'"),
            ("/$(x)", "'/$(x)'"),
            ("-rf", "'-rf'"),
            ("", "''"),
            ("/it's\n7", r"$'/it\'s\n7'"),
            ("/a\x1b7", r"$'/a\0337'"),
        ] {
            assert_eq!(shell_quoted(Path::new(path)), expected);
        }
    }
}
