//! The last room but one: what is on disk, and how it stays true.
//!
//! `.orchestrate/` belongs to this room alone. Two promises are kept here: an item that is shown as done is on
//! disk, and damaged state stops the run with a reason and a repair instead of being guessed around.
//!
//! `record.rs` `history.rs` `salvage.rs` `run_id.rs` `run_record.rs` `run_items.rs` `run_times.rs` `run_event.rs` decide and are pure. The
//! others touch the disk: everything under `.orchestrate/` is reached through directories that are held open
//! ([`crate::disk`]), so that a path that is exchanged for a link while we run leads nowhere.

mod batches;
pub mod directory;
pub mod event_file;
pub mod event_log;
pub mod history;
pub mod journal;
mod journal_lines;
pub mod journal_repair;
mod journal_rewrite;
pub mod journal_scan;
pub mod journal_thread;
pub mod lock;
pub mod record;
pub mod retention;
pub mod run_event;
pub mod run_id;
pub mod run_items;
pub mod run_record;
pub mod run_times;
pub mod runs;
pub mod salvage;
