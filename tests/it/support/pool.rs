//! A workspace whose workflow has a pool of made-up keys.

use super::workspace::Workspace;

/// The table of the workflow that has the pool.
pub(crate) const POOL: &str =
    "credentials = { pool = { env = \"TEST_KEYS\" }, inject = \"TEST_KEY\" }";

/// Two keys, for the variable of the pool.
pub(crate) const KEYS: &str = "first-made-up-key, second-made-up-key";

/// A workspace with the pool.
pub(crate) fn with_keys(items: &[&str], body: &str) -> Workspace {
    let workspace = Workspace::new(items, body);
    workspace.configure("", POOL);
    workspace
}

/// The credential of each attempt, in the order of their starts.
pub(crate) fn credentials(workspace: &Workspace) -> Vec<String> {
    let witness = workspace.witness();
    let starts = witness.lines().filter(|line| line.starts_with("start "));
    starts
        .filter_map(|line| Some(line.split(' ').nth(4)?.to_owned()))
        .collect()
}
