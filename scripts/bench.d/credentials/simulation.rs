//! One run in virtual time: a contender decides what starts, children ask the provider, and what happens is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::child::{Child, End, Item};
use super::provider::{Provider, Reply, Terms};

/// Whoever is not ready then gives up.
const TIME_MAX: Duration = Duration::from_hours(6);

/// What a run is made of.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) items: Vec<Item>,
    pub(crate) terms: Terms,
    /// What `--parallel` says.
    pub(crate) parallel: usize,
    /// Seeds what a contender leaves to chance.
    pub(crate) seed: u64,
}

impl World {
    /// How many items can run at once.
    pub(crate) fn width(&self) -> usize {
        self.parallel.min(self.terms.slots())
    }
}

/// An item is to be started with this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) item: usize,
    pub(crate) key: usize,
}

/// Who decides what starts when, and with which key. It sees what a program would see: the ends of children.
pub(crate) trait Contender {
    /// Whether it holds to the slots of keys.
    const MINDS_SLOTS: bool = true;

    /// What starts now.
    fn start(&mut self, now: Duration) -> Vec<Order>;

    /// A child has ended.
    fn ended(&mut self, item: usize, end: &End, now: Duration);

    /// When it may start something without a child's ending.
    fn wake_at(&self, now: Duration) -> Option<Duration>;
}

/// What a run has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// When the last child ended.
    pub(crate) makespan: Duration,
    pub(crate) done: usize,
    /// Attempts that were turned away.
    pub(crate) wasted: usize,
    /// The time that these took.
    pub(crate) wasted_time: Duration,
}

/// Lets `contender` run this.
pub(crate) fn simulate<C: Contender>(world: &World, contender: &mut C) -> Count {
    let mut provider = Provider::new(&world.terms);
    let mut children: BTreeMap<usize, Child<'_>> = BTreeMap::new();
    let (mut count, mut now) = (Count::default(), Duration::ZERO);
    let mut wake = Some(now);
    loop {
        // What ends now has ended before anybody decides what starts.
        while let Some((_, item)) = next(&children).filter(|&(at, _)| at <= now) {
            let child = children.get_mut(&item).expect("it was just seen");
            let key = child.key;
            if let Some(end) = child.act(|| provider.ask(key, now)) {
                count.add(&end, now, now.saturating_sub(child.started));
                children.remove(&item);
                contender.ended(item, &end, now);
                wake = Some(now);
            }
        }
        let is_woken = wake.is_some_and(|wake| wake <= now);
        let orders = is_woken.then(|| contender.start(now));
        for Order { item, key } in orders.into_iter().flatten() {
            let child = Child::start(&world.items[item], key, now);
            let twice = children.insert(item, child);
            assert!(twice.is_none(), "item {item} runs already");
            let holders = children.values().filter(|child| child.key == key).count();
            let is_free = !C::MINDS_SLOTS || holders <= world.terms.keys[key].slots;
            assert!(is_free, "key {key} is held by {holders}");
        }
        if is_woken {
            wake = contender.wake_at(now).filter(|&wake| wake > now);
        }
        let Some(at) = next(&children)
            .map(|(at, _)| at)
            .into_iter()
            .chain(wake)
            .min()
        else {
            return count;
        };
        if at > TIME_MAX {
            return count;
        }
        now = at;
    }
}

fn next(children: &BTreeMap<usize, Child<'_>>) -> Option<(Duration, usize)> {
    let next = children
        .iter()
        .map(|(&item, child)| (child.next_at(), item));
    next.min()
}

impl Count {
    fn add(&mut self, end: &End, now: Duration, time: Duration) {
        self.makespan = now;
        if end.reply == Reply::Served {
            self.done += 1;
        } else {
            self.wasted += 1;
            self.wasted_time += time;
        }
    }
}
