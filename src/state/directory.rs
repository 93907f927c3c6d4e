//! `.orchestrate/`: what lies where, and who may touch it.
//!
//! `run` prepares it once, before anything else of ours is written; a dry run only finds it. From then on the
//! directories are held open ([`HeldDirectory`]) and their modes and owners are known to be right. Nothing here
//! writes the journal, and nothing is ever deleted here.
//!
//! ```text
//! .orchestrate/                        0700, with a .gitignore of its own
//!   WORKFLOW/journal.jsonl  lock
//!   runs/RUN-ID/run.json    events.jsonl    logs/ITEM-ID.ATTEMPT.log
//!                                             status/ITEM-ID.ATTEMPT.jsonl  status/N.jsonl
//!   runs/latest ─► RUN-ID
//! ```

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::run_id::RunId;
use super::run_record::RunRecord;
use crate::disk::held_directory::{Access, FILE_MODE, HeldDirectory, Identity, failed};
use crate::disk::path_text::{shell_quoted, shown};
use crate::disk::whole_file::{self, Draft};
use crate::error::{Error, Result};
use crate::items::item::ItemId;
use crate::output::mask::Masked;

/// The state directory's name.
pub const STATE_DIRECTORY: &str = ".orchestrate";
/// The journal's name in a workflow's directory.
pub const JOURNAL: &str = "journal.jsonl";
/// The lock's name in a workflow's directory.
pub const LOCK: &str = "lock";
/// What tells a run that lives from what a dead one has left: see [`super::lock`].
pub const ALIVE: &str = "alive";
const GIT_IGNORE: &str = ".gitignore";
/// The directory of all runs.
const RUNS: &str = "runs";
/// The link to the newest run.
const LATEST: &str = "latest";
/// A run's record.
pub(super) const RUN_RECORD: &str = "run.json";
/// What has happened in a run, in order.
pub(super) const EVENTS: &str = "events.jsonl";
/// A run's raw output.
pub(super) const LOGS: &str = "logs";
/// What items say of themselves.
const STATUS: &str = "status";
/// How often a run's name is drawn before we believe that something else is wrong.
const RUN_ID_DRAWS_MAX: u32 = 16;

/// `.orchestrate/`, held open.
#[derive(Debug)]
pub struct StateDirectory {
    base: Arc<HeldDirectory>,
    directory: Arc<HeldDirectory>,
    /// The options of a command that finds it, from anywhere.
    options: String,
}

impl StateDirectory {
    /// Makes `.orchestrate/` in `base` if it is not there, and checks it in any case.
    ///
    /// # Errors
    ///
    /// Exit 2 when it is a symbolic link, belongs to somebody else or can be written by others; exit 74 when
    /// it cannot be made or opened.
    pub fn prepare(base: &Path) -> Result<Self> {
        let base = HeldDirectory::open(base).map_err(|e| failed("open", base, &e))?;
        let directory =
            base.child(STATE_DIRECTORY)
                .map_err(|error| match error.hint() {
                    Some(_) => error,
                    None => error
                        .with_hint("make the directory writable, or choose another one with -C"),
                })?;
        ignore_in_git(&directory)?;
        Ok(Self::new(base, directory))
    }

    fn new(base: HeldDirectory, directory: HeldDirectory) -> Self {
        let options = format!("-C {}", shell_quoted(base.path()));
        Self {
            base: Arc::new(base),
            directory: Arc::new(directory),
            options,
        }
    }

    /// Of a run with this configuration file, which proposed commands must name: without it they might find another one.
    #[must_use]
    pub fn with_config(mut self, config: Option<&Path>) -> Self {
        if let Some(config) = config {
            self.options = format!("--config {}", shell_quoted(config));
        }
        self
    }

    /// Refuses a `base` whose `.orchestrate/` lies, or would lie, on a file system that machines share: neither the
    /// lock nor the journal can keep there what they promise. Makes nothing.
    ///
    /// # Errors
    ///
    /// Exit 2 when it does; otherwise as [`prepare`](Self::prepare).
    pub fn refuse_network(base: &Path) -> Result<()> {
        let (held, path) = if let Some(state) = Self::find(base)? {
            (state.directory, base.join(STATE_DIRECTORY))
        } else {
            let held = HeldDirectory::open(base).map_err(|e| failed("open", base, &e))?;
            (Arc::new(held), base.to_owned())
        };
        let shared = held
            .shared_file_system()
            .map_err(|e| failed("examine", &path, &e))?;
        let Some(name) = shared else {
            return Ok(());
        };
        let message = format!(
            "`{}` is on a file system that machines share ({name}): a run on another machine might not see this \
             one's lock and run the same items, and what is shown as done might be lost with the server",
            shown(&path)
        );
        Err(Error::usage(message).with_hint(
            "work in a directory on a local disk, or let only one machine at a time run this and pass \
             --allow-network-state",
        ))
    }

    /// The `.orchestrate/` in `base`, checked, or nothing when it is not there. Never creates anything.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare).
    pub fn find(base: &Path) -> Result<Option<Self>> {
        let base = HeldDirectory::open(base).map_err(|e| failed("open", base, &e))?;
        let directory = base.find_child(STATE_DIRECTORY)?;
        Ok(directory.map(|directory| Self::new(base, directory)))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory of the workflow `name`, made if it is not there.
    ///
    /// # Errors
    ///
    /// Exit 2 for a name that no workflow may have; otherwise as [`prepare`](Self::prepare).
    pub fn workflow(&self, name: &str) -> Result<WorkflowDirectory> {
        check_workflow_name(name)?;
        Ok(self.of_workflow(name, self.directory.child(name)?))
    }

    /// The directory of the workflow `name`, or nothing when it is not there. Never creates anything.
    ///
    /// # Errors
    ///
    /// As [`workflow`](Self::workflow).
    pub fn find_workflow(&self, name: &str) -> Result<Option<WorkflowDirectory>> {
        check_workflow_name(name)?;
        let directory = self.directory.find_child(name)?;
        Ok(directory.map(|directory| self.of_workflow(name, directory)))
    }

    fn of_workflow(&self, name: &str, directory: HeldDirectory) -> WorkflowDirectory {
        WorkflowDirectory {
            workflow: name.to_owned(),
            directory: Arc::new(directory),
            above: [&self.directory, &self.base].map(Arc::clone),
            options: self.options.clone(),
        }
    }

    /// The names of all workflows that have a directory, sorted.
    ///
    /// # Errors
    ///
    /// Exit 74 when the directory cannot be read.
    pub fn workflows(&self) -> Result<Vec<String>> {
        let names = self.directory.names();
        let names = names.map_err(|e| failed("read", self.directory.path(), &e))?;
        let text = names.into_iter().filter_map(|name| name.into_string().ok());
        let mut workflows: Vec<String> = text
            .filter(|name| check_workflow_name(name).is_ok())
            .collect();
        workflows.sort();
        Ok(workflows)
    }

    /// The directory of all runs, or nothing when it is not there. Never creates anything.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare).
    pub(super) fn find_runs(&self) -> Result<Option<HeldDirectory>> {
        self.directory.find_child(RUNS)
    }

    /// Makes the directory of a new run that began at `started`, and draws its name.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare).
    pub fn new_run(&self, started: Timestamp) -> Result<RunDirectory> {
        let runs = self.directory.child(RUNS)?;
        for _ in 0..RUN_ID_DRAWS_MAX {
            let [high, low, ..] = whole_file::random_bits().to_be_bytes();
            let id = RunId::new(started, u16::from_be_bytes([high, low]));
            match runs.new_child(id.as_str()) {
                Ok(directory) => return RunDirectory::new(id, directory, runs),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(runs.failed("make", id.as_str(), &error)),
            }
        }
        let path = shown(runs.path());
        Err(Error::state(format!(
            "cannot find a free name for a run in `{path}`"
        )))
    }
}

/// When a power cut has emptied it, the next run makes it again.
fn ignore_in_git(directory: &HeldDirectory) -> Result<()> {
    let failed = |error: io::Error| directory.failed("write", GIT_IGNORE, &error);
    if let Some(file) = directory.open_file(GIT_IGNORE, Access::Read)?
        && file.metadata().map_err(failed)?.len() > 0
    {
        return Ok(());
    }
    let draft = whole_file::draft_with(directory, |out| out.write_all(b"*\n"));
    draft.and_then(|it| it.show(GIT_IGNORE)).map_err(failed)
}

/// A workflow's name is a directory beside `runs`, so it follows the rule for item ids.
fn check_workflow_name(name: &str) -> Result<()> {
    let refused = |why: String| Err(Error::usage(format!("workflow name {name:?}: {why}")));
    if let Err(invalid) = ItemId::new(name) {
        return refused(
            invalid
                .to_string()
                .replace("an item id", "a workflow's name"),
        );
    }
    // Whatever the case, for the sake of file systems that see no difference.
    if name.eq_ignore_ascii_case(RUNS) {
        return refused(format!("`{RUNS}` is the directory of all runs"));
    }
    Ok(())
}

/// `.orchestrate/WORKFLOW/`, held open.
#[derive(Debug)]
pub struct WorkflowDirectory {
    workflow: String,
    directory: Arc<HeldDirectory>,
    above: [Arc<HeldDirectory>; 2],
    options: String,
}

impl WorkflowDirectory {
    /// The options with which `orchestrate` finds this workflow from anywhere, as words for a shell.
    pub(super) fn options(&self) -> &str {
        &self.options
    }

    /// The workflow's name.
    #[must_use]
    pub fn workflow(&self) -> &str {
        &self.workflow
    }

    /// The directory itself.
    #[must_use]
    pub fn held(&self) -> &HeldDirectory {
        &self.directory
    }

    /// The directory and those above it, without which the journal would not be found after a power cut.
    pub(super) fn way_down(&self) -> [Arc<HeldDirectory>; 3] {
        let [state, base] = &self.above;
        [&self.directory, state, base].map(Arc::clone)
    }

    /// The journal's path.
    #[must_use]
    pub fn journal_path(&self) -> PathBuf {
        self.directory.join(JOURNAL)
    }

    /// The lock's path.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        self.directory.join(LOCK)
    }
}

/// `.orchestrate/runs/RUN-ID/`, held open.
#[derive(Debug)]
pub struct RunDirectory {
    id: RunId,
    runs: HeldDirectory,
    directory: Arc<HeldDirectory>,
    logs: HeldDirectory,
    status: HeldDirectory,
}

impl RunDirectory {
    fn new(id: RunId, directory: HeldDirectory, runs: HeldDirectory) -> Result<Self> {
        let logs = directory.child(LOGS)?;
        let status = directory.child(STATUS)?;
        Ok(Self {
            id,
            runs,
            directory: Arc::new(directory),
            logs,
            status,
        })
    }

    /// The run's name.
    #[must_use]
    pub const fn id(&self) -> &RunId {
        &self.id
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where the raw output of one attempt lies.
    #[must_use]
    pub fn log_path(&self, item: &ItemId, attempt: u32) -> PathBuf {
        self.logs.join(log_name(item, attempt))
    }

    /// The same, relative to `.orchestrate/`: what records hold, so that they stay true when the workspace moves.
    #[must_use]
    pub fn log_reference(&self, item: &ItemId, attempt: u32) -> String {
        format!("{RUNS}/{}/{LOGS}/{}", self.id, log_name(item, attempt))
    }

    /// Makes the file for the raw output of one attempt; only an empty one may be there, of an attempt for which the system
    /// had no room and which now has its number again.
    ///
    /// The file is made in the directory that was opened when the run began, whatever lies at its path now.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], or why it could not be made.
    pub fn create_log(&self, item: &ItemId, attempt: u32) -> io::Result<File> {
        new_or_empty(&self.logs, &log_name(item, attempt))
    }

    /// Opens the log of one attempt to read it; nothing when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn open_log(&self, item: &ItemId, attempt: u32) -> Result<Option<File>> {
        self.logs.open_file(log_name(item, attempt), Access::Read)
    }

    /// Makes the `number`-th file in which attempts may say how they fare, one at a time, open for reading and writing, and
    /// says its path.
    ///
    /// # Errors
    ///
    /// Why it could not be made.
    pub fn create_status(&self, number: u64) -> io::Result<(File, PathBuf)> {
        let name = numbered_status(number);
        let file = self.status.create_new(&name)?;
        Ok((file, self.status.join(name)))
    }

    /// Whether the `number`-th of those files, which is `file`, is as it was made.
    #[must_use]
    pub fn is_status_untouched(&self, number: u64, file: &File) -> bool {
        let Ok(metadata) = file.metadata() else {
            return false;
        };
        let found = self.status.identity(numbered_status(number));
        metadata.len() == 0
            && metadata.nlink() == 1
            && metadata.mode() & 0o7777 == FILE_MODE.bits()
            && found.is_ok_and(|found| found == Some(Identity::from(&metadata)))
    }

    /// Gives what lies in the place of the `number`-th of those files, of which an attempt has made use, the name of that
    /// attempt.
    ///
    /// # Errors
    ///
    /// Why that could not be.
    pub fn name_status(&self, number: u64, item: &ItemId, attempt: u32) -> io::Result<()> {
        let name = format!("{item}.{attempt}.jsonl");
        self.status.rename(numbered_status(number), name)
    }

    /// Where those files lie.
    #[must_use]
    pub fn status_path(&self) -> &Path {
        self.status.path()
    }

    /// Makes `events.jsonl`, open for writing; it must not be there yet.
    ///
    /// # Errors
    ///
    /// Why it could not be made.
    pub fn create_events(&self) -> io::Result<File> {
        self.directory.create_new(EVENTS)
    }

    /// What `run.json` says while the run goes on, for [`begin`](Self::begin).
    ///
    /// # Errors
    ///
    /// Exit 74 when it cannot be written.
    pub fn draft_record(
        &self,
        record: Masked<&RunRecord<impl Serialize>>,
    ) -> Result<Draft<Arc<HeldDirectory>>> {
        whole_file::draft_with(Arc::clone(&self.directory), |out| {
            record.get().write_json(out)
        })
        .map_err(|e| self.directory.failed("write", RUN_RECORD, &e))
    }

    /// Shows the run to those who look while it goes on. Waits for the disk. A power cut may take the run as long as it is
    /// not [durable](Self::sync), for what is left of it then is the journal.
    ///
    /// # Errors
    ///
    /// Exit 74 when that cannot be.
    pub fn begin(&self, draft: Draft<Arc<HeldDirectory>>) -> Result<()> {
        draft
            .place(RUN_RECORD)
            .map_err(|e| self.directory.failed("write", RUN_RECORD, &e))?;
        self.publish_latest()
    }

    /// Makes it durable that there was this run.
    ///
    /// # Errors
    ///
    /// Exit 74 when that cannot be.
    pub fn sync(&self) -> Result<()> {
        let synced = self.runs.sync();
        synced.map_err(|e| failed("sync", self.runs.path(), &e))
    }

    /// Writes `run.json` whole and makes it durable.
    ///
    /// # Errors
    ///
    /// Exit 74 when it cannot be written.
    pub fn write_record(&self, record: Masked<&RunRecord<impl Serialize>>) -> Result<()> {
        whole_file::write_with(&self.directory, RUN_RECORD, |out| {
            record.get().write_json(out)
        })
        .map_err(|e| self.directory.failed("write", RUN_RECORD, &e))
    }

    /// Makes `runs/latest` lead to this run, in one step. Not durable: it is a convenience.
    ///
    /// # Errors
    ///
    /// Exit 74 when it cannot be made.
    fn publish_latest(&self) -> Result<()> {
        let temporary = whole_file::temporary_name();
        let linked = self.runs.link(self.id.as_str(), &temporary);
        let published = linked.and_then(|()| {
            self.runs.rename(&temporary, LATEST).inspect_err(|_| {
                // The first error is the one that counts.
                let _ = self.runs.remove(&temporary);
            })
        });
        published.map_err(|e| self.runs.failed("write", LATEST, &e))
    }
}

fn new_or_empty(directory: &HeldDirectory, name: &str) -> io::Result<File> {
    let error = match directory.create_new(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => error,
        made => return made,
    };
    match directory.open_file(name, Access::Update) {
        Ok(Some(file)) if file.metadata()?.len() == 0 => Ok(file),
        Ok(_) | Err(_) => Err(error),
    }
}

/// Different for every item and attempt: the last number is the attempt, whatever dots the id has.
fn log_name(item: &ItemId, attempt: u32) -> String {
    format!("{item}.{attempt}.log")
}

/// No item's: theirs have two dots at least.
fn numbered_status(number: u64) -> String {
    format!("{number}.jsonl")
}

/// The item and the attempt whose log has this name.
pub(super) fn parse_log_name(name: &str) -> Option<(String, u32)> {
    let (item, attempt) = name.strip_suffix(".log")?.rsplit_once('.')?;
    let attempt = attempt.parse().ok()?;
    let item = ItemId::new(item).ok()?;
    (log_name(&item, attempt) == name).then(|| (item.to_string(), attempt))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::error::ExitStatus;

    fn now() -> Timestamp {
        "2026-11-23T00:14:48Z".parse().unwrap()
    }

    fn item(text: &str) -> ItemId {
        ItemId::new(text).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn preparing_makes_a_private_directory_that_git_ignores() {
        let base = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let state = StateDirectory::prepare(base.path()).unwrap();
            assert_eq!(state.path(), base.path().join(".orchestrate"));
            assert_eq!(mode(state.path()), 0o700);
            let ignore = state.path().join(".gitignore");
            assert_eq!(fs::read(&ignore).unwrap(), b"*\n");
            assert_eq!(mode(&ignore), 0o600);
        }
    }

    #[test]
    fn a_gitignore_that_a_power_cut_has_emptied_is_made_again() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        let ignore = state.path().join(".gitignore");
        fs::write(&ignore, "").unwrap();
        StateDirectory::prepare(base.path()).unwrap();
        assert_eq!(fs::read(ignore).unwrap(), b"*\n");
    }

    #[test]
    fn a_gitignore_that_somebody_edited_is_kept() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        fs::write(state.path().join(".gitignore"), "*\n!report.md\n").unwrap();
        StateDirectory::prepare(base.path()).unwrap();
        assert_eq!(
            fs::read(state.path().join(".gitignore")).unwrap(),
            b"*\n!report.md\n"
        );
    }

    #[test]
    fn finding_creates_nothing() {
        let base = tempfile::tempdir().unwrap();
        assert!(StateDirectory::find(base.path()).unwrap().is_none());
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
        StateDirectory::prepare(base.path()).unwrap();
        let state = StateDirectory::find(base.path()).unwrap().unwrap();
        assert!(state.find_workflow("implement").unwrap().is_none());
        assert_eq!(
            fs::read_dir(state.path()).unwrap().count(),
            1,
            "the .gitignore"
        );
    }

    #[test]
    fn links_planted_at_our_paths_are_refused_and_their_targets_untouched() {
        for name in [".", ".gitignore", "implement", "runs"] {
            let base = tempfile::tempdir().unwrap();
            let elsewhere = base.path().join("elsewhere");
            fs::create_dir(&elsewhere).unwrap();
            let planted = base.path().join(STATE_DIRECTORY).join(name);
            let link = if name == "." {
                base.path().join(STATE_DIRECTORY)
            } else {
                StateDirectory::prepare(base.path()).unwrap();
                let _ = fs::remove_file(&planted);
                planted
            };
            symlink(&elsewhere, &link).unwrap();
            let error = StateDirectory::prepare(base.path())
                .and_then(|state| state.workflow("implement").map(|_| state))
                .and_then(|state| state.new_run(now()))
                .unwrap_err();
            assert_eq!(error.status(), ExitStatus::Usage, "{name}: {error}");
            assert!(
                error.to_string().contains("is a symbolic link"),
                "{name}: {error}"
            );
            assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "{name}");
        }
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused_in_a_dry_run_too() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        fs::set_permissions(state.path(), fs::Permissions::from_mode(0o777)).unwrap();
        for error in [
            StateDirectory::prepare(base.path()).unwrap_err(),
            StateDirectory::find(base.path()).unwrap_err(),
        ] {
            assert_eq!(error.status(), ExitStatus::Usage);
            assert!(error.hint().unwrap().contains("chmod go-w"));
        }
    }

    #[test]
    fn a_base_where_nothing_can_be_made_ends_with_74_and_a_remedy() {
        // /proc takes no directories, not even from root.
        let error = StateDirectory::prepare(Path::new("/proc/self")).unwrap_err();
        assert_eq!(error.status(), ExitStatus::State);
        assert!(
            error
                .to_string()
                .starts_with("cannot make `/proc/self/.orchestrate`: "),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("-C"));
        let error = StateDirectory::find(Path::new("/absent")).unwrap_err();
        assert_eq!(error.status(), ExitStatus::State);
    }

    #[test]
    fn a_workflow_has_a_directory_of_its_own() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        let workflow = state.workflow("implement").unwrap();
        assert_eq!(workflow.workflow(), "implement");
        assert_eq!(
            workflow.journal_path(),
            state.path().join("implement/journal.jsonl")
        );
        assert_eq!(workflow.lock_path(), state.path().join("implement/lock"));
        assert_eq!(mode(workflow.held().path()), 0o700);
        assert!(state.find_workflow("implement").unwrap().is_some());
    }

    #[test]
    fn a_log_is_told_from_its_name() {
        for name in ["a.1.log", "a.b.log.12.log", "1.2.3.log"] {
            let (item, attempt) = parse_log_name(name).unwrap();
            assert_eq!(log_name(&self::item(&item), attempt), name);
        }
        for other in ["a.log", "a.01.log", "a.+1.log", ".1.log", "a.1.log~", ""] {
            assert_eq!(parse_log_name(other), None, "{other:?}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_no_workflows() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        for name in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/x",
            "runs",
            "RUNS",
            ".gitignore",
            "a\x1b",
        ] {
            for error in [
                state.workflow(name).unwrap_err(),
                state.find_workflow(name).unwrap_err(),
            ] {
                assert_eq!(error.status(), ExitStatus::Usage, "{name:?}");
                assert!(!error.to_string().contains('\x1b'));
            }
        }
        assert_eq!(
            fs::read_dir(state.path()).unwrap().count(),
            1,
            "the .gitignore"
        );
    }

    #[test]
    fn runs_of_the_same_second_have_directories_of_their_own() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        let runs: Vec<_> = (0..20).map(|_| state.new_run(now()).unwrap()).collect();
        for run in &runs {
            assert!(run.id().as_str().starts_with("20261123T001448Z-"));
            assert_eq!(
                run.path(),
                state.path().join("runs").join(run.id().as_str())
            );
            assert_eq!(mode(run.path()), 0o700);
            assert_eq!(mode(&run.path().join("logs")), 0o700);
        }
        assert_eq!(fs::read_dir(state.path().join("runs")).unwrap().count(), 20);
    }

    #[test]
    fn a_log_is_made_once_and_never_through_a_link() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        let run = state.new_run(now()).unwrap();
        let path = run.log_path(&item("issue-42"), 1);
        assert_eq!(path, run.path().join("logs/issue-42.1.log"));
        assert_eq!(
            state.path().join(run.log_reference(&item("issue-42"), 1)),
            path
        );
        for _ in 0..2 {
            run.create_log(&item("issue-42"), 1).unwrap();
            assert_eq!(mode(&path), 0o600);
        }
        fs::write(&path, "output").unwrap();
        let again = run.create_log(&item("issue-42"), 1).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);

        let target = base.path().join("target");
        symlink(&target, run.log_path(&item("issue-42"), 2)).unwrap();
        assert!(run.create_log(&item("issue-42"), 2).is_err());
        assert!(!target.exists());
    }

    #[test]
    fn attempts_may_say_how_they_fare_in_a_private_file() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        let run = state.new_run(now()).unwrap();
        let (file, path) = run.create_status(1).unwrap();
        assert_eq!(path, run.path().join("status/1.jsonl"));
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, Vec::new()));
        assert!(run.is_status_untouched(1, &file));
        assert!(run.create_status(1).is_err());

        fs::write(&path, "{}\n").unwrap();
        assert!(!run.is_status_untouched(1, &file));
        run.name_status(1, &item("issue-42"), 2).unwrap();
        let named = run.path().join("status/issue-42.2.jsonl");
        assert_eq!(fs::read_to_string(named).unwrap(), "{}\n");
        run.create_status(1).unwrap();
    }

    #[test]
    fn a_status_file_that_is_not_what_was_made_is_touched() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        let run = state.new_run(now()).unwrap();
        let spoil: [fn(&Path); 5] = [
            |path| fs::remove_file(path).unwrap(),
            |path| fs::set_permissions(path, fs::Permissions::from_mode(0o400)).unwrap(),
            |path| fs::hard_link(path, path.with_extension("second")).unwrap(),
            |path| {
                fs::rename(path, path.with_extension("moved")).unwrap();
                fs::write(path, "").unwrap();
            },
            |path| {
                fs::rename(path, path.with_extension("target")).unwrap();
                symlink(path.with_extension("target"), path).unwrap();
            },
        ];
        for (number, spoil) in (1..).zip(spoil) {
            let (file, path) = run.create_status(number).unwrap();
            spoil(&path);
            assert!(!run.is_status_untouched(number, &file), "{number}");
        }
    }

    #[test]
    fn log_names_do_not_meet() {
        assert_ne!(log_name(&item("a"), 11), log_name(&item("a.1"), 1));
        assert_ne!(log_name(&item("a.1"), 1), log_name(&item("a"), 1));
    }

    #[test]
    fn latest_leads_to_the_newest_run() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        let latest = state.path().join("runs/latest");
        for _ in 0..2 {
            let run = state.new_run(now()).unwrap();
            run.publish_latest().unwrap();
            assert_eq!(
                fs::read_link(&latest).unwrap(),
                Path::new(run.id().as_str())
            );
            assert_eq!(
                fs::canonicalize(&latest).unwrap(),
                fs::canonicalize(run.path()).unwrap()
            );
        }
        assert_eq!(
            fs::read_dir(state.path().join("runs")).unwrap().count(),
            3,
            "two runs and the link"
        );
    }

    #[test]
    fn a_directory_in_the_place_of_latest_is_left_alone() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(base.path()).unwrap();
        let run = state.new_run(now()).unwrap();
        fs::create_dir(state.path().join("runs/latest")).unwrap();
        assert_eq!(
            run.publish_latest().unwrap_err().status(),
            ExitStatus::State
        );
        assert_eq!(
            fs::read_dir(state.path().join("runs")).unwrap().count(),
            2,
            "the run and the directory"
        );
    }
}
