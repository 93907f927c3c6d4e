//! Where a test meets its items: one FIFO on which they announce themselves, and one for each on which it gets orders.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::WATCHDOG;
use super::line_reader::LineReader;

/// The test's ends of the FIFOs of a workspace. An item that waits at a gate goes on when they are dropped.
#[derive(Debug)]
pub(crate) struct Gates {
    arrivals: LineReader,
    doors: BTreeMap<String, File>,
    seen: Vec<String>,
}

impl Gates {
    /// Makes the FIFOs in `root`.
    pub(crate) fn make(root: &Path, items: &[&str]) -> Self {
        let open = |name: &str| {
            let path = root.join(name);
            mkfifo(&path, Mode::S_IRWXU).expect("a FIFO can be made");
            // Open for both: neither side ever blocks in open, and neither sees an end of file (fifo(7)).
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .expect("a FIFO can be opened")
        };
        Self {
            arrivals: LineReader::new(open("arrivals")),
            doors: items
                .iter()
                .map(|item| ((*item).to_owned(), open(&format!("gate.{item}"))))
                .collect(),
            seen: Vec::new(),
        }
    }

    /// The next announcement: the item and its words.
    pub(crate) fn next(&mut self) -> String {
        let Some(line) = self.arrivals.next_line(WATCHDOG) else {
            panic!("nobody came any more; so far: {:?}", self.seen);
        };
        self.seen.push(line.clone());
        line
    }

    /// The next `count` announcements, sorted.
    pub(crate) fn next_sorted(&mut self, count: usize) -> Vec<String> {
        let mut lines: Vec<String> = (0..count).map(|_| self.next()).collect();
        lines.sort();
        lines
    }

    /// Waits for one announcement and expects it to be this one.
    pub(crate) fn expect(&mut self, line: &str) {
        let next = self.next();
        assert_eq!(next, line, "so far: {:?}", self.seen);
    }

    /// Gives an item its order, now or when it comes.
    pub(crate) fn order(&self, item: &str, order: &str) {
        let mut door = &self.doors[item];
        door.write_all(format!("{order}\n").as_bytes())
            .expect("a FIFO takes a short line");
    }
}
