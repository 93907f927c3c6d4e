//! Finds keys in what children write and puts `[REDACTED:label]` in their place.
//!
//! The way of a block of bytes: the block, and its `view` (what a reader sees of it), are searched for windows of
//! the [`needle`]s by way of the `index`, for what line ends have cut (`wrap`), and for keys that nobody told us
//! about (`shape`). What is found becomes `mark`s on the bytes of the block; each maximal run of marked bytes is
//! replaced. `stream` sees to it that blocks are whole lines, and that a line without end is cut where nothing is lost.
//!
//! Owns the values (wiped when the last user lets go). An item's thread feeds each of its two streams through a
//! [`MaskedStream`]; other sinks call [`Masker::mask_text`]. What comes out is a [`Masked`], which nothing else makes.
//! It must never depend on where a read ended, must never take more than linear time or bounded memory, whatever comes,
//! and must never print a value. It protects against accidents, not against a child that wants to get a key out.
//! Everything here is pure.

mod encoding;
mod index;
pub mod inherited;
mod mark;
pub mod masked;
pub mod needle;
mod public;
mod shape;
mod stream;
#[cfg(test)]
mod tests;
mod view;
mod wrap;

use std::borrow::Cow;
use std::fmt;

use memchr::memchr;

use self::index::{Found, Hit, WindowIndex};
use self::mark::{Mark, Run, Writing, colour_codes, unite};
pub use self::masked::{HoldsText, Masked};
use self::needle::Needle;
pub use self::needle::Secrets;
use self::shape::Shapes;
pub use self::stream::{HELD_BYTES_MAX, MaskedStream};
use self::view::View;
use self::wrap::{Beginnings, Wrapped, Wraps};
use super::glance::glance;

/// Whether keys are masked that nobody told us about, by how they look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownKeys {
    /// They are.
    Masked,
    /// They are not.
    Shown,
}

/// Knows all keys and masks them; share it as `Arc<Masker>`. The default one masks nothing.
#[derive(Default)]
pub struct Masker {
    needles: Vec<Needle>,
    windows: WindowIndex,
    beginnings: Beginnings,
    shapes: Option<Shapes>,
    /// What is written in place of a mark, by its owner: first those of labels, then those of shapes.
    replacements: Vec<String>,
    label_count: u32,
}

impl Masker {
    /// A masker of these secrets.
    #[must_use]
    pub fn new(secrets: Secrets, unknown: UnknownKeys) -> Self {
        let Secrets {
            needles,
            mut replacements,
            ..
        } = secrets;
        let label_count = u32::try_from(replacements.len()).unwrap_or(u32::MAX);
        replacements.extend(Shapes::replacements());
        Self {
            windows: WindowIndex::new(&needles),
            beginnings: Beginnings::new(&needles),
            needles,
            shapes: (unknown == UnknownKeys::Masked).then(Shapes::new),
            replacements,
            label_count,
        }
    }

    /// Whether there is nothing to mask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty() && self.shapes.is_none()
    }

    /// A text of our own, of a title or of an error.
    #[must_use]
    pub fn mask_text<'a>(&self, text: &'a str) -> Masked<Cow<'a, str>> {
        if self.is_clean_line(text.as_bytes()) {
            return Masked::of_masked_parts(Cow::Borrowed(text));
        }
        let masked = self.mask_bytes(text.as_bytes()).into_inner();
        Masked::of_masked_parts(if masked == text.as_bytes() {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(String::from_utf8_lossy(&masked).into_owned())
        })
    }

    /// Whether `text` is a line in which nothing is to be masked, as nearly all of our own are.
    fn is_clean_line(&self, text: &[u8]) -> bool {
        if text.len() >= HELD_BYTES_MAX || memchr(b'\n', text).is_some() {
            return false;
        }
        let mut sight = Sight::default();
        self.look(text, true, &mut Wrapped::default(), &mut sight);
        sight.runs.is_empty()
    }

    /// The same for all texts of a record.
    #[must_use]
    pub fn mask<T: HoldsText>(&self, mut record: T) -> Masked<T> {
        self.mask_in_place(&mut record);
        Masked::of_masked_parts(record)
    }

    /// The same where it stands, for what is kept and goes on to change.
    pub fn mask_in_place<'a, T: HoldsText>(&self, record: &'a mut T) -> Masked<&'a T> {
        record.mask_texts(&|text| *text = self.mask_text(text).into_owned());
        Masked::of_masked_parts(record)
    }

    /// The same for bytes: what a [`MaskedStream`] makes of them.
    #[must_use]
    pub fn mask_bytes(&self, bytes: &[u8]) -> Masked<Vec<u8>> {
        let mut out = Masked::empty();
        let mut progress = stream::Progress::default();
        progress.feed(self, bytes, out.buffer());
        progress.finish(self, out.buffer());
        out
    }

    /// Fills `sight` with the runs of `text`: whole lines, or a piece of one. Its last line ends with it if `ends`.
    fn look(&self, text: &[u8], ends: bool, wrapped: &mut Wrapped, sight: &mut Sight) {
        sight.clear();
        let Sight {
            view,
            differs,
            found,
            marks,
            runs,
            codes,
            plain,
            is_ascii,
            line_ends,
        } = sight;
        *is_ascii = glance(text, line_ends);
        let mut cut = self.is_cut(text, line_ends, ends);
        *differs = !*is_ascii && view.look_at(text);
        self.windows.search(&self.needles, text, found);
        self.search_shapes(text, &mut found.bytes_compared, |mark| marks.push(mark));
        if !*differs {
            self.wraps().follow(text, ends, cut, wrapped, found);
        }
        marks.extend(found.hits.drain(..).map(|hit| self.mark(hit)));
        if *differs {
            let seen = &view.bytes;
            self.windows.search(&self.needles, seen, found);
            glance(seen, line_ends);
            cut = self.is_cut(seen, line_ends, ends);
            self.wraps().follow(seen, ends, cut, wrapped, found);
            unite(marks, self.label_count, plain);
            let place = |mark: Mark| Mark {
                start: view.place(mark.start),
                end: view.place(mark.end - 1) + 1,
                ..mark
            };
            self.search_shapes(seen, &mut found.bytes_compared, |mark| {
                marks.push(place(mark));
            });
            marks.extend(found.hits.drain(..).map(|hit| place(self.mark(hit))));
        }
        unite(marks, self.label_count, runs);
        if *differs {
            for run in runs {
                colour_codes(text, run.start, run.end, codes);
            }
            codes.retain(|&(start, end)| {
                let next = plain.partition_point(|it| it.end <= start);
                plain.get(next).is_none_or(|it| it.start >= end)
            });
        }
    }

    /// Whether any line of `text` ends in the beginning of a needle.
    fn is_cut(&self, text: &[u8], line_ends: &[usize], ends: bool) -> bool {
        let cut_at = |end| self.beginnings.end_line(&self.needles, text, end);
        let last = ends && cut_at(text.len());
        // Without a branch for each: nearly none is.
        let any = |cut, &end| cut | cut_at(end);
        !self.needles.is_empty() && line_ends.iter().fold(last, any)
    }

    const fn wraps(&self) -> Wraps<'_> {
        Wraps {
            needles: self.needles.as_slice(),
            windows: &self.windows,
            beginnings: &self.beginnings,
        }
    }

    fn search_shapes(&self, text: &[u8], compared: &mut u64, mut take: impl FnMut(Mark)) {
        if let Some(shapes) = &self.shapes {
            shapes.search(text, compared, |mark| {
                take(Mark {
                    owner: self.label_count + mark.owner,
                    ..mark
                });
            });
        }
    }

    fn mark(&self, hit: Hit) -> Mark {
        Mark {
            start: hit.start,
            end: hit.end,
            owner: self.needles[hit.needle as usize].label,
        }
    }

    /// How many bytes at the end of `text` may be the beginning of a key: too few to be told, and enough not to be
    /// shown.
    fn pending_bytes(&self, text: &[u8]) -> usize {
        let beginning = |needle: &Needle| {
            let lengths = wrap::REMEMBERED_BYTES_MIN..needle.window;
            let ends_in = |bytes: &usize| text.ends_with(&needle.bytes[..*bytes]);
            lengths.rev().find(ends_in).unwrap_or(0)
        };
        let known = self.needles.iter().map(beginning).max().unwrap_or(0);
        let unknown = self
            .shapes
            .as_ref()
            .map_or(0, |shapes| shapes.pending_bytes(text));
        known.max(unknown)
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = &self.replacements[..self.label_count as usize];
        formatter.write_str("Masker ")?;
        formatter.debug_list().entries(labels).finish()
    }
}

/// What was found in a text; to be reused, so that the steady state allocates nothing.
#[derive(Default)]
struct Sight {
    view: View,
    /// Whether the view differs from the text; it is empty if not.
    differs: bool,
    found: Found,
    marks: Vec<Mark>,
    runs: Vec<Run>,
    /// Colour codes inside runs.
    codes: Vec<(usize, usize)>,
    /// What is marked in the text itself, not only in its view.
    plain: Vec<Run>,
    /// Whether the text is printable ASCII, TAB and line feeds alone.
    is_ascii: bool,
    /// Where its lines end, if it is.
    line_ends: Vec<usize>,
}

impl Sight {
    fn clear(&mut self) {
        self.found.hits.clear();
        self.marks.clear();
        self.runs.clear();
        self.codes.clear();
        self.plain.clear();
    }
}
