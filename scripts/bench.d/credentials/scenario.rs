//! The scenarios: what the items are like, and the provider.

use std::time::Duration;

use orchestrate::schedule::retry::Spread;

use super::child::{Item, Manner};
use super::provider::{Account, Hints, Key, Quota, Terms};
use super::simulation::World;

/// A kind of world; each seed makes another one of it.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    items: usize,
    parallel: usize,
    accounts: usize,
    keys_per_account: usize,
    /// Whether the pool's file says which keys share an account.
    groups_are_told: bool,
    slots: usize,
    /// What a rested bucket bears, and after how many milliseconds one request more.
    bucket: (u32, u64),
    /// The same of the first account, if it is another.
    first_bucket: Option<(u32, u64)>,
    /// The same of what the provider bears of all accounts together.
    capacity: Option<(u32, u64)>,
    hints: Hints,
    /// Of the first accounts: how many requests, and how many minutes until the day ends.
    quotas: &'static [(usize, u64)],
    /// From when to when, in minutes.
    outages: &'static [(u64, u64)],
    /// From when on, in minutes, the last keys are rejected.
    rejected: &'static [u64],
    /// What its items' children do when they are turned away, in turn.
    manners: &'static [Manner],
}

const MIXED: &[Manner] = &[
    Manner::Tells,
    Manner::Exits,
    Manner::Prints,
    Manner::ExitsAndPrints,
];

/// Six items at once, each with a key of an account of its own whose bucket fills a little more slowly than an item asks.
const PLAIN: Scenario = Scenario {
    name: "",
    items: 300,
    parallel: 6,
    accounts: 6,
    keys_per_account: 1,
    groups_are_told: true,
    slots: 1,
    bucket: (20, 7000),
    first_bucket: None,
    capacity: None,
    hints: Hints::True,
    quotas: &[],
    outages: &[],
    rejected: &[],
    manners: MIXED,
};

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "room for all",
        parallel: 8,
        accounts: 8,
        bucket: (30, 5500),
        ..PLAIN
    },
    Scenario {
        name: "a limit of the minute now and then",
        ..PLAIN
    },
    Scenario {
        name: "… that says no time",
        hints: Hints::None,
        ..PLAIN
    },
    Scenario {
        name: "… that says a quarter of the time",
        hints: Hints::TooShort,
        ..PLAIN
    },
    Scenario {
        name: "… and children that retry by themselves",
        manners: &[Manner::Retries],
        ..PLAIN
    },
    Scenario {
        name: "one of six keys bears half of the others",
        bucket: (30, 5500),
        first_bucket: Some((30, 12000)),
        ..PLAIN
    },
    Scenario {
        name: "more keys than items at once",
        parallel: 6,
        accounts: 10,
        ..PLAIN
    },
    Scenario {
        name: "two keys an account, told as groups",
        accounts: 4,
        keys_per_account: 2,
        parallel: 8,
        bucket: (40, 3500),
        ..PLAIN
    },
    Scenario {
        name: "two keys an account, and nobody says so",
        accounts: 4,
        keys_per_account: 2,
        parallel: 8,
        bucket: (40, 3500),
        groups_are_told: false,
        ..PLAIN
    },
    Scenario {
        name: "three keys with three slots each",
        accounts: 3,
        slots: 3,
        parallel: 9,
        bucket: (60, 2300),
        ..PLAIN
    },
    Scenario {
        name: "the day's quota of two of five keys ends",
        accounts: 5,
        bucket: (30, 5500),
        quotas: &[(200, 240), (300, 240)],
        ..PLAIN
    },
    Scenario {
        name: "… without saying until when",
        accounts: 5,
        bucket: (30, 5500),
        quotas: &[(200, 240), (300, 240)],
        hints: Hints::None,
        ..PLAIN
    },
    Scenario {
        name: "two outages of minutes",
        bucket: (30, 5500),
        outages: &[(20, 23), (50, 56)],
        ..PLAIN
    },
    Scenario {
        name: "a provider that bears five of six items",
        bucket: (30, 5500),
        capacity: Some((60, 1200)),
        ..PLAIN
    },
    Scenario {
        name: "two of five keys are rejected on the way",
        accounts: 5,
        bucket: (30, 5500),
        rejected: &[10, 25],
        ..PLAIN
    },
    Scenario {
        name: "all of it",
        accounts: 8,
        keys_per_account: 1,
        parallel: 8,
        quotas: &[(300, 600)],
        outages: &[(40, 45)],
        rejected: &[30],
        manners: &[
            Manner::Tells,
            Manner::Exits,
            Manner::Prints,
            Manner::ExitsAndPrints,
            Manner::Retries,
        ],
        ..PLAIN
    },
];

impl Scenario {
    /// The world of this seed.
    pub(crate) fn world(&self, seed: u64) -> World {
        let mut random = Spread::new(seed);
        let item = |number: usize| {
            let manner = self.manners[number % self.manners.len()];
            random_item(&mut random, manner)
        };
        World {
            items: (0..self.items).map(item).collect(),
            terms: self.terms(),
            parallel: self.parallel,
            seed,
        }
    }

    fn terms(&self) -> Terms {
        let bucket = |number: usize| match self.first_bucket {
            Some(bucket) if number == 0 => bucket,
            Some(_) | None => self.bucket,
        };
        let account = |number: usize| Account {
            burst: bucket(number).0,
            every: Duration::from_millis(bucket(number).1),
            quota: self.quotas.get(number).map(|&(requests, minutes)| Quota {
                requests,
                resets_at: Duration::from_mins(minutes),
            }),
        };
        let count = self.accounts * self.keys_per_account;
        let key = |number: usize| {
            let account = number / self.keys_per_account;
            let group = if self.groups_are_told {
                account
            } else {
                number
            };
            let rejected = self.rejected.get(count - 1 - number);
            Key {
                account,
                group: group.to_string(),
                slots: self.slots,
                rejected_from: rejected.map(|&minutes| Duration::from_mins(minutes)),
            }
        };
        let minutes =
            |&(from, to): &(u64, u64)| (Duration::from_mins(from), Duration::from_mins(to));
        Terms {
            accounts: (0..self.accounts).map(account).collect(),
            keys: (0..count).map(key).collect(),
            capacity: self.capacity.map(|(burst, every)| Account {
                burst,
                every: Duration::from_millis(every),
                quota: None,
            }),
            hints: self.hints,
            outages: self.outages.iter().map(minutes).collect(),
        }
    }
}

/// Most items take one to three minutes, one of five up to three times as long; they ask every six seconds, give or
/// take half of it.
fn random_item(random: &mut Spread, manner: Manner) -> Item {
    let seconds = 60 + random.next() % 120;
    let is_long = random.next().is_multiple_of(5);
    let length = Duration::from_secs(if is_long { seconds * 3 } else { seconds });
    let (mut requests, mut at) = (Vec::new(), Duration::ZERO);
    loop {
        at += Duration::from_millis(3000 + random.next() % 6000);
        if at >= length {
            break;
        }
        requests.push(at);
    }
    Item {
        requests,
        length,
        manner,
    }
}
