//! One API key: it can be put into a child's environment and into the masker, and nowhere else.

use std::fmt;

use zeroize::Zeroizing;

/// A key with its label. It wipes itself, cannot be copied, printed or written, and shows only its label.
pub struct Secret {
    label: String,
    value: Zeroizing<String>,
    group: Option<String>,
    slots: Option<usize>,
}

impl Secret {
    /// A key called `label` in everything that we print or write.
    #[must_use]
    pub fn new(label: String, value: Zeroizing<String>) -> Self {
        Self {
            label,
            value,
            group: None,
            slots: None,
        }
    }

    /// The same key, of this group and with this many slots, where its source says so.
    #[must_use]
    pub fn with(self, group: Option<String>, slots: Option<usize>) -> Self {
        Self {
            group,
            slots,
            ..self
        }
    }

    /// The group whose keys share a budget with it: its own, if its source does not say.
    #[must_use]
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.label)
    }

    /// How many items may hold it at once, if its source says so.
    #[must_use]
    pub const fn slots(&self) -> Option<usize> {
        self.slots
    }

    /// What the key is called.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The key itself, for the environment of one child and for the masker.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({})", self.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_label_and_no_part_of_the_key() {
        let secret = Secret::new("work".to_owned(), "abcdefghijkl".to_owned().into());
        let shown = format!("{secret:?}");
        assert_eq!(shown, "Secret(work)");
        assert!(
            "abcdefghijkl"
                .as_bytes()
                .windows(4)
                .all(|part| { !shown.contains(std::str::from_utf8(part).unwrap()) })
        );
    }
}
