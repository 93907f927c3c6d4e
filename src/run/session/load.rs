//! What limits the run, and how its keys stand: noted whenever something has happened.

use std::time::Duration;

use super::super::keys::Keys;
use super::super::visit::Visit;
use super::{STANDSTILL_TOLD, Session};
use crate::credential::snapshot::Snapshot;
use crate::state::run_event::RunEvent;
use crate::state::run_record::CredentialState;

impl Session<'_> {
    /// Adds up what is lost, and tells when another thing limits the run.
    pub(super) fn note_load(&mut self, now: Duration) {
        let keys = self.keys.as_ref();
        let load = self.scheduler.load(keys.and_then(Keys::limiter));
        if self.bottleneck.note(load, now) {
            self.chronicle.tell(RunEvent::LimiterChanged {
                limiter: load.limiter().map(|limiter| limiter.word().to_owned()),
                running: load.running,
                wanted: load.wanted,
            });
        }
        self.stands_still &= load.running == 0;
        let waiting = keys.filter(|_| load.running == 0 && load.wanted > 0);
        let rest = waiting.map(Keys::counts).filter(|keys| keys.free == 0);
        if let Some(back_in) = rest.and_then(|keys| keys.back_in)
            && back_in >= STANDSTILL_TOLD
            && !self.stands_still
        {
            self.stands_still = true;
            self.visit.voice.stands_still(load.wanted, back_in);
        }
    }

    pub(super) fn note_keys(&mut self, snapshot: Snapshot) {
        let Some(keys) = &mut self.keys else { return };
        for (credential, CredentialState { state, until }) in keys.changed(snapshot, &self.secrets)
        {
            self.chronicle.tell(RunEvent::CredentialChanged {
                credential,
                state,
                until,
            });
        }
        self.note_load(self.now());
    }
}

/// Items that one key serves at once, as far as that is the same for all.
pub(super) fn slots_of_a_key(visit: &Visit<'_>) -> usize {
    let table = visit.invocation.credentials.as_ref();
    table.map_or(1, |table| table.slots)
}
