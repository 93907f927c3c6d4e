//! Shows what an item has written in one block when it has ended, for `--output group` and `failures`.
//!
//! One thread reads the logs back, in which keys are masked, and sends them to the terminal, one after the other: two
//! blocks never mix, memory does not grow with a log, and the loop does not wait. What has to stand below a block goes
//! the same way.

use std::fs::File;
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use tokio::sync::oneshot;

use super::collect;
use crate::error::Result;
use crate::items::item::ItemId;
use crate::output::Target;
use crate::output::line::{Produced, Stream};
use crate::output::mask::{Masked, Masker};
use crate::output::terminal::TerminalHandle;
use crate::report::paint::Paint;
use crate::state::directory::RunDirectory;

/// How much of a log is read at once.
const BLOCK_BYTES: usize = 64 << 10;

/// What stands before each line of a block, so that no item can forge the head of another's.
const INDENT: &str = "    ";

/// The way to the thread.
pub(super) struct Blocks {
    orders: Option<mpsc::Sender<Order>>,
    is_abandoned: Arc<AtomicBool>,
    finished: Option<oneshot::Receiver<()>>,
}

/// What the thread is to show.
enum Order {
    Block(Block),
    /// A line of ours.
    Line(String),
}

/// The output of an attempt.
pub(super) struct Block {
    /// The item.
    pub(super) id: ItemId,
    /// Its title, masked and escaped.
    pub(super) title: String,
    /// The number of the attempt.
    pub(super) attempt: u32,
    /// Why the log is not whole, if it is not.
    pub(super) cut: Option<String>,
}

/// Where blocks go, and how they look.
pub(super) struct Look {
    /// The stream of ours.
    pub(super) target: Target,
    /// In which colours.
    pub(super) paint: Paint,
}

struct Printer {
    run: Arc<RunDirectory>,
    masker: Arc<Masker>,
    terminal: TerminalHandle,
    look: Look,
    is_abandoned: Arc<AtomicBool>,
}

impl Blocks {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When there is none to be had.
    pub(super) fn start(
        run: Arc<RunDirectory>,
        masker: Arc<Masker>,
        terminal: TerminalHandle,
        look: Look,
    ) -> Result<Self> {
        let (orders, received) = mpsc::channel();
        let is_abandoned = Arc::new(AtomicBool::new(false));
        let printer = Printer {
            run,
            masker,
            terminal,
            look,
            is_abandoned: Arc::clone(&is_abandoned),
        };
        let body = move || {
            for order in received {
                match order {
                    Order::Block(block) => printer.show(&block),
                    Order::Line(line) => printer.terminal.say(Target::Stderr, line),
                }
            }
        };
        Ok(Self {
            orders: Some(orders),
            finished: Some(collect::aside("blocks", body)?),
            is_abandoned,
        })
    }

    /// Shows the output of an attempt that has ended.
    pub(super) fn show(&self, block: Block) {
        self.order(Order::Block(block));
    }

    /// Says a line below the blocks before it.
    pub(super) fn say(&self, line: String) {
        self.order(Order::Line(line));
    }

    /// Nothing follows; comes when everything is shown.
    pub(super) fn finish(&mut self) -> Option<oneshot::Receiver<()>> {
        self.orders = None;
        self.finished.take()
    }

    /// Nobody wants to wait for the blocks any more. Lines of ours are said all the same.
    pub(super) fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Relaxed);
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // It ends when there is no sender.
            let _sent = orders.send(order);
        }
    }
}

impl Printer {
    fn show(&self, block: &Block) {
        let log = self.run.open_log(&block.id, block.attempt);
        // A log that is not there was told when it could not be made.
        let Ok(Some(mut log)) = log else {
            return;
        };
        let indent = self.masker.mask_text(INDENT).into();
        let nothing_to_mask = Arc::new(Masker::default());
        let mut stream = Stream::new(nothing_to_mask, indent, self.look.paint.0);
        let mut produced = Produced::default();
        let mut head = Some(self.head(block));
        while !self.is_abandoned.load(Ordering::Relaxed) {
            let Some(bytes) = next_bytes(&mut log) else {
                stream.finish(&mut produced);
                self.send(&mut produced, &mut head);
                break;
            };
            stream.feed(&bytes, &mut produced);
            if !self.send(&mut produced, &mut head) {
                return;
            }
        }
        if let Some(why) = &block.cut {
            let line = format!("{INDENT}the log of {} is cut: {why}\n", block.id);
            let line = self.masker.mask_text(&line).into();
            let _closed = self.terminal.send(self.look.target, line);
        }
    }

    fn head(&self, block: &Block) -> Masked<Vec<u8>> {
        let attempt = (block.attempt > 1).then(|| format!("(attempt {})", block.attempt));
        let title = Some(block.title.clone()).filter(|title| !title.is_empty());
        let words: Vec<String> = title.into_iter().chain(attempt).collect();
        let prefix = self.look.paint.prefix(block.id.as_str());
        let head = format!("{prefix}{}", words.join(" "));
        let head = format!("{}\n", head.trim_end());
        self.masker.mask_text(&head).into()
    }

    /// Whether what comes next can still be shown.
    fn send(&self, produced: &mut Produced, head: &mut Option<Masked<Vec<u8>>>) -> bool {
        let lines = std::mem::take(&mut produced.display);
        produced.clear();
        let parts = head
            .take_if(|_| !lines.is_empty())
            .into_iter()
            .chain([lines]);
        for part in parts {
            if self.terminal.send(self.look.target, part).is_err() {
                return false;
            }
        }
        true
    }
}

/// Nothing at the end, and where the log cannot be read on.
fn next_bytes(log: &mut File) -> Option<Vec<u8>> {
    let mut bytes = vec![0; BLOCK_BYTES];
    let length = log.read(&mut bytes).ok().filter(|&length| length > 0)?;
    bytes.truncate(length);
    Some(bytes)
}
