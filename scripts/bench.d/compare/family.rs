//! Everything that was started: we are a child subreaper (prctl(2)), so whatever a runner starts and leaves behind is
//! below us in the tree of processes, and nothing else is. What has to go is found there and nowhere else.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// The processes below us, not the ended ones.
pub(crate) fn members() -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name may hold spaces and brackets; behind its last bracket come the state and the parent.
        let mut words = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let (state, parent) = (words.next(), words.next().and_then(|it| it.parse().ok()));
        if let (Some(parent), true) = (parent, state != Some("Z")) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![std::process::id().cast_signed()];
    let mut looked_at = 0;
    while let Some(pid) = found.get(looked_at) {
        found.extend(children.remove(pid).unwrap_or_default());
        looked_at += 1;
    }
    found[1..].iter().copied().map(Pid::from_raw).collect()
}

/// Kills and reaps everything below us; says how many processes there were at first.
pub(crate) fn end() -> usize {
    let count = members().len();
    loop {
        for pid in members() {
            let _gone = kill(pid, Signal::SIGKILL);
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) => {}
                Err(_) => return count,
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// The most memory that a process had, in KiB (`VmHWM`).
pub(crate) fn peak_kib(pid: Pid) -> u64 {
    number(Path::new(&format!("/proc/{pid}/status")), "VmHWM:")
}

/// How often the threads of a process went to sleep by themselves.
pub(crate) fn sleeps(pid: Pid) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    threads
        .map(|thread| number(&thread.path().join("status"), "voluntary_ctxt_switches:"))
        .sum()
}

fn number(file: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Ends everything below us however the measuring ends.
pub(crate) struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        end();
    }
}
