//! Hears what items say in their status files while they run, so that a limit is known to all at once.
//!
//! The launcher starts it with a parallel run; the thread of an item hands its file over and takes it back when the
//! attempt is over, and by then everything in it has been told to the loop. One thread for all of them sleeps until
//! somebody writes in the run's folder of status files (inotify(7)): items that say nothing wake nobody. The watch begins
//! when an item has run for a moment, because to end it takes the kernel longer than a short run lasts. Where there is
//! none to be had, it looks a few times a second while items run.
//!
//! It looks at all files whatever was reported, so nothing depends on a report that got lost, and it decides nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::sync::mpsc::UnboundedSender;

use super::judge::news_in;
use super::message::Message;
use super::status_file::StatusFile;
use crate::error::{Error, Result};
use crate::schedule::event::ItemIndex;

/// Files are read no more often than this, however much is written: what comes meanwhile is read together.
const READS_APART: Duration = Duration::from_millis(250);

/// The way to the thread, which ends with the process.
#[derive(Clone)]
pub(super) struct StatusWatch(Arc<Shared>);

struct Shared {
    files: Mutex<BTreeMap<ItemIndex, Followed>>,
    followed: Condvar,
    messages: UnboundedSender<Message>,
}

/// The file of an attempt that runs.
struct Followed {
    attempt: u32,
    file: StatusFile,
}

impl StatusWatch {
    /// Starts the thread for the status files in `directory`.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub(super) fn start(directory: &Path, messages: UnboundedSender<Message>) -> Result<Self> {
        let shared = Arc::new(Shared {
            files: Mutex::default(),
            followed: Condvar::new(),
            messages,
        });
        let theirs = Arc::clone(&shared);
        let directory = directory.to_owned();
        let listen = move || {
            theirs.wait_for_one_that_lasts();
            // Users and processes may have so many watches and no more.
            if let Ok(watch) = watch(&directory) {
                // What was written before it.
                theirs.look();
                theirs.sleep_until_written(&watch);
            }
            theirs.look_again_and_again();
        };
        let thread = Builder::new().name("status".to_owned()).spawn(listen);
        thread.map_err(|error| Error::state(format!("cannot start a thread: {error}")))?;
        Ok(Self(shared))
    }

    /// Reads on in the file of an attempt that is about to begin.
    pub(super) fn follow(&self, item: ItemIndex, attempt: u32, file: StatusFile) {
        let mut files = self.0.files();
        files.insert(item, Followed { attempt, file });
        // It waits for nothing but the first one.
        if files.len() == 1 {
            self.0.followed.notify_one();
        }
    }

    /// The attempt is over: tells what stands in its file and was not told, and gives it back.
    pub(super) fn take_back(&self, item: ItemIndex) -> Option<StatusFile> {
        let mut followed = self.0.files().remove(&item)?;
        self.0.tell_news(item, &mut followed, true);
        Some(followed.file)
    }
}

impl Shared {
    fn files(&self) -> MutexGuard<'_, BTreeMap<ItemIndex, Followed>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the watch is of no use any more.
    fn sleep_until_written(&self, watch: &Inotify) {
        loop {
            match watch.read_events() {
                Ok(_) => self.look(),
                Err(Errno::EINTR) => continue,
                Err(_) => return,
            }
            std::thread::sleep(READS_APART);
        }
    }

    fn wait_for_one_that_lasts(&self) {
        loop {
            self.wait_for_one();
            if !self.files().is_empty() {
                return;
            }
        }
    }

    fn look_again_and_again(&self) -> ! {
        loop {
            self.wait_for_one();
            self.look();
        }
    }

    /// Until one was there, and a moment longer.
    fn wait_for_one(&self) {
        let nobody_runs = |files: &mut BTreeMap<_, _>| files.is_empty();
        // While it is held, nobody can begin or end.
        drop(self.followed.wait_while(self.files(), nobody_runs));
        std::thread::sleep(READS_APART);
    }

    fn look(&self) {
        // Held while it is told, so that nothing is told of an attempt behind its end.
        for (&item, followed) in self.files().iter_mut() {
            self.tell_news(item, followed, false);
        }
    }

    fn tell_news(&self, item: ItemIndex, followed: &mut Followed, is_over: bool) {
        let lines = followed.file.read_on(is_over);
        if lines.is_empty() {
            return;
        }
        let news = news_in(&lines);
        if !news.is_empty() {
            let news = Box::new(news);
            let attempt = followed.attempt;
            // The loop is gone only when the whole process is going.
            let _nobody = self.messages.send(Message::Told {
                item,
                attempt,
                news,
            });
        }
    }
}

fn watch(directory: &Path) -> nix::Result<Inotify> {
    let watch = Inotify::init(InitFlags::IN_CLOEXEC)?;
    let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ONLYDIR;
    watch.add_watch(directory, flags)?;
    Ok(watch)
}
