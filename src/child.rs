//! The room of the child processes: what one is started with, how it is watched, and how it is stopped.
//!
//! `environment.rs` decides what a child gets; `process.rs` spawns, signals and reaps one process; `attempt.rs` is the
//! thread that looks after one attempt from its spawn to its end, and `verify.rs` adds what verifies it. `kin.rs` ends
//! what an item has left behind, and `guard.rs` everything when the orchestrator dies; `core_file.rs` keeps all of them from
//! leaving core files; `lock_keepers.rs` finds what lives when both are dead. Nobody
//! outside this room signals a process.

pub mod attempt;
pub mod control;
pub mod core_file;
pub mod environment;
pub mod guard;
pub mod kin;
pub mod lock_keepers;
pub mod preflight;
pub mod process;
pub mod verify;
