//! `orchestrate schema`: the form of what a machine reads.

use crate::cli::Schema;
use crate::error::ExitStatus;
use crate::output::Target;
use crate::output::terminal::TerminalHandle;
use crate::report::schema;

/// Prints one; it needs no workspace.
pub(super) fn print(terminal: &TerminalHandle, arguments: &Schema) -> ExitStatus {
    // What else was typed is refused before.
    let schema = schema::named(&arguments.what).unwrap_or_default();
    terminal.say_verbatim(Target::Stdout, format!("{schema:#}"));
    ExitStatus::Success
}
