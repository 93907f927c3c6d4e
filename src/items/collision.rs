//! Item numbers that a per-item command may take for one another. Pure.
//!
//! Some commands look for an existing worktree, branch or directory by substring: items 83 and 838 in one batch can then
//! share a tree. The run warns about such pairs; it does not refuse them.

use std::collections::HashSet;

/// How many pairs are named at most.
pub const COLLISIONS_MAX: usize = 100;

/// The pairs of which one number's decimal digits stand inside the other's, the smaller first, in ascending order of the
/// larger; at most [`COLLISIONS_MAX`] pairs. Equal numbers are one number.
#[must_use]
pub fn colliding_numbers(numbers: &[u64]) -> Vec<(u64, u64)> {
    let known: HashSet<u64> = numbers.iter().copied().collect();
    let mut ascending: Vec<u64> = known.iter().copied().collect();
    ascending.sort_unstable();
    ascending
        .into_iter()
        .flat_map(|larger| {
            let mut inside = numbers_inside(larger);
            inside.retain(|smaller| known.contains(smaller));
            inside.into_iter().map(move |smaller| (smaller, larger))
        })
        .take(COLLISIONS_MAX)
        .collect()
}

/// Every other number whose digits stand inside those of `number`, ascending.
fn numbers_inside(number: u64) -> Vec<u64> {
    let digits = number.to_string();
    let mut inside = Vec::new();
    for start in 0..digits.len() {
        for end in start + 1..=digits.len() {
            let part = &digits[start..end];
            let leading_zero = part.len() > 1 && part.starts_with('0');
            if part.len() < digits.len() && !leading_zero {
                inside.extend(part.parse::<u64>());
            }
        }
    }
    inside.sort_unstable();
    inside.dedup();
    inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_inside_others_are_found() {
        for (numbers, expected) in [
            (&[83, 838][..], &[(83, 838)][..]),
            (&[838, 83, 38, 7], &[(38, 838), (83, 838)]),
            (&[42, 42], &[]),
            (&[0, 10], &[(0, 10)]),
            (&[1, 2], &[]),
            (&[], &[]),
        ] {
            assert_eq!(colliding_numbers(numbers), expected);
        }
    }

    #[test]
    fn the_answer_is_bounded() {
        let numbers: Vec<u64> = (0..5000).collect();
        assert_eq!(colliding_numbers(&numbers).len(), COLLISIONS_MAX);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_search_of_every_pair(numbers in prop::collection::vec(0_u64..300, 0..12)) {
            let mut naive = Vec::new();
            for &larger in &numbers {
                for &smaller in &numbers {
                    if smaller != larger && larger.to_string().contains(&smaller.to_string()) {
                        naive.push((smaller, larger));
                    }
                }
            }
            naive.sort_unstable_by_key(|&(smaller, larger)| (larger, smaller));
            naive.dedup();
            prop_assert_eq!(colliding_numbers(&numbers), naive);
        }
    }
}
