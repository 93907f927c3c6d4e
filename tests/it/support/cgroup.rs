//! A control group of its own for the processes of a test (cgroups(7)): version 1 or 2, as this machine has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::skip::skipped;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A group. When it goes out of scope it is removed, for it is empty then.
#[derive(Debug)]
pub(crate) struct ControlGroup {
    path: PathBuf,
}

impl ControlGroup {
    /// A group of `controller`; says what is left out where there can be none.
    pub(crate) fn make(controller: &str, what: &str) -> Option<Self> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("orchestrate-it-{}-{number}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        let enabled = fs::read_to_string(root.join("cgroup.subtree_control"));
        let parent = if enabled.is_ok_and(|it| it.split_whitespace().any(|it| it == controller)) {
            root.to_owned()
        } else {
            root.join(controller)
        };
        let path = parent.join(name);
        if !parent.join("cgroup.procs").exists() || fs::create_dir(&path).is_err() {
            skipped(what, &format!("no {controller} group can be made"));
            return None;
        }
        Some(Self { path })
    }

    /// Whether it has this file.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.path.join(file).exists()
    }

    /// Reads a file of it.
    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).expect("a file of a control group")
    }

    /// Writes to a file of it.
    pub(crate) fn write(&self, file: &str, value: &str) {
        fs::write(self.path.join(file), value).expect("a file of a control group");
    }

    /// The file to which a process that is to join writes its number.
    pub(crate) fn processes(&self) -> String {
        self.path.join("cgroup.procs").display().to_string()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _none = fs::write(self.path.join("freezer.state"), "THAWED");
        // A process that has just been reaped may still be counted for a moment; a failed test leaves some.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
