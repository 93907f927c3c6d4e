//! The two workflows that need no configuration: requirements documents for GitHub issues, and the
//! implementation of approved design documents ("LLDs", low level designs).

use std::collections::BTreeMap;

use super::file::{ItemSource, WorkflowTable};
use crate::items::documents::DocumentQuery;
use crate::items::github::{IssueQuery, IssueState};

/// A workflow that is known without a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    /// Writes a requirements document for every open issue that needs one.
    Requirements,
    /// Implements every approved design document.
    Implement,
}

/// Something beside an item that a person should know before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remark {
    /// Patterns below the workspace root.
    pub files: &'static [&'static str],
    /// Whether the remark is due when such a file exists, or when none does.
    pub when_found: bool,
    /// What is said.
    pub text: &'static str,
}

const LLDS: [&str; 2] = ["active", "done"];

impl Builtin {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Requirements, Self::Implement];

    /// The built-in workflow of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|builtin| builtin.name() == name)
    }

    /// What it is called on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requirements => "requirements",
            Self::Implement => "implement",
        }
    }

    /// The script that does one item, below the workspace root.
    #[must_use]
    pub const fn tool(self) -> &'static str {
        match self {
            Self::Requirements => "tools/run_requirements_workflow.py",
            Self::Implement => "tools/run_implement_from_lld.py",
        }
    }

    /// What a `[workflow.NAME]` table would say.
    #[must_use]
    pub fn table(self) -> WorkflowTable {
        let (arguments, items, done): (&[&str], _, _) = match self {
            Self::Requirements => (
                &["--type", "lld", "--issue", "{number}"],
                ItemSource::Github(IssueQuery {
                    repo: None,
                    state: IssueState::Open,
                    labels: vec!["needs-lld".to_owned()],
                    exclude_labels: vec!["blocked".to_owned()],
                }),
                LLDS.iter()
                    .flat_map(|directory| lld_files(directory))
                    .collect(),
            ),
            Self::Implement => (
                &["--issue", "{number}"],
                ItemSource::Documents(DocumentQuery {
                    glob: "docs/lld/active/LLD-*.md".to_owned(),
                    status: Some("approved".to_owned()),
                }),
                lld_files("done"),
            ),
        };
        let command = ["python", self.tool()]
            .into_iter()
            .chain(arguments.iter().copied());
        // Two items that share this tool's checkpoint database would resume each other's work.
        let checkpoints = ["AGENTOS_WORKFLOW_DB", "ASSEMBLYZERO_WORKFLOW_DB"].map(|variable| {
            (
                variable.to_owned(),
                "{state}/checkpoints/{id}.db".to_owned(),
            )
        });
        WorkflowTable {
            command: Some(command.map(str::to_owned).collect()),
            items: Some(items),
            done: Some(done),
            parallel_env: Some(BTreeMap::from(checkpoints)),
            ..WorkflowTable::default()
        }
    }

    /// What the dry run remarks on, beside what decides.
    #[must_use]
    pub const fn remarks(self) -> &'static [Remark] {
        match self {
            Self::Requirements => &[],
            Self::Implement => &[
                Remark {
                    files: &[
                        "docs/reports/active/{number}-implementation-report.md",
                        "docs/reports/done/{number}-implementation-report.md",
                    ],
                    when_found: true,
                    text: "an implementation report exists",
                },
                Remark {
                    files: &["docs/lld/drafts/spec-{number:04}-*.md"],
                    when_found: false,
                    text: "no implementation spec",
                },
            ],
        }
    }
}

/// The names under which the document of a number may lie: `LLD-042.md`, `LLD-042-slug.md`, `42-slug.md`,
/// `00042-slug.md`. What follows the number is no digit, so that 100 is not done because 1001 is.
fn lld_files(directory: &str) -> Vec<String> {
    [
        "LLD-{number:03}[!0-9]*.md",
        "LLD-{number:03}.md",
        "{number}-*.md",
        "{number:03}-*.md",
        "{number:05}-*.md",
    ]
    .map(|name| format!("docs/lld/{directory}/{name}"))
    .to_vec()
}
