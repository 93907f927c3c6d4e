//! What was typed. What it means is decided in [`crate::config::resolve`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::options::Options;
use crate::config::time_span::TimeSpan;
use crate::report::schema::NAMES;

const EXAMPLES: &str = "\
Examples:
  orchestrate --parallel 6 requirements        all open issues that still need an LLD, six at a time
  orchestrate --dry-run implement              which approved LLDs would be implemented?
  orchestrate implement 42 57 100-120          only these, one after the other
  orchestrate --parallel 4 run --items-from urls.txt -- ./fetch.sh {item}

Every option may also come from the environment (ORCHESTRATE_PARALLEL for --parallel) and from
orchestrate.toml (parallel = 4); the command line wins, then the environment, then the file.

Exit status: 0 all done, 1 an item failed, 2 wrong usage, 65 damaged journal, 69 no item source,
74 state not writable, 75 work is left, 77 every key was rejected; from the second Ctrl-C on it
dies by the signal.

Signals: Ctrl-C once drains, twice (or SIGTERM) stops, three times (or SIGQUIT) kills; Ctrl-Z and fg
suspend and continue everything; SIGUSR1 says how it is going.";

const STATUS_EXAMPLES: &str = "\
Examples:
  orchestrate status                         the newest run
  orchestrate status 20261123                the run whose name begins so
  orchestrate status --format json | jq .counts";
const JOURNAL_EXAMPLES: &str = "\
Examples:
  orchestrate journal verify                 is every journal whole?
  orchestrate journal repair -n implement    what would be kept?";
const KEYS_EXAMPLES: &str = "\
Examples:
  orchestrate keys                           how each key stands, until when, and who holds it
  orchestrate keys disable work              hand it out to nobody, until `enable`";
const RUN_EXAMPLES: &str = "\
Examples:
  orchestrate -j4 run --items-from urls.txt -- ./fetch.sh {item}
  ls photos | orchestrate -j4 run --items-from - --name thumbs -- ./thumb.sh photos/{item}";
const LOGS_EXAMPLES: &str = "\
Examples:
  orchestrate logs 42                        what issue-42 has written in its last attempt
  orchestrate logs -f 42                     … and on, until it has ended";
const REPORT_EXAMPLES: &str = "\
Examples:
  orchestrate report                         the newest run; prints the path of the page
  orchestrate report --open 20261123         another one, shown in the browser";
const INIT_EXAMPLES: &str = "\
Examples:
  orchestrate init -n                        shows what would be written
  orchestrate init                           writes orchestrate.toml, if there is none";
const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  orchestrate completions bash >~/.local/share/bash-completion/completions/orchestrate
  orchestrate completions zsh >~/.zfunc/_orchestrate           (a directory of your fpath)
  orchestrate completions fish >~/.config/fish/completions/orchestrate.fish";
const MAN_EXAMPLES: &str = "\
Examples:
  orchestrate man | man -l -                 reads it
  orchestrate man logs | man -l -            the page of a subcommand";
const CLASSIFY_EXAMPLES: &str = "\
Examples:
  orchestrate logs 42 | orchestrate classify -
  orchestrate classify --exit 75 output.txt";
const CHECK_EXAMPLES: &str = "\
Examples:
  orchestrate check                          would tonight's run work here?
  orchestrate check --cron implement         … as cron would run it?";
const SCHEMA_EXAMPLES: &str = "\
Examples:
  orchestrate schema >line.schema.json       to validate each line of --format json, or to generate code
  orchestrate schema run                     that of .orchestrate/runs/RUN-ID/run.json";
const TELL_EXAMPLES: &str = "\
Examples:
  orchestrate tell rate-limited --retry-after 20
  orchestrate tell progress 'chapter 3 of 7'";

/// Run a slow per-item command over a batch of items: many at once, each in a child process of its own,
/// each with a credential of its own.
#[derive(Parser, Debug, Clone)]
#[command(
    name = "orchestrate",
    version,
    after_help = EXAMPLES,
    args_override_self = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    override_usage = "orchestrate [OPTIONS] <WORKFLOW> [ITEM]... [-- ARG...]\n       \
                      orchestrate [OPTIONS] run --items-from FILE [ITEM]... -- COMMAND...\n       \
                      orchestrate [OPTIONS] <COMMAND> ..."
)]
pub struct Cli {
    /// Options, which may stand before or after the workflow.
    #[command(flatten)]
    pub options: Options,

    /// Look here instead of in the current directory
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub directory: Option<PathBuf>,

    /// The configuration file [default: the nearest orchestrate.toml upwards]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// `requirements`, `implement`, or a workflow of orchestrate.toml
    #[arg(required = true)]
    pub workflow: Option<String>,

    /// Only these items: a number (42), a range (100-120) or an id (issue-42)
    #[arg(value_name = "ITEM")]
    pub items: Vec<String>,

    /// Appended to the per-item command
    #[arg(last = true, value_name = "ARG")]
    pub arguments: Vec<OsString>,

    /// A subcommand in place of a workflow.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The options that mean something where nothing is run.
const OPTIONS_OF_EVERY_COMMAND: [&str; 5] = ["dry_run", "format", "color", "directory", "config"];

impl Cli {
    /// What was typed.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or the help that was asked for.
    pub fn typed() -> Result<Self, clap::Error> {
        // Only help and what is wrong need the whole definition, which takes as long to make as all else.
        let matches = Self::command().try_get_matches();
        let mut matches = matches.or_else(|error| match error.kind() {
            ErrorKind::DisplayVersion => Err(error),
            _ => Self::definition().try_get_matches(),
        })?;
        Self::from_arg_matches_mut(&mut matches)
    }

    /// The names of all subcommands.
    #[must_use]
    pub fn commands() -> Vec<String> {
        let definition = Self::command();
        let names = definition.get_subcommands().map(clap::Command::get_name);
        names.map(str::to_owned).collect()
    }

    /// What can be typed. The help of a command that runs nothing lists no options of runs; they may stand there all the
    /// same, as they may in the environment.
    #[must_use]
    pub fn definition() -> clap::Command {
        let mut definition = Self::command();
        // Before that, the options stand nowhere but at the top.
        definition.build();
        definition.mut_subcommands(|command| match command.get_name() {
            "run" => command,
            _ => without_options_of_runs(command),
        })
    }
}

fn without_options_of_runs(command: clap::Command) -> clap::Command {
    let is_idle = |argument: &clap::Arg| {
        argument.is_global_set()
            && Options::is_name(&argument.get_id().as_str().replace('_', "-"))
            && !OPTIONS_OF_EVERY_COMMAND.contains(&argument.get_id().as_str())
    };
    command
        .mut_args(|argument| {
            if is_idle(&argument) {
                argument.hide(true)
            } else {
                argument
            }
        })
        .mut_subcommands(without_options_of_runs)
}

/// What may stand in place of a workflow.
#[derive(Subcommand, Debug, Clone)]
pub enum Command {
    /// Run an ad-hoc command over a list of items
    Run(AdHoc),
    /// What is no run.
    #[command(flatten)]
    OneShot(OneShot),
}

/// What does one thing and returns: it runs no item.
#[derive(Subcommand, Debug, Clone)]
pub enum OneShot {
    /// Show how a run stands or went: the newest, live or ended, or the named one
    Status(Status),
    /// Print the log of an item
    Logs(Logs),
    /// Write a run down as one HTML page: a timeline, the keys, how many at once, and a table
    Report(Report),
    /// Write an orchestrate.toml to begin with
    Init(Init),
    /// Print what a shell needs to complete our command lines
    Completions(Completions),
    /// Print the manual page
    Man(Man),
    /// Look whether a journal is whole, or make a damaged one whole again
    #[command(subcommand)]
    Journal(Journal),
    /// Say what the output of a failed item would be taken for, and why
    Classify(Classify),
    /// Show how the keys of a pool stand for all runs on this machine, or change that
    Keys(Keys),
    /// Say whether a run would work here: commands, items, keys, state, clock, and that no key is shown
    Check(Check),
    /// Print the JSON Schema (2020-12) of what machines read: --format json, events.jsonl, run.json
    Schema(Schema),
    /// Tell the run how the key fares: for the command of an item, beside its exit code
    #[command(subcommand)]
    Tell(Tell),
}

impl OneShot {
    /// The word that was typed.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Logs(_) => "logs",
            Self::Report(_) => "report",
            Self::Init(_) => "init",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Journal(_) => "journal",
            Self::Classify(_) => "classify",
            Self::Keys(_) => "keys",
            Self::Check(_) => "check",
            Self::Schema(_) => "schema",
            Self::Tell(_) => "tell",
        }
    }
}

/// Which run is shown.
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = STATUS_EXAMPLES, override_usage = "orchestrate [OPTIONS] status [RUN]")]
pub struct Status {
    /// The run, or how its name begins [default: the newest]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
}

/// What is done with a journal.
#[derive(Subcommand, Debug, Clone)]
#[command(
    after_help = JOURNAL_EXAMPLES,
    override_usage = "orchestrate [OPTIONS] journal verify [WORKFLOW]\n       \
                            orchestrate [OPTIONS] journal repair <WORKFLOW>"
)]
pub enum Journal {
    /// Say whether the journal is whole and what it holds; exit 65 with the line when it is damaged
    Verify {
        /// Whose journal [default: that of every workflow]
        #[arg(value_name = "WORKFLOW")]
        workflow: Option<String>,
    },
    /// Keep every record that is whole, and the damaged journal beside it; with --dry-run only say what would be kept
    Repair {
        /// Whose journal
        #[arg(value_name = "WORKFLOW")]
        workflow: String,
    },
}

/// Which keys are shown, or what is done with one.
#[derive(clap::Args, Debug, Clone)]
#[command(
    after_help = KEYS_EXAMPLES,
    override_usage = "orchestrate [OPTIONS] keys [--workflow NAME]\n       \
                            orchestrate [OPTIONS] keys reset|disable|enable [--workflow NAME] <LABEL>"
)]
pub struct Keys {
    /// Whose pool, where workflows have pools of their own
    #[arg(id = "pool-of", long = "workflow", global = true, value_name = "NAME")]
    pub pool_of: Option<String>,

    /// What is done with one of them.
    #[command(subcommand)]
    pub change: Option<KeyChange>,
}

/// What is done with a key, for all runs on this machine.
#[derive(Subcommand, Debug, Clone)]
pub enum KeyChange {
    /// Take the key for as good as new: a limit or a rejection is forgotten
    Reset {
        /// Which one
        #[arg(value_name = "LABEL")]
        label: String,
    },
    /// Hand the key out to nobody any more
    Disable {
        /// Which one
        #[arg(value_name = "LABEL")]
        label: String,
    },
    /// Hand out a disabled key again
    Enable {
        /// Which one
        #[arg(value_name = "LABEL")]
        label: String,
    },
}

/// An ad-hoc workflow.
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = RUN_EXAMPLES, override_usage = "orchestrate [OPTIONS] run --items-from FILE [ITEM]... -- COMMAND...")]
pub struct AdHoc {
    /// The list: one item a line, or one JSON object a line; `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub items_from: PathBuf,

    /// Remember finished items under this name [default: one that follows from the command]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Only these items
    #[arg(value_name = "ITEM")]
    pub items: Vec<String>,

    /// The command; `{item}` and other placeholders are replaced, and without any the item is appended
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Which log is printed.
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = LOGS_EXAMPLES, override_usage = "orchestrate [OPTIONS] logs [-f] [--attempt N] [--run RUN] ITEM")]
pub struct Logs {
    /// The item: an id (issue-42), or its number (42)
    #[arg(value_name = "ITEM")]
    pub item: String,

    /// Go on printing until the attempt has ended
    #[arg(short, long)]
    pub follow: bool,

    /// Which attempt [default: the last]
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,

    /// Which run, or how its name begins [default: the newest that has a log of the item]
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
}

/// Of which run a page is made, and where it goes.
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = REPORT_EXAMPLES, override_usage = "orchestrate [OPTIONS] report [--open] [--out FILE] [RUN]")]
pub struct Report {
    /// The run, or how its name begins [default: the newest]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,

    /// Write it to FILE [default: report.html in the run's folder]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Open it in the browser of the desktop
    #[arg(long)]
    pub open: bool,
}

/// What becomes of a file that is there already.
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = INIT_EXAMPLES, override_usage = "orchestrate [OPTIONS] init [--force]")]
pub struct Init {
    /// Write it in place of the one that is there
    #[arg(long)]
    pub force: bool,
}

/// For whom.
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = COMPLETIONS_EXAMPLES, override_usage = "orchestrate completions bash|zsh|fish")]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish"])]
    pub shell: String,
}

/// Which page.
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = MAN_EXAMPLES, override_usage = "orchestrate man [COMMAND]")]
pub struct Man {
    /// The page of this subcommand [default: that of the whole]
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

/// What is judged.
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = CLASSIFY_EXAMPLES, override_usage = "orchestrate [OPTIONS] classify [--exit N] [--workflow NAME] FILE")]
pub struct Classify {
    /// The output of the item, like its log; `-` is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// How the command ended: its exit code
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub exit: u8,

    /// With the exit codes of this workflow
    #[arg(long, value_name = "NAME")]
    pub workflow: Option<String>,
}

/// What is checked.
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = CHECK_EXAMPLES, override_usage = "orchestrate [OPTIONS] check [--cron] [WORKFLOW]")]
pub struct Check {
    /// Only this workflow [default: every workflow of orchestrate.toml, and the built-in ones whose tool is there]
    #[arg(value_name = "WORKFLOW")]
    pub workflow: Option<String>,

    /// Check with the environment that cron gives to its commands
    #[arg(long)]
    pub cron: bool,

    /// Give the made-up keys in this file away, as an item of the check itself
    #[arg(long, value_name = "FILE", hide = true)]
    pub canary: Option<PathBuf>,
}

/// Of what the schema is printed.
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = SCHEMA_EXAMPLES, override_usage = "orchestrate [OPTIONS] schema [WHAT]")]
pub struct Schema {
    /// A line of `stdout` with --format json, of any command; a line of a run's `events` (events.jsonl); a `run` (run.json);
    /// a line that an item may `tell` in its status file
    #[arg(value_name = "WHAT", default_value = "stdout", value_parser = NAMES)]
    pub what: String,
}

/// What an item tells of itself.
#[derive(Subcommand, Debug, Clone)]
#[command(
    after_help = TELL_EXAMPLES,
    override_usage = "orchestrate tell rate-limited [--retry-after TIME] [--class CLASS] [--scope SCOPE]\n       \
                      orchestrate tell auth-failed\n       \
                      orchestrate tell overloaded [--retry-after TIME]\n       \
                      orchestrate tell ok\n       \
                      orchestrate tell progress TEXT"
)]
pub enum Tell {
    /// The key is limited: it rests at once, and the item is tried again, with another key or later, even if its command
    /// exits 0
    RateLimited {
        /// How long to wait, as the provider says: seconds (20), or a duration (6m)
        #[arg(long, value_name = "TIME", value_parser = wait)]
        retry_after: Option<Duration>,

        /// What is used up: a budget of the minute, that of the day, or the account's money
        #[arg(long, value_name = "CLASS", default_value = "minute", value_parser = ["minute", "day", "billing"])]
        class: String,

        /// Whose budget that is: the key's alone, or that of its group
        #[arg(long, value_name = "SCOPE", default_value = "group", value_parser = ["key", "group"])]
        scope: String,
    },
    /// The key is not valid: the item is tried again with another one
    AuthFailed,
    /// The provider has no room, and no key is to blame: the item is tried again later
    Overloaded {
        /// How long to wait, as the provider says: seconds (20), or a duration (6m)
        #[arg(long, value_name = "TIME", value_parser = wait)]
        retry_after: Option<Duration>,
    },
    /// The key does what it should: takes back what was told before
    Ok,
    /// How far it is: `orchestrate status` shows it, and so does SIGUSR1
    Progress {
        /// In words; up to 200 characters are shown
        #[arg(value_name = "TEXT")]
        text: String,
    },
}

/// Seconds as they stand in a `Retry-After`, or a duration with a unit.
fn wait(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().parse().map(Duration::try_from_secs_f64);
    match (seconds, text.parse().map(TimeSpan::duration)) {
        (Ok(Ok(wait)), _) => Ok(wait),
        (Err(_), Ok(wait)) if wait < Duration::MAX => Ok(wait),
        (Ok(_) | Err(_), _) => Err("it is a number of seconds (20), or a duration (6m)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_number_of_seconds_or_has_a_unit() {
        for (text, milliseconds) in [
            ("20", 20_000),
            (" 20 ", 20_000),
            ("1.5", 1500),
            ("0", 0),
            ("20s", 20_000),
            ("6m", 360_000),
            ("500ms", 500),
        ] {
            assert_eq!(
                wait(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "-1",
            "soon",
            "none",
            "nan",
            "inf",
            "1e300",
            "Wed, 21 Oct 2026",
        ] {
            assert!(wait(text).is_err(), "{text}");
        }
    }
}
