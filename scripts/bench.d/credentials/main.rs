//! `credentials [SEEDS]`: how good the hand-out of keys is, against a provider with limits, in virtual time.
//!
//! Nothing runs and nothing waits: children and provider are simulated, and what decides is the code of orchestrate
//! itself. The same seeds give the same table.

mod child;
mod oracle;
mod ours;
mod provider;
mod report;
mod scenario;
mod simple;
mod simulation;

use std::io::Write as _;

use orchestrate::credential::profile::Profile;

/// The worlds of each scenario that are simulated if nobody says how many.
const SEEDS: u64 = 3;

fn main() -> std::io::Result<()> {
    let seeds = std::env::args().nth(1).map(|seeds| seeds.parse());
    let seeds = seeds.unwrap_or(Ok(SEEDS)).expect("a number of seeds");
    let seeds: Vec<u64> = (1..=seeds).collect();
    let profile = Profile::new(&[]).expect("the patterns that are shipped are tested");
    let mut stdout = std::io::stdout();
    stdout.write_all(report::HEAD.as_bytes())?;
    for scenario in scenario::SCENARIOS {
        let row = report::row(scenario, &seeds, &profile);
        stdout.write_all(row.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use orchestrate::credential::profile::Profile;

    use super::oracle::{Oracle, floor};
    use super::ours::Ours;
    use super::scenario::{SCENARIOS, Scenario};
    use super::simulation::simulate;

    const SEEDS: [u64; 3] = [1, 2, 3];

    /// How long all worlds of a scenario may take together, in thousandths of what the oracle takes.
    const PERMILLE_MAX: u128 = 1100;

    /// … and no item fails by a limit, or is left.
    #[test]
    fn the_hand_out_of_keys_is_nearly_as_good_as_knowing_everything() {
        let profile = Profile::new(&[]).unwrap();
        let (some, others) = SCENARIOS.split_at(SCENARIOS.len() / 2);
        let broken = std::thread::scope(|scope| {
            let halves = [some, others].map(|half| {
                let profile = &profile;
                scope.spawn(move || {
                    let broken = half.iter().flat_map(|it| broken(it, profile));
                    broken.collect::<Vec<String>>()
                })
            });
            halves.map(|half| half.join().unwrap()).concat()
        });
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    /// What a scenario does not hold to.
    fn broken(scenario: &Scenario, profile: &Profile) -> Vec<String> {
        let mut broken = Vec::new();
        let (mut ours_took, mut oracle_took) = (Duration::ZERO, Duration::ZERO);
        for seed in SEEDS {
            let world = scenario.world(seed);
            let oracle = simulate(&world, &mut Oracle::new(&world));
            assert_eq!((oracle.done, oracle.wasted), (world.items.len(), 0));
            assert!(oracle.makespan >= floor(&world), "{}", scenario.name);
            let mut contender = Ours::new(&world, profile);
            let ours = simulate(&world, &mut contender);
            if ours.done < world.items.len() {
                let tally = contender.tally();
                broken.push(format!("{}, seed {seed}: {tally:?}", scenario.name));
            }
            ours_took += ours.makespan;
            oracle_took += oracle.makespan;
        }
        let permille = ours_took.as_millis() * 1000 / oracle_took.as_millis();
        if permille > PERMILLE_MAX {
            broken.push(format!("{}: {permille} thousandths", scenario.name));
        }
        broken
    }

    #[test]
    fn the_same_seed_gives_the_same_course() {
        let profile = Profile::new(&[]).unwrap();
        let scenario = &SCENARIOS[1];
        let course = || {
            let world = scenario.world(7);
            simulate(&world, &mut Ours::new(&world, &profile))
        };
        assert_eq!(course(), course());
    }
}
