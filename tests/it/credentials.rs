//! A key for each item, and for nobody else.

use std::collections::BTreeSet;

use crate::support::listing::files_with;
use crate::support::workspace::Workspace;

const KEYS: [&str; 2] = ["first-key-of-the-pool", "second-key-of-the-pool"];
const ITEMS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

const POOL: &str = "[credentials]\npool = { env = \"ALL_KEYS\" }\ninject = \"API_KEY\"";

/// Keeps what it was started with where the test finds it, and does its best to give its key away.
const BODY: &str = r#"
cat /proc/$$/environ >../environ.$item
cat /proc/$$/cmdline >../cmdline.$item
echo "my key is $API_KEY, really"
echo "$API_KEY$API_KEY" >&2
half=${API_KEY%pool}
printf %s "$half"
printf 'pool\n'
meet up on $ORCHESTRATE_CREDENTIAL
"#;

/// The environment that an item was started with.
fn environ(workspace: &Workspace, item: &str) -> BTreeSet<String> {
    let environ = workspace.read(&format!("../environ.{item}"));
    environ.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn two_keys_serve_eight_items_and_show_nowhere() {
    let workspace = Workspace::new(&ITEMS, BODY);
    workspace.configure("", POOL);
    let mut gates = workspace.gates(&ITEMS);
    let running = workspace
        .orchestrate(&["--parallel", "4", "--verbose", "w"])
        .env("ALL_KEYS", &KEYS.join(", "))
        .env("COPY", &format!("see {}!", KEYS[1]))
        .env("URL", &format!("https://me:{}@localhost/", KEYS[1]))
        .env("API_KEY", KEYS[0])
        .env("KEPT", "as it is")
        .at_once(2)
        .start();
    // The first two hold a key each; the others wait although there are slots.
    let first: BTreeSet<String> = (0..2).map(|_| gates.next()).collect();
    for key in ["key-1", "key-2"] {
        assert!(first.iter().any(|line| line.ends_with(key)), "{first:?}");
    }
    for item in ITEMS {
        gates.order(item, "exit 0");
    }
    let finished = running.finish().exits(0).says(&["8 done"]);
    assert_eq!(workspace.done(), ITEMS);

    let mut used = BTreeSet::new();
    for item in ITEMS {
        let environ = environ(&workspace, item);
        let injected: Vec<&String> = environ
            .iter()
            .filter(|variable| KEYS.iter().any(|key| variable.contains(key)))
            .collect();
        let [only] = &injected[..] else {
            panic!("{item}: {injected:?}");
        };
        let key = only
            .strip_prefix("API_KEY=")
            .expect("the injected variable");
        let number = KEYS.iter().position(|known| *known == key).expect("whole") + 1;
        assert!(environ.contains(&format!("ORCHESTRATE_CREDENTIAL=key-{number}")));
        assert!(environ.contains("KEPT=as it is"));
        for gone in ["ALL_KEYS=", "COPY=", "URL="] {
            assert!(
                !environ.iter().any(|variable| variable.starts_with(gone)),
                "{gone}"
            );
        }
        used.insert(number);
    }
    assert_eq!(used.len(), 2, "each key is used");
    no_key_shows(&workspace, &finished.stdout, &finished.stderr);
}

#[track_caller]
fn no_key_shows(workspace: &Workspace, stdout: &str, stderr: &str) {
    for key in KEYS {
        assert!(!stdout.contains(key), "{stdout}");
        assert!(!stderr.contains(key), "{stderr}");
        let state = workspace.root().join(".orchestrate");
        let files = files_with(&state, key.as_bytes());
        assert!(files.is_empty(), "{files:?}");
        for item in ITEMS {
            assert!(!workspace.read(&format!("../cmdline.{item}")).contains(key));
        }
    }
    // What was said around it is there, so the masks have hidden the keys and nothing more.
    assert!(stdout.contains("[a] my key is "), "{stdout}");
    assert!(stdout.contains(", really\n"), "{stdout}");
}

#[test]
fn a_key_with_two_slots_serves_two_items_at_once() {
    let items = ["a", "b"];
    let workspace = Workspace::new(&items, "meet up on $ORCHESTRATE_CREDENTIAL");
    workspace.configure("", &format!("{POOL}\nslots = 2"));
    let mut gates = workspace.gates(&items);
    let running = workspace
        .orchestrate(&["--parallel", "2", "w"])
        .env("ALL_KEYS", KEYS[0])
        .slots(2)
        .start();
    assert_eq!(gates.next_sorted(2), ["a up on key-1", "b up on key-1"]);
    for item in items {
        gates.order(item, "exit 0");
    }
    running.finish().exits(0);
}

#[test]
fn a_key_that_is_listed_twice_is_one_key() {
    let items = ["a", "b"];
    let workspace = Workspace::new(&items, "exit 0");
    workspace.write("keys", &format!("again = {}\n", KEYS[0]));
    workspace.set_mode("keys", 0o600);
    let pool = POOL
        .replace("= {", "= [{")
        .replace("\" }", "\" }, { file = \"keys\" }]");
    workspace.configure("", &pool);
    let launch = workspace.orchestrate(&["-j2", "w"]).at_once(1);
    let twice = format!("{},{}", KEYS[0], KEYS[0]);
    let finished = launch.env("ALL_KEYS", &twice).finish().exits(0);
    finished.says(&["2 done"]);
    let keys = workspace.orchestrate(&["keys", "--workflow", "w"]);
    let keys = keys.env("ALL_KEYS", &twice).finish().exits(0).stdout;
    assert_eq!(keys.lines().count(), 2, "a head and one key: {keys}");
}

#[test]
fn keys_come_from_a_file_with_labels_and_from_a_command() {
    for (source, label) in [
        ("{ file = \"keys\" }", "team-a"),
        ("{ command = [\"cat\", \"plain-key\"] }", "key-1"),
    ] {
        let workspace = Workspace::new(&["a"], "test \"$API_KEY\" = first-key-of-the-pool");
        workspace.write("keys", "# ours\nteam-a = first-key-of-the-pool\n");
        workspace.set_mode("keys", 0o600);
        workspace.write("plain-key", "first-key-of-the-pool\n");
        workspace.configure("", &POOL.replace("{ env = \"ALL_KEYS\" }", source));
        workspace
            .orchestrate(&["--parallel", "1", "w"])
            .finish()
            .exits(0);
        assert!(workspace.witness().contains(&format!(" {label} 0\n")));
    }
}

#[test]
fn the_agent_that_a_key_command_has_started_outlives_the_run() {
    let workspace = Workspace::new(&["a"], "test \"$API_KEY\" = first-key-of-the-pool");
    let agent = "#!/bin/sh\nsetsid sh -c 'read -r _ <gate.agent' &\necho first-key-of-the-pool\n";
    workspace.write("ask-agent", agent);
    workspace.set_mode("ask-agent", 0o700);
    let source = "{ command = [\"./ask-agent\"] }";
    workspace.configure("", &POOL.replace("{ env = \"ALL_KEYS\" }", source));
    let gates = workspace.gates(&["agent"]);
    let running = workspace.orchestrate(&["--parallel", "1", "w"]).start();
    let (finished, agent) = running.finish_before_its_items();
    finished.exits(0);
    assert!(agent.are_alive());
    gates.order("agent", "enough");
    agent.wait();
}

#[test]
fn without_a_pool_the_children_keep_the_environment() {
    let workspace = Workspace::new(&["a"], "cat /proc/$$/environ >../environ.$item");
    workspace
        .orchestrate(&["--parallel", "1", "w"])
        .env("API_KEY", KEYS[0])
        .finish()
        .exits(0);
    let environ = environ(&workspace, "a");
    assert!(environ.contains("API_KEY=first-key-of-the-pool"));
    assert!(
        !environ
            .iter()
            .any(|it| it.starts_with("ORCHESTRATE_CREDENTIAL="))
    );
}

#[test]
fn sequential_children_get_the_pool_as_it_is_and_no_key() {
    let workspace = Workspace::new(&["a"], "cat /proc/$$/environ >../environ.$item");
    workspace.configure("", POOL);
    workspace
        .orchestrate(&["w"])
        .env("ALL_KEYS", &KEYS.join(","))
        .finish()
        .exits(0);
    let environ = environ(&workspace, "a");
    assert!(environ.contains(&format!("ALL_KEYS={}", KEYS.join(","))));
    assert!(!environ.iter().any(|it| it.starts_with("API_KEY=")));
}
