//! Items that run at the same time.

use crate::support::witness::most_at_once;
use crate::support::workspace::Workspace;

const FOUR: [&str; 4] = ["a", "b", "c", "d"];

#[test]
fn four_items_run_at_once() {
    let workspace = Workspace::new(&FOUR, "meet up");
    let mut gates = workspace.gates(&FOUR);
    let running = workspace.orchestrate(&["--parallel", "4", "w"]).start();
    // None of them goes on before all have come.
    assert_eq!(gates.next_sorted(4), ["a up", "b up", "c up", "d up"]);
    for item in FOUR {
        gates.order(item, "exit 0");
    }
    running.finish().exits(0).says(&["4 done"]);
    assert_eq!(workspace.done(), FOUR);
    assert_eq!(most_at_once(&workspace.witness()), 4);
}

#[test]
fn parallel_is_understood_in_every_place_and_form() {
    for arguments in [
        &["--parallel", "4", "w"][..],
        &["w", "--parallel", "4"],
        &["--parallel=4", "w"],
        &["-j4", "w"],
        &["w", "-j", "4"],
    ] {
        let workspace = Workspace::new(&["a", "b"], "echo hello");
        let finished = workspace.orchestrate(arguments).finish().exits(0);
        // Only items of the parallel mode have a prefix.
        assert!(finished.stdout.contains("[a] hello\n"), "{arguments:?}");
        assert_eq!(workspace.done(), ["a", "b"]);
    }
}

#[test]
fn one_item_with_parallel_four_just_runs() {
    let workspace = Workspace::new(&["a"], "echo hello");
    let finished = workspace.orchestrate(&["--parallel", "4", "w"]).finish();
    assert_eq!(finished.exits(0).stdout, "[a] hello\n");
    assert_eq!(workspace.done(), ["a"]);
}

#[test]
fn no_item_is_nothing_to_process() {
    for arguments in [&["w"][..], &["--parallel", "4", "w"]] {
        let workspace = Workspace::new(&[], "exit 1");
        let finished = workspace.orchestrate(arguments).finish().exits(0);
        assert_eq!(
            (finished.stdout.as_str(), finished.stderr.as_str()),
            ("", "Nothing to process\n")
        );
    }
    // The same when all is done.
    let workspace = Workspace::new(&["a"], "exit 0");
    workspace.orchestrate(&["w"]).finish().exits(0);
    workspace
        .orchestrate(&["--parallel", "4", "w"])
        .finish()
        .exits(0)
        .says(&["Nothing to process (1 item is done"]);
    assert_eq!(workspace.started(), ["a"]);
}

#[test]
fn parallel_zero_is_sequential() {
    let workspace = Workspace::new(&["a"], "echo hello");
    workspace.configure("parallel = 4", "");
    let finished = workspace.orchestrate(&["--parallel", "0", "w"]).finish();
    assert_eq!(finished.exits(0).stdout, "hello\n");
}

#[test]
fn the_cap_lowers_the_width_and_says_so() {
    let items: Vec<String> = (1..=12).map(|number| format!("item-{number}")).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    for (top, cap) in [("", 10), ("max-parallel = 2", 2)] {
        let workspace = Workspace::new(&items, "meet up");
        workspace.configure(top, "");
        let mut gates = workspace.gates(&items);
        let launch = workspace.orchestrate(&["--parallel", "50", "w"]);
        let running = launch.at_once(cap).start();
        // As many as may come do come; one more would be a violation that the oracle finds.
        for _ in 0..cap {
            gates.next();
        }
        for item in &items {
            gates.order(item, "exit 0");
        }
        let lowered = format!("warning: --parallel 50 is lowered to {cap}; max-parallel");
        running.finish().exits(0).says(&[&lowered, "12 done"]);
        assert_eq!(most_at_once(&workspace.witness()), cap);
    }
}
