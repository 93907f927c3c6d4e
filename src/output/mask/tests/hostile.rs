//! Input that was made to be slow or to fill memory: the work grows with its length and no faster, and little is held.

use super::*;

/// What is counted for each byte is the same for any length; without the optimiser ten times as much takes minutes.
const BYTES: usize = if cfg!(debug_assertions) {
    1 << 20
} else {
    10 << 20
};

/// No more bytes are compared for each byte of input, whatever comes: every byte is looked at in the text and in its
/// view, and a hit compares no more than two windows for each needle that shares it.
const COMPARED_PER_BYTE_MAX: u64 = 300;

/// The held line, its view, and what vectors leave free when they grow.
const HELD_MAX: usize = 4 * HELD_BYTES_MAX;

fn feed_whole(masker: &Arc<Masker>, piece: &[u8], what: &str) {
    let mut stream = MaskedStream::new(Arc::clone(masker));
    let block = piece.repeat((64 << 10) / piece.len() + 1);
    let mut out = Masked::empty();
    let (mut fed, mut held_most) = (0_usize, 0);
    while fed < BYTES {
        stream.feed(&block, &mut out);
        fed += block.len();
        held_most = held_most.max(stream.effort().0);
        out.clear();
    }
    stream.finish(&mut out);
    let (_, compared) = stream.effort();
    let per_byte = compared / fed as u64;
    assert!(
        per_byte < COMPARED_PER_BYTE_MAX,
        "{what}: {per_byte} bytes compared for each"
    );
    assert!(held_most < HELD_MAX, "{what}: {held_most} bytes held");
}

#[test]
fn hostile_input_takes_linear_work_and_bounded_memory() {
    let periodic = "ab".repeat(60);
    let monotone = "a".repeat(200);
    let mut values = vec![
        ("k", K),
        ("g", G),
        ("p", periodic.as_str()),
        ("m", monotone.as_str()),
    ];
    values.push(("short", "sssssssss"));
    let secrets = secrets(&values);
    let masker = Arc::new(Masker::new(secrets, UnknownKeys::Masked));
    let lines_of_prefix = format!("{}\n", &K[..10]);
    let frames = format!("{}\n{}", &K[..10], " ".repeat(250));
    let base64: String = K
        .chars()
        .rev()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    for (what, piece) in [
        ("one letter", "s"),
        ("a letter that a key repeats", "a"),
        ("what a key repeats", "ab"),
        ("the key", K),
        ("a key without its end", &K[..K.len() - 1]),
        ("what is too short for a window", &K[..15]),
        ("lines that begin a key", lines_of_prefix.as_str()),
        ("lines that begin a repeated key", "aaaaaaaaaa\n"),
        ("frames", frames.as_str()),
        ("title without end", "\x1b]0;"),
        ("title without end, in one character", "\u{9d}"),
        ("colours", "\x1b[1m"),
        ("colours in a key", "a\x1b[1m"),
        ("half a colour", "\x1b[1;"),
        ("invisible", "\u{200b}"),
        ("base64", base64.as_str()),
        ("the beginning of a shape", "sk-ant-"),
        ("words that begin a shape", " sk-ant-api03-"),
        ("line feeds", "\n"),
        ("carriage returns", "\r"),
    ] {
        feed_whole(&masker, piece.as_bytes(), what);
    }
}

#[test]
fn a_title_without_end_hides_no_key() {
    let masker = masker(&[("k", K)]);
    for piece in ["\x1b]0;", "\x1bP", "\u{9d}", "\x1b[1;"] {
        let filler = "x".repeat(100_000);
        let (head, tail) = K.split_at(50);
        let text = format!("{piece}{filler}{head}\x1b[m{tail}{filler}\n");
        let got = shown(&masked(&masker, text));
        assert_eq!(got, format!("{piece}{filler}[REDACTED:k]\x1b[m{filler}\n"));
    }
}
