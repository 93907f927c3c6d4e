//! Runs a slow per-item command over a batch of items: many at once, each in a child process of its own.

pub mod answer;
pub mod child;
pub mod cli;
pub mod config;
pub mod credential;
pub mod error;
pub mod escape;
pub mod items;
pub mod output;
pub mod report;
pub mod schedule;
pub mod state;
pub mod suggest;
pub mod surroundings;
