//! The environment of a child in parallel mode: the caller's, less every key of the pool, plus the one that it may
//! use, plus what it should know about itself.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::sync::Arc;

use memchr::{memchr, memmem};

use crate::credential::secret::Secret;

/// What every child of a run starts from.
#[derive(Debug, Clone)]
pub struct BaseEnvironment {
    variables: BTreeMap<OsString, OsString>,
    /// The same as a child gets them; no child has a copy of its own.
    entries: Arc<[CString]>,
}

/// What one child gets on top: a name and a value each.
pub type Additions = Vec<(String, String)>;

/// The environment of one child: `NAME=value` each.
#[derive(Debug, Clone)]
pub struct Environment {
    base: Arc<[CString]>,
    /// They win over those of the base.
    additions: Vec<CString>,
}

impl BaseEnvironment {
    /// The caller's environment without the `dropped` variables and without every variable whose value contains a
    /// key of the pool.
    #[must_use]
    pub fn new(
        caller: &BTreeMap<OsString, OsString>,
        dropped: &[String],
        secrets: &[Secret],
    ) -> Self {
        let holds_a_key = |value: &OsStr| {
            let value = value.as_bytes();
            secrets
                .iter()
                .any(|key| memmem::find(value, key.expose().as_bytes()).is_some())
        };
        let is_dropped = |name: &OsStr| dropped.iter().any(|dropped| name == dropped.as_str());
        let mut variables: BTreeMap<OsString, OsString> = caller
            .iter()
            .filter(|(name, value)| !is_dropped(name) && !holds_a_key(value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // Without it a Python child's lines come in bursts of 8 KiB once stdout is a pipe.
        variables
            .entry("PYTHONUNBUFFERED".into())
            .or_insert_with(|| "1".into());
        Self::of(variables)
    }

    /// The caller's environment as it is: what a child in sequential mode starts from.
    #[must_use]
    pub fn unchanged(caller: &BTreeMap<OsString, OsString>) -> Self {
        Self::of(caller.clone())
    }

    /// The same without these variables.
    #[must_use]
    pub fn without(&self, names: &[String]) -> Self {
        let mut variables = self.variables.clone();
        variables.retain(|name, _| !names.iter().any(|dropped| name == dropped.as_str()));
        Self::of(variables)
    }

    fn of(variables: BTreeMap<OsString, OsString>) -> Self {
        let entries = variables.iter().map(|(name, value)| joined(name, value));
        // What the system gave us holds no NUL byte.
        let entries = entries.filter_map(|entry| CString::new(entry).ok());
        Self {
            entries: entries.collect(),
            variables,
        }
    }

    /// The environment of one child; later additions win.
    ///
    /// # Errors
    ///
    /// The name of a variable whose value contains a NUL byte, or is longer than the system takes.
    pub fn with(&self, additions: &Additions) -> Result<Environment, String> {
        let mut environment = Environment {
            base: Arc::clone(&self.entries),
            additions: Vec::with_capacity(additions.len() + 1),
        };
        for (name, value) in additions {
            environment.set(OsStr::new(name), OsStr::new(value))?;
        }
        Ok(environment)
    }
}

/// `MAX_ARG_STRLEN` of execve(2), for pages of 4 KiB: a variable's name, value and NUL.
const VARIABLE_BYTES_MAX: usize = 128 * 1024;

impl Environment {
    /// Adds one variable, unless it is there already.
    ///
    /// # Errors
    ///
    /// As [`BaseEnvironment::with`].
    pub fn add(&mut self, name: &str, value: &OsStr) -> Result<(), String> {
        let mut all = self.base.iter().chain(&self.additions);
        if all.any(|entry| is_of(entry, name.as_bytes())) {
            return Ok(());
        }
        self.set(OsStr::new(name), value)
    }

    fn set(&mut self, name: &OsStr, value: &OsStr) -> Result<(), String> {
        let entry = joined(name, value);
        let bytes = entry.len() + 1;
        if bytes > VARIABLE_BYTES_MAX {
            return Err(format!(
                "the variable {} would take {bytes} bytes, and the system takes at most {VARIABLE_BYTES_MAX}",
                name.display()
            ));
        }
        let entry = CString::new(entry)
            .map_err(|_| format!("the variable {} would hold a NUL byte", name.display()))?;
        self.additions
            .retain(|entry| !is_of(entry, name.as_bytes()));
        self.additions.push(entry);
        Ok(())
    }

    /// All of it, as `posix_spawn` takes it.
    #[must_use]
    pub fn entries(&self) -> Vec<&CStr> {
        let names: Vec<&[u8]> = self.additions.iter().map(|it| name_of(it)).collect();
        let is_replaced = |entry: &CStr| names.iter().any(|name| is_of(entry, name));
        let base = self.base.iter().map(CString::as_c_str);
        let kept = base.filter(|entry| !is_replaced(entry));
        kept.chain(self.additions.iter().map(CString::as_c_str))
            .collect()
    }
}

fn joined(name: &OsStr, value: &OsStr) -> Vec<u8> {
    [name.as_bytes(), b"=", value.as_bytes()].concat()
}

fn is_of(entry: &CStr, name: &[u8]) -> bool {
    let rest = entry.to_bytes().strip_prefix(name);
    rest.is_some_and(|rest| rest.first() == Some(&b'='))
}

fn name_of(entry: &CStr) -> &[u8] {
    let entry = entry.to_bytes();
    memchr(b'=', entry).map_or(entry, |end| &entry[..end])
}

/// Arguments as `posix_spawn` takes them.
///
/// # Errors
///
/// The argument that contains a NUL byte.
pub fn arguments(words: &[String]) -> Result<Vec<CString>, String> {
    words
        .iter()
        .map(|word| {
            CString::new(OsString::from(word).into_vec())
                .map_err(|_| format!("the argument `{}` holds a NUL byte", word.escape_debug()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(variables: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    #[test]
    fn a_variable_that_is_there_is_not_added_again() {
        let base = BaseEnvironment::unchanged(&caller(&[("NAME", "one"), ("OTHERS", "x")]));
        let mut child = base.with(&Additions::new()).unwrap();
        for (name, value) in [("NAME", "two"), ("OTHER", "three")] {
            child.add(name, OsStr::new(value)).unwrap();
        }
        assert_eq!(shown(&child), ["NAME=one", "OTHERS=x", "OTHER=three"]);
        assert!(child.add("THIRD", OsStr::new("a\0b")).is_err());
    }

    fn secrets() -> Vec<Secret> {
        vec![
            Secret::new("one".to_owned(), "first-key-1".to_owned().into()),
            Secret::new("two".to_owned(), "second-key-2".to_owned().into()),
        ]
    }

    fn shown(environment: &Environment) -> Vec<&str> {
        let entries = environment.entries().into_iter();
        entries.map(|entry| entry.to_str().unwrap()).collect()
    }

    #[test]
    fn no_variable_with_a_key_of_the_pool_reaches_a_child() {
        let caller = caller(&[
            ("HOME", "/home/me"),
            ("POOL", "something, else"),
            ("URL", "https://user:second-key-2@host/"),
            ("first", "first-key-1"),
        ]);
        let base = BaseEnvironment::new(&caller, &["POOL".to_owned()], &secrets());
        let child = base
            .with(&vec![("API_KEY".to_owned(), "first-key-1".to_owned())])
            .unwrap();
        assert_eq!(
            shown(&child),
            ["HOME=/home/me", "PYTHONUNBUFFERED=1", "API_KEY=first-key-1"]
        );
    }

    #[test]
    fn the_callers_own_word_on_buffering_stands_and_additions_win() {
        let caller = caller(&[("PYTHONUNBUFFERED", ""), ("A", "old")]);
        let base = BaseEnvironment::new(&caller, &[], &[]);
        let child = base
            .with(&vec![
                ("A".to_owned(), "newer".to_owned()),
                ("A".to_owned(), "newest".to_owned()),
            ])
            .unwrap();
        assert_eq!(shown(&child), ["PYTHONUNBUFFERED=", "A=newest"]);
    }

    #[test]
    fn a_sequential_child_gets_the_callers_environment_and_nothing_else() {
        let caller = caller(&[("B", "2"), ("A", "1")]);
        assert_eq!(
            shown(
                &BaseEnvironment::unchanged(&caller)
                    .with(&Vec::new())
                    .unwrap()
            ),
            ["A=1", "B=2"]
        );
    }

    #[test]
    fn what_no_variable_can_hold_is_refused_by_name() {
        let base = BaseEnvironment::new(&BTreeMap::new(), &[], &[]);
        let error = base
            .with(&vec![("TITLE".to_owned(), "a\0b".to_owned())])
            .unwrap_err();
        assert!(error.contains("TITLE"), "{error}");
        let long = "x".repeat(VARIABLE_BYTES_MAX - "TITLE=".len() - 1);
        assert!(base.with(&vec![("TITLE".to_owned(), long.clone())]).is_ok());
        let error = base
            .with(&vec![("TITLE".to_owned(), long + "x")])
            .unwrap_err();
        assert!(error.contains("TITLE would take 131073 bytes"), "{error}");
        assert!(arguments(&["a\0b".to_owned()]).is_err());
    }
}
