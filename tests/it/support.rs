//! What every test of this crate stands on: a workspace, the real binary in it, a per-item command that writes down
//! what it does, FIFOs at which the test meets it, and one oracle that judges what was written down.

pub(crate) mod browser;
pub(crate) mod cgroup;
pub(crate) mod disk;
pub(crate) mod end;
pub(crate) mod exposition;
pub(crate) mod fault;
pub(crate) mod gates;
pub(crate) mod github;
pub(crate) mod item_script;
pub(crate) mod launch;
pub(crate) mod ledger;
pub(crate) mod line_reader;
pub(crate) mod listing;
pub(crate) mod long_journal;
pub(crate) mod ordinary_user;
pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod running;
pub(crate) mod schema;
pub(crate) mod skip;
pub(crate) mod strace;
pub(crate) mod streams;
pub(crate) mod transcript;
pub(crate) mod witness;
pub(crate) mod workspace;

use std::time::Duration;

/// How long anything that must happen may take before a test gives up. Nothing waits this long when all is well, so
/// it is generous: a loaded machine is no failure.
pub(crate) const WATCHDOG: Duration = Duration::from_mins(2);
