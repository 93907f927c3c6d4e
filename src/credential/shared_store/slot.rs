//! Slots: as many files beside a key's state as items may hold the key at once; a lock on one is a lease.
//!
//! The lock belongs to the open file description, so the child that inherits the descriptor holds the key as long as
//! it lives, even when we are killed, and nobody has to clean up. A normal release unlocks explicitly, so that a
//! daemon which keeps a copy does not keep the key.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::lock::open_or_make;
use crate::disk::held_directory::{Access, HeldDirectory};
use crate::error::Result;

/// No key has more slots, whatever another run was told.
const SLOTS_MAX: usize = 1 << 10;

/// A leased slot. It stays leased until it is [given back](crate::credential::store::Store::release), or until every
/// process that has the descriptor is gone: dropping it only closes ours, for a panic must not hand out a key that a
/// child is using.
#[derive(Debug)]
pub struct SlotLease {
    descriptor: Arc<OwnedFd>,
    number: usize,
}

impl SlotLease {
    /// The descriptor, for the one child that is to inherit it. It is close-on-exec until somebody arranges that.
    #[must_use]
    pub fn descriptor(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.descriptor)
    }

    /// Which of the key's slots it is, from 0.
    #[must_use]
    pub const fn number(&self) -> usize {
        self.number
    }
}

impl AsFd for SlotLease {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The slots of a key, as this run sees them.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Those that we hold, by number. What we hold ourselves need not be asked of the kernel.
    ours: Vec<Weak<OwnedFd>>,
}

impl Slots {
    /// Takes a slot, when fewer than `allowed` are taken, by whomever. Only under the key's lock.
    ///
    /// Another run may have been told another number of slots, so all that are there are counted.
    pub(super) fn try_take(
        &mut self,
        directory: &HeldDirectory,
        allowed: usize,
    ) -> Result<Option<SlotLease>> {
        for number in 0..allowed.min(SLOTS_MAX) {
            if self.is_ours(number) {
                continue;
            }
            let file = open_or_make(directory, &slot_name(number))?;
            if !lock_slot(directory, number, &file)? {
                continue;
            }
            // All before it are taken.
            if self.are_too_many(directory, number, allowed)? {
                unlock(&file);
                return Ok(None);
            }
            let descriptor = Arc::new(OwnedFd::from(file));
            if self.ours.len() <= number {
                self.ours.resize_with(number + 1, Weak::new);
            }
            self.ours[number] = Arc::downgrade(&descriptor);
            return Ok(Some(SlotLease { descriptor, number }));
        }
        Ok(None)
    }

    /// Looks whether the slots that are there can be used, of which this run wants so many.
    ///
    /// # Errors
    ///
    /// When one cannot be opened, is no regular file, not ours or writable by others: exit 2 or 74.
    pub(super) fn check(directory: &HeldDirectory, wanted: usize) -> Result<()> {
        for number in 0..SLOTS_MAX {
            let found = directory.open_file(slot_name(number), Access::Update)?;
            if found.is_none() && number >= wanted {
                break;
            }
        }
        Ok(())
    }

    /// Frees a slot for everybody, whoever else has its descriptor.
    pub(super) fn free(&mut self, lease: SlotLease) {
        let SlotLease { descriptor, number } = lease;
        if let Some(ours) = self.ours.get_mut(number) {
            *ours = Weak::new();
        }
        unlock(&*descriptor);
    }

    fn is_ours(&self, number: usize) -> bool {
        // A lease that was dropped, and not given back, may be anybody's by now.
        let ours = self.ours.get(number);
        ours.is_some_and(|ours| ours.strong_count() > 0)
    }

    /// Whether `allowed` slots are taken: all those before `free`, and an unknown number behind it.
    fn are_too_many(&self, directory: &HeldDirectory, free: usize, allowed: usize) -> Result<bool> {
        // Most often there are no more than are allowed, so the one that is free says it all.
        if directory.identity(slot_name(allowed))?.is_none() {
            return Ok(false);
        }
        let mut taken = free;
        for number in free + 1..SLOTS_MAX {
            let is_taken = if self.is_ours(number) {
                true
            } else {
                match directory.open_file(slot_name(number), Access::Update)? {
                    Some(file) => is_taken(directory, number, &file)?,
                    None => break,
                }
            };
            taken += usize::from(is_taken);
        }
        Ok(taken >= allowed)
    }
}

/// Which slots are taken, by whomever. Only under the key's lock.
pub(super) fn taken(directory: &HeldDirectory) -> Result<Vec<usize>> {
    let mut taken = Vec::new();
    for number in 0..SLOTS_MAX {
        let Some(file) = directory.open_file(slot_name(number), Access::Update)? else {
            break;
        };
        if is_taken(directory, number, &file)? {
            taken.push(number);
        }
    }
    Ok(taken)
}

/// The file of a slot.
pub(super) fn path(directory: &HeldDirectory, number: usize) -> PathBuf {
    directory.join(slot_name(number))
}

fn slot_name(number: usize) -> String {
    format!("slot.{number}")
}

/// Whether somebody holds the slot.
fn is_taken(directory: &HeldDirectory, number: usize, file: &File) -> Result<bool> {
    let is_free = lock_slot(directory, number, file)?;
    if is_free {
        // Not only closed: a child that is being spawned has a copy for a moment.
        unlock(file);
    }
    Ok(!is_free)
}

/// Locks the slot, unless somebody holds it.
fn lock_slot(directory: &HeldDirectory, number: usize, file: &File) -> Result<bool> {
    loop {
        return match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(Errno::INTR) => continue,
            Err(errno) => Err(directory.failed("lock", slot_name(number), &errno.into())),
        };
    }
}

fn unlock(file: impl AsFd) {
    // It fails only for a descriptor that is none.
    let _ = flock(file, FlockOperation::Unlock);
}
