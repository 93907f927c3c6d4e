//! How fast output comes and how slowly it is taken: nothing is lost, nothing grows, nothing spins.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::{SysconfVar, pipe2, sysconf};

use crate::support::running::Running;
use crate::support::workspace::Workspace;

/// The most memory that a process has had at once.
fn peak_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap()
}

/// The seconds of CPU time that a process has used.
fn cpu_seconds(pid: i32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // proc_pid_stat(5): utime and stime are the 12th and 13th field after the name.
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ');
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .map(|it| it.parse::<f64>().unwrap())
        .sum();
    let per_second = sysconf(SysconfVar::CLK_TCK).unwrap().unwrap();
    ticks / f64::from(i32::try_from(per_second).unwrap())
}

/// The processes that are ours: the guard and the orchestrator.
fn ours(running: &Running<'_>) -> [i32; 2] {
    [
        running.pid().as_raw(),
        running.orchestrator().unwrap().as_raw(),
    ]
}

#[test]
fn an_endless_line_takes_little_memory_and_is_logged_whole() {
    const BYTES: usize = 64 << 20;
    const PEAK_KIB_MAX: u64 = 32 << 10;
    let body = format!("head -c {BYTES} /dev/zero | tr '\\0' x; meet up");
    let workspace = Workspace::new(&["a"], &body);
    let mut gates = workspace.gates(&["a"]);
    let shown = OpenOptions::new().write(true).open("/dev/null").unwrap();
    let launch = workspace.orchestrate(&["-j1", "w"]);
    let running = launch.stdout(OwnedFd::from(shown)).start();
    gates.expect("a up");
    for pid in ours(&running) {
        let peak = peak_kib(pid);
        assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    }
    gates.order("a", "exit 0");
    running.finish().exits(0);
    let mut log = BufReader::with_capacity(1 << 20, File::open(workspace.log("a")).unwrap());
    let mut left = BYTES;
    let mut buffer = vec![0; 1 << 20];
    while let length @ 1.. = log.read(&mut buffer).unwrap() {
        assert!(memchr::memchr_iter(b'x', &buffer[..length]).count() == length);
        left -= length;
    }
    assert_eq!(left, 0);
}

#[test]
fn an_item_that_has_closed_its_output_is_waited_for_without_work() {
    let workspace = Workspace::new(&["a"], "exec >&- 2>&-; meet up");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("a up");
    let used = || ours(&running).map(cpu_seconds).iter().sum::<f64>();
    let before = used();
    std::thread::sleep(Duration::from_secs(1));
    let spent = used() - before;
    assert!(spent < 0.1, "{spent} s of CPU time in one second");
    gates.order("a", "exit 0");
    running.finish().exits(0);
    assert_eq!(workspace.done(), ["a"]);
}

/// More than waits for a terminal anywhere.
const LINES: usize = 60_000;

fn lines() -> String {
    (0..LINES).fold(String::new(), |text, number| {
        text + &format!("line {number:05} 0123456789012345678901234567890123456789\n")
    })
}

#[test]
fn a_pipe_that_nobody_reads_for_a_while_loses_nothing() {
    let workspace = Workspace::new(&["a"], "cat written");
    workspace.write("written", &lines());
    let (reader, stdout) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let launch = workspace.orchestrate(&["-j1", "w"]);
    let running = launch.stdout(stdout).start();
    // More than the pipe takes: the rest waits for its reader.
    let log = workspace.log("a");
    while fs::metadata(&log).map_or(0, |log| log.len()) < 1 << 19 {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Longer than an unfinished line waits for its end.
    std::thread::sleep(Duration::from_millis(1200));
    let mut shown = String::new();
    File::from(reader).read_to_string(&mut shown).unwrap();
    running.finish().exits(0);
    let written = lines();
    let expected = written.lines();
    let expected = expected.fold(String::new(), |text, line| text + "[a] " + line + "\n");
    assert!(shown == expected);
    assert!(fs::read_to_string(log).unwrap() == written);
}

#[test]
fn a_stopped_terminal_does_not_stop_the_items_and_what_it_missed_is_counted() {
    let workspace = Workspace::new(&["a"], "meet up; cat written; exit 0");
    workspace.write("written", &lines());
    let mut gates = workspace.gates(&["a"]);
    let launch = workspace.orchestrate(&["-j1", "w"]);
    let running = launch.env("NO_COLOR", "1").on_terminal().start();
    gates.expect("a up");
    // Ctrl-S, and in the end Ctrl-Q.
    running.type_keys(b"\x13");
    gates.order("a", ":");
    workspace.wait_until_done("a");
    running.type_keys(b"\x11");
    let shown = running.finish().exits(0).stdout;
    let counted: usize = shown
        .lines()
        .filter_map(|line| {
            line.strip_prefix("orchestrate: ")?
                .split_once(" lines not shown")
        })
        .map(|(count, _)| count.parse::<usize>().unwrap())
        .sum();
    let seen = shown
        .lines()
        .filter(|line| line.contains("[a] line "))
        .count();
    assert!(counted > 0, "{}", &shown[shown.len() - 400..]);
    assert_eq!(counted + seen, LINES);
    assert!(fs::read_to_string(workspace.log("a")).unwrap() == lines());
}
