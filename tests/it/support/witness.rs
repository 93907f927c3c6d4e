//! The oracle: what per-item commands have written down about themselves, held against what `orchestrate` promises.
//!
//! Pure: one text in, what is wrong with it out. A line is one of
//!
//! ```text
//! run NUMBER at-once N slots N first|again     the test starts a process
//! start ITEM ATTEMPT PID CREDENTIAL            an item's command begins
//! signal ITEM ATTEMPT PID CREDENTIAL SIGNAL    … has received a signal
//! exit ITEM ATTEMPT PID CREDENTIAL STATUS      … is about to end with this status
//! end NUMBER                                   the process has ended, and so has all that it started
//! recorded ITEM OUTCOME                        the journal has this record now, and had it not before
//! ```
//!
//! A command says `exit` before it ends and `start` after it began, so what looks like too many at once is too many.

use std::collections::{BTreeMap, BTreeSet};

use nix::unistd::Pid;

/// An attempt that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    pid: i32,
    credential: String,
}

/// What is promised of a process that runs.
#[derive(Debug, Clone, Copy)]
struct Promise {
    at_once: usize,
    slots: usize,
    again: bool,
}

#[derive(Debug, Default)]
struct Oracle {
    runs: BTreeMap<String, Promise>,
    open: BTreeMap<String, Attempt>,
    /// Exits with status 0 that are not in the journal yet.
    good_exits: BTreeMap<String, usize>,
    done: BTreeSet<String>,
    /// Items that have ended well since the last process was started.
    ended_well: BTreeSet<String>,
    most_at_once: usize,
    violations: Vec<String>,
}

/// Everything in which `witness` breaks a promise; empty when all is well.
pub(crate) fn violations(witness: &str) -> Vec<String> {
    Oracle::read(witness).violations
}

/// The greatest number of items at once.
pub(crate) fn most_at_once(witness: &str) -> usize {
    Oracle::read(witness).most_at_once
}

/// The items in the order of their starts.
pub(crate) fn started(witness: &str) -> Vec<String> {
    let starts = witness.lines().filter_map(|line| {
        let (item, _) = line.strip_prefix("start ")?.split_once(' ')?;
        Some(item.to_owned())
    });
    starts.collect()
}

/// The process ids of the items' commands, in the order of their starts.
pub(crate) fn pids(witness: &str) -> Vec<Pid> {
    let starts = witness
        .lines()
        .filter_map(|line| line.strip_prefix("start "));
    let pids = starts
        .filter_map(|line| line.split(' ').nth(2)?.parse().ok())
        .map(Pid::from_raw);
    pids.collect()
}

/// The signals that an item has received, in their order.
pub(crate) fn signals(witness: &str, item: &str) -> Vec<String> {
    let prefix = format!("signal {item} ");
    let received = witness.lines().filter(|line| line.starts_with(&prefix));
    received
        .filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned()))
        .collect()
}

impl Oracle {
    fn read(witness: &str) -> Self {
        let mut oracle = Self::default();
        for line in witness.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            if oracle.take(&words).is_none() {
                oracle
                    .violations
                    .push(format!("{line:?} is not understood"));
            }
        }
        for number in oracle.runs.keys() {
            oracle
                .violations
                .push(format!("run {number} was never seen to end"));
        }
        oracle
    }

    fn take(&mut self, words: &[&str]) -> Option<()> {
        match words {
            ["run", number, "at-once", at_once, "slots", slots, again] => {
                let promise = Promise {
                    at_once: at_once.parse().ok()?,
                    slots: slots.parse().ok()?,
                    again: *again == "again",
                };
                self.ended_well.clear();
                self.runs.insert((*number).to_owned(), promise);
            }
            ["start", item, _, pid, credential] => {
                let attempt = Attempt {
                    pid: pid.parse().ok()?,
                    credential: (*credential).to_owned(),
                };
                self.start(item, attempt);
            }
            ["signal", item, _, pid, _, _] => self.expect_open("a signal", item, pid.parse().ok()?),
            ["exit", item, _, pid, _, status] => {
                self.expect_open("an end", item, pid.parse().ok()?);
                self.open.remove(*item);
                if *status == "0" {
                    *self.good_exits.entry((*item).to_owned()).or_default() += 1;
                    self.ended_well.insert((*item).to_owned());
                }
            }
            ["end", number] => {
                self.runs.remove(*number)?;
                if self.runs.is_empty() {
                    self.open.clear();
                }
            }
            ["recorded", item, outcome] => self.record(item, outcome),
            _ => return None,
        }
        Some(())
    }

    fn start(&mut self, item: &str, attempt: Attempt) {
        if self.runs.is_empty() {
            return self.complain(format!("{item} was started by nobody"));
        }
        if !self.runs.values().any(|run| run.again) {
            if self.done.contains(item) {
                self.complain(format!("{item} was done and was started again"));
            } else if self.ended_well.contains(item) {
                self.complain(format!("{item} had ended well and was started again"));
            }
        }
        let credential = attempt.credential.clone();
        if let Some(before) = self.open.insert(item.to_owned(), attempt) {
            let pid = before.pid;
            self.complain(format!("{item} was started while its process {pid} ran"));
        }
        self.most_at_once = self.most_at_once.max(self.open.len());
        let at_once = self.runs.values().map(|run| run.at_once).sum();
        if self.open.len() > at_once {
            let open = self.open.len();
            self.complain(format!("{item} made it {open} at once, of {at_once}"));
        }
        let slots = self.runs.values().map(|run| run.slots).max().unwrap_or(0);
        let shared = self
            .open
            .values()
            .filter(|it| it.credential == credential)
            .count();
        if credential != "-" && shared > slots {
            self.complain(format!(
                "{item} made it {shared} on {credential}, of {slots}"
            ));
        }
    }

    fn expect_open(&mut self, what: &str, item: &str, pid: i32) {
        if self.open.get(item).is_none_or(|attempt| attempt.pid != pid) {
            self.complain(format!("{what} of {item} ({pid}), which does not run"));
        }
    }

    fn record(&mut self, item: &str, outcome: &str) {
        if outcome != "done" {
            return;
        }
        self.done.insert(item.to_owned());
        match self.good_exits.get_mut(item) {
            Some(left @ 1..) => *left -= 1,
            Some(0) | None => {
                self.complain(format!(
                    "{item} is recorded as done and never exited with 0"
                ));
            }
        }
    }

    fn complain(&mut self, violation: String) {
        self.violations.push(violation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "run 1 at-once 2 slots 1 first\n";
    const GOOD: &str = "\
run 1 at-once 2 slots 1 first
start a 1 10 key-1
start b 1 11 key-2
signal b 1 11 key-2 INT
exit a 1 10 key-1 0
start c 1 12 key-1
exit b 1 11 key-2 3
end 1
recorded a done
recorded b failed
run 2 at-once 1 slots 1 first
start b 1 13 key-1
exit b 1 13 key-1 0
start c 1 14 key-1
exit c 1 14 key-1 0
end 2
recorded b done
recorded c done
run 3 at-once 1 slots 1 again
start a 1 15 -
exit a 1 15 - 0
end 3
recorded a done
";

    #[test]
    fn a_good_witness_has_no_violation() {
        assert_eq!(violations(GOOD), [""; 0]);
        assert_eq!(most_at_once(GOOD), 2);
        assert_eq!(started(GOOD), ["a", "b", "c", "b", "c", "a"]);
        assert_eq!(signals(GOOD, "b"), ["INT"]);
        assert_eq!(violations(""), [""; 0]);
    }

    #[test]
    fn every_broken_promise_is_found() {
        for (lines, expected) in [
            (
                "start a 1 1 -\nstart a 1 2 -\nend 1\n",
                "a was started while its process 1 ran",
            ),
            (
                "start a 1 1 -\nstart b 1 2 -\nstart c 1 3 -\nend 1\n",
                "c made it 3 at once, of 2",
            ),
            (
                "start a 1 1 key-1\nstart b 1 2 key-1\nend 1\n",
                "b made it 2 on key-1, of 1",
            ),
            (
                "start a 1 1 -\nexit a 1 1 - 1\nend 1\nrecorded a done\n",
                "a is recorded as done and never exited with 0",
            ),
            (
                "start a 1 1 -\nexit a 1 1 - 0\nend 1\nrecorded a done\nrecorded a done\n",
                "a is recorded as done and never exited with 0",
            ),
            (
                "start a 1 1 -\nexit a 1 1 - 0\nstart a 1 2 -\nend 1\n",
                "a had ended well and was started again",
            ),
            (
                "start a 1 1 -\nexit a 1 1 - 0\nend 1\nrecorded a done\n\
                 run 2 at-once 1 slots 1 first\nstart a 1 2 -\nend 2\n",
                "a was done and was started again",
            ),
            ("end 1\nstart a 1 1 -\n", "a was started by nobody"),
            (
                "start a 1 1 -\nexit a 1 2 - 0\nend 1\n",
                "an end of a (2), which does not run",
            ),
            (
                "exit a 1 2 - 0\nend 1\n",
                "an end of a (2), which does not run",
            ),
            (
                "signal a 1 2 - INT\nend 1\n",
                "a signal of a (2), which does not run",
            ),
            ("start a 1 1 -\n", "run 1 was never seen to end"),
            ("sta\nend 1\n", "\"sta\" is not understood"),
            (
                "start a 1 x -\nend 1\n",
                "\"start a 1 x -\" is not understood",
            ),
            ("end 1\nend 1\n", "\"end 1\" is not understood"),
        ] {
            assert_eq!(violations(&format!("{RUN}{lines}")), [expected], "{lines}");
        }
    }
}
