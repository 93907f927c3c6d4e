//! The first look at bytes: where lines end, and whether there is anything but plain text.
//!
//! The masker looks at what a child has written, and `line.rs` at what nobody has looked at. Every block goes through
//! here, so it is left to vector instructions. Pure.

use memchr::memchr_iter;

/// The memory for more places than this is given back, as hundreds of streams may be open.
const KEPT_PLACES_MAX: usize = 4096;

/// Fills `line_ends` with the place of every line feed in `bytes`, in order. Says whether they are printable ASCII, TAB
/// and line feeds alone.
pub(super) fn glance(bytes: &[u8], line_ends: &mut Vec<usize>) -> bool {
    empty(line_ends);
    line_ends.extend(memchr_iter(b'\n', bytes));
    is_plain_lines(bytes)
}

/// Forgets places, and gives back their memory if it was much.
pub(super) fn empty(places: &mut Vec<usize>) {
    places.clear();
    places.shrink_to(KEPT_PLACES_MAX);
}

/// Whether every byte is printable ASCII or TAB.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    all_bytes(bytes, |byte| matches!(byte, b' '..=b'~' | b'\t'))
}

/// Whether every byte is printable ASCII, TAB or a line feed.
pub(super) fn is_plain_lines(bytes: &[u8]) -> bool {
    all_bytes(bytes, |byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n'))
}

/// Looks at blocks without a branch for each byte, which compiles to vector instructions.
fn all_bytes(bytes: &[u8], rule: impl Fn(u8) -> bool) -> bool {
    const BLOCK_BYTES: usize = 128;
    bytes
        .chunks(BLOCK_BYTES)
        .all(|block| block.iter().fold(true, |good, &byte| good & rule(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_feed_is_told_and_one_byte_that_is_not_plain_is_enough() {
        let mut ends = vec![7];
        assert!(glance(b"", &mut ends));
        assert!(ends.is_empty());
        assert!(glance(b"one\n\n\ttwo\nthree", &mut ends));
        assert_eq!(ends, [3, 4, 9]);
        for byte in 0..=u8::MAX {
            let expected = matches!(byte, b' '..=b'~' | b'\t' | b'\n');
            for place in [0, 100, 128, 137] {
                let mut text = [b'x'; 138];
                text[place] = byte;
                assert_eq!(glance(&text, &mut ends), expected, "{byte}");
                assert_eq!(is_plain(&text), expected && byte != b'\n', "{byte}");
            }
        }
    }

    #[test]
    fn the_memory_for_very_many_lines_is_given_back() {
        let mut ends = Vec::new();
        glance(&vec![b'\n'; 64 * 1024], &mut ends);
        assert_eq!(ends.len(), 64 * 1024);
        glance(b"x", &mut ends);
        assert!(ends.capacity() < 2 * KEPT_PLACES_MAX);
    }
}
