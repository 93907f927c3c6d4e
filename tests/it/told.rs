//! What an item says in its status file while it runs: heard at once, by the pool and by whoever looks.

use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::end::End;
use crate::support::listing::listing;
use crate::support::pool::with_keys;
use crate::support::skip::skipped;
use crate::support::workspace::Workspace;

const KEY: &str = "only-made-up-key";
const EVENTS: &str = ".orchestrate/runs/latest/events.jsonl";
const FILE: &str = "\"$ORCHESTRATE_STATUS_FILE\"";

/// A pool of one key that two items may hold at once.
const SHARED: &str =
    "[credentials]\npool = { env = \"TEST_KEYS\" }\ninject = \"TEST_KEY\"\nslots = 2";

/// What is kept of the one key that was ever used.
fn kept_key(workspace: &Workspace) -> Value {
    let home = workspace.root().with_file_name("home");
    let is_state = |path: &PathBuf| path.ends_with("state.json");
    let files: Vec<PathBuf> = listing(&home).into_keys().filter(is_state).collect();
    let [file] = &files[..] else {
        panic!("{files:?}");
    };
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The first value with this name, wherever it stands.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    let below = || object.values().find_map(|below| find(below, name));
    object.get(name).or_else(below)
}

#[test]
fn a_limit_rests_the_key_for_others_while_its_item_runs_on() {
    for (told, said) in [
        (
            "orchestrate tell rate-limited --retry-after 2h",
            "the first key comes back in 2h",
        ),
        ("orchestrate tell auth-failed", "each was rejected"),
    ] {
        let workspace = Workspace::new(&["a", "b", "c"], "meet up");
        workspace.configure("", SHARED);
        let mut gates = workspace.gates(&["a", "b", "c"]);
        let launch = workspace.orchestrate(&["-j2", "w"]).env("TEST_KEYS", KEY);
        let running = launch.slots(2).start();
        assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
        let told = format!("{told}; orchestrate tell progress heard; meet told");
        gates.order("a", &told);
        gates.expect("a told");
        workspace.wait_until_written(EVENTS, "heard");
        gates.order("b", "exit 0");
        // `c` is told that there is nothing to wait for, while `a` goes on with its lease.
        running.wait_for(said);
        gates.order("a", "meet unharmed");
        gates.expect("a unharmed");
        gates.order("a", "retract");
        let finished = running.finish();
        assert!(matches!(finished.end, End::Exited(75 | 77)), "{finished:?}");
        assert_eq!(workspace.done(), ["b"]);
        assert_eq!(workspace.started().len(), 2);
    }
}

#[test]
fn a_limit_that_was_heard_is_not_counted_again_at_the_end() {
    for end in ["exit 1", "exit 75", "retract"] {
        let workspace = with_keys(&["a", "b"], "meet up");
        let mut gates = workspace.gates(&["a", "b"]);
        let launch = workspace.orchestrate(&["-j1", "w"]).env("TEST_KEYS", KEY);
        let running = launch.start();
        gates.expect("a up");
        gates.order(
            "a",
            "orchestrate tell rate-limited --class day; orchestrate tell progress heard; meet told",
        );
        gates.expect("a told");
        workspace.wait_until_written(EVENTS, "heard");
        gates.order("a", end);
        running.wait_for("the first key comes back in ");
        running.finish().exits(75);
        let kept = kept_key(&workspace);
        assert_eq!(find(&kept, "day_steps"), Some(&1.into()), "{kept:#}");
        let limits = find(&kept, "limits").and_then(Value::as_array).unwrap();
        assert_eq!(limits.len(), 1, "{kept:#}");
    }
}

#[test]
fn ok_ends_the_rest_that_the_same_item_has_begun() {
    let workspace = Workspace::new(&["a", "b", "c"], "meet up");
    workspace.configure("", SHARED);
    let mut gates = workspace.gates(&["a", "b", "c"]);
    let launch = workspace.orchestrate(&["-j2", "w"]).env("TEST_KEYS", KEY);
    let running = launch.slots(2).start();
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    let tell = "orchestrate tell rate-limited --retry-after 10m; orchestrate tell progress limited; meet told";
    gates.order("a", tell);
    gates.expect("a told");
    workspace.wait_until_written(EVENTS, "limited");
    gates.order("b", "exit 0");
    workspace.wait_until_done("b");
    gates.order("a", "orchestrate tell ok; meet over");
    gates.expect("a over");
    // It would have had to wait for ten minutes.
    gates.expect("c up");
    for item in ["a", "c"] {
        gates.order(item, "exit 0");
    }
    running.finish().exits(0);
    assert_eq!(workspace.done(), ["a", "b", "c"]);
}

#[test]
fn progress_is_shown_while_the_item_runs_masked_and_harmless() {
    let body =
        r#"meet up; orchestrate tell progress "$(printf 'with %s \033[2J' $TEST_KEY)"; meet told"#;
    let workspace = with_keys(&["a"], body);
    let mut gates = workspace.gates(&["a"]);
    let launch = workspace.orchestrate(&["-j1", "w"]).env("TEST_KEYS", KEY);
    let running = launch.start();
    gates.expect("a up");
    gates.order("a", "true");
    gates.expect("a told");
    workspace.wait_until_written(EVENTS, "progressed");
    let shown = r"with [REDACTED:key-1] \x1b[2J";
    running.signal(Signal::SIGUSR1);
    running.wait_for(shown);
    let status = workspace.orchestrate(&["status"]).finish().exits(0);
    assert!(status.stdout.contains(shown), "{}", status.stdout);
    let words = ["status", "--format", "json"];
    let json = workspace.orchestrate(&words).finish().exits(0).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["items"][0]["progress"], shown);
    let events = workspace.read(EVENTS);
    assert!(
        !events.contains(KEY) && !events.contains("u001b"),
        "{events}"
    );
    gates.order("a", "exit 0");
    running.finish().exits(0);
    let ended = workspace.orchestrate(&words).finish().exits(0).stdout;
    assert!(!ended.contains("REDACTED"), "{ended}");
}

#[test]
fn a_half_line_is_heard_when_its_rest_has_come() {
    let body = format!(
        "printf '{{\"event\":\"progress\",\"text\":\"before\"}}\\n{{\"event\":\"progress\",' >>{FILE}\n\
         meet up; printf '\"text\":\"behind\"}}\\n' >>{FILE}; meet told"
    );
    let workspace = Workspace::new(&["a"], &body);
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    workspace.wait_until_written(EVENTS, "before");
    assert!(!workspace.read(EVENTS).contains("behind"));
    gates.order("a", "true");
    gates.expect("a told");
    workspace.wait_until_written(EVENTS, "behind");
    gates.order("a", "exit 0");
    running.finish().exits(0);
}

#[test]
fn what_is_said_last_of_all_is_heard() {
    let body = "orchestrate tell progress \"the last word of $item\"";
    let items = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let workspace = Workspace::new(&items, body);
    workspace.orchestrate(&["-j4", "w"]).finish().exits(0);
    let events = workspace.read(EVENTS);
    for item in items {
        assert!(
            events.contains(&format!("the last word of {item}")),
            "{events}"
        );
    }
}

#[test]
fn an_item_that_spoils_its_file_keeps_nobody_from_being_heard() {
    let limited = r#"{"event":"rate_limited"}"#;
    for spoil in [
        format!("head -c 10000000 /dev/zero >{FILE}"),
        format!("head -c 1000000 /dev/urandom >{FILE}"),
        format!("yes '{limited}' | head -c 10000000 | tr -d '\\n' >{FILE}"),
        format!("echo '{limited}' >own; ln -sf \"$PWD/own\" {FILE}"),
        format!("rm {FILE}; mkfifo {FILE}"),
        format!("rm {FILE}; mkdir {FILE}"),
    ] {
        let workspace = with_keys(&["a", "b"], "meet up");
        let mut gates = workspace.gates(&["a", "b"]);
        let launch = workspace.orchestrate(&["-j2", "w"]);
        let running = launch
            .env("TEST_KEYS", "first-made-up-key, second-made-up-key")
            .start();
        assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
        gates.order("a", &format!("{spoil}; meet spoiled"));
        gates.expect("a spoiled");
        gates.order("b", "orchestrate tell progress 'all is well'; meet told");
        gates.expect("b told");
        workspace.wait_until_written(EVENTS, "all is well");
        for item in ["a", "b"] {
            gates.order(item, "exit 0");
        }
        running.finish().exits(0);
        assert_eq!(workspace.started().len(), 2, "{spoil}");
    }
}

#[test]
fn where_nothing_can_be_watched_items_are_heard_all_the_same() {
    let workspace = Workspace::new(
        &["a"],
        "meet up; orchestrate tell progress 'all is well'; meet told",
    );
    let none = "unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_inotify_instances";
    let tried = workspace.shell(&format!("{none}'")).finish();
    if tried.end != End::Exited(0) {
        return skipped("a run that cannot watch files", tried.stderr.trim());
    }
    let mut gates = workspace.gates(&["a"]);
    let running = workspace
        .shell(&format!("exec {none} && exec orchestrate -j1 w'"))
        .start();
    gates.expect("a up");
    gates.order("a", "true");
    gates.expect("a told");
    workspace.wait_until_written(EVENTS, "all is well");
    gates.order("a", "exit 0");
    running.finish().exits(0);
}

#[test]
fn a_run_that_was_narrowed_widens_when_items_end_well_and_not_when_they_speak_of_limits() {
    for clean in [true, false] {
        let items = ["a", "b", "c", "d", "e", "f", "g"];
        let workspace = Workspace::new(&items, "meet up");
        workspace.configure("", &SHARED.replace("slots = 2", "slots = 4"));
        let mut gates = workspace.gates(&items);
        let launch = workspace.orchestrate(&["-j3", "w"]).env("TEST_KEYS", KEY);
        let running = launch.slots(4).start();
        assert_eq!(gates.next_sorted(3), ["a up", "b up", "c up"]);
        let tell = "orchestrate tell overloaded; orchestrate tell progress heard; meet told";
        gates.order("a", tell);
        gates.expect("a told");
        workspace.wait_until_written(EVENTS, "heard");
        let end = if clean {
            "exit 0"
        } else {
            "echo HTTP/1.1 429; exit 0"
        };
        for item in ["b", "c"] {
            gates.order(item, "exit 1");
        }
        // From here on two run at once: `a`, and one after the other.
        let rest: &[&str] = if clean {
            gates.expect("d up");
            gates.order("d", end);
            gates.expect("e up");
            gates.order("e", end);
            // Three again.
            assert_eq!(gates.next_sorted(2), ["f up", "g up"]);
            &["f", "g"]
        } else {
            for item in ["d", "e", "f"] {
                gates.expect(&format!("{item} up"));
                gates.order(item, end);
            }
            gates.expect("g up");
            let witness = workspace.witness();
            let place = |line: &str| witness.find(line).expect("a line");
            assert!(place("exit f ") < place("start g "), "{witness}");
            &["g"]
        };
        gates.order("a", "orchestrate tell ok; exit 0");
        for item in rest {
            gates.order(item, end);
        }
        running.finish().exits(1);
        assert_eq!(workspace.done(), ["a", "d", "e", "f", "g"]);
    }
}
