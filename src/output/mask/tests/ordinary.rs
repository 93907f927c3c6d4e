//! Ordinary text comes out as it went in.

use std::fmt::Write as _;

use super::*;
use crate::schedule::retry::Spread;

const BYTES: usize = 50 << 20;

/// Numbers that look random, from a seed.
struct Numbers(Spread);

impl Numbers {
    const fn next(&mut self) -> u64 {
        self.0.next()
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        let letters = (0..length).map(|_| char::from(alphabet[self.below(alphabet.len())]));
        letters.collect()
    }
}

const HEX: &[u8] = b"0123456789abcdef";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The source of the masker itself: it has escapes, prefixes of keys and words of all kinds.
const SOURCES: &[&str] = &[
    include_str!("../shape.rs"),
    include_str!("../view.rs"),
    include_str!("../wrap.rs"),
    include_str!("../../line.rs"),
    include_str!("../../escape.rs"),
    include_str!("../../../credential/pool.rs"),
];

fn push_line(numbers: &mut Numbers, out: &mut String) {
    let number = numbers.next();
    let _infallible = match number % 16 {
        0..=3 => writeln!(
            out,
            "   Compiling serde_json v1.0.{} ({number} units)",
            number % 150
        ),
        4 | 5 => writeln!(
            out,
            "[{:>3}%] Building CXX object src/CMakeFiles/core.dir/node_{number}.cpp.o",
            number % 101
        ),
        6 => writeln!(
            out,
            "\x1b[1m\x1b[32m    Finished\x1b[0m `dev` profile in {}.{:02}s",
            number % 60,
            number % 100
        ),
        7 => writeln!(
            out,
            "\x1b[38;5;208mwarning\x1b[0m: unused variable: `value_{}`\x1b[K\r",
            number % 1000
        ),
        8 => writeln!(
            out,
            "commit {} tree {}",
            numbers.text(HEX, 40),
            numbers.text(HEX, 40)
        ),
        9 => writeln!(
            out,
            "sha256:{}  layer-{}.tar",
            numbers.text(HEX, 64),
            number % 99
        ),
        10 => writeln!(
            out,
            "\u{251c}\u{2500}\u{2500} na\u{ef}ve caf\u{e9} \u{4e2d}\u{6587} \u{2713} {number}"
        ),
        11 => writeln!(out, "{}", numbers.text(BASE64, 76)),
        12 => writeln!(
            out,
            "data:image/png;base64,{}==",
            numbers.text(BASE64, 2000)
        ),
        13 => writeln!(
            out,
            "{{\"time\":{number},\"level\":\"info\",\"message\":\"GET /v1/items/{} 200\"}}",
            number % 9999
        ),
        14 => writeln!(out, "10%\r20%\r30%\r{}%", number % 100),
        _ => {
            let source = SOURCES[numbers.below(SOURCES.len())];
            let lines: Vec<&str> = source.lines().collect();
            let first = numbers.below(lines.len());
            let some = lines[first..].iter().take(20);
            some.for_each(|line| {
                let _infallible = writeln!(out, "{line}");
            });
            Ok(())
        }
    };
}

/// Ten keys as issuers make them, and what else an environment may hold.
fn ten_keys(numbers: &mut Numbers) -> Secrets {
    const WORD: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut secrets = Secrets::default();
    for number in 0..10 {
        let key = format!("sk-ant-api03-{}AA", numbers.text(WORD, 93));
        secrets.add_key(&format!("key-{number}"), key.as_bytes());
    }
    secrets.add_inherited("X_TOKEN", numbers.text(WORD, 40).as_bytes());
    secrets.add_inherited("X_PASSWORD", numbers.text(WORD, 12).as_bytes());
    secrets
}

#[test]
fn a_build_log_of_50_megabytes_is_the_same_byte_for_byte() {
    let numbers = &mut Numbers(Spread::new(7));
    let masker = Arc::new(Masker::new(ten_keys(numbers), UnknownKeys::Masked));
    let mut stream = MaskedStream::new(masker);
    let (mut text, mut out) = (String::new(), Masked::empty());
    let (mut came, mut same) = (0, 0);
    // What went in and has not come out yet.
    let mut waiting = Vec::new();
    while came < BYTES {
        text.clear();
        while text.len() < 256 << 10 {
            push_line(numbers, &mut text);
        }
        came += text.len();
        waiting.extend_from_slice(text.as_bytes());
        let read = 1 + numbers.below(100_000);
        for part in text.as_bytes().chunks(read) {
            stream.feed(part, &mut out);
        }
        assert_same(&mut waiting, &mut out, &mut same);
    }
    stream.finish(&mut out);
    assert_same(&mut waiting, &mut out, &mut same);
    assert_eq!(same, came);
}

fn assert_same(waiting: &mut Vec<u8>, out: &mut Masked<Vec<u8>>, same: &mut usize) {
    let bytes = out.get().len();
    let is_same = waiting.starts_with(out.get());
    assert!(is_same, "after {same} bytes:\n{}", shown(out.get()));
    waiting.drain(..bytes);
    out.clear();
    *same += bytes;
}
