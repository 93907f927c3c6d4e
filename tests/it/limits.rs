//! What a child's end says of its key: who gets another one, who waits, and how a run ends for want of keys.

use nix::sys::signal::Signal;

use crate::support::pool::{KEYS, POOL, credentials, with_keys};
use crate::support::running::Running;
use crate::support::workspace::Workspace;

#[test]
fn a_limited_item_goes_on_with_another_key_and_loses_no_attempt() {
    for limited in [
        // The child says so by its exit code, …
        "exit 75",
        // … or the end of its output does.
        "echo 'Error: 429 {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"}}' >&2; exit 1",
    ] {
        let body = format!("[ \"$ORCHESTRATE_CREDENTIAL\" = key-2 ] || {{ {limited}; }}\nexit 0");
        let workspace = with_keys(&["a", "b"], &body);
        let launch = workspace.orchestrate(&["-j2", "w"]).env("TEST_KEYS", KEYS);
        let finished = launch.finish().exits(0);
        finished.says(&["deferred after", "with key-1: rate limited", "2 done"]);
        let mut used = credentials(&workspace);
        used.sort();
        assert_eq!(used, ["key-1", "key-2", "key-2"], "{limited}");
        assert_eq!(workspace.done(), ["a", "b"]);
    }
}

#[test]
fn a_rejected_key_is_not_used_again() {
    let body = "[ $ORCHESTRATE_CREDENTIAL = key-2 ] || exit 77\nexit 0";
    let workspace = with_keys(&["a", "b", "c"], body);
    let launch = workspace.orchestrate(&["-j2", "w"]).env("TEST_KEYS", KEYS);
    let finished = launch.finish().exits(0);
    finished.says(&["the key was rejected; back in the queue", "3 done"]);
    let rejected = credentials(&workspace);
    assert_eq!(rejected.iter().filter(|key| *key == "key-1").count(), 1);
}

#[test]
fn a_key_without_budget_is_left_alone_and_the_others_do_the_work() {
    let no_money =
        "{'error': {'message': 'You exceeded your current quota', 'type': 'insufficient_quota'}}";
    for (limited, said) in [
        ("echo 'Retry-After: 86400'; exit 75", "rate limited"),
        (
            &format!("echo \"Error code: 429 - {no_money}\"; exit 1"),
            "money",
        ),
    ] {
        let body = format!("[ $ORCHESTRATE_CREDENTIAL = key-2 ] || {{ {limited}; }}\nexit 0");
        let workspace = with_keys(&["a", "b", "c", "d"], &body);
        let launch = workspace.orchestrate(&["-j2", "w"]).env("TEST_KEYS", KEYS);
        launch.finish().exits(0).says(&[said, "4 done"]);
        let used = credentials(&workspace);
        assert_eq!(used.iter().filter(|key| *key == "key-1").count(), 1);
        let keys = workspace.orchestrate(&["keys", "--workflow", "w"]);
        let keys = keys.env("TEST_KEYS", KEYS).finish().exits(0).stdout;
        let first = keys.lines().find(|line| line.starts_with("key-1"));
        assert!(first.unwrap().contains(" spent "), "{keys}");
    }
}

#[test]
fn a_key_that_only_a_text_calls_invalid_wastes_two_items_at_most() {
    // Its item is served with the other key, or limited there, which is no less a proof; or a second one says the same.
    let many = &["a", "b", "c", "d", "e"][..];
    for (width, items, good) in [
        ("-j1", many, "exit 0"),
        ("-j2", many, "exit 0"),
        ("-j1", &["a"], "exit 75"),
    ] {
        let bad = "echo 'Error: invalid_api_key' >&2; exit 1";
        let body = format!("[ $ORCHESTRATE_CREDENTIAL = key-2 ] || {{ {bad}; }}\n{good}");
        let workspace = with_keys(items, &body);
        let launch = workspace.orchestrate(&[width, "--credential-wait", "1s", "w"]);
        let finished = launch.env("TEST_KEYS", KEYS).finish();
        let used = credentials(&workspace);
        let wasted = used.iter().filter(|key| *key == "key-1").count();
        assert!((1..=2).contains(&wasted), "{used:?}\n{}", finished.stderr);
        let keys = workspace.orchestrate(&["keys", "--workflow", "w"]);
        let keys = keys.env("TEST_KEYS", KEYS).finish().exits(0).stdout;
        let first = keys.lines().find(|line| line.starts_with("key-1"));
        assert!(first.unwrap().contains(" retired "), "{keys}");
    }
}

#[test]
fn when_every_key_is_rejected_the_run_ends_with_77() {
    let workspace = with_keys(&["a", "b", "c"], "exit 77");
    let launch = workspace.orchestrate(&["-j2", "w"]).env("TEST_KEYS", KEYS);
    let finished = launch.finish().exits(77);
    finished.says(&["every credential was rejected"]);
    assert_eq!(workspace.started().len(), 2, "one a key");
    assert!(workspace.done().is_empty());
    // Nothing is held against the items.
    workspace.item("exit 0");
    let again = workspace
        .orchestrate(&["-j2", "w"])
        .env("TEST_KEYS", "a-third-made-up-key");
    again.finish().exits(0);
    assert_eq!(workspace.done(), ["a", "b", "c"]);
}

#[test]
fn when_no_key_comes_back_in_time_the_rest_is_left_for_later() {
    let body = "echo 'retry-after: 7200'; exit 75";
    let workspace = with_keys(&["a", "b", "c"], body);
    let launch = workspace.orchestrate(&["-j2", "w"]).env("TEST_KEYS", KEYS);
    let finished = launch.finish().exits(75);
    finished.says(&[
        "the first key comes back in 2h",
        "no credential comes back in time",
        "2 deferred, 1 not started",
    ]);
    assert_eq!(workspace.started().len(), 2);
}

#[test]
fn a_text_condemns_nobody_who_succeeded_and_no_key_without_a_pool() {
    let says = "echo 'HTTP 429 Too Many Requests: rate_limit_error'";
    let workspace = with_keys(&["a"], &format!("{says}; exit 0"));
    let launch = workspace.orchestrate(&["-j1", "w"]).env("TEST_KEYS", KEYS);
    launch.finish().exits(0);
    assert_eq!(workspace.started(), ["a"]);
    let workspace = Workspace::new(&["a"], &format!("{says}; exit 1"));
    workspace.orchestrate(&["-j1", "w"]).finish().exits(1);
    assert_eq!(workspace.items_that_are("failed"), ["a"]);
}

#[test]
fn without_a_pool_a_limited_item_waits_by_itself_and_a_drain_does_not_wait_for_it() {
    let workspace = Workspace::new(&["a", "b"], "[ $item = b ] || exit 75\nexit 0");
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    running.wait_for("a deferred after");
    running.wait_for("b done");
    running.signal(Signal::SIGINT);
    let finished = running.finish().exits(75);
    finished.says(&["rate limited; tried again in", "1 done, 1 deferred"]);
    assert_eq!(workspace.done(), ["b"]);
    assert_eq!(workspace.items_that_are("deferred"), ["a"]);
}

/// A workspace with two workflows that share one key: `w`, and `other` with the item `o`.
fn two_workflows(body: &str) -> Workspace {
    let workspace = with_keys(&["a"], body);
    let config = workspace.read("orchestrate.toml");
    let other = format!(
        "[workflow.other]\ncommand = [\"./item\", \"{{id}}\", \"{{attempt}}\"]\n\
         items = {{ list = \"others.txt\" }}\n{POOL}\n"
    );
    workspace.write("orchestrate.toml", &format!("{config}\n{other}"));
    workspace.write("others.txt", "o\n");
    workspace
}

/// Waits until this run, and no other, stands in the line for keys.
fn wait_for_a_ticket(workspace: &Workspace, running: &Running<'_>) {
    let queue = "../home/state/orchestrate/credentials/queue";
    let queue = workspace.root().join(queue);
    // Beside the lock of the line.
    while std::fs::read_dir(&queue).map_or(0, Iterator::count) < 2 {
        assert!(!running.has_ended());
        std::thread::yield_now();
    }
}

const ONE_KEY: &str = "first-made-up-key";

#[test]
fn two_runs_never_use_one_slot_of_a_key_at_once() {
    let workspace = two_workflows("meet up");
    let mut gates = workspace.gates(&["a", "o"]);
    let start = |words: &[&str]| {
        workspace
            .orchestrate(words)
            .env("TEST_KEYS", ONE_KEY)
            .start()
    };
    let first = start(&["-j1", "w"]);
    gates.expect("a up");
    let impatient = start(&["-j1", "other", "--credential-wait", "1s"]);
    impatient.finish().exits(75).says(&["1 deferred"]);
    let second = start(&["-j1", "other"]);
    gates.order("a", "exit 0");
    first.finish().exits(0);
    gates.expect("o up");
    gates.order("o", "exit 0");
    second.finish().exits(0);
    assert_eq!(workspace.started(), ["a", "o"]);
}

#[test]
fn when_another_run_keeps_the_key_all_items_give_up_after_one_wait() {
    let workspace = two_workflows("meet up");
    workspace.write("others.txt", "o\np\nq\n");
    let mut gates = workspace.gates(&["a", "o", "p", "q"]);
    let start = |words: &[&str]| {
        let launch = workspace.orchestrate(words);
        launch.env("TEST_KEYS", ONE_KEY).start()
    };
    let first = start(&["-j1", "w"]);
    gates.expect("a up");
    let impatient = start(&["-j1", "other", "--credential-wait", "1s"]);
    impatient.finish().exits(75).says(&[
        "o deferred",
        "no credential comes back in time: nothing runs, 2 stay queued",
        "1 deferred, 2 not started",
    ]);
    gates.order("a", "exit 0");
    first.finish().exits(0);
    // Nothing is lost.
    workspace.item("exit 0");
    start(&["-j1", "other"]).finish().exits(0);
    assert_eq!(workspace.done().len(), 4);
}

#[test]
fn a_run_that_waits_for_the_key_of_another_says_who_holds_it_once() {
    let workspace = two_workflows("meet up");
    let mut gates = workspace.gates(&["a", "o"]);
    let start = |words: &[&str]| {
        let launch = workspace.orchestrate(words);
        launch.env("TEST_KEYS", ONE_KEY).start()
    };
    let first = start(&["-j1", "w"]);
    gates.expect("a up");
    let second = start(&["-j1", "other"]);
    let said = "all keys are held by ";
    second.wait_for(said);
    gates.order("a", "exit 0");
    first.finish().exits(0);
    gates.expect("o up");
    gates.order("o", "exit 0");
    let stderr = second.finish().exits(0).stderr;
    let lines: Vec<&str> = stderr.lines().filter(|line| line.contains(said)).collect();
    let [line] = lines[..] else {
        panic!("once: {stderr}");
    };
    assert!(line.contains("item ("), "the item's process: {line}");
    assert!(line.ends_with(": 1 item waits"), "{line}");
}

#[test]
fn a_key_stays_leased_as_long_as_the_child_of_a_dead_run_lives() {
    let workspace = two_workflows("meet up");
    let mut gates = workspace.gates(&["a", "o"]);
    let start = |words: &[&str]| {
        workspace
            .orchestrate(words)
            .env("TEST_KEYS", ONE_KEY)
            .start()
    };
    let first = start(&["-j1", "w"]);
    gates.expect("a up");
    // Neither guard nor orchestrator gets to know of the other's death.
    first.signal(Signal::SIGSTOP);
    first.kill_orchestrator();
    first.signal(Signal::SIGKILL);
    let (finished, survivors) = first.finish_before_its_items();
    finished.dies_by(Signal::SIGKILL);
    let impatient = start(&["-j1", "other", "--credential-wait", "1s"]);
    impatient.finish().exits(75).says(&["1 deferred"]);
    survivors.kill();
    let second = start(&["-j1", "other"]);
    gates.expect("o up");
    gates.order("o", "exit 0");
    second.finish().exits(0);
}

#[test]
fn what_one_run_learns_of_a_key_the_next_one_knows() {
    let workspace = two_workflows("echo 'retry-after: 7200'; exit 75");
    let run = |words: &[&str]| {
        workspace
            .orchestrate(words)
            .env("TEST_KEYS", ONE_KEY)
            .finish()
    };
    run(&["-j1", "w"]).exits(75);
    run(&["-j1", "other"])
        .exits(75)
        .says(&["the first key comes back in ", "1 not started"]);
    assert_eq!(
        workspace.started(),
        ["a"],
        "nothing is tried with a spent key"
    );
    let keys = run(&["keys", "--workflow", "w"]).exits(0);
    assert!(keys.stdout.contains("rate limited"), "{}", keys.stdout);
    run(&["keys", "--workflow", "w", "reset", "key-1"]).exits(0);
    workspace.item("exit 0");
    run(&["-j1", "other"]).exits(0);
    assert_eq!(workspace.done(), ["o"]);
}

#[test]
fn a_key_that_one_run_finds_rejected_a_concurrent_one_does_not_use_either() {
    let workspace = two_workflows("meet up with $ORCHESTRATE_CREDENTIAL");
    workspace.write("others.txt", "o\np\nq\n");
    let mut gates = workspace.gates(&["a", "o", "p", "q"]);
    let start = |words: &[&str]| workspace.orchestrate(words).env("TEST_KEYS", KEYS).start();
    let other = start(&["-j2", "other"]);
    let first = gates.next();
    assert!(first.starts_with("o up with "), "{first}");
    let second = gates.next();
    let (_, rejected) = second.rsplit_once(' ').unwrap();
    let this = start(&["-j1", "w"]);
    wait_for_a_ticket(&workspace, &this);
    gates.order("p", "exit 77");
    other.wait_for("the key was rejected");
    gates.order("o", "exit 0");
    // Who comes first is another matter.
    for _ in 0..3 {
        let next = gates.next();
        assert!(!next.ends_with(rejected), "{next} is rejected: {second}");
        gates.order(next.split(' ').next().unwrap(), "exit 0");
    }
    this.finish().exits(0);
    other.finish().exits(0).says(&["3 done"]);
    let used = credentials(&workspace);
    assert_eq!(used.iter().filter(|key| *key == rejected).count(), 1);
}
