//! Joins what was typed, the environment, the file and the defaults into what a run is to do.
//!
//! `run` calls it once. After it, nobody asks again where a setting came from.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::builtin::Builtin;
use super::file::{ConfigFile, CredentialTable, ItemSource, WorkflowTable};
use super::options::{Format, IfLocked, Options, OutputMode, Switch, When};
use super::place::Place;
use super::time_span::TimeSpan;
use super::workflow::Workflow;
use crate::cli::{AdHoc, Cli, Command};
use crate::credential::profile::Pattern;
use crate::error::{Error, Result};
use crate::items::plan::Choice;
use crate::items::selector::Selector;
use crate::items::slug::hash_digits;
use crate::items::template::Template;
use crate::output::mask::UnknownKeys;
use crate::schedule::retry::RetryRule;
use crate::suggest;
use crate::surroundings::Surroundings;

/// The cap on `--parallel` where the file sets none.
pub const PARALLEL_MAX_DEFAULT: usize = 10;

const TIMEOUT_DEFAULT: TimeSpan = TimeSpan::from_secs(2 * 60 * 60);
const GRACE_DEFAULT: TimeSpan = TimeSpan::from_secs(8);
const CREDENTIAL_WAIT_DEFAULT: TimeSpan = TimeSpan::from_secs(15 * 60);

/// How many runs are kept where nobody says it.
const KEEP_RUNS_DEFAULT: usize = 20;

/// How items are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One after another, as a shell would.
    Sequential,
    /// Up to this many at once.
    Parallel(usize),
}

/// Whether the state may lie where another machine may be at it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkState {
    /// No.
    Refused,
    /// Somebody sees to it that one machine at a time runs the workflow.
    Allowed,
}

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Failures and the end.
    Quiet,
    /// The output of items, and what begins and ends.
    Normal,
    /// Also what is started, and how.
    Verbose,
}

/// How a run that is under way says how it stands, unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// In lines below all other output, on a terminal.
    Lines,
    /// In a line after each minute in which nothing was said.
    AfterSilence,
    /// In a line a minute.
    EveryMinute,
    /// It does not.
    Never,
}

/// Whether items that crash may leave core files, in parallel mode; else they do as their caller's limit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreFiles {
    /// They may not.
    Refused,
    /// As far as the caller's limit goes.
    Allowed,
}

/// What a run is to do.
#[derive(Debug)]
pub struct Invocation {
    /// Where it takes place.
    pub place: Place,
    /// Where per-item commands run.
    pub directory: PathBuf,
    /// What is run.
    pub workflow: Workflow,
    /// The credentials, if any are configured.
    pub credentials: Option<CredentialTable>,
    /// The variables that hold pools, of this workflow or of all.
    pub pool_variables: Vec<String>,
    /// Which items.
    pub choice: Choice,
    /// How items are run.
    pub mode: Mode,
    /// Whether to only say what would be run.
    pub dry_run: bool,
    /// Whether the state may lie on a file system that machines share.
    pub network_state: NetworkState,
    /// Whether items that crash may leave core files.
    pub core_files: CoreFiles,
    /// Whether keys are masked that nobody declared.
    pub unknown_keys: UnknownKeys,
    /// Drain after this many failures.
    pub failures_max: Option<usize>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How long an attempt may print nothing.
    pub idle_timeout: Duration,
    /// Start nothing more when the run has lasted this long.
    pub stop_after: Duration,
    /// Which failed attempts are repeated, and when.
    pub retry: RetryRule,
    /// From the first stop signal to SIGKILL.
    pub grace: Duration,
    /// How long an item may wait for a credential.
    pub credential_wait: Duration,
    /// What else the output of a failed child may say of its key.
    pub evidence: Vec<Pattern>,
    /// Where it is told how the run went.
    pub metrics: Option<PathBuf>,
    /// Where each item is told as a test case.
    pub junit: Option<PathBuf>,
    /// What to do when another run holds the workflow.
    pub if_locked: IfLocked,
    /// How many runs are kept, this one included.
    pub keep_runs: usize,
    /// How the output of items is shown.
    pub output: OutputMode,
    /// How it says how it stands, unasked.
    pub progress: Progress,
    /// How results are written to stdout.
    pub format: Format,
    /// Whether stdout gets colours.
    pub stdout_colour: bool,
    /// Whether stderr gets colours.
    pub stderr_colour: bool,
    /// How much is said.
    pub verbosity: Verbosity,
    /// What a person should know before anything happens.
    pub warnings: Vec<String>,
}

/// Makes sense of what was typed.
///
/// # Errors
///
/// A usage error (2) for whatever makes no sense; nothing has happened by then.
pub fn resolve(cli: Cli, surroundings: &Surroundings) -> Result<Invocation> {
    let environment = Options::from_environment(surroundings)?;
    let (place, from) = place(cli.directory, cli.config, surroundings)?;
    let file = match &place.config {
        Some(path) => ConfigFile::read(path)?,
        None => ConfigFile::default(),
    };
    let arguments = texts(cli.arguments)?;
    let typed_from = from.clone();
    only_a_command(
        "run",
        cli.workflow.as_deref().filter(|_| cli.command.is_some()),
    )?;
    let (workflow, directory, items) = match (cli.command, cli.workflow) {
        (Some(Command::Run(ad_hoc)), _) => {
            let (workflow, items) = ad_hoc_workflow(ad_hoc, &from)?;
            (workflow, from, items)
        }
        (Some(Command::OneShot(command)), _) => {
            let message = format!("`{}` is no workflow", command.word());
            return Err(Error::usage(message));
        }
        (None, Some(name)) => (
            known_workflow(&name, &file, &arguments)?,
            place.root.clone(),
            cli.items,
        ),
        (None, None) => return Err(Error::usage("no workflow was named")),
    };
    let shaped = shaped_output(&cli.options);
    let mut typed = cli.options.or(environment);
    let mut written = workflow.options.clone().or(file.options.clone());
    // A path means what its author sees: from where something was typed, or from beside the file.
    typed.metrics = typed.metrics.map(|path| typed_from.join(path));
    written.metrics = written.metrics.map(|path| place.root.join(path));
    typed.junit = typed.junit.map(|path| typed_from.join(path));
    written.junit = written.junit.map(|path| place.root.join(path));
    let options = typed.or(written);
    settle(
        &options,
        Parts {
            place,
            directory,
            workflow,
            file,
            items,
            shaped,
        },
        surroundings,
    )
}

/// Refuses a word that stands where a workflow would, before a subcommand.
///
/// # Errors
///
/// A usage error that names both.
pub fn only_a_command(command: &str, before: Option<&str>) -> Result<()> {
    let Some(word) = before else {
        return Ok(());
    };
    let message = format!("`{}` stands before `{command}`", word.escape_debug());
    Err(Error::usage(message).with_hint(format!("what belongs to `{command}` stands behind it")))
}

/// Where this takes place, and the directory from which it was looked for.
///
/// # Errors
///
/// As [`Place::find`].
pub fn place(
    directory: Option<PathBuf>,
    config: Option<PathBuf>,
    surroundings: &Surroundings,
) -> Result<(Place, PathBuf)> {
    let variable = |name| surroundings.value(name).map(PathBuf::from);
    let from = match directory.or_else(|| variable("ORCHESTRATE_DIRECTORY")) {
        Some(directory) => surroundings.directory.join(directory),
        None => surroundings.directory.clone(),
    };
    let config = config.or_else(|| variable("ORCHESTRATE_CONFIG"));
    Ok((Place::find(&from, config.as_deref())?, from))
}

/// What has been found before the options are looked at.
struct Parts {
    place: Place,
    directory: PathBuf,
    workflow: Workflow,
    file: ConfigFile,
    items: Vec<String>,
    /// What was typed that shapes the output of items.
    shaped: Option<&'static str>,
}

fn settle(options: &Options, parts: Parts, surroundings: &Surroundings) -> Result<Invocation> {
    let Parts {
        place,
        directory,
        workflow,
        file,
        items,
        shaped,
    } = parts;
    let mut warnings = Vec::new();
    let mode = mode(
        options.parallel.unwrap_or(0),
        file.max_parallel,
        &mut warnings,
    );
    let dry_run = options.dry_run.is_some_and(|switch| switch.0);
    let format = options.format.unwrap_or(Format::Text);
    if mode == Mode::Sequential && !dry_run {
        check_sequential(options, shaped)?;
    }
    let tables = workflow.credentials.iter().chain(&file.credentials);
    let pool_variables = tables.flat_map(CredentialTable::pool_variables).collect();
    let time = |span: Option<TimeSpan>| span.map_or(Duration::MAX, TimeSpan::duration);
    let selectors = items
        .iter()
        .map(|item| Selector::parse(item))
        .collect::<Result<Vec<_>>>()?;
    let fail_fast = options.fail_fast.filter(|switch| switch.0).map(|_| 1);
    let colour = |is_terminal| wants_colour(options.color, is_terminal, surroundings);
    Ok(Invocation {
        pool_variables,
        credentials: workflow.credentials.clone().or(file.credentials),
        choice: Choice {
            selectors,
            rerun: options.rerun.unwrap_or_default(),
            only: options.only,
            limit: options.limit.map(Into::into),
        },
        network_state: network_state(options),
        core_files: core_files(options),
        unknown_keys: unknown_keys(options),
        failures_max: options
            .max_failures
            .map(Into::into)
            .into_iter()
            .chain(fail_fast)
            .min(),
        timeout: match mode {
            // A person sits before a sequential run and stops it by hand.
            Mode::Sequential => time(options.timeout),
            Mode::Parallel(_) => options.timeout.unwrap_or(TIMEOUT_DEFAULT).duration(),
        },
        idle_timeout: time(options.idle_timeout),
        stop_after: time(options.stop_after),
        retry: RetryRule {
            retries_max: options.retries.unwrap_or(0),
            exit_codes: workflow.exit_codes.clone(),
        },
        grace: options.grace.unwrap_or(GRACE_DEFAULT).duration(),
        credential_wait: options
            .credential_wait
            .unwrap_or(CREDENTIAL_WAIT_DEFAULT)
            .duration(),
        evidence: file.evidence,
        metrics: options.metrics.clone(),
        junit: options.junit.clone(),
        if_locked: options.if_locked.unwrap_or(IfLocked::Fail),
        keep_runs: options.keep_runs.map_or(KEEP_RUNS_DEFAULT, Into::into),
        output: output(options),
        progress: progress(options, format, surroundings),
        stdout_colour: colour(surroundings.stdout_is_terminal),
        stderr_colour: colour(surroundings.stderr_is_terminal),
        verbosity: verbosity(options),
        place,
        directory,
        workflow,
        mode,
        dry_run,
        format,
        warnings,
    })
}

/// Refuses what only the parallel mode can do, because only there is the items' output in our hands.
fn check_sequential(options: &Options, shaped: Option<&str>) -> Result<()> {
    if let Some(option) = shaped {
        let hint = "without --parallel the terminal belongs to the items; add --parallel 1";
        return Err(Error::usage(format!("{option} needs --parallel")).with_hint(hint));
    }
    if options.format == Some(Format::Json) {
        let message = "--format json without --parallel is for --dry-run only";
        let hint = "without --parallel the terminal belongs to the items; add --parallel 1";
        return Err(Error::usage(message).with_hint(hint));
    }
    let silence_max = options.idle_timeout.map(TimeSpan::duration);
    if silence_max.is_some_and(|silence_max| silence_max < Duration::MAX) {
        let message = "--idle-timeout needs --parallel";
        let hint =
            "without --parallel an item writes to the terminal itself, and nobody else sees it";
        return Err(Error::usage(message).with_hint(hint));
    }
    Ok(())
}

/// An option that can do nothing without `--parallel`. In the environment and in a file it is meant for runs that have
/// it; who types it wants it now.
fn shaped_output(typed: &Options) -> Option<&'static str> {
    let always = typed.progress == Some(When::Always);
    let output = typed.output.map(|_| "--output");
    output.or(always.then_some("--progress always"))
}

/// With `--quiet` there is no output but that of what has failed.
fn output(options: &Options) -> OutputMode {
    let mode = options.output.unwrap_or(OutputMode::Prefix);
    match (verbosity(options), mode) {
        (Verbosity::Quiet, OutputMode::Prefix | OutputMode::Group) => OutputMode::None,
        (Verbosity::Quiet | Verbosity::Normal | Verbosity::Verbose, mode) => mode,
    }
}

/// As cargo does it: nothing is drawn where a machine watches (`CI`), nor on a terminal that cannot erase.
fn progress(options: &Options, format: Format, surroundings: &Surroundings) -> Progress {
    if verbosity(options) == Verbosity::Quiet {
        return Progress::Never;
    }
    let can_draw =
        surroundings.stderr_is_terminal && surroundings.variable("TERM").as_deref() != Some("dumb");
    let is_watched = format == Format::Text && surroundings.value("CI").is_none();
    match options.progress.unwrap_or(When::Auto) {
        When::Never => Progress::Never,
        When::Always if can_draw => Progress::Lines,
        When::Always => Progress::EveryMinute,
        When::Auto if can_draw && is_watched => Progress::Lines,
        When::Auto => Progress::AfterSilence,
    }
}

fn network_state(options: &Options) -> NetworkState {
    match options.allow_network_state {
        Some(Switch(true)) => NetworkState::Allowed,
        Some(Switch(false)) | None => NetworkState::Refused,
    }
}

fn core_files(options: &Options) -> CoreFiles {
    match options.allow_core {
        Some(Switch(true)) => CoreFiles::Allowed,
        Some(Switch(false)) | None => CoreFiles::Refused,
    }
}

fn unknown_keys(options: &Options) -> UnknownKeys {
    match options.no_shape_mask {
        Some(Switch(true)) => UnknownKeys::Shown,
        Some(Switch(false)) | None => UnknownKeys::Masked,
    }
}

fn verbosity(options: &Options) -> Verbosity {
    let on = |switch: Option<Switch>| switch.is_some_and(|switch| switch.0);
    match (on(options.quiet), on(options.verbose)) {
        (_, true) => Verbosity::Verbose,
        (true, false) => Verbosity::Quiet,
        (false, false) => Verbosity::Normal,
    }
}

fn mode(asked: usize, max: Option<usize>, warnings: &mut Vec<String>) -> Mode {
    let cap = max.unwrap_or(PARALLEL_MAX_DEFAULT);
    if asked > cap {
        warnings.push(format!(
            "--parallel {asked} is lowered to {cap}; max-parallel in orchestrate.toml raises the cap"
        ));
    }
    match asked.min(cap) {
        0 => Mode::Sequential,
        width => Mode::Parallel(width),
    }
}

/// The rules of <https://no-color.org> and <https://bixense.com/clicolors>, below an explicit `--color`.
#[must_use]
pub fn wants_colour(when: Option<When>, is_terminal: bool, surroundings: &Surroundings) -> bool {
    match when {
        Some(When::Always) => true,
        Some(When::Never) => false,
        Some(When::Auto) | None => {
            let set = |name| surroundings.value(name).is_some();
            let forced = surroundings
                .value("CLICOLOR_FORCE")
                .is_some_and(|value| value != "0");
            let dumb = surroundings
                .variable("TERM")
                .is_some_and(|term| term == "dumb");
            !set("NO_COLOR") && (forced || (is_terminal && !dumb))
        }
    }
}

/// The workflow of this name, with `arguments` appended to its command.
///
/// # Errors
///
/// A usage error that suggests the nearest name, or says what is wrong with its table.
pub fn known_workflow(name: &str, file: &ConfigFile, arguments: &[String]) -> Result<Workflow> {
    let table = file.workflows.get(name).cloned();
    if table.is_none() && Builtin::named(name).is_none() {
        let builtin = Builtin::ALL.iter().map(|builtin| builtin.name());
        let commands = Cli::commands();
        let known: Vec<&str> = file
            .workflows
            .keys()
            .map(String::as_str)
            .chain(builtin)
            .chain(commands.iter().map(String::as_str))
            .collect();
        let message = format!("there is no workflow `{}`", name.escape_debug());
        return Err(Error::usage(message).with_hint(suggest::hint(name, known.iter().copied())));
    }
    Workflow::new(name, table.unwrap_or_default(), arguments)
}

fn ad_hoc_workflow(ad_hoc: AdHoc, from: &std::path::Path) -> Result<(Workflow, Vec<String>)> {
    let mut command = texts(ad_hoc.command)?;
    let named = |argument: &String| Template::parse(argument).is_ok_and(|t| t.has_placeholder());
    if !command.iter().any(named) {
        command.push("{item}".to_owned());
    }
    let name = match ad_hoc.name {
        Some(name) => name,
        // What is done is remembered by name, so another command is another name.
        None => format!("run-{}", hash_digits(&command.join("\0"))),
    };
    let list = if ad_hoc.items_from.as_os_str() == "-" {
        ad_hoc.items_from
    } else {
        from.join(ad_hoc.items_from)
    };
    let table = WorkflowTable {
        command: Some(command),
        items: Some(ItemSource::List(list)),
        ..WorkflowTable::default()
    };
    Ok((Workflow::new(&name, table, &[])?, ad_hoc.items))
}

fn texts(arguments: Vec<OsString>) -> Result<Vec<String>> {
    arguments
        .into_iter()
        .map(|argument| {
            argument.into_string().map_err(|raw| {
                let shown = raw.to_string_lossy().escape_debug().to_string();
                Error::usage(format!("the argument `{shown}` is not UTF-8"))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    fn bytes_in(variable: &str, value: &[u8]) -> Surroundings {
        let value = OsStr::from_bytes(value).to_owned();
        Surroundings {
            environment: [(variable.into(), value)].into(),
            ..Surroundings::default()
        }
    }

    #[test]
    fn a_directory_in_the_environment_may_have_any_name_that_a_typed_one_may() {
        let top = tempfile::tempdir().unwrap();
        let odd = top.path().join(OsStr::from_bytes(b"odd\xff"));
        std::fs::create_dir(&odd).unwrap();
        let path = odd.as_os_str().as_bytes();
        let surroundings = bytes_in("ORCHESTRATE_DIRECTORY", path);
        assert_eq!(place(None, None, &surroundings).unwrap().1, odd);
    }

    #[test]
    fn no_color_and_clicolor_force_hold_whatever_their_bytes_are() {
        assert!(!wants_colour(None, true, &bytes_in("NO_COLOR", b"\xff")));
        assert!(wants_colour(None, true, &bytes_in("NO_COLOR", b"")));
        let forced = |value| wants_colour(None, false, &bytes_in("CLICOLOR_FORCE", value));
        assert!(forced(b"\xff") && !forced(b"0"));
    }
}
