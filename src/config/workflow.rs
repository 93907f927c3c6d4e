//! A workflow: where items come from, the command that does one, and what says that one is done.

use std::collections::BTreeMap;

use clap::Subcommand as _;

use super::builtin::Builtin;
use super::file::{CredentialTable, ItemSource, WorkflowTable};
use super::options::Options;
use crate::cli::Command;
use crate::error::{Error, Result};
use crate::escape::shown;
use crate::items::item::ItemId;
use crate::items::template::Template;
use crate::schedule::retry::ExitCodes;

/// Names that no workflow may have beside those of subcommands, and why.
const RESERVED: [(&str, &str); 2] = [
    (
        "runs",
        "`.orchestrate/runs` is the folder of what is kept of all runs",
    ),
    ("help", "that word asks for help"),
];

const OTHER_NAME: &str = "give it another name";

/// A workflow, ready to be run.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// Its name, which is also the name of its folder below `.orchestrate/`.
    pub name: String,
    /// The built-in workflow that this one is or redefines.
    pub builtin: Option<Builtin>,
    /// The per-item command.
    pub command: Vec<Template>,
    /// What has to exit with 0 as well before an item is done; nothing if that is for the command alone to say.
    pub verify: Vec<Template>,
    /// Where items come from.
    pub items: ItemSource,
    /// Files that say that an item is done, relative to the workspace root.
    pub done: Vec<Template>,
    /// Where an item's result goes.
    pub output: Option<Template>,
    /// Variables of every child.
    pub env: Vec<(String, Template)>,
    /// Variables of children in parallel mode only.
    pub parallel_env: Vec<(String, Template)>,
    /// Its own credentials, in place of those for all workflows.
    pub credentials: Option<CredentialTable>,
    /// Exit codes with a meaning of their own.
    pub exit_codes: ExitCodes,
    /// Its own options.
    pub options: Options,
}

impl Workflow {
    /// Makes a workflow of its table, laid over the built-in one of the same name, with `arguments` appended to
    /// its command.
    ///
    /// # Errors
    ///
    /// A usage error when the name is taken or no name, when the command or the items are missing, or when a
    /// placeholder is unknown.
    pub fn new(name: &str, table: WorkflowTable, arguments: &[String]) -> Result<Self> {
        check_name(name)?;
        let builtin = Builtin::named(name);
        let below = builtin.map(Builtin::table).unwrap_or_default();
        let missing = |key: &str| Error::usage(format!("[workflow.{name}] has no `{key}`"));
        let command = table.command.or(below.command).ok_or_else(|| {
            missing("command").with_hint("for example: command = [\"./do-one.sh\", \"{id}\"]")
        })?;
        let items = table.items.or(below.items).ok_or_else(|| {
            missing("items").with_hint("for example: items = { files = \"photos/*.jpg\" }")
        })?;
        let parse = |what: &str, text: &str| {
            Template::parse(text).map_err(|error| {
                let message = format!("{what} of workflow `{name}`: {error}");
                Error::usage(message).with_hint(error.hint())
            })
        };
        let variables = |table: Option<BTreeMap<String, String>>| {
            let variables = table.unwrap_or_default().into_iter();
            variables
                .map(|(variable, text)| {
                    parse(&format!("variable {variable}"), &text).map(|value| (variable, value))
                })
                .collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            name: name.to_owned(),
            builtin,
            command: command
                .iter()
                .chain(arguments)
                .map(|argument| parse("the command", argument))
                .collect::<Result<_>>()?,
            verify: table
                .verify
                .unwrap_or_default()
                .iter()
                .map(|argument| parse("`verify`", argument))
                .collect::<Result<_>>()?,
            items,
            done: table
                .done
                .or(below.done)
                .unwrap_or_default()
                .iter()
                .map(|pattern| parse("`done`", pattern))
                .collect::<Result<_>>()?,
            output: table
                .output
                .or(below.output)
                .map(|output| parse("`output`", &output))
                .transpose()?,
            env: variables(table.env.or(below.env))?,
            parallel_env: variables(table.parallel_env.or(below.parallel_env))?,
            credentials: table.credentials,
            exit_codes: table.exit_codes.or(below.exit_codes).unwrap_or_default(),
            options: table.options,
        })
    }
}

impl Workflow {
    /// The built-in tool, when it is what the command runs: a redefined workflow may run something else.
    #[must_use]
    pub fn tool(&self) -> Option<Builtin> {
        let runs = |builtin: &Builtin| {
            self.command
                .get(1)
                .is_some_and(|argument| argument.source() == builtin.tool())
        };
        self.builtin.filter(runs)
    }
}

/// Refuses what no workflow may be named.
///
/// # Errors
///
/// A usage error that says why.
pub fn check_name(name: &str) -> Result<()> {
    if let Err(why) = ItemId::new(name) {
        let why = why
            .to_string()
            .replace("an item id", "the name of a workflow");
        let message = format!("workflow `{}`: {why}", shown(name));
        return Err(Error::usage(message).with_hint(OTHER_NAME));
    }
    let is_command = Command::has_subcommand(name).then_some("that name is a subcommand's");
    let reserved = RESERVED.iter().find(|(reserved, _)| *reserved == name);
    match is_command.or(reserved.map(|(_, why)| *why)) {
        Some(why) => {
            let message = format!("a workflow may not be named `{name}`: {why}");
            Err(Error::usage(message).with_hint(OTHER_NAME))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> WorkflowTable {
        WorkflowTable {
            command: Some(vec!["./one".to_owned(), "{id}".to_owned()]),
            items: Some(ItemSource::Files("*".to_owned())),
            ..WorkflowTable::default()
        }
    }

    #[test]
    fn arguments_are_appended_and_templates_too() {
        let workflow = Workflow::new("x", table(), &["--for={title}".to_owned()]).unwrap();
        assert_eq!(workflow.command.len(), 3);
        let error = Workflow::new("x", table(), &["{tilte}".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("tilte"), "{error}");
        assert!(
            error.hint().unwrap_or_default().contains("title"),
            "{:?}",
            error.hint()
        );
    }

    #[test]
    fn names_of_subcommands_and_no_names_are_refused() {
        for name in ["run", "runs", "status", "../x", "", "a b"] {
            let error = Workflow::new(name, table(), &[]).expect_err(name);
            assert_eq!(error.hint(), Some("give it another name"), "{name:?}");
        }
    }

    #[test]
    fn it_is_said_what_a_reserved_name_is_needed_for() {
        for (name, why) in [
            ("run", "that name is a subcommand's"),
            ("runs", "`.orchestrate/runs` is the folder"),
            ("help", "asks for help"),
        ] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_table_is_laid_over_the_built_in_workflow_of_its_name() {
        let redefined = WorkflowTable {
            command: Some(vec!["./mine".to_owned()]),
            ..WorkflowTable::default()
        };
        let workflow = Workflow::new("implement", redefined, &[]).unwrap();
        assert_eq!(workflow.command.len(), 1);
        assert!(matches!(workflow.items, ItemSource::Documents(_)));
        assert!(!workflow.done.is_empty());
    }

    #[test]
    fn a_workflow_without_command_or_items_says_what_is_missing() {
        let no_command = WorkflowTable {
            command: None,
            ..table()
        };
        let error = Workflow::new("x", no_command, &[]).unwrap_err();
        assert_eq!(error.to_string(), "[workflow.x] has no `command`");
        let no_items = WorkflowTable {
            items: None,
            ..table()
        };
        assert_eq!(
            Workflow::new("x", no_items, &[]).unwrap_err().to_string(),
            "[workflow.x] has no `items`"
        );
    }
}
