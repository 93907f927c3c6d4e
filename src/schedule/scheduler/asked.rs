//! What others ask the scheduler between two events.

use super::super::bottleneck::{Limiter, Load};
use super::super::stage::{Press, Stage};
use super::{Scheduler, Tally};

impl Scheduler {
    /// Whether nothing runs, nothing waits to be recorded, and nothing more will start.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.active.is_empty()
            && self.unrecorded.is_empty()
            && (self.queue.is_empty() || self.is_stopping())
    }

    /// Whether nothing runs, and outcomes wait to be recorded.
    #[must_use]
    pub fn waits_for_the_disk(&self) -> bool {
        !self.unrecorded.is_empty() && self.active.holding_slots() == 0
    }

    /// How many items have come to which end so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Items that were never started.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Items that have a slot, and wait for a credential.
    #[must_use]
    pub fn reserving(&self) -> usize {
        self.active.reserving()
    }

    /// Items that wait until they may be tried again.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.active.waiting()
    }

    /// Whether `--stop-after`, or want of room, has kept items from being started.
    #[must_use]
    pub fn gave_up_on_work(&self) -> bool {
        self.gave_up && !self.queue.is_empty()
    }

    /// How wide the run is; `reservation_by` is what keeps a credential from the items that wait for one.
    ///
    /// Items that wait for another attempt want nothing yet, and a run that is being stopped wants no more than it has.
    #[must_use]
    pub fn load(&self, reservation_by: Option<Limiter>) -> Load {
        let running = self.active.running();
        let holding = self.active.holding_slots();
        let ready = if self.is_stopping() {
            running
        } else {
            holding + self.queue.len()
        };
        let is_crowded = holding >= self.room.width() && self.room.width() < self.limits.width;
        let slot_by = if holding > running {
            reservation_by
        } else {
            Some(Limiter::Room).filter(|_| is_crowded)
        };
        Load {
            running,
            fits: ready.min(self.limits.width),
            wanted: ready.min(self.limits.asked),
            width_by: self.limits.narrowed_by,
            slot_by,
        }
    }

    /// The signal to die by, when one has taken the run past draining.
    #[must_use]
    pub const fn fatal(&self) -> Option<Press> {
        self.stages.fatal()
    }

    /// Whether the run is being stopped, by whatever.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stages.stage() > Stage::Running
    }
}
