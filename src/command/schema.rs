//! `orchestrate schema`: the form of what a machine reads.

use crate::cli::Schema;
use crate::error::ExitStatus;
use crate::output::Target;
use crate::output::terminal::TerminalHandle;
use crate::report::schema;

/// Prints one; it needs no workspace.
pub(super) fn print(terminal: &TerminalHandle, arguments: &Schema) -> ExitStatus {
    let schema = match arguments.what.as_str() {
        "events" => schema::event_file(),
        _ => schema::stdout(),
    };
    terminal.say_verbatim(Target::Stdout, format!("{schema:#}"));
    ExitStatus::Success
}
