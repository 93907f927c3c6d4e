//! The first room: where items come from, and which of them are to be run.
//!
//! `item.rs` `batch.rs` `template.rs` `selector.rs` `plan.rs` `approval.rs` `distinct.rs` `collision.rs` decide and are pure;
//! one file a source (`documents.rs` `files.rs` `list.rs` `source_command.rs`) and `done_files.rs` read the world, never write
//! to it.

pub mod approval;
pub mod batch;
pub mod collected;
pub mod collision;
pub mod distinct;
pub mod documents;
pub mod done_files;
pub mod files;
pub mod github;
pub mod item;
pub mod list;
pub mod plan;
pub mod selector;
pub mod source_command;
pub mod template;

pub(crate) mod digest;
mod matches;
mod naming;
pub(crate) mod slug;
mod walk;
