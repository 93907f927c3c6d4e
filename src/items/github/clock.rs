//! The time, a pause and a die.
//!
//! The only place of this source that reads a clock, sleeps or rolls. `client.rs` waits through it, so that a test
//! sees every wait and spends none.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use jiff::Zoned;

/// What waiting needs.
pub(super) trait Clock {
    /// Now, in the time zone in which a person is told of a time.
    fn now(&self) -> Zoned;
    /// Lets `pause` pass.
    fn sleep(&self, pause: Duration);
    /// A share from 0 to 999 thousandths, different each time, so that many runs do not come back at once.
    fn jitter_thousandths(&self) -> u32;
}

/// The machine's clock, in the user's time zone.
pub(super) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Zoned {
        Zoned::now()
    }

    fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause);
    }

    fn jitter_thousandths(&self) -> u32 {
        // The keys of a `RandomState` are random, which is all that jitter asks for.
        let random = RandomState::new().build_hasher().finish() % 1_000;
        u32::try_from(random).unwrap_or_default()
    }
}
