//! `orchestrate man`: the pages, as formatters take them.

use orchestrate::cli::Cli;

use crate::support::skip::skipped;
use crate::support::workspace::Workspace;

/// What a formatter says of every page.
fn complaints(workspace: &Workspace, program: &str, formatter: &str) -> String {
    if which::which(program).is_err() {
        skipped("manual pages", &format!("{program} is not installed"));
        return String::new();
    }
    // That of the whole has no name.
    let pages = Cli::commands().into_iter().chain([String::new()]);
    let line = |page| format!("orchestrate man {page} | {formatter} || exit 1\n");
    let script: String = pages.map(line).collect();
    let finished = workspace.shell(&script).finish().exits(0);
    finished.stdout + &finished.stderr
}

#[test]
fn groff_sets_every_page_without_a_warning() {
    let workspace = Workspace::bare();
    assert_eq!(
        complaints(&workspace, "groff", "groff -man -Tascii -ww >/dev/null"),
        ""
    );
}

#[test]
fn mandoc_finds_nothing_but_that_there_is_no_date() {
    let workspace = Workspace::bare();
    // It ends with the worst that it has found.
    let said = complaints(
        &workspace,
        "mandoc",
        "{ mandoc -T lint -W warning || true; }",
    );
    let others: Vec<&str> = said
        .lines()
        .filter(|line| !line.contains("missing date"))
        .collect();
    assert_eq!(others, [""; 0]);
}

#[test]
fn the_page_has_the_options_the_subcommands_and_the_exit_status() {
    let workspace = Workspace::bare();
    let page = workspace.orchestrate(&["man"]).finish().exits(0).stdout;
    for part in [
        ".TH ORCHESTRATE 1",
        ".SH OPTIONS",
        "\\-\\-parallel",
        "orchestrate\\-status(1)",
        "75 work is left",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    let page = workspace
        .orchestrate(&["man", "logs"])
        .finish()
        .exits(0)
        .stdout;
    assert!(
        page.contains("\\-\\-follow") && !page.contains("\\-\\-parallel"),
        "{page}"
    );
    let finished = workspace.orchestrate(&["man", "statu"]).finish().exits(2);
    assert!(
        finished.stderr.contains("did you mean `status`?"),
        "{}",
        finished.stderr
    );
}
