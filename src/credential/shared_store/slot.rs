//! Slots: as many files beside a key's state as items may hold the key at once; a lock on one is a lease.
//!
//! The lock belongs to the open file description, so the child that inherits the descriptor holds the key as long as
//! it lives, even when we are killed, and nobody has to clean up. A normal release unlocks explicitly, so that a
//! daemon which keeps a copy does not keep the key.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

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

    /// Frees the slot for everybody, whoever else has the descriptor.
    pub(super) fn unlock(self) {
        // It fails only for a descriptor that is none.
        let _ = flock(&*self.descriptor, FlockOperation::Unlock);
    }
}

impl AsFd for SlotLease {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Takes a slot, when fewer than `allowed` are taken, by whomever. Only under the key's lock.
///
/// Another run may have been told another number of slots, so all that are there are counted.
pub(super) fn try_take(directory: &HeldDirectory, allowed: usize) -> Result<Option<SlotLease>> {
    let (mut taken, mut free) = (0, None);
    for number in 0..SLOTS_MAX {
        let needed = free.is_none() && number < allowed;
        let Some(file) = open_slot(directory, number, needed)? else {
            break;
        };
        if !try_lock(&file).map_err(|e| directory.failed("lock", slot_name(number), &e))? {
            taken += 1;
        } else if needed {
            free = Some(SlotLease {
                descriptor: Arc::new(file.into()),
                number,
            });
        } else {
            // Not only closed: a child that is being spawned has a copy for a moment.
            let _ = flock(&file, FlockOperation::Unlock);
        }
    }
    if taken < allowed {
        return Ok(free);
    }
    if let Some(lease) = free {
        lease.unlock();
    }
    Ok(None)
}

/// Which slots are taken, by whomever. Only under the key's lock.
pub(super) fn taken(directory: &HeldDirectory) -> Result<Vec<usize>> {
    let mut taken = Vec::new();
    for number in 0..SLOTS_MAX {
        let Some(file) = open_slot(directory, number, false)? else {
            break;
        };
        if try_lock(&file).map_err(|e| directory.failed("lock", slot_name(number), &e))? {
            let _ = flock(&file, FlockOperation::Unlock);
        } else {
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

fn open_slot(directory: &HeldDirectory, number: usize, make: bool) -> Result<Option<File>> {
    let name = slot_name(number);
    if make {
        return open_or_make(directory, &name).map(Some);
    }
    directory.open_file(&name, Access::Update)
}

fn try_lock(file: &File) -> std::io::Result<bool> {
    loop {
        return match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(Errno::INTR) => continue,
            Err(errno) => Err(errno.into()),
        };
    }
}
