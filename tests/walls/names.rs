//! Reads what a file names: the paths in its `use` lines and elsewhere, and its literals. What is there for tests
//! alone (`#[cfg(test)]`) is left out.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What a file names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    module: String,
    /// What `use` lines bring in, by the name that it has then.
    imports: BTreeMap<String, String>,
    /// Paths as they stand, those of `use` lines from their crate on.
    spelled: BTreeSet<String>,
    /// Literals as they stand.
    pub(crate) literals: Vec<String>,
    /// Modules below that are there for tests alone.
    pub(crate) test_modules: Vec<String>,
}

impl Names {
    /// Reads the file of `module`.
    pub(crate) fn read(module: &str, stream: TokenStream) -> Self {
        let mut names = Self {
            module: module.to_owned(),
            ..Self::default()
        };
        names.stream(stream);
        names
    }

    /// Every path from its crate on.
    pub(crate) fn paths(&self) -> BTreeSet<String> {
        let spelled = self.spelled.iter().map(|path| {
            let (first, rest) = path.split_once("::").unwrap_or((path, ""));
            match self.imports.get(first) {
                Some(whole) => format!("{whole}::{rest}"),
                None => self.absolute(path),
            }
        });
        spelled.collect()
    }

    fn stream(&mut self, stream: TokenStream) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut rest = &trees[..];
        while let Some((first, after)) = rest.split_first() {
            rest = match first {
                TokenTree::Punct(mark) if mark.as_char() == '#' && is_for_tests(after) => {
                    self.skip(&after[1..])
                }
                TokenTree::Ident(word) if *word == "use" && !is_capture(after) => {
                    self.import(after, "")
                }
                TokenTree::Ident(_) => self.path(rest),
                TokenTree::Group(group) => {
                    self.stream(group.stream());
                    after
                }
                TokenTree::Literal(literal) => {
                    self.literals.push(literal.to_string());
                    after
                }
                TokenTree::Punct(_) => after,
            };
        }
    }

    /// Goes past an item.
    fn skip<'a>(&mut self, trees: &'a [TokenTree]) -> &'a [TokenTree] {
        let ends = |tree: &TokenTree| match tree {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(mark) => mark.as_char() == ';',
            TokenTree::Ident(_) | TokenTree::Literal(_) => false,
        };
        let end = trees.iter().position(ends);
        let (item, rest) = trees.split_at(end.map_or(trees.len(), |end| end + 1));
        let mut words = item.iter().map(ToString::to_string);
        if words.any(|word| word == "mod") {
            self.test_modules.extend(words.next());
        }
        rest
    }

    /// Reads a tree of `use` to its end; `before` stands in front of its brace.
    fn import<'a>(&mut self, trees: &'a [TokenTree], before: &str) -> &'a [TokenTree] {
        let (mut path, mut alias) = (before.to_owned(), None);
        let mut rest = trees;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            match first {
                TokenTree::Punct(mark) if mark.as_char() == ';' => break,
                TokenTree::Punct(mark) if mark.as_char() == ',' => {
                    self.imported(&path, alias.take());
                    before.clone_into(&mut path);
                }
                TokenTree::Ident(word) if *word == "as" => {
                    alias = after.first().map(ToString::to_string);
                    rest = &after[1..];
                }
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    self.import(&inner, &path);
                    path.clear();
                }
                word => path.push_str(&word.to_string()),
            }
        }
        self.imported(&path, alias);
        rest
    }

    fn imported(&mut self, path: &str, alias: Option<String>) {
        // `{self}` is what stands before the brace, and so is what `*` is taken from.
        let path = path.trim_end_matches("::self").trim_end_matches("::*");
        let last = path.rsplit("::").next().filter(|last| !last.is_empty());
        if let Some(last) = last {
            let whole = self.absolute(path);
            self.spelled.insert(whole.clone());
            let name = alias.unwrap_or_else(|| last.to_owned());
            self.imports.insert(name, whole);
        }
    }

    /// Reads the path that begins `trees`.
    fn path<'a>(&mut self, trees: &'a [TokenTree]) -> &'a [TokenTree] {
        let mut path = trees[0].to_string();
        let mut rest = &trees[1..];
        while let [
            TokenTree::Punct(one),
            TokenTree::Punct(two),
            TokenTree::Ident(word),
            after @ ..,
        ] = rest
            && (one.as_char(), two.as_char()) == (':', ':')
        {
            path = format!("{path}::{word}");
            rest = after;
        }
        if path.contains("::") {
            self.spelled.insert(path);
        }
        rest
    }

    /// A path that begins where the file stands, from its crate on.
    fn absolute(&self, path: &str) -> String {
        if let Some(ours) = path.strip_prefix("orchestrate::") {
            return format!("crate::{ours}");
        }
        let mut here: Vec<&str> = vec!["crate"];
        here.extend(
            self.module
                .split("::")
                .filter(|it| !["lib", "main"].contains(it)),
        );
        let mut rest = path.strip_prefix("self::").unwrap_or(path);
        let is_relative = rest.len() < path.len() || path.starts_with("super::");
        while let Some(above) = rest.strip_prefix("super::") {
            here.pop();
            rest = above;
        }
        if is_relative {
            here.push(rest);
            here.join("::")
        } else {
            path.to_owned()
        }
    }
}

fn is_for_tests(after: &[TokenTree]) -> bool {
    let attribute = after.first().map(|tree| tree.to_string().replace(' ', ""));
    attribute.is_some_and(|attribute| attribute == "[cfg(test)]")
}

/// Whether `use` begins a bound (`impl Trait + use<'_>`).
fn is_capture(after: &[TokenTree]) -> bool {
    matches!(after.first(), Some(TokenTree::Punct(mark)) if mark.as_char() == '<')
}
