//! What a run reads before its first item, its keys and its items, in a way that lets a press come in between.

use std::time::Duration;

use tokio::sync::oneshot;

use super::collect;
use super::signals::Signals;
use super::visit::Visit;
use crate::config::file::ItemSource;
use crate::config::resolve::Mode;
use crate::credential::secret::Secret;
use crate::credential::source;
use crate::error::{Error, Result};
use crate::items::collected::Collected;
use crate::schedule::stage::Press;

/// What is read for longer than this is told on a terminal.
const WORTH_A_WORD: Duration = Duration::from_secs(1);

/// Items that are being collected.
pub(super) type Collecting = oneshot::Receiver<Result<Collected>>;

impl Visit<'_> {
    /// The keys of the pool, or the press that came before them; none in sequential mode, which leases nothing and
    /// changes no environment.
    pub(super) async fn secrets(
        &self,
        signals: &mut Signals,
    ) -> Result<std::result::Result<Vec<Secret>, Press>> {
        match (&self.invocation.credentials, self.invocation.mode) {
            (Some(table), Mode::Parallel(_)) => {
                let (table, surroundings) = (table.clone(), self.surroundings.clone());
                let root = self.invocation.place.root.clone();
                let read =
                    collect::aside("keys", move || source::read(&table, &root, &surroundings));
                self.unless_pressed(signals, read?, "the keys").await
            }
            (Some(_) | None, Mode::Sequential) | (None, Mode::Parallel(_)) => Ok(Ok(Vec::new())),
        }
    }

    /// Begins to collect the items while the journal is read, if that does nothing but read files: with a journal that is
    /// damaged no command is run, nobody is asked, and stdin is left alone.
    pub(super) fn collect_ahead(&self) -> Result<Option<Collecting>> {
        let only_reads = match &self.invocation.workflow.items {
            ItemSource::Documents(_) | ItemSource::Files(_) => true,
            ItemSource::List(path) => path.as_os_str() != "-",
            ItemSource::Github(_) | ItemSource::Command(_) => false,
        };
        only_reads.then(|| self.begin_to_collect()).transpose()
    }

    fn begin_to_collect(&self) -> Result<Collecting> {
        let (terminal, draws) = (self.terminal.clone(), self.draws());
        let report = move |text: &str| {
            if draws {
                terminal.status(vec![text.to_owned()]);
            }
        };
        collect::begin(
            self.invocation.workflow.items.clone(),
            self.invocation.place.root.clone(),
            self.surroundings.clone(),
            report,
        )
    }

    /// The items, or the press that came before them.
    pub(super) async fn collect(
        &self,
        ahead: Option<Collecting>,
        signals: &mut Signals,
    ) -> Result<std::result::Result<Collected, Press>> {
        let collected = ahead.map_or_else(|| self.begin_to_collect(), Ok)?;
        let collected = self.unless_pressed(signals, collected, "the items").await;
        self.terminal.status(Vec::new());
        collected
    }

    /// What a thread of ours reads, or the press that came before it.
    async fn unless_pressed<T>(
        &self,
        signals: &mut Signals,
        read: oneshot::Receiver<Result<T>>,
        what: &str,
    ) -> Result<std::result::Result<T, Press>> {
        let question = || {
            self.voice
                .say(&format!("{what} are being read; nothing runs yet"));
        };
        tokio::select! {
            biased;
            press = signals.next_press(question) => Ok(Err(press)),
            read = self.say_what_takes_long(read, what) => match read {
                Ok(read) => read.map(Ok),
                Err(_) => Err(Error::source(format!("{what} could not be read: a thread of ours died"))),
            },
        }
    }

    /// Waits for what a thread of ours reads, and says on a terminal what it is when that takes a while.
    async fn say_what_takes_long<T>(
        &self,
        read: oneshot::Receiver<T>,
        what: &str,
    ) -> std::result::Result<T, oneshot::error::RecvError> {
        // GitHub's pages are told one by one.
        let tells_itself = matches!(self.invocation.workflow.items, ItemSource::Github(_));
        if !self.draws() || tells_itself {
            return read.await;
        }
        tokio::pin!(read);
        if let Ok(read) = tokio::time::timeout(WORTH_A_WORD, &mut read).await {
            return read;
        }
        self.terminal.status(vec![format!("reading {what} …")]);
        let read = read.await;
        self.terminal.status(Vec::new());
        read
    }
}
