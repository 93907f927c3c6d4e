//! Ctrl-Z and `fg`, a machine that stands still, and the question how it is going.

use std::fs::{self, File};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::{FlockOperation, flock};

use crate::support::gates::Gates;
use crate::support::pool::with_keys;
use crate::support::process::{child_of, wait_for_states};
use crate::support::running::Running;
use crate::support::strace::Strace;
use crate::support::witness::pids;
use crate::support::workspace::Workspace;

/// An item with a worker in a session of its own.
const BODY: &str = r#"
setsid sh -c 'echo "$1 worker $$" >arrivals; exec sleep 100000' sh "$item" </dev/null >/dev/null 2>&1 &
worker=$!
meet up
kill "$worker"
exit 0"#;

/// A job of a shell, which is told to bring it back to the foreground by a line.
fn job<'a>(workspace: &'a Workspace, command: &str) -> Running<'a> {
    let script = format!("set -m; {command}; echo \"job: $?\"; read line; fg; echo \"ended: $?\"");
    workspace.shell(&script).at_once(2).on_terminal().start()
}

/// A job in the background of a shell, which could continue it, until the shell reads a line and hangs up; its number is
/// in a file.
fn background_job(workspace: &Workspace) -> Running<'_> {
    let script = "set -m; orchestrate -j2 w & echo $! >number; read line; wait $!; kill -s HUP $$";
    workspace.shell(script).at_once(2).on_terminal().start()
}

/// The numbers of the items' own processes and of their workers, when both items are up.
fn all_up(workspace: &Workspace, gates: &mut Gates) -> Vec<Pid> {
    let mut arrived = gates.next_sorted(4);
    arrived.retain(|line| line.contains("worker"));
    let workers = arrived.iter().map(|line| line.rsplit_once(' ').unwrap().1);
    let workers: Vec<Pid> = workers
        .map(|pid| Pid::from_raw(pid.parse().unwrap()))
        .collect();
    [pids(&workspace.witness()), workers].concat()
}

#[test]
fn ctrl_z_stops_everything_that_items_have_started_and_fg_lets_it_go_on() {
    let workspace = Workspace::new(&["a", "b"], BODY);
    let mut gates = workspace.gates(&["a", "b"]);
    let running = job(&workspace, "orchestrate -j2 w");
    let processes = all_up(&workspace, &mut gates);
    running.type_keys(b"\x1a");
    // The shell has its prompt back, and nothing of the items runs by then.
    running.wait_for("job: 148");
    wait_for_states(&processes, "T");
    for item in ["a", "b"] {
        gates.order(item, "");
    }
    running.type_keys(b"\n");
    running.wait_for("suspended: 2 items stopped, timers paused");
    running.wait_for("2 items go on after");
    let finished = running.finish().exits(0);
    assert!(finished.stdout.contains("ended: 0"), "{}", finished.stdout);
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn a_suspended_run_keeps_no_other_run_from_what_is_known_of_a_key() {
    let workspace = with_keys(&["a", "b"], "meet up");
    let mut gates = workspace.gates(&["a", "b"]);
    let script = "set -m; orchestrate -j1 w & echo $! >number; read line; wait $!; kill -s HUP $$";
    let launch = workspace.shell(script).env("TEST_KEYS", "only-made-up-key");
    let running = launch.on_terminal().start();
    gates.expect("a up");
    let guard = Pid::from_raw(workspace.read("number").trim().parse().unwrap());
    let orchestrator = child_of(guard).unwrap();
    let keys = workspace
        .root()
        .join("../home/state/orchestrate/credentials");
    let folders = fs::read_dir(keys.canonicalize().unwrap())
        .unwrap()
        .flatten();
    let mut folders = folders.map(|entry| entry.path());
    let key = folders
        .find(|path| path.join("state.json").is_file())
        .unwrap();
    // What takes microseconds under the key's lock takes a second now.
    let slow = "pwrite64:delay_enter=1000000";
    let strace = Strace::attach_on(
        orchestrator,
        &key.join("lock"),
        slow,
        "a slow disk for what is known of keys",
    );
    if strace.is_some() {
        let lock = File::open(key.join("lock")).unwrap();
        let is_held = || flock(&lock, FlockOperation::NonBlockingLockShared).is_err();
        gates.order("a", "exit 0");
        while !is_held() {
            flock(&lock, FlockOperation::Unlock).unwrap();
            std::thread::yield_now();
        }
        kill(guard, Signal::SIGTSTP).unwrap();
        wait_for_states(&[guard], "T");
        assert!(!is_held(), "it is stopped, and keeps the lock");
        flock(&lock, FlockOperation::Unlock).unwrap();
        kill(guard, Signal::SIGCONT).unwrap();
    } else {
        gates.order("a", "exit 0");
    }
    gates.expect("b up");
    gates.order("b", "exit 0");
    running.type_keys(b"\n");
    running.finish().dies_by(Signal::SIGHUP);
    // Not before: strace may stop for ever what is being started while it lets go.
    drop(strace);
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn time_does_not_pass_for_what_is_suspended() {
    let workspace = Workspace::new(&["a", "b"], BODY);
    let mut gates = workspace.gates(&["a", "b"]);
    let options = "--timeout 8s --idle-timeout 8s";
    let running = job(&workspace, &format!("orchestrate -j2 w {options}"));
    let _processes = all_up(&workspace, &mut gates);
    running.type_keys(b"\x1a");
    running.wait_for("job: 148");
    // Longer than either limit.
    std::thread::sleep(Duration::from_secs(9));
    for item in ["a", "b"] {
        gates.order(item, "");
    }
    running.type_keys(b"\n");
    running.finish().exits(0);
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn a_machine_that_stood_still_times_nothing_out() {
    let workspace = Workspace::new(&["a", "b"], BODY);
    let mut gates = workspace.gates(&["a", "b"]);
    let options = ["-j2", "w", "--timeout", "8s", "--idle-timeout", "8s"];
    let running = workspace.orchestrate(&options).start();
    let mut processes = all_up(&workspace, &mut gates);
    processes.extend([running.orchestrator().unwrap(), running.pid()]);
    for &process in &processes {
        kill(process, Signal::SIGSTOP).unwrap();
    }
    std::thread::sleep(Duration::from_secs(9));
    for &process in processes.iter().rev() {
        kill(process, Signal::SIGCONT).unwrap();
    }
    for item in ["a", "b"] {
        gates.order(item, "");
    }
    running.finish().exits(0);
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn a_signal_to_the_process_that_was_started_suspends_and_continues_all() {
    let workspace = Workspace::new(&["a", "b"], BODY);
    let mut gates = workspace.gates(&["a", "b"]);
    let running = background_job(&workspace);
    let mut processes = all_up(&workspace, &mut gates);
    let guard = Pid::from_raw(workspace.read("number").trim().parse().unwrap());
    processes.extend([child_of(guard).unwrap(), guard]);
    for _ in 0..3 {
        kill(guard, Signal::SIGTSTP).unwrap();
        wait_for_states(&processes, "T");
        kill(guard, Signal::SIGCONT).unwrap();
        wait_for_states(&processes, "SR");
    }
    for item in ["a", "b"] {
        gates.order(item, "");
    }
    running.type_keys(b"\n");
    running.finish().dies_by(Signal::SIGHUP);
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn a_storm_of_ctrl_z_and_fg_loses_no_item_and_never_sticks() {
    let items: Vec<String> = (0..200).map(|item| format!("i{item}")).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let workspace = Workspace::new(&items, "exit 0");
    let storm = "set -m; orchestrate -j8 w & i=0
while [ $i -lt 200 ] && kill -s TSTP %1; do kill -s CONT %1; sleep 0.01; i=$((i+1)); done
wait %1; echo \"ended: $?\"";
    let running = workspace.shell(storm).at_once(8).on_terminal().start();
    let finished = running.finish().exits(0);
    assert!(finished.stdout.contains("ended: 0"), "{}", finished.stdout);
    assert_eq!(workspace.done().len(), items.len());
    assert_eq!(workspace.started().len(), items.len());
}

#[test]
fn ctrl_z_is_ignored_where_nobody_could_go_on() {
    let workspace = Workspace::new(&["a"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    // It leads its session: there is no shell that would see it stopped.
    let running = workspace.orchestrate(&["-j1", "w"]).on_terminal().start();
    gates.expect("a up");
    running.type_keys(b"\x1a");
    running.wait_for("1 item goes on after");
    gates.order("a", "exit 0");
    running.finish().exits(0);
}

#[test]
fn a_suspended_run_that_loses_its_guard_ends_its_items() {
    let workspace = Workspace::new(&["a", "b"], BODY);
    let mut gates = workspace.gates(&["a", "b"]);
    let running = background_job(&workspace);
    let processes = all_up(&workspace, &mut gates);
    let guard = Pid::from_raw(workspace.read("number").trim().parse().unwrap());
    kill(guard, Signal::SIGTSTP).unwrap();
    wait_for_states(&[guard], "T");
    kill(guard, Signal::SIGKILL).unwrap();
    // What nobody can continue any more is continued and hung up by the kernel (POSIX, _exit).
    wait_for_states(&processes, "-");
    running.type_keys(b"\n");
    running.finish().dies_by(Signal::SIGHUP);
    assert_eq!(workspace.items_that_are("interrupted"), ["a", "b"]);
}

#[test]
fn sigusr1_asks_how_it_is_going() {
    let workspace = Workspace::new(&["a", "b", "c"], "meet up");
    let mut gates = workspace.gates(&["a", "b", "c"]);
    let running = workspace.orchestrate(&["-j2", "w"]).start();
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    gates.order("a", "exit 0");
    running.wait_for("a done");
    gates.expect("c up");
    running.signal(Signal::SIGUSR1);
    running.wait_for("1 of 3 ended (1 done), 2 running, 0 queued,");
    running.wait_for("  b for ");
    running.wait_for("  c for ");
    for item in ["b", "c"] {
        gates.order(item, "exit 0");
    }
    running.finish().exits(0);
}

#[test]
fn sigusr1_is_answered_in_sequential_mode_and_before_the_first_item() {
    let workspace = Workspace::new(&["a"], "meet up");
    let mut gates = workspace.gates(&["a", "list"]);
    let running = workspace.orchestrate(&["w"]).start();
    gates.expect("a up");
    running.signal(Signal::SIGUSR1);
    running.wait_for("0 of 1 ended, 1 running, 0 queued,");
    gates.order("a", "exit 0");
    running.finish().exits(0);
    let list = "#!/bin/sh\necho list >arrivals; read -r line <gate.list; echo b\n";
    workspace.script("list", list);
    workspace.configure("", "items = { command = [\"./list\"] }");
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("list");
    running.signal(Signal::SIGUSR1);
    running.wait_for("the items are being read; nothing runs yet");
    workspace.item("exit 0");
    gates.order("list", "");
    running.finish().exits(0);
}
