//! The line of all processes that wait for keys: first come, first served, one ticket a process.
//!
//! A ticket is a file whose name is its number and whose lock says that its process lives. It names the keys that are
//! waited for; whoever comes later leaves those alone. One ticket is good for one lease, so a run with fifty items
//! stands behind a run with two after each of its own.
//!
//! Every ticket is opened, made, read, written and removed under the lock of the queue. That is why a ticket may be
//! removed, unlike a lock file: nobody can have opened it and be about to lock it. Whose lock can be had belongs to a
//! process that is gone; it is removed by the next that looks.
//!
//! The queue's lock file keeps a number that is raised before a ticket is drawn. Who has found nobody in the line need not
//! look again until it has changed.
//!
//! The line only says who is served first; who holds a key, the locks on its slots say. So what does not belong here is
//! passed over.
//!
//! A process can be stopped while it stands in the line. It has to say again and again that it waits, and is passed
//! over as long as it does not.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::identity::Kid;
use super::lock::{Guard, Lock};
use crate::credential::key::Moment;
use crate::disk::held_directory::{Access, HeldDirectory};
use crate::disk::whole_file::random_bits;
use crate::error::Result;

const LOCK: &str = "lock";
/// Who has not said for this long that it waits is passed over.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);
/// It is written down again only after this long.
const REFRESH: Duration = Duration::from_secs(1);
/// More than this is no ticket.
const TICKET_BYTES_MAX: u64 = 1 << 16;

/// The line, and our place in it.
#[derive(Debug)]
pub(super) struct Queue {
    directory: HeldDirectory,
    lock: Lock,
    ticket: Option<Ticket>,
    /// The number of draws at which nobody but us stood in the line.
    alone_at: Option<u64>,
}

#[derive(Debug)]
struct Ticket {
    number: u64,
    file: File,
    wish: Wish,
}

/// What stands on a ticket. Moments are of this boot: no ticket outlives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Wish {
    said_at: Moment,
    keys: Vec<String>,
}

impl Queue {
    pub(super) fn open(directory: HeldDirectory, patience: Duration) -> Result<Self> {
        Ok(Self {
            lock: Lock::open(&directory, LOCK, patience)?,
            directory,
            ticket: None,
            alone_at: None,
        })
    }

    /// Waits for these keys; at the end of the line, unless we stand in it.
    pub(super) fn join(&mut self, keys: &[&Kid], now: Moment) -> Result<()> {
        let keys = keys.iter().map(|kid| kid.as_str().to_owned()).collect();
        let wish = Wish { said_at: now, keys };
        if let Some(ticket) = &self.ticket
            && ticket.wish.keys == wish.keys
            && now.since(ticket.wish.said_at) < REFRESH
        {
            return Ok(());
        }
        let guard = self.lock.hold()?;
        let mut ticket = if let Some(ticket) = self.ticket.take() {
            Ticket { wish, ..ticket }
        } else {
            let before = self.draws(&guard)?;
            let draws = before.wrapping_add(1);
            let ticket = self.draw(&guard, draws, wish)?;
            self.alone_at = self.alone_at.filter(|&at| at == before).map(|_| draws);
            ticket
        };
        ticket.write().map_err(|error| {
            let name = ticket.number.to_string();
            self.directory.failed("write", name, &error)
        })?;
        drop(guard);
        self.ticket = Some(ticket);
        Ok(())
    }

    /// Whether nobody who came before us waits for this key.
    pub(super) fn is_first_for(&mut self, key: &Kid, now: Moment) -> Result<bool> {
        let guard = self.lock.hold()?;
        let draws = self.draws(&guard)?;
        if self.alone_at == Some(draws) {
            return Ok(true);
        }
        let ours = self.ticket.as_ref().map(|ticket| ticket.number);
        let others = self.others()?;
        self.alone_at = others.is_empty().then_some(draws);
        for (number, wish) in others {
            let is_before_us = ours.is_none_or(|ours| number < ours);
            let is_heard = now.since(wish.said_at) < SILENCE_MAX;
            if is_before_us && is_heard && wish.keys.iter().any(|wanted| wanted == key.as_str()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives the ticket back. When that cannot be done in time, it is dead at least, and removed by somebody else.
    pub(super) fn leave(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        if let Ok(_guard) = self.lock.hold() {
            let _ = self.directory.remove(ticket.number.to_string());
        }
        let _ = flock(&ticket.file, FlockOperation::Unlock);
    }

    /// How many tickets were drawn, from a beginning that nobody remembers.
    fn draws(&self, guard: &Guard<'_>) -> Result<u64> {
        let mut bytes = [0; size_of::<u64>()];
        let length = guard.read(&mut bytes);
        let length = length.map_err(|error| self.directory.failed("read", LOCK, &error))?;
        if length == bytes.len() {
            return Ok(u64::from_le_bytes(bytes));
        }
        let draws = random_bits();
        self.write_draws(guard, draws)?;
        Ok(draws)
    }

    fn write_draws(&self, guard: &Guard<'_>, draws: u64) -> Result<()> {
        let written = guard.write(&draws.to_le_bytes(), 0);
        written.map_err(|error| self.directory.failed("write", LOCK, &error))
    }

    /// Takes the next number that nothing else has. Numbers begin anew when the line is empty.
    fn draw(&self, guard: &Guard<'_>, draws: u64, wish: Wish) -> Result<Ticket> {
        self.write_draws(guard, draws)?;
        let tickets = self.tickets()?;
        let mut number = tickets.last_key_value().map_or(0, |(&last, _)| last);
        loop {
            number = number.wrapping_add(1);
            let name = number.to_string();
            let failed = |error: std::io::Error| self.directory.failed("make", &name, &error);
            let file = match self.directory.create_new(&name) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                made => made.map_err(failed)?,
            };
            flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| failed(e.into()))?;
            return Ok(Ticket { number, file, wish });
        }
    }

    /// The tickets of living processes other than ours; those of dead ones are removed.
    fn others(&self) -> Result<BTreeMap<u64, Wish>> {
        let ours = self.ticket.as_ref().map(|ticket| ticket.number);
        let mut others = BTreeMap::new();
        for (number, file) in self.tickets()? {
            let name = number.to_string();
            if Some(number) == ours {
                continue;
            }
            let failed = |verb, error: std::io::Error| self.directory.failed(verb, &name, &error);
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let removed = self.directory.remove(&name);
                    removed.map_err(|error| failed("remove", error))?;
                }
                Err(Errno::WOULDBLOCK) => {
                    // What cannot be read is being written by a process that was killed: nobody waits for it.
                    let wish = read_wish(file).map_err(|error| failed("read", error))?;
                    others.extend(wish.map(|wish| (number, wish)));
                }
                Err(errno) => return Err(failed("lock", errno.into())),
            }
        }
        Ok(others)
    }

    /// The files that can be tickets. Whatever else has such a name was made by nobody who stands in the line: it is left
    /// alone and holds up nobody, for the line decides who is served first, and only a slot's lock who holds a key.
    fn tickets(&self) -> Result<BTreeMap<u64, File>> {
        let names = self.directory.names();
        let names = names.map_err(|error| self.directory.failed("list", "", &error))?;
        let number = |name: &OsString| {
            let number: u64 = name.to_str()?.parse().ok()?;
            (*name == *number.to_string()).then_some(number)
        };
        let ticket = |number: u64| {
            let file = self.directory.open_file(number.to_string(), Access::Update);
            Some((number, file.ok()??))
        };
        Ok(names.iter().filter_map(number).filter_map(ticket).collect())
    }
}

impl Ticket {
    fn write(&mut self) -> std::io::Result<()> {
        let bytes = serde_json::to_vec(&self.wish).expect("numbers and texts");
        self.file.set_len(0)?;
        self.file.write_all_at(&bytes, 0)
    }
}

fn read_wish(file: File) -> std::io::Result<Option<Wish>> {
    let mut bytes = Vec::new();
    file.take(TICKET_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes).ok())
}
