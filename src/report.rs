//! The last room: words for a person and JSON for a machine, made of what has happened.
//!
//! Everything here is pure: text goes out as strings, and `output/terminal.rs` writes it.

pub mod backpressure;
pub mod cause;
pub mod checklist;
pub mod classification;
pub mod dry_run;
pub mod elapsed;
pub mod estimate;
mod fit;
pub mod forecast;
pub mod journal_state;
pub mod json;
pub mod junit;
pub mod key_table;
pub mod link;
pub mod live;
pub mod metrics;
pub mod page;
pub mod paint;
pub mod progress;
pub mod result;
pub mod run_status;
pub mod run_view;
pub mod schema;
pub mod stages;
pub mod step_summary;
pub mod summary;
pub mod table;
