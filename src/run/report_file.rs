//! A file that tells how a run went, written when it has ended: `--metrics`, `--junit`.

use std::io;
use std::path::{Path, PathBuf};

use super::collect;
use super::present::Voice;
use super::signals::Signals;
use crate::error::{Error, Result};
use crate::escape::quoted;

/// The file, by the option that names it.
pub(super) struct ReportFile {
    option: &'static str,
    path: PathBuf,
}

impl ReportFile {
    /// The file at `path`, of which `example` is a name.
    ///
    /// # Errors
    ///
    /// A usage error when the file cannot be one: better now than in the morning.
    pub(super) fn new(option: &'static str, path: PathBuf, example: &str) -> Result<Self> {
        let shown = quoted(&path.to_string_lossy());
        let wrong = |why: &str| Error::usage(format!("{option} {shown}: {why}"));
        let parent = path.parent().filter(|_| path.file_name().is_some());
        let Some(parent) = parent else {
            return Err(wrong("this is no name of a file"));
        };
        if path.is_dir() {
            let hint = format!("name a file in it, like {example}");
            return Err(wrong("this is a directory").with_hint(hint));
        }
        if !parent.is_dir() {
            return Err(wrong("its directory does not exist").with_hint("mkdir -p makes it"));
        }
        Ok(Self { option, path })
    }

    /// Refuses another file that is this one, by whatever name: the later one would take its place.
    ///
    /// # Errors
    ///
    /// A usage error that names both options.
    pub(super) fn differs_from(&self, other: &Self) -> Result<()> {
        if resolved(&self.path) != resolved(&other.path) {
            return Ok(());
        }
        let (one, path) = (self.option, quoted(&self.path.to_string_lossy()));
        let message = format!("{one} and {} name the same file {path}", other.option);
        Err(Error::usage(message).with_hint("give each a file of its own"))
    }

    /// Has it written. A failure is a warning: the run itself went as it went.
    pub(super) async fn write(
        &self,
        text: String,
        write: fn(&Path, &[u8]) -> io::Result<()>,
        (signals, voice): (&mut Signals, &Voice),
    ) {
        let path = self.path.clone();
        let written = match collect::aside("report", move || write(&path, text.as_bytes())) {
            Ok(written) => written,
            Err(error) => return voice.warning(&error.to_string()),
        };
        tokio::select! {
            biased;
            written = written => if let Ok(Err(error)) = written {
                let path = quoted(&self.path.to_string_lossy());
                voice.alarm(&format!("{} {path} cannot be written: {error}", self.option));
            },
            // A disk that hangs does not keep a person who wants to go.
            _ = signals.next_press(|| ()) => {}
        }
    }
}

/// The path without links, also of a file that is not there yet.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        let parent = path.parent().and_then(|it| it.canonicalize().ok());
        let name = path.file_name().unwrap_or_default();
        parent.map_or_else(|| path.to_owned(), |parent| parent.join(name))
    })
}
