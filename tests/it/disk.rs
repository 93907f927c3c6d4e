//! A disk that fails, is slow or full, or loses what it was given: nothing that is shown as done is lost, and what
//! could not be recorded is named.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::geteuid;

use crate::support::end::End;
use crate::support::fault::faulty;
use crate::support::long_journal::long_journal;
use crate::support::skip::skipped;
use crate::support::workspace::Workspace;

const FOLDER: &str = ".orchestrate/w";
const JOURNAL: &str = ".orchestrate/w/journal.jsonl";

#[test]
fn a_journal_that_fails_once_is_not_tried_again() {
    let items = ["a", "b", "c", "d"];
    // Each thread is counted by itself: the journal's thread notes that the first item begins, and fails to record its
    // end; or it syncs the end of the first, and fails to sync that of the second.
    for (fault, good, lost) in [
        ("write:error=ENOSPC:when=2", &[][..], ["a", "b"]),
        ("fdatasync:error=EIO:when=2", &["a"], ["b", "c"]),
    ] {
        let workspace = Workspace::new(&items, "meet up");
        let mut gates = workspace.gates(&items);
        let Some(launch) = faulty(&workspace, &[fault], Some(JOURNAL), &["-j1", "w"]) else {
            return;
        };
        let running = launch.at_once(1).start();
        gates.expect("a up");
        workspace.wait_until_started("a");
        for item in good {
            gates.order(item, "exit 0");
            running.wait_for(&format!("{item} done"));
            gates.expect("b up");
        }
        // The next one begins while the record is on its way to the disk.
        gates.order(lost[0], "exit 0");
        running.wait_for("the journal cannot be written");
        gates.expect(&format!("{} up", lost[1]));
        gates.order(lost[1], "exit 0");
        let finished = running.finish().exits(74);
        let named = lost.map(|item| format!("not recorded: {item} ended (exit 0): cannot "));
        finished.says(&[&named[0], &named[1], " not started"]);
        workspace.item("exit 0");
        let verify = ["journal", "verify", "w"];
        workspace.orchestrate(&verify).finish().exits(0);
        workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
        assert_eq!(workspace.done(), items);
        // A record that was not acknowledged may be there all the same: run.json does not say so, and need not.
        forget_the_runs(&workspace);
    }
}

/// The oracle holds the journal against them.
fn forget_the_runs(workspace: &Workspace) {
    workspace.shell("rm -r .orchestrate/runs").finish().exits(0);
}

/// What `journal verify` says of it.
fn verified(workspace: &Workspace) -> String {
    let verified = workspace.orchestrate(&["journal", "verify"]).finish();
    verified.exits(0).stdout
}

/// Presses Ctrl-C for the process that was started, which the tracer around it would not hand on.
fn interrupt(workspace: &Workspace) {
    kill(workspace.holder(), Signal::SIGINT).unwrap();
}

#[test]
fn while_the_disk_is_slow_output_flows_and_signals_are_answered() {
    let items = ["a", "b", "c", "d", "e"];
    let workspace = Workspace::new(&items, "meet up");
    let mut gates = workspace.gates(&items);
    // An hour, which ends when the one that holds it up is killed.
    let fault = "fdatasync:delay_enter=3600000000:when=2";
    let Some(launch) = faulty(&workspace, &[fault], Some(JOURNAL), &["-j2", "w"]) else {
        return;
    };
    let running = launch.at_once(2).start();
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    gates.order("a", "exit 0");
    running.wait_for("a done");
    gates.expect("c up");
    gates.order("b", "exit 0");
    // The slot is free, and the record on its way.
    gates.expect("d up");
    gates.order("c", "echo still here; meet again");
    gates.expect("c again");
    running.wait_for_output("still here");
    interrupt(&workspace);
    running.wait_for("nothing new starts");

    running.signal(Signal::SIGKILL);
    gates.order("c", "exit 0");
    gates.order("d", "exit 0");
    let finished = running.finish().dies_by(Signal::SIGKILL);
    let (before, _) = finished.stderr.split_once("nothing new starts").unwrap();
    assert!(!before.contains("b done"), "{}", finished.stderr);
    assert_eq!(workspace.done(), ["a", "b", "c", "d"]);
}

#[test]
fn state_that_is_taken_away_in_flight_ends_the_run_with_74() {
    for take in [
        "mv .orchestrate gone",
        "rm -r .orchestrate",
        "rm .orchestrate/w/journal.jsonl",
    ] {
        let workspace = Workspace::new(&["a", "b", "c"], "meet up");
        let mut gates = workspace.gates(&["a", "b", "c"]);
        let running = workspace.orchestrate(&["-j1", "w"]).start();
        gates.expect("a up");
        workspace.wait_until_started("a");
        // The other thread that writes there is done, so that `rm` finds nothing new.
        workspace.wait_until_written(".orchestrate/runs/latest/events.jsonl", "attempt-started");
        workspace.shell(take).finish().exits(0);
        // The next one begins while the record is on its way to the disk.
        gates.order("a", "exit 0");
        gates.expect("b up");
        running.wait_for("the journal cannot be written");
        gates.order("b", "exit 0");
        let finished = running.finish().exits(74);
        finished.says(&[
            "moved, replaced or removed",
            "not recorded: a ended (exit 0)",
            "not recorded: b ended (exit 0)",
            "1 not started",
        ]);
        assert_eq!(workspace.started(), ["a", "b"], "{take}");
    }
}

/// In a mount namespace of its own: a small disk for the state, filled by the first item; then, with room, again.
const ON_A_SMALL_DISK: &str = "
mount -t tmpfs -o size=1m,mode=0700 none .orchestrate || exit 99
orchestrate $1 w
echo first $? >&2
rm -r .orchestrate/runs
orchestrate $1 w
echo second $? >&2
cp .orchestrate/w/journal.jsonl ../journal";

#[test]
fn a_full_disk_stops_new_starts_while_what_runs_is_still_recorded() {
    for width in [2, 10] {
        fill_the_disk(width);
    }
}

fn fill_the_disk(width: usize) {
    let items: Vec<String> = (0..200).map(|number| format!("i{number:03}")).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    // What is read by then is far more than there is room for.
    let body = "
if [ $item = i000 ]; then yes | head -c 3000000; touch full; fi
until test -e full; do sleep 0.02; done
exit 0";
    let workspace = Workspace::new(&items, body);
    workspace
        .shell("mkdir -m 700 .orchestrate")
        .finish()
        .exits(0);
    let user = if geteuid().is_root() { "-m" } else { "-rm" };
    let option = format!("-j{width}");
    let words = ["unshare", user, "sh", "-c", ON_A_SMALL_DISK, "sh", &option];
    let finished = workspace.program(&words).at_once(width).finish();
    if finished.end != End::Exited(0) {
        skipped("a full disk", "nothing can be mounted");
        return;
    }
    let finished = finished.says(&[
        "the disk is full: nothing new starts",
        "first 74",
        "second 0",
    ]);
    assert!(
        !finished.stderr.contains("not recorded: "),
        "{}",
        finished.stderr
    );
    let mut started = workspace.started();
    started.sort();
    assert_eq!(started, items, "each of them once");
    let journal = workspace.read("../journal");
    assert_eq!(journal.matches("\"outcome\":\"done\"").count(), items.len());
}

#[test]
fn whenever_compaction_is_killed_the_journal_is_the_old_one_or_the_new_one() {
    let workspace = Workspace::new(&["a"], "exit 1");
    workspace.orchestrate(&["w"]).finish().exits(1);
    let long = long_journal(10);
    let mut compacted = String::new();
    for fault in [
        "write:signal=KILL:when=1",
        "fsync:signal=KILL:when=1",
        "fsync:signal=KILL:when=2",
        "/^rename:signal=KILL:when=1",
        "fsync:signal=KILL:when=3",
    ] {
        workspace.write(JOURNAL, &long);
        let Some(launch) = faulty(&workspace, &[fault], None, &["w"]) else {
            return;
        };
        launch.finish().dies_by(Signal::SIGKILL);
        let found = workspace.read(JOURNAL);
        if found != long {
            let verified = verified(&workspace);
            let expected = " 10 records of 10 items: 10 failed ";
            assert!(verified.contains(expected), "{fault}: {verified}");
            compacted = found;
        }
        // What the dead one has left is cleared away.
        workspace.orchestrate(&["w"]).finish().exits(1);
        let names = fs::read_dir(workspace.root().join(".orchestrate/w")).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
    }
    assert_eq!(compacted.lines().count(), 11);
    forget_the_runs(&workspace);
}

/// A workspace whose next run finds a journal of which half is superseded, and shortens it at its end.
fn about_to_shorten() -> Workspace {
    let workspace = Workspace::new(&["a"], "exit 1");
    workspace.orchestrate(&["w"]).finish().exits(1);
    workspace.write(JOURNAL, &long_journal(5_000));
    workspace
}

/// Just before the short journal takes the place of the long one, and just after; how it is written is tested above.
#[test]
fn whenever_a_run_is_killed_that_shortens_its_journal_nothing_is_lost() {
    let workspace = about_to_shorten();
    let long = workspace.read(JOURNAL);
    let Some(launch) = faulty(&workspace, &["/^rename:signal=KILL"], Some(FOLDER), &["w"]) else {
        return;
    };
    launch.finish().dies_by(Signal::SIGKILL);
    let kept = verified(&workspace);
    assert!(kept.contains(" 10002 records of 5001 items"), "{kept}");
    workspace.write(JOURNAL, &long);
    // An hour, which ends when the one that holds it up is killed.
    let fault = "/^rename:delay_exit=3600000000";
    let launch = faulty(&workspace, &[fault], Some(FOLDER), &["w"]);
    let running = launch.expect("there was one before").start();
    while workspace.read(JOURNAL).len() >= long.len() {
        std::thread::yield_now();
    }
    running.signal(Signal::SIGKILL);
    running.finish().dies_by(Signal::SIGKILL);
    let kept = verified(&workspace);
    assert!(kept.contains(" 5001 records of 5001 items"), "{kept}");
    forget_the_runs(&workspace);
}

#[test]
fn a_journal_that_cannot_be_shortened_stays_and_the_run_is_as_it_was() {
    let workspace = about_to_shorten();
    let long = workspace.read(JOURNAL);
    let fault = "/^rename:error=ENOSPC";
    let Some(launch) = faulty(&workspace, &[fault], Some(FOLDER), &["w"]) else {
        return;
    };
    let told = launch.finish().exits(1).stderr;
    let words = "warning: the journal could not be shortened: cannot copy `";
    assert!(told.contains(words), "{told}");
    assert!(workspace.read(JOURNAL).starts_with(&long));
    let whole = verified(&workspace);
    assert!(whole.contains(" 10002 records of 5001 items"), "{whole}");
    forget_the_runs(&workspace);
}

#[test]
fn who_presses_does_not_wait_for_the_journal_to_be_shortened() {
    let workspace = about_to_shorten();
    let long = workspace.read(JOURNAL);
    // An hour.
    let fault = "/^rename:delay_enter=3600000000";
    let words = ["-j1", "--metrics", "m", "w"];
    let Some(launch) = faulty(&workspace, &[fault], Some(FOLDER), &words) else {
        return;
    };
    let running = launch.start();
    running.wait_for("1 failed");
    interrupt(&workspace);
    running.finish().exits(1);
    assert!(
        workspace.read("m").contains("orchestrate_run_exit_status"),
        "it is told how the run went"
    );
    assert!(workspace.read(JOURNAL).starts_with(&long));
    // What is left of it is in nobody's way.
    workspace.orchestrate(&["w"]).finish().exits(1);
    assert!(verified(&workspace).contains(" 5001 records of 5001 items"));
    forget_the_runs(&workspace);
}
