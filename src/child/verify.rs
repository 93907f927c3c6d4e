//! Runs the command of an attempt and then, if it exited with 0, the one that verifies it: only when both say so is the
//! item done.
//!
//! The item's thread calls it. What the command left running has ended before the second one begins, and the same control
//! reaches both, so that a stop, a suspension or a time limit does not care which of them runs. It must never begin to
//! verify for an item that is being stopped.

use nix::poll::PollTimeout;

use super::attempt::{Attempt, Ended, Output, ReadBuffer};
use super::control::Control;
use crate::schedule::event::Ending;

/// When the system has no room for the process that verifies, it is tried again after this many milliseconds …
const CROWDED_WAIT_MS: u16 = 200;

/// … so many times: what the command has done may have taken hours, and there was room for its own process.
const CROWDED_TRIES_MAX: u32 = 150;

/// Runs `command` to its end and then `verify`, on the calling thread.
pub fn run_and_verify(
    command: Attempt,
    verify: Option<&Attempt>,
    control: &Control,
    output: &mut impl Output,
    buffer: &mut ReadBuffer,
) -> Ended {
    let Ended { ending, left } = command.run(control, output, buffer);
    let Some(verify) = verify.filter(|_| ending == Ending::Exited(0)) else {
        return Ended { ending, left };
    };
    let verified = run_when_there_is_room(verify, control, output, buffer);
    let ending = match verified.ending {
        Ending::Exited(0) => ending,
        other => Ending::Unverified(Box::new(other)),
    };
    let left = left.into_iter().chain(verified.left).collect();
    Ended { ending, left }
}

fn run_when_there_is_room(
    attempt: &Attempt,
    control: &Control,
    output: &mut impl Output,
    buffer: &mut ReadBuffer,
) -> Ended {
    let mut tries = 0;
    loop {
        control.wait_while_suspended();
        if control.is_stopping() {
            let why = "the item was being stopped".to_owned();
            return Ended {
                ending: Ending::Unstartable(why),
                left: Vec::new(),
            };
        }
        let ended = attempt.clone().run(control, output, buffer);
        tries += 1;
        if tries == CROWDED_TRIES_MAX || !matches!(ended.ending, Ending::Crowded(_)) {
            return ended;
        }
        control.wait(PollTimeout::from(CROWDED_WAIT_MS));
        // What it was is known to the control.
        control.serve(|_| {});
    }
}
