//! The store of a run: on disk, shared with all runs of the machine, or, where that cannot be, in memory.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::key::{Context, Epoch, Key, Moment, Report};
use super::shared_store::{SharedStore, SlotLease};
use super::store::{PrivateStore, Store};
use crate::error::Result;

/// Either of the two.
#[derive(Debug)]
pub enum KeyStore {
    /// Known to all runs of this machine.
    Shared(Box<SharedStore>),
    /// Known to this run alone.
    Private(PrivateStore),
}

/// What a lease holds: where it is shared, a slot that lasts as long as whoever inherits it.
#[derive(Debug)]
pub struct Hold(Option<SlotLease>);

impl Hold {
    /// What the one child that uses the key is to inherit, so that the key stays leased as long as it lives.
    #[must_use]
    pub fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        self.0.as_ref().map(SlotLease::descriptor)
    }
}

impl Store for KeyStore {
    type Hold = Hold;

    fn look(&mut self, key: usize, now: Moment) -> Result<Key> {
        match self {
            Self::Shared(store) => store.look(key, now),
            Self::Private(store) => store.look(key, now),
        }
    }

    fn try_lease(&mut self, key: usize, now: Moment) -> Result<Option<(Epoch, Hold)>> {
        Ok(match self {
            Self::Shared(store) => {
                let leased = store.try_lease(key, now)?;
                leased.map(|(epoch, slot)| (epoch, Hold(Some(slot))))
            }
            Self::Private(store) => {
                let leased = store.try_lease(key, now)?;
                leased.map(|(epoch, ())| (epoch, Hold(None)))
            }
        })
    }

    fn release(&mut self, key: usize, hold: Hold, now: Moment) -> Result<Key> {
        match (self, hold.0) {
            (Self::Shared(store), Some(slot)) => store.release(key, slot, now),
            (Self::Private(store), None) => store.release(key, (), now),
            (Self::Shared(_), None) | (Self::Private(_), Some(_)) => {
                unreachable!("a lease is given back to the store that it came from")
            }
        }
    }

    fn report_because(
        &mut self,
        key: usize,
        epoch: Epoch,
        report: Report,
        now: Moment,
        context: Context,
        reason: &str,
    ) -> Result<Key> {
        match self {
            Self::Shared(store) => store.report_because(key, epoch, report, now, context, reason),
            Self::Private(store) => store.report_because(key, epoch, report, now, context, reason),
        }
    }

    fn queue_up(&mut self, wanted: &[usize], now: Moment) -> Result<()> {
        match self {
            Self::Shared(store) => store.queue_up(wanted, now),
            Self::Private(store) => store.queue_up(wanted, now),
        }
    }

    fn leave_queue(&mut self) {
        match self {
            Self::Shared(store) => store.leave_queue(),
            Self::Private(store) => store.leave_queue(),
        }
    }

    fn holders(&mut self, key: usize) -> Vec<String> {
        match self {
            Self::Shared(store) => store.holders(key),
            Self::Private(store) => store.holders(key),
        }
    }

    fn take_warnings(&mut self) -> Vec<String> {
        match self {
            Self::Shared(store) => store.take_warnings(),
            Self::Private(store) => store.take_warnings(),
        }
    }
}
