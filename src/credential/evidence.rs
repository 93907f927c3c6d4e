//! What a child's end says about its key: its exit code first, and when that says nothing the end of its output.
//!
//! Pure. Exit 0 beats everything. An exit code with a meaning decides alone, and the output only adds how long to wait
//! and what kind of budget is gone. Text decides only when the child failed and its code says nothing, and is
//! trusted little then ([`Trust::Text`]): anybody can have written it. Whoever runs children calls [`verdict`] when one
//! has ended; `orchestrate classify` calls it for a file.

use memchr::memchr;

use super::hint::{Calendar, Hint};
use super::key::{Class, Trust};
use super::profile::{Profile, Sign};
use crate::escape::escape_text;
use crate::output::escape::escape_line;
use crate::schedule::event::{Ending, Fault};
use crate::schedule::retry::{ExitCodes, Meaning};

/// This much of the end of an output is looked at, in bytes.
pub const TAIL_BYTES_MAX: usize = 64 * 1024;

/// Hints are looked for this many lines before and behind the line that decides, and only then elsewhere: an error that
/// is printed as JSON, or with its headers, is not longer.
const NEAR_LINES: usize = 40;

/// This much of the line that decides is kept, in characters: some before the place, and as many behind it.
const EXCERPT_CHARACTERS_MAX: usize = 200;

/// What became of an attempt, as far as its key and the provider are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Finding {
    /// The item is done; when the child says so itself, its key served it, whatever became of the item.
    Done,
    /// The attempt failed, and nobody says that the key or the provider had a part in it.
    Failed,
    /// The key is limited.
    RateLimited(Class),
    /// The key is not valid.
    Rejected,
    /// The key may not do what was asked: the attempt failed, and the key is none the worse.
    Forbidden,
    /// The provider has no room: no key is to blame.
    Overloaded,
}

/// Whom a [`Verdict`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The item alone.
    Item,
    /// The key that the item held.
    Key,
    /// That key and all of its group: they share a budget.
    Group,
    /// Everybody who asks this provider.
    Provider,
}

/// A line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it stands in the tail, from 0.
    pub index: usize,
    /// What a terminal would show of it, escaped, around what was found; keys in it are as they were in the tail.
    pub excerpt: String,
    /// The pattern that found it.
    pub pattern: String,
}

/// What a child's end says, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What became of the attempt.
    pub finding: Finding,
    /// Whom that is about.
    pub scope: Scope,
    /// How long to wait, when it was limited or the provider is overloaded and somebody said so.
    pub hint: Option<Hint>,
    /// Who decided: the child itself by its status file or its exit code, or only the text. The limits of belief are those of [`super::key::Key::report`].
    pub trust: Trust,
    /// The line that decided, or that says the same as the exit code that did; of a success, one that speaks of a limit
    /// all the same.
    pub line: Option<Line>,
}

impl Verdict {
    /// Whose fault it is, where the item held a key or not.
    #[must_use]
    pub fn fault(&self, leased: bool) -> Fault {
        let is_only_text = self.trust == Trust::Text;
        match self.finding {
            Finding::RateLimited(_) | Finding::Rejected if leased => Fault::Credential,
            Finding::RateLimited(_) if !is_only_text => Fault::Credential,
            Finding::Overloaded if leased || !is_only_text => Fault::Provider,
            // There is no other key, and a child that says so in its status file may have exited 0.
            Finding::Rejected if !is_only_text => Fault::Denied,
            // A key that is not ours cannot be exchanged, and a text says nothing of it.
            Finding::Done
            | Finding::Failed
            | Finding::Forbidden
            | Finding::RateLimited(_)
            | Finding::Rejected
            | Finding::Overloaded => Fault::Item,
        }
    }
}

/// What is looked at of an output: its last [`TAIL_BYTES_MAX`] bytes, without the rest of a line that began before them.
#[must_use]
pub fn tail_of(output: &[u8]) -> &[u8] {
    let Some(start) = output
        .len()
        .checked_sub(TAIL_BYTES_MAX)
        .filter(|&start| start > 0)
    else {
        return output;
    };
    // A line that is longer than the tail is better than nothing.
    match memchr(b'\n', &output[start - 1..]) {
        Some(end) if start + end < output.len() => &output[start + end..],
        Some(_) | None => &output[start..],
    }
}

/// What a child says by its end, if it does not say it itself ([`super::told::told`]). `tail` is the end of what it wrote, both streams together, its keys masked already.
#[must_use]
pub fn verdict(
    ending: &Ending,
    tail: &[u8],
    codes: &ExitCodes,
    profile: &Profile,
    calendar: &Calendar<'_>,
) -> Verdict {
    let meaning = match ending {
        Ending::Exited(code) => codes.meaning(*code),
        Ending::Killed(_) => None,
        // It has never run, so nothing of that output is its own; or it exited with 0, and what says that it is not done
        // holds no key.
        Ending::Unstartable(_) | Ending::Crowded(_) | Ending::Unverified(_) => {
            Some(Meaning::NeverRetry)
        }
    };
    let alone = |finding| Verdict {
        finding,
        scope: scope(finding, Trust::Child),
        hint: None,
        trust: Trust::Child,
        line: None,
    };
    let search = || Search::new(tail, profile, calendar);
    match meaning {
        Some(Meaning::Done) => alone(Finding::Done),
        Some(Meaning::NeverRetry | Meaning::RetryLater) => alone(Finding::Failed),
        Some(Meaning::RateLimited) => search().limit_by_code(),
        Some(Meaning::Rejected) => search().by_code(Finding::Rejected, Sign::Rejected),
        Some(Meaning::Overloaded) => search().by_code(Finding::Overloaded, Sign::Overloaded),
        None => search().verdict_by_text(),
    }
}

/// The last line of an output that speaks of a limit or an overload. Of whoever succeeded it proves nothing against a key,
/// only that there is no room for more.
#[must_use]
pub fn spoken_limit(tail: &[u8], profile: &Profile, calendar: &Calendar<'_>) -> Option<Line> {
    let search = Search::new(tail, profile, calendar);
    let limits = search.seen.iter();
    let limits = limits.filter(|seen| matches!(seen.sign, Sign::Limited(_) | Sign::Overloaded));
    let last = limits.max_by_key(|seen| seen.line);
    last.map(|&seen| search.excerpt(seen))
}

const fn scope(finding: Finding, trust: Trust) -> Scope {
    match (finding, trust) {
        (Finding::Done | Finding::Failed | Finding::Forbidden, _) => Scope::Item,
        // A child that knows that it is limited speaks for the account; a text, for what can be proved.
        (Finding::RateLimited(_), Trust::Child) => Scope::Group,
        (Finding::RateLimited(_), Trust::Text) | (Finding::Rejected, _) => Scope::Key,
        (Finding::Overloaded, _) => Scope::Provider,
    }
}

/// A line in which a pattern has found something.
#[derive(Debug, Clone, Copy)]
struct Seen {
    sign: Sign,
    line: usize,
    pattern: usize,
}

/// A tail, as a terminal would show it, and what is seen in it.
struct Search<'a> {
    profile: &'a Profile,
    calendar: &'a Calendar<'a>,
    shown: Vec<u8>,
    /// Where each line begins in `shown`, and where the last one ends.
    starts: Vec<usize>,
    /// The last line of each sign.
    seen: Vec<Seen>,
}

impl<'a> Search<'a> {
    fn new(tail: &[u8], profile: &'a Profile, calendar: &'a Calendar<'a>) -> Self {
        let tail = tail_of(tail);
        let tail = tail.strip_suffix(b"\n").unwrap_or(tail);
        let (mut shown, mut starts) = (Vec::with_capacity(tail.len() + 1), vec![0]);
        for line in tail.split(|&byte| byte == b'\n') {
            // Colours and carriage returns would stand between a message and its anchor.
            escape_line(line, false, &mut shown);
            shown.push(b'\n');
            starts.push(shown.len());
        }
        let mut search = Self {
            profile,
            calendar,
            shown,
            starts,
            seen: Vec::new(),
        };
        search.look();
        search
    }

    fn look(&mut self) {
        for line in 0..self.starts.len() - 1 {
            for (sign, pattern) in self.profile.signs(self.line(line)) {
                let known = self.seen.iter_mut().find(|seen| seen.sign == sign);
                match known {
                    // Of the patterns that say the same in one line the first stays.
                    Some(seen) if seen.line == line => {}
                    Some(seen) => {
                        *seen = Seen {
                            sign,
                            line,
                            pattern,
                        }
                    }
                    None => self.seen.push(Seen {
                        sign,
                        line,
                        pattern,
                    }),
                }
            }
        }
    }

    fn line(&self, line: usize) -> &[u8] {
        &self.shown[self.starts[line]..self.starts[line + 1] - 1]
    }

    /// What was seen last, for that is what ended the child, but
    /// - of several limits the widest: `429` and the name of the quota stand in one error, the wide one only there;
    /// - what is forbidden only when there is nothing else: it explains the failure, and nothing follows from it.
    fn decisive(&self) -> Option<Seen> {
        let weight = |seen: &Seen| match seen.sign {
            Sign::Rejected => 4,
            Sign::Limited(Class::Billing | Class::Day) => 3,
            Sign::Overloaded => 2,
            Sign::Limited(Class::Minute) => 1,
            Sign::Forbidden => 0,
        };
        let telling = self.seen.iter().filter(|seen| seen.sign != Sign::Forbidden);
        let last = telling.max_by_key(|seen| (seen.line, weight(seen)));
        match last {
            Some(seen) if matches!(seen.sign, Sign::Limited(_)) => self.widest_limit(),
            Some(seen) => Some(*seen),
            None => self.seen.first().copied(),
        }
    }

    fn widest_limit(&self) -> Option<Seen> {
        let limits = [Class::Billing, Class::Day, Class::Minute];
        limits.iter().find_map(|&class| {
            let of_class = |seen: &&Seen| seen.sign == Sign::Limited(class);
            self.seen.iter().find(of_class).copied()
        })
    }

    fn limit_by_code(&self) -> Verdict {
        let limit = self.widest_limit();
        let class = match limit.map(|seen| seen.sign) {
            Some(Sign::Limited(class)) => class,
            _ => Class::Minute,
        };
        self.verdict(Finding::RateLimited(class), Trust::Child, limit)
    }

    fn by_code(&self, finding: Finding, sign: Sign) -> Verdict {
        let same = self.seen.iter().find(|seen| seen.sign == sign);
        self.verdict(finding, Trust::Child, same.copied())
    }

    fn verdict_by_text(&self) -> Verdict {
        let decisive = self.decisive();
        let finding = match decisive.map(|seen| seen.sign) {
            None => Finding::Failed,
            Some(Sign::Limited(class)) => Finding::RateLimited(class),
            Some(Sign::Rejected) => Finding::Rejected,
            Some(Sign::Forbidden) => Finding::Forbidden,
            Some(Sign::Overloaded) => Finding::Overloaded,
        };
        self.verdict(finding, Trust::Text, decisive)
    }

    fn verdict(&self, finding: Finding, trust: Trust, seen: Option<Seen>) -> Verdict {
        let has_hint = matches!(finding, Finding::RateLimited(_) | Finding::Overloaded);
        Verdict {
            finding,
            scope: scope(finding, trust),
            hint: has_hint.then(|| self.hint(seen)).flatten(),
            trust,
            line: seen.map(|seen| self.excerpt(seen)),
        }
    }

    /// How long to wait: what stands near the line that decides is about it.
    fn hint(&self, decisive: Option<Seen>) -> Option<Hint> {
        let last = self.starts.len() - 1;
        let Some(seen) = decisive else {
            return self.hint_in(0, last);
        };
        // A header that is near may be that of an earlier, shorter limit; a line that names a day's knows better.
        let is_wide = matches!(seen.sign, Sign::Limited(Class::Day | Class::Billing));
        let itself = is_wide.then(|| self.hint_in(seen.line, seen.line + 1));
        let near = || {
            let from = seen.line.saturating_sub(NEAR_LINES);
            self.hint_in(from, (seen.line + 1 + NEAR_LINES).min(last))
        };
        itself
            .flatten()
            .or_else(near)
            .or_else(|| self.hint_in(0, last))
    }

    fn hint_in(&self, from: usize, to: usize) -> Option<Hint> {
        let text = &self.shown[self.starts[from]..self.starts[to]];
        let hint = self.profile.hints().read(text, self.calendar)?;
        Some(Hint {
            line: from + hint.line,
            ..hint
        })
    }

    fn excerpt(&self, seen: Seen) -> Line {
        let line = self.line(seen.line);
        let (pattern, end) = self.profile.place(seen.pattern, line);
        let text = String::from_utf8_lossy(line);
        let (before, behind) = text.split_at(text.floor_char_boundary(end));
        let kept = EXCERPT_CHARACTERS_MAX / 2;
        let from = before.char_indices().nth_back(kept - 1);
        let to = behind.char_indices().nth(kept);
        // A word is shown whole or not at all: half of a key looks like no key.
        let before = match from {
            Some((from, _)) if from > 0 => {
                format!("…{}", before[from..].trim_start_matches(is_of_word))
            }
            Some(_) | None => before.to_owned(),
        };
        let behind = match to {
            Some((to, _)) => format!("{}…", behind[..to].trim_end_matches(is_of_word)),
            None => behind.to_owned(),
        };
        let excerpt = escape_text(&(before + &behind)).into_owned();
        Line {
            index: seen.line,
            excerpt,
            pattern: pattern.to_owned(),
        }
    }
}

fn is_of_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-.".contains(character)
}

#[cfg(test)]
mod tests;
