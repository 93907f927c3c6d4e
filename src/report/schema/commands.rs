//! What the commands print that run nothing, by the name of the definition. Pure.

use super::runs::LOST;
use super::{Form, Member, Named};

/// How an item stands, as `status` says it.
const STANDINGS: &[&str] = &[
    "done",
    "failed",
    "timed-out",
    "not-recorded",
    "interrupted",
    "deferred",
    "cut-off",
    "running",
    "waiting",
    "pending",
    "not-started",
    "skipped",
];

/// An item of `status`.
const STATUS_ITEM: &[Member] = &[
    ("id", Form::Text, true, "Its id."),
    ("title", Form::Text, true, "Its title, as it came."),
    ("state", Form::Word(STANDINGS), true, "How it stands."),
    (
        "reason",
        Form::TextOrNull,
        true,
        "Why, as far as that is known.",
    ),
    (
        "progress",
        Form::TextOrNull,
        true,
        "How far it says that it is.",
    ),
    (
        "attempt",
        Form::CountOrNull,
        true,
        "The number of its last attempt.",
    ),
    ("started", Form::TimeOrNull, true, "When that began."),
    (
        "duration_ms",
        Form::CountOrNull,
        true,
        "How long that took, or has taken, in milliseconds.",
    ),
    (
        "credential",
        Form::TextOrNull,
        true,
        "The label of its key.",
    ),
    ("log", Form::TextOrNull, true, "The path of its output."),
];

/// A key of `status`.
const STATUS_CREDENTIAL: &[Member] = &[
    ("label", Form::Text, true, "Its label."),
    ("items", Form::Count, true, "How many items had it."),
    (
        "failures",
        Form::Count,
        true,
        "How many attempts with it failed.",
    ),
    (
        "state",
        Form::TextOrNull,
        true,
        "How it stood at the end of the run, or stands.",
    ),
    ("until", Form::TimeOrNull, true, "When that ends by itself."),
];

const WORKFLOW: Member = ("workflow", Form::Text, true, "Whose journal.");

/// All of them.
pub(super) const COMMANDS: &[Named] = &[
    (
        "status",
        (
            "status",
            "How a run stands or went: `orchestrate status`.",
            &[
                ("run_id", Form::Text, true, "The run's name."),
                ("workflow", Form::Text, true, "The workflow."),
                (
                    "state",
                    Form::Word(&["running", "ended", "cut-off"]),
                    true,
                    "Whether it goes on; `cut-off`: it was killed.",
                ),
                (
                    "stage",
                    Form::WordOrNull(&["draining", "terminating", "killing"]),
                    true,
                    "How far it is being stopped, or was.",
                ),
                ("started", Form::Time, true, "When it began."),
                ("ended", Form::TimeOrNull, true, "When it ended."),
                (
                    "duration_ms",
                    Form::CountOrNull,
                    true,
                    "How long it took, or has taken, in milliseconds.",
                ),
                (
                    "parallel",
                    Form::CountOrNull,
                    true,
                    "How many items at once; nothing when sequential.",
                ),
                (
                    "exit_status",
                    Form::StatusOrNull,
                    true,
                    "The exit status; nothing while it runs, and when it was killed or died by a signal.",
                ),
                (
                    "counts",
                    Form::CountsOf(STANDINGS),
                    true,
                    "How many items stand how; none that is zero.",
                ),
                (
                    "items",
                    Form::Objects("An item.", STATUS_ITEM),
                    true,
                    "Each item, in the order of the run.",
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
                    "credentials",
                    Form::Objects("A key.", STATUS_CREDENTIAL),
                    true,
                    "Each key of the pool.",
                ),
                (
                    "limiter",
                    Form::LimiterOrNull,
                    true,
                    "What limits the run now; nothing when nothing does or it is over.",
                ),
                (
                    "lost",
                    Form::ObjectOrNull("In milliseconds.", LOST),
                    true,
                    "How much longer it took for want of what; nothing while it runs, and when it was killed.",
                ),
                (
                    "forecast_ms",
                    Form::CountOrNull,
                    true,
                    "How long it was to take; nothing while it runs, when too little was known, or when it did not go to its end.",
                ),
            ],
        ),
    ),
    (
        "key",
        (
            "key",
            "How a key of the pool stands: a line of `orchestrate keys`.",
            &[
                ("label", Form::Text, true, "Its label."),
                (
                    "kid",
                    Form::Text,
                    true,
                    "What it is called on disk, and in the journal.",
                ),
                (
                    "state",
                    Form::Word(&[
                        "ready",
                        "leased",
                        "probation",
                        "cooling",
                        "spent",
                        "suspect",
                        "retired",
                        "disabled",
                    ]),
                    true,
                    "How it stands.",
                ),
                (
                    "since",
                    Form::TimeOrNull,
                    true,
                    "Since when, if that was noted.",
                ),
                ("until", Form::TimeOrNull, true, "When that ends by itself."),
                (
                    "until_in_ms",
                    Form::CountOrNull,
                    true,
                    "How long that takes, in milliseconds.",
                ),
                ("reason", Form::TextOrNull, true, "Why, if that was noted."),
                (
                    "slots",
                    Form::Count,
                    true,
                    "How many items may hold it at once.",
                ),
                (
                    "leases",
                    Form::Lists(
                        "A process that holds it.",
                        &[
                            ("pid", Form::Count, true, "Its number."),
                            ("name", Form::Text, true, "Its name."),
                        ],
                    ),
                    true,
                    "For each slot that is taken, the processes that hold it, as far as they can be seen.",
                ),
            ],
        ),
    ),
    (
        "check",
        (
            "check",
            "What was looked at: a line of `orchestrate check`.",
            &[
                ("subject", Form::Text, true, "What."),
                (
                    "result",
                    Form::Word(&["ok", "warning", "failed"]),
                    true,
                    "How it is.",
                ),
                ("text", Form::Text, true, "In words."),
                ("remedy", Form::TextOrNull, true, "What to do about it."),
            ],
        ),
    ),
    (
        "journal-whole",
        (
            "journal",
            "A journal that is whole: `orchestrate journal verify`.",
            &[
                WORKFLOW,
                ("whole", Form::True, true, "It is."),
                ("records", Form::Count, true, "How many records it has."),
                ("items", Form::Count, true, "How many items it knows."),
                (
                    "counts",
                    Form::CountsOf(&[
                        "done",
                        "failed",
                        "timed-out",
                        "interrupted",
                        "deferred",
                        "running",
                        "cut-off",
                    ]),
                    true,
                    "How many of them stand how; none that is zero.",
                ),
                ("bytes", Form::Count, true, "How long it is."),
                (
                    "journal_version",
                    Form::Count,
                    true,
                    "The version of its form.",
                ),
                ("notes", Form::Texts, true, "What a person should know."),
            ],
        ),
    ),
    (
        "journal-damaged",
        (
            "journal",
            "A journal that is not whole: `orchestrate journal verify`.",
            &[
                WORKFLOW,
                ("whole", Form::False, true, "It is not."),
                ("reason", Form::Text, true, "Why."),
            ],
        ),
    ),
    (
        "journal-repair",
        (
            "journal",
            "What became of a journal: `orchestrate journal repair`.",
            &[
                WORKFLOW,
                (
                    "repair",
                    Form::Word(&["absent", "whole", "rehearsed", "repaired"]),
                    true,
                    "What was done; `rehearsed`: nothing, for it was a dry run.",
                ),
                ("kept", Form::Count, false, "How many records are kept."),
                ("bad_lines", Form::Count, false, "How many lines are not."),
                (
                    "bad",
                    Form::Objects(
                        "A line.",
                        &[
                            ("line", Form::Count, true, "Its number, from 1."),
                            ("reason", Form::Text, true, "What is wrong with it."),
                        ],
                    ),
                    false,
                    "The first of them.",
                ),
                (
                    "missing",
                    Form::Count,
                    false,
                    "How many records before the last kept one cannot be found.",
                ),
                (
                    "original",
                    Form::Text,
                    false,
                    "The name of the damaged journal, beside the repaired one.",
                ),
            ],
        ),
    ),
    (
        "log",
        (
            "log",
            "Where the log of an item is: `orchestrate logs`.",
            &[
                ("run_id", Form::Text, true, "The run."),
                ("item", Form::Text, true, "The item."),
                (
                    "attempt",
                    Form::Count,
                    true,
                    "The number of the attempt, from 1.",
                ),
                ("path", Form::Text, true, "The path of the log."),
                ("bytes", Form::Count, true, "How long it is."),
            ],
        ),
    ),
    (
        "report",
        (
            "report",
            "The page about a run: `orchestrate report`.",
            &[
                ("run_id", Form::Text, true, "The run."),
                ("path", Form::Text, true, "The path of the page."),
                ("bytes", Form::Count, true, "How long it is."),
            ],
        ),
    ),
    (
        "classification",
        (
            "classification",
            "What the output of an item would be taken for: `orchestrate classify`.",
            &[
                (
                    "class",
                    Form::Word(&[
                        "done",
                        "failed",
                        "rate-limited",
                        "rejected",
                        "forbidden",
                        "overloaded",
                    ]),
                    true,
                    "What.",
                ),
                (
                    "period",
                    Form::WordOrNull(&["minute", "day", "billing"]),
                    true,
                    "What is used up, of a limit.",
                ),
                (
                    "scope",
                    Form::Word(&["item", "key", "group", "provider"]),
                    true,
                    "Whom it concerns.",
                ),
                (
                    "exit_code",
                    Form::Status,
                    true,
                    "The exit code that was given.",
                ),
                (
                    "decided_by",
                    Form::WordOrNull(&["exit-code", "output"]),
                    true,
                    "What it was told from; nothing when nothing told.",
                ),
                (
                    "pattern",
                    Form::TextOrNull,
                    true,
                    "The pattern that decided.",
                ),
                (
                    "line_number",
                    Form::CountOrNull,
                    true,
                    "The line in which it was found, from 1.",
                ),
                (
                    "line",
                    Form::TextOrNull,
                    true,
                    "That line, without what looks like a key.",
                ),
                (
                    "wait_seconds",
                    Form::NumberOrNull,
                    true,
                    "How long it says to wait.",
                ),
                (
                    "wait_form",
                    Form::TextOrNull,
                    true,
                    "The form in which it says that.",
                ),
                (
                    "wait_line_number",
                    Form::CountOrNull,
                    true,
                    "In which line, from 1.",
                ),
            ],
        ),
    ),
];
