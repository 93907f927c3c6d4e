//! What the journal knows of attempts, and what becomes of journals that are old, long or damaged.

use nix::sys::signal::Signal;

use crate::support::long_journal::long_journal;
use crate::support::workspace::Workspace;

#[test]
fn an_item_that_was_cut_off_is_known_as_such_and_runs_again() {
    let workspace = Workspace::new(&["a", "b", "c"], "meet up");
    let mut gates = workspace.gates(&["a", "b", "c"]);
    let running = workspace.orchestrate(&["-j2", "w"]).start();
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    gates.order("a", "exit 0");
    running.wait_for("a done");
    gates.expect("c up");
    workspace.wait_until_started("b");
    workspace.wait_until_started("c");
    let dry = workspace.orchestrate(&["-n", "w"]).finish().exits(0);
    assert_eq!(dry.stdout.matches("is running now").count(), 2);
    running.kill_orchestrator();
    running.finish().dies_by(Signal::SIGKILL);

    let dry = workspace.orchestrate(&["-n", "w"]).finish().exits(0);
    assert_eq!(dry.stdout.matches("was cut off last time").count(), 2);
    workspace.item("exit 0");
    let only_failed = ["-j1", "w", "--only", "failed"];
    workspace.orchestrate(&only_failed).finish().exits(0);
    assert_eq!(workspace.started()[3..], ["b", "c"]);
    assert_eq!(workspace.done(), ["a", "b", "c"]);
}

#[test]
fn an_item_that_was_stopped_is_interrupted_and_not_cut_off() {
    let workspace = Workspace::new(&["a"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    running.signal(Signal::SIGTERM);
    running.finish().dies_by(Signal::SIGTERM);
    let dry = workspace.orchestrate(&["-n", "w"]).finish().exits(0);
    assert!(
        dry.stdout.contains("was interrupted last time"),
        "{}",
        dry.stdout
    );
}

#[test]
fn however_often_we_are_killed_no_item_is_started_after_it_is_done() {
    let mut items: Vec<String> = (1..=40).map(|number| format!("i{number:02}")).collect();
    // The run cannot end before it is told to.
    items.push("last".to_owned());
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let workspace = Workspace::new(&items, "test $item != last || meet up");
    let gates = workspace.gates(&["last"]);
    loop {
        let next = workspace.done().len() + 3;
        if next >= items.len() {
            break;
        }
        let running = workspace.orchestrate(&["-j4", "w"]).start();
        workspace.wait_until_so_many_are_done(next);
        running.kill_orchestrator();
        running.finish().dies_by(Signal::SIGKILL);
        let verify = ["journal", "verify", "w"];
        workspace.orchestrate(&verify).finish().exits(0);
    }
    gates.order("last", "exit 0");
    workspace.orchestrate(&["-j4", "w"]).finish().exits(0);
    assert_eq!(workspace.done(), items);
    let journal = workspace.read(JOURNAL);
    assert_eq!(journal.matches("\"outcome\":\"done\"").count(), items.len());
}

/// A workspace in which `a` is done and `b` has failed, and the command that repairs its journal.
fn finished() -> Workspace {
    let workspace = Workspace::new(&["a", "b"], "test $item = a");
    workspace.orchestrate(&["w"]).finish().exits(1);
    workspace
}

const JOURNAL: &str = ".orchestrate/w/journal.jsonl";

#[test]
fn a_whole_journal_is_verified_and_left_alone() {
    let workspace = finished();
    let whole = workspace.read(JOURNAL);
    for arguments in [&["journal", "verify"][..], &["journal", "verify", "w"]] {
        let verified = workspace.orchestrate(arguments).finish().exits(0);
        let expected = "w: whole: 4 records of 2 items: 1 done, 1 failed (";
        assert!(verified.stdout.starts_with(expected), "{}", verified.stdout);
    }
    let json = ["--format", "json", "journal", "verify"];
    let verified = workspace.orchestrate(&json).finish().exits(0);
    let line: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
    assert_eq!(
        (&line["whole"], &line["counts"]["done"]),
        (&true.into(), &1.into())
    );
    let repaired = workspace.orchestrate(&["journal", "repair", "w"]);
    let repaired = repaired.finish().exits(0);
    assert_eq!(repaired.stdout, "w: whole; nothing was touched\n");
    assert_eq!(workspace.read(JOURNAL), whole);
}

#[test]
fn the_repair_of_a_run_with_another_configuration_file_names_that_file() {
    let workspace = finished();
    workspace.write("night.toml", &workspace.read("orchestrate.toml"));
    workspace.write("orchestrate.toml", "");
    let damaged = workspace.read(JOURNAL).replacen("started", "startle", 1);
    workspace.write(JOURNAL, &damaged);
    let night = ["--config", "night.toml", "-j1", "w"];
    for arguments in [&night[..], &["-n", night[0], night[1], "w"]] {
        let refused = workspace.orchestrate(arguments).finish().exits(65);
        refused.says(&["/night.toml journal repair w"]);
    }
    let repair = ["journal", "verify", night[0], night[1]];
    let verified = workspace.orchestrate(&repair).finish().exits(65);
    let (_, command) = verified.stderr.split_once("beside it: ").unwrap();
    let repaired = workspace.shell(command).finish().exits(0);
    assert!(
        repaired.stdout.contains("w: repaired, 3 whole"),
        "{}",
        repaired.stdout
    );
}

#[test]
fn a_damaged_journal_is_repaired_with_the_command_that_the_refusal_names() {
    let workspace = finished();
    let whole = workspace.read(JOURNAL);
    let damaged = whole.replacen("\"outcome\":\"started\"", "\"outcome\":\"startle\"", 1);
    workspace.write(JOURNAL, &damaged);
    // The oracle reads the journal when a process has ended.
    let refused = workspace.orchestrate(&["-j1", "w"]).finish().exits(65);
    refused.says(&["is damaged at line 2", "journal repair w"]);
    let verified = workspace.orchestrate(&["journal", "verify"]).finish();
    let verified = verified.exits(65).says(&["is damaged at line 2"]);
    assert!(
        verified.stdout.contains("w: not whole: "),
        "{}",
        verified.stdout
    );

    let (_, command) = verified.stderr.split_once("beside it: ").unwrap();
    let rehearsal = format!("{} --dry-run", command.trim_end());
    let rehearsed = workspace.shell(&rehearsal).finish().exits(0);
    assert!(
        rehearsed
            .stdout
            .contains("3 whole records would be kept\n  line 2: its checksum")
    );
    assert_eq!(workspace.read(JOURNAL), damaged);
    let repaired = workspace.shell(command).finish().exits(0);
    assert!(
        repaired.stdout.contains("repaired, 3 whole records kept"),
        "{}",
        repaired.stdout
    );
    assert_eq!(workspace.read(&format!("{JOURNAL}.damaged-1")), damaged);

    workspace
        .orchestrate(&["journal", "verify"])
        .finish()
        .exits(0);
    workspace.item("exit 0");
    workspace.orchestrate(&["w"]).finish().exits(0);
    assert_eq!(workspace.started(), ["a", "b", "b"]);
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn no_command_lists_items_while_the_journal_is_damaged() {
    let workspace = finished();
    workspace.script("list", "#!/bin/sh\n: >asked\necho a\n");
    workspace.configure("", "items = { command = [\"./list\"] }");
    let whole = workspace.read(JOURNAL);
    workspace.write(JOURNAL, &whole.replacen("\"started\"", "\"startle\"", 1));
    for words in [&["w"][..], &["-n", "w"]] {
        workspace.orchestrate(words).finish().exits(65);
        assert!(!workspace.root().join("asked").exists());
    }
    workspace.write(JOURNAL, &whole);
    workspace.orchestrate(&["w"]).finish().exits(0);
    assert!(workspace.root().join("asked").exists());
}

#[test]
fn a_journal_is_not_repaired_while_a_run_writes_it() {
    let workspace = Workspace::new(&["a"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    workspace.wait_until_started("a");
    let verified = workspace
        .orchestrate(&["journal", "verify"])
        .finish()
        .exits(0);
    assert!(
        verified.stdout.contains(": 1 running ("),
        "{}",
        verified.stdout
    );
    let refused = workspace.orchestrate(&["journal", "repair", "w"]).finish();
    refused
        .exits(75)
        .says(&["another run holds the workflow `w`"]);
    gates.order("a", "exit 0");
    running.finish().exits(0);
}

#[test]
fn a_journal_that_is_not_there_is_a_usage_error_that_names_those_that_are() {
    let workspace = finished();
    for verb in ["verify", "repair"] {
        let refused = workspace.orchestrate(&["journal", verb, "ww"]).finish();
        refused
            .exits(2)
            .says(&["the workflow `ww` has no journal", "did you mean `w`?"]);
    }
    let bare = Workspace::bare();
    bare.orchestrate(&["journal", "verify"]).finish().exits(2);
    assert!(!bare.has(".orchestrate"));
}

#[test]
fn a_long_journal_of_which_half_is_superseded_is_short_when_the_run_has_ended() {
    let workspace = Workspace::new(&["a"], "exit 1");
    workspace.orchestrate(&["w"]).finish().exits(1);
    workspace.item("meet up");
    let mut gates = workspace.gates(&["a"]);
    workspace.write(".orchestrate/w/journal.jsonl", &long_journal(5_000));
    let lines = || {
        workspace
            .read(".orchestrate/w/journal.jsonl")
            .lines()
            .count()
    };
    let stopped = workspace.orchestrate(&["-j2", "w"]).start();
    gates.expect("a up");
    stopped.signal(Signal::SIGINT);
    stopped.wait_until_draining();
    gates.order("a", "exit 1");
    stopped.finish().exits(1);
    assert_eq!(lines(), 10_003, "who stops a run does not wait for it");
    // Of these runs, no record of the journal tells any more.
    workspace.shell("rm -r .orchestrate/runs").finish().exits(0);

    let running = workspace.orchestrate(&["-j2", "w"]).start();
    gates.expect("a up");
    assert_eq!(lines(), 10_004);
    gates.order("a", "exit 0");
    running.finish().exits(0);
    assert_eq!(
        lines(),
        1 + 5_000 + 1,
        "its first line, what was there, and `a`"
    );
    let verified = workspace.orchestrate(&["journal", "verify"]).finish();
    let verified = verified.exits(0).stdout;
    let expected = " 5001 records of 5001 items: 1 done, 5000 failed ";
    assert!(verified.contains(expected), "{verified}");
}
