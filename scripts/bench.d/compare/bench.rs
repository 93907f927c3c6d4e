//! What every workload needs: the runners that are there, folders to run them in, and rounds in which each of them has
//! its turn.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::measure::{Interrupt, Sample};
use crate::runner::{Found, Runner};
use crate::table::{Cell, Row, Unit, median};

pub(crate) struct Bench {
    pub(crate) runners: Vec<Found>,
    pub(crate) interrupt: Interrupt,
    pub(crate) quick: bool,
    pub(crate) scratch: TempDir,
    /// This program, for the children of the workloads.
    pub(crate) own: PathBuf,
}

impl Bench {
    /// So many of `full`, or fewer when it has to be quick.
    pub(crate) fn either(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// An empty folder, which is removed with the value.
    pub(crate) fn folder(&self) -> io::Result<TempDir> {
        tempfile::Builder::new()
            .prefix("w")
            .tempdir_in(self.scratch.path())
    }

    /// Measures in an empty folder. When many files were made there, they stay until the end: before ext4 makes a file,
    /// it looks at every one that was removed nearby in the last minutes, and whoever comes next would pay for that.
    pub(crate) fn in_a_folder<S>(
        &self,
        measure: impl FnOnce(&Path) -> io::Result<S>,
    ) -> io::Result<S> {
        let folder = self.folder()?;
        let sample = measure(folder.path());
        if has_many_files(folder.path())? {
            let _kept = folder.keep();
        }
        sample
    }

    /// The command line of a child of the workloads.
    pub(crate) fn child(&self, words: &[&str]) -> Vec<String> {
        let own = self.own.to_str().expect("the name of an example is UTF-8");
        let words = words.iter().map(|&word| word.to_owned());
        [own.to_owned(), "child".to_owned()]
            .into_iter()
            .chain(words)
            .collect()
    }

    pub(crate) fn ours(&self) -> &Found {
        let ours = |it: &&Found| it.runner == Runner::Orchestrate;
        self.runners
            .iter()
            .find(ours)
            .expect("orchestrate was built")
    }

    /// The others of those that take part, in the order of the columns.
    pub(crate) fn others(&self) -> impl Iterator<Item = Runner> {
        let runners = self.runners.iter().map(|it| it.runner);
        runners.filter(|it| !matches!(it, Runner::Floor | Runner::Orchestrate))
    }

    /// Measures in rounds, each runner once in each, so that what else the machine does meets all of them. Slow ones
    /// are left out of two rounds of three. One that fails is said to, and left out from then on.
    pub(crate) fn rounds<S>(
        &self,
        who: &[Runner],
        rounds: usize,
        mut measure: impl FnMut(&Found, &Path) -> io::Result<S>,
    ) -> io::Result<Vec<(Runner, Vec<S>)>> {
        let who: Vec<&Found> = self
            .runners
            .iter()
            .filter(|it| who.contains(&it.runner))
            .collect();
        let mut samples: Vec<_> = who.iter().map(|it| (it.runner, Vec::new())).collect();
        let mut failed = Vec::new();
        for round in 0..rounds {
            for (it, (_, samples)) in who.iter().zip(&mut samples) {
                if failed.contains(&it.runner) || it.runner.is_slow() && round % 3 != 0 {
                    continue;
                }
                match self.in_a_folder(|folder| measure(it, folder)) {
                    Ok(sample) => samples.push(sample),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                    Err(error) => {
                        crate::note(&format!("left out: {error}"))?;
                        failed.push(it.runner);
                    }
                }
            }
        }
        Ok(samples)
    }

    /// A row of the medians of one number of the samples.
    pub(crate) fn row<S>(
        &self,
        what: &str,
        unit: Unit,
        samples: &[(Runner, Vec<S>)],
        number: impl Fn(&S) -> f64,
    ) -> Row {
        self.row_of_cells(what, unit, samples, |samples| {
            let numbers: Vec<f64> = samples.iter().map(&number).collect();
            median(&numbers).map_or(Cell::None, Cell::Value)
        })
    }

    /// … or of what else says how it went.
    pub(crate) fn row_of_cells<S>(
        &self,
        what: &str,
        unit: Unit,
        samples: &[(Runner, Vec<S>)],
        cell: impl Fn(&[S]) -> Cell,
    ) -> Row {
        let cell = |runner: Runner| {
            let samples = samples.iter().find(|(it, _)| *it == runner);
            samples.map_or(Cell::None, |(_, samples)| cell(samples))
        };
        Row {
            what: what.to_owned(),
            unit,
            floor: cell(Runner::Floor),
            ours: cell(Runner::Orchestrate),
            others: self.others().map(cell).collect(),
        }
    }

    /// Wall clock and CPU of an item, as two rows.
    pub(crate) fn rows_of_items(
        &self,
        what: &str,
        items: usize,
        samples: &[(Runner, Vec<Sample>)],
    ) -> [Row; 2] {
        let share = |time: std::time::Duration| time.as_secs_f64() / crate::float(items);
        [
            self.row(what, Unit::Milliseconds, samples, |it| share(it.wall)),
            self.row("… CPU", Unit::Milliseconds, samples, |it| share(it.cpu)),
        ]
    }
}

fn has_many_files(folder: &Path) -> io::Result<bool> {
    const MANY: usize = 100;
    let mut folders = vec![folder.to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            files += 1;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        if files > MANY {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A program of this folder, made from C: the least that a child can be.
pub(crate) fn static_child(folder: &Path) -> io::Result<PathBuf> {
    const TEXT: &str = r#"
#if defined(__x86_64__)
void _start(void) { __asm__ volatile("mov $60, %eax\n xor %edi, %edi\n syscall"); }
#elif defined(__aarch64__)
void _start(void) { __asm__ volatile("mov x8, #93\n mov x0, #0\n svc #0"); }
#else
#error "no such processor"
#endif
"#;
    let source = folder.join("exit.c");
    fs::write(&source, TEXT)?;
    let program = folder.join("exit");
    let options = ["-static", "-nostdlib", "-O1", "-o"];
    let made = Command::new("cc")
        .args(options)
        .arg(&program)
        .arg(&source)
        .status()?;
    if made.success() {
        Ok(program)
    } else {
        Err(io::Error::other("cc failed"))
    }
}
