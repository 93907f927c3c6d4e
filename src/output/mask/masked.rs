//! The type of text in which keys are masked: what a sink takes, so that a forgotten mask does not compile.
//!
//! Only the masker makes it of text from outside; the rest of the room may put masked parts together. Pure.

use std::borrow::Cow;
use std::fmt;

use crate::output::workflow_command::disarm;

/// What holds text from outside, like a record that is to be written.
pub trait HoldsText {
    /// Lets `mask` change every text in it that may hold a key. Ids and labels are none: other records refer to them.
    ///
    /// To be written with all members named, so that a new one has to be thought of.
    fn mask_texts(&mut self, mask: &dyn Fn(&mut String));
}

impl<T: HoldsText> HoldsText for Vec<T> {
    fn mask_texts(&mut self, mask: &dyn Fn(&mut String)) {
        for it in self {
            it.mask_texts(mask);
        }
    }
}

/// Text or bytes without keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Masked<T>(T);

impl<T> Masked<T> {
    /// What the masker has made, or what is made of nothing but masked parts and words of ours.
    pub(in crate::output) const fn of_masked_parts(text: T) -> Self {
        Self(text)
    }

    /// What it holds, to be shown or written.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// What it holds, for a sink.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl Masked<&'static str> {
    /// Words of ours, which no key can be part of.
    #[must_use]
    pub const fn literal(words: &'static str) -> Self {
        Self(words)
    }
}

impl Masked<Vec<u8>> {
    /// Without anything in it.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of it, to be read.
    #[must_use]
    pub const fn as_slice(&self) -> Masked<&[u8]> {
        Masked(self.0.as_slice())
    }

    /// Makes room; the memory is kept.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The same without lines that a runner would take for commands.
    pub(in crate::output) fn disarmed(self) -> Self {
        match disarm(&self.0) {
            Cow::Borrowed(_) => self,
            Cow::Owned(disarmed) => Self(disarmed),
        }
    }

    /// Where a part of this room appends what it has masked, or made of masked parts.
    pub(in crate::output) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl<'a> Masked<&'a [u8]> {
    /// What follows the first `bytes`.
    ///
    /// # Panics
    ///
    /// When there are not so many.
    #[must_use]
    pub fn after(self, bytes: usize) -> Self {
        Self(&self.0[bytes..])
    }

    /// The bytes themselves.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }
}

impl Masked<Cow<'_, str>> {
    /// The text, on its own.
    #[must_use]
    pub fn into_owned(self) -> String {
        self.0.into_owned()
    }
}

impl From<Masked<Cow<'_, str>>> for Masked<Vec<u8>> {
    fn from(text: Masked<Cow<'_, str>>) -> Self {
        Self(text.0.into_owned().into_bytes())
    }
}

impl<T: AsRef<str>> AsRef<str> for Masked<T> {
    fn as_ref(&self) -> &str {
        self.0.as_ref()
    }
}

impl<T: fmt::Display> fmt::Display for Masked<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
