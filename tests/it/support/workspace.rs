//! A directory with a configuration, items and a per-item command, in which nothing of the machine's shows.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::WATCHDOG;
use super::end::End;
use super::gates::Gates;
use super::item_script::item_script;
use super::launch::{Launch, Promise};
use super::ledger::{self, Recorded};
use super::running::Finished;
use super::schema;
use super::witness;

/// The binary under test.
const ORCHESTRATE: &str = env!("CARGO_BIN_EXE_orchestrate");

/// The workflow that every workspace has.
pub(crate) const WORKFLOW: &str = "w";

/// Variables without which programs may not run at all; all others are the workspace's own.
const KEPT_VARIABLES: &[&str] = &["LD_LIBRARY_PATH", "LLVM_PROFILE_FILE", "TMPDIR"];

/// A workspace. When it goes out of scope in a test that has not failed, the oracle judges what has happened in it.
#[derive(Debug)]
pub(crate) struct Workspace {
    directory: TempDir,
    root: PathBuf,
    started: Cell<usize>,
    /// What the journals held when a process last ended.
    known: RefCell<BTreeSet<Recorded>>,
    /// The runs that were there when each process was started.
    runs_before: RefCell<BTreeMap<usize, BTreeSet<String>>>,
}

impl Workspace {
    /// A workspace without configuration, items or command.
    pub(crate) fn bare() -> Self {
        let directory = TempDir::with_prefix("orchestrate-it-").expect("a directory");
        let above = directory.path().canonicalize().expect("a directory");
        for name in ["work", "home", "bin"] {
            fs::create_dir(above.join(name)).expect("a directory");
        }
        // So that a shell finds it under the name that its messages use.
        symlink(ORCHESTRATE, above.join("bin/orchestrate")).expect("a link");
        Self {
            root: above.join("work"),
            directory,
            started: Cell::new(0),
            known: RefCell::default(),
            runs_before: RefCell::default(),
        }
    }

    /// A workspace with these items, each of which is done by the shell code `body`.
    pub(crate) fn new(items: &[&str], body: &str) -> Self {
        let workspace = Self::bare();
        workspace.write("items.txt", &(items.join("\n") + "\n"));
        workspace.configure("", "");
        workspace.item(body);
        workspace
    }

    /// Writes `orchestrate.toml`: the keys in `top`, the workflow with the keys in `table`, and what follows there.
    pub(crate) fn configure(&self, top: &str, table: &str) {
        let mut text = format!("{top}\n[workflow.{WORKFLOW}]\n");
        let says = |key: &str| table.lines().any(|line| line.starts_with(key));
        if !says("command =") {
            text.push_str("command = [\"./item\", \"{id}\", \"{attempt}\"]\n");
        }
        if !says("items =") {
            text.push_str("items = { list = \"items.txt\" }\n");
        }
        let _infallible = writeln!(text, "{table}");
        self.write("orchestrate.toml", &text);
    }

    /// Writes the per-item command.
    pub(crate) fn item(&self, body: &str) {
        self.script("item", &item_script(body));
    }

    /// Where everything lies.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of programs that every process finds.
    pub(crate) fn programs(&self) -> PathBuf {
        self.root.with_file_name("bin")
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().expect("a root")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    /// Writes a program.
    pub(crate) fn script(&self, name: &str, text: &str) {
        // A process that another test starts in this moment has a copy of every descriptor of ours until it is
        // another program, and a file that is open for writing cannot be run (ETXTBSY): the shell writes it.
        self.write(&format!("{name}.text"), text);
        let path = self.root.join(name);
        let copied = std::process::Command::new("/bin/sh")
            .args([
                "-c",
                r#"cat <"$1.text" >"$1" && chmod 755 "$1" && rm "$1.text""#,
                "sh",
            ])
            .arg(&path)
            .status();
        assert!(copied.is_ok_and(|status| status.success()), "{name}");
    }

    /// Sets a file's mode.
    pub(crate) fn set_mode(&self, name: &str, mode: u32) {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(self.root.join(name), permissions).expect("a file");
    }

    /// Reads a file.
    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.root.join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Whether a file is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.root.join(name)).is_ok()
    }

    /// Makes the FIFOs at which the test meets these items.
    pub(crate) fn gates(&self, items: &[&str]) -> Gates {
        Gates::make(&self.root, items)
    }

    /// `orchestrate` with these arguments.
    pub(crate) fn orchestrate(&self, arguments: &[&str]) -> Launch<'_> {
        let words: Vec<&str> = [ORCHESTRATE].iter().chain(arguments).copied().collect();
        Launch::new(self, &words)
    }

    /// A shell that runs `script`, which finds `orchestrate` in its `PATH`.
    pub(crate) fn shell(&self, script: &str) -> Launch<'_> {
        Launch::new(self, &["sh", "-c", script])
    }

    /// Any program.
    pub(crate) fn program(&self, words: &[&str]) -> Launch<'_> {
        Launch::new(self, words)
    }

    /// What every process gets.
    #[expect(
        clippy::disallowed_methods,
        reason = "the little that a test takes from its own environment is taken here"
    )]
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let above = self.directory.path();
        let mut environment: BTreeMap<String, String> = KEPT_VARIABLES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
            .collect();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut set = |name: &str, value: String| environment.insert(name.to_owned(), value);
        set("PATH", format!("{}:{path}", self.programs().display()));
        set("HOME", above.join("home").display().to_string());
        set(
            "XDG_STATE_HOME",
            above.join("home/state").display().to_string(),
        );
        set("LC_ALL", "C".to_owned());
        set("TERM", "xterm".to_owned());
        environment
    }

    /// The items that the journals say are done, sorted.
    pub(crate) fn done(&self) -> Vec<String> {
        self.items_that_are("done")
    }

    /// Looks into the journal until it says that this item is done.
    pub(crate) fn wait_until_done(&self, item: &str) {
        self.wait_until_recorded(item, "done");
    }

    /// Looks into the journal until it says that this item was started: its process may come first.
    pub(crate) fn wait_until_started(&self, item: &str) {
        self.wait_until_recorded(item, "started");
    }

    /// Looks into the journal until it says that this many items are done.
    #[expect(
        clippy::disallowed_methods,
        reason = "a journal that never says so must fail the test"
    )]
    pub(crate) fn wait_until_so_many_are_done(&self, count: usize) {
        let began = Instant::now();
        while self.done().len() < count {
            assert!(began.elapsed() < WATCHDOG, "{count} are never done");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a journal that never says so must fail the test"
    )]
    fn wait_until_recorded(&self, item: &str, outcome: &str) {
        let began = Instant::now();
        let says_so = |record: &Recorded| record.item == item && record.outcome == outcome;
        while !ledger::all_records(&self.root).iter().any(says_so) {
            assert!(began.elapsed() < WATCHDOG, "{item} is never {outcome}");
            std::thread::yield_now();
        }
    }

    /// Looks into a file until this stands in it.
    #[expect(
        clippy::disallowed_methods,
        reason = "a file that never says so must fail the test"
    )]
    pub(crate) fn wait_until_written(&self, name: &str, needle: &str) {
        let began = Instant::now();
        let path = self.root.join(name);
        while !fs::read_to_string(&path).is_ok_and(|text| text.contains(needle)) {
            assert!(began.elapsed() < WATCHDOG, "{name} never says {needle:?}");
            std::thread::yield_now();
        }
    }

    /// The items whose last record has this outcome, sorted.
    pub(crate) fn items_that_are(&self, outcome: &str) -> Vec<String> {
        let mut last = BTreeMap::new();
        for record in ledger::records(&self.root) {
            last.insert(record.item, record.outcome);
        }
        last.retain(|_, its| its == outcome);
        last.into_keys().collect()
    }

    /// What the items have written down.
    pub(crate) fn witness(&self) -> String {
        fs::read_to_string(self.witness_path()).unwrap_or_default()
    }

    /// The items in the order of their starts.
    pub(crate) fn started(&self) -> Vec<String> {
        witness::started(&self.witness())
    }

    /// The process that was started and holds the lock, whatever it was started by.
    pub(crate) fn holder(&self) -> Pid {
        let holder = self.read(".orchestrate/w/lock");
        Pid::from_raw(holder.split(' ').next().unwrap().parse().unwrap())
    }

    /// The path of the newest run's log of an item.
    pub(crate) fn log(&self, item: &str) -> PathBuf {
        let logs = self.root.join(".orchestrate/runs/latest/logs");
        logs.join(format!("{item}.1.log"))
    }

    /// Kills every process whose current directory is this workspace, and those that they start meanwhile.
    pub(crate) fn kill_survivors(&self) {
        // Whoever cannot be killed shall not keep the test.
        for _ in 0..10_000 {
            let any = self.processes().into_iter().fold(false, |any, process| {
                // It may have ended by itself in the meantime.
                any | kill(process, Signal::SIGKILL).is_ok()
            });
            if !any {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Every process whose current directory is this workspace; one that has ended has none.
    fn processes(&self) -> Vec<Pid> {
        let entries = fs::read_dir("/proc").into_iter().flatten();
        let process = |entry: fs::DirEntry| {
            let here = fs::read_link(entry.path().join("cwd")).ok()? == self.root;
            let number = entry.file_name().to_str()?.parse().ok()?;
            here.then_some(Pid::from_raw(number))
        };
        entries.filter_map(|entry| process(entry.ok()?)).collect()
    }

    pub(super) fn begin(&self, promise: Promise) -> usize {
        let number = self.started.get() + 1;
        self.started.set(number);
        let Promise {
            at_once,
            slots,
            reruns,
        } = promise;
        let again = if reruns { "again" } else { "first" };
        self.runs_before
            .borrow_mut()
            .insert(number, ledger::runs(&self.root));
        self.note(&format!(
            "run {number} at-once {at_once} slots {slots} {again}"
        ));
        number
    }

    pub(super) fn end(&self, number: usize, finished: &Finished) {
        self.note(&format!("end {number}"));
        let mut known = self.known.borrow_mut();
        for record in ledger::records(&self.root) {
            if known.insert(record.clone()) {
                self.note(&format!("recorded {} {}", record.item, record.outcome));
            }
        }
        schema::check_stdout(&finished.stdout);
        self.compare_status(number, finished);
    }

    /// The status that a run says it ended with is the one that it ended with.
    fn compare_status(&self, number: usize, finished: &Finished) {
        let mut runs_before = self.runs_before.borrow_mut();
        let before = runs_before.remove(&number).unwrap_or_default();
        let runs = ledger::runs(&self.root);
        let new: Vec<&String> = runs.difference(&before).collect();
        for run in &new {
            let run = self.root.join(".orchestrate/runs").join(run);
            let events = fs::read_to_string(run.join("events.jsonl"));
            schema::check_events(&events.unwrap_or_default());
            if let Ok(record) = fs::read_to_string(run.join("run.json")) {
                schema::check_run(&record);
            }
        }
        if let ([run], End::Exited(code)) = (&new[..], finished.end) {
            let told = &ledger::run_record(&self.root, run)["exit_status"];
            // A shell around it may have ended otherwise than it.
            assert!(told.is_null() || *told == code, "{told} is not {code}");
        }
    }

    /// Beside the root, in which a test may want to see that nothing changes.
    fn witness_path(&self) -> PathBuf {
        self.root.with_file_name("witness")
    }

    fn note(&self, line: &str) {
        let opened = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.witness_path());
        let written = opened.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        written.expect("the witness file can be written");
    }

    fn judge(&self) {
        let witness = self.witness();
        let violations = witness::violations(&witness);
        assert!(violations.is_empty(), "{violations:#?}\n{witness}");
        let disagreements = ledger::disagreements(&self.root);
        assert!(disagreements.is_empty(), "{disagreements:#?}");
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.judge();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a was started while its process ")]
    fn a_broken_promise_fails_the_test_that_saw_it() {
        let workspace = Workspace::new(&["a"], "echo \"start $item 1 1 -\" >>../witness");
        workspace.orchestrate(&["w"]).finish();
    }

    #[test]
    #[should_panic(expected = "the journal {")]
    fn a_run_record_that_differs_from_the_journal_fails_the_test() {
        let workspace = Workspace::new(&["a"], "exit 0");
        workspace.orchestrate(&["w"]).finish().exits(0);
        let path = ".orchestrate/runs/latest/run.json";
        let record = workspace.read(path);
        workspace.write(path, &record.replace("\"done\"", "\"failed\""));
    }
}
