//! What a child in parallel mode is given, and what is left of it.

use std::collections::BTreeMap;

use crate::support::witness::signals;
use crate::support::workspace::Workspace;

/// Runs one item with `body` in parallel mode, as a shell would start us that does `before`.
fn run(before: &str, body: &str) -> (Workspace, String) {
    let workspace = Workspace::new(&["issue-42"], body);
    let script = format!("{before}\nexec orchestrate --parallel 1 w");
    let finished = workspace
        .shell(&script)
        .stdin("for the caller alone\n")
        .finish();
    let stdout = finished.exits(0).stdout;
    (workspace, stdout.replace("[issue-42] ", ""))
}

#[test]
fn a_child_leads_a_session_without_a_terminal() {
    let body = "cat /proc/$$/stat; (: </dev/tty) 2>/dev/null || echo no terminal";
    let workspace = Workspace::new(&["issue-42"], body);
    let launch = workspace.orchestrate(&["--parallel", "1", "w"]);
    let finished = launch.env("NO_COLOR", "1").on_terminal().finish().exits(0);
    let shown = finished.stdout.replace("[issue-42] ", "");
    // proc_pid_stat(5): pid, name, state, parent, process group, session, terminal.
    let fields: Vec<&str> = shown.split_whitespace().take(7).collect();
    let [pid, _, _, _, group, session, terminal] = fields[..] else {
        panic!("{shown}");
    };
    assert_eq!((group, session, terminal), (pid, pid, "0"));
    assert!(shown.contains("no terminal"), "{shown}");
}

#[test]
fn a_child_has_nothing_on_stdin() {
    let (_, shown) = run("", "readlink /proc/$$/fd/0; wc -c");
    assert_eq!(shown, "/dev/null\n0\n");
}

#[test]
fn a_child_has_default_signals_whatever_the_caller_ignores() {
    let body = "grep Sig[BI] /proc/self/status";
    let (_, shown) = run("trap '' INT TERM HUP QUIT PIPE USR1 CHLD", body);
    let masks: Vec<u64> = shown
        .lines()
        .filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok())
        // Signals 32 and 33 are the C library's own.
        .map(|mask| mask & !(0b11 << 31))
        .collect();
    assert_eq!(masks, [0, 0], "{shown}");
}

#[test]
fn a_child_knows_itself() {
    let (_, shown) = run(
        "export ORCHESTRATE_ITEM_PATH=outer ORCHESTRATE_CREDENTIAL=outer ORCHESTRATE_STATUS_FILE=outer PYTHONUNBUFFERED=",
        "tr '\\0' '\\n' </proc/$$/environ | grep -E '^(ORCHESTRATE|PYTHONUN)'",
    );
    let mut variables: BTreeMap<&str, &str> = shown
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let run_id = variables.remove("ORCHESTRATE_RUN_ID").expect("a run");
    assert!(run_id.contains('T'), "{run_id}");
    let status = variables.remove("ORCHESTRATE_STATUS_FILE").expect("a file");
    assert!(status.ends_with("/status/1.jsonl"), "{status}");
    let expected = [
        ("ORCHESTRATE_ATTEMPT", "1"),
        ("ORCHESTRATE_ITEM_ID", "issue-42"),
        ("ORCHESTRATE_ITEM_TITLE", ""),
        ("ORCHESTRATE_SLOT", "1"),
        ("ORCHESTRATE_WORKFLOW", "w"),
        ("PYTHONUNBUFFERED", ""),
    ];
    assert_eq!(variables, BTreeMap::from(expected));
    let (_, shown) = run("unset PYTHONUNBUFFERED", "echo \"$PYTHONUNBUFFERED\"");
    assert_eq!(shown, "1\n");
}

#[test]
fn a_background_process_that_holds_the_pipes_does_not_hold_the_slot() {
    let workspace = Workspace::new(&["a", "b"], "sleep 100000 & echo started");
    let finished = workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    assert_eq!(finished.stdout, "[a] started\n[b] started\n");
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn a_background_process_that_chatters_does_not_hold_the_slot() {
    let body = "( while :; do echo chatter; done ) & exit 0";
    let workspace = Workspace::new(&["a"], body);
    workspace.orchestrate(&["-j1", "-q", "w"]).finish().exits(0);
    assert_eq!(workspace.done(), ["a"]);
}

#[test]
fn what_is_left_of_an_items_group_is_killed_with_it() {
    // It says that it is there, and closes the pipes, so that nothing but the end of its item can end it.
    let body = "( announce daemon; exec >/dev/null 2>&1; sleep 100000 ) & meet up";
    let workspace = Workspace::new(&["a"], body);
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    assert_eq!(gates.next_sorted(2), ["a daemon", "a up"]);
    gates.order("a", "exit 0");
    // Nothing that it has started is alive, or this would not come back.
    running.finish().exits(0);
    assert_eq!(signals(&workspace.witness(), "a"), [""; 0]);
}

#[test]
fn a_daemon_that_an_item_leaves_behind_is_ended_with_it() {
    let daemon = r#"
setsid sh -c 'echo "$1 daemon" >arrivals; sleep 100000; exit' sh "$item" </dev/null >/dev/null 2>&1 &
meet up"#;
    let workspace = Workspace::new(&["a"], daemon);
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    assert_eq!(gates.next_sorted(2), ["a daemon", "a up"]);
    gates.order("a", "exit 0");
    let finished = running.finish().exits(0);
    finished.says(&["a left "]);
}

#[test]
fn the_workflows_own_variables_and_placeholders_are_filled_in() {
    let workspace = Workspace::bare();
    workspace.write(
        "items.txt",
        "{\"id\":\"issue-42\",\"number\":42,\"title\":\"A \\\"title\\\" $(x)\",\"path\":\"docs/a b.md\"}\n",
    );
    workspace.configure(
        "",
        "command = [\"./item\", \"{id}\", \"{attempt}\", \"--number={number:04}\", \"{title}\", \
         \"{path}\", \"{output}\", \"{{literal}}\"]\noutput = \"out/{id}.md\"\n\
         env = { OWN = \"{number}/{slot}\" }",
    );
    workspace.item("shift 2; for word; do echo \"<$word>\"; done; echo \"$OWN\"");
    for (arguments, prefix) in [
        (&["-j1", "w"][..], "[issue-42] "),
        (&["w", "--rerun", "all"], ""),
    ] {
        let finished = workspace.orchestrate(arguments).finish().exits(0);
        let lines: Vec<String> = finished
            .stdout
            .lines()
            .map(|line| line.replacen(prefix, "", 1))
            .collect();
        let expected = [
            "<--number=0042>",
            "<A \"title\" $(x)>",
            "<docs/a b.md>",
            "<out/issue-42.md>",
            "<{literal}>",
            "42/1",
        ];
        assert_eq!(lines, expected);
    }
}

#[test]
fn arguments_after_two_dashes_are_appended() {
    let workspace = Workspace::new(&["a"], "echo \"$3|$4\"");
    let arguments = ["-j1", "w", "--", "--flag", "for {id}"];
    let finished = workspace.orchestrate(&arguments).finish().exits(0);
    assert_eq!(finished.stdout, "[a] --flag|for a\n");
}

#[test]
fn an_ad_hoc_command_runs_over_a_list_from_stdin() {
    let workspace = Workspace::new(&[], "echo \"got $3\"");
    let script = "exec ./item \"$ORCHESTRATE_ITEM_ID\" 1 \"$1\"";
    let options = ["-j2", "run", "--items-from", "-"];
    // No placeholder: the item is appended, as one argument.
    let arguments = [&options[..], &["--", "sh", "-c", script, "sh"]].concat();
    let launch = workspace.orchestrate(&arguments).stdin("one\ntwo words\n");
    let finished = launch.finish().exits(0);
    let mut lines: Vec<&str> = finished
        .stdout
        .lines()
        .filter_map(|line| Some(line.split_once("] ")?.1))
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, ["got one", "got two words"]);
}
