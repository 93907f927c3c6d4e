//! Writes a file whole: who reads it, now or after a power cut, finds the old content or the new, never a mixture.
//!
//! `run.json`, reports, the journal's first line and a journal that is copied are written so: a temporary file in the
//! same directory, fsync, rename, fsync of the directory. Without the first fsync the name could reach the disk before the
//! content; without the second, the content before the name.

use std::fs::{File, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Write};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::held_directory::HeldDirectory;

/// For its owner to write, and for everybody to read.
const READABLE_MODE: u32 = 0o644;

/// Writes `content` to the file `name` in `directory`, for the owner only, and makes it durable.
///
/// # Errors
///
/// Why it could not be written; what was there before is still there, unless the last fsync failed.
pub fn write_in(
    directory: &HeldDirectory,
    name: impl AsRef<Path>,
    content: &[u8],
) -> io::Result<()> {
    write_with_mode(directory, name.as_ref(), content, None)
}

/// As [`write_in`], for content that `write` makes piece by piece.
///
/// # Errors
///
/// As [`write_in`].
pub fn write_with(
    directory: &HeldDirectory,
    name: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    place_with(directory, name, write)?;
    directory.sync()
}

/// As [`write_with`], for a file that a power cut may take.
///
/// # Errors
///
/// As [`write_with`].
pub fn place_with(
    directory: &HeldDirectory,
    name: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    draft_with(directory, write)?.place(name)
}

/// A draft with content that `write` makes piece by piece.
///
/// # Errors
///
/// Why it could not be written.
pub fn draft_with<D: Deref<Target = HeldDirectory>>(
    directory: D,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<Draft<D>> {
    let draft = Draft::begin(directory)?;
    let mut out = BufWriter::new(&draft.file);
    write(&mut out)?;
    out.flush()?;
    drop(out);
    Ok(draft)
}

fn write_with_mode(
    directory: &HeldDirectory,
    name: &Path,
    content: &[u8],
    mode: Option<u32>,
) -> io::Result<()> {
    let mut draft = Draft::begin(directory)?;
    if let Some(mode) = mode {
        draft.file.set_permissions(Permissions::from_mode(mode))?;
    }
    draft.write(content)?;
    draft.publish(name)
}

/// A file that is being written and has no name yet that anybody looks for. Dropped, it is gone.
#[derive(Debug)]
pub struct Draft<D: Deref<Target = HeldDirectory>> {
    directory: D,
    temporary: PathBuf,
    file: File,
    published: bool,
}

impl<D: Deref<Target = HeldDirectory>> Draft<D> {
    /// Begins a file in `directory`, for the owner only.
    ///
    /// # Errors
    ///
    /// Why it could not be made.
    pub fn begin(directory: D) -> io::Result<Self> {
        let temporary = temporary_name();
        let file = directory.create_new(&temporary)?;
        Ok(Self {
            directory,
            temporary,
            file,
            published: false,
        })
    }

    /// Adds to it.
    ///
    /// # Errors
    ///
    /// Why it could not be written.
    pub fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.file.write_all(content)
    }

    /// Makes it durable as the file `name`.
    ///
    /// # Errors
    ///
    /// Why it could not be; what was there before is still there, unless the last fsync failed.
    pub fn publish(mut self, name: impl AsRef<Path>) -> io::Result<()> {
        self.give(name)?;
        self.directory.sync()
    }

    /// Gives it the name `name`. A power cut may take the file, but never leaves a part of it.
    ///
    /// # Errors
    ///
    /// Why it could not be; what was there before is still there.
    pub fn place(mut self, name: impl AsRef<Path>) -> io::Result<()> {
        self.give(name)
    }

    /// Gives it the name `name` without asking the disk. A power cut may take the file, or leave it empty.
    ///
    /// # Errors
    ///
    /// Why it could not be; what was there before is still there.
    pub fn show(mut self, name: impl AsRef<Path>) -> io::Result<()> {
        self.rename(name)
    }

    fn give(&mut self, name: impl AsRef<Path>) -> io::Result<()> {
        self.file.sync_all()?;
        self.rename(name)
    }

    fn rename(&mut self, name: impl AsRef<Path>) -> io::Result<()> {
        self.directory.rename(&self.temporary, name)?;
        self.published = true;
        Ok(())
    }
}

impl<D: Deref<Target = HeldDirectory>> Drop for Draft<D> {
    fn drop(&mut self) {
        if !self.published {
            // The first error is the one that counts; a temporary file that stays behind does no harm.
            let _ = self.directory.remove(&self.temporary);
        }
    }
}

/// Removes the drafts that a process has left in `directory` when it was killed. Only who is the one writer there may
/// ask for it.
///
/// # Errors
///
/// Why the directory could not be read; a draft that cannot be removed does no harm.
pub fn remove_drafts(directory: &HeldDirectory) -> io::Result<()> {
    for name in directory.names()? {
        if name.to_str().is_some_and(is_temporary_name) {
            let _ = directory.remove(&name);
        }
    }
    Ok(())
}

/// As [`write_in`], for a path whose directory is the user's own: links to that directory are followed.
///
/// # Errors
///
/// As [`write_in`]; and when `path` ends in no file name.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let (directory, name) = directory_and_name(path)?;
    write_with_mode(&directory, name, content, None)
}

/// As [`write()`], for a file that everybody may read, whatever the umask.
///
/// # Errors
///
/// As [`write()`].
pub fn write_for_all(path: &Path, content: &[u8]) -> io::Result<()> {
    let (directory, name) = directory_and_name(path)?;
    write_with_mode(&directory, name, content, Some(READABLE_MODE))
}

/// As [`write()`], for a file with the mode that any program would give it: what the umask allows.
///
/// # Errors
///
/// As [`write()`].
pub fn write_as_usual(path: &Path, content: &[u8]) -> io::Result<()> {
    let (directory, name) = directory_and_name(path)?;
    write_with_mode(&directory, name, content, Some(0o666 & !umask()))
}

/// What new files may not be: it can be asked for only by changing it, for all threads, so proc(5) is read.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let mask = mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok());
    mask.unwrap_or(0o077)
}

fn directory_and_name(path: &Path) -> io::Result<(HeldDirectory, &Path)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok((HeldDirectory::open(parent)?, Path::new(name)))
}

/// A file name that nobody uses: hidden, and different every time.
#[must_use]
pub fn temporary_name() -> PathBuf {
    PathBuf::from(format!(".{:016x}.tmp", random_bits()))
}

fn is_temporary_name(name: &str) -> bool {
    let digits = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(".tmp"));
    digits.is_some_and(|digits| {
        digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

/// Bits that differ between calls, threads and processes: std's hash keys come from the system's random source. (Those of the
/// guard and of the orchestrator that it splits off may be the same; the guard names nothing.)
///
/// Good for names that must not meet by chance; never for secrets.
#[must_use]
pub fn random_bits() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn new_content_replaces_the_old_and_leaves_nothing_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run.json");
        write(&path, b"first, and longer").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert_eq!(names(place.path()), ["run.json"]);
        write_for_all(&path, b"third").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644);
        let usual = place.path().join("usual");
        fs::write(&usual, "").unwrap();
        write_as_usual(&path, b"fourth").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&usual));
    }

    #[test]
    fn a_planted_link_is_replaced_and_its_target_untouched() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("target"), "untouched").unwrap();
        symlink("target", place.path().join("run.json")).unwrap();
        write(&place.path().join("run.json"), b"new").unwrap();
        assert_eq!(fs::read(place.path().join("target")).unwrap(), b"untouched");
        assert!(
            fs::symlink_metadata(place.path().join("run.json"))
                .unwrap()
                .is_file()
        );
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("run.json")).unwrap();
        assert!(write(&place.path().join("run.json"), b"x").is_err());
        assert_eq!(names(place.path()), ["run.json"]);
        assert!(write(&place.path().join(".."), b"x").is_err());
        assert!(write(&place.path().join("absent/x"), b"x").is_err());
    }

    #[test]
    fn a_draft_that_is_given_up_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let directory = HeldDirectory::open(place.path()).unwrap();
        let mut draft = Draft::begin(&directory).unwrap();
        draft.write(b"half").unwrap();
        assert_eq!(names(place.path()).len(), 1);
        drop(draft);
        assert_eq!(names(place.path()), [""; 0]);
    }

    #[test]
    fn drafts_of_the_killed_are_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let directory = HeldDirectory::open(place.path()).unwrap();
        for name in [".tmp", ".0123456789abcdeg.tmp", "0123456789abcdef.tmp", "x"] {
            write(&place.path().join(name), b"kept").unwrap();
        }
        let kept = names(place.path());
        drop(directory.create_new(temporary_name()).unwrap());
        remove_drafts(&directory).unwrap();
        assert_eq!(names(place.path()), kept);
    }

    #[test]
    fn temporary_names_do_not_meet() {
        let names: std::collections::HashSet<_> = (0..1000).map(|_| temporary_name()).collect();
        assert_eq!(names.len(), 1000);
    }
}
