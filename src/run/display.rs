//! When the status lines of a run are drawn, and when a run that nobody sees on a terminal gives a sign of life.
//!
//! The loop asks it when to wake up, tells it that something has happened, and shows it the run when it is due. Off a
//! terminal it wakes up once a minute and no more; with `--progress never` it never does.

use std::time::Duration;

use tokio::time::Instant;

use super::earlier::LookBack;
use crate::config::resolve::Progress;
use crate::output::Target;
use crate::output::terminal::{ECHO_COLUMNS, Screen, TerminalHandle};
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
    /// For a run that begins `now`.
    pub(super) fn new(
        terminal: TerminalHandle,
        progress: Progress,
        earlier: LookBack,
        now: Instant,
    ) -> Self {
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
            due_at: first.map(|first| now + first),
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
        self.durations.usual(self.usual_earlier())
    }

    /// How long one took in earlier runs, as soon as that is known.
    pub(super) fn usual_earlier(&self) -> Option<Duration> {
        self.earlier.known().map(|known| known.usual)
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

    /// Shows how the run stands `now`.
    pub(super) fn show(&mut self, view: &LiveView<'_>, now: Instant) {
        let wait = match self.progress {
            Progress::Lines => {
                let columns = Screen::of_stderr().columns;
                self.terminal
                    .status(view.lines(columns.saturating_sub(ECHO_COLUMNS)));
                self.drawn_at = Some(now);
                EVERY
            }
            Progress::AfterSilence | Progress::EveryMinute => {
                let is_silent = self.terminal.sent() == self.sent;
                if is_silent || self.progress == Progress::EveryMinute {
                    let text = format!("orchestrate: {}", view.sign_of_life());
                    self.terminal.say(Target::Stderr, text);
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use nix::fcntl::OFlag;
    use nix::unistd::pipe2;

    use super::*;
    use crate::output::terminal::{Outputs, Reflow, Terminal};

    /// What a run says on stderr that is asked to show itself whenever it is due, for so many minutes; of which it says
    /// something else in the `talks`th.
    fn said(progress: Progress, minutes: u32, talks: u32) -> Vec<String> {
        let (heard, stderr) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let outputs = Outputs {
            stdout: stderr.try_clone().unwrap(),
            stderr,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            reflow: Reflow::default(),
        };
        let (terminal, handle) = Terminal::start(outputs).unwrap();
        let began = Instant::now();
        let nothing_earlier = tempfile::tempdir().unwrap().path().to_owned();
        let earlier = LookBack::begin(nothing_earlier, "w".to_owned(), None).unwrap();
        let mut display = Display::new(handle.clone(), progress, earlier, began);
        let view = LiveView {
            count: 3,
            ended: EndedCounts::default(),
            running: Vec::new(),
            queued: 3,
            again: 0,
            stopping: None,
            left: None,
            keys: None,
            limiter: None,
            time: Duration::ZERO,
        };
        for minute in 1..=minutes {
            if minute == talks {
                handle.say(Target::Stderr, "words");
            }
            let now = began + SILENCE_MAX * minute;
            if display.due_at().is_some_and(|due_at| due_at <= now) {
                display.show(&view, now);
            }
            // Whatever happens meanwhile.
            display.touch();
        }
        drop((display, handle));
        terminal.finish();
        let mut text = String::new();
        File::from(heard).read_to_string(&mut text).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    const SIGN: &str = "orchestrate: [0/3] 0 running, 3 queued, 0s so far";

    #[test]
    fn off_a_terminal_a_silent_minute_is_followed_by_a_sign_of_life() {
        assert_eq!(said(Progress::AfterSilence, 3, 0), [SIGN; 3]);
        // Its own sign breaks no silence.
        assert_eq!(said(Progress::AfterSilence, 3, 2), [SIGN, "words", SIGN]);
        assert_eq!(said(Progress::AfterSilence, 1, 1), ["words"]);
    }

    #[test]
    fn a_line_a_minute_comes_whatever_else_is_said_and_none_where_none_is_wanted() {
        assert_eq!(
            said(Progress::EveryMinute, 3, 2),
            [SIGN, "words", SIGN, SIGN]
        );
        assert_eq!(said(Progress::Never, 3, 2), ["words"]);
    }
}
