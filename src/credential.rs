//! The room of the keys: where they come from, who holds one, and how they are kept out of sight.
//!
//! `key.rs` knows of one key when it may be handed out, `pool.rs` and `width.rs` who gets which, `dispatcher.rs` when
//! somebody has to be told, and `evidence.rs`, with the patterns of `profile.rs` and the wait hints of `hint.rs`, what a
//! child's failure says about its key, unless the child says it itself (`told.rs`): all of them pure. `store.rs` says
//! where the state of keys may be kept; `source.rs`, `shared_store.rs` and `coordinator.rs` touch the world. Everything
//! outside this room knows a key by its label.

pub mod coordinator;
pub mod dispatcher;
pub mod evidence;
pub mod hint;
pub mod key;
pub mod key_store;
pub mod pace;
pub mod pool;
pub mod profile;
pub mod secret;
pub mod shared_store;
pub mod snapshot;
pub mod source;
pub mod store;
pub mod told;
pub mod width;
