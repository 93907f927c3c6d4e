//! What stands in `run.json`, and what an item writes to its status file. Pure.

use super::runs::LOST;
use super::{Form, Line, Member};

const STATE: &[Member] = &[
    (
        "state",
        Form::Text,
        true,
        "`ready`, `probation`, `cooling`, `spent`, `suspect`, `retired`, `disabled`.",
    ),
    ("until", Form::Time, false, "When that ends by itself."),
];

const ATTEMPT: &[Member] = &[
    (
        "attempt",
        Form::Count,
        true,
        "Its number, from 1, over all runs.",
    ),
    ("started", Form::Time, true, "When it began."),
    (
        "duration_ms",
        Form::Count,
        false,
        "How long it took, in milliseconds.",
    ),
    ("outcome", Form::Outcome, false, "How it ended."),
    (
        "exit",
        Form::Text,
        false,
        "How its process ended, for people.",
    ),
    ("credential", Form::Text, false, "The label of its key."),
    (
        "log",
        Form::Text,
        false,
        "The path of its output, relative to `.orchestrate/`.",
    ),
];

const ITEM: &[Member] = &[
    ("id", Form::Text, true, "Its id."),
    ("title", Form::Text, true, "Its title, as it came."),
    (
        "state",
        Form::Word(&["pending", "skipped", "running", "ended", "not-recorded"]),
        true,
        "How far it got in this run.",
    ),
    (
        "outcome",
        Form::Outcome,
        false,
        "How its last attempt ended.",
    ),
    (
        "reason",
        Form::Text,
        false,
        "Why there is no attempt, or why its outcome is in no journal.",
    ),
    (
        "attempts",
        Form::Objects("An attempt.", ATTEMPT),
        false,
        "Its attempts in this run.",
    ),
];

/// `run.json`, behind its format and version.
pub(super) const RUN: &[Member] = &[
    ("run", Form::Text, true, "The run's name."),
    ("workflow", Form::Text, true, "The workflow."),
    (
        "orchestrate_version",
        Form::Text,
        true,
        "The version that ran.",
    ),
    ("started", Form::Time, true, "When it began."),
    (
        "ended",
        Form::Time,
        false,
        "When it ended; not there while it runs, and when it was killed.",
    ),
    (
        "parallel",
        Form::Count,
        false,
        "How many items at once; not there when sequential.",
    ),
    (
        "command",
        Form::Texts,
        true,
        "The per-item command, placeholders and all.",
    ),
    (
        "verify",
        Form::Texts,
        false,
        "The command that verifies what that one did.",
    ),
    ("credentials", Form::Texts, false, "The labels of the pool."),
    (
        "credential_states",
        Form::ObjectByName("A key.", STATE),
        false,
        "How the keys stood when the run ended, by label.",
    ),
    (
        "lost",
        Form::Object("In milliseconds.", LOST),
        false,
        "How much longer it took for want of what.",
    ),
    (
        "forecast_ms",
        Form::Count,
        false,
        "How long it was to take when it began, in milliseconds, if that can be compared with how long it took.",
    ),
    (
        "exit_status",
        Form::Status,
        false,
        "The exit status; not there when it died by a signal.",
    ),
    (
        "items",
        Form::Objects("An item.", ITEM),
        true,
        "Its items, in order.",
    ),
];

const RETRY_AFTER: Member = (
    "retry_after",
    Form::Number,
    false,
    "How long to wait, in seconds.",
);
const RESET_AT: Member = (
    "reset_at",
    Form::Instant,
    false,
    "When the wait is over: a date of RFC 3339, or seconds since 1970; `retry_after` goes before it.",
);

/// Lines of a status file.
pub(super) const TOLD: &[Line] = &[
    (
        "rate_limited",
        "The key is limited: it rests, and the item is tried again.",
        &[
            (
                "class",
                Form::Word(&["minute", "day", "billing"]),
                false,
                "What is used up; `minute` if it does not say.",
            ),
            (
                "scope",
                Form::Word(&["key", "group"]),
                false,
                "Whose budget that is; `group` if it does not say.",
            ),
            RETRY_AFTER,
            RESET_AT,
        ],
    ),
    ("auth_failed", "The key is not valid.", &[]),
    (
        "overloaded",
        "The provider has no room, and no key is to blame.",
        &[RETRY_AFTER, RESET_AT],
    ),
    (
        "ok",
        "The key does what it should: takes back what was told before.",
        &[],
    ),
    (
        "progress",
        "How far the item is.",
        &[("text", Form::Text, true, "In words.")],
    ),
];
