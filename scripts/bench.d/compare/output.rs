//! How fast output goes through: of four children that print at once, of one with long lines, into a pipe and a file.

use std::fs::File;
use std::io;

use crate::bench::Bench;
use crate::measure::{Sample, run, run_into_pipe};
use crate::runner::{Runner, Task};
use crate::table::{Row, Unit};

/// Those that put a name before each line as it comes; rust-parallel holds what an item prints until the item ends.
const WHO: [Runner; 5] = [
    Runner::Floor,
    Runner::Orchestrate,
    Runner::Parallel,
    Runner::RustParallel,
    Runner::Concurrently,
];

pub(crate) fn rows(bench: &Bench) -> io::Result<Vec<Row>> {
    let megabytes = bench.either(256, 64);
    let mut rows = Vec::new();
    let shapes = [
        ("40-byte lines of 4 children", 40, 4),
        ("a build's lines of 4 children", crate::child::LOG, 4),
        ("1 MiB lines of one child", 1 << 20, 1),
    ];
    for (what, line_bytes, children) in shapes {
        let bytes = (megabytes << 20) / children;
        let argv = bench.child(&["print", &line_bytes.to_string(), &bytes.to_string()]);
        let task = Task {
            argv: &argv,
            items: children,
            at_once: 4,
        };
        for (place, into_file) in [("a pipe", false), ("a file", true)] {
            let samples = bench.rounds(&WHO, bench.either(7, 3), |it, folder| {
                let mut command = it.command(&task, folder)?;
                if !into_file {
                    return run_into_pipe(&mut command, &bench.interrupt);
                }
                command.stdout(File::create(folder.join("out"))?);
                run(&mut command, &bench.interrupt)
            })?;
            rows.extend(rows_of(
                bench,
                &format!("{what} into {place}"),
                megabytes << 20,
                &samples,
            ));
        }
    }
    Ok(rows)
}

fn rows_of(bench: &Bench, what: &str, bytes: usize, samples: &[(Runner, Vec<Sample>)]) -> [Row; 2] {
    let bytes = crate::float(bytes);
    [
        bench.row(what, Unit::Speed, samples, |it| {
            bytes / 1e6 / it.wall.as_secs_f64()
        }),
        bench.row("… CPU", Unit::SecondsAGigabyte, samples, |it| {
            it.cpu.as_secs_f64() / bytes * 1e9
        }),
    ]
}
