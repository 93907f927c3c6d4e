//! The dry run: it says what would happen, and nothing happens.

use serde_json::Value;

use crate::support::github::GitHub;
use crate::support::listing::listing;
use crate::support::workspace::Workspace;

const KEY: &str = "first-key-of-the-pool";

/// A workspace in which everything that is read, run or written would leave a mark.
fn trapped(items: &[&str]) -> Workspace {
    let workspace = Workspace::new(items, "touch mark-item");
    workspace.script(
        "key-command",
        "#!/bin/sh\ntouch mark-key\necho key-of-the-command\n",
    );
    // One that is read is refused, and one that is waited for never comes.
    workspace.write("keys", KEY);
    workspace.set_mode("keys", 0o000);
    workspace.configure(
        "",
        "[credentials]\npool = [{ command = [\"./key-command\"] }, { file = \"keys\" }]\n\
         inject = \"API_KEY\"",
    );
    workspace
}

#[test]
fn a_dry_run_lists_and_changes_nothing() {
    for arguments in [
        &["--dry-run", "w"][..],
        &["-n", "w"],
        &["--dry-run", "--parallel", "4", "w"],
        &["w", "--parallel", "4", "--dry-run"],
    ] {
        let workspace = trapped(&["a", "b", "c"]);
        let before = listing(workspace.root());
        let finished = workspace.orchestrate(arguments).finish().exits(0);
        assert_eq!(listing(workspace.root()), before, "{arguments:?}");
        assert!(!workspace.has("../home/state"), "no key is known of");
        assert_eq!(workspace.started(), [""; 0]);
        let lines: Vec<&str> = finished.stdout.lines().collect();
        assert_eq!(lines.len(), 5, "{}", finished.stdout);
        assert!(lines[0].starts_with("ITEM"), "{}", lines[0]);
        for (line, item) in lines[1..4].iter().zip(["a", "b", "c"]) {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words[..2], [item, "pending"], "{line}");
        }
        let how = if arguments.contains(&"4") {
            "3 of 3 would be run, up to 4 at once"
        } else {
            "3 of 3 would be run, one after the other"
        };
        assert_eq!(lines[4], how);
        assert_eq!(finished.stderr, "");
    }
}

#[test]
fn a_dry_run_after_a_run_changes_nothing_either() {
    let workspace = Workspace::new(&["a", "b"], "test $item = a");
    workspace.orchestrate(&["w"]).finish().exits(1);
    let before = listing(workspace.root());
    let finished = workspace.orchestrate(&["--dry-run", "w"]).finish().exits(0);
    assert_eq!(listing(workspace.root()), before);
    let row = |item: &str| {
        let found = finished.stdout.lines().find(|line| line.starts_with(item));
        found.expect("a row").to_owned()
    };
    assert!(row("a").contains("done"), "{}", finished.stdout);
    assert!(row("b").contains("failed last time"), "{}", finished.stdout);
    assert!(
        finished
            .stdout
            .ends_with("1 of 2 would be run, one after the other\n")
    );
}

#[test]
fn a_dry_run_while_a_run_holds_the_workflow_changes_nothing() {
    let workspace = Workspace::new(&["a"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["--parallel", "1", "w"]).start();
    gates.expect("a up");
    workspace.wait_until_started("a");
    workspace.wait_until_written(".orchestrate/runs/latest/events.jsonl", "attempt-started");
    let before = listing(workspace.root());
    let finished = workspace.orchestrate(&["--dry-run", "w"]).finish().exits(0);
    assert_eq!(listing(workspace.root()), before);
    assert!(finished.stdout.contains("1 of 1 would be run"));
    gates.order("a", "exit 0");
    running.finish().exits(0);
}

#[test]
fn three_issues_are_three_rows_and_one_request() {
    let issues: Vec<String> = (41..=43)
        .map(|number| {
            format!(
                r#"{{"number":{number},"title":"Title {number}","body":"","state":"open","labels":[{{"name":"needs-lld"}}]}}"#
            )
        })
        .collect();
    let github = GitHub::with(&format!("[{}]", issues.join(",")));
    let workspace = trapped(&[]);
    for program in ["gh", "git", "python", "python3"] {
        workspace.script(
            &format!("../bin/{program}"),
            "#!/bin/sh\ntouch mark-program\nexit 1\n",
        );
    }
    let config = "[workflow.requirements]\ncommand = [\"./item\", \"{id}\", \"{attempt}\"]\n\
                  items = { github = { repo = \"octo/tool\", labels = [\"needs-lld\"] } }\n";
    workspace.write("orchestrate.toml", config);
    let before = listing(workspace.root());
    let finished = workspace
        .orchestrate(&["--dry-run", "requirements"])
        .env("GITHUB_API_URL", &github.url())
        .env("GH_ENTERPRISE_TOKEN", "a-token-for-the-stub")
        .finish()
        .exits(0);
    assert_eq!(listing(workspace.root()), before);
    let rows: Vec<&str> = finished
        .stdout
        .lines()
        .filter(|line| line.starts_with("issue-"))
        .collect();
    assert_eq!(rows.len(), 3, "{}", finished.stdout);
    for (row, number) in rows.iter().zip(41..) {
        assert!(
            row.contains(&format!("Title {number}")) && row.contains("pending"),
            "{row}"
        );
    }
    let requests = github.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(
        requests[0].starts_with("GET /repos/octo/tool/issues?"),
        "{requests:?}"
    );
}

#[test]
fn every_line_of_a_json_dry_run_is_an_object() {
    for arguments in [
        &["--dry-run", "--format", "json", "w"][..],
        &["--dry-run", "--format", "json", "--parallel", "4", "w"],
    ] {
        let workspace = trapped(&["a", "b"]);
        let finished = workspace.orchestrate(arguments).finish().exits(0);
        let lines: Vec<Value> = finished
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("an object"))
            .collect();
        let types: Vec<&Value> = lines.iter().map(|line| &line["type"]).collect();
        assert_eq!(types, ["item", "item", "summary"]);
        assert_eq!(
            (&lines[0]["id"], &lines[0]["state"]),
            (&"a".into(), &"pending".into())
        );
        assert_eq!(lines[2]["pending"], 2);
    }
}
