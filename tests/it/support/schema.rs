//! Holds what a machine reads to the schema that `orchestrate schema` prints, more strictly than a reader may: a member
//! that the schema does not have is a mistake here.

use std::sync::LazyLock;

use jsonschema::Validator;
use orchestrate::report::schema;
use serde_json::Value;

static STDOUT: LazyLock<Validator> = LazyLock::new(|| validator(schema::stdout()));
static EVENTS: LazyLock<Validator> = LazyLock::new(|| validator(schema::event_file()));
static RUN: LazyLock<Validator> = LazyLock::new(|| validator(schema::run_file()));
static TOLD: LazyLock<Validator> = LazyLock::new(|| validator(schema::status_file()));

/// How each object of ours begins.
const FIRST: &str = "{\"type\":\"";

/// Validates what a process wrote to stdout, if that is a stream of objects, and returns them.
#[track_caller]
pub(crate) fn check_stdout(stdout: &str) -> Vec<Value> {
    // On a terminal words stand between the objects.
    if !stdout.starts_with(FIRST) || stdout.contains("\r\n") {
        return Vec::new();
    }
    check(&STDOUT, stdout)
}

/// Validates the whole lines of an `events.jsonl`.
#[track_caller]
pub(crate) fn check_events(text: &str) {
    check(&EVENTS, text);
}

/// Validates a `run.json`.
#[track_caller]
pub(crate) fn check_run(text: &str) {
    let record: Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    if let Err(error) = RUN.validate(&record) {
        panic!("run.json: {error}: {text}");
    }
}

/// Validates what `orchestrate tell` has written to a status file.
#[track_caller]
pub(crate) fn check_told(text: &str) -> Vec<Value> {
    check(&TOLD, text)
}

#[track_caller]
fn check(validator: &Validator, text: &str) -> Vec<Value> {
    // Whoever is killed may leave a piece of a line.
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    let mut objects = Vec::new();
    for line in whole {
        let object: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let name = object["type"]
            .as_str()
            .or(object["event"].as_str())
            .unwrap_or_default();
        if let Err(error) = validator.validate(&object) {
            panic!("{name}: {error}: {line}");
        }
        objects.push(object);
    }
    objects
}

fn validator(mut schema: Value) -> Validator {
    close(&mut schema);
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    options.build(&schema).expect("a schema")
}

/// Allows no object to have a member that it is not said to have.
fn close(schema: &mut Value) {
    if schema["properties"].is_object() && schema["type"] == "object" {
        schema["additionalProperties"] = false.into();
    }
    match schema {
        Value::Object(members) => members.values_mut().for_each(close),
        Value::Array(values) => values.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
