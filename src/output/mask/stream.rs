//! Masks a stream that comes in blocks of any size.
//!
//! Whole lines are masked as soon as they are there, as one block. The last line waits for its end, for the end of the
//! stream, or for a second of silence, when as much of it is given out as is certain. A line longer than
//! [`HELD_BYTES_MAX`] is cut at places that depend on its bytes alone. At each cut more bytes are held back than any
//! window, shape or frame takes, and the bytes before it are kept for comparison. So the output is that of the whole
//! text at once, however it was read. Pure.

use std::sync::Arc;

use memchr::{memchr, memrchr};

use crate::output::glance::empty;

use super::{Masked, Masker, Sight, Wrapped, Writing};

/// No more bytes of a line are held than this.
pub const HELD_BYTES_MAX: usize = 64 * 1024;

/// At a cut, so many visible bytes are held back, and as many of those that were given out are kept for comparison:
/// more than the longest shape (320 bytes and its beginning), the widest frame (256) or a window (32) takes.
const CONTEXT_BYTES: usize = 1024;

/// A buffer that has grown beyond this is given back when a line ends, as hundreds of streams may be open.
const KEPT_BYTES_MAX: usize = 8 * 1024;

/// One stream, from its first byte to its end.
pub struct MaskedStream {
    masker: Arc<Masker>,
    progress: Progress,
}

impl MaskedStream {
    /// A stream at its beginning.
    #[must_use]
    pub fn new(masker: Arc<Masker>) -> Self {
        Self {
            masker,
            progress: Progress::default(),
        }
    }

    /// Takes the next bytes and appends to `out` the lines that are whole, masked.
    ///
    /// If all that was appended is known to be printable ASCII, TAB and line feeds, this says where the line feeds stand
    /// in it, so that nobody need look again.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Masked<Vec<u8>>) -> Option<&[usize]> {
        self.progress.feed(&self.masker, bytes, out.buffer())
    }

    /// Whether [`Self::flush`] may have anything to append.
    #[must_use]
    pub const fn has_partial(&self) -> bool {
        self.progress.has_partial()
    }

    /// Appends what is certain of the unfinished line: all of it but what may be the beginning of a key.
    ///
    /// What follows cannot take back what was given out. So of a key that a silence of its writer tears where no
    /// window of it has come, fewer bytes than a window may be seen.
    pub fn flush(&mut self, out: &mut Masked<Vec<u8>>) {
        self.progress.flush(&self.masker, out.buffer());
    }

    /// The stream has ended: appends what was held back.
    pub fn finish(&mut self, out: &mut Masked<Vec<u8>>) {
        self.progress.finish(&self.masker, out.buffer());
    }

    /// How many bytes are held, and how many were compared beyond the look-ups.
    #[cfg(test)]
    pub(super) fn effort(&self) -> (usize, u64) {
        let sight = &self.progress.sight;
        let held = self.progress.held.capacity() + sight.view.bytes.capacity();
        (held, sight.found.bytes_compared)
    }
}

/// How far a stream has come.
#[derive(Default)]
pub(super) struct Progress {
    /// The unfinished line, or the end of it.
    held: Vec<u8>,
    /// So many bytes of it are given out, and only kept for comparison.
    written: usize,
    /// They end in a run, the text of which is written.
    open: bool,
    /// Nothing has come since it was flushed.
    is_flushed: bool,
    wrapped: Wrapped,
    sight: Sight,
    /// Where lines end in what was appended last.
    line_ends: Vec<usize>,
}

impl Progress {
    /// Where lines end in what was appended, if that is known to be printable ASCII, TAB and line feeds.
    pub(super) fn feed(
        &mut self,
        masker: &Masker,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<&[usize]> {
        if masker.is_empty() {
            out.extend_from_slice(bytes);
            return None;
        }
        let before = out.len();
        let mut is_plain = true;
        empty(&mut self.line_ends);
        self.is_flushed &= bytes.is_empty();
        while !bytes.is_empty() {
            let near = &bytes[..bytes.len().min(HELD_BYTES_MAX - self.held.len())];
            let is_new = self.held.is_empty();
            let end = if is_new {
                memrchr(b'\n', near)
            } else {
                memchr(b'\n', near)
            };
            let (taken, rest) = bytes.split_at(end.map_or(near.len(), |end| end + 1));
            bytes = rest;
            if is_new && end.is_some() {
                masker.look(taken, true, &mut self.wrapped, &mut self.sight);
                let start = out.len() - before;
                self.sight.write(masker, taken, 0, taken.len(), false, out);
                is_plain &= self.sight.keeps_ascii();
                let ends = self.sight.line_ends.iter();
                self.line_ends.extend(ends.map(|end| start + end));
                continue;
            }
            self.held.extend_from_slice(taken);
            if end.is_some() {
                self.end_line(masker, out);
                self.line_ends.push(out.len() - before - 1);
            } else if self.held.len() == HELD_BYTES_MAX {
                self.cut(masker, out);
            } else {
                continue;
            }
            is_plain &= self.sight.keeps_ascii();
        }
        is_plain.then_some(&*self.line_ends)
    }

    pub(super) const fn has_partial(&self) -> bool {
        !self.is_flushed && self.held.len() > self.written
    }

    fn flush(&mut self, masker: &Masker, out: &mut Vec<u8>) {
        if !self.has_partial() {
            return;
        }
        self.is_flushed = true;
        let sight = &mut self.sight;
        masker.look(&self.held, false, &mut self.wrapped.clone(), sight);
        let seen = sight.seen(&self.held);
        let certain = sight.place(seen.len() - masker.pending_bytes(seen), &self.held);
        let certain = certain.max(self.written);
        self.open = sight.write(masker, &self.held, self.written, certain, self.open, out);
        self.written = certain;
    }

    pub(super) fn finish(&mut self, masker: &Masker, out: &mut Vec<u8>) {
        self.end_line(masker, out);
        self.wrapped = Wrapped::default();
    }

    fn end_line(&mut self, masker: &Masker, out: &mut Vec<u8>) {
        let held = &self.held;
        masker.look(held, true, &mut self.wrapped, &mut self.sight);
        self.sight
            .write(masker, held, self.written, held.len(), self.open, out);
        self.held.clear();
        self.held.shrink_to(KEPT_BYTES_MAX);
        self.sight.view.bytes.shrink_to(KEPT_BYTES_MAX);
        (self.written, self.open) = (0, false);
    }

    /// Gives out all of a long line but its end, and keeps what is needed to go on.
    fn cut(&mut self, masker: &Masker, out: &mut Vec<u8>) {
        let sight = &mut self.sight;
        masker.look(&self.held, false, &mut self.wrapped, sight);
        let seen = sight.seen(&self.held).len();
        let cut_seen = seen.saturating_sub(CONTEXT_BYTES);
        let mut cut = sight.place(cut_seen, &self.held);
        if cut < HELD_BYTES_MAX / 2 {
            // Next to nothing in it is seen: cut between two sequences.
            cut = sight
                .view
                .piece_from(HELD_BYTES_MAX / 2)
                .unwrap_or(HELD_BYTES_MAX);
        }
        let cut = cut.max(self.written);
        let kept_seen = sight.seen_before(cut).saturating_sub(CONTEXT_BYTES);
        let mut kept = sight.place(kept_seen, &self.held).min(cut);
        if cut - kept > HELD_BYTES_MAX / 4 {
            let near = sight.view.piece_from(cut - HELD_BYTES_MAX / 4);
            kept = near.unwrap_or(cut).min(cut);
        }
        self.open = sight.write(masker, &self.held, self.written, cut, self.open, out);
        self.held.drain(..kept);
        self.written = cut - kept;
    }
}

impl Sight {
    fn write(
        &self,
        masker: &Masker,
        text: &[u8],
        from: usize,
        to: usize,
        open: bool,
        out: &mut Vec<u8>,
    ) -> bool {
        let writing = Writing {
            text,
            runs: &self.runs,
            codes: &self.codes,
            replacements: &masker.replacements,
        };
        writing.write(from, to, open, out)
    }

    /// Whether the text is printable ASCII, TAB and line feeds, and nothing of it is replaced.
    const fn keeps_ascii(&self) -> bool {
        self.is_ascii && self.runs.is_empty()
    }

    /// What is seen of `text`, which was looked at, less a sequence that may still get its end.
    fn seen<'a>(&'a self, text: &'a [u8]) -> &'a [u8] {
        match (self.differs, self.view.unfinished) {
            (true, Some(place)) => &self.view.bytes[..self.view.seen_before(place)],
            (true, None) => &self.view.bytes,
            (false, _) => text,
        }
    }

    /// Where the visible byte of this number stands; behind the last one, where a sequence may begin.
    fn place(&self, seen: usize, text: &[u8]) -> usize {
        match (self.differs, self.view.unfinished) {
            (true, Some(place)) if seen >= self.view.seen_before(place) => place,
            (true, None) if seen >= self.view.bytes.len() => text.len(),
            (true, _) => self.view.place(seen),
            (false, _) => seen,
        }
    }

    fn seen_before(&self, place: usize) -> usize {
        if self.differs {
            self.view.seen_before(place)
        } else {
            place
        }
    }
}
