//! Case by case: leaks that others had, and what must be left alone.

use super::*;

/// What stands in the place of [`K`] and [`G`].
const R: &str = "[REDACTED:k]";
const RG: &str = "[REDACTED:g]";

#[test]
fn no_byte_of_a_key_is_shown_and_no_other_byte_is_hidden() {
    let (head, tail) = K.split_at(30);
    let soft = |at: usize| format!("{}\u{ad}{}\u{200b}{}", &K[..at], &K[at..60], &K[60..]);
    let cases: Vec<(String, String)> = vec![
        (K.into(), R.into()),
        (format!("a {K} b {G} c\n"), format!("a {R} b {RG} c\n")),
        // Doubles and neighbours.
        (format!("{K}{K}"), R.into()),
        (format!("{K}{G}"), R.into()),
        // Cut off.
        (format!("x {}", &K[..50]), format!("x {R}")),
        (format!("x {}", &K[..9]), format!("x {R}")),
        (format!("x {}\n", &K[..9]), format!("x {R}\n")),
        (format!("x {}", &K[..7]), format!("x {}", &K[..7])),
        (format!("{}...", &K[..16]), format!("{R}...")),
        (
            "keys begin with sk-ant-api03- here".into(),
            "keys begin with sk-ant-api03- here".into(),
        ),
        (
            format!("...{}", &K[K.len() - 4..]),
            format!("...{}", &K[K.len() - 4..]),
        ),
        // Escapes and invisible characters.
        (format!("\x1b[32m{K}\x1b[0m"), format!("\x1b[32m{R}\x1b[0m")),
        (
            format!("{}\x1b[1m{}\x1b[0m!", &K[..10], &K[10..]),
            format!("{R}\x1b[1m\x1b[0m!"),
        ),
        (
            format!("{}\x1b[1m{}\x1b[0m{}!", &K[..10], &K[10..12], &K[12..]),
            format!("{R}\x1b[1m\x1b[0m!"),
        ),
        (
            format!("\x1b]8;;https://x/?k={K}\x07"),
            format!("\x1b]8;;https://x/?k={R}\x07"),
        ),
        (
            format!("\x1b]8;;{K}\x1b\\{K}\x1b]8;;\x1b\\"),
            format!("\x1b]8;;{R}\x1b\\{R}\x1b]8;;\x1b\\"),
        ),
        (format!("\x1b[{K}"), format!("\x1b[{R}")),
        (soft(1), R.into()),
        (soft(31), R.into()),
        (format!("{head}\r{tail}"), R.into()),
        (format!("{head}\x1b[K\x1b]0;t\x07{tail}"), R.into()),
    ];
    assert_masked(cases);
}

#[test]
fn what_a_line_end_cuts_is_masked_on_both_lines() {
    let boxed = format!(
        "  \u{2502} {}\u{2502}\n  \u{2502} {}\u{2502}\n  \u{2502} {}  \u{2502}\n",
        &K[..40],
        &K[40..80],
        &K[80..]
    );
    let narrow: Vec<&str> = (0..K.len())
        .step_by(10)
        .map(|at| &K[at..K.len().min(at + 10)])
        .collect();
    let narrow_pieces = vec![R; narrow.len()];
    assert_masked(vec![
        (
            boxed,
            format!("  \u{2502} {R}\u{2502}\n  \u{2502} {R}\u{2502}\n  \u{2502} {R}  \u{2502}\n"),
        ),
        (
            format!("{}\n", narrow.join("\n")),
            format!("{}\n", narrow_pieces.join("\n")),
        ),
        (
            format!("key: {}\r\n", narrow.join("\r\n")),
            format!("key: {}\r\n", narrow_pieces.join("\r\n")),
        ),
        (narrow.join("\n> "), narrow_pieces.join("\n> ")),
        (
            format!("{}\n\n{}", &K[..20], &K[20..30]),
            format!("{R}\n\n{R}"),
        ),
        (
            format!("{}\n{}", &K[..6], &K[6..12]),
            format!("{}\n{R}", &K[..6]),
        ),
        (format!("{}\nordinary", &K[..40]), format!("{R}\nordinary")),
        (
            format!("{}\nsk-ordinary", &K[..2]),
            format!("{}\nsk-ordinary", &K[..2]),
        ),
    ]);
}

/// Masks each text, whole and in parts, with [`K`] and [`G`].
fn assert_masked(cases: Vec<(String, String)>) {
    let masker = masker(&[("k", K), ("g", G)]);
    for (text, expected) in cases {
        assert_eq!(shown(&masked(&masker, &text)), expected, "{text:?}");
        for size in [1, 2, 7, 64] {
            let in_parts = masked_in_parts(&masker, text.as_bytes().chunks(size));
            assert_eq!(shown(&in_parts), expected, "{text:?} in parts of {size}");
        }
    }
}

#[test]
fn secrets_that_overlap_repeat_themselves_or_hold_each_other_become_one_mark() {
    let long = K.to_owned();
    for (values, text, expected) in [
        (vec![("s", "1212123x")], "121212123x", "12[REDACTED:s]"),
        (
            vec![("s", "ABABABABABABC")],
            "ABABABABABABABABC",
            "ABAB[REDACTED:s]",
        ),
        (
            vec![("a", "key-one-key"), ("b", "one-key-two-zzzz")],
            "key-one-key-two-zzzz!",
            "[REDACTED:a]!",
        ),
        (
            vec![
                ("a", "key-one-"),
                ("b", "key-one-SECRET22zz"),
                ("c", "SECRET22"),
            ],
            "key-one-SECRET22!",
            "[REDACTED:b]!",
        ),
        (
            vec![("a", &K[..40]), ("b", K)],
            long.as_str(),
            "[REDACTED:b]",
        ),
        (vec![("a", "1234567")], "1234567", "1234567"),
        (
            vec![("a", "12345678")],
            "a12345678b 1234567 23456781",
            "a[REDACTED:a]b 1234567 23456781",
        ),
        (
            vec![("a", "same-value"), ("b", "same-value")],
            "same-value",
            "[REDACTED:a]",
        ),
        (vec![("a", "")], "nothing", "nothing"),
        (vec![], long.as_str(), long.as_str()),
    ] {
        let masker = masker(&values);
        assert_eq!(shown(&masked(&masker, text)), expected);
        assert_eq!(masker.mask_text(text).as_ref(), expected);
        for size in 1..text.len() {
            let in_parts = masked_in_parts(&masker, text.as_bytes().chunks(size));
            assert_eq!(shown(&in_parts), expected, "in parts of {size}");
        }
    }
}

#[test]
fn a_key_is_masked_wherever_a_read_ends() {
    let masker = masker(&[("k", K), ("g", G)]);
    for cut in 0..=K.len() {
        let (left, right) = K.as_bytes().split_at(cut);
        let got = masked_in_parts(&masker, [b"a ".as_slice(), left, right, b" b"]);
        assert_eq!(shown(&got), "a [REDACTED:k] b", "cut at {cut}");
    }
}

#[test]
fn encodings_are_masked_but_for_what_their_neighbours_share() {
    let weird = "p\u{f6}$t\"gr\\es/+=pass word-7";
    let masker = masker(&[("k", K), ("w", weird)]);
    let json = serde_json::to_string(weird).unwrap();
    let json_ascii = r#""p\u00f6$t\"gr\\es/+=pass word-7""#;
    for (text, expected) in [
        (json.as_str(), "\"[REDACTED:w]\""),
        (json_ascii, "\"[REDACTED:w]\""),
        (
            "?p=p%C3%B6%24t%22gr%5Ces%2F%2B%3Dpass%20word-7&",
            "?p=[REDACTED:w]&",
        ),
        (
            "?p=p%c3%b6%24t%22gr%5ces%2f%2b%3dpass%20word-7&",
            "?p=[REDACTED:w]&",
        ),
    ] {
        assert_eq!(shown(&masked(&masker, text)), expected);
    }
    let digits = K
        .bytes()
        .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
    for digits in [digits.to_uppercase(), digits] {
        assert_eq!(
            shown(&masked(&masker, format!("<{digits}>"))),
            "<[REDACTED:k]>"
        );
    }
}

/// The base64 of `bytes` (RFC 4648), written apart from the masker's own.
fn base64(bytes: &[u8], url: bool) -> String {
    let last = if url { ['-', '_'] } else { ['+', '/'] };
    let alphabet: Vec<char> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(last)
        .collect();
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = bits >> (18 - 6 * place) & 0x3f;
            out.push(if place <= chunk.len() {
                alphabet[digit]
            } else {
                '='
            });
        }
    }
    out
}

#[test]
fn base64_of_a_key_among_other_bytes_shows_two_characters_an_edge_at_most() {
    let masker = masker(&[("k", K)]);
    for before in 0..=6 {
        for after in ["", "\n", "\"}", ":more"] {
            for url in [false, true] {
                let whole = format!("{}{K}{after}", &"prefix"[..before]);
                let text = base64(whole.as_bytes(), url);
                let got = shown(&masked(&masker, format!("Basic {text}")));
                let (left, right) = got.split_once("[REDACTED:k]").expect("a mark");
                let shown_before = left.len() - "Basic ".len();
                assert!(
                    8 * before / 6 <= shown_before && shown_before <= 8 * before / 6 + 2,
                    "{got}"
                );
                assert!(right.len() <= after.len() * 4 / 3 + 4, "{got}");
                assert!(
                    text.starts_with(&left["Basic ".len()..]) && text.ends_with(right),
                    "{got}"
                );
            }
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_kept_around_a_key() {
    let text = [b"\xff\xfe", K.as_bytes(), b"\xff\nnext \x80\n"].concat();
    let got = masked(&masker(&[("k", K)]), &text);
    assert_eq!(got, b"\xff\xfe[REDACTED:k]\xff\nnext \x80\n");
}

#[test]
fn the_lines_of_a_private_key_are_masked_in_every_layout() {
    let [one, two] = [
        "kWq8Zr7pQ2mX9vLt4Kc8Ny1Bw6Hf3Jd5",
        "Gs0Ra7Ue2Io9Pq4Mz8Xk1Cv6Tb3Wn5==",
    ];
    let (begin, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
    let masker = masker(&[("pem", format!("{begin}\n{one}\n{two}\n{end}\n"))]);
    for line_end in ["\n", "\r\n", "\r\r\n", " ", "\\n"] {
        let text = [begin, one, two, end].join(line_end);
        let expected = [begin, "[REDACTED:pem]", "[REDACTED:pem]", end].join(line_end);
        assert_eq!(shown(&masked(&masker, text)), expected);
    }
}

#[test]
fn unknown_keys_are_masked_by_their_looks_unless_it_is_off() {
    let random = "Zr7pQ2mX9vLt4Kc8Ny1Bw6Hf3Jd5Gs0Ra7Ue";
    let lines = [
        (format!("a ghp_{random} b\n"), "a [REDACTED:?github] b\n"),
        (
            format!("\"AIza{}\"\n", &random[..35]),
            "\"[REDACTED:?google]\"\n",
        ),
        (format!("Bearer {K}\n"), "Bearer [REDACTED:?anthropic]\n"),
        (
            format!("sk-proj-{random}{random}\n"),
            "[REDACTED:?openai]\n",
        ),
        (
            format!("gh\x1b[1mp_{random}\x1b[0m\n"),
            "[REDACTED:?github]\x1b[1m\x1b[0m\n",
        ),
    ];
    let on = Arc::new(Masker::new(Secrets::default(), UnknownKeys::Masked));
    let off = Arc::new(Masker::new(Secrets::default(), UnknownKeys::Shown));
    for (line, expected) in &lines {
        assert_eq!(shown(&masked(&on, line)), *expected);
        assert_eq!(shown(&masked(&off, line)), *line);
    }
    for line in [
        "commit 0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c\n".to_owned(),
        format!("ghp_{}\n", "x".repeat(36)),
        format!("xghp_{random}\n"),
        format!("ghp_{random}more\n"),
        "AKIAIOSFODNN7EXAMPLE\n".to_owned(),
        "sk-ant-api03- is how they begin\n".to_owned(),
        format!("{}sk-ant-{}\n", "b64+/", "a".repeat(400)),
    ] {
        assert_eq!(shown(&masked(&on, &line)), line);
    }
    let known = Arc::new(Masker::new(secrets(&[("k", K)]), UnknownKeys::Masked));
    assert_eq!(
        shown(&masked(&known, format!("Bearer {K}"))),
        "Bearer [REDACTED:k]"
    );
}

#[test]
fn a_silence_shows_the_line_so_far_but_for_what_may_be_a_key() {
    let masker = masker(&[("k", K)]);
    for (parts, expected) in [
        (vec!["ready? "], vec!["ready? "]),
        (
            vec!["ready? sk-ant-", &K[7..], " yes"],
            vec!["ready? ", "[REDACTED:k]", " yes"],
        ),
        (vec!["a \x1b[3", "1mb"], vec!["a ", "\x1b[31mb"]),
        (
            vec![&K[..50], &K[50..], "\n"],
            vec!["[REDACTED:k]", "", "\n"],
        ),
    ] {
        let mut stream = MaskedStream::new(Arc::clone(&masker));
        for (part, expected) in parts.iter().zip(expected) {
            let mut out = Masked::empty();
            stream.feed(part.as_bytes(), &mut out);
            stream.flush(&mut out);
            assert_eq!(shown(out.get()), expected, "{part:?}");
            assert!(!stream.has_partial());
        }
    }
}

#[test]
fn what_one_stream_wraps_is_followed_past_the_lines_of_another() {
    let masker = masker(&[("k", K)]);
    let mut one = MaskedStream::new(Arc::clone(&masker));
    let mut other = MaskedStream::new(masker);
    let mut out = Masked::empty();
    one.feed(format!("{}\n", &K[..10]).as_bytes(), &mut out);
    other.feed(b"another line\n", &mut out);
    one.feed(format!("{}\n", &K[10..20]).as_bytes(), &mut out);
    assert_eq!(
        shown(out.get()),
        "[REDACTED:k]\nanother line\n[REDACTED:k]\n"
    );
}

#[test]
fn a_long_line_is_cut_and_no_key_with_it() {
    let masker = masker(&[("k", K)]);
    for shift in (0..2200).step_by(97).chain(60..180) {
        let filler = "x".repeat(HELD_BYTES_MAX - shift);
        for between in ["", "\x1b[0m"] {
            let (head, tail) = K.split_at(50);
            let text = format!("{filler}{head}{between}{tail}{filler}{filler}\n");
            let expected = format!("{filler}[REDACTED:k]{between}{filler}{filler}\n");
            let got = masked_in_parts(&masker, text.as_bytes().chunks(4096));
            assert!(got == expected.as_bytes(), "shift {shift}");
            assert!(
                masked(&masker, text) == expected.as_bytes(),
                "shift {shift}"
            );
        }
    }
}

#[test]
fn debug_shows_labels_only() {
    let shown = format!("{:?}", masker(&[("work-1", K), ("work-2", G)]));
    assert_eq!(
        shown,
        r#"Masker ["[REDACTED:work-1]", "[REDACTED:work-2]"]"#
    );
}
