//! The commands that the runner of GitHub Actions reads from what a step writes: making ours, and unmaking others'.
//!
//! The runner looks at every line of stdout and stderr. It obeys `::NAME …::VALUE` at the beginning of a line, after
//! white space, and `##[NAME …]VALUE` wherever it stands in a line, behind our prefix too (`ActionCommand.cs` of
//! actions/runner). So an item, a title or a file name could set outputs, hide what follows (`stop-commands`), or make
//! annotations. The terminal's handle passes every line through [`disarm`] when we run there; [`command`] is for those that
//! we mean. Pure.
//!
//! Lines are changed one by one, and not put between `stop-commands` and its token: a run that is killed in between
//! would leave the commands of all later steps of the job unheard.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

/// What stands for a value that a line asks the runner to mask.
const HIDDEN: &[u8] = b"***";

/// `text` (whole lines) in which no line is a command: a space parts what would make it one. What is to be masked is
/// hidden, for the runner does not hear of it. Done twice, it is as if done once.
///
/// What is not ASCII counts as not being there: the runner may compare as its language does, which ignores some of it.
#[must_use]
pub fn disarm(text: &[u8]) -> Cow<'_, [u8]> {
    let breaks = breaks(text);
    let hidden = hidden(text);
    if breaks.is_empty() && hidden.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut disarmed = Vec::with_capacity(text.len() + breaks.len());
    let mut hidden = hidden.into_iter().peekable();
    let mut breaks = breaks.into_iter().peekable();
    let mut place = 0;
    while place < text.len() {
        if breaks.next_if_eq(&place).is_some() {
            disarmed.push(b' ');
        }
        if let Some((_, end)) = hidden.next_if(|(start, _)| *start == place) {
            disarmed.extend_from_slice(HIDDEN);
            place = end;
            while breaks.next_if(|at| *at < place).is_some() {}
            continue;
        }
        disarmed.push(text[place]);
        place += 1;
    }
    Cow::Owned(disarmed)
}

/// A line of JSON in which nothing is a command, and which says the same: a `#` is written as its number.
#[must_use]
pub fn disarm_json(line: String) -> String {
    let mut breaks = breaks(line.as_bytes());
    // A line of JSON begins with a brace or a bracket.
    breaks.retain(|&place| line[place..].starts_with('#'));
    let mut line = line;
    for place in breaks.into_iter().rev() {
        line.replace_range(place..=place, r"\u0023");
    }
    line
}

/// The places before which a space has to stand, in order.
fn breaks(text: &[u8]) -> Vec<usize> {
    let mut breaks = Vec::new();
    let mut start = 0;
    for end in memchr_iter(b'\n', text).chain([text.len()]) {
        let line = &text[start..end];
        let mut first = visible(line, 0).skip_while(|(_, byte)| byte.is_ascii_whitespace());
        if let (Some((_, b':')), Some((second, b':'))) = (first.next(), first.next()) {
            breaks.push(start + second);
        }
        for hash in memchr_iter(b'#', line) {
            let mut after = visible(line, hash + 1);
            if let (Some((second, b'#')), Some((_, b'['))) = (after.next(), after.next()) {
                breaks.push(start + second);
            }
        }
        start = end + 1;
    }
    breaks
}

/// The bytes of `line` from `start` on that are ASCII, with their places.
fn visible(line: &[u8], start: usize) -> impl Iterator<Item = (usize, u8)> {
    let bytes = line.iter().copied().enumerate().skip(start);
    bytes.filter(|(_, byte)| byte.is_ascii())
}

/// One line of a child, in which a value that it asks the runner to mask is hidden, whoever reads it: what it is said to be
/// too secret for, the log of a job, is no better a place than a file that the job keeps.
#[must_use]
pub fn without_masked_value(line: &[u8]) -> Cow<'_, [u8]> {
    match value_to_mask(line) {
        Some(value) => Cow::Owned([&line[..value], HIDDEN].concat()),
        None => Cow::Borrowed(line),
    }
}

/// Where values stand that a line asks to be masked, in order.
fn hidden(text: &[u8]) -> Vec<(usize, usize)> {
    let mut hidden = Vec::new();
    let mut start = 0;
    for end in memchr_iter(b'\n', text).chain([text.len()]) {
        let line = &text[start..end];
        // An object of ours would be none any more.
        let value = value_to_mask(line).filter(|_| !line.starts_with(b"{"));
        hidden.extend(value.map(|value| (start + value, end)));
        start = end + 1;
    }
    hidden
}

/// Where the value begins that `line` asks to be masked; what is already hidden stays so.
fn value_to_mask(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"add-mask";
    let mut names = line.windows(NAME.len());
    let at = names.position(|name| name.eq_ignore_ascii_case(NAME))?;
    // As far as it takes for either form.
    let (before, after) = (&line[..at], &line[at + NAME.len()..]);
    let value = match before.last()? {
        b':' => memchr::memmem::find(after, b"::")? + 2,
        b'[' => memchr(b']', after)? + 1,
        _ => return None,
    };
    let value = at + NAME.len() + value;
    (value < line.len() && &line[value..] != HIDDEN).then_some(value)
}

/// The command `::NAME title=TITLE::VALUE`, escaped as the runner reads it; it holds no line feed.
#[must_use]
pub fn command(name: &str, title: &str, value: &str) -> String {
    let title = escape_value(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{name} title={title}::{}", escape_value(value))
}

fn escape_value(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn disarmed(text: &str) -> String {
        String::from_utf8(disarm(text.as_bytes()).into_owned()).unwrap()
    }

    /// What the runner does with a line, as its source has it, with every letter for a name that it knows.
    fn is_command(line: &str) -> bool {
        let ascii: String = line.chars().filter(char::is_ascii).collect();
        [line, &ascii].iter().any(|line| {
            line.trim_start().starts_with("::")
                || line.find("##[").is_some_and(|at| line[at..].contains(']'))
        })
    }

    #[test]
    fn a_line_that_would_be_a_command_is_none_any_more() {
        for (line, expected) in [
            ("::error::x", ": :error::x"),
            (" \t::set-output name=a::b", " \t: :set-output name=a::b"),
            ("\u{a0}::error::x", "\u{a0}: :error::x"),
            (":\u{34f}:error::x", ":\u{34f} :error::x"),
            ("[issue-1] ##[add-path]/tmp", "[issue-1] # #[add-path]/tmp"),
            ("###[error]x ##[group]", "## #[error]x # #[group]"),
            ("#\u{34f}#[error]x", "#\u{34f} #[error]x"),
            ("[issue-1] ::error::x", "[issue-1] ::error::x"),
            ("std::string::String ## [x]", "std::string::String ## [x]"),
            ("a\n::error::x\nb ##[x]\n", "a\n: :error::x\nb # #[x]\n"),
            ("", ""),
        ] {
            assert_eq!(disarmed(line), expected, "{line:?}");
        }
        assert!(matches!(disarm(b"plain\nlines\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_was_to_be_masked_is_hidden() {
        for (line, expected) in [
            ("::add-mask::value", ": :add-mask::***"),
            (
                "[a] ::Add-Mask::the value\nnext",
                "[a] ::Add-Mask::***\nnext",
            ),
            ("[a] ##[add-mask]value ##[x]", "[a] # #[add-mask]***"),
            ("[a] ::add-mask::***", "[a] ::add-mask::***"),
            ("the add-mask command", "the add-mask command"),
            ("::add-mask::", ": :add-mask::"),
            (
                "{\"tail\":\"::add-mask::x\"}",
                "{\"tail\":\"::add-mask::x\"}",
            ),
        ] {
            assert_eq!(disarmed(line), expected, "{line:?}");
        }
    }

    #[test]
    fn json_without_commands_says_the_same() {
        let value = serde_json::json!({"title": "##[add-path]/x ###[y] ## [z]", "e": "\\##["});
        let line = disarm_json(value.to_string());
        assert!(!line.contains("##["), "{line}");
        assert_eq!(disarm(line.as_bytes()), line.as_bytes());
        let again: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(again, value);
    }

    #[test]
    fn our_own_commands_are_escaped_as_the_runner_reads_them() {
        let told = command("error", "w: 2 failed, 100%", "exit 1: x::y\nnext, 5%\r");
        assert_eq!(
            told,
            "::error title=w%3A 2 failed%2C 100%25::exit 1: x::y%0Anext, 5%25%0D"
        );
    }

    proptest! {
        #[test]
        fn nothing_disarmed_is_a_command(pieces in proptest::collection::vec(prop::sample::select(vec![
            ":", "::", "#", "##[", "[", "]", " ", "\u{34f}", "\u{feff}", "add-mask", "error", "\n", "x",
        ]), 0..20)) {
            let text = pieces.concat();
            let once = disarmed(&text);
            prop_assert!(!once.lines().any(is_command), "{once:?}");
            prop_assert_eq!(disarmed(&once), once);
        }
    }
}
