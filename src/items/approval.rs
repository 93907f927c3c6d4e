//! What a design document says about itself: its title, and whether it has the wanted status. Pure.
//!
//! A document has the wanted status when its status line, or its final status, starts with the wanted word, letter case aside:
//!
//! - the status line is the first line `Status: …` within the first [`STATUS_LINES_MAX`] lines;
//! - the final status is the last line `Final Status: …` of the document: a later verdict replaces an earlier one.
//!
//! Either may have a `*` or `-` bullet and bold or other emphasis around name and value. What stands in a fenced code block or in
//! an HTML comment block (`CommonMark` 0.31, 4.5 and 4.6) is an example or a draft, and does not count; neither does what is
//! indented as code or quoted. A fence or comment that is never closed reaches to the end of the document, as `CommonMark`
//! has it; when a status is lost that way, the reason names its line.

use super::item::Readiness;
use crate::escape::quoted;

/// The status line is looked for in this many lines.
pub const STATUS_LINES_MAX: usize = 40;

/// The greatest length of a title, in bytes; a longer heading is cut.
pub const TITLE_BYTES_MAX: usize = 4096;

/// Whether the document with these lines (without line ends) has the status `wanted`, and why (not).
pub fn judge<'a>(lines: impl IntoIterator<Item = &'a str>, wanted: &str) -> Readiness {
    let mut blocks = Blocks::default();
    let mut found = Found::default();
    for (number, line) in (1..).zip(lines) {
        let counts = blocks.is_text(line);
        if let Some(status) = Status::read(line) {
            found.take(&Place { number, counts }, status);
        }
    }
    found.verdict(wanted)
}

/// The text of the first `# ` heading, code blocks and comments aside; empty when there is none.
pub fn title<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let mut blocks = Blocks::default();
    let heading = lines.into_iter().find_map(|line| {
        let text = blocks.is_text(line);
        unindented(without_mark(line))
            .and_then(|line| line.strip_prefix("# "))
            .filter(|_| text)
    });
    let heading = heading.unwrap_or_default().trim();
    heading[..heading.floor_char_boundary(TITLE_BYTES_MAX)].to_owned()
}

/// What begins a file in UTF-8 on some systems; no part of the text.
fn without_mark(line: &str) -> &str {
    line.trim_start_matches('\u{feff}')
}

/// The line without its indentation; none when it is indented as code is.
fn unindented(line: &str) -> Option<&str> {
    let text = line.trim_start_matches(' ');
    (line.len() - text.len() < 4 && !text.starts_with('\t')).then_some(text)
}

/// In what kind of block the reading stands.
#[derive(Debug, Default)]
enum Blocks {
    #[default]
    Text,
    Fence {
        mark: char,
        length: usize,
    },
    Comment,
}

impl Blocks {
    /// Takes the next line, and says whether it is the document's own text.
    fn is_text(&mut self, line: &str) -> bool {
        let line = without_mark(line);
        match *self {
            Self::Text => {
                if let Some((mark, length, _)) = fence(line).filter(opens) {
                    *self = Self::Fence { mark, length };
                } else if let Some(inside) = unindented(line).and_then(|l| l.strip_prefix("<!--")) {
                    if !inside.contains("-->") {
                        *self = Self::Comment;
                    }
                } else {
                    return true;
                }
            }
            Self::Fence { mark, length } => {
                let closes = |&(other, other_length, info): &(char, usize, &str)| {
                    other == mark && other_length >= length && info.trim().is_empty()
                };
                if fence(line).is_some_and(|fence| closes(&fence)) {
                    *self = Self::Text;
                }
            }
            Self::Comment => {
                if line.contains("-->") {
                    *self = Self::Text;
                }
            }
        }
        false
    }
}

/// The mark, its length and what follows it, when the line is a code fence.
fn fence(line: &str) -> Option<(char, usize, &str)> {
    let line = unindented(line)?;
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let info = line.trim_start_matches(mark);
    let length = line.len() - info.len();
    (length >= 3).then_some((mark, length, info))
}

/// A fence of backticks has none in its info string; else it is code within a line.
fn opens(&(mark, _, info): &(char, usize, &str)) -> bool {
    mark != '`' || !info.contains('`')
}

/// One line that states a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status<'a> {
    Status(&'a str),
    Final(&'a str),
}

/// What may stand around the name and the value: Markdown's emphasis and code marks.
const EMPHASIS: [char; 3] = ['*', '_', '`'];

impl<'a> Status<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let line = unindented(without_mark(line))?;
        let bulleted = line
            .strip_prefix(['*', '-'])
            .filter(|rest| rest.starts_with([' ', '\t']));
        let line = bulleted.unwrap_or(line).trim_start();
        let line = line.trim_start_matches(['*', '_']);
        let (kind, rest): (fn(&'a str) -> Self, _) =
            if let Some(rest) = strip_prefix_any_case(line, "final status") {
                (Self::Final, rest)
            } else {
                (Self::Status, strip_prefix_any_case(line, "status")?)
            };
        let value = rest.trim_start_matches(['*', '_']).strip_prefix(':')?;
        let decoration = |c: char| c.is_whitespace() || EMPHASIS.contains(&c);
        Some(kind(value.trim_matches(decoration)))
    }
}

fn strip_prefix_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

struct Place {
    number: usize,
    counts: bool,
}

/// A status that counts, and its line.
type Stated<'a> = Option<(&'a str, usize)>;

#[derive(Debug, Default)]
struct Found<'a> {
    status: Stated<'a>,
    last: Stated<'a>,
    /// The line of a status that does not count because it stands in code or a comment.
    hidden: Option<usize>,
}

impl<'a> Found<'a> {
    fn take(&mut self, place: &Place, status: Status<'a>) {
        let in_time = place.number <= STATUS_LINES_MAX;
        match status {
            Status::Status(_) if !in_time => {}
            _ if !place.counts => self.hidden = Some(place.number),
            Status::Status(value) => self.status = self.status.or(Some((value, place.number))),
            Status::Final(value) => self.last = Some((value, place.number)),
        }
    }

    fn verdict(&self, wanted: &str) -> Readiness {
        let given = [self.status, self.last].into_iter().flatten();
        for (value, number) in given {
            if begins_with_word(value, wanted) {
                return Readiness::Ready(format!("{wanted} (line {number})"));
            }
        }
        let why = match (self.status, self.last) {
            (Some((status, _)), None) => format!("status is {}", quoted(status)),
            (None, Some((last, _))) => format!("final status is {}", quoted(last)),
            (Some((status, _)), Some((last, _))) => format!(
                "status is {}, final status is {}",
                quoted(status),
                quoted(last)
            ),
            (None, None) => {
                format!("no status line in the first {STATUS_LINES_MAX} lines and no final status")
            }
        };
        let hidden = self.hidden.filter(|_| self.last.is_none());
        let hidden = hidden.map_or_else(String::new, |number| {
            format!("; the status in line {number} stands in a code block or comment")
        });
        Readiness::Unready(format!("not {wanted}: {why}{hidden}"))
    }
}

/// Whether `value` starts with `word` and the word ends there: `Approvedish` is not `approved`.
fn begins_with_word(value: &str, word: &str) -> bool {
    let mut value = value.chars();
    let same = word.chars().all(|wanted| {
        value
            .next()
            .is_some_and(|given| given.to_lowercase().eq(wanted.to_lowercase()))
    });
    same && !word.is_empty() && !value.next().is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn approved(text: &str) -> Readiness {
        judge(text.lines(), "approved")
    }

    #[test]
    fn approval_is_found_in_all_its_forms() {
        for (text, line) in [
            ("* **Status:** Approved (reviewer, 2026-01-01)", 1),
            ("- Status: approved", 1),
            ("Status: APPROVED", 1),
            ("**Status**: Approved, at last", 1),
            ("* __Status:__ **Approved**", 1),
            ("   * **STATUS:**   `approved`  ", 1),
            ("\u{feff}* **Status:** Approved\n# Title", 1),
            (
                "# T\n\n* **Status:** Draft\n\n**Final Status:** APPROVED",
                5,
            ),
            ("* **Status:** Approved\n**Final Status:** PENDING", 1),
            (
                "**Final Status:** PENDING\n**Final Status:** APPROVED - GO",
                2,
            ),
            ("- final status: Approved", 1),
            ("```\n**Status:** Draft\n```\n* **Status:** Approved", 4),
            ("<!-- Status:\nStatus: Draft\n-->\nStatus: Approved", 4),
            ("<!-- one line -->\nStatus: Approved", 2),
            ("``` code ``` in a line\nStatus: Approved", 2),
            ("~~~\n```\n~~~~\nStatus: Approved", 4),
        ] {
            let expected = Readiness::Ready(format!("approved (line {line})"));
            assert_eq!(approved(text), expected, "{text}");
        }
    }

    #[test]
    fn a_final_status_counts_however_late_and_a_status_line_only_early() {
        let far = "x\n".repeat(STATUS_LINES_MAX);
        assert_eq!(
            approved(&format!("{far}**Final Status:** Approved")),
            Readiness::Ready("approved (line 41)".to_owned())
        );
        let near = "x\n".repeat(STATUS_LINES_MAX - 1);
        assert!(matches!(
            approved(&format!("{near}Status: Approved")),
            Readiness::Ready(_)
        ));
        assert!(matches!(
            approved(&format!("{far}Status: Approved")),
            Readiness::Unready(_)
        ));
    }

    #[test]
    fn what_is_not_approved_says_why() {
        let none = "no status line in the first 40 lines and no final status";
        let hidden =
            |line| format!("{none}; the status in line {line} stands in a code block or comment");
        for (text, why) in [
            ("* **Status:** Draft", "status is \"Draft\"".to_owned()),
            (
                "Status: Draft\nStatus: Approved",
                "status is \"Draft\"".to_owned(),
            ),
            (
                "* **Status:** Reviewer Approved",
                "status is \"Reviewer Approved\"".to_owned(),
            ),
            (
                "Status: Approvedish",
                "status is \"Approvedish\"".to_owned(),
            ),
            (
                "Status: Not approved",
                "status is \"Not approved\"".to_owned(),
            ),
            ("Status:", "status is \"\"".to_owned()),
            (
                "* **Status:** Draft\x1b[2J",
                "status is \"Draft\\x1b[2J\"".to_owned(),
            ),
            (
                "Status: Draft\n**Final Status:** PENDING",
                "status is \"Draft\", final status is \"PENDING\"".to_owned(),
            ),
            (
                "**Final Status:** APPROVED\n**Final Status:** WITHDRAWN",
                "final status is \"WITHDRAWN\"".to_owned(),
            ),
            ("", none.to_owned()),
            ("# Approved\nThe status is: approved", none.to_owned()),
            ("> **Status:** Approved", none.to_owned()),
            ("    Status: Approved", none.to_owned()),
            ("| Status: | Approved |", none.to_owned()),
            ("Status Approved", none.to_owned()),
            ("Substatus: Approved", none.to_owned()),
            ("```\n**Final Status:** APPROVED\n```", hidden(2)),
            ("an open fence\n```\n\nStatus: Approved", hidden(4)),
            ("````\n```\nStatus: Approved", hidden(3)),
            ("<!--\n* **Status:** Approved\n-->", hidden(2)),
        ] {
            let expected = Readiness::Unready(format!("not approved: {why}"));
            assert_eq!(approved(text), expected, "{text}");
        }
    }

    #[test]
    fn any_word_can_be_wanted() {
        let lines = ["Status: Spruchreif (ja)"];
        assert_eq!(
            judge(lines, "spruchreif"),
            Readiness::Ready("spruchreif (line 1)".to_owned())
        );
        assert_eq!(
            judge(["Status: ÜBERPRÜFT"], "überprüft"),
            Readiness::Ready("überprüft (line 1)".to_owned())
        );
        assert!(matches!(judge(lines, "ready"), Readiness::Unready(_)));
    }

    #[test]
    fn the_title_is_the_first_heading() {
        for (text, expected) in [
            ("# 137 - Feature: Do it", "137 - Feature: Do it"),
            ("\u{feff}# Title  ", "Title"),
            ("Status: x\n\n## Two\n# One", "One"),
            ("```sh\n# a comment\n```\n# Title", "Title"),
            ("<!--\n# hidden\n-->\n# Title", "Title"),
            ("#Title", ""),
            ("", ""),
        ] {
            assert_eq!(title(text.lines()), expected, "{text}");
        }
        let long = format!("# {}", "é".repeat(TITLE_BYTES_MAX));
        assert_eq!(title(long.lines()).len(), TITLE_BYTES_MAX);
    }

    #[test]
    fn monstrous_documents_are_read_once_and_without_recursion() {
        let quotes = format!("{} Status: Approved", "> ".repeat(100_000));
        assert!(matches!(approved(&quotes), Readiness::Unready(_)));
        let fences = "```\n".repeat(100_001);
        assert!(matches!(approved(&fences), Readiness::Unready(_)));
        let line = format!("Status: Approved {}", "*".repeat(1_000_000));
        assert!(matches!(approved(&line), Readiness::Ready(_)));
    }

    proptest! {
        #[test]
        fn no_document_panics(text in any::<String>(), wanted in any::<String>()) {
            let _ = judge(text.lines(), &wanted);
            let _ = title(text.lines());
        }

        #[test]
        fn no_pile_of_marks_panics(text in "[`~<>!*_:# \n\u{feff}-]{0,80}") {
            let _ = judge(text.lines(), "approved");
            let _ = title(text.lines());
        }
    }
}
