//! Where the state of keys is kept: in memory for one run, or on disk for all runs of a machine.
//!
//! The coordinator is the only caller. A grant is decided where the state is kept, at one stroke, so that two who ask at
//! once never hold one slot.

use super::key::{Context, Epoch, Key, Moment, Report};
use crate::error::Result;

/// The keys of a pool, each by its place in it.
pub trait Store {
    /// What a lease holds, as long as it lasts.
    type Hold;

    /// What is known of the key now, whoever uses it.
    ///
    /// # Errors
    ///
    /// When it cannot be read in time.
    fn look(&mut self, key: usize, now: Moment) -> Result<Key>;

    /// Leases a slot of the key, if its state and the slots that others hold allow it.
    ///
    /// # Errors
    ///
    /// When it cannot be decided in time; nothing is leased then.
    fn try_lease(&mut self, key: usize, now: Moment) -> Result<Option<(Epoch, Self::Hold)>>;

    /// Gives a lease back, and returns what is known of the key then.
    ///
    /// # Errors
    ///
    /// When its end could not be noted; the slot is free all the same.
    fn release(&mut self, key: usize, hold: Self::Hold, now: Moment) -> Result<Key>;

    /// Notes what the lease `epoch` has to say, and returns what is known of the key then. `reason` is what a person is
    /// to read about it later: one line, masked and escaped; nothing, if it is empty.
    ///
    /// # Errors
    ///
    /// When it could not be noted.
    fn report_because(
        &mut self,
        key: usize,
        epoch: Epoch,
        report: Report,
        now: Moment,
        context: Context,
        reason: &str,
    ) -> Result<Key>;

    /// As [`Store::report_because`], without a reason.
    ///
    /// # Errors
    ///
    /// As [`Store::report_because`].
    fn report(
        &mut self,
        key: usize,
        epoch: Epoch,
        report: Report,
        now: Moment,
        context: Context,
    ) -> Result<Key> {
        self.report_because(key, epoch, report, now, context, "")
    }

    /// Stands in the line of all who wait for keys, for these: [`Store::try_lease`] then grants none of them to
    /// whoever comes later. Whoever stands there already keeps the place; a lease ends it.
    ///
    /// To be said again at least every five seconds: who is silent for longer is passed over.
    ///
    /// # Errors
    ///
    /// When it could not be noted in time.
    fn queue_up(&mut self, wanted: &[usize], now: Moment) -> Result<()> {
        let _ = (wanted, now);
        Ok(())
    }

    /// Wants no key any more.
    fn leave_queue(&mut self) {}

    /// Who else holds the key, in words for a person, as far as that can be found out.
    fn holders(&mut self, key: usize) -> Vec<String> {
        let _ = key;
        Vec::new()
    }

    /// What a person should know and has not been told.
    fn take_warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// The keys of one run, known to nobody else.
#[derive(Debug)]
pub struct PrivateStore {
    keys: Vec<PrivateKey>,
}

#[derive(Debug)]
struct PrivateKey {
    key: Key,
    slots: usize,
    leases: usize,
}

impl PrivateStore {
    /// New keys, of which each has this many slots.
    #[must_use]
    pub fn new(slots: &[usize]) -> Self {
        let keys = slots.iter().map(|&slots| PrivateKey {
            key: Key::default(),
            slots,
            leases: 0,
        });
        Self {
            keys: keys.collect(),
        }
    }
}

impl Store for PrivateStore {
    type Hold = ();

    fn look(&mut self, key: usize, _: Moment) -> Result<Key> {
        Ok(self.keys[key].key.clone())
    }

    fn try_lease(&mut self, key: usize, now: Moment) -> Result<Option<(Epoch, ())>> {
        let PrivateKey { key, slots, leases } = &mut self.keys[key];
        if *leases >= key.slots(*slots, now) {
            return Ok(None);
        }
        *leases += 1;
        Ok(Some((key.grant(now), ())))
    }

    fn release(&mut self, key: usize, (): (), now: Moment) -> Result<Key> {
        let key = &mut self.keys[key];
        debug_assert!(key.leases > 0, "a lease was given back twice");
        key.leases = key.leases.saturating_sub(1);
        key.key.release(now);
        Ok(key.key.clone())
    }

    fn report_because(
        &mut self,
        key: usize,
        epoch: Epoch,
        report: Report,
        now: Moment,
        context: Context,
        _: &str,
    ) -> Result<Key> {
        let key = &mut self.keys[key].key;
        key.report(epoch, report, now, context);
        Ok(key.clone())
    }
}
