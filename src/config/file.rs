//! `orchestrate.toml`, read strictly: what is not known here is an error with its line and the nearest known name.
//!
//! The file may come from a cloned repository and is not trusted: it is bounded in size, and nothing in it is
//! run by reading it.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::evidence;
use super::options::{Options, OutputMode};
use super::table::{Source, Table, line_of, number_or_kind, plain};
use super::workflow::check_name;
use crate::credential::profile::Pattern;
use crate::disk::regular_file;
use crate::error::{Error, Result};
use crate::escape::shown;
use crate::items::documents::DocumentQuery;
use crate::items::github::IssueQuery;
use crate::schedule::retry::ExitCodes;
use crate::suggest;

/// A configuration file may have this many bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a workflow's items come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemSource {
    /// GitHub issues.
    Github(IssueQuery),
    /// Markdown documents.
    Documents(DocumentQuery),
    /// Files that match a pattern.
    Files(String),
    /// A list in a file, or on stdin for `-`.
    List(PathBuf),
    /// A command whose stdout is a list.
    Command(Vec<String>),
}

/// Where the keys of a pool come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A variable with keys separated by commas, white space or newlines.
    Variable(String),
    /// A file with `label = key` lines, relative to the workspace root.
    File(PathBuf),
    /// A command that prints keys.
    Command(Vec<String>),
}

/// A `[credentials]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialTable {
    /// Sources, whose keys add up.
    pub pool: Vec<KeySource>,
    /// The variables under which a child gets its key.
    pub inject: Vec<String>,
    /// How many items may hold one key at once.
    pub slots: usize,
}

impl CredentialTable {
    /// The variables that hold the whole pool.
    pub fn pool_variables(&self) -> impl Iterator<Item = String> + '_ {
        self.pool.iter().filter_map(|source| match source {
            KeySource::Variable(name) => Some(name.clone()),
            KeySource::File(_) | KeySource::Command(_) => None,
        })
    }
}

/// A `[workflow.NAME]` table: what it says, and nothing filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkflowTable {
    /// The per-item command.
    pub command: Option<Vec<String>>,
    /// What has to exit with 0 as well before an item is done.
    pub verify: Option<Vec<String>>,
    /// Where items come from.
    pub items: Option<ItemSource>,
    /// Files that say that an item is done.
    pub done: Option<Vec<String>>,
    /// Where an item's result goes.
    pub output: Option<String>,
    /// Variables of every child.
    pub env: Option<BTreeMap<String, String>>,
    /// Variables of children in parallel mode only.
    pub parallel_env: Option<BTreeMap<String, String>>,
    /// Credentials of this workflow alone.
    pub credentials: Option<CredentialTable>,
    /// Exit codes with a meaning of their own.
    pub exit_codes: Option<ExitCodes>,
    /// Options of this workflow.
    pub options: Options,
}

/// What a whole file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigFile {
    /// Options for all workflows.
    pub options: Options,
    /// The cap on `--parallel`.
    pub max_parallel: Option<usize>,
    /// The workflows by name.
    pub workflows: BTreeMap<String, WorkflowTable>,
    /// Credentials for all workflows.
    pub credentials: Option<CredentialTable>,
    /// Patterns for the output of failed children, beside those that are shipped; each keeps its examples.
    pub evidence: Vec<Pattern>,
}

impl ConfigFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// A usage error that names the path, and the line where there is one.
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable =
            |why: &dyn std::fmt::Display| Error::usage(format!("{}: {why}", path.display()));
        // The workspace lies beside it, and whoever completes a command line reads it as well.
        let (file, _) = regular_file::open(path).map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => unreadable(&"a configuration is an ordinary file"),
            ErrorKind::NotFound if path.is_symlink() => unreadable(&"the link leads nowhere"),
            _ => unreadable(&error),
        })?;
        let mut bytes = Vec::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|error| unreadable(&error))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(unreadable(&"a configuration file may have at most 1 MiB"));
        }
        let text = str::from_utf8(&bytes).map_err(|error| {
            let line = line_of(&bytes, error.valid_up_to());
            let error = Error::usage(format!("{}:{line}: not UTF-8", path.display()));
            error.with_hint("save the file as UTF-8")
        })?;
        Self::parse(path, text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    /// Reads `text`, which stands in the file at `path`.
    ///
    /// # Errors
    ///
    /// A usage error that names the path and the line.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let source = Source { path, text };
        let parsed = DeTable::parse(text).map_err(|error| no_toml(source, &error))?;
        let top = Table::top(source, parsed.get_ref());
        only_knows_options_and(
            &top,
            &["max-parallel", "workflow", "credentials", "evidence"],
            home,
        )?;
        // What items print may hold a NUL, and so may what is looked for in it.
        for (key, _, value) in top.entries().filter(|&(key, ..)| key != "evidence") {
            source.refuse_nul(key, value)?;
        }
        let mut workflows = BTreeMap::new();
        if let Some(tables) = top.table("workflow", "[workflow]")? {
            for (name, offset, value) in tables.entries() {
                check_name(name).map_err(|why| {
                    let error = source.error(offset, &why.to_string());
                    error.with_hint_of(&why)
                })?;
                let title = format!("[workflow.{}]", name.escape_debug());
                let table = Table::of(source, &title, value)?;
                workflows.insert(name.to_owned(), workflow(&table)?);
            }
        }
        Ok(Self {
            options: options(&top, &[])?,
            max_parallel: top.whole("max-parallel", 1)?,
            workflows,
            credentials: credentials(&top)?,
            evidence: evidence::patterns(source, &top)?,
        })
    }
}

fn no_toml(source: Source<'_>, error: &toml::de::Error) -> Error {
    let span = error.span().unwrap_or_default();
    if error.message() != "duplicate key" {
        return source.error(span.start, error.message());
    }
    let key = source.text.get(span.clone()).unwrap_or_default();
    source
        .error(span.start, &format!("`{}` stands here again", shown(key)))
        .with_hint("a key or table stands once: leave one out, or put both into one")
}

fn only_knows_options_and(
    table: &Table<'_>,
    keys: &[&str],
    home: impl Fn(&str) -> Option<&'static str>,
) -> Result<()> {
    let options: Vec<String> = Options::names().collect();
    let known: Vec<&str> = keys
        .iter()
        .copied()
        .chain(options.iter().map(String::as_str))
        .collect();
    table.only_knows_or(&known, home)
}

/// Where a key stands that is known in some table of the file.
fn home(key: &str) -> Option<&'static str> {
    match key {
        "max-parallel" => Some("above all tables, for all workflows"),
        "evidence" => Some("in tables of its own, for all workflows: [[evidence]]"),
        _ if Options::is_name(key) => Some("above all tables, or in [workflow.NAME]"),
        _ if CREDENTIAL_KEYS.contains(&key) => {
            Some("in [credentials], or in [workflow.NAME.credentials]")
        }
        _ if WORKFLOW_KEYS.contains(&key) => Some("in [workflow.NAME]"),
        _ => None,
    }
}

/// The options of a table, but for keys that mean something of its `own`.
fn options(table: &Table<'_>, own: &[&str]) -> Result<Options> {
    let mut options = Options::default();
    let is_option = |key: &str| Options::is_name(key) && !own.contains(&key);
    for (key, _, value) in table.entries().filter(|(key, ..)| is_option(key)) {
        let text = plain(value.get_ref()).ok_or_else(|| not_plain(table, key, value.get_ref()))?;
        options
            .set(key, &text)
            .map_err(|why| table.error(key, &format!("`{key}`: {why}")))?;
    }
    Ok(options)
}

/// Of a value that the command line could not have said.
fn not_plain(table: &Table<'_>, key: &str, value: &DeValue<'_>) -> Error {
    let text = match value {
        DeValue::Float(number) => number.as_str(),
        _ => "",
    };
    let why = Options::default().set(key, text).err();
    let wanted = why.as_deref().unwrap_or("it is a text in quotes");
    let found = number_or_kind(value);
    table.error(key, &format!("`{key}`: {wanted}, not {found}"))
}

const CREDENTIAL_KEYS: &[&str] = &["pool", "inject", "slots"];

const WORKFLOW_KEYS: &[&str] = &[
    "command",
    "verify",
    "items",
    "done",
    "output",
    "env",
    "parallel-env",
    "credentials",
    "exit-codes",
];

fn workflow(table: &Table<'_>) -> Result<WorkflowTable> {
    only_knows_options_and(table, WORKFLOW_KEYS, home)?;
    let words = |key: &str| match table.texts(key)? {
        Some(words) if words.is_empty() => Err(table.error(key, &format!("`{key}` is empty"))),
        words => Ok(words),
    };
    Ok(WorkflowTable {
        command: words("command")?,
        verify: words("verify")?,
        items: table
            .table("items", "`items`")?
            .map(|items| item_source(&items))
            .transpose()?,
        done: table.text_or_texts("done")?,
        output: result(table)?,
        env: variables(table, "env")?,
        parallel_env: variables(table, "parallel-env")?,
        credentials: credentials(table)?,
        exit_codes: exit_codes(table)?,
        options: options(table, WORKFLOW_KEYS)?,
    })
}

/// Where an item's result goes. A word that says how output is shown was meant for another table.
fn result(table: &Table<'_>) -> Result<Option<String>> {
    let output = table.text("output")?;
    match &output {
        Some(word) if word.parse::<OutputMode>().is_ok() => {
            let message = format!(
                "`output` of a workflow is where its result goes; `output = \"{word}\"`, which says how output is \
                 shown, stands above all tables"
            );
            Err(table.error("output", &message))
        }
        Some(_) | None => Ok(output),
    }
}

fn variables(table: &Table<'_>, key: &str) -> Result<Option<BTreeMap<String, String>>> {
    let name = format!("`{key}`");
    let Some(variables) = table.table(key, &name)? else {
        return Ok(None);
    };
    let mut read = BTreeMap::new();
    for (variable, ..) in variables.entries() {
        if variable.is_empty() || variable.contains(['=', '\0']) {
            let message = format!("{variable:?} is no name of a variable");
            let hint = "the name of a variable is not empty, and has neither `=` nor NUL in it";
            return Err(variables.error(variable, &message).with_hint(hint));
        }
        read.extend(
            variables
                .text(variable)?
                .map(|value| (variable.to_owned(), value)),
        );
    }
    Ok(Some(read))
}

const EXIT_CODE_CLASSES: [&str; 5] = [
    "never-retry",
    "retry-later",
    "rate-limited",
    "rejected",
    "overloaded",
];

fn exit_codes(table: &Table<'_>) -> Result<Option<ExitCodes>> {
    let Some(codes) = table.table("exit-codes", "`exit-codes`")? else {
        return Ok(None);
    };
    codes.only_knows(&EXIT_CODE_CLASSES)?;
    let mut known: BTreeMap<i32, &str> = BTreeMap::new();
    let mut given = |class: &'static str| -> Result<Option<Vec<i32>>> {
        if codes.value(class).is_none() {
            return Ok(None);
        }
        let listed = codes.exit_codes(class)?;
        for &code in &listed {
            if let Some(other) = known.insert(code, class).filter(|&other| other != class) {
                let message = format!("exit code {code} is both in `{other}` and in `{class}`");
                return Err(codes.error(class, &message));
            }
        }
        Ok(Some(listed))
    };
    let [never_retry, retry_later, rate_limited, rejected, overloaded] =
        EXIT_CODE_CLASSES.map(&mut given);
    let (never_retry, retry_later) = (never_retry?, retry_later?);
    let (rate_limited, rejected, overloaded) = (rate_limited?, rejected?, overloaded?);
    // A code that has another meaning here does not keep the one that it has by default.
    let or_default = |given: Option<Vec<i32>>, mut default: Vec<i32>| {
        default.retain(|code| !known.contains_key(code));
        given.unwrap_or(default)
    };
    let default = ExitCodes::default();
    Ok(Some(ExitCodes {
        never_retry: never_retry.unwrap_or_default(),
        retry_later: retry_later.unwrap_or_default(),
        rate_limited: or_default(rate_limited, default.rate_limited),
        rejected: or_default(rejected, default.rejected),
        overloaded: or_default(overloaded, default.overloaded),
    }))
}

const SOURCES: &[&str] = &["github", "documents", "files", "list", "command"];

fn item_source(items: &Table<'_>) -> Result<ItemSource> {
    items.only_knows(SOURCES)?;
    let mut given = items.entries().map(|(key, ..)| key);
    let (Some(kind), None) = (given.next(), given.next()) else {
        let message = format!("`items` names one source: {}", SOURCES.join(", "));
        return Err(items.error("", &message));
    };
    match kind {
        "github" => github(items),
        "documents" => documents(items),
        "files" => Ok(ItemSource::Files(items.text(kind)?.unwrap_or_default())),
        "list" => Ok(ItemSource::List(
            items.text(kind)?.unwrap_or_default().into(),
        )),
        _ => match items.texts(kind)?.unwrap_or_default() {
            command if command.is_empty() => Err(items.error(kind, "`command` is empty")),
            command => Ok(ItemSource::Command(command)),
        },
    }
}

fn github(items: &Table<'_>) -> Result<ItemSource> {
    let Some(table) = items.table("github", "`github`")? else {
        unreachable!("asked for")
    };
    table.only_knows(&["repo", "state", "labels", "exclude-labels"])?;
    let state = table.text("state")?.unwrap_or_else(|| "open".to_owned());
    Ok(ItemSource::Github(IssueQuery {
        repo: table.text("repo")?,
        state: state.parse().map_err(|why: Error| {
            let error = table.error("state", &format!("`state`: {why}"));
            error.with_hint_of(&why)
        })?,
        labels: table.texts("labels")?.unwrap_or_default(),
        exclude_labels: table.texts("exclude-labels")?.unwrap_or_default(),
    }))
}

fn documents(items: &Table<'_>) -> Result<ItemSource> {
    let Some(table) = items.table("documents", "`documents`")? else {
        unreachable!("asked for")
    };
    table.only_knows(&["glob", "status"])?;
    let glob = table
        .text("glob")?
        .ok_or_else(|| table.error("", "`glob` is missing"))?;
    Ok(ItemSource::Documents(DocumentQuery {
        glob,
        status: table.text("status")?,
    }))
}

fn credentials(parent: &Table<'_>) -> Result<Option<CredentialTable>> {
    let Some(table) = parent.table("credentials", "[credentials]")? else {
        return Ok(None);
    };
    // `env` and `command` are keys of `pool` as well.
    let home = |key: &str| home(key).filter(|_| !KEY_SOURCES.contains(&key));
    table.only_knows_or(CREDENTIAL_KEYS, home)?;
    let pool = match table.value("pool") {
        None => {
            let hint = "for example: pool = { env = \"API_KEYS\" }";
            return Err(table.error("", "`pool` is missing").with_hint(hint));
        }
        Some(value) => pool(&table, value)?,
    };
    let inject = table.text_or_texts("inject")?.unwrap_or_default();
    if inject.is_empty()
        || inject
            .iter()
            .any(|name| name.is_empty() || name.contains('='))
    {
        let hint = "the variable under which a child gets its key: inject = \"API_KEY\"";
        return Err(table
            .error("inject", "`inject` names a variable")
            .with_hint(hint));
    }
    if let Some(taken) = inject.iter().find(|name| is_taken(name)) {
        let message = format!("`{}` means something else to a child", shown(taken));
        let hint = "name the variable in which the command looks for its key";
        return Err(table.error("inject", &message).with_hint(hint));
    }
    Ok(Some(CredentialTable {
        pool,
        inject,
        slots: table.whole("slots", 1)?.unwrap_or(1),
    }))
}

/// A variable in which a child looks for something else than a key.
fn is_taken(name: &str) -> bool {
    name.starts_with("ORCHESTRATE_") || name.starts_with("LD_") || ["HOME", "PATH"].contains(&name)
}

fn pool(table: &Table<'_>, value: &Spanned<DeValue<'_>>) -> Result<Vec<KeySource>> {
    let tables: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
        DeValue::Array(several) if !several.is_empty() => several.iter().collect(),
        _ => vec![value],
    };
    tables
        .into_iter()
        .map(|one| key_source(table, one))
        .collect()
}

const KEY_SOURCES: &[&str] = &["env", "file", "command"];

fn key_source(credentials: &Table<'_>, value: &Spanned<DeValue<'_>>) -> Result<KeySource> {
    let usage =
        "`pool` is { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", …] }";
    let DeValue::Table(entries) = value.get_ref() else {
        return Err(credentials.error("pool", usage));
    };
    let mut entries = entries.iter();
    let (Some((kind, source)), None) = (entries.next(), entries.next()) else {
        return Err(credentials.error("pool", usage));
    };
    let kind = kind.get_ref().as_ref();
    match (kind, source.get_ref()) {
        ("env", DeValue::String(name)) => Ok(KeySource::Variable(name.to_string())),
        ("file", DeValue::String(path)) => Ok(KeySource::File(path.to_string().into())),
        ("command", DeValue::Array(words)) if !words.is_empty() => words
            .iter()
            .map(|word| word.get_ref().as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .map(KeySource::Command)
            .ok_or_else(|| credentials.error("pool", usage)),
        _ if KEY_SOURCES.contains(&kind) => Err(credentials.error("pool", usage)),
        _ => {
            let message = format!("unknown key `{}` in `pool`", kind.escape_debug());
            let hint = suggest::hint(kind, KEY_SOURCES.iter().copied());
            Err(credentials.error("pool", &message).with_hint(hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::time_span::TimeSpan;

    fn parse(text: &str) -> Result<ConfigFile> {
        ConfigFile::parse(Path::new("orchestrate.toml"), text)
    }

    #[test]
    fn the_example_of_the_documentation_is_understood() {
        let config = parse(
            r#"
parallel = 4
max-parallel = 10
credential-wait = "5m"

[workflow.thumbnails]
command = ["./thumb.sh", "{path}"]
items = { files = "photos/*.jpg" }
done = "thumbs/{id}.png"
output = "thumbs/{id}.png"
env = { THUMB_CACHE = "{state}/cache/{id}" }
fail-fast = true

[credentials]
pool = { env = "THUMB_KEYS" }
inject = "THUMB_KEY"
"#,
        )
        .unwrap();
        assert_eq!(config.options.parallel, Some(4));
        assert_eq!(
            config.options.credential_wait,
            Some(TimeSpan::from_secs(300))
        );
        assert_eq!(config.max_parallel, Some(10));
        let workflow = &config.workflows["thumbnails"];
        assert_eq!(
            workflow.items,
            Some(ItemSource::Files("photos/*.jpg".to_owned()))
        );
        assert_eq!(workflow.done, Some(vec!["thumbs/{id}.png".to_owned()]));
        assert!(workflow.options.fail_fast.unwrap().0);
        let credentials = config.credentials.unwrap();
        assert_eq!(
            credentials.pool,
            [KeySource::Variable("THUMB_KEYS".to_owned())]
        );
        assert_eq!(
            (credentials.inject, credentials.slots),
            (vec!["THUMB_KEY".to_owned()], 1)
        );
    }

    #[test]
    fn every_source_of_items_is_understood() {
        for (items, expected) in [
            (
                "{ files = \"*.jpg\" }",
                ItemSource::Files("*.jpg".to_owned()),
            ),
            (
                "{ list = \"urls.txt\" }",
                ItemSource::List("urls.txt".into()),
            ),
            (
                "{ command = [\"./list\"] }",
                ItemSource::Command(vec!["./list".to_owned()]),
            ),
            (
                "{ documents = { glob = \"d/*.md\", status = \"approved\" } }",
                ItemSource::Documents(DocumentQuery {
                    glob: "d/*.md".to_owned(),
                    status: Some("approved".to_owned()),
                }),
            ),
        ] {
            let config = parse(&format!("[workflow.x]\nitems = {items}")).unwrap();
            assert_eq!(config.workflows["x"].items, Some(expected));
        }
        let text = "[workflow.x]\nitems = { github = { repo = \"o/r\", labels = [\"a\"] } }";
        let config = parse(text).unwrap();
        let Some(ItemSource::Github(query)) = &config.workflows["x"].items else {
            panic!()
        };
        assert_eq!(
            (query.repo.as_deref(), query.labels.len()),
            (Some("o/r"), 1)
        );
    }

    #[track_caller]
    fn refused(cases: &[(&str, usize, &str)]) {
        for &(text, line, says) in cases {
            let error = parse(text).expect_err(text).to_string();
            assert!(
                error.starts_with(&format!("orchestrate.toml:{line}: ")),
                "{text}: {error}"
            );
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn of_a_wrong_number_it_is_said_which_it_is() {
        refused(&[
            (
                "parallel = [1]",
                1,
                "`parallel`: it is a whole number, such as 4, not a list",
            ),
            (
                "parallel = 3.5",
                1,
                "`parallel`: it is a whole number, such as 4, not 3.5",
            ),
            ("grace = 2.5", 1, "`grace`: a duration needs a unit"),
            ("junit = 2.5", 1, "`junit`: it is a text in quotes, not 2.5"),
            (
                "max-parallel = 0",
                1,
                "`max-parallel` is a whole number from 1, not 0",
            ),
            (
                "max-parallel = 99999999999999999999",
                1,
                "is at most 18446744073709551615, not 99999999999999999999",
            ),
            ("max-parallel = \"4\"", 1, "not a text"),
            (
                "[credentials]\npool = { env = \"A\" }\ninject = \"K\"\nslots = 0",
                4,
                "`slots` is a whole number from 1, not 0 in [credentials]",
            ),
            (
                "[workflow.x]\nexit-codes.rejected = [\n7,\n0]",
                4,
                "`rejected` lists exit codes from 1 to 255, like [91, 92], not 0 in",
            ),
            (
                "[workflow.x]\nexit-codes.rejected = 7",
                2,
                "like [91, 92], not 7",
            ),
        ]);
    }

    #[test]
    fn a_name_that_no_workflow_may_have_is_refused_at_its_line() {
        refused(&[
            ("[workflow.x]\n[workflow.run]", 2, "may not be named `run`"),
            (
                "[workflow.runs]",
                1,
                "may not be named `runs`: `.orchestrate/runs`",
            ),
            (
                "[workflow.\"a b\"]",
                1,
                "workflow `a b`: the name of a workflow has only letters",
            ),
        ]);
    }

    #[test]
    fn every_mistake_is_an_error_with_its_line_and_a_remedy() {
        refused(&[
            ("paralel = 4", 1, "unknown key `paralel`"),
            ("\n\nparallel = \"many\"", 3, "`parallel`"),
            ("grace = 8", 1, "needs a unit"),
            (
                "[workflow.x]\ncomand = [\"a\"]",
                2,
                "unknown key `comand` in [workflow.x]",
            ),
            ("[workflow.x]\ncommand = \"a b\"", 2, "a list of texts"),
            ("[workflow.x]\ncommand = []", 2, "`command` is empty"),
            (
                "[workflow.x]\ncommand = [1]",
                2,
                "a text in quotes, not a number",
            ),
            (
                "[workflow.x]\nitems = { fils = \"a\" }",
                2,
                "unknown key `fils`",
            ),
            (
                "[workflow.x]\nitems = { files = \"a\", list = \"b\" }",
                2,
                "names one source",
            ),
            ("[workflow.x]\nitems = {}", 2, "names one source"),
            (
                "[workflow.x]\nitems = { documents = {} }",
                2,
                "`glob` is missing",
            ),
            (
                "[workflow.x]\nitems = { github = { state = \"old\" } }",
                2,
                "`state`",
            ),
            ("[workflow.x]\nenv = { A = 1 }", 2, "a text in quotes"),
            (
                "[workflow.x]\nenv = { \"A=B\" = \"1\" }",
                2,
                "no name of a variable",
            ),
            (
                "[workflow.x]\noutput = \"group\"",
                2,
                "stands above all tables",
            ),
            (
                "[workflow.x]\nenv = { \"A\\u0000\" = \"1\" }",
                2,
                "\"A\\0\" is no name of a variable",
            ),
            ("output = \"groups\"", 1, "`prefix`, `group`"),
            ("workflow = 1", 1, "[workflow] is a table"),
            ("[credentials]\ninject = \"K\"", 1, "`pool` is missing"),
            (
                "[credentials]\npool = { env = \"K\" }",
                1,
                "`inject` names a variable",
            ),
            (
                "[credentials]\npool = { vault = \"K\" }\ninject = \"K\"",
                2,
                "unknown key `vault`",
            ),
            (
                "[credentials]\npool = \"K\"\ninject = \"K\"",
                2,
                "`pool` is {",
            ),
            ("parallel = ", 1, ""),
            ("[workflow.x\n", 1, ""),
        ]);
        let hint = parse("[workflow.x]\ncomand = [\"a\"]").unwrap_err();
        assert_eq!(hint.hint(), Some("did you mean `command`?"));
    }

    #[test]
    fn a_nul_is_refused_wherever_the_system_would_be_handed_it() {
        for (text, line, key) in [
            (
                "[workflow.x]\ncommand = [\"a\",\n\"\\u0000\"]",
                3,
                "workflow.x.command",
            ),
            (
                "[workflow.x]\nverify = [\"\\u0000\"]",
                2,
                "workflow.x.verify",
            ),
            (
                "[workflow.x]\nitems = { list = \"\\u0000\" }",
                2,
                "workflow.x.items.list",
            ),
            ("[workflow.x.env]\nA = \"\\u0000\"", 2, "workflow.x.env.A"),
            (
                "[workflow.x]\nparallel-env.A = \"\\u0000\"",
                2,
                "workflow.x.parallel-env.A",
            ),
            ("[workflow.x]\noutput = \"\\u0000\"", 2, "workflow.x.output"),
            ("metrics = \"a\\u0000\"", 1, "metrics"),
            (
                "[credentials]\npool = [{ command = [\"a\", \"\\u0000\"] }]\ninject = \"K\"",
                2,
                "credentials.pool.command",
            ),
        ] {
            let error = parse(text).expect_err(text).to_string();
            let says = format!("orchestrate.toml:{line}: `{key}` has a NUL in it");
            assert!(error.starts_with(&says), "{text}: {error}");
        }
        let evidence = "[[evidence]]\nname = \"a\"\nclass = \"day\"\nregex = 'x\\x00'\nmatches = [\"x\\u0000\"]";
        assert_eq!(parse(evidence).unwrap().evidence.len(), 1);
    }

    #[test]
    fn a_key_that_stands_twice_is_named_where_it_stands_again() {
        for (text, line, key) in [
            ("parallel = 1\n\nparallel = 2", 3, "parallel"),
            ("[workflow.x]\n[workflow.x]", 2, "x"),
            ("[workflow.x]\nenv = { A = \"1\", A = \"2\" }", 2, "A"),
            ("workflow.x.output = \"a\"\n[workflow.x]", 2, "x"),
        ] {
            let error = parse(text).expect_err(text);
            let says = format!("orchestrate.toml:{line}: `{key}` stands here again");
            assert_eq!(error.to_string(), says, "{text}");
            assert!(error.hint().unwrap_or_default().contains("stands once"));
        }
    }

    #[test]
    fn of_a_state_of_issues_that_is_none_it_is_said_which_there_are() {
        let text = "[workflow.x]\nitems = { github = { state = \"opn\" } }";
        let hint = parse(text).unwrap_err();
        assert_eq!(
            hint.hint(),
            Some("the states are `open`, `closed` and `all`")
        );
    }

    #[test]
    fn of_a_key_in_the_wrong_table_it_is_said_where_it_stands() {
        for (text, home) in [
            ("[workflow.x]\nmax-parallel = 3", "above all tables"),
            ("[workflow.x]\nevidence = []", "[[evidence]]"),
            ("[workflow.x]\npool = { env = \"A\" }", "in [credentials]"),
            ("command = [\"a\"]", "in [workflow.NAME]"),
            ("slots = 2", "in [credentials]"),
            ("[credentials]\nparallel = 2", "above all tables, or in"),
        ] {
            let error = parse(text).unwrap_err();
            let hint = error.hint().unwrap_or_default();
            assert!(hint.contains(home), "{text}: {hint}");
        }
        let error = parse("[credentials]\nenv = \"A\"").unwrap_err();
        assert_eq!(error.hint(), Some("known: pool, inject, slots"));
        let sixteen = parse("max-parallel = 0x10\nparallel = 0x10").unwrap();
        assert_eq!(
            (sixteen.max_parallel, sixteen.options.parallel),
            (Some(16), Some(16))
        );
    }

    fn exit_codes_of(text: &str) -> ExitCodes {
        let config = parse(&format!("[workflow.x]\nexit-codes = {text}")).unwrap();
        config.workflows["x"].exit_codes.clone().unwrap()
    }

    #[test]
    fn classes_of_exit_codes_that_are_not_given_keep_their_codes() {
        let codes = exit_codes_of("{ never-retry = [91] }");
        let expected = ExitCodes {
            never_retry: vec![91],
            ..ExitCodes::default()
        };
        assert_eq!(codes, expected);
        let codes = exit_codes_of("{ rate-limited = [92, 92], rejected = [], overloaded = [75] }");
        assert_eq!(codes.rate_limited, [92, 92]);
        assert!(codes.rejected.is_empty());
        assert_eq!(codes.overloaded, [75]);
        let codes = exit_codes_of("{ retry-later = [75] }");
        assert!(codes.rate_limited.is_empty());
    }

    #[test]
    fn a_code_in_two_classes_is_an_error_that_names_both() {
        let text = "[workflow.x]\nexit-codes = { rejected = [75],\n  rate-limited = [92, 75] }";
        let error = parse(text).unwrap_err().to_string();
        assert!(
            error.contains("exit code 75 is both in `rate-limited` and in `rejected`"),
            "{error}"
        );
        let error = parse("[workflow.x]\nexit-codes = { rate-limits = [75] }").unwrap_err();
        assert_eq!(error.hint(), Some("did you mean `rate-limited`?"));
    }

    #[test]
    fn a_missing_or_oversized_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("orchestrate.toml");
        assert!(
            ConfigFile::read(&path)
                .unwrap_err()
                .to_string()
                .contains("orchestrate.toml")
        );
        std::fs::write(&path, "#".repeat(2 << 20)).unwrap();
        assert!(
            ConfigFile::read(&path)
                .unwrap_err()
                .to_string()
                .contains("at most 1 MiB")
        );
        std::fs::write(&path, "\u{feff}parallel = 2").unwrap();
        assert_eq!(ConfigFile::read(&path).unwrap().options.parallel, Some(2));
        std::fs::write(&path, b"# \xc3\xa4\n# \xff").unwrap();
        let error = ConfigFile::read(&path).unwrap_err();
        assert!(
            error.to_string().ends_with("orchestrate.toml:2: not UTF-8"),
            "{error}"
        );
        assert_eq!(error.hint(), Some("save the file as UTF-8"));
        std::fs::write(
            &path,
            [b"#".as_slice(), "ä".repeat(1 << 20).as_bytes()].concat(),
        )
        .unwrap();
        let error = ConfigFile::read(&path).unwrap_err();
        assert!(error.to_string().contains("at most 1 MiB"), "{error}");
    }
}
