//! What a person sees of a parallel run: status lines on a terminal, and the output of items as asked for.

use std::fs;

use nix::sys::signal::{Signal, kill};

use crate::support::process::wait_for_states;
use crate::support::running::Running;
use crate::support::workspace::Workspace;

/// A terminal of 80 columns and 24 rows at first, which wraps lines anew when it is resized.
struct Screen {
    terminal: avt::Terminal,
    seen: usize,
}

impl Screen {
    fn new() -> Self {
        Self {
            terminal: avt::Terminal::with_scrollback(80, 24, None).unwrap(),
            seen: 0,
        }
    }

    /// Shows what has been written since it was last called, whole characters only.
    fn see(&mut self, written: &[u8]) {
        let chunk = written[self.seen..].utf8_chunks().next();
        let text = chunk.map_or("", |chunk| chunk.valid());
        self.terminal.feed(text);
        self.seen += text.len();
    }

    /// What stands on it, and what has scrolled out of it; a line that was wrapped is one.
    fn lines(&self) -> Vec<String> {
        let mut lines = self.terminal.screen().text();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}

/// What stands on a terminal after these bytes, and what has scrolled out of it.
fn shown(bytes: &str) -> Vec<String> {
    let mut screen = Screen::new();
    screen.see(bytes.as_bytes());
    screen.lines()
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
fn a_terminal_of_another_size_gets_other_status_lines_and_keeps_what_stands_above() {
    let words = "words ".repeat(30);
    let workspace = Workspace::new(&["a", "b"], &format!("echo {words}; meet up"));
    let mut gates = workspace.gates(&["a", "b"]);
    let running = watched(&workspace, &["-j2", "w"]);
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    running.wait_for("\u{2026}");
    let processes = [running.orchestrator().unwrap(), running.pid()];
    let mut screen = Screen::new();
    for (columns, key) in [(40, "@"), (133, "#"), (60, "%")] {
        // Nothing is written while the size changes, and what was written has come when the echo of a key has.
        for &process in &processes {
            kill(process, Signal::SIGSTOP).unwrap();
        }
        wait_for_states(&processes, "T");
        running.type_keys(key.as_bytes());
        running.wait_for(key);
        running.wait_until(|written| {
            screen.see(written);
            true
        });
        screen.terminal.resize(columns, 24);
        running.resize(columns.try_into().unwrap(), 24);
        for &process in processes.iter().rev() {
            kill(process, Signal::SIGCONT).unwrap();
        }
        // The last line is as long as there is room, for what the items are at is longer.
        running.wait_until(|written| {
            screen.see(written);
            let lines = screen.lines();
            let width = lines.last().map_or(0, |line| line.chars().count());
            (columns - 8..columns).contains(&width) && lines[lines.len() - 2].contains("2 running")
        });
    }
    for item in ["a", "b"] {
        gates.order(item, "exit 0");
    }
    let finished = running.finish().exits(0);
    screen.see(finished.stdout.as_bytes());
    let mut lines = screen.lines();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    lines[..2].sort();
    let line = |item| format!("[{item}] {}", words.trim_end());
    assert_eq!(lines[..2], [line("a"), line("b")]);
    assert!(lines[2].starts_with("[1/2] ") && lines[3].starts_with("[2/2] "));
    assert!(lines[4].starts_with("2 done in "), "{lines:#?}");
}

#[test]
fn ctrl_z_gives_an_interactive_shell_a_clean_screen_and_fg_draws_the_status_lines_again() {
    let workspace = Workspace::new(&["a", "b"], "meet up");
    let mut gates = workspace.gates(&["a", "b"]);
    let shell = workspace.program(&["bash", "--norc", "--noprofile", "-i"]);
    let shell = shell.at_once(2).env("NO_COLOR", "1").env("PS1", "> ");
    let running = shell.on_terminal().start();
    running.wait_for("> ");
    running.type_keys(b"orchestrate -j2 w\n");
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    running.wait_for("[0/2] 2 running");
    running.type_keys(b"\x1a");
    running.wait_for("Stopped");
    running.type_keys(b"echo my own $((40 + 2))\n");
    running.wait_for("my own 42");
    let seen = shown(&running.said_so_far());
    assert!(!seen.iter().any(|it| it.contains("running")), "{seen:#?}");
    let told = seen.iter().position(|it| it.contains("suspended: 2 items"));
    let stopped = seen.iter().position(|it| it.contains("Stopped"));
    assert!(told.is_some() && told < stopped, "{seen:#?}");
    running.type_keys(b"fg\n");
    running.wait_for("2 items go on after");
    gates.order("a", "exit 0");
    running.wait_for("[1/2] 1 running");
    gates.order("b", "exit 0");
    running.wait_for("2 done in ");
    running.type_keys(b"exit\n");
    let seen = shown(&running.finish().exits(0).stdout);
    assert!(!seen.iter().any(|it| it.contains("running")), "{seen:#?}");
    assert!(seen.iter().any(|it| it.contains("my own 42")), "{seen:#?}");
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
fn the_end_tells_causes_apart_also_where_their_last_lines_stand_above() {
    let body = "test $item = a && echo 'Error: no route' || echo 'Error: no space'; exit 1";
    let workspace = Workspace::new(&["a", "b", "c"], body);
    let arguments = ["-j1", "--output", "failures", "w"];
    let finished = workspace.orchestrate(&arguments).finish().exits(1);
    let finished = finished.says(&[
        "2 failed: exit 1: Error: no space\n  b, c\n",
        "a failed after ",
    ]);
    assert!(!finished.stderr.contains("  | "), "{}", finished.stderr);
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
