//! What is no run: the subcommands that do one thing and return, a file each.
//!
//! `run` dispatches to them before it looks for a workflow. They need only a `Site`, or not even that, start no item,
//! have no guard and install no signal handler: a Ctrl-C ends them as it ends any program. What they say goes through the
//! terminal's handle; what was asked for goes to stdout.

mod check;
mod classify;
pub mod completions;
mod init;
mod journal;
mod keys;
mod logs;
mod man;
mod report;
mod schema;
mod status;
mod tell;

use std::path::{Path, PathBuf};

use crate::cli::{Cli, Journal, OneShot};
use crate::config::file::ConfigFile;
use crate::config::options::{Format, Options};
use crate::config::place::Place;
use crate::config::resolve::{only_a_command, place, wants_colour};
use crate::error::{Error, ExitStatus, Result};
use crate::escape::escape_text;
use crate::output::terminal::TerminalHandle;
use crate::report::paint::Paint;
use crate::report::table::Look;
use crate::state::directory::StateDirectory;
use crate::surroundings::Surroundings;

/// Where a command works, and how it speaks.
struct Site<'a> {
    place: Place,
    /// Where what was typed is relative to.
    directory: PathBuf,
    surroundings: &'a Surroundings,
    terminal: TerminalHandle,
    format: Format,
    paint: Paint,
    dry_run: bool,
}

/// Does what was typed.
///
/// # Errors
///
/// What kept it from being done.
pub fn perform(
    command: OneShot,
    cli: Cli,
    surroundings: &Surroundings,
    terminal: &TerminalHandle,
) -> Result<ExitStatus> {
    only_a_command(command.word(), cli.workflow.as_deref())?;
    let dry_run = cli.options.dry_run.is_some_and(|switch| switch.0);
    let site = || Site::find(cli, surroundings, terminal.clone());
    match command {
        OneShot::Status(arguments) => status::show(&site()?, &arguments),
        OneShot::Logs(arguments) => logs::print(&site()?, &arguments),
        OneShot::Report(arguments) => report::write(&site()?, &arguments),
        OneShot::Init(arguments) => init::write(&site()?, &arguments),
        OneShot::Completions(arguments) => completions::script(terminal, &arguments.shell),
        OneShot::Man(arguments) => man::print(terminal, &arguments),
        OneShot::Journal(Journal::Verify { workflow }) => {
            journal::verify(&site()?, workflow.as_deref())
        }
        OneShot::Journal(Journal::Repair { workflow }) => journal::repair(&site()?, &workflow),
        OneShot::Classify(arguments) => classify::judge(&site()?, &arguments),
        OneShot::Keys(arguments) => keys::perform(&site()?, arguments),
        OneShot::Check(arguments) => match &arguments.canary {
            Some(file) => check::sing(terminal, surroundings, file),
            None => check::look(&site()?, &arguments),
        },
        OneShot::Schema(arguments) => Ok(schema::print(terminal, &arguments)),
        // Items call it, often and from anywhere: neither a configuration nor a workspace has to be there.
        OneShot::Tell(event) => tell::tell(&event, surroundings, dry_run),
    }
}

impl<'a> Site<'a> {
    /// Looks where we are.
    ///
    /// # Errors
    ///
    /// What is wrong with a variable, or with the place that was named.
    fn find(cli: Cli, surroundings: &'a Surroundings, terminal: TerminalHandle) -> Result<Self> {
        let environment = Options::from_environment(surroundings)?;
        let (place, directory) = place(cli.directory, cli.config, surroundings)?;
        // A file that is wrong must not keep a person from looking at what it has led to.
        let file = place.config.as_deref().map(ConfigFile::read);
        let file = file.and_then(Result::ok).unwrap_or_default();
        let options = cli.options.or(environment).or(file.options);
        let coloured = wants_colour(options.color, surroundings.stdout_is_terminal, surroundings);
        Ok(Self {
            place,
            directory,
            surroundings,
            terminal,
            format: options.format.unwrap_or(Format::Text),
            paint: Paint(coloured),
            dry_run: options.dry_run.is_some_and(|switch| switch.0),
        })
    }

    /// `.orchestrate/`, which is there as soon as there was a run.
    ///
    /// # Errors
    ///
    /// A usage error when there was none; what is wrong with it.
    fn state(&self) -> Result<StateDirectory> {
        let found = StateDirectory::find(&self.place.root)?.ok_or_else(|| self.no_run())?;
        Ok(found.with_config(self.place.config.as_deref()))
    }

    fn no_run(&self) -> Error {
        let root = self.place.root.display().to_string();
        Error::usage(format!("there was no run yet in {}", escape_text(&root)))
            .with_hint("-C DIR looks elsewhere")
    }

    /// How a table is shown.
    const fn look(&self) -> Look {
        Look {
            paint: self.paint,
            columns: self.surroundings.columns,
        }
    }

    /// A path as it can be pasted: relative where the person stands above it.
    fn seen_from_here(&self, path: &Path) -> PathBuf {
        let here = &self.surroundings.directory;
        path.strip_prefix(here).unwrap_or(path).to_owned()
    }
}
