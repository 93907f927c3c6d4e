//! Which processes hold a slot: asked of the kernel, never read back from a file, for a pid in a file may be another's.
//!
//! Only for display. proc(5) shows for each descriptor which locks its open file description has, so a daemon that
//! kept a copy of a slot that was given back is not taken for a holder. Processes of other users are not seen.

use std::fs;
use std::path::Path;

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
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids.filter(|&pid| pid != std::process::id()) {
        for (holders, file) in found.iter_mut().zip(files) {
            if has_locked(pid, file.as_ref()) {
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

/// A process that is gone, or not ours, has nothing open.
fn has_locked(pid: u32, file: &Path) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd"));
    let mut open = open.into_iter().flatten().flatten();
    open.any(|entry| {
        let leads_there = fs::read_link(entry.path()).is_ok_and(|target| target == file);
        let number = entry.file_name();
        let info = Path::new("/proc")
            .join(pid.to_string())
            .join("fdinfo")
            .join(number);
        leads_there && fs::read_to_string(info).is_ok_and(|info| info.contains(" FLOCK "))
    })
}
