//! Who gets which key, and when: first come, first served, and of the keys that may be handed out the one that has been
//! idle longest, if it has rested enough (`pace.rs`).
//!
//! Pure, but for the store, which decides each lease at one stroke. The coordinator asks it for the items and hands on
//! what is granted. Providers refill a key's budget while it is idle, so the key that was idle longest has the most
//! head-room; that beats taking turns when leases differ in length.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::evidence::{Finding, Scope, Verdict};
use super::key::{Class, Context, Epoch, Key, Moment, Report, Standing, Trust};
use super::pace::Pace;
use super::snapshot::{KeySnapshot, Obstacle, Snapshot};
use super::store::Store;
use super::width::Width;
use crate::error::Result;
use crate::schedule::event::{CredentialIndex, ItemIndex};
use crate::schedule::retry::Spread;

/// Two starts are this far apart, give or take half of it, so that a provider does not see all at once. An item that
/// takes the place of one that was served asks no more of it, and need not wait, as long as nothing was limited.
const START_GAP: Duration = Duration::from_millis(250);

/// When all slots of a key that may be handed out are held by others, we ask again after this, give or take half.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Whoever waits in the line of all runs says so again after this long, at the latest.
const SAY_AGAIN: Duration = Duration::from_secs(3);

/// What a key is to us, beside what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// How many items may hold it at once.
    pub slots: usize,
    /// Keys of one group share a budget.
    pub group: String,
}

/// What an attempt, or its status file, has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It got what it wanted, whatever became of the item.
    Served,
    /// The same, but its output speaks of a limit all the same.
    ServedAtTheLimit,
    /// A budget was exceeded.
    Limited {
        /// Which.
        class: Class,
        /// How long to wait, as the provider says.
        hint: Option<Duration>,
        /// Who says so.
        trust: Trust,
        /// Whether it is this key's budget alone.
        key_only: bool,
    },
    /// The key was rejected.
    Rejected {
        /// Who says so.
        trust: Trust,
    },
    /// The provider is overloaded.
    Overloaded {
        /// How long it wants to be left alone.
        hint: Option<Duration>,
    },
    /// What it said before is over: its key does what it should.
    TakenBack,
}

impl Said {
    /// What the pool is told of an attempt's end, if anything.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Option<Self> {
        let hint = verdict.hint.as_ref().map(|hint| hint.wait);
        let trust = verdict.trust;
        match verdict.finding {
            Finding::Done if verdict.line.is_some() => Some(Self::ServedAtTheLimit),
            Finding::Done => Some(Self::Served),
            Finding::Failed | Finding::Forbidden => None,
            Finding::RateLimited(class) => Some(Self::Limited {
                class,
                hint,
                trust,
                key_only: verdict.scope == Scope::Key,
            }),
            Finding::Rejected => Some(Self::Rejected { trust }),
            Finding::Overloaded => Some(Self::Overloaded { hint }),
        }
    }
}

/// A key that has been leased to an item.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant<H> {
    /// To whom.
    pub item: ItemIndex,
    /// Which one.
    pub credential: CredentialIndex,
    /// The lease's own number.
    pub epoch: Epoch,
    /// What the lease holds.
    pub hold: H,
}

/// Whether somebody who waits may hope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prospect {
    /// A key is there, or comes when somebody gives it back.
    Soon,
    /// No key before this moment.
    NotBefore(Moment),
    /// All keys were rejected, or are disabled.
    Never,
}

/// The keys of a run and who holds or awaits one.
#[derive(Debug)]
pub struct Pool<S> {
    store: S,
    members: Vec<Ours>,
    waiting: VecDeque<Waiting>,
    /// The key that failed each of these items last.
    avoided: BTreeMap<ItemIndex, usize>,
    /// The key that a text called invalid when it served each of these items.
    suspected: BTreeMap<ItemIndex, usize>,
    width: Width,
    /// Of each group.
    paces: BTreeMap<String, Pace>,
    spread: Spread,
    next_start: Moment,
    /// Until when the place of an item that was served may be taken at once.
    places: Vec<Moment>,
    /// A limit, an overload or a rejected key was heard of, from our items or from other runs.
    is_troubled: bool,
    /// All slots of a key that may be handed out were held by others.
    ask_again: Option<Moment>,
    /// When we last said that we stand in the line of all runs; not at all, if nobody of us waits.
    queued_at: Option<Moment>,
}

/// Somebody in the line.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    item: ItemIndex,
    since: Moment,
}

#[derive(Debug)]
struct Ours {
    member: Member,
    /// As of our last look.
    key: Key,
    /// Leases of this run: whose, and since when.
    leases: Vec<(ItemIndex, Moment)>,
    /// Slots that rest until then before they work again.
    resting: Vec<Moment>,
    /// After a limit all of them rest.
    rests_until: Moment,
    /// It was seen retired while this run lasted, so this run never uses it again.
    barred: bool,
}

impl Ours {
    /// When one of its free slots has rested enough.
    fn rested_at(&self, now: Moment) -> Moment {
        let resting = self.resting.iter().copied().filter(|&until| until > now);
        let mut resting: Vec<Moment> = resting.collect();
        resting.sort_unstable();
        let slots = self.key.slots(self.member.slots, now);
        let free = slots.saturating_sub(self.leases.len()).max(1);
        let slot = resting.len().checked_sub(free).map(|place| resting[place]);
        slot.unwrap_or(now).max(self.rests_until).max(now)
    }
}

impl<S: Store> Pool<S> {
    /// Keys with these properties, kept in `store`; `seed` spreads what must not happen at once.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn new(mut store: S, members: Vec<Member>, seed: u64, now: Moment) -> Result<Self> {
        let members = members.into_iter().enumerate().map(|(index, member)| {
            Ok(Ours {
                member,
                key: store.look(index, now)?,
                leases: Vec::new(),
                resting: Vec::new(),
                rests_until: Moment::default(),
                barred: false,
            })
        });
        let members: Vec<Ours> = members.collect::<Result<_>>()?;
        let slots = members.iter().map(|ours| ours.member.slots).sum();
        Ok(Self {
            store,
            members,
            waiting: VecDeque::new(),
            avoided: BTreeMap::new(),
            suspected: BTreeMap::new(),
            width: Width::new(slots),
            paces: BTreeMap::new(),
            spread: Spread::new(seed),
            next_start: Moment::default(),
            places: Vec::new(),
            is_troubled: false,
            ask_again: None,
            queued_at: None,
        })
    }

    /// What is known of each key, as of our last look.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.members.iter().map(|ours| &ours.key)
    }

    /// How all keys stand, and why whoever waits has got none; to be asked after [`Pool::grant`].
    #[must_use]
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        let keys = self.members.iter().map(|ours| KeySnapshot {
            standing: ours.key.standing(now),
        });
        Snapshot {
            keys: keys.collect(),
            obstacle: self
                .waiting
                .front()
                .and_then(|first| self.obstacle(first.item, now)),
            trouble: None,
        }
    }

    fn obstacle(&self, item: ItemIndex, now: Moment) -> Option<Obstacle> {
        let is_narrow = self.width.is_cut() && self.leases() >= self.width.limit();
        if is_narrow || self.width.paused_until(now).is_some() {
            Some(Obstacle::Provider)
        } else if self.ask_again.is_some() || self.candidates(item, now).is_empty() {
            Some(Obstacle::Keys)
        } else {
            None
        }
    }

    /// How many items the provider bears at once.
    #[must_use]
    pub const fn width(&self) -> &Width {
        &self.width
    }

    /// Puts an item at the end of the line.
    pub fn request(&mut self, item: ItemIndex, now: Moment) {
        self.waiting.push_back(Waiting { item, since: now });
    }

    /// Takes an item out of the line.
    pub fn withdraw(&mut self, item: ItemIndex) {
        self.waiting.retain(|waiting| waiting.item != item);
    }

    /// Leases whatever can be leased to those who wait, in the order of their coming.
    ///
    /// # Errors
    ///
    /// When the store cannot decide in time; whoever waits goes on waiting.
    pub fn grant(&mut self, now: Moment) -> Result<Vec<Grant<S::Hold>>> {
        let mut grants = Vec::new();
        self.ask_again = None;
        self.places.retain(|&until| now < until);
        let said_at = self.queued_at;
        if said_at.is_some_and(|at| now >= at.plus(SAY_AGAIN)) {
            self.queue_up(now)?;
        }
        while let Some(&Waiting { item, .. }) = self.waiting.front() {
            if self.is_held_up(now) {
                break;
            }
            let Some(grant) = self.lease_to(item, now)? else {
                break;
            };
            self.waiting.pop_front();
            self.width.start(now);
            if self.places.pop().is_none() {
                self.next_start = now.plus(self.spread_around(START_GAP));
            }
            grants.push(grant);
        }
        if self.waiting.is_empty() && self.queued_at.take().is_some() {
            self.store.leave_queue();
        }
        Ok(grants)
    }

    /// What a person should know of the store, once.
    pub fn take_warnings(&mut self) -> Vec<String> {
        self.store.take_warnings()
    }

    /// Since when the first in the line has waited for keys that are good, and that others hold; nothing if we hold one
    /// ourselves. To be asked after [`Pool::grant`].
    #[must_use]
    pub fn waits_for_others_since(&self) -> Option<Moment> {
        let first = self.waiting.front()?;
        (self.leases() == 0 && self.ask_again.is_some()).then_some(first.since)
    }

    /// Who else holds our keys, in words for a person.
    pub fn holders(&mut self) -> Vec<String> {
        let keys = 0..self.members.len();
        let mut holders: Vec<String> = keys.flat_map(|key| self.store.holders(key)).collect();
        holders.sort();
        holders.dedup();
        holders
    }

    /// Nothing starts now, whatever keys there are.
    fn is_held_up(&self, now: Moment) -> bool {
        now < self.next_start && self.places.is_empty()
            || self.width.paused_until(now).is_some()
            || self.leases() >= self.width.limit()
    }

    fn lease_to(&mut self, item: ItemIndex, now: Moment) -> Result<Option<Grant<S::Hold>>> {
        for ours in &mut self.members {
            ours.barred |= matches!(ours.key.standing(now), Standing::Retired { .. });
        }
        for index in self.candidates(item, now) {
            if let Some((epoch, hold)) = self.store.try_lease(index, now)? {
                self.members[index].leases.push((item, now));
                self.members[index].key = self.store.look(index, now)?;
                let credential = CredentialIndex(index);
                return Ok(Some(Grant {
                    item,
                    credential,
                    epoch,
                    hold,
                }));
            }
            // Somebody else was faster, or knows more.
            self.members[index].key = self.store.look(index, now)?;
            let again = now.plus(self.spread_around(ASK_AGAIN));
            self.ask_again = Some(self.ask_again.map_or(again, |known| known.min(again)));
        }
        self.queue_up(now)?;
        Ok(None)
    }

    /// Stands in the line of all runs, for every key that one of ours could use.
    fn queue_up(&mut self, now: Moment) -> Result<()> {
        let members = self.members.iter().enumerate();
        let usable = members.filter(|(_, ours)| !ours.barred);
        let wanted: Vec<usize> = usable.map(|(index, _)| index).collect();
        self.store.queue_up(&wanted, now)?;
        self.queued_at = Some(now);
        Ok(())
    }

    /// The keys that may be handed out, best first: the least leased, then the one idle longest. One that has just
    /// failed the item comes last.
    fn candidates(&self, item: ItemIndex, now: Moment) -> Vec<usize> {
        let avoided = self.avoided.get(&item);
        let members = self.members.iter().enumerate();
        let mut free: Vec<usize> = members
            .filter(|(_, ours)| self.is_free(ours, now) && ours.rested_at(now) <= now)
            .map(|(index, _)| index)
            .collect();
        free.sort_by_key(|&index| {
            let ours = &self.members[index];
            let is_avoided = avoided == Some(&index);
            let leases = ours.leases.len();
            (is_avoided, leases, ours.key.preference(now), index)
        });
        free
    }

    /// It has a slot that may be used, but for its pace.
    fn is_free(&self, ours: &Ours, now: Moment) -> bool {
        !ours.barred
            && ours.leases.len() < ours.key.slots(ours.member.slots, now)
            && !self.is_being_probed(&ours.member.group, now)
    }

    /// A key of the group serves its first item after a wait; the others wait for what it says.
    fn is_being_probed(&self, group: &str, now: Moment) -> bool {
        self.members.iter().any(|ours| {
            ours.member.group == group
                && !ours.leases.is_empty()
                && ours.key.standing(now) == Standing::Probation
        })
    }

    /// Takes note of what the attempt of `item` on this lease has to say, and of why: one line, masked and escaped.
    ///
    /// # Errors
    ///
    /// When the store cannot keep it; it is known to this run all the same.
    pub fn hear(
        &mut self,
        item: ItemIndex,
        credential: CredentialIndex,
        epoch: Epoch,
        said: Said,
        reason: &str,
        now: Moment,
    ) -> Result<()> {
        let index = credential.0;
        self.keep_place(said, now);
        match said {
            Said::Served | Said::ServedAtTheLimit => {
                if said == Said::ServedAtTheLimit {
                    self.width.hold();
                } else {
                    self.width.serve(self.leases());
                    if let Some(began) = self.began(item, index) {
                        self.pace(index).serve(began, now);
                    }
                }
                self.avoided.remove(&item);
                self.convict_suspect(item, index, now)?;
                self.report(index, epoch, Report::Served, "", now)
            }
            Said::Limited {
                class,
                hint,
                trust,
                key_only,
            } => {
                self.avoided.insert(item, index);
                // Whoever is limited was let in before.
                self.convict_suspect(item, index, now)?;
                if class == Class::Minute {
                    self.slow_down(item, index, !key_only && trust == Trust::Child, now);
                }
                let report = Report::Limited { class, hint, trust };
                self.report(index, epoch, report, reason, now)?;
                if !key_only && trust == Trust::Child {
                    self.report_to_others_of_the_group(index, report, reason, now)?;
                }
                Ok(())
            }
            Said::Rejected { trust } => {
                self.avoided.insert(item, index);
                if trust == Trust::Text {
                    self.suspected.insert(item, index);
                }
                self.report(index, epoch, Report::Rejected { trust }, reason, now)
            }
            Said::Overloaded { hint } => {
                self.width.complain(hint, now);
                Ok(())
            }
            Said::TakenBack => {
                self.avoided.remove(&item);
                self.report(index, epoch, Report::TakenBack, "", now)
            }
        }
    }

    /// Whoever was served leaves a place to the next one, unless something was limited meanwhile.
    fn keep_place(&mut self, said: Said, now: Moment) {
        let mut keys = self.members.iter().map(|ours| ours.key.standing(now));
        let is_trouble = !matches!(said, Said::Served | Said::TakenBack);
        self.is_troubled |= is_trouble || keys.any(|standing| standing != Standing::Ready);
        if self.is_troubled {
            self.places.clear();
        } else if said == Said::Served {
            self.places.push(now.plus(START_GAP));
        }
    }

    /// Since when the item holds the key.
    fn began(&self, item: ItemIndex, index: usize) -> Option<Moment> {
        let mut leases = self.members[index].leases.iter();
        let lease = leases.find(|&&(holder, _)| holder == item);
        lease.map(|&(_, began)| began)
    }

    /// That of the key's group.
    fn pace(&mut self, index: usize) -> &mut Pace {
        let group = self.members[index].member.group.clone();
        self.paces.entry(group).or_default()
    }

    /// The budget of a key, or of its whole group, does not bear the present pace.
    fn slow_down(&mut self, item: ItemIndex, index: usize, whole_group: bool, now: Moment) {
        let Some(began) = self.began(item, index) else {
            return;
        };
        let pace = self.pace(index);
        pace.limit(began, now);
        let until = now.plus(pace.rest_after_limit());
        let group = self.members[index].member.group.clone();
        for (other, ours) in self.members.iter_mut().enumerate() {
            if other == index || (whole_group && ours.member.group == group) {
                ours.rests_until = ours.rests_until.max(until);
            }
        }
    }

    /// The item got past authentication with another key, so it was not the item's fault.
    fn convict_suspect(&mut self, item: ItemIndex, index: usize, now: Moment) -> Result<()> {
        match self.suspected.remove(&item) {
            Some(suspect) if suspect != index => {
                let report = Report::Rejected {
                    trust: Trust::Child,
                };
                let reason = "its item was let in with another key";
                self.report(suspect, Epoch::NONE, report, reason, now)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn report_to_others_of_the_group(
        &mut self,
        index: usize,
        report: Report,
        reason: &str,
        now: Moment,
    ) -> Result<()> {
        let group = self.members[index].member.group.clone();
        for other in 0..self.members.len() {
            let ours = &self.members[other];
            let rests = ours.key.slots(1, now) == 0;
            if other != index && ours.member.group == group && !rests {
                self.report(other, Epoch::NONE, report, reason, now)?;
            }
        }
        Ok(())
    }

    fn report(
        &mut self,
        index: usize,
        epoch: Epoch,
        report: Report,
        reason: &str,
        now: Moment,
    ) -> Result<()> {
        let context = Context {
            only_key: self.members.len() == 1,
            random: self.spread.next(),
        };
        let ours = &mut self.members[index];
        let said = self
            .store
            .report_because(index, epoch, report, now, context, reason);
        let kept = match said {
            Ok(key) => {
                ours.key = key;
                Ok(())
            }
            Err(error) => {
                // What cannot be kept for others is still true for us.
                ours.key.report(epoch, report, now, context);
                Err(error)
            }
        };
        ours.barred |= matches!(ours.key.standing(now), Standing::Retired { .. });
        kept
    }

    /// Takes a lease back.
    ///
    /// # Errors
    ///
    /// When the store could not note it; the slot is free all the same.
    pub fn release(
        &mut self,
        item: ItemIndex,
        credential: CredentialIndex,
        hold: S::Hold,
        now: Moment,
    ) -> Result<()> {
        let ours = &mut self.members[credential.0];
        let place = ours.leases.iter().position(|&(holder, _)| holder == item);
        debug_assert!(place.is_some(), "a credential was given back twice");
        if let Some(place) = place {
            let (_, began) = ours.leases.swap_remove(place);
            if let Some(pace) = self.paces.get(&ours.member.group) {
                let rest = pace.rest(now.since(began));
                ours.resting.retain(|&until| until > now);
                ours.resting.push(now.plus(rest));
            }
        }
        ours.key = self.store.release(credential.0, hold, now)?;
        Ok(())
    }

    /// When [`Pool::grant`] may have something to grant again without anybody's doing; `None` if nobody waits.
    #[must_use]
    pub fn wake_at(&self, now: Moment) -> Option<Moment> {
        self.waiting.front()?;
        if self.leases() >= self.width.limit() {
            return None;
        }
        let returns = self.usable().filter_map(|ours| ours.key.returns_at(now));
        let returns = returns.filter(|&at| at > now);
        let rested = self.usable().filter(|ours| self.is_free(ours, now));
        let rested = rested.map(|ours| ours.rested_at(now));
        let rested = rested.filter(|&at| at > now || self.ask_again.is_none());
        let wanted = returns.chain(rested).chain(self.ask_again).min();
        let held_up = self.width.paused_until(now).max(Some(self.next_start));
        let wanted = wanted.max(held_up.filter(|_| wanted.is_some()));
        let say_again = self.queued_at.map(|at| at.plus(SAY_AGAIN));
        [wanted, say_again].into_iter().flatten().min()
    }

    /// Whether somebody who waits may hope.
    #[must_use]
    pub fn prospect(&self, now: Moment) -> Prospect {
        let returns = self.usable().filter_map(|ours| ours.key.returns_at(now));
        match returns.min() {
            Some(at) if at <= now => Prospect::Soon,
            Some(at) => Prospect::NotBefore(at),
            None => Prospect::Never,
        }
    }

    /// What to expect, when whoever waits longest would wait in vain for `patience`.
    #[must_use]
    pub fn is_hopeless(&self, patience: Duration, now: Moment) -> Option<Prospect> {
        let first = self.waiting.front()?;
        let prospect = self.prospect(now);
        let in_vain = match prospect {
            Prospect::Soon => false,
            Prospect::NotBefore(at) => at > first.since.plus(patience),
            Prospect::Never => true,
        };
        in_vain.then_some(prospect)
    }

    fn usable(&self) -> impl Iterator<Item = &Ours> {
        self.members.iter().filter(|ours| !ours.barred)
    }

    fn leases(&self) -> usize {
        self.members.iter().map(|ours| ours.leases.len()).sum()
    }

    /// `time`, give or take half of it.
    fn spread_around(&mut self, time: Duration) -> Duration {
        let thousandth = u32::try_from(self.spread.next() % 1001).unwrap_or(0);
        time / 2 + time * thousandth / 1000
    }
}

#[cfg(test)]
mod tests;
