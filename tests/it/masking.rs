//! No key gets out: what an item inherits and what nobody declared is masked on the terminal and in its log; and what
//! the fuzz target checks, over its corpus and over mutations of it that are the same in every run.

use std::fs;
use std::path::Path;

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
