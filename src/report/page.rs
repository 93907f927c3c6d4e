//! One run as one HTML page that needs nothing else: a timeline, the keys, the number at once, and a table.
//!
//! `orchestrate report` asks for it. Pure: this file puts together what lies in `page/` (the form, the looks and the
//! script, as they are) and what `data.rs` says of the run. The page loads nothing and runs nothing but its own script:
//! its policy names the hashes of that script and of its looks (Content Security Policy Level 3, 8.3). All text from
//! outside goes through [`escape_text`] first, then through the escape of the place where it stands.

mod data;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::paint::Paint;
use super::run_status::heading;
use super::run_view::RunView;
use crate::escape::escape_text;
use crate::state::run_event::EventLine;
use crate::state::run_record::{Life, RunRecord};
use data::data;

const FORM: &str = include_str!("page/page.html");
const LOOKS: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The page; `logs` is the path of the run's logs as seen from where the page will lie, without a slash at its end.
#[must_use]
pub fn html(
    record: RunRecord,
    events: &[EventLine],
    life: Life,
    logs: &str,
    now: Timestamp,
) -> String {
    let view = RunView::new(record, events, life);
    let title = format!("{} {}", view.record.workflow, view.record.run);
    let data = data(&view, events, logs, now).to_string();
    let heading = heading(&view, now, Paint(false));
    let mut lines = heading.lines().map(in_html);
    let first = lines.next().unwrap_or_default();
    let others: Vec<String> = lines.map(|line| format!("<p>{line}</p>")).collect();
    fill(&[
        ("policy", &policy()),
        ("title", &in_html(&title)),
        ("style", LOOKS),
        ("heading", &first),
        ("summary", &others.join("\n")),
        ("data", &in_script(&data)),
        ("script", SCRIPT),
    ])
}

/// What the page may load and run.
fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(LOOKS)
    )
}

/// The form with its `{{marks}}` filled, in the order in which they stand there: what is filled in is never searched.
fn fill(values: &[(&str, &str)]) -> String {
    let mut rest = FORM;
    let mut page = String::new();
    for (mark, value) in values {
        let (before, after) = rest
            .split_once(&format!("{{{{{mark}}}}}"))
            .unwrap_or((rest, ""));
        page.push_str(before);
        page.push_str(value);
        rest = after;
    }
    page + rest
}

/// Text from outside between tags or in an attribute.
fn in_html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in escape_text(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// JSON in a `<script>`: nothing in it ends the element or begins a comment (HTML, 4.12.1.3). In JSON these characters
/// stand in strings only.
fn in_script(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => safe.push_str("\\u003c"),
            '>' => safe.push_str("\\u003e"),
            '&' => safe.push_str("\\u0026"),
            '\u{2028}' => safe.push_str("\\u2028"),
            '\u{2029}' => safe.push_str("\\u2029"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests;
