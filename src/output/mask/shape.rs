//! Keys that nobody told us about, known by how their issuers make them: a fixed beginning and a random rest.
//!
//! Only what cannot be much else is listed: a word before it, letters behind it, hashes and base64 never match. Pure.

use aho_corasick::{AhoCorasick, MatchKind};

use super::mark::Mark;

/// How a kind of key looks.
struct Shape {
    /// Says whose it is, in `[REDACTED:?issuer]`.
    issuer: &'static str,
    prefix: &'static str,
    /// Which bytes follow.
    body: Body,
    /// How many of them, at least and at most.
    lengths: (usize, usize),
}

#[derive(Clone, Copy)]
enum Body {
    /// Letters and digits.
    Alphanumeric,
    /// These, `-` and `_`.
    Word,
    /// Upper case letters and digits.
    Upper,
    /// Lower case hexadecimal digits.
    Hex,
}

/// No listed body is longer; what is longer is something else.
pub(super) const SHAPE_BYTES_MAX: usize = 320;

/// Fewer bits a byte have placeholders: `ghp_xxxxxxxx…`.
const ENTROPY_BITS_MIN: f64 = 3.0;

/// A word by which documentation marks its examples.
const EXAMPLE: &[u8] = b"EXAMPLE";

const fn shape(
    issuer: &'static str,
    prefix: &'static str,
    body: Body,
    lengths: (usize, usize),
) -> Shape {
    Shape {
        issuer,
        prefix,
        body,
        lengths,
    }
}

/// Longer beginnings stand before the shorter ones that they begin with.
const SHAPES: &[Shape] = &[
    shape("anthropic", "sk-ant-", Body::Word, (32, 200)),
    shape("openrouter", "sk-or-v1-", Body::Hex, (64, 64)),
    shape("openai", "sk-proj-", Body::Word, (40, 250)),
    shape("openai", "sk-svcacct-", Body::Word, (40, 250)),
    shape("openai", "sk-admin-", Body::Word, (40, 250)),
    shape("openai", "sk-", Body::Alphanumeric, (48, 48)),
    shape("groq", "gsk_", Body::Alphanumeric, (52, 52)),
    shape("xai", "xai-", Body::Alphanumeric, (80, 80)),
    shape("huggingface", "hf_", Body::Alphanumeric, (34, 40)),
    shape("google", "AIza", Body::Word, (35, 35)),
    shape("github", "ghp_", Body::Alphanumeric, (36, 36)),
    shape("github", "gho_", Body::Alphanumeric, (36, 36)),
    shape("github", "ghu_", Body::Alphanumeric, (36, 36)),
    shape("github", "ghs_", Body::Alphanumeric, (36, 36)),
    shape("github", "ghr_", Body::Alphanumeric, (36, 76)),
    shape("github", "github_pat_", Body::Word, (82, 82)),
    shape("gitlab", "glpat-", Body::Word, (20, 64)),
    shape("aws", "AKIA", Body::Upper, (16, 16)),
    shape("aws", "ASIA", Body::Upper, (16, 16)),
    shape("slack", "xoxb-", Body::Word, (40, 100)),
    shape("slack", "xoxp-", Body::Word, (40, 100)),
    shape("stripe", "sk_live_", Body::Alphanumeric, (24, 120)),
    shape("stripe", "rk_live_", Body::Alphanumeric, (24, 120)),
    shape("npm", "npm_", Body::Alphanumeric, (36, 36)),
];

/// Looks for shapes.
pub(super) struct Shapes {
    beginnings: AhoCorasick,
}

impl Shapes {
    pub(super) fn new() -> Self {
        let prefixes = SHAPES.iter().map(|shape| shape.prefix);
        // The fewer beginnings, the fewer places that look like one in vain.
        let is_shortest = |prefix: &&str| {
            let begins_so =
                |other: &Shape| *prefix != other.prefix && prefix.starts_with(other.prefix);
            !SHAPES.iter().any(begins_so)
        };
        let beginnings = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(prefixes.filter(is_shortest))
            .expect("a handful of short literals make an automaton");
        Self { beginnings }
    }

    /// What is written in place of each, by its number.
    pub(super) fn replacements() -> impl Iterator<Item = String> {
        SHAPES
            .iter()
            .map(|shape| format!("[REDACTED:?{}]", shape.issuer))
    }

    /// Tells every key that stands in `text`, by its shape's number. The work that it was is counted.
    pub(super) fn search(&self, text: &[u8], bytes_compared: &mut u64, mut take: impl FnMut(Mark)) {
        for found in self.beginnings.find_iter(text) {
            let start = found.start();
            let begins_word = start == 0 || !is_word(text[start - 1]);
            if !begins_word {
                continue;
            }
            let Some((number, shape, body)) = shape_of(&text[start..]) else {
                continue;
            };
            let near = &body[..body.len().min(SHAPE_BYTES_MAX)];
            let length = near
                .iter()
                .take_while(|&&byte| shape.body.holds(byte))
                .count();
            *bytes_compared += length as u64;
            let ends_word = body.get(length).is_none_or(|&byte| !is_word(byte));
            let (least, most) = shape.lengths;
            if ends_word && (least..=most).contains(&length) && looks_random(&body[..length]) {
                let owner = u32::try_from(number).expect("a handful of shapes");
                take(Mark {
                    start,
                    end: start + shape.prefix.len() + length,
                    owner,
                });
            }
        }
    }

    /// How many bytes at the end of `text` are the beginning of a shape, the body of which may go on.
    pub(super) fn pending_bytes(&self, text: &[u8]) -> usize {
        let near = &text[text.len() - text.len().min(SHAPE_BYTES_MAX)..];
        let mut found = self.beginnings.find_iter(near);
        let pending = found.find(|found| {
            let start = found.start();
            let begins_word = start == 0 || !is_word(near[start - 1]);
            let goes_on = |(_, shape, body): (usize, &Shape, &[u8])| {
                body.iter().all(|&byte| shape.body.holds(byte))
            };
            begins_word && shape_of(&near[start..]).is_some_and(goes_on)
        });
        pending.map_or(0, |found| near.len() - found.start())
    }
}

impl Body {
    const fn holds(self, byte: u8) -> bool {
        match self {
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Word => is_word(byte) || byte == b'-',
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        }
    }
}

/// The shape with the beginning of which `text` begins, its number, and what follows.
fn shape_of(text: &[u8]) -> Option<(usize, &'static Shape, &[u8])> {
    let mut shapes = SHAPES.iter().enumerate();
    shapes.find_map(|(number, shape)| {
        let body = text.strip_prefix(shape.prefix.as_bytes())?;
        Some((number, shape, body))
    })
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn looks_random(body: &[u8]) -> bool {
    entropy_bits(body) >= ENTROPY_BITS_MIN && memchr::memmem::find(body, EXAMPLE).is_none()
}

/// The entropy of the bytes, in bits a byte (Shannon).
pub(super) fn entropy_bits(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX).max(1));
    let shares = counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| f64::from(count) / total);
    -shares.map(|share| share * share.log2()).sum::<f64>()
}
