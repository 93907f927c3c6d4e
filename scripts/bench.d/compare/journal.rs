//! The journal of a workflow `w` whose items `item-1`, `item-2`, … are all done, two records each. Nothing is run for it.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use orchestrate::error::Result;
use orchestrate::items::item::ItemId;
use orchestrate::state::directory::StateDirectory;
use orchestrate::state::journal::Journal;
use orchestrate::state::lock::WorkflowLock;
use orchestrate::state::record::{End, Outcome, Record, Step};
use orchestrate::state::run_id::RunId;
use sha2::{Digest as _, Sha256};

/// How many items are in memory at once.
const ITEMS_AT_ONCE: usize = 10_000;

pub(crate) fn write(workspace: &Path, items: usize) -> io::Result<()> {
    append(workspace, items).map_err(|error| io::Error::other(format!("{error:?}")))
}

fn append(workspace: &Path, items: usize) -> Result<()> {
    let directory = StateDirectory::prepare(workspace)?.workflow("w")?;
    let lock = WorkflowLock::acquire(&directory, std::process::id(), "now")?;
    let (mut journal, _) = Journal::open(&directory, &lock)?;
    let run = RunId::parse("20261123T001448Z-4f2a").expect("the name of a run");
    let numbers: Vec<usize> = (1..=items).collect();
    for numbers in numbers.chunks(ITEMS_AT_ONCE) {
        let both = |number: &usize| {
            let started = record(*number, &run, Step::Started);
            [started, record(*number, &run, done())]
        };
        let records: Vec<Record> = numbers.iter().flat_map(both).collect();
        journal.note(&records)?;
    }
    lock.release();
    Ok(())
}

fn done() -> Step {
    Step::Ended(End {
        outcome: Outcome::Done,
        exit: "exit 0".to_owned(),
        code: Some(0),
        duration_ms: 14,
    })
}

fn record(number: usize, run: &RunId, step: Step) -> Record {
    let item = format!("item-{number}");
    let mut content_hash = String::new();
    for byte in Sha256::digest(item.as_bytes()) {
        let _infallible = write!(content_hash, "{byte:02x}");
    }
    Record {
        step,
        attempt: 1,
        content_hash,
        started: Timestamp::UNIX_EPOCH,
        credential: None,
        run: run.clone(),
        log: Some(format!("runs/{run}/logs/{item}.1.log")),
        item: ItemId::new(item).expect("an item's name"),
    }
}
