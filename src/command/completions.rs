//! `orchestrate completions`: what a shell needs to complete our command lines, and our answers when it asks.
//!
//! The script that a shell reads once asks us at every key press, with a variable in the environment and the words that
//! stand there ([`asked`], [`answer`]; `main.rs` looks before anything else). So names of workflows, runs, items and keys
//! are those of the workspace. They come from files of ours that are there: nothing is started, and nobody is asked.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Arg, ArgAction, Command, value_parser};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::Shells;

use crate::cli::Cli;
use crate::config::builtin::Builtin;
use crate::config::file::ConfigFile;
use crate::config::resolve::place;
use crate::error::{Error, ExitStatus, Result};
use crate::escape::clipped;
use crate::output::Target;
use crate::output::terminal::TerminalHandle;
use crate::state::directory::StateDirectory;
use crate::state::run_record::RunRecord;
use crate::state::runs::Runs;
use crate::surroundings::Surroundings;

const PROGRAM: &str = "orchestrate";
/// Set by the script when it asks; its value is the shell.
const VARIABLE: &str = "_ORCHESTRATE_COMPLETE";
/// The number of the word at the cursor, from those shells that tell it; else it is the last.
const CURSOR_VARIABLE: &str = "_CLAP_COMPLETE_INDEX";
/// Older runs are not looked at.
const RUNS_MAX: usize = 20;
/// A title is cut after this many characters.
const TITLE_CHARACTERS_MAX: usize = 60;

/// Values that an option may have, where they are words.
const WORDS: [(&str, &[&str]); 7] = [
    ("output", &["prefix", "group", "failures", "none"]),
    ("format", &["text", "json"]),
    ("color", &["auto", "always", "never"]),
    ("progress", &["auto", "always", "never"]),
    ("rerun", &["changed", "all"]),
    ("only", &["failed"]),
    ("if_locked", &["fail", "skip", "wait"]),
];

/// Prints the script.
pub(super) fn script(terminal: &TerminalHandle, shell: &str) -> Result<ExitStatus> {
    let shells = Shells::builtins();
    let completer = shells.completer(shell).ok_or_else(|| {
        Error::usage(format!(
            "there is no completion for `{}`",
            shell.escape_debug()
        ))
    })?;
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)
        .map_err(|error| Error::state(format!("the script cannot be written: {error}")))?;
    let script = String::from_utf8_lossy(&script).into_owned();
    terminal.say(Target::Stdout, script);
    Ok(ExitStatus::Success)
}

/// The shell that asks, if one does.
#[must_use]
pub fn asked(surroundings: &Surroundings) -> Option<&OsStr> {
    let shell = surroundings.environment.get(OsStr::new(VARIABLE))?;
    Some(shell.as_os_str()).filter(|shell| !shell.is_empty())
}

/// What may stand where the cursor is, in the form of the shell; nothing when that is not known. `words` are all that
/// we were started with: our own path, `--`, and the words of the line.
#[must_use]
pub fn answer(shell: &OsStr, words: Vec<OsString>, surroundings: &Surroundings) -> Vec<u8> {
    let line: Vec<OsString> = words
        .into_iter()
        .skip_while(|word| word != "--")
        .skip(1)
        .collect();
    let shells = Shells::builtins();
    let Some(completer) = shell.to_str().and_then(|shell| shells.completer(shell)) else {
        return Vec::new();
    };
    let cursor = surroundings
        .variable(CURSOR_VARIABLE)
        .and_then(|index| index.parse().ok());
    let workspace = Arc::new(Workspace {
        line: line
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        cursor: cursor.unwrap_or(line.len().saturating_sub(1)),
        surroundings: surroundings.clone(),
    });
    let mut command = decorated(Cli::definition(), &workspace);
    if workspace.has_workflow() {
        // What stands behind a workflow is an item.
        command = command.mut_subcommands(|below| below.hide(true));
    }
    let mut answer = Vec::new();
    let here = Some(surroundings.directory.as_path());
    match completer.write_complete(&mut command, line, here, &mut answer) {
        Ok(()) => answer,
        Err(_) => Vec::new(),
    }
}

/// The command with what may stand in each place.
fn decorated(command: Command, workspace: &Arc<Workspace>) -> Command {
    command
        .mut_args(|argument| with_candidates(argument, workspace))
        .mut_subcommands(|below| decorated(below, workspace))
}

fn with_candidates(argument: Arg, workspace: &Arc<Workspace>) -> Arg {
    // Hidden ones are shown when there is nothing else.
    let is_aside = !argument.is_positional() && !workspace.wants_options();
    let argument = if is_aside {
        argument.hide(true)
    } else {
        argument
    };
    let id = argument.get_id().as_str();
    if argument.is_require_equals_set() {
        // A switch: the word behind it is not its value, which the engine would take it for.
        return argument
            .value_parser(value_parser!(bool))
            .require_equals(false)
            .num_args(0)
            .action(ArgAction::SetTrue);
    }
    if let Some((_, words)) = WORDS.iter().find(|(name, _)| *name == id) {
        let words = || words.iter().map(CompletionCandidate::new).collect();
        return argument.add(ArgValueCandidates::new(words));
    }
    let ask: fn(&Workspace) -> Option<Vec<CompletionCandidate>> = match id {
        "workflow" | "pool-of" => |it| Some(it.workflows()),
        "items" => Workspace::items,
        "item" => Workspace::items_of_the_newest,
        "run" => Workspace::runs,
        "label" => Workspace::labels,
        _ => return argument,
    };
    let workspace = Arc::clone(workspace);
    argument.add(ArgValueCandidates::new(move || {
        let mut candidates = ask(&workspace).unwrap_or_default();
        candidates.retain(|it| it.get_value().to_str().is_some_and(is_plain));
        candidates
    }))
}

/// Whether a name can stand on a command line as it is: the shell puts it there without quotes, and text from outside
/// must not become a command.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-_.+,:@%/".contains(c);
    !name.starts_with('-') && name.chars().all(plain)
}

/// Where the line is typed.
struct Workspace {
    line: Vec<String>,
    /// Which word of the line is completed.
    cursor: usize,
    surroundings: Surroundings,
}

impl Workspace {
    /// Whether a workflow stands before the cursor.
    fn has_workflow(&self) -> bool {
        let before = self.line.iter().take(self.cursor);
        let matches = Cli::definition()
            .ignore_errors(true)
            .try_get_matches_from(before);
        matches
            .is_ok_and(|it| it.subcommand().is_none() && it.get_one::<String>("workflow").is_some())
    }

    /// Whether an option is being typed.
    fn wants_options(&self) -> bool {
        self.line
            .get(self.cursor)
            .is_some_and(|word| word.starts_with('-'))
    }

    fn workflows(&self) -> Vec<CompletionCandidate> {
        let Ok((place, _)) = place(
            self.path("-C", "--directory"),
            self.path("", "--config"),
            &self.surroundings,
        ) else {
            return Vec::new();
        };
        let file = place
            .config
            .as_deref()
            .and_then(|path| ConfigFile::read(path).ok());
        let own = file
            .map(|file| file.workflows)
            .unwrap_or_default()
            .into_keys();
        let tools = Builtin::ALL.into_iter();
        let built_in = tools.filter(|it| place.root.join(it.tool()).exists());
        let mut names: Vec<String> = own.chain(built_in.map(|it| it.name().to_owned())).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(CompletionCandidate::new).collect()
    }

    /// The items of the newest run of the workflow that stands in the line.
    fn items(&self) -> Option<Vec<CompletionCandidate>> {
        self.record_where(|record| self.line.contains(&record.workflow))
            .map(|record| candidates(&record))
    }

    fn items_of_the_newest(&self) -> Option<Vec<CompletionCandidate>> {
        self.record_where(|_| true)
            .map(|record| candidates(&record))
    }

    fn labels(&self) -> Option<Vec<CompletionCandidate>> {
        let record = self.record_where(|record| !record.credentials.is_empty())?;
        Some(
            record
                .credentials
                .into_iter()
                .map(CompletionCandidate::new)
                .collect(),
        )
    }

    fn runs(&self) -> Option<Vec<CompletionCandidate>> {
        let state = self.state()?;
        let runs = Runs::find(&state).ok()??;
        let newest = runs.newest_first().into_iter().take(RUNS_MAX);
        Some(
            newest
                .map(|id| CompletionCandidate::new(id.as_str()))
                .collect(),
        )
    }

    fn record_where(&self, fits: impl Fn(&RunRecord) -> bool) -> Option<RunRecord> {
        let state = self.state()?;
        let runs = Runs::find(&state).ok()??;
        let newest = runs.newest_first().into_iter().take(RUNS_MAX);
        let mut records = newest.filter_map(|id| runs.record(&id).ok()?);
        records.find(fits)
    }

    fn state(&self) -> Option<StateDirectory> {
        let directory = self.path("-C", "--directory");
        let (place, _) = place(directory, self.path("", "--config"), &self.surroundings).ok()?;
        StateDirectory::find(&place.root).ok()?
    }

    /// What stands in the line as the value of this option.
    fn path(&self, short: &str, long: &str) -> Option<PathBuf> {
        let mut words = self.line.iter();
        while let Some(word) = words.next() {
            if word == long || (word == short && !short.is_empty()) {
                return words.next().map(PathBuf::from);
            }
            if let Some(value) = word
                .strip_prefix(long)
                .and_then(|rest| rest.strip_prefix('='))
            {
                return Some(PathBuf::from(value));
            }
        }
        None
    }
}

fn candidates(record: &RunRecord) -> Vec<CompletionCandidate> {
    let candidate = |item: &crate::state::run_record::RunItem| {
        let title = clipped(&item.title, TITLE_CHARACTERS_MAX);
        let help = (!title.is_empty()).then(|| title.into());
        CompletionCandidate::new(&item.id).help(help)
    };
    record.items.iter().map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::Options;

    #[test]
    fn every_option_whose_values_are_words_offers_all_of_them() {
        for name in Options::names() {
            let Err(why) = Options::default().set(&name, "\u{1}") else {
                continue;
            };
            // It names them: "it is `text` or `json`".
            let named: Vec<&str> = why.split('`').skip(1).step_by(2).collect();
            let is_choice = why.starts_with("it is `") && named != ["true", "false"];
            let id = name.replace('-', "_");
            let offered = WORDS.iter().find(|(known, _)| *known == id);
            let expected = is_choice.then_some(&named[..]);
            assert_eq!(
                offered.map(|(_, words)| *words),
                expected,
                "--{name}: {why}"
            );
        }
    }
}
