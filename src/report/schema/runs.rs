//! What a run and a dry run print besides events, by the name of the definition. Pure.

use super::{Form, Member, Named};

/// The time that a run has lost, in milliseconds.
pub(super) const LOST: &[Member] = &[
    ("credentials_ms", Form::Count, true, "For want of keys."),
    (
        "one_more_credential_ms",
        Form::Count,
        true,
        "What one more key would have saved of that.",
    ),
    (
        "provider_ms",
        Form::Count,
        true,
        "By the provider's overload.",
    ),
    (
        "room_ms",
        Form::Count,
        true,
        "For want of room for processes.",
    ),
];

const FAILURE: &[Member] = &[
    ("id", Form::Text, true, "Which item."),
    (
        "exit",
        Form::TextOrNull,
        true,
        "How its process ended, for people.",
    ),
    ("tail", Form::Texts, true, "Its last lines."),
    ("log", Form::TextOrNull, true, "The path of its output."),
];

const CAUSE: &[Member] = &[
    ("cause", Form::Text, true, "In words."),
    ("count", Form::Count, true, "How many items."),
    ("ids", Form::Texts, true, "Which items."),
];

/// All of them.
pub(super) const RUNS: &[Named] = &[
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
                    Form::Object("In milliseconds.", LOST),
                    true,
                    "How much longer the run took for want of what.",
                ),
                (
                    "failures",
                    Form::Objects("A failed item and its last lines.", FAILURE),
                    true,
                    "Each failed item.",
                ),
                (
                    "causes",
                    Form::Objects("Failures with one cause.", CAUSE),
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
