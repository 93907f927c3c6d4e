//! The end of a run as GitHub Actions shows it: the summary of the step, and an annotation for each cause.
//!
//! The summary is Markdown in which everything is HTML: each block is one line that begins with a block's tag, so that no
//! Markdown is read in it (`CommonMark`, "HTML blocks"), and text from outside needs one way of escaping only. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::cause::Group;
use super::elapsed::elapsed;
use super::paint::Paint;
use super::result::{ItemResult, ending_words, outcome_word};
use super::summary::Summary;
use crate::escape::clipped;
use crate::output::workflow_command::command;
use crate::schedule::event::Outcome;

/// What the runner takes as the summary of one step, in bytes; of more it takes nothing.
pub const STEP_BYTES_MAX: usize = 1024 * 1024;

/// What the runner shows of one step.
const ANNOTATIONS_MAX: usize = 10;

/// Items that are named with a cause.
const NAMED_MAX: usize = 50;

/// Items of one table; so many tables are left out as do not fit.
const ROWS_MAX: usize = 200;

/// Titles are cut after this many characters.
const TITLE_CHARACTERS_MAX: usize = 200;

/// The last lines of an item that an annotation has.
const ANNOTATED_LINES_MAX: usize = 5;

/// Said when not all fits.
const CUT: &str = "<p>… and more, which does not fit into the summary of a step.</p>\n\n";

/// The blocks of the step's summary; the most important first.
#[must_use]
pub fn blocks(summary: &Summary<'_>, workflow: &str) -> Vec<String> {
    let counts = summary.counts(Paint(false)).replace('\n', " ");
    let title = format!("{workflow}: {counts}");
    let mut blocks = vec![format!("<h3>{}</h3>", escape(&title))];
    let remarks = summary.remarks();
    blocks.extend(
        remarks
            .iter()
            .map(|line| format!("<p>{}</p>", escape(line))),
    );
    if summary.has_rest() {
        let rerun = escape(summary.rerun);
        blocks.push(format!("<p>To run what is left: <code>{rerun}</code></p>"));
    }
    blocks.extend(summary.causes().iter().map(cause_block));
    let unrecorded: Vec<&ItemResult> = summary
        .results
        .iter()
        .filter(|it| it.unrecorded.is_some())
        .collect();
    blocks.extend(tables("not recorded", &unrecorded));
    for (outcome, words) in [
        (Outcome::Interrupted, "interrupted"),
        (Outcome::Deferred, "deferred"),
        (Outcome::Done, "done"),
    ] {
        let is_meant = |it: &&ItemResult| it.outcome == outcome && it.unrecorded.is_none();
        let results: Vec<&ItemResult> = summary.results.iter().filter(is_meant).collect();
        blocks.extend(tables(words, &results));
    }
    blocks
}

/// As many of the blocks as fit into so many bytes, and a word about the others.
#[must_use]
pub fn fitting(blocks: &[String], bytes_max: usize) -> String {
    // What is there may end in the middle of a line.
    let mut text = "\n\n".to_owned();
    let mut rest: usize = blocks.iter().map(|block| block.len() + 2).sum();
    for block in blocks {
        rest -= block.len() + 2;
        if text.len() + block.len() + 2 + rest.min(CUT.len()) > bytes_max {
            if text.len() + CUT.len() <= bytes_max {
                text.push_str(CUT);
            }
            break;
        }
        text.push_str(block);
        text.push_str("\n\n");
    }
    if text.len() > bytes_max || text.trim().is_empty() {
        text.clear();
    }
    text
}

/// An error for each cause, as commands that the runner reads.
#[must_use]
pub fn annotations(summary: &Summary<'_>, workflow: &str) -> String {
    let causes = summary.causes();
    let mut text = String::new();
    for group in causes.iter().take(ANNOTATIONS_MAX) {
        let title = format!("{workflow}: {} failed", names(group, 3));
        let example = group.failures.first();
        let tail = example.map_or(&[][..], |example| &example.tail);
        let tail = &tail[tail.len().saturating_sub(ANNOTATED_LINES_MAX)..];
        let log = example.and_then(|it| it.log.as_ref());
        let mut lines = vec![group.words()];
        lines.extend(tail.iter().cloned());
        lines.extend(log.map(|log| format!("log: {log}")));
        text.push_str(&command("error", &title, &lines.join("\n")));
        text.push('\n');
    }
    text
}

fn cause_block(group: &Group<'_>) -> String {
    let count = group.failures.len();
    let words = escape(&group.words());
    let mut block = format!("<details open><summary><b>{count} failed</b>: {words}</summary>");
    let _infallible = write!(block, "<p>{}</p>", escape(&names(group, NAMED_MAX)));
    if let Some(example) = group.failures.first() {
        if !example.tail.is_empty() {
            // A line feed would end the block if the next line were empty.
            let tail = escape(&example.tail.join("\n")).replace('\n', "&#10;");
            let _infallible = write!(block, "<pre>{tail}</pre>");
        }
        if let Some(log) = &example.log {
            let _infallible = write!(block, "<p>log: <code>{}</code></p>", escape(log));
        }
    }
    block + "</details>"
}

/// The ids of a group, as many as that, and how many more there are.
fn names(group: &Group<'_>, max: usize) -> String {
    let ids: Vec<&str> = group.failures.iter().map(|it| it.id.as_str()).collect();
    let more = match ids.len().saturating_sub(max) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    ids[..ids.len().min(max)].join(", ") + &more
}

fn tables(words: &str, results: &[&ItemResult]) -> Vec<String> {
    let table = |(number, part): (usize, &[&ItemResult])| {
        let from = number * ROWS_MAX;
        let range = if results.len() > ROWS_MAX {
            format!(" ({} to {})", from + 1, from + part.len())
        } else {
            String::new()
        };
        let rows: String = part.iter().map(|result| row(result)).collect();
        let count = results.len();
        format!("<details><summary>{count} {words}{range}</summary><table>{rows}</table></details>")
    };
    results.chunks(ROWS_MAX).enumerate().map(table).collect()
}

fn row(result: &ItemResult) -> String {
    let why = match (&result.unrecorded, &result.ending) {
        (Some(why), _) => why.clone(),
        (None, Some(ending)) if result.outcome != Outcome::Done => ending_words(ending),
        (None, Some(_) | None) => String::new(),
    };
    let time = if result.duration == Duration::ZERO {
        String::new()
    } else {
        elapsed(result.duration)
    };
    let title = clipped(&result.title, TITLE_CHARACTERS_MAX);
    let cells = [
        &result.id,
        outcome_word(result.outcome),
        &time,
        &title,
        &why,
    ];
    let cells = cells.iter().fold(String::new(), |cells, cell| {
        cells + "<td>" + &escape(cell) + "</td>"
    });
    format!("<tr>{cells}</tr>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::bottleneck::Lost;
    use crate::schedule::event::Ending;

    fn result(id: &str, outcome: Outcome, ending: Ending) -> ItemResult {
        ItemResult {
            id: id.to_owned(),
            title: "a <b>title</b> | `x`".to_owned(),
            outcome,
            attempt: 1,
            ending: Some(ending),
            duration: Duration::from_secs(3),
            credential: None,
            log: Some(format!("logs/{id}.1.log")),
            log_cut: None,
            tail: vec![
                "</pre><script>".to_owned(),
                String::new(),
                "Error: 5% & more".to_owned(),
            ],
            unrecorded: None,
        }
    }

    fn told<T>(tell: impl Fn(&Summary<'_>) -> T) -> T {
        let results = [
            result("a", Outcome::Done, Ending::Exited(0)),
            result("b", Outcome::Failed, Ending::Exited(1)),
            result("c", Outcome::Failed, Ending::Exited(1)),
        ];
        tell(&Summary {
            results: &results,
            not_started: 0,
            duration: Duration::from_mins(1),
            forecast: None,
            lost: Lost::default(),
            rerun: "orchestrate w && <x>",
        })
    }

    #[test]
    fn failures_stand_open_and_successes_folded_and_nothing_from_outside_is_markup() {
        let blocks = told(|summary| blocks(summary, "w"));
        assert_eq!(
            blocks,
            [
                "<h3>w: 1 done, 2 failed in 1m (median 3s, slowest 3s: a)</h3>",
                "<p>To run what is left: <code>orchestrate w &amp;&amp; &lt;x&gt;</code></p>",
                "<details open><summary><b>2 failed</b>: exit 1: Error: 5% &amp; more</summary><p>b, c</p>\
                 <pre>&lt;/pre&gt;&lt;script&gt;&#10;&#10;Error: 5% &amp; more</pre>\
                 <p>log: <code>logs/b.1.log</code></p></details>",
                "<details><summary>1 done</summary><table><tr><td>a</td><td>done</td><td>3s</td>\
                 <td>a &lt;b&gt;title&lt;/b&gt; | `x`</td><td></td></tr></table></details>",
            ]
        );
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole_and_told() {
        let blocks = [
            "<p>12</p>".to_owned(),
            "x".repeat(200),
            "<p>y</p>".to_owned(),
        ];
        let all = fitting(&blocks, STEP_BYTES_MAX);
        assert_eq!(
            all,
            format!("\n\n{}\n\n{}\n\n{}\n\n", blocks[0], blocks[1], blocks[2])
        );
        for bytes_max in 0..=all.len() {
            let text = fitting(&blocks, bytes_max);
            assert!(text.len() <= bytes_max, "{bytes_max}");
            let is_whole = text.is_empty() || text == all || text.ends_with(CUT);
            assert!(is_whole, "{text}");
        }
        assert_eq!(fitting(&blocks, all.len()), all);
        assert_eq!(fitting(&blocks, 200), format!("\n\n<p>12</p>\n\n{CUT}"));
        assert_eq!(fitting(&blocks, 10), "");
    }

    #[test]
    fn each_cause_is_one_annotation_on_one_line() {
        let text = told(|summary| annotations(summary, "w"));
        assert_eq!(
            text,
            "::error title=w%3A b%2C c failed::exit 1: Error: 5%25 & more%0A</pre><script>%0A%0A\
             Error: 5%25 & more%0Alog: logs/b.1.log\n"
        );
    }

    #[test]
    fn many_items_that_are_done_stand_in_several_tables() {
        let done = result("a", Outcome::Done, Ending::Exited(0));
        let many: Vec<&ItemResult> = std::iter::repeat_n(&done, ROWS_MAX + 1).collect();
        let tables = tables("done", &many);
        assert_eq!(tables.len(), 2);
        assert!(tables[1].starts_with("<details><summary>201 done (201 to 201)</summary>"));
    }
}
