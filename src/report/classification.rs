//! What `orchestrate classify` says, in words for a person and as one JSON object.

use std::fmt::Write as _;

use regex::Regex;
use serde_json::json;

use super::elapsed::elapsed;
use super::json::{FORMAT_VERSION, line};
use super::paint::Paint;
use crate::credential::evidence::{Finding, Scope, Verdict};
use crate::credential::key::{Class, Trust};

/// What looks like a key of a known kind. Their beginnings are public; what is behind them is not.
const KEY_SHAPES: &str = r"(?-u)\b(?:sk-|sk_|pk-|AIza|gh[oprsu]_|github_pat_|glpat-|gsk_|hf_|xai-|xox[abp]-|AKIA|ASIA|r8_|eyJ)[0-9A-Za-z_.-]{12,}";

/// In place of what looks like a key.
const REDACTED: &str = "[REDACTED:?]";

/// A verdict, and what it is about.
#[derive(Debug)]
pub struct Classification {
    /// What was found.
    pub verdict: Verdict,
    /// How the command ended.
    pub exit_code: u8,
    /// How many lines stand before those that were looked at.
    pub lines_before: usize,
}

impl Classification {
    /// For a person.
    #[must_use]
    pub fn text(&self, paint: Paint) -> String {
        let verdict = &self.verdict;
        let name = self.class();
        let name = match verdict.finding {
            Finding::Done => paint.good(name),
            Finding::Failed | Finding::Forbidden => paint.bad(name),
            Finding::RateLimited(_) | Finding::Rejected | Finding::Overloaded => paint.warn(name),
        };
        let mut text = format!("{name}: {}\n", meaning(verdict.finding));
        let mut row = |title: &str, value: &str| {
            let _infallible = writeln!(text, "  {title:<9}{value}");
        };
        row("decided", &self.decided_by());
        if let Some(line) = &verdict.line {
            row("pattern", &line.pattern);
            let number = self.line_number(line.index);
            row(
                "line",
                &format!("{number}: {}", without_keys(&line.excerpt)),
            );
        }
        if let Some(hint) = &verdict.hint {
            let number = self.line_number(hint.line);
            let said = format!("{} ({:?} in line {number})", elapsed(hint.wait), hint.form);
            row("wait", &said);
        } else if matches!(verdict.finding, Finding::RateLimited(_)) {
            row("wait", "not said");
        }
        row("concerns", concerns(verdict.scope));
        text
    }

    /// For a machine.
    #[must_use]
    pub fn json_line(&self) -> String {
        let verdict = &self.verdict;
        let found = verdict.line.as_ref();
        let hint = verdict.hint.as_ref();
        line(&json!({
            "type": "classification",
            "version": FORMAT_VERSION,
            "class": self.class(),
            "period": period(verdict.finding),
            "scope": scope(verdict.scope),
            "exit_code": self.exit_code,
            "decided_by": match (verdict.trust, found) {
                (Trust::Child, _) => Some("exit-code"),
                (Trust::Text, Some(_)) => Some("output"),
                (Trust::Text, None) => None,
            },
            "pattern": found.map(|line| &line.pattern),
            "line_number": found.map(|line| self.line_number(line.index)),
            "line": found.map(|line| without_keys(&line.excerpt)),
            "wait_seconds": hint.map(|hint| hint.wait.as_secs_f64()),
            "wait_form": hint.map(|hint| hint.form),
            "wait_line_number": hint.map(|hint| self.line_number(hint.line)),
        }))
    }

    const fn class(&self) -> &'static str {
        match self.verdict.finding {
            Finding::Done => "done",
            Finding::Failed => "failed",
            Finding::RateLimited(_) => "rate-limited",
            Finding::Rejected => "rejected",
            Finding::Forbidden => "forbidden",
            Finding::Overloaded => "overloaded",
        }
    }

    fn decided_by(&self) -> String {
        let code = self.exit_code;
        match (self.verdict.trust, &self.verdict.line) {
            (Trust::Child, _) => format!("by exit code {code}"),
            (Trust::Text, Some(_)) => {
                format!("by the output; exit code {code} has no meaning of its own")
            }
            (Trust::Text, None) => {
                format!("by nothing: no pattern, and no meaning of exit code {code}")
            }
        }
    }

    /// As editors count.
    const fn line_number(&self, index: usize) -> usize {
        self.lines_before + index + 1
    }
}

const fn meaning(finding: Finding) -> &'static str {
    match finding {
        Finding::Done => "exit 0 is success, whatever the output says",
        Finding::Failed => "the item's own failure",
        Finding::RateLimited(Class::Minute) => "the key has asked too often",
        Finding::RateLimited(Class::Day) => "the key's budget of the day is used up",
        Finding::RateLimited(Class::Billing) => "the key's account has no money left",
        Finding::Rejected => "the key is not valid",
        Finding::Forbidden => "the item's own failure: the key is valid, and may not do this",
        Finding::Overloaded => "the provider has no room, and no key is to blame",
    }
}

const fn period(finding: Finding) -> Option<&'static str> {
    match finding {
        Finding::RateLimited(Class::Minute) => Some("minute"),
        Finding::RateLimited(Class::Day) => Some("day"),
        Finding::RateLimited(Class::Billing) => Some("billing"),
        Finding::Done
        | Finding::Failed
        | Finding::Rejected
        | Finding::Forbidden
        | Finding::Overloaded => None,
    }
}

const fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Item => "item",
        Scope::Key => "key",
        Scope::Group => "group",
        Scope::Provider => "provider",
    }
}

const fn concerns(scope: Scope) -> &'static str {
    match scope {
        Scope::Item => "this item alone",
        Scope::Key => "the key that the item held",
        Scope::Group => "the key that the item held, and its group",
        Scope::Provider => "all items",
    }
}

/// Nobody has told us which keys there are.
fn without_keys(text: &str) -> String {
    Regex::new(KEY_SHAPES).map_or_else(
        |_| REDACTED.to_owned(),
        |shapes| shapes.replace_all(text, REDACTED).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::credential::evidence::Line;
    use crate::credential::hint::Hint;

    fn limited() -> Classification {
        Classification {
            verdict: Verdict {
                finding: Finding::RateLimited(Class::Day),
                scope: Scope::Key,
                hint: Some(Hint {
                    wait: Duration::from_millis(7_199_500),
                    form: "try again in",
                    line: 1,
                }),
                trust: Trust::Text,
                line: Some(Line {
                    index: 0,
                    excerpt: format!("You've hit your limit: sk-{}", "x".repeat(20)),
                    pattern: "anthropic/usage-limit".to_owned(),
                }),
            },
            exit_code: 1,
            lines_before: 40,
        }
    }

    fn by_code(finding: Finding, scope: Scope) -> Classification {
        let verdict = Verdict {
            finding,
            scope,
            hint: None,
            trust: Trust::Child,
            line: None,
        };
        Classification {
            verdict,
            exit_code: 75,
            lines_before: 0,
        }
    }

    #[test]
    fn a_person_is_told_what_it_is_and_why() {
        let expected = "\
rate-limited: the key's budget of the day is used up
  decided  by the output; exit code 1 has no meaning of its own
  pattern  anthropic/usage-limit
  line     41: You've hit your limit: [REDACTED:?]
  wait     2h (\"try again in\" in line 42)
  concerns the key that the item held
";
        assert_eq!(limited().text(Paint(false)), expected);
        let expected = "\
rate-limited: the key has asked too often
  decided  by exit code 75
  wait     not said
  concerns the key that the item held, and its group
";
        let bare = by_code(Finding::RateLimited(Class::Minute), Scope::Group);
        assert_eq!(bare.text(Paint(false)), expected);
    }

    #[test]
    fn a_machine_gets_one_object() {
        let object: serde_json::Value = serde_json::from_str(&limited().json_line()).unwrap();
        let expected = json!({
            "type": "classification",
            "version": FORMAT_VERSION,
            "class": "rate-limited",
            "period": "day",
            "scope": "key",
            "exit_code": 1,
            "decided_by": "output",
            "pattern": "anthropic/usage-limit",
            "line_number": 41,
            "line": "You've hit your limit: [REDACTED:?]",
            "wait_seconds": 7199.5,
            "wait_form": "try again in",
            "wait_line_number": 42,
        });
        assert_eq!(object, expected);
        let object = by_code(Finding::Rejected, Scope::Key).json_line();
        let object: serde_json::Value = serde_json::from_str(&object).unwrap();
        assert_eq!(object["class"], "rejected");
        assert_eq!(object["decided_by"], "exit-code");
        assert!(object["pattern"].is_null() && object["period"].is_null());
        let mut nothing = by_code(Finding::Failed, Scope::Item);
        nothing.verdict.trust = Trust::Text;
        let object: serde_json::Value = serde_json::from_str(&nothing.json_line()).unwrap();
        assert!(object["decided_by"].is_null(), "{object}");
    }

    #[test]
    fn what_looks_like_a_key_is_not_shown_and_what_does_not_is() {
        let key = "x".repeat(20);
        for shape in ["sk-ant-api03-", "AIza", "ghp_", "gsk_", "xai-"] {
            let text = format!("key '{shape}{key}' is bad");
            assert_eq!(without_keys(&text), "key '[REDACTED:?]' is bad");
        }
        for text in [
            "task-based",
            "sk-ab***yz",
            "a 0123456789abcdef0123456789abcdef01234567",
            "é ∙ ü",
        ] {
            assert_eq!(without_keys(text), text);
        }
    }
}
