//! The threads on which attempts run. One that is free takes the next attempt, as to make a thread costs a fifth of what a
//! short item costs in all.
//!
//! The launcher alone calls it. There are as many as attempts have been under way at once; they end with the process.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use super::message::Message;
use crate::child::attempt::{ReadBuffer, STACK_BYTES};

/// Runs an attempt to its end with the buffer of its thread, and says how that was.
pub(super) type Work = Box<dyn FnOnce(&mut ReadBuffer) -> Message + Send>;

/// All of them.
pub(super) struct Workers {
    free: Free,
    messages: UnboundedSender<Message>,
}

/// Those that wait for work.
#[derive(Clone, Default)]
struct Free(Arc<Mutex<Vec<Sender<Work>>>>);

impl Workers {
    /// None as yet; what their work says goes to `messages`.
    pub(super) fn new(messages: UnboundedSender<Message>) -> Self {
        Self {
            free: Free::default(),
            messages,
        }
    }

    /// Has `work` done at once.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had; it is not done then.
    pub(super) fn run(&self, work: Work) -> io::Result<()> {
        let free = self.free.list().pop();
        let Some(worker) = free else {
            return self.run_on_a_new_one(work);
        };
        // A free worker listens as long as there is anybody to talk to it.
        worker
            .send(work)
            .map_err(|_gone| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    fn run_on_a_new_one(&self, work: Work) -> io::Result<()> {
        let (sender, receiver) = channel();
        let (free, messages) = (self.free.clone(), self.messages.clone());
        let serve = move || {
            let mut work = work;
            let mut buffer = ReadBuffer::default();
            loop {
                let ended = work(&mut buffer);
                // First, so that the next attempt, which may follow at once, finds it free.
                free.list().push(sender.clone());
                // The loop is gone only when the whole process is going.
                let _nobody = messages.send(ended);
                work = next(&receiver);
            }
        };
        let thread = std::thread::Builder::new().name("item".to_owned());
        thread.stack_size(STACK_BYTES).spawn(serve).map(drop)
    }
}

fn next(receiver: &Receiver<Work>) -> Work {
    // Its own thread holds a sender.
    receiver.recv().expect("nobody can hang up")
}

impl Free {
    fn list(&self) -> MutexGuard<'_, Vec<Sender<Work>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::schedule::event::ItemIndex;

    #[test]
    fn work_is_done_on_a_free_thread_and_on_a_new_one_when_none_is() {
        let (messages, mut told) = unbounded_channel();
        let workers = Workers::new(messages);
        let (sender, threads) = channel::<ThreadId>();
        let run = |item, goes_on: Option<Receiver<()>>| {
            let sender = sender.clone();
            let work = move |_: &mut ReadBuffer| {
                sender.send(std::thread::current().id()).unwrap();
                goes_on.map(|it| it.recv());
                Message::Suspended(ItemIndex(item))
            };
            workers.run(Box::new(work)).unwrap();
            threads.recv().unwrap()
        };
        let first = run(1, None);
        told.blocking_recv().unwrap();
        let (go_on, goes_on) = channel();
        assert_eq!(run(2, Some(goes_on)), first);
        let second = run(3, None);
        assert_ne!(second, first);
        told.blocking_recv().unwrap();
        assert_eq!(run(4, None), second);
        told.blocking_recv().unwrap();
        go_on.send(()).unwrap();
        told.blocking_recv().unwrap();
    }
}
