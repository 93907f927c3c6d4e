//! `orchestrate man`: the manual page, made of what `--help` says.

use std::fmt::Write as _;
use std::io;

use clap::Command;
use clap_mangen::Man as Page;

use crate::cli::{Cli, Man};
use crate::error::{Error, ExitStatus, Result};
use crate::output::Target;
use crate::output::terminal::TerminalHandle;
use crate::suggest;

pub(super) fn print(terminal: &TerminalHandle, arguments: &Man) -> Result<ExitStatus> {
    let whole = Cli::definition();
    let command = match &arguments.command {
        None => whole,
        Some(name) => named(&whole, name)?,
    };
    let page = render(&command)
        .map_err(|error| Error::state(format!("the page cannot be written: {error}")))?;
    terminal.say(Target::Stdout, page);
    Ok(ExitStatus::Success)
}

fn named(whole: &Command, name: &str) -> Result<Command> {
    let known: Vec<&str> = whole.get_subcommands().map(Command::get_name).collect();
    let hint = suggest::hint(name, known);
    let found = whole.find_subcommand(name).cloned();
    found.ok_or_else(|| {
        Error::usage(format!("there is no subcommand `{}`", name.escape_debug())).with_hint(hint)
    })
}

/// All but the last section in the words of `--help`; that one as it stands, line by line.
fn render(command: &Command) -> io::Result<String> {
    let name = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_uppercase();
    let examples = command.get_after_help().map(ToString::to_string);
    // The usage names them, and their list would be set in a way that formatters warn about.
    let quiet = command
        .clone()
        .mut_args(|argument| argument.hide_possible_values(true));
    let page = Page::new(quiet);
    let mut text = Vec::new();
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    let version = env!("CARGO_PKG_VERSION");
    let title = format!(".TH {name} 1 \"\" \"orchestrate {version}\" \"User Commands\"\n");
    let mut text = title + &String::from_utf8_lossy(&text);
    if let Some(examples) = examples {
        text.push_str(".SH NOTES\n.nf\n");
        for line in examples.lines() {
            text.push_str(&as_it_stands(line));
        }
        text.push_str(".fi\n");
    }
    Ok(in_ascii(&text))
}

/// A line of text in roff: no control line, no escape.
fn as_it_stands(line: &str) -> String {
    let safe = line
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq");
    if safe.is_empty() {
        // Formatters warn about an empty line.
        return ".sp\n".to_owned();
    }
    format!("\\&{safe}\n")
}

/// Other characters by their numbers (`groff_char(7)`), for not every formatter is told of an encoding.
fn in_ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            // Terminals without Unicode have none.
            '…' => ascii.push_str("..."),
            _ if character.is_ascii() => ascii.push(character),
            _ => {
                let _infallible = write!(ascii, "\\[u{:04X}]", u32::from(character));
            }
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_text_controls_the_formatter() {
        assert_eq!(
            as_it_stands(".TH it's -n \\x"),
            "\\&.TH it\\(aqs \\-n \\ex\n"
        );
        assert_eq!(as_it_stands(""), ".sp\n");
        assert_eq!(in_ascii("a…é"), "a...\\[u00E9]");
    }
}
