//! The first Ctrl-C: nothing new starts, and nothing that runs is lost.

use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};

use crate::support::fault::faulty;
use crate::support::gates::Gates;
use crate::support::ledger::{run_record, runs};
use crate::support::running::Running;
use crate::support::workspace::Workspace;

const ITEMS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Long enough that one of several starts of an item is spared.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(2);

/// Two of five items run; `press` asks the run to stop; both complete, and the next run does the other three.
fn drained(on_terminal: bool, press: fn(&Running<'_>)) {
    let workspace = Workspace::new(&ITEMS, "meet up");
    let mut gates = workspace.gates(&ITEMS);
    let launch = workspace.orchestrate(&["--parallel", "2", "w"]);
    let launch = if on_terminal {
        launch.env("NO_COLOR", "1").on_terminal()
    } else {
        launch
    };
    let running = launch.start();
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    press(&running);
    running.wait_for("nothing new starts, 3 queued stay pending, 2 running:");
    running.wait_for("stops them (SIGINT, then SIGKILL after");
    complete(&gates, &["a", "b"]);
    let finished = running.finish().exits(0);
    let said = finished.stdout + &finished.stderr;
    assert!(said.contains("2 done, 3 not started"), "{said}");
    assert!(
        said.contains("to run what is left: orchestrate --parallel 2 w"),
        "{said}"
    );
    assert_eq!(workspace.done(), ["a", "b"]);

    complete(&gates, &["c", "d", "e"]);
    let again = workspace.orchestrate(&["--parallel", "2", "w"]).finish();
    again.exits(0).says(&["3 done"]);
    assert_eq!(workspace.done(), ITEMS);
    let mut started = workspace.started();
    started.sort();
    assert_eq!(started, ITEMS, "each exactly once");
}

fn complete(gates: &Gates, items: &[&str]) {
    for item in items {
        gates.order(item, "exit 0");
    }
}

#[test]
fn sigint_drains() {
    drained(false, |running| running.signal(Signal::SIGINT));
}

#[test]
fn ctrl_c_on_a_terminal_drains() {
    drained(true, |running| running.type_keys(b"\x03"));
}

#[test]
fn sighup_drains() {
    drained(false, |running| running.signal(Signal::SIGHUP));
}

#[test]
fn a_terminal_that_is_closed_drains() {
    let body = "meet up; n=0; while [ $n -lt 5000 ]; do echo line $n; n=$((n+1)); done";
    let workspace = Workspace::new(&["a", "b"], body);
    let mut gates = workspace.gates(&["a", "b"]);
    // The end of its session's leader takes the terminal from everybody (credentials(7)): SIGHUP, and EIO from then on.
    let script = "orchestrate -j1 w; exit 1";
    let launch = workspace.program(&["sh", "-c", script]);
    let running = launch.on_terminal().start();
    gates.expect("a up");
    running.signal(Signal::SIGKILL);
    running.wait_until_ended();
    gates.order("a", ":");
    // It comes back when we, too, have ended.
    running.finish().dies_by(Signal::SIGKILL);
    assert_eq!(workspace.done(), ["a"]);
    assert_eq!(workspace.started(), ["a"]);
    let log = std::fs::read_to_string(workspace.log("a")).unwrap();
    assert_eq!(log.lines().count(), 5000);
    let run = runs(workspace.root()).pop_first().unwrap();
    assert_eq!(run_record(workspace.root(), &run)["exit_status"], 0);
}

#[test]
fn a_terminal_that_is_closed_drains_whoever_leads_its_session() {
    let items = ["a", "b"];
    let workspace = Workspace::new(&items, "meet up");
    let mut gates = workspace.gates(&items);
    if faulty(&workspace, &[], None, &[]).is_none() {
        return;
    }
    // To the guard alone, as the kernel tells the leader of a session (SI_KERNEL).
    let hang_up = "inject=wait4:signal=SIGHUP:when=2";
    let orchestrate = workspace.programs().join("orchestrate");
    let orchestrate = orchestrate.to_str().unwrap();
    let words = [
        "strace",
        "-o",
        "/dev/null",
        "-e",
        hang_up,
        orchestrate,
        "-j1",
        "w",
    ];
    let running = workspace.program(&words).start();
    gates.expect("a up");
    // Makes it look a second time.
    kill(workspace.holder(), Signal::SIGUSR1).unwrap();
    running.wait_until_draining();
    gates.order("a", ":");
    running.finish().exits(0);
    assert_eq!(workspace.started(), ["a"]);
}

#[test]
fn what_is_sent_to_all_of_us_ends_no_item_that_is_about_to_begin() {
    let items: Vec<String> = (0..400).map(|number| format!("item-{number}")).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let workspace = Workspace::new(&items, "exit 0");
    // It leads a session, and so a process group.
    let running = workspace
        .orchestrate(&["-j4", "w"])
        .at_once(4)
        .on_terminal();
    let running = running.start();
    workspace.wait_until_started("item-0");
    while !running.has_ended() {
        // A question, as `kill -USR1 %1` asks it.
        let _ended = killpg(running.pid(), Signal::SIGUSR1);
        std::thread::sleep(BETWEEN_QUESTIONS);
    }
    running.finish().exits(0);
    assert_eq!(workspace.done().len(), items.len());
}

#[test]
fn an_item_that_fails_while_draining_is_a_failure() {
    let workspace = Workspace::new(&["a", "b"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    running.signal(Signal::SIGINT);
    running.wait_until_draining();
    gates.order("a", "exit 3");
    running
        .finish()
        .exits(1)
        .says(&["0 done, 1 failed, 1 not started"]);
    assert_eq!(workspace.items_that_are("failed"), ["a"]);
}

#[test]
fn sighup_after_sighup_goes_on_draining() {
    let workspace = Workspace::new(&["a", "b"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    running.signal(Signal::SIGHUP);
    running.wait_until_draining();
    running.signal(Signal::SIGHUP);
    gates.order("a", "exit 0");
    running.finish().exits(0);
    assert_eq!(workspace.done(), ["a"]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the debounce is about time")]
fn a_burst_of_twenty_signals_is_one_press() {
    let debounce = std::time::Duration::from_millis(300);
    // What counts as one press lies within 300 ms. On a machine that was too busy for that, a burst says nothing.
    for _ in 0..50 {
        let workspace = Workspace::new(&["a", "b"], "meet up");
        let mut gates = workspace.gates(&["a"]);
        let running = workspace.orchestrate(&["-j1", "w"]).start();
        gates.expect("a up");
        let began = std::time::Instant::now();
        for _ in 0..20 {
            running.signal(Signal::SIGINT);
        }
        running.wait_for("nothing new starts");
        gates.order("a", "exit 0");
        let finished = running.finish();
        if began.elapsed() < debounce {
            finished.exits(0);
            assert_eq!(workspace.done(), ["a"]);
            return;
        }
    }
    crate::support::skip::skipped("a burst of signals", "the machine is too busy");
}

#[test]
fn a_press_before_there_is_anybody_to_hear_it_is_not_lost() {
    // Many more than are done before it is passed on.
    let items: Vec<String> = (0..200).map(|number| format!("item-{number}")).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let workspace = Workspace::new(&items, "exit 0");
    // As the terminal sends it (SI_KERNEL), when the guard has blocked it and the orchestrator is about to be split off.
    let press = ["clone:signal=SIGINT:when=1"];
    let Some(launch) = faulty(&workspace, &press, None, &["-j1", "w"]) else {
        return;
    };
    launch.finish();
    assert!(workspace.started().len() < items.len());
}
