//! `orchestrate check` says beforehand what would go wrong in the night, and that a key that is given away shows nowhere.

use serde_json::Value;

use crate::support::pool::{KEYS, POOL, with_keys};
use crate::support::workspace::Workspace;

#[test]
fn a_workspace_that_works_is_found_in_order_and_no_made_up_key_shows() {
    let workspace = with_keys(&["a", "b"], "exit 0");
    let launch = workspace.orchestrate(&["check"]).env("TEST_KEYS", KEYS);
    let finished = launch.finish().exits(0);
    for line in [
        "workflow w     ok       2 of 2 items would be run",
        "keys of w      ok       2 of 2 can be used now: key-1, key-2",
        "can be written",
        "masking        ok       18 made-up keys, each given away in another form, show in none of: ",
        "journal.jsonl",
        "canary.1.log",
        "run.json",
    ] {
        assert!(
            finished.stdout.contains(line),
            "{line}\n{}",
            finished.stdout
        );
    }
    assert!(
        workspace.started().is_empty(),
        "no item of the user's is run"
    );
    assert!(!workspace.root().join(".orchestrate").exists());
}

#[test]
fn what_would_not_work_is_told_with_a_remedy_and_the_rest_is_looked_at_all_the_same() {
    let workspace = Workspace::new(&["a"], "exit 0");
    workspace.write(
        "orchestrate.toml",
        &format!(
            "[workflow.gone]\ncommand = [\"./gone\"]\nitems = {{ list = \"none\" }}\n\
             [workflow.w]\ncommand = [\"true\"]\nitems = {{ command = [\"false\"] }}\n{POOL}\n"
        ),
    );
    let launch = workspace.orchestrate(&["check", "--format", "json"]);
    let finished = launch.finish().exits(1);
    let lines: Vec<Value> = finished
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |subject: &str| {
        let line = lines.iter().find(|line| line["subject"] == subject);
        line.unwrap_or_else(|| panic!("{subject}: {}", finished.stdout))
    };
    for (subject, result, words) in [
        ("configuration", "ok", "orchestrate.toml"),
        ("workflow gone", "failed", "./gone"),
        ("workflow w", "failed", "false"),
        ("keys of w", "failed", "TEST_KEYS"),
        ("clock", "ok", "UTC"),
        ("masking", "ok", "made-up"),
    ] {
        let line = of(subject);
        assert_eq!(line["result"], result, "{line}");
        assert!(line["text"].as_str().unwrap().contains(words), "{line}");
    }
    let one = workspace.orchestrate(&["check", "nowhere"]).finish();
    one.exits(2).says(&["there is no workflow `nowhere`"]);
}

#[test]
fn a_configuration_that_cannot_be_read_is_the_first_thing_to_be_told() {
    let workspace = Workspace::new(&["a"], "exit 0");
    workspace.write("orchestrate.toml", "paralel = 3\n");
    let finished = workspace.orchestrate(&["check"]).finish().exits(1);
    let first = finished.stdout.lines().next().unwrap_or_default();
    assert!(first.starts_with("configuration  failed   "), "{first}");
    assert!(first.contains("paralel"), "{first}");
}

#[test]
fn what_only_an_interactive_shell_finds_is_missing_under_cron() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let tools = workspace.root().join("tools-of-a-person");
    std::fs::create_dir(&tools).unwrap();
    workspace.script("tools-of-a-person/rarely-installed-tool", "#!/bin/sh\n");
    workspace.write(
        "orchestrate.toml",
        "[workflow.w]\ncommand = [\"rarely-installed-tool\"]\nitems = { list = \"items\" }\n",
    );
    workspace.write("items", "a\n");
    let path = format!("{}:/usr/bin:/bin", tools.display());
    let check = |words: &[&str]| workspace.orchestrate(words).env("PATH", &path).finish();
    let by_hand = check(&["check"]).exits(0);
    assert!(by_hand.stdout.contains("1 of 1 items would be run"));
    let by_cron = check(&["check", "--cron"]).exits(1);
    assert!(
        by_cron
            .stdout
            .contains("`rarely-installed-tool` was not found in PATH"),
        "{}",
        by_cron.stdout
    );
}
