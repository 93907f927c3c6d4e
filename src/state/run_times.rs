//! What a later run learns from `run.json`: how long the items took that were done, and how many keys there were. Pure.
//!
//! A record may be long, of a hundred thousand items and more. So it is read piece by piece, and nothing of it is kept but
//! the times. Nothing is decided by them: a record that cannot be read is no reason to stop.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::record::Outcome;
use super::run_record::{FORMAT, VERSION};

/// What one run tells of the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunTimes {
    /// The workflow.
    pub workflow: String,
    /// How many credentials its pool had.
    pub credentials: usize,
    /// How long the last attempt of each item took that was done.
    pub done: Vec<Duration>,
}

impl RunTimes {
    /// Reads the content of a `run.json`; nothing when it is not one, or of another version.
    #[must_use]
    pub fn read(json: impl Read) -> Option<Self> {
        #[derive(Deserialize)]
        struct Document {
            format: String,
            version: u64,
            workflow: String,
            #[serde(default)]
            credentials: Vec<IgnoredAny>,
            items: DoneTimes,
        }
        let document: Document = serde_json::from_reader(json).ok()?;
        let is_known = document.format == FORMAT && document.version == VERSION;
        is_known.then_some(Self {
            workflow: document.workflow,
            credentials: document.credentials.len(),
            done: document.items.0,
        })
    }
}

/// The list of items, of which only these are kept.
struct DoneTimes(Vec<Duration>);

impl<'de> Deserialize<'de> for DoneTimes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = DoneTimes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<DoneTimes, A::Error> {
        #[derive(Deserialize)]
        struct Item {
            #[serde(default)]
            attempts: Vec<Attempt>,
        }
        #[derive(Deserialize)]
        struct Attempt {
            outcome: Option<Outcome>,
            duration_ms: Option<u64>,
        }
        let mut times = Vec::new();
        while let Some(Item { attempts }) = items.next_element()? {
            let last = attempts.last();
            let done = last.filter(|it| it.outcome == Some(Outcome::Done));
            let time = done.and_then(|it| it.duration_ms);
            times.extend(time.map(Duration::from_millis));
        }
        Ok(DoneTimes(times))
    }
}

#[cfg(test)]
mod tests {
    use super::super::run_record::tests::sample;
    use super::super::run_record::{ItemState, RunAttempt, RunItem};
    use super::*;

    #[test]
    fn only_the_last_attempts_of_items_that_were_done_are_counted() {
        let mut record = sample();
        let attempt = record.items[0].attempts[0].clone();
        let item = |ended: &[(Option<Outcome>, Option<u64>)]| RunItem {
            id: "a".to_owned(),
            title: "\u{1b} \"quoted\"".to_owned(),
            state: ItemState::Ended,
            outcome: Some(Outcome::Done),
            reason: Some("why".to_owned()),
            attempts: ended
                .iter()
                .map(|&(outcome, duration_ms)| RunAttempt {
                    duration_ms,
                    outcome,
                    ..attempt.clone()
                })
                .collect(),
        };
        let (done, failed) = (Some(Outcome::Done), Some(Outcome::Failed));
        record.items = vec![
            item(&[]),
            item(&[(failed, Some(1)), (done, Some(20))]),
            item(&[(done, Some(3)), (failed, Some(4))]),
            item(&[(None, None)]),
            item(&[(done, Some(5))]),
        ];
        let expected = RunTimes {
            workflow: "implement".to_owned(),
            credentials: 1,
            done: [20, 5].map(Duration::from_millis).to_vec(),
        };
        assert_eq!(RunTimes::read(&record.to_json()[..]), Some(expected));
    }

    #[test]
    fn what_is_no_record_of_this_version_tells_nothing() {
        let json = String::from_utf8(sample().to_json()).unwrap();
        assert!(RunTimes::read(json.as_bytes()).is_some());
        let later = json.replacen("\"version\": 1", "\"version\": 2", 1);
        let other = json.replacen("orchestrate-run", "orchestrate-journal", 1);
        for unusable in [&later, &other, "{}", &json[..json.len() - 9]] {
            assert_eq!(RunTimes::read(unusable.as_bytes()), None);
        }
    }
}
