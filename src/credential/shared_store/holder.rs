//! Which processes hold a slot: asked of the kernel, never read back from a file, for a pid in a file may be another's.
//!
//! Only for display. proc(5) shows for each descriptor which locks its open file description has, so a daemon that
//! kept a copy of a slot that was given back is not taken for a holder. Processes of other users are not seen.
//!
//! An orchestrator lets nobody but root see what it has open, for there are keys in it. `/proc/locks` says which process
//! has taken a lock, as long as that one lives. It is believed only of a process that does not let itself be seen: any
//! other one may have got the number of one that is gone.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{major, minor};

/// How often the table of all locks is read.
const LOOKS: usize = 3;

/// A process that holds a slot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// What its program is called: text from outside.
    pub name: String,
}

/// The processes that hold the lock of each of these files, by pid.
pub(super) fn holders(files: &[impl AsRef<Path>]) -> Vec<Vec<Holder>> {
    let mut found = vec![Vec::new(); files.len()];
    // It is read in pieces, and misses a line when another one vanishes in between.
    let read = |_| fs::read_to_string("/proc/locks").unwrap_or_default();
    let table: String = (0..LOOKS).map(read).collect();
    let takers: Vec<Vec<u32>> = files.iter().map(|it| takers(it.as_ref(), &table)).collect();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids.filter(|&pid| pid != std::process::id()) {
        for (index, holders) in found.iter_mut().enumerate() {
            let has_locked = match has_locked(pid, files[index].as_ref()) {
                Some(has_locked) => has_locked,
                None => takers[index].contains(&pid),
            };
            if has_locked {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                let name = name.trim_end().to_owned();
                holders.push(Holder { pid, name });
            }
        }
    }
    for holders in &mut found {
        holders.sort();
    }
    found
}

/// Nothing when we may not see it. A process that is gone has nothing open.
fn has_locked(pid: u32, file: &Path) -> Option<bool> {
    let mut open = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(open) => open.flatten(),
        Err(error) => return (error.kind() != ErrorKind::PermissionDenied).then_some(false),
    };
    Some(open.any(|entry| {
        let leads_there = fs::read_link(entry.path()).is_ok_and(|target| target == file);
        let number = entry.file_name();
        let info = Path::new("/proc")
            .join(pid.to_string())
            .join("fdinfo")
            .join(number);
        leads_there && fs::read_to_string(info).is_ok_and(|info| info.contains(" FLOCK "))
    }))
}

/// The processes that have taken the `flock` of a file and live, by the lines of `/proc/locks`.
fn takers(file: &Path, table: &str) -> Vec<u32> {
    let Ok(metadata) = fs::metadata(file) else {
        return Vec::new();
    };
    let (major, minor) = (major(metadata.dev()), minor(metadata.dev()));
    let taker = |line: &str| {
        // `7: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF`; with `->` behind the number it waits for one.
        let mut fields = line.split_whitespace();
        fields.nth(1).filter(|&kind| kind == "FLOCK")?;
        let (pid, place) = (fields.nth(2)?.parse().ok()?, fields.next()?);
        let mut place = place.split(':');
        let mut device = || u32::from_str_radix(place.next()?, 16).ok();
        let device = (device()?, device()?);
        let inode: u64 = place.next()?.parse().ok()?;
        // Btrfs and its like show files on devices (of major number 0) that are others than the locks'.
        let same_device = device == (major, minor) || (device.0, major) == (0, 0);
        (inode == metadata.ino() && same_device).then_some(pid)
    };
    table.lines().filter_map(taker).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::{FlockOperation, flock};

    use super::*;

    #[test]
    fn the_kernel_says_who_has_taken_a_lock() {
        let place = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| place.path().join(name));
        let (locked, _open) = (File::create(&one).unwrap(), File::create(&other).unwrap());
        let table = || fs::read_to_string("/proc/locks").unwrap();
        assert_eq!(takers(&one, &table()), [0; 0]);
        flock(&locked, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(takers(&one, &table()), [std::process::id()]);
        assert_eq!(takers(&other, &table()), [0; 0]);
        assert_eq!(takers(&place.path().join("gone"), &table()), [0; 0]);
    }

    #[test]
    fn only_a_whole_line_of_the_table_says_something() {
        let place = tempfile::tempdir().unwrap();
        let (dev, inode) = fs::metadata(place.path())
            .map(|it| (it.dev(), it.ino()))
            .unwrap();
        let device = format!("{:02x}:{:02x}", major(dev), minor(dev));
        for (line, found) in [
            (
                format!("7: FLOCK  ADVISORY  WRITE 42 {device}:{inode} 0 EOF"),
                &[42][..],
            ),
            (
                format!("7: -> FLOCK  ADVISORY  WRITE 42 {device}:{inode} 0 EOF"),
                &[],
            ),
            (
                format!("7: POSIX  ADVISORY  WRITE 42 {device}:{inode} 0 EOF"),
                &[],
            ),
            (
                format!("7: FLOCK  ADVISORY  WRITE 42 {device}:{} 0 EOF", inode + 1),
                &[],
            ),
            (
                format!("7: FLOCK  ADVISORY  WRITE 42 fff:fff:{inode} 0 EOF"),
                &[],
            ),
            (
                format!("7: FLOCK  ADVISORY  WRITE -1 {device}:{inode} 0 EOF"),
                &[],
            ),
            ("7: FLOCK  ADVISORY  WRITE 42".to_owned(), &[]),
            (format!("{device}:{inode}"), &[]),
        ] {
            assert_eq!(takers(place.path(), &line), found, "{line}");
        }
    }
}
