//! What an attempt says of its key, itself or by its end: reads the clock and the end of the log for those who decide
//! purely. What it says itself is heard while it runs; its end decides once more, on everything that was said.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::config::resolve::Invocation;
use crate::credential::evidence::{Finding, Scope, Verdict, spoken_limit, tail_of, verdict};
use crate::credential::hint::Calendar;
use crate::credential::key::{Class, Trust};
use crate::credential::profile::{Pattern, Profile};
use crate::credential::told::{News, news, told};
use crate::schedule::event::Ending;
use crate::schedule::retry::ExitCodes;

/// What a run knows of exit codes and of what outputs say.
#[derive(Debug)]
pub(super) struct Judge {
    codes: ExitCodes,
    patterns: Vec<Pattern>,
    /// Made when the first attempt with an output has failed: it takes longer than a whole run that goes well should, or
    /// one that is being stopped.
    profile: OnceLock<Profile>,
    /// For those without.
    silence: Profile,
    /// Whether items hold keys at all: if not, no text says anything of one.
    has_pool: bool,
    /// Whether fewer items run at once than could.
    is_narrow: Narrow,
}

/// Whether fewer items run at once than their keys would allow: kept by the pool's thread, asked by those of items.
#[derive(Debug, Clone, Default)]
pub(super) struct Narrow(Arc<AtomicBool>);

impl Narrow {
    /// Takes note of it.
    pub(super) fn set(&self, is_narrow: bool) {
        self.0.store(is_narrow, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Judge {
    /// What `invocation` says.
    pub(super) fn new(invocation: &Invocation, has_pool: bool, is_narrow: Narrow) -> Self {
        Self {
            codes: invocation.retry.exit_codes.clone(),
            patterns: invocation.evidence.clone(),
            profile: OnceLock::new(),
            silence: Profile::of_silence(),
            has_pool,
            is_narrow,
        }
    }

    /// The verdict on an attempt that ended like this; `status` is the end of its status file, and `log` gives the end of
    /// its output.
    pub(super) fn judge(
        &self,
        ending: &Ending,
        status: &[u8],
        log: impl FnOnce() -> Vec<u8>,
    ) -> Verdict {
        if status.is_empty() {
            return self.judge_end(ending, log);
        }
        let own_word = told(status, &calendar(&Zoned::now()));
        own_word.unwrap_or_else(|| self.judge_end(ending, log))
    }

    fn judge_end(&self, ending: &Ending, log: impl FnOnce() -> Vec<u8>) -> Verdict {
        let log = match ending {
            Ending::Exited(0) => return self.judge_success(log),
            Ending::Unstartable(_) | Ending::Crowded(_) | Ending::Unverified(_) => Vec::new(),
            Ending::Exited(_) | Ending::Killed(_) if !self.has_pool => Vec::new(),
            Ending::Exited(_) | Ending::Killed(_) => log(),
        };
        let (profile, now) = (self.profile_for(&log), Zoned::now());
        verdict(ending, tail_of(&log), &self.codes, profile, &calendar(&now))
    }

    /// Whoever succeeded has, whatever it printed. Only while there is something to widen does it matter whether it
    /// printed of a limit, and only then is it looked at.
    fn judge_success(&self, log: impl FnOnce() -> Vec<u8>) -> Verdict {
        if !self.is_narrow.get() {
            return DONE;
        }
        let (log, now) = (log(), Zoned::now());
        let line = spoken_limit(tail_of(&log), self.profile_for(&log), &calendar(&now));
        Verdict { line, ..DONE }
    }

    fn profile_for(&self, log: &[u8]) -> &Profile {
        if log.is_empty() {
            return &self.silence;
        }
        self.profile.get_or_init(|| {
            // Each pattern of the file was tried when it was read, so only all of them together can be too much.
            Profile::new(&self.patterns)
                .or_else(|_| Profile::new(&[]))
                .expect("the patterns that are shipped are tested")
        })
    }
}

/// What new lines of a status file say.
pub(super) fn news_in(lines: &[u8]) -> News {
    news(lines, &calendar(&Zoned::now()))
}

fn calendar(now: &Zoned) -> Calendar<'_> {
    Calendar {
        now,
        zones: &|name| TimeZone::get(name).ok(),
    }
}

/// The verdict on whoever succeeded, whatever it printed.
const DONE: Verdict = Verdict {
    finding: Finding::Done,
    scope: Scope::Item,
    hint: None,
    trust: Trust::Child,
    line: None,
};

/// What a person is told of it: whose fault it is, and what says so, escaped.
pub(super) fn blame(verdict: &Verdict) -> String {
    let what = match verdict.finding {
        Finding::Done | Finding::Failed | Finding::Forbidden => return String::new(),
        Finding::RateLimited(Class::Minute) => "rate limited",
        Finding::RateLimited(Class::Day) => "the day's quota is used up",
        Finding::RateLimited(Class::Billing) => "the account's money is used up",
        Finding::Rejected => "the key was rejected",
        Finding::Overloaded => "the provider is overloaded",
    };
    let line = verdict.line.as_ref();
    line.map_or_else(
        || what.to_owned(),
        |line| format!("{what} ({})", line.excerpt),
    )
}

/// Whether the end of an attempt says no more than the attempt itself, which was `heard` already: a limit is counted once.
/// That a key has served its item is said by the end alone.
pub(super) fn repeats(finding: Finding, heard: Option<Finding>) -> bool {
    finding != Finding::Done && heard == Some(finding)
}
