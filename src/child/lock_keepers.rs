//! Who keeps a lock: the processes that have its file open.
//!
//! Every process of an item inherits the run's lock, so that nobody can double the item while one of them lives. When
//! everything of ours was killed at once, the next run is turned away, and `run` asks here whom a person has to wait
//! for. Only looked at, never signalled: nothing here may trust a number longer than the sentence that shows it.
//!
//! An orchestrator has the lock open close-on-exec; whoever inherited it has not. That would tell a run that lives from
//! what a dead one has left, but nobody but root looks into an orchestrator: [`crate::state::lock`] has asked it before
//! we do. What is found here of runs are those of older versions, which anybody of their user looks into.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::Pid;

use super::kin::{command, environment_variable};
use crate::escape::shown;

/// Processes that are named; there may be thousands.
const KEEPERS_MAX: usize = 1000;

/// Who keeps a lock.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Keepers {
    /// Whether a run is alive.
    pub run_lives: bool,
    /// What a run has started, sorted by item and number.
    pub items: Vec<Keeper>,
}

/// A process that an item has started.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Keeper {
    /// The item's id, escaped; nothing when the process has hidden it.
    pub item: Option<String>,
    /// Its number.
    pub pid: i32,
    /// Its command line, cut and escaped.
    pub command: String,
}

/// Finds all processes that have this file open, as far as we may look at them.
#[must_use]
pub fn keepers(lock: &Path, device: u64, inode: u64) -> Keepers {
    let mut found = Keepers::default();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(pid) = number.map(Pid::from_raw) else {
            continue;
        };
        let keeps = keeps(&entry.path(), lock, (device, inode));
        found.run_lives |= keeps == Keeps::AsARun;
        if keeps == Keeps::Inherited && found.items.len() < KEEPERS_MAX {
            let item = environment_variable(pid, "ORCHESTRATE_ITEM_ID");
            found.items.push(Keeper {
                item: item.map(|item| shown(&item)),
                pid: pid.as_raw(),
                command: command(pid),
            });
        }
    }
    found.items.sort();
    found
}

#[derive(PartialEq, Eq)]
enum Keeps {
    Not,
    AsARun,
    Inherited,
}

fn keeps(process: &Path, lock: &Path, file: (u64, u64)) -> Keeps {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten();
    for descriptor in descriptors.flatten() {
        let path = descriptor.path();
        if !leads_to(&path, lock, file) {
            continue;
        }
        let Some(number) = path.file_name() else {
            continue;
        };
        let info: PathBuf = process.join("fdinfo").join(number);
        return match fs::read_to_string(info) {
            Ok(info) if is_close_on_exec(&info) => {
                if holds_a_lock(&info) {
                    Keeps::AsARun
                } else {
                    // Another one that is being turned away.
                    continue;
                }
            }
            Ok(_) | Err(_) => Keeps::Inherited,
        };
    }
    Keeps::Not
}

/// Whether a link of `/proc/PID/fd` leads to the file. What has another name is not asked: stat(2) of a file on a
/// server that is gone may never come back.
fn leads_to(link: &Path, lock: &Path, (device, inode): (u64, u64)) -> bool {
    let named = fs::read_link(link).is_ok_and(|target| target.file_name() == lock.file_name());
    named && fs::metadata(link).is_ok_and(|found| (found.dev(), found.ino()) == (device, inode))
}

/// Whether `proc_pid_fdinfo(5)` says so.
fn is_close_on_exec(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & OFlag::O_CLOEXEC.bits() != 0)
}

fn holds_a_lock(info: &str) -> bool {
    info.lines().any(|line| line.starts_with("lock:"))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::process::{Command, Stdio};

    use rustix::fs::{FlockOperation, flock};

    use super::*;

    #[test]
    fn a_run_is_told_from_what_it_has_started() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lock");
        let file = fs::File::create(&path).unwrap();
        let metadata = file.metadata().unwrap();
        let find = || keepers(&path, metadata.dev(), metadata.ino());
        assert_eq!(find(), Keepers::default(), "open, and not locked");
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(find().run_lives);

        let inherited = file.as_fd().try_clone_to_owned().unwrap();
        // What a child has as its stdin is not close-on-exec.
        let mut child = Command::new("sleep")
            .arg("100000")
            .env("ORCHESTRATE_ITEM_ID", "issue-42\u{1b}")
            .stdin(Stdio::from(inherited))
            .spawn()
            .unwrap();
        let both = find();
        drop(file);
        let survivors = find();
        child.kill().unwrap();
        child.wait().unwrap();
        let keeper = Keeper {
            item: Some("issue-42\\x1b".to_owned()),
            pid: child.id().try_into().unwrap(),
            command: "sleep 100000".to_owned(),
        };
        assert!(both.run_lives && !survivors.run_lives);
        assert_eq!(
            (&both.items, survivors.items),
            (&vec![keeper], both.items.clone())
        );
        assert_eq!(find(), Keepers::default());
    }

    #[test]
    fn what_a_descriptor_is_stands_in_its_info() {
        let of_a_run =
            "pos:\t0\nflags:\t02100002\nmnt_id:\t29\nlock:\t1: FLOCK  ADVISORY  WRITE 7\n";
        assert!(is_close_on_exec(of_a_run) && holds_a_lock(of_a_run));
        let inherited = "pos:\t0\nflags:\t0100002\nmnt_id:\t29\n";
        assert!(!is_close_on_exec(inherited) && !holds_a_lock(inherited));
        assert!(!is_close_on_exec("flags:\tx"));
    }
}
