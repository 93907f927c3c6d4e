//! Nights without a person: silence when all is well, and numbers for who watches.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;

use crate::support::exposition;
use crate::support::workspace::Workspace;

/// What a crontab entry gets, less what makes it a particular person's.
const CRON: &[(&str, &str)] = &[("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh")];

const METRICS: &str = "metrics.prom";

fn metrics(workspace: &Workspace) -> BTreeMap<String, String> {
    exposition::parse(&workspace.read(METRICS))
}

fn value(workspace: &Workspace, series: &str) -> String {
    let all = metrics(workspace);
    let value = all.get(series);
    value
        .unwrap_or_else(|| panic!("{series} is not in {all:#?}"))
        .clone()
}

fn state(workspace: &Workspace, state: &str) -> String {
    let series = format!("orchestrate_run_items{{workflow=\"w\",state=\"{state}\"}}");
    value(workspace, &series)
}

fn status(workspace: &Workspace) -> String {
    value(workspace, "orchestrate_run_exit_status{workflow=\"w\"}")
}

#[test]
fn a_quiet_run_that_goes_well_says_nothing_at_all_even_where_it_would_warn() {
    let body = "echo out; echo err >&2; sleep 100000 & test $item != b || test $attempt = 2";
    let workspace = Workspace::new(&["a", "b"], body);
    // Lowered, a process left behind, and an attempt that failed: three reasons to say something.
    workspace.configure("max-parallel = 1\nretries = 1", "");
    let arguments = ["--parallel", "2", "--quiet", "w"];
    let launch = workspace.orchestrate(&arguments).bare_env(CRON);
    let finished = launch.finish().exits(0);
    assert_eq!(finished.stdout + &finished.stderr, "");
    let again = workspace
        .orchestrate(&arguments)
        .bare_env(CRON)
        .finish()
        .exits(0);
    assert_eq!(again.stdout + &again.stderr, "");
    let sequential = workspace
        .orchestrate(&["-q", "w"])
        .bare_env(CRON)
        .finish()
        .exits(0);
    assert_eq!(sequential.stdout + &sequential.stderr, "");
}

#[test]
fn a_quiet_run_in_which_something_fails_says_that_and_what_it_had_held_back() {
    let body = "echo why; test $item != b";
    let workspace = Workspace::new(&["a", "b"], body);
    workspace.configure("max-parallel = 1", "");
    let arguments = ["--parallel", "2", "--quiet", "w"];
    let launch = workspace.orchestrate(&arguments).bare_env(CRON);
    let finished = launch.finish().exits(1);
    assert_eq!(finished.stdout, "");
    // Without a terminal there is nothing to control.
    assert!(
        !finished.stderr.contains(['\x1b', '\r']),
        "{:?}",
        finished.stderr
    );
    assert!(!finished.stderr.contains("a done"), "{}", finished.stderr);
    finished.says(&["b failed", "why", "lowered to 1", "1 done, 1 failed"]);

    workspace.write("orchestrate.toml", "rubbish = 1");
    let wrong = workspace
        .orchestrate(&arguments)
        .bare_env(CRON)
        .finish()
        .exits(2);
    wrong.says(&["rubbish"]);
}

#[test]
fn metrics_tell_how_a_run_went_and_everybody_may_read_them() {
    let workspace = Workspace::new(&["a", "b", "c"], "test $item != b");
    workspace.configure(
        "metrics = \"metrics.prom\"",
        "[credentials]\npool = { env = \"POOL\" }\ninject = \"KEY\"",
    );
    let run = || {
        workspace
            .orchestrate(&["-j2", "w"])
            .env("POOL", "k3y-of-one k3y-of-two")
    };
    run().finish().exits(1);
    assert_eq!(
        [state(&workspace, "done"), state(&workspace, "failed")],
        ["2", "1"]
    );
    assert_eq!(
        [status(&workspace), state(&workspace, "not-started")],
        ["1", "0"]
    );
    let all = metrics(&workspace);
    assert_eq!(all["orchestrate_run_success{workflow=\"w\"}"], "0");
    let number = |series: &str| all[series].parse::<f64>().unwrap();
    let used = all
        .iter()
        .filter(|(series, _)| series.starts_with("orchestrate_run_credential_items{"));
    let used: Vec<u32> = used.map(|(_, value)| value.parse().unwrap()).collect();
    assert_eq!((used.len(), used.iter().sum::<u32>()), (2, 3));
    let started = number("orchestrate_run_start_time_seconds{workflow=\"w\"}");
    let ended = number("orchestrate_run_end_time_seconds{workflow=\"w\"}");
    assert!(1.7e9 < started && started <= ended, "{started} {ended}");
    assert!(!workspace.read(METRICS).contains("k3y"));
    let mode = std::fs::metadata(workspace.root().join(METRICS))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o644);

    workspace.item("exit 0");
    run().finish().exits(0);
    assert_eq!([status(&workspace), state(&workspace, "done")], ["0", "1"]);
    run().finish().exits(0).says(&["Nothing to process"]);
    assert_eq!([status(&workspace), state(&workspace, "done")], ["0", "0"]);
    assert_eq!(
        value(&workspace, "orchestrate_run_success{workflow=\"w\"}"),
        "1"
    );
    // Nothing lies beside it, and a dry run writes nothing.
    let before = workspace.read(METRICS);
    workspace
        .orchestrate(&["-n", "w", "--rerun", "all"])
        .finish()
        .exits(0);
    assert_eq!(workspace.read(METRICS), before);
    let names = std::fs::read_dir(workspace.root()).unwrap();
    let names: BTreeSet<_> = names
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.iter().any(|name| name.contains("tmp")), "{names:?}");
}

#[test]
fn metrics_are_written_when_a_run_ends_badly() {
    let workspace = Workspace::new(&["a", "b"], "meet up");
    workspace.configure("metrics = \"metrics.prom\"", "");
    let mut gates = workspace.gates(&["a", "b"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    assert!(!workspace.has(METRICS));
    // Who is turned away leaves the file to the run that holds the workflow.
    workspace.orchestrate(&["-j1", "w"]).finish().exits(75);
    workspace
        .orchestrate(&["-j1", "w", "--if-locked", "skip"])
        .finish()
        .exits(0);
    assert!(!workspace.has(METRICS));
    running.signal(Signal::SIGTERM);
    running.finish().dies_by(Signal::SIGTERM);
    assert_eq!(status(&workspace), "143");
    assert_eq!(
        [
            state(&workspace, "interrupted"),
            state(&workspace, "not-started")
        ],
        ["1", "1"]
    );

    workspace.configure(
        "metrics = \"metrics.prom\"",
        "items = { command = [\"false\"] }",
    );
    let failed = workspace.orchestrate(&["-j1", "w"]).finish();
    failed.exits(69);
    assert_eq!(
        [status(&workspace), state(&workspace, "interrupted")],
        ["69", "0"]
    );
    workspace.configure("metrics = \"metrics.prom\"", "");
    let journal = workspace.read(".orchestrate/w/journal.jsonl");
    workspace.write(".orchestrate/w/journal.jsonl", "rubbish\n");
    let running = workspace.orchestrate(&["w"]).start();
    running.wait_for("journal.jsonl");
    // The oracle reads the journal too.
    workspace.write(".orchestrate/w/journal.jsonl", &journal);
    running.finish().exits(65);
    assert_eq!(status(&workspace), "65");
}

#[test]
fn metrics_that_cannot_be_written_are_told_before_the_night() {
    let workspace = Workspace::new(&["a"], "rmdir ../gone 2>/dev/null; exit 0");
    workspace.write("directory/x", "");
    for (path, words) in [
        ("nowhere/metrics.prom", "its directory does not exist"),
        ("directory", "this is a directory"),
        ("..", "this is no name of a file"),
    ] {
        let arguments = ["w", "--metrics", path];
        workspace
            .orchestrate(&arguments)
            .finish()
            .exits(2)
            .says(&["--metrics", words]);
    }
    assert_eq!(workspace.started(), [""; 0]);
    // When it goes away meanwhile, the run went well all the same; that is said even where silence was asked for.
    std::fs::create_dir(workspace.root().join("../gone")).unwrap();
    let arguments = ["-q", "-j1", "w", "--metrics", "../gone/metrics.prom"];
    let finished = workspace.orchestrate(&arguments).finish().exits(0);
    finished.says(&["warning: --metrics", "cannot be written"]);
    // A path that is typed begins where the person stands.
    let below = workspace.root().join("directory");
    let launch = workspace.orchestrate(&["w", "--metrics", "m.prom"]);
    launch.directory(&below).finish().exits(0);
    assert!(workspace.has("directory/m.prom"));
}
