//! What is refused before anything starts.

use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use orchestrate::cli::Cli;

use crate::support::skip::is_root;
use crate::support::workspace::Workspace;

/// Nothing has been started and no state has been made.
#[track_caller]
fn untouched(workspace: &Workspace) {
    assert_eq!(workspace.started(), [""; 0]);
    assert!(!workspace.has(".orchestrate"));
}

/// Expects exit 2 and these words for each line of arguments.
#[track_caller]
fn refused(workspace: &Workspace, arguments: &[&str], words: &[&str]) {
    let finished = workspace.orchestrate(arguments).finish();
    let finished = finished.exits(2).says(words);
    assert_eq!(finished.stdout, "", "{arguments:?}");
    untouched(workspace);
}

#[test]
fn parallel_without_a_number_is_a_usage_error() {
    let workspace = Workspace::new(&["a"], "exit 0");
    for arguments in [
        &["w", "--parallel"][..],
        &["--parallel", "w"],
        &["--parallel", "requirements"],
        &["--parallel=", "w"],
        &["--parallel", "-1", "w"],
        &["--parallel", "1.5", "w"],
        &["-j", "w"],
        &["w", "-j"],
    ] {
        refused(&workspace, arguments, &["error: "]);
    }
    refused(
        &workspace,
        &["--parallel", "requirements"],
        &["'requirements'", "--parallel <N>"],
    );
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    let workspace = Workspace::new(&["issue-42", "issue-43"], "exit 0");
    for (arguments, words) in [
        (&["v"][..], &["there is no workflow `v`"][..]),
        (
            &["requirement"],
            &["there is no workflow `requirement`", "`requirements`"],
        ),
        (&["--paralel", "4", "w"], &["--paralel", "--parallel"]),
        (&["w", "--rerun", "al"], &["all"]),
        (&["w", "--format", "xml"], &["--format", "text"]),
        (&["w", "--grace", "8"], &["needs a unit", "`8s`"]),
        (&[], &["Usage: orchestrate", "Commands:"]),
    ] {
        refused(&workspace, arguments, words);
    }
}

#[test]
fn an_item_that_does_not_exist_is_named_with_the_nearest_one() {
    let workspace = Workspace::new(&["issue-42", "issue-43"], "exit 0");
    for (item, words) in [
        ("isue-42", &["no item matches isue-42", "issue-42"][..]),
        ("99", &["no item matches 99"]),
        ("100-120", &["no item matches 100-120"]),
        ("9-3", &["runs backwards", "3-9"]),
        ("../x", &["is no item"]),
    ] {
        let finished = workspace.orchestrate(&["w", item]).finish();
        finished.exits(2).says(words);
        assert_eq!(workspace.started(), [""; 0]);
    }
}

#[test]
fn a_mistake_in_the_file_is_named_with_its_line_and_a_remedy() {
    let workspace = Workspace::new(&["a"], "exit 0");
    for (top, table, words) in [
        (
            "paralel = 4",
            "",
            &["orchestrate.toml:1: ", "`paralel`", "`parallel`"][..],
        ),
        (
            "",
            "comand = [\"x\"]",
            &["toml:5: ", "`comand`", "`command`"],
        ),
        ("", "grace = 8", &["toml:5: ", "needs a unit"]),
        ("parallel = \"many\"", "", &["toml:1: ", "`parallel`"]),
        (
            "",
            "items = { fils = \"x\" }",
            &["toml:4: ", "`fils`", "`files`"],
        ),
        (
            "",
            "command = [\"./item\", \"{tilte}\"]",
            &["{tilte}", "{title}"],
        ),
        (
            "",
            "command = [\"./item\", \"{id\"]",
            &["a { without a }", "{{"],
        ),
        (
            "",
            "command = [\"./item\", \"{credential}\"]",
            &["{credential}", "never go on a command line", "inject"],
        ),
        (
            "",
            "command = [\"./item\", \"--key={key}\"]",
            &["{key}", "never go on a command line", "inject"],
        ),
        (
            "",
            "command = [\"{id}\"]",
            &["the program `{id}`", "has a placeholder"],
        ),
        (
            "",
            "env = { A = \"a\\u0000\" }",
            &["toml:5: ", "`workflow.w.env.A` has a NUL", "leave"],
        ),
        ("parallel = ", "", &["toml:1: "]),
    ] {
        workspace.configure(top, table);
        refused(&workspace, &["w"], words);
        refused(&workspace, &["--parallel", "4", "w"], words);
        refused(&workspace, &["--dry-run", "w"], words);
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_refused_and_not_passed_over() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let config = workspace.root().join("orchestrate.toml");
    std::fs::remove_file(&config).unwrap();
    symlink("gone/orchestrate.toml", &config).unwrap();
    let run = ["-j1", "run", "--items-from", "items.txt", "--", "true"];
    refused(
        &workspace,
        &run,
        &["orchestrate.toml: the link leads nowhere"],
    );
    std::fs::remove_file(&config).unwrap();
    symlink("orchestrate.toml", &config).unwrap();
    refused(&workspace, &run, &["orchestrate.toml: ", "symbolic links"]);
    std::fs::remove_file(&config).unwrap();
    // Nobody writes to it.
    mkfifo(&config, Mode::S_IRWXU).unwrap();
    refused(&workspace, &run, &["a configuration is an ordinary file"]);
}

#[test]
fn a_bad_value_in_the_environment_names_its_variable() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let launch = workspace.orchestrate(&["w"]);
    let finished = launch.env("ORCHESTRATE_PARALLEL", "many").finish();
    finished.exits(2).says(&["ORCHESTRATE_PARALLEL", "many"]);
    untouched(&workspace);
}

#[test]
fn a_command_that_cannot_be_run_is_refused_before_anything_starts() {
    let workspace = Workspace::new(&["a"], "exit 0");
    workspace.write("plain", "#!/bin/sh\n");
    workspace.write("directory/file", "");
    for (command, words) in [
        (
            "no-such-program",
            &["`no-such-program`", "not found in PATH"][..],
        ),
        ("./missing", &["`./missing`", "does not exist"]),
        ("./plain", &["`./plain`", "not executable", "chmod +x"]),
        ("./directory", &["`./directory`", "is a directory"]),
    ] {
        workspace.configure("", &format!("command = [\"{command}\", \"{{id}}\"]"));
        refused(&workspace, &["w"], words);
        refused(&workspace, &["--parallel", "4", "w"], words);
    }
}

#[test]
fn a_pool_without_a_usable_key_is_refused() {
    let workspace = Workspace::new(&["a"], "exit 0");
    workspace.write("open-keys", "one = first-key-of-the-pool\n");
    workspace.set_mode("open-keys", 0o644);
    for (file, text) in [
        ("no-keys", "# nothing\n"),
        ("quoted", "one = \"first-key-of-the-pool\"\n"),
        (
            "swapped",
            "sk-ant-api03-not-a-key-at-all-0123456789 = personal-account\n",
        ),
        ("both", "x-first-key-of-the-pool = first-key-of-the-pool\n"),
        (
            "group",
            "one;group=my-first-key-of-the-pool = first-key-of-the-pool\n",
        ),
        (
            "twice",
            "work = first-key-of-the-pool\n\nwork = second-key-of-the-pool\n",
        ),
        (
            "case",
            "Work = first-key-of-the-pool\nwork = second-key-of-the-pool\n",
        ),
        ("bytes", ""),
    ] {
        workspace.write(file, text);
        workspace.set_mode(file, 0o600);
    }
    let bytes = b"# keys\none = first-key-of-the-\xffpool\n";
    std::fs::write(workspace.root().join("bytes"), bytes).expect("a key file");
    for (pool, words) in [
        ("{ env = \"NO_KEYS\" }", &["pool is empty", "NO_KEYS"][..]),
        ("{ file = \"no-keys\" }", &["pool is empty", "no-keys"]),
        ("{ command = [\"true\"] }", &["pool is empty", "true"]),
        ("{ file = \"missing\" }", &["key file", "missing"]),
        (
            "{ file = \"quoted\" }",
            &["quoted, line 1", "without quotation marks"],
        ),
        (
            "{ file = \"swapped\" }",
            &["swapped, line 1: ", "looks like a key", "`label = key`"],
        ),
        ("{ file = \"both\" }", &["both, line 1: ", "holds a key"]),
        ("{ file = \"group\" }", &["group, line 1: ", "holds a key"]),
        (
            "{ file = \"twice\" }",
            &[
                "twice, line 3: the label `work`",
                "twice, line 1)",
                "another label",
            ],
        ),
        (
            "{ file = \"case\" }",
            &[
                "case, line 2: the label `work` differs only in case from `Work`",
                "another label",
            ],
        ),
        (
            "{ file = \"bytes\" }",
            &["bytes, line 2: not UTF-8", "as UTF-8"],
        ),
        ("{ command = [\"false\"] }", &["false", "failed"]),
        (
            "{ file = \"open-keys\" }",
            &["can be read by others", "644", "chmod 600"],
        ),
    ] {
        workspace.configure(
            "",
            &format!("[credentials]\npool = {pool}\ninject = \"API_KEY\""),
        );
        refused(&workspace, &["--parallel", "4", "w"], words);
    }
}

#[test]
fn a_key_takes_the_place_of_nothing_that_a_child_needs() {
    let workspace = Workspace::new(&["a"], "exit 0");
    for name in ["PATH", "LD_PRELOAD", "ORCHESTRATE_STATUS_FILE"] {
        let table = format!("pool = {{ env = \"KEYS\" }}\ninject = [\"KEY\", \"{name}\"]");
        workspace.configure("", &format!("[credentials]\n{table}"));
        refused(&workspace, &["-j1", "w"], &[name, "means something else"]);
    }
}

#[test]
fn a_key_file_is_for_its_owner_alone_whatever_leads_to_it() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let line = "one = first-key-of-the-pool\n";
    workspace.write("keys", line);
    workspace.write("below/open-keys", line);
    workspace.set_mode("below/open-keys", 0o644);
    symlink("below/open-keys", workspace.root().join("link")).expect("a link");
    let refuse = |file: &str, words: &[&str]| {
        let table = format!("pool = {{ file = \"{file}\" }}\ninject = \"API_KEY\"");
        workspace.configure("", &format!("[credentials]\n{table}"));
        refused(&workspace, &["--parallel", "4", "w"], words);
    };
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o444] {
        workspace.set_mode("keys", mode);
        let shown = format!("(mode {mode:03o})");
        refuse("keys", &["can be read by others", &shown, "chmod 600"]);
    }
    refuse("link", &["can be read by others", "(mode 644)"]);
    refuse("below", &["is no ordinary file"]);
    if is_root("a key file of another user") {
        workspace.set_mode("keys", 0o600);
        let owner = Some(65534);
        chown(workspace.root().join("keys"), owner, None).expect("root may");
        refuse("keys", &["belongs to another user (uid 65534)"]);
    }
}

#[test]
fn a_key_command_that_hangs_is_given_up_and_nothing_that_it_has_said_is_shown() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let script = "#!/bin/sh\necho half-of-a-key; echo half-of-a-key >&2; exec sleep 100000\n";
    workspace.script("keys", script);
    let table = "pool = { command = [\"./keys\"] }\ninject = \"API_KEY\"";
    workspace.configure("", &format!("[credentials]\n{table}"));
    // It ends with it, so this returns, after the 30 seconds that it gets.
    let finished = workspace.orchestrate(&["-j1", "w"]).finish().exits(2);
    let finished = finished.says(&["./keys` did not end within 30 seconds", "run it by hand"]);
    for shown in [finished.stdout, finished.stderr] {
        assert!(!shown.contains("half"), "{shown}");
    }
    untouched(&workspace);
}

#[test]
fn json_without_parallel_is_for_the_dry_run_only() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let asked = workspace.orchestrate(&["--format", "json", "w"]);
    asked.finish().exits(2).says(&["--parallel 1"]);
    untouched(&workspace);
    let workspace = Workspace::new(&["a"], "exit 0");
    workspace
        .orchestrate(&["--format", "json", "--parallel", "1", "w"])
        .finish()
        .exits(0);
}

#[test]
fn two_reports_in_one_file_are_refused_by_whatever_name_it_has() {
    let workspace = Workspace::new(&["a"], "exit 0");
    std::fs::create_dir(workspace.root().join("below")).unwrap();
    symlink("below", workspace.root().join("link")).unwrap();
    workspace.write("below/old.xml", "");
    symlink("below/old.xml", workspace.root().join("alias")).unwrap();
    for (junit, metrics) in [
        ("out", "out"),
        ("below/../out", "./out"),
        ("link/x", "below/x"),
        ("alias", "below/old.xml"),
    ] {
        let arguments = ["-j1", "w", "--junit", junit, "--metrics", metrics];
        let words = ["--junit and --metrics", "the same file", junit];
        refused(&workspace, &arguments, &words);
    }
    workspace.configure("metrics = \"out\"", "");
    let arguments = ["-j1", "w", "--junit", "out"];
    refused(&workspace, &arguments, &["the same file"]);
}

#[test]
fn a_list_that_is_not_there_is_named() {
    let workspace = Workspace::new(&["a"], "exit 0");
    workspace.configure("", "items = { list = \"missing.txt\" }");
    let finished = workspace.orchestrate(&["w"]).finish();
    finished.exits(2).says(&["missing.txt"]);
    assert_eq!(workspace.started(), [""; 0]);
}

#[test]
fn a_list_command_that_fails_is_status_69() {
    let workspace = Workspace::new(&["a"], "exit 0");
    workspace.configure("", "items = { command = [\"false\"] }");
    workspace.orchestrate(&["w"]).finish().exits(69);
    assert_eq!(workspace.started(), [""; 0]);
}

#[test]
fn state_and_keys_are_private() {
    let workspace = Workspace::new(&["a"], "echo hello");
    workspace
        .orchestrate(&["--parallel", "1", "w"])
        .finish()
        .exits(0);
    let mode = |path: std::path::PathBuf| {
        let metadata = std::fs::metadata(&path);
        metadata.expect("made by the run").permissions().mode() & 0o7777
    };
    let state = workspace.root().join(".orchestrate");
    assert_eq!(mode(state.clone()), 0o700);
    assert_eq!(mode(state.join("w/journal.jsonl")), 0o600);
    assert_eq!(mode(state.join("runs/latest/logs")), 0o700);
    assert_eq!(mode(workspace.log("a")), 0o600);
}

#[test]
fn a_number_that_is_none_is_refused_in_words() {
    let workspace = Workspace::new(&["a"], "true");
    for (arguments, words) in [
        (["-j", "slow"], "it is a whole number, such as 4"),
        (["--parallel", "1.5"], "it is a whole number, such as 4"),
        (["--limit", "0"], "it is 1 or more"),
        (["--retries", "5000000000"], "it is too large"),
    ] {
        let words_of = [&arguments[..], &["w"]].concat();
        let finished = workspace.orchestrate(&words_of).finish().exits(2);
        assert!(finished.stderr.contains(words), "{}", finished.stderr);
    }
    let launch = workspace
        .orchestrate(&["w"])
        .env("ORCHESTRATE_PARALLEL", "slow");
    let finished = launch.finish().exits(2);
    assert!(finished.stderr.contains("such as 4"), "{}", finished.stderr);
}

#[test]
fn the_help_of_a_command_has_examples_and_only_options_that_mean_something_there() {
    let workspace = Workspace::bare();
    let runs = |command: &String| command == "run";
    for command in Cli::commands().iter().filter(|it| !runs(it)) {
        let help = workspace
            .orchestrate(&[command.as_str(), "--help"])
            .finish()
            .exits(0)
            .stdout;
        assert!(help.contains("\nExamples:\n  "), "{help}");
        assert!(
            help.contains("--format") && !help.contains("--parallel"),
            "{help}"
        );
    }
    let help = workspace
        .orchestrate(&["run", "--help"])
        .finish()
        .exits(0)
        .stdout;
    assert!(
        help.contains("--parallel") && help.contains("\nExamples:\n  "),
        "{help}"
    );
}
