//! How keys stand for all runs of a machine, and an operator's word on them.

use serde_json::Value;

use crate::support::launch::Launch;
use crate::support::listing::files_with;
use crate::support::workspace::Workspace;

const FIRST: &str = "first-key-of-the-pool";
const SECOND: &str = "second-key-of-the-pool";
const POOL: &str = "[credentials]\npool = { file = \"keys\" }\ninject = \"API_KEY\"\nslots = 2";

fn workspace(table: &str) -> Workspace {
    let workspace = Workspace::new(&["a"], "true");
    workspace.configure("", table);
    workspace.write("keys", &format!("work = {FIRST}\nhome = {SECOND}\n"));
    workspace.set_mode("keys", 0o600);
    workspace
}

/// What one key is said to be, as JSON.
fn key(launch: Launch<'_>, label: &str) -> Value {
    let finished = launch.finish().exits(0);
    let lines = finished
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let lines: Vec<Value> = lines.collect();
    let key = lines.iter().find(|line| line["label"] == label);
    key.expect("the key is shown").clone()
}

#[test]
fn keys_are_shown_by_their_labels_and_never_by_their_values() {
    let workspace = workspace(POOL);
    let finished = workspace.orchestrate(&["keys"]).finish().exits(0);
    let lines: Vec<Vec<&str>> = finished
        .stdout
        .lines()
        .map(|it| it.split_whitespace().collect())
        .collect();
    let [head, work, home] = &lines[..] else {
        panic!("{}", finished.stdout);
    };
    assert_eq!(head, &["KEY", "ID", "STATE"]);
    assert_eq!((work[0], home[0]), ("work", "home"));
    assert_eq!((work[2], home[2]), ("ready", "ready"));
    assert_ne!(work[1], home[1]);
    for secret in [FIRST, SECOND] {
        let state = workspace.root().with_file_name("home");
        assert!(!finished.stdout.contains(secret));
        assert_eq!(
            files_with(&state, secret.as_bytes()),
            [""; 0].map(std::path::PathBuf::from)
        );
    }
}

#[test]
fn an_operator_disables_enables_and_resets_a_key() {
    let workspace = workspace(POOL);
    let keys = |words: &[&str]| {
        let words = [&["--format", "json", "keys"], words].concat();
        key(workspace.orchestrate(&words), "home")
    };
    let before = keys(&[]);
    assert_eq!(before["state"], "ready");
    for (word, state) in [
        ("disable", "disabled"),
        ("enable", "ready"),
        ("disable", "disabled"),
        ("reset", "ready"),
    ] {
        assert_eq!(keys(&[word, "home"])["state"], state, "{word}");
        let now = keys(&[]);
        assert_eq!(
            (&now["state"], &now["kid"]),
            (&Value::from(state), &before["kid"])
        );
        assert!(now["since"].is_string(), "{now}");
    }
    let other = key(workspace.orchestrate(&["--format", "json", "keys"]), "work");
    assert_eq!(other["since"], Value::Null, "it was left alone");
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_could() {
    let workspace = workspace(POOL);
    let refused = |words: &[&str], says: &[&str]| {
        workspace.orchestrate(words).finish().exits(2).says(says);
    };
    refused(
        &["keys", "reset", "wrok"],
        &[
            "no key of the pool has the label `wrok`",
            "did you mean `work`?",
        ],
    );
    refused(&["keys", "reset"], &["LABEL"]);
    refused(&["keys", "--workflow", "x"], &["there is no workflow `x`"]);
    refused(&["-n", "keys", "reset", "work"], &["`keys` has no dry run"]);
    workspace.configure("", "");
    refused(&["keys"], &["no pool of keys is configured"]);
}

#[test]
fn where_workflows_have_pools_of_their_own_one_says_whose() {
    let own = "credentials = { pool = { env = \"OWN\" }, inject = \"API_KEY\" }\n";
    let workspace = workspace(&format!("{own}{POOL}"));
    workspace.orchestrate(&["keys"]).finish().exits(2).says(&[
        "there are several pools of keys",
        "orchestrate keys --workflow w",
    ]);
    let own = ["keys", "--workflow", "w", "--format", "json"];
    let own = key(workspace.orchestrate(&own).env("OWN", FIRST), "key-1");
    let others = ["keys", "--workflow", "implement", "--format", "json"];
    let others = key(workspace.orchestrate(&others), "work");
    assert_eq!(
        own["kid"], others["kid"],
        "the same key, whatever it is called"
    );
}

#[test]
fn a_state_directory_that_cannot_be_used_is_named() {
    let workspace = workspace(POOL);
    workspace
        .orchestrate(&["keys"])
        .env("XDG_STATE_HOME", "/proc")
        .finish()
        .exits(74)
        .says(&["`/proc/orchestrate`"]);
}
