//! `orchestrate report`: one run as one HTML page, written beside its record or where it is wanted.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use serde_json::json;

use super::Site;
use super::status::wanted;
use crate::cli::Report;
use crate::config::options::Format;
use crate::disk::path_text::{shell_quoted, shown};
use crate::disk::whole_file;
use crate::error::{Error, ExitStatus, Result};
use crate::output::Target;
use crate::report::json::{FORMAT_VERSION, line};
use crate::report::page;
use crate::state::runs::Runs;

/// Opens what it is given with what the desktop opens such a thing with.
const OPENER: &str = "xdg-open";
/// Where one of these is set, there is a desktop.
const DISPLAYS: [&str; 2] = ["DISPLAY", "WAYLAND_DISPLAY"];

pub(super) fn write(site: &Site<'_>, arguments: &Report) -> Result<ExitStatus> {
    let state = site.state()?;
    let runs = Runs::find(&state)?.ok_or_else(|| site.no_run())?;
    let (run, kept) = wanted(site, &runs, arguments.run.as_deref())?;
    let output = arguments.out.as_ref().map(|file| site.directory.join(file));
    let logs = match &output {
        Some(file) => way_to(&runs.log_path(&run), file)?,
        None => "logs".to_owned(),
    };
    let html = page::html(
        kept.record,
        &kept.events,
        kept.life,
        &logs,
        Timestamp::now(),
    );
    let path = match output {
        _ if site.dry_run => output.unwrap_or_else(|| runs.page_path(&run)),
        Some(file) => {
            whole_file::write(&file, html.as_bytes())
                .map_err(|error| unwritable(&file, &error.to_string()))?;
            file
        }
        None => runs.write_page(&run, html.as_bytes())?,
    };
    let seen = site.seen_from_here(&path);
    let text = match site.format {
        Format::Text => format!("{}\n", shown(&seen)),
        Format::Json => line(&json!({
            "type": "report",
            "version": FORMAT_VERSION,
            "run_id": run.as_str(),
            "path": seen.to_string_lossy(),
            "bytes": html.len(),
        })),
    };
    site.terminal.say(Target::Stdout, text);
    if arguments.open && !site.dry_run {
        open(site, &path);
    }
    Ok(ExitStatus::Success)
}

fn unwritable(file: &Path, why: &str) -> Error {
    Error::state(format!("cannot write `{}`: {why}", shown(file)))
        .with_hint("--out FILE names a file in a directory that is there")
}

/// The relative path from the directory of `file` to `logs`, so that page and workspace can move together.
fn way_to(logs: &Path, file: &Path) -> Result<String> {
    let parent = file.parent().unwrap_or(file);
    let from = fs::canonicalize(parent).map_err(|error| unwritable(file, &error.to_string()))?;
    // Sequential runs have none.
    let logs = fs::canonicalize(logs).unwrap_or_else(|_| logs.to_owned());
    let from: Vec<Component<'_>> = from.components().collect();
    let to: Vec<Component<'_>> = logs.components().collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(to[common..].iter().copied()).collect();
    Ok(way.to_string_lossy().into_owned())
}

/// Has the desktop show the page. Where there is none, the path that was printed is all that can be said.
fn open(site: &Site<'_>, path: &Path) {
    let command = format!("{OPENER} {}", shell_quoted(path));
    let has_display = DISPLAYS
        .iter()
        .any(|name| site.surroundings.value(name).is_some());
    let trouble = if has_display {
        // It goes on by itself, and may be the browser: it is not waited for.
        let opener = Command::new(OPENER)
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match opener {
            Ok(_) => return,
            Err(error) => format!("{OPENER} cannot be started: {error}"),
        }
    } else {
        "there is no display here (DISPLAY and WAYLAND_DISPLAY are not set)".to_owned()
    };
    site.terminal.say(
        Target::Stderr,
        format!("orchestrate: not opened: {trouble}\n  try: {command}\n"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_the_logs_is_relative() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        let logs = root.join(".orchestrate/runs/R/logs");
        fs::create_dir_all(&logs).unwrap();
        fs::create_dir_all(root.join("out/pages")).unwrap();
        let way = |file: &str| way_to(&logs, &root.join(file)).unwrap();
        assert_eq!(way("x.html"), ".orchestrate/runs/R/logs");
        assert_eq!(way("out/pages/x.html"), "../../.orchestrate/runs/R/logs");
        assert_eq!(way(".orchestrate/runs/R/x.html"), "logs");
        assert_eq!(
            way_to(&logs, &root.join("no/x.html")).unwrap_err().status(),
            ExitStatus::State
        );
    }
}
