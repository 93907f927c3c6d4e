//! A batch whose orchestrator, guard, or both are killed again and again at random moments, until it is done.
//!
//! `scripts/crash --long` kills two hundred times.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::support::end::End;
use crate::support::ledger::records;
use crate::support::random::Random;
use crate::support::running::Running;
use crate::support::workspace::Workspace;

/// How many kills, when [`COUNT_VARIABLE`] does not say it.
const COUNT: usize = 6;

const COUNT_VARIABLE: &str = "ORCHESTRATE_CRASHES";

const ITEMS: usize = 40;

/// Short work, and what makes the end of a run hard: a daemon, a background process, and deafness.
const BODY: &str = r#"
number=${item#item-}
case $number in
*3) setsid sleep 100000 </dev/null >/dev/null 2>&1 & ;;
*5) sleep 100000 & ;;
*7) trap '' INT TERM ;;
esac
echo "$item works"
sleep "0.0$((number % 10))"
exit 0"#;

const ARGUMENTS: [&str; 5] = ["-j6", "-q", "w", "--grace", "1s"];

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Orchestrator,
    Guard,
    Both,
}

/// What a campaign has seen.
#[derive(Debug, Default)]
struct Campaign {
    kills: BTreeMap<Victim, usize>,
    batches: usize,
    /// Runs that were at their end before they could be killed.
    undisturbed: usize,
    /// Runs that were turned away while somebody of the last one lived.
    turned_away: usize,
    /// The longest time from a kill to the end of the last process of the run, where guard or orchestrator was left.
    longest: Duration,
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how many kills is said by whoever starts the test"
)]
fn whoever_is_killed_and_whenever_every_item_is_done_once_and_nothing_is_left() {
    let count = std::env::var(COUNT_VARIABLE).map_or(COUNT, |count| count.parse().unwrap());
    let seed = u64::from(std::process::id()) << 32 | 0x9e37_79b9;
    let mut random = Random::new(seed);
    let mut campaign = Campaign::default();
    while campaign.kills.values().sum::<usize>() < count {
        campaign.batch(&mut random, count);
    }
    println!("seed {seed}: {campaign:?}");
}

impl Campaign {
    /// Forty items, with kills until they are done.
    fn batch(&mut self, random: &mut Random, count: usize) {
        let items: Vec<String> = (1..=ITEMS).map(|n| format!("item-{n}")).collect();
        let names: Vec<&str> = items.iter().map(String::as_str).collect();
        let workspace = Workspace::new(&names, BODY);
        self.batches += 1;
        while workspace.done().len() < ITEMS {
            let running = workspace.orchestrate(&ARGUMENTS).start();
            if self.kills.values().sum::<usize>() < count {
                self.disturb(&workspace, running, random);
            } else {
                running.finish().exits(0);
            }
        }
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for record in records(workspace.root()) {
            if record.outcome == "done" {
                *times.entry(record.item).or_default() += 1;
            }
        }
        assert_eq!(times.len(), ITEMS);
        assert!(times.values().all(|&it| it == 1), "{times:?}");
    }

    /// Kills somebody at a random moment of the run: after so many steps of its items, and a little more.
    #[expect(clippy::disallowed_methods, reason = "what is measured is reported")]
    fn disturb(&mut self, workspace: &Workspace, running: Running<'_>, random: &mut Random) {
        let victim = match random.below(3) {
            0 => Victim::Orchestrator,
            1 => Victim::Guard,
            _ => Victim::Both,
        };
        running.wait_for_steps(random.below(40));
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        // Stopped, it can neither end by itself nor learn of the other's end.
        running.signal(Signal::SIGSTOP);
        running.wait_until_stopped();
        let orchestrator = running.orchestrator();
        if let Some(orchestrator) = orchestrator.filter(|_| victim != Victim::Guard) {
            // The guard has not reaped it: the number is its own.
            kill(orchestrator, Signal::SIGKILL).unwrap();
        }
        let killed = Instant::now();
        if victim == Victim::Orchestrator {
            running.signal(Signal::SIGCONT);
        } else {
            running.signal(Signal::SIGKILL);
        }
        if victim == Victim::Both {
            self.try_again_beside_survivors(workspace);
        }
        let end = running.finish().end;
        if end == End::Killed(Signal::SIGKILL) {
            *self.kills.entry(victim).or_default() += 1;
            if victim != Victim::Both {
                self.longest = self.longest.max(killed.elapsed());
            }
        } else {
            // It was over, or its orchestrator was.
            assert_eq!(end, End::Exited(0));
            self.undisturbed += 1;
        }
    }

    /// With nobody there to end them, the processes of the items live on, and keep the lock.
    fn try_again_beside_survivors(&mut self, workspace: &Workspace) {
        let again = workspace.orchestrate(&ARGUMENTS).finish();
        match again.end {
            End::Exited(75) => self.turned_away += 1,
            _ => drop(again.exits(0)),
        }
        workspace.kill_survivors();
    }
}
