//! What is said when a run is being stopped: what runs, for how long, what stays queued, what the next press does.

use std::fmt::Write as _;
use std::time::Duration;

use super::elapsed::elapsed;
use crate::schedule::stage::{Cause, Press, Raised, Stage};

/// Running items that are named; the others are counted.
const NAMED_MAX: usize = 6;

/// A line of names ends where the next one would pass this column, so that it fits on a terminal of 80 columns behind
/// our own name.
const NAMES_COLUMNS_MAX: usize = 66;

/// What a stage message tells of the run.
#[derive(Debug)]
pub struct StageView<'a> {
    /// The stage and its cause.
    pub raised: Raised,
    /// Running items by id, each with how long it has been running.
    pub running: &'a [(&'a str, Duration)],
    /// Items that were not started.
    pub queued: usize,
    /// From the first stop signal to SIGKILL.
    pub grace: Duration,
}

/// The message for a stage that has just been reached in parallel mode.
#[must_use]
pub fn stage_message(view: &StageView<'_>) -> String {
    let count = view.running.len();
    let items = if count == 1 {
        "1 item"
    } else {
        &format!("{count} items")
    };
    let cause = cause_words(view.raised.cause);
    let again = view.raised.cause == Cause::Pressed(Press::Interrupt);
    let next = if again { "Ctrl-C again" } else { "Ctrl-C" };
    match view.raised.stage {
        Stage::Running => String::new(),
        Stage::Draining | Stage::Terminating | Stage::Killing if count == 0 => {
            format!("{cause}: nothing runs, {} stay queued", view.queued)
        }
        Stage::Draining => format!(
            "{cause}: nothing new starts, {} queued stay pending, {count} running:{}\n\
             {next} stops them (SIGINT, then SIGKILL after {})",
            view.queued,
            names(view.running),
            elapsed(view.grace),
        ),
        Stage::Terminating => format!(
            "{cause}: stopping {items}, SIGKILL follows in {}:{}\n{next} kills them now",
            elapsed(view.grace),
            names(view.running),
        ),
        Stage::Killing => format!("{cause}: killing {items}:{}", names(view.running)),
    }
}

fn cause_words(cause: Cause) -> &'static str {
    match cause {
        Cause::Pressed(Press::Interrupt) => "Ctrl-C",
        Cause::Pressed(Press::HangUp) => "SIGHUP",
        Cause::Pressed(Press::Terminate) => "SIGTERM",
        Cause::Pressed(Press::Quit) => "SIGQUIT",
        Cause::Failures => "enough items have failed",
        Cause::Deadline => "the time of --stop-after has come",
        Cause::NothingFits => {
            "no further item would end within --stop-after, as long as one usually takes"
        }
        Cause::NoRoom => "no room for a process for 5 minutes",
        Cause::NoCredential => "no credential comes back in time",
        Cause::CredentialsRejected => "every credential was rejected",
        Cause::GuardLost => "the guard process was killed",
        Cause::SpaceRanOut => "the disk is full",
        Cause::JournalLost => "the journal cannot be written, and what ends now is not recorded",
    }
}

/// The items, on lines of their own.
fn names(running: &[(&str, Duration)]) -> String {
    let mut text = String::new();
    let mut columns = NAMES_COLUMNS_MAX;
    let named = running.iter().take(NAMED_MAX);
    let named = named.map(|(id, time)| format!("{id} for {}", elapsed(*time)));
    let more = running.len().saturating_sub(NAMED_MAX);
    let rest = (more > 0).then(|| format!("and {more} more"));
    for (index, words) in named.chain(rest).enumerate() {
        if index > 0 && index < NAMED_MAX {
            text.push(',');
        }
        if columns + words.len() + 2 > NAMES_COLUMNS_MAX {
            text.push_str("\n ");
            columns = 1;
        }
        let _infallible = write!(text, " {words}");
        columns += words.len() + 2;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(stage: Stage, press: Press, running: &[(&str, Duration)]) -> String {
        let raised = Raised {
            stage,
            cause: Cause::Pressed(press),
        };
        stage_message(&StageView {
            raised,
            running,
            queued: 7,
            grace: Duration::from_secs(8),
        })
    }

    #[test]
    fn each_stage_says_what_runs_and_what_the_next_press_does() {
        let running = [
            ("issue-42", Duration::from_secs(123)),
            ("issue-43", Duration::from_secs(5)),
        ];
        assert_eq!(
            message(Stage::Draining, Press::Interrupt, &running),
            "Ctrl-C: nothing new starts, 7 queued stay pending, 2 running:\n\
             \x20 issue-42 for 2m3s, issue-43 for 5s\n\
             Ctrl-C again stops them (SIGINT, then SIGKILL after 8s)"
        );
        assert_eq!(
            message(Stage::Terminating, Press::Terminate, &running[..1]),
            "SIGTERM: stopping 1 item, SIGKILL follows in 8s:\n\
             \x20 issue-42 for 2m3s\n\
             Ctrl-C kills them now"
        );
        assert_eq!(
            message(Stage::Draining, Press::HangUp, &[]),
            "SIGHUP: nothing runs, 7 stay queued"
        );
    }

    #[test]
    fn a_long_list_of_running_items_is_cut_and_counted() {
        let running: Vec<(&str, Duration)> = vec![("x", Duration::from_secs(1)); 9];
        let text = message(Stage::Killing, Press::Quit, &running);
        assert!(text.ends_with("x for 1s\n  and 3 more"), "{text}");
    }

    #[test]
    fn what_is_said_of_many_items_fits_on_a_terminal_of_80_columns() {
        let running: Vec<(&str, Duration)> =
            vec![("issue-1042", Duration::from_secs(59 * 60 + 59)); 10];
        for (stage, press) in [
            (Stage::Draining, Press::Interrupt),
            (Stage::Terminating, Press::Interrupt),
            (Stage::Killing, Press::Quit),
        ] {
            let text = message(stage, press, &running);
            for line in text.lines() {
                assert!("orchestrate: ".len() + line.len() <= 80, "{line}");
            }
        }
        let one = "x".repeat(80);
        let text = message(Stage::Killing, Press::Quit, &[(&one, Duration::ZERO)]);
        assert_eq!(text, format!("SIGQUIT: killing 1 item:\n  {one} for 0s"));
    }
}
