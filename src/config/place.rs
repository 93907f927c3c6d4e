//! Where a run takes place: the configuration file, the workspace root, and the directory that holds the state.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The name of the configuration file.
pub const FILE_NAME: &str = "orchestrate.toml";

/// Where a run takes place; every path is absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The configuration file, if there is one.
    pub config: Option<PathBuf>,
    /// Beside the configuration file, else the repository root, else the current directory. Commands run here,
    /// paths are relative to it, and `.orchestrate/` lies in it.
    pub root: PathBuf,
}

impl Place {
    /// Looks from `from` upwards, as cargo and git do; an explicit `config` file is taken as it is.
    ///
    /// # Errors
    ///
    /// A usage error when the directory or the explicit file does not exist.
    pub fn find(from: &Path, config: Option<&Path>) -> Result<Self> {
        let missing =
            |what: &Path, why: &std::io::Error| Error::usage(format!("{}: {why}", what.display()));
        if let Some(config) = config {
            let path = from.join(config);
            let path = path.canonicalize().map_err(|why| missing(&path, &why))?;
            let root = path.parent().unwrap_or(&path).to_owned();
            return Ok(Self {
                config: Some(path),
                root,
            });
        }
        let from = from.canonicalize().map_err(|why| missing(from, &why))?;
        let found = from
            .ancestors()
            .map(|above| above.join(FILE_NAME))
            .find(|file| stands(file));
        if let Some(config) = found {
            let root = config.parent().unwrap_or(&from).to_owned();
            return Ok(Self {
                config: Some(config),
                root,
            });
        }
        // A `.git` file marks the root of a linked worktree, a directory that of a plain clone.
        let repository = from.ancestors().find(|above| above.join(".git").exists());
        Ok(Self {
            config: None,
            root: repository.unwrap_or(&from).to_owned(),
        })
    }
}

/// Whether something stands there, be it a link that leads nowhere: what cannot be read must not pass for what was never
/// written, and its keys for no keys.
fn stands(file: &Path) -> bool {
    let looked = file.symlink_metadata();
    looked.map_or_else(
        |error| !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        |_| true,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_upwards_is_the_root_then_the_repository_then_here() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let below = top.join("repo/a/b");
        std::fs::create_dir_all(&below).unwrap();
        assert_eq!(Place::find(&below, None).unwrap().root, below);
        std::fs::create_dir(top.join("repo/.git")).unwrap();
        assert_eq!(Place::find(&below, None).unwrap().root, top.join("repo"));
        std::fs::write(top.join("repo/a").join(FILE_NAME), "").unwrap();
        let place = Place::find(&below, None).unwrap();
        assert_eq!(place.root, top.join("repo/a"));
        assert_eq!(place.config, Some(top.join("repo/a").join(FILE_NAME)));
    }

    #[test]
    fn a_file_that_leads_nowhere_is_not_passed_over() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let below = top.join("a");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(top.join(FILE_NAME), "").unwrap();
        std::os::unix::fs::symlink("nowhere", below.join(FILE_NAME)).unwrap();
        let place = Place::find(&below, None).unwrap();
        assert_eq!(place.config, Some(below.join(FILE_NAME)));
    }

    #[test]
    fn an_explicit_file_is_the_root_and_must_exist() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let error = Place::find(&top, Some(Path::new("night.toml"))).unwrap_err();
        assert!(error.to_string().contains("night.toml"), "{error}");
        std::fs::write(top.join("night.toml"), "").unwrap();
        let place = Place::find(&top, Some(Path::new("night.toml"))).unwrap();
        assert_eq!(
            (place.root, place.config),
            (top.clone(), Some(top.join("night.toml")))
        );
        assert!(Place::find(&top.join("nowhere"), None).is_err());
    }
}
