//! What was typed, and what it means here.
//!
//! `options.rs` holds the options, which may come from the command line, the environment or the file;
//! `file.rs` reads `orchestrate.toml`, with `evidence.rs` for its patterns; `place.rs` finds it; `workflow.rs` makes a workflow of its table and of the
//! built-in one of the same name; `resolve.rs` joins all of it into one [`resolve::Invocation`].

pub mod builtin;
pub mod evidence;
pub mod file;
pub mod options;
pub mod place;
pub mod resolve;
pub mod table;
pub mod time_span;
pub mod workflow;
