//! What the journal knows of attempts, and what becomes of journals that are old, long or damaged.

use nix::sys::signal::Signal;

use crate::support::workspace::Workspace;

#[test]
fn an_item_that_was_cut_off_is_known_as_such_and_runs_again() {
    let workspace = Workspace::new(&["a", "b", "c"], "meet up");
    let mut gates = workspace.gates(&["a", "b", "c"]);
    let running = workspace.orchestrate(&["-j2", "w"]).start();
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    gates.order("a", "exit 0");
    running.wait_for("a done");
    gates.expect("c up");
    let dry = workspace.orchestrate(&["-n", "w"]).finish().exits(0);
    assert_eq!(dry.stdout.matches("is running now").count(), 2);
    running.kill_orchestrator();
    running.finish().dies_by(Signal::SIGKILL);

    let dry = workspace.orchestrate(&["-n", "w"]).finish().exits(0);
    assert_eq!(dry.stdout.matches("was cut off last time").count(), 2);
    workspace.item("exit 0");
    let only_failed = ["-j1", "w", "--only", "failed"];
    workspace.orchestrate(&only_failed).finish().exits(0);
    assert_eq!(workspace.started(), ["a", "b", "c", "b", "c"]);
    assert_eq!(workspace.done(), ["a", "b", "c"]);
}

#[test]
fn an_item_that_was_stopped_is_interrupted_and_not_cut_off() {
    let workspace = Workspace::new(&["a"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    running.signal(Signal::SIGTERM);
    running.finish().dies_by(Signal::SIGTERM);
    let dry = workspace.orchestrate(&["-n", "w"]).finish().exits(0);
    assert!(
        dry.stdout.contains("was interrupted last time"),
        "{}",
        dry.stdout
    );
}
