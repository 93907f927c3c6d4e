//! A directory that is held open, and the files that are reached through it.
//!
//! Whatever we keep is opened, made, renamed and removed through a [`HeldDirectory`]: names are
//! resolved relative to the descriptor and never through a symbolic link, so neither a link planted before the
//! start nor one exchanged for a directory while we run can lead a write elsewhere.
//!
//! What we did not make ourselves is used only when it belongs to us and nobody else can write it: the journal
//! decides what is *not* run, so whoever can write it can make work disappear. Such a refusal ends with exit 2,
//! because a person has to decide; a disk that does not do what it should ends with exit 74.
//!
//! Modes are set on the open descriptor after creation: the umask decides nothing here.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, fchmod, fchmodat, fstat, fstatat, major, minor, mkdirat,
};
use nix::unistd::{UnlinkatFlags, geteuid, linkat, symlinkat, unlinkat};

use super::file_system;
use super::path_text::{shell_quoted, shown};
use crate::error::{Error, ExitStatus, Result};

/// Directories of ours: for their owner only.
const DIRECTORY_MODE: Mode = Mode::S_IRWXU;
/// Files of ours: for their owner only, never executable.
pub(crate) const FILE_MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
/// What a file that we did not make must not allow: writing by the group or by others.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Opening never follows a last link, never leaks into a child, never waits for the other end of a FIFO.
const SAFE: OFlag = OFlag::O_NOFOLLOW
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NONBLOCK);

/// What an existing file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading, and writing anywhere.
    Update,
    /// Reading, and writing at the end only (`O_APPEND`).
    Append,
}

impl Access {
    const fn flags(self) -> OFlag {
        match self {
            Self::Read => OFlag::O_RDONLY,
            Self::Update => OFlag::O_RDWR,
            Self::Append => OFlag::O_RDWR.union(OFlag::O_APPEND),
        }
    }
}

/// Which file a name led to: the device and the inode number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    const fn of(stat: &FileStat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }

    /// The number of the device, as stat(2) gives it.
    #[must_use]
    pub const fn device(self) -> u64 {
        self.device
    }

    /// The number of the inode.
    #[must_use]
    pub const fn inode(self) -> u64 {
        self.inode
    }
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// What the file system says of the content of a file: as long as it says the same, the content is the same, but for
/// changes in the same few milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    identity: Identity,
    bytes: i64,
    /// `st_ctime`, which nobody can set, and its nanoseconds.
    changed_at: (i64, i64),
}

/// A directory that is held open.
#[derive(Debug)]
pub struct HeldDirectory {
    path: PathBuf,
    descriptor: OwnedFd,
}

impl HeldDirectory {
    /// Holds a directory that is not ours, by its path; links are followed and nothing is checked.
    ///
    /// # Errors
    ///
    /// When `path` is no directory or cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            path: path.to_owned(),
            descriptor: openat(AT_FDCWD, path, flags, Mode::empty())?,
        })
    }

    /// Where it lay when it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in it, for messages.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Holds the directory `name` in this one; makes it, for the owner only, when nothing is there.
    ///
    /// # Errors
    ///
    /// Exit 2 when what is there is no directory, not ours or writable by others; exit 74 when it cannot be
    /// made or opened.
    pub fn child(&self, name: impl AsRef<Path>) -> Result<Self> {
        let name = name.as_ref();
        match self.new_child(name) {
            Ok(child) => Ok(child),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self
                .find_child(name)?
                .ok_or_else(|| self.failed("open", name, &Errno::ENOENT.into())),
            // A file system that is mounted read-only says so even when the directory is there.
            Err(error) => match self.find_child(name)? {
                Some(child) => Ok(child),
                None => Err(self.failed("make", name, &error)),
            },
        }
    }

    /// Holds the directory `name` in this one, or nothing when it is not there. Never creates anything.
    ///
    /// # Errors
    ///
    /// As [`child`](Self::child).
    pub fn find_child(&self, name: impl AsRef<Path>) -> Result<Option<Self>> {
        let name = name.as_ref();
        let descriptor = match self.open_child(name) {
            Ok(descriptor) => descriptor,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(self.not_opened(name, SFlag::S_IFDIR, errno)),
        };
        let child = Self {
            path: self.join(name),
            descriptor,
        };
        let stat = fstat(&child.descriptor).map_err(|e| self.failed("examine", name, &e.into()))?;
        check_ours(&child.path, &stat, SFlag::S_IFDIR)?;
        Ok(Some(child))
    }

    /// Makes the directory `name`, for the owner only; something that is there already is an error.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], or why it could not be made.
    pub fn new_child(&self, name: impl AsRef<Path>) -> io::Result<Self> {
        let name = name.as_ref();
        mkdirat(&self.descriptor, name, DIRECTORY_MODE)?;
        let descriptor = match self.open_child(name) {
            // The umask took the owner's own bits away.
            Err(Errno::EACCES) => {
                fchmodat(
                    &self.descriptor,
                    name,
                    DIRECTORY_MODE,
                    FchmodatFlags::NoFollowSymlink,
                )?;
                self.open_child(name)?
            }
            other => other?,
        };
        fchmod(&descriptor, DIRECTORY_MODE)?;
        Ok(Self {
            path: self.join(name),
            descriptor,
        })
    }

    fn open_child(&self, name: &Path) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | SAFE;
        openat(&self.descriptor, name, flags, Mode::empty())
    }

    /// Makes the file `name`, for the owner only, open for reading and writing; a file or link that is there
    /// already is an error.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], or why it could not be made.
    pub fn create_new(&self, name: impl AsRef<Path>) -> io::Result<File> {
        create_new_at(self.descriptor.as_fd(), name.as_ref())
    }

    /// Opens the existing regular file `name`, or nothing when it is not there.
    ///
    /// # Errors
    ///
    /// Exit 2 when it is no regular file, not ours or writable by others; exit 74 when it cannot be opened.
    pub fn open_file(&self, name: impl AsRef<Path>, access: Access) -> Result<Option<File>> {
        let name = name.as_ref();
        let file = match openat(&self.descriptor, name, access.flags() | SAFE, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(self.not_opened(name, SFlag::S_IFREG, errno)),
        };
        let stat = fstat(&file).map_err(|e| self.failed("examine", name, &e.into()))?;
        check_ours(&self.join(name), &stat, SFlag::S_IFREG)?;
        Ok(Some(file))
    }

    /// The names in this directory, in no order; `.` and `..` are left out.
    ///
    /// # Errors
    ///
    /// Why they cannot be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.descriptor)? {
            names.push(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned());
        }
        names.retain(|name| name != "." && name != "..");
        Ok(names)
    }

    /// What `name` leads to now, without following a link; nothing when it is not there.
    ///
    /// # Errors
    ///
    /// Exit 74 when that cannot be found out.
    pub fn identity(&self, name: impl AsRef<Path>) -> Result<Option<Identity>> {
        let found = self.stat(name.as_ref())?;
        Ok(found.as_ref().map(Identity::of))
    }

    /// Which content `name` has now, without following a link; nothing when it is not there.
    ///
    /// # Errors
    ///
    /// Exit 74 when that cannot be found out.
    pub fn version(&self, name: impl AsRef<Path>) -> Result<Option<Version>> {
        let found = self.stat(name.as_ref())?;
        Ok(found.map(|stat| Version {
            identity: Identity::of(&stat),
            bytes: stat.st_size,
            changed_at: (stat.st_ctime, stat.st_ctime_nsec),
        }))
    }

    fn stat(&self, name: &Path) -> Result<Option<FileStat>> {
        match fstatat(&self.descriptor, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.failed("examine", name, &errno.into())),
        }
    }

    /// Renames `from` to `to`, both in this directory; what was at `to` is replaced in one step.
    ///
    /// # Errors
    ///
    /// Why it could not be renamed.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let directory = &self.descriptor;
        Ok(renameat(directory, from.as_ref(), directory, to.as_ref())?)
    }

    /// Removes the file or link `name`.
    ///
    /// # Errors
    ///
    /// Why it could not be removed.
    pub fn remove(&self, name: impl AsRef<Path>) -> io::Result<()> {
        Ok(unlinkat(
            &self.descriptor,
            name.as_ref(),
            UnlinkatFlags::NoRemoveDir,
        )?)
    }

    /// Removes the empty directory `name`.
    ///
    /// # Errors
    ///
    /// Why it could not be removed.
    pub fn remove_directory(&self, name: impl AsRef<Path>) -> io::Result<()> {
        let flag = UnlinkatFlags::RemoveDir;
        Ok(unlinkat(&self.descriptor, name.as_ref(), flag)?)
    }

    /// Makes the symbolic link `name`, which leads to `target`.
    ///
    /// # Errors
    ///
    /// Why it could not be made.
    pub fn link(&self, target: impl AsRef<Path>, name: impl AsRef<Path>) -> io::Result<()> {
        Ok(symlinkat(target.as_ref(), &self.descriptor, name.as_ref())?)
    }

    /// Gives the file `name` a second name, which nothing has yet; both stay when one is replaced.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], or why it could not be: some file systems know no second names.
    pub fn name_again(&self, name: impl AsRef<Path>, second: impl AsRef<Path>) -> io::Result<()> {
        let directory = &self.descriptor;
        let (name, second) = (name.as_ref(), second.as_ref());
        Ok(linkat(
            directory,
            name,
            directory,
            second,
            AtFlags::empty(),
        )?)
    }

    /// The name of its file system, if that is one that machines share.
    ///
    /// # Errors
    ///
    /// Why it could not be asked.
    pub fn shared_file_system(&self) -> io::Result<Option<String>> {
        let magic = rustix::fs::fstatfs(&self.descriptor)?.f_type;
        let device = fstat(&self.descriptor)?.st_dev;
        #[expect(
            clippy::cast_sign_loss,
            clippy::useless_conversion,
            reason = "its type differs between machines, and it is a pattern of bits"
        )]
        let magic = i64::from(magic) as u64;
        let mount_type = || {
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
            file_system::mount_type(&mounts, (major(device), minor(device)))
        };
        Ok(file_system::shared(magic, mount_type))
    }

    /// Makes the names in this directory durable (fsync).
    ///
    /// # Errors
    ///
    /// Why they could not be. A file system that knows no fsync of directories (`EINVAL`) is no error: there
    /// is nothing that could be done better.
    pub fn sync(&self) -> io::Result<()> {
        match nix::unistd::fsync(&self.descriptor) {
            Ok(()) | Err(Errno::EINVAL) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Our own error about `name` in this directory (exit 74); `verb` fits after `cannot`.
    #[must_use]
    pub fn failed(&self, verb: &str, name: impl AsRef<Path>, error: &io::Error) -> Error {
        failed(verb, &self.join(name), error)
    }

    /// Says what stands in the way when opening failed: something of the wrong kind, or the disk.
    fn not_opened(&self, name: &Path, kind: SFlag, errno: Errno) -> Error {
        match fstatat(&self.descriptor, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) if kind_of(&stat) != kind => {
                check_ours(&self.join(name), &stat, kind).expect_err("the kind is wrong")
            }
            _ => self.failed("open", name, &errno.into()),
        }
    }
}

impl AsFd for HeldDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Makes the file at `path`, for the owner only, open for reading and writing; a file or link that is there
/// already is an error. Only the last component is guarded against links.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`], or why it could not be made.
pub fn create_private(path: &Path) -> io::Result<File> {
    create_new_at(AT_FDCWD, path)
}

fn create_new_at(directory: BorrowedFd<'_>, name: &Path) -> io::Result<File> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | SAFE;
    let descriptor = openat(directory, name, flags, FILE_MODE)?;
    // What the umask has taken; to change what is right already costs as much as to make the file.
    if Mode::from_bits_truncate(fstat(&descriptor)?.st_mode) != FILE_MODE {
        fchmod(&descriptor, FILE_MODE)?;
    }
    Ok(File::from(descriptor))
}

/// State that could not be read or written (exit 74); `verb` fits after `cannot`.
#[must_use]
pub fn failed(verb: &str, path: &Path, error: &io::Error) -> Error {
    Error::state(format!("cannot {verb} `{}`: {error}", shown(path)))
}

/// Refuses what is not of the wanted kind, belongs to somebody else, or can be written by others.
fn check_ours(path: &Path, stat: &FileStat, kind: SFlag) -> Result<()> {
    check_for_user(path, stat, kind, geteuid().as_raw())
}

fn check_for_user(path: &Path, stat: &FileStat, kind: SFlag, user: u32) -> Result<()> {
    let refused = |reason: String, remedy: String| {
        let message = format!("`{}` {reason}", shown(path));
        Err(Error::new(ExitStatus::Usage, message).with_hint(remedy))
    };
    // Only when it is refused: files are opened for each item.
    let move_away = || {
        let word = shell_quoted(path);
        format!("mv {word} {word}.old")
    };
    if kind_of(stat) != kind {
        let reason = format!("is {}, not {}", kind_name(kind_of(stat)), kind_name(kind));
        return refused(
            reason,
            format!(
                "look where it comes from, then move it away: {}",
                move_away()
            ),
        );
    }
    if stat.st_uid != user {
        let reason = format!("belongs to user {}, and this is user {user}", stat.st_uid);
        return refused(
            reason,
            format!(
                "run orchestrate as its owner, or move it away: {}",
                move_away()
            ),
        );
    }
    let mode = stat.st_mode & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        let reason = format!("can be written by others (mode {mode:04o})");
        return refused(
            reason,
            format!(
                "see that it was not tampered with, then: chmod go-w {}",
                shell_quoted(path)
            ),
        );
    }
    Ok(())
}

const fn kind_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

const fn kind_name(kind: SFlag) -> &'static str {
    match kind {
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFREG => "a regular file",
        SFlag::S_IFLNK => "a symbolic link",
        SFlag::S_IFIFO => "a FIFO",
        SFlag::S_IFSOCK => "a socket",
        _ => "a device",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use nix::sys::stat::umask;

    use super::*;

    fn held() -> (tempfile::TempDir, HeldDirectory) {
        let place = tempfile::tempdir().unwrap();
        let directory = HeldDirectory::open(place.path()).unwrap();
        (place, directory)
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_we_make_is_for_the_owner_only() {
        let (place, directory) = held();
        directory.child("d").unwrap();
        directory.create_new("f").unwrap();
        create_private(&place.path().join("p")).unwrap();
        assert_eq!(mode(&place.path().join("d")), 0o700);
        assert_eq!(mode(&place.path().join("f")), 0o600);
        assert_eq!(mode(&place.path().join("p")), 0o600);
    }

    /// The umask belongs to the whole process, so this runs in a process of its own.
    #[test]
    fn the_umask_decides_nothing() {
        if let Some(mask) =
            std::env::args().find_map(|a| a.strip_prefix("--skip=umask-").map(str::to_owned))
        {
            let (place, directory) = held();
            umask(Mode::from_bits_truncate(
                u32::from_str_radix(&mask, 8).unwrap(),
            ));
            directory.create_new("f").unwrap();
            assert_eq!(mode(&place.path().join("f")), 0o600);
            let child = directory.child("d").unwrap();
            child.create_new("f").unwrap();
            assert_eq!(mode(&place.path().join("d")), 0o700);
            return;
        }
        let name = "disk::held_directory::tests::the_umask_decides_nothing";
        for mask in ["000", "022", "777"] {
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name, &format!("--skip=umask-{mask}")])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && said.contains("1 passed"),
                "umask {mask}: {said}"
            );
        }
    }

    #[test]
    fn something_of_another_kind_is_refused() {
        let (place, directory) = held();
        fs::create_dir(place.path().join("target")).unwrap();
        fs::write(place.path().join("file"), "untouched").unwrap();
        symlink("target", place.path().join("to-directory")).unwrap();
        symlink("file", place.path().join("to-file")).unwrap();
        symlink("absent", place.path().join("to-nothing")).unwrap();
        nix::unistd::mkfifo(&place.path().join("fifo"), FILE_MODE).unwrap();
        for (name, kind) in [
            ("to-directory", "a symbolic link"),
            ("to-nothing", "a symbolic link"),
            ("file", "a regular file"),
            ("fifo", "a FIFO"),
        ] {
            let error = directory.child(name).unwrap_err();
            assert_eq!(error.status(), ExitStatus::Usage);
            assert!(
                error
                    .to_string()
                    .ends_with(&format!("/{name}` is {kind}, not a directory")),
                "{error}"
            );
        }
        for (name, kind) in [
            ("to-file", "a symbolic link"),
            ("to-nothing", "a symbolic link"),
            ("target", "a directory"),
            ("fifo", "a FIFO"),
        ] {
            for access in [Access::Read, Access::Update, Access::Append] {
                let error = directory.open_file(name, access).unwrap_err();
                assert_eq!(error.status(), ExitStatus::Usage);
                assert!(
                    error
                        .to_string()
                        .ends_with(&format!("/{name}` is {kind}, not a regular file")),
                    "{error}"
                );
            }
            assert!(directory.create_new(name).is_err());
            assert!(create_private(&place.path().join(name)).is_err());
        }
        assert!(!place.path().join("absent").exists());
        assert_eq!(fs::read(place.path().join("file")).unwrap(), b"untouched");
    }

    #[test]
    fn what_others_can_write_is_refused_with_the_chmod_that_helps() {
        let (place, directory) = held();
        for bits in [0o720, 0o702, 0o777] {
            let path = place.path().join(format!("d{bits:o}"));
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
            let error = directory.child(path.file_name().unwrap()).unwrap_err();
            assert_eq!(error.status(), ExitStatus::Usage);
            assert!(
                error.to_string().contains(&format!("mode {bits:04o}")),
                "{error}"
            );
            assert!(
                error
                    .hint()
                    .unwrap()
                    .ends_with(&format!("chmod go-w {}", path.display()))
            );
        }
        fs::write(place.path().join("f"), "").unwrap();
        fs::set_permissions(place.path().join("f"), fs::Permissions::from_mode(0o620)).unwrap();
        assert_eq!(
            directory.open_file("f", Access::Read).unwrap_err().status(),
            ExitStatus::Usage
        );
    }

    #[test]
    fn what_belongs_to_somebody_else_is_refused() {
        let (place, directory) = held();
        let child = directory.child("d").unwrap();
        let stat = fstat(&child).unwrap();
        let stranger = stat.st_uid + 1;
        let error = check_for_user(child.path(), &stat, SFlag::S_IFDIR, stranger).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Usage);
        assert!(
            error
                .to_string()
                .contains(&format!("belongs to user {}", stat.st_uid)),
            "{error}"
        );

        if !geteuid().is_root() {
            // Straight to the descriptor: what a passing test prints is not shown.
            writeln!(io::stderr(), "SKIP: giving a directory away needs root").unwrap();
            return;
        }
        nix::unistd::chown(&place.path().join("d"), Some(65534.into()), None).unwrap();
        assert!(
            directory
                .child("d")
                .unwrap_err()
                .to_string()
                .contains("belongs to user 65534")
        );
        assert!(directory.find_child("d").is_err());
    }

    #[test]
    fn a_directory_exchanged_for_a_link_leads_no_write_elsewhere() {
        let (place, directory) = held();
        let child = directory.child("logs").unwrap();
        let elsewhere = place.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::rename(place.path().join("logs"), place.path().join("moved")).unwrap();
        symlink(&elsewhere, place.path().join("logs")).unwrap();
        child.create_new("a.1.log").unwrap();
        assert!(place.path().join("moved/a.1.log").exists());
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    }

    #[test]
    fn finding_creates_nothing() {
        let (place, directory) = held();
        assert!(directory.find_child("d").unwrap().is_none());
        assert!(directory.open_file("f", Access::Append).unwrap().is_none());
        assert!(directory.identity("f").unwrap().is_none());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
