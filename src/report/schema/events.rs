//! What happens in a run, as `events.jsonl` and the stream of `--format json` tell it. Pure.

use super::{Form, Line, Member};

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
pub(super) const EVENTS: &[Line] = &[
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
            (
                "stage",
                Form::Word(&["draining", "terminating", "killing"]),
                true,
                "The stage.",
            ),
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
