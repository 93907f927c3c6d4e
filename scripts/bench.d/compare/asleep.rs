//! Children that sleep: what a runner holds while they do, how often it wakes up, and how it stops them.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::bench::Bench;
use crate::family;
use crate::measure::{LIMIT, Started, now};
use crate::runner::{ALL, Found, Runner, Task};
use crate::table::{Cell, Row, Unit, median};

/// A runner that has not ended its children in that time never does; the grace of ours is a second.
const STOP_MAX: Duration = Duration::from_secs(4);

/// A runner whose children all sleep.
struct Asleep {
    runner: Started,
    /// Every child holds its other end.
    fifo: File,
    /// How long it took until all of them were there.
    after: Duration,
}

#[derive(Clone, Copy)]
enum How {
    Willing,
    Stubborn,
}

impl Asleep {
    fn start(
        bench: &Bench,
        it: &Found,
        folder: &Path,
        how: How,
        items: usize,
        at_once: usize,
    ) -> io::Result<Self> {
        let path = folder.join("fifo");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU)?;
        let mut fifo = File::options()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&path)?;
        let how = match how {
            How::Willing => "willing",
            How::Stubborn => "stubborn",
        };
        let argv = bench.child(&["sleep", &path.to_string_lossy(), how]);
        let task = Task {
            argv: &argv,
            items,
            at_once,
        };
        let mut command: Command = it.command(&task, folder)?;
        let began = now();
        let runner = Started::new(&mut command)?;
        let mut there = 0;
        while there < at_once {
            if !bench.interrupt.wait(fifo.as_fd(), LIMIT)? {
                family::end();
                let what = format!("{}: {there} of {at_once} start", it.runner.name());
                return Err(io::Error::other(what));
            }
            there += fifo.read(&mut [0; 1024])?;
        }
        Ok(Self {
            runner,
            fifo,
            after: began.elapsed(),
        })
    }

    /// The processes of the runner itself: all but the children, and the shells that start them.
    fn processes(&self, bench: &Bench) -> Vec<Pid> {
        let own = self.runner.pid();
        // What a shell takes is the same memory for all of them, and says nothing of who started it.
        let shells = ["/bin/sh", "/bin/bash"].map(|shell| fs::canonicalize(shell).ok());
        let counts = |pid: Pid| {
            let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
            exe.as_ref() != Some(&bench.own) && !shells.contains(&exe)
        };
        let mut members = family::members();
        members.retain(|pid| *pid == own || counts(*pid));
        members
    }

    fn peak_bytes(&self, bench: &Bench) -> f64 {
        let peaks = self.processes(bench).into_iter().map(family::peak_kib);
        crate::float(usize::try_from(peaks.sum::<u64>()).expect("less than everything")) * 1024.0
    }

    fn sleeps(&self, bench: &Bench) -> f64 {
        let sleeps = self.processes(bench).into_iter().map(family::sleeps);
        crate::float(usize::try_from(sleeps.sum::<u64>()).expect("a count"))
    }
}

/// Those that start all items at once: with a pool, starts are a quarter of a second apart until some have ended well.
fn at_once() -> Vec<Runner> {
    let mut who = ALL.to_vec();
    who.retain(|it| *it != Runner::Pooled);
    who
}

/// What queued and running items take of memory, and what the first of many waits for.
pub(crate) fn memory(bench: &Bench) -> io::Result<Vec<Row>> {
    let rounds = bench.either(5, 1);
    let mut many = ALL.to_vec();
    // Its items are arguments.
    many.retain(|it| *it != Runner::Concurrently);
    let at_once = at_once();
    let queued = bench.rounds(&many, rounds, |it, folder| {
        let asleep = Asleep::start(bench, it, folder, How::Willing, 100_000, 1)?;
        let sample = (asleep.after.as_secs_f64(), asleep.peak_bytes(bench));
        family::end();
        Ok(sample)
    })?;
    let running = bench.rounds(&at_once, rounds, |it, folder| {
        let asleep = Asleep::start(bench, it, folder, How::Willing, 500, 500)?;
        let peak = asleep.peak_bytes(bench);
        family::end();
        Ok(peak)
    })?;
    let first = "the first of 100,000 items has started after";
    Ok(vec![
        bench.row(first, Unit::Milliseconds, &queued, |it| it.0),
        bench.row(
            "memory with 100,000 items queued",
            Unit::Mebibytes,
            &queued,
            |it| it.1,
        ),
        bench.row(
            "memory with 500 items running",
            Unit::Mebibytes,
            &running,
            |it| *it,
        ),
    ])
}

/// How often a runner wakes up for nothing.
pub(crate) fn idle(bench: &Bench) -> io::Result<Vec<Row>> {
    let time = Duration::from_secs(if bench.quick { 1 } else { 5 });
    let samples = bench.rounds(&at_once(), 1, |it, folder| {
        let asleep = Asleep::start(bench, it, folder, How::Willing, 64, 64)?;
        // What the start has left to do is no idleness.
        bench.interrupt.pause(Duration::from_secs(1))?;
        let before = asleep.sleeps(bench);
        bench.interrupt.pause(time)?;
        let after = asleep.sleeps(bench);
        family::end();
        Ok((after - before) / time.as_secs_f64())
    })?;
    let what = "wake-ups with 64 silent children";
    Ok(vec![bench.row(what, Unit::ASecond, &samples, |it| *it)])
}

struct Stopped {
    time: Duration,
    ended: bool,
    left: usize,
}

/// How a runner that is told to stop, it alone, ends 64 children.
pub(crate) fn stop(bench: &Bench) -> io::Result<Vec<Row>> {
    let mut who = at_once();
    who.retain(|it| *it != Runner::Floor);
    let mut rows = Vec::new();
    let kinds = [
        (
            "stopped with 64 willing children",
            How::Willing,
            bench.either(5, 1),
        ),
        ("… that take no signal but SIGKILL", How::Stubborn, 1),
    ];
    for (what, how, rounds) in kinds {
        let samples = bench.rounds(&who, rounds, |it, folder| {
            stop_one(
                bench,
                Asleep::start(bench, it, folder, how, 64, 64)?,
                it.runner,
            )
        })?;
        let cell = |samples: &[Stopped]| {
            let times: Vec<f64> = samples.iter().map(|it| it.time.as_secs_f64()).collect();
            let left = samples.iter().map(|it| it.left).max();
            match (left, samples.iter().all(|it| it.ended)) {
                (None, _) => Cell::None,
                (Some(0), true) => median(&times).map_or(Cell::None, Cell::Value),
                (Some(left), true) => Cell::Text(format!("leaves {left}")),
                (Some(left), false) => Cell::Text(format!("never ends, {left} left")),
            }
        };
        rows.push(bench.row_of_cells(what, Unit::Milliseconds, &samples, cell));
    }
    Ok(rows)
}

fn stop_one(bench: &Bench, mut asleep: Asleep, runner: Runner) -> io::Result<Stopped> {
    // The first SIGINT lets running items end.
    let signal = match runner {
        Runner::Orchestrate => Signal::SIGTERM,
        _ => Signal::SIGINT,
    };
    let began = now();
    kill(asleep.runner.pid(), signal)?;
    let ended = asleep.runner.wait(&bench.interrupt, STOP_MAX)?.is_some();
    let gone = bench
        .interrupt
        .wait(asleep.fifo.as_fd(), Duration::from_millis(200))?;
    let time = began.elapsed();
    let exe = |pid: &Pid| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let left = family::members();
    let left = left
        .iter()
        .filter(|pid| exe(pid).as_ref() == Some(&bench.own))
        .count();
    family::end();
    Ok(Stopped {
        time,
        ended,
        left: if gone { 0 } else { left },
    })
}
