//! The room that decides: past-tense events go in, imperative actions come out, and nothing else happens.
//!
//! `run` feeds it and does what it says. Everything here is pure: no clock, no file, no process, no task.
//! Time is a [`std::time::Duration`] since the run began, as [`clock`] counts it, and comes in as an argument.

// A new event or action must be thought about wherever one is matched.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod active;
pub mod bottleneck;
pub mod clock;
pub mod event;
pub mod queue;
pub mod retry;
pub mod room;
pub mod scheduler;
pub mod slots;
pub mod stage;
pub mod stop;
pub mod straggler;
pub mod unrecorded;
