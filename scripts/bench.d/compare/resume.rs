//! A run again, when nothing is left to do.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::bench::Bench;
use crate::journal;
use crate::measure::run;
use crate::runner::{Found, Runner, Task};
use crate::table::{Row, Unit};

const WHO: [Runner; 4] = [
    Runner::Floor,
    Runner::Orchestrate,
    Runner::Parallel,
    Runner::Make,
];
const ITEMS: usize = 20_000;

pub(crate) fn rows(bench: &Bench) -> io::Result<Vec<Row>> {
    let samples = bench.rounds(&WHO, bench.either(9, 3), |it, folder| {
        run(&mut command(it, folder)?, &bench.interrupt)
    })?;
    let what = "nothing to do among 20,000 done items";
    Ok(vec![
        bench.row(what, Unit::Milliseconds, &samples, |it| {
            it.wall.as_secs_f64()
        }),
        bench.row("… CPU", Unit::Milliseconds, &samples, |it| {
            it.cpu.as_secs_f64()
        }),
    ])
}

/// A command that finds everything done. The floor counts the lines of our list and journal.
fn command(it: &Found, folder: &Path) -> io::Result<Command> {
    let argv = ["false".to_owned()];
    let task = Task {
        argv: &argv,
        items: ITEMS,
        at_once: 8,
    };
    let mut command = it.command(&task, folder)?;
    match it.runner {
        Runner::Floor => {
            journal::write(folder, ITEMS)?;
            let mut count = Command::new("wc");
            count
                .current_dir(folder)
                .stdout(std::process::Stdio::null());
            count.args(["-l", "items.txt", ".orchestrate/w/journal.jsonl"]);
            return Ok(count);
        }
        Runner::Orchestrate => journal::write(folder, ITEMS)?,
        Runner::Parallel => {
            let mut log = String::from(
                "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n",
            );
            for number in 1..=ITEMS {
                let line =
                    format!("{number}\t:\t1795392888.0\t0.001\t0\t0\t0\t0\tfalse item-{number}\n");
                log.write_str(&line).expect("a string takes everything");
            }
            fs::write(folder.join("joblog"), log)?;
            command = it.plain(folder);
            command.args([
                "--will-cite",
                "-j",
                "8",
                "--joblog",
                "joblog",
                "--resume",
                "false",
            ]);
            command.stdin(fs::File::open(folder.join("items.txt"))?);
        }
        // What is done is a file.
        _ => {
            let makefile = folder.join("Makefile");
            if let Ok(text) = fs::read_to_string(&makefile) {
                let named = text.lines().filter(|line| !line.starts_with(".PHONY"));
                fs::write(makefile, named.collect::<Vec<_>>().join("\n") + "\n")?;
            }
            (1..=ITEMS)
                .try_for_each(|number| fs::write(folder.join(format!("item-{number}")), ""))?;
        }
    }
    Ok(command)
}
