//! What an item says of its key in its status file, and `orchestrate tell`, with which a script says it.

use nix::sys::signal::Signal;

use crate::support::pool::{KEYS, POOL, credentials, with_keys};
use crate::support::workspace::Workspace;

const FILE: &str = "$ORCHESTRATE_STATUS_FILE";

#[test]
fn an_item_that_tells_a_limit_goes_on_with_another_key_however_it_ends() {
    let told = [
        "orchestrate tell rate-limited --retry-after 20",
        "orchestrate tell rate-limited --class day --retry-after 2h --scope key",
        "echo '{\"event\":\"rate_limited\",\"retry_after\":20}' >>\"$ORCHESTRATE_STATUS_FILE\"",
    ];
    for told in told {
        // Exit 91 would be the end of the item.
        for end in ["exit 1", "retract", "exit 91", "exit 77"] {
            let body =
                format!("[ $ORCHESTRATE_CREDENTIAL = key-2 ] || {{ {told}; {end}; }}\nexit 0");
            let workspace = with_keys(&["a", "b"], &body);
            workspace.configure(
                "",
                &format!("{POOL}\nexit-codes = {{ never-retry = [91] }}"),
            );
            let launch = workspace.orchestrate(&["-j2", "w"]).env("TEST_KEYS", KEYS);
            let finished = launch.finish().exits(0);
            finished.says(&["deferred after", "with key-1: ", "2 done"]);
            let mut used = credentials(&workspace);
            used.sort();
            assert_eq!(used, ["key-1", "key-2", "key-2"], "{told}; {end}");
            assert_eq!(workspace.done(), ["a", "b"]);
        }
    }
}

#[test]
fn what_is_told_of_a_limit_is_known_of_the_key() {
    let body = "orchestrate tell rate-limited --class billing --retry-after 2h; retract";
    let workspace = with_keys(&["a"], body);
    let launch = workspace
        .orchestrate(&["-j1", "w"])
        .env("TEST_KEYS", "only-made-up-key");
    let finished = launch.finish().exits(75);
    finished.says(&[
        "the account's money is used up",
        "the first key comes back in 2h",
    ]);
    assert!(workspace.done().is_empty());
    assert_eq!(workspace.items_that_are("deferred"), ["a"]);
}

#[test]
fn an_item_that_tells_that_its_key_is_not_valid_retires_it() {
    for end in ["exit 1", "retract"] {
        let body = format!(
            "[ $ORCHESTRATE_CREDENTIAL = key-2 ] || {{ orchestrate tell auth-failed; {end}; }}\nexit 0"
        );
        let workspace = with_keys(&["a", "b", "c"], &body);
        let launch = workspace.orchestrate(&["-j2", "w"]).env("TEST_KEYS", KEYS);
        let finished = launch.finish().exits(0);
        finished.says(&["the key was rejected; back in the queue", "3 done"]);
        let used = credentials(&workspace);
        assert_eq!(used.iter().filter(|key| *key == "key-1").count(), 1);
    }
}

#[test]
fn without_a_pool_an_item_that_was_turned_away_is_not_done() {
    let workspace = Workspace::new(&["a"], "orchestrate tell auth-failed; retract");
    workspace.orchestrate(&["-j1", "w"]).finish().exits(1);
    assert_eq!(workspace.items_that_are("failed"), ["a"]);
}

#[test]
fn an_item_that_tells_of_an_overloaded_provider_goes_back_to_the_queue() {
    for end in ["exit 1", "retract"] {
        let workspace = with_keys(&["a"], &format!("orchestrate tell overloaded; {end}"));
        let launch = workspace
            .orchestrate(&["-j1", "w"])
            .env("TEST_KEYS", "only-made-up-key");
        let running = launch.start();
        running.wait_for("the provider is overloaded; back in the queue");
        running.signal(Signal::SIGINT);
        running.finish().exits(75).says(&["1 deferred"]);
    }
}

#[test]
fn the_last_word_counts_and_ok_is_no_success_of_the_item() {
    let told =
        "orchestrate tell rate-limited; orchestrate tell ok; orchestrate tell progress 'all done'";
    for (end, exit, outcome) in [("exit 0", 0, "done"), ("exit 75", 1, "failed")] {
        let workspace = with_keys(&["a"], &format!("{told}; {end}"));
        let launch = workspace
            .orchestrate(&["-j1", "--retries", "0", "w"])
            .env("TEST_KEYS", KEYS);
        launch.finish().exits(exit);
        assert_eq!(workspace.items_that_are(outcome), ["a"]);
        assert_eq!(workspace.started(), ["a"]);
    }
}

#[test]
fn what_else_lies_in_place_of_a_status_file_changes_nothing() {
    let limited = r#"{"event":"rate_limited"}"#;
    for spoiled in [
        // 10 MB, without a newline and with many.
        &format!("head -c 10000000 /dev/zero >{FILE}"),
        &format!("yes '{limited}' | head -c 10000000 | tr -d '\\n' >{FILE}"),
        &format!("head -c 1000000 /dev/urandom >{FILE}"),
        &format!("printf '{{\"event\":\"rate_limi' >{FILE}"),
        &format!("echo '{limited}' >own; ln -sf \"$PWD/own\" {FILE}"),
        &format!("rm {FILE}; echo '{limited}' >{FILE}"),
        &format!("rm {FILE}; mkfifo {FILE}"),
        &format!("rm {FILE}; mkdir {FILE}"),
        &"rm -r \"${ORCHESTRATE_STATUS_FILE%/*}\"".to_owned(),
    ] {
        for (end, exit, outcome) in [("exit 0", 0, "done"), ("exit 1", 1, "failed")] {
            let workspace = with_keys(&["a"], &format!("{spoiled}; {end}"));
            let launch = workspace
                .orchestrate(&["-j1", "--retries", "0", "w"])
                .env("TEST_KEYS", KEYS);
            launch.finish().exits(exit);
            assert_eq!(workspace.items_that_are(outcome), ["a"], "{spoiled}");
            assert_eq!(workspace.started(), ["a"], "{spoiled}");
        }
    }
}

#[test]
fn what_is_told_on_stdout_or_stderr_is_not_heard() {
    for told in ["rate_limited", "auth_failed", "overloaded"] {
        let line = format!(r#"{{"event":"{told}","retry_after":20}}"#);
        for (end, exit, outcome) in [("exit 0", 0, "done"), ("exit 1", 1, "failed")] {
            let body = format!("echo '{line}'; echo '{line}' >&2; echo '::{told}::'; {end}");
            let workspace = with_keys(&["a"], &body);
            let launch = workspace.orchestrate(&["-j1", "--retries", "0", "w"]);
            launch.env("TEST_KEYS", KEYS).finish().exits(exit);
            assert_eq!(workspace.items_that_are(outcome), ["a"], "{line}");
            assert_eq!(workspace.started(), ["a"], "{line}");
        }
    }
}

#[test]
fn each_attempt_has_an_empty_file_of_its_own_that_only_its_user_can_read() {
    let body = format!(
        "wc -c <{FILE} >>../sizes; stat -c '%a %F' {FILE} >>../modes; echo {FILE} >>../paths\n\
         orchestrate tell progress \"attempt $attempt\"; [ $attempt -gt 1 ]"
    );
    let workspace = Workspace::new(&["a"], &body);
    let launch = workspace.orchestrate(&["-j1", "--retries", "1", "w"]);
    // An outer run is not ours to tell.
    let launch = launch.env("ORCHESTRATE_STATUS_FILE", "outer");
    launch.finish().exits(0);
    assert_eq!(workspace.read("../sizes"), "0\n0\n");
    let mode = "600 regular empty file\n";
    assert_eq!(workspace.read("../modes"), mode.repeat(2));
    let paths = workspace.read("../paths");
    let status = workspace
        .root()
        .join(".orchestrate/runs/latest")
        .canonicalize()
        .unwrap();
    for (path, attempt) in paths.lines().zip(1..) {
        let number = format!("status/{attempt}.jsonl");
        assert_eq!(std::path::Path::new(path), status.join(number));
        let name = format!(".orchestrate/runs/latest/status/a.{attempt}.jsonl");
        let told = workspace.read(&name);
        let line = format!("{{\"event\":\"progress\",\"text\":\"attempt {attempt}\"}}\n");
        assert_eq!(told, line);
    }
}

#[test]
fn an_item_whose_status_file_cannot_be_made_runs_without_one() {
    let body = "[ $item = a ] || { echo \"${ORCHESTRATE_STATUS_FILE-none}\" >../second; exit 0; }\n\
                rm -r \"${ORCHESTRATE_STATUS_FILE%/*}\"";
    let workspace = Workspace::new(&["a", "b"], body);
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    assert_eq!(workspace.read("../second"), "none\n");
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn outside_of_an_item_there_is_nobody_to_tell() {
    let workspace = Workspace::new(&["a"], "orchestrate tell ok");
    for path in [None, Some("")] {
        let launch = workspace.orchestrate(&["tell", "ok"]);
        let launch = match path {
            Some(path) => launch.env("ORCHESTRATE_STATUS_FILE", path),
            None => launch,
        };
        let refused = launch.finish().exits(2);
        refused.says(&["ORCHESTRATE_STATUS_FILE is not set", "--parallel"]);
    }
    let sequential = workspace.orchestrate(&["w"]).finish().exits(1);
    sequential.says(&["ORCHESTRATE_STATUS_FILE is not set"]);
}

#[test]
fn tell_writes_to_a_regular_file_that_is_there_and_to_nothing_else() {
    let workspace = Workspace::bare();
    workspace.write("target", "as it was\n");
    let prepared = workspace.shell("ln -s target link; mkfifo fifo; mkdir directory");
    prepared.finish().exits(0);
    for name in ["link", "fifo", "directory", "nothing"] {
        let launch = workspace.orchestrate(&["tell", "ok"]);
        let launch = launch.env("ORCHESTRATE_STATUS_FILE", name);
        let refused = launch.finish().exits(74);
        refused.says(&["cannot write the status file", name, "75 rate limited"]);
    }
    assert_eq!(workspace.read("target"), "as it was\n");
    assert!(!workspace.has("nothing"));
}

#[test]
fn tell_needs_no_configuration_and_says_what_it_does_not_understand() {
    let workspace = Workspace::bare();
    workspace.write("orchestrate.toml", "this is no TOML");
    workspace.write("status", "");
    let tell = |words: &[&str]| {
        let launch = workspace.orchestrate(words);
        let launch = launch.env("ORCHESTRATE_PARALLEL", "many");
        launch.env("ORCHESTRATE_STATUS_FILE", "status").finish()
    };
    tell(&["tell", "rate-limited", "--retry-after", "1.5"]).exits(0);
    tell(&["tell", "overloaded", "--retry-after", "6m"]).exits(0);
    tell(&["tell", "progress", "two\nlines"]).exits(0);
    let told = r#"{"event":"rate_limited","class":"minute","scope":"group","retry_after":1.5}
{"event":"overloaded","retry_after":360}
{"event":"progress","text":"two\nlines"}
"#;
    assert_eq!(workspace.read("status"), told);
    for (words, complaint) in [
        (&["tell", "rate-limited", "--retry-after", "soon"][..], "20"),
        (&["tell", "rate-limited", "--class", "week"], "billing"),
        (&["tell", "rate-limited", "--scope", "world"], "group"),
        (&["tell", "rate-limit"], "rate-limited"),
        (&["tell", "progress"], "TEXT"),
        (&["tell"], "auth-failed"),
        (&["--dry-run", "tell", "ok"], "no dry run"),
    ] {
        tell(words).exits(2).says(&[complaint]);
    }
    assert_eq!(workspace.read("status"), told);
}
