//! How long a run is expected to take, and whether it did: the history is written by hand, so nothing here waits.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::pool::{KEYS, with_keys};
use crate::support::running::Finished;
use crate::support::workspace::Workspace;

/// In milliseconds.
const HOUR_MS: u64 = 3_600_000;

/// Says of the newest run that each of its attempts took an hour.
fn age(workspace: &Workspace) {
    let name = ".orchestrate/runs/latest/run.json";
    let mut record: Value = serde_json::from_str(&workspace.read(name)).unwrap();
    for item in record["items"].as_array_mut().unwrap() {
        item["attempts"][0]["duration_ms"] = HOUR_MS.into();
    }
    workspace.write(name, &record.to_string());
}

/// A workspace in which the items `a`, `b` and `c` took an hour each, one after the other.
fn with_history(body: &str) -> Workspace {
    let workspace = Workspace::new(&["a", "b", "c"], "exit 0");
    workspace.orchestrate(&["w"]).finish().exits(0);
    age(&workspace);
    workspace.item(body);
    workspace.write("items.txt", "a\nb\nc\nd\ne\nf\n");
    workspace
}

fn last_object(finished: &Finished) -> Value {
    serde_json::from_str(finished.stdout.lines().last().unwrap()).unwrap()
}

#[test]
fn a_run_says_how_long_it_took_against_what_the_dry_run_had_said() {
    let workspace = with_history("exit 0");
    for (arguments, words) in [
        (&["-n", "-j2", "w"][..], "up to 2 at once: about 2h, going"),
        (&["-n", "w"], "one after the other: about 3h, going by"),
    ] {
        let dry = workspace.orchestrate(arguments).finish().exits(0);
        assert!(dry.stdout.contains(words), "{}", dry.stdout);
    }
    let dry = ["-n", "-j2", "--format", "json", "w"];
    let dry = last_object(&workspace.orchestrate(&dry).finish().exits(0));
    assert_eq!(
        (&dry["at_once"], &dry["forecast_ms"]),
        (&2.into(), &(2 * HOUR_MS).into())
    );

    let launch = workspace.orchestrate(&["-j2", "w"]);
    let launch = launch.env("GITHUB_ACTIONS", "true");
    let finished = launch
        .env("GITHUB_STEP_SUMMARY", "step.md")
        .finish()
        .exits(0);
    let words = "forecast 2h (99 % shorter)";
    assert!(finished.stderr.contains(words), "{}", finished.stderr);
    let record = workspace.read(".orchestrate/runs/latest/run.json");
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["forecast_ms"], 2 * HOUR_MS);
    let shown = workspace.orchestrate(&["status"]).finish().exits(0);
    workspace.orchestrate(&["report"]).finish().exits(0);
    for text in [
        shown.stdout,
        workspace.read(".orchestrate/runs/latest/report.html"),
        workspace.read("step.md"),
    ] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_machine_reads_the_forecast_in_the_summary() {
    let workspace = with_history("exit 0");
    let arguments = ["-j3", "--progress", "never", "--format", "json", "w"];
    let finished = workspace.orchestrate(&arguments).finish().exits(0);
    assert_eq!(last_object(&finished)["forecast_ms"], HOUR_MS);
}

#[test]
fn a_run_that_fails_is_compared_and_one_that_is_stopped_is_not() {
    let workspace = with_history("exit 1");
    let drained = ["-j1", "--fail-fast", "w"];
    let drained = workspace.orchestrate(&drained).finish().exits(1);
    assert!(!drained.stderr.contains("forecast"), "{}", drained.stderr);
    let record = workspace.read(".orchestrate/runs/latest/run.json");
    assert!(!record.contains("forecast"), "{record}");
    let failed = workspace.orchestrate(&["-j1", "w"]).finish().exits(1);
    assert!(failed.stderr.contains("forecast 3h"), "{}", failed.stderr);
}

#[test]
fn a_run_that_is_interrupted_is_not_compared() {
    let workspace = with_history("meet up");
    let mut gates = workspace.gates(&["d", "e", "f"]);
    let running = workspace.orchestrate(&["-j3", "w"]).start();
    assert_eq!(gates.next_sorted(3), ["d up", "e up", "f up"]);
    running.signal(Signal::SIGINT);
    running.wait_until_draining();
    for item in ["d", "e", "f"] {
        gates.order(item, "exit 0");
    }
    let finished = running.finish().exits(0);
    assert!(!finished.stderr.contains("forecast"), "{}", finished.stderr);
}

#[test]
fn a_run_one_after_the_other_and_one_without_history_say_nothing_of_it() {
    let workspace = with_history("exit 0");
    let finished = workspace.orchestrate(&["w"]).finish().exits(0);
    assert!(!finished.stderr.contains("forecast"), "{}", finished.stderr);

    let workspace = Workspace::new(&["a", "b"], "exit 0");
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    age(&workspace);
    workspace.write("items.txt", "a\nb\nc\n");
    let finished = workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    assert!(!finished.stderr.contains("forecast"), "{}", finished.stderr);
}

#[test]
fn as_many_run_at_once_as_there_were_keys_last_time() {
    let workspace = with_keys(&["a", "b", "c"], "exit 0");
    let launch = workspace.orchestrate(&["-j3", "w"]);
    launch.env("TEST_KEYS", KEYS).finish().exits(0);
    age(&workspace);
    workspace.write("items.txt", "a\nb\nc\nd\ne\nf\n");
    let dry = ["-n", "-j3", "--format", "json", "w"];
    let dry = last_object(&workspace.orchestrate(&dry).finish().exits(0));
    assert_eq!(
        (&dry["at_once"], &dry["forecast_ms"]),
        (&2.into(), &(2 * HOUR_MS).into())
    );
    let launch = workspace.orchestrate(&["-j3", "--format", "json", "w"]);
    let finished = launch.env("TEST_KEYS", KEYS).finish().exits(0);
    assert_eq!(last_object(&finished)["forecast_ms"], 2 * HOUR_MS);
}

#[test]
fn what_would_not_end_before_the_deadline_is_not_started() {
    // If a first item is started at all, it ends when the earlier runs have been read, and by then a millisecond has
    // passed.
    let body = "while cat /proc/$PPID/task/*/comm | grep -q earlier-runs; do :; done";
    let workspace = with_history(body);
    let stop_after = format!("{}ms", HOUR_MS + 1);
    let arguments = ["-j1", "--stop-after", &stop_after, "w"];
    let finished = workspace.orchestrate(&arguments).finish().exits(75);
    let words = "no further item would end within --stop-after";
    assert!(finished.stderr.contains(words), "{}", finished.stderr);
    let done = finished.stderr.matches(" done in ").count();
    assert!(done <= 1, "{}", finished.stderr);
}
