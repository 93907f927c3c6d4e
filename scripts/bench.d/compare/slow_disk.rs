//! Disks whose fdatasync(2) takes as long as it is told to: strace(1) answers the journal's thread in place of the kernel.

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::unistd::Pid;

use crate::family;
use crate::measure::{Interrupt, LIMIT, Sample, Started};

/// As long as on a disk that turns.
pub(crate) const SLOW: &str = "delay_exit=20000";

/// It writes nothing, and says that it has.
pub(crate) const NONE: &str = "retval=0";

pub(crate) fn can_be_had() -> bool {
    // Nobody but root looks into a run.
    nix::unistd::geteuid().is_root() && which::which("strace").is_ok()
}

/// Runs orchestrate to its end. Everything that its journal's thread does is slower than without strace.
pub(crate) fn run(command: &mut Command, by: &Interrupt, answer: &str) -> io::Result<Sample> {
    let mut started = Started::new(command)?;
    let mut strace = trace(&journal_of(started.pid(), by)?, answer)?;
    let Some(wall) = started.wait(by, LIMIT)? else {
        family::end();
        return Err(io::Error::other("not done on a slow disk"));
    };
    let has_traced = strace.wait()?.success();
    let is_done = started.status()?.success();
    let cpu = started.cpu()?;
    if has_traced && is_done {
        Ok(Sample { wall, cpu })
    } else {
        Err(io::Error::other("orchestrate could not be traced"))
    }
}

/// The journal's thread of a run below `guard`, as soon as there is one.
fn journal_of(guard: Pid, by: &Interrupt) -> io::Result<String> {
    const LOOKS_APART: Duration = Duration::from_micros(200);
    while family::members().contains(&guard) {
        for process in family::members() {
            for thread in fs::read_dir(format!("/proc/{process}/task"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let name = fs::read_to_string(thread.path().join("comm"));
                if name.is_ok_and(|name| name == "journal\n") {
                    return Ok(thread.file_name().to_string_lossy().into_owned());
                }
            }
        }
        by.pause(LOOKS_APART)?;
    }
    Err(io::Error::other("orchestrate has no journal"))
}

fn trace(thread: &str, answer: &str) -> io::Result<Child> {
    Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e"])
        .arg(format!("inject=fdatasync:{answer}"))
        .args(["-p", thread])
        .stdin(Stdio::null())
        .spawn()
}
