//! Content hashes: SHA-256 (FIPS 180-4) in lower-case hex digits.

use sha2::{Digest, Sha256};
use std::io::{self, Read};

/// How much of a file is in memory while it is hashed, in bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// The hash of `bytes`, 64 hex digits.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
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

fn hex(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = Vec::with_capacity(digest.len() * 2);
    for byte in digest {
        let [high, low] = [byte >> 4, byte & 15].map(usize::from);
        digits.extend_from_slice(&[DIGITS[high], DIGITS[low]]);
    }
    String::from_utf8(digits).expect("hex digits are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256() {
        // The example of FIPS 180-4, "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of_bytes(b"abc"), expected);
        assert_eq!(of_reader(&b"abc"[..]).unwrap(), expected);
        let long = vec![7; BLOCK_BYTES * 2 + 1];
        assert_eq!(of_reader(&long[..]).unwrap(), of_bytes(&long));
    }
}
