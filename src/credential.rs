//! The room of the keys: where they come from, who holds one, and how they are kept out of sight.
//!
//! `pool.rs` decides who gets which and is pure; `source.rs` and `secret.rs` touch the world. Everything outside
//! this room knows a key by its label.

pub mod hint;
pub mod key;
pub mod pool;
pub mod secret;
pub mod source;
pub mod store;
