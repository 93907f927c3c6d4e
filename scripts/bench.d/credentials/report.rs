//! All contenders in all scenarios, and the table of it.

use std::fmt::Write as _;
use std::time::Duration;

use orchestrate::credential::profile::Profile;

use super::oracle::{Oracle, floor};
use super::ours::Ours;
use super::scenario::Scenario;
use super::simple::{RoundRobin, Uncoordinated};
use super::simulation::{Count, World, simulate};

/// What a contender has come to in one world.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Score {
    pub(crate) count: Count,
    /// Items that have failed.
    pub(crate) failed: usize,
    /// Items that are not done when it gives up.
    pub(crate) left: usize,
}

/// Everybody in one world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Match {
    pub(crate) oracle: Score,
    pub(crate) ours: Score,
    pub(crate) round_robin: Score,
    pub(crate) uncoordinated: Score,
}

impl Match {
    /// Plays it.
    pub(crate) fn play(world: &World, profile: &Profile) -> Self {
        let oracle = simulate(world, &mut Oracle::new(world));
        let mut ours = Ours::new(world, profile);
        let our_count = simulate(world, &mut ours);
        let round_robin = simulate(world, &mut RoundRobin::new(world));
        let mut uncoordinated = Uncoordinated::new(world);
        let count = simulate(world, &mut uncoordinated);
        let items = world.items.len();
        let score = |count: Count, failed: usize| Score {
            count,
            failed,
            left: items - count.done - failed,
        };
        Self {
            oracle: score(oracle, 0),
            ours: score(our_count, ours.tally().failed),
            round_robin: score(round_robin, 0),
            uncoordinated: score(count, uncoordinated.failed()),
        }
    }
}

impl Score {
    /// How long it took, in thousandths of what the other took.
    pub(crate) fn permille_of(&self, other: &Self) -> u128 {
        self.count.makespan.as_millis() * 1000 / other.count.makespan.as_millis().max(1)
    }
}

/// The head of the table.
pub(crate) const HEAD: &str = "\
| scenario | no schedule below | oracle | orchestrate | … in its worst world | round robin | uncoordinated |
|---|---|---|---|---|---|---|
";

/// The table's row of a scenario with these seeds: means, and the items of all worlds that failed or are left.
pub(crate) fn row(scenario: &Scenario, seeds: &[u64], profile: &Profile) -> String {
    let play = |&seed: &u64| Match::play(&scenario.world(seed), profile);
    let matches: Vec<Match> = seeds.iter().map(play).collect();
    let worst = matches.iter().map(|it| it.ours.permille_of(&it.oracle));
    let worst = worst.max().unwrap_or_default();
    let sum = |who: fn(&Match) -> Score| Sum::of(matches.iter().map(who));
    let oracle = sum(|it| it.oracle);
    let floors = seeds.iter().map(|&seed| floor(&scenario.world(seed)));
    let floors: Duration = floors.sum();
    let cell = |sum: &Sum| sum.cell(&oracle, seeds.len());
    format!(
        "| {} | {} | {} | {} | ×{} | {} | {} |\n",
        scenario.name,
        hours(floors / worlds(seeds.len())),
        hours(oracle.makespan / worlds(seeds.len())),
        cell(&sum(|it| it.ours)),
        decimal(worst),
        cell(&sum(|it| it.round_robin)),
        cell(&sum(|it| it.uncoordinated)),
    )
}

fn worlds(count: usize) -> u32 {
    u32::try_from(count).expect("a few")
}

#[derive(Default)]
struct Sum {
    makespan: Duration,
    wasted: usize,
    wasted_time: Duration,
    failed: usize,
    left: usize,
}

impl Sum {
    fn of(scores: impl Iterator<Item = Score>) -> Self {
        scores.fold(Self::default(), |sum, score| Self {
            makespan: sum.makespan + score.count.makespan,
            wasted: sum.wasted + score.count.wasted,
            wasted_time: sum.wasted_time + score.count.wasted_time,
            failed: sum.failed + score.failed,
            left: sum.left + score.left,
        })
    }
}

impl Sum {
    fn cell(&self, oracle: &Self, count: usize) -> String {
        let ratio = self.makespan.as_millis() * 1000 / oracle.makespan.as_millis().max(1);
        let mut cell = format!(
            "{} ×{}, {} wasted ({})",
            hours(self.makespan / worlds(count)),
            decimal(ratio),
            self.wasted / count,
            hours(self.wasted_time / worlds(count)),
        );
        for (items, what) in [(self.failed, "failed"), (self.left, "left")] {
            if items > 0 {
                let _infallible = write!(cell, ", **{items} {what}**");
            }
        }
        cell
    }
}

/// Hours and minutes.
fn hours(time: Duration) -> String {
    let minutes = (time.as_secs() + 30) / 60;
    format!("{}:{:02}", minutes / 60, minutes % 60)
}

fn decimal(permille: u128) -> String {
    let hundredths = permille.div_ceil(10);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
