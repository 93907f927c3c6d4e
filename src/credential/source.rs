//! Reads the keys of a pool: from a variable, a file or a command.
//!
//! `run` calls it once, before anything starts, and never in a dry run. No error and no message carries a value.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::{ErrorKind, Read as _, Take};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use zeroize::Zeroizing;

use super::secret::Secret;
use crate::answer::ask;
use crate::config::file::{CredentialTable, KeySource};
use crate::config::table::line_of;
use crate::disk::path_text::shell_quoted;
use crate::disk::regular_file;
use crate::error::{Error, Result};
use crate::escape::escape_text;
use crate::items::item::ItemId;
use crate::output::mask::{Masker, Secrets, UnknownKeys};
use crate::surroundings::Surroundings;

/// A key under this many bytes is refused: it could not be told from ordinary text when it is masked.
pub const KEY_BYTES_MIN: usize = 8;

/// The whole of a source may have this many bytes.
pub const SOURCE_BYTES_MAX: usize = 1 << 20;

/// A command source has this long.
pub const COMMAND_TIME_MAX: Duration = Duration::from_secs(30);

/// What lists of other formats put around a key.
const QUOTES: [char; 5] = ['"', '\'', '`', '[', ']'];

/// Reads every source of the pool; a key that is given twice counts once.
///
/// # Errors
///
/// A usage error (2) that names the source and the line, never a value: an empty pool, an unreadable or
/// unprotected file, a command that fails, a key that is none.
pub fn read(
    table: &CredentialTable,
    root: &Path,
    surroundings: &Surroundings,
) -> Result<Vec<Secret>> {
    let mut keys = Keys::default();
    for source in &table.pool {
        match source {
            KeySource::Variable(name) => read_variable(name, surroundings, &mut keys)?,
            KeySource::File(path) => read_file(&root.join(path), &mut keys)?,
            KeySource::Command(command) => read_command(command, root, &mut keys)?,
        }
    }
    keys.finish(table)
}

/// The keys found so far.
#[derive(Default)]
struct Keys {
    secrets: Vec<Secret>,
    /// Where each was found.
    places: Vec<String>,
}

impl Keys {
    fn add(&mut self, place: &str, name: Option<&Name<'_>>, value: &str) -> Result<()> {
        let value = Zeroizing::new(value.to_owned());
        if value.len() < KEY_BYTES_MIN {
            let message = format!("{place}: a key has at least {KEY_BYTES_MIN} bytes");
            return Err(
                Error::usage(message).with_hint("is something cut off or in the wrong place?")
            );
        }
        if value.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Error::usage(format!(
                "{place}: a key has no white space and no controls"
            )));
        }
        if value.starts_with(QUOTES) || value.ends_with(QUOTES) {
            let message = format!("{place}: a key stands without quotation marks or brackets");
            return Err(Error::usage(message).with_hint("take them away: they are no part of it"));
        }
        if self
            .secrets
            .iter()
            .any(|known| known.expose() == value.as_str())
        {
            return Ok(());
        }
        let number = self.secrets.len() + 1;
        let secret = match name {
            None => Secret::new(generated_label(number), value),
            Some(name) => Secret::new(name.label.to_owned(), value)
                .with(name.group.map(str::to_owned), name.slots),
        };
        self.secrets.push(secret);
        self.places.push(place.to_owned());
        Ok(())
    }

    fn finish(self, table: &CredentialTable) -> Result<Vec<Secret>> {
        if self.secrets.is_empty() {
            let sources: Vec<String> = table.pool.iter().map(describe).collect();
            let message = format!(
                "the credential pool is empty: {} gave no key",
                sources.join(", ")
            );
            let hint = "fill it, or remove the [credentials] table to run without a pool";
            return Err(Error::usage(message).with_hint(hint));
        }
        for ((number, secret), place) in (1..).zip(&self.secrets).zip(&self.places) {
            // A label of our own making says nothing of a key, whatever the key looks like.
            let chosen = secret.label() != generated_label(number);
            if chosen {
                self.check_names_of(secret, place)?;
            }
        }
        self.check_labels_differ()?;
        Ok(self.secrets)
    }

    /// Labels that differ in case alone would be taken for one another, as ids of items would.
    fn check_labels_differ(&self) -> Result<()> {
        let mut known = BTreeMap::new();
        for (secret, place) in self.secrets.iter().zip(&self.places) {
            let label = secret.label();
            let Some((other, there)) = known.insert(label.to_ascii_lowercase(), (label, place))
            else {
                continue;
            };
            let message = if label == other {
                format!("{place}: the label `{label}` is that of another key ({there})")
            } else {
                format!(
                    "{place}: the label `{label}` differs only in case from `{other}` ({there})"
                )
            };
            return Err(Error::usage(message).with_hint("give one of the two another label"));
        }
        Ok(())
    }

    /// A label is shown wherever its key is meant, and so is a group.
    fn check_names_of(&self, secret: &Secret, place: &str) -> Result<()> {
        let keys = || self.secrets.iter().map(Secret::expose);
        let names = [secret.label(), secret.group()];
        if keys().any(|key| key.contains(secret.label())) {
            return Err(refuse_name(place, "is part of a key"));
        }
        if names
            .iter()
            .any(|name| keys().any(|key| name.contains(key)))
        {
            return Err(refuse_name(place, "holds a key"));
        }
        let shapes = Masker::new(Secrets::default(), UnknownKeys::Masked);
        let looks_like_a_key = |name: &&str| *shapes.mask_text(name).as_ref() != **name;
        if names.iter().any(looks_like_a_key) {
            return Err(refuse_name(place, "looks like a key itself"));
        }
        Ok(())
    }
}

/// Of what gives away a key wherever it is shown.
fn refuse_name(place: &str, why: &str) -> Error {
    let message = format!("{place}: the label or group {why}");
    Error::usage(message)
        .with_hint("they are shown; a line is `label = key`, in this order: choose another label")
}

fn generated_label(number: usize) -> String {
    format!("key-{number}")
}

fn describe(source: &KeySource) -> String {
    match source {
        KeySource::Variable(name) => format!("the variable {}", name.escape_debug()),
        KeySource::File(path) => format!("the file {}", path.display()),
        KeySource::Command(words) => format!("the command {}", words[0].escape_debug()),
    }
}

fn read_variable(name: &str, surroundings: &Surroundings, keys: &mut Keys) -> Result<()> {
    let Some(raw) = surroundings.environment.get(std::ffi::OsStr::new(name)) else {
        return Ok(());
    };
    let place = format!("the variable {name}");
    let text = raw
        .to_str()
        .ok_or_else(|| Error::usage(format!("{place}: its value is not UTF-8")))?;
    add_words(&place, text, keys)
}

fn add_words(place: &str, text: &str, keys: &mut Keys) -> Result<()> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace() || c == '\u{feff}');
    for (number, word) in (1..).zip(words.filter(|word| !word.is_empty())) {
        keys.add(&format!("{place}, key {number}"), None, word)?;
    }
    Ok(())
}

fn read_file(path: &Path, keys: &mut Keys) -> Result<()> {
    let shown = path.display();
    let (file, metadata) = regular_file::open(path).map_err(|error| {
        Error::usage(match error.kind() {
            ErrorKind::InvalidInput => format!("key file {shown} is no ordinary file"),
            _ => format!("key file {shown}: {error}"),
        })
    })?;
    check_protection(path, &metadata)?;
    let bytes = read_bytes(file.take(SOURCE_BYTES_MAX as u64 + 1))
        .map_err(|why| Error::usage(format!("key file {shown}: {why}")))?;
    let text = str::from_utf8(&bytes).map_err(|error| {
        let line = line_of(&bytes, error.valid_up_to());
        let error = Error::usage(format!("key file {shown}, line {line}: not UTF-8"));
        error.with_hint("save the file as UTF-8")
    })?;
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("key file {shown}, line {number}");
        let (name, key) = named(line).map_err(|why| Error::usage(format!("{place}: {why}")))?;
        keys.add(&place, name.as_ref(), key)?;
    }
    Ok(())
}

/// What stands before a key in a key file.
struct Name<'a> {
    label: &'a str,
    group: Option<&'a str>,
    slots: Option<usize>,
}

/// A line of a key file: `label = key`, `label;group=team;slots=2 = key`, or the key alone. A key itself may end in
/// `=`, so what stands before the last ` = ` or the first `=` is a name only when it is one.
fn named(line: &str) -> std::result::Result<(Option<Name<'_>>, &str), String> {
    let split = if line.contains(';') {
        line.rsplit_once(" = ")
    } else {
        line.split_once('=')
    };
    let Some((before, key)) = split.map(|(before, key)| (before.trim(), key.trim())) else {
        return Ok((None, line));
    };
    let mut words = before.split(';').map(str::trim);
    let label = words.next().unwrap_or_default();
    if ItemId::new(label).is_err() || key.trim_matches('=').is_empty() {
        return Ok((None, line));
    }
    let mut name = Name {
        label,
        group: None,
        slots: None,
    };
    for word in words {
        match word.split_once('=') {
            Some(("group", group)) if ItemId::new(group).is_ok() => name.group = Some(group),
            Some(("slots", slots)) => {
                let number = slots.parse().ok().filter(|&slots| slots > 0);
                name.slots = Some(number.ok_or("`slots` is a number from 1 on")?);
            }
            _ => return Err("behind a label stands `;group=NAME` or `;slots=N`".to_owned()),
        }
    }
    Ok((Some(name), key))
}

/// `metadata` is of the opened file, not of the path, so that nobody can swap it in between.
fn check_protection(path: &Path, metadata: &Metadata) -> Result<()> {
    let shown = path.display();
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let message = format!("key file {shown} can be read by others (mode {mode:03o})");
        return Err(Error::usage(message).with_hint(format!("chmod 600 {}", shell_quoted(path))));
    }
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        let message = format!(
            "key file {shown} belongs to another user (uid {})",
            metadata.uid()
        );
        return Err(Error::usage(message).with_hint("copy it and keep the copy at mode 600"));
    }
    Ok(())
}

fn read_bytes(
    mut source: Take<impl std::io::Read>,
) -> std::result::Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = source.read_to_end(&mut bytes);
    if read.map_err(|error| error.to_string())? > SOURCE_BYTES_MAX {
        return Err("more than 1 MiB is no list of keys".to_owned());
    }
    Ok(bytes)
}

/// Runs the command without a shell; what it says on stderr is dropped, for it may hold a key.
fn read_command(words: &[String], root: &Path, keys: &mut Keys) -> Result<()> {
    let place = format!("the key command `{}`", escape_text(&words.join(" ")));
    let failed = |why: String| {
        Error::usage(format!("{place} {why}")).with_hint("run it by hand to see what it says")
    };
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir(root);
    let answer = ask(&mut command, COMMAND_TIME_MAX, SOURCE_BYTES_MAX).map_err(|error| {
        failed(match error.kind() {
            ErrorKind::TimedOut => {
                format!("did not end within {} seconds", COMMAND_TIME_MAX.as_secs())
            }
            ErrorKind::InvalidData => "printed no list of keys: too long, or not UTF-8".to_owned(),
            _ => format!("cannot be run: {error}"),
        })
    })?;
    if !answer.status.success() {
        return Err(failed(format!("failed: {}", answer.status)));
    }
    add_words(&place, &answer.text, keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = (Option<(&'a str, Option<&'a str>, Option<usize>)>, &'a str);

    fn parts(line: &str) -> Parts<'_> {
        let (name, key) = named(line).unwrap();
        (name.map(|it| (it.label, it.group, it.slots)), key)
    }

    #[test]
    fn what_stands_before_a_key_is_told_from_the_key() {
        for (line, name, key) in [
            ("work = abc", Some(("work", None, None)), "abc"),
            ("work=abc==", Some(("work", None, None)), "abc=="),
            ("abcdefgh==", None, "abcdefgh=="),
            ("ab+cd/ef=gh", None, "ab+cd/ef=gh"),
            (
                "w;group=team;slots=2 = abc=",
                Some(("w", Some("team"), Some(2))),
                "abc=",
            ),
            ("w ; slots=3 = a", Some(("w", None, Some(3))), "a"),
        ] {
            assert_eq!(parts(line), (name, key), "{line}");
        }
    }

    #[test]
    fn what_is_no_property_of_a_key_is_refused_without_the_key() {
        for line in [
            "w;slots=0 = hidden",
            "w;slots=many = hidden",
            "w;team = hidden",
        ] {
            let why = named(line).err().unwrap();
            assert!(!why.contains("hidden"), "{why}");
        }
    }
}
