//! What the loop says, and in which form: as text or JSON, to stdout or stderr, or not at all.
//!
//! What was asked for goes to stdout: the children's output, the dry run, JSON. What we say about it goes to stderr.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::config::options::{Format, OutputMode};
use crate::config::resolve::{Invocation, Mode, Verbosity};
use crate::error::Error;
use crate::escape::{dollar_quoted, escape_text};
use crate::items::plan::Plan;
use crate::output::Target;
use crate::output::terminal::TerminalHandle;
use crate::report::elapsed::elapsed;
use crate::report::json;
use crate::report::link::{self, Links};
use crate::report::paint::Paint;
use crate::report::progress::{Progress, progress_message};
use crate::report::result::{ItemResult, ending_words, outcome_word};
use crate::report::stages::{StageView, stage_message};
use crate::report::summary::Summary;
use crate::schedule::bottleneck::Lost;
use crate::schedule::event::Outcome;
use crate::schedule::stage::Cause;
use crate::state::history::History;
use crate::state::run_event::EventLine;
use crate::surroundings::Surroundings;

use super::launch::Order;

/// How many warnings are held back at most; the first ones tell most.
const HELD_MAX: usize = 100;

/// So many processes that hold keys are named; the others are counted.
const HOLDERS_MAX: usize = 4;

/// How this run speaks.
///
/// With `--quiet` nothing is said unless something fails: warnings are held back, and said if it does.
#[derive(Clone)]
pub(super) struct Voice {
    terminal: TerminalHandle,
    mode: Mode,
    format: Format,
    verbosity: Verbosity,
    paint: Paint,
    /// Where the paths of logs lead, if the terminal shows links.
    links: Option<Links>,
    /// The output of items that failed is shown when they end.
    shows_failures: bool,
    line: Vec<String>,
    held: Rc<RefCell<Vec<String>>>,
}

/// Says what stopped us before anything began, and what to do about it; to a machine as well, if one asked.
pub(super) fn error(terminal: &TerminalHandle, error: &Error, format: Format) {
    if format == Format::Json {
        terminal.say_verbatim(Target::Stdout, json::error_line(error));
    }
    let message = escape_text(&error.to_string()).into_owned();
    terminal.say(Target::Stderr, format!("orchestrate: {message}"));
    if let Some(hint) = error.hint() {
        for line in hint.lines() {
            terminal.say(Target::Stderr, format!("  {}", escape_text(line)));
        }
    }
}

/// How the pending items of a dry run would be run.
pub(super) fn how(invocation: &Invocation) -> String {
    match invocation.mode {
        Mode::Sequential => ", one after the other".to_owned(),
        Mode::Parallel(width) => format!(", up to {width} at once"),
    }
}

impl Voice {
    pub(super) fn new(
        terminal: TerminalHandle,
        invocation: &Invocation,
        surroundings: &Surroundings,
        line: &[String],
    ) -> Self {
        let output = invocation.output;
        Self {
            terminal,
            mode: invocation.mode,
            format: invocation.format,
            verbosity: invocation.verbosity,
            paint: Paint(invocation.stderr_colour),
            links: links(invocation, surroundings),
            shows_failures: matches!(output, OutputMode::Group | OutputMode::Failures),
            line: line.to_vec(),
            held: Rc::default(),
        }
    }

    /// Something has happened, which a machine wants to know.
    pub(super) fn event(&self, event: &EventLine, state: &str) {
        if self.format == Format::Json {
            self.say_json(json::event_line(event, state));
        }
    }

    fn say_json(&self, line: String) {
        self.terminal.say_verbatim(Target::Stdout, line);
    }

    /// The command line that runs what is left, for a person to paste. What is done is skipped by itself, so `--rerun`
    /// is needed only for items that it asked for and that were not started.
    pub(super) fn rerun(&self, not_started: bool) -> String {
        rerun(&self.line, not_started)
    }

    /// One sentence about ourselves.
    pub(super) fn say(&self, text: &str) {
        self.terminal
            .say(Target::Stderr, format!("orchestrate: {text}"));
    }

    pub(super) fn warning(&self, text: &str) {
        let line = self.warning_line(text);
        self.say_or_hold(line);
    }

    /// What a person is told in other words than a warning's, and a machine as one.
    fn remark(&self, text: String) {
        if self.format == Format::Json {
            self.say_json(json::warning_line(&text));
        }
        self.say_or_hold(text);
    }

    /// A warning that is a failure of its own: it is said in any case.
    pub(super) fn alarm(&self, text: &str) {
        self.say(&self.warning_line(text));
    }

    fn warning_line(&self, text: &str) -> String {
        let text = escape_text(text);
        if self.format == Format::Json {
            self.say_json(json::warning_line(&text));
        }
        format!("{} {text}", self.paint.warn("warning:"))
    }

    fn say_or_hold(&self, line: String) {
        if self.verbosity > Verbosity::Quiet {
            return self.say(&line);
        }
        let mut held = self.held.borrow_mut();
        if held.len() < HELD_MAX {
            held.push(line);
        }
    }

    /// Something has failed: what was held back belongs to it.
    pub(super) fn tell_held(&self) {
        for line in self.held.take() {
            self.say(&line);
        }
    }

    /// What the source, the journal and the plan have to tell.
    pub(super) fn notes(&self, warnings: &[String], history: &History, collisions: Option<&str>) {
        let known = warnings.iter().chain(history.notes()).map(String::as_str);
        for warning in known.chain(collisions) {
            self.warning(warning);
        }
    }

    /// The summary of a run in which nothing happened.
    pub(super) fn nothing_happened(&self) {
        let empty = Summary {
            results: &[],
            not_started: 0,
            duration: Duration::ZERO,
            forecast: None,
            lost: Lost::default(),
            rerun: "",
        };
        self.say_json(json::summary_line(&empty, None, Some(0)));
    }

    /// Another run holds the workflow, and this one does nothing.
    pub(super) fn skipped(&self, held: &str) {
        if self.format == Format::Json {
            self.nothing_happened();
        }
        if self.verbosity > Verbosity::Quiet {
            self.say(&format!("{}; skipped", escape_text(held)));
        }
    }

    /// Another run holds the workflow, and this one waits for its end.
    pub(super) fn waits(&self, held: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.say(&format!("{}; waiting until it ends", escape_text(held)));
        }
    }

    pub(super) fn nothing_to_do(&self, plan: &Plan) {
        if self.format == Format::Json {
            self.nothing_happened();
        } else if self.verbosity > Verbosity::Quiet {
            let of = match plan.len() {
                0 => String::new(),
                1 => " (1 item is done or not ready; --dry-run shows why)".to_owned(),
                all => format!(" ({all} items are done or not ready; --dry-run shows why)"),
            };
            self.terminal
                .say(Target::Stderr, format!("Nothing to process{of}"));
        }
    }

    pub(super) fn starting(&self, order: &Order<'_>, command: &str) {
        let key = order
            .secret
            .map(|secret| format!(" with {}", secret.label()));
        let key = key.unwrap_or_default();
        self.say(&format!(
            "{} starts in slot {}{key}: {command}",
            order.item.id, order.slot
        ));
    }

    /// An item has its outcome, as the `number`th of `all`: tells it in JSON, and makes the line for people. `why_no_key`
    /// is for one that was never started.
    pub(super) fn ended(
        &self,
        result: &ItemResult,
        why_no_key: &str,
        number: usize,
        all: usize,
    ) -> Option<String> {
        if self.format == Format::Json {
            self.say_json(json::item_line(result));
        }
        // In sequential mode the terminal is the items' own.
        let silent = self.mode == Mode::Sequential && result.ending.is_some();
        let good = result.outcome == Outcome::Done;
        if silent || (good && self.verbosity == Verbosity::Quiet) {
            return None;
        }
        let word = outcome_word(result.outcome);
        let word = match result.outcome {
            Outcome::Done => self.paint.good(word),
            Outcome::Failed | Outcome::TimedOut => self.paint.bad(word),
            Outcome::Interrupted | Outcome::Deferred => self.paint.warn(word),
        };
        let count = self.paint.dim(&format!("[{number}/{all}]"));
        let time = elapsed(result.duration);
        let why = match &result.ending {
            Some(ending) if !good => format!(": {}", ending_words(ending)),
            Some(_) => String::new(),
            None => format!(": {why_no_key}"),
        };
        let log = result.log.as_ref().filter(|_| !good);
        let id = match (&self.links, log) {
            (Some(links), Some(log)) => links.link_as(&result.id, log),
            (Some(_) | None, _) => result.id.clone(),
        };
        let again = if result.attempt > 1 {
            format!(" on attempt {}", result.attempt)
        } else {
            String::new()
        };
        Some(format!("{count} {id} {word} in {time}{again}{why}"))
    }

    /// An item has left processes running; they have been ended.
    pub(super) fn left(&self, id: &str, count: usize, names: &str, all_ended: bool) {
        let processes = if count == 1 { "process" } else { "processes" };
        let end = if all_ended { "; ended" } else { "" };
        self.warning(&format!(
            "{id} left {count} {processes} running: {names}{end}"
        ));
    }

    /// An item takes much longer than the others did.
    pub(super) fn straggles(&self, id: &str, time: Duration, usual: Duration, log: &str) {
        self.remark(format!(
            "{id} has been running for {}, the others took about {}: {log}",
            elapsed(time),
            elapsed(usual)
        ));
    }

    /// An attempt failed, and the item gets another one.
    pub(super) fn retrying(&self, result: &ItemResult, attempt: u32, of: u32, wait: Duration) {
        let why = result.ending.as_ref().map(ending_words).unwrap_or_default();
        let word = self.paint.warn(outcome_word(result.outcome));
        self.say_or_hold(format!(
            "{} {word} after {}: {why}; attempt {attempt} of {of} follows in {}",
            result.id,
            elapsed(result.duration),
            elapsed(wait)
        ));
    }

    /// An attempt met a limit, and the item goes back to the queue, or waits for `wait` first.
    pub(super) fn requeued(&self, result: &ItemResult, why: &str, wait: Option<Duration>) {
        let key = result.credential.as_ref();
        let key = key.map_or_else(String::new, |key| format!(" with {key}"));
        let word = self.paint.warn("deferred");
        let next = wait.map_or_else(
            || "back in the queue".to_owned(),
            |wait| format!("tried again in {}", elapsed(wait)),
        );
        self.say(&format!(
            "{} {word} after {}{key}: {why}; {next}",
            result.id,
            elapsed(result.duration)
        ));
    }

    /// Nobody who waits gets a key in time.
    pub(super) fn no_key(&self, back_in: Option<Duration>) {
        let text = match back_in {
            Some(time) => format!(
                "the first key comes back in {}; start again then",
                elapsed(time)
            ),
            None => "look at the keys: each was rejected, or is disabled".to_owned(),
        };
        self.warning(&text);
    }

    /// Nothing runs, because all keys rest.
    pub(super) fn stands_still(&self, waiting: usize, back_in: Duration) {
        let items = if waiting == 1 {
            "item waits"
        } else {
            "items wait"
        };
        self.remark(format!(
            "all keys rest: {waiting} {items}, the first key comes back in {}",
            elapsed(back_in)
        ));
    }

    /// Nothing runs, because other runs hold all keys.
    pub(super) fn keys_are_held(&self, waiting: usize, holders: &[String]) {
        let items = if waiting == 1 {
            "item waits"
        } else {
            "items wait"
        };
        let more = holders.len().saturating_sub(HOLDERS_MAX);
        let named = &holders[..holders.len() - more];
        let mut by = if named.is_empty() {
            "other processes".to_owned()
        } else {
            named.join(", ")
        };
        if more > 0 {
            by = format!("{by} and {more} more");
        }
        self.remark(format!("all keys are held by {by}: {waiting} {items}"));
    }

    pub(super) fn stage(&self, view: &StageView<'_>) {
        // In sequential mode the child has the word until it ends.
        if self.mode == Mode::Sequential {
            return;
        }
        // Who has pressed a key wants to see that it was heard.
        let is_answer = matches!(view.raised.cause, Cause::Pressed(_));
        for line in stage_message(view).lines() {
            if is_answer {
                self.say(line);
            } else {
                self.say_or_hold(line.to_owned());
            }
        }
    }

    /// The answer to the question how it is going.
    pub(super) fn progress(&self, progress: &Progress<'_>) {
        for line in progress_message(progress).lines() {
            self.say(line);
        }
    }

    /// Ctrl-Z: `items` are stopped where they are, and we are next.
    pub(super) fn suspended(&self, items: usize) {
        let stopped = match items {
            0 => String::new(),
            1 => ": 1 item stopped, timers paused".to_owned(),
            _ => format!(": {items} items stopped, timers paused"),
        };
        self.say(&format!("suspended{stopped}; `fg` or SIGCONT goes on"));
    }

    /// We, and as many items, go on.
    pub(super) fn resumed(&self, items: usize, paused: Duration) {
        let goes_on = if items == 1 {
            "1 item goes on"
        } else {
            &format!("{items} items go on")
        };
        self.say(&format!("{goes_on} after {}", elapsed(paused)));
    }

    pub(super) fn events_lost(&self, reason: &str) {
        self.warning(&format!(
            "events.jsonl cannot be written ({reason}): `orchestrate status` knows no more of this run until it ends"
        ));
    }

    pub(super) fn journal_lost(&self) {
        let words =
            "the journal cannot be written: nothing new starts, and what ends now is not recorded";
        if self.format == Format::Json {
            self.say_json(json::warning_line(words));
        }
        self.say(words);
    }

    /// Commands for the runner of GitHub Actions, which reads stderr as it reads stdout.
    pub(super) fn annotate(&self, commands: String) {
        if !commands.is_empty() {
            self.terminal.say_verbatim(Target::Stderr, commands);
        }
    }

    /// A result as the summary tells it: its log is a link.
    fn shown_at_the_end(&self, result: &ItemResult) -> ItemResult {
        let log = result.log.as_ref().map(|log| match &self.links {
            Some(links) => links.link(log),
            None => log.clone(),
        });
        ItemResult {
            log,
            ..result.clone()
        }
    }

    pub(super) fn summary(&self, summary: &Summary<'_>, run_id: &str, exit_status: Option<u8>) {
        if self.format == Format::Json {
            self.say_json(json::summary_line(summary, Some(run_id), exit_status));
        }
        if exit_status != Some(0) {
            self.tell_held();
        }
        let results: Vec<ItemResult> = summary
            .results
            .iter()
            .map(|result| self.shown_at_the_end(result))
            .collect();
        let shown = Summary {
            results: &results,
            ..*summary
        };
        let is_quiet = self.verbosity == Verbosity::Quiet;
        let text = shown.text(self.paint, is_quiet, !self.shows_failures);
        if !text.is_empty() {
            self.terminal.say(Target::Stderr, text);
        }
    }
}

/// Links are for the terminal that shows colours, too.
fn links(invocation: &Invocation, surroundings: &Surroundings) -> Option<Links> {
    let is_shown = surroundings.stderr_is_terminal
        && invocation.stderr_colour
        && link::are_supported(surroundings);
    is_shown.then(|| Links {
        host: nix::unistd::gethostname().map_or_else(
            |_| String::new(),
            |host| host.to_string_lossy().into_owned(),
        ),
        directory: surroundings.directory.clone(),
    })
}

fn rerun(line: &[String], keep: bool) -> String {
    let mut words = Vec::new();
    let mut rest = line.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            words.push(word);
            words.extend(rest);
            break;
        }
        if word == "--rerun" && !keep {
            rest.next();
        } else if keep || !word.starts_with("--rerun=") {
            words.push(word);
        }
    }
    let quoted: Vec<Cow<'_, str>> = words.into_iter().map(|word| pasted(word)).collect();
    quoted.join(" ")
}

/// A word as a shell takes it.
fn pasted(word: &str) -> Cow<'_, str> {
    match shlex::try_quote(word) {
        Ok(quoted) if escape_text(word) == word => quoted,
        Ok(_) | Err(_) => Cow::Owned(dollar_quoted(word.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_for_the_rest_is_what_was_typed_without_rerun() {
        for (typed, again) in [
            (
                &["orchestrate", "-j4", "requirements"][..],
                "orchestrate -j4 requirements",
            ),
            (
                &["orchestrate", "--rerun", "all", "x", "a b"],
                "orchestrate x 'a b'",
            ),
            (&["orchestrate", "--rerun=changed", "x"], "orchestrate x"),
            (
                &["orchestrate", "x", "--", "--rerun", "$(y)"],
                "orchestrate x -- --rerun '$(y)'",
            ),
        ] {
            let typed: Vec<String> = typed.iter().map(ToString::to_string).collect();
            assert_eq!(rerun(&typed, false), again);
        }
        let typed = ["orchestrate", "--rerun", "all", "x"].map(str::to_owned);
        assert_eq!(rerun(&typed, true), "orchestrate --rerun all x");
    }
}
