//! Texts and keys that are made up: the same in every run.

use std::fmt::Write as _;

use orchestrate::schedule::retry::Spread;

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
    let mut numbers = Spread::new(2);
    while text.len() < bytes {
        push(numbers.next() >> 32, &mut text).expect("a string takes everything");
    }
    text.into_bytes()
}

/// Keys of the form of a known issuer.
pub(crate) fn keys(count: usize) -> Vec<String> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut numbers = Spread::new(1);
    let mut key = || {
        let body = (0..93).map(|_| char::from(LETTERS[below(numbers.next(), LETTERS.len())]));
        format!("sk-ant-api03-{}AA", body.collect::<String>())
    };
    (0..count).map(|_| key()).collect()
}

fn below(number: u64, end: usize) -> usize {
    usize::try_from(number % end as u64).expect("less than a length")
}
