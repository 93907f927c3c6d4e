//! This program, started once more: what a person would type is what is checked.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::error::{Error, Result};
use crate::surroundings::Surroundings;

/// The program.
pub(super) struct Ourselves {
    path: PathBuf,
}

impl Ourselves {
    /// Finds its file.
    ///
    /// # Errors
    ///
    /// When that is gone, as after an upgrade.
    pub(super) fn find() -> Result<Self> {
        let path = std::env::current_exe().ok().filter(|path| path.exists());
        let path = path.ok_or_else(|| {
            Error::usage("the file of this program is gone")
                .with_hint("was it replaced? start again")
        })?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The program in an environment of its own: nothing but what is added.
    pub(super) fn bare(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.env_clear().stdin(Stdio::null());
        command
    }

    /// The program in the environment that we were started in.
    pub(super) fn command(&self, surroundings: &Surroundings) -> Command {
        let mut command = self.bare();
        command.envs(&surroundings.environment);
        command
    }

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(super) fn finish(&self, command: &mut Command) -> Result<Output> {
        command
            .output()
            .map_err(|error| Error::usage(format!("{}: {error}", self.path.display())))
    }
}
