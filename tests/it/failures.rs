//! An item that fails is told about, and harms no other.

use crate::support::workspace::Workspace;

const THREE: [&str; 3] = ["a", "b", "c"];

#[test]
fn a_failing_or_dying_item_does_not_affect_the_others() {
    for (fault, told) in [
        ("exit 3", "b failed after"),
        ("exit 255", "exit 255"),
        ("die KILL", "SIGKILL"),
        ("die SEGV", "SIGSEGV"),
        ("no-such-program; exit $?", "a command was not found"),
    ] {
        let workspace = Workspace::new(&THREE, "meet up");
        let mut gates = workspace.gates(&THREE);
        let running = workspace.orchestrate(&["--parallel", "3", "w"]).start();
        gates.next_sorted(3);
        gates.order("b", fault);
        running.wait_for("b failed");
        // The others have run on, and end as they like.
        gates.order("a", "exit 0");
        gates.order("c", "exit 0");
        running.finish().exits(1).says(&[told, "2 done, 1 failed"]);
        assert_eq!(workspace.done(), ["a", "c"]);
        assert_eq!(workspace.items_that_are("failed"), ["b"]);
    }
}

#[test]
fn an_item_that_cannot_be_started_does_not_affect_the_others() {
    for (fault, told) in [
        ("rm item", "does not exist"),
        (
            "echo no program >../plain; chmod 755 ../plain; mv ../plain item",
            "is no program",
        ),
        (
            "echo '#!/no/such/shell' >../plain; chmod 755 ../plain; mv ../plain item",
            "interpreter",
        ),
        ("chmod 000 item", "cannot be started"),
    ] {
        let workspace = Workspace::new(&THREE, "meet up");
        let mut gates = workspace.gates(&THREE);
        let running = workspace.orchestrate(&["--parallel", "2", "w"]).start();
        gates.next_sorted(2);
        gates.order("b", &format!("{fault}; exit 0"));
        running.wait_for("c failed");
        gates.order("a", "exit 0");
        let finished = running.finish().exits(1);
        finished.says(&["c failed", "not started: ", told, "2 done, 1 failed"]);
        assert_eq!(workspace.done(), ["a", "b"]);
        assert_eq!(workspace.items_that_are("failed"), ["c"]);
    }
}

#[test]
fn the_first_or_the_nth_failure_stops_new_starts() {
    for (options, started) in [
        (&["--fail-fast"][..], &["a", "b"][..]),
        (&["--max-failures", "1"], &["a", "b"]),
        (&["--max-failures", "2"], &["a", "b", "c", "d"]),
        (&["--max-failures", "9"], &["a", "b", "c", "d", "e"]),
        (&[], &["a", "b", "c", "d", "e"]),
    ] {
        let items = ["a", "b", "c", "d", "e"];
        let workspace = Workspace::new(&items, "case $item in b|d) exit 1;; esac");
        for mode in [&["-j1"][..], &[]] {
            let arguments = [mode, options, &["w", "--rerun", "all"]].concat();
            let before = workspace.started().len();
            let finished = workspace.orchestrate(&arguments).finish().exits(1);
            assert_eq!(workspace.started()[before..], *started, "{arguments:?}");
            let left = items.len() - started.len();
            if left > 0 {
                finished.says(&[&format!("{left} not started")]);
            }
        }
    }
}

#[test]
fn running_items_complete_after_fail_fast() {
    let workspace = Workspace::new(&THREE, "meet up");
    let mut gates = workspace.gates(&THREE);
    let running = workspace.orchestrate(&["-j2", "--fail-fast", "w"]).start();
    gates.next_sorted(2);
    gates.order("a", "exit 1");
    running.wait_for("enough items have failed: nothing new starts");
    gates.order("b", "exit 0");
    running
        .finish()
        .exits(1)
        .says(&["1 done, 1 failed, 1 not started"]);
    assert_eq!(workspace.done(), ["b"]);
}

#[test]
fn the_summary_shows_the_last_lines_and_the_log_and_what_to_run() {
    let body = "n=1; while [ $n -le 30 ]; do echo line $n; n=$((n+1)); done; test $item != b";
    let workspace = Workspace::new(&THREE, body);
    let finished = workspace.orchestrate(&["--parallel", "3", "w"]).finish();
    let finished = finished.exits(1).says(&["b failed after", "exit 1"]);
    let tail: Vec<&str> = finished
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("  | "))
        .collect();
    let expected: Vec<String> = (11..=30).map(|number| format!("line {number}")).collect();
    assert_eq!(tail, expected);
    let word_after = |words: &str| {
        let rest = finished.stderr.split_once(words).expect(words).1;
        rest.lines().next().unwrap_or_default().to_owned()
    };
    // The path is one that a person can open from here.
    let log = workspace.read(&word_after("  log: "));
    assert_eq!(log.lines().count(), 30);

    // What is proposed does exactly the rest.
    let again = word_after("to run what is left: ");
    workspace.item("exit 0");
    workspace.shell(&again).at_once(3).finish().exits(0);
    let started = workspace.started();
    assert_eq!(started.len(), 4);
    assert_eq!(started[3], "b");
    assert_eq!(workspace.done(), THREE);
}

#[test]
fn what_is_proposed_survives_a_shell() {
    let workspace = Workspace::new(&["a"], "test -e \"../$3\"");
    let argument = "it's $(touch mark) `touch mark` \"here\" \\ ; *\n\t\u{202e}7";
    let arguments = ["-j1", "w", "--rerun", "all", "--", argument];
    let finished = workspace.orchestrate(&arguments).finish().exits(1);
    let again = finished
        .stderr
        .split_once("to run what is left: ")
        .unwrap()
        .1;
    assert!(!again.contains("--rerun"), "{again}");
    workspace.write(&format!("../{argument}"), "");
    let pasted = ["bash", "-c", again];
    workspace.program(&pasted).finish().exits(0);
    assert!(!workspace.has("mark"));
}

#[test]
fn a_command_that_is_being_written_all_the_time_fails_without_being_retried() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let path = workspace.root().join("item");
    let open = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    let launch = workspace.orchestrate(&["-j1", "w", "--retries", "3"]);
    let finished = launch.finish().exits(1);
    finished.says(&["is being written by another process"]);
    assert!(workspace.started().is_empty());
    drop(open);
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
}
