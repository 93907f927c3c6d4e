//! From the second Ctrl-C on: everything ends, in time, and by the signal.

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::pipe2;

use crate::support::gates::Gates;
use crate::support::running::Running;
use crate::support::strace::injected;
use crate::support::witness::signals;
use crate::support::workspace::Workspace;

/// Starts an item `a` (with `b` behind it) that says `up` when it is ready to be stopped.
fn started<'a>(workspace: &'a Workspace, options: &[&str]) -> (Running<'a>, Gates) {
    let mut gates = workspace.gates(&["a"]);
    let arguments = [&["--parallel", "1", "w"], options].concat();
    let running = workspace.orchestrate(&arguments).start();
    gates.expect("a up");
    (running, gates)
}

/// `a` was interrupted, `b` was not started, and the next run does both.
#[track_caller]
fn runs_again(workspace: &Workspace) {
    assert_eq!(workspace.items_that_are("interrupted"), ["a"]);
    assert_eq!(workspace.started(), ["a"]);
    workspace.item("exit 0");
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    assert_eq!(workspace.started(), ["a", "a", "b"]);
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn a_second_sigint_interrupts_the_whole_group_of_each_item() {
    // A process of the group that the item waits for; the item itself learns of the signal only when it has ended.
    let body = r"
note INT
(
    sleep 100000 &
    trap 'witness signal inner; kill -s KILL $!; exit 0' INT
    announce up
    wait
)
exit 1";
    let workspace = Workspace::new(&["a", "b"], body);
    let (running, _gates) = started(&workspace, &["--grace", "10m"]);
    running.signal(Signal::SIGINT);
    running.wait_until_draining();
    running.signal(Signal::SIGINT);
    let finished = running.finish().dies_by(Signal::SIGINT);
    finished.says(&[
        "stopping 1 item, ",
        "orchestrate:   a for ",
        "0 done, 1 interrupted, 1 not started",
    ]);
    let mut received = signals(&workspace.witness(), "a");
    received.sort();
    assert_eq!(received, ["INT", "inner"]);
    runs_again(&workspace);
}

#[test]
fn a_second_sigint_reaches_a_worker_in_a_session_of_its_own() {
    // In the foreground: a shell makes what it starts in the background deaf to SIGINT.
    let body = r#"
note INT
cat >worker <<'end'
trap 'echo "$1 worker interrupted" >arrivals; kill "$sleeper"; exit 0' INT
sleep 100000 &
sleeper=$!
echo "$1 worker" >arrivals
wait
end
setsid sh ./worker "$item"
exit 1"#;
    let workspace = Workspace::new(&["a"], body);
    let mut gates = workspace.gates(&["a"]);
    let launch = workspace.orchestrate(&["-j1", "w", "--grace", "10m"]);
    let running = launch.start();
    gates.expect("a worker");
    running.signal(Signal::SIGINT);
    running.wait_until_draining();
    running.signal(Signal::SIGINT);
    assert_eq!(gates.next_sorted(2), ["a INT", "a worker interrupted"]);
    running.finish().dies_by(Signal::SIGINT);
    assert_eq!(workspace.items_that_are("interrupted"), ["a"]);
}

#[test]
fn ctrl_c_twice_on_a_terminal_interrupts() {
    let workspace = Workspace::new(&["a", "b"], "note INT; linger up; exit 1");
    let mut gates = workspace.gates(&[]);
    let launch = workspace.orchestrate(&["-j1", "w", "--grace", "10m"]);
    let running = launch.on_terminal().start();
    gates.expect("a up");
    running.type_keys(b"\x03");
    running.wait_until_draining();
    // It is in a session of its own: the terminal has not told it anything.
    assert_eq!(signals(&workspace.witness(), "a"), [""; 0]);
    running.type_keys(b"\x03");
    gates.expect("a INT");
    running.finish().dies_by(Signal::SIGINT);
    assert_eq!(signals(&workspace.witness(), "a"), ["INT"]);
    runs_again(&workspace);
}

#[test]
fn sigterm_comes_before_the_end_of_the_grace() {
    let body = "trap '' INT; note TERM; linger up; exit 1";
    let workspace = Workspace::new(&["a", "b"], body);
    // SIGTERM after two seconds, and two more to answer it.
    let (running, _gates) = started(&workspace, &["--grace", "4s"]);
    running.signal(Signal::SIGINT);
    running.wait_until_draining();
    running.signal(Signal::SIGINT);
    running.finish().dies_by(Signal::SIGINT);
    assert_eq!(signals(&workspace.witness(), "a"), ["TERM"]);
    runs_again(&workspace);
}

#[test]
fn a_child_that_ignores_both_is_killed_at_the_end_of_the_grace() {
    let body = "trap '' INT TERM; linger up; while :; do linger; done";
    let workspace = Workspace::new(&["a", "b"], body);
    let (running, _gates) = started(&workspace, &["--grace", "1s"]);
    running.signal(Signal::SIGINT);
    running.wait_until_draining();
    running.signal(Signal::SIGINT);
    let finished = running.finish().dies_by(Signal::SIGINT);
    finished.says(&["a interrupted", "SIGKILL"]);
    assert_eq!(signals(&workspace.witness(), "a"), [""; 0]);
    runs_again(&workspace);
}

#[test]
fn a_third_sigint_kills_at_once() {
    let body = "trap '' INT TERM; linger up; while :; do linger; done";
    let workspace = Workspace::new(&["a", "b"], body);
    let (running, _gates) = started(&workspace, &["--grace", "10m"]);
    running.signal(Signal::SIGINT);
    running.wait_until_draining();
    running.signal(Signal::SIGINT);
    running.wait_until_terminating();
    running.signal(Signal::SIGINT);
    let finished = running.finish().dies_by(Signal::SIGINT);
    finished.says(&["killing 1 item:", "orchestrate:   a for "]);
    runs_again(&workspace);
}

#[test]
fn sigterm_stops_the_items_at_once() {
    let workspace = Workspace::new(&["a", "b"], "note INT; linger up; exit 0");
    let (running, _gates) = started(&workspace, &["--grace", "10m"]);
    running.signal(Signal::SIGTERM);
    running.finish().dies_by(Signal::SIGTERM);
    assert_eq!(signals(&workspace.witness(), "a"), ["INT"]);
    runs_again(&workspace);
}

#[test]
fn sigquit_kills_the_items_at_once() {
    let body = "note INT TERM QUIT; linger up; while :; do linger; done";
    let workspace = Workspace::new(&["a", "b"], body);
    let (running, _gates) = started(&workspace, &["--grace", "10m"]);
    running.signal(Signal::SIGQUIT);
    running.finish().dies_by(Signal::SIGQUIT);
    assert_eq!(signals(&workspace.witness(), "a"), [""; 0]);
    runs_again(&workspace);
}

#[test]
fn a_stopped_child_is_continued_to_be_stopped() {
    // Somebody else says when it has stopped, for it cannot.
    let body = r"
note INT
( until grep -q '^State:.T' /proc/$$/status; do :; done; announce up ) &
kill -s STOP $$
exit 1";
    let workspace = Workspace::new(&["a", "b"], body);
    let (running, _gates) = started(&workspace, &["--grace", "10m"]);
    running.signal(Signal::SIGTERM);
    running.finish().dies_by(Signal::SIGTERM);
    runs_again(&workspace);
}

#[test]
fn a_signal_while_an_item_is_being_started_reaches_it() {
    // The first call of each thread that makes a process returns to us late: the item already runs, and nobody here
    // knows its number.
    let late = "inject=clone3,clone,vfork:delay_exit=500000:when=1";
    let orchestrate = ["orchestrate", "-j1", "w", "--grace", "10m"];
    let Some(words) = injected(late, &orchestrate, "a signal amid a start") else {
        return;
    };
    for (signal, received) in [(Signal::SIGTERM, &["INT"][..]), (Signal::SIGQUIT, &[])] {
        let workspace = Workspace::new(&["a", "b"], "note INT; linger up; exit 1");
        let mut gates = workspace.gates(&[]);
        let running = workspace.program(&words).start();
        gates.expect("a up");
        running.signal(signal);
        running.finish().dies_by(signal);
        assert_eq!(signals(&workspace.witness(), "a"), received);
        runs_again(&workspace);
    }
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    for (name, signal) in [
        ("INT", Signal::SIGINT),
        ("QUIT", Signal::SIGQUIT),
        ("HUP", Signal::SIGHUP),
    ] {
        let workspace = Workspace::new(&["a", "b"], "note TERM; meet up");
        let mut gates = workspace.gates(&["a", "b"]);
        let script = format!("trap '' {name}; exec orchestrate -j1 w");
        let running = workspace.shell(&script).start();
        gates.expect("a up");
        running.signal(signal);
        gates.order("a", "exit 0");
        // The run goes on as if nothing had been; what is not ignored still works.
        gates.expect("b up");
        running.signal(Signal::SIGTERM);
        running.finish().dies_by(Signal::SIGTERM);
        assert_eq!(workspace.done(), ["a"]);
    }
}

#[test]
fn a_reader_that_is_stuck_does_not_hold_up_a_run_that_is_stopped() {
    // More than the pipe, and what we keep for it, can hold.
    let body = "announce up; yes 'a line that nobody reads' | head -c 4000000; sleep 100000";
    for (signal, output) in [
        (Signal::SIGTERM, "prefix"),
        (Signal::SIGQUIT, "prefix"),
        (Signal::SIGTERM, "group"),
    ] {
        let workspace = Workspace::new(&["a"], body);
        let mut gates = workspace.gates(&["a"]);
        let (_never_read, stdout) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let arguments = ["-j1", "--output", output, "--grace", "1s", "w"];
        let launch = workspace.orchestrate(&arguments).stdout(stdout);
        let running = launch.start();
        gates.expect("a up");
        workspace.wait_until_written(".orchestrate/runs/latest/logs/a.1.log", "nobody");
        running.signal(signal);
        running.finish().dies_by(signal);
    }
}
