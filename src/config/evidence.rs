//! The `[[evidence]]` tables of `orchestrate.toml`: what else the output of a failed child may say.
//!
//! `file.rs` calls it. A pattern that does not keep its own examples is an error when the file is read, not a surprise
//! in the night.

use toml::Spanned;
use toml::de::DeValue;

use super::table::{Source, Table};
use crate::credential::profile::{Form, OWN_PATTERNS_MAX, Pattern, Sign};
use crate::error::Result;
use crate::escape::quoted;
use crate::items::item::ItemId;
use crate::suggest;

const EXAMPLE: &str = "for example:\n\
    [[evidence]]\n\
    name = \"busy\"\n\
    class = \"overloaded\"\n\
    message = \"Server is busy\"\n\
    matches = [\"Error: Server is busy\"]";

/// The patterns of the file.
///
/// # Errors
///
/// A usage error that names the line and the pattern.
pub(super) fn patterns(source: Source<'_>, top: &Table<'_>) -> Result<Vec<Pattern>> {
    let Some(value) = top.value("evidence") else {
        return Ok(Vec::new());
    };
    let DeValue::Array(tables) = value.get_ref() else {
        let message = "`evidence` is a list of tables, each under [[evidence]]";
        return Err(top.error("evidence", message).with_hint(EXAMPLE));
    };
    if tables.len() > OWN_PATTERNS_MAX {
        let message = format!("there are more than {OWN_PATTERNS_MAX} [[evidence]] tables");
        return Err(top.error("evidence", &message));
    }
    let mut patterns: Vec<Pattern> = Vec::new();
    for table in tables {
        let (table, pattern) = pattern(source, table)?;
        if patterns.iter().any(|known| known.name == pattern.name) {
            let message = format!("there are two patterns {}", quoted(&pattern.name));
            return Err(table.error("name", &message));
        }
        patterns.push(pattern);
    }
    Ok(patterns)
}

fn pattern<'a>(
    source: Source<'a>,
    value: &'a Spanned<DeValue<'a>>,
) -> Result<(Table<'a>, Pattern)> {
    let table = Table::of(source, "[[evidence]]", value)?;
    table.only_knows(&[
        "name", "class", "code", "message", "regex", "matches", "misses",
    ])?;
    let missing = |key: &str| {
        let message = format!("`{key}` is missing");
        table.error("", &message).with_hint(EXAMPLE)
    };
    let name = table.text("name")?.ok_or_else(|| missing("name"))?;
    if let Err(why) = ItemId::new(&name) {
        let why = why
            .to_string()
            .replace("an item id", "the name of a pattern");
        return Err(table.error("name", &format!("{}: {why}", quoted(&name))));
    }
    let class = table.text("class")?.ok_or_else(|| missing("class"))?;
    let form = form(&table)?;
    let key = Form::NAMES
        .into_iter()
        .find(|key| table.value(key).is_some());
    let pattern = Pattern {
        sign: sign(&table, &class)?,
        form,
        matches: table.texts("matches")?.ok_or_else(|| missing("matches"))?,
        misses: table.texts("misses")?.unwrap_or_default(),
        name,
    };
    match pattern.check() {
        Ok(()) => Ok((table, pattern)),
        Err(why) => {
            let message = format!("the pattern {} {why}", quoted(&pattern.name));
            Err(table.error(key.unwrap_or_default(), &message))
        }
    }
}

fn sign(table: &Table<'_>, class: &str) -> Result<Option<Sign>> {
    let sign = Sign::named(class);
    if sign.is_none() && class != "none" {
        let message = format!("there is no class {}", quoted(class));
        let hint = suggest::hint(class, Sign::NAMES.into_iter().chain(["none"]));
        return Err(table.error("class", &message).with_hint(hint));
    }
    Ok(sign)
}

fn form(table: &Table<'_>) -> Result<Form> {
    let code = table.text("code")?.map(Form::Code);
    let message = table.text("message")?.map(Form::Message);
    let regex = table.text("regex")?.map(Form::Regex);
    let mut given = [code, message, regex].into_iter().flatten();
    if let (Some(form), None) = (given.next(), given.next()) {
        return Ok(form);
    }
    let message = "a pattern has one of `code`, `message` and `regex`";
    Err(table.error("", message).with_hint(EXAMPLE))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::file::ConfigFile;
    use crate::credential::key::Class;

    fn parse(text: &str) -> Result<Vec<Pattern>> {
        ConfigFile::parse(Path::new("orchestrate.toml"), text).map(|file| file.evidence)
    }

    #[test]
    fn patterns_are_read_in_their_order() {
        let patterns = parse(
            r#"
[[evidence]]
name = "busy"
class = "overloaded"
message = "Server is busy"
matches = ["12:00:01 ERROR api: Server is busy, try again in 20s"]
misses = ["test that the Server is busy"]

[[evidence]]
name = "quota"
class = "day"
code = "E_QUOTA"
matches = ['"code": "E_QUOTA"']

[[evidence]]
name = "mock"
class = "none"
regex = "^mock: "
matches = ["mock: HTTP 429"]
"#,
        )
        .unwrap();
        let signs: Vec<Option<Sign>> = patterns.iter().map(|pattern| pattern.sign).collect();
        let day = Some(Sign::Limited(Class::Day));
        assert_eq!(signs, [Some(Sign::Overloaded), day, None]);
        assert_eq!(patterns[1].form, Form::Code("E_QUOTA".to_owned()));
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_with_a_pattern_is_told_with_its_line() {
        let whole =
            "[[evidence]]\nname = \"a\"\nclass = \"day\"\nregex = \"x\"\nmatches = [\"x\"]\n";
        let replaced = |old: &str, new: &str| whole.replace(old, new);
        for (text, line, says) in [
            (
                "evidence = 1".to_owned(),
                1,
                "`evidence` is a list of tables",
            ),
            (replaced("name = \"a\"", ""), 1, "`name` is missing"),
            (
                replaced("\"a\"", "\"a/b\""),
                2,
                "\"a/b\": the name of a pattern",
            ),
            (
                replaced("\"day\"", "\"dayy\""),
                3,
                "there is no class \"dayy\"",
            ),
            (replaced("regex", "rexeg"), 4, "unknown key `rexeg`"),
            (
                replaced("\nregex = \"x\"", ""),
                1,
                "one of `code`, `message` and `regex`",
            ),
            (
                replaced("regex", "code = \"x\"\nregex"),
                1,
                "one of `code`, `message` and `regex`",
            ),
            (
                replaced("\"x\"\nm", "\"(x\"\nm"),
                4,
                "the pattern \"a\" is no regular expression: unclosed group",
            ),
            (
                replaced("[\"x\"]", "[\"y\"]"),
                4,
                "the pattern \"a\" does not find its example \"y\"",
            ),
            (
                replaced("[\"x\"]", "[\"x\"]\nmisses = [\"xx\"]"),
                4,
                "the pattern \"a\" finds \"xx\"",
            ),
            (
                replaced("\nmatches = [\"x\"]", ""),
                1,
                "`matches` is missing",
            ),
            (whole.repeat(2), 7, "there are two patterns \"a\""),
        ] {
            let error = parse(&text).expect_err(&text).to_string();
            assert!(
                error.starts_with(&format!("orchestrate.toml:{line}: ")),
                "{text}\n{error}"
            );
            assert!(error.contains(says), "{text}\n{error}");
        }
        let error = parse(&replaced("\"day\"", "\"dayy\"")).unwrap_err();
        assert_eq!(error.hint(), Some("did you mean `day`?"));
        let named: String = (0..=OWN_PATTERNS_MAX)
            .map(|number| whole.replace("\"a\"", &format!("\"a{number}\"")))
            .collect();
        let error = parse(&named).unwrap_err().to_string();
        assert!(error.contains("more than 100"), "{error}");
    }
}
