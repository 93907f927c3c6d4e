//! What `orchestrate` has written below `.orchestrate/`, read with nothing of its own code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One record of a journal, by what it says: its number changes when the journal is copied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Recorded {
    /// The workflow whose journal it is.
    pub(crate) workflow: String,
    /// The item.
    pub(crate) item: String,
    /// Its outcome.
    pub(crate) outcome: String,
    /// The run.
    pub(crate) run: String,
    /// The label of the credential.
    pub(crate) credential: Option<String>,
}

/// Every record of an end in every journal below `root`.
pub(crate) fn records(root: &Path) -> Vec<Recorded> {
    let mut records = all_records(root);
    records.retain(|record| !["started", "withdrawn"].contains(&record.outcome.as_str()));
    records
}

/// Every record of every journal below `root`, those of beginnings included.
pub(crate) fn all_records(root: &Path) -> Vec<Recorded> {
    let mut all = Vec::new();
    for directory in directories(&root.join(".orchestrate")) {
        let Ok(text) = fs::read_to_string(directory.join("journal.jsonl")) else {
            continue;
        };
        let workflow = name(&directory);
        // A line without its end was being written when its writer was killed.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().skip(1).map(parse);
        for (number, line) in (1_u64..).zip(lines) {
            assert_eq!(line["seq"], number, "{}: {line}", directory.display());
            all.push(record(&workflow, &line));
        }
    }
    all
}

/// The names of all runs.
pub(crate) fn runs(root: &Path) -> BTreeSet<String> {
    let runs = directories(&root.join(".orchestrate/runs"));
    runs.iter().map(|run| name(run)).collect()
}

/// The `run.json` of a run.
pub(crate) fn run_record(root: &Path, run: &str) -> Value {
    let path = record_path(root, run);
    let text = fs::read_to_string(&path);
    let record = parse(&text.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    assert_eq!(record["format"], "orchestrate-run");
    assert_eq!(record["version"], 1);
    assert_eq!(record["run"], run);
    record
}

fn record_path(root: &Path, run: &str) -> PathBuf {
    root.join(".orchestrate/runs").join(run).join("run.json")
}

/// Everything in which a `run.json` and the journals differ.
pub(crate) fn disagreements(root: &Path) -> Vec<String> {
    let records = records(root);
    let mut found = Vec::new();
    for run in runs(root) {
        // Whoever is killed between making the folder and writing that has started nothing yet.
        let has_record = record_path(root, &run).exists();
        let record = has_record.then(|| run_record(root, &run));
        // A run that was killed has not said how its items ended.
        let Some(record) = record.filter(|record| !record["ended"].is_null()) else {
            assert!(has_record || records.iter().all(|record| record.run != run));
            continue;
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = record["items"].as_array().into_iter().flatten();
        // An item for which no process was started has nothing that could be recorded.
        let attempted = items.filter(|item| item["attempts"].is_array());
        let told: BTreeMap<String, String> = attempted
            .filter(|item| item["state"] == "ended")
            .map(|item| (text(&item["id"]), text(&item["outcome"])))
            .collect();
        // Of several attempts the last one counts.
        let recorded: BTreeMap<String, String> = records
            .iter()
            .filter(|record| record.run == run)
            .map(|record| (record.item.clone(), record.outcome.clone()))
            .collect();
        if told != recorded {
            found.push(format!(
                "run.json of {run} says {told:?}, the journal {recorded:?}"
            ));
        }
    }
    found
}

/// The directories in `path`, links to some left out.
fn directories(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let entries = entries.filter_map(Result::ok);
    let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut found: Vec<PathBuf> = entries
        .filter(is_directory)
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn record(workflow: &str, line: &Value) -> Recorded {
    let text = |field: &str| line[field].as_str().map(str::to_owned);
    let required = |field: &str| text(field).unwrap_or_else(|| panic!("no {field} in {line}"));
    Recorded {
        workflow: workflow.to_owned(),
        item: required("item"),
        outcome: required("outcome"),
        run: required("run"),
        credential: text("credential"),
    }
}
