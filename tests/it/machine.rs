//! What machines read: the stream of `--format json`, and the schemas. Every stream of every test is held to its schema when
//! its process has ended.

use jsonschema::draft202012;
use orchestrate::report::schema;
use serde_json::Value;

use crate::support::pool::{KEYS, POOL, with_keys};
use crate::support::running::Finished;
use crate::support::schema::{check_run, check_stdout, check_told};
use crate::support::workspace::Workspace;

fn objects(finished: &Finished) -> Vec<Value> {
    let objects = check_stdout(&finished.stdout);
    assert!(!objects.is_empty(), "{}", finished.stdout);
    objects
}

fn types(objects: &[Value]) -> Vec<&str> {
    let kinds = objects.iter().map(|object| object["type"].as_str());
    kinds.map(Option::unwrap).collect()
}

#[test]
fn the_schema_is_printed_and_is_one() {
    let workspace = Workspace::bare();
    for (arguments, expected) in [
        (&["schema"][..], schema::stdout()),
        (&["schema", "stdout"], schema::stdout()),
        (&["schema", "events"], schema::event_file()),
        (&["schema", "run"], schema::run_file()),
        (&["schema", "tell"], schema::status_file()),
    ] {
        let finished = workspace.orchestrate(arguments).finish().exits(0);
        let printed: Value = serde_json::from_str(&finished.stdout).unwrap();
        assert_eq!(printed, expected);
        draft202012::meta::validate(&printed).unwrap();
    }
    let wrong = workspace.orchestrate(&["schema", "moon"]).finish();
    wrong.exits(2).says(&schema::NAMES);
}

#[test]
fn a_run_is_told_as_it_happens_and_ends_with_its_summary() {
    let workspace = Workspace::new(&["a"], "test \"$attempt\" = 2");
    workspace.configure("max-parallel = 1", "");
    let arguments = ["-j2", "--retries", "1", "--format", "json", "w"];
    let finished = workspace.orchestrate(&arguments).finish().exits(0);
    let objects = objects(&finished);
    assert!(objects.iter().all(|object| object["version"] == 1));
    assert_eq!(
        types(&objects),
        [
            "warning",
            "run-started",
            "attempt-started",
            "attempt-ended",
            "retrying",
            "attempt-started",
            "attempt-ended",
            "item",
            "run-ended",
            "summary",
        ]
    );
    assert!(
        objects[0]["message"]
            .as_str()
            .unwrap()
            .contains("lowered to 1")
    );
    let log = objects[2]["log"].as_str().unwrap();
    assert_eq!(workspace.read(log), "");
    assert_eq!(
        log,
        objects[7]["log"]
            .as_str()
            .unwrap()
            .replace(".2.log", ".1.log")
    );
    // `events.jsonl` says the same in the same words.
    let run = objects[1]["run"].as_str().unwrap();
    let file = workspace.read(&format!(".orchestrate/runs/{run}/events.jsonl"));
    let lines = file
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told: Vec<String> = lines
        .map(|line| line["event"].as_str().unwrap().to_owned())
        .collect();
    let streamed = types(&objects);
    let events = streamed
        .iter()
        .filter(|it| !["warning", "item", "summary"].contains(it));
    assert!(events.eq(told.iter()), "{told:?}");
}

#[test]
fn an_event_is_written_while_the_run_goes_on() {
    let workspace = Workspace::new(&["a"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace
        .orchestrate(&["-j1", "--format", "json", "w"])
        .start();
    gates.expect("a up");
    running.wait_for_output("{\"type\":\"attempt-started\"");
    gates.order("a", "exit 0");
    running.finish().exits(0);
}

#[test]
fn keys_that_are_limited_and_a_drain_are_told() {
    let body = r#"orchestrate tell progress "page 1 of 2"
[ "$item$attempt" != a1 ] || exit 75
exit 0"#;
    let workspace = with_keys(&["a", "b"], body);
    let launch = workspace.orchestrate(&["-j2", "--format", "json", "w"]);
    let finished = launch
        .env("TEST_KEYS", "a-made-up-key, b-made-up-key, c-made-up-key")
        .finish();
    let told = objects(&finished.exits(0));
    let types = types(&told);
    for kind in ["credential-changed", "progressed"] {
        assert!(types.contains(&kind), "{types:?}");
    }
    let workspace = Workspace::new(&["a", "b"], "exit 1");
    let arguments = ["-j1", "--fail-fast", "--format", "json", "w"];
    let told = objects(&workspace.orchestrate(&arguments).finish().exits(1));
    let raised = told.iter().find(|it| it["type"] == "stage-raised").unwrap();
    assert_eq!(
        (&raised["stage"], &raised["queued"]),
        (&"draining".into(), &1.into())
    );
    let causes = &told.last().unwrap()["causes"];
    assert_eq!(
        (&causes[0]["cause"], &causes[0]["ids"][0]),
        (&"exit 1".into(), &"a".into())
    );
}

#[test]
fn what_stops_us_is_an_object_too() {
    let workspace = Workspace::new(&["a"], "exit 0");
    for (arguments, status, words) in [
        (&["--format", "json", "-j1", "v"][..], 2, "no workflow `v`"),
        (&["--format=json", "--paralel", "4", "w"], 2, "--paralel"),
        (
            &["-j1", "w", "--format", "json", "--grace", "8"],
            2,
            "needs a unit",
        ),
        (
            &["-j1", "w", "--format", "json", "zzz"],
            2,
            "no item matches",
        ),
        (&["--format", "json", "status", "zzz"], 2, "no run"),
        (&["--format", "json", "w"], 2, "--parallel"),
    ] {
        let finished = workspace.orchestrate(arguments).finish().exits(status);
        let objects = objects(&finished);
        assert_eq!(types(&objects), ["error"], "{arguments:?}");
        let message = objects[0]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
        assert_eq!(objects[0]["exit_status"], status);
        // A person reads it as well.
        finished.says(&[words]);
    }
    let launch = workspace.orchestrate(&["-j1", "v"]);
    let finished = launch.env("ORCHESTRATE_FORMAT", "json").finish().exits(2);
    assert_eq!(types(&objects(&finished)), ["error"]);
    let plain = workspace.orchestrate(&["-j1", "v"]).finish().exits(2);
    assert_eq!(plain.stdout, "");
}

#[test]
fn runs_in_which_nothing_happens_keep_to_the_schema() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let words = ["-j1", "--format", "json", "w"];
    workspace.orchestrate(&words).finish().exits(0);
    let nothing = workspace.orchestrate(&words).finish().exits(0);
    assert_eq!(types(&objects(&nothing)), ["summary"]);
    let dry = ["-n", "--format", "json", "w"];
    let dry = workspace.orchestrate(&dry).finish().exits(0);
    assert_eq!(types(&objects(&dry)), ["item", "summary"]);
}

#[test]
fn what_a_run_writes_down_and_an_item_tells_keep_to_their_schemas() {
    let body = r#"set -e
orchestrate tell progress "page 1"
orchestrate tell rate-limited
orchestrate tell rate-limited --retry-after 1.5 --class day --scope key
orchestrate tell overloaded --retry-after 2
orchestrate tell auth-failed
orchestrate tell ok"#;
    let workspace = Workspace::new(&["a"], body);
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    let told = check_told(&workspace.read(".orchestrate/runs/latest/status/a.1.jsonl"));
    assert_eq!(told.len(), 6);
    // A run that has ended was held to its schema there; this one is written down while it goes on.
    let workspace = Workspace::new(&["a"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    check_run(&workspace.read(".orchestrate/runs/latest/run.json"));
    let asked = ["status", "--format", "json"];
    let status = workspace.orchestrate(&asked).finish().exits(0);
    assert_eq!(objects(&status)[0]["state"], "running");
    gates.order("a", "exit 0");
    running.finish().exits(0);
}

#[test]
fn what_other_commands_print_keeps_to_the_schema() {
    let workspace = with_keys(&["a", "b"], "test $item = a");
    let told = |arguments: &[&str]| {
        let words = [&["--format", "json"], arguments].concat();
        let launch = workspace.orchestrate(&words).env("TEST_KEYS", KEYS);
        let objects = check_stdout(&launch.finish().stdout);
        let kinds = objects
            .iter()
            .map(|it| it["type"].as_str().unwrap().to_owned());
        kinds.collect::<Vec<String>>()
    };
    told(&["-j2", "w"]);
    workspace.write(
        "output",
        "HTTP/1.1 429 Too Many Requests\nRetry-After: 20\n",
    );
    for (arguments, kinds) in [
        (&["status"][..], &["status"][..]),
        (&["keys", "--workflow", "w"], &["key", "key"]),
        (&["keys", "--workflow", "w", "disable", "key-1"], &["key"]),
        (&["logs", "a"], &["log"]),
        (&["report"], &["report"]),
        (&["classify", "output"], &["classification"]),
        (&["classify", "--exit", "75", "output"], &["classification"]),
        (&["journal", "verify"], &["journal"]),
        (&["journal", "repair", "w"], &["journal"]),
    ] {
        assert_eq!(told(arguments), kinds, "{arguments:?}");
    }
    let found = told(&["check", "w"]);
    assert!(
        found.len() > 3 && found.iter().all(|it| it == "check"),
        "{found:?}"
    );

    let journal = ".orchestrate/w/journal.jsonl";
    let whole = workspace.read(journal);
    workspace.write(
        journal,
        &whole.replacen("\"outcome\":\"done\"", "\"outcome\":\"dome\"", 1),
    );
    assert_eq!(told(&["journal", "verify"]), ["journal", "error"]);
    assert_eq!(told(&["-n", "journal", "repair", "w"]), ["journal"]);
    assert_eq!(told(&["journal", "repair", "w"]), ["journal"]);
    // It was whole before.
    workspace.write(journal, &whole);
}

#[test]
fn a_key_in_a_title_a_tail_and_an_error_is_in_nothing_that_a_machine_reads() {
    let key = "a-made-up-key-that-nobody-shall-see";
    let workspace = Workspace::bare();
    let line = |id: &str, title: &str| format!("{{\"id\":\"{id}\",\"title\":\"{title}\"}}\n");
    let items = line("a", &format!("about {key}")) + &line("b", &format!("--{key}"));
    workspace.write("items.txt", &items);
    let command = r#"command = ["./item", "{id}", "{attempt}", "{title}"]"#;
    workspace.configure("", &format!("{POOL}\n{command}"));
    workspace
        .item("echo \"Error: $TEST_KEY is bad\"; orchestrate tell progress \"$TEST_KEY\"; exit 1");
    for format in ["json", "text"] {
        let arguments = ["-j1", "w", "--format", format, "--junit", "x.xml"];
        let launch = workspace.orchestrate(&arguments).env("TEST_KEYS", key);
        let launch = launch.env("GITHUB_ACTIONS", "true");
        let finished = launch
            .env("GITHUB_STEP_SUMMARY", "step.md")
            .finish()
            .exits(1);
        for text in [
            &finished.stdout,
            &finished.stderr,
            &workspace.read("x.xml"),
            &workspace.read("step.md"),
        ] {
            assert!(!text.contains(key), "{text}");
            assert!(text.contains("REDACTED"), "{text}");
        }
    }
}
