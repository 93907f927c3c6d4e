//! As the first process of a container, to whom all orphans fall and whom no signal kills by itself.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::end::End;
use crate::support::process::child_of;
use crate::support::running::Running;
use crate::support::skip::skipped;
use crate::support::workspace::Workspace;

/// Become the first process of a new pid namespace with its own `/proc`: as root, or as anybody.
const CONTAINERS: [&str; 2] = [
    "unshare --pid --fork --kill-child --mount-proc",
    "unshare --user --map-root-user --pid --fork --kill-child --mount-proc",
];

/// `command` as the first process; `None` where there are no namespaces for us.
fn contained<'a>(workspace: &'a Workspace, command: &str) -> Option<Running<'a>> {
    let mut why = String::new();
    for container in CONTAINERS {
        let tried = workspace.shell(&format!("{container} true")).finish();
        if matches!(tried.end, End::Exited(0)) {
            let script = format!("exec {container} {command}");
            return Some(workspace.shell(&script).at_once(2).start());
        }
        why = tried.stderr;
    }
    skipped("a test as the first process of a container", why.trim());
    None
}

/// As we see it from outside.
fn first_process(running: &Running<'_>) -> Pid {
    child_of(running.pid()).unwrap()
}

/// Waits until no process is a zombie.
const NO_ZOMBIE: &str = "
while grep -qs '^State:.Z' /proc/[0-9]*/status; do sleep 0.05; done
exit 0";

#[test]
fn sigterm_ends_the_items_of_the_first_process() {
    let workspace = Workspace::new(&["a", "b"], "note INT; linger up; exit 1");
    let mut gates = workspace.gates(&["a"]);
    let Some(running) = contained(&workspace, "orchestrate -j1 w --grace 10m") else {
        return;
    };
    gates.expect("a up");
    kill(first_process(&running), Signal::SIGTERM).unwrap();
    // Nobody can see it die by the signal, so it says so in the way of shells.
    running
        .finish()
        .exits(143)
        .says(&["SIGTERM: stopping 1 item, ", "orchestrate:   a for "]);
    assert_eq!(workspace.items_that_are("interrupted"), ["a"]);
    assert_eq!(workspace.started(), ["a"]);
}

#[test]
fn ctrl_c_once_drains_as_everywhere() {
    let workspace = Workspace::new(&["a", "b"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    let Some(running) = contained(&workspace, "orchestrate -j1 w") else {
        return;
    };
    gates.expect("a up");
    kill(first_process(&running), Signal::SIGINT).unwrap();
    running.wait_for("nothing new starts");
    gates.order("a", "exit 0");
    running.finish().exits(0);
    assert_eq!(workspace.done(), ["a"]);
}

#[test]
fn the_first_process_reaps_whoever_falls_to_it() {
    // The item's own orphan, one of its daemon, and a child that was there before us.
    let body = format!("(sleep 0 & exec true) & setsid sh -c 'sleep 0 &' & wait; {NO_ZOMBIE}");
    // A run that has something to time looks around every now and then.
    for mode in ["-j2 --timeout 8s", "--parallel=0"] {
        let workspace = Workspace::new(&["a", "b"], &body);
        let command = format!("sh -c 'sleep 0 & exec orchestrate {mode} w'");
        let Some(running) = contained(&workspace, &command) else {
            return;
        };
        running.finish().exits(0);
        assert_eq!(workspace.done(), ["a", "b"], "{mode}");
    }
}

#[test]
fn what_the_first_process_runs_in_a_row_finds_no_signal_blocked() {
    let workspace = Workspace::new(&["a"], "exit 0");
    // No shell: it would unblock them itself. The item is a file that does not exist: nobody has to believe that it is done.
    let command =
        "orchestrate run --items-from items.txt -- grep -h SigBlk /proc/self/status {item}";
    workspace.write("items.txt", "missing\n");
    let Some(running) = contained(&workspace, command) else {
        return;
    };
    let finished = running.finish().exits(1);
    let mask = finished.stdout.split_whitespace().last().unwrap();
    assert_eq!(u64::from_str_radix(mask, 16), Ok(0), "{}", finished.stdout);
}
