//! The last line that a running item has written, for the status lines.
//!
//! The item's thread puts the end of every block that it reads here, the loop takes the last line of it when it draws.

use std::sync::{Arc, Mutex, PoisonError};

use memchr::memrchr_iter;

use crate::output::escape::escape_line;
use crate::output::mask::Masked;

/// So much of a block is kept, in bytes: a status line is shorter.
const KEPT_BYTES_MAX: usize = 1024;

/// The end of what an item has written, shared by its thread and the loop.
#[derive(Debug, Clone, Default)]
pub(super) struct LastOutput(Arc<Mutex<Vec<u8>>>);

impl LastOutput {
    /// Takes the next bytes.
    pub(super) fn note(&self, masked: Masked<&[u8]>) {
        let bytes = masked.bytes();
        let end = &bytes[bytes.len().saturating_sub(KEPT_BYTES_MAX)..];
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let excess = (kept.len() + end.len()).saturating_sub(KEPT_BYTES_MAX);
        kept.drain(..excess);
        kept.extend_from_slice(end);
    }

    /// The last line that is not empty, harmless and without colours.
    pub(super) fn line(&self) -> Option<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = kept.trim_ascii_end();
        let start = memrchr_iter(b'\n', bytes).next().map_or(0, |at| at + 1);
        let mut shown = Vec::new();
        escape_line(&bytes[start..], false, &mut shown);
        let line = String::from_utf8_lossy(&shown).trim().replace('\t', " ");
        (!line.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::mask::Masker;

    #[test]
    fn the_last_line_is_kept_whatever_the_blocks_are() {
        let last = LastOutput::default();
        assert_eq!(last.line(), None);
        for (block, line) in [
            ("one\ntw", "tw"),
            ("o\n\n", "two"),
            ("10%\r20%", "20%"),
            (
                "\x1b[31mred\x1b[0m\x1b]0;title\x07\n",
                "20%red\\x1b]0;title\\x07",
            ),
            ("\u{1f600}\n  \n", "\u{1f600}"),
        ] {
            last.note(Masker::default().mask_bytes(block.as_bytes()).as_slice());
            assert_eq!(last.line().as_deref(), Some(line));
        }
        let long = "x".repeat(5000);
        last.note(Masker::default().mask_bytes(long.as_bytes()).as_slice());
        assert_eq!(last.line().unwrap().len(), KEPT_BYTES_MAX);
    }
}
