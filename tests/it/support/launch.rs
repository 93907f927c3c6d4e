//! One process to be started in a workspace: the real binary, or a shell around it.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, pipe2};

use super::running::{Finished, Running};
use super::streams::Streams;
use super::workspace::Workspace;

/// `POSIX_SPAWN_SETSID` of glibc and musl (`<spawn.h>`), which nix does not name.
const POSIX_SPAWN_SETSID: i16 = 0x80;

/// The descriptor that every process under test inherits and knows nothing of: as long as one of them lives, however
/// it was started and wherever it has hidden, the test's end of this pipe is not at its end.
const LIFE_LINE: i32 = 9;

/// Goes to a directory and becomes the program, for `posix_spawn(3)` cannot change directories everywhere.
const ENTER: &str = r#"cd "$1" && shift && exec "$@""#;

/// What a witness of this process is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    /// Items at once.
    pub(crate) at_once: usize,
    /// Items at once on one credential.
    pub(crate) slots: usize,
    /// Whether items that are done may be started.
    pub(crate) reruns: bool,
}

/// A process to be started.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    workspace: &'a Workspace,
    directory: PathBuf,
    words: Vec<String>,
    environment: BTreeMap<String, String>,
    streams: Streams,
    promise: Promise,
    blocked: SigSet,
}

impl<'a> Launch<'a> {
    /// `words` in the root of `workspace`, with its environment.
    pub(crate) fn new(workspace: &'a Workspace, words: &[&str]) -> Self {
        Self {
            workspace,
            directory: workspace.root().to_owned(),
            words: words.iter().map(ToString::to_string).collect(),
            environment: workspace.environment(),
            streams: Streams::Pipes(String::new()),
            blocked: SigSet::empty(),
            promise: Promise {
                at_once: parallel(words),
                slots: 1,
                reruns: words.iter().any(|word| word.starts_with("--rerun")),
            },
        }
    }

    /// With this variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With nothing but these variables.
    pub(crate) fn bare_env(mut self, variables: &[(&str, &str)]) -> Self {
        let pairs = variables.iter();
        let kept = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.environment = kept.collect();
        self
    }

    /// In another directory.
    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        directory.clone_into(&mut self.directory);
        self
    }

    /// With this text on stdin.
    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.streams = Streams::Pipes(text.to_owned());
        self
    }

    /// With stdout connected to this descriptor.
    pub(crate) fn stdout(mut self, stdout: OwnedFd) -> Self {
        self.streams = Streams::Stdout(stdout);
        self
    }

    /// On a terminal.
    pub(crate) fn on_terminal(mut self) -> Self {
        self.streams = Streams::Terminal;
        self
    }

    /// With these signals blocked, as a careless launcher leaves them.
    pub(crate) fn blocking(mut self, signals: &[Signal]) -> Self {
        self.blocked.extend(signals.iter().copied());
        self
    }

    /// Promises at most this many items at once, where `--parallel` does not say it.
    pub(crate) fn at_once(mut self, items: usize) -> Self {
        self.promise.at_once = items;
        self
    }

    /// Promises at most this many items at once on one credential, where it is not 1.
    pub(crate) fn slots(mut self, slots: usize) -> Self {
        self.promise.slots = slots;
        self
    }

    /// Starts it.
    pub(crate) fn start(self) -> Running<'a> {
        let mut actions = PosixSpawnFileActions::init().expect("memory");
        let on_terminal = matches!(self.streams, Streams::Terminal);
        let (ends, theirs) = self.streams.connect(&mut actions);
        let (alive, life_line) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        actions
            .add_dup2(life_line.as_raw_fd(), LIFE_LINE)
            .expect("memory");
        let number = self.workspace.begin(self.promise);
        let directory = self.directory.to_str().expect("a path in UTF-8");
        let words = ["sh", "-c", ENTER, "sh", directory].into_iter();
        let words: Vec<CString> = words
            .chain(self.words.iter().map(String::as_str))
            .map(text)
            .collect();
        let environment: Vec<CString> = self
            .environment
            .iter()
            .map(|(name, value)| text(&format!("{name}={value}")))
            .collect();
        let pid = spawn(&actions, on_terminal, &self.blocked, &words, &environment)
            .expect("sh can be started");
        drop((theirs, life_line));
        Running::new(self.workspace, number, pid, ends, alive)
    }

    /// Starts it and waits for its end.
    pub(crate) fn finish(self) -> Finished {
        self.start().finish()
    }
}

/// As a login shell would start it: no signal ignored, and none blocked that was not named, whatever the test runner's
/// own state.
fn spawn(
    actions: &PosixSpawnFileActions,
    session: bool,
    blocked: &SigSet,
    words: &[CString],
    environment: &[CString],
) -> nix::Result<Pid> {
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_sigdefault(&SigSet::all())?;
    attributes.set_sigmask(blocked)?;
    let mut flags =
        PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
    if session {
        flags |= PosixSpawnFlags::from_bits_retain(POSIX_SPAWN_SETSID.into());
    }
    attributes.set_flags(flags)?;
    posix_spawn(c"/bin/sh", actions, &attributes, words, environment)
}

fn text(word: &str) -> CString {
    CString::new(OsStr::new(word).as_bytes()).expect("no NUL")
}

/// What `--parallel` or `-j` says; 1 without it.
fn parallel(words: &[&str]) -> usize {
    let said = words.iter().enumerate().find_map(|(index, word)| {
        if *word == "--parallel" || *word == "-j" {
            return words.get(index + 1).copied();
        }
        word.strip_prefix("--parallel=")
            .or_else(|| word.strip_prefix("-j"))
    });
    said.and_then(|number| number.parse().ok())
        .unwrap_or(1)
        .max(1)
}
