//! The clocks of the shared store: which of them is believed for what another process has written down.
//!
//! Within one boot of the machine `CLOCK_BOOTTIME` decides, so nobody who sets the time lengthens or shortens a wait.
//! What was written before the machine was started anew can only be compared by wall time, which may be wrong:
//! therefore no wait is then believed to be longer than the longest there is.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::credential::key::{HINT_MAX, Moment};
use crate::error::{Error, Result};

/// Where the kernel says which boot this is (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The longest wait that one of this boot may have noted: what is believed of a provider, and what waits are lengthened
/// by. More is from another time namespace, or a damaged file.
const WAIT_MAX: Duration = HINT_MAX.saturating_add(Duration::from_mins(1));

/// Now, as every [`Moment`] is counted.
#[must_use]
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Moment(Duration::new(seconds, nanoseconds))
}

/// What cannot be told from a [`Moment`].
pub trait Clock: fmt::Debug + Send {
    /// Which boot of the machine this is.
    fn boot(&self) -> &str;

    /// The wall time.
    fn wall(&self) -> Timestamp;
}

/// The clocks of this machine.
#[derive(Debug)]
pub struct SystemClock {
    boot: String,
}

impl SystemClock {
    /// Asks the kernel which boot this is.
    ///
    /// # Errors
    ///
    /// When it does not say: without `/proc`, moments of different boots cannot be told apart.
    pub fn new() -> Result<Self> {
        let boot = std::fs::read_to_string(BOOT_ID)
            .map_err(|error| Error::state(format!("cannot read `{BOOT_ID}`: {error}")))?;
        Ok(Self {
            boot: boot.trim().to_owned(),
        })
    }
}

impl Clock for SystemClock {
    fn boot(&self) -> &str {
        &self.boot
    }

    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// When something was written, by all clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    boot_id: String,
    boottime_ms: u64,
    wall_ms: i64,
}

impl Stamp {
    pub(super) fn new(clock: &dyn Clock, now: Moment) -> Self {
        Self {
            boot_id: clock.boot().to_owned(),
            boottime_ms: u64::try_from(now.0.as_millis()).unwrap_or(u64::MAX),
            wall_ms: clock.wall().as_millisecond(),
        }
    }

    /// Whether moments of both can be compared as they are.
    pub(super) fn is_of_the_boot_of(&self, now: &Self) -> bool {
        self.boot_id == now.boot_id
    }

    /// A number of the boot, for comparing it with that of another one.
    pub(super) fn boot_digest(&self) -> u32 {
        crc32fast::hash(self.boot_id.as_bytes())
    }

    /// A moment of this boot until which a key rests, as far as it is believed.
    pub(super) fn believed(&self, until: Moment) -> Moment {
        until.min(self.moment().plus(WAIT_MAX))
    }

    fn moment(&self) -> Moment {
        Moment(Duration::from_millis(self.boottime_ms))
    }

    /// Where a moment of this boot lies in the boot of `now`: never before its beginning, and at most
    /// [`HINT_MAX`] ahead.
    pub(super) fn carried(&self, moment: Moment, now: &Self) -> Moment {
        let ms = |number: u64| i128::from(number);
        let moment_ms = i128::try_from(moment.0.as_millis()).unwrap_or(i128::MAX / 2);
        let wall_ms = moment_ms - ms(self.boottime_ms) + i128::from(self.wall_ms);
        let carried_ms = wall_ms - i128::from(now.wall_ms) + ms(now.boottime_ms);
        let carried_ms = u64::try_from(carried_ms.max(0)).unwrap_or(u64::MAX);
        Moment(Duration::from_millis(carried_ms)).min(now.moment().plus(HINT_MAX))
    }

    /// The same for a moment that is past.
    pub(super) fn carried_past(&self, moment: Moment, now: &Self) -> Moment {
        self.carried(moment, now).min(now.moment())
    }
}
