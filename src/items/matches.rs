//! The files below the workspace root that a source's pattern names: what documents and files have in common.
//!
//! Only regular files below the root are items. A link whose target lies outside is left out, with a warning: a repository that
//! was cloned could otherwise make a per-item command read, and send away, any file of its user.

use super::collected::{ITEMS_MAX, Warnings};
use super::walk::{Listings, PathPattern};
use crate::error::{Error, Result};
use crate::escape::{quoted, shown};
use std::path::Path;

/// What a pattern matched.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    /// Relative to the root, sorted; none begins with `-`.
    pub(crate) paths: Vec<String>,
    pub(crate) warnings: Warnings,
    /// The leading directories of the pattern that have no wildcard.
    pub(crate) literal_directory: String,
}

/// The regular files below `root` that match `pattern`.
///
/// # Errors
///
/// A pattern that is no glob, or leads out of the root (exit 2); a directory that cannot be listed, too many matches (exit 69).
pub(crate) fn below_root(pattern: &str, root: &Path) -> Result<Matches> {
    let parsed = PathPattern::parse(pattern)?;
    if !parsed.stays_inside() {
        let quoted = quoted(pattern);
        return Err(
            Error::usage(format!("the pattern {quoted} leads out of the workspace")).with_hint(
                "name files below the workspace root, or list others by items = { command = […] }",
            ),
        );
    }
    let outside = |error| {
        let root = root.to_string_lossy();
        Error::source(format!("cannot read {}: {error}", shown(&root)))
    };
    let canonical_root = root.canonicalize().map_err(outside)?;
    let mut found = Matches {
        literal_directory: parsed.literal_directory(),
        ..Matches::default()
    };
    let mut listings = Listings::new(root);
    listings.find(&parsed, &mut |path| {
        if found.paths.len() == ITEMS_MAX {
            return Err(too_many(pattern));
        }
        // A file that has gone meanwhile is met again, and reported, when it is read.
        match root.join(&path).canonicalize() {
            Ok(target) if !target.starts_with(&canonical_root) => found.warnings.push(|| {
                format!(
                    "{} leads out of the workspace and is left out",
                    shown(&path)
                )
            }),
            _ => found.paths.push(path),
        }
        Ok(true)
    })?;
    found.paths.sort_unstable();
    found.paths.dedup();
    for path in &mut found.paths {
        if path.starts_with('-') {
            path.insert_str(0, "./");
        }
    }
    for name in listings.undecodable() {
        let warning = || format!("the name {name} is not UTF-8; the file is left out");
        found.warnings.push(warning);
    }
    explain_nothing(pattern, &mut found, root);
    Ok(found)
}

fn too_many(pattern: &str) -> Error {
    Error::source(format!(
        "{} matches more than {ITEMS_MAX} files",
        quoted(pattern)
    ))
    .with_hint("narrow the pattern")
}

/// A batch that stands still because of a mistyped pattern must not look like one that is finished.
fn explain_nothing(pattern: &str, found: &mut Matches, root: &Path) {
    if !found.paths.is_empty() {
        return;
    }
    let directory = &found.literal_directory;
    let missing = !root.join(directory).is_dir();
    found.warnings.push(|| {
        let pattern = quoted(pattern);
        if missing {
            let directory = shown(directory);
            format!("no file matches {pattern}: there is no directory {directory}")
        } else if pattern.contains('{') {
            format!("no file matches {pattern}: braces are literal in a pattern")
        } else {
            format!("no file matches {pattern}")
        }
    });
}
