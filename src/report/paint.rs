//! Colours, or none.
//!
//! They are those of the 256-colour table that are alike everywhere, and not the first 16, which a terminal's theme
//! sets: yellow and cyan, as most have them, cannot be read on white, nor blue on black. Each of ours has a contrast of
//! 3:1 at least against both (WCAG 2.2, 1.4.11). Pure.

use owo_colors::{OwoColorize as _, Style, XtermColors};

/// Paints text when colours are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Paint(pub bool);

/// Places in the table of 256 colours: teal, violet, blue, ochre, olive, orange, rose.
const PREFIXES: [u8; 7] = [30, 135, 32, 136, 64, 166, 169];

const GREEN: u8 = 28;
const RED: u8 = 196;
const OCHRE: u8 = 136;
/// Not the attribute "faint", which some terminals make unreadable.
const GREY: u8 = 244;

fn colour(place: u8) -> Style {
    Style::new().color(XtermColors::from(place))
}

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
        self.apply(colour(GREEN), text)
    }

    /// For what failed.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.apply(colour(RED).bold(), text)
    }

    /// For what wants attention.
    #[must_use]
    pub fn warn(self, text: &str) -> String {
        self.apply(colour(OCHRE), text)
    }

    /// For what stands back.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.apply(colour(GREY), text)
    }

    /// The prefix of an item's lines, in a colour that stays the same from run to run.
    #[must_use]
    pub fn prefix(self, id: &str) -> String {
        let index = crc32fast::hash(id.as_bytes()) as usize % PREFIXES.len();
        self.apply(colour(PREFIXES[index]), &format!("[{id}]")) + " "
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

    /// What xterm shows for a place in its table from 16 on: a cube of six levels a colour, then greys.
    fn shown(place: u8) -> [u8; 3] {
        const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
        match place.checked_sub(232) {
            Some(step) => [8 + 10 * step; 3],
            None => [36, 6, 1].map(|digit| LEVELS[usize::from((place - 16) / digit % 6)]),
        }
    }

    /// WCAG 2.2, "relative luminance".
    fn luminance(colour: [u8; 3]) -> f64 {
        let linear = |level: u8| {
            let level = f64::from(level) / 255.0;
            if level <= 0.04045 {
                level / 12.92
            } else {
                ((level + 0.055) / 1.055).powf(2.4)
            }
        };
        let [red, green, blue] = colour.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// WCAG 2.2, "contrast ratio".
    fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn every_colour_can_be_read_on_white_and_on_black() {
        for place in [GREEN, RED, OCHRE, GREY].into_iter().chain(PREFIXES) {
            for background in [[0xff; 3], [0; 3], [0x1e; 3]] {
                let ratio = contrast(shown(place), background);
                assert!(ratio >= 3.0, "{place} on {background:?}: {ratio:.2}");
            }
        }
        assert!((contrast([0; 3], [0xff; 3]) - 21.0).abs() < 1e-9);
    }
}
