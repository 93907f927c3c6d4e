//! The thread that writes: takes what waits, in order, and waits itself only in `poll`.
//!
//! The order holds over both targets as long as neither is blocked. When one is, the other goes on, so that
//! what we say on stderr appears although nobody reads stdout; two that are the same screen wait for each other. The
//! status lines are drawn only when nothing else waits, and are erased before anything else is written to the screen.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::super::Target;
use super::queue::{Entry, Queue, Shared, Stage};
use super::sink::{JOINED_BLOCKS_MAX, Progress, Sink};
use super::status::Drawn;
use super::{Outputs, Reflow, Screen};

pub(super) struct Writer {
    shared: Arc<Shared>,
    sinks: [Sink; 2],
    /// The status lines that stand on the screen.
    drawn: Option<Drawn>,
    reflow: Reflow,
    patience: Duration,
}

enum Step {
    Write(Target),
    /// Nothing can be written before something happens, or this much time has passed.
    Wait(Option<Duration>),
    End,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, outputs: Outputs, patience: Duration) -> Self {
        Self {
            shared,
            sinks: [
                Sink::new(outputs.stdout, outputs.stdout_is_terminal),
                Sink::new(outputs.stderr, outputs.stderr_is_terminal),
            ],
            drawn: None,
            reflow: outputs.reflow,
            patience,
        }
    }

    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let _end = EndOnDrop(Arc::clone(&shared));
        loop {
            let step = self.next_step(&mut shared.lock());
            match step {
                Step::Write(target) => self.write(target),
                Step::Wait(timeout) => self.wait(timeout),
                Step::End => break,
            }
        }
    }

    fn next_step(&mut self, queue: &mut Queue) -> Step {
        if queue.stage >= Stage::Abandoned {
            return Step::End;
        }
        if let Some(target) = self.begun(queue) {
            return Step::Write(target);
        }
        if let Some(target) = self.next_target(queue) {
            if let Some(drawn) = self
                .drawn
                .take_if(|_| self.sinks[target.index()].is_terminal)
            {
                let bytes = drawn.erasure(self.screen().columns, self.reflow);
                self.sink(Target::Stderr).batch.push_back(Entry::own(bytes));
                return self.next_step(queue);
            }
            self.take_batch(target, queue);
            return Step::Write(target);
        }
        if let Some(bytes) = self.status_change(queue) {
            self.sink(Target::Stderr).batch.push_back(Entry::own(bytes));
            return Step::Write(Target::Stderr);
        }
        if queue.stage == Stage::Closing && self.is_idle(queue) {
            return Step::End;
        }
        queue.asleep = true;
        queue.unsettled.clear();
        Step::Wait(self.time_until_skip(queue))
    }

    fn sink(&mut self, target: Target) -> &mut Sink {
        &mut self.sinks[target.index()]
    }

    /// A target with a batch that is partly written and can go on.
    fn begun(&self, queue: &Queue) -> Option<Target> {
        Target::BOTH
            .into_iter()
            .find(|&target| self.is_ready(target, queue) && self.has_begun(target))
    }

    /// Among the targets that can be written to, the one for which something has waited longest.
    fn next_target(&self, queue: &Queue) -> Option<Target> {
        Target::BOTH
            .into_iter()
            .filter(|&target| self.is_ready(target, queue))
            .filter_map(|target| Some((queue.first_sequence(target)?, target)))
            .min_by_key(|&(sequence, _)| sequence)
            .map(|(_, target)| target)
    }

    fn has_begun(&self, target: Target) -> bool {
        !self.sinks[target.index()].batch.is_empty()
    }

    /// Whether a write to `target` may be tried: it is open, not blocked, and nothing half-written stands on the
    /// screen that both share.
    fn is_ready(&self, target: Target, queue: &Queue) -> bool {
        let sink = &self.sinks[target.index()];
        let shares_screen = self.sinks.iter().all(|sink| sink.is_terminal);
        queue.lane(target).closed.is_none()
            && sink.blocked_since.is_none()
            && !(shares_screen && self.has_begun(target.other()) && !self.has_begun(target))
    }

    /// Moves what waits for `target` to its batch, up to the first entry that comes after one of the other target.
    fn take_batch(&mut self, target: Target, queue: &mut Queue) {
        let other = target.other();
        let other_first = self
            .is_ready(other, queue)
            .then(|| queue.first_sequence(other))
            .flatten();
        let entries = &mut queue.lane_mut(target).entries;
        let before_other =
            entries.partition_point(|entry| other_first.is_none_or(|other| entry.sequence < other));
        let count = before_other.min(JOINED_BLOCKS_MAX);
        self.sink(target).batch.extend(entries.drain(..count));
    }

    /// The bytes that bring the status lines up to date, if they can be written now.
    fn status_change(&mut self, queue: &Queue) -> Option<Vec<u8>> {
        let stderr = &self.sinks[Target::Stderr.index()];
        if !stderr.is_terminal || !self.is_ready(Target::Stderr, queue) {
            return None;
        }
        let wanted: &[String] = match queue.stage {
            Stage::Open => &queue.status,
            Stage::Closing | Stage::Abandoned | Stage::Ended => &[],
        };
        let stands = self.drawn.as_ref().map_or(&[][..], Drawn::lines);
        if wanted == stands {
            return None;
        }
        let screen = self.screen();
        let mut bytes = Vec::new();
        if let Some(drawn) = self.drawn.take() {
            bytes = drawn.erasure(screen.columns, self.reflow);
        }
        // In the background the screen is another program's, but for what we have to say.
        let stderr = &self.sinks[Target::Stderr.index()];
        if !wanted.is_empty() && stderr.is_in_foreground() {
            let drawn = Drawn::new(wanted.to_vec(), screen);
            bytes.extend_from_slice(drawn.text().as_bytes());
            self.drawn = Some(drawn);
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    fn screen(&self) -> Screen {
        Screen::of(&self.sinks[Target::Stderr.index()])
    }

    /// Whether everything is written; a terminal that is skipped still has to be told so.
    fn is_idle(&self, queue: &Queue) -> bool {
        let nothing_drawn = self.drawn.is_none();
        nothing_drawn
            && Target::BOTH.into_iter().all(|target| {
                let has_begun = self.has_begun(target);
                let lane = queue.lane(target);
                !has_begun
                    && lane.entries.is_empty()
                    && lane.skipped_lines.is_none_or(|lines| lines == 0)
            })
    }

    fn write(&mut self, target: Target) {
        let progress = self.sink(target).write(now);
        match progress {
            Progress::Written { block_bytes: 0 } | Progress::Blocked => {}
            Progress::Written { block_bytes } => {
                self.shared.lock().lane_mut(target).release(block_bytes);
            }
            Progress::Broken(reason) => {
                self.shared.lock().lane_mut(target).close(reason);
                self.sink(target).clear();
                // A terminal that was closed, and a reader that has gone, want no more.
                let is_gone = reason == Errno::EPIPE || self.sink(target).is_terminal;
                if target == Target::Stdout && !is_gone {
                    let words = format!(
                        "orchestrate: stdout cannot be written: {}; what stands there is not whole",
                        reason.desc()
                    );
                    self.shared.say(Target::Stderr, &words);
                }
                if target == Target::Stderr {
                    self.drawn = None;
                }
            }
        }
    }

    /// How long until a blocked terminal has to be skipped; `None` when nothing waits that could be.
    fn time_until_skip(&self, queue: &Queue) -> Option<Duration> {
        Target::BOTH
            .into_iter()
            .filter_map(|target| self.skip_due(target, queue))
            .min()
    }

    fn skip_due(&self, target: Target, queue: &Queue) -> Option<Duration> {
        let sink = &self.sinks[target.index()];
        let blocked_since = sink.blocked_since?;
        let lane = queue.lane(target);
        let can_skip = sink.is_terminal && lane.skipped_lines.is_none() && lane.has_blocks();
        can_skip.then(|| {
            self.patience
                .saturating_sub(now().duration_since(blocked_since))
        })
    }

    fn wait(&mut self, timeout: Option<Duration>) {
        let ready = self.poll(timeout);
        self.shared.woken();
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.lock();
        for target in Target::BOTH {
            if ready[target.index()] {
                self.unblock(target, &mut queue);
            } else if self.skip_due(target, &queue) == Some(Duration::ZERO) {
                let dropped = self.sink(target).drop_blocks();
                let lane = queue.lane_mut(target);
                lane.skip(dropped.lines);
                lane.release(dropped.block_bytes);
            }
        }
    }

    /// Which of the blocked targets can be tried again (or have failed, which a write will tell).
    fn poll(&self, timeout: Option<Duration>) -> [bool; 2] {
        let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
            // Rounded up: a wait that ends too early would be repeated without a pause.
            let rounded_up = timeout + Duration::from_millis(u64::from(!timeout.is_zero()));
            PollTimeout::try_from(rounded_up).unwrap_or(PollTimeout::MAX)
        });
        let mut descriptors = vec![PollFd::new(self.shared.wake_fd(), PollFlags::POLLIN)];
        let blocked = self
            .sinks
            .iter()
            .filter(|sink| sink.blocked_since.is_some());
        descriptors.extend(blocked.map(|sink| PollFd::new(sink.as_fd(), PollFlags::POLLOUT)));
        // An interrupted poll leaves no events, and we poll again.
        let _ = poll(&mut descriptors, timeout);
        let mut events = descriptors.iter().skip(1);
        [0, 1].map(|index| {
            self.sinks[index].blocked_since.is_some()
                && events.next().and_then(PollFd::any).unwrap_or(false)
        })
    }

    /// The target takes again; if it was skipped, it is told what it has missed.
    fn unblock(&mut self, target: Target, queue: &mut Queue) {
        let sink = self.sink(target);
        sink.blocked_since = None;
        let skipped = queue.lane_mut(target).skipped_lines.take();
        if let Some(lines) = skipped.filter(|&lines| lines > 0) {
            let s = if lines == 1 { "" } else { "s" };
            let text = format!(
                "orchestrate: {lines} line{s} not shown while the terminal was stopped; the logs have them\n"
            );
            sink.batch.push_back(Entry::own(text.into_bytes()));
        }
    }
}

/// Tells those who wait for the end, even if this thread panics.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one clock of this room: how long a terminal has taken nothing"
)]
fn now() -> Instant {
    Instant::now()
}
