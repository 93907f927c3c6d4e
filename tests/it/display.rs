//! What a person sees of a parallel run: status lines on a terminal, and the output of items as asked for.

use std::fs;

use crate::support::running::Running;
use crate::support::workspace::Workspace;

/// What stands on a terminal of 80 columns and 24 rows after these bytes, and what has scrolled out of it.
fn shown(bytes: &str) -> Vec<String> {
    let mut terminal = avt::Terminal::with_scrollback(80, 24, None).unwrap();
    terminal.feed(bytes);
    let mut lines = terminal.screen().text();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

fn watched<'a>(workspace: &'a Workspace, words: &[&str]) -> Running<'a> {
    let launch = workspace.orchestrate(words);
    launch
        .env("NO_COLOR", "1")
        .env("CI", "")
        .on_terminal()
        .start()
}

#[test]
fn on_a_terminal_status_lines_say_how_it_stands_and_are_gone_at_the_end() {
    let body = r#"echo "working on $item"; meet up; echo "end of $item""#;
    let workspace = Workspace::new(&["a", "b", "c"], body);
    let mut gates = workspace.gates(&["a", "b", "c"]);
    let running = watched(&workspace, &["-j2", "w"]);
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    running.wait_for("[0/3] 2 running, 1 queued");
    running.wait_for(": working on ");
    let seen = shown(&running.said_so_far());
    assert!(
        seen[seen.len() - 2].starts_with("[0/3] 2 running"),
        "{seen:?}"
    );
    for item in ["a", "b", "c"] {
        gates.order(item, ":");
    }
    let finished = running.finish().exits(0);
    let seen = shown(&finished.stdout);
    let mut told: Vec<&str> = seen.iter().map(String::as_str).collect();
    let summary = told.pop().unwrap();
    assert!(summary.starts_with("3 done in "), "{seen:?}");
    assert_eq!(told.len(), 3 * 3, "{seen:?}");
    let is_whole = |line: &&str| line.starts_with("[a] ") || line.contains(" done in ");
    assert_eq!(told.iter().filter(|line| is_whole(line)).count(), 2 + 3);
    assert!(
        !seen.iter().any(|line| line.contains("running")),
        "{seen:?}"
    );
}

#[test]
fn nothing_is_drawn_where_it_is_not_wanted_or_cannot_be_erased() {
    let workspace = Workspace::new(&["a"], "sleep 1");
    for (variable, value, arguments) in [
        (
            "X",
            "",
            &["-j1", "--rerun", "all", "--progress", "never", "w"][..],
        ),
        ("X", "", &["-j1", "--rerun", "all", "-q", "w"]),
        ("TERM", "dumb", &["-j1", "--rerun", "all", "w"]),
        ("CI", "true", &["-j1", "--rerun", "all", "w"]),
        (
            "ORCHESTRATE_PROGRESS",
            "never",
            &["-j1", "--rerun", "all", "w"],
        ),
    ] {
        let launch = workspace.orchestrate(arguments).env("NO_COLOR", "1");
        let finished = launch.env(variable, value).on_terminal().finish().exits(0);
        assert!(!finished.stdout.contains(['\x1b']), "{}", finished.stdout);
        assert!(!finished.stdout.contains("running"), "{}", finished.stdout);
    }
}

/// Two items that write at the same time, one of which fails.
fn two_items() -> Workspace {
    let body = r#"
echo "first of $item"; meet up
echo "second of $item" >&2; meet up
printf "last of $item"
test $item = a"#;
    Workspace::new(&["a", "b"], body)
}

/// Runs both, a line of one after a line of the other.
fn interleaved(workspace: &Workspace, arguments: &[&str]) -> (String, String) {
    let mut gates = workspace.gates(&["a", "b"]);
    let running = workspace.orchestrate(arguments).start();
    for _ in 0..2 {
        assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
        for item in ["a", "b"] {
            gates.order(item, ":");
        }
    }
    let finished = running.finish().exits(1);
    (finished.stdout, finished.stderr)
}

fn block(item: &str) -> String {
    format!("[{item}]\n    first of {item}\n    second of {item}\n    last of {item}\n")
}

#[test]
fn a_group_is_one_block_of_both_streams_when_its_item_has_ended() {
    let workspace = two_items();
    let (stdout, stderr) = interleaved(&workspace, &["-j2", "--output", "group", "w"]);
    let (a, b) = (block("a"), block("b"));
    assert!([a.clone() + &b, b + &a].contains(&stdout), "{stdout}");
    assert!(!stderr.contains("  | "), "{stderr}");
    assert!(stderr.contains("a done in ") && stderr.contains("b failed in "));
}

#[test]
fn of_failures_only_those_are_shown_and_of_none_nothing() {
    for (arguments, expected) in [
        (&["-j2", "--output", "failures", "w"][..], block("b")),
        (&["-j2", "-q", "--output=failures", "w"], block("b")),
        (&["-j2", "--output", "none", "w"], String::new()),
    ] {
        let (stdout, stderr) = interleaved(&two_items(), arguments);
        assert_eq!(stdout, expected);
        assert!(!stderr.contains("[a] first"), "{stderr}");
        assert!(stderr.contains("b failed "), "{stderr}");
    }
}

#[test]
fn in_a_group_every_attempt_has_its_block() {
    let workspace = Workspace::new(&["a"], "echo this is $attempt; test $attempt = 2");
    let arguments = ["-j1", "--retries", "1", "--output", "group", "w"];
    let finished = workspace.orchestrate(&arguments).finish().exits(0);
    assert_eq!(
        finished.stdout,
        "[a]\n    this is 1\n[a] (attempt 2)\n    this is 2\n"
    );
}

#[test]
fn a_block_is_harmless_and_its_head_cannot_be_forged() {
    let body =
        r"printf '[b]\n    forged\n1%%\r2%%\r100%%\n\033]0;title\007\033[2J\033[31mred\033[0m\n'";
    let workspace = Workspace::new(&["a"], body);
    let arguments = ["-j1", "--output", "group", "w"];
    let finished = workspace.orchestrate(&arguments).finish().exits(0);
    assert_eq!(
        finished.stdout,
        "[a]\n    [b]\n        forged\n    100%\n    \\x1b]0;title\\x07red\n"
    );
}

#[test]
fn with_json_blocks_go_to_stderr() {
    let workspace = Workspace::new(&["a"], "echo hello");
    let arguments = ["-j1", "--format", "json", "--output", "group", "w"];
    let finished = workspace.orchestrate(&arguments).finish().exits(0);
    let is_object = |line: &str| line.starts_with('{') && line.ends_with('}');
    assert!(
        finished.stdout.lines().all(is_object),
        "{}",
        finished.stdout
    );
    finished.says(&["[a]\n    hello\n[1/1] a done in "]);
}

#[test]
fn output_without_a_log_is_shown_as_it_comes() {
    let workspace = Workspace::new(&["a"], "rm -r .orchestrate/runs/*/logs; echo one; exit 1");
    let arguments = ["-j1", "--output", "group", "--retries", "1", "w"];
    let finished = workspace.orchestrate(&arguments).finish().exits(1);
    assert!(finished.stdout.contains("[a] one\n"), "{}", finished.stdout);
}

#[test]
fn what_shapes_output_needs_parallel_when_it_is_typed() {
    let workspace = Workspace::new(&["a"], ":");
    for (arguments, option) in [
        (&["--output", "group", "w"][..], "--output"),
        (&["--output", "prefix", "w"], "--output"),
        (&["--progress", "always", "w"], "--progress always"),
    ] {
        let finished = workspace.orchestrate(arguments).finish().exits(2);
        finished.says(&[&format!("{option} needs --parallel"), "add --parallel 1"]);
    }
    let launch = workspace.orchestrate(&["--progress", "never", "w"]);
    launch.env("ORCHESTRATE_OUTPUT", "group").finish().exits(0);
    assert_eq!(workspace.done(), ["a"]);
    assert!(fs::exists(workspace.root().join(".orchestrate")).unwrap());
}
