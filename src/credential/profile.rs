//! Which line of an output says what: patterns that are shipped with us, and those of `orchestrate.toml`.
//!
//! Pure. A pattern is anchored, and comes with lines that it finds and lines that it must not find: text is weak
//! evidence, and "429" in a line number must not cost anybody a key. `evidence.rs` searches with a [`Profile`].

use std::collections::BTreeMap;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use serde::Deserialize;

use super::hint::HintReader;
use super::key::Class;

/// An expression may have this many bytes.
pub const EXPRESSION_BYTES_MAX: usize = 1024;

/// A file may add this many patterns.
pub const OWN_PATTERNS_MAX: usize = 100;

/// What an expression may become when it is compiled.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// The same for all of them together.
const SET_BYTES_MAX: usize = 64 << 20;

/// The memory that a search may take, however hostile the text is; with more it would only be faster.
const SEARCH_BYTES_MAX: usize = 8 << 20;

const SHIPPED: &str = include_str!("profiles.toml");

/// What stands between a quotation mark and what is quoted, however often it was quoted again: `\"`, `\\\"`, `'`.
const QUOTE: &str = r#"\\{0,8}["']"#;

/// The keys under which an identifier tells what went wrong.
const CODE_KEYS: &str = "(?:type|code|status|reason|error|kind|name)";

/// What may stand before a message: brackets, time stamps, levels, labels like `openai.RateLimitError:`, `"message":` or
/// `API Error:`, and whatever is neither a letter nor a digit.
const MESSAGE_START: &str = concat!(
    r"^[^0-9A-Za-z]*(?:(?:\[[^\]]*\]|[0-9][0-9A-Za-z:.,/+-]*",
    r"|TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL",
    r#"|(?:[0-9A-Za-z][0-9A-Za-z_./()#-]* ){0,2}[A-Za-z][0-9A-Za-z_./()#-]*\\*["']?:)[^0-9A-Za-z]+)*"#,
);

/// The keys under which a message stands in JSON or a Python dict.
const MESSAGE_KEYS: &str = "(?:message|msg|error|result|detail|details|reason)";

/// What a line says about the key and the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sign {
    /// The key is limited.
    Limited(Class),
    /// The key is not valid.
    Rejected,
    /// The key may not do this one thing; it is valid.
    Forbidden,
    /// The provider has no room, whatever the key.
    Overloaded,
}

impl Sign {
    /// The names that a `class` may have, beside `none`.
    pub const NAMES: [&'static str; 6] = [
        "minute",
        "day",
        "billing",
        "rejected",
        "forbidden",
        "overloaded",
    ];

    /// The sign of a `class`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "minute" => Self::Limited(Class::Minute),
            "day" => Self::Limited(Class::Day),
            "billing" => Self::Limited(Class::Billing),
            "rejected" => Self::Rejected,
            "forbidden" => Self::Forbidden,
            "overloaded" => Self::Overloaded,
            _ => return None,
        })
    }
}

/// How a pattern finds its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// An identifier as a value in JSON or a Python dict, or at the beginning of the message.
    Code(String),
    /// A regular expression for the beginning of the message: of the line's, or of one in JSON or a Python dict.
    Message(String),
    /// A regular expression for any place.
    Regex(String),
}

impl Form {
    /// The keys of the three forms in a file.
    pub const NAMES: [&'static str; 3] = ["code", "message", "regex"];

    fn expression(&self) -> String {
        match self {
            Self::Code(code) => {
                let code = regex::escape(code);
                // As a value, as `type=code`, or first in the message and followed by what ends a name.
                let pair = format!(r"{QUOTE}{CODE_KEYS}{QUOTE}\s*:\s*{QUOTE}{code}{QUOTE}");
                let field = format!(r#"\b{CODE_KEYS}=["']?{code}\b(?:["',;)\] ]|$)"#);
                let first = format!(r"{MESSAGE_START}{code}(?:[:.,;)\]]|$)");
                format!("(?:{pair}|{field}|{first})")
            }
            Self::Message(expression) => {
                let value = format!(r"{QUOTE}{MESSAGE_KEYS}{QUOTE}\s*:\s*{QUOTE}");
                format!("(?:{MESSAGE_START}|{value})(?:{expression})")
            }
            Self::Regex(expression) => expression.clone(),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Code(text) | Self::Message(text) | Self::Regex(text) => text,
        }
    }
}

/// One pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Shown when it decides.
    pub name: String,
    /// What its lines say; `None` when they say nothing, whatever other patterns find in them.
    pub sign: Option<Sign>,
    /// How it finds them.
    pub form: Form,
    /// Lines that it finds.
    pub matches: Vec<String>,
    /// Lines that it must not find.
    pub misses: Vec<String>,
}

impl Pattern {
    /// Holds the pattern to its own examples.
    ///
    /// # Errors
    ///
    /// What is wrong, as a fragment that fits after the pattern's name: no expression, one that finds everything, or an
    /// example that it does not keep.
    pub fn check(&self) -> Result<(), String> {
        if self.form.text().is_empty() {
            return Err("is empty".to_owned());
        }
        if self.form.text().len() > EXPRESSION_BYTES_MAX {
            return Err(format!("is longer than {EXPRESSION_BYTES_MAX} bytes"));
        }
        let regex = compile(&self.form.expression())?;
        if regex.is_match(b"") {
            return Err("finds every line, even an empty one".to_owned());
        }
        if self.matches.is_empty() {
            return Err("has no example in `matches`".to_owned());
        }
        for line in &self.matches {
            if !regex.is_match(line.as_bytes()) {
                return Err(format!("does not find its example {line:?}"));
            }
        }
        for line in &self.misses {
            if regex.is_match(line.as_bytes()) {
                return Err(format!("finds {line:?}, which it must not"));
            }
        }
        Ok(())
    }
}

fn compile(expression: &str) -> Result<Regex, String> {
    RegexBuilder::new(expression)
        .unicode(false)
        .size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "becomes too big when it is compiled".to_owned(),
            // The last line says what is wrong; those before it draw where, in our expression around theirs.
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                format!(
                    "is no regular expression: {}",
                    last.trim_start_matches("error: ")
                )
            }
        })
}

/// Everything that a failed child's output is searched for.
#[derive(Debug)]
pub struct Profile {
    patterns: Vec<Pattern>,
    set: RegexSet,
    hints: HintReader,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ShippedPattern {
    name: String,
    class: String,
    code: Option<String>,
    message: Option<String>,
    regex: Option<String>,
    matches: Vec<String>,
    misses: Vec<String>,
}

impl Profile {
    /// The shipped patterns and `own` ones, each of which was checked.
    ///
    /// It takes some milliseconds: a run makes it once.
    ///
    /// # Errors
    ///
    /// When the patterns are too big together.
    pub fn new(own: &[Pattern]) -> Result<Self, String> {
        let patterns: Vec<Pattern> = own.iter().cloned().chain(shipped()).collect();
        let expressions = patterns.iter().map(|pattern| pattern.form.expression());
        let set = RegexSetBuilder::new(expressions)
            .unicode(false)
            .size_limit(SET_BYTES_MAX)
            .dfa_size_limit(SEARCH_BYTES_MAX)
            .build()
            .map_err(|_| "the patterns are too big together".to_owned())?;
        Ok(Self {
            patterns,
            set,
            hints: HintReader::new(),
        })
    }

    /// For an output without a byte, in which nothing can be found. It takes no time to make.
    #[must_use]
    pub fn of_silence() -> Self {
        Self {
            patterns: Vec::new(),
            set: RegexSet::empty(),
            hints: HintReader::of_silence(),
        }
    }

    /// What the patterns find in one line, in the order of the file, own ones first; nothing in a line of which one says
    /// that it says nothing.
    pub(super) fn signs(&self, line: &[u8]) -> Vec<(Sign, usize)> {
        let found = self.set.matches(line);
        let signs = found
            .iter()
            .map(|index| self.patterns[index].sign.map(|sign| (sign, index)));
        signs.collect::<Option<_>>().unwrap_or_default()
    }

    /// The name of a pattern, and where in `line` it finds something, in bytes.
    pub(super) fn place(&self, pattern: usize, line: &[u8]) -> (&str, usize) {
        let pattern = &self.patterns[pattern];
        let found = compile(&pattern.form.expression());
        let end = found.ok().and_then(|regex| Some(regex.find(line)?.end()));
        (&pattern.name, end.unwrap_or(0))
    }

    pub(super) const fn hints(&self) -> &HintReader {
        &self.hints
    }
}

fn shipped() -> impl Iterator<Item = Pattern> {
    let tables: BTreeMap<String, Vec<ShippedPattern>> =
        toml::from_str(SHIPPED).expect("the shipped patterns have a test");
    tables.into_iter().flat_map(|(provider, patterns)| {
        patterns.into_iter().map(move |pattern| Pattern {
            name: format!("{provider}/{}", pattern.name),
            sign: Sign::named(&pattern.class),
            form: match (pattern.code, pattern.message, pattern.regex) {
                (Some(code), _, _) => Form::Code(code),
                (None, Some(message), _) => Form::Message(message),
                (None, None, regex) => Form::Regex(regex.unwrap_or_default()),
            },
            matches: pattern.matches,
            misses: pattern.misses,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_pattern_keeps_its_examples() {
        let patterns: Vec<Pattern> = shipped().collect();
        let wrong: Vec<String> = patterns
            .iter()
            .filter_map(|pattern| Some(format!("{} {}", pattern.name, pattern.check().err()?)))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        for pattern in &patterns {
            assert!(!pattern.misses.is_empty(), "{}", pattern.name);
            assert!(pattern.sign.is_some(), "{}", pattern.name);
        }
        let names: std::collections::BTreeSet<&str> =
            patterns.iter().map(|pattern| &*pattern.name).collect();
        assert_eq!(names.len(), patterns.len());
    }

    #[test]
    fn no_pattern_finds_what_another_must_not_find_unless_it_says_the_same_or_less() {
        let profile = Profile::new(&[]).unwrap();
        // What one pattern must not find may be the business of another; these are nobody's.
        for line in [
            "Error on line 429",
            "issue #429",
            "good rate limiting",
            "Fix the rate limit of the login page (#429)",
            "test_rate_limit_error PASSED [ 42%]",
            "src/client.rs:429: 529 warnings, 401 errors",
            "    raise RateLimitError(f\"HTTP {status}\")",
            "We should handle 429 and overloaded_error in one place",
            "| 429 | Too fast |",
            "exit status 1",
            "",
        ] {
            assert_eq!(profile.signs(line.as_bytes()), [], "{line}");
        }
    }

    fn own(form: Form, matches: &[&str], misses: &[&str]) -> Pattern {
        let texts = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
        Pattern {
            name: "mine".to_owned(),
            sign: Some(Sign::Overloaded),
            form,
            matches: texts(matches),
            misses: texts(misses),
        }
    }

    #[test]
    fn a_pattern_that_does_not_keep_its_word_is_told() {
        let regex = |text: &str| Form::Regex(text.to_owned());
        for (pattern, expected) in [
            (own(regex("busy"), &["busy"], &[]), ""),
            (own(regex(""), &["x"], &[]), "is empty"),
            (own(regex("x*"), &["x"], &[]), "finds every line"),
            (own(regex("busy"), &[], &[]), "has no example"),
            (
                own(regex("busy"), &["free"], &[]),
                "does not find its example \"free\"",
            ),
            (
                own(regex("busy"), &["busy"], &["busybody"]),
                "finds \"busybody\"",
            ),
            (
                own(regex("(busy"), &["busy"], &[]),
                "is no regular expression: unclosed group",
            ),
            (own(regex("(a{500}){500}"), &["a"], &[]), "becomes too big"),
            (
                own(regex(&"x".repeat(1025)), &["x"], &[]),
                "is longer than 1024 bytes",
            ),
            (
                own(
                    Form::Code("E_BUSY".to_owned()),
                    &["Error: E_BUSY"],
                    &["E_BUSY = 1"],
                ),
                "",
            ),
            (
                own(
                    Form::Message("busy".to_owned()),
                    &["12:00 WARN [a] x: busy"],
                    &["not busy"],
                ),
                "",
            ),
        ] {
            let said = pattern.check().err().unwrap_or_default();
            assert!(
                said.starts_with(expected) && said.is_empty() == expected.is_empty(),
                "{pattern:?} {said}"
            );
        }
    }

    #[test]
    fn a_pattern_of_no_class_takes_back_what_others_find() {
        let quiet = Pattern {
            sign: None,
            ..own(Form::Regex("^mock: ".to_owned()), &["mock: HTTP 429"], &[])
        };
        let profile = Profile::new(&[quiet]).unwrap();
        assert_eq!(profile.signs(b"mock: HTTP 429"), []);
        assert_eq!(profile.signs(b"HTTP 429").len(), 1);
    }
}
