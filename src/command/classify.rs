//! `orchestrate classify`: what the output of a failed item would be taken for.
//!
//! It reads a file, or stdin, and the patterns and exit codes of `orchestrate.toml`, and no key: what only looks like one
//! is hidden in what it shows.

use std::fs::File;
use std::io::{self, ErrorKind, Read};

use jiff::Zoned;
use jiff::tz::TimeZone;
use memchr::memchr_iter;

use super::Site;
use crate::cli::Classify;
use crate::config::file::ConfigFile;
use crate::config::options::Format;
use crate::config::resolve::known_workflow;
use crate::credential::evidence::{TAIL_BYTES_MAX, tail_of, verdict};
use crate::credential::hint::Calendar;
use crate::credential::profile::Profile;
use crate::error::{Error, ExitStatus, Result};
use crate::escape::shown;
use crate::output::Target;
use crate::report::classification::Classification;
use crate::schedule::event::Ending;
use crate::schedule::retry::ExitCodes;

pub(super) fn judge(site: &Site<'_>, arguments: &Classify) -> Result<ExitStatus> {
    // Unlike for other commands, what is wrong with the file would make the answer wrong.
    let file = site.place.config.as_deref().map(ConfigFile::read);
    let file = file.transpose()?.unwrap_or_default();
    let codes = match &arguments.workflow {
        Some(name) => known_workflow(name, &file, &[])?.exit_codes,
        None => ExitCodes::default(),
    };
    let profile = Profile::new(&file.evidence).map_err(Error::usage)?;
    let (lines_before, tail) = end_of(site, arguments)?;
    let now = Zoned::now();
    let calendar = Calendar {
        now: &now,
        zones: &|name| TimeZone::get(name).ok(),
    };
    let ending = Ending::Exited(arguments.exit.into());
    let classification = Classification {
        verdict: verdict(&ending, &tail, &codes, &profile, &calendar),
        exit_code: arguments.exit,
        lines_before,
    };
    let text = match site.format {
        Format::Text => classification.text(site.paint),
        Format::Json => classification.json_line(),
    };
    site.terminal.say(Target::Stdout, text);
    Ok(ExitStatus::Success)
}

/// What is looked at, and how many lines stand before it.
fn end_of(site: &Site<'_>, arguments: &Classify) -> Result<(usize, Vec<u8>)> {
    let read = if arguments.file.as_os_str() == "-" {
        last_bytes(io::stdin().lock())
    } else {
        File::open(site.directory.join(&arguments.file)).and_then(last_bytes)
    };
    let (mut lines_before, kept) = read.map_err(|error| {
        let path = shown(&arguments.file.to_string_lossy());
        let error = Error::usage(format!("{path}: {error}"));
        match arguments.file.to_str() {
            Some("-") | None => error,
            Some(_) => error.with_hint(
                "`orchestrate logs ITEM | orchestrate classify -` takes the log of an item",
            ),
        }
    })?;
    let tail = tail_of(&kept);
    lines_before += memchr_iter(b'\n', &kept[..kept.len() - tail.len()]).count();
    Ok((lines_before, tail.to_vec()))
}

/// The end of what can be read, at least what is looked at, and how many lines have gone by before it.
fn last_bytes(mut from: impl Read) -> io::Result<(usize, Vec<u8>)> {
    // The byte before the tail says whether its first line is whole.
    const KEPT: usize = TAIL_BYTES_MAX + 1;
    let (mut lines, mut kept) = (0, Vec::new());
    let mut block = vec![0; TAIL_BYTES_MAX];
    loop {
        match from.read(&mut block) {
            Ok(0) => return Ok((lines, kept)),
            Ok(read) => kept.extend_from_slice(&block[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        let gone = kept.drain(..kept.len().saturating_sub(KEPT));
        lines += memchr_iter(b'\n', gone.as_slice()).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_output_the_end_is_kept_and_the_lines_before_are_counted() {
        let line = "0123456789abcde\n";
        let text = line.repeat(20_000);
        let (lines, kept) = last_bytes(text.as_bytes()).unwrap();
        assert_eq!(kept.len(), TAIL_BYTES_MAX + 1);
        assert_eq!(lines + memchr_iter(b'\n', &kept).count(), 20_000);
        assert!(text.as_bytes().ends_with(&kept));
        assert_eq!(last_bytes(&b"a\nb"[..]).unwrap(), (0, b"a\nb".to_vec()));
    }
}
