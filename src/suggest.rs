//! "Did you mean": the known name that somebody most likely meant.
//!
//! Used wherever a name is refused: placeholders, fields, item ids, options and workflows alike.

/// Longer words than this, in bytes, are not compared: nobody meant one of our names by them.
const WORD_BYTES_MAX: usize = 80;

/// How many candidates are compared at most; with more of them a suggestion is not worth the time.
const CANDIDATES_MAX: usize = 10_000;

/// The candidate nearest to `word`, when one is near: at most a third of its characters mistyped, letter case aside.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter(|candidate| candidate.len() <= WORD_BYTES_MAX)
        .filter_map(|candidate| {
            let allowed = (word.chars().count().max(candidate.chars().count()) / 3).max(1);
            let distance = strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
            (distance <= allowed && distance < word.chars().count())
                .then_some((distance, candidate))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// A hint that names the nearest of `known`, or else all of them.
#[must_use]
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!(
            "known: {}",
            known.into_iter().collect::<Vec<_>>().join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_found_and_a_far_one_is_not() {
        let names = ["number", "title", "path", "id"];
        for (word, expected) in [
            ("nubmer", Some("number")),
            ("Titel", Some("title")),
            ("PATH", Some("path")),
            ("credential", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), expected, "{word}");
        }
        assert_eq!(nearest(&"n".repeat(10_000), names), None);
    }

    #[test]
    fn a_hint_names_the_nearest_or_all() {
        let known = ["requirements", "implement", "run"];
        assert_eq!(hint("requirement", known), "did you mean `requirements`?");
        assert_eq!(hint("xyz", known), "known: requirements, implement, run");
    }
}
