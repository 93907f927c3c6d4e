//! `orchestrate init`: an `orchestrate.toml` to begin with, for what lies in the directory.
//!
//! It asks nothing. Where the tools of the built-in workflows lie, the file is for them; elsewhere it holds an example
//! that runs as it is. What it writes is read by our own parser first.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use super::Site;
use crate::cli::Init;
use crate::config::builtin::Builtin;
use crate::config::file::ConfigFile;
use crate::disk::path_text::shown;
use crate::disk::whole_file;
use crate::error::{Error, ExitStatus, Result};
use crate::output::Target;

const NAME: &str = "orchestrate.toml";
/// For a directory of which nothing is known.
const EXAMPLE: &str = include_str!("init/example.toml");
/// For a repository with the tools of the built-in workflows.
const TOOLS: &str = include_str!("init/tools.toml");

pub(super) fn write(site: &Site<'_>, arguments: &Init) -> Result<ExitStatus> {
    let has_tool = |it: &Builtin| site.directory.join(it.tool()).is_file();
    let found: Vec<&str> = Builtin::ALL
        .iter()
        .filter(|it| has_tool(it))
        .map(|it| it.name())
        .collect();
    let (text, first) = match found.first() {
        Some(name) => (TOOLS, *name),
        None => (EXAMPLE, "hello"),
    };
    let path = site.directory.join(NAME);
    ConfigFile::parse(&path, text)?;
    if site.dry_run {
        site.terminal.say(Target::Stdout, text);
        return Ok(ExitStatus::Success);
    }
    let written = if arguments.force {
        whole_file::write_for_all(&path, text.as_bytes())
    } else {
        write_new(&path, text.as_bytes())
    };
    let seen = site.seen_from_here(&path);
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Error::usage(format!("`{}` is there already", shown(&seen)))
                .with_hint("--force puts the new one in its place; --dry-run shows it")
        }
        _ => Error::state(format!("cannot write `{}`: {error}", shown(&seen))),
    })?;
    site.terminal
        .say(Target::Stdout, format!("{}\n", shown(&seen)));
    let found = match found[..] {
        [] => "an example to change".to_owned(),
        _ => format!("for the tools that are here: {}", found.join(", ")),
    };
    let next = format!("orchestrate: {found}\n  try: orchestrate --dry-run {first}\n");
    site.terminal.say(Target::Stderr, next);
    Ok(ExitStatus::Success)
}

/// Makes the file, and never touches one that is there, or a link.
fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}
