//! The lock, the journal and the place where they lie: no item twice, and nothing guessed.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use crate::support::fault::faulty;
use crate::support::listing::listing;
use crate::support::skip::skipped;
use crate::support::workspace::Workspace;

const JOURNAL: &str = ".orchestrate/w/journal.jsonl";

#[test]
fn a_second_run_of_the_workflow_is_turned_away_and_another_workflow_runs() {
    for options in [&["-j1"][..], &[]] {
        let workspace = Workspace::new(&["a", "b"], "meet up");
        let more = "[workflow.other]\ncommand = [\"./item\", \"{id}\", \"{attempt}\"]\n\
                    items = { list = \"others.txt\" }";
        let config = workspace.read("orchestrate.toml");
        workspace.write("orchestrate.toml", &format!("{config}\n{more}"));
        workspace.write("others.txt", "o\n");
        let mut gates = workspace.gates(&["a", "b", "o"]);
        let first = workspace.orchestrate(&[options, &["w"]].concat()).start();
        gates.expect("a up");
        workspace.wait_until_started("a");
        workspace.wait_until_written(".orchestrate/runs/latest/events.jsonl", "attempt-started");

        let before = listing(workspace.root());
        let second = workspace.orchestrate(&["-j4", "w"]).finish().exits(75);
        let holder = workspace.read(".orchestrate/w/lock");
        let (pid, started) = holder.trim_end().split_once(' ').unwrap();
        assert!(first.is_or_is_parent_of(pid), "{holder}");
        let words = format!("another run holds the workflow `w`: pid {pid}, started {started}");
        second.says(&[&words, "wait until it ends"]);
        assert_eq!(listing(workspace.root()), before);

        let other = workspace.orchestrate(&["-j1", "other"]).start();
        gates.expect("o up");
        gates.order("o", "exit 0");
        other.finish().exits(0);

        gates.order("a", "exit 0");
        gates.order("b", "exit 0");
        first.finish().exits(0);
        assert_eq!(workspace.done(), ["a", "b", "o"]);
    }
}

#[test]
fn a_run_whose_lock_was_removed_is_still_the_only_one() {
    let workspace = Workspace::new(&["a"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    let first = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    for file in [".orchestrate/w/lock", ".orchestrate/w/alive"] {
        std::fs::remove_file(workspace.root().join(file)).unwrap();
        let second = workspace.orchestrate(&["-j1", "w"]).finish().exits(75);
        second.says(&["has its journal open, though the lock is free"]);
    }
    gates.order("a", "exit 0");
    first.finish().exits(0);
    assert_eq!(workspace.started(), ["a"]);
    assert_eq!(workspace.done(), ["a"]);
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
}

#[test]
fn a_run_that_finds_its_workflow_held_skips_or_waits_if_it_is_told_to() {
    let workspace = Workspace::new(&["a", "b"], "test $item = b || meet up");
    workspace.configure("if-locked = \"skip\"", "");
    let mut gates = workspace.gates(&["a"]);
    let first = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");

    for options in [&["-j2"][..], &[]] {
        let arguments = [options, &["w"]].concat();
        let skipped = workspace.orchestrate(&arguments).finish().exits(0);
        assert_eq!(skipped.stderr.lines().count(), 1, "{}", skipped.stderr);
        skipped.says(&["another run holds the workflow `w`: pid ", "; skipped"]);
        let arguments = [options, &["-q", "w"]].concat();
        let quiet = workspace.orchestrate(&arguments).finish().exits(0);
        assert_eq!(quiet.stderr + &quiet.stdout, "");
        let arguments = [options, &["w", "--if-locked", "fail"]].concat();
        let failed = workspace.orchestrate(&arguments).finish().exits(75);
        failed.says(&["--if-locked wait"]);
    }

    // A signal while it waits ends it, without and with --parallel.
    let waits = |options: &[&str]| {
        let arguments = [options, &["w"]].concat();
        let launch = workspace.orchestrate(&arguments);
        let waiting = launch.env("ORCHESTRATE_IF_LOCKED", "wait").start();
        waiting.wait_for("; waiting until it ends");
        waiting
    };
    let waiting = waits(&[]);
    waiting.signal(Signal::SIGINT);
    waiting.finish().dies_by(Signal::SIGINT);
    let waiting = waits(&["-j1"]);
    waiting.signal(Signal::SIGTERM);
    waiting.finish().dies_by(Signal::SIGTERM);

    let (second, third) = (waits(&["-j1"]), waits(&[]));
    gates.order("a", "exit 0");
    first.finish().exits(0);
    for waited in [second, third] {
        let ended = waited.finish().exits(0);
        assert_eq!(
            ended.stderr.matches("waiting").count(),
            1,
            "{}",
            ended.stderr
        );
    }
    assert_eq!(workspace.started(), ["a", "b"]);
    let arguments = ["w", "--if-locked", "perhaps"];
    let wrong = workspace.orchestrate(&arguments).finish().exits(2);
    wrong.says(&["it is `fail`, `skip` or `wait`"]);
}

#[test]
fn a_damaged_journal_stops_the_run_before_it_begins() {
    let workspace = Workspace::new(&["a", "b", "c"], "test $item != c");
    workspace.orchestrate(&["w"]).finish().exits(1);
    let whole = workspace.read(JOURNAL);
    let without_second: Vec<&str> = whole
        .lines()
        .filter(|line| !line.contains("\"b\""))
        .collect();
    for damaged in [
        whole.replacen("\"outcome\":\"done\"", "\"outcome\":\"fail\"", 1),
        without_second.join("\n") + "\n",
        whole.replacen("\"version\":2", "\"version\":7", 1),
        "rubbish\n".to_owned(),
    ] {
        for arguments in [&["w"][..], &["-j2", "w"], &["--dry-run", "w"]] {
            workspace.write(JOURNAL, &damaged);
            let launch = workspace.orchestrate(arguments);
            // The oracle, too, reads the journal when a run has ended.
            let running = launch.start();
            running.wait_for("journal.jsonl");
            workspace.write(JOURNAL, &whole);
            running.finish().exits(65);
            assert_eq!(workspace.started(), ["a", "b", "c"]);
        }
    }
}

#[test]
fn a_torn_last_line_is_no_damage() {
    let workspace = Workspace::new(&["a", "b"], "exit 0");
    workspace
        .orchestrate(&["w", "--limit", "1"])
        .finish()
        .exits(0);
    let whole = workspace.read(JOURNAL);
    let record = whole.lines().nth(1).unwrap();
    workspace.write(JOURNAL, &(whole.clone() + &record[..record.len() / 2]));
    workspace
        .orchestrate(&["w"])
        .finish()
        .exits(0)
        .says(&["warning: "]);
    assert_eq!(workspace.started(), ["a", "b"]);
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn a_place_where_no_state_can_be_written_is_status_74() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let program = workspace.root().join("item").display().to_string();
    let list = workspace.root().join("items.txt").display().to_string();
    // Not even root can make anything there.
    let arguments = ["-j1", "run", "--items-from", &list, "--", &program, "{id}"];
    let launch = workspace
        .orchestrate(&arguments)
        .directory(Path::new("/proc"));
    launch.finish().exits(74).says(&[".orchestrate"]);

    let above = workspace.root().parent().unwrap();
    workspace.set_mode("..", 0o755);
    workspace.set_mode(".", 0o555);
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let orchestrate = above.join("bin/orchestrate").display().to_string();
    let as_nobody = [&nobody[..], &[&orchestrate]].concat();
    let words = if geteuid().is_root() {
        as_nobody
    } else {
        vec![orchestrate.as_str()]
    };
    let version = workspace.program(&[&words[..], &["--version"]].concat());
    if version.finish().stdout.starts_with("orchestrate ") {
        let launch = workspace.program(&[&words[..], &["-j1", "w"]].concat());
        launch.finish().exits(74).says(&[".orchestrate"]);
    } else {
        skipped("a read-only workspace", "no other user can run the binary");
    }
    workspace.set_mode(".", 0o755);
    assert_eq!(workspace.started(), [""; 0]);
}

#[test]
fn a_state_directory_that_is_something_else_is_refused() {
    for make in [
        "echo >.orchestrate",
        "ln -s /tmp .orchestrate",
        "mkfifo .orchestrate",
    ] {
        let workspace = Workspace::new(&["a"], "exit 0");
        workspace.shell(make).finish().exits(0);
        for arguments in [&["w"][..], &["-j1", "w"]] {
            let finished = workspace.orchestrate(arguments).finish();
            finished.exits(2).says(&[".orchestrate"]);
        }
        assert_eq!(workspace.started(), [""; 0], "{make}");
        fs::remove_file(workspace.root().join(".orchestrate")).unwrap();
    }
}

#[test]
fn a_network_file_system_is_refused_without_the_flag() {
    let workspace = Workspace::new(&["a"], "exit 0");
    // What fstatfs(2) says of a file system begins with its type, here that of NFS.
    let nfs = ["fstatfs:poke_exit=@arg2=6969000000000000"];
    let run = |arguments: &[&str]| Some(faulty(&workspace, &nfs, None, arguments)?.finish());
    for arguments in [&["w"][..], &["-j1", "w"]] {
        let Some(refused) = run(arguments) else {
            return;
        };
        let said = ["machines share (NFS)", "pass --allow-network-state"];
        refused.exits(2).says(&said);
        assert!(!workspace.has(".orchestrate"));
    }
    for (arguments, status) in [
        (&["-n", "w"][..], 0),
        (&["w", "--allow-network-state"], 0),
        (&["w"], 2),
    ] {
        run(arguments).unwrap().exits(status);
    }
    assert_eq!(workspace.done(), ["a"]);
}
