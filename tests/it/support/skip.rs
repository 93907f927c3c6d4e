//! A test that cannot be made on this machine says so.

use std::io::Write as _;

/// Says aloud, past the capture of test output, that a part of a test was left out.
pub(crate) fn skipped(what: &str, why: &str) {
    // Nobody is told when stderr is closed, and nothing else is wrong then.
    let _closed = writeln!(std::io::stderr(), "SKIPPED {what}: {why}");
}
