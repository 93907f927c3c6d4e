//! How fast a child's output goes through the lines, without masking and with it.
//!
//! What is timed is what an item's thread does: it reads a block from a pipe, has a stream make log bytes and display
//! lines of it, and writes the first to a file. The terminal has a thread of its own, which is not timed.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use orchestrate::output::line::{Produced, Stream};
use orchestrate::output::log_file::LogFile;
use orchestrate::output::mask::{Masker, Secrets, UnknownKeys};

use crate::bench::Bench;
use crate::measure::now;
use crate::table::{Cell, Row, Unit, median};
use crate::text;

const BLOCK_BYTES: usize = 64 * 1024;
const TEXT_BYTES: usize = 16 << 20;
const KEYS: [usize; 4] = [0, 1, 10, 100];

pub(crate) fn rows(bench: &Bench) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (what, text) in [
        ("log", text::log(TEXT_BYTES)),
        ("colour", text::colour(TEXT_BYTES)),
    ] {
        let maskers = [None].into_iter().chain(KEYS.map(Some));
        let mut times: Vec<_> = maskers.map(|keys| (keys, Vec::new())).collect();
        // In turn, so that other work on the machine meets all of them.
        for _ in 0..bench.either(15, 3) {
            for (keys, times) in &mut times {
                times.push(time(&text, *keys, bench.scratch.path())?);
            }
        }
        let speeds: Vec<_> = times
            .iter()
            .map(|(_, times)| speed(text.len(), times))
            .collect();
        rows.extend(KEYS.iter().zip(&speeds[1..]).map(|(keys, speed)| Row {
            what: format!("an item's thread, {what}, {keys} keys against no masking"),
            unit: Unit::Speed,
            floor: speeds[0].clone(),
            ours: speed.clone(),
            others: Vec::new(),
        }));
    }
    Ok(rows)
}

fn speed(bytes: usize, times: &[Duration]) -> Cell {
    let median = median(times);
    median.map_or(Cell::None, |time| {
        Cell::Value(crate::float(bytes) / time.as_secs_f64() / 1e6)
    })
}

/// The time of one pass; without `keys`, nothing is looked for, not even what unknown keys look like.
fn time(text: &[u8], keys: Option<usize>, folder: &Path) -> io::Result<Duration> {
    let masker = keys.map_or_else(Masker::default, masker);
    let prefix = Masker::default().mask_bytes(b"[issue-42] ");
    let mut stream = Stream::new(Arc::new(masker), prefix, true);
    let mut log = LogFile::new(File::create(folder.join("masking.log"))?);
    // A block fits into a pipe, so nobody has to wait.
    let (mut reader, mut writer) = io::pipe()?;
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut produced = Produced::default();
    let mut spent = Duration::ZERO;
    for block in text.chunks(BLOCK_BYTES) {
        writer.write_all(block)?;
        let began = now();
        let bytes = reader.read(&mut buffer)?;
        stream.feed(&buffer[..bytes], &mut produced);
        log.write(produced.log.as_slice());
        spent += began.elapsed();
        produced.clear();
    }
    Ok(spent)
}

fn masker(keys: usize) -> Masker {
    let mut secrets = Secrets::default();
    for (number, key) in text::keys(keys).iter().enumerate() {
        secrets.add_key(&format!("key-{number}"), key.as_bytes());
    }
    Masker::new(secrets, UnknownKeys::Masked)
}
