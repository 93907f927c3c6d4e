//! When the status lines of a run are drawn, and when a run that nobody sees on a terminal gives a sign of life.
//!
//! The loop asks it when to wake up, tells it that something has happened, and shows it the run when it is due. Off a
//! terminal it wakes up once a minute and no more; with `--progress never` it never does.

use std::time::Duration;

use tokio::time::Instant;

use super::earlier::LookBack;
use crate::config::resolve::Progress;
use crate::output::terminal::{Screen, TerminalHandle};
use crate::report::estimate::Durations;
use crate::report::live::{EndedCounts, LiveView};
use crate::report::result::ItemResult;
use crate::schedule::event::Outcome;
use crate::schedule::stage::Stage;

/// A run that is over sooner shows no status lines: they would only flash.
const FIRST_AFTER: Duration = Duration::from_millis(300);

/// Status lines are drawn at most so often, whatever happens.
const APART: Duration = Duration::from_millis(100);

/// So often they are drawn for the times in them.
const EVERY: Duration = Duration::from_secs(1);

/// After so long a silence off a terminal comes a sign of life.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// The status lines of a run, or what stands for them.
pub(super) struct Display {
    terminal: TerminalHandle,
    progress: Progress,
    /// Nothing is drawn: the run is suspended, or over.
    hidden: bool,
    drawn_at: Option<Instant>,
    due_at: Option<Instant>,
    /// How often something had been sent to the terminal at the last look.
    sent: u64,
    /// How many items have ended how.
    pub(super) ended: EndedCounts,
    /// How far the run is being stopped.
    pub(super) stopping: Option<&'static str>,
    durations: Durations,
    /// What earlier runs tell, for as long as this one knows no better.
    pub(super) earlier: LookBack,
}

impl Display {
    /// For a run that begins now.
    pub(super) fn new(terminal: TerminalHandle, progress: Progress, earlier: LookBack) -> Self {
        let first = match progress {
            Progress::Lines => Some(FIRST_AFTER),
            Progress::AfterSilence | Progress::EveryMinute => Some(SILENCE_MAX),
            Progress::Never => None,
        };
        Self {
            sent: terminal.sent(),
            terminal,
            progress,
            hidden: false,
            drawn_at: None,
            due_at: first.map(|first| Instant::now() + first),
            ended: EndedCounts::default(),
            stopping: None,
            durations: Durations::default(),
            earlier,
        }
    }

    /// Whether it matters what running items are at.
    pub(super) fn shows_items(&self) -> bool {
        self.progress != Progress::Never
    }

    /// An item has come to its end.
    pub(super) fn note_end(&mut self, result: &ItemResult) {
        let count = match result.outcome {
            Outcome::Done => {
                self.durations.note(result.duration);
                &mut self.ended.done
            }
            Outcome::Failed | Outcome::TimedOut => &mut self.ended.failed,
            Outcome::Interrupted | Outcome::Deferred => &mut self.ended.other,
        };
        *count += 1;
    }

    /// The run is being stopped.
    pub(super) fn note_stage(&mut self, stage: Stage) {
        self.stopping = Some(stage.word());
    }

    /// How long an item usually takes.
    pub(super) fn usual(&self) -> Option<Duration> {
        let earlier = self.earlier.known().map(|known| known.usual);
        self.durations.usual(earlier)
    }

    /// Something has happened, or the terminal has another size.
    pub(super) fn touch(&mut self) {
        if let (Progress::Lines, Some(due_at), Some(drawn_at)) =
            (self.progress, self.due_at, self.drawn_at)
        {
            self.due_at = Some(due_at.min(drawn_at + APART));
        }
    }

    /// When the run is to be shown.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due_at.filter(|_| !self.hidden)
    }

    /// Shows how the run stands.
    pub(super) fn show(&mut self, view: &LiveView<'_>) {
        let now = Instant::now();
        let wait = match self.progress {
            Progress::Lines => {
                self.terminal
                    .status(view.lines(Screen::of_stderr().columns));
                self.drawn_at = Some(now);
                EVERY
            }
            Progress::AfterSilence | Progress::EveryMinute => {
                let is_silent = self.terminal.sent() == self.sent;
                if is_silent || self.progress == Progress::EveryMinute {
                    let text = format!("orchestrate: {}", view.sign_of_life());
                    self.terminal.say(crate::output::Target::Stderr, text);
                }
                self.sent = self.terminal.sent();
                SILENCE_MAX
            }
            Progress::Never => return,
        };
        self.due_at = Some(now + wait);
    }

    /// Takes the lines away: we are about to be suspended, or at the end.
    pub(super) fn hide(&mut self) {
        self.hidden = true;
        if self.progress == Progress::Lines {
            self.terminal.status(Vec::new());
        }
    }

    /// Goes on after [`hide`](Self::hide).
    pub(super) fn unhide(&mut self) {
        self.hidden = false;
        self.touch();
    }
}
