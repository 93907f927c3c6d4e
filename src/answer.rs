//! What a program answers on stdout, within limits of time and size: `git`, `gh` and the commands that print keys.
//!
//! Its stdin is empty, and its stderr is dropped, because nobody has checked it for secrets. What it says may be a
//! secret itself, so it is wiped when it is dropped. No shell is involved.
//!
//! What such a program leaves running is the user's: an agent that keeps a passphrase, say. It is known by a variable, so
//! that it is not ended with the run ([`crate::child::guard`]).

use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;
use rustix::process::{Pid as RawPid, PidfdFlags, pidfd_open};
use zeroize::Zeroizing;

use crate::child::kin::kill_those_below;

/// The variable that such a program gets: the number of the process that asks.
pub const ASKED_BY: &str = "ORCHESTRATE_ASKED_BY";

/// What a program has answered.
#[derive(Debug)]
pub struct Answer {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub text: Zeroizing<String>,
}

impl Answer {
    /// The first line, trimmed; empty when there is none.
    #[must_use]
    pub fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default().trim()
    }
}

/// Runs `command` and reads what it writes to stdout until it ends; what it leaves running is not waited for.
///
/// # Errors
///
/// `TimedOut` after `time_max`, `InvalidData` when the answer has more than `bytes_max` bytes or is not UTF-8, or
/// what the system says. Neither the program nor what it has started and still waits for runs any more then.
pub fn ask(command: &mut Command, time_max: Duration, bytes_max: usize) -> io::Result<Answer> {
    let command = command.env(ASKED_BY, std::process::id().to_string());
    let command = command.stdin(Stdio::null()).stderr(Stdio::null());
    let mut child = start(command.stdout(Stdio::piped()))?;
    let bytes = listen(&mut child, time_max, bytes_max);
    if bytes.is_err() {
        kill_those_below(Pid::from_raw(child.id().cast_signed()));
        // Unreaped until the wait below, so the signal meets no stranger. It may have ended meanwhile.
        let _ended = child.kill();
    }
    let status = child.wait()?;
    let bytes = bytes?;
    let text = std::str::from_utf8(&bytes).map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
    Ok(Answer {
        status,
        text: Zeroizing::new(text.to_owned()),
    })
}

/// Starts `command` with SIGCHLD as programs expect it: a child inherits what its thread blocks, and we block it during a
/// run. SIGTSTP stays blocked there: with one pending, to unblock it would stop us before everything is suspended.
///
/// # Errors
///
/// What the system says.
pub fn start(command: &mut Command) -> io::Result<Child> {
    let mut ours = SigSet::empty();
    ours.add(Signal::SIGCHLD);
    let before = SigSet::thread_get_mask()?;
    ours.thread_unblock()?;
    let started = command.spawn();
    before.thread_set_mask()?;
    started
}

fn listen(
    child: &mut Child,
    time_max: Duration,
    bytes_max: usize,
) -> io::Result<Zeroizing<Vec<u8>>> {
    let deadline = now() + time_max;
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(RawPid::from_raw)
        .ok_or(ErrorKind::NotFound)?;
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    let stdout = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
    fcntl(&stdout, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // One buffer that never moves, so that no copy of a secret is left behind.
    let mut answer = Buffer {
        bytes: Zeroizing::new(vec![0; bytes_max + 1]),
        filled: 0,
    };
    let mut open = true;
    loop {
        let left = deadline.saturating_duration_since(now());
        let mut polled = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        if open {
            polled.push(PollFd::new(stdout.as_fd(), PollFlags::POLLIN));
        }
        let timeout = PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX);
        match poll(&mut polled, timeout) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let has_ended = polled[0].any().unwrap_or(false);
        open = open && answer.take_what_is_there(&stdout)?;
        if has_ended {
            return Ok(answer.finish());
        }
    }
}

struct Buffer {
    bytes: Zeroizing<Vec<u8>>,
    filled: usize,
}

impl Buffer {
    /// Whether more may come.
    fn take_what_is_there(&mut self, stdout: &ChildStdout) -> io::Result<bool> {
        loop {
            if self.filled == self.bytes.len() {
                return Err(ErrorKind::InvalidData.into());
            }
            match nix::unistd::read(stdout, &mut self.bytes[self.filled..]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.filled += read,
                Err(Errno::EAGAIN) => return Ok(true),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn finish(mut self) -> Zeroizing<Vec<u8>> {
        self.bytes.truncate(self.filled);
        self.bytes
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program is waited for in real time"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask_shell(script: &str, bytes_max: usize) -> io::Result<Answer> {
        ask(
            Command::new("sh").args(["-c", script]),
            Duration::from_mins(5),
            bytes_max,
        )
    }

    #[test]
    fn the_whole_answer_comes_with_the_status() {
        let answer = ask_shell("echo ' one '; echo two; exit 3", 100).unwrap();
        assert_eq!(answer.text.as_str(), " one \ntwo\n");
        assert_eq!(
            (answer.first_line(), answer.status.code()),
            ("one", Some(3))
        );
        assert_eq!(ask_shell(":", 100).unwrap().first_line(), "");
    }

    #[test]
    fn an_answer_that_is_too_long_or_no_text_is_refused() {
        assert_eq!(ask_shell("printf 1234", 4).unwrap().text.as_str(), "1234");
        for script in ["printf 12345", "yes", "printf '\\377'"] {
            assert_eq!(
                ask_shell(script, 4).unwrap_err().kind(),
                ErrorKind::InvalidData,
                "{script}"
            );
        }
    }

    #[test]
    fn a_program_that_does_not_end_runs_out_of_time() {
        for script in ["exec sleep 1000", "exec >&-; exec sleep 1000"] {
            let mut command = Command::new("sh");
            let error = ask(command.args(["-c", script]), Duration::from_millis(20), 100);
            assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut, "{script}");
        }
    }

    #[test]
    fn a_program_finds_sigchld_unblocked_though_we_block_it() {
        let mut ours = SigSet::empty();
        ours.add(Signal::SIGCHLD);
        ours.thread_block().unwrap();
        let answer = ask_shell("grep SigBlk /proc/self/status", 100).unwrap();
        let mask = answer.first_line().trim_start_matches("SigBlk:").trim();
        let mask = u64::from_str_radix(mask, 16).unwrap();
        assert_eq!(mask >> (Signal::SIGCHLD as i32 - 1) & 1, 0);
        assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGCHLD));
    }

    #[test]
    fn who_runs_out_of_time_takes_along_what_it_waits_for() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("pid");
        let mut time_max = Duration::from_millis(50);
        let pid = loop {
            let mut command = Command::new("sh");
            command
                .args(["-c", r#"sleep 1000 & echo $! >"$0"; wait"#])
                .arg(&file);
            let error = ask(&mut command, time_max, 100);
            assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut);
            match std::fs::read_to_string(&file).map(|text| text.trim().parse()) {
                Ok(Ok(pid)) => break Pid::from_raw(pid),
                // It did not come so far.
                Ok(Err(_)) | Err(_) => time_max *= 2,
            }
        };
        while is_sleeping(pid) {
            std::thread::yield_now();
        }
    }

    fn is_sleeping(pid: Pid) -> bool {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command == b"sleep\x001000\0"
    }

    #[test]
    fn what_it_leaves_in_the_background_is_not_waited_for() {
        let answer = ask_shell("sleep 20 & echo done", 100).unwrap();
        assert_eq!(answer.first_line(), "done");
    }
}
