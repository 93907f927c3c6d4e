//! Texts and keys that are made up: the same in every run.

use std::fmt::Write as _;

/// What a build prints, of at least so many bytes.
pub(crate) fn log(bytes: usize) -> Vec<u8> {
    lines(bytes, |number, out| match number % 8 {
        0..=3 => writeln!(
            out,
            "   Compiling serde_json v1.0.{} (registry)",
            number % 150
        ),
        4 => writeln!(
            out,
            "[{:>3}%] Building CXX object src/CMakeFiles/core.dir/node_{number}.cpp.o",
            number % 101
        ),
        5 => writeln!(
            out,
            "test items::template::tests::a_name_of_{number}_is_kept ... ok"
        ),
        6 => writeln!(
            out,
            "{{\"time\":{number},\"level\":\"info\",\"message\":\"GET /v1/items/{} 200\"}}",
            number % 999
        ),
        _ => writeln!(
            out,
            "sha256:{:016x}{number:016x} layer-{}.tar",
            number.rotate_left(9),
            number % 99
        ),
    })
}

/// The same with colours.
pub(crate) fn colour(bytes: usize) -> Vec<u8> {
    lines(bytes, |number, out| match number % 3 {
        0 => writeln!(
            out,
            "\x1b[1m\x1b[32m   Compiling\x1b[0m serde_json v1.0.{}",
            number % 150
        ),
        1 => writeln!(
            out,
            "\x1b[33mwarning\x1b[0m\x1b[1m: unused variable: `value_{}`\x1b[0m",
            number % 999
        ),
        _ => writeln!(
            out,
            "\x1b[1m\x1b[38;5;12m{:>4} |\x1b[0m     let value = items.iter().map(|it| it.id)",
            number % 999
        ),
    })
}

fn lines(bytes: usize, push: impl Fn(u64, &mut String) -> std::fmt::Result) -> Vec<u8> {
    let mut text = String::new();
    let mut numbers = Numbers(2);
    while text.len() < bytes {
        push(numbers.next() >> 32, &mut text).expect("a string takes everything");
    }
    text.into_bytes()
}

/// Keys of the form of a known issuer.
pub(crate) fn keys(count: usize) -> Vec<String> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut numbers = Numbers(1);
    let mut key = || {
        let body = (0..93).map(|_| char::from(LETTERS[numbers.below(LETTERS.len())]));
        format!("sk-ant-api03-{}AA", body.collect::<String>())
    };
    (0..count).map(|_| key()).collect()
}

/// Numbers that look random, from a seed (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("less than a length")
    }
}
