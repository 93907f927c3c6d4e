//! All of a directory, to be compared with itself at another time.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What a path is and holds. The time is that of the last change of content, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    mode: u32,
    changed_ns: i128,
    content: Vec<u8>,
}

/// Every path below `root`, and `root` itself.
pub(crate) fn listing(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    add(root, &mut found);
    found
}

fn add(path: &Path, found: &mut BTreeMap<PathBuf, Entry>) {
    let metadata = fs::symlink_metadata(path).expect("what is listed exists");
    let kind = metadata.file_type();
    let content = if kind.is_file() {
        fs::read(path).expect("what is listed can be read")
    } else if kind.is_symlink() {
        let target = fs::read_link(path).expect("a link can be read");
        target.as_os_str().as_bytes().to_vec()
    } else {
        Vec::new()
    };
    let entry = Entry {
        mode: metadata.mode(),
        changed_ns: i128::from(metadata.mtime()) * 1_000_000_000
            + i128::from(metadata.mtime_nsec()),
        content,
    };
    found.insert(path.to_owned(), entry);
    if kind.is_dir() {
        for below in fs::read_dir(path).expect("a directory can be read") {
            add(&below.expect("an entry can be read").path(), found);
        }
    }
}

/// Every file below `root` whose bytes contain `needle`; none may, when it is a key.
pub(crate) fn files_with(root: &Path, needle: &[u8]) -> Vec<PathBuf> {
    listing(root)
        .into_iter()
        .filter(|(_, entry)| memchr::memmem::find(&entry.content, needle).is_some())
        .map(|(path, _)| path)
        .collect()
}
