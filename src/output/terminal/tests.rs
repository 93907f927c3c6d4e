mod screen;

use super::*;
use std::fs::File;
use std::io::Read;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::eventfd::EfdFlags;
use nix::unistd::pipe;

struct Screen {
    terminal: Terminal,
    handle: TerminalHandle,
    stdout: File,
    stderr: File,
}

/// A terminal whose outputs are pipes that this test reads.
fn screen(stdout_is_terminal: bool, stderr_is_terminal: bool) -> Screen {
    let (stdout, out) = pipe().unwrap();
    let (stderr, err) = pipe().unwrap();
    let outputs = Outputs {
        stdout: out,
        stderr: err,
        stdout_is_terminal,
        stderr_is_terminal,
        reflow: Reflow::default(),
    };
    let (terminal, handle) = Terminal::start_with_patience(outputs, Duration::MAX).unwrap();
    Screen {
        terminal,
        handle,
        stdout: stdout.into(),
        stderr: stderr.into(),
    }
}

fn rest_of(mut file: File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

/// The next bytes to be read are these.
fn assert_reads(mut file: &File, expected: impl AsRef<str>) {
    let expected = expected.as_ref();
    let mut text = vec![0; expected.len()];
    file.read_exact(&mut text).unwrap();
    assert_eq!(String::from_utf8_lossy(&text), expected);
}

fn waker() -> Arc<EventFd> {
    Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC).unwrap())
}

const BLOCK_BYTES: usize = 64 * 1024;

/// Sends blocks to stdout until one is refused; gives it back with the number of bytes that were taken.
fn fill(handle: &TerminalHandle) -> (Masked<Vec<u8>>, usize) {
    let mut bytes = 0;
    loop {
        match handle.try_send(
            Target::Stdout,
            Masked::of_masked_parts(vec![b'\n'; BLOCK_BYTES]),
        ) {
            Ok(()) => bytes += BLOCK_BYTES,
            Err(Full(block)) => return (block, bytes),
        }
    }
}

#[test]
fn everything_is_written_in_order_before_the_end() {
    let screen = screen(false, false);
    let mut expected = String::new();
    for number in 0..1000 {
        let line = format!("line {number}\n");
        expected.push_str(&line);
        screen
            .handle
            .try_send(Target::Stdout, Masked::of_masked_parts(line.into_bytes()))
            .unwrap();
    }
    screen.handle.say(Target::Stdout, "own words");
    screen.handle.say(Target::Stderr, "and more\n");
    screen.terminal.finish();
    assert_eq!(rest_of(screen.stdout), expected + "own words\n");
    assert_eq!(rest_of(screen.stderr), "and more\n");
}

#[test]
fn both_targets_keep_their_common_order() {
    let (read, out) = pipe().unwrap();
    let outputs = Outputs {
        stderr: out.try_clone().unwrap(),
        stdout: out,
        stdout_is_terminal: false,
        stderr_is_terminal: false,
        reflow: Reflow::default(),
    };
    let (terminal, handle) = Terminal::start(outputs).unwrap();
    let mut expected = String::new();
    for number in 0..1000_u32 {
        let target = Target::BOTH[usize::from(number.is_multiple_of(3))];
        let line = format!("line {number}\n");
        expected.push_str(&line);
        handle
            .try_send(target, Masked::of_masked_parts(line.into_bytes()))
            .unwrap();
    }
    terminal.finish();
    assert_eq!(rest_of(read.into()), expected);
}

#[test]
fn a_full_queue_gives_the_block_back_and_wakes_once_the_reader_reads() {
    let screen = screen(false, false);
    let (refused, taken_bytes) = fill(&screen.handle);
    assert_eq!(refused.get().len(), BLOCK_BYTES);
    assert!(taken_bytes <= QUEUED_BYTES_MAX + 8 * BLOCK_BYTES);

    let waker = waker();
    screen
        .handle
        .wake_when_room(Target::Stdout, Arc::clone(&waker));
    // Stderr is not held up meanwhile, neither for items nor for us.
    screen.handle.say(Target::Stderr, "draining");
    screen
        .handle
        .try_send(Target::Stderr, Masked::of_masked_parts(b"line\n".to_vec()))
        .unwrap();
    assert_reads(&screen.stderr, "draining\nline\n");

    let stdout = screen.stdout;
    let reader = std::thread::spawn(move || rest_of(stdout));
    assert_eq!(waker.read().unwrap(), 1);
    screen.handle.try_send(Target::Stdout, refused).unwrap();
    screen.terminal.finish();
    assert_eq!(reader.join().unwrap().len(), taken_bytes + BLOCK_BYTES);
}

#[test]
fn who_asks_for_room_when_there_is_room_is_woken_at_once() {
    let screen = screen(false, false);
    let waker = waker();
    screen
        .handle
        .wake_when_room(Target::Stdout, Arc::clone(&waker));
    assert_eq!(waker.read().unwrap(), 1);
}

#[test]
fn a_block_larger_than_the_bound_is_taken_when_nothing_waits() {
    let screen = screen(false, false);
    let block = vec![b'x'; 2 * QUEUED_BYTES_MAX];
    screen
        .handle
        .try_send(Target::Stdout, Masked::of_masked_parts(block))
        .unwrap();
    let stdout = screen.stdout;
    let reader = std::thread::spawn(move || rest_of(stdout));
    screen.terminal.finish();
    assert_eq!(reader.join().unwrap().len(), 2 * QUEUED_BYTES_MAX);
}

#[test]
fn a_reader_that_has_gone_ends_the_display_and_nothing_else() {
    let screen = screen(false, false);
    fill(&screen.handle);
    let waker = waker();
    screen
        .handle
        .wake_when_room(Target::Stdout, Arc::clone(&waker));
    assert_eq!(screen.handle.closed(Target::Stdout), None);
    drop(screen.stdout);
    assert_eq!(waker.read().unwrap(), 1);
    assert_eq!(screen.handle.closed(Target::Stdout), Some(Errno::EPIPE));
    assert_eq!(screen.handle.closed(Target::Stderr), None);
    for _ in 0..100 {
        let block = vec![b'\n'; BLOCK_BYTES];
        screen
            .handle
            .try_send(Target::Stdout, Masked::of_masked_parts(block))
            .unwrap();
    }
    screen.handle.say(Target::Stderr, "summary");
    screen.terminal.finish();
    assert_eq!(rest_of(screen.stderr), "summary\n");
}

#[test]
fn a_stuck_reader_can_be_given_up() {
    let screen = screen(false, false);
    fill(&screen.handle);
    let handle = screen.handle.clone();
    let finisher = std::thread::spawn(move || screen.terminal.finish());
    handle.abandon();
    finisher.join().unwrap();
}

#[test]
fn who_closes_hears_when_all_is_written() {
    use std::sync::mpsc::{TryRecvError, channel};
    let Screen {
        terminal,
        handle,
        stdout,
        stderr: _unread,
    } = screen(false, false);
    let (_, bytes) = fill(&handle);
    let (token, dropped) = channel::<()>();
    terminal.close(token);
    assert_eq!(dropped.try_recv(), Err(TryRecvError::Empty));
    let reader = std::thread::spawn(move || rest_of(stdout).len());
    dropped.recv().unwrap_err();
    let (token, dropped) = channel::<()>();
    terminal.close(token);
    assert_eq!(dropped.try_recv(), Err(TryRecvError::Disconnected));
    terminal.finish();
    assert_eq!(reader.join().unwrap(), bytes);
}

#[test]
fn the_descriptor_that_others_share_stays_as_it_is() {
    let (_read, out) = pipe().unwrap();
    let shared = out.try_clone().unwrap();
    let outputs = Outputs {
        stderr: out.try_clone().unwrap(),
        stdout: out,
        stdout_is_terminal: false,
        stderr_is_terminal: false,
        reflow: Reflow::default(),
    };
    let (terminal, _) = Terminal::start(outputs).unwrap();
    let flags = OFlag::from_bits_retain(fcntl(&shared, FcntlArg::F_GETFL).unwrap());
    assert!(!flags.contains(OFlag::O_NONBLOCK));
    terminal.finish();
}

#[test]
fn a_shared_descriptor_that_is_nonblocking_loses_nothing() {
    let (mut read, out) = std::os::unix::net::UnixStream::pair().unwrap();
    out.set_nonblocking(true).unwrap();
    let outputs = Outputs {
        stdout: out.try_clone().unwrap().into(),
        stderr: out.into(),
        stdout_is_terminal: false,
        stderr_is_terminal: false,
        reflow: Reflow::default(),
    };
    let (terminal, handle) = Terminal::start(outputs).unwrap();
    let (_, taken_bytes) = fill(&handle);
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        read.read_to_end(&mut text).unwrap();
        text.len()
    });
    terminal.finish();
    drop(handle);
    assert_eq!(reader.join().unwrap(), taken_bytes);
}

#[test]
fn the_status_line_is_erased_before_other_output_and_drawn_after_it() {
    let screen = screen(true, true);
    let status = |text: &str| screen.handle.status(vec![text.to_owned()]);
    status("1 running");
    assert_reads(&screen.stderr, "1 running");
    status("2\x1brunning");
    assert_reads(&screen.stderr, "\r\x1b[K2\\x1brunning");
    screen.handle.say(Target::Stderr, "words");
    assert_reads(&screen.stderr, "\r\x1b[Kwords\n2\\x1brunning");
    screen
        .handle
        .try_send(Target::Stdout, Masked::of_masked_parts(b"line\n".to_vec()))
        .unwrap();
    assert_reads(&screen.stderr, "\r\x1b[K2\\x1brunning");
    assert_reads(&screen.stdout, "line\n");
    screen.handle.status(Vec::new());
    assert_reads(&screen.stderr, "\r\x1b[K");
    status(&"x".repeat(200));
    assert_reads(&screen.stderr, "x".repeat(78 - ECHO_COLUMNS) + "\u{2026}");
    screen.terminal.finish();
    assert_eq!(rest_of(screen.stderr), "\r\x1b[K");
    assert_eq!(rest_of(screen.stdout), "");
}

#[test]
fn a_status_line_on_a_terminal_leaves_a_redirected_stdout_alone() {
    let screen = screen(false, true);
    screen.handle.status(vec!["running".to_owned()]);
    assert_reads(&screen.stderr, "running");
    for _ in 0..100 {
        screen
            .handle
            .try_send(Target::Stdout, Masked::of_masked_parts(b"line\n".to_vec()))
            .unwrap();
        assert_reads(&screen.stdout, "line\n");
    }
    screen.terminal.finish();
    assert_eq!(rest_of(screen.stderr), "\r\x1b[K");
}

#[test]
fn without_a_terminal_there_is_no_status_line() {
    let screen = screen(false, false);
    screen.handle.status(vec!["running".to_owned()]);
    screen.handle.say(Target::Stderr, "words");
    screen.terminal.finish();
    assert_eq!(rest_of(screen.stderr), "words\n");
}

#[test]
fn a_terminal_that_takes_nothing_is_skipped_and_told_so() {
    let pty = openpty(None, None).unwrap();
    let outputs = Outputs {
        stdout: pty.slave.try_clone().unwrap(),
        stderr: pty.slave,
        stdout_is_terminal: true,
        stderr_is_terminal: true,
        reflow: Reflow::default(),
    };
    let (terminal, handle) = Terminal::start_with_patience(outputs, Duration::ZERO).unwrap();
    // Nobody reads yet, so all of this can only be taken by being skipped.
    let block = Masked::of_masked_parts(b"a line of an item\n".repeat(1000));
    let sent_lines = 1000 * 200;
    for _ in 0..200 {
        let mut block = block.clone();
        while let Err(Full(refused)) = handle.try_send(Target::Stdout, block) {
            let waker = waker();
            handle.wake_when_room(Target::Stdout, Arc::clone(&waker));
            waker.read().unwrap();
            block = refused;
        }
    }
    handle.say(Target::Stderr, "summary");
    let reader = std::thread::spawn(move || {
        let mut shown = Vec::new();
        // The end of a terminal is an error (EIO), not an empty read.
        let _ = File::from(pty.master).read_to_end(&mut shown);
        String::from_utf8(shown).unwrap()
    });
    terminal.finish();
    drop(handle);
    let shown = reader.join().unwrap();
    let mut shown_lines = 0;
    let mut skipped_lines = 0;
    for line in shown.lines() {
        if line == "a line of an item" {
            shown_lines += 1;
        } else if let Some(announced) = line.strip_prefix("orchestrate: ") {
            let count = announced.split(' ').next().unwrap();
            skipped_lines += count.parse::<usize>().unwrap();
        } else if line != "summary" {
            assert!("a line of an item".starts_with(line), "{line:?}");
        }
    }
    assert!(skipped_lines > 0 && shown_lines > 0);
    assert_eq!(shown_lines + skipped_lines, sent_lines);
    assert!(shown.contains("summary\r\n"));
}

#[test]
fn a_pipe_is_never_skipped() {
    let (stdout, out) = pipe().unwrap();
    let outputs = Outputs {
        stderr: out.try_clone().unwrap(),
        stdout: out,
        stdout_is_terminal: false,
        stderr_is_terminal: false,
        reflow: Reflow::default(),
    };
    let (terminal, handle) = Terminal::start_with_patience(outputs, Duration::ZERO).unwrap();
    let (_, taken_bytes) = fill(&handle);
    let reader = std::thread::spawn(move || rest_of(stdout.into()));
    terminal.finish();
    drop(handle);
    assert_eq!(reader.join().unwrap().len(), taken_bytes);
}

#[test]
fn a_file_and_a_device_take_everything() {
    let mut file = tempfile::tempfile().unwrap();
    let null = File::options().write(true).open("/dev/null").unwrap();
    let outputs = Outputs {
        stdout: file.try_clone().unwrap().into(),
        stderr: null.into(),
        stdout_is_terminal: false,
        stderr_is_terminal: false,
        reflow: Reflow::default(),
    };
    let (terminal, handle) = Terminal::start(outputs).unwrap();
    handle.say(Target::Stdout, "one");
    handle.say(Target::Stderr, "two");
    terminal.finish();
    std::io::Seek::rewind(&mut file).unwrap();
    assert_eq!(rest_of(file), "one\n");
    assert_eq!(handle.closed(Target::Stderr), None);
}
