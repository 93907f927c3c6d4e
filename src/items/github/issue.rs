//! One issue as GitHub describes it, and the item that it makes.
//!
//! `client.rs` reads issues from an answer, `pages.rs` makes items of them. Pure. A body is hashed and let go, so
//! that ten thousand issues cost the memory of their titles.

use std::fmt::Write;

use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use crate::items::item::{ContentHash, InvalidId, Item, ItemId, Readiness};

/// The parts of GitHub's answer that we use ("List repository issues", API version 2022-11-28).
#[derive(Debug, Deserialize)]
pub(super) struct Issue {
    number: u64,
    title: String,
    body: Option<String>,
    state: State,
    #[serde(default)]
    labels: Vec<Label>,
    /// Only a pull request has it.
    pull_request: Option<IgnoredAny>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Open,
    Closed,
}

/// GitHub's schema allows a bare name as well as an object whose name may be null.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Label {
    Name(String),
    Described { name: Option<String> },
}

impl Label {
    fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Described { name } => name.as_deref().unwrap_or_default(),
        }
    }
}

impl Issue {
    /// The number, which names the issue within its repository.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether this is a pull request, which GitHub lists among the issues.
    pub(super) fn is_pull_request(&self) -> bool {
        self.pull_request.is_some()
    }

    /// Whether the issue carries `label`, whatever its case: GitHub's labels differ in more than case.
    pub(super) fn has_label(&self, label: &str) -> bool {
        let wanted = label.trim().to_lowercase();
        self.labels
            .iter()
            .any(|label| label.name().to_lowercase() == wanted)
    }

    /// The item; its hash covers title, NUL and body, so that a new label or comment does not change it.
    pub(super) fn into_item(self) -> Result<Item, InvalidId> {
        let mut digest = Sha256::new();
        digest.update(&self.title);
        digest.update([0]);
        digest.update(self.body.unwrap_or_default());
        let state = match self.state {
            State::Open => "open",
            State::Closed => "closed",
        };
        Ok(Item {
            id: ItemId::new(format!("issue-{}", self.number))?,
            number: Some(self.number),
            title: self.title,
            path: None,
            text: self.number.to_string(),
            content_hash: ContentHash::Is(hex(&digest.finalize())),
            readiness: Readiness::Ready(state.to_owned()),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(json: &str) -> Issue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_issue_makes_an_item() {
        let json = r#"{"number":42,"title":"A \u001b[2J title","body":"text","state":"closed","user":null}"#;
        let item = issue(json).into_item().unwrap();
        assert_eq!(item.id.as_str(), "issue-42");
        assert_eq!(item.number, Some(42));
        assert_eq!(item.title, "A \u{1b}[2J title");
        assert_eq!((item.path, item.text.as_str()), (None, "42"));
        assert_eq!(item.readiness, Readiness::Ready("closed".to_owned()));
    }

    #[test]
    fn the_hash_is_of_title_nul_and_body() {
        let hash = |title: &str, body: &str| {
            let json = format!(r#"{{"number":1,"title":"{title}","body":{body},"state":"open"}}"#);
            issue(&json)
                .into_item()
                .unwrap()
                .content_hash()
                .into_owned()
        };
        // printf 'a\0b' | sha256sum
        let expected = "59b271ae1bbcb1d31d41929817f4b16fb439eb4f31520b5ad1d5ce98920a7138";
        assert_eq!(hash("a", r#""b""#).len(), expected.len());
        assert_eq!(hash("a", "null"), hash("a", r#""""#));
        assert_ne!(hash("a", r#""b""#), hash("ab", r#""""#));
        assert_eq!(hash("a", r#""b""#), expected);
    }

    #[test]
    fn labels_are_compared_without_case_and_in_every_shape() {
        let json = r#"{"number":1,"title":"","state":"open","labels":
            ["plain", {"name":"Blocked","color":"f00"}, {"name":null}, {"name":"ÉTÉ, bis"}]}"#;
        let issue = issue(json);
        for label in ["PLAIN", "blocked", " Blocked ", "été, BIS"] {
            assert!(issue.has_label(label), "{label}");
        }
        assert!(!issue.has_label("block"));
    }

    #[test]
    fn a_pull_request_is_known_by_its_key() {
        let with = |key: &str| issue(&format!(r#"{{"number":1,"title":"","state":"open"{key}}}"#));
        assert!(with(r#","pull_request":{"url":"x"}"#).is_pull_request());
        assert!(!with("").is_pull_request());
    }
}
