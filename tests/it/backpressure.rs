//! What limits a run, and what that has cost, is told to whoever asks, and at the end.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::pool::{KEYS, with_keys};
use crate::support::workspace::Workspace;

/// The status that `orchestrate status` tells.
fn status(workspace: &Workspace) -> Value {
    let finished = workspace
        .orchestrate(&["status", "--format", "json"])
        .finish()
        .exits(0);
    serde_json::from_str(&finished.stdout).expect("JSON")
}

/// What the run has recorded of itself.
fn record(workspace: &Workspace) -> Value {
    let record = workspace.read(".orchestrate/runs/latest/run.json");
    serde_json::from_str(&record).expect("JSON")
}

#[test]
fn a_run_with_too_few_keys_says_so_to_whoever_asks() {
    let items = ["a", "b", "c"];
    let workspace = with_keys(&items, "meet up");
    let mut gates = workspace.gates(&items);
    let launch = workspace
        .orchestrate(&["-j3", "w"])
        .env("TEST_KEYS", KEYS)
        .at_once(2);
    let running = launch.start();
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    workspace.wait_until_written(
        ".orchestrate/runs/latest/events.jsonl",
        "\"limiter\":\"credentials\",\"running\":2,\"wanted\":3",
    );
    running.signal(Signal::SIGUSR1);
    running.wait_for("limited by credentials, 2 of 3 run; keys: 2 busy, 0 free");
    let seen = status(&workspace);
    assert_eq!(seen["limiter"], "credentials");
    assert_eq!(seen["credentials"][0]["state"], "ready");
    for item in items {
        gates.order(item, "exit 0");
    }
    running.finish().exits(0);
    assert_eq!(status(&workspace)["limiter"], Value::Null);
}

#[test]
fn a_run_that_stood_still_for_want_of_a_key_says_what_that_has_cost() {
    // The first attempt is limited for so long that standing still is worth a word.
    let body = "[ $attempt = 2 ] || { orchestrate tell rate-limited --retry-after 6; retract; }";
    let workspace = with_keys(&["a"], body);
    let launch = workspace
        .orchestrate(&["-j1", "w", "--metrics", "run.prom"])
        .env("TEST_KEYS", "only-made-up-key");
    let finished = launch.finish().exits(0);
    finished.says(&[
        "all keys rest: 1 item waits, the first key comes back in ",
        "credentials cost ",
        "; one more key would have saved ",
    ]);
    let record = record(&workspace);
    let lost = record["lost"]["credentials_ms"].as_u64().unwrap();
    assert!(lost >= 5500, "{lost}");
    assert_eq!(record["credential_states"]["key-1"]["state"], "ready");
    let events = workspace.read(".orchestrate/runs/latest/events.jsonl");
    assert!(
        events.contains(r#""credential":"key-1","state":"cooling","until":"#),
        "{events}"
    );
    let metrics = workspace.read("run.prom");
    assert!(
        metrics.contains("credential=\"key-1\",state=\"ready\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("orchestrate_run_lost_seconds"),
        "{metrics}"
    );
}

#[test]
fn an_overloaded_provider_is_told_from_a_want_of_keys() {
    let body = "[ $item = a ] && orchestrate tell overloaded && exit 1\nmeet up";
    let items = ["a", "b", "c", "d"];
    let workspace = with_keys(&items, body);
    let mut gates = workspace.gates(&items);
    let launch = workspace.orchestrate(&["-j2", "w"]).env("TEST_KEYS", KEYS);
    let running = launch.start();
    running.wait_for("a deferred after");
    workspace.wait_until_written(
        ".orchestrate/runs/latest/events.jsonl",
        "\"limiter\":\"provider\"",
    );
    gates.expect("b up");
    running.signal(Signal::SIGUSR1);
    running.wait_for("limited by the provider, which is overloaded, 1 of 2 run");
    running.signal(Signal::SIGQUIT);
    running.finish().dies_by(Signal::SIGQUIT);
}
