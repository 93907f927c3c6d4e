//! System calls that fail, hang or kill as a test wants it, by `strace`.

use std::process::{Command, Stdio};

use super::launch::Launch;
use super::skip::{is_root, skipped};
use super::workspace::Workspace;

/// `orchestrate` with these arguments, whose system calls go as `injections` say (strace(1), `-e inject=`), only those
/// on the file `on` below the root if one is named. Nothing, and a word about it, where `strace` cannot do that.
pub(crate) fn faulty<'a>(
    workspace: &'a Workspace,
    injections: &[&str],
    on: Option<&str>,
    arguments: &[&str],
) -> Option<Launch<'a>> {
    let probe = Command::new("strace")
        .args([
            "-f",
            "-o",
            "/dev/null",
            "-e",
            "inject=fsync:error=EIO",
            "true",
        ])
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        skipped("faults of the disk", "strace cannot inject here");
        return None;
    }
    // To nobody else the calls of `orchestrate` show, or change, what they are called with.
    if !is_root("faults of the disk") {
        return None;
    }
    let orchestrate = workspace.programs().join("orchestrate");
    let injections = injections.iter().map(|what| format!("inject={what}"));
    let mut words: Vec<String> = ["strace", "-f", "-o", "/dev/null"]
        .map(str::to_owned)
        .into();
    words.extend(injections.flat_map(|what| ["-e".to_owned(), what]));
    if let Some(path) = on {
        words.extend([
            "-P".to_owned(),
            workspace.root().join(path).display().to_string(),
        ]);
    }
    words.push(orchestrate.display().to_string());
    words.extend(arguments.iter().map(ToString::to_string));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(workspace.program(&words))
}
