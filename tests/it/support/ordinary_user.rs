//! `orchestrate` as somebody who is not root: to root nothing is hidden, and CI is root.

use nix::unistd::geteuid;

use super::launch::Launch;
use super::skip::skipped;
use super::workspace::Workspace;

/// A user whom nobody else is.
const USER: &str = "65534";

/// Gives the workspace away, to that user, with a copy of the program under test, which may lie where only root gets
/// to; and becomes the user. What vanishes meanwhile belongs to a run that goes on.
const BECOME: &str = r#"
user=$1
shift
program=../bin/orchestrate
[ ! -L "$program" ] || cp --remove-destination "$(readlink "$program")" "$program"
chown -hR "$user:$user" .. 2>/dev/null
exec setpriv --reuid "$user" --regid "$user" --clear-groups --bounding-set -all "$@""#;

/// `orchestrate` with these arguments, as no root; says what is left out where it cannot.
pub(crate) fn as_ordinary_user<'a>(
    workspace: &'a Workspace,
    arguments: &[&str],
    what: &str,
) -> Option<Launch<'a>> {
    shell_of_ordinary_user(workspace, r#"exec "$@""#, arguments, what)
}

/// A shell that runs `script` as no root; its arguments are `orchestrate` and these.
pub(crate) fn shell_of_ordinary_user<'a>(
    workspace: &'a Workspace,
    script: &str,
    arguments: &[&str],
    what: &str,
) -> Option<Launch<'a>> {
    let theirs = [&["sh", "-c", script, "sh", "orchestrate"], arguments].concat();
    if !geteuid().is_root() {
        return Some(workspace.program(&theirs));
    }
    let as_user = ["sh", "-c", BECOME, "sh", USER];
    let tried = [&as_user[..], &["orchestrate", "--version"]].concat();
    if workspace.program(&tried).finish().stdout.is_empty() {
        skipped(what, "setpriv cannot make another user of us here");
        return None;
    }
    Some(workspace.program(&[&as_user[..], &theirs].concat()))
}
