//! What runs know of each other's keys, whatever befalls the machine and the files in which it stands.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::support::end::End;
use crate::support::pool::with_keys;
use crate::support::skip::{is_root, skipped};
use crate::support::workspace::Workspace;

const KEY: &str = "the-only-made-up-key";

/// Where the state of keys lies.
fn place(workspace: &Workspace) -> PathBuf {
    workspace
        .root()
        .join("../home/state/orchestrate/credentials")
}

/// The folder of the only key.
fn folder_of_the_key(workspace: &Workspace) -> PathBuf {
    let entries = fs::read_dir(place(workspace)).unwrap().flatten();
    let mut folders = entries.map(|entry| entry.path());
    let found = folders.find(|path| path.join("state.json").is_file());
    found.expect("a run has used the key")
}

#[test]
fn a_machine_that_slept_has_waited_meanwhile() {
    let what = "a machine that slept";
    if !is_root(what) {
        return;
    }
    let workspace = with_keys(&["a"], "echo 'retry-after: 1500'; exit 75");
    // What a sleep of half an hour does: CLOCK_BOOTTIME has gone on, CLOCK_MONOTONIC has not (time_namespaces(7)).
    let slept = ["unshare", "--time", "--fork", "--boottime", "1800"];
    let tried = [&slept[..], &["true"]].concat();
    if workspace.program(&tried).finish().end != End::Exited(0) {
        skipped(what, "no time namespace can be made");
        return;
    }
    let limited = workspace.orchestrate(&["-j1", "w"]);
    limited.env("TEST_KEYS", KEY).finish().exits(75);
    workspace.item("exit 0");
    let early = workspace.orchestrate(&["-j1", "w"]);
    early.env("TEST_KEYS", KEY).finish().exits(75);
    assert_eq!(workspace.started(), ["a"], "it rests for 25 minutes");
    let late = [&slept[..], &["orchestrate", "-j1", "w"]].concat();
    let late = workspace.program(&late).env("TEST_KEYS", KEY);
    late.finish().exits(0);
    assert_eq!(workspace.done(), ["a"]);
}

#[test]
fn a_damaged_state_of_a_key_is_told_and_the_run_goes_on() {
    let workspace = with_keys(&["a"], "exit 0");
    let run = || {
        let run = workspace.orchestrate(&["-j1", "--rerun=all", "w"]);
        run.env("TEST_KEYS", KEY).finish().exits(0)
    };
    run();
    let state = folder_of_the_key(&workspace).join("state.json");
    let whole = fs::read(&state).unwrap();
    for damaged in [
        &b""[..],
        b"{",
        b"\xff\0\xff",
        &whole[..whole.len() / 2],
        b"null",
    ] {
        fs::write(&state, damaged).unwrap();
        run().says(&["state.json` is damaged", "1 done"]);
        assert!(!run().stderr.contains("damaged"), "it is whole again");
    }
}

#[test]
fn a_run_that_can_share_nothing_says_so_and_keeps_its_keys_to_itself() {
    let workspace = with_keys(&["a", "b"], "exit 0");
    workspace.write("file", "");
    let file = workspace.root().join("file");
    for home in [Path::new("/proc"), &file] {
        let home = home.to_str().unwrap();
        let run = workspace
            .orchestrate(&["-j2", "--rerun=all", "w"])
            .at_once(1);
        let finished = run
            .env("TEST_KEYS", KEY)
            .env("XDG_STATE_HOME", home)
            .finish();
        let said = ["other runs do not know of the keys", home, "2 done"];
        finished.exits(0).says(&said);
    }
}

#[test]
fn a_slot_that_others_may_write_is_told_and_the_run_keeps_its_keys_to_itself() {
    let workspace = with_keys(&["a", "b"], "exit 0");
    let run = || {
        let run = workspace.orchestrate(&["-j1", "--rerun=all", "w"]);
        run.env("TEST_KEYS", KEY).finish().exits(0)
    };
    run();
    let slot = folder_of_the_key(&workspace).join("slot.0");
    fs::set_permissions(&slot, Permissions::from_mode(0o666)).unwrap();
    run().says(&[
        "other runs do not know of the keys",
        "slot.0` can be written",
        "chmod",
        "2 done",
    ]);
}

#[test]
fn an_item_that_gets_no_key_for_a_file_that_cannot_be_used_says_so_and_no_more_keys_would_help() {
    let workspace = with_keys(&["a", "b", "c"], "meet up");
    let mut gates = workspace.gates(&["a", "b", "c"]);
    let launch = workspace.orchestrate(&["-j1", "--credential-wait", "3s", "w"]);
    let running = launch.env("TEST_KEYS", KEY).start();
    gates.expect("a up");
    let slot = folder_of_the_key(&workspace).join("slot.0");
    fs::set_permissions(&slot, Permissions::from_mode(0o666)).unwrap();
    gates.order("a", "exit 0");
    let said = running.finish().exits(75).stderr;
    let mut lines = said.lines();
    let line = lines.find(|line| line.contains("b deferred")).unwrap();
    for words in ["no credential can be had", "slot.0`", "chmod go-w"] {
        assert!(line.contains(words), "{said}");
    }
    assert!(said.contains("1 done, 1 deferred, 1 not started"), "{said}");
    for words in ["came free", "more key", "credentials cost"] {
        assert!(!said.contains(words), "{said}");
    }
}

#[test]
fn what_is_no_ticket_stops_no_run() {
    let workspace = with_keys(&["a"], "exit 0");
    let run = || {
        let run = workspace.orchestrate(&["-j1", "--rerun=all", "w"]);
        run.env("TEST_KEYS", KEY).finish().exits(0)
    };
    run();
    fs::create_dir(place(&workspace).join("queue/7")).unwrap();
    let said = run().stderr;
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn a_lock_that_somebody_keeps_is_named_and_no_run_hangs_or_goes_on_without_it() {
    let workspace = with_keys(&["a"], "exit 0");
    let launch = |words: &[&str]| workspace.orchestrate(words).env("TEST_KEYS", KEY);
    launch(&["-j1", "w"]).finish().exits(0);
    let again = || launch(&["-j1", "--rerun=all", "w"]);
    let (all, key) = (place(&workspace), folder_of_the_key(&workspace));
    let ours = format!("(kill -CONT {})", std::process::id());
    let keep = |folder: &Path| {
        let path = folder.join("lock").canonicalize().unwrap();
        let lock = File::open(&path).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        (
            lock,
            format!("another process has held `{}`", path.display()),
        )
    };
    for folder in [&all, &key] {
        let (_lock, said) = keep(folder);
        again().finish().exits(75).says(&[&said, &ours]);
        let keys = launch(&["keys", "--workflow", "w"]).finish();
        keys.exits(75).says(&[&said, &ours]);
        assert_eq!(workspace.started(), ["a"], "{said}");
    }
    // A run that gives up waiting says why, although it knows only when it has given up.
    let (lock, said) = keep(&all.join("queue"));
    let impatient = launch(&["-j1", "--rerun=all", "--credential-wait", "1s", "w"]);
    impatient.finish().exits(75).says(&[&said, &ours]);
    drop(lock);
    // One that waits for a key asks again.
    let (lock, said) = keep(&all.join("queue"));
    let running = again().start();
    running.wait_for(&said);
    running.wait_for(&ours);
    assert_eq!(workspace.started(), ["a"], "{said}");
    drop(lock);
    running.finish().exits(0);
    assert_eq!(workspace.started(), ["a", "a"]);
}
