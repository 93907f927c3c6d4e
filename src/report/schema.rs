//! The JSON Schema (2020-12) of what a machine reads: lines of `--format json`, and of `events.jsonl`.
//!
//! `orchestrate schema` prints it, and the tests hold every line of their runs to it, in both directions: no line may
//! lack a member that is here, or have one that is not. A reader has to pass over members and types that it does not
//! know, for later releases may add them without another version, so the schema allows them. Pure.

use serde_json::{Map, Value, json};

use super::json::FORMAT_VERSION;
use crate::state::run_event;

/// What a member may be.
#[derive(Debug, Clone, Copy)]
enum Form {
    Text,
    TextOrNull,
    Texts,
    Count,
    CountOrNull,
    Truth,
    True,
    Time,
    Outcome,
    Status,
    StatusOrNull,
    Stage,
    LimiterOrNull,
    Lost,
    Failures,
    Causes,
}

/// Name, form, whether it is always there, and what it is.
type Member = (&'static str, Form, bool, &'static str);

/// Type, what it says, and its members.
type Line = (&'static str, &'static str, &'static [Member]);

const ITEM: Member = ("item", Form::Text, true, "Which item.");
const ATTEMPT: Member = (
    "attempt",
    Form::Count,
    true,
    "The number of the attempt, from 1.",
);
const CREDENTIAL: Member = ("credential", Form::Text, false, "The label of its key.");
const LOG: Member = (
    "log",
    Form::Text,
    false,
    "The path of its output; in events.jsonl relative to `.orchestrate/`.",
);
const RUNNING: Member = ("running", Form::Count, true, "How many items run.");

/// What happens in a run.
const EVENTS: &[Line] = &[
    (
        "run-started",
        "The run begins.",
        &[
            ("run", Form::Text, true, "The run's name."),
            ("workflow", Form::Text, true, "The workflow."),
            ("items", Form::Count, true, "How many items it is to run."),
        ],
    ),
    (
        "attempt-started",
        "An attempt begins.",
        &[
            ITEM,
            ATTEMPT,
            (
                "slot",
                Form::Count,
                true,
                "The worker slot that it runs in.",
            ),
            CREDENTIAL,
            LOG,
        ],
    ),
    (
        "progressed",
        "An attempt that runs says how far it is.",
        &[
            ITEM,
            ATTEMPT,
            ("text", Form::Text, true, "In its own words."),
        ],
    ),
    (
        "attempt-withdrawn",
        "The system had no room for the attempt's process: it was none.",
        &[ITEM],
    ),
    (
        "attempt-ended",
        "An attempt has ended, and its outcome is on disk unless `recorded` says otherwise.",
        &[
            ITEM,
            ATTEMPT,
            ("outcome", Form::Outcome, true, "Its outcome."),
            (
                "exit",
                Form::Text,
                true,
                "How the process ended, for people.",
            ),
            (
                "duration_ms",
                Form::Count,
                true,
                "How long it took, in milliseconds.",
            ),
            CREDENTIAL,
            LOG,
            ("recorded", Form::Truth, true, "Whether the journal has it."),
        ],
    ),
    (
        "retrying",
        "An item is to have another attempt.",
        &[
            ITEM,
            ATTEMPT,
            (
                "wait_ms",
                Form::Count,
                true,
                "How long it waits for it, in milliseconds.",
            ),
        ],
    ),
    (
        "item-deferred",
        "No key came free in time for an item: it stays to be done.",
        &[ITEM],
    ),
    (
        "credential-changed",
        "A key stands otherwise than before.",
        &[
            ("credential", Form::Text, true, "Its label."),
            (
                "state",
                Form::Text,
                true,
                "`ready`, `probation`, `cooling`, `spent`, `suspect`, `retired`, `disabled`.",
            ),
            ("until", Form::Time, false, "When that ends by itself."),
        ],
    ),
    (
        "limiter-changed",
        "Another thing limits the run than before.",
        &[
            (
                "limiter",
                Form::LimiterOrNull,
                true,
                "What; nothing when nothing does.",
            ),
            RUNNING,
            (
                "wanted",
                Form::Count,
                true,
                "How many would run if only the number asked for limited them.",
            ),
        ],
    ),
    (
        "stage-raised",
        "The run is being stopped, one stage further than before.",
        &[
            ("stage", Form::Stage, true, "The stage."),
            RUNNING,
            (
                "queued",
                Form::Count,
                true,
                "How many items were not started.",
            ),
        ],
    ),
    (
        "run-ended",
        "The run is over.",
        &[(
            "exit_status",
            Form::StatusOrNull,
            true,
            "The exit status; nothing when it dies by a signal.",
        )],
    ),
];

/// What else stands on stdout, by the name of its definition, and its type.
const OTHERS: &[(&str, Line)] = &[
    (
        "item",
        (
            "item",
            "An item has come to its end in this run.",
            &[
                ("id", Form::Text, true, "Its id."),
                ("title", Form::Text, true, "Its title."),
                ("outcome", Form::Outcome, true, "Its outcome."),
                (
                    "exit",
                    Form::TextOrNull,
                    true,
                    "How its process ended, for people; nothing when none was started.",
                ),
                (
                    "exit_code",
                    Form::StatusOrNull,
                    true,
                    "The exit code, if there is one.",
                ),
                (
                    "duration_ms",
                    Form::Count,
                    true,
                    "How long the last attempt took, in milliseconds.",
                ),
                (
                    "credential",
                    Form::TextOrNull,
                    true,
                    "The label of its key.",
                ),
                ("log", Form::TextOrNull, true, "The path of its output."),
                (
                    "log_cut",
                    Form::TextOrNull,
                    true,
                    "Why the log is not whole, if it is not.",
                ),
                (
                    "not_recorded",
                    Form::TextOrNull,
                    true,
                    "Why its outcome is not on disk, if it is not: it runs again.",
                ),
            ],
        ),
    ),
    (
        "summary",
        (
            "summary",
            "The last line of a run.",
            &[
                (
                    "run_id",
                    Form::TextOrNull,
                    true,
                    "The run's name; nothing when there was nothing to do.",
                ),
                ("done", Form::Count, true, "Items that are done."),
                (
                    "failed",
                    Form::Count,
                    true,
                    "Items that failed, those that were timed out included.",
                ),
                ("timed_out", Form::Count, true, "Items that were timed out."),
                ("interrupted", Form::Count, true, "Items that were stopped."),
                (
                    "deferred",
                    Form::Count,
                    true,
                    "Items that got no key in time.",
                ),
                (
                    "not_recorded",
                    Form::Count,
                    true,
                    "Items whose end is not on disk.",
                ),
                (
                    "not_started",
                    Form::Count,
                    true,
                    "Items that were not started.",
                ),
                (
                    "duration_ms",
                    Form::Count,
                    true,
                    "How long the run took, in milliseconds.",
                ),
                (
                    "forecast_ms",
                    Form::CountOrNull,
                    true,
                    "How long it was to take, going by earlier runs; nothing when too little was known or it was stopped.",
                ),
                (
                    "median_ms",
                    Form::CountOrNull,
                    true,
                    "The median of done items.",
                ),
                (
                    "slowest_ms",
                    Form::CountOrNull,
                    true,
                    "The slowest of them.",
                ),
                ("slowest_id", Form::TextOrNull, true, "Which that was."),
                (
                    "lost",
                    Form::Lost,
                    true,
                    "How much longer the run took for want of what.",
                ),
                ("failures", Form::Failures, true, "Each failed item."),
                (
                    "causes",
                    Form::Causes,
                    true,
                    "The failures by their cause, most first.",
                ),
                (
                    "rerun",
                    Form::TextOrNull,
                    true,
                    "The command line that runs what is left.",
                ),
                (
                    "exit_status",
                    Form::StatusOrNull,
                    true,
                    "The exit status; nothing when it dies by a signal.",
                ),
            ],
        ),
    ),
    (
        "dry-run-item",
        (
            "item",
            "An item, as --dry-run sees it.",
            &[
                ("id", Form::Text, true, "Its id."),
                ("title", Form::Text, true, "Its title."),
                (
                    "state",
                    Form::Text,
                    true,
                    "`pending`, `done`, `not ready`, `refused`, `excluded`.",
                ),
                ("reason", Form::Text, true, "Why."),
                (
                    "output",
                    Form::TextOrNull,
                    true,
                    "Where its result would go.",
                ),
                ("remarks", Form::Texts, true, "What a person should know."),
            ],
        ),
    ),
    (
        "dry-run-summary",
        (
            "summary",
            "The last line of a dry run.",
            &[
                ("dry_run", Form::True, true, "It was one."),
                ("items", Form::Count, true, "How many items there are."),
                (
                    "pending",
                    Form::Count,
                    true,
                    "How many of them would be run.",
                ),
                ("at_once", Form::Count, true, "How many of those at once."),
                (
                    "forecast_ms",
                    Form::CountOrNull,
                    true,
                    "How long that takes, going by earlier runs; nothing when too little is known.",
                ),
            ],
        ),
    ),
    (
        "warning",
        (
            "warning",
            "What a person should know; the run goes on.",
            &[("message", Form::Text, true, "In words.")],
        ),
    ),
    (
        "error",
        (
            "error",
            "What has stopped us; nothing follows.",
            &[
                ("message", Form::Text, true, "In words."),
                ("hint", Form::TextOrNull, true, "What to do about it."),
                ("exit_status", Form::Status, true, "The exit status."),
            ],
        ),
    ),
];

/// The schema of one line of stdout with `--format json`, of a run or a dry run.
#[must_use]
pub fn stdout() -> Value {
    let events = EVENTS
        .iter()
        .map(|line| (line.0, define(line, "type", true)));
    let others = OTHERS
        .iter()
        .map(|(name, line)| (*name, define(line, "type", false)));
    document(
        "A line of `orchestrate --format json`, of a run or a dry run",
        events.chain(others),
    )
}

/// The schema of one line of `events.jsonl`.
#[must_use]
pub fn event_file() -> Value {
    let events = EVENTS
        .iter()
        .map(|line| (line.0, define(line, "event", true)));
    document("A line of events.jsonl", events)
}

fn document(title: &str, definitions: impl Iterator<Item = (&'static str, Value)>) -> Value {
    let definitions: Map<String, Value> = definitions
        .map(|(name, definition)| (name.to_owned(), definition))
        .collect();
    let any: Vec<Value> = definitions
        .keys()
        .map(|name| json!({ "$ref": format!("#/$defs/{name}") }))
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": "Readers pass over members and types that they do not know.",
        "oneOf": any,
        "$defs": definitions,
    })
}

fn define((name, says, members): &Line, tag: &str, has_time: bool) -> Value {
    let version = if tag == "type" {
        FORMAT_VERSION.into()
    } else {
        run_event::VERSION
    };
    let mut properties = Map::new();
    properties.insert(tag.to_owned(), json!({ "const": name }));
    properties.insert("version".to_owned(), json!({ "const": version }));
    let mut required = vec![tag, "version"];
    if has_time {
        properties.insert("at".to_owned(), form(Form::Time));
        required.push("at");
    }
    for (name, member, is_required, says) in *members {
        let mut schema = form(*member);
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".to_owned(), (*says).into());
        }
        properties.insert((*name).to_owned(), schema);
        required.extend(is_required.then_some(*name));
    }
    object(says, &properties, &required)
}

fn object(says: &str, properties: &Map<String, Value>, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "description": says,
        "properties": properties,
        "required": required,
    })
}

fn form(form: Form) -> Value {
    match form {
        Form::Text => json!({ "type": "string" }),
        Form::TextOrNull => json!({ "type": ["string", "null"] }),
        Form::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Form::Count => json!({ "type": "integer", "minimum": 0 }),
        Form::CountOrNull => json!({ "type": ["integer", "null"], "minimum": 0 }),
        Form::Truth => json!({ "type": "boolean" }),
        Form::True => json!({ "const": true }),
        Form::Time => json!({ "type": "string", "format": "date-time" }),
        Form::Outcome => json!({
            "enum": ["done", "failed", "timed-out", "interrupted", "deferred"]
        }),
        Form::Status => json!({ "type": "integer", "minimum": 0, "maximum": 255 }),
        Form::StatusOrNull => json!({ "type": ["integer", "null"], "minimum": 0, "maximum": 255 }),
        Form::Stage => json!({ "enum": ["draining", "terminating", "killing"] }),
        Form::LimiterOrNull => json!({ "enum": ["credentials", "provider", "room", null] }),
        Form::Lost => {
            let names = [
                "credentials_ms",
                "one_more_credential_ms",
                "provider_ms",
                "room_ms",
            ];
            let count = |name: &&str| ((*name).to_owned(), self::form(Form::Count));
            let properties: Map<String, Value> = names.iter().map(count).collect();
            object("In milliseconds.", &properties, &names)
        }
        Form::Failures => list(
            "A failed item and its last lines.",
            &[
                ("id", Form::Text),
                ("exit", Form::TextOrNull),
                ("tail", Form::Texts),
                ("log", Form::TextOrNull),
            ],
        ),
        Form::Causes => list(
            "Failures with one cause.",
            &[
                ("cause", Form::Text),
                ("count", Form::Count),
                ("ids", Form::Texts),
            ],
        ),
    }
}

/// An array of objects that have all these members.
fn list(says: &str, members: &[(&str, Form)]) -> Value {
    let member = |(name, form): &(&str, Form)| ((*name).to_owned(), self::form(*form));
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let object = object(says, &members.iter().map(member).collect(), &names);
    json!({ "type": "array", "items": object })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_defined_once_and_none_stands_in_the_way_of_another() {
        let schema = stdout();
        let definitions = schema["$defs"].as_object().unwrap();
        assert_eq!(definitions.len(), EVENTS.len() + OTHERS.len());
        assert_eq!(schema["oneOf"].as_array().unwrap().len(), definitions.len());
        let events = event_file();
        let ended = &events["$defs"]["attempt-ended"];
        assert_eq!(ended["properties"]["event"]["const"], "attempt-ended");
    }
}
