//! The source `files`: each regular file that a pattern matches is an item.
//!
//! Reads names and contents below the workspace root, writes nothing. The id of a file follows from its own path and the
//! pattern, never from the other files: an item keeps its id, and so its place in the journal, when files come and go.

use super::collected::Collected;
use super::digest;
use super::item::{ContentHash, Item, ItemId, Readiness};
use super::matches::{self, Matches};
use super::slug;
use super::walk::has_wildcard;
use crate::disk::regular_file;
use crate::error::Result;
use crate::escape::shown;
use std::io::{self, Read};
use std::path::Path;

/// The largest file whose content is hashed, in bytes; a larger one counts as changed when its size or modification time changes.
pub const HASHED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The files below `root` that match `pattern`, sorted by path.
///
/// The id is the path below the pattern's directories without wildcards, `/` written as `-`, without the extension
/// unless the pattern leaves the extension open (`photos/cat.*`); when that is no valid id, a slug of it and 8 hex digits of the
/// path's SHA-256. A file that cannot be read is an unready item.
///
/// # Errors
///
/// A pattern that is no glob, or leads out of `root` (exit 2); a directory that cannot be listed, too many files (exit 69).
pub fn read(pattern: &str, root: &Path) -> Result<Collected> {
    let Matches {
        paths,
        mut warnings,
        literal_directory,
    } = matches::below_root(pattern, root)?;
    let open_extension = leaves_extension_open(pattern);
    let mut collected = Collected::default();
    for path in paths {
        let (content_hash, readiness) = match content_hash(&root.join(&path)) {
            Ok(hash) => (hash, Readiness::Ready(String::new())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                warnings.push(|| format!("{} has gone meanwhile", shown(&path)));
                continue;
            }
            Err(error) => {
                let reason = format!("cannot be read: {error}");
                (String::new(), Readiness::Unready(reason))
            }
        };
        let item = Item {
            id: id(&path, &literal_directory, open_extension),
            number: slug::number_in(stem(&path)),
            title: String::new(),
            text: path.clone(),
            path: Some(path),
            content_hash: ContentHash::Is(content_hash),
            readiness,
        };
        collected.push(item, "the source")?;
    }
    collected.warnings = warnings.into_vec();
    Ok(collected)
}

fn content_hash(path: &Path) -> io::Result<String> {
    let (file, metadata) = regular_file::open(path)?;
    if metadata.len() > HASHED_BYTES_MAX {
        return Ok(digest::stamp(&metadata));
    }
    digest::of_reader(file.take(HASHED_BYTES_MAX))
}

/// Whether files that differ only in their extension can match: then the extension belongs to the id.
fn leaves_extension_open(pattern: &str) -> bool {
    let name = pattern.rsplit('/').next().unwrap_or(pattern);
    name.rsplit_once('.')
        .is_none_or(|(_, extension)| has_wildcard(extension))
}

fn id(path: &str, literal_directory: &str, open_extension: bool) -> ItemId {
    let path = path.strip_prefix("./").unwrap_or(path);
    let below = path
        .strip_prefix(literal_directory)
        .unwrap_or(path)
        .trim_start_matches('/');
    let text = if open_extension {
        below
    } else {
        &below[..below.len() - extension_bytes(below)]
    };
    slug::id_of(&text.replace('/', "-"), path)
}

/// The name of a file without its directories and its last extension.
pub(crate) fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    &name[..name.len() - extension_bytes(name)]
}

/// The length of the last extension with its dot; a name that only begins with a dot has none.
fn extension_bytes(path: &str) -> usize {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rfind('.') {
        None | Some(0) => 0,
        Some(dot) => name.len() - dot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        root
    }

    fn ids(pattern: &str, root: &Path) -> Vec<String> {
        let items = read(pattern, root).unwrap().items.into_vec();
        items.into_iter().map(|item| item.id.to_string()).collect()
    }

    #[test]
    fn the_id_comes_from_the_path_and_the_pattern() {
        for (pattern, path, expected) in [
            ("photos/*.jpg", "photos/cat.jpg", "cat"),
            ("photos/cat.*", "photos/cat.jpg", "cat.jpg"),
            ("photos/*", "photos/cat.jpg", "cat.jpg"),
            ("photos/**", "photos/a/cat.jpg", "a-cat.jpg"),
            ("photos/**/*.jpg", "photos/a/b/cat.jpg", "a-b-cat"),
            ("*.tar.gz", "x.tar.gz", "x.tar"),
            ("a/b.txt", "a/b.txt", "b"),
            ("photos/*.[jp]*", "photos/cat.jpg", "cat.jpg"),
            ("*/x.md", "a.b/x.md", "a.b-x"),
            ("-*.md", "./-rf.md", "rf-#"),
            ("*.md", "a b.md", "a-b-#"),
        ] {
            let directory = crate::items::walk::PathPattern::parse(pattern).unwrap();
            let id = id(
                path,
                &directory.literal_directory(),
                leaves_extension_open(pattern),
            );
            let hash = &digest::of_bytes(path.trim_start_matches("./").as_bytes())[..8];
            assert_eq!(id.as_str(), expected.replace('#', hash), "{pattern} {path}");
        }
    }

    #[test]
    fn a_file_keeps_its_id_when_others_come() {
        let root = tree(&["p/cat.jpg"]);
        let before = ids("p/**/*.jpg", root.path());
        fs::create_dir(root.path().join("p/sub")).unwrap();
        fs::write(root.path().join("p/sub/cat.jpg"), "").unwrap();
        fs::write(root.path().join("p/cat.png"), "").unwrap();
        let after = ids("p/**/*.jpg", root.path());
        assert_eq!(before, ["cat"]);
        assert_eq!(after, ["cat", "sub-cat"]);
    }

    #[test]
    fn files_come_sorted_by_path() {
        let root = tree(&["b.md", "a/x.md", "a-b/x.md", "a.md"]);
        let items = read("**/*.md", root.path()).unwrap().items.into_vec();
        let paths: Vec<_> = items.iter().map(|item| item.text.as_str()).collect();
        assert_eq!(paths, ["a-b/x.md", "a.md", "a/x.md", "b.md"]);
    }

    #[test]
    fn an_item_has_path_number_and_hash() {
        let root = tree(&["in/0042-x.txt"]);
        let collected = read("in/*.txt", root.path()).unwrap();
        let expected = Item {
            id: ItemId::new("0042-x").unwrap(),
            number: Some(42),
            title: String::new(),
            path: Some("in/0042-x.txt".to_owned()),
            text: "in/0042-x.txt".to_owned(),
            content_hash: ContentHash::Is(digest::of_bytes(b"in/0042-x.txt")),
            readiness: Readiness::Ready(String::new()),
        };
        assert_eq!(collected.items.into_vec(), [expected]);
        assert_eq!(collected.warnings, [""; 0]);
    }

    #[test]
    fn a_path_never_looks_like_an_option() {
        let root = tree(&["-rf.txt", "a.txt"]);
        let items = read("*.txt", root.path()).unwrap().items.into_vec();
        assert_eq!(items[0].path.as_deref(), Some("./-rf.txt"));
        assert!(items[0].id.as_str().starts_with("rf-"));
        assert_eq!(items[1].path.as_deref(), Some("a.txt"));
    }

    #[test]
    fn only_regular_files_below_the_root_are_items() {
        let root = tree(&["in/a.txt", "in/dir.txt/x"]);
        let outside = tree(&["secret.txt"]);
        let at = |name: &str| root.path().join(name);
        symlink("a.txt", at("in/link.txt")).unwrap();
        symlink(outside.path().join("secret.txt"), at("in/out.txt")).unwrap();
        symlink("gone", at("in/gone.txt")).unwrap();
        symlink(outside.path(), at("elsewhere")).unwrap();
        nix::unistd::mkfifo(&at("in/pipe.txt"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let collected = read("in/*.txt", root.path()).unwrap();
        let paths: Vec<_> = collected
            .items
            .iter()
            .map(|i| i.into_owned().text)
            .collect();
        assert_eq!(paths, ["in/a.txt", "in/link.txt"]);
        assert_eq!(
            collected.warnings,
            ["in/out.txt leads out of the workspace and is left out"]
        );
        let through_directory = read("elsewhere/*.txt", root.path()).unwrap();
        assert!(through_directory.items.is_empty());
    }

    #[test]
    fn a_pattern_out_of_the_workspace_is_refused() {
        let root = tree(&["a/x"]);
        for pattern in ["/etc/*", "../*", "a/../../*", "a["] {
            let error = read(pattern, root.path()).unwrap_err();
            assert_eq!(error.status().code(), 2, "{pattern}");
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn nothing_found_is_explained() {
        let root = tree(&["a/x.txt"]);
        for (pattern, warning) in [
            (
                "b/*.txt",
                "no file matches \"b/*.txt\": there is no directory b",
            ),
            ("a/*.jpg", "no file matches \"a/*.jpg\""),
            (
                "a/*.{txt,md}",
                "no file matches \"a/*.{txt,md}\": braces are literal in a pattern",
            ),
        ] {
            let collected = read(pattern, root.path()).unwrap();
            assert_eq!(collected.warnings, [warning]);
        }
    }

    #[test]
    fn a_large_file_is_known_by_size_and_time() {
        let root = tree(&["a.bin"]);
        let file = File::create(root.path().join("a.bin")).unwrap();
        file.set_len(HASHED_BYTES_MAX + 1).unwrap();
        let one = read("*.bin", root.path()).unwrap();
        file.set_len(HASHED_BYTES_MAX + 2).unwrap();
        let other = read("*.bin", root.path()).unwrap();
        assert_ne!(
            one.items.get(0).content_hash(),
            other.items.get(0).content_hash()
        );
        assert_eq!(one.items.get(0).content_hash().len(), 64);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_unready() {
        let root = tree(&["a.txt"]);
        let path = root.path().join("a.txt");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        if File::open(&path).is_ok() {
            eprintln!("SKIP: root may read everything");
            return;
        }
        let items = read("*.txt", root.path()).unwrap().items.into_vec();
        assert!(matches!(&items[0].readiness, Readiness::Unready(why) if why.contains("denied")));
    }
}
