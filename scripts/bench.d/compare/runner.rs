//! Who is compared: which programs are there, in which version, and how each of them is told to run a command for
//! every item.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::text;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    Floor,
    Orchestrate,
    /// … whose items get a key of a pool each.
    Pooled,
    Parallel,
    RustParallel,
    Concurrently,
    Xargs,
    Make,
    Ninja,
}

use Runner::{
    Concurrently, Floor, Make, Ninja, Orchestrate, Parallel, Pooled, RustParallel, Xargs,
};

pub(crate) const ALL: [Runner; 9] = [
    Floor,
    Orchestrate,
    Pooled,
    Parallel,
    RustParallel,
    Concurrently,
    Xargs,
    Make,
    Ninja,
];

impl Runner {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Floor => "floor",
            Orchestrate => "orchestrate",
            Pooled => "… with a pool",
            Parallel => "GNU parallel",
            RustParallel => "rust-parallel",
            Concurrently => "concurrently",
            Xargs => "xargs",
            Make => "make",
            Ninja => "ninja",
        }
    }

    /// Takes milliseconds an item, so that few rounds have to do.
    pub(crate) fn is_slow(self) -> bool {
        matches!(self, Parallel | Concurrently)
    }

    fn program(self) -> &'static str {
        match self {
            Parallel => "parallel",
            other => other.name(),
        }
    }
}

/// A runner that is there.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) runner: Runner,
    program: PathBuf,
    pub(crate) version: String,
}

/// Looks for all of them: in the folder of `peers` that were installed for this, else in PATH.
pub(crate) fn find(orchestrate: &Path, peers: &Path) -> io::Result<(Vec<Found>, Vec<Runner>)> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for runner in ALL {
        let installed = ["cargo/bin", "npm/node_modules/.bin"];
        let mut installed = installed
            .map(|it| peers.join(it).join(runner.program()))
            .into_iter();
        let program = match runner {
            Floor => Some(std::env::current_exe()?),
            Orchestrate | Pooled => Some(orchestrate.to_owned()),
            _ => installed
                .find(|it| it.exists())
                .or_else(|| which::which(runner.program()).ok()),
        };
        let Some(program) = program else {
            missing.push(runner);
            continue;
        };
        let version = if runner == Floor {
            String::new()
        } else {
            version(&program)?
        };
        found.push(Found {
            runner,
            program,
            version,
        });
    }
    Ok((found, missing))
}

/// The first word of what `--version` prints that has a digit.
fn version(program: &Path) -> io::Result<String> {
    let said = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut words = said.split_whitespace();
    let word = words.find(|word| word.contains(|it: char| it.is_ascii_digit()));
    Ok(word.unwrap_or("?").to_owned())
}

/// A command that is run for the items `item-1`, `item-2`, …, its last argument.
pub(crate) struct Task<'a> {
    pub(crate) argv: &'a [String],
    pub(crate) items: usize,
    pub(crate) at_once: usize,
}

/// Which keys there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    None,
    /// Ten, which every item inherits, and which are masked.
    Variables,
    /// Ten in a pool, one for each item, masked as well. Starts are spread, as providers like it.
    Pool,
}

impl Found {
    /// The command that does the task, in an empty folder of its own. Prints to nobody; whoever wants it changes that.
    pub(crate) fn command(&self, task: &Task<'_>, folder: &Path) -> io::Result<Command> {
        let items = folder.join("items.txt");
        let mut list = String::new();
        (1..=task.items).for_each(|number| _ = writeln!(list, "item-{number}"));
        fs::write(&items, list)?;
        let at_once = task.at_once.to_string();
        let line =
            shlex::try_join(task.argv.iter().map(String::as_str)).map_err(io::Error::other)?;
        let mut command = Command::new(&self.program);
        match self.runner {
            Floor => command.args(["floor", &at_once]).args(task.argv),
            Orchestrate | Pooled => {
                let keys = if self.runner == Pooled {
                    Keys::Pool
                } else {
                    Keys::Variables
                };
                workspace(&mut command, folder, task.argv, keys)?;
                command.args(["-j", &at_once, "w"])
            }
            Parallel => {
                let options = ["--will-cite", "--tag", "--line-buffer", "-j", &at_once];
                command.args(options).arg(line)
            }
            RustParallel => command.args(["-j", &at_once]).args(task.argv),
            Concurrently => {
                let lines = (1..=task.items).map(|number| format!("{line} item-{number}"));
                command.args(["-m", &at_once]).args(lines)
            }
            Xargs => command.args(["-P", &at_once, "-n", "1"]).args(task.argv),
            Make => {
                fs::write(folder.join("Makefile"), makefile(&line, task.items))?;
                command.args(["-s", "-j", &at_once])
            }
            Ninja => {
                fs::write(folder.join("build.ninja"), build_ninja(&line, task.items))?;
                command.args(["--quiet", "-j", &at_once])
            }
        };
        surroundings(&mut command, folder);
        let stdin = fs::File::open(items)?;
        command.stdin(stdin);
        Ok(command)
    }

    /// The program itself, to be called with other arguments.
    pub(crate) fn plain(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        surroundings(&mut command, folder);
        command
    }
}

/// State goes beside the workspace, and settings of the user are left out.
fn surroundings(command: &mut Command, folder: &Path) {
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.stderr(Stdio::null());
    command
        .env("HOME", folder)
        .env("XDG_STATE_HOME", folder.join("state"));
    command
        .env("LC_ALL", "C")
        .env("NO_COLOR", "1")
        .env_remove("MAKEFLAGS");
}

/// How many keys the pool has, and how many items may hold each.
const KEYS: usize = 10;
const SLOTS: usize = 50;

/// Everything on: prefixes, logs, the journal, masking of these keys and of unknown ones.
pub(crate) fn workspace(
    command: &mut Command,
    folder: &Path,
    argv: &[String],
    keys: Keys,
) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let argv: Vec<String> = argv.iter().map(|word| format!("{word:?}, ")).collect();
    let mut text = format!(
        "max-parallel = {}\ngrace = \"1s\"\n[workflow.w]\ncommand = [{}\"{{id}}\"]\n\
         items = {{ list = \"items.txt\" }}\n",
        KEYS * SLOTS,
        argv.concat()
    );
    for number in 0..KEYS {
        command.env_remove(format!("BENCH_{number}_KEY"));
    }
    match keys {
        Keys::None => {}
        Keys::Variables => {
            for (number, key) in text::keys(KEYS).iter().enumerate() {
                command.env(format!("BENCH_{number}_KEY"), key);
            }
        }
        Keys::Pool => {
            text.push_str("[credentials]\npool = { file = \"keys\" }\ninject = \"BENCH_KEY\"\n");
            _ = writeln!(text, "slots = {SLOTS}");
            let file = folder.join("keys");
            fs::write(&file, text::keys(KEYS).join("\n"))?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        }
    }
    fs::write(folder.join("orchestrate.toml"), text)
}

fn makefile(line: &str, items: usize) -> String {
    let line = line.replace('$', "$$");
    let mut names = String::new();
    (1..=items).for_each(|number| _ = write!(names, " item-{number}"));
    format!(
        "all:{names}\n.PHONY: all{names}\n{}: ; @{line} $@\n",
        names.trim_start()
    )
}

fn build_ninja(line: &str, items: usize) -> String {
    let mut text = format!("rule it\n  command = {} $out\n", line.replace('$', "$$"));
    (1..=items).for_each(|number| _ = writeln!(text, "build item-{number}: it"));
    text
}
