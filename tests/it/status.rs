//! `orchestrate status`: what is said of a run that lives, has ended, or was killed.

use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use crate::support::WATCHDOG;
use crate::support::workspace::Workspace;

const POOL: &str = "[credentials]\npool = { env = \"POOL\" }\ninject = \"KEY\"";
const KEYS: &str = "k3y-of-the-first k3y-of-the-second";

fn status(workspace: &Workspace) -> Value {
    let finished = workspace
        .orchestrate(&["status", "--format", "json"])
        .finish();
    serde_json::from_str(&finished.exits(0).stdout).unwrap()
}

/// Asks until the answer fits: a run writes down what happens without waiting for the disk.
#[expect(
    clippy::disallowed_methods,
    reason = "an answer that never fits must fail the test"
)]
fn status_that(workspace: &Workspace, fits: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let status = status(workspace);
        if fits(&status) {
            return status;
        }
        assert!(began.elapsed() < WATCHDOG, "{status:#}");
    }
}

fn count(status: &Value, state: &str) -> u64 {
    status["counts"][state].as_u64().unwrap_or(0)
}

fn item<'a>(status: &'a Value, id: &str) -> &'a Value {
    let items = status["items"].as_array().unwrap();
    items.iter().find(|item| item["id"] == id).unwrap()
}

#[test]
fn a_live_run_is_shown_with_what_runs_what_waits_and_what_has_ended() {
    let workspace = Workspace::new(&["a", "b", "c", "d"], "meet up");
    workspace.configure("retries = 1", POOL);
    let mut gates = workspace.gates(&["a", "b", "c", "d"]);
    let launch = workspace.orchestrate(&["-j2", "w"]).env("POOL", KEYS);
    let running = launch.start();
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    gates.order("a", "exit 0");
    gates.expect("c up");
    gates.order("b", "exit 3");
    gates.expect("d up");

    let live = status_that(&workspace, |it| {
        (
            count(it, "waiting"),
            count(it, "running"),
            count(it, "done"),
        ) == (1, 2, 1)
    });
    assert_eq!(live["state"], "running");
    assert_eq!(live["workflow"], "w");
    assert_eq!(live["exit_status"], Value::Null);
    assert_eq!(item(&live, "b")["reason"], "exit 3");
    assert_eq!(item(&live, "c")["attempt"], 1);
    let log = item(&live, "c")["log"].as_str().unwrap().to_owned();
    assert!(workspace.has(&log), "{log}");
    let used = live["credentials"].as_array().unwrap();
    let sum = |field: &str| {
        used.iter()
            .map(|it| it[field].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!((used.len(), sum("items"), sum("failures")), (2, 4, 1));

    let text = workspace.orchestrate(&["status"]).finish().exits(0);
    for words in [
        "w: running for ",
        "RUNNING",
        "\nc ",
        "\nd ",
        "1 done",
        "key-1",
    ] {
        assert!(text.stdout.contains(words), "{words:?}\n{}", text.stdout);
    }
    assert_eq!(text.stderr, "");

    for item in ["c", "d", "b"] {
        gates.order(item, "exit 0");
    }
    gates.expect("b up");
    running.finish().exits(0);
    let ended = status(&workspace);
    assert_eq!(
        (&ended["state"], &ended["exit_status"]),
        (&"ended".into(), &0.into())
    );
    assert_eq!(count(&ended, "done"), 4);
    let run = ended["run_id"].as_str().unwrap();
    let files = [
        "run.json".to_owned() + &workspace.read(&format!(".orchestrate/runs/{run}/run.json")),
        workspace.read(&format!(".orchestrate/runs/{run}/events.jsonl")),
        text.stdout,
    ];
    assert!(!files.concat().contains("k3y"), "a key is told");
}

#[test]
fn an_ended_run_shows_each_failure_with_its_cause_and_its_log() {
    let workspace = Workspace::new(&["a", "b"], "echo because; test $item = a");
    workspace.orchestrate(&["-j2", "w"]).finish().exits(1);
    let text = workspace.orchestrate(&["status"]).finish().exits(0).stdout;
    let line = text.lines().find(|line| line.starts_with("b ")).unwrap();
    assert!(line.contains("exit 1"), "{text}");
    let log = line.split_whitespace().last().unwrap();
    assert_eq!(workspace.read(log), "because\n");
    assert!(text.contains("2 items: 1 done, 1 failed\n"), "{text}");

    // From below, the path is another one, and leads to the same log.
    workspace.write("below/x", "");
    let below = workspace.root().join("below");
    let launch = workspace.orchestrate(&["status"]).directory(&below);
    let text = launch.finish().exits(0).stdout;
    let log = text
        .split_whitespace()
        .find(|word| word.ends_with("b.1.log"));
    assert_eq!(std::fs::read(log.unwrap()).unwrap(), b"because\n");
}

#[test]
fn a_run_that_was_killed_is_cut_off() {
    for options in [&["-j2"][..], &[]] {
        let workspace = Workspace::new(&["a", "b", "c"], "meet up");
        let mut gates = workspace.gates(&["a", "b", "c"]);
        let running = workspace.orchestrate(&[options, &["w"]].concat()).start();
        let at_once = if options.is_empty() { 1 } else { 2 };
        gates.next_sorted(at_once);
        status_that(&workspace, |it| count(it, "running") == at_once as u64);
        if options.is_empty() {
            running.signal(Signal::SIGKILL);
            // Its item is nobody's any more, and ends by itself.
            gates.order("a", "exit 1");
            running.finish().dies_by(Signal::SIGKILL);
        } else {
            kill(running.orchestrator().unwrap(), Signal::SIGKILL).unwrap();
            running.finish().dies_by(Signal::SIGKILL);
        }
        let cut = status(&workspace);
        assert_eq!(cut["state"], "cut-off");
        assert_eq!(count(&cut, "cut-off"), at_once as u64);
        assert_eq!(count(&cut, "not-started"), 3 - at_once as u64);
        let text = workspace.orchestrate(&["status"]).finish().exits(0).stdout;
        assert!(text.starts_with("w: cut off\n"), "{text}");

        // A run that lives later is another one.
        workspace.item("meet up");
        let later = workspace.orchestrate(&["-j1", "w"]).start();
        gates.expect("a up");
        let run = cut["run_id"].as_str().unwrap();
        let old = workspace.orchestrate(&["status", run]).finish().exits(0);
        assert!(old.stdout.starts_with("w: cut off\n"), "{}", old.stdout);
        assert_eq!(status(&workspace)["state"], "running");
        for item in ["a", "b", "c"] {
            gates.order(item, "exit 0");
        }
        gates.next_sorted(2);
        later.finish().exits(0);
    }
}

#[test]
fn a_line_that_is_still_being_written_is_left_out() {
    let workspace = Workspace::new(&["a", "b"], "meet up");
    let mut gates = workspace.gates(&["a", "b"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    let live = status_that(&workspace, |it| count(it, "running") == 1);
    let path = format!(
        ".orchestrate/runs/{}/events.jsonl",
        live["run_id"].as_str().unwrap()
    );
    let whole = workspace.read(&path);
    let torn =
        "{\"version\":1,\"at\":\"2026-11-23T00:14:48Z\",\"event\":\"run-ended\",\"exit_status\":0}";
    for tail in ["{\"version\":1,\"at\":", torn, "rubbish\n\n{}\n[]\n\0\n"] {
        workspace.write(&path, &(whole.clone() + tail));
        assert_eq!(status(&workspace)["state"], "running", "{tail}");
        assert_eq!(count(&status(&workspace), "running"), 1, "{tail}");
    }
    workspace.write(&path, &whole);
    gates.order("a", "exit 0");
    gates.order("b", "exit 0");
    running.finish().exits(0);
}

#[test]
fn a_run_is_named_by_the_beginning_of_its_name() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let none = workspace.orchestrate(&["status"]).finish().exits(2);
    none.says(&["there was no run yet", "-C DIR"]);
    workspace.orchestrate(&["w"]).finish().exits(0);
    workspace
        .orchestrate(&["w", "--rerun", "all"])
        .finish()
        .exits(0);
    let newest = status(&workspace)["run_id"].as_str().unwrap().to_owned();
    let latest = std::fs::read_link(workspace.root().join(".orchestrate/runs/latest")).unwrap();
    assert_eq!(latest.to_str().unwrap(), newest);
    let runs = workspace.root().join(".orchestrate/runs");
    let names = std::fs::read_dir(runs)
        .unwrap()
        .map(|it| it.unwrap().file_name());
    let other = names
        .filter_map(|it| it.into_string().ok())
        .find(|it| it.len() == newest.len() && *it != newest);
    let pairs = newest.bytes().zip(other.unwrap().into_bytes());
    let same = pairs.take_while(|(a, b)| a == b).count();
    let unique = workspace
        .orchestrate(&["status", &newest[..=same]])
        .finish();
    let unique = unique.exits(0);
    assert!(unique.stdout.contains(&newest), "{}", unique.stdout);
    let twice = workspace.orchestrate(&["status", &newest[..same]]).finish();
    twice.exits(2).says(&["more than one run begins with"]);
    for unknown in ["latest", "..", "1999", ""] {
        let finished = workspace
            .orchestrate(&["status", unknown])
            .finish()
            .exits(2);
        finished.says(&["there is no run", &newest]);
    }
    // What is wrong with the configuration does not hide what has happened.
    workspace.write("orchestrate.toml", "rubbish");
    assert_eq!(status(&workspace)["state"], "ended");
}

#[test]
fn text_from_outside_reaches_no_terminal_raw() {
    let workspace = Workspace::new(&[], "exit 0");
    workspace.configure("", "items = { list = \"items.txt\" }");
    workspace.write(
        "items.txt",
        "{\"id\":\"a\",\"title\":\"\\u001b]0;x\\u0007\\u202e\"}\n",
    );
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    let path = ".orchestrate/runs/latest/run.json";
    let record = workspace.read(path);
    workspace.write(
        path,
        &record
            .replace("\"exit 0\"", "\"\\u001b[2J\\u009b\"")
            .replace("\"done\"", "\"failed\""),
    );
    let shown = workspace
        .orchestrate(&["status"])
        .on_terminal()
        .finish()
        .exits(0);
    let odd = |c: char| c == '\u{9b}' || c == '\u{202e}' || c == '\x07';
    assert!(
        !shown.stdout.contains(odd) && !shown.stdout.contains("\x1b[2J"),
        "{:?}",
        shown.stdout
    );
    assert!(shown.stdout.contains(r"\x1b[2J"), "{:?}", shown.stdout);
    workspace.write(path, &record);
    let damaged = workspace.read(path).replace("orchestrate-run", "\\u001bx");
    workspace.write(path, &damaged);
    let finished = workspace.orchestrate(&["status"]).finish().exits(65);
    assert!(!finished.stderr.contains('\x1b'));
    workspace.write(path, &record);
}

#[test]
fn an_item_that_was_refused_is_told_with_its_reason() {
    let workspace = Workspace::new(&[], "exit 0");
    workspace.configure("", "command = [\"./item\", \"{title}\"]");
    workspace.write(
        "items.txt",
        "{\"id\":\"a\",\"title\":\"--force\"}\n{\"id\":\"b\",\"title\":\"b\"}\n",
    );
    workspace.orchestrate(&["-j1", "w"]).finish().exits(1);
    let told = status(&workspace);
    assert_eq!(item(&told, "a")["state"], "failed");
    assert!(
        item(&told, "a")["reason"]
            .as_str()
            .unwrap()
            .contains("would begin with a `-`"),
        "{told:#}"
    );
    assert_eq!(count(&told, "done"), 1);
}
