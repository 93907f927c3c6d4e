//! Colours, or none.

use owo_colors::{OwoColorize as _, Style};

/// Paints text when colours are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Paint(pub bool);

/// Colours that stay readable on dark and on light backgrounds.
const PREFIXES: [Style; 6] = [
    Style::new().cyan(),
    Style::new().magenta(),
    Style::new().blue(),
    Style::new().yellow(),
    Style::new().green(),
    Style::new().bright_cyan(),
];

impl Paint {
    fn apply(self, style: Style, text: &str) -> String {
        if self.0 {
            text.style(style).to_string()
        } else {
            text.to_owned()
        }
    }

    /// For what went well.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.apply(Style::new().green(), text)
    }

    /// For what failed.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.apply(Style::new().red().bold(), text)
    }

    /// For what wants attention.
    #[must_use]
    pub fn warn(self, text: &str) -> String {
        self.apply(Style::new().yellow(), text)
    }

    /// For what stands back.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.apply(Style::new().dimmed(), text)
    }

    /// The prefix of an item's lines, in a colour that stays the same from run to run.
    #[must_use]
    pub fn prefix(self, id: &str) -> String {
        let index = crc32fast::hash(id.as_bytes()) as usize % PREFIXES.len();
        self.apply(PREFIXES[index], &format!("[{id}]")) + " "
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_the_id_in_brackets_with_or_without_a_colour() {
        assert_eq!(Paint(false).prefix("issue-42"), "[issue-42] ");
        let painted = Paint(true).prefix("issue-42");
        assert!(
            painted.contains("[issue-42]") && painted.starts_with("\u{1b}["),
            "{painted:?}"
        );
        assert_eq!(Paint(true).prefix("issue-42"), painted);
    }
}
