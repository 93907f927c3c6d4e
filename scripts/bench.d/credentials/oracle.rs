//! Whoever knows everything beforehand: how full every bucket is and how fast it fills, quotas, outages, which key is
//! rejected from when on, and when every item will ask. It starts the items in the order of the queue, each as early as
//! it can run to its end without being turned away once, on the key that has been idle longest among those where
//! that is possible. So nothing is wasted.
//!
//! That is list scheduling, not the best of all schedules: an item never gives way to one behind it, and one that could
//! wait inside of its client library is not started. [`floor`] is what no schedule can beat.

use std::collections::VecDeque;
use std::time::Duration;

use super::child::{End, Item};
use super::provider::{Account, Reply, Taken, Terms};
use super::simulation::{Contender, Order, World};

/// Starts are planned to within this.
const STEP: Duration = Duration::from_secs(1);

/// A plan that was made beforehand, and is carried out.
pub(crate) struct Oracle {
    plan: VecDeque<(Duration, Order)>,
}

impl Oracle {
    /// Plans all of it.
    pub(crate) fn new(world: &World) -> Self {
        let mut planner = Planner::new(world);
        let items = world.items.iter().enumerate();
        let mut plan: Vec<(Duration, Order)> = items
            .map(|(index, item)| {
                let (start, key) = planner.place(item);
                (start, Order { item: index, key })
            })
            .collect();
        plan.sort_by_key(|&(start, order)| (start, order.item));
        Self { plan: plan.into() }
    }
}

impl Contender for Oracle {
    fn start(&mut self, now: Duration) -> Vec<Order> {
        let mut orders = Vec::new();
        while let Some((_, order)) = self.plan.pop_front_if(|&mut (start, _)| start <= now) {
            orders.push(order);
        }
        orders
    }

    fn ended(&mut self, item: usize, end: &End, _: Duration) {
        assert_eq!(end.reply, Reply::Served, "item {item} was turned away");
    }

    fn wake_at(&self, _: Duration) -> Option<Duration> {
        self.plan.front().map(|&(start, _)| start)
    }
}

struct Planner<'a> {
    terms: &'a Terms,
    accounts: Vec<Booked>,
    /// What is to be taken from the provider's capacity.
    capacity: Booked,
    /// When each worker is free.
    workers: Vec<Duration>,
    /// When each slot of each key is.
    slots: Vec<(Duration, usize)>,
}

/// What is to be taken from an account.
#[derive(Default)]
struct Booked {
    /// By all requests that lie before whatever is still to be planned.
    taken: Taken,
    /// The others, in order.
    requests: Vec<Duration>,
}

impl<'a> Planner<'a> {
    fn new(world: &'a World) -> Self {
        let keys = world.terms.keys.iter().enumerate();
        let slots = keys.flat_map(|(index, key)| vec![(Duration::ZERO, index); key.slots]);
        let accounts = world.terms.accounts.iter().map(|_| Booked::default());
        Self {
            terms: &world.terms,
            accounts: accounts.collect(),
            capacity: Booked::default(),
            workers: vec![Duration::ZERO; world.width()],
            slots: slots.collect(),
        }
    }

    /// Finds the earliest start, and books it.
    fn place(&mut self, item: &Item) -> (Duration, usize) {
        self.workers.sort_unstable();
        let first = self.workers[0];
        for (booked, account) in self.accounts.iter_mut().zip(&self.terms.accounts) {
            booked.forget(account, first);
        }
        if let Some(capacity) = &self.terms.capacity {
            self.capacity.forget(capacity, first);
        }
        self.slots.sort_unstable();
        let mut start = first;
        let slot = loop {
            let free = self.slots.iter().take_while(|&&(free, _)| free <= start);
            let mut free = free.enumerate();
            if let Some((slot, _)) = free.find(|&(_, &(_, key))| self.fits(item, key, start)) {
                break slot;
            }
            start += STEP;
        };
        let key = self.slots[slot].1;
        self.accounts[self.terms.keys[key].account].book(item, start);
        self.capacity.book(item, start);
        self.workers[0] = start + item.length;
        self.slots[slot].0 = start + item.length;
        (start, key)
    }

    /// Whether all of the item is served then, and nobody who is booked already is turned away for it.
    fn fits(&self, item: &Item, key: usize, start: Duration) -> bool {
        let key = &self.terms.keys[key];
        let last = start + item.requests.last().copied().unwrap_or_default();
        if key.rejected_from.is_some_and(|from| last >= from) {
            return false;
        }
        let mut outages = self.terms.outages.iter();
        if outages.any(|&(from, to)| start < to && last >= from) {
            let mut own = item.requests.iter().map(|&request| start + request);
            if own.any(|at| self.terms.is_out(at)) {
                return false;
            }
        }
        let account = &self.terms.accounts[key.account];
        let capacity = self.terms.capacity.as_ref();
        self.accounts[key.account].bears(account, item, start)
            && capacity.is_none_or(|capacity| self.capacity.bears(capacity, item, start))
    }
}

impl Booked {
    /// Nothing more will be planned before this.
    fn forget(&mut self, account: &Account, before: Duration) {
        let past = self.requests.partition_point(|&request| request < before);
        for request in self.requests.drain(..past) {
            self.taken.take(account, request);
        }
    }

    fn book(&mut self, item: &Item, start: Duration) {
        let own = item.requests.iter().map(|&request| start + request);
        self.requests.extend(own);
        self.requests.sort_unstable();
    }

    fn bears(&self, account: &Account, item: &Item, start: Duration) -> bool {
        let own = item.requests.iter().map(|&request| start + request);
        let (mut own, mut others) = (own.peekable(), self.requests.iter().copied().peekable());
        let mut taken = self.taken;
        loop {
            let next = match (own.peek(), others.peek()) {
                (Some(mine), Some(theirs)) if mine <= theirs => own.next(),
                (_, Some(_)) => others.next(),
                (_, None) => own.next(),
            };
            let Some(at) = next else { return true };
            if !taken.wait(account, at).is_zero() || !taken.day_wait(account, at).is_zero() {
                return false;
            }
            taken.take(account, at);
        }
    }
}

/// What no schedule can beat: the work of all items side by side, the longest item, and the time in which all buckets
/// together bear as many requests. Quotas, outages and rejections only add to it.
pub(crate) fn floor(world: &World) -> Duration {
    let lengths = world.items.iter().map(|item| item.length);
    let longest = lengths.clone().max().unwrap_or_default();
    let width = u32::try_from(world.width()).expect("a small number");
    let work = lengths.sum::<Duration>() / width;
    let requests: usize = world.items.iter().map(|item| item.requests.len()).sum();
    let bears = |time: Duration| -> usize {
        let of = |account: &Account| {
            let burst = usize::try_from(account.burst).expect("a small number");
            let more = time.as_millis() / account.every.as_millis();
            burst + usize::try_from(more).expect("a small number")
        };
        let accounts = world.terms.accounts.iter().map(of).sum();
        let capacity = world.terms.capacity.as_ref().map(of);
        capacity.map_or(accounts, |capacity| capacity.min(accounts))
    };
    let mut time = longest.max(work);
    while bears(time) < requests {
        time += STEP;
    }
    time
}
