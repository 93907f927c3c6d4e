//! All pages, put together.
//!
//! `github.rs` calls [`walk`]. The list moves while it is read: an issue that stands on two pages is taken as it
//! was seen last, and one that has since become a pull request or got an excluded label is dropped again.

use std::collections::{BTreeMap, HashSet};

use super::client::Client;
use super::issue::Issue;
use super::reply::Refusal;
use super::{IssueQuery, Limits};
use crate::error::{Error, Result};
use crate::items::item::Item;

/// Reads page after page until there is no next one; items come by rising number.
///
/// # Errors
///
/// The first page that cannot be had, a next page that lies elsewhere, a loop, or too many pages (exit 69).
pub(super) fn walk(
    limits: &Limits,
    client: &Client<'_>,
    query: &IssueQuery,
    warnings: &mut Vec<String>,
    report: &mut dyn FnMut(&str),
) -> Result<Vec<Item>> {
    let repository = client.repository();
    let mut items = BTreeMap::new();
    let mut asked = HashSet::new();
    let mut has_moved = false;
    let mut url = client.first_url(query);
    for number in 1..=limits.pages {
        let so_far = items.len();
        report(&format!(
            "fetching issues of {repository}: page {number}, {so_far} so far"
        ));
        let page = client.page(number, &url, report)?;
        for issue in page.issues {
            keep(issue, query, &mut items)?;
        }
        if page.has_moved && !has_moved {
            has_moved = true;
            warnings.push(format!(
                "{repository} has a new owner or name and GitHub redirects from the old one: \
                 update `repo` or the `origin` remote"
            ));
        }
        let Some(next) = page.next else {
            return Ok(items.into_values().collect());
        };
        let next = client.next_url(&next)?;
        asked.insert(std::mem::replace(&mut url, next));
        if asked.contains(&url) {
            let what = format!("page {number} names a page as the next one that was read already");
            let hint = "the list would never end: try again, and tell GitHub if it stays so";
            return Err(client.stop(Refusal::new(what).with_hint(hint)));
        }
    }
    let what = format!("there are more than {} pages", limits.pages);
    let hint = "narrow the issues down by `labels`, or give a list of them";
    Err(client.stop(Refusal::new(what).with_hint(hint)))
}

/// Takes or drops one issue; what was seen before under its number goes either way.
fn keep(issue: Issue, query: &IssueQuery, items: &mut BTreeMap<u64, Item>) -> Result<()> {
    let number = issue.number();
    let is_excluded = query
        .exclude_labels
        .iter()
        .any(|label| issue.has_label(label));
    // A label with a comma could not be asked for.
    let mut unasked = query.labels.iter().filter(|label| label.contains(','));
    if issue.is_pull_request() || is_excluded || unasked.any(|label| !issue.has_label(label)) {
        items.remove(&number);
        return Ok(());
    }
    let item = issue
        .into_item()
        .map_err(|invalid| Error::source(format!("issue {number} makes no item: {invalid}")))?;
    items.insert(number, item);
    Ok(())
}
