//! Reads on a thread of its own what may be slow, above all the items of a workflow, so that a signal is answered
//! meanwhile.

use std::path::PathBuf;

use tokio::sync::oneshot;

use crate::config::file::ItemSource;
use crate::error::{Error, Result};
use crate::items::collected::Collected;
use crate::items::{distinct, documents, files, github, list, source_command};
use crate::surroundings::Surroundings;

/// Begins to gather. The answer comes once; dropping it abandons the thread, which holds nothing that matters.
///
/// # Errors
///
/// When there is no thread to be had.
pub(super) fn begin(
    source: ItemSource,
    root: PathBuf,
    surroundings: Surroundings,
    report: impl Fn(&str) + Send + 'static,
) -> Result<oneshot::Receiver<Result<Collected>>> {
    aside("collect", move || {
        gather(&source, &root, &surroundings, &report)
    })
}

/// Does `work`, which may take its time, on a thread called `name`. The answer comes once; dropping it abandons the
/// thread.
///
/// # Errors
///
/// When there is no thread to be had.
pub(super) fn aside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Nobody listens any more when the user has pressed Ctrl-C.
            let _abandoned = sender.send(work());
        })
        .map_err(|error| Error::state(format!("cannot start a thread: {error}")))?;
    Ok(receiver)
}

fn gather(
    source: &ItemSource,
    root: &std::path::Path,
    surroundings: &Surroundings,
    report: &impl Fn(&str),
) -> Result<Collected> {
    // A list sees to it itself that its items can be told apart.
    let collected = match source {
        ItemSource::Github(query) => {
            let mut report = |text: &str| report(text);
            let variable = |name: &str| surroundings.variable(name);
            let fetched = github::fetch(query, root, &variable, &mut report)?;
            Collected {
                items: fetched.items.into_iter().collect(),
                warnings: fetched.warnings,
            }
        }
        ItemSource::Documents(query) => documents::read(query, root)?,
        ItemSource::Files(pattern) => files::read(pattern, root)?,
        ItemSource::List(path) if path.as_os_str() == "-" => {
            return list::parse(std::io::stdin().lock(), "stdin");
        }
        ItemSource::List(path) => return list::read(&root.join(path)),
        ItemSource::Command(command) => return source_command::run(command, root),
    };
    distinct::check(&collected.items)?;
    Ok(collected)
}
