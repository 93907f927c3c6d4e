//! Which variables of our own environment are masked though nobody declared them as keys.
//!
//! Called once at the start of a run. Children inherit them, so a child that prints its environment prints them. A
//! name is only a hint: a value that is an ordinary word, number, path or address is no needle, because masking it
//! would spoil ordinary output and hide nothing. Pure.

use super::needle::SECRET_BYTES_MIN;
use super::shape::entropy_bits;

/// How the names of such variables end.
const SECRET_NAMES: &[&str] = &["_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_CREDENTIALS"];

/// Variables of such a name with a value that is public: the container images of Python tell in `GPG_KEY` with which
/// key a release was signed.
const PUBLIC_NAMES: &[&str] = &["GPG_KEY"];

/// Words and numbers of at least this many bytes are none that ordinary output holds.
const WORD_BYTES_MAX: usize = 16;

/// Less than this many bits a byte have `xxxxxxxx` and its kind.
const ENTROPY_BITS_MIN: f64 = 2.0;

/// Whether the value of a variable is a secret, as far as its name and its looks tell.
#[must_use]
pub fn is_inherited_secret(name: &str, value: &[u8]) -> bool {
    SECRET_NAMES.iter().any(|end| name.ends_with(end))
        && !PUBLIC_NAMES.contains(&name)
        && value.len() >= SECRET_BYTES_MIN
        && !is_ordinary(value)
}

fn is_ordinary(value: &[u8]) -> bool {
    is_word(value) || is_path(value) || is_address(value) || entropy_bits(value) < ENTROPY_BITS_MIN
}

/// Letters with `-`, `_`, `.` between them (`changeme`, `not-needed`), or digits alone.
fn is_word(value: &[u8]) -> bool {
    let letters = |byte: &u8| byte.is_ascii_alphabetic() || b"-_. ".contains(byte);
    value.len() < WORD_BYTES_MAX
        && (value.iter().all(letters) || value.iter().all(u8::is_ascii_digit))
}

/// `/etc/keys/service.json`, `~/.ssh/id_ed25519`, `./token`. Base64 may begin with a slash too, but mixes digits and
/// letters of both kinds over long stretches.
fn is_path(value: &[u8]) -> bool {
    let begins = [b"/".as_slice(), b"~/", b"./", b"../"];
    let looks_random = |name: &[u8]| {
        name.len() >= 20
            && name.iter().any(u8::is_ascii_digit)
            && name.iter().any(u8::is_ascii_uppercase)
            && name.iter().any(u8::is_ascii_lowercase)
    };
    begins.iter().any(|begin| value.starts_with(begin))
        && !value.split(|&byte| byte == b'/').any(looks_random)
}

/// An address without a user, a password or parameters.
fn is_address(value: &[u8]) -> bool {
    memchr::memmem::find(value, b"://").is_some() && !value.iter().any(|byte| b"@?=".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_the_name_and_the_looks_of_one() {
        for (name, value, expected) in [
            ("X_TOKEN", "hunter2-hunter2", true),
            ("X_TOKEN", "tr0ub4dor", true),
            ("X_SECRET", "correcthorsebatterystaple", true),
            ("DB_PASSWORD", "postgres://me:pass@host/db", true),
            ("X_KEY", "/9j4AAQSkZJRgABAQEASABIAAD/2wBDAAMC", true),
            ("X_TOKENS", "hunter2-hunter2", false),
            ("PATH", "hunter2-hunter2", false),
            ("GPG_KEY", "A035C8C19219BA821ECEA86B64E628F8D684696D", false),
            ("X_TOKEN", "true", false),
            ("X_TOKEN", "short-1", false),
            ("X_TOKEN", "changeme", false),
            ("X_PASSWORD", "not-needed", false),
            ("X_KEY", "20261123", false),
            ("X_KEY", "xxxxxxxxxxxxxxxxxxxxxxxx", false),
            (
                "GOOGLE_APPLICATION_CREDENTIALS",
                "/etc/keys/service-account-1.json",
                false,
            ),
            ("SSH_KEY", "~/.ssh/id_ed25519", false),
            ("X_KEY", "https://keys.example/v1", false),
        ] {
            let got = is_inherited_secret(name, value.as_bytes());
            assert_eq!(got, expected, "{name}={value}");
        }
    }
}
