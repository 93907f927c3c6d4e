//! What a process under test reads from and writes to: pipes, or a terminal of its own.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::spawn::PosixSpawnFileActions;
use nix::sys::stat::Mode;
use nix::unistd::pipe2;

use super::transcript::Transcript;

/// What a process is connected to.
#[derive(Debug)]
pub(crate) enum Streams {
    /// stdin holds this text and then ends, stdout and stderr are pipes.
    Pipes(String),
    /// As above, but stdout is this descriptor, and its reader is the test's own business.
    Stdout(OwnedFd),
    /// All three are a terminal, which is the controlling terminal of a session that the process leads.
    Terminal,
}

/// The test's ends of a process's streams.
#[derive(Debug)]
pub(crate) struct Ends {
    /// What it writes to stdout; on a terminal, all that is shown there.
    pub(crate) stdout: Transcript,
    /// What it writes to stderr; on a terminal, nothing.
    pub(crate) stderr: Transcript,
    /// Where the keyboard is.
    pub(crate) keyboard: Option<File>,
}

/// The process's ends, which are closed when it has its copies.
#[derive(Debug, Default)]
pub(crate) struct ProcessEnds(Vec<OwnedFd>);

impl ProcessEnds {
    fn put(&mut self, end: OwnedFd, at: i32, actions: &mut PosixSpawnFileActions) {
        actions.add_dup2(end.as_raw_fd(), at).expect("memory");
        self.0.push(end);
    }
}

impl Streams {
    /// Adds to `actions` what connects the process.
    pub(crate) fn connect(self, actions: &mut PosixSpawnFileActions) -> (Ends, ProcessEnds) {
        match self {
            Self::Pipes(stdin) => pipes(&stdin, None, actions),
            Self::Stdout(stdout) => pipes("", Some(stdout), actions),
            Self::Terminal => terminal(actions),
        }
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    pipe2(OFlag::O_CLOEXEC).expect("a pipe")
}

fn pipes(
    stdin: &str,
    stdout: Option<OwnedFd>,
    actions: &mut PosixSpawnFileActions,
) -> (Ends, ProcessEnds) {
    let mut theirs = ProcessEnds::default();
    let (their_stdin, our_stdin) = pipe();
    let mut our_stdin = File::from(our_stdin);
    our_stdin
        .write_all(stdin.as_bytes())
        .expect("a pipe takes a short text");
    theirs.put(their_stdin, 0, actions);
    let our_stdout = if let Some(stdout) = stdout {
        theirs.put(stdout, 1, actions);
        Transcript::none()
    } else {
        let (our_stdout, stdout) = pipe();
        theirs.put(stdout, 1, actions);
        Transcript::of(our_stdout)
    };
    let (our_stderr, stderr) = pipe();
    theirs.put(stderr, 2, actions);
    let ends = Ends {
        stdout: our_stdout,
        stderr: Transcript::of(our_stderr),
        keyboard: None,
    };
    (ends, theirs)
}

/// A session leader that opens a terminal without `O_NOCTTY` gets it as its controlling terminal (tty(4)).
fn terminal(actions: &mut PosixSpawnFileActions) -> (Ends, ProcessEnds) {
    let master = open_master().expect("a pseudo-terminal");
    let slave = ptsname_r(&master).expect("a pseudo-terminal has a name");
    actions
        .add_open(0, slave.as_str(), OFlag::O_RDWR, Mode::empty())
        .expect("memory");
    actions.add_dup2(0, 1).expect("memory");
    actions.add_dup2(0, 2).expect("memory");
    let copy = || master.as_fd().try_clone_to_owned().expect("a descriptor");
    let ends = Ends {
        stdout: Transcript::of(copy()),
        stderr: Transcript::none(),
        keyboard: Some(File::from(copy())),
    };
    (ends, ProcessEnds::default())
}

fn open_master() -> nix::Result<PtyMaster> {
    // Close-on-exec from the start: another test may be spawning in this moment.
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    Ok(master)
}
