use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::profile::{Form, Pattern};
use super::*;
use crate::credential::key::{HINT_MAX, HINT_MIN};

static PROFILE: LazyLock<Profile> = LazyLock::new(|| Profile::new(&[]).unwrap());

fn judge_with(profile: &Profile, ending: &Ending, tail: &[u8]) -> Verdict {
    let now: Timestamp = "2025-06-14T12:00:00Z".parse().unwrap();
    let now = now.to_zoned(TimeZone::UTC);
    let zones = |_: &str| None;
    let calendar = Calendar {
        now: &now,
        zones: &zones,
    };
    verdict(ending, tail, &ExitCodes::default(), profile, &calendar)
}

fn judge(code: i32, tail: &str) -> Verdict {
    judge_with(&PROFILE, &Ending::Exited(code), tail.as_bytes())
}

/// What a failed child's text is taken for, how long it says to wait, and what decided.
fn read(tail: &str) -> (Finding, Option<u64>, String) {
    let verdict = judge(1, tail);
    assert_eq!(
        verdict.trust,
        match verdict.finding {
            Finding::Done => Trust::Child,
            _ => Trust::Text,
        }
    );
    let pattern = verdict.line.map(|line| line.pattern).unwrap_or_default();
    (
        verdict.finding,
        verdict.hint.map(|hint| hint.wait.as_secs()),
        pattern,
    )
}

const MINUTE: Finding = Finding::RateLimited(Class::Minute);
const DAY: Finding = Finding::RateLimited(Class::Day);
const BILLING: Finding = Finding::RateLimited(Class::Billing);

const GEMINI: &str = r#"✕ [API Error: [{
    "error": {
      "code": 429,
      "message": "You exceeded your current quota, please check your plan and billing details.",
      "status": "RESOURCE_EXHAUSTED",
      "details": [
        {
          "violations": [
            { "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier" }
          ]
        },
        { "retryDelay": "36s" }
      ]
    }
}]]
"#;

const PYTHON: &str = "Traceback (most recent call last):
  File \"/app/one.py\", line 429, in <module>
    main()
openai.RateLimitError: Error code: 429 - {'error': {'message': 'Rate limit reached for m in organization o on \
tokens per min (TPM): Limit 30000. Please try again in 18.642s.', 'code': 'rate_limit_exceeded'}}
";

#[test]
fn silence_says_as_much_to_a_reader_of_silence_as_to_any_other() {
    let endings = (0..=255).map(Ending::Exited);
    for ending in endings.chain([Ending::Killed(9), Ending::Unstartable("why".to_owned())]) {
        let expected = judge_with(&PROFILE, &ending, b"");
        assert_eq!(judge_with(&Profile::of_silence(), &ending, b""), expected);
    }
}

#[test]
fn what_tools_print_is_taken_for_what_it_is() {
    for (tail, finding, seconds, pattern) in [
        (GEMINI, DAY, Some(36), "google/per-day"),
        (PYTHON, MINUTE, Some(18), "http/status-429"),
        (
            "[CAPACITY] claude: exhausted until 3:00 PM (297 min)\n",
            DAY,
            Some(17_820),
            "tool/capacity",
        ),
        (
            "Claude AI usage limit reached|1749904200\n",
            DAY,
            Some(1_800),
            "anthropic/usage-limit",
        ),
        (
            "\x1b[31m5-hour limit reached ∙ resets 3pm\x1b[0m\r\n",
            DAY,
            Some(10_800),
            "anthropic/usage-limit",
        ),
        (
            "HTTP/1.1 429 Too Many Requests\nretry-after: 20\n",
            MINUTE,
            Some(20),
            "http/429",
        ),
        (
            "Error code: 429 - {'error': {'type': 'insufficient_quota'}}",
            BILLING,
            None,
            "openai/insufficient-quota",
        ),
        (
            "Credit balance is too low",
            BILLING,
            None,
            "anthropic/credit-balance-low",
        ),
        (
            "Error code: 400 - {'error': {'message': 'You have reached your specified API usage limits. You will \
             regain access on 2025-06-14 at 18:00 UTC.'}}",
            BILLING,
            Some(21_600),
            "anthropic/specified-limits",
        ),
        (
            r#"API Error: 529 {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            Finding::Overloaded,
            None,
            "anthropic/overloaded-error",
        ),
        (
            r#"API Error: 401 {"type":"error","error":{"type":"authentication_error"}}"#,
            Finding::Rejected,
            None,
            "anthropic/authentication-error",
        ),
        (
            "Error: invalid_api_key",
            Finding::Rejected,
            None,
            "openai/invalid-api-key",
        ),
        (
            "HTTP/1.1 403 Forbidden\nretry-after: 20",
            Finding::Forbidden,
            None,
            "http/403",
        ),
        ("Killed: out of memory\n", Finding::Failed, None, ""),
        ("", Finding::Failed, None, ""),
    ] {
        let expected = (finding, seconds, pattern.to_owned());
        assert_eq!(read(tail), expected, "{tail}");
    }
}

#[test]
fn content_that_speaks_of_limits_is_no_evidence() {
    for tail in [
        "Error on line 429\n",
        "Closes issue #429\n",
        "good rate limiting\n",
        "The client retries on 429, 503 and 529.\n",
        "We should handle overloaded_error and invalid_api_key\n",
        "{\"event\":\"rate_limited\",\"retry_after\":20}\n",
        "::error::rate limited\n",
        "429\n",
        "HTTP\n429\n",
    ] {
        let verdict = judge(1, tail);
        assert_eq!(
            (verdict.finding, verdict.scope),
            (Finding::Failed, Scope::Item),
            "{tail}"
        );
        assert_eq!((verdict.hint, verdict.line), (None, None), "{tail}");
    }
}

#[test]
fn exit_0_beats_everything() {
    for tail in [GEMINI, PYTHON, "invalid_api_key"] {
        let verdict = judge(0, tail);
        assert_eq!(
            (verdict.finding, verdict.scope),
            (Finding::Done, Scope::Item)
        );
        assert_eq!((verdict.hint, verdict.line), (None, None));
    }
}

#[test]
fn a_code_decides_and_the_text_adds_what_it_knows() {
    for (code, tail, finding, scope, seconds) in [
        (75, "", MINUTE, Scope::Group, None),
        (75, PYTHON, MINUTE, Scope::Group, Some(18)),
        (75, GEMINI, DAY, Scope::Group, Some(36)),
        // The text is of another opinion, or has none, and still knows how long.
        (
            75,
            "Error: invalid_api_key\nPlease try again in 20s",
            MINUTE,
            Scope::Group,
            Some(20),
        ),
        (
            75,
            "slow down, retry-after: 20",
            MINUTE,
            Scope::Group,
            Some(20),
        ),
        (77, "", Finding::Rejected, Scope::Key, None),
        (77, PYTHON, Finding::Rejected, Scope::Key, None),
        (
            69,
            "retry-after: 20",
            Finding::Overloaded,
            Scope::Provider,
            Some(20),
        ),
        (
            69,
            "invalid_api_key",
            Finding::Overloaded,
            Scope::Provider,
            None,
        ),
        (126, PYTHON, Finding::Failed, Scope::Item, None),
        (127, PYTHON, Finding::Failed, Scope::Item, None),
    ] {
        let verdict = judge(code, tail);
        assert_eq!(
            (verdict.finding, verdict.scope, verdict.trust),
            (finding, scope, Trust::Child),
            "{code} {tail}"
        );
        assert_eq!(
            verdict.hint.map(|hint| hint.wait.as_secs()),
            seconds,
            "{code} {tail}"
        );
    }
    for (code, tail, pattern) in [
        (75, GEMINI, Some("google/per-day")),
        (
            77,
            "Error: invalid_api_key\nHTTP 429",
            Some("openai/invalid-api-key"),
        ),
        (77, GEMINI, None),
        (
            69,
            "Error: overloaded_error",
            Some("anthropic/overloaded-error"),
        ),
    ] {
        let line = judge(code, tail).line.map(|line| line.pattern);
        assert_eq!(line.as_deref(), pattern, "{code} {tail}");
    }
}

#[test]
fn a_workflow_gives_its_codes_their_meaning() {
    let codes = ExitCodes {
        rate_limited: vec![92],
        never_retry: vec![91],
        ..ExitCodes::default()
    };
    let now = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    let calendar = Calendar {
        now: &now,
        zones: &|_| None,
    };
    for (code, finding) in [(92, MINUTE), (75, MINUTE), (91, Finding::Failed)] {
        let verdict = verdict(
            &Ending::Exited(code),
            PYTHON.as_bytes(),
            &codes,
            &PROFILE,
            &calendar,
        );
        assert_eq!(verdict.finding, finding);
        // 75 has no meaning any more, and leaves it to the text.
        let by_text = code == 75;
        assert_eq!(
            verdict.trust,
            if by_text { Trust::Text } else { Trust::Child }
        );
    }
}

#[test]
fn text_speaks_of_one_key_a_child_of_its_group() {
    assert_eq!(judge(1, PYTHON).scope, Scope::Key);
    assert_eq!(judge(75, PYTHON).scope, Scope::Group);
    assert_eq!(judge(1, "overloaded_error").scope, Scope::Provider);
    assert_eq!(judge(1, "HTTP 403").scope, Scope::Item);
}

#[test]
fn what_was_killed_is_judged_by_its_text_and_what_never_ran_is_not() {
    for (ending, finding) in [
        (Ending::Killed(9), MINUTE),
        (Ending::Unstartable(String::new()), Finding::Failed),
        (Ending::Crowded(String::new()), Finding::Failed),
    ] {
        let verdict = judge_with(&PROFILE, &ending, PYTHON.as_bytes());
        assert_eq!(verdict.finding, finding, "{ending:?}");
    }
}

#[test]
fn what_was_said_last_decides() {
    for (lines, finding) in [
        (
            &["HTTP 429", "Error: invalid_api_key"][..],
            Finding::Rejected,
        ),
        (&["Error: invalid_api_key", "HTTP 429"], MINUTE),
        (
            &["HTTP 429", "Error: overloaded_error"],
            Finding::Overloaded,
        ),
        (&["Error: overloaded_error", "HTTP 429"], MINUTE),
        // The name of the quota stands before the end of the error, and only there.
        (&["'code': 'insufficient_quota'", "HTTP 429"], BILLING),
        (&["HTTP 429", "'code': 'insufficient_quota'"], BILLING),
        // What is forbidden explains a failure when nothing else does.
        (&["Error: invalid_api_key", "HTTP 403"], Finding::Rejected),
        (&["HTTP 403"], Finding::Forbidden),
        (
            &["Error code: 429 - {'type': 'overloaded_error'}"],
            Finding::Overloaded,
        ),
    ] {
        assert_eq!(read(&lines.join("\n")).0, finding, "{lines:?}");
    }
}

#[test]
fn a_hint_near_the_line_that_decides_is_the_one_meant() {
    let far = "\n".repeat(NEAR_LINES + 1);
    let old = "retry-after: 5";
    for (tail, seconds, line) in [
        (
            format!("{old}{far}HTTP 429\nPlease try again in 20s"),
            20,
            NEAR_LINES + 2,
        ),
        (format!("{old}\nHTTP 429\nPlease try again in 20s"), 5, 0),
        (format!("{old}{far}HTTP 429"), 5, 0),
        // A line that tells of the day's limit knows better than the header of an earlier one.
        (
            format!("{old}\nClaude AI usage limit reached|1749904200"),
            1800,
            1,
        ),
    ] {
        let hint = judge(1, &tail).hint.unwrap();
        assert_eq!(
            (hint.wait, hint.line),
            (Duration::from_secs(seconds), line),
            "{tail}"
        );
    }
}

#[test]
fn the_deciding_line_is_shown_harmless_and_around_what_was_found() {
    let long = "word ".repeat(200);
    let tail = format!("\nfirst\n{long} \x1b]0;t\x07 HTTP 429\t{long}\n");
    let line = judge(1, &tail).line.unwrap();
    assert_eq!((line.index, &*line.pattern), (2, "http/429"));
    assert!(line.excerpt.starts_with("… word "), "{line:?}");
    assert!(line.excerpt.ends_with(" word …"), "{line:?}");
    assert!(
        line.excerpt.contains(r"\x1b]0;t\x07 HTTP 429\tword"),
        "{line:?}"
    );
    assert!(
        line.excerpt.chars().count() < EXCERPT_CHARACTERS_MAX + 30,
        "{line:?}"
    );
    let key = "sk-0123456789".repeat(30);
    let line = judge(1, &format!("{key} HTTP 429 {key}")).line.unwrap();
    assert_eq!(line.excerpt, "… HTTP 429 …");
    assert_eq!(judge(1, "HTTP 429").line.unwrap().excerpt, "HTTP 429");
}

#[test]
fn only_the_end_of_an_output_is_looked_at() {
    let filler = "filler\n".repeat(TAIL_BYTES_MAX / 7 + 1);
    assert_eq!(read(&format!("HTTP 429\n{filler}")).0, Finding::Failed);
    assert_eq!(read(&format!("{filler}HTTP 429\n")).0, MINUTE);
    // A line of which only the end is left has lost its anchor.
    let cut = format!("HTTP 200, seen: {}\nend\n", "x".repeat(TAIL_BYTES_MAX - 5));
    assert_eq!(tail_of(cut.as_bytes()), b"end\n");
    let whole = format!("a\n{}\n", "x".repeat(TAIL_BYTES_MAX - 1));
    assert_eq!(tail_of(whole.as_bytes()).len(), TAIL_BYTES_MAX);
    let endless = "x".repeat(TAIL_BYTES_MAX * 2);
    assert_eq!(tail_of(endless.as_bytes()).len(), TAIL_BYTES_MAX);
    let ended = endless.clone() + "\n";
    assert_eq!(tail_of(ended.as_bytes()).len(), TAIL_BYTES_MAX);
    assert_eq!(tail_of(b""), b"");
}

#[test]
fn own_patterns_add_and_take_back() {
    let own = |name: &str, sign, expression: &str| Pattern {
        name: name.to_owned(),
        sign,
        form: Form::Regex(expression.to_owned()),
        matches: Vec::new(),
        misses: Vec::new(),
    };
    let profile = Profile::new(&[
        own("busy", Some(Sign::Overloaded), "^Server is busy"),
        own("mock", None, "^mock: "),
    ])
    .unwrap();
    let failed = Ending::Exited(1);
    let verdict = judge_with(&profile, &failed, b"Server is busy");
    assert_eq!(
        (verdict.finding, &*verdict.line.unwrap().pattern),
        (Finding::Overloaded, "busy")
    );
    let verdict = judge_with(&profile, &failed, b"mock: HTTP 429");
    assert_eq!(verdict.finding, Finding::Failed);
}

#[test]
fn a_success_may_speak_of_a_limit_and_of_nothing_else() {
    let now = jiff::Zoned::default();
    let zones = |_: &str| None;
    let calendar = Calendar {
        now: &now,
        zones: &zones,
    };
    for (tail, found) in [
        ("", false),
        ("Error on line 429\nissue #429\ngood rate limiting\n", false),
        ("HTTP/1.1 401 Unauthorized\ninvalid_api_key\n", false),
        ("HTTP/1.1 429 Too Many Requests\nall is well again\n", true),
        (GEMINI, true),
        (
            r#"{"type": "error", "error": {"type": "overloaded_error"}}"#,
            true,
        ),
    ] {
        let line = spoken_limit(tail.as_bytes(), &PROFILE, &calendar);
        assert_eq!(line.is_some(), found, "{tail}");
    }
}

#[test]
fn a_hostile_tail_is_read_to_its_end() {
    for part in [
        "\n",
        "[",
        "a ",
        "a: ",
        "\"type\": \"",
        "\\\\\\\\\"",
        "[] ",
        "HTTP ",
        "429 ",
        "Rate limit reached ",
        "\x1b[",
        "\r",
        "\u{202e}",
        "retry-after: 9 ",
        "1: ",
    ] {
        let tail = part.repeat(TAIL_BYTES_MAX / part.len());
        let verdict = judge(1, &tail);
        assert_eq!(verdict.finding, Finding::Failed, "{part:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_and_any_code_give_a_verdict(
        words in vec(
            prop_oneof![
                prop::sample::select(vec![
                    "HTTP 429", "\n", "\r", "\x1b[31m", "Error: ", "invalid_api_key", "overloaded_error", "\"type\": \"",
                    "rate_limit_error", "\"", "retry-after: ", "20", "Claude AI usage limit reached|1749904200",
                ])
                .prop_map(|word| word.as_bytes().to_vec()),
                vec(any::<u8>(), 1..4),
            ],
            0..24,
        ),
        code in 0..256,
    ) {
        let tail = words.concat();
        let verdict = judge_with(&PROFILE, &Ending::Exited(code), &tail);
        prop_assert_eq!(verdict.finding == Finding::Done, code == 0);
        prop_assert!(verdict.hint.is_none_or(|hint| (HINT_MIN..=HINT_MAX).contains(&hint.wait)));
        if verdict.trust == Trust::Text {
            prop_assert_eq!(verdict.finding == Finding::Failed, verdict.line.is_none());
        }
        if let Some(line) = verdict.line {
            prop_assert!(!line.excerpt.contains(|character: char| character.is_control()));
        }
    }
}
