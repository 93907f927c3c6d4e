//! What people write instead: a rotation with a fixed cooldown, and no coordination at all.

use std::collections::VecDeque;
use std::time::Duration;

use orchestrate::schedule::retry::Spread;

use super::child::End;
use super::provider::Reply;
use super::simulation::{Contender, Order, World};

/// Plain round robin: the next key in turn that is free and has not failed within the last minute; an item that was
/// turned away goes back to the end of the queue, for whatever reason and however often.
pub(crate) struct RoundRobin {
    queue: VecDeque<usize>,
    keys: Vec<RotatedKey>,
    next_key: usize,
    width: usize,
    running: Vec<Order>,
}

struct RotatedKey {
    slots: usize,
    rests_until: Duration,
}

impl RoundRobin {
    /// How long a key rests that has failed.
    const COOLDOWN: Duration = Duration::from_mins(1);

    /// A run that begins.
    pub(crate) fn new(world: &World) -> Self {
        let keys = world.terms.keys.iter().map(|key| RotatedKey {
            slots: key.slots,
            rests_until: Duration::ZERO,
        });
        Self {
            queue: (0..world.items.len()).collect(),
            keys: keys.collect(),
            next_key: 0,
            width: world.width(),
            running: Vec::new(),
        }
    }

    fn free_key(&mut self, now: Duration) -> Option<usize> {
        let count = self.keys.len();
        let mut turn = (0..count).map(|step| (self.next_key + step) % count);
        let key = turn.find(|&key| {
            let holders = self.running.iter().filter(|order| order.key == key);
            holders.count() < self.keys[key].slots && now >= self.keys[key].rests_until
        })?;
        self.next_key = (key + 1) % count;
        Some(key)
    }
}

impl Contender for RoundRobin {
    fn start(&mut self, now: Duration) -> Vec<Order> {
        let running = self.running.len();
        while self.running.len() < self.width && !self.queue.is_empty() {
            let Some(key) = self.free_key(now) else { break };
            let item = self.queue.pop_front();
            self.running.extend(item.map(|item| Order { item, key }));
        }
        self.running[running..].to_vec()
    }

    fn ended(&mut self, item: usize, end: &End, now: Duration) {
        let place = self.running.iter().position(|order| order.item == item);
        let order = self.running.remove(place.expect("it ran"));
        if end.reply != Reply::Served {
            self.keys[order.key].rests_until = now + Self::COOLDOWN;
            self.queue.push_back(item);
        }
    }

    fn wake_at(&self, now: Duration) -> Option<Duration> {
        let rests = self.keys.iter().map(|key| key.rests_until);
        rests
            .filter(|&until| until > now && !self.queue.is_empty())
            .min()
    }
}

/// No coordination: the item with the number i starts with key i modulo the number of keys, whoever else uses it, and
/// what fails is tried again up to three times, after 2 s, 8 s and 32 s; it stays in its slot meanwhile.
pub(crate) struct Uncoordinated {
    queue: VecDeque<usize>,
    waiting: Vec<(Duration, usize)>,
    attempts: Vec<u32>,
    keys: usize,
    free: usize,
    spread: Spread,
    failed: usize,
}

impl Uncoordinated {
    const RETRIES_MAX: u32 = 3;

    /// A run that begins.
    pub(crate) fn new(world: &World) -> Self {
        Self {
            queue: (0..world.items.len()).collect(),
            waiting: Vec::new(),
            attempts: vec![0; world.items.len()],
            keys: world.terms.keys.len(),
            free: world.width(),
            spread: Spread::new(world.seed),
            failed: 0,
        }
    }

    /// Items that have failed.
    pub(crate) const fn failed(&self) -> usize {
        self.failed
    }
}

impl Contender for Uncoordinated {
    const MINDS_SLOTS: bool = false;

    fn start(&mut self, now: Duration) -> Vec<Order> {
        let due = self.waiting.extract_if(.., |&mut (at, _)| at <= now);
        let mut items: Vec<usize> = due.map(|(_, item)| item).collect();
        while self.free > 0
            && let Some(item) = self.queue.pop_front()
        {
            self.free -= 1;
            items.push(item);
        }
        let keys = self.keys;
        let order = |item| Order {
            item,
            key: item % keys,
        };
        items.into_iter().map(order).collect()
    }

    fn ended(&mut self, item: usize, end: &End, now: Duration) {
        if end.reply == Reply::Served {
            self.free += 1;
        } else if self.attempts[item] == Self::RETRIES_MAX {
            self.free += 1;
            self.failed += 1;
        } else {
            let wait = Duration::from_secs(2) * 4_u32.pow(self.attempts[item]);
            let percent = u32::try_from(self.spread.next() % 51).expect("a small number");
            self.attempts[item] += 1;
            self.waiting.push((now + wait + wait * percent / 100, item));
        }
    }

    fn wake_at(&self, _: Duration) -> Option<Duration> {
        self.waiting.iter().map(|&(at, _)| at).min()
    }
}
