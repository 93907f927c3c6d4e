//! Without `--parallel`: what a shell that runs the commands one after another would do.

use nix::sys::signal::Signal;

use crate::support::skip::skipped;
use crate::support::witness::signals;
use crate::support::workspace::Workspace;

const CTRL_C: &[u8] = b"\x03";

/// The loop of which a sequential run is the equal.
const LOOP: &str = "for item in a b c; do ./item $item 1; done";

#[test]
fn stdout_is_that_of_the_commands_one_after_another() {
    let body = r"
printf '\033[31mred\033[0m \a\r'
echo $item
cat bytes
printf 'no newline'
";
    let both = |run: fn(&Workspace) -> crate::support::launch::Launch<'_>| {
        let workspace = Workspace::new(&["a", "b", "c"], body);
        let bytes: Vec<u8> = (0..=255).collect();
        std::fs::write(workspace.root().join("bytes"), bytes).unwrap();
        run(&workspace).finish().exits(0).stdout
    };
    let ours = both(|workspace| workspace.orchestrate(&["w"]));
    let theirs = both(|workspace| workspace.shell(LOOP));
    assert_eq!(ours, theirs);
    assert!(ours.contains("\u{1b}[31mred"));
}

#[test]
fn the_environment_and_the_descriptors_are_the_callers() {
    let body = "cat /proc/$$/environ >../environ; ls /proc/$$/fd >../descriptors\n\
                grep Sig[BIC] /proc/self/status >../signals";
    let workspace = Workspace::new(&["a"], body);
    // The very same caller, once with the command itself and once with ours in between.
    let run = |words: &[&str]| {
        let launch = workspace.program(words).env("ORCHESTRATE_ITEM_ID", "outer");
        launch.env("NO_COLOR", "1").finish().exits(0);
        ["environ", "descriptors", "signals"].map(|name| {
            let text = workspace.read(&format!("../{name}"));
            let parts = text.split(['\0', '\n']);
            // Where a shell sets it, it names the program that is run.
            let mut parts: Vec<String> = parts
                .filter(|part| !part.starts_with("_="))
                .map(str::to_owned)
                .collect();
            parts.sort();
            parts
        })
    };
    let theirs = run(&["./item", "a", "1"]);
    let ours = run(&["orchestrate", "w"]);
    assert_eq!(ours, theirs);
    assert!(ours[0].contains(&"ORCHESTRATE_ITEM_ID=outer".to_owned()));
}

#[test]
fn stdin_is_the_callers() {
    let workspace = Workspace::new(&["a", "b", "c"], "read -r line; echo \"$item got $line\"");
    let launch = workspace.orchestrate(&["w"]).stdin("one\ntwo\nthree\n");
    let finished = launch.finish().exits(0);
    assert_eq!(finished.stdout, "a got one\nb got two\nc got three\n");
}

#[test]
fn the_terminal_is_the_callers() {
    let body = "test -t 0 && test -t 1 && test -t 2 && : </dev/tty && echo terminal";
    let workspace = Workspace::new(&["a"], body);
    let finished = workspace.orchestrate(&["w"]).on_terminal().finish();
    assert!(finished.exits(0).stdout.starts_with("terminal\r\n"));
}

#[test]
fn no_pool_is_read_and_no_prefix_is_shown() {
    let workspace = Workspace::new(&["a"], "echo hello; echo hello >&2");
    workspace.script("key-command", "#!/bin/sh\ntouch mark-key\nexit 1\n");
    workspace.configure(
        "",
        "[credentials]\npool = { command = [\"./key-command\"] }\ninject = \"API_KEY\"",
    );
    let finished = workspace.orchestrate(&["w"]).finish().exits(0);
    assert_eq!(finished.stdout, "hello\n");
    assert!(
        finished.stderr.starts_with("hello\n"),
        "{}",
        finished.stderr
    );
    assert!(!workspace.has("mark-key"));
}

#[test]
fn finished_items_are_remembered_and_a_failure_does_not_stop_the_others() {
    let workspace = Workspace::new(&["a", "b", "c"], "test $item != b || exit 3");
    let finished = workspace.orchestrate(&["w"]).finish().exits(1);
    finished.says(&["b failed", "exit 3", "2 done, 1 failed"]);
    assert_eq!(workspace.done(), ["a", "c"]);
    workspace.item("exit 0");
    workspace.orchestrate(&["w"]).finish().exits(0);
    assert_eq!(workspace.started(), ["a", "b", "c", "b"]);
}

#[test]
fn ctrl_c_reaches_the_child_and_stops_the_run_by_the_same_signal() {
    let workspace = Workspace::new(&["a", "b"], "note INT; linger up; exit 0");
    let mut gates = workspace.gates(&[]);
    let running = workspace.orchestrate(&["w"]).on_terminal().start();
    gates.expect("a up");
    running.type_keys(CTRL_C);
    gates.expect("a INT");
    running.finish().dies_by(Signal::SIGINT);
    // Although it has ended well: it was told to stop.
    assert_eq!(workspace.items_that_are("interrupted"), ["a"]);
    assert_eq!(workspace.started(), ["a"]);
    workspace.item("exit 0");
    workspace.orchestrate(&["w"]).finish().exits(0);
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn a_child_that_dies_of_ctrl_c_is_interrupted_and_runs_again() {
    let workspace = Workspace::new(&["a", "b"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["w"]).on_terminal().start();
    gates.expect("a up");
    running.type_keys(CTRL_C);
    running.finish().dies_by(Signal::SIGINT);
    assert_eq!(workspace.items_that_are("interrupted"), ["a"]);
    workspace.item("exit 0");
    workspace.orchestrate(&["w"]).finish().exits(0);
    assert_eq!(workspace.started(), ["a", "a", "b"]);
}

#[test]
fn ctrl_c_ends_a_shell_loop_around_us() {
    for shell in ["sh", "bash"] {
        let workspace = Workspace::new(&["a", "b"], "meet up");
        let found = workspace.shell(&format!("command -v {shell}")).finish();
        if found.stdout.is_empty() {
            skipped("a loop around us", &format!("there is no {shell}"));
            continue;
        }
        let mut gates = workspace.gates(&["a"]);
        let script = "for i in 1 2 3; do orchestrate w; done";
        let launch = workspace.program(&[shell, "-c", script]);
        let running = launch.on_terminal().start();
        gates.expect("a up");
        running.type_keys(CTRL_C);
        running.finish().dies_by(Signal::SIGINT);
        assert_eq!(workspace.started(), ["a"], "{shell}");
    }
}

#[test]
fn sigterm_to_us_alone_is_passed_on_and_is_what_we_die_by() {
    let workspace = Workspace::new(&["a", "b"], "note TERM; linger up; exit 0");
    let mut gates = workspace.gates(&[]);
    let running = workspace.orchestrate(&["w"]).start();
    gates.expect("a up");
    running.signal(Signal::SIGTERM);
    gates.expect("a TERM");
    running.finish().dies_by(Signal::SIGTERM);
    assert_eq!(signals(&workspace.witness(), "a"), ["TERM"]);
    assert_eq!(workspace.items_that_are("interrupted"), ["a"]);
    assert_eq!(workspace.started(), ["a"]);
}

#[test]
fn sigint_to_us_alone_stops_the_run_after_the_child() {
    let workspace = Workspace::new(&["a", "b"], "note INT; meet up");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["w"]).start();
    gates.expect("a up");
    // A shell would not pass it on either: whoever wants the child to have it signals the group.
    running.signal(Signal::SIGINT);
    gates.order("a", "exit 0");
    running.finish().dies_by(Signal::SIGINT);
    assert_eq!(signals(&workspace.witness(), "a"), [""; 0]);
    assert_eq!(workspace.started(), ["a"]);
}
