//! `orchestrate keys`: how the keys of a pool stand for all runs on this machine, and an operator's word on them.
//!
//! It reads the keys, for only they know what they are called on disk; it shows their labels and those names.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Site;
use crate::cli::{KeyChange, Keys};
use crate::config::builtin::Builtin;
use crate::config::file::{ConfigFile, CredentialTable};
use crate::config::options::Format;
use crate::credential::secret::Secret;
use crate::credential::shared_store::{PoolKey, SharedStore, now, state_home};
use crate::credential::source;
use crate::credential::store::Store as _;
use crate::error::{Error, ExitStatus, Result};
use crate::output::Target;
use crate::report::key_table::{self, KeyRow, Now};

/// Shows the keys, or changes one and shows it.
pub(super) fn perform(site: &Site<'_>, arguments: Keys) -> Result<ExitStatus> {
    if site.dry_run {
        return Err(Error::usage("`keys` has no dry run")
            .with_hint("without `reset`, `disable` or `enable` it changes nothing"));
    }
    let table = table(site, arguments.pool_of.as_deref())?;
    let secrets = source::read(&table, &site.place.root, site.surroundings)?;
    let pool: Vec<PoolKey<'_>> = secrets
        .iter()
        .map(|secret| PoolKey {
            secret,
            slots: secret.slots().unwrap_or(table.slots),
        })
        .collect();
    let home = state_home(site.surroundings)?;
    let mut store = SharedStore::visit(&home, &pool, now())?;
    let shown = match arguments.change {
        None => (0..secrets.len()).collect(),
        Some(change) => vec![changed(&mut store, &secrets, &change)?],
    };
    show(site, &mut store, &pool, &shown)?;
    for warning in store.take_warnings() {
        site.terminal
            .say(Target::Stderr, format!("warning: {warning}\n"));
    }
    Ok(ExitStatus::Success)
}

fn show(
    site: &Site<'_>,
    store: &mut SharedStore,
    pool: &[PoolKey<'_>],
    shown: &[usize],
) -> Result<()> {
    let now = Now {
        moment: now(),
        wall: Timestamp::now(),
        zone: TimeZone::system(),
    };
    let mut rows = Vec::new();
    for &index in shown {
        let view = store.view(index, now.moment)?;
        let leases = view.leases.into_iter().map(|(_, holders)| {
            let pairs = holders.into_iter().map(|holder| (holder.pid, holder.name));
            pairs.collect()
        });
        rows.push(KeyRow {
            label: pool[index].secret.label().to_owned(),
            kid: store.kid(index).to_string(),
            key: view.key,
            since: view.since,
            reason: view.reason,
            slots: pool[index].slots,
            leases: leases.collect(),
        });
    }
    let text = match site.format {
        Format::Text => key_table::text(&rows, &now, site.look()),
        Format::Json => rows
            .iter()
            .map(|row| key_table::json_line(row, &now))
            .collect(),
    };
    site.terminal.say(Target::Stdout, text);
    Ok(())
}

fn changed(store: &mut SharedStore, secrets: &[Secret], change: &KeyChange) -> Result<usize> {
    let (KeyChange::Reset { label } | KeyChange::Disable { label } | KeyChange::Enable { label }) =
        change;
    let index = secrets.iter().position(|secret| secret.label() == label);
    let index = index.ok_or_else(|| {
        let labels = secrets.iter().map(Secret::label);
        Error::usage(format!(
            "no key of the pool has the label `{}`",
            label.escape_debug()
        ))
        .with_hint(crate::suggest::hint(label, labels))
    })?;
    match change {
        KeyChange::Reset { .. } => store.reset(index, now())?,
        KeyChange::Disable { .. } => store.disable(index, true, now())?,
        KeyChange::Enable { .. } => store.disable(index, false, now())?,
    }
    Ok(index)
}

/// The pool of a workflow, or the only one that there is.
fn table(site: &Site<'_>, workflow: Option<&str>) -> Result<CredentialTable> {
    let file = match &site.place.config {
        Some(path) => ConfigFile::read(path)?,
        None => ConfigFile::default(),
    };
    let own = |name: &str| file.workflows.get(name)?.credentials.clone();
    if let Some(name) = workflow {
        if !file.workflows.contains_key(name) && Builtin::named(name).is_none() {
            let built_in = Builtin::ALL.iter().map(|builtin| builtin.name());
            let known: Vec<&str> = file
                .workflows
                .keys()
                .map(String::as_str)
                .chain(built_in)
                .collect();
            let message = format!("there is no workflow `{}`", name.escape_debug());
            let hint = crate::suggest::hint(name, known.iter().copied());
            return Err(Error::usage(message).with_hint(hint));
        }
        let table = own(name).or(file.credentials.clone());
        return table.ok_or_else(no_pool);
    }
    let mut owners = file.workflows.keys().filter(|name| own(name).is_some());
    match (file.credentials.clone(), owners.next(), owners.next()) {
        (Some(table), None, _) => Ok(table),
        (None, Some(only), None) => own(only).ok_or_else(no_pool),
        (None, None, _) => Err(no_pool()),
        (_, Some(name), _) => Err(Error::usage("there are several pools of keys")
            .with_hint(format!("say whose: orchestrate keys --workflow {name}"))),
    }
}

fn no_pool() -> Error {
    Error::usage("no pool of keys is configured")
        .with_hint("a [credentials] table in orchestrate.toml says where keys come from; -C DIR looks elsewhere")
}
