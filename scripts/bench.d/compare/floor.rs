//! `compare floor N PROGRAM ARG…`: the least that a runner can do which captures output: it starts the program for each
//! item of stdin, up to N at once, reads two pipes a child to their end, and writes whole lines with a mark in front.
//!
//! Up to eight threads start children, for vfork stops its caller until the child has become another program. There is
//! no log, no journal, no masking and nobody who stops anything: what is slower than this pays for what it does more.

use std::fs::File;
use std::io::{self, BufRead as _, PipeReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};

use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const THREADS_MAX: usize = 8;
const BLOCK_BYTES: usize = 256 * 1024;
const PIPE_BYTES: i32 = 1 << 20;

pub(crate) fn run(words: &[String]) -> io::Result<()> {
    let at_once: usize = words[0].parse().map_err(io::Error::other)?;
    let (sender, items) = mpsc::channel();
    for item in io::stdin().lock().lines() {
        sender.send(item?).map_err(io::Error::other)?;
    }
    drop(sender);
    let items = Mutex::new(items);
    let stdout = Mutex::new(File::from(io::stdout().as_fd().try_clone_to_owned()?));
    let threads = at_once.min(THREADS_MAX);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                let share = at_once / threads + usize::from(number < at_once % threads);
                let (items, stdout) = (&items, &stdout);
                scope.spawn(move || work(&words[1..], share, items, stdout))
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("no panic"))
    })
}

struct Running {
    child: Child,
    mark: Vec<u8>,
    /// stdout and stderr, as long as they are open, each with its unfinished line.
    pipes: Vec<(PipeReader, Vec<u8>)>,
}

/// What one thread does: as many as `share` children at once.
fn work(
    argv: &[String],
    share: usize,
    items: &Mutex<Receiver<String>>,
    stdout: &Mutex<File>,
) -> io::Result<()> {
    let mut running: Vec<Running> = Vec::new();
    let mut block = vec![0; BLOCK_BYTES];
    let mut lines = Vec::new();
    loop {
        while running.len() < share {
            let next = items.lock().expect("no panic").try_recv();
            let Ok(item) = next else { break };
            running.push(start(argv, &item)?);
        }
        if running.is_empty() {
            return Ok(());
        }
        let ready = ready(&running)?;
        for (child, pipe) in ready.into_iter().rev() {
            if !relay(&mut running[child], pipe, &mut block, &mut lines, stdout)? {
                running[child].pipes.remove(pipe);
            }
            if running[child].pipes.is_empty() {
                running.remove(child).child.wait()?;
            }
        }
    }
}

fn start(argv: &[String], item: &str) -> io::Result<Running> {
    let (out, out_end) = io::pipe()?;
    let (err, err_end) = io::pipe()?;
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).arg(item).stdin(Stdio::null());
    let child = command.stdout(out_end).stderr(err_end).spawn()?;
    Ok(Running {
        child,
        mark: format!("[{item}] ").into_bytes(),
        pipes: vec![(out, Vec::new()), (err, Vec::new())],
    })
}

/// Which pipes can be read, in order: the number of the child, and that of its pipe.
fn ready(running: &[Running]) -> io::Result<Vec<(usize, usize)>> {
    let mut places = Vec::new();
    let mut polled = Vec::new();
    for (child, it) in running.iter().enumerate() {
        for (pipe, (reader, _)) in it.pipes.iter().enumerate() {
            places.push((child, pipe));
            polled.push(PollFd::new(reader.as_fd(), PollFlags::POLLIN));
        }
    }
    poll(&mut polled, PollTimeout::NONE)?;
    let ready = polled.iter().map(|polled| polled.any() == Some(true));
    let ready = ready
        .zip(places)
        .filter_map(|(ready, place)| ready.then_some(place));
    Ok(ready.collect())
}

/// Reads once and writes the lines that are whole. False at the end of the pipe.
fn relay(
    running: &mut Running,
    pipe: usize,
    block: &mut [u8],
    lines: &mut Vec<u8>,
    stdout: &Mutex<File>,
) -> io::Result<bool> {
    let (reader, carried) = &mut running.pipes[pipe];
    let bytes = reader.read(block)?;
    if bytes >= 64 * 1024 {
        // A reader that is allowed no longer pipe has a shorter one.
        let _refused = fcntl(reader.as_fd(), FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    }
    let block = &block[..bytes];
    let Some(end) = memchr::memrchr(b'\n', block) else {
        carried.extend_from_slice(block);
        return Ok(bytes > 0);
    };
    lines.clear();
    lines.extend_from_slice(&running.mark);
    lines.append(carried);
    let mut began = 0;
    for newline in memchr::memchr_iter(b'\n', &block[..end]) {
        lines.extend_from_slice(&block[began..=newline]);
        lines.extend_from_slice(&running.mark);
        began = newline + 1;
    }
    lines.extend_from_slice(&block[began..=end]);
    carried.extend_from_slice(&block[end + 1..]);
    stdout.lock().expect("no panic").write_all(lines)?;
    Ok(true)
}
