//! The thread that hands out keys: it owns the dispatcher with the pool and its store, whose locks others may hold, so
//! that the loop waits for neither.
//!
//! `run` starts it and tells it what its items want and what they have to say; it answers with [`News`]. While
//! somebody waits for a key that other runs hold it looks again a few times a second; else it sleeps.
//!
//! Whoever is stopped with a lock of the store keeps all other runs from the key. So the thread holds [`AtTheStore`]
//! meanwhile, and Ctrl-Z waits for it. SIGSTOP and a frozen container do not; then those who wait say who it is.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::dispatcher::{Dispatcher, News};
use super::key::{Epoch, Moment};
use super::pool::{Pool, Said};
use super::snapshot::Snapshot;
use super::store::Store;
use crate::error::{Error, Result};
use crate::schedule::event::{CredentialIndex, ItemIndex};

/// Held while a lock of the store may be: the process must not be stopped then.
pub type AtTheStore = Arc<Mutex<()>>;

#[derive(Debug)]
enum Wish<H> {
    Request(ItemIndex),
    Withdraw(ItemIndex),
    Hear {
        item: ItemIndex,
        credential: CredentialIndex,
        epoch: Epoch,
        said: Said,
        reason: String,
    },
    Release(ItemIndex, CredentialIndex, H),
}

/// The way to the thread. Dropped, it ends the thread, which gives nothing back: leases end with whoever holds them.
#[derive(Debug)]
pub struct Coordinator<H> {
    wishes: Sender<Wish<H>>,
    thread: JoinHandle<Snapshot>,
}

impl<H: Send + 'static> Coordinator<H> {
    /// Starts the thread. An item waits for up to `patience`; `now` reads the clock of the pool's [`Moment`]s, and
    /// `tell` is called on the thread and must not block. Nobody else may hold `at_the_store` for long.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn start<S: Store<Hold = H> + Send + 'static>(
        pool: Pool<S>,
        patience: Duration,
        now: impl Fn() -> Moment + Send + 'static,
        tell: impl Fn(News<H>) + Send + 'static,
        at_the_store: AtTheStore,
    ) -> Result<Self> {
        let (wishes, received) = channel();
        let office = Office {
            dispatcher: Dispatcher::new(pool, patience),
            now,
            tell,
            at_the_store,
        };
        let thread = Builder::new()
            .name("credentials".to_owned())
            .spawn(move || office.serve(&received))
            .map_err(|error| Error::state(format!("cannot start a thread: {error}")))?;
        Ok(Self { wishes, thread })
    }

    /// Puts an item in the line. The answer is [`News::Granted`], or [`News::Hopeless`].
    pub fn request(&self, item: ItemIndex) {
        self.send(Wish::Request(item));
    }

    /// Takes an item out of the line. A grant may be on its way.
    pub fn withdraw(&self, item: ItemIndex) {
        self.send(Wish::Withdraw(item));
    }

    /// Takes note of what the attempt of an item on a lease has to say, and of why: one line, masked and escaped.
    pub fn hear(
        &self,
        item: ItemIndex,
        credential: CredentialIndex,
        epoch: Epoch,
        said: Said,
        reason: String,
    ) {
        self.send(Wish::Hear {
            item,
            credential,
            epoch,
            said,
            reason,
        });
    }

    /// Takes a lease back.
    pub fn release(&self, item: ItemIndex, credential: CredentialIndex, hold: H) {
        self.send(Wish::Release(item, credential, hold));
    }

    /// Waits until everything that was said is noted, and tells how the keys stand then.
    #[must_use]
    pub fn finish(self) -> Snapshot {
        drop(self.wishes);
        // A panic has aborted all of us by then.
        self.thread.join().unwrap_or_default()
    }

    fn send(&self, wish: Wish<H>) {
        // The thread ends only with us.
        let _gone = self.wishes.send(wish);
    }
}

/// What lives on the thread.
struct Office<S: Store, N, T> {
    dispatcher: Dispatcher<S>,
    now: N,
    tell: T,
    at_the_store: AtTheStore,
}

impl<S: Store, N: Fn() -> Moment, T: Fn(News<S::Hold>)> Office<S, N, T> {
    fn serve(mut self, wishes: &Receiver<Wish<S::Hold>>) -> Snapshot {
        loop {
            self.hand_out();
            let wish = match self.sleep() {
                None => wishes.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(time) => wishes.recv_timeout(time),
            };
            match wish {
                Ok(wish) => {
                    self.grant_wish(wish);
                    // What was said together is judged together.
                    while let Ok(wish) = wishes.try_recv() {
                        self.grant_wish(wish);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return self.dispatcher.snapshot((self.now)());
                }
            }
        }
    }

    fn hand_out(&mut self) {
        let at_the_store = Arc::clone(&self.at_the_store);
        let _held = at_the_store.lock().unwrap_or_else(PoisonError::into_inner);
        for news in self.dispatcher.hand_out((self.now)()) {
            (self.tell)(news);
        }
    }

    /// How long nothing happens by itself.
    fn sleep(&self) -> Option<Duration> {
        let now = (self.now)();
        let wake = self.dispatcher.wake_at(now)?;
        Some(wake.since(now))
    }

    fn grant_wish(&mut self, wish: Wish<S::Hold>) {
        let at_the_store = Arc::clone(&self.at_the_store);
        let _held = at_the_store.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.now)();
        let dispatcher = &mut self.dispatcher;
        match wish {
            Wish::Request(item) => dispatcher.request(item, now),
            Wish::Withdraw(item) => dispatcher.withdraw(item),
            Wish::Hear {
                item,
                credential,
                epoch,
                said,
                reason,
            } => dispatcher.hear(item, credential, epoch, said, &reason, now),
            Wish::Release(item, credential, hold) => {
                dispatcher.release(item, credential, hold, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::key::{Class, Standing, Trust};
    use super::super::pool::{Grant, Member};
    use super::super::snapshot::Obstacle;
    use super::super::store::PrivateStore;
    use super::*;

    const A: ItemIndex = ItemIndex(0);
    const B: ItemIndex = ItemIndex(1);

    /// A coordinator of one key, with a clock that stands still until it is moved.
    fn coordinator() -> (Coordinator<()>, Receiver<News<()>>, Arc<Mutex<Moment>>) {
        let clock = Arc::new(Mutex::new(Moment(Duration::from_secs(1000))));
        let member = Member {
            slots: 1,
            group: "g".to_owned(),
        };
        let now = *clock.lock().unwrap();
        let pool = Pool::new(PrivateStore::new(&[1]), vec![member], 0, now).unwrap();
        let (news, told) = channel();
        let theirs = Arc::clone(&clock);
        let tell = move |new| news.send(new).unwrap();
        let patience = Duration::from_mins(15);
        let now = move || *theirs.lock().unwrap();
        let coordinator =
            Coordinator::start(pool, patience, now, tell, AtTheStore::default()).unwrap();
        (coordinator, told, clock)
    }

    fn limited(seconds: u64) -> Said {
        Said::Limited {
            class: Class::Minute,
            hint: Some(Duration::from_secs(seconds)),
            trust: Trust::Child,
            key_only: false,
        }
    }

    /// The next answer to what was asked.
    fn next(news: &Receiver<News<()>>) -> News<()> {
        let mut answers = news.iter().filter(|news| !matches!(news, News::Changed(_)));
        answers.next().unwrap()
    }

    fn granted(news: &Receiver<News<()>>) -> Grant<()> {
        match next(news) {
            News::Granted(grant) => grant,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whoever_asks_is_answered_and_whoever_waits_gets_what_comes_back() {
        let (coordinator, news, clock) = coordinator();
        coordinator.request(A);
        coordinator.request(B);
        let lease = granted(&news);
        assert_eq!(lease.item, A);
        coordinator.hear(
            A,
            lease.credential,
            lease.epoch,
            Said::Served,
            String::new(),
        );
        clock.lock().unwrap().0 += Duration::from_secs(1);
        coordinator.release(lease.item, lease.credential, ());
        assert_eq!(granted(&news).item, B);
        let _end = coordinator.finish();
    }

    #[test]
    fn that_fewer_run_at_once_is_told_when_it_changes() {
        let clock = Moment(Duration::from_secs(1000));
        let member = Member {
            slots: 2,
            group: "g".to_owned(),
        };
        let pool = Pool::new(PrivateStore::new(&[2]), vec![member], 0, clock).unwrap();
        let (news, told) = channel();
        let tell = move |new| news.send(new).unwrap();
        let patience = Duration::from_mins(15);
        let at_the_store = AtTheStore::default();
        let coordinator =
            Coordinator::start(pool, patience, move || clock, tell, at_the_store).unwrap();
        coordinator.request(A);
        let lease = granted(&told);
        let hear = |said| {
            coordinator.hear(A, lease.credential, lease.epoch, said, String::new());
        };
        let other = || told.iter().find(|news| !matches!(news, News::Changed(_)));
        let narrowed = |expected: bool| match other() {
            Some(News::Narrowed(is_narrow)) => assert_eq!(is_narrow, expected),
            other => panic!("{other:?}"),
        };
        hear(Said::Overloaded { hint: None });
        narrowed(true);
        hear(Said::Overloaded { hint: None });
        hear(Said::ServedAtTheLimit);
        hear(Said::Served);
        narrowed(false);
        let _end = coordinator.finish();
        assert!(other().is_none());
    }

    #[test]
    fn whoever_would_wait_in_vain_is_told_once() {
        let (coordinator, news, _clock) = coordinator();
        coordinator.request(A);
        let lease = granted(&news);
        coordinator.hear(
            A,
            lease.credential,
            lease.epoch,
            limited(7200),
            String::new(),
        );
        coordinator.release(lease.item, lease.credential, ());
        coordinator.request(B);
        let News::Hopeless {
            back_in: Some(time),
        } = next(&news)
        else {
            panic!("two hours are too long");
        };
        assert!(time >= Duration::from_hours(2), "{time:?}");
        let _end = coordinator.finish();
        let hopeless = news.iter().filter(|news| !matches!(news, News::Changed(_)));
        assert_eq!(hopeless.count(), 0, "once");
    }

    #[test]
    fn whoever_watches_learns_when_keys_stand_otherwise_and_why_somebody_waits() {
        let (coordinator, news, _clock) = coordinator();
        let changed = |news: &Receiver<News<()>>| {
            let mut changes = news.iter().filter_map(|news| match news {
                News::Changed(snapshot) => Some(snapshot),
                _ => None,
            });
            changes.next().unwrap()
        };
        let none = changed(&news);
        assert_eq!(none.obstacle, None);
        coordinator.request(A);
        // A lease changes nothing of that.
        let Ok(News::Granted(lease)) = news.recv() else {
            panic!("a key is free");
        };
        coordinator.hear(A, lease.credential, lease.epoch, limited(60), String::new());
        let cooling = changed(&news);
        assert!(matches!(cooling.keys[0].standing, Standing::Cooling { .. }));
        coordinator.release(lease.item, lease.credential, ());
        coordinator.request(B);
        assert_eq!(changed(&news).obstacle, Some(Obstacle::Keys));
        assert_eq!(coordinator.finish().obstacle, Some(Obstacle::Keys));
    }
}
