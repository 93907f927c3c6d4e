//! What the fuzz target checks, over its corpus and over mutations of it that are the same in every run.

use std::fs;
use std::path::Path;

#[path = "../fuzz/check.rs"]
mod check;

const MUTATIONS: usize = 100;

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
    let mut numbers = Numbers(11);
    for _ in 0..MUTATIONS {
        let mut input = inputs[numbers.below(inputs.len())].clone();
        for _ in 0..=numbers.below(4) {
            mutate(&mut input, &inputs, &mut numbers);
        }
        check::check(&input);
    }
}

fn mutate(input: &mut Vec<u8>, inputs: &[Vec<u8>], numbers: &mut Numbers) {
    let place = numbers.below(input.len());
    let byte = u8::try_from(numbers.below(256)).unwrap();
    match numbers.below(4) {
        0 => input[place] = byte,
        1 => input.insert(place, byte),
        2 => input.truncate(place.max(5)),
        _ => {
            let other = &inputs[numbers.below(inputs.len())];
            input.extend_from_slice(&other[numbers.below(other.len())..]);
        }
    }
}

/// Numbers that look random, from a seed (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ mixed >> 31) % end as u64).unwrap()
    }
}
