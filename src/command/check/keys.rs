//! The pools of keys: each is read, and says how many keys it has.

use super::super::Site;
use super::failed;
use crate::config::file::{ConfigFile, CredentialTable};
use crate::credential::secret::Secret;
use crate::credential::shared_store::{PoolKey, SharedStore, now, state_home};
use crate::credential::source;
use crate::error::Result;
use crate::report::checklist::{Finding, Health};

/// Looks at the pools of these workflows, each once.
pub(super) fn look(site: &Site<'_>, file: &ConfigFile, workflows: &[String]) -> Vec<Finding> {
    let own = |name: &String| {
        let table = file.workflows.get(name)?.credentials.as_ref()?;
        Some((format!("keys of {name}"), table))
    };
    let mut pools: Vec<(String, &CredentialTable)> = workflows.iter().filter_map(own).collect();
    pools.extend(
        file.credentials
            .as_ref()
            .map(|table| ("keys".to_owned(), table)),
    );
    pools
        .into_iter()
        .map(|(subject, table)| {
            let found =
                pool(site, table).map(|(health, words)| Finding::new(&subject, health, words));
            found.unwrap_or_else(|error| failed(&subject, &error))
        })
        .collect()
}

fn pool(site: &Site<'_>, table: &CredentialTable) -> Result<(Health, String)> {
    let secrets = source::read(table, &site.place.root, site.surroundings)?;
    let pool: Vec<PoolKey<'_>> = secrets
        .iter()
        .map(|secret| PoolKey {
            secret,
            slots: secret.slots().unwrap_or(table.slots),
        })
        .collect();
    let mut store = SharedStore::visit(&state_home(site.surroundings)?, &pool, now())?;
    let mut back = 0;
    for index in 0..pool.len() {
        let moment = now();
        let key = store.view(index, moment)?.key;
        back += usize::from(key.returns_at(moment).is_some_and(|at| at <= moment));
    }
    let labels: Vec<&str> = secrets.iter().map(Secret::label).collect();
    let of = format!(
        "{} of {} can be used now: {}",
        back,
        pool.len(),
        labels.join(", ")
    );
    let health = if back == 0 {
        Health::Doubtful
    } else {
        Health::Good
    };
    Ok((health, of))
}
