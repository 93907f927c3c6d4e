//! Whatever an item does with processes, it is ended with its item or its run, and nobody else is.

use nix::sys::signal::Signal;

use crate::support::cgroup::ControlGroup;
use crate::support::end::End;
use crate::support::skip::{is_root, skipped};
use crate::support::workspace::Workspace;

#[test]
fn an_item_that_asks_a_terminal_is_answered_at_once_and_stops_nobody() {
    let body = r"
(stty -echo </dev/tty) 2>/dev/null && exit 3
stty -echo 2>/dev/null && exit 4
read -r line && exit 5
if command -v bash >/dev/null; then bash -ic 'exit 6' 2>/dev/null; test $? = 6 || exit 7; fi
exit 0";
    let workspace = Workspace::new(&["a", "b"], body);
    // What is in front of the keyboard is asked by nobody.
    let running = workspace.orchestrate(&["-j2", "w"]).on_terminal().start();
    running.type_keys(b"yes\n");
    running.finish().exits(0);
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn a_daemon_without_parents_is_ended_when_its_item_runs_out_of_time() {
    // Forked twice, in a session of its own: nothing but its environment says whose it is.
    let body = r#"
case $item in b) meet up;; esac
(setsid sh -c 'echo "$1 daemon" >arrivals; exec sleep 100000' sh "$item" </dev/null >/dev/null 2>&1 &)
trap '' INT TERM
while :; do linger; done"#;
    let workspace = Workspace::new(&["a", "b"], body);
    let mut gates = workspace.gates(&["b"]);
    let limits = ["-j2", "w", "--timeout", "3s", "--grace", "1s"];
    let running = workspace.orchestrate(&limits).start();
    assert_eq!(gates.next_sorted(2), ["a daemon", "b up"]);
    gates.order("b", "exit 0");
    let finished = running.finish().exits(1);
    finished.says(&["a left 1 process", "sleep 100000", "1 done, 1 failed"]);
    assert_eq!(workspace.items_that_are("timed-out"), ["a"]);
    assert_eq!(workspace.done(), ["b"]);
}

#[test]
fn silence_in_a_held_pipe_ends_the_wait_before_chatter_does() {
    // Both have left somebody with their pipes; the one with the chatterer had ended before the other did.
    let body = r"
case $item in
a) sleep 100000 & meet up;;
b) ( while :; do echo chatter; sleep 0.01; done ) & meet up;;
esac";
    // A machine that stands still for a second may turn it round.
    for _ in 0..5 {
        let workspace = Workspace::new(&["a", "b"], body);
        let mut gates = workspace.gates(&["a", "b"]);
        let running = workspace.orchestrate(&["-j2", "w"]).start();
        gates.next_sorted(2);
        gates.order("b", "exit 0");
        while !workspace.witness().contains("exit b ") {
            std::thread::yield_now();
        }
        // Its two seconds run; of the other's, less than that is left.
        std::thread::sleep(std::time::Duration::from_millis(700));
        gates.order("a", "exit 0");
        let finished = running.finish().exits(0);
        let place = |words: &str| finished.stderr.find(words).expect(words);
        if place("a done") < place("b done") {
            return;
        }
    }
    panic!("silence is never shorter than chatter");
}

#[test]
fn signals_reach_what_holds_the_pipes_of_an_ended_item() {
    // Both see their item end. Nobody reads what we write, so that they are not given up.
    let body = r"
( while :; do echo 0123456789012345678901234567890123456789; done ) &
(
    trap 'announce TERM; kill -s KILL $!' TERM
    until grep -q '^State:.Z' /proc/$$/status; do :; done
    sleep 100000 &
    announce left
    wait $!
) &
exit 0";
    let workspace = Workspace::new(&["a"], body);
    let mut gates = workspace.gates(&[]);
    let (unread, stdout) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let launch = workspace.orchestrate(&["-j1", "w", "--grace", "1s"]);
    let running = launch.stdout(stdout).start();
    gates.expect("a left");
    running.signal(Signal::SIGTERM);
    gates.expect("a TERM");
    running.wait_for("a interrupted");
    // What is left to be shown is given up as well.
    running.signal(Signal::SIGQUIT);
    running.finish().dies_by(Signal::SIGTERM);
    drop(unread);
}

#[test]
fn a_stopped_or_deaf_item_does_not_outlast_its_time() {
    let body = "
case $item in
a) kill -s STOP $$; while :; do linger; done;;
b) trap '' INT TERM; while :; do linger; done;;
esac";
    let workspace = Workspace::new(&["a", "b", "c"], body);
    let limits = ["-j2", "w", "--timeout", "1s", "--grace", "1s"];
    // Whoever is killed cannot write down its end.
    let launch = workspace.orchestrate(&limits).at_once(3);
    let finished = launch.finish().exits(1);
    finished.says(&["2 failed: timed out\n", "1 done"]);
    assert_eq!(workspace.items_that_are("timed-out"), ["a", "b"]);
    assert_eq!(workspace.done(), ["c"]);
}

#[test]
fn an_item_that_cannot_be_killed_is_told_and_keeps_the_lock() {
    let what = "an item that cannot be killed";
    let Some(group) = ControlGroup::make("freezer", what) else {
        return;
    };
    if !group.has("freezer.state") {
        // SIGKILL ends what version 2 has frozen.
        skipped(what, "there is no freezer of version 1");
        return;
    }
    let workspace = Workspace::new(
        &["a", "b"],
        "case $item in a) meet up; announce in; linger;; esac",
    );
    let mut gates = workspace.gates(&["a"]);
    let limits = ["-j1", "w", "--grace", "1s"];
    let running = workspace.orchestrate(&limits).start();
    gates.expect("a up");
    gates.order("a", &format!("echo $$ >{}", group.processes()));
    gates.expect("a in");
    group.write("freezer.state", "FROZEN");
    while !group.read("freezer.state").starts_with("FROZEN") {
        std::thread::yield_now();
    }
    running.signal(Signal::SIGTERM);
    let (finished, survivors) = running.finish_before_its_items();
    let finished = finished.dies_by(Signal::SIGTERM);
    finished.says(&[
        "a left ",
        "cannot be killed",
        "1 interrupted, 1 not started",
    ]);
    assert!(survivors.are_alive());
    let refused = workspace.orchestrate(&["-j1", "w"]).finish().exits(75);
    refused.says(&["processes of its items are still alive", "a: "]);
    group.write("freezer.state", "THAWED");
    survivors.kill();
    workspace.item("exit 0");
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
}

/// Init of a PID namespace of its own: starts the run, then a stranger under a number that it is told.
const NAMESPACE: &str = r#"
orchestrate -j2 w --grace 1s &
run=$!
read -r number <gate.stranger
echo $((number - 1)) >/proc/sys/kernel/ns_last_pid
setsid sh -c 'trap "exit 9" INT TERM HUP; echo stranger $$ >arrivals; read -r end <gate.over' &
stranger=$!
read -r signal <gate.signal
kill -s "$signal" "$run"
wait "$run"
echo run $? >arrivals
wait "$stranger"
"#;

#[test]
fn a_stranger_with_the_number_of_an_ended_item_is_never_signalled() {
    let what = "a number that is used again";
    if !is_root(what) {
        return;
    }
    let unshare = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c"];
    let tried = [&unshare[..], &["test -w /proc/sys/kernel/ns_last_pid"]].concat();
    // The other item is sent everything that there is.
    let body = "case $item in b) trap '' INT TERM;; esac; meet up";
    let workspace = Workspace::new(&["a", "b"], body);
    if workspace.program(&tried).finish().end != End::Exited(0) {
        skipped(what, "no PID namespace can be made");
        return;
    }
    let mut gates = workspace.gates(&["a", "b", "stranger", "signal", "over"]);
    let words = [&unshare[..], &[NAMESPACE]].concat();
    let running = workspace.program(&words).at_once(2).start();
    gates.next_sorted(2);
    gates.order("a", "exit 0");
    running.wait_for("a done");
    let witness = workspace.witness();
    let start = witness.lines().find(|line| line.starts_with("start a "));
    let number = start.and_then(|line| line.split(' ').nth(3)).unwrap();
    gates.order("stranger", number);
    gates.expect(&format!("stranger {number}"));
    gates.order("signal", "TERM");
    gates.expect("run 143");
    gates.order("over", "well");
    running.finish().exits(0);
    assert_eq!(workspace.items_that_are("interrupted"), ["b"]);
}

#[test]
fn a_fork_bomb_is_ended_when_its_time_is_over_and_the_others_go_on() {
    let Some(group) = ControlGroup::make("pids", "a fork bomb") else {
        return;
    };
    group.write("pids.max", "24");
    let body = format!(
        "case $item in b) meet up; exit 0;; esac
sleep 100000 &
sleeper=$!
echo $$ >{}
bomb() {{
    while :; do ( bomb ) 2>/dev/null & done
}}
( bomb ) 2>/dev/null &
announce bombs
wait $sleeper",
        group.processes()
    );
    let workspace = Workspace::new(&["a", "b"], &body);
    let mut gates = workspace.gates(&["b"]);
    let limits = ["-j2", "w", "--timeout", "2s", "--grace", "1s"];
    let running = workspace.orchestrate(&limits).start();
    assert_eq!(gates.next_sorted(2), ["a bombs", "b up"]);
    gates.order("b", "exit 0");
    running
        .finish()
        .exits(1)
        .says(&["a timed out", "1 done, 1 failed"]);
    assert_eq!(workspace.done(), ["b"]);
}
