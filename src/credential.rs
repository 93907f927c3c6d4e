//! The room of the keys: where they come from, who holds one, and how they are kept out of sight.
//!
//! `pool.rs` decides who gets which and is pure; `source.rs` and `secret.rs` touch the world. What a child's failure says
//! about its key is read, purely, by `evidence.rs`, with the patterns of `profile.rs` and the wait hints of `hint.rs`.
//! Everything outside this room knows a key by its label.

pub mod coordinator;
pub mod evidence;
pub mod hint;
pub mod key;
pub mod pool;
pub mod profile;
pub mod secret;
pub mod source;
pub mod store;
pub mod width;
