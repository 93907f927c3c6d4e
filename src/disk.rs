//! How our own files are reached and written, through directories that are held open, whole, and for their owner only;
//! and how a file of others is opened.
//!
//! What both the state of a workspace and the state of the keys stand on. It knows neither: which files there are,
//! and what is in them, is the business of those rooms. `path_text.rs` and `file_system.rs` decide and are pure.

pub mod file_system;
pub mod held_directory;
pub mod path_text;
pub mod regular_file;
pub mod whole_file;
