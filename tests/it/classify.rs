//! `orchestrate classify`: what the output of a failed item would be taken for.

use serde_json::Value;

use crate::support::workspace::Workspace;

const LIMITED: &str = "begin\nError code: 429 - {'error': {'code': 'rate_limit_exceeded'}}\nPlease try again in 20s.\n";

const BUSY: &str = "[[evidence]]\nname = \"busy\"\nclass = \"overloaded\"\nmessage = \"Server is busy\"\n\
                    matches = [\"Error: Server is busy\"]\n";

fn classify(workspace: &Workspace, arguments: &[&str]) -> Value {
    let words = [&["classify", "--format", "json"], arguments].concat();
    let finished = workspace.orchestrate(&words).finish().exits(0);
    serde_json::from_str(&finished.stdout).unwrap()
}

#[test]
fn a_log_is_taken_for_what_its_end_and_the_exit_code_say() {
    let workspace = Workspace::bare();
    workspace.write("log", LIMITED);
    let text = workspace
        .orchestrate(&["classify", "log"])
        .finish()
        .exits(0)
        .stdout;
    assert!(text.starts_with("rate-limited: "), "{text}");
    assert!(text.contains("20s (\"try again in\" in line 3)"), "{text}");

    let object = classify(&workspace, &["log"]);
    assert_eq!(object["class"], "rate-limited");
    assert_eq!(object["scope"], "key");
    assert_eq!(object["line_number"], 2);
    assert_eq!(object["wait_seconds"], 20.0);
    for (exit, class) in [
        ("0", "done"),
        ("75", "rate-limited"),
        ("77", "rejected"),
        ("69", "overloaded"),
    ] {
        let object = classify(&workspace, &["log", "--exit", exit]);
        assert_eq!(object["class"], class);
        assert_eq!(object["decided_by"], "exit-code");
    }
}

#[test]
fn the_log_of_an_item_can_be_piped_in_and_only_its_end_counts() {
    let body = "echo HTTP 429; seq 1 20000; echo Error: overloaded_error; exit 1";
    let workspace = Workspace::new(&["a"], body);
    workspace.orchestrate(&["-j1", "-q", "w"]).finish().exits(1);
    let script = "orchestrate logs a | orchestrate classify --format json -";
    let finished = workspace.shell(script).finish().exits(0);
    let object: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(object["class"], "overloaded");
    assert_eq!(object["line_number"], 20_002);
}

#[test]
fn a_workflow_says_what_its_exit_codes_mean_and_the_file_what_else_is_evidence() {
    let workspace = Workspace::new(&["a"], "true");
    workspace.configure(
        BUSY,
        "exit-codes = { rejected = [93], rate-limited = [92] }",
    );
    workspace.write("log", "Error: Server is busy\n");
    for (exit, class) in [
        ("93", "rejected"),
        ("92", "rate-limited"),
        ("75", "overloaded"),
        ("1", "overloaded"),
    ] {
        let object = classify(&workspace, &["log", "--workflow", "w", "--exit", exit]);
        assert_eq!(object["class"], class, "{exit}");
    }
    assert_eq!(classify(&workspace, &["log"])["pattern"], "busy");
}

#[test]
fn nothing_in_an_output_reaches_the_terminal_raw_and_no_key_is_shown() {
    let workspace = Workspace::new(&["a"], "true");
    workspace.configure(
        "",
        "[credentials]\npool = { command = [\"touch\", \"asked\"] }\ninject = \"KEY\"",
    );
    let key = "x".repeat(30);
    workspace.write(
        "log",
        &format!("Error: Incorrect API key provided: sk-{key}\x1b]0;t\x07\u{202e}\n"),
    );
    let shown = workspace
        .orchestrate(&["classify", "log"])
        .on_terminal()
        .finish()
        .exits(0);
    assert!(
        !shown.stdout.contains(['\x07', '\u{202e}']),
        "{:?}",
        shown.stdout
    );
    assert!(!shown.stdout.contains(&key), "{:?}", shown.stdout);
    assert!(shown.stdout.contains("[REDACTED:?]"), "{:?}", shown.stdout);
    assert!(!workspace.has("asked"));
}

#[test]
fn what_cannot_be_classified_is_named() {
    let workspace = Workspace::new(&["a"], "true");
    for (arguments, says) in [
        (&["nowhere"][..], "nowhere: No such file"),
        (&["."], ".: Is a directory"),
        (&["item", "--workflow", "v"], "there is no workflow `v`"),
        (&["item", "--exit", "256"], "256"),
        (&[], "FILE"),
    ] {
        let words = [&["classify"], arguments].concat();
        let stderr = workspace.orchestrate(&words).finish().exits(2).stderr;
        assert!(stderr.contains(says), "{arguments:?} {stderr}");
    }
    workspace.configure(&BUSY.replace("\"Server is busy\"", "\"(\""), "");
    let stderr = workspace
        .orchestrate(&["classify", "item"])
        .finish()
        .exits(2)
        .stderr;
    assert!(
        stderr.contains("the pattern \"busy\" is no regular expression: unclosed group"),
        "{stderr}"
    );
}
