//! Finds the per-item program before anything starts, and resolves it once.
//!
//! An absolute path keeps every later spawn on the fast path, and a missing program is one usage error instead of a
//! failure of every item.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::disk::path_text::shell_quoted;
use crate::error::{Error, Result};

/// The absolute path of the program that `name` means in `directory`.
///
/// # Errors
///
/// A usage error (2) when there is no such program, or it cannot be executed.
pub fn find_program(name: &str, path: Option<&OsStr>, directory: &Path) -> Result<PathBuf> {
    let found = which::which_in(name, path, directory);
    found.map_err(|_| {
        let shown = name.escape_debug();
        let file = directory.join(name);
        if !name.contains('/') {
            let message = format!("the command `{shown}` was not found in PATH");
            return Error::usage(message).with_hint("install it, or give its path: ./name");
        }
        if file.is_dir() {
            return Error::usage(format!("the command `{shown}` is a directory"));
        }
        if file.exists() {
            let message = format!("the command `{shown}` is not executable");
            return Error::usage(message).with_hint(format!("chmod +x {}", shell_quoted(&file)));
        }
        let message = format!(
            "the command `{shown}` does not exist in {}",
            directory.display()
        );
        Error::usage(message)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_program_is_found_in_path_or_by_its_own_path() {
        let here = Path::new("/");
        let path = Some(OsStr::new("/usr/bin:/bin"));
        assert!(find_program("sh", path, here).unwrap().is_absolute());
        assert_eq!(
            find_program("/bin/sh", None, here).unwrap(),
            Path::new("/bin/sh")
        );
    }

    #[test]
    fn each_reason_for_not_running_has_its_own_words() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("plain"), "").unwrap();
        let script = directory.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let find = |name| find_program(name, Some(OsStr::new("/bin")), directory.path());
        assert_eq!(find("./script").unwrap().file_name(), script.file_name());
        for (name, says) in [
            ("no-such-program", "was not found in PATH"),
            ("./plain", "is not executable"),
            ("./missing", "does not exist in"),
            ("../", "is a directory"),
        ] {
            let error = find(name).unwrap_err().to_string();
            assert!(error.contains(says), "{name}: {error}");
        }
    }
}
