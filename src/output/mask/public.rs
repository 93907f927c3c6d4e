//! Takes a value apart into what is secret in it and what everybody knows: lines, armour, field names, headers.
//!
//! A needle over public text would mask ordinary output. Called once for each value when the masker is made. Pure.

use serde_json::Value;
use zeroize::Zeroizing;

/// Of a value with several lines, lines shorter than this many bytes (`}`, `{`) are no secret.
const SECRET_LINE_BYTES_MIN: usize = 8;

/// What the base64 of every private key of a kind begins with; the key itself comes behind it.
const HEADERS: &[&str] = &[
    // PKCS #8 with an RSA key: the algorithm, and how the key begins.
    "ADANBgkqhkiG9w0BAQEFAASC",
    // OpenSSH, without a passphrase.
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAB",
];

/// Words in the names of fields that hold a secret, in lower case.
const SECRET_FIELDS: &[&str] = &["key", "token", "secret", "password", "credential", "auth"];

/// A field that no name tells apart is taken for a secret from this many bytes on.
const SECRET_FIELD_BYTES_MIN: usize = 32;

/// The parts of `value` that are secret.
pub(super) fn secret_parts(value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    if let Some(fields) = secret_fields(value) {
        return fields.iter().flat_map(|field| lines(field)).collect();
    }
    lines(value)
}

/// The secret strings of a JSON object; `None` if it is none, or says nothing of what is secret in it.
fn secret_fields(value: &[u8]) -> Option<Vec<Zeroizing<Vec<u8>>>> {
    if !value.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let mut fields = Vec::new();
    // What serde_json holds meanwhile is not wiped; it lives for a moment at the start of the program.
    collect("", &serde_json::from_slice(value).ok()?, &mut fields);
    (!fields.is_empty()).then_some(fields)
}

fn collect(name: &str, value: &Value, fields: &mut Vec<Zeroizing<Vec<u8>>>) {
    match value {
        Value::Object(inner) => inner
            .iter()
            .for_each(|(name, it)| collect(name, it, fields)),
        Value::Array(inner) => inner.iter().for_each(|it| collect(name, it, fields)),
        Value::String(text) if is_secret_field(name, text) => {
            fields.push(Zeroizing::new(text.clone().into_bytes()));
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_secret_field(name: &str, text: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_address = text.contains("://") || text.contains('@');
    !is_address
        && (SECRET_FIELDS.iter().any(|word| name.contains(word))
            || text.len() >= SECRET_FIELD_BYTES_MIN)
}

/// The lines of a value as they can appear in output: without line ends, and without what is public in them.
fn lines(value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let is_armoured = memchr::memmem::find(value, b"-----BEGIN ").is_some();
    let one_line = !is_armoured && !value.contains(&b'\n');
    if one_line {
        return vec![Zeroizing::new(without_header(value).to_vec())];
    }
    let mut lines: Vec<&[u8]> = value.split(|&byte| byte == b'\n').collect();
    if is_armoured {
        // Variables often hold it on one line, with `\n` for its line ends, or with spaces.
        lines = lines.into_iter().flat_map(armoured_lines).collect();
    }
    lines
        .into_iter()
        .map(|line| without_header(line.trim_ascii()))
        .filter(|line| line.len() >= SECRET_LINE_BYTES_MIN)
        .map(|line| Zeroizing::new(line.to_vec()))
        .collect()
}

/// The body of a PEM block (RFC 7468), or of a line of one.
fn armoured_lines(line: &[u8]) -> Vec<&[u8]> {
    let mut rest = line;
    let mut parts = Vec::new();
    while let Some(dashes) = memchr::memmem::find(rest, b"-----") {
        parts.push(&rest[..dashes]);
        let label = &rest[dashes + 5..];
        let end = memchr::memmem::find(label, b"-----").map_or(label.len(), |end| end + 5);
        rest = &label[end..];
    }
    parts.push(rest);
    let pieces = parts
        .into_iter()
        .flat_map(|part| part.split(|&byte| byte == b' '));
    pieces.flat_map(at_escaped_line_ends).collect()
}

fn at_escaped_line_ends(text: &[u8]) -> Vec<&[u8]> {
    let mut rest = text;
    let mut lines = Vec::new();
    while let Some(place) = memchr::memmem::find(rest, br"\n") {
        let line = &rest[..place];
        lines.push(line.strip_suffix(br"\r").unwrap_or(line));
        rest = &rest[place + 2..];
    }
    lines.push(rest);
    lines
}

/// What follows the header of a signed token (JWT), or what the base64 of every key of a kind begins with.
fn without_header(line: &[u8]) -> &[u8] {
    if line.starts_with(b"eyJ") && memchr::memchr_iter(b'.', line).count() == 2 {
        let header = memchr::memchr(b'.', line).unwrap_or(0);
        return &line[header + 1..];
    }
    for header in HEADERS {
        if let Some(place) = memchr::memmem::find(line, header.as_bytes()) {
            return &line[place + header.len()..];
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: [&str; 2] = [
        "kWq8Zr7pQ2mX9vLt4Kc8Ny1Bw6Hf3Jd5",
        "Gs0Ra7Ue2Io9Pq4Mz8Xk1Cv6Tb3Wn5==",
    ];

    fn parts(value: &str) -> Vec<String> {
        let parts = secret_parts(value.as_bytes()).into_iter();
        parts
            .map(|part| String::from_utf8(part.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn the_body_of_a_private_key_is_secret_and_its_armour_is_not() {
        let [one, two] = BODY;
        for value in [
            format!("-----BEGIN PRIVATE KEY-----\n{one}\n{two}\n-----END PRIVATE KEY-----\n"),
            format!("-----BEGIN PRIVATE KEY-----\r\n{one}\r\n{two}\r\r\n-----END PRIVATE KEY-----"),
            format!("-----BEGIN PRIVATE KEY-----\\n{one}\\n{two}\\n-----END PRIVATE KEY-----\\n"),
            format!("-----BEGIN PRIVATE KEY----- {one} {two} -----END PRIVATE KEY-----"),
            format!(
                "{{\"type\": \"service_account\", \"auth_uri\": \"https://accounts.example/o\",\n\
                 \"client_email\": \"robot@example.iam\",\n\"private_key\": \
                 \"-----BEGIN PRIVATE KEY-----\\n{one}\\n{two}\\n-----END PRIVATE KEY-----\\n\"}}"
            ),
        ] {
            assert_eq!(parts(&value), BODY, "{value}");
        }
    }

    #[test]
    fn what_everybody_knows_is_left_out() {
        for (value, expected) in [
            ("plain-value", vec!["plain-value"]),
            (
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
                vec!["eyJzdWIiOiIxIn0.c2lnbmF0dXJl"],
            ),
            ("{\nfirst-line-of-it\nx\n}", vec!["first-line-of-it"]),
            (r#"{"name":"short"}"#, vec![r#"{"name":"short"}"#]),
            (
                "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n",
                vec!["BKcwggSj"],
            ),
        ] {
            assert_eq!(parts(value), expected);
        }
    }
}
