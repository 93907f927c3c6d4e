//! The source `command`: a program whose standard output is a list.
//!
//! Runs one process while items are collected, before any item's command; it shares our terminal's process group, so that Ctrl-C
//! reaches it as it reaches us. Its input is empty. A program that fails has given no list, whatever it printed: half a list
//! would pass for the whole.

use super::collected::Collected;
use super::list;
use crate::answer;
use crate::error::{Error, Result};
use crate::escape::{quoted, shown};
use nix::errno::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::collections::VecDeque;
use std::io::{self, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long the program may take.
pub const TIME_MAX: Duration = Duration::from_mins(10);

/// How long its output may stay open after it has ended.
pub const OUTPUT_OPEN_MAX: Duration = Duration::from_secs(2);

/// How much of the end of its standard error is kept, in bytes.
const COMPLAINT_BYTES_MAX: usize = 16 * 1024;

/// How many of its last lines on standard error are shown.
const COMPLAINT_LINES_MAX: usize = 5;

/// Runs `argv` in `directory` and reads its standard output as a list.
///
/// # Errors
///
/// No program, or one that cannot be started (exit 2); a program that fails, is ended by a signal, takes longer than [`TIME_MAX`]
/// or leaves its output open, and what [`list::parse`] refuses (exit 69).
pub fn run(argv: &[String], directory: &Path) -> Result<Collected> {
    run_within(argv, directory, TIME_MAX, OUTPUT_OPEN_MAX)
}

fn run_within(
    argv: &[String],
    directory: &Path,
    time_max: Duration,
    output_open_max: Duration,
) -> Result<Collected> {
    let name = format!(
        "the list command {}",
        quoted(argv.first().map_or("", String::as_str))
    );
    let mut child = spawn(argv, directory, &name)?;
    let complaint = Complaint::default();
    let (silent_sender, silent) = channel();
    let (sender, events) = channel();
    let watched = watch(
        &mut child,
        &name,
        &sender,
        (complaint.clone(), silent_sender),
    );
    drop(sender);
    let ended = watched.and_then(|()| meet(&events, &name, time_max, output_open_max));
    if !matches!(ended, Ok(Ended { exited: true, .. })) {
        // Unreaped until the `wait` below, so the signal meets no stranger. It may have ended meanwhile.
        let _ = child.kill();
    }
    let status = child.wait();
    let collected = ended?.list?;
    let status =
        status.map_err(|error| Error::source(format!("cannot learn how {name} ended: {error}")))?;
    if status.success() {
        return Ok(collected);
    }
    // Its last words may still be on their way: the thread that keeps them hangs up at their end.
    let _ = silent.recv_timeout(output_open_max);
    Err(failed(&name, status, &complaint))
}

/// The end of what the program wrote to its standard error.
type Complaint = Arc<Mutex<VecDeque<u8>>>;

fn spawn(argv: &[String], directory: &Path, name: &str) -> Result<Child> {
    let (program, arguments) = argv.split_first().ok_or_else(|| {
        Error::usage("the list command is empty")
            .with_hint("name a program, like items = { command = [\"./list-items\"] }")
    })?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    answer::start(&mut command).map_err(|error| cannot_start(name, directory, &error))
}

fn cannot_start(name: &str, directory: &Path, error: &io::Error) -> Error {
    if !directory.is_dir() {
        let directory = directory.to_string_lossy();
        return Error::usage(format!(
            "cannot start {name}: there is no directory {}",
            shown(&directory)
        ));
    }
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => Error::usage(format!("{name} is not found"))
            .with_hint("write a path with a / in it, or put the program's directory into PATH"),
        Some(Errno::EACCES) => Error::usage(format!("{name} is not executable"))
            .with_hint("chmod +x makes it executable"),
        Some(Errno::ENOEXEC) => {
            Error::usage(format!("{name} is no program that this system can run"))
                .with_hint("a script begins with a line such as #!/bin/sh")
        }
        // No system call was made: an argument has a NUL.
        None | Some(Errno::E2BIG) => Error::usage(format!("cannot start {name}: {error}")),
        Some(_) => Error::source(format!("cannot start {name}: {error}")),
    }
}

/// What the threads around the process have seen.
enum Event {
    /// Its output is a list, or is none.
    Read(Result<Collected>),
    /// It has ended, and waits to be reaped.
    Exited,
}

/// One thread reads its output, one keeps the end of its complaints, one waits for its end: none of them needs a poll.
///
/// The threads end with the pipes; they are not joined, because a background process may keep a pipe open for ever.
fn watch(
    child: &mut Child,
    name: &str,
    sender: &Sender<Event>,
    (complaint, silent): (Complaint, Sender<()>),
) -> Result<()> {
    let cannot = |error: io::Error| Error::source(format!("cannot watch {name}: {error}"));
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(stdout) = child.stdout.take() {
        let (sender, name) = (sender.clone(), name.to_owned());
        let read = move || {
            let list = list::parse(BufReader::new(stdout), &name);
            // Nobody listens any more when the time was up.
            let _ = sender.send(Event::Read(list));
        };
        thread::Builder::new().spawn(read).map_err(cannot)?;
    }
    if let Some(stderr) = child.stderr.take() {
        let keep = move || {
            keep_end(stderr, &complaint);
            drop(silent);
        };
        thread::Builder::new().spawn(keep).map_err(cannot)?;
    }
    let sender = sender.clone();
    let wait = move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        if let Some(pid) = pid {
            while matches!(
                waitid(WaitId::Pid(pid), options),
                Err(rustix::io::Errno::INTR)
            ) {}
        }
        let _ = sender.send(Event::Exited);
    };
    thread::Builder::new().spawn(wait).map_err(cannot)?;
    Ok(())
}

fn keep_end(mut stderr: impl Read, complaint: &Mutex<VecDeque<u8>>) {
    let mut block = [0; 4096];
    loop {
        match stderr.read(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
            Ok(count) => {
                let mut kept = complaint.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(&block[..count]);
                let excess = kept.len().saturating_sub(COMPLAINT_BYTES_MAX);
                kept.drain(..excess);
            }
        }
    }
}

/// What has come of the process.
struct Ended {
    list: Result<Collected>,
    exited: bool,
}

/// Waits for the list and for the end of the process, whichever order they come in; a refused list needs no end.
fn meet(
    events: &Receiver<Event>,
    name: &str,
    time_max: Duration,
    output_open_max: Duration,
) -> Result<Ended> {
    let mut list = None;
    let mut exited = false;
    loop {
        match list {
            Some(Err(error)) => {
                let list = Err(error);
                return Ok(Ended { list, exited });
            }
            Some(list) if exited => return Ok(Ended { list, exited }),
            other => list = other,
        }
        let patience = if exited { output_open_max } else { time_max };
        match events.recv_timeout(patience) {
            Ok(Event::Read(read)) => list = Some(read),
            Ok(Event::Exited) => exited = true,
            Err(RecvTimeoutError::Timeout) if exited => return Err(still_open(name)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(too_slow(name, time_max));
            }
        }
    }
}

fn still_open(name: &str) -> Error {
    Error::source(format!(
        "{name} has ended, but a process that it started keeps its output open"
    ))
    .with_hint("redirect the output of what it starts in the background, such as >/dev/null")
}

fn too_slow(name: &str, time_max: Duration) -> Error {
    let seconds = time_max.as_secs();
    Error::source(format!(
        "{name} took longer than {seconds} s and was stopped"
    ))
    .with_hint("write the list to a file beforehand, and name it by items = { list = … }")
}

fn failed(name: &str, status: ExitStatus, complaint: &Mutex<VecDeque<u8>>) -> Error {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => format!("ended with {status}"),
    };
    let mut kept = complaint.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = String::from_utf8_lossy(kept.make_contiguous()).into_owned();
    let lines: Vec<&str> = kept
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(COMPLAINT_LINES_MAX)..];
    if last.is_empty() {
        return Error::source(format!("{name} {how} and said nothing"));
    }
    let last: Vec<String> = last.iter().map(|line| shown(line.trim_end())).collect();
    Error::source(format!("{name} {how}: {}", last.join(" | ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, OpenOptions};
    use std::os::unix::fs::PermissionsExt;

    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(50);

    fn shell(script: &str) -> Result<Collected> {
        let argv = ["sh", "-c", script].map(str::to_owned);
        run(&argv, Path::new("/"))
    }

    #[test]
    fn its_output_is_a_list() {
        let collected = shell("pwd; cat; echo '{\"id\": \"a\"}'; echo warning >&2").unwrap();
        let texts: Vec<_> = collected
            .items
            .iter()
            .map(|it| it.into_owned().text)
            .collect();
        assert_eq!(texts, ["/", "a"]);
        assert_eq!(shell("exit 0").unwrap(), Collected::default());
    }

    #[test]
    fn a_failure_is_told_with_its_last_words() {
        let name = "the list command \"sh\"";
        for (script, said) in [
            (
                "echo a; exit 3",
                "ended with exit status 3 and said nothing",
            ),
            ("echo no >&2; exit 1", "ended with exit status 1: no"),
            ("kill -TERM $$", "was ended by signal 15 and said nothing"),
            (
                "printf '1\\n2\\n3\\n4\\n5\\n\\n6\\033[2J\\n' >&2; exit 1",
                "ended with exit status 1: 2 | 3 | 4 | 5 | 6\\x1b[2J",
            ),
        ] {
            let error = shell(script).unwrap_err();
            assert_eq!(error.to_string(), format!("{name} {said}"));
            assert_eq!(error.status().code(), 69);
        }
    }

    #[test]
    fn last_words_that_come_after_the_end_are_heard() {
        // The parent can be signalled until it is reaped: the words come after that.
        let script = "p=$$; { while kill -0 $p; do :; done 2>/dev/null; echo late >&2; } \
            >/dev/null & exit 1";
        let argv = ["sh", "-c", script].map(str::to_owned);
        let error = run_within(&argv, Path::new("/"), LONG, LONG).unwrap_err();
        assert!(error.to_string().ends_with("status 1: late"), "{error}");
    }

    #[test]
    fn much_on_standard_error_neither_blocks_nor_is_kept() {
        let error = shell("head -c 1000000 /dev/zero >&2; echo end >&2; exit 1").unwrap_err();
        assert!(error.to_string().len() < 2000);
        let kept = Mutex::new(VecDeque::new());
        keep_end(io::repeat(b'x').take(1_000_000), &kept);
        assert_eq!(kept.into_inner().unwrap().len(), COMPLAINT_BYTES_MAX);
    }

    #[test]
    fn a_bad_line_ends_an_endless_list() {
        let error = shell("echo ok; printf '\\377\\n'; yes").unwrap_err();
        let message = error.to_string();
        assert!(message.contains("line 2: not UTF-8"), "{message}");
    }

    #[test]
    fn what_cannot_be_started_is_wrong_usage() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("plain");
        fs::write(&script, "x").unwrap();
        let plain = script.to_str().unwrap().to_owned();
        let no_format = directory.path().join("empty");
        fs::write(&no_format, "\x7fELF").unwrap();
        fs::set_permissions(&no_format, fs::Permissions::from_mode(0o755)).unwrap();
        let no_format = no_format.to_str().unwrap().to_owned();
        for (argv, said) in [
            (vec![], "is empty"),
            (vec!["no-such-program-anywhere".to_owned()], "is not found"),
            (vec!["./none".to_owned()], "is not found"),
            (vec![plain], "is not executable"),
            (vec![no_format], "no program that this system can run"),
            (vec!["sh".to_owned(), "a\0b".to_owned()], "cannot start"),
        ] {
            let error = run(&argv, directory.path()).unwrap_err();
            assert_eq!(error.status().code(), 2, "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
        let nowhere = directory.path().join("none");
        let error = run(&["sh".to_owned()], &nowhere).unwrap_err();
        assert!(error.to_string().contains("there is no directory"));
    }

    #[test]
    fn a_program_that_never_ends_is_stopped() {
        let argv = ["sh", "-c", "echo a; kill -STOP $$"].map(str::to_owned);
        let error = run_within(&argv, Path::new("/"), SHORT, LONG).unwrap_err();
        assert!(error.to_string().contains("took longer than"), "{error}");
        assert_eq!(error.status().code(), 69);
    }

    #[test]
    fn an_output_left_open_is_an_error_and_a_complaint_left_open_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let release = || {
            OpenOptions::new()
                .write(true)
                .open(&fifo)
                .map(drop)
                .unwrap();
        };
        let argv = ["sh", "-c", "echo a; { read x <fifo; } &"].map(str::to_owned);
        let error = run_within(&argv, directory.path(), LONG, SHORT).unwrap_err();
        release();
        assert!(
            error.to_string().contains("keeps its output open"),
            "{error}"
        );
        let argv = ["sh", "-c", "echo a; { read x <fifo; } >/dev/null &"].map(str::to_owned);
        let collected = run_within(&argv, directory.path(), LONG, LONG).unwrap();
        release();
        assert_eq!(collected.items.len(), 1);
    }
}
