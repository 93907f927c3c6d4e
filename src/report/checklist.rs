//! What a check has found, as a list for a person and as JSON.
//!
//! Pure.

use std::fmt::Write as _;

use serde_json::json;
use unicode_width::UnicodeWidthStr as _;

use super::json::{FORMAT_VERSION, line};
use super::paint::Paint;
use crate::escape::escape_text;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Good,
    /// A run would work, but a person should know.
    Doubtful,
    /// A run would not work, or not be safe.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What: `state`, `workflow photos`.
    pub subject: String,
    /// How it is.
    pub health: Health,
    /// In words; may come from outside.
    pub words: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn good(subject: impl Into<String>, words: impl Into<String>) -> Self {
        Self::new(subject, Health::Good, words)
    }

    /// All is not well.
    #[must_use]
    pub fn new(subject: impl Into<String>, health: Health, words: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            health,
            words: words.into(),
            remedy: None,
        }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

const fn word(health: Health) -> &'static str {
    match health {
        Health::Good => "ok",
        Health::Doubtful => "warning",
        Health::Bad => "failed",
    }
}

/// A line for each finding, and its remedy below it.
#[must_use]
pub fn text(findings: &[Finding], paint: Paint) -> String {
    let shown = |finding: &Finding| escape_text(&finding.subject).width();
    let width = findings.iter().map(shown).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let subject = escape_text(&finding.subject);
        let padding = " ".repeat(width.saturating_sub(subject.width()));
        let health = word(finding.health);
        let health = match finding.health {
            Health::Good => paint.good(&format!("{health:7}")),
            Health::Doubtful => paint.warn(health),
            Health::Bad => paint.bad(&format!("{health:7}")),
        };
        let words = escape_text(&finding.words);
        let _infallible = writeln!(text, "{subject}{padding}  {health}  {words}");
        for remedy in finding.remedy.iter().flat_map(|remedy| remedy.lines()) {
            let indent = " ".repeat(width + 2 + "warning".len() + 2);
            let _infallible = writeln!(text, "{indent}{}", paint.dim(&escape_text(remedy)));
        }
    }
    text
}

/// The same as one JSON object a line.
#[must_use]
pub fn json_lines(findings: &[Finding]) -> String {
    let object = |finding: &Finding| {
        line(&json!({
            "type": "check",
            "version": FORMAT_VERSION,
            "subject": finding.subject,
            "result": word(finding.health),
            "text": finding.words,
            "remedy": finding.remedy,
        }))
    };
    findings.iter().map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> [Finding; 2] {
        [
            Finding::good("state", "can be written"),
            Finding::new("workflow \u{1b}[2J", Health::Bad, "no\u{202e} items")
                .with_remedy("first line\nsecond line"),
        ]
    }

    #[test]
    fn findings_stand_below_each_other_and_are_harmless() {
        assert_eq!(
            text(&findings(), Paint(false)),
            "state             ok       can be written\n\
             workflow \\x1b[2J  failed   no\\u{202e} items\n\
             \x20                          first line\n\
             \x20                          second line\n"
        );
    }

    #[test]
    fn json_has_an_object_a_line() {
        let text = json_lines(&findings());
        let values: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(values[0]["result"], "ok");
        assert_eq!(values[1]["remedy"], "first line\nsecond line");
    }
}
