//! Matching a pattern against directories, each of which is listed only once.
//!
//! Documents, files and done files are all found here, so that they agree on what a pattern means: `*`, `?` and `[a-z]` within one
//! component, `**` for any number of directories, hidden names only when the pattern names the dot. A `**` does not follow
//! symbolic links, so it ends. Listings are kept sorted: a hundred thousand questions about one directory cost one listing and
//! a binary search each.

use crate::error::{Error, Result};
use crate::escape::{quoted, shown};
use std::collections::HashMap;
use std::fs::FileType;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How many directory entries are listed in one run at most.
///
/// Bounds the memory that a `**` over a whole disk can take.
const ENTRIES_MAX: usize = 4_000_000;

/// How deep a `**` goes, in directories.
const DEPTH_MAX: usize = 64;

const MATCHING: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// A pattern for paths, one matcher a component.
#[derive(Debug, Clone)]
pub(crate) struct PathPattern {
    absolute: bool,
    components: Vec<Component>,
}

#[derive(Debug, Clone)]
enum Component {
    Literal(String),
    Glob {
        /// What every match begins with.
        prefix: String,
        pattern: glob::Pattern,
    },
    AnyDepth,
}

impl PathPattern {
    /// Reads a pattern; components are separated by `/`.
    ///
    /// # Errors
    ///
    /// A component that is no glob (exit 2).
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut parts: Vec<&str> = text
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
        // As in a shell, a pattern that ends in `**` means everything below.
        if parts.last() == Some(&"**") {
            parts.push("*");
        }
        parts.dedup_by(|part, before| *part == "**" && part == before);
        let component = |part| {
            component(part).map_err(|error| {
                Error::usage(format!("{} is no pattern: {}", quoted(text), error.msg))
                    .with_hint("a pattern has *, ?, [abc] and **; write [*] for a literal *")
            })
        };
        let components = parts.into_iter().map(component).collect::<Result<_>>()?;
        Ok(Self {
            absolute: text.starts_with('/'),
            components,
        })
    }

    /// Whether it can only match below the directory that it starts from.
    pub(crate) fn stays_inside(&self) -> bool {
        let climbs =
            |component: &Component| matches!(component, Component::Literal(name) if name == "..");
        !self.absolute && !self.components.iter().any(climbs)
    }

    /// The leading components without wildcards, the last component aside.
    pub(crate) fn literal_directory(&self) -> String {
        let directories = self.components.split_last().map_or(&[][..], |(_, all)| all);
        let names = directories.iter().map_while(|component| match component {
            Component::Literal(name) => Some(name.as_str()),
            Component::Glob { .. } | Component::AnyDepth => None,
        });
        names.collect::<Vec<_>>().join("/")
    }
}

/// Whether glob syntax leaves the text open: anything but a plain name.
pub(crate) fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '[', ']'])
}

fn component(part: &str) -> std::result::Result<Component, glob::PatternError> {
    if part == "**" {
        return Ok(Component::AnyDepth);
    }
    let (prefix, rest) = literal_prefix(part);
    if rest.is_empty() {
        return Ok(Component::Literal(prefix));
    }
    let pattern = glob::Pattern::new(part)?;
    Ok(Component::Glob { prefix, pattern })
}

/// The literal beginning of a component, `[*]` and its like (what `glob::Pattern::escape` makes) unescaped, and the rest.
fn literal_prefix(part: &str) -> (String, &str) {
    let mut prefix = String::new();
    let mut rest = part;
    while let Some(first) = rest.chars().next() {
        let escaped = ["[*]", "[?]", "[[]", "[]]"]
            .into_iter()
            .find(|escaped| rest.starts_with(escaped));
        match (escaped, first) {
            (Some(escaped), _) => {
                prefix.push_str(&escaped[1..2]);
                rest = &rest[escaped.len()..];
            }
            (None, '*' | '?' | '[') => break,
            (None, _) => {
                prefix.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    (prefix, rest)
}

/// What is said of every match: its path, and whether to go on.
type Visit<'a> = dyn FnMut(String) -> Result<bool> + 'a;

/// One directory's entries.
#[derive(Debug, Default)]
struct Listing {
    /// Sorted by name.
    entries: Vec<(String, FileType)>,
    /// Names that are not UTF-8, escaped.
    undecodable: Vec<String>,
}

impl Listing {
    fn find(&self, name: &str) -> Option<FileType> {
        let found = self
            .entries
            .binary_search_by(|(other, _)| other.as_str().cmp(name));
        Some(self.entries[found.ok()?].1)
    }

    fn matches(&self, component: &Component) -> impl Iterator<Item = &(String, FileType)> {
        let (prefix, pattern) = match component {
            Component::Literal(name) => (name.as_str(), None),
            Component::Glob { prefix, pattern } => (prefix.as_str(), Some(pattern)),
            Component::AnyDepth => ("", None),
        };
        let start = self
            .entries
            .partition_point(|(name, _)| name.as_str() < prefix);
        self.entries[start..]
            .iter()
            .take_while(move |(name, _)| name.starts_with(prefix))
            .filter(move |(name, _)| pattern.is_some_and(|p| p.matches_with(name, MATCHING)))
    }
}

/// Directory listings below one root, each read once.
#[derive(Debug)]
pub(crate) struct Listings {
    root: PathBuf,
    listed: HashMap<String, Rc<Listing>>,
    entries_left: usize,
}

impl Listings {
    /// Nothing is read yet; relative patterns start from `root`.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            listed: HashMap::new(),
            entries_left: ENTRIES_MAX,
        }
    }

    /// How many directories have been read.
    #[cfg(test)]
    pub(crate) fn directories_read(&self) -> usize {
        self.listed.len()
    }

    /// Names in the listed directories that are not UTF-8, escaped.
    pub(crate) fn undecodable(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .listed
            .values()
            .flat_map(|listing| listing.undecodable.iter().cloned())
            .collect();
        all.sort_unstable();
        all
    }

    /// Calls `visit` with the path of each regular file, or link to one, that matches, until it answers `false`.
    ///
    /// Within one directory the order is that of the names; a path may come twice when the pattern has several `**`.
    ///
    /// # Errors
    ///
    /// A directory that is there and cannot be read (exit 69); what `visit` answers.
    pub(crate) fn find(&mut self, pattern: &PathPattern, visit: &mut Visit<'_>) -> Result<()> {
        let base = if pattern.absolute { "/" } else { "" };
        self.descend(base, &pattern.components, DEPTH_MAX, visit)?;
        Ok(())
    }

    fn descend(
        &mut self,
        base: &str,
        components: &[Component],
        depth_left: usize,
        visit: &mut Visit<'_>,
    ) -> Result<bool> {
        let Some((first, rest)) = components.split_first() else {
            return Ok(true);
        };
        match first {
            Component::AnyDepth => return self.descend_any(base, components, depth_left, visit),
            Component::Literal(name) if !rest.is_empty() => {
                return self.descend(&below(base, name), rest, depth_left, visit);
            }
            Component::Literal(name) => {
                let kind = self.list(base)?.find(name);
                let path = below(base, name);
                return match kind {
                    Some(kind) if self.is_file(&path, kind) => visit(path),
                    _ => Ok(true),
                };
            }
            Component::Glob { .. } => {}
        }
        let listing = self.list(base)?;
        for (name, kind) in listing.matches(first) {
            let path = below(base, name);
            let go_on = if !rest.is_empty() {
                kind.is_file() || self.descend(&path, rest, depth_left, visit)?
            } else if self.is_file(&path, *kind) {
                visit(path)?
            } else {
                true
            };
            if !go_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn descend_any(
        &mut self,
        base: &str,
        components: &[Component],
        depth_left: usize,
        visit: &mut Visit<'_>,
    ) -> Result<bool> {
        if !self.descend(base, &components[1..], depth_left, visit)? {
            return Ok(false);
        }
        let Some(depth_left) = depth_left.checked_sub(1) else {
            return Err(Error::source(format!(
                "{} lies more than {DEPTH_MAX} directories deep",
                shown(base)
            ))
            .with_hint("narrow the pattern: ** goes into every directory"));
        };
        let listing = self.list(base)?;
        for (name, kind) in &listing.entries {
            if kind.is_dir()
                && !name.starts_with('.')
                && !self.descend_any(&below(base, name), components, depth_left, visit)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_file(&self, path: &str, kind: FileType) -> bool {
        kind.is_file() || (kind.is_symlink() && self.root.join(path).is_file())
    }

    fn list(&mut self, directory: &str) -> Result<Rc<Listing>> {
        if let Some(listing) = self.listed.get(directory) {
            return Ok(Rc::clone(listing));
        }
        let listing = Rc::new(self.read(directory)?);
        self.listed
            .insert(directory.to_owned(), Rc::clone(&listing));
        Ok(listing)
    }

    fn read(&mut self, directory: &str) -> Result<Listing> {
        let path = self.root.join(directory);
        let unreadable = |error: &io::Error| {
            let path = path.to_string_lossy();
            Error::source(format!("cannot list {}: {error}", shown(&path)))
                .with_hint("make the directory readable, or narrow the pattern")
        };
        let entries = match path.read_dir() {
            Ok(entries) => entries,
            Err(error) => {
                return if cannot_exist(&error) {
                    Ok(Listing::default())
                } else {
                    Err(unreadable(&error))
                };
            }
        };
        let mut listing = Listing::default();
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&error))?;
            self.entries_left = self.entries_left.checked_sub(1).ok_or_else(|| {
                Error::source(format!(
                    "more than {ENTRIES_MAX} directory entries to look through"
                ))
                .with_hint("narrow the pattern: ** goes into every directory")
            })?;
            match entry.file_name().into_string() {
                Ok(name) => {
                    let kind = entry.file_type().map_err(|error| unreadable(&error))?;
                    listing.entries.push((name, kind));
                }
                Err(name) => listing
                    .undecodable
                    .push(shown(&below(directory, &name.to_string_lossy()))),
            }
        }
        listing
            .entries
            .sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(listing)
    }
}

/// Whether the system says that there is no such directory, and cannot be one: an item's title in a pattern may name anything.
fn cannot_exist(error: &io::Error) -> bool {
    let looped = error.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32);
    looped
        || matches!(
            error.kind(),
            io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::InvalidFilename
                | io::ErrorKind::InvalidInput
        )
}

fn below(base: &str, name: &str) -> String {
    match base {
        "" => name.to_owned(),
        _ if base.ends_with('/') => format!("{base}{name}"),
        _ => format!("{base}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        root
    }

    fn found(listings: &mut Listings, pattern: &str) -> Vec<String> {
        let mut all = Vec::new();
        let pattern = PathPattern::parse(pattern).unwrap();
        listings
            .find(&pattern, &mut |path| {
                all.push(path);
                Ok(true)
            })
            .unwrap();
        all
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        let root = tree(&[
            "a/1.md",
            "a/2.md",
            "a/.hidden.md",
            "a/b/3.md",
            "a/b/c/4.md",
            "a/.git/5.md",
            "a/x*y.md",
            "a/xzy.md",
            "top.md",
        ]);
        let mut listings = Listings::new(root.path());
        for (pattern, expected) in [
            ("a/*.md", &["a/1.md", "a/2.md", "a/x*y.md", "a/xzy.md"][..]),
            ("./a//1.md", &["a/1.md"]),
            ("a/.*.md", &["a/.hidden.md"]),
            ("*/b/3.md", &["a/b/3.md"]),
            ("a/**/[34].md", &["a/b/3.md", "a/b/c/4.md"]),
            ("a/b/**", &["a/b/3.md", "a/b/c/4.md"]),
            ("**/**/top.md", &["top.md"]),
            ("a/x[*]y.md", &["a/x*y.md"]),
            ("a/x[*]*.md", &["a/x*y.md"]),
            ("a/x?y.md", &["a/x*y.md", "a/xzy.md"]),
            ("a/b", &[]),
            ("a/*", &["a/1.md", "a/2.md", "a/x*y.md", "a/xzy.md"]),
            ("nowhere/*.md", &[]),
            ("top.md/*", &[]),
            ("A/1.md", &[]),
            ("\0/1.md", &[]),
            (&format!("{}/1.md", "x".repeat(300)), &[]),
        ] {
            assert_eq!(found(&mut listings, pattern), expected, "{pattern}");
        }
        let absolute = format!("{}/a/1.md", root.path().display());
        assert_eq!(found(&mut listings, &absolute), [absolute]);
    }

    #[test]
    fn a_circle_of_links_ends_and_a_dangling_link_is_no_file() {
        let root = tree(&["a/1.md"]);
        std::os::unix::fs::symlink("..", root.path().join("a/up")).unwrap();
        std::os::unix::fs::symlink("gone", root.path().join("a/2.md")).unwrap();
        std::os::unix::fs::symlink("1.md", root.path().join("a/3.md")).unwrap();
        let mut listings = Listings::new(root.path());
        assert_eq!(found(&mut listings, "**/*.md"), ["a/1.md", "a/3.md"]);
    }

    #[test]
    fn each_directory_is_read_once() {
        let root = tree(&["a/1.md"]);
        let mut listings = Listings::new(root.path());
        for n in 0..1000 {
            found(&mut listings, &format!("a/{n}.md"));
        }
        assert_eq!(listings.directories_read(), 1);
        fs::write(root.path().join("a/2.md"), "").unwrap();
        assert_eq!(found(&mut listings, "a/*.md"), ["a/1.md"]);
    }

    #[test]
    fn patterns_know_where_they_lead() {
        for (pattern, inside, directory) in [
            ("a/b/*.md", true, "a/b"),
            ("a/b/c.md", true, "a/b"),
            ("*.md", true, ""),
            ("a/*/c/*.md", true, "a"),
            ("a/[*]/c.md", true, "a/*"),
            ("/a/*", false, "a"),
            ("a/../*", false, "a/.."),
        ] {
            let parsed = PathPattern::parse(pattern).unwrap();
            assert_eq!(parsed.stays_inside(), inside, "{pattern}");
            assert_eq!(parsed.literal_directory(), directory, "{pattern}");
        }
        for broken in ["a/***", "a[", "a**b"] {
            let error = PathPattern::parse(broken).unwrap_err();
            assert_eq!(error.status().code(), 2, "{broken}");
        }
    }
}
