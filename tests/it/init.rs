//! `orchestrate init`: the first `orchestrate.toml`.

use std::os::unix::fs::symlink;

use crate::support::workspace::Workspace;

const TOOLS: [&str; 2] = [
    "tools/run_requirements_workflow.py",
    "tools/run_implement_from_lld.py",
];

#[test]
fn the_example_runs_as_it_is() {
    let workspace = Workspace::bare();
    // Its items leave no trace for the oracle, which looks at the root.
    workspace.write("below/README", "");
    let below = |arguments: &[&str]| {
        let words = [&["-C", "below"], arguments].concat();
        workspace.orchestrate(&words).finish().exits(0)
    };
    let finished = below(&["init"]);
    assert_eq!(finished.stdout, "below/orchestrate.toml\n");
    assert!(
        finished.stderr.contains("--dry-run hello"),
        "{}",
        finished.stderr
    );
    let listed = below(&["--dry-run", "hello"]);
    assert!(listed.stdout.contains("venus"), "{}", listed.stdout);
    let ran = below(&["--parallel", "3", "hello"]);
    assert!(ran.stdout.contains("hello, mars"), "{}", ran.stdout);
}

#[test]
fn what_stands_in_comments_is_right_as_well() {
    for tools in [&[][..], &TOOLS] {
        let workspace = Workspace::bare();
        for tool in tools {
            workspace.write(tool, "");
        }
        workspace.orchestrate(&["init"]).finish().exits(0);
        let written = workspace.read("orchestrate.toml");
        // A line of TOML that is commented out, not a sentence; of several items the last one counts.
        let mut lines: Vec<String> = Vec::new();
        for line in written.lines() {
            let open = line
                .strip_prefix("# ")
                .filter(|it| it.starts_with('[') || it.contains(" = "));
            let open = open.unwrap_or(line);
            if open.starts_with("items = ")
                && lines.last().is_some_and(|it| it.starts_with("items = "))
            {
                lines.pop();
            }
            lines.push(open.to_owned());
        }
        let all = lines.join("\n") + "\n";
        assert!(
            all.contains("\n[credentials]\n") && all.contains("\nparallel = 4"),
            "{all}"
        );
        workspace.write("orchestrate.toml", &all);
        let file = workspace.root().join("orchestrate.toml");
        let parsed = orchestrate::config::file::ConfigFile::parse(&file, &all);
        assert!(parsed.is_ok(), "{parsed:?}\n{all}");
    }
}

#[test]
fn a_repository_with_the_tools_gets_a_file_for_them() {
    let workspace = Workspace::bare();
    workspace.write(TOOLS[1], "");
    let finished = workspace.orchestrate(&["init"]).finish().exits(0);
    assert!(
        finished.stderr.contains("tools that are here: implement\n"),
        "{}",
        finished.stderr
    );
    assert!(!workspace.read("orchestrate.toml").contains("hello"));
    workspace
        .orchestrate(&["--dry-run", "implement"])
        .finish()
        .exits(0);
}

#[test]
fn a_file_that_is_there_stays_unless_it_is_given_up() {
    let workspace = Workspace::bare();
    workspace.write("orchestrate.toml", "parallel = 2\n");
    let finished = workspace.orchestrate(&["init"]).finish().exits(2);
    assert!(finished.stderr.contains("--force"), "{}", finished.stderr);
    assert_eq!(workspace.read("orchestrate.toml"), "parallel = 2\n");
    workspace
        .orchestrate(&["init", "--force"])
        .finish()
        .exits(0);
    assert!(
        workspace
            .read("orchestrate.toml")
            .contains("[workflow.hello]")
    );
}

#[test]
fn a_link_that_leads_nowhere_is_not_followed() {
    let workspace = Workspace::bare();
    symlink("elsewhere.toml", workspace.root().join("orchestrate.toml")).unwrap();
    workspace.orchestrate(&["init"]).finish().exits(2);
    assert!(!workspace.has("elsewhere.toml"));
}

#[test]
fn a_dry_run_shows_the_file_and_writes_none() {
    let workspace = Workspace::bare();
    let shown = workspace
        .orchestrate(&["init", "--dry-run"])
        .finish()
        .exits(0)
        .stdout;
    assert!(!workspace.has("orchestrate.toml"));
    workspace.orchestrate(&["init"]).finish().exits(0);
    assert_eq!(workspace.read("orchestrate.toml"), shown);
}

#[test]
fn it_is_written_where_c_says_and_a_missing_directory_is_named() {
    let workspace = Workspace::bare();
    workspace.write("below/README", "");
    workspace
        .orchestrate(&["-C", "below", "init"])
        .finish()
        .exits(0);
    assert!(workspace.has("below/orchestrate.toml"));
    let finished = workspace.orchestrate(&["-C", "no/such", "init"]).finish();
    assert!(finished.stderr.contains("no/such"), "{}", finished.stderr);
}
