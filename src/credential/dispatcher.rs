//! Hands the keys of a pool out to those who ask, and says when there is no hope of one: what happens when, between the
//! items and the pool.
//!
//! Pure, but for the pool's store. The coordinator drives it on a thread of its own with the real clock; a simulation
//! drives it in virtual time.

use std::time::Duration;

use super::key::{Epoch, Moment};
use super::pool::{Grant, Pool, Prospect, Said};
use super::snapshot::Snapshot;
use super::store::Store;
use crate::error::Error;
use crate::schedule::event::{CredentialIndex, ItemIndex};

/// A store that cannot decide is asked again after this long.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// That others hold all keys is said when it has lasted this long, or half as long as an item waits.
const HELD_TOLD: Duration = Duration::from_secs(5);

/// What whoever asked is told.
#[derive(Debug)]
pub enum News<H> {
    /// A key is leased.
    Granted(Grant<H>),
    /// Nobody who waits will get a key in time. Said once, until somebody else asks.
    Hopeless {
        /// How long it takes until a key comes back; `None`: all were rejected.
        back_in: Option<Duration>,
    },
    /// The keys stand otherwise than before, or something else keeps them from whoever waits.
    Changed(Snapshot),
    /// Whether fewer items run at once than the keys would allow, because the provider was overloaded. Said when it
    /// changes.
    Narrowed(bool),
    /// Other runs hold all keys that are good, and nobody of ours has got one for some time. Said once.
    HeldByOthers {
        /// The processes that hold them, in words, as far as they can be found out.
        holders: Vec<String>,
    },
    /// What a person should know: the store is in trouble. Said once for each trouble.
    Trouble(String),
}

/// A pool, and what has been told of it.
#[derive(Debug)]
pub struct Dispatcher<S: Store> {
    pool: Pool<S>,
    patience: Duration,
    /// Not told yet.
    news: Vec<News<S::Hold>>,
    /// The last trouble that was told.
    trouble: Option<String>,
    /// Why the store could not decide when it was last asked.
    stuck: Option<String>,
    /// The store could not decide, and is asked again then.
    again_at: Option<Moment>,
    /// It was told that there is no hope.
    is_told: bool,
    /// It was told that others hold all keys.
    is_held_told: bool,
    /// It was told that fewer run at once.
    is_narrow: bool,
    /// How the keys stood when that was last told.
    told: Snapshot,
}

impl<S: Store> Dispatcher<S> {
    /// Hands out the keys of `pool`; an item waits for up to `patience`.
    #[must_use]
    pub fn new(pool: Pool<S>, patience: Duration) -> Self {
        Self {
            pool,
            patience,
            news: Vec::new(),
            trouble: None,
            stuck: None,
            again_at: None,
            is_told: false,
            is_held_told: false,
            is_narrow: false,
            told: Snapshot::default(),
        }
    }

    /// Puts an item in the line. The answer is [`News::Granted`], or [`News::Hopeless`].
    pub fn request(&mut self, item: ItemIndex, now: Moment) {
        self.is_told = false;
        self.pool.request(item, now);
    }

    /// Takes an item out of the line.
    pub fn withdraw(&mut self, item: ItemIndex) {
        self.pool.withdraw(item);
    }

    /// Takes note of what the attempt of an item on a lease has to say, and of why: one line, masked and escaped.
    pub fn hear(
        &mut self,
        item: ItemIndex,
        credential: CredentialIndex,
        epoch: Epoch,
        said: Said,
        reason: &str,
        now: Moment,
    ) {
        let pool = &mut self.pool;
        let heard = pool.hear(item, credential, epoch, said, reason, now);
        self.note_trouble(heard.err());
    }

    /// Takes a lease back.
    pub fn release(
        &mut self,
        item: ItemIndex,
        credential: CredentialIndex,
        hold: S::Hold,
        now: Moment,
    ) {
        let released = self.pool.release(item, credential, hold, now);
        self.note_trouble(released.err());
    }

    /// How the keys stand.
    #[must_use]
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        let snapshot = self.pool.snapshot(now);
        match &self.stuck {
            Some(trouble) => Snapshot {
                obstacle: None,
                trouble: Some(trouble.clone()),
                ..snapshot
            },
            None => snapshot,
        }
    }

    /// When [`Dispatcher::hand_out`] may have something to tell without anybody's doing; `None`: never.
    #[must_use]
    pub fn wake_at(&self, now: Moment) -> Option<Moment> {
        let wake = self.pool.wake_at(now)?;
        Some(wake.max(self.again_at.unwrap_or(now)))
    }

    /// Hands out what can be handed out now, and says what has to be told, in this order.
    #[must_use]
    pub fn hand_out(&mut self, now: Moment) -> Vec<News<S::Hold>> {
        let is_narrow = self.pool.width().is_cut();
        if std::mem::replace(&mut self.is_narrow, is_narrow) != is_narrow {
            self.news.push(News::Narrowed(is_narrow));
        }
        if self.again_at.is_none_or(|at| now >= at) {
            self.again_at = None;
            self.grant(now);
        }
        std::mem::take(&mut self.news)
    }

    fn grant(&mut self, now: Moment) {
        self.stuck = None;
        match self.pool.grant(now) {
            Ok(grants) => self.news.extend(grants.into_iter().map(News::Granted)),
            Err(error) => {
                self.again_at = Some(now.plus(STORE_AGAIN));
                self.stuck = Some(words(&error));
                self.note_trouble(Some(error));
            }
        }
        let snapshot = self.snapshot(now);
        if snapshot != self.told {
            self.told = snapshot.clone();
            self.news.push(News::Changed(snapshot));
        }
        let told_at = HELD_TOLD.min(self.patience / 2);
        let held = self.pool.waits_for_others_since();
        if !self.is_held_told && held.is_some_and(|since| now >= since.plus(told_at)) {
            self.is_held_told = true;
            let holders = self.pool.holders();
            self.news.push(News::HeldByOthers { holders });
        }
        let warnings = self.pool.take_warnings();
        self.news.extend(warnings.into_iter().map(News::Trouble));
        let hopeless = self.pool.is_hopeless(self.patience, now);
        if let Some(prospect) = hopeless.filter(|_| !self.is_told) {
            self.is_told = true;
            let back_in = match prospect {
                Prospect::Soon => Some(Duration::ZERO),
                Prospect::NotBefore(at) => Some(at.since(now)),
                Prospect::Never => None,
            };
            self.news.push(News::Hopeless { back_in });
        }
    }

    fn note_trouble(&mut self, error: Option<Error>) {
        let Some(error) = error else { return };
        let words = words(&error);
        if self.trouble.as_ref() != Some(&words) {
            self.news.push(News::Trouble(words.clone()));
            self.trouble = Some(words);
        }
    }
}

fn words(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}
