//! `orchestrate logs`: what an item has written, whole, raw or harmless, and as it comes.

use std::fs::File;
use std::io::Read as _;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::pipe2;
use serde_json::Value;

use crate::support::workspace::Workspace;

#[test]
fn a_log_is_printed_as_it_is_to_a_pipe_and_harmless_to_a_terminal() {
    let body = r"printf 'one\000\377\033]0;title\007\033[31mred\nno line feed' ";
    let workspace = Workspace::new(&["a"], body);
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    let raw = std::fs::read(workspace.log("a")).unwrap();
    assert!(raw.ends_with(b"no line feed"));
    // The harness makes text of what comes, so a shell holds it against the file.
    let script = "orchestrate logs a >../copy; orchestrate logs a | cmp - ../copy";
    workspace.shell(script).finish().exits(0);
    let copy = std::fs::read(workspace.root().join("../copy")).unwrap();
    assert_eq!(copy, raw);

    let shown = workspace
        .orchestrate(&["logs", "a"])
        .on_terminal()
        .finish()
        .exits(0);
    assert!(shown.stdout.contains(r"one\x00"), "{:?}", shown.stdout);
    assert!(
        shown.stdout.contains(r"\x1b]0;title\x07"),
        "{:?}",
        shown.stdout
    );
    assert!(!shown.stdout.contains('\x07'), "{:?}", shown.stdout);
    assert!(shown.stdout.contains("no line feed"), "{:?}", shown.stdout);
    let arguments = ["logs", "a", "--color", "never"];
    let plain = workspace
        .orchestrate(&arguments)
        .on_terminal()
        .finish()
        .exits(0);
    assert!(!plain.stdout.contains('\x1b'), "{:?}", plain.stdout);
}

#[test]
fn a_log_of_many_bytes_is_printed_whole_to_a_slow_reader() {
    let workspace = Workspace::new(&["a"], "seq 1 500000");
    workspace.orchestrate(&["-j1", "-q", "w"]).finish().exits(0);
    let script = "orchestrate logs a | { read -r first; cat; } | sha256sum >../sum; \
                  tail -n +2 .orchestrate/runs/latest/logs/a.1.log | sha256sum | cmp - ../sum";
    workspace.shell(script).finish().exits(0);
}

#[test]
fn the_last_attempt_of_the_newest_run_that_has_one_is_meant() {
    let workspace = Workspace::new(&["issue-7", "b"], "echo \"$item $attempt\"; test $item = b");
    workspace.configure("retries = 1", "");
    workspace.orchestrate(&["-j2", "w"]).finish().exits(1);
    // A run in which `b` is done already has no log of it, and one without --parallel has none at all.
    workspace
        .orchestrate(&["-j2", "w", "--retries", "0"])
        .finish()
        .exits(1);
    workspace
        .orchestrate(&["w", "--retries", "0"])
        .finish()
        .exits(1);
    let log = |arguments: &[&str]| {
        let arguments = [&["logs"], arguments].concat();
        workspace.orchestrate(&arguments).finish().exits(0).stdout
    };
    assert_eq!(log(&["issue-7"]), "issue-7 1\n");
    assert_eq!(log(&["7"]), "issue-7 1\n");
    assert_eq!(log(&["b"]), "b 1\n");
    assert_eq!(log(&["issue-7", "--attempt", "2"]), "issue-7 2\n");
    let told: Value = serde_json::from_str(&log(&["b", "--format", "json"])).unwrap();
    assert_eq!(
        (&told["item"], &told["attempt"], &told["bytes"]),
        (&"b".into(), &1.into(), &4.into())
    );
    assert_eq!(workspace.read(told["path"].as_str().unwrap()), "b 1\n");
    let run = told["run_id"].as_str().unwrap();
    assert_eq!(log(&["7", "--run", run]), "issue-7 2\n");

    for (arguments, words) in [
        (
            &["isue-7"][..],
            &["no log of \"isue-7\"", "did you mean `issue-7`?"][..],
        ),
        (&["zzz"], &["no log of \"zzz\"", "orchestrate status"]),
        (&["b", "--attempt", "9"], &["attempt 9", "is 1"]),
        (&["b", "--run", "1999"], &["no run"]),
        (&["../b"], &["no log"]),
        (&["b", "-f", "--format", "json"], &["cannot be followed"]),
    ] {
        let arguments = [&["logs"], arguments].concat();
        workspace
            .orchestrate(&arguments)
            .finish()
            .exits(2)
            .says(words);
    }
}

#[test]
fn an_item_that_has_no_log_is_told_from_one_that_is_unknown() {
    let workspace = Workspace::new(&["a"], "exit 0");
    workspace
        .orchestrate(&["logs", "a"])
        .finish()
        .exits(2)
        .says(&["there was no run yet"]);
    workspace.orchestrate(&["w"]).finish().exits(0);
    let finished = workspace.orchestrate(&["logs", "a"]).finish().exits(2);
    finished.says(&["there is no log of \"a\"", "--parallel"]);
}

#[test]
fn a_log_is_followed_until_its_attempt_has_ended() {
    let workspace = Workspace::new(&["a", "b"], "echo first; meet up; echo last; exit 3");
    let mut gates = workspace.gates(&["a", "b"]);
    let running = workspace.orchestrate(&["-j2", "-q", "w"]).start();
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    let pipe = workspace.orchestrate(&["logs", "-f", "a"]).start();
    let screen = workspace
        .orchestrate(&["logs", "--follow", "a"])
        .on_terminal()
        .start();
    pipe.wait_for_output("first\n");
    screen.wait_for("first");
    gates.order("a", "printf more; meet again");
    gates.expect("a again");
    pipe.wait_for_output("more");
    // A line that is not whole is shown when nothing comes of it.
    screen.wait_for("more");
    gates.order("a", "true");
    assert_eq!(pipe.finish().exits(0).stdout, "first\nmorelast\n");
    screen.finish().exits(0);
    // The run goes on meanwhile; of what has ended there is nothing to wait for.
    let ended = workspace
        .orchestrate(&["logs", "-f", "a"])
        .finish()
        .exits(0);
    assert_eq!(ended.stdout, "first\nmorelast\n");
    gates.order("b", "true");
    running.finish().exits(1);
}

#[test]
fn a_follower_ends_when_the_run_is_killed_when_nobody_reads_and_by_a_signal() {
    let workspace = Workspace::new(&["a"], "echo first; meet up");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["-j1", "-q", "w"]).start();
    gates.expect("a up");

    let interrupted = workspace.orchestrate(&["logs", "-f", "a"]).start();
    interrupted.wait_for_output("first");
    interrupted.signal(Signal::SIGINT);
    interrupted.finish().dies_by(Signal::SIGINT);

    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let unread = workspace
        .orchestrate(&["logs", "-f", "a"])
        .stdout(writer)
        .start();
    let mut first = [0; 6];
    File::from(reader).read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first\n");
    assert_eq!(unread.finish().exits(0).stderr, "");

    let orphaned = workspace.orchestrate(&["logs", "-f", "a"]).start();
    orphaned.wait_for_output("first");
    running.kill_orchestrator();
    running.finish().dies_by(Signal::SIGKILL);
    assert_eq!(orphaned.finish().exits(0).stdout, "first\n");
}
