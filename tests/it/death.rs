//! When a part of us is killed: nothing that was done is lost, and nothing that ran is left.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::gates::Gates;
use crate::support::process::only_child_of;
use crate::support::running::Running;
use crate::support::workspace::Workspace;

const ITEMS: [&str; 3] = ["a", "b", "c"];

/// An item, and a daemon of it that has left its session and its pipes.
const BODY: &str = r#"
setsid sh -c 'echo "$1 daemon" >arrivals; exec sleep 100000' sh "$item" </dev/null >/dev/null 2>&1 &
meet up"#;

/// The orchestrator proper.
fn orchestrator(guard: &Running<'_>) -> Pid {
    Pid::from_raw(only_child_of(guard.pid()))
}

/// A run in which `a` is done, and `b` and `c` run.
fn started(workspace: &Workspace) -> (Running<'_>, Gates) {
    let mut gates = workspace.gates(&ITEMS);
    let running = workspace.orchestrate(&["-j2", "w"]).start();
    assert_eq!(
        gates.next_sorted(4),
        ["a daemon", "a up", "b daemon", "b up"]
    );
    gates.order("a", "exit 0");
    // What is shown as done is on disk.
    running.wait_for("a done");
    assert_eq!(gates.next_sorted(2), ["c daemon", "c up"]);
    (running, gates)
}

/// The next run does what is left, and nothing else.
#[track_caller]
fn the_rest_runs(workspace: &Workspace) {
    assert_eq!(workspace.done(), ["a"]);
    workspace.item("exit 0");
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    assert_eq!(workspace.started()[3..], ["b", "c"]);
    assert_eq!(workspace.done(), ITEMS);
}

#[test]
fn when_the_process_that_was_started_is_killed_its_items_end() {
    let workspace = Workspace::new(&ITEMS, BODY);
    let (running, _gates) = started(&workspace);
    running.signal(Signal::SIGKILL);
    // It comes back when nothing that it has started is alive, daemons included.
    running.finish().dies_by(Signal::SIGKILL);
    the_rest_runs(&workspace);
}

#[test]
fn when_the_orchestrator_behind_it_is_killed_its_items_end() {
    let workspace = Workspace::new(&ITEMS, BODY);
    let (running, _gates) = started(&workspace);
    kill(orchestrator(&running), Signal::SIGKILL).unwrap();
    running.finish().dies_by(Signal::SIGKILL);
    the_rest_runs(&workspace);
}

#[test]
fn when_all_of_us_is_killed_at_once_the_survivors_keep_the_lock() {
    let workspace = Workspace::new(&ITEMS, BODY);
    let (running, _gates) = started(&workspace);
    // Neither gets to know of the other's death.
    running.signal(Signal::SIGSTOP);
    kill(orchestrator(&running), Signal::SIGKILL).unwrap();
    running.signal(Signal::SIGKILL);
    let (finished, survivors) = running.finish_before_its_items();
    finished.dies_by(Signal::SIGKILL);
    assert!(survivors.are_alive());
    let refused = workspace.orchestrate(&["-j1", "w"]).finish().exits(75);
    refused.says(&["another run holds the workflow `w`", "still alive: fuser"]);
    survivors.kill();
    the_rest_runs(&workspace);
}

#[test]
fn a_sequential_run_that_is_killed_keeps_what_is_done() {
    let workspace = Workspace::new(&["a", "b"], "meet up");
    let mut gates = workspace.gates(&["a", "b"]);
    let running = workspace.orchestrate(&["w"]).start();
    gates.expect("a up");
    gates.order("a", "exit 0");
    gates.expect("b up");
    // The next item is started while the record of the last is on its way to the disk.
    workspace.wait_until_done("a");
    running.signal(Signal::SIGKILL);
    // The child has the terminal and our streams; when it ends is its own business.
    gates.order("b", "exit 0");
    running.finish().dies_by(Signal::SIGKILL);
    assert_eq!(workspace.done(), ["a"]);
    gates.order("b", "exit 0");
    workspace.orchestrate(&["w"]).finish().exits(0);
    assert_eq!(workspace.started(), ["a", "b", "b"]);
}
