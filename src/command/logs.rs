//! `orchestrate logs`: what an item has written, as it is in its log.
//!
//! To a pipe or file go the raw bytes of the log, in which keys are masked already; to a terminal, harmless lines.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use serde_json::json;

use super::Site;
use crate::cli::Logs;
use crate::config::options::Format;
use crate::error::{Error, ExitStatus, Result};
use crate::escape::quoted;
use crate::output::Target;
use crate::output::line::{Produced, Stream};
use crate::output::mask::{Masked, Masker};
use crate::output::terminal::stdout_has_no_reader;
use crate::report::json::{FORMAT_VERSION, line};
use crate::state::event_file::EventFile;
use crate::state::run_event::RunEvent;
use crate::state::run_id::RunId;
use crate::state::run_record::Life;
use crate::state::runs::Runs;
use crate::suggest;

/// How much of a log is read at once.
const BLOCK_BYTES: usize = 64 << 10;
/// How often somebody who follows looks for more.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After how many looks without more an unfinished line is shown, and the run is asked whether it lives.
const QUIET_LOOKS: u32 = 10;

/// A log, found.
struct Found {
    run: RunId,
    item: String,
    attempt: u32,
    file: File,
    path: PathBuf,
}

pub(super) fn print(site: &Site<'_>, arguments: &Logs) -> Result<ExitStatus> {
    let state = site.state()?;
    let runs = Runs::find(&state)?.ok_or_else(|| site.no_run())?;
    let log = find(&runs, arguments)?;
    if site.format == Format::Json {
        return describe(site, arguments, &log);
    }
    let mut printer = Printer::new(site);
    let path = log.path.clone();
    let outcome = if arguments.follow {
        follow(&runs, log, &mut printer)
    } else {
        copy(&log.file, &path, &mut printer).map(|_| ())
    };
    match outcome.and_then(|()| printer.finish()) {
        // Who has read enough does not want to hear of it.
        Ok(()) | Err(Trouble::Unheard) => Ok(ExitStatus::Success),
        Err(Trouble::Ours(error)) => Err(error),
    }
}

fn describe(site: &Site<'_>, arguments: &Logs, log: &Found) -> Result<ExitStatus> {
    if arguments.follow {
        let hint = "--format text follows the log";
        return Err(
            Error::usage("--format json tells where a log is; it cannot be followed")
                .with_hint(hint),
        );
    }
    let bytes = log
        .file
        .metadata()
        .map_err(|error| unreadable(&log.path, &error))?
        .len();
    let object = line(&json!({
        "type": "log",
        "version": FORMAT_VERSION,
        "run_id": log.run.as_str(),
        "item": log.item,
        "attempt": log.attempt,
        "path": site.seen_from_here(&log.path).to_string_lossy(),
        "bytes": bytes,
    }));
    site.terminal.say(Target::Stdout, object);
    Ok(ExitStatus::Success)
}

/// The log of the item's last attempt, or of the one asked for, in the newest run that has it.
fn find(runs: &Runs<'_>, arguments: &Logs) -> Result<Found> {
    let ids = match &arguments.run {
        Some(name) => vec![runs.named(name)?],
        None => runs.newest_first(),
    };
    let mut seen: Vec<String> = Vec::new();
    let mut attempts: Vec<u32> = Vec::new();
    for run in ids {
        let logs = runs.logs(&run)?;
        let Some(item) = meant(&arguments.item, logs.iter().map(|(item, _)| item.as_str()))? else {
            seen.extend(logs.into_iter().map(|(item, _)| item));
            continue;
        };
        let of_item = logs
            .iter()
            .filter(|(it, _)| *it == item)
            .map(|(_, attempt)| *attempt);
        let wanted = arguments.attempt;
        let Some(attempt) = of_item
            .clone()
            .filter(|it| wanted.is_none_or(|n| n == *it))
            .max()
        else {
            attempts.extend(of_item);
            continue;
        };
        if let Some((file, path)) = runs.open_log(&run, &item, attempt)? {
            return Ok(Found {
                run,
                item,
                attempt,
                file,
                path,
            });
        }
    }
    Err(not_found(runs, arguments, &seen, &attempts))
}

/// Which of `items` is meant: by its id, or by the number that its id ends in.
fn meant<'a>(word: &str, items: impl Iterator<Item = &'a str> + Clone) -> Result<Option<String>> {
    if items.clone().any(|item| item == word) {
        return Ok(Some(word.to_owned()));
    }
    let number = |text: &str| {
        text.parse::<u64>()
            .ok()
            .filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
    };
    let Some(wanted) = number(word) else {
        return Ok(None);
    };
    let ends_so = |item: &&str| item.rsplit('-').next().and_then(number) == Some(wanted);
    let mut fitting: Vec<&str> = items.filter(ends_so).collect();
    fitting.sort_unstable();
    fitting.dedup();
    match fitting[..] {
        [] => Ok(None),
        [one] => Ok(Some(one.to_owned())),
        [one, other, ..] => {
            let message = format!("{} may be {one} or {other}", quoted(word));
            Err(Error::usage(message).with_hint("name the item by its id"))
        }
    }
}

fn not_found(runs: &Runs<'_>, arguments: &Logs, seen: &[String], attempts: &[u32]) -> Error {
    let item = quoted(&arguments.item);
    let within = arguments
        .run
        .as_ref()
        .map(|run| format!(" in the run {}", quoted(run)));
    let within = within.unwrap_or_default();
    if let (Some(wanted), Some(last)) = (arguments.attempt, attempts.iter().max()) {
        return Error::usage(format!(
            "there is no log of attempt {wanted} of {item}{within}"
        ))
        .with_hint(format!("its last attempt that has one is {last}"));
    }
    // Known, but without a log: it was not started, or ran without --parallel.
    let newest = runs.newest_first();
    let mut records = newest.iter().filter_map(|id| runs.read(id).ok().flatten());
    let known = records.any(|kept| kept.record.items.iter().any(|it| it.id == arguments.item));
    let error = Error::usage(format!("there is no log of {item}{within}"));
    if known {
        return error.with_hint(
            "an item has one as soon as it is started with --parallel; without it, it writes to the terminal itself",
        );
    }
    match suggest::nearest(&arguments.item, seen.iter().map(String::as_str)) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => {
            error.with_hint("orchestrate status --format json lists the items of the newest run")
        }
    }
}

fn follow(
    runs: &Runs<'_>,
    log: Found,
    printer: &mut Printer<'_>,
) -> std::result::Result<(), Trouble> {
    let Found {
        run,
        item,
        attempt,
        file,
        path,
    } = log;
    let mut events = runs.event_file(&run)?;
    let mut quiet_looks = 0;
    loop {
        // Asked before the log is read, so that nothing that was written before its end is missed.
        let over = has_ended(events.as_mut(), &item, attempt)?
            || (quiet_looks % QUIET_LOOKS == 0 && !is_running(runs, &run)?);
        if copy(&file, &path, printer)? {
            quiet_looks = 0;
        }
        if over {
            return Ok(());
        }
        if stdout_has_no_reader() {
            return Err(Trouble::Unheard);
        }
        quiet_looks += 1;
        if quiet_looks == QUIET_LOOKS {
            printer.show_partial()?;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn has_ended(events: Option<&mut EventFile>, item: &str, attempt: u32) -> Result<bool> {
    let Some(events) = events else {
        return Ok(false);
    };
    let is_end = |event: &RunEvent| match event {
        RunEvent::AttemptEnded {
            item: of,
            attempt: number,
            ..
        } => of == item && *number == attempt,
        _ => false,
    };
    Ok(events.read_on()?.iter().any(|line| is_end(&line.event)))
}

fn is_running(runs: &Runs<'_>, run: &RunId) -> Result<bool> {
    Ok(runs
        .read(run)?
        .is_some_and(|kept| kept.life == Life::Running))
}

/// Prints what has come since, and says whether anything has.
fn copy(
    mut file: &File,
    path: &Path,
    printer: &mut Printer<'_>,
) -> std::result::Result<bool, Trouble> {
    let mut any = false;
    loop {
        let mut block = vec![0; BLOCK_BYTES];
        let length = file
            .read(&mut block)
            .map_err(|error| unreadable(path, &error))?;
        if length == 0 {
            return Ok(any);
        }
        any = true;
        block.truncate(length);
        printer.print(&block)?;
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::state(format!(
        "cannot read {}: {error}",
        quoted(&path.to_string_lossy())
    ))
}

/// Why not everything is printed.
enum Trouble {
    /// Nobody reads it any more.
    Unheard,
    /// It cannot be read.
    Ours(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<Errno> for Trouble {
    fn from(_: Errno) -> Self {
        Self::Unheard
    }
}

/// Where the bytes go.
struct Printer<'a> {
    site: &'a Site<'a>,
    /// Makes lines harmless, for a terminal.
    stream: Option<Stream>,
    produced: Produced,
}

impl<'a> Printer<'a> {
    fn new(site: &'a Site<'a>) -> Self {
        let stream = || {
            let nothing_to_mask = Arc::new(Masker::default());
            Stream::new(nothing_to_mask, Masked::empty(), site.paint.0)
        };
        Self {
            site,
            stream: site.surroundings.stdout_is_terminal.then(stream),
            produced: Produced::default(),
        }
    }

    fn print(&mut self, block: &[u8]) -> std::result::Result<(), Trouble> {
        match &mut self.stream {
            // What lies in a log is masked.
            None => {
                let block = Masker::default().mask_bytes(block);
                Ok(self.site.terminal.send_verbatim(Target::Stdout, block)?)
            }
            Some(stream) => {
                stream.feed(block, &mut self.produced);
                self.show()
            }
        }
    }

    fn show_partial(&mut self) -> std::result::Result<(), Trouble> {
        if let Some(stream) = &mut self.stream {
            stream.flush_partial(&mut self.produced);
        }
        self.show()
    }

    fn finish(mut self) -> std::result::Result<(), Trouble> {
        if let Some(stream) = &mut self.stream {
            stream.finish(&mut self.produced);
        }
        self.show()
    }

    fn show(&mut self) -> std::result::Result<(), Trouble> {
        let block = std::mem::take(&mut self.produced.display);
        self.produced.clear();
        Ok(self.site.terminal.send_verbatim(Target::Stdout, block)?)
    }
}
