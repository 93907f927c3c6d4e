//! The items between the queue and their end: what each of them waits for, how many of a kind there are, and from when on
//! one of them may be due. Pure.
//!
//! The scheduler asks at every event, and hundreds of items may run: to learn that nothing is due it must not have to look at
//! all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::{CredentialIndex, ItemIndex, Outcome, Slot};
use super::stop::StopSequence;

/// Where an item is between the queue and its end.
#[derive(Debug)]
pub enum Active {
    /// It has a slot, and waits for a credential.
    Reserving {
        /// Which slot.
        slot: Slot,
        /// From when on it waits.
        since: Duration,
    },
    /// An attempt runs.
    Running(Running),
    /// Between two attempts, of which the first ended like this.
    Waiting {
        /// When the second may begin.
        until: Duration,
        /// How the first ended.
        outcome: Outcome,
    },
}

/// An attempt that runs. Its times are since the run began.
#[derive(Debug)]
pub struct Running {
    /// In which slot.
    pub slot: Slot,
    /// With which credential.
    pub credential: Option<CredentialIndex>,
    /// When it was started.
    pub started_at: Duration,
    /// A person knows that it takes long.
    pub straggles: bool,
    /// When it has taken too long.
    pub late_at: Duration,
    /// When it is worth asking whether it has printed something.
    pub listen_at: Duration,
    /// What has been done to stop it.
    pub stopping: Stopping,
}

/// What has been done to stop a running item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopping {
    /// Nothing.
    No,
    /// Our terminal or our caller told it, not we.
    Told,
    /// The run is being stopped.
    WithTheRun(StopSequence),
    /// It took too long.
    Late(StopSequence),
}

impl Stopping {
    /// How far its stop has come, if we are at it.
    pub const fn sequence(&mut self) -> Option<&mut StopSequence> {
        match self {
            Self::No | Self::Told => None,
            Self::WithTheRun(stop) | Self::Late(stop) => Some(stop),
        }
    }
}

impl Running {
    fn due_at(&self) -> Duration {
        match &self.stopping {
            Stopping::No => self.late_at.min(self.listen_at),
            Stopping::Told => Duration::MAX,
            Stopping::WithTheRun(stop) | Stopping::Late(stop) => {
                stop.next().unwrap_or(Duration::MAX)
            }
        }
    }

    /// Whether a person would want to know that it takes long.
    fn may_straggle(&self) -> bool {
        !self.straggles && self.stopping == Stopping::No
    }
}

impl Active {
    /// When something is to be done about it, whatever happens to others.
    fn due_at(&self) -> Duration {
        match self {
            // That depends on what else runs.
            Self::Reserving { .. } => Duration::MAX,
            Self::Running(running) => running.due_at(),
            Self::Waiting { until, .. } => *until,
        }
    }
}

/// All of them.
#[derive(Debug)]
pub struct ActiveItems {
    items: BTreeMap<ItemIndex, Active>,
    reserving: usize,
    running: usize,
    /// Nothing is due before. It may be too early, as what was due then may have ended, but never too late.
    due_at: Duration,
    /// Nothing that may straggle was started before. It may be too early, too.
    oldest_start: Duration,
}

impl Default for ActiveItems {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            reserving: 0,
            running: 0,
            due_at: Duration::MAX,
            oldest_start: Duration::MAX,
        }
    }
}

impl ActiveItems {
    /// Adds an item, or says where it has come to.
    pub fn insert(&mut self, item: ItemIndex, active: Active) {
        self.remove(item);
        self.due_at = self.due_at.min(active.due_at());
        if let Active::Running(running) = &active {
            self.oldest_start = self.oldest_start.min(running.started_at);
        }
        if let Some(count) = self.count(&active) {
            *count += 1;
        }
        self.items.insert(item, active);
    }

    /// Takes an item out.
    pub fn remove(&mut self, item: ItemIndex) -> Option<Active> {
        let removed = self.items.remove(&item)?;
        if let Some(count) = self.count(&removed) {
            *count -= 1;
        }
        Some(removed)
    }

    const fn count(&mut self, active: &Active) -> Option<&mut usize> {
        match active {
            Active::Reserving { .. } => Some(&mut self.reserving),
            Active::Running(_) => Some(&mut self.running),
            Active::Waiting { .. } => None,
        }
    }

    /// Where an item has come to.
    #[must_use]
    pub fn get(&self, item: ItemIndex) -> Option<&Active> {
        self.items.get(&item)
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (ItemIndex, &Active)> {
        self.items.iter().map(|(&item, active)| (item, active))
    }

    /// All attempts that run.
    pub fn iter_running(&self) -> impl Iterator<Item = (ItemIndex, &Running)> {
        self.iter().filter_map(|(item, active)| match active {
            Active::Running(running) => Some((item, running)),
            Active::Reserving { .. } | Active::Waiting { .. } => None,
        })
    }

    /// All attempts that run, to be changed.
    pub fn running_mut(&mut self) -> impl Iterator<Item = (ItemIndex, &mut Running)> {
        // Whatever is done to them, it is looked at anew.
        self.due_at = Duration::ZERO;
        self.items
            .iter_mut()
            .filter_map(|(&item, active)| match active {
                Active::Running(running) => Some((item, running)),
                Active::Reserving { .. } | Active::Waiting { .. } => None,
            })
    }

    /// The attempt of one item, to be changed.
    pub fn running_item_mut(&mut self, item: ItemIndex) -> Option<&mut Running> {
        self.due_at = Duration::ZERO;
        match self.items.get_mut(&item)? {
            Active::Running(running) => Some(running),
            Active::Reserving { .. } | Active::Waiting { .. } => None,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Those that wait for a credential.
    #[must_use]
    pub const fn reserving(&self) -> usize {
        self.reserving
    }

    /// Those that run.
    #[must_use]
    pub const fn running(&self) -> usize {
        self.running
    }

    /// Those that have a slot.
    #[must_use]
    pub const fn holding_slots(&self) -> usize {
        self.reserving + self.running
    }

    /// Those that wait for another attempt.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.items.len() - self.holding_slots()
    }

    /// When something is to be done about the first of them; `Duration::MAX` when that is never.
    #[must_use]
    pub fn next_due_at(&self) -> Duration {
        let due = self.items.values().map(Active::due_at);
        due.min().unwrap_or(Duration::MAX)
    }

    /// Whether something may be to be done.
    #[must_use]
    pub fn may_be_due(&self, now: Duration) -> bool {
        let may = now >= self.due_at;
        debug_assert!(may || now < self.next_due_at(), "something is due unseen");
        may
    }

    /// What was due has been done.
    pub fn note_nothing_is_due(&mut self) {
        self.due_at = self.next_due_at();
    }

    /// When the first was started of those of which a person should know in time that they take long; `Duration::MAX` when
    /// there are none.
    #[must_use]
    pub fn oldest_start(&self) -> Duration {
        let running = self.iter_running();
        let starts = running.filter(|(_, running)| running.may_straggle());
        let starts = starts.map(|(_, running)| running.started_at);
        starts.min().unwrap_or(Duration::MAX)
    }

    /// The attempts that have run for longer than `time`, and of which nobody knows that yet; from now on they are known.
    pub fn take_stragglers(&mut self, time: Duration, now: Duration) -> Vec<(ItemIndex, Duration)> {
        let is_old = |started_at: Duration| now >= started_at.saturating_add(time);
        if !is_old(self.oldest_start) {
            return Vec::new();
        }
        let running = self.running_mut();
        let stragglers = running
            .filter(|(_, running)| running.may_straggle() && is_old(running.started_at))
            .map(|(item, running)| {
                running.straggles = true;
                (item, now.saturating_sub(running.started_at))
            });
        let stragglers = stragglers.collect();
        self.oldest_start = self.oldest_start();
        stragglers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn running(started_at: Duration, late_at: Duration) -> Active {
        Active::Running(Running {
            slot: Slot(1),
            credential: None,
            started_at,
            straggles: false,
            late_at,
            listen_at: Duration::MAX,
            stopping: Stopping::No,
        })
    }

    #[test]
    fn items_are_counted_by_what_they_wait_for() {
        let mut items = ActiveItems::default();
        let (slot, since) = (Slot(1), Duration::ZERO);
        items.insert(ItemIndex(0), Active::Reserving { slot, since });
        assert_eq!((items.reserving(), items.running()), (1, 0));
        items.insert(ItemIndex(0), running(Duration::ZERO, SECOND));
        items.insert(ItemIndex(1), running(Duration::ZERO, SECOND));
        assert_eq!((items.reserving(), items.running()), (0, 2));
        let (until, outcome) = (SECOND, Outcome::Failed);
        items.insert(ItemIndex(0), Active::Waiting { until, outcome });
        assert_eq!((items.holding_slots(), items.waiting()), (1, 1));
        assert!(items.remove(ItemIndex(2)).is_none());
        assert!(items.remove(ItemIndex(1)).is_some());
        assert_eq!((items.holding_slots(), items.waiting()), (0, 1));
        items.remove(ItemIndex(0));
        assert!(items.is_empty());
    }

    #[test]
    fn nothing_may_be_due_before_the_first_is() {
        let mut items = ActiveItems::default();
        assert!(!items.may_be_due(SECOND * 1000));
        items.insert(ItemIndex(0), running(Duration::ZERO, SECOND * 5));
        items.insert(ItemIndex(1), running(Duration::ZERO, SECOND * 3));
        assert!(!items.may_be_due(SECOND * 2));
        assert!(items.may_be_due(SECOND * 3));
        // Who was first has ended, which is seen when it would have been due.
        items.remove(ItemIndex(1));
        assert!(items.may_be_due(SECOND * 3));
        items.note_nothing_is_due();
        assert!(!items.may_be_due(SECOND * 4));
        assert_eq!(items.next_due_at(), SECOND * 5);
        // Whatever is changed is looked at again.
        items.running_item_mut(ItemIndex(0)).unwrap().late_at = SECOND;
        assert!(items.may_be_due(SECOND));
    }

    #[test]
    fn what_takes_long_is_told_once() {
        let mut items = ActiveItems::default();
        for item in 0..3 {
            let started_at = SECOND * u32::try_from(item).unwrap();
            items.insert(ItemIndex(item), running(started_at, Duration::MAX));
        }
        assert_eq!(items.take_stragglers(SECOND * 10, SECOND * 9), []);
        let told = [(ItemIndex(0), SECOND * 11), (ItemIndex(1), SECOND * 10)];
        assert_eq!(items.take_stragglers(SECOND * 10, SECOND * 11), told);
        assert_eq!(items.oldest_start(), SECOND * 2);
        assert_eq!(items.take_stragglers(SECOND * 10, SECOND * 11), []);
        // One that is being stopped is known.
        items.running_item_mut(ItemIndex(2)).unwrap().stopping = Stopping::Told;
        assert_eq!(items.take_stragglers(SECOND * 10, SECOND * 100), []);
        assert_eq!(items.oldest_start(), Duration::MAX);
    }
}
