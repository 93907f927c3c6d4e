//! A strict view of one TOML table: every key is known, every value has its type, every error names its line.

use std::num::IntErrorKind;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};
use crate::escape::shown;
use crate::suggest;

/// The file that a table stands in.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Shown in errors.
    pub path: &'a Path,
    /// The whole text, to turn offsets into lines.
    pub text: &'a str,
}

impl Source<'_> {
    /// A usage error at the line of this byte offset.
    #[must_use]
    pub fn error(&self, offset: usize, message: &str) -> Error {
        let line = line_of(self.text.as_bytes(), offset);
        Error::usage(format!("{}:{line}: {message}", self.path.display()))
    }

    /// Refuses a NUL in any text of the value of `key`, for the system takes none: found by a run, it would fail every
    /// item, or the one file at its end.
    ///
    /// # Errors
    ///
    /// A usage error that names the line, and the key with those of the tables around it.
    pub fn refuse_nul(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<()> {
        match value.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                let message = format!(
                    "`{}` has a NUL in it, which no argument, variable or path can carry",
                    shown(key)
                );
                let error = self.error(value.span().start, &message);
                Err(error.with_hint("leave the NUL (`\\u0000`) out"))
            }
            DeValue::Array(elements) => elements
                .iter()
                .try_for_each(|element| self.refuse_nul(key, element)),
            DeValue::Table(entries) => entries.iter().try_for_each(|(name, value)| {
                self.refuse_nul(&format!("{key}.{}", name.get_ref()), value)
            }),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => Ok(()),
        }
    }
}

/// One table, and what it is called in errors.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    source: Source<'a>,
    name: &'a str,
    entries: &'a DeTable<'a>,
    offset: usize,
}

impl<'a> Table<'a> {
    /// The top table of a file.
    #[must_use]
    pub fn top(source: Source<'a>, entries: &'a DeTable<'a>) -> Self {
        Self {
            source,
            name: "",
            entries,
            offset: 0,
        }
    }

    /// A value as a table, called `name` in errors.
    ///
    /// # Errors
    ///
    /// A usage error when it is no table.
    pub fn of(source: Source<'a>, name: &'a str, value: &'a Spanned<DeValue<'a>>) -> Result<Self> {
        let offset = value.span().start;
        match value.get_ref() {
            DeValue::Table(entries) => Ok(Self {
                source,
                name,
                entries,
                offset,
            }),
            other => Err(source.error(
                offset,
                &format!("{name} is a table, not {}", article(other)),
            )),
        }
    }

    /// Every key with its offset and value.
    pub fn entries(
        &self,
    ) -> impl Iterator<Item = (&'a str, usize, &'a Spanned<DeValue<'a>>)> + use<'a> {
        self.entries
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), key.span().start, value))
    }

    /// Refuses a key that is not in `known`.
    ///
    /// # Errors
    ///
    /// A usage error that names the key, its line and the nearest known key.
    pub fn only_knows(&self, known: &[&str]) -> Result<()> {
        self.only_knows_or(known, |_| None)
    }

    /// Refuses a key that is not in `known`; `home` tells of keys that stand elsewhere where that is.
    ///
    /// # Errors
    ///
    /// A usage error that names the key, its line, and its place or the nearest known key.
    pub fn only_knows_or(
        &self,
        known: &[&str],
        home: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<()> {
        for (key, offset, _) in self.entries() {
            if !known.contains(&key) {
                let message = format!("unknown key `{}`{}", key.escape_debug(), self.place());
                let hint = match home(key) {
                    Some(home) => format!("`{key}` stands {home}"),
                    None => suggest::hint(key, known.iter().copied()),
                };
                return Err(self.source.error(offset, &message).with_hint(hint));
            }
        }
        Ok(())
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.entries.get(key)
    }

    /// A text.
    ///
    /// # Errors
    ///
    /// A usage error when the value is something else.
    pub fn text(&self, key: &str) -> Result<Option<String>> {
        self.value(key)
            .map(|value| self.as_text(key, value))
            .transpose()
    }

    /// A list of texts.
    ///
    /// # Errors
    ///
    /// A usage error when the value is something else.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let DeValue::Array(elements) = value.get_ref() else {
            return Err(self.mismatch(key, "a list of texts, like [\"a\", \"b\"]", value));
        };
        elements
            .iter()
            .map(|element| self.as_text(key, element))
            .collect::<Result<_>>()
            .map(Some)
    }

    /// A text or a list of texts.
    ///
    /// # Errors
    ///
    /// A usage error when the value is something else.
    pub fn text_or_texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        match self.value(key).map(Spanned::get_ref) {
            Some(DeValue::String(text)) => Ok(Some(vec![text.to_string()])),
            _ => self.texts(key),
        }
    }

    /// A whole number, at least `least`.
    ///
    /// # Errors
    ///
    /// A usage error when the value is something else.
    pub fn whole(&self, key: &str, least: usize) -> Result<Option<usize>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let text = match value.get_ref() {
            DeValue::Integer(_) => plain(value.get_ref()),
            _ => None,
        };
        let wanted = match text.map(|text| text.parse::<usize>()) {
            Some(Ok(number)) if number >= least => return Ok(Some(number)),
            Some(Err(error)) if *error.kind() == IntErrorKind::PosOverflow => {
                format!("is at most {}", usize::MAX)
            }
            Some(_) | None => format!("is a whole number from {least}"),
        };
        Err(self.other_number(key, &wanted, value))
    }

    /// A list of exit codes, from 1 to 255; empty when the key is missing.
    ///
    /// # Errors
    ///
    /// A usage error when the value is something else.
    pub fn exit_codes(&self, key: &str) -> Result<Vec<i32>> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let wanted = "lists exit codes from 1 to 255, like [91, 92]";
        let DeValue::Array(elements) = value.get_ref() else {
            return Err(self.other_number(key, wanted, value));
        };
        elements
            .iter()
            .map(|element| {
                let code = plain(element.get_ref()).and_then(|text| text.parse().ok());
                code.filter(|code| (1..=255).contains(code))
                    .ok_or_else(|| self.other_number(key, wanted, element))
            })
            .collect()
    }

    /// A table below this one, called `name` in errors.
    ///
    /// # Errors
    ///
    /// A usage error when the value is something else.
    pub fn table<'b>(&'b self, key: &str, name: &'b str) -> Result<Option<Table<'b>>>
    where
        'a: 'b,
    {
        self.value(key)
            .map(|value| Table::of(self.source, name, value))
            .transpose()
    }

    /// A usage error at the line of this key, or of the table when the key is missing.
    #[must_use]
    pub fn error(&self, key: &str, message: &str) -> Error {
        let offset = self
            .value(key)
            .map_or(self.offset, |value| value.span().start);
        self.source
            .error(offset, &format!("{message}{}", self.place()))
    }

    fn as_text(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<String> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err(self.mismatch(key, "a text in quotes", value)),
        }
    }

    fn mismatch(&self, key: &str, wanted: &str, value: &Spanned<DeValue<'_>>) -> Error {
        let message = format!(
            "`{key}` is {wanted}, not {}{}",
            article(value.get_ref()),
            self.place()
        );
        self.source.error(value.span().start, &message)
    }

    /// As [`Table::mismatch`], for what is a number, and so no secret: the wrong one is shown.
    fn other_number(&self, key: &str, wanted: &str, value: &Spanned<DeValue<'_>>) -> Error {
        let message = format!(
            "`{key}` {wanted}, not {}{}",
            number_or_kind(value.get_ref()),
            self.place()
        );
        self.source.error(value.span().start, &message)
    }

    fn place(&self) -> String {
        if self.name.is_empty() {
            String::new()
        } else {
            format!(" in {}", self.name)
        }
    }
}

/// The line in which the byte at `offset` stands, from 1.
#[must_use]
pub fn line_of(text: &[u8], offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.split(|&byte| byte == b'\n').count()
}

/// A plain value as text: what the command line would have said. `None` for lists, tables and dates.
#[must_use]
pub fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        DeValue::Integer(number) => {
            let number = i128::from_str_radix(&number.as_str().replace('_', ""), number.radix());
            number.ok().map(|number| number.to_string())
        }
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// A number as it was written, else what kind of value it is.
#[must_use]
pub fn number_or_kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => shown(&number.to_string()),
        DeValue::Float(number) => shown(number.as_str()),
        DeValue::String(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => article(value).to_owned(),
    }
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
