//! The source files of the program, each as what it says about itself and what it names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr as _;

use proc_macro2::TokenStream;

use super::names::Names;

/// One source file, without its tests.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Its `//!` lines as one line.
    pub(crate) documentation: String,
    /// The paths that it names, from their crate on: `std::fs::File`, `crate::items::item::ItemId`.
    pub(crate) paths: BTreeSet<String>,
    /// The literals in it, as they are spelled.
    pub(crate) literals: Vec<String>,
}

/// Every module of the program by its path (`items::plan`; `lib` and `main` too), without those for tests alone.
pub(crate) fn sources() -> BTreeMap<String, Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = BTreeMap::new();
    let mut for_tests = BTreeSet::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(&root).expect("a path below src");
                let below = below.with_extension("");
                let words: Vec<_> = below.iter().map(|word| word.to_string_lossy()).collect();
                let module = words.join("::");
                let text = std::fs::read_to_string(&path).expect("a source file");
                let names = Names::read(&module, TokenStream::from_str(&text).expect("Rust"));
                let tests = names.test_modules.iter();
                for_tests.extend(tests.map(|name| format!("{module}::{name}")));
                let source = Source {
                    documentation: documentation(&text),
                    paths: names.paths(),
                    literals: names.literals,
                };
                sources.insert(module, source);
            }
        }
    }
    let is_for_tests = |module: &str| for_tests.iter().any(|tests| super::within(module, tests));
    sources.retain(|module, _| !is_for_tests(module));
    assert!(sources.len() > 60, "only {:?}", sources.keys());
    sources
}

fn documentation(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}
