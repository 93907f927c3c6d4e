//! Opening a file that a pattern found, without being caught by what is not a file.
//!
//! A FIFO in a directory of documents would block the collection for ever, and a device may do anything when it is read.

use nix::fcntl::OFlag;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::digest;

/// Opens `path` for reading when it is a regular file.
///
/// # Errors
///
/// The system's error; [`io::ErrorKind::InvalidInput`] when it is something else than a regular file.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // Non-blocking: the open of a FIFO returns at once, and the check is made on what was opened, not on its name.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

/// Stands in for the content hash of a file that is too large to be read for one: a hash of its size and modification time.
pub(crate) fn stamp(metadata: &Metadata) -> String {
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    // Times before 1970 all count as 1970: they occur on archives with broken times only.
    let modified = modified
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    digest::of_bytes(format!("{} {}", metadata.len(), modified.as_nanos()).as_bytes())
}
