//! A batch under which the power is cut again and again, until it is done; and a journal that is just being compacted.
//!
//! `scripts/crash --long` cuts it forty times each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirEntry;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::WATCHDOG;
use crate::support::disk::Disk;
use crate::support::ledger::{records, run_record, runs};
use crate::support::long_journal::long_journal;
use crate::support::random::Random;
use crate::support::running::Running;
use crate::support::skip::{is_root, skipped};
use crate::support::workspace::Workspace;

/// How many cuts, when [`COUNT_VARIABLE`] does not say it.
const COUNT: usize = 2;

const COUNT_VARIABLE: &str = "ORCHESTRATE_POWER_CUTS";

const ITEMS: usize = 40;

const BODY: &str = r#"
echo "$item works"
sleep "0.0$((${item#item-} % 10))""#;

const ARGUMENTS: [&str; 2] = ["-j6", "w"];

const JOURNAL: &str = ".orchestrate/w/journal.jsonl";

/// What the batches are done on, one after the other: features and options of ext4 that change what is written when.
const DISKS: [(&str, &str); 4] = [
    ("has_journal", "data=ordered"),
    ("fast_commit", "data=ordered"),
    ("has_journal", "data=writeback,nodelalloc"),
    ("has_journal", "data=journal"),
];

/// When the power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// While the run begins, and makes its files.
    Beginning,
    /// While items begin and end.
    Amid,
    /// As soon as it is shown that an item is done.
    Shown,
    /// As soon as the run has ended.
    Ended,
}

/// The moments, one after the other, and from the start again.
const MOMENTS: [Moment; 6] = [
    Moment::Shown,
    Moment::Ended,
    Moment::Beginning,
    Moment::Amid,
    Moment::Shown,
    Moment::Amid,
];

/// What a campaign has seen.
#[derive(Debug, Default)]
struct Campaign {
    cuts: BTreeMap<Moment, usize>,
    batches: usize,
    /// Items that were shown as done.
    shown: usize,
    /// Items that were recorded as done, and the cut came before it was shown.
    recorded_and_not_shown: usize,
    /// Journals that ended in the middle of a record.
    torn: usize,
    /// Runs of which nothing was left but a folder.
    without_record: usize,
    /// Items that were recorded as done whose log is not what they wrote: nothing syncs logs.
    logs_cut: usize,
}

#[test]
fn whenever_the_power_is_cut_what_was_shown_as_done_is_done_and_is_not_started_again() {
    alone_with_disks(|random, count| {
        println!("begins with {random:?}");
        let mut campaign = Campaign::default();
        while campaign.cuts() < count {
            campaign.batch(random, count)?;
        }
        println!("{campaign:?}");
        Ok(())
    });
}

#[test]
fn whenever_the_power_is_cut_a_journal_that_is_compacted_is_the_old_one_or_the_new_one() {
    alone_with_disks(|random, count| {
        println!("begins with {random:?}");
        let workspace = Workspace::bare();
        let disk = disk_under(&workspace, DISKS[0], &["a\n".to_owned()], "exit 1")?;
        workspace.orchestrate(&["w"]).finish().exits(1);
        let long = long_journal(10);
        let mut compacted = 0;
        for _ in 0..count {
            workspace.write(JOURNAL, &long);
            disk.sync();
            let switch = disk.switch();
            let running = workspace.orchestrate(&["w"]).start();
            wait_for_a_draft(&workspace, &running);
            std::thread::sleep(Duration::from_micros(random.below(400_000)));
            stop(&running);
            switch.cut();
            running.signal(Signal::SIGKILL);
            workspace.kill_survivors();
            disk.power_on();
            remove_runs_without_record(&workspace);
            running.finish();
            let verify = ["journal", "verify", "w"];
            workspace.orchestrate(&verify).finish().exits(0);
            let failed = workspace.items_that_are("failed");
            let kept = failed.iter().filter(|item| item.starts_with('x'));
            assert_eq!(kept.count(), 10, "{failed:?}");
            // Behind the ten may stand what became of `a`.
            let records = records(workspace.root()).len();
            assert!([10, 11, 10_000].contains(&records), "{records} records");
            compacted += usize::from(records < 10_000);
        }
        println!("{compacted} of {count} were the new one");
        Ok(())
    });
}

/// In a thread of its own, whose mounts are its own: with random numbers, and so many cuts as are wanted.
#[expect(
    clippy::disallowed_methods,
    reason = "how many cuts is said by whoever starts the test"
)]
fn alone_with_disks(test: impl FnOnce(&mut Random, usize) -> Result<(), String> + Send + 'static) {
    const WHAT: &str = "a power cut";
    if !is_root(WHAT) {
        return;
    }
    let count = std::env::var(COUNT_VARIABLE).map_or(COUNT, |count| count.parse().unwrap());
    let seed = u64::from(std::process::id()) << 32 | 0x9e37_79b9;
    let thread = std::thread::spawn(move || {
        Disk::leave_the_mounts_of_others()?;
        test(&mut Random::new(seed), count)
    });
    match thread.join() {
        Ok(Ok(())) => {}
        Ok(Err(why)) => skipped(WHAT, &why),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// A disk in the place of the workspace's root, with what a run needs on it; says why not where there is none.
fn disk_under(
    workspace: &Workspace,
    (features, options): (&str, &str),
    items: &[String],
    body: &str,
) -> Result<Disk, String> {
    let image = workspace.root().with_file_name("disk");
    let disk = Disk::make(&image, workspace.root(), features, options)?;
    workspace.write("items.txt", &items.concat());
    workspace.configure("", "");
    workspace.item(body);
    disk.sync();
    Ok(disk)
}

impl Campaign {
    fn cuts(&self) -> usize {
        self.cuts.values().sum()
    }

    /// Forty items on a new disk, with cuts until they are done; says why not where there is no such disk.
    fn batch(&mut self, random: &mut Random, count: usize) -> Result<(), String> {
        let workspace = Workspace::bare();
        let items: Vec<String> = (1..=ITEMS).map(|n| format!("item-{n}\n")).collect();
        let disk = disk_under(&workspace, DISKS[self.batches % DISKS.len()], &items, BODY)?;
        self.batches += 1;
        let mut shown = BTreeSet::new();
        while workspace.done().len() < ITEMS {
            if self.cuts() < count {
                self.cut(&workspace, &disk, &mut shown, random);
            } else {
                workspace.orchestrate(&ARGUMENTS).finish().exits(0);
            }
        }
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for record in records(workspace.root()) {
            if record.outcome == "done" {
                *times.entry(record.item).or_default() += 1;
            }
        }
        assert!(times.values().all(|&it| it == 1), "{times:?}");
        self.shown += shown.len();
        let names = names_beside_the_journal(&workspace);
        self.torn += names.iter().filter(|name| name.contains(".torn-")).count();
        let cut = |item: &&String| !log_is_whole(&workspace, item.trim_end());
        self.logs_cut += items.iter().filter(cut).count();
        Self::keep_the_state(&workspace, disk);
        Ok(())
    }

    /// Cuts the power at the next moment, and holds what is left against what was shown.
    fn cut(
        &mut self,
        workspace: &Workspace,
        disk: &Disk,
        shown: &mut BTreeSet<String>,
        random: &mut Random,
    ) {
        let moment = MOMENTS[self.cuts() % MOMENTS.len()];
        let left = (ITEMS - workspace.done().len()) as u64;
        let before = runs(workspace.root());
        let switch = disk.switch();
        let running = workspace.orchestrate(&ARGUMENTS).start();
        match moment {
            Moment::Beginning => std::thread::sleep(Duration::from_micros(random.below(30_000))),
            Moment::Amid => {
                running.wait_for_steps(random.below(40));
                std::thread::sleep(Duration::from_micros(random.below(20_000)));
            }
            Moment::Shown => running.wait_for(&format!("[{}/", 1 + random.below(left.min(20)))),
            Moment::Ended => running.wait_until_ended(),
        }
        stop(&running);
        let ended = running.has_ended();
        let said = running.said_so_far();
        switch.cut();
        running.signal(Signal::SIGKILL);
        workspace.kill_survivors();
        disk.power_on();
        self.without_record += remove_runs_without_record(workspace);
        let finished = running.finish();
        *self.cuts.entry(moment).or_default() += 1;
        if !ended {
            finished.dies_by(Signal::SIGKILL);
            return self.compare(workspace, &said, shown);
        }
        let finished = finished.exits(0);
        let run = runs(workspace.root()).difference(&before).next().cloned();
        let record = run_record(workspace.root(), &run.expect("its folder"));
        assert_eq!(record["exit_status"], 0, "{}", finished.stderr);
        self.compare(workspace, &finished.stderr, shown);
    }

    /// What the run had said before the cut is true after it.
    fn compare(&mut self, workspace: &Workspace, said: &str, shown: &mut BTreeSet<String>) {
        shown.extend(said.lines().filter_map(shown_as_done));
        let done: BTreeSet<String> = workspace.done().into_iter().collect();
        let lost: Vec<_> = shown.difference(&done).collect();
        assert!(lost.is_empty(), "{lost:?} were shown as done\n{said}");
        self.recorded_and_not_shown += done.difference(shown).count();
        if workspace.has(JOURNAL) {
            let verify = workspace.orchestrate(&["journal", "verify", "w"]);
            verify.finish().exits(0);
        }
        if !runs(workspace.root()).is_empty() {
            workspace.orchestrate(&["status"]).finish().exits(0);
        }
    }

    /// What the oracle judges when the disk is gone.
    fn keep_the_state(workspace: &Workspace, disk: Disk) {
        let (state, kept) = (
            workspace.root().join(".orchestrate"),
            workspace.root().with_file_name("kept"),
        );
        let copied = Command::new("cp").arg("-a").args([&state, &kept]).status();
        assert!(copied.is_ok_and(|status| status.success()));
        drop(disk);
        std::fs::rename(&kept, &state).expect("a directory");
    }
}

/// Stops the guard before the cut, so that it ends by our hand. How it ends after a cut means as little as what is said
/// then: a sync that is under way when ext4 is shut down may come back without an error. When it is the power that
/// goes, nobody is there to be told.
fn stop(running: &Running<'_>) {
    running.signal(Signal::SIGSTOP);
    running.wait_until_stopped();
}

/// Waits until a journal is being written that shall replace the one that is there, or the run is over.
#[expect(
    clippy::disallowed_methods,
    reason = "a run that stands still must fail the test"
)]
fn wait_for_a_draft(workspace: &Workspace, running: &Running<'_>) {
    let began = Instant::now();
    let is_draft = |name: &String| name.contains(".tmp");
    while !names_beside_the_journal(workspace).iter().any(is_draft) && !running.has_ended() {
        assert!(began.elapsed() < WATCHDOG, "the run stands still");
        std::thread::yield_now();
    }
}

fn names_beside_the_journal(workspace: &Workspace) -> Vec<String> {
    let entries = std::fs::read_dir(workspace.root().join(".orchestrate/w"));
    let entries = entries.expect("a directory");
    let name = |entry: std::io::Result<DirEntry>| entry.expect("an entry").file_name();
    entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect()
}

/// The item of a line `[3/40] item-7 done in 14ms`.
fn shown_as_done(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let (place, item, outcome) = (words.next()?, words.next()?, words.next()?);
    (place.starts_with('[') && outcome == "done").then(|| item.to_owned())
}

/// Removes the folders of runs that were cut off before anything was written there; says how many.
fn remove_runs_without_record(workspace: &Workspace) -> usize {
    let folders = workspace.root().join(".orchestrate/runs");
    let mut removed = 0;
    for run in runs(workspace.root()) {
        let folder = folders.join(run);
        if !folder.join("run.json").exists() {
            std::fs::remove_dir_all(folder).expect("a directory");
            removed += 1;
        }
    }
    removed
}

/// Whether the log of the run that has done the item holds what the item wrote.
fn log_is_whole(workspace: &Workspace, item: &str) -> bool {
    let records = records(workspace.root());
    let record = records.iter().find(|it| it.item == item).expect("a record");
    let path = format!(".orchestrate/runs/{}/logs/{item}.1.log", record.run);
    let log = std::fs::read_to_string(workspace.root().join(path));
    log.is_ok_and(|log| log == format!("{item} works\n"))
}
