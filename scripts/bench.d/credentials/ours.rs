//! Orchestrate itself: its scheduler, its dispatcher with pool, keys and width, and what it reads out of a child's end,
//! joined as `src/run/session.rs` joins them, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use orchestrate::credential::dispatcher::{Dispatcher, News};
use orchestrate::credential::evidence::{Verdict, verdict};
use orchestrate::credential::hint::Calendar;
use orchestrate::credential::key::Moment;
use orchestrate::credential::pool::{Grant, Member, Pool, Said};
use orchestrate::credential::profile::Profile;
use orchestrate::credential::store::PrivateStore;
use orchestrate::credential::told::told;
use orchestrate::schedule::event::{Action, Event, ItemIndex};
use orchestrate::schedule::retry::{ExitCodes, RetryRule};
use orchestrate::schedule::scheduler::{Limits, Scheduler, Tally};
use orchestrate::schedule::stage::Discipline;

use super::child::End;
use super::simulation::{Contender, Order, World};

/// What `--credential-wait` is if nobody says so.
const CREDENTIAL_WAIT: Duration = Duration::from_mins(15);

/// The machine has been running this long when the run begins.
const BOOTED_BEFORE: Duration = Duration::from_hours(1);

/// A run of orchestrate.
pub(crate) struct Ours<'a> {
    scheduler: Scheduler,
    dispatcher: Dispatcher<PrivateStore>,
    leases: BTreeMap<ItemIndex, Grant<()>>,
    codes: ExitCodes,
    profile: &'a Profile,
    due: VecDeque<Event>,
    orders: Vec<Order>,
}

impl<'a> Ours<'a> {
    /// A run that begins; `profile` is what is shipped.
    pub(crate) fn new(world: &World, profile: &'a Profile) -> Self {
        let keys = &world.terms.keys;
        let members = keys.iter().map(|key| Member {
            slots: key.slots,
            group: key.group.clone(),
        });
        let slots: Vec<usize> = keys.iter().map(|key| key.slots).collect();
        let store = PrivateStore::new(&slots);
        let pool = Pool::new(store, members.collect(), world.seed, moment(Duration::ZERO));
        let pool = pool.expect("memory can be read");
        Self {
            scheduler: Scheduler::new(world.items.len(), limits(world)),
            dispatcher: Dispatcher::new(pool, CREDENTIAL_WAIT),
            leases: BTreeMap::new(),
            codes: ExitCodes::default(),
            profile,
            due: VecDeque::from([Event::Began]),
            orders: Vec::new(),
        }
    }

    /// How many items have come to which end.
    pub(crate) const fn tally(&self) -> Tally {
        self.scheduler.tally()
    }

    fn judge(&self, end: &End, now: Duration) -> Verdict {
        let clock = Timestamp::UNIX_EPOCH + Duration::from_hours(500_000) + now;
        let clock = clock.to_zoned(TimeZone::UTC);
        let calendar = Calendar {
            now: &clock,
            zones: &|_| None,
        };
        let own_word = told(end.status.as_bytes(), &calendar);
        let output = end.output.as_bytes();
        let by_its_end = || verdict(&end.ending, output, &self.codes, self.profile, &calendar);
        own_word.unwrap_or_else(by_its_end)
    }

    fn step(&mut self, now: Duration) {
        while let Some(event) = self.due.pop_front() {
            for action in self.scheduler.on_event(event, now) {
                self.perform(action, now);
            }
        }
    }

    fn perform(&mut self, action: Action, now: Duration) {
        match action {
            Action::Reserve { item } => self.dispatcher.request(item, moment(now)),
            Action::Withdraw { item } => self.dispatcher.withdraw(item),
            Action::Release { item } => {
                if let Some(lease) = self.leases.remove(&item) {
                    let dispatcher = &mut self.dispatcher;
                    dispatcher.release(item, lease.credential, (), moment(now));
                }
            }
            Action::Spawn {
                item, credential, ..
            } => {
                let key = credential.expect("every item has a key").0;
                self.orders.push(Order { item: item.0, key });
            }
            Action::Record { item, .. } => self.due.push_back(Event::Recorded { item }),
            Action::Listen { item } => self.due.push_back(Event::Silent { item, since: now }),
            Action::Signal { .. } => unreachable!("nothing takes too long, and nobody stops it"),
            Action::Emit(_) => {}
        }
    }

    fn note(&mut self, news: News<()>) {
        match news {
            News::Granted(grant) => {
                let (item, credential) = (grant.item, Some(grant.credential));
                self.leases.insert(item, grant);
                self.due.push_back(Event::Reserved { item, credential });
            }
            News::Hopeless { back_in } => {
                let rejected = back_in.is_none();
                self.due.push_back(Event::NoCredential { rejected });
            }
            News::Changed(_) | News::Narrowed(_) | News::HeldByOthers { .. } => {}
            News::Trouble(why) => unreachable!("memory is no trouble: {why}"),
        }
    }
}

impl Contender for Ours<'_> {
    fn start(&mut self, now: Duration) -> Vec<Order> {
        if self.scheduler.wake_at().is_some_and(|wake| wake <= now) {
            self.due.push_back(Event::Woke);
        }
        self.step(now);
        for news in self.dispatcher.hand_out(moment(now)) {
            self.note(news);
        }
        self.step(now);
        std::mem::take(&mut self.orders)
    }

    fn ended(&mut self, item: usize, end: &End, now: Duration) {
        let (item, verdict) = (ItemIndex(item), self.judge(end, now));
        let lease = self.leases.get(&item).expect("it ran with a key");
        let (credential, epoch) = (lease.credential, lease.epoch);
        if let Some(said) = Said::of(&verdict) {
            let dispatcher = &mut self.dispatcher;
            dispatcher.hear(item, credential, epoch, said, "", moment(now));
        }
        self.due.push_back(Event::Exited {
            item,
            ending: end.ending.clone(),
            fault: verdict.fault(true),
        });
    }

    fn wake_at(&self, now: Duration) -> Option<Duration> {
        let dispatcher = self.dispatcher.wake_at(moment(now));
        let dispatcher = dispatcher.map(|wake| wake.since(moment(Duration::ZERO)));
        [dispatcher, self.scheduler.wake_at()]
            .into_iter()
            .flatten()
            .min()
    }
}

fn moment(now: Duration) -> Moment {
    Moment(BOOTED_BEFORE + now)
}

fn limits(world: &World) -> Limits {
    Limits {
        width: world.width(),
        asked: world.width(),
        narrowed_by: None,
        failures_max: None,
        credential_wait: CREDENTIAL_WAIT,
        timeout: Duration::MAX,
        idle_timeout: Duration::MAX,
        stop_after: Duration::MAX,
        retry: RetryRule {
            retries_max: 0,
            exit_codes: ExitCodes::default(),
        },
        seed: world.seed,
        grace: Duration::from_secs(8),
        discipline: Discipline::Isolated,
    }
}
