//! What is known of every item before anything starts: the plan, and the dry run's rows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use crate::config::builtin::Remark;
use crate::config::resolve::Invocation;
use crate::config::workflow::Workflow;
use crate::error::{Error, Result};
use crate::escape::escape_text;
use crate::items::batch::Batch;
use crate::items::collision::colliding_numbers;
use crate::items::digest;
use crate::items::done_files::DoneFiles;
use crate::items::item::{ContentHash, Item, ItemId, Readiness};
use crate::items::plan::{Facts, LastAttempt, LastOutcome, Plan, PlannedState, Rerun, plan};
use crate::items::slug::number_in;
use crate::items::template::{Placeholder, RenderError, Template, Values, render_command};
use crate::report::dry_run::Row;
use crate::state::history::{History, Standing};
use crate::state::record::Outcome;

/// An item's templates, filled in.
pub(super) struct Filled {
    /// The command, its program first.
    pub(super) command: Vec<String>,
    /// What verifies it, its program first; nothing without one.
    pub(super) verify: Option<Vec<String>>,
    /// Where the item's result goes.
    pub(super) output: Option<String>,
    /// The workflow's own variables.
    pub(super) env: Vec<(String, String)>,
}

/// Fills the templates of a workflow for one attempt of one item.
///
/// # Errors
///
/// Why the item cannot be run: a value that is missing or would become an option.
pub(super) fn fill(
    invocation: &Invocation,
    state: &str,
    item: &Item,
    (attempt, slot): (u32, u32),
    parallel: bool,
) -> std::result::Result<Filled, RenderError> {
    let workflow = &invocation.workflow;
    let values = Values {
        item,
        attempt,
        slot,
        output: None,
        state,
    };
    let output = workflow
        .output
        .as_ref()
        .map(|output| output.render_path(&values))
        .transpose()?;
    let values = Values {
        output: output.as_deref(),
        ..values
    };
    let parallel_env = workflow.parallel_env.iter().filter(|_| parallel);
    let env = workflow
        .env
        .iter()
        .chain(parallel_env)
        .map(|(name, value)| Ok((name.clone(), value.render(&values)?)))
        .collect::<std::result::Result<_, RenderError>>()?;
    let command = render_command(&workflow.command, &values)?;
    let verify = Some(&workflow.verify).filter(|verify| !verify.is_empty());
    let verify = verify.map(|verify| render_command(verify, &values));
    Ok(Filled {
        command,
        verify: verify.transpose()?,
        output,
        env,
    })
}

/// Decides for every item whether it is to be run; `unfinished` is what an attempt without an end is.
///
/// # Errors
///
/// A usage error when an ITEM matches nothing; a source error when a directory of `done` cannot be read.
pub(super) fn decide(
    invocation: &Invocation,
    state: &str,
    items: Batch,
    history: &History,
    unfinished: LastOutcome,
    parallel: bool,
) -> Result<Plan> {
    let mut done_files = DoneFiles::new(&invocation.place.root);
    let mut trouble = None;
    let mut twins = Twins::new(&invocation.workflow);
    let command = command_fingerprint(&invocation.workflow);
    let is_output = |it: Placeholder| it == Placeholder::Output;
    let asks_for_output = |done: &Template| done.placeholders().any(is_output);
    let output = &invocation.workflow.output;
    let output = output
        .as_ref()
        .filter(|_| invocation.workflow.done.iter().any(asks_for_output));
    let decided = plan(
        items,
        history.ids().filter_map(remembered),
        |item| {
            let values = Values {
                item,
                attempt: 1,
                slot: 1,
                output: None,
                state,
            };
            let output = output.and_then(|output| output.render_path(&values).ok());
            let values = Values {
                output: output.as_deref(),
                ..values
            };
            let done_file = done_files.find(&invocation.workflow.done, &values);
            let last = history.last(&item.id);
            let is_done = last.is_some_and(|last| last.standing == Standing::Ended(Outcome::Done));
            // What stays done needs no command.
            let is_asked_for = !is_done || invocation.choice.rerun != Rerun::None;
            let filled = is_asked_for.then(|| fill(invocation, state, item, (1, 1), parallel));
            // Asked for those that are done, too: what is done of a number is done.
            let twin = twins.refusal_of(item);
            let done_file = done_file.unwrap_or_else(|error: Error| {
                trouble.get_or_insert(error);
                None
            });
            // The command writes its file before anybody verifies it.
            let is_unverified =
                !invocation.workflow.verify.is_empty() && last.is_some() && !is_done;
            Facts {
                done_file: done_file.filter(|_| !is_unverified),
                last: last.map(|last| {
                    let (content, command_then) = taken_apart(last.content_hash);
                    LastAttempt {
                        outcome: match last.standing {
                            Standing::Ended(outcome) => last_outcome(outcome),
                            Standing::Unfinished => unfinished,
                        },
                        content_hash: content,
                        command_changed: command_then.is_some_and(|then| then != command),
                    }
                }),
                refusal: match filled {
                    Some(Err(error)) => Some(error.to_string()),
                    Some(Ok(_)) => twin,
                    None => None,
                },
            }
        },
        &invocation.choice,
    );
    trouble.map_or(decided, Err)
}

/// What the built-in tools would do twice at the same time: they know an item by its number.
#[derive(Debug)]
struct Twins {
    /// Who has each number; nothing where items are not known by theirs.
    numbers: Option<HashMap<u64, ItemId>>,
}

impl Twins {
    fn new(workflow: &Workflow) -> Self {
        let numbers = workflow.tool().map(|_| HashMap::new());
        Self { numbers }
    }

    /// Why an item is not started, after those before it.
    fn refusal_of(&mut self, item: &Item) -> Option<String> {
        let number = item.number?;
        if !matches!(item.readiness, Readiness::Ready(_)) {
            return None;
        }
        match self.numbers.as_mut()?.entry(number) {
            Entry::Vacant(vacant) => {
                vacant.insert(item.id.clone());
                None
            }
            Entry::Occupied(first) => {
                let first = first.get();
                Some(format!(
                    "{first} has the number {number} too, and the tool would do the same for both: give one of them another \
                     number, or name the one to run"
                ))
            }
        }
    }
}

/// Stands between the two fingerprints in a record of the journal; it is in neither.
const AND: char = '+';

/// How many hexadecimal digits tell one command from another.
const COMMAND_DIGITS: usize = 16;

/// What tells one command of a workflow from another: its words, as they were written. What verifies is not part of it:
/// another check makes no other result, and is no reason to make all of them again.
pub(super) fn command_fingerprint(workflow: &Workflow) -> String {
    let words: Vec<&str> = workflow.command.iter().map(Template::source).collect();
    let mut digits = digest::of_bytes(words.join("\0").as_bytes());
    digits.truncate(COMMAND_DIGITS);
    digits
}

/// What the journal keeps of an item and the command that was run for it.
pub(super) fn fingerprint(item: &Item, command: &str) -> String {
    format!("{}{AND}{command}", item.content_hash())
}

/// The item's part, and the command's, where a release has written one.
fn taken_apart(fingerprint: &str) -> (&str, Option<&str>) {
    match fingerprint.rsplit_once(AND) {
        Some((content, command)) => (content, Some(command)),
        None => (fingerprint, None),
    }
}

/// An item as far as the journal knows it: its id, and the number in that.
fn remembered(id: &str) -> Option<Item> {
    Some(Item {
        id: ItemId::new(id).ok()?,
        number: number_in(id),
        title: String::new(),
        path: None,
        text: String::new(),
        content_hash: ContentHash::Is(String::new()),
        readiness: Readiness::Ready(String::new()),
    })
}

const fn last_outcome(outcome: Outcome) -> LastOutcome {
    match outcome {
        Outcome::Done => LastOutcome::Done,
        Outcome::Failed => LastOutcome::Failed,
        Outcome::TimedOut => LastOutcome::TimedOut,
        Outcome::Interrupted => LastOutcome::Interrupted,
        Outcome::Deferred => LastOutcome::Deferred,
    }
}

/// Pairs of pending items that the built-in tools would confuse: they find an item's working tree by a part of
/// its name, so that 83 may take the tree of 838.
#[must_use]
pub(super) fn collisions(invocation: &Invocation, plan: &Plan) -> Option<String> {
    invocation.workflow.tool()?;
    let pending = plan.in_state(PlannedState::Pending);
    let numbers: Vec<u64> = pending.filter_map(|planned| planned.item.number).collect();
    let pairs = colliding_numbers(&numbers);
    let (one, other) = pairs.first()?;
    let more = match pairs.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more pairs"),
    };
    Some(format!(
        "items {one} and {other}{more} have numbers of which one contains the other; the tool may confuse \
         their working trees when they run at the same time"
    ))
}

/// The rows of the dry run.
#[must_use]
pub(super) fn rows(invocation: &Invocation, state: &str, plan: &Plan) -> Vec<Row> {
    let root = &invocation.place.root;
    let mut files = DoneFiles::new(root);
    plan.planned()
        .map(|planned| {
            let pending = planned.state == PlannedState::Pending;
            let filled = fill(invocation, state, &planned.item, (1, 1), true).ok();
            Row {
                id: planned.item.id.to_string(),
                title: escape_text(&planned.item.title).into_owned(),
                state: state_word(planned.state),
                pending,
                reason: escape_text(planned.reason).into_owned(),
                output: filled
                    .and_then(|filled| filled.output)
                    .map(|output| escape_text(&output).into_owned()),
                remarks: if pending {
                    remarks(invocation, state, &planned.item, root, &mut files)
                } else {
                    Vec::new()
                },
            }
        })
        .collect()
}

/// The state of a planned item in one word.
#[must_use]
pub(super) const fn state_word(state: PlannedState) -> &'static str {
    match state {
        PlannedState::Pending => "pending",
        PlannedState::Done => "done",
        PlannedState::Unready => "not ready",
        PlannedState::Refused => "refused",
        PlannedState::Excluded => "excluded",
    }
}

fn remarks(
    invocation: &Invocation,
    state: &str,
    item: &Item,
    root: &Path,
    files: &mut DoneFiles,
) -> Vec<String> {
    let Some(builtin) = invocation.workflow.tool() else {
        return Vec::new();
    };
    let values = Values {
        item,
        attempt: 1,
        slot: 1,
        output: None,
        state,
    };
    let due = |remark: &&Remark| {
        let patterns: Vec<Template> = remark
            .files
            .iter()
            .filter_map(|pattern| Template::parse(pattern).ok())
            .collect();
        // What cannot be looked at is not worth a remark.
        files
            .find(&patterns, &values)
            .is_ok_and(|found| found.is_some() == remark.when_found)
    };
    let mut remarks: Vec<String> = builtin
        .remarks()
        .iter()
        .filter(due)
        .map(|remark| remark.text.to_owned())
        .collect();
    if let (Some(number), Some(name)) = (item.number, root.file_name()) {
        let tree = format!("{}-{number}", name.to_string_lossy());
        if root.with_file_name(&tree).exists() {
            remarks.push(format!("the worktree ../{} exists", escape_text(&tree)));
        }
    }
    remarks
}
