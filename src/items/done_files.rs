//! Whether a file says that an item is done: a workflow's `done` patterns, asked for one item after the other.
//!
//! The run asks once for every item before it plans. Reads directories, each once, and opens nothing.

use super::naming::Naming;
use super::template::{Template, Values};
use super::walk::{Listings, PathPattern};
use crate::error::Result;
use std::path::Path;

/// The directories that `done` patterns look into, as they were when first asked about.
#[derive(Debug)]
pub struct DoneFiles {
    listings: Listings,
}

impl DoneFiles {
    /// Nothing is read yet; relative patterns start from `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            listings: Listings::new(root),
        }
    }

    /// The first file that matches one of `patterns` for the item of `values`, relative to the root.
    ///
    /// A file is the item's only when the item's number or id stands as a whole where the pattern has it:
    /// `LLD-{number:03}*.md` finds `LLD-100-slug.md` for item 100, and not `LLD-1001-slug-100.md`. A pattern that asks for something that the item has not
    /// (a number, a path) matches nothing.
    ///
    /// # Errors
    ///
    /// A pattern that is no glob (exit 2); a directory that is there and cannot be listed (exit 69): an item must not run again
    /// because nobody could see that it is done.
    pub fn find(&mut self, patterns: &[Template], values: &Values<'_>) -> Result<Option<String>> {
        for template in patterns {
            let Ok(pattern) = template.render_glob(values) else {
                continue;
            };
            let mut first = None;
            self.listings
                .find(&PathPattern::parse(&pattern)?, &mut |path| {
                    if Naming::new(template, values).is_ok_and(|it| it.fits(&path)) {
                        first = Some(path);
                    }
                    Ok(first.is_none())
                })?;
            if first.is_some() {
                return Ok(first);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::item::{ContentHash, Item, ItemId, Readiness};
    use std::fs;

    fn item(id: &str, number: Option<u64>) -> Item {
        Item {
            id: ItemId::new(id).unwrap(),
            number,
            title: "a*".to_owned(),
            path: None,
            text: id.to_owned(),
            content_hash: ContentHash::OfText,
            readiness: Readiness::Ready(String::new()),
        }
    }

    fn templates(patterns: &[&str]) -> Vec<Template> {
        let parse = |pattern: &&str| Template::parse(pattern).unwrap();
        patterns.iter().map(parse).collect()
    }

    fn find(done: &mut DoneFiles, patterns: &[Template], item: &Item) -> Option<String> {
        let values = Values {
            item,
            attempt: 1,
            slot: 1,
            output: None,
            state: ".orchestrate",
        };
        done.find(patterns, &values).unwrap()
    }

    fn workspace(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    #[test]
    fn a_file_of_the_same_number_makes_an_item_done() {
        let root = workspace(&[
            "done/LLD-086-slug.md",
            "done/LLD-1001.md",
            "done/15-slug.md",
            "done/.gitkeep",
            "done/LLD-300.md/x",
            "done/2026/LLD-700.md",
        ]);
        let mut done = DoneFiles::new(root.path());
        let patterns = templates(&[
            "done/LLD-{number:03}*.md",
            "done/{number}-*.md",
            "done/**/LLD-{number:03}.md",
        ]);
        for (number, expected) in [
            (Some(86), Some("done/LLD-086-slug.md")),
            (Some(1001), Some("done/LLD-1001.md")),
            (Some(100), None),
            (Some(15), Some("done/15-slug.md")),
            (Some(5), None),
            (Some(300), None),
            (Some(700), Some("done/2026/LLD-700.md")),
            (None, None),
        ] {
            let item = item("x", number);
            let found = find(&mut done, &patterns, &item);
            assert_eq!(found.as_deref(), expected, "{number:?}");
        }
    }

    #[test]
    fn an_id_is_not_taken_for_a_longer_one() {
        let root = workspace(&["out/issue-42.png", "out/issue-7.b.png"]);
        let mut done = DoneFiles::new(root.path());
        let patterns = templates(&["out/*{id}*.png"]);
        for (id, expected) in [
            ("issue-4", None),
            ("issue-42", Some("out/issue-42.png")),
            ("2", None),
            ("42", Some("out/issue-42.png")),
            ("issue-7", Some("out/issue-7.b.png")),
        ] {
            let found = find(&mut done, &patterns, &item(id, None));
            assert_eq!(found.as_deref(), expected, "{id}");
        }
    }

    #[test]
    fn a_value_is_no_pattern() {
        let root = workspace(&["out/ab.png"]);
        let mut done = DoneFiles::new(root.path());
        let patterns = templates(&["out/{title}.png"]);
        assert_eq!(find(&mut done, &patterns, &item("x", None)), None);
        fs::write(root.path().join("out/a*.png"), "").unwrap();
        let mut done = DoneFiles::new(root.path());
        let found = find(&mut done, &patterns, &item("x", None));
        assert_eq!(found.as_deref(), Some("out/a*.png"));
    }

    #[test]
    fn a_hundred_thousand_items_cost_one_listing() {
        let files: Vec<String> = (0..200).map(|n| format!("out/LLD-{n:03}.md")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let root = workspace(&files);
        let mut done = DoneFiles::new(root.path());
        let patterns = templates(&["out/LLD-{number:03}*.md", "out/{id}.md"]);
        let found = (0..100_000)
            .filter(|&number| {
                let item = item(&format!("x{number}"), Some(number));
                find(&mut done, &patterns, &item).is_some()
            })
            .count();
        assert_eq!(found, 200);
        assert_eq!(done.listings.directories_read(), 1);
    }
}
