//! The keys of a run: the way to the thread that hands them out, and what is leased to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;

use super::judge::Narrow;
use super::message::Message;
use crate::config::resolve::Invocation;
use crate::credential::coordinator::{AtTheStore, Coordinator};
use crate::credential::dispatcher::News;
use crate::credential::evidence::Verdict;
use crate::credential::key_store::{Hold, KeyStore};
use crate::credential::pool::{Grant, Member, Pool, Said};
use crate::credential::secret::Secret;
use crate::credential::shared_store::{PoolKey, SharedStore, now, state_home};
use crate::credential::snapshot::{KeySnapshot, Obstacle, Snapshot, standing_word};
use crate::credential::store::PrivateStore;
use crate::error::{ExitStatus, Result};
use crate::report::backpressure::KeyCounts;
use crate::schedule::bottleneck::Limiter;
use crate::schedule::event::{CredentialIndex, ItemIndex};
use crate::state::run_record::CredentialState;
use crate::surroundings::Surroundings;

/// The keys of a run that has any, and their leases.
#[derive(Debug)]
pub(super) struct Keys {
    coordinator: Coordinator<Hold>,
    slots: usize,
    leases: BTreeMap<ItemIndex, Grant<Hold>>,
    snapshot: Snapshot,
}

impl Keys {
    /// Starts the thread, if the run has keys.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had, or what is known of the keys cannot be read, or is locked by a process that is
    /// stopped.
    pub(super) fn start(
        invocation: &Invocation,
        secrets: &[Secret],
        surroundings: &Surroundings,
        messages: UnboundedSender<Message>,
        (at_the_store, is_narrow): (AtTheStore, Narrow),
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
        let store = open(secrets, &slots, surroundings, &messages)?;
        let pool = Pool::new(store, members, seed, now())?;
        let tell = move |news| {
            let message = match news {
                News::Granted(grant) => Message::Leased(grant),
                News::Changed(snapshot) => Message::KeysChanged(snapshot),
                News::Hopeless { back_in } => Message::NoKey { back_in },
                News::HeldByOthers { holders } => Message::KeysHeld(holders),
                News::Trouble(why) => Message::KeyTrouble(why),
                News::Narrowed(is) => return is_narrow.set(is),
            };
            // The loop is gone only when the whole process is going.
            let _nobody = messages.send(message);
        };
        Ok(Some(Self {
            coordinator: Coordinator::start(pool, patience, now, tell, at_the_store)?,
            slots: slots.iter().sum(),
            leases: BTreeMap::new(),
            snapshot: Snapshot::default(),
        }))
    }

    /// How many items may hold a key at once.
    pub(super) const fn slots(&self) -> usize {
        self.slots
    }

    /// Takes note of how the keys stand, and returns those that stand otherwise than before, by label.
    pub(super) fn changed(
        &mut self,
        snapshot: Snapshot,
        secrets: &[Secret],
    ) -> Vec<(String, CredentialState)> {
        let before = std::mem::replace(&mut self.snapshot, snapshot);
        let standing = |snapshot: &Snapshot, index: usize| {
            let key: Option<&KeySnapshot> = snapshot.keys.get(index);
            key.map(|key| key.standing)
        };
        states(&self.snapshot, secrets)
            .enumerate()
            .filter(|&(index, _)| standing(&before, index) != standing(&self.snapshot, index))
            .map(|(_, state)| state)
            .collect()
    }

    /// How many stand how now.
    pub(super) fn counts(&self) -> KeyCounts {
        let now = now();
        let held = self.leases.values().map(|lease| lease.credential);
        let held: BTreeSet<CredentialIndex> = held.collect();
        let is_held = |key| held.contains(&CredentialIndex(key));
        let counts = self.snapshot.counts(now, is_held);
        KeyCounts {
            busy: counts.busy,
            free: counts.free,
            resting: counts.resting,
            out: counts.out,
            back_in: counts.back_at.map(|at| at.since(now)),
        }
    }

    /// What keeps a key from the items that wait for one.
    pub(super) fn limiter(&self) -> Option<Limiter> {
        self.snapshot.obstacle.map(|obstacle| match obstacle {
            Obstacle::Keys => Limiter::Credentials,
            Obstacle::Provider => Limiter::Provider,
        })
    }

    /// Why no key can be had, if that is for the files in which their state is kept.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.snapshot.trouble.as_deref()
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
            self.coordinator.release(item, lease.credential, lease.hold);
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

    /// Hands on what the item's attempt, or its end, says of its key, and why, for a person.
    pub(super) fn hear(&self, item: ItemIndex, verdict: &Verdict, why: &str) {
        if let Some(said) = Said::of(verdict) {
            self.tell(item, said, why);
        }
    }

    /// The item's attempt, which goes on, takes back what it has said of its key.
    pub(super) fn take_back(&self, item: ItemIndex) {
        self.tell(item, Said::TakenBack, "");
    }

    fn tell(&self, item: ItemIndex, said: Said, why: &str) {
        if let Some(lease) = self.leases.get(&item) {
            let reason = why.to_owned();
            self.coordinator
                .hear(item, lease.credential, lease.epoch, said, reason);
        }
    }

    /// Waits until everything that was said is noted, and tells how each key stands then, by label.
    pub(super) fn finish(self, secrets: &[Secret]) -> BTreeMap<String, CredentialState> {
        let snapshot = self.coordinator.finish();
        states(&snapshot, secrets).collect()
    }
}

/// How each key stands, by label, in the order of the pool.
fn states(
    snapshot: &Snapshot,
    secrets: &[Secret],
) -> impl Iterator<Item = (String, CredentialState)> {
    let (now, wall) = (now(), Timestamp::now());
    let state = move |key: &KeySnapshot| {
        let (word, until) = standing_word(key.standing);
        CredentialState {
            state: word.to_owned(),
            until: until.map(|at| wall.saturating_add(at.since(now)).unwrap_or(wall)),
        }
    };
    let labels = secrets.iter().map(|secret| secret.label().to_owned());
    labels.zip(snapshot.keys.iter().map(state))
}

/// The store that all runs of the machine share, or, with a warning, one of our own where nothing can be shared.
fn open(
    secrets: &[Secret],
    slots: &[usize],
    surroundings: &Surroundings,
    messages: &UnboundedSender<Message>,
) -> Result<KeyStore> {
    let keys = secrets.iter().zip(slots);
    let keys: Vec<PoolKey<'_>> = keys
        .map(|(secret, &slots)| PoolKey { secret, slots })
        .collect();
    let shared = state_home(surroundings).and_then(|home| SharedStore::open(&home, &keys, now()));
    match shared {
        Ok(store) => Ok(KeyStore::Shared(Box::new(store))),
        // There is somebody to share with, who only does not answer.
        Err(error) if error.status() == ExitStatus::WorkLeft => Err(error),
        Err(error) => {
            let mut why = format!("other runs do not know of the keys that this one uses: {error}");
            if let Some(hint) = error.hint() {
                let _infallible = write!(why, "; {hint}");
            }
            // The loop is gone only when the whole process is going.
            let _nobody = messages.send(Message::KeyTrouble(why));
            Ok(KeyStore::Private(PrivateStore::new(slots)))
        }
    }
}
