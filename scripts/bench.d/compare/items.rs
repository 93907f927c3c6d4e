//! What a runner costs an item: starting up for a single one, and each of many.

use std::io;

use crate::bench::{Bench, static_child};
use crate::measure::run;
use crate::runner::{ALL, Runner, Task};
use crate::table::Row;

pub(crate) fn rows(bench: &Bench) -> io::Result<Vec<Row>> {
    let at = which::which("true").map_err(io::Error::other)?;
    let at = vec![at.to_string_lossy().into_owned()];
    let one = Task {
        argv: &at,
        items: 1,
        at_once: 2,
    };
    let samples = bench.rounds(&ALL, bench.either(31, 7), |it, folder| {
        run(&mut it.command(&one, folder)?, &bench.interrupt)
    })?;
    let mut rows = Vec::from(bench.rows_of_items("start-up with one item", 1, &samples));

    let mut kinds = vec![("`true`", at)];
    match static_child(bench.scratch.path()) {
        Ok(program) => kinds.push(("static child", vec![program.to_string_lossy().into_owned()])),
        Err(error) => crate::note(&format!("no static child: {error}"))?,
    }
    let items = bench.either(2000, 500);
    for (what, argv) in &kinds {
        for at_once in [8, 2, 64] {
            let task = Task {
                argv,
                items,
                at_once,
            };
            // Where it has to be quick, those that take long are met once.
            let who = ALL.into_iter().filter(|it| {
                !bench.quick
                    || at_once == 8
                    || !it.is_slow() && !matches!(it, Runner::Make | Runner::Ninja)
            });
            let who: Vec<Runner> = who.collect();
            let samples = bench.rounds(&who, bench.either(7, 3), |it, folder| {
                run(&mut it.command(&task, folder)?, &bench.interrupt)
            })?;
            let what = format!("an item, {what}, {at_once} at once");
            rows.extend(bench.rows_of_items(&what, items, &samples));
        }
    }
    Ok(rows)
}
