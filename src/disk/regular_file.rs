//! Opening a file that somebody else may have put there, without being caught by what is no file.
//!
//! A FIFO would block the reader for ever, and a device may do anything when it is read.

use nix::fcntl::OFlag;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens `path` for reading when it is a regular file.
///
/// # Errors
///
/// The system's error; [`io::ErrorKind::InvalidInput`] when it is something else than a regular file.
pub fn open(path: &Path) -> io::Result<(File, Metadata)> {
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
