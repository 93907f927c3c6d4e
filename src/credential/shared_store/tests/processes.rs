//! What only the kernel can promise, so it takes processes: this test binary, started again as a run, and what it
//! starts.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::fixture::{ALONE, Machine, at, limited, open, open_impatient, open_wide};
use super::is_free;
use crate::credential::key::{Epoch, Report};
use crate::credential::shared_store::SharedStore;
use crate::credential::shared_store::lock::Lock;
use crate::credential::store::Store as _;
use crate::disk::held_directory::HeldDirectory;

/// How an argument for the other process looks: the test runner takes it for a filter that nothing matches.
const TOLD: &str = "--skip=told:";
/// What the other process says begins so: the test runner says things too.
const SAYS: &str = "says ";

/// This test, in another process.
struct Run {
    process: Child,
    orders: Option<ChildStdin>,
    says: BufReader<std::process::ChildStdout>,
}

impl Run {
    /// Starts the test `name` of this file again, which finds `told` in [`told`].
    fn start(name: &str, told: &Path) -> Self {
        Self::start_by(Command::new(std::env::current_exe().unwrap()), name, told)
    }

    /// The same, by a program that is given its command.
    fn start_by(mut program: Command, name: &str, told: &Path) -> Self {
        let module = module_path!().split_once("::").unwrap().1;
        let mut process = program
            .args(["--exact", &format!("{module}::{name}"), "--nocapture"])
            .arg(format!("{TOLD}{}", told.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            orders: process.stdin.take(),
            says: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    /// What it says until its end, which is a success, or a kill. It waits each time, until `heard` has returned.
    fn said(mut self, mut heard: impl FnMut()) -> (Vec<String>, bool) {
        let (mut said, mut line) = (Vec::new(), String::new());
        while self.says.read_line(&mut line).unwrap() > 0 {
            if let Some((_, words)) = line.trim_end().split_once(SAYS) {
                said.push(words.to_owned());
                heard();
                // It may have been killed meanwhile.
                let _ = self.orders.as_mut().unwrap().write_all(b"\n");
            }
            line.clear();
        }
        let end = self.process.wait().unwrap();
        let is_killed = end.signal() == Some(Signal::SIGKILL as i32);
        assert!(end.success() || is_killed, "{end}");
        (said, end.success())
    }

    /// The next thing that it says.
    fn next(&mut self) -> String {
        let mut line = String::new();
        while self.says.read_line(&mut line).unwrap() > 0 {
            // The runner writes the test's name in front.
            if let Some((_, said)) = line.trim_end().split_once(SAYS) {
                return said.to_owned();
            }
            line.clear();
        }
        panic!("it has ended: {:?}", self.process.wait());
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().try_into().unwrap())
    }

    fn ended(mut self) {
        drop(self.orders.take());
        assert!(self.process.wait().unwrap().success());
    }
}

/// A test that fails leaves no process behind, not even a stopped one.
impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the test that started us wants us to know; nothing in the first process.
fn told() -> Option<PathBuf> {
    std::env::args().find_map(|word| word.strip_prefix(TOLD).map(PathBuf::from))
}

fn say(words: &str) {
    println!("{SAYS}{words}");
}

/// Waits until the test lets go of us, one way or another.
fn wait_for_the_test() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// A process that has `descriptor` and does nothing, until `stdin` is at its end.
fn heir(descriptor: &OwnedFd, stdin: Stdio) -> Child {
    Command::new("sh")
        .args(["-c", "read -r _"])
        .stdin(stdin)
        .stdout(Stdio::from(descriptor.try_clone().unwrap()))
        .spawn()
        .unwrap()
}

/// Asks again and again, for the kernel closes what a process had open a moment after it has told of its death.
fn is_free_soon(store: &mut SharedStore) -> bool {
    (0..100_000).any(|_| {
        std::thread::yield_now();
        store.try_lease(0, at(5)).unwrap().is_some()
    })
}

fn holders(store: &mut SharedStore) -> Vec<u32> {
    let leases = store.view(0, at(5)).unwrap().leases;
    let holders = leases.into_iter().flat_map(|(_, holders)| holders);
    holders.map(|holder| holder.pid).collect()
}

#[test]
fn the_child_of_a_killed_run_keeps_its_key_and_frees_it_with_its_end() {
    if let Some(home) = told() {
        let mut store = open(&home, &["k1"]).unwrap();
        let (_, lease) = store.try_lease(0, at(1)).unwrap().unwrap();
        let mut heir = heir(&lease.descriptor(), Stdio::inherit());
        say(&heir.id().to_string());
        heir.wait().unwrap();
        return;
    }
    let machine = Machine::new();
    let name = "the_child_of_a_killed_run_keeps_its_key_and_frees_it_with_its_end";
    let mut run = Run::start(name, machine.path());
    let heir: u32 = run.next().parse().unwrap();
    let mut store = machine.run(&["k1"], 1, 0);
    let mut both = vec![run.process.id(), heir];
    both.sort_unstable();
    assert_eq!(holders(&mut store), both);

    let life_line = run.orders.take();
    drop(run);
    assert!(store.try_lease(0, at(2)).unwrap().is_none());
    assert_eq!(holders(&mut store), [heir]);
    drop(life_line);
    assert!(is_free_soon(&mut store));
}

#[test]
fn a_daemon_that_keeps_a_copy_of_the_lease_does_not_keep_the_key() {
    let machine = Machine::new();
    let (mut one, mut other) = (machine.run(&["k1"], 1, 0), machine.run(&["k1"], 1, 0));
    let (_, lease) = one.try_lease(0, at(1)).unwrap().unwrap();
    let mut daemon = heir(&lease.descriptor(), Stdio::piped());
    let found = holders(&mut other);
    assert!(found.contains(&daemon.id()) && !found.contains(&std::process::id()));
    one.release(0, lease, at(2)).unwrap();
    let (_, _held) = other.try_lease(0, at(2)).unwrap().expect("a free key");
    assert!(
        !holders(&mut one).contains(&daemon.id()),
        "it has the file open, and no lease"
    );
    drop(daemon.stdin.take());
    daemon.wait().unwrap();
}

#[test]
fn a_child_to_which_the_lease_was_not_given_does_not_have_it() {
    let machine = Machine::new();
    let mut store = machine.run(&["k1"], 1, 0);
    let (_, lease) = store.try_lease(0, at(1)).unwrap().unwrap();
    let null = OwnedFd::from(File::open("/dev/null").unwrap());
    let mut child = heir(&null, Stdio::piped());
    assert!(!holders(&mut store).contains(&child.id()));
    drop(lease);
    // Soon: what other tests start at this moment has a copy until it has become its program.
    assert!(is_free_soon(&mut store));
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn when_the_first_of_the_line_is_killed_the_next_is_served() {
    if let Some(home) = told() {
        let mut store = open(&home, &["k1"]).unwrap();
        store.queue_up(&[0], at(1)).unwrap();
        say("first");
        wait_for_the_test();
        return;
    }
    let machine = Machine::new();
    let name = "when_the_first_of_the_line_is_killed_the_next_is_served";
    let mut run = Run::start(name, machine.path());
    assert_eq!(run.next(), "first");
    let mut store = machine.run(&["k1"], 1, 0);
    store.queue_up(&[0], at(1)).unwrap();
    assert!(store.try_lease(0, at(1)).unwrap().is_none());
    drop(run);
    assert!(store.try_lease(0, at(1)).unwrap().is_some(), "at once");
    let queue = machine.path().join("orchestrate/credentials/queue");
    let left: Vec<_> = fs::read_dir(queue)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["lock"], "no ticket is left");
}

#[test]
fn a_lock_whose_holder_is_stopped_is_an_error_that_names_the_file() {
    if let Some(directory) = told() {
        let directory = HeldDirectory::open(&directory).unwrap();
        let lock = Lock::open(&directory, "lock", Duration::from_secs(5)).unwrap();
        let _guard = lock.hold().unwrap();
        raise(Signal::SIGSTOP).unwrap();
        return;
    }
    let name = "a_lock_whose_holder_is_stopped_is_an_error_that_names_the_file";
    let patience = Duration::from_millis(20);
    let machine = Machine::new();
    let mut store = open_impatient(machine.path(), &["k1"], patience).unwrap();
    let key = machine.key_directory(&store);
    let all = key.parent().unwrap().to_owned();
    for directory in [&all, &all.join("queue"), &key] {
        let run = Run::start(name, directory);
        let stopped = WaitStatus::Stopped(run.pid(), Signal::SIGSTOP);
        assert_eq!(
            waitpid(run.pid(), Some(WaitPidFlag::WUNTRACED)).unwrap(),
            stopped
        );
        let error = if *directory == all {
            open_impatient(machine.path(), &["k1"], patience).unwrap_err()
        } else {
            store.try_lease(0, at(1)).unwrap_err()
        };
        let file = format!("`{}/lock`", directory.display());
        assert!(error.to_string().contains(&file), "{error}");
        let hint = error.hint().unwrap();
        let remedy = format!(" (kill -CONT {})", run.pid());
        assert!(hint.starts_with("let it go on: "), "{hint}");
        assert!(hint.ends_with(&remedy), "{hint}");
        kill(run.pid(), Signal::SIGCONT).unwrap();
        run.ended();
        assert!(is_free(&mut store, 1), "it goes on");
    }
}

/// What the leases of [`serve_and_say`] report, and when they begin: with waits that are fsynced, and ones that are not.
const REPORTS: [(u64, Report); 6] = [
    (100, Report::Served),
    (200, limited(5)),
    (300, Report::Served),
    (400, limited(7200)),
    (8000, Report::Served),
    (8100, Report::Served),
];

fn serve_and_say(home: &Path) {
    let mut store = open(home, &["k1"]).unwrap();
    let say = |words: &str| {
        say(words);
        wait_for_the_test();
    };
    say("open");
    for (second, report) in REPORTS {
        let (epoch, lease) = store.try_lease(0, at(second)).unwrap().unwrap();
        say(&format!("leased {}", epoch.0));
        let key = store.report(0, epoch, report, at(second), ALONE).unwrap();
        if let Some(until) = key
            .returns_at(at(second))
            .filter(|&until| until > at(second))
        {
            say(&format!("rests {}", until.0.as_secs()));
        }
        store.release(0, lease, at(second)).unwrap();
        say("given back");
    }
}

/// Holds what is left of a run that was killed against what it had said.
fn check_what_is_left(machine: &Machine, witness: &mut SharedStore, said: &[String], killed: &str) {
    let mut next = machine.visitor(&["k1"], 300);
    let left = next.look(0, at(300)).unwrap();
    assert_eq!(witness.look(0, at(300)).unwrap(), left, "{killed}");
    let number = |word: &str| {
        let mut numbers = said.iter().filter_map(|line| line.strip_prefix(word));
        numbers
            .next_back()
            .map(|number| number.trim().parse::<u64>().unwrap())
    };
    let leased = Epoch(number("leased ").unwrap_or(0));
    assert!(left.usage().epoch >= leased, "{killed}");
    if let Some(until) = number("rests ").filter(|_| left.usage().epoch == leased)
        && said.last().is_some_and(|last| last.starts_with("rests "))
    {
        assert_eq!(left.slots(1, at(until - 1)), 0, "{killed}");
    }
    // Its lease has ended with it, and no later one is taken for it.
    let (later, lease) = (0..100_000)
        .find_map(|_| next.try_lease(0, at(20_000)).unwrap())
        .expect(killed);
    assert!(later > leased, "{killed}");
    next.report(0, later, Report::Served, at(20_000), ALONE)
        .unwrap();
    next.release(0, lease, at(20_000)).unwrap();
    assert_eq!(
        witness.look(0, at(20_000)).unwrap(),
        next.look(0, at(20_000)).unwrap()
    );
    for store in [&mut next, witness] {
        assert_eq!(store.take_warnings(), [""; 0], "{killed}");
    }
}

#[test]
fn who_is_killed_at_any_write_leaves_what_it_had_said_and_hides_nothing_from_others() {
    if let Some(home) = told() {
        return serve_and_say(&home);
    }
    let strace = |injection: &str| {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", injection]);
        strace
    };
    let works = strace("trace=none")
        .arg("true")
        .stderr(Stdio::null())
        .status();
    if !works.is_ok_and(|status| status.success()) {
        // Straight to the descriptor: what a passing test prints is not shown.
        writeln!(
            std::io::stderr(),
            "SKIP: killing at a system call needs strace"
        )
        .unwrap();
        return;
    }
    let name = "who_is_killed_at_any_write_leaves_what_it_had_said_and_hides_nothing_from_others";
    let mut kills = 0;
    for call in ["pwrite64", "write", "/^rename", "fsync"] {
        for when in 1.. {
            let machine = Machine::new();
            let mut witness = machine.run(&["k1"], 1, 0);
            let mut program = strace(&format!("inject={call}:signal=KILL:when={when}"));
            program.arg(std::env::current_exe().unwrap());
            let (said, has_ended) = Run::start_by(program, name, machine.path()).said(|| {
                let _remembered = witness.look(0, at(1)).unwrap();
            });
            let killed = format!("killed before {call} {when}, after {said:?}");
            check_what_is_left(&machine, &mut witness, &said, &killed);
            if has_ended {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 20, "only {kills} kills");
}

/// Leases that are tried in all.
const TRIES: u64 = 10_000;
/// How many processes try.
const RUNS: u64 = 2;
/// Slots of each key.
const SLOTS: usize = 2;

#[test]
fn two_runs_that_hammer_two_keys_never_share_a_slot_and_lose_no_wait_and_no_lease() {
    if let Some(home) = told() {
        return hammer(&home);
    }
    let machine = Machine::new();
    let name = "two_runs_that_hammer_two_keys_never_share_a_slot_and_lose_no_wait_and_no_lease";
    drop(machine.run(&["k1", "k2"], SLOTS, 0));
    let runs: Vec<Run> = (0..RUNS)
        .map(|_| Run::start(name, machine.path()))
        .collect();
    runs.into_iter().for_each(Run::ended);
    let mut grants = 0;
    for key in 0..2 {
        let course = fs::read_to_string(machine.path().join(format!("course.{key}"))).unwrap();
        grants += check(&course);
    }
    assert!(grants > TRIES / 10, "only {grants} leases");
}

/// Tries to lease the keys by turns, and writes down what happens.
fn hammer(home: &Path) {
    let mut store = open_wide(home, &["k1", "k2"], SLOTS);
    let courses = ["course.0", "course.1"].map(|name| {
        let mut options = OpenOptions::new();
        options
            .create(true)
            .append(true)
            .open(home.join(name))
            .unwrap()
    });
    let us = std::process::id();
    for turn in 0..TRIES / RUNS {
        let key = usize::try_from(turn % 2).unwrap();
        let mut course = &courses[key];
        let mut write = |words: String| {
            course
                .write_all(format!("{us} {words}\n").as_bytes())
                .unwrap();
        };
        // The time of both runs: it goes on with every letter that one of them writes.
        let second = || courses[key].metadata().unwrap().len() / 2;
        write("tries".to_owned());
        let tried_at = second();
        let Some((epoch, lease)) = store.try_lease(key, at(tried_at)).unwrap() else {
            continue;
        };
        let slot = lease.number();
        write(format!("got {slot} {} {}", epoch.0, second()));
        let now = second();
        if turn % 3 == 0 {
            let wait = 1 + turn % 100;
            store
                .report(key, epoch, limited(wait), at(now), ALONE)
                .unwrap();
            write(format!("waits {}", now + wait));
        } else {
            store
                .report(key, epoch, Report::Served, at(now), ALONE)
                .unwrap();
        }
        write(format!("leaves {slot}"));
        store.release(key, lease, at(now)).unwrap();
    }
}

/// Reads what happened to one key, in the order in which it was written down; how many leases there were.
fn check(course: &str) -> u64 {
    let mut holders: BTreeMap<u64, &str> = BTreeMap::new();
    let mut epochs = Vec::new();
    // How long the key was known to rest when each run began to try.
    let mut tries: BTreeMap<&str, u64> = BTreeMap::new();
    let mut rests_until = 0;
    for line in course.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |place: usize| words[place].parse::<u64>().unwrap();
        match words[1] {
            "tries" => {
                tries.insert(words[0], rests_until);
            }
            "got" => {
                assert_eq!(
                    holders.insert(number(2), words[0]),
                    None,
                    "{line}\n{course}"
                );
                epochs.push(Epoch(number(3)));
                assert!(number(4) >= tries[words[0]], "a wait was lost: {line}");
            }
            "waits" => rests_until = rests_until.max(number(2)),
            "leaves" => assert_eq!(holders.remove(&number(2)), Some(words[0]), "{line}"),
            other => panic!("{other}"),
        }
    }
    epochs.sort_unstable();
    let all = (1..=epochs.len() as u64).map(Epoch);
    assert!(
        epochs.iter().copied().eq(all),
        "an epoch was lost or given twice"
    );
    epochs.len() as u64
}
