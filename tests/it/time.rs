//! Time limits, the deadline of a run, and further attempts.

use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;

use crate::support::workspace::Workspace;

#[test]
fn an_attempt_that_takes_too_long_is_stopped_and_the_others_go_on() {
    let body = "case $item in a) note INT; linger; exit 1;; esac";
    let workspace = Workspace::new(&["a", "b"], body);
    let launch = workspace.orchestrate(&["-j2", "w", "--timeout", "1s"]);
    let finished = launch.finish().exits(1);
    finished.says(&["a timed-out in", "a timed out after", "1 done, 1 failed"]);
    assert_eq!(workspace.items_that_are("timed-out"), ["a"]);
    assert_eq!(workspace.done(), ["b"]);
    workspace.item("exit 0");
    let again = workspace.orchestrate(&["-j2", "w", "--only", "failed"]);
    again.finish().exits(0);
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn an_attempt_that_prints_nothing_is_stopped_and_one_that_prints_is_not() {
    // `b` prints until `a`, which prints nothing, is over.
    let body = "
case $item in
a) note INT; linger; touch over; exit 1;;
b) until test -e over; do echo tick; sleep 0.1; done;;
esac";
    let workspace = Workspace::new(&["a", "b"], body);
    let launch = workspace.orchestrate(&["-j2", "w", "--idle-timeout", "8s"]);
    launch.finish().exits(1);
    assert_eq!(workspace.items_that_are("timed-out"), ["a"]);
    assert_eq!(workspace.done(), ["b"]);
}

#[test]
fn a_limit_on_silence_is_refused_where_nobody_listens() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let refused = workspace.orchestrate(&["w", "--idle-timeout", "3s"]);
    refused
        .finish()
        .exits(2)
        .says(&["--idle-timeout needs --parallel"]);
    for bad in ["90", "-5s", "soon"] {
        let refused = workspace.orchestrate(&["-j1", "w", &format!("--timeout={bad}")]);
        refused.finish().exits(2).says(&["--timeout"]);
    }
    assert!(workspace.started().is_empty());
}

#[test]
fn the_deadline_lets_running_items_end_and_leaves_the_rest() {
    let workspace = Workspace::new(&["a", "b"], "meet up");
    let mut gates = workspace.gates(&["a", "b"]);
    let launch = workspace.orchestrate(&["-j1", "w", "--stop-after", "1s"]);
    let running = launch.start();
    gates.expect("a up");
    running.wait_for("the time of --stop-after has come");
    gates.order("a", "exit 0");
    let finished = running.finish().exits(75);
    finished.says(&["1 done, 1 not started"]);
    assert_eq!(workspace.done(), ["a"]);
}

#[test]
fn a_failed_item_gets_another_attempt_with_a_number_and_a_log_of_its_own() {
    let workspace = Workspace::new(&["a"], "echo try $ORCHESTRATE_ATTEMPT; test $attempt = 2");
    let finished = workspace
        .orchestrate(&["-j2", "w", "--retries", "1"])
        .finish()
        .exits(0);
    finished.says(&["a failed after", "attempt 2 of 2 follows in", "1 done"]);
    assert_eq!(workspace.started(), ["a", "a"]);
    let first = workspace.log("a");
    let second = first.with_file_name("a.2.log");
    assert_eq!(std::fs::read_to_string(first).unwrap(), "try 1\n");
    assert_eq!(std::fs::read_to_string(&second).unwrap(), "try 2\n");
    assert_eq!(
        second.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn what_cannot_succeed_is_not_tried_again() {
    let body = "case $item in a) exit 126;; b) exit 127;; c) exit 91;; esac";
    let workspace = Workspace::new(&["a", "b", "c"], body);
    workspace.configure("", "exit-codes = { never-retry = [91] }");
    workspace
        .orchestrate(&["-j3", "w", "--retries", "5"])
        .finish()
        .exits(1);
    let mut started = workspace.started();
    started.sort();
    assert_eq!(started, ["a", "b", "c"]);
}

#[test]
fn an_interrupt_does_not_wait_for_a_retry() {
    let workspace = Workspace::new(&["a"], "exit 92");
    workspace.configure("", "exit-codes = { retry-later = [92] }\nretries = 1");
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    // In five minutes at least.
    running.wait_for("attempt 2 of 2 follows in");
    running.signal(Signal::SIGINT);
    running.finish().exits(1).says(&["1 failed"]);
    assert_eq!(workspace.started(), ["a"]);
}

#[test]
fn exit_codes_that_are_none_are_refused() {
    let workspace = Workspace::new(&["a"], "exit 0");
    for bad in [
        "{ never-retry = [0] }",
        "{ never-retry = 91 }",
        "{ never-retry = [91], retry-later = [91] }",
        "{ never-rety = [91] }",
    ] {
        workspace.configure("", &format!("exit-codes = {bad}"));
        let refused = workspace.orchestrate(&["-j1", "w"]).finish().exits(2);
        refused.says(&["orchestrate.toml:", "never-ret"]);
    }
    assert!(workspace.started().is_empty());
}
