//! What a key is called on disk: a digest of it that only this user can compute.
//!
//! The same key is the same name in every workspace, whatever its label, so pools that overlap meet. The salt keeps
//! anybody who sees the name from trying out whether it belongs to a key that they have.

use std::fmt;
use std::io::Read as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::credential::secret::Secret;
use crate::disk::held_directory::{Access, HeldDirectory};
use crate::disk::path_text::{shell_quoted, shown};
use crate::disk::whole_file;
use crate::error::{Error, Result};

const SALT: &str = "salt";
const SALT_BYTES: usize = 32;
/// Of the digest, this many hexadecimal digits are enough to tell a person's keys apart.
const DIGITS: usize = 12;

/// What names the digests of one user.
pub(super) struct Salt(Zeroizing<[u8; SALT_BYTES]>);

/// The name of a key on disk: 12 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(String);

impl Salt {
    /// Reads the salt, and makes it when there is none. Only under the lock of the directory.
    ///
    /// A salt that is damaged is not replaced: all keys would have new names, and runs that go on with the old ones
    /// would share them with the next unknowingly.
    pub(super) fn read_or_make(directory: &HeldDirectory) -> Result<Self> {
        if let Some(file) = directory.open_file(SALT, Access::Read)? {
            let mut bytes = Zeroizing::new(Vec::new());
            file.take(SALT_BYTES as u64 + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| directory.failed("read", SALT, &error))?;
            let salt = <[u8; SALT_BYTES]>::try_from(&bytes[..]).map_err(|_| damaged(directory))?;
            return Ok(Self(Zeroizing::new(salt)));
        }
        let mut salt = Zeroizing::new([0; SALT_BYTES]);
        // So few bytes come whole, or not at all (getrandom(2)).
        getrandom(&mut salt[..], GetRandomFlags::empty())
            .map_err(|errno| directory.failed("make", SALT, &errno.into()))?;
        whole_file::write_in(directory, SALT, &salt[..])
            .map_err(|error| directory.failed("make", SALT, &error))?;
        Ok(Self(salt))
    }

    /// The name of a key.
    pub(super) fn name(&self, secret: &Secret) -> Kid {
        let mut digest = Hmac::<Sha256>::new_from_slice(&self.0[..]).expect("any length will do");
        digest.update(secret.expose().as_bytes());
        let bytes = digest.finalize().into_bytes();
        let number = bytes.iter().take(DIGITS / 2);
        let number = number.fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        Kid(format!("{number:0DIGITS$x}"))
    }
}

fn damaged(directory: &HeldDirectory) -> Error {
    let path = directory.join(SALT);
    let message = format!(
        "`{}` is damaged: it has not {SALT_BYTES} bytes",
        shown(&path)
    );
    Error::state(message).with_hint(format!(
        "when no run goes on (pgrep -a orchestrate), forget what is known of all keys: mv {path} {path}.old",
        path = shell_quoted(&path)
    ))
}

impl Kid {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
