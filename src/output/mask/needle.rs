//! What is looked for: every form of every value, each with the number of bytes that already give it away.
//!
//! A [`Secrets`] is filled at the start of a run and becomes a masker. Values are wiped when the masker goes. Pure.

use std::fmt;

use zeroize::Zeroizing;

use super::encoding::forms;
use super::public::secret_parts;
use crate::escape::escape_text;

/// A shorter value is not masked: it could not be told from ordinary text.
pub const SECRET_BYTES_MIN: usize = 8;

/// So many bytes of a long needle give it away: of these, no sink gets a run.
pub const WINDOW_BYTES: usize = 16;

/// Needles of at least so many bytes are long.
const LONG_BYTES: usize = 2 * WINDOW_BYTES;

/// The same in hexadecimal digits.
pub const HEX_WINDOW_BYTES: usize = 32;

/// At the end of a line, so many bytes from the beginning of a needle are taken for the needle.
pub const PREFIX_BYTES_MIN: usize = 8;

/// One form of one value.
pub(super) struct Needle {
    /// Its bytes; no line feed is among them.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// The label of the value, by its place.
    pub(super) label: u32,
    /// So many bytes of it in a row are masked wherever they stand; never more than it has.
    pub(super) window: usize,
    /// Whether its beginning at the end of a line is taken for it.
    pub(super) is_known_by_prefix: bool,
}

/// The values that are to be masked, and what stands in their place.
#[derive(Default)]
pub struct Secrets {
    pub(super) needles: Vec<Needle>,
    /// What is written in place of a value, by its label.
    pub(super) replacements: Vec<String>,
    labels: Vec<String>,
}

/// How much of a value gives it away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strength {
    /// Somebody declared it as a key: any window of it.
    Declared,
    /// It only looks like one: of a short one, which may be made of words, no less than all of it.
    Presumed,
}

impl Secrets {
    /// Adds a key under its label. Of two equal values, the first label counts.
    ///
    /// What is public in it is not masked, nor is a value of fewer than [`SECRET_BYTES_MIN`] bytes.
    pub fn add_key(&mut self, label: &str, value: &[u8]) {
        self.add(label, value, Strength::Declared);
    }

    /// Adds the value of a variable that looks like a secret ([`super::inherited::is_inherited_secret`]).
    pub fn add_inherited(&mut self, name: &str, value: &[u8]) {
        self.add(name, value, Strength::Presumed);
    }

    fn add(&mut self, label: &str, value: &[u8], strength: Strength) {
        let label = escape_text(label).into_owned();
        let number = u32::try_from(self.labels.len()).expect("fewer labels than bytes");
        let mut is_new = false;
        for part in secret_parts(value) {
            if part.len() < SECRET_BYTES_MIN {
                continue;
            }
            for form in forms(&part) {
                let bytes = form.bytes;
                let window = window(bytes.len(), form.is_hex, strength);
                if self.needles.iter().all(|known| known.bytes != bytes) {
                    is_new = true;
                    let is_short = window == bytes.len();
                    self.needles.push(Needle {
                        is_known_by_prefix: strength == Strength::Declared || !is_short,
                        bytes,
                        label: number,
                        window,
                    });
                }
            }
        }
        if is_new {
            self.replacements.push(format!("[REDACTED:{label}]"));
            self.labels.push(label);
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.labels).finish()
    }
}

fn window(bytes: usize, is_hex: bool, strength: Strength) -> usize {
    match (is_hex, bytes) {
        (true, _) => bytes.min(HEX_WINDOW_BYTES),
        (false, LONG_BYTES..) => WINDOW_BYTES,
        (false, WINDOW_BYTES..) if strength == Strength::Declared => bytes.div_ceil(2),
        (false, _) => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_a_value_away_grows_with_its_length() {
        for (bytes, is_hex, declared, presumed) in [
            (8, false, 8, 8),
            (15, false, 15, 15),
            (16, false, 8, 16),
            (31, false, 16, 31),
            (32, false, 16, 16),
            (1000, false, 16, 16),
            (16, true, 16, 16),
            (216, true, 32, 32),
        ] {
            assert_eq!(window(bytes, is_hex, Strength::Declared), declared);
            assert_eq!(window(bytes, is_hex, Strength::Presumed), presumed);
        }
    }

    #[test]
    fn equal_values_and_short_ones_add_nothing() {
        let mut secrets = Secrets::default();
        secrets.add_key("short", b"1234567");
        assert!(secrets.needles.is_empty());
        secrets.add_key("one", b"12345678");
        let count = secrets.needles.len();
        secrets.add_key("two", b"12345678");
        assert_eq!(secrets.needles.len(), count);
        assert_eq!(secrets.replacements, ["[REDACTED:one]"]);
        assert_eq!(format!("{secrets:?}"), r#"["one"]"#);
    }
}
