//! What masks the keys of this run, and keys where nothing can be masked.

use std::os::unix::ffi::OsStrExt as _;

use crate::credential::secret::Secret;
use crate::error::{Error, Result};
use crate::items::collected::Collected;
use crate::output::mask::inherited::is_inherited_secret;
use crate::output::mask::{Masker, Secrets, UnknownKeys};
use crate::surroundings::Surroundings;

/// So many ids are searched for keys in one go.
const IDS_AT_ONCE: usize = 1024;

/// Masks the keys of the pool, and what children inherit that looks like one.
pub(super) fn masker(
    secrets: &[Secret],
    surroundings: &Surroundings,
    unknown: UnknownKeys,
) -> Masker {
    let mut known = Secrets::default();
    for secret in secrets {
        known.add_key(secret.label(), secret.expose().as_bytes());
    }
    for (name, value) in &surroundings.environment {
        let (name, value) = (name.to_string_lossy(), value.as_bytes());
        if is_inherited_secret(&name, value) {
            known.add_inherited(&name, value);
        }
    }
    Masker::new(known, unknown)
}

/// An id names files and records, where nothing can be masked: other records refer to it.
pub(super) fn refuse_keys_as_ids(items: &Collected, masker: &Masker) -> Result<()> {
    let items = &items.items;
    let redacted = |text: &str| {
        let harmless = masker.mask_text(text).into_owned();
        (harmless != text).then_some(harmless)
    };
    let ids = |first| (first..items.len().min(first + IDS_AT_ONCE)).map(|item| items.id(item));
    // Nearly always there is nothing to be found, which is seen sooner in many at once.
    let mut suspicious = (0..items.len())
        .step_by(IDS_AT_ONCE)
        .filter(|&first| redacted(&ids(first).collect::<Vec<_>>().join("\n")).is_some());
    let refused = suspicious.find_map(|first| ids(first).find_map(redacted));
    match refused {
        None => Ok(()),
        Some(harmless) => Err(Error::usage(format!("an item's id holds a key: {harmless}"))
            .with_hint("ids name files; take the key out of the list of items, and replace it: it may have been seen")),
    }
}
