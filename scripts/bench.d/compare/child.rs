//! `compare child …`: what the items of the workloads do: print lines, sleep, print what time it is.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use nix::sys::signal::SigSet;
use rustix::time::{ClockId, clock_gettime};

/// Lines of this many bytes are what a build prints, in place of lines that are all alike.
pub(crate) const LOG: usize = 0;

const WRITTEN_BYTES: usize = 64 * 1024;

pub(crate) fn run(words: &[String]) -> io::Result<()> {
    let number = |word: &String| word.parse::<usize>().map_err(io::Error::other);
    match (words[0].as_str(), &words[1..]) {
        ("print", [line_bytes, bytes, ..]) => print(number(line_bytes)?, number(bytes)?),
        ("sleep", [fifo, how, ..]) => sleep(fifo, how == "stubborn"),
        ("clock", [lines, pause_us, ..]) => clock(number(lines)?, number(pause_us)? as u64),
        _ => Err(io::Error::other("no such child")),
    }
}

/// Prints `bytes` bytes, in lines of `line_bytes`.
fn print(line_bytes: usize, bytes: usize) -> io::Result<()> {
    let text = if line_bytes == LOG {
        crate::text::log(4 << 20)
    } else {
        let mut line = vec![b'x'; line_bytes - 1];
        line.push(b'\n');
        line.repeat((1 << 20) / line_bytes)
    };
    let mut stdout = File::from(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?);
    for _ in 0..bytes.div_ceil(text.len()) {
        for block in text.chunks(WRITTEN_BYTES) {
            stdout.write_all(block)?;
        }
    }
    Ok(())
}

/// Says in the FIFO that it is there, and holds it open until it is killed. Who is stubborn takes no signal but SIGKILL.
fn sleep(fifo: &str, stubborn: bool) -> io::Result<()> {
    let signals = if stubborn {
        SigSet::all()
    } else {
        SigSet::empty()
    };
    signals.thread_set_mask()?;
    let mut fifo = File::options().append(true).open(fifo)?;
    fifo.write_all(b"x")?;
    loop {
        std::thread::park();
    }
}

/// Prints the time, in nanoseconds of the monotonic clock, once in a while.
fn clock(lines: usize, pause_us: u64) -> io::Result<()> {
    let mut stdout = io::stdout();
    for _ in 0..lines {
        std::thread::sleep(Duration::from_micros(pause_us));
        writeln!(stdout, "{}", now_ns())?;
    }
    Ok(())
}

/// What all processes of the machine agree on.
pub(crate) fn now_ns() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
