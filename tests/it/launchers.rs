//! What a careless launcher leaves us: signals ignored or blocked, descriptors closed, files limited.

use nix::sys::signal::Signal;

use crate::support::witness::signals;
use crate::support::workspace::Workspace;

#[test]
fn with_sigchld_ignored_every_status_is_still_known() {
    let workspace = Workspace::new(
        &["a", "b", "c"],
        "case $item in b) exit 3;; c) die KILL;; esac",
    );
    let script = "trap '' CHLD; exec orchestrate -j3 w";
    let finished = workspace.shell(script).at_once(3).finish().exits(1);
    finished.says(&["exit 3", "SIGKILL", "1 done, 2 failed"]);
    assert_eq!(workspace.done(), ["a"]);
}

#[test]
fn signals_that_were_blocked_stop_us_and_our_items() {
    for signal in [Signal::SIGTERM, Signal::SIGQUIT] {
        let workspace = Workspace::new(&["a", "b"], "note INT; linger up; exit 1");
        let mut gates = workspace.gates(&[]);
        let launch = workspace.orchestrate(&["-j1", "w", "--grace", "10m"]);
        let launch = launch.blocking(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT]);
        let running = launch.start();
        gates.expect("a up");
        running.signal(signal);
        running.finish().dies_by(signal);
        let asked = usize::from(signal == Signal::SIGTERM);
        assert_eq!(signals(&workspace.witness(), "a"), ["INT"][..asked]);
        assert_eq!(workspace.items_that_are("interrupted"), ["a"]);
    }
}

#[test]
fn closed_descriptors_are_not_mixed_up() {
    for (mode, closed) in [
        ("-j2", "<&- >&- 2>&-"),
        ("-j2", "<&-"),
        ("-j2", ">&-"),
        ("", "<&- >&- 2>&-"),
    ] {
        let body = "echo to stdout; echo to stderr >&2; wc -c";
        let workspace = Workspace::new(&["a", "b"], body);
        let script = format!("exec orchestrate {mode} w {closed}");
        let finished = workspace.shell(&script).at_once(2).finish().exits(0);
        if !mode.is_empty() {
            let log = std::fs::read_to_string(workspace.log("a")).unwrap();
            let mut lines: Vec<&str> = log.lines().collect();
            lines.sort_unstable();
            assert_eq!(lines, ["0", "to stderr", "to stdout"], "{closed}");
        }
        if closed.ends_with("2>&-") {
            assert_eq!(finished.stdout + &finished.stderr, "", "{closed}");
        }
        assert_eq!(workspace.done(), ["a", "b"]);
    }
}

#[test]
fn a_log_at_the_limit_of_file_sizes_is_cut_and_its_item_is_done() {
    let workspace = Workspace::new(&["a", "b"], "cat long; echo last; exit 0");
    workspace.write("long", &"0123456789abcdef\n".repeat(4096));
    // In units of 512 bytes, or of 1024: more than our own files take, and less than the log of an item.
    let script = "ulimit -f 32; exec orchestrate -j2 w";
    let finished = workspace.shell(script).at_once(2).finish().exits(0);
    finished.says(&["2 done", "File too large"]);
    assert_eq!(workspace.done(), ["a", "b"]);
    let log = std::fs::read_to_string(workspace.log("a")).unwrap();
    assert!(log.contains("the log was cut here: File too large"));
}

#[test]
fn a_journal_at_the_limit_of_file_sizes_is_status_74() {
    let workspace = Workspace::new(&["a"], "exit 0");
    // Not even a block: nothing can be written, and it is told, not died of.
    let script = "ulimit -f 0; exec orchestrate -j1 w";
    let finished = workspace.shell(script).finish().exits(74);
    finished.says(&["File too large"]);
    assert_eq!(workspace.done(), [""; 0]);
}

#[test]
fn a_stderr_that_takes_nothing_does_not_change_the_status() {
    let workspace = Workspace::new(&["a"], "exit 3");
    for (script, status) in [
        ("exec orchestrate nonsense 2>/dev/full", 2),
        ("exec orchestrate -j1 nonsense >/dev/full 2>&1", 2),
        ("exec orchestrate -j1 w >/dev/full 2>&1", 1),
    ] {
        workspace.shell(script).finish().exits(status);
    }
}
