//! Marked stretches, their union, and the text that is written in their place.
//!
//! The union settles overlaps, nesting and doubles: each maximal run of marked bytes becomes one `[REDACTED:label]`.
//! Colour codes inside a run are written behind it, so that a colour that is switched off there does not stay on. Pure.

/// A stretch that is to be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The number of what is written in its place, if it begins the run. Lower numbers come before higher ones.
    pub(super) owner: u32,
}

/// A maximal run of marked bytes.
pub(super) type Run = Mark;

/// Joins `marks` to runs. A run gets its text from the mark that begins it, of these the longest; but from one below
/// `preferred`, if there is any in it.
pub(super) fn unite(marks: &mut [Mark], preferred: u32, runs: &mut Vec<Run>) {
    runs.clear();
    marks.sort_unstable_by_key(|mark| (mark.start, usize::MAX - mark.end, mark.owner));
    for mark in marks {
        match runs.last_mut() {
            Some(run) if mark.start <= run.end => {
                run.end = run.end.max(mark.end);
                if run.owner >= preferred && mark.owner < preferred {
                    run.owner = mark.owner;
                }
            }
            _ => runs.push(*mark),
        }
    }
}

/// What is written of a text, and how far that has come.
pub(super) struct Writing<'a> {
    pub(super) text: &'a [u8],
    pub(super) runs: &'a [Run],
    /// Colour codes in the text that no key is part of, in order: where each begins and ends.
    pub(super) codes: &'a [(usize, usize)],
    pub(super) replacements: &'a [String],
}

impl Writing<'_> {
    /// Appends what becomes of the bytes from `from` to `to`. In a run that begins before `from`, its text is written
    /// already if `open`. Says whether that holds for a run that comes to `to`.
    pub(super) fn write(&self, from: usize, to: usize, open: bool, out: &mut Vec<u8>) -> bool {
        let mut place = from;
        let mut ends_open = false;
        let first = self.runs.partition_point(|run| run.end <= from);
        for run in self.runs[first..].iter().take_while(|run| run.start < to) {
            if run.start >= place {
                out.extend_from_slice(&self.text[place..run.start]);
            }
            if run.start >= from || !open {
                out.extend_from_slice(self.replacements[run.owner as usize].as_bytes());
            }
            let end = run.end.min(to);
            let code = self
                .codes
                .partition_point(|code| code.0 < run.start.max(from));
            for &(start, code_end) in self.codes[code..].iter().take_while(|code| code.0 < end) {
                out.extend_from_slice(&self.text[start..code_end]);
            }
            place = end;
            ends_open = run.end >= to;
        }
        out.extend_from_slice(&self.text[place..to]);
        // Nothing came between: what was open before still is.
        ends_open || (from == to && open)
    }
}

/// Where the sequences stand that only choose colours (SGR: `ESC [ 0-9 ; : m`) in a stretch of `text`.
pub(super) fn colour_codes(text: &[u8], start: usize, end: usize, codes: &mut Vec<(usize, usize)>) {
    let mut place = start;
    while let Some(step) = memchr::memchr(b'\x1b', &text[place..end]) {
        let code = place + step;
        place = code + 1;
        let Some(body) = text[place..end].strip_prefix(b"[") else {
            continue;
        };
        let parameter = |byte: &&u8| byte.is_ascii_digit() || b";:".contains(*byte);
        let length = body.iter().take_while(parameter).count();
        if body.get(length) == Some(&b'm') {
            place = code + length + 3;
            codes.push((code, place));
        }
    }
}
