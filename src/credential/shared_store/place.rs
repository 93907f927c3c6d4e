//! Where the state of keys lies: once for each user of a machine, because keys are not the business of one workspace.
//!
//! `$XDG_STATE_HOME/orchestrate/credentials/`, by the XDG Base Directory Specification, or its default below the home
//! directory. Not in `$XDG_RUNTIME_DIR`, which is missing under cron and empty after a reboot.

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

use crate::disk::held_directory::HeldDirectory;
use crate::disk::path_text::shown;
use crate::error::{Error, Result};
use crate::surroundings::Surroundings;

/// The directory for all state of a user's programs.
///
/// # Errors
///
/// When neither the environment nor the passwd entry names a home directory.
pub fn state_home(surroundings: &Surroundings) -> Result<PathBuf> {
    let absolute = |name: &str| {
        let value = surroundings.environment.get(OsStr::new(name))?;
        let path = PathBuf::from(value);
        path.is_absolute().then_some(path)
    };
    if let Some(home) = absolute("XDG_STATE_HOME") {
        return Ok(home);
    }
    let home = absolute("HOME").or_else(home_of_the_user);
    let home = home.ok_or_else(|| {
        Error::state("there is no home directory for the state of keys")
            .with_hint("set XDG_STATE_HOME to a directory of yours")
    })?;
    Ok(home.join(".local/state"))
}

/// Under cron, and in containers, `HOME` may be missing.
fn home_of_the_user() -> Option<PathBuf> {
    let user = User::from_uid(geteuid()).ok().flatten()?;
    user.dir.is_absolute().then_some(user.dir)
}

/// Holds `orchestrate/credentials/` below `state_home`, and makes what is missing of it.
///
/// # Errors
///
/// When it cannot be made or used, is not ours alone to write, or lies on a network file system.
pub(super) fn prepare(state_home: &Path) -> Result<HeldDirectory> {
    let failed = |verb: &str, error: &std::io::Error| {
        crate::disk::held_directory::failed(verb, state_home, error)
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state_home)
        .map_err(|error| failed("make", &error))?;
    let home = HeldDirectory::open(state_home).map_err(|error| failed("open", &error))?;
    let directory = home.child("orchestrate")?.child("credentials")?;
    let shared = directory.shared_file_system();
    let shared = shared.map_err(|error| directory.failed("examine", "", &error))?;
    if let Some(name) = shared {
        let path = shown(directory.path());
        let message = format!(
            "`{path}` is on a file system that machines share ({name}): runs on them would not see each other's leases"
        );
        let hint = "set XDG_STATE_HOME to a directory on a local disk";
        return Err(Error::state(message).with_hint(hint));
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Surroundings {
        let pairs = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        Surroundings {
            environment: pairs.collect(),
            ..Surroundings::default()
        }
    }

    #[test]
    fn the_state_home_is_the_one_of_the_xdg_specification() {
        let home = home_of_the_user().unwrap().join(".local/state");
        for (variables, expected) in [
            (
                &[("XDG_STATE_HOME", "/x"), ("HOME", "/h")][..],
                Path::new("/x"),
            ),
            (
                &[("XDG_STATE_HOME", "x"), ("HOME", "/h")],
                Path::new("/h/.local/state"),
            ),
            (
                &[("XDG_STATE_HOME", ""), ("HOME", "/h")],
                Path::new("/h/.local/state"),
            ),
            (&[("HOME", "")], &home),
            (&[], &home),
        ] {
            assert_eq!(
                state_home(&with(variables)).unwrap(),
                expected,
                "{variables:?}"
            );
        }
    }
}
