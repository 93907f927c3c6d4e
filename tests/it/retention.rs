//! The folders of runs: the newest are kept, and nothing but old runs goes.

use crate::support::listing::listing;
use crate::support::workspace::Workspace;

fn runs(workspace: &Workspace) -> Vec<String> {
    let entries = std::fs::read_dir(workspace.root().join(".orchestrate/runs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != "latest").collect();
    names.sort();
    names
}

#[test]
fn old_runs_are_removed_when_a_run_begins_and_what_is_done_stays_done() {
    let workspace = Workspace::new(&["a", "b", "c", "d", "e"], "echo $item");
    for (options, kept) in [
        (&["-j1"][..], 1),
        (&[], 2),
        (&["-j1", "--keep-runs", "2"], 2),
        (&["-j1", "--keep-runs=1"], 1),
        (&["--keep-runs=3"], 2),
    ] {
        let arguments = [options, &["w", "--limit", "1"]].concat();
        workspace.orchestrate(&arguments).finish().exits(0);
        assert_eq!(runs(&workspace).len(), kept, "{options:?}");
    }
    assert_eq!(workspace.done(), ["a", "b", "c", "d", "e"]);
    assert!(workspace.has(".orchestrate/runs/latest/run.json"));
    let before = listing(&workspace.root().join(".orchestrate/runs"));
    workspace.configure("keep-runs = 1", "");
    workspace.orchestrate(&["--dry-run", "w"]).finish().exits(0);
    workspace
        .orchestrate(&["w"])
        .finish()
        .exits(0)
        .says(&["Nothing to process"]);
    assert_eq!(listing(&workspace.root().join(".orchestrate/runs")), before);
    workspace
        .orchestrate(&["w", "--keep-runs", "0"])
        .finish()
        .exits(2);
}

#[test]
fn a_run_that_lives_is_kept_whatever_its_age() {
    let workspace = Workspace::new(&["a"], "test $item = o || meet up");
    workspace.configure("keep-runs = 1", "");
    let other = "[workflow.other]\ncommand = [\"./item\", \"{id}\", \"{attempt}\"]\nitems = { list = \"others.txt\" }";
    workspace.write("others.txt", "o\n");
    let config = workspace.read("orchestrate.toml");
    workspace.write("orchestrate.toml", &(config + other));
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    let live = runs(&workspace);
    for _ in 0..3 {
        let arguments = ["-j1", "other", "--rerun", "all"];
        workspace.orchestrate(&arguments).finish().exits(0);
        let kept = runs(&workspace);
        assert!(kept.contains(&live[0]) && kept.len() == 2, "{kept:?}");
    }
    gates.order("a", "exit 0");
    running.finish().exits(0);
}
