//! Runs a slow per-item command over a batch of items: many at once, each in a child process of its own, each with
//! an API credential of its own.
//!
//! In one sentence: *a synchronous scheduler turns past-tense events into a handful of actions, and one async loop
//! around it does what it is told and never blocks.*
//!
//! # The way of an item
//!
//! ```text
//! items/ ──► plan ──► schedule/ ──► credential/ ──► child/ ──► output/ ──► schedule/ ──► state/ ──► report/
//! collect    what is   slot and      lease one      spawn,     lines,      outcome       record,    show,
//! + validate left      admission     key            watch      mask, log                 fsync      summarise
//!
//! signals, timers ─────► run/: the one loop ◄──────── events from children, journal, leases
//!                          │ scheduler.on_event(event, now) → actions
//!                          └► Reserve · Spawn · Signal · Record · Emit
//! ```
//!
//! The folders are the rooms of that way, in its order; [`run`] joins them, and [`config`] says what was meant. What is
//! no run, such as `orchestrate status`, is in [`command`], a file each.
//!
//! # Rules
//!
//! - Files that decide ([`schedule`], [`items::plan`], [`items::template`], [`credential::pool`],
//!   [`credential::evidence`], [`output::line`], [`output::mask`], [`report`]) are pure: no task, file, process, clock or
//!   terminal. Time comes in as an argument.
//! - Rooms that touch the world do not import each other. The scheduler knows credentials as numbers, never values.
//! - One place writes to the terminal ([`output::terminal`]), one appends to the journal ([`state::journal`]), one room
//!   signals processes: an item's own in [`child::process`], what it has left in [`child::kin`], all in [`child::guard`].
//! - A failing child is data ([`schedule::event::Outcome`]), not an error.
//! - *Durable before visible*: an item is shown as done after the journal's fsync came back.
//! - *The loop never blocks*: the journal and the terminal have a thread each, and so has every running item.
//!   Item output goes through a bounded queue, so that a slow reader slows the children down.
//! - *Exit decides, not end-of-file*: a background process that holds a pipe cannot hold a slot.
//! - *Nothing is left running*: every child leads a session; [`child::kin`] ends what it leaves behind, [`child::guard`]
//!   everything when we die, and the run's lock is inherited by every child, so that no item is ever doubled.
//! - *A key belongs to the machine, not to a run*: [`credential::shared_store`] keeps what is known of it on disk, and a
//!   lease is a lock that the item's process inherits.
//! - *Nobody looks into us*: there are keys in our processes, so they are closed to everybody but root (`main.rs`). What
//!   another process has to know of a run, whether it lives for one, stands in locks ([`state::lock`]), not in `/proc`.
//! - *Only time that could be used counts*: timers stand still while the run is suspended or the machine is
//!   ([`schedule::clock`]).
//! - Everything that can grow has a named limit.

pub mod answer;
pub mod child;
pub mod cli;
pub mod command;
pub mod config;
pub mod credential;
pub mod disk;
pub mod error;
pub mod escape;
pub mod items;
pub mod output;
mod places;
pub mod report;
pub mod run;
pub mod schedule;
pub mod state;
pub mod suggest;
pub mod surroundings;
