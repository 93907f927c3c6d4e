//! What parts of orchestrate cost: each with it and without it, in turn.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::bench::{Bench, static_child};
use crate::measure::{Sample, run, run_into_pipe};
use crate::runner::{Keys, Task, workspace};
use crate::table::{Cell, Row, Unit, median};
use crate::{child, journal, masking, slow_disk};

pub(crate) fn rows(bench: &Bench) -> io::Result<Vec<Row>> {
    let mut rows = items(bench)?;
    rows.extend(output(bench)?);
    rows.extend(masking::rows(bench)?);
    rows.extend(state(bench)?);
    Ok(rows)
}

/// The journal and the pool, for each of many short items.
fn items(bench: &Bench) -> io::Result<Vec<Row>> {
    let items = bench.either(2000, 1000);
    let rounds = bench.either(9, 3);
    let argv = [static_child(bench.scratch.path())?
        .to_string_lossy()
        .into_owned()];
    let task = Task {
        argv: &argv,
        items,
        at_once: 8,
    };
    let share = |time: std::time::Duration| time.as_secs_f64() / crate::float(items);
    let with = |folder: &Path| run(&mut bench.ours().command(&task, folder)?, &bench.interrupt);
    let mut rows = Vec::new();
    let memory = tempfile::Builder::new()
        .prefix("orchestrate-bench.")
        .tempdir_in("/dev/shm");
    if let Ok(memory) = memory {
        let pairs = pairs(bench, rounds, |_| with(&subfolder(memory.path())?), with)?;
        let what = "an item with its state on a disk, against memory";
        rows.push(row(what, Unit::Milliseconds, &pairs, |it| share(it.wall)));
        rows.push(row("… CPU", Unit::Milliseconds, &pairs, |it| {
            share(it.cpu)
        }));
    }
    if slow_disk::can_be_had() {
        let on = |folder: &Path, disk| {
            let mut command = bench.ours().command(&task, folder)?;
            slow_disk::run(&mut command, &bench.interrupt, disk)
        };
        let none = |folder: &Path| on(folder, slow_disk::NONE);
        let slow = |folder: &Path| on(folder, slow_disk::SLOW);
        let what = "an item on a disk whose fsync takes 20 ms, against one that takes none";
        match pairs(bench, rounds, none, slow) {
            Ok(pairs) => rows.push(row(what, Unit::Milliseconds, &pairs, |it| share(it.wall))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => crate::note(&format!("left out: {what}: {error}"))?,
        }
    }
    let pooled = |folder: &Path| {
        let mut command = bench.ours().command(&task, folder)?;
        workspace(&mut command, folder, &argv, Keys::Pool)?;
        run(&mut command, &bench.interrupt)
    };
    let pairs = pairs(bench, rounds, with, pooled)?;
    let what = "an item with a key of a pool, against none";
    rows.push(row(what, Unit::Milliseconds, &pairs, |it| share(it.wall)));
    rows.push(row("… CPU", Unit::Milliseconds, &pairs, |it| {
        share(it.cpu)
    }));
    Ok(rows)
}

fn subfolder(folder: &Path) -> io::Result<std::path::PathBuf> {
    let inner = folder.join("w");
    if inner.exists() {
        fs::remove_dir_all(&inner)?;
    }
    fs::create_dir(&inner)?;
    Ok(inner)
}

/// CPU of the whole tree for each gigabyte of what a build prints.
fn output(bench: &Bench) -> io::Result<Vec<Row>> {
    let bytes = bench.either(256, 64) << 20;
    let argv = bench.child(&["print", &child::LOG.to_string(), &(bytes / 4).to_string()]);
    let task = Task {
        argv: &argv,
        items: 4,
        at_once: 4,
    };
    let per_gigabyte = |it: &Sample| it.cpu.as_secs_f64() / crate::float(bytes) * 1e9;
    let with =
        |folder: &Path| run_into_pipe(&mut bench.ours().command(&task, folder)?, &bench.interrupt);
    let kinds = [
        (
            "a build's lines, ten keys and unknown ones masked, against none",
            Keys::None,
            true,
        ),
        ("… against ten keys alone", Keys::Variables, true),
        ("… against unknown ones alone", Keys::None, false),
    ];
    let mut rows = Vec::new();
    for (what, keys, shapes) in kinds {
        let without = |folder: &Path| {
            let mut command = bench.ours().command(&task, folder)?;
            workspace(&mut command, folder, &argv, keys)?;
            command.args(shapes.then_some("--no-shape-mask"));
            run_into_pipe(&mut command, &bench.interrupt)
        };
        let pairs = pairs(bench, bench.either(7, 3), without, with)?;
        rows.push(row(
            &format!("{what}, CPU"),
            Unit::SecondsAGigabyte,
            &pairs,
            per_gigabyte,
        ));
    }
    let hidden = |folder: &Path| {
        let mut command = bench.ours().command(&task, folder)?;
        run_into_pipe(command.args(["--output", "none"]), &bench.interrupt)
    };
    let pairs = pairs(bench, bench.either(7, 3), hidden, with)?;
    let what = "… logged and shown, against logged alone, CPU";
    rows.push(row(what, Unit::SecondsAGigabyte, &pairs, per_gigabyte));
    Ok(rows)
}

/// What grows with the state, each against a program that reads as much.
fn state(bench: &Bench) -> io::Result<Vec<Row>> {
    let wall = |it: &Sample| it.wall.as_secs_f64();
    let folder = bench.folder()?;
    let folder = folder.path();
    let items = bench.either(500_000, 50_000);
    let argv = ["false".to_owned()];
    let task = Task {
        argv: &argv,
        items,
        at_once: 1,
    };
    drop(bench.ours().command(&task, folder)?);
    journal::write(folder, items)?;
    let path = ".orchestrate/w/journal.jsonl";
    let ours = |words: &[&str]| {
        let mut command = bench.ours().plain(folder);
        command.args(words);
        command
    };
    let theirs = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .current_dir(folder)
            .stdout(std::process::Stdio::null());
        command
    };
    let (few, many) = (bench.either(5, 2), bench.either(41, 7));
    let kinds: [(&str, usize, &[&str], &[&str]); 3] = [
        (
            "`--version`, against `true`",
            many,
            &["true"],
            &["--version"],
        ),
        (
            "`journal verify`, against `cksum`",
            few,
            &["cksum", path],
            &["journal", "verify", "w"],
        ),
        (
            "a run again, all done, against `wc -l`",
            few,
            &["wc", "-l", "items.txt", path],
            &["-j", "1", "w"],
        ),
    ];
    let mut rows = Vec::new();
    for (what, rounds, without, with) in kinds {
        let without = |_: &Path| run(&mut theirs(without), &bench.interrupt);
        let with = |_: &Path| run(&mut ours(with), &bench.interrupt);
        let pairs = pairs(bench, rounds, without, with)?;
        let what = what.replace(", against", &format!(" ({items} items), against"));
        let what = what.replace(&format!("`--version` ({items} items)"), "`--version`");
        rows.push(row(&what, Unit::Milliseconds, &pairs, wall));
    }
    Ok(rows)
}

/// Without and with, in turn.
fn pairs(
    bench: &Bench,
    rounds: usize,
    without: impl Fn(&Path) -> io::Result<Sample>,
    with: impl Fn(&Path) -> io::Result<Sample>,
) -> io::Result<[Vec<Sample>; 2]> {
    let mut pairs = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        pairs[0].push(bench.in_a_folder(&without)?);
        pairs[1].push(bench.in_a_folder(&with)?);
    }
    Ok(pairs)
}

fn row(what: &str, unit: Unit, pairs: &[Vec<Sample>; 2], number: impl Fn(&Sample) -> f64) -> Row {
    let cell = |samples: &[Sample]| {
        let numbers: Vec<f64> = samples.iter().map(&number).collect();
        median(&numbers).map_or(Cell::None, Cell::Value)
    };
    Row {
        what: what.to_owned(),
        unit,
        floor: cell(&pairs[0]),
        ours: cell(&pairs[1]),
        others: Vec::new(),
    }
}
