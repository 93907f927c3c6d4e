//! The status file of an attempt: made before it starts, and read when it is over.
//!
//! The item's own thread calls it. The file is read through the descriptor with which it was made, so that whatever an
//! item puts in its place, a link, a FIFO, a file of somebody else's, is never opened. What stands in it is for
//! [`crate::credential::told`] to judge.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::child::environment::add;
use crate::credential::told::{STATUS_BYTES_MAX, STATUS_VARIABLE};
use crate::items::item::ItemId;
use crate::state::directory::RunDirectory;

/// A status file.
pub(super) struct StatusFile(File);

impl StatusFile {
    /// Makes the file of one attempt, and tells its path in `environment`. When that cannot be, the attempt runs without
    /// one, and says what it has to say by how it ends.
    pub(super) fn give(
        run: &RunDirectory,
        item: &ItemId,
        attempt: u32,
        environment: &mut Vec<CString>,
    ) -> Option<Self> {
        let (file, path) = run.create_status(item, attempt).ok()?;
        add(environment, STATUS_VARIABLE, path.as_os_str()).ok()?;
        Some(Self(file))
    }

    /// The end of what stands in it; nothing when it cannot be read.
    pub(super) fn end(&self) -> Vec<u8> {
        // The byte before what is looked at says whether its first line is whole.
        const READ: usize = STATUS_BYTES_MAX + 1;
        let length = self.0.metadata().map_or(0, |metadata| metadata.len());
        let wanted = usize::try_from(length).map_or(READ, |length| length.min(READ));
        let mut end = vec![0; wanted];
        let read = self.0.read_exact_at(&mut end, length - wanted as u64);
        read.map_or_else(|_| Vec::new(), |()| end)
    }
}
