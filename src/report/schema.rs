//! The JSON Schemas (2020-12) of what machines read and write: lines of `--format json`, `events.jsonl`, `run.json`, and the
//! lines of a status file.
//!
//! `orchestrate schema` prints them, and the tests hold every line and file of their runs to them, in both directions: no
//! line may lack a member that is here, or have one that is not. A reader has to pass over members and types that it does
//! not know, for later releases may add them without another version, so the schemas allow them. Pure.

mod commands;
mod events;
mod files;
mod runs;

use serde_json::{Map, Value, json};

use super::json::FORMAT_VERSION;
use crate::state::{run_event, run_record};
use commands::COMMANDS;
use events::EVENTS;
use files::{RUN, TOLD};
use runs::RUNS;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
const ADVICE: &str = "Readers pass over members and types that they do not know.";

/// What a member may be.
#[derive(Debug, Clone, Copy)]
enum Form {
    Text,
    TextOrNull,
    Texts,
    Count,
    CountOrNull,
    /// Not below zero.
    Number,
    NumberOrNull,
    Truth,
    True,
    False,
    Time,
    TimeOrNull,
    /// A date, or seconds since 1970.
    Instant,
    Outcome,
    Status,
    StatusOrNull,
    LimiterOrNull,
    /// One of these words.
    Word(&'static [&'static str]),
    WordOrNull(&'static [&'static str]),
    /// A count for each of these words, of which any may be absent.
    CountsOf(&'static [&'static str]),
    /// What it is, and its members.
    Object(&'static str, &'static [Member]),
    ObjectOrNull(&'static str, &'static [Member]),
    /// Objects under names that nobody knows beforehand.
    ObjectByName(&'static str, &'static [Member]),
    /// A list of objects.
    Objects(&'static str, &'static [Member]),
    /// A list of lists of objects.
    Lists(&'static str, &'static [Member]),
}

/// Name, form, whether it is always there, and what it is.
type Member = (&'static str, Form, bool, &'static str);

/// Type, what it says, and its members.
type Line = (&'static str, &'static str, &'static [Member]);

/// A line with the name of its definition, where several have one type.
type Named = (&'static str, Line);

/// What there is a schema of, by the name that `orchestrate schema` takes.
pub const NAMES: [&str; 4] = ["stdout", "events", "run", "tell"];

/// The schema of that name; nothing when there is none.
#[must_use]
pub fn named(name: &str) -> Option<Value> {
    match name {
        "stdout" => Some(stdout()),
        "events" => Some(event_file()),
        "run" => Some(run_file()),
        "tell" => Some(status_file()),
        _ => None,
    }
}

/// The schema of one line of stdout with `--format json`, of whatever command.
#[must_use]
pub fn stdout() -> Value {
    let version = FORMAT_VERSION.into();
    let events = EVENTS
        .iter()
        .map(|line| (line.0, define(line, "type", Some(&version), true)));
    let others = RUNS.iter().chain(COMMANDS);
    let others = others.map(|(name, line)| (*name, define(line, "type", Some(&version), false)));
    any_of(
        "A line of `orchestrate --format json`",
        events.chain(others),
    )
}

/// The schema of one line of `events.jsonl`.
#[must_use]
pub fn event_file() -> Value {
    let version = run_event::VERSION.into();
    let events = EVENTS
        .iter()
        .map(|line| (line.0, define(line, "event", Some(&version), true)));
    any_of("A line of events.jsonl", events)
}

/// The schema of `run.json`.
#[must_use]
pub fn run_file() -> Value {
    let mut properties = Map::new();
    properties.insert("format".to_owned(), json!({ "const": run_record::FORMAT }));
    properties.insert(
        "version".to_owned(),
        json!({ "const": run_record::VERSION }),
    );
    let mut document = document("run.json");
    let run = object_after(properties, ADVICE, RUN);
    if let (Value::Object(document), Value::Object(run)) = (&mut document, run) {
        document.extend(run);
    }
    document
}

/// The schema of one line of a status file, which the command of an item writes.
#[must_use]
pub fn status_file() -> Value {
    let told = TOLD
        .iter()
        .map(|line| (line.0, define(line, "event", None, false)));
    any_of("A line of $ORCHESTRATE_STATUS_FILE", told)
}

fn document(title: &str) -> Value {
    json!({ "$schema": DIALECT, "title": title, "description": ADVICE })
}

fn any_of(title: &str, definitions: impl Iterator<Item = (&'static str, Value)>) -> Value {
    let definitions: Map<String, Value> = definitions
        .map(|(name, definition)| (name.to_owned(), definition))
        .collect();
    let any: Vec<Value> = definitions
        .keys()
        .map(|name| json!({ "$ref": format!("#/$defs/{name}") }))
        .collect();
    let mut document = document(title);
    document["oneOf"] = any.into();
    document["$defs"] = definitions.into();
    document
}

fn define(
    (name, says, members): &Line,
    tag: &str,
    version: Option<&Value>,
    has_time: bool,
) -> Value {
    let mut properties = Map::new();
    properties.insert(tag.to_owned(), json!({ "const": name }));
    if let Some(version) = version {
        properties.insert("version".to_owned(), json!({ "const": version }));
    }
    if has_time {
        properties.insert("at".to_owned(), form(Form::Time));
    }
    object_after(properties, says, members)
}

fn object(says: &str, members: &[Member]) -> Value {
    object_after(Map::new(), says, members)
}

/// An object that always has `properties`, and then `members`.
fn object_after(mut properties: Map<String, Value>, says: &str, members: &[Member]) -> Value {
    let mut required: Vec<String> = properties.keys().cloned().collect();
    for (name, member, is_required, says) in members {
        let mut schema = form(*member);
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".to_owned(), (*says).into());
        }
        properties.insert((*name).to_owned(), schema);
        required.extend(is_required.then(|| (*name).to_owned()));
    }
    json!({
        "type": "object",
        "description": says,
        "properties": properties,
        "required": required,
    })
}

fn form(form: Form) -> Value {
    let list = |items: Value| json!({ "type": "array", "items": items });
    match form {
        Form::Text => json!({ "type": "string" }),
        Form::TextOrNull => json!({ "type": ["string", "null"] }),
        Form::Texts => list(json!({ "type": "string" })),
        Form::Count => json!({ "type": "integer", "minimum": 0 }),
        Form::CountOrNull => json!({ "type": ["integer", "null"], "minimum": 0 }),
        Form::Number => json!({ "type": "number", "minimum": 0 }),
        Form::NumberOrNull => json!({ "type": ["number", "null"], "minimum": 0 }),
        Form::Truth => json!({ "type": "boolean" }),
        Form::True => json!({ "const": true }),
        Form::False => json!({ "const": false }),
        Form::Time => json!({ "type": "string", "format": "date-time" }),
        Form::TimeOrNull => json!({ "type": ["string", "null"], "format": "date-time" }),
        Form::Instant => json!({ "type": ["string", "number"] }),
        Form::Outcome => json!({
            "enum": ["done", "failed", "timed-out", "interrupted", "deferred"]
        }),
        Form::Status => json!({ "type": "integer", "minimum": 0, "maximum": 255 }),
        Form::StatusOrNull => json!({ "type": ["integer", "null"], "minimum": 0, "maximum": 255 }),
        Form::LimiterOrNull => json!({ "enum": ["credentials", "provider", "room", null] }),
        Form::Word(words) => json!({ "enum": words }),
        Form::WordOrNull(words) => {
            let words = words.iter().map(|word| Value::from(*word));
            json!({ "enum": words.chain([Value::Null]).collect::<Vec<_>>() })
        }
        Form::CountsOf(words) => {
            let count = |word: &&str| ((*word).to_owned(), self::form(Form::Count));
            let properties: Map<String, Value> = words.iter().map(count).collect();
            json!({ "type": "object", "properties": properties })
        }
        Form::Object(says, members) => object(says, members),
        Form::ObjectOrNull(says, members) => {
            json!({ "anyOf": [object(says, members), { "type": "null" }] })
        }
        Form::ObjectByName(says, members) => {
            json!({ "type": "object", "additionalProperties": object(says, members) })
        }
        Form::Objects(says, members) => list(object(says, members)),
        Form::Lists(says, members) => list(list(object(says, members))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::run_view::Standing;

    #[test]
    fn an_item_of_a_status_may_stand_in_every_way_that_there_is() {
        let words = Standing::ALL.map(Standing::word);
        let schema = stdout();
        let status = &schema["$defs"]["status"]["properties"];
        let of_an_item = &status["items"]["items"]["properties"]["state"]["enum"];
        let counted = status["counts"]["properties"].as_object().unwrap();
        for word in words {
            assert!(
                of_an_item.as_array().unwrap().contains(&word.into()),
                "{word}"
            );
            assert!(counted.contains_key(word), "{word}");
        }
        assert_eq!(counted.len(), words.len());
    }

    #[test]
    fn every_name_has_a_schema_and_no_other_has() {
        for name in NAMES {
            assert!(
                named(name).is_some_and(|it| it["title"].is_string()),
                "{name}"
            );
        }
        assert_eq!(named("moon"), None);
    }

    #[test]
    fn every_type_is_defined_once_and_none_stands_in_the_way_of_another() {
        let schema = stdout();
        let definitions = schema["$defs"].as_object().unwrap();
        assert_eq!(
            definitions.len(),
            EVENTS.len() + RUNS.len() + COMMANDS.len()
        );
        assert_eq!(schema["oneOf"].as_array().unwrap().len(), definitions.len());
        let events = event_file();
        let ended = &events["$defs"]["attempt-ended"];
        assert_eq!(ended["properties"]["event"]["const"], "attempt-ended");
    }
}
