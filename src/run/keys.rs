//! The keys of a run: the way to the thread that hands them out, and what is leased to whom.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::Message;
use super::judge::said;
use crate::config::resolve::Invocation;
use crate::credential::coordinator::{Coordinator, News};
use crate::credential::evidence::Verdict;
use crate::credential::key_store::{Hold, KeyStore};
use crate::credential::pool::{Grant, Member, Pool};
use crate::credential::secret::Secret;
use crate::credential::shared_store::{PoolKey, SharedStore, now, state_home};
use crate::credential::store::PrivateStore;
use crate::error::Result;
use crate::schedule::event::ItemIndex;
use crate::surroundings::Surroundings;

/// The keys of a run that has any, and their leases.
#[derive(Debug)]
pub(super) struct Keys {
    coordinator: Coordinator<Hold>,
    slots: usize,
    leases: BTreeMap<ItemIndex, Grant<Hold>>,
}

impl Keys {
    /// Starts the thread, if the run has keys.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had, or what is known of the keys cannot be read.
    pub(super) fn start(
        invocation: &Invocation,
        secrets: &[Secret],
        surroundings: &Surroundings,
        messages: UnboundedSender<Message>,
    ) -> Result<Option<Self>> {
        let Some(table) = invocation
            .credentials
            .as_ref()
            .filter(|_| !secrets.is_empty())
        else {
            return Ok(None);
        };
        let members = secrets.iter().map(|secret| Member {
            slots: secret.slots().unwrap_or(table.slots),
            group: secret.group().to_owned(),
        });
        let members: Vec<Member> = members.collect();
        let slots: Vec<usize> = members.iter().map(|member| member.slots).collect();
        let patience = invocation.credential_wait;
        let seed = u64::from(std::process::id());
        let store = open(secrets, &slots, surroundings, &messages);
        let pool = Pool::new(store, members, seed, now())?;
        let tell = move |news| {
            let message = match news {
                News::Granted(grant) => Message::Leased(grant),
                News::Hopeless { back_in } => Message::NoKey { back_in },
                News::Trouble(why) => Message::KeyTrouble(why),
            };
            // The loop is gone only when the whole process is going.
            let _nobody = messages.send(message);
        };
        Ok(Some(Self {
            coordinator: Coordinator::start(pool, patience, now, tell)?,
            slots: slots.iter().sum(),
            leases: BTreeMap::new(),
        }))
    }

    /// How many items may hold a key at once.
    pub(super) const fn slots(&self) -> usize {
        self.slots
    }

    /// Asks for a key; the answer is a message.
    pub(super) fn request(&self, item: ItemIndex) {
        self.coordinator.request(item);
    }

    /// Asks no more.
    pub(super) fn withdraw(&self, item: ItemIndex) {
        self.coordinator.withdraw(item);
    }

    /// Takes note of a lease.
    pub(super) fn granted(&mut self, grant: Grant<Hold>) {
        self.leases.insert(grant.item, grant);
    }

    /// Gives a lease back, if there is one.
    pub(super) fn release(&mut self, item: ItemIndex) {
        if let Some(lease) = self.leases.remove(&item) {
            self.coordinator.release(lease.credential, lease.hold);
        }
    }

    /// Whether the item holds a key.
    pub(super) fn is_leased(&self, item: ItemIndex) -> bool {
        self.leases.contains_key(&item)
    }

    /// What the item's child is to inherit of its lease.
    pub(super) fn hold(&self, item: ItemIndex) -> Option<Arc<OwnedFd>> {
        let lease = self.leases.get(&item);
        lease.and_then(|lease| lease.hold.descriptor())
    }

    /// Hands on what the end of the item's attempt says of its key, and why, for a person.
    pub(super) fn hear(&self, item: ItemIndex, verdict: &Verdict, why: &str) {
        if let (Some(lease), Some(said)) = (self.leases.get(&item), said(verdict)) {
            let reason = why.to_owned();
            self.coordinator
                .hear(item, lease.credential, lease.epoch, said, reason);
        }
    }

    /// Waits until everything that was said is noted.
    pub(super) fn finish(self) {
        self.coordinator.finish();
    }
}

/// The store that all runs of the machine share, or, with a warning, one of our own.
fn open(
    secrets: &[Secret],
    slots: &[usize],
    surroundings: &Surroundings,
    messages: &UnboundedSender<Message>,
) -> KeyStore {
    let keys = secrets.iter().zip(slots);
    let keys: Vec<PoolKey<'_>> = keys
        .map(|(secret, &slots)| PoolKey { secret, slots })
        .collect();
    let shared = state_home(surroundings).and_then(|home| SharedStore::open(&home, &keys, now()));
    match shared {
        Ok(store) => KeyStore::Shared(Box::new(store)),
        Err(error) => {
            let why = format!("other runs do not know of the keys that this one uses: {error}");
            // The loop is gone only when the whole process is going.
            let _nobody = messages.send(Message::KeyTrouble(why));
            KeyStore::Private(PrivateStore::new(slots))
        }
    }
}
