//! The forms in which a value shows up in output: as it is, and as JSON, URLs, hexadecimal digits and base64 have it.
//!
//! Called once for each value when the masker is made. Pure.

use zeroize::Zeroizing;

/// One form of a value.
pub(super) struct Form {
    /// Its bytes.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Hexadecimal digits say half as much a byte as others do.
    pub(super) is_hex: bool,
}

/// All forms of `value`, itself first; the same bytes may come more than once.
pub(super) fn forms(value: &[u8]) -> Vec<Form> {
    let mut forms = vec![text(value.to_vec())];
    if let Ok(value) = std::str::from_utf8(value) {
        forms.push(text(json(value, None)));
        forms.push(text(json(value, Some(LOWER))));
        forms.push(text(json(value, Some(UPPER))));
    }
    for digits in [UPPER, LOWER] {
        forms.push(text(percent(value, b"-_.~", digits)));
        // What `encodeURIComponent` leaves alone, and what leaves a path a path.
        forms.push(text(percent(value, b"-_.~!*'()", digits)));
        forms.push(text(percent(value, b"-_.~/", digits)));
        forms.push(Form {
            bytes: Zeroizing::new(hex(value, digits)),
            is_hex: true,
        });
    }
    for alphabet in [BASE64, BASE64_URL] {
        for bytes_before in 0..3 {
            forms.push(text(base64_within(value, bytes_before, alphabet)));
        }
    }
    forms
}

type Digits = &'static [u8; 16];

const LOWER: Digits = b"0123456789abcdef";
const UPPER: Digits = b"0123456789ABCDEF";

/// RFC 4648, 4.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// RFC 4648, 5.
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn text(bytes: Vec<u8>) -> Form {
    Form {
        bytes: Zeroizing::new(bytes),
        is_hex: false,
    }
}

/// What stands between the quotes of a JSON string (RFC 8259, 7); with `digits`, characters beyond ASCII as `\u`.
fn json(value: &str, digits: Option<Digits>) -> Vec<u8> {
    // A vector that grows leaves copies behind that nobody wipes: a byte takes six at most.
    let mut out = Vec::with_capacity(6 * value.len());
    for character in value.chars() {
        let short = match character {
            '"' => Some(b'"'),
            '\\' => Some(b'\\'),
            '\u{8}' => Some(b'b'),
            '\u{c}' => Some(b'f'),
            '\n' => Some(b'n'),
            '\r' => Some(b'r'),
            '\t' => Some(b't'),
            _ => None,
        };
        match (short, digits) {
            (Some(letter), _) => out.extend([b'\\', letter]),
            (None, None) if character >= ' ' => push_utf8(character, &mut out),
            (None, Some(_)) if (' '..='~').contains(&character) => push_utf8(character, &mut out),
            (None, digits) => push_utf16(character, digits.unwrap_or(LOWER), &mut out),
        }
    }
    out
}

fn push_utf8(character: char, out: &mut Vec<u8>) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn push_utf16(character: char, digits: Digits, out: &mut Vec<u8>) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(br"\u");
        out.extend(hex(&unit.to_be_bytes(), digits));
    }
}

/// RFC 3986, 2.1: all but letters, digits and `kept` as `%` and two digits.
fn percent(value: &[u8], kept: &[u8], digits: Digits) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 * value.len());
    for byte in value {
        if byte.is_ascii_alphanumeric() || kept.contains(byte) {
            out.push(*byte);
        } else {
            out.push(b'%');
            out.extend(hex(&[*byte], digits));
        }
    }
    out
}

fn hex(value: &[u8], digits: Digits) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * value.len());
    for byte in value {
        out.push(digits[usize::from(byte >> 4)]);
        out.push(digits[usize::from(byte & 0xf)]);
    }
    out
}

/// The base64 of `value` behind so many other bytes (modulo three), less the characters at both ends that hold bits of
/// its neighbours too.
fn base64_within(value: &[u8], bytes_before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bits_before = 8 * bytes_before;
    let first = bits_before.div_ceil(6);
    let end = (bits_before + 8 * value.len()) / 6;
    let mut out = Vec::with_capacity(end.saturating_sub(first));
    for place in first..end {
        let bit = 6 * place - bits_before;
        let next = value.get(bit / 8 + 1).copied().unwrap_or(0);
        let pair = u16::from_be_bytes([value[bit / 8], next]);
        out.push(alphabet[usize::from(pair >> (10 - bit % 8) & 0x3f)]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_value_takes_the_forms_of_json_urls_and_digits() {
        let value = "a\"b\\\u{f6}/\u{1f511}\n\u{1}";
        for (got, expected) in [
            (json(value, None), "a\\\"b\\\\\u{f6}/\u{1f511}\\n\\u0001"),
            (
                json(value, Some(LOWER)),
                r#"a\"b\\\u00f6/\ud83d\udd11\n\u0001"#,
            ),
            (
                json(value, Some(UPPER)),
                r#"a\"b\\\u00F6/\uD83D\uDD11\n\u0001"#,
            ),
            (percent(b"a/+ =\xf6", b"-", UPPER), "a%2F%2B%20%3D%F6"),
            (percent(b"a/+ =\xf6", b"-/", LOWER), "a/%2b%20%3d%f6"),
            (hex(b"\x00\xfa", LOWER), "00fa"),
        ] {
            assert_eq!(shown(got), expected);
        }
    }

    #[test]
    fn base64_keeps_only_what_its_neighbours_do_not_change() {
        // Of `printf key-value | base64`, and the same with `x` and `xx` before it and `yy` behind it.
        for (before, expected) in [(0, "a2V5LXZhbHVl"), (1, "tleS12YWx1Z"), (2, "rZXktdmFsdW")] {
            assert_eq!(shown(base64_within(b"key-value", before, BASE64)), expected);
        }
        for (alphabet, expected) in [(BASE64, "/+++"), (BASE64_URL, "_---")] {
            assert_eq!(shown(base64_within(b"\xff\xef\xbe", 0, alphabet)), expected);
        }
    }
}
