//! How far a run has been stopped. Stages only rise.

use std::time::Duration;

/// Signals of the same kind that arrive within this time count as one press.
pub const PRESS_DEBOUNCE: Duration = Duration::from_millis(300);

/// How far the run has been stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Not at all.
    Running,
    /// Nothing new starts; running items end in their own time.
    Draining,
    /// Running items are asked to end, and killed when the grace is over.
    Terminating,
    /// Running items are killed.
    Killing,
}

impl Stage {
    /// The stage in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Terminating => "terminating",
            Self::Killing => "killing",
        }
    }
}

/// A signal that asks us to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Press {
    /// SIGHUP.
    HangUp,
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGQUIT.
    Quit,
}

/// Why a stage was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A signal.
    Pressed(Press),
    /// As many items failed as `--max-failures` allows.
    Failures,
    /// The time of `--stop-after` has come.
    Deadline,
    /// What waits would not have ended by then.
    NothingFits,
    /// The system has had no room for a single process for too long.
    NoRoom,
    /// No credential comes back in time.
    NoCredential,
    /// Every credential was rejected.
    CredentialsRejected,
    /// The guard that watches over us is gone.
    GuardLost,
    /// The disk is full, and the journal lives on its reserve.
    SpaceRanOut,
    /// The journal cannot be written any more.
    JournalLost,
}

/// A stage that has just been reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Raised {
    /// The stage.
    pub stage: Stage,
    /// What raised it.
    pub cause: Cause,
}

/// Who receives a Ctrl-C besides us, and so what is left for us to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// Children share our terminal and process group (sequential mode): the terminal stops them, we only stop
    /// starting new ones, and end by the signal.
    Shared,
    /// Children have sessions of their own (parallel mode): we take them through every stage ourselves.
    Isolated,
}

/// The stage of a run and the presses that led to it.
#[derive(Debug)]
pub struct Stages {
    discipline: Discipline,
    stage: Stage,
    last: Option<(Press, Duration)>,
    fatal: Option<Press>,
}

impl Stages {
    /// A run that nobody has stopped yet.
    #[must_use]
    pub const fn new(discipline: Discipline) -> Self {
        Self {
            discipline,
            stage: Stage::Running,
            last: None,
            fatal: None,
        }
    }

    /// The stage reached so far.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// The signal that we are to die by, when one has taken the run past draining.
    #[must_use]
    pub const fn fatal(&self) -> Option<Press> {
        self.fatal
    }

    /// Takes note of a signal; `false` when it counts as part of the press before it.
    ///
    /// Returns the stage it raised, if it raised one, through [`Stages::raise`].
    pub fn press(&mut self, press: Press, now: Duration) -> Option<Raised> {
        if self
            .last
            .is_some_and(|(last, at)| last == press && now < at + PRESS_DEBOUNCE)
        {
            return None;
        }
        self.last = Some((press, now));
        let wanted = match (self.discipline, press, self.stage) {
            (Discipline::Shared, _, _)
            | (Discipline::Isolated, Press::HangUp, _)
            | (Discipline::Isolated, Press::Interrupt, Stage::Running) => Stage::Draining,
            (Discipline::Isolated, Press::Interrupt, Stage::Draining)
            | (Discipline::Isolated, Press::Terminate, _) => Stage::Terminating,
            (Discipline::Isolated, Press::Interrupt, Stage::Terminating | Stage::Killing)
            | (Discipline::Isolated, Press::Quit, _) => Stage::Killing,
        };
        let raised = self.raise(wanted, Cause::Pressed(press));
        let deadly = self.discipline == Discipline::Shared || wanted >= Stage::Terminating;
        if raised.is_some() && deadly {
            self.fatal = Some(press);
        }
        raised
    }

    /// Goes to `wanted`, if that is further than the run has come.
    pub fn raise(&mut self, wanted: Stage, cause: Cause) -> Option<Raised> {
        (wanted > self.stage).then(|| {
            self.stage = wanted;
            Raised {
                stage: wanted,
                cause,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APART: Duration = Duration::from_secs(1);

    /// Presses one second apart, and the stage after each.
    fn stages_after(discipline: Discipline, presses: &[Press]) -> Vec<Stage> {
        let mut stages = Stages::new(discipline);
        let mut now = Duration::ZERO;
        presses
            .iter()
            .map(|&press| {
                stages.press(press, now);
                now += APART;
                stages.stage()
            })
            .collect()
    }

    #[test]
    fn every_pair_of_presses_leads_to_its_stage() {
        use Press::{HangUp, Interrupt, Quit, Terminate};
        use Stage::{Draining, Killing, Terminating};
        let table = [
            ((HangUp, HangUp), (Draining, Draining)),
            ((HangUp, Interrupt), (Draining, Terminating)),
            ((HangUp, Terminate), (Draining, Terminating)),
            ((HangUp, Quit), (Draining, Killing)),
            ((Interrupt, HangUp), (Draining, Draining)),
            ((Interrupt, Interrupt), (Draining, Terminating)),
            ((Interrupt, Terminate), (Draining, Terminating)),
            ((Interrupt, Quit), (Draining, Killing)),
            ((Terminate, HangUp), (Terminating, Terminating)),
            ((Terminate, Interrupt), (Terminating, Killing)),
            ((Terminate, Terminate), (Terminating, Terminating)),
            ((Terminate, Quit), (Terminating, Killing)),
            ((Quit, HangUp), (Killing, Killing)),
            ((Quit, Interrupt), (Killing, Killing)),
            ((Quit, Terminate), (Killing, Killing)),
            ((Quit, Quit), (Killing, Killing)),
        ];
        for ((first, second), (after_first, after_second)) in table {
            assert_eq!(
                stages_after(Discipline::Isolated, &[first, second]),
                [after_first, after_second],
                "{first:?} then {second:?}"
            );
            assert_eq!(
                stages_after(Discipline::Shared, &[first, second]),
                [Draining, Draining],
                "{first:?} then {second:?}, shared"
            );
        }
    }

    #[test]
    fn a_third_interrupt_kills() {
        assert_eq!(
            stages_after(Discipline::Isolated, &[Press::Interrupt; 3]),
            [Stage::Draining, Stage::Terminating, Stage::Killing]
        );
    }

    #[test]
    fn signals_in_quick_succession_are_one_press() {
        let mut stages = Stages::new(Discipline::Isolated);
        for millis in 0..20 {
            stages.press(Press::Interrupt, Duration::from_millis(millis * 2));
        }
        assert_eq!(stages.stage(), Stage::Draining);
        stages.press(Press::Terminate, Duration::from_millis(41));
        assert_eq!(
            stages.stage(),
            Stage::Terminating,
            "another signal is another press"
        );
    }

    #[test]
    fn only_a_press_past_draining_is_fatal_to_an_isolated_run() {
        let mut stages = Stages::new(Discipline::Isolated);
        stages.press(Press::Interrupt, Duration::ZERO);
        assert_eq!(stages.fatal(), None);
        stages.press(Press::Terminate, APART);
        assert_eq!(stages.fatal(), Some(Press::Terminate));
        stages.press(Press::HangUp, APART * 2);
        assert_eq!(stages.fatal(), Some(Press::Terminate));
        stages.press(Press::Interrupt, APART * 3);
        assert_eq!(stages.fatal(), Some(Press::Interrupt));
    }

    #[test]
    fn a_shared_run_dies_by_the_first_press() {
        let mut stages = Stages::new(Discipline::Shared);
        stages.press(Press::Interrupt, Duration::ZERO);
        stages.press(Press::Terminate, APART);
        assert_eq!(stages.fatal(), Some(Press::Interrupt));
    }
}
