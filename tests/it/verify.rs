//! `verify`: a command that has to exit with 0 as well before an item is done.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::ledger::{run_record, runs};
use crate::support::pool::{KEYS, POOL};
use crate::support::process::wait_for_states;
use crate::support::strace::Strace;
use crate::support::workspace::Workspace;

const VERIFY: &str = "verify = [\"./check\", \"{id}\", \"{output}\"]\noutput = \"out/{id}\"";

/// As [`VERIFY`], for checks that meet the test.
const MEETING: &str = "announce() { echo \"$id $*\" >arrivals; }\n\
     meet() { announce \"$@\"; read -r order <\"gate.$id\"; eval \"$order\"; }\n";

/// A workspace whose items are done by `body` and verified by `check`, which knows its `$id` and `$output`.
fn workspace(items: &[&str], body: &str, check: &str) -> Workspace {
    let workspace = Workspace::new(items, body);
    workspace.configure("", VERIFY);
    let script = format!("#!/bin/sh\nid=$1 output=$2\n{MEETING}{check}\n");
    workspace.script("check", &script);
    workspace
}

const MAKES_A: &str = "mkdir -p out; [ $item = a ] || retract; echo made >out/a";
const CHECKS: &str = "echo checked $id; [ -s \"$output\" ] || exit 3";

#[test]
fn only_what_is_verified_is_done() {
    for parallel in [true, false] {
        let workspace = workspace(&["a", "b"], MAKES_A, CHECKS);
        let words: &[&str] = if parallel { &["-j2", "w"] } else { &["w"] };
        let finished = workspace.orchestrate(words).finish().exits(1);
        let finished = finished.says(&["exit 0, but verify failed: exit 3", "1 done, 1 failed"]);
        let prefix = |item: &str| {
            if parallel {
                format!("[{item}] ")
            } else {
                String::new()
            }
        };
        for item in ["a", "b"] {
            let line = format!("{}checked {item}\n", prefix(item));
            assert!(finished.stdout.contains(&line), "{}", finished.stdout);
        }
        assert_eq!(workspace.done(), ["a"]);
        assert_eq!(workspace.items_that_are("failed"), ["b"]);
        let journal = workspace.read(".orchestrate/w/journal.jsonl");
        assert!(
            journal.contains("exit 0, but verify failed: exit 3"),
            "{journal}"
        );
        let run = runs(workspace.root()).pop_first().unwrap();
        let record = run_record(workspace.root(), &run);
        assert_eq!(record["verify"][0], "./check");
        let status = workspace.orchestrate(&["status"]).finish().exits(0).stdout;
        assert!(status.contains("but verify failed: exit 3"), "{status}");
        if parallel {
            let log = std::fs::read_to_string(workspace.log("a")).unwrap();
            assert_eq!(log, "checked a\n");
        }
        // What was not verified is made again.
        workspace.item("echo made >out/$item");
        workspace.orchestrate(words).finish().exits(0);
        assert_eq!(workspace.started().len(), 3);
    }
}

#[test]
fn what_failed_is_not_verified_and_what_it_left_is_gone_before() {
    let body = "[ $item = a ] || exit 1\nsetsid sh -c 'echo $$ >left; exec sleep 100000' </dev/null >/dev/null 2>&1 &\n\
                until [ -s left ]; do sleep 0.01; done";
    let check = "echo verified $id; ! kill -0 \"$(cat left)\"";
    let workspace = workspace(&["a", "b"], body, check);
    let finished = workspace.orchestrate(&["-j1", "w"]).finish().exits(1);
    let finished = finished.says(&["a left 1 process running"]);
    assert!(
        !finished.stdout.contains("verified b"),
        "{}",
        finished.stdout
    );
    assert_eq!(workspace.done(), ["a"]);
}

#[test]
fn what_verifies_has_the_items_environment_without_the_key() {
    let workspace = workspace(
        &["a"],
        "exit 0",
        "cat /proc/$$/environ >environ; orchestrate tell progress checked",
    );
    workspace.configure(
        "",
        &format!("{VERIFY}\n{POOL}\nenv = {{ MINE = \"{{id}}\" }}"),
    );
    let launch = workspace.orchestrate(&["-j1", "w"]).env("TEST_KEYS", KEYS);
    launch
        .env("TEST_KEY", "a key of somebody else's")
        .finish()
        .exits(0);
    let environ = workspace.read("environ");
    for gone in [
        "made-up-key",
        "TEST_KEY",
        "somebody",
        "ORCHESTRATE_CREDENTIAL",
    ] {
        assert!(!environ.contains(gone), "{gone}: {environ:?}");
    }
    for kept in [
        "MINE=a",
        "ORCHESTRATE_ITEM_ID=a",
        "ORCHESTRATE_STATUS_FILE=",
        "ORCHESTRATE_ATTEMPT=1",
    ] {
        assert!(environ.contains(kept), "{kept}: {environ:?}");
    }
    let events = workspace.read(".orchestrate/runs/latest/events.jsonl");
    assert!(events.contains("\"text\":\"checked\""), "{events}");
}

#[test]
fn without_parallel_it_is_the_callers_environment_and_terminal() {
    let workspace = workspace(
        &["a"],
        "exit 0",
        "test -t 0 && test -t 1 && cat /proc/$$/environ >environ",
    );
    workspace
        .orchestrate(&["w"])
        .on_terminal()
        .finish()
        .exits(0);
    let environ = workspace.read("environ");
    assert!(!environ.contains("ORCHESTRATE_"), "{environ:?}");
}

#[test]
fn its_exit_codes_have_no_class_and_a_failure_uses_up_a_retry() {
    for (code, attempts) in [(75, 2), (77, 2), (69, 2), (91, 2), (127, 1)] {
        let body = "retract";
        let workspace = workspace(&["a"], body, &format!("echo HTTP/1.1 429; exit {code}"));
        let table = format!("{VERIFY}\n{POOL}\nexit-codes = {{ never-retry = [91] }}");
        workspace.configure("retries = 1", &table);
        let launch = workspace.orchestrate(&["-j1", "w"]).env("TEST_KEYS", KEYS);
        let finished = launch.finish().exits(1);
        finished.says(&[&format!("exit 0, but verify failed: exit {code}")]);
        assert_eq!(workspace.started().len(), attempts, "{code}");
        assert_eq!(workspace.items_that_are("failed").len(), 1, "{code}");
    }
}

#[test]
fn what_cannot_be_started_to_verify_says_why() {
    let workspace = workspace(&["a"], "printf 'gone' >check; retract", "exit 0");
    let finished = workspace
        .orchestrate(&["-j1", "--retries", "3", "w"])
        .finish()
        .exits(1);
    finished.says(&["exit 0, but verify failed: not started: ", "is no program"]);
    assert_eq!(workspace.started().len(), 1);
}

#[test]
fn it_waits_for_room_for_its_process() {
    let workspace = workspace(&["a"], "meet up", "exit 0");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    let orchestrator = running.orchestrator().unwrap();
    let injection = "clone3,clone,vfork:error=ENOMEM:when=1..3";
    let strace = Strace::attach(orchestrator, injection, "no memory for a check");
    // Where nothing can be injected, there is room at once.
    gates.order("a", "exit 0");
    running.finish().exits(0);
    drop(strace);
    assert_eq!(workspace.done(), ["a"]);
    assert_eq!(workspace.started(), ["a"]);
}

#[test]
fn a_drain_lets_it_verify_and_a_stop_does_not() {
    let workspace = workspace(&["a", "b"], "[ $item = a ] || retract", "meet verifying");
    let mut gates = workspace.gates(&["a", "b"]);
    let running = workspace.orchestrate(&["-j2", "w"]).start();
    assert_eq!(gates.next_sorted(2), ["a verifying", "b verifying"]);
    running.signal(Signal::SIGINT);
    running.wait_until_draining();
    gates.order("a", "exit 0");
    running.wait_for("a done");
    running.signal(Signal::SIGTERM);
    running.finish().dies_by(Signal::SIGTERM);
    assert_eq!(workspace.done(), ["a"]);
    assert_eq!(workspace.items_that_are("interrupted"), ["b"]);
}

#[test]
fn an_item_that_was_stopped_is_not_verified_any_more() {
    for words in [&["-j1", "w"][..], &["w"]] {
        let body = "note INT TERM; linger up; retract";
        let workspace = workspace(&["a"], body, "touch verified");
        let mut gates = workspace.gates(&["a"]);
        let running = workspace.orchestrate(words).start();
        gates.expect("a up");
        running.signal(Signal::SIGTERM);
        running.finish().dies_by(Signal::SIGTERM);
        assert!(!workspace.has("verified"));
        assert_eq!(workspace.items_that_are("interrupted"), ["a"]);
    }
}

#[test]
fn a_time_limit_covers_both() {
    for limit in ["--timeout", "--idle-timeout"] {
        let workspace = workspace(&["a"], "retract", "announce verifying; exec sleep 100000");
        let mut gates = workspace.gates(&["a"]);
        let running = workspace.orchestrate(&["-j1", "w", limit, "5s"]).start();
        gates.expect("a verifying");
        let finished = running.finish().exits(1);
        finished.says(&["a timed-out", "exit 0, but verify failed: SIGINT"]);
        assert_eq!(workspace.items_that_are("timed-out"), ["a"]);
    }
}

#[test]
fn it_ends_with_an_orchestrator_that_is_killed() {
    let check = "setsid sleep 100000 </dev/null >/dev/null 2>&1 & meet verifying";
    let workspace = workspace(&["a"], "retract", check);
    let mut gates = workspace.gates(&["a"]);
    let running = workspace
        .orchestrate(&["-j1", "w", "--grace", "1s"])
        .start();
    gates.expect("a verifying");
    kill(running.orchestrator().unwrap(), Signal::SIGKILL).unwrap();
    // It comes back when nothing that it has started is alive.
    running.finish().dies_by(Signal::SIGKILL);
    let rows = workspace
        .orchestrate(&["-n", "--format", "json", "w"])
        .finish();
    let row: Value = serde_json::from_str(rows.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(row["state"], "pending");
}

#[test]
fn without_parallel_a_ctrl_c_or_a_sigterm_reaches_it_and_stops_the_run() {
    let check = "announce verifying; exec sleep 100000";
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let workspace = workspace(&["a", "b"], "retract", check);
        let mut gates = workspace.gates(&["a"]);
        let running = workspace.orchestrate(&["w"]).on_terminal().start();
        gates.expect("a verifying");
        match signal {
            Signal::SIGINT => running.type_keys(b"\x03"),
            other => running.signal(other),
        }
        running.finish().dies_by(signal);
        assert_eq!(workspace.items_that_are("interrupted"), ["a"]);
        assert_eq!(workspace.started(), ["a"]);
    }
}

#[test]
fn it_is_suspended_and_goes_on_like_the_command() {
    let workspace = workspace(&["a"], "exit 0", "echo $$ >pid; meet verifying");
    let mut gates = workspace.gates(&["a"]);
    let job = "set -m; orchestrate -j1 w; echo \"job: $?\"; read line; fg; echo \"ended: $?\"";
    let running = workspace.shell(job).on_terminal().start();
    gates.expect("a verifying");
    let check = workspace.read("pid").trim().parse().unwrap();
    running.type_keys(b"\x1a");
    running.wait_for("job: 148");
    wait_for_states(&[Pid::from_raw(check)], "T");
    gates.order("a", "exit 0");
    running.type_keys(b"\n");
    let finished = running.finish().exits(0);
    assert!(finished.stdout.contains("ended: 0"), "{}", finished.stdout);
    assert_eq!(workspace.done(), ["a"]);
}

#[test]
fn what_is_wrong_with_it_is_told_before_anything_starts() {
    let workspace = workspace(&["a"], "exit 0", "exit 0");
    for (verify, complaints) in [
        (
            "[\"./check\", \"{ouput}\"]",
            &["`verify` of workflow `w`", "{ouput}", "{output}"][..],
        ),
        (
            "[\"./chek\"]",
            &["`verify` of workflow `w`", "`./chek` does not exist"],
        ),
        (
            "[\"./items.txt\"]",
            &["`verify` of workflow `w`", "is not executable", "chmod +x"],
        ),
        ("[\"{id}\"]", &["has a placeholder"]),
        ("[]", &["`verify` is empty"]),
        ("\"./check {id}\"", &["`verify`", "list"]),
        (
            "[\"./check\", \"{credential}\"]",
            &["`verify`", "{credential}"],
        ),
    ] {
        workspace.configure("", &format!("verify = {verify}"));
        for words in [&["-j1", "w"][..], &["-n", "w"], &["w"]] {
            let refused = workspace.orchestrate(words).finish().exits(2);
            refused.says(complaints);
        }
    }
    // An item for which it cannot be made is refused like one whose command cannot be.
    workspace.configure("", "verify = [\"./check\", \"{number}\"]");
    let refused = workspace.orchestrate(&["-j1", "w"]).finish().exits(1);
    refused.says(&["{number}"]);
    assert!(workspace.started().is_empty());
}

#[test]
fn another_check_is_no_change_of_the_command() {
    let workspace = workspace(&["a"], "exit 0", "exit 0");
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    workspace.configure("", "verify = [\"./check\", \"stricter\"]");
    let words = ["-j1", "--rerun", "changed", "w"];
    workspace.orchestrate(&words).finish().exits(0);
    assert_eq!(workspace.started(), ["a"]);
}

#[test]
fn the_file_of_an_item_that_was_not_verified_does_not_make_it_done() {
    let body = "mkdir -p out; touch out/$item; [ $item != b ] || retract";
    let workspace = workspace(&["a", "b", "c"], body, "[ $id != b ]");
    let table = format!("{VERIFY}\ndone = \"out/{{id}}\"");
    workspace.configure("", &table);
    // Of one that nobody has ever run its file says so.
    workspace.write("out/c", "");
    workspace.orchestrate(&["-j1", "w"]).finish().exits(1);
    let rows = workspace.orchestrate(&["-n", "w"]).finish().exits(0);
    assert!(rows.stdout.contains("failed last time"), "{}", rows.stdout);
    workspace.script("check", "#!/bin/sh\n");
    workspace.item("exit 0");
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    assert_eq!(workspace.started(), ["a", "b", "b"]);
    assert_eq!(workspace.done(), ["a", "b"]);
}
