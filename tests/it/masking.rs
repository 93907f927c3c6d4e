//! No key gets out: what an item inherits and what nobody declared is masked on the terminal and in its log; and what
//! the fuzz target checks, over its corpus and over mutations of it that are the same in every run.

use std::fs;
use std::path::Path;

use crate::support::listing::files_with;
use crate::support::pool::POOL;
use crate::support::random::Random;
use crate::support::workspace::Workspace;

#[path = "../fuzz/check.rs"]
mod check;

const MUTATIONS: usize = 100;

#[test]
fn inherited_and_unknown_keys_are_masked_unless_their_looks_do_not_count() {
    let token = "made-up-qWe3rTy5uIo7pAs9dFg1hJk2lZx4cVb6";
    let unknown = format!("ghp_{}", &"Zr7pQ2mX9vLt4Kc8Ny1Bw6Hf3Jd5Gs0Ra7Ue"[..36]);
    let body = "echo \"one $X_TOKEN $X_FLAG_KEY two\"; echo \"three $ANYTHING four\"; printf 'in two\\n%.20s\\n' \"$X_TOKEN\"";
    for (options, variables, masked) in [
        (vec!["--parallel", "1", "w"], vec![], true),
        (
            vec!["--parallel", "1", "--no-shape-mask", "w"],
            vec![],
            false,
        ),
        (
            vec!["--parallel", "1", "w"],
            vec![("ORCHESTRATE_NO_SHAPE_MASK", "true")],
            false,
        ),
    ] {
        let workspace = Workspace::new(&["a"], body);
        let mut launch = workspace.orchestrate(&options);
        let inherited = [
            ("X_TOKEN", token),
            ("X_FLAG_KEY", "changeme"),
            ("ANYTHING", &unknown),
        ];
        for (name, value) in inherited.into_iter().chain(variables) {
            launch = launch.env(name, value);
        }
        let finished = launch.finish().exits(0);
        let three = if masked {
            "[REDACTED:?github]"
        } else {
            &unknown
        };
        let log = fs::read_to_string(workspace.log("a")).unwrap();
        assert_eq!(
            log,
            format!(
                "one [REDACTED:X_TOKEN] changeme two\nthree {three} four\nin two\n[REDACTED:X_TOKEN]\n"
            )
        );
        for line in log.lines() {
            assert!(
                finished.stdout.contains(&format!("[a] {line}\n")),
                "{}",
                finished.stdout
            );
        }
    }
}

#[test]
fn no_mutation_of_the_corpus_gets_a_key_through() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/masking");
    let mut inputs: Vec<Vec<u8>> = fs::read_dir(corpus)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(inputs.len() > 10, "only {} inputs", inputs.len());
    inputs.sort_unstable();
    for input in &inputs {
        check::check(input);
    }
    let numbers = &mut Random::new(11);
    for _ in 0..MUTATIONS {
        let mut input = inputs[below(numbers, inputs.len())].clone();
        for _ in 0..=numbers.below(4) {
            mutate(&mut input, &inputs, numbers);
        }
        check::check(&input);
    }
}

fn mutate(input: &mut Vec<u8>, inputs: &[Vec<u8>], numbers: &mut Random) {
    let place = below(numbers, input.len());
    let byte = u8::try_from(numbers.below(256)).unwrap();
    match numbers.below(4) {
        0 => input[place] = byte,
        1 => input.insert(place, byte),
        2 => input.truncate(place.max(5)),
        _ => {
            let other = &inputs[below(numbers, inputs.len())];
            input.extend_from_slice(&other[below(numbers, other.len())..]);
        }
    }
}

fn below(numbers: &mut Random, length: usize) -> usize {
    usize::try_from(numbers.below(length as u64)).unwrap()
}

#[test]
fn a_key_shows_nowhere_whatever_it_is_that_holds_it() {
    let key = "made-up/qWe3rTy5\"uIo7p\\As9dFg1hJk2lZx4";
    let body =
        "orchestrate tell progress \"at $TEST_KEY\"; meet up; echo \"$TEST_KEY\" >&2; exit 3";
    let workspace = Workspace::new(&["a"], body);
    let title = serde_json::json!({ "id": "a", "title": format!("see {key}") });
    workspace.write("list", &format!("{title}\n"));
    let source = format!("items = {{ list = \"list\" }}\n{POOL}");
    workspace.configure("", &source);
    let mut gates = workspace.gates(&["a"]);
    let launch = workspace
        .orchestrate(&[
            "-j1",
            "--verbose",
            "--metrics",
            "run.prom",
            "w",
            "--",
            "and {title}",
        ])
        .env("TEST_KEYS", key);
    let running = launch.start();
    gates.expect("a up");
    let events = ".orchestrate/runs/latest/events.jsonl";
    workspace.wait_until_written(events, "at [REDACTED:key-1]");
    gates.order("a", "");
    let finished = running.finish().exits(1);
    // What the item itself has written there stays as it is, for its owner only.
    fs::remove_dir_all(workspace.root().join(".orchestrate/runs/latest/status")).unwrap();
    let halves = [&key[..16], &key[key.len() - 16..]];
    for half in halves {
        assert!(!finished.stdout.contains(half), "{}", finished.stdout);
        assert!(!finished.stderr.contains(half), "{}", finished.stderr);
        for place in [".orchestrate", "../home"] {
            let found = files_with(&workspace.root().join(place), half.as_bytes());
            assert!(found.is_empty(), "{found:?}");
        }
    }
    assert!(
        workspace
            .read(".orchestrate/runs/latest/run.json")
            .contains("see [REDACTED:key-1]")
    );
}

#[test]
fn an_item_whose_id_is_a_key_is_refused_before_anything_names_a_file_after_it() {
    let key = "made-up-qWe3rTy5uIo7pAs9dFg1hJk2lZx4cVb6";
    let mut ids: Vec<String> = (0..3000).map(|number| format!("item-{number}")).collect();
    ids.insert(2500, key.to_owned());
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let workspace = Workspace::new(&ids, "exit 0");
    workspace.configure("", POOL);
    let launch = workspace.orchestrate(&["-j1", "w"]).env("TEST_KEYS", key);
    let finished = launch.finish().exits(2);
    let stderr = finished
        .says(&["an item's id holds a key: [REDACTED:key-1]"])
        .stderr;
    assert!(!stderr.contains(key));
    assert!(workspace.started().is_empty());
}
