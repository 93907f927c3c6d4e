//! When a part of us is killed: nothing that was done is lost, and nothing that ran is left.

use nix::sys::signal::{Signal, kill};

use crate::support::cgroup::ControlGroup;
use crate::support::gates::Gates;
use crate::support::ledger::{run_record, runs};
use crate::support::running::Running;
use crate::support::strace::Strace;
use crate::support::workspace::Workspace;

const ITEMS: [&str; 3] = ["a", "b", "c"];

/// An item, and a daemon of it that has left its session and its pipes.
const BODY: &str = r#"
setsid sh -c 'echo "$1 daemon" >arrivals; exec sleep 100000' sh "$item" </dev/null >/dev/null 2>&1 &
meet up"#;

/// A run in which `a` is done, and `b` and `c` run.
fn started(workspace: &Workspace) -> (Running<'_>, Gates) {
    let mut gates = workspace.gates(&ITEMS);
    let running = workspace
        .orchestrate(&["-j2", "w", "--grace", "1s"])
        .start();
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
    // Whoever had started it would have seen that it did not end well.
    let run = runs(workspace.root()).pop_first().unwrap();
    assert_eq!(run_record(workspace.root(), &run)["exit_status"], 74);
    the_rest_runs(&workspace);
}

#[test]
fn when_the_orchestrator_behind_it_is_killed_its_items_end() {
    let workspace = Workspace::new(&ITEMS, BODY);
    let (running, _gates) = started(&workspace);
    kill(running.orchestrator().unwrap(), Signal::SIGKILL).unwrap();
    running.finish().dies_by(Signal::SIGKILL);
    the_rest_runs(&workspace);
}

#[test]
fn when_the_system_is_out_of_memory_and_kills_the_orchestrator_its_items_end() {
    let what = "a death for want of memory";
    let Some(group) = ControlGroup::make("memory", what) else {
        return;
    };
    let workspace = Workspace::new(&ITEMS, BODY);
    let (running, gates) = started(&workspace);
    let orchestrator = running.orchestrator().unwrap();
    // The first to be killed when the group is out of memory is the orchestrator, whoever takes it.
    let adjustment = format!("/proc/{orchestrator}/oom_score_adj");
    std::fs::write(adjustment, "1000").unwrap();
    group.write(limit_of(&group), &(64 << 20).to_string());
    group.write("cgroup.procs", &orchestrator.to_string());
    // Written by its shell itself, so that no other process has the memory.
    let eat = format!(
        "echo $$ >{}; x=0123456789abcdef; while :; do x=$x$x; done",
        group.processes()
    );
    gates.order("b", &eat);
    running.finish().dies_by(Signal::SIGKILL);
    the_rest_runs(&workspace);
}

/// Where the memory of a group is limited, in version 1 or 2.
fn limit_of(group: &ControlGroup) -> &'static str {
    if group.has("memory.max") {
        "memory.max"
    } else {
        "memory.limit_in_bytes"
    }
}

#[test]
fn when_the_orchestrator_panics_its_items_end() {
    let workspace = Workspace::new(&ITEMS, BODY);
    let (running, _gates) = started(&workspace);
    let orchestrator = running.orchestrator().unwrap();
    // There is no going on for its runtime then.
    let injection = "epoll_wait:error=EBADF";
    if let Some(strace) = Strace::attach(orchestrator, injection, "a panic") {
        let finished = running.finish().dies_by(Signal::SIGABRT);
        finished.says(&["panicked at"]);
        drop(strace);
    } else {
        running.signal(Signal::SIGKILL);
        running.finish();
    }
    the_rest_runs(&workspace);
}

#[test]
fn when_all_of_us_is_killed_at_once_the_survivors_keep_the_lock() {
    let workspace = Workspace::new(&ITEMS, BODY);
    let (running, _gates) = started(&workspace);
    // Neither gets to know of the other's death.
    running.signal(Signal::SIGSTOP);
    kill(running.orchestrator().unwrap(), Signal::SIGKILL).unwrap();
    running.signal(Signal::SIGKILL);
    let (finished, survivors) = running.finish_before_its_items();
    finished.dies_by(Signal::SIGKILL);
    assert!(survivors.are_alive());
    let refused = workspace.orchestrate(&["-j1", "w"]).finish().exits(75);
    let said = "the last run of the workflow `w` was killed, and processes of its items are still";
    let daemon = "b: sleep 100000 (pid ";
    let script = "item c 1 (pid ";
    let refused = refused.says(&[said, daemon, script, "end them: kill "]);
    let (_, command) = refused.stderr.split_once("end them: ").unwrap();
    // It is the remedy, and all of it.
    workspace.shell(command).finish().exits(0);
    survivors.wait();
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
