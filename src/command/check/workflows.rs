//! A dry run of each workflow: its command is found, its items can be read, its journal is whole.

use std::process::Output;

use serde_json::Value;

use super::super::Site;
use super::ourselves::Ourselves;
use crate::config::builtin::Builtin;
use crate::config::file::ConfigFile;
use crate::config::resolve::known_workflow;
use crate::error::Result;
use crate::report::checklist::{Finding, Health};

/// The workflows that are looked at: the named one, or all that this workspace can have.
pub(super) fn names(site: &Site<'_>, file: &ConfigFile, only: Option<&str>) -> Result<Vec<String>> {
    if let Some(name) = only {
        known_workflow(name, file, &[])?;
        return Ok(vec![name.to_owned()]);
    }
    let mut names: Vec<String> = file.workflows.keys().cloned().collect();
    let built_in = Builtin::ALL.into_iter().filter(|builtin| {
        let is_there = site.place.root.join(builtin.tool()).exists();
        is_there && !file.workflows.contains_key(builtin.name())
    });
    names.extend(built_in.map(|builtin| builtin.name().to_owned()));
    Ok(names)
}

/// Tries one.
pub(super) fn look(site: &Site<'_>, ourselves: &Ourselves, name: &str) -> Result<Finding> {
    let mut command = ourselves.command(site.surroundings);
    command.arg("-C").arg(&site.place.root);
    if let Some(config) = &site.place.config {
        command.arg("--config").arg(config);
    }
    command.args(["--dry-run", "--format", "json", "--color", "never", name]);
    let output = ourselves.finish(&mut command)?;
    Ok(judge(&format!("workflow {name}"), &output))
}

fn judge(subject: &str, output: &Output) -> Finding {
    let said = String::from_utf8_lossy(&output.stderr);
    let mut lines = said.lines().map(|line| {
        let own = line.strip_prefix("orchestrate: ");
        own.unwrap_or(line).trim()
    });
    if !output.status.success() {
        let words = lines.next().unwrap_or("it ended without a word");
        let rest: Vec<&str> = lines.collect();
        let finding = Finding::new(subject, Health::Bad, words);
        return match &rest[..] {
            [] => finding,
            rest => finding.with_remedy(rest.join("\n")),
        };
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let summary = stdout.lines().last().unwrap_or_default();
    let summary: Value = serde_json::from_str(summary).unwrap_or_default();
    let words = format!(
        "{} of {} items would be run",
        summary["pending"], summary["items"]
    );
    let warnings: Vec<&str> = lines.collect();
    match &warnings[..] {
        [] => Finding::good(subject, words),
        warnings => Finding::new(subject, Health::Doubtful, words).with_remedy(warnings.join("\n")),
    }
}
