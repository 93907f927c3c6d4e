use serde_json::Value;

use super::super::run_view::tests::{at, begun, ended, line, started};
use super::*;
use crate::state::record::Outcome;
use crate::state::run_event::RunEvent;

const HOSTILE: [&str; 7] = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\"'><img src=x onerror=alert(1)>",
    "line\u{2028}separator\u{2029}",
    "\u{1b}]0;title\u{7}\r\n\0",
    "\u{202e}txet desrever",
    "{{script}} {{data}} {{policy}}",
];

fn page_of(record: RunRecord, events: &[EventLine], life: Life) -> String {
    html(record, events, life, "logs", at(60))
}

/// What stands in the page's block of data.
fn data_of(page: &str) -> &str {
    let (_, rest) = page.split_once("id=\"data\">").unwrap();
    rest.split_once("</script>").unwrap().0
}

fn parsed(page: &str) -> Value {
    serde_json::from_str(data_of(page)).unwrap()
}

#[test]
fn text_from_outside_stays_text_wherever_it_stands() {
    for hostile in HOSTILE {
        let mut record = begun(&["a"]);
        hostile.clone_into(&mut record.workflow);
        hostile.clone_into(&mut record.items[0].title);
        record.credentials = vec![hostile.to_owned()];
        let limiter = Some(hostile.to_owned());
        let change = RunEvent::LimiterChanged {
            limiter,
            running: 1,
            wanted: 2,
        };
        let failed = ended("a", Outcome::Failed, hostile);
        let events = [line(1, started("a", 1)), line(2, change), line(3, failed)];
        let page = page_of(record, &events, Life::Running);
        assert_eq!(page.matches("<script").count(), 2, "{hostile:?}");
        assert_eq!(page.matches("</script").count(), 2, "{hostile:?}");
        assert!(
            !page.contains("<!--") && !page.contains("<img"),
            "{hostile:?}"
        );
        assert!(!data_of(&page).contains(['<', '>', '&', '\u{2028}', '\u{2029}']));
        let seen = escape_text(hostile).into_owned();
        let data = parsed(&page);
        assert_eq!(data["items"][0][1], seen);
        assert_eq!(data["attempts"][0][6], seen);
        assert_eq!(data["limits"][0][1], seen);
        assert!(data["keys"].as_array().unwrap().contains(&seen.into()));
        let wild = |c: char| c != '\n' && crate::escape::is_deceptive(c);
        assert!(!page.contains(wild), "{hostile:?}");
    }
}

#[test]
fn the_page_runs_its_own_script_and_loads_nothing() {
    let page = page_of(begun(&["a"]), &[], Life::Running);
    for (before, after, source) in [
        ("<script>", "</script>", "script-src"),
        ("<style>", "</style>", "style-src"),
    ] {
        let (_, rest) = page.split_once(before).unwrap();
        let (own, _) = rest.split_once(after).unwrap();
        let hash = STANDARD.encode(Sha256::digest(own));
        assert!(page.contains(&format!("{source} 'sha256-{hash}'")));
    }
    assert!(page.contains("default-src 'none'"));
    assert!(!page.contains("{{"));
    let namespace = "http://www.w3.org/2000/svg";
    for loads in [
        "src=", "@import", "url(", "http:", "https:", "fetch(", "style=",
    ] {
        assert!(!page.replace(namespace, "").contains(loads), "{loads}");
    }
}

#[test]
fn attempts_have_their_slot_their_key_and_their_log() {
    let mut record = begun(&["a", "b", "c"]);
    record.run = "R".to_owned();
    let changed = RunEvent::CredentialChanged {
        credential: "key-1".to_owned(),
        state: "cooling".to_owned(),
        until: Some(at(9)),
    };
    let events = [
        line(1, started("a", 1)),
        line(2, ended("a", Outcome::TimedOut, "SIGKILL")),
        line(2, changed),
        line(3, started("b", 1)),
    ];
    for (life, until, running) in [
        (Life::Running, 60_000, "running"),
        (Life::CutOff, 3000, "cut-off"),
    ] {
        let data = parsed(&page_of(record.clone(), &events, life));
        let first = serde_json::json!([0, 1, 1, 1000, 1500, "timed-out", "SIGKILL", 0, "a.1.log"]);
        assert_eq!(data["attempts"][0], first);
        assert_eq!(data["attempts"][1][5], running);
        assert_eq!(
            data["states"],
            serde_json::json!([[2000, 0, "cooling", 9000]])
        );
        assert_eq!(data["until"], until);
        assert_eq!(data["items"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn a_run_of_ten_thousand_attempts_is_a_page_of_two_megabytes_at_most() {
    let ids: Vec<String> = (0..10_000).map(|n| format!("issue-{n}")).collect();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut record = begun(&names);
    for item in &mut record.items {
        item.title = "A title as long as those of issues usually are, or longer".to_owned();
    }
    let events: Vec<EventLine> = names
        .iter()
        .flat_map(|id| {
            [
                line(1, started(id, 1)),
                line(2, ended(id, Outcome::Done, "exit 0")),
            ]
        })
        .collect();
    let page = page_of(record, &events, Life::CutOff);
    assert!(page.len() < 2 << 20, "{} bytes", page.len());
}
