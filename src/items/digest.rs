//! Content hashes: SHA-256 (FIPS 180-4) in lower-case hex digits.

use sha2::{Digest, Sha256};
use std::fs::Metadata;
use std::io::{self, Read};
use std::time::{Duration, UNIX_EPOCH};

/// How much of a file is in memory while it is hashed, in bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// The hash of `bytes`, 64 hex digits.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Whether `digits` are the hash of `bytes`.
pub(crate) fn is_of_bytes(bytes: &[u8], digits: &str) -> bool {
    let pairs = digits.as_bytes().chunks(2);
    let digest = Sha256::digest(bytes);
    pairs.len() == digest.len()
        && digest
            .iter()
            .zip(pairs)
            .all(|(&byte, pair)| pair == hex_pair(byte))
}

/// The hash of everything that `reader` gives, read in blocks.
pub(crate) fn of_reader(mut reader: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match reader.read(&mut block) {
            Ok(0) => return Ok(hex(&hasher.finalize())),
            Ok(count) => hasher.update(&block[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Stands in for the content hash of a file that is too large to be read for one: a hash of its size and modification time.
pub(crate) fn stamp(metadata: &Metadata) -> String {
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    // Times before 1970 all count as 1970: they occur on archives with broken times only.
    let modified = modified
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    of_bytes(format!("{} {}", metadata.len(), modified.as_nanos()).as_bytes())
}

fn hex(digest: &[u8]) -> String {
    let digits = digest.iter().flat_map(|&byte| hex_pair(byte)).collect();
    String::from_utf8(digits).expect("hex digits are ASCII")
}

fn hex_pair(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256() {
        // The example of FIPS 180-4, "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of_bytes(b"abc"), expected);
        assert!(is_of_bytes(b"abc", expected));
        for other in [
            "",
            &expected[1..],
            &expected[2..],
            &format!("{expected}a"),
            &expected.to_uppercase(),
        ] {
            assert!(!is_of_bytes(b"abc", other), "{other}");
        }
        assert!(!is_of_bytes(b"abd", expected));
        assert_eq!(of_reader(&b"abc"[..]).unwrap(), expected);
        let long = vec![7; BLOCK_BYTES * 2 + 1];
        assert_eq!(of_reader(&long[..]).unwrap(), of_bytes(&long));
    }
}
