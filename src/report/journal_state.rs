//! What a journal holds, and what became of a damaged one, in words and as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::json::{FORMAT_VERSION, line};
use super::paint::Paint;
use crate::error::Error;
use crate::escape::escape_text;
use crate::state::history::{Reading, Standing};
use crate::state::record::Outcome;
use crate::state::salvage::{Plan, Repair};

/// What is known of one journal.
#[derive(Debug)]
pub struct JournalState {
    workflow: String,
    found: Result<Whole, String>,
}

#[derive(Debug)]
struct Whole {
    records: u64,
    items: usize,
    version: u64,
    bytes: u64,
    /// How many items stand how, in a fixed order; none that is zero.
    counts: Vec<(&'static str, usize)>,
    notes: Vec<String>,
}

impl JournalState {
    /// A journal that is whole; `live` says whether a run is at it now.
    #[must_use]
    pub fn whole(workflow: &str, reading: &Reading, live: bool) -> Self {
        let history = &reading.history;
        let word = |standing| match standing {
            Standing::Ended(outcome) => outcome.as_str(),
            Standing::Unfinished if live => "running",
            Standing::Unfinished => "cut-off",
        };
        let mut counts: Vec<(&str, usize)> = [
            Outcome::Done,
            Outcome::Failed,
            Outcome::TimedOut,
            Outcome::Interrupted,
            Outcome::Deferred,
        ]
        .map(|outcome| (outcome.as_str(), 0))
        .into();
        counts.extend([("running", 0), ("cut-off", 0)]);
        for standing in history.standings() {
            for (_, count) in counts
                .iter_mut()
                .filter(|(name, _)| *name == word(standing))
            {
                *count += 1;
            }
        }
        counts.retain(|(_, count)| *count > 0);
        Self {
            workflow: workflow.to_owned(),
            found: Ok(Whole {
                records: history.records(),
                items: counts.iter().map(|(_, count)| count).sum(),
                version: reading.version,
                bytes: reading.bytes,
                counts,
                notes: history.notes().to_vec(),
            }),
        }
    }

    /// A journal that cannot be read, for this reason.
    #[must_use]
    pub fn damaged(workflow: &str, error: &Error) -> Self {
        Self {
            workflow: workflow.to_owned(),
            found: Err(error.to_string()),
        }
    }

    /// For a person.
    #[must_use]
    pub fn text(&self, paint: Paint) -> String {
        let workflow = escape_text(&self.workflow);
        let whole = match &self.found {
            Ok(whole) => whole,
            Err(why) => {
                let bad = paint.bad("not whole");
                return format!("{workflow}: {bad}: {}", escape_text(why));
            }
        };
        let counts: Vec<String> = whole
            .counts
            .iter()
            .map(|(word, count)| format!("{count} {}", word.replace('-', " ")))
            .collect();
        let counts = match &counts[..] {
            [] => String::new(),
            counts => format!(": {}", counts.join(", ")),
        };
        let mut text = format!(
            "{workflow}: {}: {} of {}{counts} ({} bytes, version {})",
            paint.good("whole"),
            counted(whole.records, "record"),
            counted(whole.items as u64, "item"),
            whole.bytes,
            whole.version,
        );
        for note in &whole.notes {
            text.push_str("\n  ");
            text.push_str(&escape_text(note));
        }
        text
    }

    /// For a machine.
    #[must_use]
    pub fn json_line(&self) -> String {
        let mut object = object(&self.workflow);
        match &self.found {
            Ok(whole) => {
                let counts: Map<String, Value> = whole
                    .counts
                    .iter()
                    .map(|(word, count)| ((*word).to_owned(), json!(count)))
                    .collect();
                object["whole"] = json!(true);
                object["records"] = json!(whole.records);
                object["items"] = json!(whole.items);
                object["counts"] = Value::Object(counts);
                object["bytes"] = json!(whole.bytes);
                object["journal_version"] = json!(whole.version);
                object["notes"] = json!(whole.notes);
            }
            Err(why) => {
                object["whole"] = json!(false);
                object["reason"] = json!(why);
            }
        }
        line(&object)
    }
}

/// What became of a damaged journal, for a person.
#[must_use]
pub fn repair_text(workflow: &str, repair: &Repair) -> String {
    let workflow = escape_text(workflow);
    match repair {
        Repair::Absent => format!("{workflow}: there is no journal"),
        Repair::Whole => format!("{workflow}: whole; nothing was touched"),
        Repair::Rehearsed { plan } => {
            let kept = counted(plan.kept.len() as u64, "whole record");
            format!("{workflow}: {kept} would be kept{}", losses(plan))
        }
        Repair::Repaired { plan, original } => {
            let kept = counted(plan.kept.len() as u64, "whole record");
            let original = escape_text(original);
            format!(
                "{workflow}: repaired, {kept} kept; the damaged journal is `{original}` beside it{}",
                losses(plan)
            )
        }
    }
}

/// What became of a damaged journal, for a machine.
#[must_use]
pub fn repair_line(workflow: &str, repair: &Repair) -> String {
    let mut object = object(workflow);
    let word = match repair {
        Repair::Absent => "absent",
        Repair::Whole => "whole",
        Repair::Rehearsed { .. } => "rehearsed",
        Repair::Repaired { .. } => "repaired",
    };
    object["repair"] = json!(word);
    if let Repair::Rehearsed { plan } | Repair::Repaired { plan, .. } = repair {
        let wrong = plan
            .wrong
            .iter()
            .map(|(line, wrong)| json!({ "line": line, "reason": wrong.to_string() }));
        object["kept"] = json!(plan.kept.len());
        object["bad_lines"] = json!(plan.wrong_lines);
        object["bad"] = wrong.collect();
        object["missing"] = json!(plan.missing);
    }
    if let Repair::Repaired { original, .. } = repair {
        object["original"] = json!(original);
    }
    line(&object)
}

fn object(workflow: &str) -> Value {
    json!({ "type": "journal", "version": FORMAT_VERSION, "workflow": workflow })
}

/// What is not kept, a line each.
fn losses(plan: &Plan) -> String {
    let mut text = String::new();
    for (line, wrong) in &plan.wrong {
        let _infallible = write!(text, "\n  line {line}: {wrong}");
    }
    let untold = plan.wrong_lines - plan.wrong.len() as u64;
    if untold > 0 {
        let _infallible = write!(text, "\n  and {} like these", counted(untold, "line"));
    }
    if plan.missing > 0 {
        let missing = counted(plan.missing, "record");
        let _infallible = write!(
            text,
            "\n  {missing} before the last kept one cannot be read or found: \
             an item that is done may run again, --dry-run shows which"
        );
    }
    text
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::record::Defect;
    use crate::state::salvage::Wrong;

    fn plan() -> Plan {
        Plan {
            kept: Vec::new(),
            wrong: vec![(3, Wrong::Bad(Defect::Checksum)), (9, Wrong::Repeated)],
            wrong_lines: 4,
            missing: 1,
        }
    }

    #[test]
    fn a_repair_says_what_it_dropped() {
        let repair = Repair::Repaired {
            plan: plan(),
            original: "journal.jsonl.damaged-1".to_owned(),
        };
        assert_eq!(
            repair_text("w", &repair),
            "w: repaired, 0 whole records kept; the damaged journal is `journal.jsonl.damaged-1` beside it\n  \
             line 3: its checksum is not that of its bytes\n  \
             line 9: it stands there twice\n  \
             and 2 lines like these\n  \
             1 record before the last kept one cannot be read or found: an item that is done may run again, \
             --dry-run shows which"
        );
        let line: Value = serde_json::from_str(&repair_line("w", &repair)).unwrap();
        assert_eq!(line["repair"], "repaired");
        assert_eq!(line["bad"][0]["line"], 3);
        assert_eq!(
            (&line["bad_lines"], &line["missing"]),
            (&json!(4), &json!(1))
        );
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_told_without_escape_sequences() {
        let error = Error::usage("\u{1b}[2J");
        let state = JournalState::damaged("w", &error);
        assert_eq!(state.text(Paint(false)), "w: not whole: \\x1b[2J");
        let line: Value = serde_json::from_str(&state.json_line()).unwrap();
        assert_eq!(
            (&line["type"], &line["whole"]),
            (&json!("journal"), &json!(false))
        );
    }
}
