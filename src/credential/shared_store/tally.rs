//! What changes with every lease of a key: the number of the last one, and when the key was last used. It is kept as the
//! content of the key's lock file, which is open as long as the run lasts, so noting it is one write in place.
//!
//! Two records take turns: whoever is killed while writing one leaves the other, and a checksum tells which are whole.
//! Nothing of it need outlive a power cut: no lease does, and `state.json` keeps the numbers on which a decision
//! rests.
//!
//! The generation tells whoever remembers `state.json` whether it was replaced since. It is raised before that is done,
//! so whoever is killed in between makes the others read again what has not changed, and hides no change from them.

use std::io;
use std::time::Duration;

use super::clock::Stamp;
use super::lock::Guard;
use crate::credential::key::{Epoch, Moment, Usage};
use crate::disk::whole_file::random_bits;

/// Checksum, number of the boot, then four numbers of eight bytes.
const RECORD_BYTES: usize = 40;
const RECORDS: usize = 2;
/// No moment.
const NEVER: u64 = u64::MAX;

/// The record of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Of its writing: the higher one counts.
    sequence: u64,
    /// Of `state.json`.
    pub(super) generation: u64,
    /// In which boot its moment lies.
    boot: u32,
    usage: Usage,
}

/// The newer whole record in the lock file; nothing, if there is none.
pub(super) fn read(guard: &Guard<'_>) -> io::Result<Option<Tally>> {
    let mut bytes = [0; RECORD_BYTES * RECORDS];
    let length = guard.read(&mut bytes)?;
    let records = bytes[..length].chunks_exact(RECORD_BYTES);
    let whole = records.filter_map(|record| Tally::from_bytes(record.try_into().ok()?));
    Ok(whole.max_by_key(|tally| tally.sequence))
}

/// Notes that the key was used.
pub(super) fn write_usage(
    guard: &Guard<'_>,
    last: Tally,
    usage: Usage,
    now: &Stamp,
) -> io::Result<()> {
    write(guard, &last.next(last.generation, usage, now))
}

/// Notes the same, and that `state.json` is about to be replaced; returns what was noted.
pub(super) fn write_generation(
    guard: &Guard<'_>,
    last: Option<Tally>,
    usage: Usage,
    now: &Stamp,
) -> io::Result<Tally> {
    let next = match last {
        Some(last) => last.next(last.generation.wrapping_add(1), usage, now),
        // Nobody may remember anything by this number.
        None => Tally {
            sequence: 0,
            generation: random_bits(),
            boot: now.boot_digest(),
            usage,
        },
    };
    write(guard, &next)?;
    Ok(next)
}

fn write(guard: &Guard<'_>, tally: &Tally) -> io::Result<()> {
    let place = tally.sequence % RECORDS as u64 * RECORD_BYTES as u64;
    guard.write(&tally.to_bytes(), place)
}

impl Tally {
    /// How far the key was used, as of `now`.
    pub(super) fn usage(&self, now: &Stamp) -> Usage {
        let is_of_this_boot = self.boot == now.boot_digest();
        Usage {
            last_used: self.usage.last_used.filter(|_| is_of_this_boot),
            ..self.usage
        }
    }

    fn next(&self, generation: u64, usage: Usage, now: &Stamp) -> Self {
        Self {
            sequence: self.sequence.wrapping_add(1),
            generation,
            boot: now.boot_digest(),
            usage,
        }
    }

    fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let Usage { epoch, last_used } = self.usage;
        let nanoseconds = |moment: Moment| u64::try_from(moment.0.as_nanos()).unwrap_or(u64::MAX);
        let numbers = [
            self.sequence,
            self.generation,
            epoch.0,
            last_used.map_or(NEVER, nanoseconds),
        ];
        let mut bytes = [0; RECORD_BYTES];
        bytes[4..8].copy_from_slice(&self.boot.to_le_bytes());
        for (place, number) in bytes[8..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let (head, numbers) = bytes.split_at(8);
        let (checksum, boot) = head.split_at(4);
        let checksum = u32::from_le_bytes(checksum.try_into().ok()?);
        if checksum != crc32fast::hash(&bytes[4..]) {
            return None;
        }
        let number = |place: usize| -> Option<u64> {
            let bytes = numbers.get(place * 8..place * 8 + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let last_used = number(3)?;
        Some(Self {
            sequence: number(0)?,
            generation: number(1)?,
            boot: u32::from_le_bytes(boot.try_into().ok()?),
            usage: Usage {
                epoch: Epoch(number(2)?),
                last_used: (last_used != NEVER).then(|| Moment(Duration::from_nanos(last_used))),
            },
        })
    }
}
