//! Nobody else reads what is kept, and no link leads a write of ours elsewhere.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use nix::unistd::geteuid;

use crate::support::listing::listing;
use crate::support::skip::skipped;
use crate::support::workspace::Workspace;

/// Every path below `path` that is no link, with the bits of its mode.
fn modes(path: &Path) -> Vec<(String, bool, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_symlink() {
            continue;
        }
        let mode = metadata.permissions().mode() & 0o7777;
        found.push((path.display().to_string(), metadata.is_dir(), mode));
        if metadata.is_dir() {
            found.extend(modes(&path));
        }
    }
    found
}

#[test]
fn whatever_the_umask_only_the_owner_reads_what_is_kept() {
    for mask in ["000", "077", "777"] {
        let workspace = Workspace::new(&["a"], "umask 022; echo hello");
        let line = format!("umask {mask}; exec orchestrate -j1 w");
        workspace.shell(&line).finish().exits(0);
        let found = modes(&workspace.root().join(".orchestrate"));
        assert!(found.len() >= 8, "{found:?}");
        for (path, is_directory, mode) in found {
            let expected = if is_directory { 0o700 } else { 0o600 };
            assert_eq!(mode, expected, "umask {mask}: {path}");
        }
    }
}

#[test]
fn state_that_others_can_write_or_own_is_refused() {
    for place in [
        ".orchestrate",
        ".orchestrate/w",
        ".orchestrate/w/journal.jsonl",
        ".orchestrate/w/lock",
    ] {
        let workspace = Workspace::new(&["a"], "exit 1");
        workspace.orchestrate(&["w"]).finish().exits(1);
        workspace
            .shell(&format!("chmod 777 {place}"))
            .finish()
            .exits(0);
        let refused = workspace.orchestrate(&["-j1", "w"]).finish().exits(2);
        refused.says(&["can be written by others (mode 0777)", "chmod go-w "]);
        workspace
            .shell(&format!("chmod go-w {place}"))
            .finish()
            .exits(0);
        workspace.orchestrate(&["-j1", "w"]).finish().exits(1);
        assert_eq!(workspace.started().len(), 2);

        if !geteuid().is_root() {
            skipped("state of another user", "only root can give a file away");
            continue;
        }
        let give = format!("chown 65534 {place}");
        workspace.shell(&give).finish().exits(0);
        let refused = workspace.orchestrate(&["-j1", "w"]).finish().exits(2);
        refused.says(&["belongs to user 65534"]);
        assert_eq!(workspace.started().len(), 2);
    }
}

#[test]
fn a_link_where_we_write_is_refused_and_its_target_untouched() {
    for (place, target) in [
        (".orchestrate", "directory"),
        (".orchestrate/.gitignore", "file"),
        (".orchestrate/w", "directory"),
        (".orchestrate/w/journal.jsonl", "file"),
        (".orchestrate/w/lock", "file"),
        (".orchestrate/runs", "directory"),
    ] {
        let workspace = Workspace::new(&["a"], "exit 1");
        workspace.orchestrate(&["w"]).finish().exits(1);
        let elsewhere = workspace.root().join("../elsewhere");
        fs::create_dir_all(elsewhere.join("directory")).unwrap();
        fs::write(elsewhere.join("file"), "untouched").unwrap();
        let planted = workspace.root().join(place);
        fs::rename(&planted, workspace.root().join("../aside")).unwrap();
        symlink(elsewhere.join(target), &planted).unwrap();

        let before = listing(&elsewhere);
        for arguments in [&["w"][..], &["-j1", "w"]] {
            let refused = workspace.orchestrate(arguments).finish().exits(2);
            refused.says(&[place, "is a symbolic link"]);
        }
        assert_eq!(listing(&elsewhere), before, "{place}");
        assert_eq!(workspace.started(), ["a"], "{place}");
        fs::remove_file(&planted).unwrap();
        fs::rename(workspace.root().join("../aside"), &planted).unwrap();
    }
}

#[test]
fn a_link_at_the_newest_run_is_replaced_and_its_target_untouched() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let elsewhere = workspace.root().join("../elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    workspace
        .shell("mkdir -p -m 700 .orchestrate .orchestrate/runs")
        .finish()
        .exits(0);
    symlink(
        &elsewhere,
        workspace.root().join(".orchestrate/runs/latest"),
    )
    .unwrap();
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert!(workspace.log("a").is_file());
}

#[test]
fn logs_stay_where_they_began_when_their_directory_is_exchanged_for_a_link() {
    let workspace = Workspace::new(&["a", "b"], "meet up; echo hello");
    let mut gates = workspace.gates(&["a", "b"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    let logs = workspace.root().join(".orchestrate/runs/latest/logs");
    let logs = logs.canonicalize().unwrap();
    let elsewhere = workspace.root().join("../elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(&logs, logs.with_file_name("moved")).unwrap();
    symlink(&elsewhere, &logs).unwrap();
    gates.order("a", ":");
    gates.expect("b up");
    gates.order("b", ":");
    running.finish().exits(0);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    for item in ["a", "b"] {
        let log = logs.with_file_name("moved").join(format!("{item}.1.log"));
        assert_eq!(fs::read_to_string(log).unwrap(), "hello\n");
    }
}
