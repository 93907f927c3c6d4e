//! The status lines below a run that is watched: how it stands, and what its items are at.
//!
//! Pure. `run/display.rs` asks for them whenever something has changed, and once a second for the times.

use std::time::Duration;

use unicode_width::UnicodeWidthStr as _;

use super::backpressure::{KeyCounts, key_words};
use super::elapsed::elapsed;
use super::fit::clip;
use crate::schedule::bottleneck::Limiter;

/// What an item is at is worth to be shown in this many columns of the terminal: two of them fit into one of 80 columns.
const ITEM_COLUMNS_MIN: usize = 36;

/// Between two items.
const GAP: &str = " | ";

/// The items that are shown change after this many seconds, where there is no room for all.
const TURN_SECONDS: u64 = 3;

/// Times below this are shown in whole seconds.
const SECOND: Duration = Duration::from_secs(1);

/// A run that is under way.
#[derive(Debug)]
pub struct LiveView<'a> {
    /// Items that are to come to an end in all.
    pub count: usize,
    /// How many have ended how.
    pub ended: EndedCounts,
    /// What runs.
    pub running: Vec<LiveItem<'a>>,
    /// Items that wait for their first attempt.
    pub queued: usize,
    /// Items that wait for another attempt.
    pub again: usize,
    /// Nothing new starts: `draining`, `terminating` or `killing`.
    pub stopping: Option<&'static str>,
    /// How long it will still take.
    pub left: Option<Duration>,
    /// How its keys stand, if it has any.
    pub keys: Option<KeyCounts>,
    /// What limits it.
    pub limiter: Option<Limiter>,
    /// Since the run began.
    pub time: Duration,
}

/// How many items have ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndedCounts {
    /// Done.
    pub done: usize,
    /// Failed or timed out.
    pub failed: usize,
    /// Interrupted or deferred.
    pub other: usize,
}

/// An item that runs.
#[derive(Debug, Clone)]
pub struct LiveItem<'a> {
    /// Its id.
    pub id: &'a str,
    /// For how long.
    pub time: Duration,
    /// What it is at, masked and escaped; nothing if it has said nothing.
    pub at: Option<String>,
}

impl LiveView<'_> {
    /// The status lines for a terminal of so many columns, the last of which stays free.
    #[must_use]
    pub fn lines(&self, columns: usize) -> Vec<String> {
        let columns = columns.saturating_sub(1);
        let mut lines = vec![self.counts(columns)];
        lines.extend(self.items(columns));
        lines
    }

    /// One line for who does not see a terminal: how it stands, and what has been running longest.
    #[must_use]
    pub fn sign_of_life(&self) -> String {
        let longest = self.by_time().into_iter().next();
        let longest = longest.map(|item| format!("; longest: {}", item_words(item)));
        self.counts(usize::MAX) + &longest.unwrap_or_default()
    }

    /// How the run stands, as much as there is room for: what matters most comes first.
    fn counts(&self, columns: usize) -> String {
        let EndedCounts {
            done,
            failed,
            other,
        } = self.ended;
        let mut line = format!("[{}/{}]", done + failed + other, self.count);
        let counted = |count: usize, words: &str| (count > 0).then(|| format!("{count} {words}"));
        let parts = [
            self.stopping.map(str::to_owned),
            counted(failed, "failed"),
            Some(format!("{} running", self.running.len())),
            counted(self.queued, "queued"),
            counted(self.again, "to be tried again"),
            self.left
                .filter(|left| *left >= SECOND)
                .map(|left| format!("about {} left", whole(left))),
            counted(done, "done"),
            self.keys
                .as_ref()
                .map(|keys| format!("keys: {}", key_words(keys))),
            self.limiter.map(limiter_words),
            counted(other, "interrupted or deferred"),
            Some(format!("{} so far", whole(self.time))),
        ];
        for (index, part) in parts.into_iter().flatten().enumerate() {
            let comma = if index == 0 { " " } else { ", " };
            if line.width() + comma.len() + part.width() > columns {
                break;
            }
            line.push_str(comma);
            line.push_str(&part);
        }
        line
    }

    /// What running items are at, the one that has been running longest first; in turns where there is no room for all.
    fn items(&self, columns: usize) -> Option<String> {
        let items = self.by_time();
        let fitting = (columns + GAP.len()) / (ITEM_COLUMNS_MIN + GAP.len());
        let shown = fitting.clamp(1, items.len().max(1));
        let turns = items.len().div_ceil(shown);
        let turn = usize::try_from(self.time.as_secs() / TURN_SECONDS).unwrap_or(0);
        let first = turn.checked_rem(turns)? * shown;
        // The last turn is as full as the others.
        let first = first.min(items.len() - shown);
        let mut room = columns;
        let mut cells = Vec::new();
        for (index, item) in items[first..first + shown].iter().enumerate() {
            let rest = shown - index;
            let cell = clip(&item_words(item), (room - (rest - 1) * GAP.len()) / rest);
            room = room.saturating_sub(cell.width() + GAP.len());
            cells.push(cell);
        }
        Some(cells.join(GAP))
    }

    fn by_time(&self) -> Vec<&LiveItem<'_>> {
        let mut items: Vec<&LiveItem<'_>> = self.running.iter().collect();
        items.sort_by_key(|item| std::cmp::Reverse(item.time));
        items
    }
}

/// `issue-42 3m12s: page 3 of 9`.
fn item_words(item: &LiveItem<'_>) -> String {
    let at = item.at.as_ref().filter(|at| !at.is_empty());
    let at = at.map(|at| format!(": {at}")).unwrap_or_default();
    format!("{} {}{at}", item.id, whole(item.time))
}

fn limiter_words(limiter: Limiter) -> String {
    let words = match limiter {
        Limiter::Credentials => "limited by credentials",
        Limiter::Provider => "limited by the provider",
        Limiter::Room => "limited by the room for processes",
    };
    words.to_owned()
}

/// A time that changes once a second at most.
fn whole(time: Duration) -> String {
    elapsed(SECOND * u32::try_from(time.as_secs()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn view() -> LiveView<'static> {
        let item = |id, seconds, at: &str| LiveItem {
            id,
            time: s(seconds),
            at: (!at.is_empty()).then(|| at.to_owned()),
        };
        LiveView {
            count: 40,
            ended: EndedCounts {
                done: 9,
                failed: 2,
                other: 1,
            },
            running: vec![
                item("issue-57", 5, ""),
                item("issue-42", 192, "page 3 of 9"),
                item(
                    "issue-100",
                    61,
                    "東京の天気は晴れです。明日も晴れるでしょう",
                ),
                item(
                    "issue-9",
                    3,
                    "Compiling a crate with a rather long name v1.0.0",
                ),
            ],
            queued: 24,
            again: 0,
            stopping: None,
            left: Some(s(2100)),
            keys: Some(KeyCounts {
                busy: 3,
                free: 0,
                resting: 1,
                out: 0,
                back_in: Some(s(720)),
            }),
            limiter: Some(Limiter::Credentials),
            time: s(0),
        }
    }

    fn at(columns: usize, view: &LiveView<'_>) -> String {
        let lines = view.lines(columns);
        for line in &lines {
            assert!(line.width() < columns, "{columns}: {line}");
        }
        format!("{columns}:\n{}\n", lines.join("\n"))
    }

    #[test]
    fn the_lines_say_what_there_is_room_for() {
        let mut text = String::new();
        for columns in [40, 80, 120, 200] {
            text.push_str(&at(columns, &view()));
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn no_width_is_too_small_and_no_count_too_great() {
        let mut view = view();
        for columns in 0..300 {
            for items in [0, 1, 4] {
                view.running.truncate(items.max(1));
                if items == 0 {
                    view.running.clear();
                }
                for line in view.lines(columns).iter().skip(1) {
                    assert!(line.width() < columns.max(1), "{columns}: {line}");
                }
            }
            view = self::view();
        }
    }

    #[test]
    fn where_there_is_no_room_for_all_items_take_turns_the_longest_first() {
        let mut view = view();
        let mut firsts = Vec::new();
        for turn in 0..5 {
            view.time = s(turn * TURN_SECONDS);
            let items = view.lines(40).remove(1);
            firsts.push(items.split(' ').next().unwrap().to_owned());
        }
        assert_eq!(
            firsts,
            ["issue-42", "issue-100", "issue-57", "issue-9", "issue-42"]
        );
    }

    #[test]
    fn a_run_that_is_being_stopped_says_so_and_nothing_that_runs_is_no_line() {
        let mut view = view();
        view.stopping = Some("draining");
        assert!(view.lines(80)[0].starts_with("[12/40] draining, 2 failed, 4 running"));
        view.running.clear();
        assert_eq!(view.lines(80).len(), 1);
    }

    #[test]
    fn what_waits_for_another_attempt_is_counted_and_an_end_that_is_overdue_is_not_foretold() {
        let mut view = view();
        (view.again, view.left) = (2, Some(Duration::from_millis(900)));
        let line = &view.lines(80)[0];
        assert_eq!(
            line,
            "[12/40] 2 failed, 4 running, 24 queued, 2 to be tried again, 9 done"
        );
    }

    #[test]
    fn the_sign_of_life_names_what_has_been_running_longest() {
        assert_eq!(
            view().sign_of_life(),
            "[12/40] 2 failed, 4 running, 24 queued, about 35m left, 9 done, keys: 3 busy, \
             0 free, 1 resting (back in 12m), limited by credentials, 1 interrupted or deferred, 0s so far; \
             longest: issue-42 3m12s: page 3 of 9"
        );
    }
}
