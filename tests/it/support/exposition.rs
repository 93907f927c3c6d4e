//! Prometheus' text exposition format, version 0.0.4, read as strictly as its description allows.

use std::collections::{BTreeMap, BTreeSet};

/// The samples by series, as they are written. Panics where the text is not in the format.
pub(crate) fn parse(text: &str) -> BTreeMap<String, String> {
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "the last line has no end"
    );
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let mut lines = text.lines().peekable();
    while let Some(help) = lines.next() {
        let rest = help
            .strip_prefix("# HELP ")
            .unwrap_or_else(|| panic!("no HELP: {help}"));
        let (name, words) = rest.split_once(' ').expect("a name and a text");
        assert!(is_name(name) && !words.is_empty(), "{help}");
        assert!(
            families.insert(name.to_owned()),
            "{name} stands in two places"
        );
        assert_eq!(lines.next(), Some(&*format!("# TYPE {name} gauge")));
        let mut count = 0;
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = sample(line, name);
            assert!(samples.insert(series, value).is_none(), "twice: {line}");
            count += 1;
        }
        assert!(count > 0, "{name} has no sample");
    }
    samples
}

fn sample(line: &str, name: &str) -> (String, String) {
    let labels = line.strip_prefix(name).and_then(|it| it.strip_prefix('{'));
    let mut rest = labels.unwrap_or_else(|| panic!("not of {name}: {line}"));
    let mut seen = BTreeSet::new();
    loop {
        let (label, after) = rest.split_once("=\"").expect("a label");
        assert!(is_name(label) && seen.insert(label), "{line}");
        let end = value_end(after).unwrap_or_else(|| panic!("no end: {line}"));
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    let value = rest.strip_prefix("} ").unwrap_or_else(|| panic!("{line}"));
    let series = line.strip_suffix(&format!(" {value}")).expect("a suffix");
    assert!(value.parse::<f64>().is_ok(), "no number: {line}");
    (series.to_owned(), value.to_owned())
}

/// Where the double quote stands that ends a label's value.
fn value_end(text: &str) -> Option<usize> {
    let mut characters = text.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Some(place),
            '\\' => {
                let (_, escaped) = characters.next()?;
                assert!(matches!(escaped, '\\' | '"' | 'n'), "{text}");
            }
            _ => {}
        }
    }
    None
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`; a colon is for recording rules.
fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(fits) && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

#[test]
#[should_panic(expected = "twice")]
fn a_series_that_stands_twice_is_refused() {
    parse("# HELP a b\n# TYPE a gauge\na{x=\"y\\\"\\\\\"} 1\na{x=\"y\\\"\\\\\"} 2\n");
}
