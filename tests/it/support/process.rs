//! What proc(5) tells of a process.

use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::WATCHDOG;

/// The first child of a process; of the guard that was started, it is the orchestrator proper.
pub(crate) fn child_of(process: Pid) -> Option<Pid> {
    let path = format!("/proc/{process}/task/{process}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    let first = children.split_whitespace().next()?;
    first.parse().ok().map(Pid::from_raw)
}

/// Its state: `R` running, `S` sleeping, `T` stopped, `Z` a zombie …; `-` when there is none of this number.
fn state_of(pid: Pid) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // proc_pid_stat(5): pid, name in parentheses, state.
    let state = stat.rsplit_once(") ").and_then(|(_, it)| it.chars().next());
    state.unwrap_or('-')
}

/// Waits until each of these processes is in one of these states.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "the system tells nobody when a state changes"
)]
pub(crate) fn wait_for_states(processes: &[Pid], accepted: &str) {
    let began = Instant::now();
    loop {
        let states: String = processes.iter().map(|&pid| state_of(pid)).collect();
        if states.chars().all(|state| accepted.contains(state)) {
            return;
        }
        assert!(began.elapsed() < WATCHDOG, "{states} of {processes:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
