//! Ctrl-Z and back: everything that runs is stopped where it is, and nothing is decided until it goes on.

use std::collections::BTreeSet;

use super::super::message::Message;
use super::super::suspension::Permit;
use super::Session;

impl Session<'_> {
    pub(super) fn suspend(&mut self, permit: Permit) {
        self.clock.suspend(self.began.elapsed());
        let controls = self
            .live
            .iter()
            .filter_map(|(&item, live)| Some((item, live.control.as_ref()?)));
        let mut waiting = BTreeSet::new();
        for (item, control) in controls {
            control.suspend();
            waiting.insert(item);
        }
        if let Some(display) = &mut self.display {
            display.hide();
        }
        // Nobody knows for how long.
        if let Some(journal) = &self.journal {
            journal.hurry();
        }
        self.visit.voice.suspended(waiting.len());
        let suspension = self.suspension.get_or_insert_default();
        (suspension.permit, suspension.waiting) = (Some(permit), waiting);
        suspension.permit_if_all_wait(&self.visit.terminal);
    }

    pub(super) fn go_on(&mut self) {
        let Some(suspension) = self.suspension.take() else {
            return;
        };
        for control in self.live.values().filter_map(|live| live.control.as_ref()) {
            control.resume();
        }
        let paused = self.clock.resume(self.began.elapsed());
        self.visit.voice.resumed(self.live.len(), paused);
        if let Some(display) = &mut self.display {
            display.unhide();
        }
        for message in suspension.held {
            self.take(message);
        }
    }

    /// While we are being suspended, nothing is decided, so that nothing new is started.
    pub(in crate::run) fn take(&mut self, message: Message) {
        let ended = match &message {
            Message::Suspended(item) | Message::Ended { item, .. } => Some(*item),
            Message::GuardLost
            | Message::Recorded { .. }
            | Message::SpaceRanOut(_)
            | Message::Told { .. }
            | Message::Leased(_)
            | Message::NoKey { .. }
            | Message::KeysChanged(_)
            | Message::KeysHeld(_)
            | Message::KeyTrouble(_)
            | Message::EventsLost(_) => None,
        };
        // Without a guard there is nobody who would watch over what is suspended.
        let holds = !matches!(message, Message::GuardLost);
        let Some(suspension) = self.suspension.as_mut().filter(|_| holds) else {
            return self.note(message);
        };
        if let Some(item) = ended {
            suspension.waiting.remove(&item);
        }
        suspension.permit_if_all_wait(&self.visit.terminal);
        suspension.held.push(message);
    }
}
