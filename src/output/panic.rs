//! The last words of a panic, masked as all others: what could not be may hold a key.

use std::backtrace::Backtrace;
use std::io::Write as _;
use std::sync::Arc;

use super::mask::Masker;

/// From now on, a panic in any thread is the end of the process, told: a run that went on with a thread less would wait
/// for its message for ever. The guard ends what was started.
pub fn die_of_panics(masker: Arc<Masker>) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed").to_owned();
        // Empty, unless RUST_BACKTRACE wants one.
        let trace = Backtrace::capture();
        let words = format!("orchestrate: thread `{name}` {panic}\n{trace}\n");
        // Nobody is told when stderr cannot be written to.
        let _unheard = std::io::stderr().write_all(masker.mask_text(&words).as_ref().as_bytes());
        std::process::abort();
    }));
}
