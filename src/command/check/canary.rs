//! Made-up keys, the forms in which a program could give a key away, and what of each would betray it.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustix::rand::{GetRandomFlags, getrandom};

use super::broken;
use crate::error::{Error, ExitStatus, Result};
use crate::output::Target;
use crate::output::terminal::TerminalHandle;
use crate::surroundings::Surroundings;

/// The variable that the key is injected into. Its name does not look like that of a secret, or we would mask it ourselves.
pub(super) const VARIABLE: &str = "CANARY";

/// As few bytes of a key as nobody may show.
const TRACE_BYTES: usize = 16;
/// The same, in hexadecimal digits.
const HEX_TRACE_BYTES: usize = 32;
/// What depends on the neighbours at both ends of a text in base64.
const BASE64_EDGE: usize = 4;

/// One way of giving a key away.
pub(super) struct Form {
    /// What it is called.
    pub(super) name: &'static str,
    /// What is written.
    pub(super) text: String,
    /// What must not be found where it has been written to, with its escape sequences or without.
    pub(super) traces: Vec<Vec<u8>>,
}

/// As many keys as there are forms. No provider has given them out; they hold characters that JSON and URLs escape.
pub(super) fn keys() -> Result<Vec<String>> {
    (0..FORMS).map(|_| key()).collect()
}

fn key() -> Result<String> {
    let mut random = [0; 20];
    getrandom(&mut random, GetRandomFlags::empty())
        .map_err(|errno| Error::state(format!("no random numbers: {errno}")))?;
    let digits = hex(&random);
    Ok(format!("{}/\"+\\{}=", &digits[..20], &digits[20..]))
}

/// How many forms there are.
const FORMS: usize = PLAIN.len() + ENCODED.len();

/// How a key itself can be written, and in which pieces of it nothing may be seen.
type Plain = (&'static str, fn(&str, &str) -> String, Option<usize>);

const PLAIN: [Plain; 10] = [
    (
        "as it is",
        |first, rest| format!("key {first}{rest} end"),
        None,
    ),
    (
        "twice",
        |first, rest| format!("{first}{rest}{first}{rest}"),
        None,
    ),
    (
        "in colour",
        |first, rest| format!("\u{1b}[32m{first}{rest}\u{1b}[0m"),
        None,
    ),
    (
        "with colour in it",
        |first, rest| format!("{first}\u{1b}[1m{rest}\u{1b}[0m"),
        None,
    ),
    (
        "in a link",
        |first, rest| format!("\u{1b}]8;;https://x.invalid/?k={first}{rest}\u{7}x\u{1b}]8;;\u{7}"),
        None,
    ),
    (
        "with a space of no width in it",
        |first, rest| format!("{first}\u{200b}{rest}"),
        None,
    ),
    (
        "with a carriage return in it",
        |first, rest| format!("{first}\r{rest}"),
        None,
    ),
    (
        "as bytes that are no text",
        |first, rest| format!("{first}{rest}\u{fffd}"),
        None,
    ),
    (
        "wrapped",
        |first, rest| wrapped(&format!("{first}{rest}"), 24),
        Some(24),
    ),
    (
        "wrapped narrowly",
        |first, rest| wrapped(&format!("{first}{rest}"), 10),
        Some(10),
    ),
];

/// How a key can be encoded, how much of it nobody may show, and how much at both ends depends on what stands beside it.
type Encoded = (&'static str, fn(&str) -> String, usize, usize);

const ENCODED: [Encoded; 8] = [
    (
        "JSON",
        |key| serde_json::Value::from(key).to_string(),
        TRACE_BYTES,
        1,
    ),
    ("percent", percent, TRACE_BYTES, 0),
    ("hexadecimal", |key| hex(key.as_bytes()), HEX_TRACE_BYTES, 0),
    (
        "upper hexadecimal",
        |key| hex(key.as_bytes()).to_uppercase(),
        HEX_TRACE_BYTES,
        0,
    ),
    (
        "base64",
        |key| STANDARD.encode(format!("{key}\n")),
        TRACE_BYTES,
        BASE64_EDGE,
    ),
    (
        "base64, one further",
        |key| STANDARD.encode(format!("u{key}\n")),
        TRACE_BYTES,
        BASE64_EDGE,
    ),
    (
        "base64, two further",
        |key| STANDARD.encode(format!("u:{key}\n")),
        TRACE_BYTES,
        BASE64_EDGE,
    ),
    (
        "base64 for URLs",
        |key| URL_SAFE_NO_PAD.encode(key),
        TRACE_BYTES,
        BASE64_EDGE,
    ),
];

/// Every form, each of a key of its own.
pub(super) fn forms(keys: &[String]) -> Vec<Form> {
    let (plain, encoded) = keys.split_at(PLAIN.len().min(keys.len()));
    let plain = plain.iter().zip(PLAIN).map(|(key, (name, write, piece))| {
        let (first, rest) = key.split_at(key.len() / 2);
        Form {
            name,
            text: write(first, rest),
            traces: match piece {
                Some(bytes) => pieces(key, bytes),
                None => windows(key, TRACE_BYTES),
            },
        }
    });
    let encoded = encoded
        .iter()
        .zip(ENCODED)
        .map(|(key, (name, write, bytes, edge))| {
            let text = write(key);
            let traces = windows(&text[edge..text.len() - edge], bytes);
            Form { name, text, traces }
        });
    plain.chain(encoded).collect()
}

/// Every run of so many bytes.
fn windows(text: &str, bytes: usize) -> Vec<Vec<u8>> {
    text.as_bytes().windows(bytes).map(<[u8]>::to_vec).collect()
}

fn pieces(text: &str, bytes: usize) -> Vec<Vec<u8>> {
    let whole = text.as_bytes().chunks_exact(bytes);
    whole.map(<[u8]>::to_vec).collect()
}

/// As a pager or a table wraps it.
fn wrapped(text: &str, bytes: usize) -> String {
    let lines = text.as_bytes().chunks(bytes).map(String::from_utf8_lossy);
    let lines: Vec<String> = lines.map(|line| format!("│ {line}")).collect();
    lines.join("\n")
}

fn percent(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn hex(bytes: &[u8]) -> String {
    let mut digits = String::new();
    for byte in bytes {
        let _infallible = write!(digits, "{byte:02x}");
    }
    digits
}

/// Writes every form to stdout and stderr. `file` holds the keys, one a line; the one in our environment is given away, too.
pub(super) fn sing(
    terminal: &TerminalHandle,
    surroundings: &Surroundings,
    file: &Path,
) -> Result<ExitStatus> {
    let keys = fs::read_to_string(file).map_err(|error| broken(file, &error))?;
    let keys: Vec<String> = keys.lines().map(str::to_owned).collect();
    let own = surroundings.environment.get(OsStr::new(VARIABLE));
    let own = own.and_then(|key| key.to_str());
    let own = own.ok_or_else(|| Error::usage(format!("{VARIABLE} is not set")))?;
    terminal.say(Target::Stdout, format!("my own is {own}\n"));
    for form in forms(&keys) {
        for target in [Target::Stdout, Target::Stderr] {
            terminal.say(target, format!("{}: {}\n", form.name, form.text));
        }
    }
    // A failure, so that the last lines are shown with it.
    Ok(ExitStatus::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_keys_are_long_and_every_form_of_one_leaves_traces() {
        let keys = keys().unwrap();
        assert!(keys.iter().all(|key| key.len() == 45), "{keys:?}");
        let forms = forms(&keys);
        assert_eq!(forms.len(), FORMS);
        for form in forms {
            assert!(
                form.traces.len() > 1 || form.name == "wrapped",
                "{}",
                form.name
            );
        }
    }
}
