//! strace(1) as the hand that makes a system call fail or last.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::skip::{is_root, skipped};

/// What every use of it has in common: all threads and children, nothing shown.
const OPTIONS: [&str; 4] = ["-f", "-qq", "-o", "/dev/null"];

/// A tracer of a running process. When it goes out of scope, the process goes on untouched.
#[derive(Debug)]
pub(crate) struct Strace {
    tracer: Child,
}

impl Strace {
    /// Does `injection` to the calls of a process from now on; says what is left out where it cannot.
    pub(crate) fn attach(pid: Pid, injection: &str, what: &str) -> Option<Self> {
        Self::attach_with(pid, &[], injection, what)
    }

    /// The same, to calls on `path` alone.
    pub(crate) fn attach_on(pid: Pid, path: &Path, injection: &str, what: &str) -> Option<Self> {
        Self::attach_with(pid, &[OsStr::new("-P"), path.as_os_str()], injection, what)
    }

    fn attach_with(pid: Pid, options: &[&OsStr], injection: &str, what: &str) -> Option<Self> {
        // Nobody else looks into `orchestrate` while it runs.
        if !is_root(what) || !works(what) {
            return None;
        }
        let mut tracer = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-p", &pid.to_string(), "-e"])
            .arg(format!("inject={injection}"))
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace can be started");
        let mut stderr = BufReader::new(tracer.stderr.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("attached") {
            line.clear();
            let length = stderr.read_line(&mut line).expect("a pipe can be read");
            assert_ne!(length, 0, "it has not attached");
        }
        // So that it never writes to a closed pipe.
        std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        Some(Self { tracer })
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        let pid = i32::try_from(self.tracer.id()).expect("a pid");
        // It lets go of what it traces; it has ended by itself when that has.
        let _ended = kill(Pid::from_raw(pid), Signal::SIGINT);
        let _reaped = self.tracer.wait();
    }
}

/// The words that start `program` with `injection` done to its calls, as the process that is started; says what is
/// left out where it cannot.
pub(crate) fn injected<'a>(
    injection: &'a str,
    program: &[&'a str],
    what: &str,
) -> Option<Vec<&'a str>> {
    let words = [&["strace", "-D"], &OPTIONS[..], &["-e", injection], program].concat();
    works(what).then_some(words)
}

/// Whether there is a strace, and it may trace.
fn works(what: &str) -> bool {
    let tried = Command::new("strace")
        .args(OPTIONS)
        .arg("true")
        .stderr(Stdio::null())
        .status();
    let works = tried.is_ok_and(|status| status.success());
    if !works {
        skipped(what, "strace cannot trace here");
    }
    works
}
