//! The source `documents`: Markdown files with a number in their name and a status in their text.
//!
//! Reads below the workspace root, writes nothing; what a document says is judged in `approval.rs`.

use super::approval;
use super::collected::Collected;
use super::digest;
use super::files::stem;
use super::item::{ContentHash, Item, Readiness};
use super::matches::{self, Matches};
use super::slug;
use crate::disk::regular_file;
use crate::error::Result;
use crate::escape::shown;
use std::io::{self, Read};
use std::path::Path;

/// The largest document that is read, in bytes; a larger one is no document but an accident, and an unready item.
pub const DOCUMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Which documents are items, and which of those can be worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentQuery {
    /// The pattern, relative to the workspace root.
    pub glob: String,
    /// The status that a document must have, such as `approved`; without one, every document is ready.
    pub status: Option<String>,
}

/// The documents below `root` that match, sorted by number and then by id; those without a number come last.
///
/// The id is the file's stem (a slug and 8 hex digits of the path's SHA-256 when that is no valid id), the number the first run of
/// digits in it: headings are not trusted with it. The title is the first `# ` heading.
///
/// # Errors
///
/// A pattern that is no glob, or leads out of `root` (exit 2); a directory that cannot be listed, too many documents (exit 69).
pub fn read(query: &DocumentQuery, root: &Path) -> Result<Collected> {
    let Matches {
        paths,
        mut warnings,
        ..
    } = matches::below_root(&query.glob, root)?;
    let mut collected = Collected::default();
    for path in paths {
        let contents = match contents(&root.join(&path)) {
            Ok(contents) => contents,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                warnings.push(|| format!("{} has gone meanwhile", shown(&path)));
                continue;
            }
            Err(error) => Contents::unread(format!("cannot be read: {error}")),
        };
        collected.push(item(path, contents, query), "the source")?;
    }
    let order = |item: &Item| (item.number.is_none(), item.number, item.id.clone());
    let mut items = collected.items.into_vec();
    items.sort_by_cached_key(order);
    collected.items = items.into_iter().collect();
    collected.warnings = warnings.into_vec();
    Ok(collected)
}

/// A document's bytes, or why it was not read, and what changes when it does.
struct Contents {
    bytes: std::result::Result<Vec<u8>, String>,
    hash: String,
}

impl Contents {
    fn unread(why: String) -> Self {
        Self {
            bytes: Err(why),
            hash: String::new(),
        }
    }
}

fn contents(path: &Path) -> io::Result<Contents> {
    let (file, metadata) = regular_file::open(path)?;
    let mut bytes = Vec::new();
    let too_large = metadata.len() > DOCUMENT_BYTES_MAX || {
        file.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        bytes.len() as u64 > DOCUMENT_BYTES_MAX
    };
    if too_large {
        let bytes = metadata.len();
        let why = format!("has {bytes} bytes, and at most {DOCUMENT_BYTES_MAX} are read");
        return Ok(Contents {
            bytes: Err(why),
            hash: digest::stamp(&metadata),
        });
    }
    let hash = digest::of_bytes(&bytes);
    Ok(Contents {
        bytes: Ok(bytes),
        hash,
    })
}

fn item(path: String, contents: Contents, query: &DocumentQuery) -> Item {
    let (title, readiness) = match contents.bytes {
        Ok(bytes) => {
            // One stray byte must not hide a document: it is replaced, and stands in the title for all to see.
            let text = String::from_utf8_lossy(&bytes);
            let readiness = match &query.status {
                Some(wanted) => approval::judge(text.lines(), wanted),
                None => Readiness::Ready(String::new()),
            };
            (approval::title(text.lines()), readiness)
        }
        Err(why) => (String::new(), Readiness::Unready(why)),
    };
    let stem = stem(&path);
    Item {
        id: slug::id_of(stem, &path),
        number: slug::number_in(stem),
        title,
        text: path.clone(),
        path: Some(path),
        content_hash: ContentHash::Is(contents.hash),
        readiness,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    const APPROVED: &str = "# 1137 - Feature: Count the sheep\r\n\r\n## 1. Goal\r\n\
        * **Issue:** #137\r\n* **Status:** Approved (reviewer, 2026-01-01)\r\n";

    fn workspace(documents: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("active")).unwrap();
        for (name, text) in documents {
            fs::write(root.path().join("active").join(name), text).unwrap();
        }
        root
    }

    fn approved(root: &Path) -> Vec<Item> {
        let query = DocumentQuery {
            glob: "active/*.md".to_owned(),
            status: Some("approved".to_owned()),
        };
        let collected = read(&query, root).unwrap();
        assert_eq!(collected.warnings, [""; 0]);
        collected.items.into_vec()
    }

    #[test]
    fn a_document_becomes_an_item() {
        let root = workspace(&[("LLD-137.md", APPROVED.as_bytes())]);
        let items = approved(root.path());
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].id.as_str(), "LLD-137");
        assert_eq!(items[0].number, Some(137));
        assert_eq!(items[0].title, "1137 - Feature: Count the sheep");
        assert_eq!(items[0].path.as_deref(), Some("active/LLD-137.md"));
        assert_eq!(
            items[0].content_hash(),
            digest::of_bytes(APPROVED.as_bytes())
        );
        let ready = Readiness::Ready("approved (line 5)".to_owned());
        assert_eq!(items[0].readiness, ready);
    }

    #[test]
    fn documents_come_by_number_and_then_by_id() {
        let names = [
            "LLD-1688.md",
            "LLD-019.md",
            "notes.md",
            "LLD-086-b.md",
            "LLD-086-a.md",
            "LLD-200.md",
        ];
        let root = workspace(&names.map(|name| (name, &b"x"[..])));
        let ids: Vec<String> = approved(root.path())
            .into_iter()
            .map(|item| item.id.to_string())
            .collect();
        let sorted = [
            "LLD-019",
            "LLD-086-a",
            "LLD-086-b",
            "LLD-200",
            "LLD-1688",
            "notes",
        ];
        assert_eq!(ids, sorted);
    }

    #[test]
    fn odd_documents_are_read_all_the_same() {
        for (text, title, line) in [
            (
                &b"\xef\xbb\xbf* **Status:** Approved\n# LLD-1: A"[..],
                "LLD-1: A",
                1,
            ),
            (b"Status: Approved", "", 1),
            (b"# \xff\xfe\nStatus: Approved\xff", "\u{fffd}\u{fffd}", 2),
            (b"# A\nStatus: Approved\n```\nopen", "A", 2),
            (b"\0\0\n\nStatus: approved", "", 3),
        ] {
            let root = workspace(&[("LLD-001.md", text)]);
            let items = approved(root.path());
            assert_eq!(items[0].title, title);
            let ready = Readiness::Ready(format!("approved (line {line})"));
            assert_eq!(items[0].readiness, ready);
        }
    }

    #[test]
    fn without_a_wanted_status_every_document_is_ready() {
        let root = workspace(&[("a b.md", b"Status: Draft")]);
        let query = DocumentQuery {
            glob: "active/*.md".to_owned(),
            status: None,
        };
        let items = read(&query, root.path()).unwrap().items.into_vec();
        assert_eq!(items[0].readiness, Readiness::Ready(String::new()));
        assert!(items[0].id.as_str().starts_with("a-b-"));
        assert_eq!(items[0].number, None);
    }

    #[test]
    fn an_enormous_document_is_not_read() {
        let root = workspace(&[("LLD-001.md", b"")]);
        let file = File::create(root.path().join("active/LLD-001.md")).unwrap();
        file.set_len(DOCUMENT_BYTES_MAX + 1).unwrap();
        let items = approved(root.path());
        let why = "has 16777217 bytes, and at most 16777216 are read".to_owned();
        assert_eq!(items[0].readiness, Readiness::Unready(why));
        file.set_len(DOCUMENT_BYTES_MAX).unwrap();
        let items = approved(root.path());
        let none = "not approved: no status line in the first 40 lines and no final status";
        assert_eq!(items[0].readiness, Readiness::Unready(none.to_owned()));
    }
}
