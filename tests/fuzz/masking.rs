//! The fuzz target of the masker, for cargo-fuzz: `scripts/fuzz`.

#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::check(input));
