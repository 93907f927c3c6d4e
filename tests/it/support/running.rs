//! A process under test, from its start to its end.

use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use rustix::termios::{Winsize, tcsetwinsize};

use super::WATCHDOG;
use super::end::End;
use super::process::child_of;
use super::streams::Ends;
use super::transcript::Transcript;
use super::workspace::Workspace;

/// Signals of one kind within 300 ms are one press, so this long after one was seen to be taken, the next is another.
/// A sleep may be longer than asked for, never shorter: this is the one thing here that nothing but time can give.
const PRESS_APART: Duration = Duration::from_millis(310);

/// A process that has been started.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    workspace: &'a Workspace,
    number: usize,
    pid: Pid,
    pidfd: OwnedFd,
    ends: Ends,
    alive: OwnedFd,
    reaped: bool,
    leaves_survivors: bool,
}

/// Processes that have outlived the one that started them.
#[derive(Debug)]
pub(crate) struct Survivors<'a> {
    workspace: &'a Workspace,
    alive: OwnedFd,
}

/// What is left of a process.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended.
    pub(crate) end: End,
    /// What it wrote to stdout; on a terminal, all that was shown there.
    pub(crate) stdout: String,
    /// What it wrote to stderr; on a terminal, nothing.
    pub(crate) stderr: String,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        workspace: &'a Workspace,
        number: usize,
        pid: Pid,
        ends: Ends,
        alive: OwnedFd,
    ) -> Self {
        let raw = rustix::process::Pid::from_raw(pid.as_raw()).expect("a pid");
        Self {
            workspace,
            number,
            pid,
            pidfd: pidfd_open(raw, PidfdFlags::empty()).expect("an unreaped child"),
            ends,
            alive,
            reaped: false,
            leaves_survivors: false,
        }
    }

    /// Whether the process with this number is the one that was started, or a child of it.
    pub(crate) fn is_or_is_parent_of(&self, pid: &str) -> bool {
        // proc_pid_stat(5): pid, name in parentheses, state, parent.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, it)| it.split(' ').nth(1));
        let own = self.pid.to_string();
        pid == own || parent == Some(&own)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// The orchestrator proper, which the guard that was started has started; none while there is none yet.
    pub(crate) fn orchestrator(&self) -> Option<Pid> {
        child_of(self.pid)
    }

    /// Whether it has ended; what it has started may live on.
    pub(crate) fn has_ended(&self) -> bool {
        ready(&self.pidfd, Duration::ZERO)
    }

    /// Waits for its end; what it has started may live on, and nothing is concluded yet.
    pub(crate) fn wait_until_ended(&self) {
        assert!(
            ready(&self.pidfd, WATCHDOG),
            "it does not end\n{}",
            self.dump()
        );
    }

    /// Waits until it is stopped, or has ended.
    pub(crate) fn wait_until_stopped(&self) {
        let path = format!("/proc/{}/stat", self.pid);
        let state = || {
            let stat = std::fs::read_to_string(&path).unwrap_or_default();
            stat.rsplit_once(") ").and_then(|it| it.1.chars().next())
        };
        while !matches!(state(), Some('T' | 'Z') | None) {
            std::thread::yield_now();
        }
    }

    /// Waits until the items have written down so many steps more, or the run is over.
    #[expect(
        clippy::disallowed_methods,
        reason = "a run that stands still must fail the test"
    )]
    pub(crate) fn wait_for_steps(&self, steps: u64) {
        let count = || self.workspace.witness().lines().count() as u64;
        let (before, began) = (count(), Instant::now());
        while count() < before + steps && !self.has_ended() {
            assert!(began.elapsed() < WATCHDOG, "the run stands still");
            std::thread::sleep(Duration::from_micros(300));
        }
    }

    /// Sends it a signal, to it alone.
    pub(crate) fn signal(&self, signal: Signal) {
        let raw = rustix::process::Signal::from_named_raw(signal as i32).expect("a signal");
        pidfd_send_signal(&self.pidfd, raw).expect("an unreaped child can be signalled");
    }

    /// Kills the orchestrator proper: the one child of the guard that was started.
    pub(crate) fn kill_orchestrator(&self) {
        let guard = self.pid;
        let path = format!("/proc/{guard}/task/{guard}/children");
        let children = std::fs::read_to_string(path).expect("a guard");
        let orchestrator = children.trim().parse().expect("one child");
        kill(Pid::from_raw(orchestrator), Signal::SIGKILL).expect("an unreaped child");
    }

    /// Types on its terminal.
    pub(crate) fn type_keys(&self, keys: &[u8]) {
        let mut keyboard = self.ends.keyboard.as_ref().expect("a terminal");
        keyboard.write_all(keys).expect("a terminal takes keys");
    }

    /// Gives its terminal another size, of which the kernel tells what runs there in the foreground.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let terminal = self.ends.keyboard.as_ref().expect("a terminal");
        tcsetwinsize(terminal, size).expect("a terminal has a size");
    }

    /// Waits until it has said this on stderr, or on its terminal.
    pub(crate) fn wait_for(&self, needle: &str) {
        self.spoken().wait_for(needle);
    }

    /// Waits until this holds for what it has said on stderr, or on its terminal.
    pub(crate) fn wait_until(&self, holds: impl FnMut(&[u8]) -> bool) {
        self.spoken().wait_until(holds);
    }

    /// What is known of what it has said on stderr, or on its terminal, until now.
    pub(crate) fn said_so_far(&self) -> String {
        String::from_utf8_lossy(&self.spoken().so_far()).into_owned()
    }

    /// Waits until it has written this to stdout.
    pub(crate) fn wait_for_output(&self, needle: &str) {
        self.ends.stdout.wait_for(needle);
    }

    /// Waits until it says that it drains, and until another signal is another press.
    pub(crate) fn wait_until_draining(&self) {
        self.wait_for("nothing new starts");
        std::thread::sleep(PRESS_APART);
    }

    /// Waits until it says that it stops its items, and until another signal is another press.
    pub(crate) fn wait_until_terminating(&self) {
        self.wait_for("stopping ");
        std::thread::sleep(PRESS_APART);
    }

    /// Waits for its end, and until nothing that it has started is alive.
    pub(crate) fn finish(mut self) -> Finished {
        let end = self.wait();
        assert!(
            ready(&self.alive, WATCHDOG),
            "a process of its items is still alive\n{}",
            self.dump()
        );
        self.conclude(end)
    }

    /// Waits for its end, which leaves processes behind.
    pub(crate) fn finish_before_its_items(mut self) -> (Finished, Survivors<'a>) {
        let end = self.wait();
        let survivors = Survivors {
            workspace: self.workspace,
            alive: self.alive.try_clone().expect("a descriptor"),
        };
        self.leaves_survivors = true;
        (self.conclude(end), survivors)
    }

    fn wait(&mut self) -> End {
        assert!(
            ready(&self.pidfd, WATCHDOG),
            "it does not end\n{}",
            self.dump()
        );
        let status = waitpid(self.pid, None).expect("an unreaped child");
        self.reaped = true;
        End::of(status).expect("an end")
    }

    fn conclude(&mut self, end: End) -> Finished {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let finished = Finished {
            end,
            stdout: text(self.ends.stdout.whole()),
            stderr: text(self.ends.stderr.whole()),
        };
        self.workspace.end(self.number, &finished);
        finished
    }

    fn spoken(&self) -> &Transcript {
        if self.ends.keyboard.is_some() {
            &self.ends.stdout
        } else {
            &self.ends.stderr
        }
    }

    fn dump(&self) -> String {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        format!(
            "--- stdout\n{}\n--- stderr\n{}\n--- witness\n{}",
            text(self.ends.stdout.so_far()),
            text(self.ends.stderr.so_far()),
            self.workspace.witness(),
        )
    }
}

impl Drop for Running<'_> {
    /// Only a test that has failed leaves a process running.
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(Signal::SIGKILL);
            // There is nothing more to be done when it cannot be reaped.
            let _reaped = waitpid(self.pid, None);
        }
        if !self.leaves_survivors && !ready(&self.alive, Duration::ZERO) {
            self.workspace.kill_survivors();
        }
    }
}

impl Survivors<'_> {
    /// Whether one of them is alive.
    pub(crate) fn are_alive(&self) -> bool {
        !ready(&self.alive, Duration::ZERO)
    }

    /// Waits until they are gone.
    pub(crate) fn wait(self) {
        assert!(ready(&self.alive, WATCHDOG), "a survivor lives on");
    }

    /// Kills them, and waits until they are gone.
    pub(crate) fn kill(self) {
        self.workspace.kill_survivors();
        assert!(ready(&self.alive, WATCHDOG), "a survivor cannot be found");
    }
}

impl Drop for Survivors<'_> {
    fn drop(&mut self) {
        if self.are_alive() {
            self.workspace.kill_survivors();
        }
    }
}

impl Finished {
    /// Expects it to have exited with this code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        self.ends(End::Exited(code))
    }

    /// Expects it to have died by this signal.
    #[track_caller]
    pub(crate) fn dies_by(self, signal: Signal) -> Self {
        self.ends(End::Killed(signal))
    }

    #[track_caller]
    fn ends(self, end: End) -> Self {
        assert_eq!(
            self.end, end,
            "--- stdout\n{}\n--- stderr\n{}",
            self.stdout, self.stderr
        );
        self
    }

    /// Expects stderr to hold all of these.
    #[track_caller]
    pub(crate) fn says(self, needles: &[&str]) -> Self {
        for needle in needles {
            assert!(
                self.stderr.contains(needle),
                "{needle:?} is not said:\n{}",
                self.stderr
            );
        }
        self
    }
}

/// Whether `descriptor` becomes readable, or comes to its end, in time.
fn ready(descriptor: &OwnedFd, patience: Duration) -> bool {
    let mut polled = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    poll(&mut polled, timeout).is_ok_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_hides_is_seen_and_found() {
        let workspace = Workspace::bare();
        let hide = "setsid sleep 100000 </dev/null >/dev/null 2>&1 &";
        let (finished, survivors) = workspace.shell(hide).start().finish_before_its_items();
        finished.exits(0);
        assert!(survivors.are_alive());
        survivors.kill();
    }

    #[test]
    fn an_end_by_a_signal_is_told_from_an_exit() {
        let workspace = Workspace::bare();
        workspace.shell("exit 130").finish().exits(130);
        let killed = workspace.shell("kill -s INT $$").finish();
        killed.dies_by(Signal::SIGINT);
    }
}
