//! What the runner of GitHub Actions reads: annotations, the summary of the step, and no command that is not ours.

use std::fs;

use crate::support::launch::Launch;
use crate::support::workspace::Workspace;

/// As a step of a job.
fn step<'a>(workspace: &'a Workspace, arguments: &[&str]) -> Launch<'a> {
    let launch = workspace.orchestrate(arguments);
    let launch = launch.env("GITHUB_ACTIONS", "true");
    launch.env("GITHUB_STEP_SUMMARY", "step.md")
}

/// The lines that the runner would obey: it looks for `##[` anywhere, and for `::` behind white space.
fn commands(text: &str) -> Vec<&str> {
    let obeys = |line: &&str| line.trim_start().starts_with("::") || line.contains("##[");
    text.lines().filter(obeys).collect()
}

#[test]
fn failures_are_annotated_by_their_cause_and_summed_up_for_the_step() {
    let body = "echo \"100%: cannot do <$item>\"; test $item = good";
    let workspace = Workspace::new(&["one", "two", "good"], body);
    workspace.write("step.md", "# before");
    let finished = step(&workspace, &["-j1", "w"]).finish().exits(1);
    assert_eq!(
        commands(&finished.stderr),
        [
            "::error title=w%3A one%2C two failed::exit 1: <n>%25: cannot do <<item>>%0A\
             100%25: cannot do <one>%0Alog: LOG"
                .replace("LOG", &log_of(&workspace, "one"))
        ]
    );
    assert_eq!(commands(&finished.stdout), [""; 0]);
    let summary = workspace.read("step.md");
    assert!(
        summary.starts_with("# before\n\n<h3>w: 1 done, 2 failed in "),
        "{summary}"
    );
    for words in [
        "<details open><summary><b>2 failed</b>: exit 1: ",
        "<p>one, two</p><pre>100%: cannot do &lt;one&gt;</pre>",
        "<details><summary>1 done</summary>",
        "To run what is left: <code>orchestrate -j1 w</code>",
    ] {
        assert!(summary.contains(words), "{words} is not in {summary}");
    }
    // Without the runner there is neither.
    let elsewhere = Workspace::new(&["a"], "exit 1");
    let launch = elsewhere.orchestrate(&["-j1", "w"]);
    let finished = launch
        .env("GITHUB_STEP_SUMMARY", "step.md")
        .finish()
        .exits(1);
    assert_eq!(commands(&finished.stderr), [""; 0]);
    assert!(!elsewhere.has("step.md"));
}

fn log_of(workspace: &Workspace, item: &str) -> String {
    let latest = fs::read_link(workspace.root().join(".orchestrate/runs/latest")).unwrap();
    format!(".orchestrate/runs/{}/logs/{item}.1.log", latest.display())
}

#[test]
fn a_line_of_an_item_is_no_command() {
    let body = r"
echo '::error::forged'
echo '  ::stop-commands::forever'
echo '##[add-path]/forged'
echo 'behind ##[error]forged' >&2
echo '::add-mask::value-to-hide'
exit 1";
    let workspace = Workspace::bare();
    workspace.write(
        "items.txt",
        "{\"id\":\"a\",\"title\":\"##[error]forged\"}\n",
    );
    workspace.configure("", "");
    workspace.item(body);
    for arguments in [
        &["-j1", "w"][..],
        &["-j1", "-v", "w"],
        &["-j1", "--output", "group", "w"],
        &["-j1", "--output", "failures", "w"],
        &["-j1", "--format", "json", "w"],
        &["-n", "w"],
        &["-n", "--format", "json", "w"],
        &["status"],
        &["status", "--format", "json"],
    ] {
        let finished = step(&workspace, arguments).finish();
        assert_eq!(commands(&finished.stdout), [""; 0], "{arguments:?}");
        let ours = |line: &&str| !line.starts_with("::error title=w%3A a failed::exit 1: ");
        let forged: Vec<&str> = commands(&finished.stderr)
            .into_iter()
            .filter(ours)
            .collect();
        assert_eq!(forged, [""; 0], "{arguments:?}");
    }
    for (output, line) in [
        ("prefix", "[a] # #[add-path]/forged\n"),
        ("group", "    # #[add-path]/forged\n"),
        ("failures", "    # #[add-path]/forged\n"),
    ] {
        let shown = step(&workspace, &["-j1", "--output", output, "w"]).finish();
        let shown = shown.exits(1).stdout;
        assert!(shown.contains(line), "{shown}");
        assert!(!shown.contains("value-to-hide"), "{shown}");
    }
    // What is not read for commands is shown as it is.
    let plain = workspace.orchestrate(&["-j1", "w"]).finish().exits(1);
    assert!(
        plain.stdout.contains("[a] ##[add-path]/forged\n"),
        "{}",
        plain.stdout
    );
}

#[test]
fn what_an_item_asks_to_have_masked_stands_in_nothing_that_is_kept_but_its_log() {
    let body = "echo '::add-mask::value-to-hide'; echo '##[add-mask]value-to-hide'; exit 1";
    let workspace = Workspace::new(&["a"], body);
    let arguments = ["-j1", "--format", "json", "--junit", "junit.xml", "w"];
    let finished = step(&workspace, &arguments).finish().exits(1);
    step(&workspace, &["report", "--out", "page.html"])
        .finish()
        .exits(0);
    for (place, text) in [
        ("stdout", finished.stdout),
        ("stderr", finished.stderr),
        ("JUnit", workspace.read("junit.xml")),
        ("the step's summary", workspace.read("step.md")),
        ("the page", workspace.read("page.html")),
    ] {
        assert!(!text.contains("value-to-hide"), "{place}: {text}");
    }
    assert!(workspace.read("junit.xml").contains("add-mask::***"));
    assert!(
        workspace
            .read(&log_of(&workspace, "a"))
            .contains("value-to-hide")
    );
}

#[test]
fn without_parallel_the_commands_of_an_item_are_its_own() {
    let workspace = Workspace::new(&["a"], "echo '::notice::hello'");
    let finished = step(&workspace, &["w"]).finish().exits(0);
    assert_eq!(finished.stdout, "::notice::hello\n");
    assert!(workspace.read("step.md").contains("1 done"));
}

#[test]
fn what_stops_a_run_is_annotated() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let finished = step(&workspace, &["-j1", "w", "zzz"]).finish().exits(2);
    let told = commands(&finished.stderr);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("::error title=orchestrate::no item matches zzz"),
        "{told:?}"
    );
}

#[test]
fn a_summary_that_is_full_or_cannot_be_written_is_a_warning() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let full = "x".repeat(1024 * 1024 - 10);
    workspace.write("step.md", &full);
    let finished = step(&workspace, &["-j1", "w"]).finish().exits(0);
    finished.says(&["GITHUB_STEP_SUMMARY", "the summary of this step is full"]);
    assert_eq!(workspace.read("step.md"), full);
    let workspace = Workspace::new(&["a"], "exit 0");
    fs::create_dir(workspace.root().join("step.md")).unwrap();
    let finished = step(&workspace, &["-j1", "w"]).finish().exits(0);
    finished.says(&["GITHUB_STEP_SUMMARY", "cannot be written"]);
}
