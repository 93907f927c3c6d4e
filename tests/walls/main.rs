//! Holds up the walls between the rooms of `src/` that no compiler and no lint checks: which file may reach for what.
//!
//! What a file says about itself is binding: one whose documentation says "Pure." (or, for a whole room, "Everything
//! here is pure"), or that the rules in `src/lib.rs` call pure, is held to it.

mod names;
mod sources;

use std::collections::BTreeMap;

use sources::{Source, sources};

/// What a pure file names neither itself nor below: tasks, files, processes, clocks, terminals, the network.
const OUTSIDE: &[&str] = &[
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "nix",
    "rustix",
    "signal_hook",
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net",
    "std::os::unix::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tempfile",
    "tokio",
    "ureq",
    "which",
];

/// What stands below [`OUTSIDE`] and is only data: tables and types, nothing that acts.
const DATA: &[&str] = &[
    "nix::sys::signal::Signal",
    "ureq::Error",
    "ureq::Proxy",
    "ureq::ProxyProtocol",
    "ureq::http",
];

/// The rooms that touch the world. Only the loop joins them.
const ROOMS: &[&str] = &[
    "child",
    "credential::coordinator",
    "credential::key_store",
    "credential::shared_store",
    "credential::source",
    "items",
    "output::log_file",
    "output::terminal",
    "state",
];

/// What is named in some places only.
const PLACES: &[(&[&str], &[&str])] = &[
    (
        &["child::process", "child::kin", "child::guard"],
        &[
            "nix::sys::signal::kill",
            "nix::sys::signal::killpg",
            "rustix::process::kill_process",
            "rustix::process::kill_process_group",
            "rustix::process::pidfd_send_signal",
        ],
    ),
    // Who forks may have no thread.
    (&["child::guard"], &["fork::fork"]),
    // `main` hands the two descriptors on, and writes only when there is no terminal thread.
    (&["output", "main"], &["std::io::stdout", "std::io::stderr"]),
    (&["run", "main", "lib"], &["crate::run"]),
];

/// The text that only the room of the state spells: who else names the journal's file would open it.
const JOURNAL: &str = "journal.jsonl";

#[test]
fn a_file_that_calls_itself_pure_names_nothing_outside() {
    let sources = sources();
    let pure = pure(&sources);
    assert!(pure.len() > 20, "only {pure:?} are pure");
    let mut broken = Vec::new();
    for module in pure {
        let outside = sources[module].paths.iter().filter(|it| is_outside(it));
        broken.extend(outside.map(|path| format!("{module} is pure, and names {path}")));
    }
    assert_none(&broken);
}

#[test]
fn rooms_and_pure_files_do_not_import_what_touches_the_world_in_another_room() {
    let sources = sources();
    let pure = pure(&sources);
    let mut broken = Vec::new();
    for (module, source) in &sources {
        let folder = module.split("::").next().filter(|_| pure.contains(&module));
        let Some(home) = room(module).or(folder) else {
            continue;
        };
        for path in &source.paths {
            let Some(ours) = path.strip_prefix("crate::") else {
                continue;
            };
            let touches = imported(&sources, ours).is_some_and(touches_the_world);
            if touches && !within(ours, home) && room(ours).is_some() {
                broken.push(format!("{module} imports {path}"));
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn the_scheduler_imports_no_other_room() {
    let mut broken = Vec::new();
    for (module, source) in sources() {
        let imports = source.paths.iter().filter(|it| within(it, "crate"));
        let others =
            imports.filter(|it| within(&module, "schedule") && !within(it, "crate::schedule"));
        broken.extend(others.map(|path| format!("{module} imports {path}")));
    }
    assert_none(&broken);
}

#[test]
fn signals_output_the_loop_and_the_journal_have_one_place_each() {
    let mut broken = Vec::new();
    for (module, source) in sources() {
        for (places, theirs) in PLACES {
            let named = source.paths.iter().filter(|path| any_within(path, theirs));
            let elsewhere = named.filter(|_| !any_within(&module, places));
            broken.extend(elsewhere.map(|path| format!("{module} names {path}: {places:?} does")));
        }
        let spelled = source.literals.iter().any(|it| it.contains(JOURNAL));
        if spelled && !within(&module, "state") {
            broken.push(format!("{module} names {JOURNAL}"));
        }
    }
    assert_none(&broken);
}

fn assert_none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// Whether `path` is `prefix` or stands below it.
fn within(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn any_within(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| within(path, prefix))
}

fn is_outside(path: &str) -> bool {
    any_within(path, OUTSIDE) && !any_within(path, DATA)
}

fn touches_the_world(source: &Source) -> bool {
    source.paths.iter().any(|path| is_outside(path))
}

fn room(module: &str) -> Option<&'static str> {
    ROOMS.iter().copied().find(|room| within(module, room))
}

/// The module in which what `path` names is found.
fn imported<'a>(sources: &'a BTreeMap<String, Source>, path: &str) -> Option<&'a Source> {
    let mut path = path;
    loop {
        if let Some(source) = sources.get(path) {
            return Some(source);
        }
        path = path.rsplit_once("::")?.0;
    }
}

/// The modules that say that they are pure, or of which `src/lib.rs` says it.
fn pure(sources: &BTreeMap<String, Source>) -> Vec<&String> {
    let rules = &sources["lib"].documentation;
    let list = rules.split_once("Files that decide (");
    let list = list.expect("the list of pure files in src/lib.rs").1;
    let list = list.split(')').next().unwrap_or_default();
    let words = list.split(['[', '`', ']', ',', ' ']);
    let mut whole: Vec<&str> = words.filter(|it| !it.is_empty()).collect();
    for (module, source) in sources {
        if source.documentation.contains("Everything here is pure") {
            whole.push(module);
        }
    }
    for module in &whole {
        assert!(
            sources.contains_key(*module),
            "src/lib.rs names {module}, which is not there"
        );
    }
    let says_so = |source: &Source| {
        let says = |words| source.documentation.contains(words);
        says("Pure.") || says("Pure:")
    };
    let pure = sources
        .iter()
        .filter(|(module, source)| says_so(source) || any_within(module, &whole));
    pure.map(|(module, _)| module).collect()
}
