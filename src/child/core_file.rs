//! The limit of a core file's size, which every child inherits: a core file holds the key of the item that crashed.
//!
//! `run` lowers it once, in parallel mode, before anything is started. In sequential mode children inherit what our
//! caller had. We ourselves leave no core file in any mode: see `main.rs`.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Too short for the header of any core file. And Linux hands no core to a program (`|` in `kernel.core_pattern`) where
/// the limit is exactly this; 0 does not count for those, and `systemd-coredump` notes the whole environment of what has
/// crashed even where it keeps no core (`do_coredump` in `fs/coredump.c`; core(5)).
const BYTES_MAX: u64 = 1;

/// Keeps everything that is started from now on from leaving a core file. The hard limit is lowered too, so that no
/// child can raise it; one of root can.
///
/// # Errors
///
/// What the system says.
pub fn refuse() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    let lowered = BYTES_MAX.min(hard);
    Ok(setrlimit(Resource::RLIMIT_CORE, lowered, lowered)?)
}
