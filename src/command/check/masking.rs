//! Made-up keys, given away in every form by a made-up item, must show nowhere.
//!
//! The item is run by this program as any other, in a workspace of its own, and everything that comes of it is searched.
//! The search knows nothing of how keys are masked.

use std::fs;
use std::io;
use std::path::Path;

use memchr::memmem;
use tempfile::TempDir;

use super::broken;
use super::canary::{Form, VARIABLE, forms, keys};
use super::ourselves::Ourselves;
use crate::error::Result;
use crate::report::checklist::{Finding, Health};
use crate::surroundings::Surroundings;

const SUBJECT: &str = "masking";
const POOL_VARIABLE: &str = "CANARY_KEYS";
const ITEM: &str = "canary";
const KEYS: &str = "keys";

/// Something that may not hold a key.
struct Sink {
    name: String,
    bytes: Vec<u8>,
}

/// Runs the item, and searches what comes of it.
pub(super) fn look(surroundings: &Surroundings, ourselves: &Ourselves) -> Result<Finding> {
    let keys = keys()?;
    // Only we can look into it, and it goes when we do.
    let scratch = TempDir::new().map_err(|error| broken(&std::env::temp_dir(), &error))?;
    let workspace = scratch.path().join("workspace");
    prepare(ourselves, &workspace, &keys).map_err(|error| broken(&workspace, &error))?;
    let sinks = sinks(surroundings, ourselves, &workspace, &keys)?;
    let forms = forms(&keys);
    let shown = shown(&forms, &sinks);
    let names: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
    let sang = sinks
        .iter()
        .filter(|sink| holds(&sink.bytes, b"my own is "));
    if sang.count() < 3 {
        let words = "the item that gives made-up keys away did not run, so nothing was proved";
        let said = sinks.iter().find(|sink| sink.name == "stderr");
        let said = said.map(|said| String::from_utf8_lossy(&said.bytes).into_owned());
        let finding = Finding::new(SUBJECT, Health::Bad, words);
        return Ok(finding.with_remedy(said.unwrap_or_default()));
    }
    Ok(if shown.is_empty() {
        let (forms, names) = (forms.len(), names.join(", "));
        let words = format!(
            "{forms} made-up keys, each given away in another form, show in none of: {names}"
        );
        Finding::good(SUBJECT, words)
    } else {
        let words = format!("made-up keys show: {}", shown.join("; "));
        let remedy = "this is a fault of orchestrate: please report it, and use no real key until it is mended";
        Finding::new(SUBJECT, Health::Bad, words).with_remedy(remedy)
    })
}

/// `base64 (run.json, logs)`, and so on.
fn shown(forms: &[Form], sinks: &[Sink]) -> Vec<String> {
    let plain: Vec<Vec<u8>> = sinks
        .iter()
        .map(|sink| without_escapes(&sink.bytes))
        .collect();
    let shows = |form: &Form| {
        let holding = sinks.iter().zip(&plain).filter(|(sink, plain)| {
            let is_there = |trace: &Vec<u8>| holds(&sink.bytes, trace) || holds(plain, trace);
            form.traces.iter().any(is_there)
        });
        let names: Vec<&str> = holding.map(|(sink, _)| sink.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{} ({})", form.name, names.join(", ")))
    };
    forms.iter().filter_map(shows).collect()
}

fn holds(text: &[u8], needle: &[u8]) -> bool {
    memmem::find(text, needle).is_some()
}

/// What a person reads: without escape sequences, controls and characters of no width.
pub(super) fn without_escapes(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => match rest.next() {
                Some('[') => {
                    let _parameters = rest.find(|&it| ('@'..='~').contains(&it));
                }
                Some(']') => {
                    let _text = rest.find(|&it| matches!(it, '\u{7}' | '\u{1b}' | '\n'));
                }
                Some(_) | None => {}
            },
            '\u{200b}' => {}
            '\n' => plain.push('\n'),
            it if it.is_control() => {}
            it => plain.push(it),
        }
    }
    plain.into_bytes()
}

fn prepare(ourselves: &Ourselves, workspace: &Path, keys: &[String]) -> io::Result<()> {
    fs::create_dir(workspace)?;
    fs::write(workspace.join("orchestrate.toml"), configuration(ourselves))?;
    let item = serde_json::json!({ "id": ITEM, "title": format!("a title with {}", keys[0]) });
    fs::write(workspace.join(KEYS), keys.join("\n"))?;
    fs::write(workspace.join("items.jsonl"), format!("{item}\n"))
}

/// Everything that a run of the item says and keeps.
fn sinks(
    surroundings: &Surroundings,
    ourselves: &Ourselves,
    workspace: &Path,
    keys: &[String],
) -> Result<Vec<Sink>> {
    let run = |name: &str, arguments: &[&str], sinks: &mut Vec<Sink>| -> Result<()> {
        let mut command = ourselves.command(surroundings);
        for variable in surroundings.environment.keys() {
            if variable.to_string_lossy().starts_with("ORCHESTRATE_") {
                command.env_remove(variable);
            }
        }
        command
            .env(POOL_VARIABLE, keys.join("\n"))
            .env("XDG_STATE_HOME", workspace.join("home"))
            .arg("-C")
            .arg(workspace)
            .args(arguments);
        let output = ourselves.finish(&mut command)?;
        for (stream, bytes) in [("", output.stdout), (" (stderr)", output.stderr)] {
            let name = match stream {
                "" => name.to_owned(),
                _ if name == "stdout" => "stderr".to_owned(),
                _ => format!("{name}{stream}"),
            };
            sinks.push(Sink { name, bytes });
        }
        Ok(())
    };
    let mut sinks = Vec::new();
    let colour = ["--parallel", "1", "--verbose", "--color", "always", ITEM];
    run("stdout", &colour, &mut sinks)?;
    let json = ["--parallel", "1", "--format", "json", ITEM];
    run("JSON", &json, &mut sinks)?;
    run("status", &["status"], &mut sinks)?;
    run("logs", &["logs", ITEM], &mut sinks)?;
    run("keys", &["keys"], &mut sinks)?;
    for directory in [".orchestrate", "home"].map(|name| workspace.join(name)) {
        add_files(&directory, &mut sinks).map_err(|error| broken(&directory, &error))?;
    }
    sinks.retain(|sink| !sink.bytes.is_empty());
    Ok(sinks)
}

/// Every file below a directory; links lead to others of them.
fn add_files(directory: &Path, sinks: &mut Vec<Sink>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            add_files(&entry.path(), sinks)?;
        } else if kind.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let bytes = fs::read(entry.path())?;
            match sinks.iter_mut().find(|sink| sink.name == name) {
                Some(known) => known.bytes.extend(bytes),
                None => sinks.push(Sink { name, bytes }),
            }
        }
    }
    Ok(())
}

fn configuration(ourselves: &Ourselves) -> String {
    let program = toml_string(&ourselves.path().to_string_lossy());
    format!(
        "allow-network-state = true\n\
         [workflow.{ITEM}]\n\
         command = [{program}, \"check\", \"--canary\", \"{KEYS}\", \"{{title}}\"]\n\
         items = {{ list = \"items.jsonl\" }}\n\
         credentials = {{ pool = {{ env = \"{POOL_VARIABLE}\" }}, inject = \"{VARIABLE}\" }}\n"
    )
}

/// A path as TOML and the template read it.
fn toml_string(text: &str) -> String {
    let literal = text.replace('{', "{{").replace('}', "}}");
    serde_json::Value::from(literal).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(text: &str) -> Sink {
        Sink {
            name: "log".to_owned(),
            bytes: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn what_shows_is_found_in_any_form_and_what_is_masked_is_not() {
        let forms = forms(&keys().unwrap());
        for form in &forms {
            let given = shown(&forms, &[sink(&format!("[a] {}\n", form.text))]);
            assert_eq!(given, [format!("{} (log)", form.name)]);
        }
        assert!(shown(&forms, &[sink("[a] [REDACTED:key-1]\n")]).is_empty());
    }

    #[test]
    fn a_person_reads_no_escape_sequences() {
        let text = "a\u{1b}[1;32mb\u{1b}]8;;x\u{7}c\u{200b}d\re\nf";
        assert_eq!(without_escapes(text.as_bytes()), b"abcde\nf");
    }
}
