//! One pass over a text, without a branch for each byte: whether all of it is seen, and where its lines end.
//!
//! Every block that a child writes goes through here, so this decides what masking costs at least. Pure.

const ROW_BYTES: usize = 16;

/// As many rows as a byte has bits.
const BLOCK_BYTES: usize = 8 * ROW_BYTES;

/// Calls `at` with the place of every line feed in `text`, in no order, and possibly with other places. Says whether
/// the text is printable ASCII, TAB and line feeds alone.
pub(super) fn glance(text: &[u8], mut at: impl FnMut(usize)) -> bool {
    let (blocks, rest) = text.as_chunks::<BLOCK_BYTES>();
    let mut plain = true;
    for (number, block) in blocks.iter().enumerate() {
        let (line_feeds, is_plain) = look_at(block);
        plain &= is_plain;
        for (half, mut bits) in line_feeds.into_iter().enumerate() {
            let start = number * BLOCK_BYTES + half * (ROW_BYTES / 2);
            // Bit `n` of byte `m` stands for the byte `m` of row `n`. Most halves hold one line feed or none: to look
            // at two places in vain is cheaper than a branch that cannot be foreseen.
            let mut next = || {
                let bit = bits.trailing_zeros() as usize % 64;
                bits &= bits.wrapping_sub(1);
                at(start + bit % 8 * ROW_BYTES + bit / 8);
                bits != 0
            };
            next();
            while next() {}
        }
    }
    let start = text.len() - rest.len();
    memchr::memchr_iter(b'\n', rest).for_each(|place| at(start + place));
    plain
        && rest
            .iter()
            .fold(true, |plain, &byte| plain & (plain_mask(byte) == ALL))
}

/// The line feeds of a block, a bit for each byte, by column and then row; and whether all of it is plain. Written so
/// that it compiles to vector instructions.
fn look_at(block: &[u8; BLOCK_BYTES]) -> ([u64; 2], bool) {
    let mut line_feeds = [0; ROW_BYTES];
    let mut plain = [ALL; ROW_BYTES];
    let mut row_bit = 1_u8;
    for row in block.as_chunks::<ROW_BYTES>().0 {
        for ((line_feeds, plain), &byte) in line_feeds.iter_mut().zip(&mut plain).zip(row) {
            *line_feeds |= all_if(byte == b'\n') & row_bit;
            *plain &= plain_mask(byte);
        }
        row_bit = row_bit.wrapping_mul(2);
    }
    let mut halves = [0; 2];
    for (half, bytes) in halves.iter_mut().zip(line_feeds.as_chunks().0) {
        *half = u64::from_le_bytes(*bytes);
    }
    (halves, plain == [ALL; ROW_BYTES])
}

const ALL: u8 = 0xff;

const fn all_if(condition: bool) -> u8 {
    if condition { ALL } else { 0 }
}

/// All bits of printable ASCII, TAB and the line feed, none of other bytes.
const fn plain_mask(byte: u8) -> u8 {
    // DEL and what is beyond ASCII become negative.
    let printable = byte.wrapping_add(1).cast_signed() > b' '.cast_signed();
    all_if(byte == b'\t') | all_if(byte == b'\n') | all_if(printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_feed_is_seen_wherever_it_stands() {
        for length in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 17] {
            for step in [1, 2, 3, 7, 40, 200] {
                let byte = |place| if place % step == 0 { b'\n' } else { b'x' };
                let text: Vec<u8> = (0..length).map(byte).collect();
                let mut places = Vec::new();
                assert!(glance(&text, |place| places.push(place)));
                places.retain(|&place| text[place] == b'\n');
                places.sort_unstable();
                places.dedup();
                let expected: Vec<usize> = (0..length).step_by(step).collect();
                assert_eq!(places, expected);
            }
        }
    }

    #[test]
    fn one_byte_that_is_not_plain_is_enough() {
        for byte in 0..=u8::MAX {
            let expected = matches!(byte, b' '..=b'~' | b'\t' | b'\n');
            for place in [0, 100, BLOCK_BYTES, BLOCK_BYTES + 9] {
                let mut text = [b'x'; BLOCK_BYTES + 10];
                text[place] = byte;
                assert_eq!(glance(&text, |_| {}), expected, "{byte}");
            }
        }
    }
}
