//! Text from outside: ids, titles and output that want more than to be read.

use crate::support::workspace::Workspace;

/// A title that would retitle the window, colour the screen, forge a line and turn the text round, as JSON.
const TITLE: &str =
    r"\u001b]0;owned\u0007\u001b[31mred\n[issue-7] forged\u202ereversed\u009b2J\r\b";

/// Nothing in `shown` can drive a terminal; colours and carriage returns of a terminal's own are let through.
#[track_caller]
fn harmless(shown: &str) {
    let mut rest = shown;
    let mut kept = String::new();
    // SGR, which we use ourselves.
    while let Some(at) = rest.find("\u{1b}[") {
        kept.push_str(&rest[..at]);
        let sequence = &rest[at + 2..];
        let end = sequence
            .find(|c: char| !c.is_ascii_digit() && c != ';')
            .unwrap_or(0);
        assert_eq!(&sequence[end..=end], "m", "{shown:?}");
        rest = &sequence[end + 1..];
    }
    kept.push_str(rest);
    for c in kept.replace("\r\n", "\n").chars() {
        let drives = c.is_control() && c != '\n' && c != '\t';
        let deceives =
            ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c);
        assert!(!drives && !deceives, "{c:?} in {shown:?}");
    }
}

#[test]
fn a_hostile_title_is_never_shown_raw() {
    let workspace = Workspace::bare();
    workspace.write(
        "items.txt",
        &format!("{{\"id\":\"issue-42\",\"title\":\"{TITLE}\"}}\n"),
    );
    workspace.configure("", "");
    workspace.item("exit 1");
    for arguments in [
        &["--dry-run", "w"][..],
        &["-j1", "-v", "w"],
        &["w"],
        &["-j1", "--format", "json", "w"],
        &["--dry-run", "--format", "json", "w"],
    ] {
        let piped = workspace.orchestrate(arguments).finish();
        harmless(&piped.stdout);
        harmless(&piped.stderr);
        assert!(!piped.stdout.contains("\n[issue-7]"), "{}", piped.stdout);
        let shown = workspace
            .orchestrate(arguments)
            .env("ORCHESTRATE_PROGRESS", "never")
            .on_terminal()
            .finish();
        harmless(&shown.stdout);
        assert!(!shown.stdout.contains("\n[issue-7]"), "{}", shown.stdout);
    }
    let dry = workspace.orchestrate(&["--dry-run", "w"]).finish();
    assert!(dry.stdout.contains(r"\x1b]0;owned\x07"), "{}", dry.stdout);
}

#[test]
fn hostile_output_is_never_shown_raw() {
    let body = r"
printf '\033]0;owned\007\033[2J\033[1;1Hforged\r[issue-7] over\n'
printf '\033[31mred\033[0m \302\233 2J \342\200\256 \377\n'
printf '\033]52;c;AAAA\007\033P1$r\033\\ \033c\n' >&2
exit 1";
    let workspace = Workspace::new(&["issue-42"], body);
    let piped = workspace.orchestrate(&["-j1", "w"]).finish().exits(1);
    harmless(&piped.stdout);
    harmless(&piped.stderr);
    let shown = workspace
        .orchestrate(&["-j1", "w"])
        .env("ORCHESTRATE_PROGRESS", "never")
        .on_terminal()
        .finish();
    harmless(&shown.exits(1).stdout);
}

#[test]
fn hostile_lines_of_a_list_become_safe_ids_and_whole_arguments() {
    let hostile = [
        "../../etc/passwd",
        "$(touch mark)",
        "a b; touch mark",
        "`touch mark`",
        "é\u{202e}x",
        "x\\ny",
        "*",
    ];
    let workspace = Workspace::new(&hostile, "printf '%s\\n' \"$3\" >>../items; echo \"$item\"");
    workspace.configure("", "command = [\"./item\", \"{id}\", \"1\", \"{item}\"]");
    let finished = workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    let got = workspace.read("../items");
    assert_eq!(got.lines().collect::<Vec<_>>(), hostile);
    assert!(!workspace.has("mark"));
    for line in finished.stdout.lines() {
        let (prefix, id) = line.split_once("] ").unwrap();
        assert_eq!(prefix, format!("[{id}"));
        let safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        assert!(id.chars().all(safe) && !id.contains(".."), "{id}");
    }
}

#[test]
fn a_hostile_id_of_a_record_is_refused() {
    for id in [
        "../x",
        "",
        "-rf",
        ".hidden",
        "a/b",
        "a b",
        "a\\nb",
        "\\u001b[31m",
    ] {
        let workspace = Workspace::new(&[], "exit 0");
        workspace.write("items.txt", &format!("{{\"id\":\"{id}\"}}\n"));
        let finished = workspace.orchestrate(&["w"]).finish().exits(69);
        harmless(&finished.stderr);
        assert_eq!(workspace.started(), [""; 0]);
    }
}

#[test]
fn an_item_that_would_become_an_option_is_refused_alone() {
    let workspace = Workspace::bare();
    let lines = [
        r#"{"id":"a","title":"fine"}"#,
        r#"{"id":"b","title":"--flag"}"#,
        r#"{"id":"c","title":"also fine"}"#,
    ];
    workspace.write("items.txt", &lines.join("\n"));
    workspace.configure("", "command = [\"./item\", \"{id}\", \"1\", \"{title}\"]");
    workspace.item("exit 0");
    let finished = workspace.orchestrate(&["-j2", "w"]).finish().exits(1);
    finished.says(&["b failed", "would begin with a `-`", "2 done, 1 failed"]);
    assert_eq!(workspace.done(), ["a", "c"]);
    let dry = workspace.orchestrate(&["-n", "w"]).finish().exits(0);
    assert!(dry.stdout.contains("refused"), "{}", dry.stdout);
}
