//! `compare`: what running items costs, side by side with what people use for it today, as Markdown, for `scripts/bench`.
//!
//! It is also the children of the workloads, and the floor that all are measured against.

mod asleep;
mod bench;
mod child;
mod cost;
mod delay;
mod family;
mod floor;
mod items;
mod journal;
mod machine;
mod masking;
mod measure;
mod output;
mod resume;
mod runner;
mod slow_disk;
mod table;
mod text;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bench::Bench;
use signal_hook::low_level::emulate_default_handler;
use table::Row;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let signal = Arc::<AtomicUsize>::default();
    let done = match words.first().map(String::as_str) {
        Some("floor") => floor::run(&words[1..]),
        Some("child") => child::run(&words[1..]),
        _ => compare(&words, &signal),
    };
    if let number @ 1.. = signal.load(Ordering::Relaxed) {
        // It does not return.
        let _died = emulate_default_handler(i32::try_from(number).expect("a signal"));
    }
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody_listens = note(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// `[--quick] ORCHESTRATE PEERS SCRATCH [THEME…]`
fn compare(words: &[String], signal: &Arc<AtomicUsize>) -> io::Result<()> {
    let (options, words): (Vec<_>, Vec<_>) = words.iter().partition(|word| word.starts_with("--"));
    let [orchestrate, peers, scratch, themes @ ..] = &words[..] else {
        return Err(io::Error::other(
            "usage: compare [--quick] ORCHESTRATE PEERS SCRATCH [THEME…]",
        ));
    };
    nix::sys::prctl::set_child_subreaper(true)?;
    let interrupt = measure::Interrupt::new(signal)?;
    let scratch = tempfile::Builder::new()
        .prefix("orchestrate-bench.")
        .tempdir_in(scratch)?;
    let (runners, missing) = runner::find(Path::new(orchestrate), Path::new(peers))?;
    let bench = Bench {
        runners,
        interrupt,
        quick: options.iter().any(|it| *it == "--quick"),
        own: std::env::current_exe()?,
        scratch,
    };
    let _before_the_folder_goes = family::Ended;
    say(&machine::line(&bench)?)?;
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|it| it.name()).collect();
        say(&format!("Not here: {}.\n", names.join(", ")))?;
    }
    let names: Vec<&str> = bench.others().map(runner::Runner::name).collect();
    for theme in THEMES {
        if !themes.is_empty() && !themes.iter().any(|it| *it == theme.name) {
            continue;
        }
        let mut rows = Vec::new();
        for part in theme.parts {
            rows.extend(part(&bench)?);
        }
        let table = if theme.name == "cost" {
            table::markdown(table::HEAD_OF_COST, &[], &rows)
        } else {
            table::markdown(table::HEAD, &names, &rows)
        };
        say(&format!("\n{}\n\n{table}", theme.title))?;
    }
    Ok(())
}

type Part = fn(&Bench) -> io::Result<Vec<Row>>;

/// What makes a table.
struct Theme {
    name: &'static str,
    title: &'static str,
    parts: &'static [Part],
}

const THEMES: &[Theme] = &[
    Theme {
        name: "items",
        title: "What a runner takes for an item:",
        parts: &[items::rows],
    },
    Theme {
        name: "output",
        title: "How fast output goes through, each line with its item in front (rust-parallel puts none there):",
        parts: &[output::rows, delay::rows],
    },
    Theme {
        name: "many",
        title: "Many items, waiting, running, done, stopped by a signal to the runner alone:",
        parts: &[asleep::memory, resume::rows, asleep::idle, asleep::stop],
    },
    Theme {
        name: "cost",
        title: "What parts of orchestrate cost:",
        parts: &[cost::rows],
    },
];

fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// What is no result.
fn note(what: &str) -> io::Result<()> {
    writeln!(io::stderr(), "bench: {what}")
}

/// For ratios of small counts.
fn float(number: usize) -> f64 {
    f64::from(u32::try_from(number).expect("a small count"))
}
