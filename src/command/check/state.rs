//! Whether what a run has to remember can be written where it belongs.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::super::Site;
use super::failed;
use crate::report::checklist::{Finding, Health};
use crate::state::directory::StateDirectory;

const SUBJECT: &str = "state";

/// With less than this, in bytes, the logs of a night may not fit.
const FREE_MIN: u64 = 1 << 30;

/// Looks at `.orchestrate/`, or at where it will lie.
pub(super) fn look(site: &Site<'_>) -> Finding {
    let root = &site.place.root;
    let found = StateDirectory::refuse_network(root).and_then(|()| StateDirectory::find(root));
    let path = match &found {
        Ok(Some(state)) => state.path().to_owned(),
        Ok(None) => root.clone(),
        Err(error) => return failed(SUBJECT, error),
    };
    if let Err(errno) = access(&path, AccessFlags::W_OK | AccessFlags::X_OK) {
        let words = format!("{} cannot be written: {}", path.display(), errno.desc());
        return Finding::new(SUBJECT, Health::Bad, words)
            .with_remedy("make it writable for the user that runs orchestrate");
    }
    let words = format!("{} can be written", path.display());
    match free(&path) {
        Some(bytes) if bytes < FREE_MIN => {
            let words = format!("{words}, but only {} MiB are free", bytes >> 20);
            Finding::new(SUBJECT, Health::Doubtful, words)
                .with_remedy("the logs of a long run need more; a run drains when the disk is full")
        }
        Some(bytes) => Finding::good(SUBJECT, format!("{words}, {} GiB are free", bytes >> 30)),
        None => Finding::good(SUBJECT, words),
    }
}

/// What is free for us, in bytes; nothing when nobody knows.
fn free(path: &Path) -> Option<u64> {
    let room = statvfs(path).ok()?;
    Some(room.blocks_available().saturating_mul(room.fragment_size()))
}
