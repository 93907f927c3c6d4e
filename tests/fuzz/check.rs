//! What holds for the masker whatever it is fed: the check of the fuzz target (`tests/fuzz/masking.rs`) and of its
//! smoke test (`tests/it/masking.rs`).
//!
//! An input says where reads end in its first bytes, then names secrets and text: a byte below 8 stands for a part of
//! one of the secrets, every other one for itself, so that mutations soon hit upon keys that are cut and interrupted.

use std::sync::Arc;

use orchestrate::output::mask::{
    HELD_BYTES_MAX, Masked, MaskedStream, Masker, Secrets, UnknownKeys,
};

/// One of every kind: long, of a length with small windows, short, one that repeats itself.
const SECRETS: [&str; 4] = [
    "sk-made-up-Zr7pQ2mX9vLt4Kc8Ny1Bw6Hf3Jd5Gs0Ra7Ue2Io9Pq4Mz8Xk1Cv6Tb",
    "q7Wx\"9\\Lp/+=t2Vn4Rz",
    "Hj5$kQ8!",
    "abababababababababababababababababababababab",
];

/// So many bytes of a long secret are never shown in a row.
const WINDOW_BYTES: usize = 16;

/// How many bytes say where reads end.
const SIZES: usize = 4;

/// Masks what the input says, at once and in parts.
///
/// # Panics
///
/// When the output depends on the reads, shows a window of a secret, or grows beyond what marks can add.
pub(crate) fn check(input: &[u8]) {
    let Some((sizes, rest)) = input.split_at_checked(SIZES) else {
        return;
    };
    let text = text(rest);
    let masker = masker();
    let whole = masked(&masker, [&text[..]]);
    for size in sizes {
        let size = 1 + usize::from(*size);
        let in_parts = masked(&masker, text.chunks(size));
        assert!(
            in_parts == whole,
            "reads of {size} bytes give another output"
        );
    }
    for secret in SECRETS {
        let window = if secret.len() < 2 * WINDOW_BYTES {
            secret.len()
        } else {
            WINDOW_BYTES
        };
        for part in secret.as_bytes().windows(window) {
            let is_shown = memchr::memmem::find(&whole, part).is_some();
            assert!(!is_shown, "{} is shown", String::from_utf8_lossy(part));
        }
    }
    assert!(
        whole.len() <= 4 * text.len() + 64,
        "{} of {}",
        whole.len(),
        text.len()
    );
    assert!(whole == text || memchr::memmem::find(&whole, b"[REDACTED:").is_some());
}

fn masker() -> Arc<Masker> {
    let mut secrets = Secrets::default();
    for (label, secret) in ["a", "b", "c", "d"].iter().zip(SECRETS) {
        secrets.add_key(label, secret.as_bytes());
    }
    Arc::new(Masker::new(secrets, UnknownKeys::Masked))
}

fn text(input: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut bytes = input.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            0..=3 => {
                let secret = SECRETS[usize::from(byte)].as_bytes();
                let mut place = || usize::from(*bytes.next().unwrap_or(&0)) % (secret.len() + 1);
                let (from, to) = (place(), place());
                text.extend_from_slice(&secret[from.min(to)..from.max(to)]);
            }
            4..=7 => text.extend_from_slice(SECRETS[usize::from(byte - 4)].as_bytes()),
            // Lines longer than what is held.
            0xf7 => text.resize(text.len() + HELD_BYTES_MAX / 3, b'.'),
            _ => text.push(byte),
        }
        if text.len() > 8 * HELD_BYTES_MAX {
            break;
        }
    }
    text
}

fn masked<'a>(masker: &Arc<Masker>, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut stream = MaskedStream::new(Arc::clone(masker));
    let mut out = Masked::empty();
    for part in parts {
        stream.feed(part, &mut out);
    }
    stream.finish(&mut out);
    out.into_inner()
}
