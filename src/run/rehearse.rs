//! The dry run: what a run would do, found out without touching anything.

use super::signals::Signals;
use super::visit::Visit;
use super::{Exit, earlier, launch, outlook, present};
use crate::config::options::Format;
use crate::config::place::Place;
use crate::config::resolve::Mode;
use crate::error::{ExitStatus, Result};
use crate::items::plan::{LastOutcome, PlannedState};
use crate::output::Target;
use crate::report::dry_run;
use crate::report::forecast::at_once;
use crate::report::paint::Paint;
use crate::report::table::Look;
use crate::state::directory::StateDirectory;
use crate::state::history::History;
use crate::state::{journal_scan, lock};

impl Visit<'_> {
    /// The dry run: reads what there is, and touches nothing.
    pub(super) async fn rehearse(self, signals: &mut Signals) -> Result<Exit> {
        launch::preflight(&self.invocation, self.surroundings)?;
        let Place { config, root } = &self.invocation.place;
        let found = StateDirectory::find(root)?.map(|found| found.with_config(config.as_deref()));
        let directory = match &found {
            Some(state) => state.find_workflow(&self.invocation.workflow.name)?,
            None => None,
        };
        // Asked before the journal is read: a run that ends in between has recorded everything.
        let unfinished = match &directory {
            Some(directory) if lock::holder_of(directory)?.is_some() => LastOutcome::Running,
            Some(_) | None => LastOutcome::CutOff,
        };
        let ahead = self.collect_ahead()?;
        let history =
            directory.map_or_else(|| Ok(History::default()), |it| journal_scan::read(&it))?;
        let items = match self.collect(ahead, signals).await? {
            Ok(items) => items,
            Err(press) => return Ok(Exit::Signal(press)),
        };
        let state = self.state_path();
        let parallel = self.invocation.mode != Mode::Sequential;
        let plan = outlook::decide(
            &self.invocation,
            &state,
            items.items,
            &history,
            unfinished,
            parallel,
        )?;
        self.voice.notes(
            &items.warnings,
            &history,
            outlook::collisions(&self.invocation, &plan).as_deref(),
        );
        let rows = outlook::rows(&self.invocation, &state, &plan);
        let outlook = self.outlook(found.as_ref(), plan.count(PlannedState::Pending));
        self.show(&rows, &outlook);
        Ok(Exit::Status(ExitStatus::Success))
    }

    /// How so many items would be run. No key is read for it: there are as many as there were last time.
    fn outlook(&self, state: Option<&StateDirectory>, pending: usize) -> dry_run::Outlook {
        let invocation = &self.invocation;
        let earlier =
            state.and_then(|state| earlier::earlier(state, &invocation.workflow.name, None));
        let (asked, table) = match invocation.mode {
            Mode::Sequential => (1, None),
            Mode::Parallel(width) => (width, invocation.credentials.as_ref()),
        };
        let keys = earlier.map(|it| it.keys).filter(|&keys| keys > 0);
        let slots = table.and_then(|table| Some(keys?.saturating_mul(table.slots)));
        let at_once = at_once(asked, slots, pending);
        dry_run::Outlook {
            how: present::how(invocation),
            at_once,
            forecast: earlier.and_then(|it| it.forecast(pending, at_once)),
        }
    }

    /// What the dry run is for.
    fn show(&self, rows: &[dry_run::Row], outlook: &dry_run::Outlook) {
        let text = match self.invocation.format {
            Format::Json => {
                let lines = dry_run::json_lines(rows, outlook);
                return self.terminal.say_verbatim(Target::Stdout, lines);
            }
            Format::Text if rows.is_empty() => "Nothing to process\n".to_owned(),
            Format::Text => {
                let look = Look {
                    paint: Paint(self.invocation.stdout_colour),
                    columns: self.surroundings.columns,
                };
                dry_run::text(rows, outlook, look)
            }
        };
        self.terminal.say(Target::Stdout, text);
    }
}
