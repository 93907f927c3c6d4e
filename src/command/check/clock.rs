//! Whether the wall clock can be right: cooldowns of another boot, and what a person reads, depend on it.

use std::fs;

use jiff::Timestamp;

use super::super::Site;
use super::ourselves::Ourselves;
use crate::report::checklist::{Finding, Health};
use crate::state::runs::Runs;

const SUBJECT: &str = "clock";

/// Compares it with what cannot lie in the future: this program, and the newest run.
pub(super) fn look(site: &Site<'_>, ourselves: &Ourselves) -> Finding {
    let now = Timestamp::now();
    let shown = now.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let written = fs::metadata(ourselves.path()).and_then(|metadata| metadata.modified());
    let written = written.ok().and_then(|time| Timestamp::try_from(time).ok());
    let begun = site.state().ok().and_then(|state| {
        let runs = Runs::find(&state).ok()??;
        runs.newest_first().first()?.started()
    });
    let later = [
        (written, "this program was written"),
        (begun, "the newest run began"),
    ]
    .into_iter()
    .find_map(|(time, what)| Some((time?, what)).filter(|(time, _)| *time > now));
    match later {
        Some((time, what)) => {
            let time = time.strftime("%Y-%m-%d %H:%M UTC");
            let words = format!("it says {shown}, but {what} at {time}");
            Finding::new(SUBJECT, Health::Bad, words).with_remedy("set the clock: timedatectl")
        }
        None => Finding::good(SUBJECT, shown),
    }
}
