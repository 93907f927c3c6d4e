//! A test that cannot be made on this machine says so.

use std::io::Write as _;

use nix::unistd::geteuid;

/// Says aloud, past the capture of test output, that a part of a test was left out.
pub(crate) fn skipped(what: &str, why: &str) {
    // Nobody is told when stderr is closed, and nothing else is wrong then.
    let _closed = writeln!(std::io::stderr(), "SKIPPED {what}: {why}");
}

/// Whether root runs the tests; says what is left out when not.
pub(crate) fn is_root(what: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        skipped(what, "it takes root");
    }
    root
}
