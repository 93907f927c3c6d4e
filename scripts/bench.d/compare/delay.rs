//! How long a line of a child takes to come out in front, on a machine that is idle.

use std::io;
use std::process::Stdio;

use crate::bench::Bench;
use crate::child::now_ns;
use crate::measure::run;
use crate::runner::{Runner, Task};
use crate::table::{Row, Unit, quantile};

const WHO: [Runner; 4] = [
    Runner::Floor,
    Runner::Orchestrate,
    Runner::Parallel,
    Runner::Concurrently,
];

pub(crate) fn rows(bench: &Bench) -> io::Result<Vec<Row>> {
    let lines = bench.either(1000, 300).to_string();
    let argv = bench.child(&["clock", &lines, "4000"]);
    let task = Task {
        argv: &argv,
        items: 1,
        at_once: 2,
    };
    let samples = bench.rounds(&WHO, bench.either(3, 1), |it, folder| {
        let (reader, writer) = io::pipe()?;
        let mut command = it.command(&task, folder)?;
        command.stdout(Stdio::from(writer));
        let reading = std::thread::spawn(move || delays(reader));
        let ran = run(&mut command, &bench.interrupt);
        // Ours was the last writing end.
        drop(command);
        let delays = reading.join().expect("no panic")?;
        ran.map(|_| delays)
    })?;
    let part =
        |percent| move |delays: &Vec<f64>| quantile(delays, percent).unwrap_or(f64::INFINITY);
    Ok(vec![
        bench.row(
            "a line comes out after (median)",
            Unit::Milliseconds,
            &samples,
            part(50),
        ),
        bench.row("… 99 of 100 lines", Unit::Milliseconds, &samples, part(99)),
    ])
}

/// In seconds, of each line that ends in a time.
fn delays(mut reader: impl io::Read) -> io::Result<Vec<f64>> {
    let mut delays = Vec::new();
    let mut text = Vec::new();
    let mut block = vec![0; 64 * 1024];
    loop {
        let bytes = reader.read(&mut block)?;
        let now = now_ns();
        if bytes == 0 {
            return Ok(delays);
        }
        text.extend_from_slice(&block[..bytes]);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let last = line
                .trim_end()
                .rsplit(|it: char| !it.is_ascii_digit())
                .next();
            // Other lines tell how it goes, not the time.
            if let Some(then) = last.and_then(|it| it.parse::<i64>().ok())
                && let Ok(passed) = u64::try_from(now - then)
                && passed < 60_000_000_000
            {
                delays.push(std::time::Duration::from_nanos(passed).as_secs_f64());
            }
        }
    }
}
