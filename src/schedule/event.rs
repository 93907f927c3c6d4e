//! The vocabulary between the scheduler and the loop around it.

use std::time::Duration;

use super::stage::{Press, Raised};

/// An item of this run, by its place in the run's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemIndex(pub usize);

/// A credential of this run, by its place in the pool; the scheduler never sees more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialIndex(pub usize);

/// A worker slot, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// How the process of an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this code.
    Exited(i32),
    /// It was killed by the signal with this number.
    Killed(i32),
    /// It was never started, for this reason.
    Unstartable(String),
    /// It was not started because the system had no room for it just now: processes, descriptors, memory.
    Crowded(String),
    /// It exited with 0, but what verifies it did not: that ended like this.
    Unverified(Box<Self>),
}

impl Ending {
    /// How the process ended that ran last: the one that verifies, if it came to that.
    #[must_use]
    pub fn of_the_last_process(&self) -> &Self {
        match self {
            Self::Unverified(ending) => ending,
            Self::Exited(_) | Self::Killed(_) | Self::Unstartable(_) | Self::Crowded(_) => self,
        }
    }
}

/// Whose fault it is that an attempt did not succeed. Only the item itself can say so of an attempt that exited with 0, and
/// then every fault but [`Item`](Self::Item) keeps it from being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The item's, as far as anybody can tell.
    Item,
    /// Its credential's: that was limited, or rejected. The item is none the worse and goes back to the queue.
    Credential,
    /// The provider's, who is overloaded; the same goes for the item.
    Provider,
    /// The item was turned away, and there is no other credential to try: it failed, however its process ended.
    Denied,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The item is done.
    Done,
    /// The command failed, or could not be run.
    Failed,
    /// It took too long, or was silent for too long, and we stopped it.
    TimedOut,
    /// We stopped it because the run was stopped; it runs again next time.
    Interrupted,
    /// No credential could be had for it in time; it stays pending.
    Deferred,
}

impl Outcome {
    /// Whether it counts as a failed item.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Failed | Self::TimedOut => true,
            Self::Done | Self::Interrupted | Self::Deferred => false,
        }
    }
}

/// A signal that the scheduler sends to everything an item has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopSignal {
    /// SIGINT, the one signal that many tools turn into a resumable stop.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The run begins.
    Began,
    /// A credential was leased to the item; `None` when no pool is configured.
    Reserved {
        /// For whom.
        item: ItemIndex,
        /// The credential.
        credential: Option<CredentialIndex>,
    },
    /// The item's process is gone, its output is read, and nothing of it runs any more.
    Exited {
        /// Whose process.
        item: ItemIndex,
        /// How it ended.
        ending: Ending,
        /// Whose fault it is, if it failed.
        fault: Fault,
    },
    /// No credential can be had before whoever waits for one would give up.
    NoCredential {
        /// All of them were rejected.
        rejected: bool,
    },
    /// The answer to [`Action::Listen`]: the item's process has printed nothing since then.
    Silent {
        /// Whose process.
        item: ItemIndex,
        /// The time of its last byte, or of its start, since the run began.
        since: Duration,
    },
    /// The attempt's outcome is on disk.
    Recorded {
        /// Whose outcome.
        item: ItemIndex,
    },
    /// The item's outcome could not be written, and none will be from now on.
    RecordLost {
        /// Whose outcome.
        item: ItemIndex,
    },
    /// The disk is full: what runs can still be recorded, and nothing else.
    SpaceRanOut,
    /// The guard that watches over us is gone.
    GuardLost,
    /// We received a signal.
    Pressed(Press),
    /// A moment that the scheduler asked to be woken at has come.
    Woke,
}

/// What the loop is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Lease a credential to this item and answer with [`Event::Reserved`].
    Reserve {
        /// For whom.
        item: ItemIndex,
    },
    /// Forget the reservation that this item still waits for.
    Withdraw {
        /// Whose reservation.
        item: ItemIndex,
    },
    /// Give the credential that was leased to this item back to the pool.
    Release {
        /// Whose lease.
        item: ItemIndex,
    },
    /// Start the item's command and answer with [`Event::Exited`] when all of it has ended.
    Spawn {
        /// Whose command.
        item: ItemIndex,
        /// The number of this attempt, from 1.
        attempt: u32,
        /// The worker slot it runs in.
        slot: Slot,
        /// The credential it gets.
        credential: Option<CredentialIndex>,
    },
    /// Send a signal to everything that the item has started.
    Signal {
        /// To whom.
        item: ItemIndex,
        /// Which one.
        signal: StopSignal,
    },
    /// Say with [`Event::Silent`] since when the item has printed nothing.
    Listen {
        /// Whose process.
        item: ItemIndex,
    },
    /// Write the outcome to the journal and answer with [`Event::Recorded`] when it is on disk.
    Record {
        /// Whose outcome.
        item: ItemIndex,
        /// The outcome.
        outcome: Outcome,
    },
    /// Tell the person.
    Emit(Notice),
}

/// What a person is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// An item has its outcome, and the outcome is on disk (a deferred item has nothing to record).
    Ended {
        /// Whose outcome.
        item: ItemIndex,
        /// The outcome.
        outcome: Outcome,
    },
    /// An attempt failed, and the item will have another one.
    Retrying {
        /// Whose attempt.
        item: ItemIndex,
        /// The outcome of the attempt that failed.
        outcome: Outcome,
        /// The number of the next attempt.
        attempt: u32,
        /// How long it waits for it.
        wait: Duration,
    },
    /// An attempt met a limit; the item goes back to the queue, and nothing of its retries is used up.
    Requeued {
        /// Whose attempt.
        item: ItemIndex,
    },
    /// The run is being stopped, one stage further than before.
    StageRaised {
        /// The new stage and what raised it.
        raised: Raised,
        /// Items that run now.
        running: usize,
        /// Items that were not started.
        queued: usize,
    },
    /// An item runs much longer than the others did; told once for an attempt.
    Straggles {
        /// Which one.
        item: ItemIndex,
        /// For how long it has been running.
        time: Duration,
        /// How long the usual item took.
        usual: Duration,
    },
    /// The journal takes no more records, and nothing new was to be started anyway.
    JournalLost,
    /// The system has no room for so many processes; the item goes back to the queue.
    Crowded {
        /// Whose process could not be started.
        item: ItemIndex,
        /// How many items run at once from now on, until it recovers.
        width: usize,
    },
}
