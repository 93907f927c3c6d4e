//! The child of an item: when it asks the provider, and what it leaves behind when it is turned away.

use std::fmt::Write as _;
use std::time::Duration;

use orchestrate::schedule::event::Ending;

use super::provider::Reply;

/// How often a client library tries a request again by itself, …
const SDK_RETRIES_MAX: u32 = 4;

/// … after this long at first, and twice as long each time, when the provider does not say when.
const SDK_WAIT: Duration = Duration::from_secs(1);

/// A client library that is told to wait longer than this gives up.
const SDK_WAIT_MAX: Duration = Duration::from_mins(1);

/// How a child that is turned away says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// In its status file, with the provider's hint.
    Tells,
    /// By its exit code, and prints the provider's answer.
    ExitsAndPrints,
    /// By its exit code alone.
    Exits,
    /// It prints the provider's answer and exits 1.
    Prints,
    /// Its client library tries again a few times; then it prints the provider's answer and exits 1.
    Retries,
}

/// What an item's child does, if the provider lets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// When it asks the provider, since its start, in order.
    pub(crate) requests: Vec<Duration>,
    /// When it is done, since its start.
    pub(crate) length: Duration,
    /// How it says that it was turned away.
    pub(crate) manner: Manner,
}

/// How a child has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// What the provider said last.
    pub(crate) reply: Reply,
    pub(crate) ending: Ending,
    /// What stands in its status file.
    pub(crate) status: String,
    /// What it has printed.
    pub(crate) output: String,
}

/// One attempt that runs.
#[derive(Debug)]
pub(crate) struct Child<'a> {
    item: &'a Item,
    pub(crate) key: usize,
    pub(crate) started: Duration,
    /// The time that its client library has spent waiting.
    waited: Duration,
    asked: usize,
    retries: u32,
}

impl<'a> Child<'a> {
    /// An attempt of `item` that begins now.
    pub(crate) const fn start(item: &'a Item, key: usize, now: Duration) -> Self {
        Self {
            item,
            key,
            started: now,
            waited: Duration::ZERO,
            asked: 0,
            retries: 0,
        }
    }

    /// When it does something next.
    pub(crate) fn next_at(&self) -> Duration {
        let request = self.item.requests.get(self.asked);
        self.started + self.waited + *request.unwrap_or(&self.item.length)
    }

    /// It does it; `ask` asks the provider.
    pub(crate) fn act(&mut self, ask: impl FnOnce() -> Reply) -> Option<End> {
        if self.asked == self.item.requests.len() {
            return Some(End {
                reply: Reply::Served,
                ending: Ending::Exited(0),
                status: String::new(),
                output: String::new(),
            });
        }
        let reply = ask();
        if reply == Reply::Served {
            (self.asked, self.retries) = (self.asked + 1, 0);
            return None;
        }
        let Some(wait) = self.own_wait(reply) else {
            return Some(self.item.manner.end(reply));
        };
        (self.waited, self.retries) = (self.waited + wait, self.retries + 1);
        None
    }

    /// How long its client library waits before it asks again; `None`: it does not.
    fn own_wait(&self, reply: Reply) -> Option<Duration> {
        let grown = SDK_WAIT * 2_u32.pow(self.retries);
        let wait = match reply {
            Reply::Limited { hint } | Reply::Exhausted { hint } => hint.unwrap_or(grown),
            Reply::Overloaded => grown,
            Reply::Rejected | Reply::Served => return None,
        };
        let goes_on = self.item.manner == Manner::Retries
            && self.retries < SDK_RETRIES_MAX
            && wait <= SDK_WAIT_MAX;
        goes_on.then_some(wait.max(SDK_WAIT))
    }
}

impl Manner {
    fn end(self, reply: Reply) -> End {
        let code = match reply {
            Reply::Served => 0,
            Reply::Limited { .. } | Reply::Exhausted { .. } => 75,
            Reply::Overloaded => 69,
            Reply::Rejected => 77,
        };
        let (code, status, output) = match self {
            Self::Tells => (1, told(reply), String::new()),
            Self::ExitsAndPrints => (code, String::new(), printed(reply)),
            Self::Exits => (code, String::new(), String::new()),
            Self::Prints | Self::Retries => (1, String::new(), printed(reply)),
        };
        End {
            reply,
            ending: Ending::Exited(code),
            status,
            output,
        }
    }
}

/// The line that a child writes to its status file.
fn told(reply: Reply) -> String {
    let (event, hint) = match reply {
        Reply::Served => (r#""ok""#, None),
        Reply::Limited { hint } => (r#""rate_limited""#, hint),
        Reply::Exhausted { hint } => (r#""rate_limited","class":"day""#, hint),
        Reply::Overloaded => (r#""overloaded""#, None),
        Reply::Rejected => (r#""auth_failed""#, None),
    };
    let wait = hint.map(|hint| format!(r#","retry_after":{}"#, whole_seconds(hint)));
    format!("{{\"event\":{event}{}}}\n", wait.unwrap_or_default())
}

/// The answer of a provider, as tools print it.
fn printed(reply: Reply) -> String {
    let (head, hint, kind, message) = match reply {
        Reply::Served => return String::new(),
        Reply::Limited { hint } => (
            "429 Too Many Requests",
            hint,
            "rate_limit_error",
            "slow down",
        ),
        Reply::Exhausted { hint } => (
            "429 Too Many Requests",
            hint,
            "insufficient_quota",
            "You exceeded your current quota",
        ),
        Reply::Overloaded => ("529", None, "overloaded_error", "Overloaded"),
        Reply::Rejected => (
            "401 Unauthorized",
            None,
            "authentication_error",
            "invalid x-api-key",
        ),
    };
    let mut text = format!("HTTP/1.1 {head}\n");
    if let Some(hint) = hint {
        let _infallible = writeln!(text, "retry-after: {}", whole_seconds(hint));
    }
    let _infallible = writeln!(
        text,
        r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}}}}"#
    );
    text
}

/// Headers carry whole seconds, rounded up.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
