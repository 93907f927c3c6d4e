//! What was typed, and what it means, before there is any thread: whether there is to be a guard depends on it.

use std::time::Duration;

use crate::cli::{Cli, Command, OneShot};
use crate::config::options::Format;
use crate::config::resolve::{Invocation, Mode, resolve};
use crate::error::Result;
use crate::surroundings::Surroundings;

/// What was typed, and what it means.
#[derive(Debug)]
pub enum Request {
    /// Something else than a run.
    OneShot(Box<(OneShot, Cli)>),
    /// A run, or what is wrong with it.
    Run(Box<Result<Invocation>>, Format),
}

impl Request {
    /// Reads the configuration, if there is to be a run. A signal that comes meanwhile does what it does to any program.
    #[must_use]
    pub fn new(mut cli: Cli, surroundings: &Surroundings) -> Self {
        match cli.command.take() {
            Some(Command::OneShot(command)) => Self::OneShot(Box::new((command, cli))),
            other => {
                cli.command = other;
                let asked = asked_format(&cli, surroundings);
                Self::Run(Box::new(resolve(cli, surroundings)), asked)
            }
        }
    }

    /// How what stops us is to be told.
    #[must_use]
    pub fn format(&self, surroundings: &Surroundings) -> Format {
        match self {
            Self::OneShot(one) => asked_format(&one.1, surroundings),
            Self::Run(resolved, asked) => {
                let resolved = resolved.as_ref().as_ref();
                resolved.map_or(*asked, |invocation| invocation.format)
            }
        }
    }

    /// The grace of its items, if it is something that a guard watches over.
    #[must_use]
    pub fn wants_a_guard(&self, surroundings: &Surroundings) -> Option<Duration> {
        // What is wrong is told by the run itself.
        let Self::Run(resolved, _) = self else {
            return None;
        };
        let invocation = resolved.as_ref().as_ref().ok()?;
        // As the first process of a container we inherit all its orphans, and somebody has to reap them.
        (is_guarded(invocation) || surroundings.process == 1).then_some(invocation.grace)
    }
}

/// The format that was typed, or that the environment gives, for what is wrong with all else; what is wrong with the
/// variable itself is told in [`resolve`].
fn asked_format(cli: &Cli, surroundings: &Surroundings) -> Format {
    let variable = || surroundings.variable("ORCHESTRATE_FORMAT")?.parse().ok();
    cli.options.format.or_else(variable).unwrap_or(Format::Text)
}

/// Whether a guard watches over the run.
pub(super) fn is_guarded(invocation: &Invocation) -> bool {
    invocation.mode != Mode::Sequential && !invocation.dry_run
}
