//! What items write: every line under its item's name, and every byte in its log.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use serde_json::Value;

use crate::support::workspace::Workspace;

/// What follows the prefix in each line of `text`; every line has it.
#[track_caller]
fn unprefixed<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let strip = |line: &'a str| {
        let start = &line[..line.len().min(60)];
        line.strip_prefix(prefix)
            .unwrap_or_else(|| panic!("a line begins {start:?}"))
    };
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(strip).collect()
}

/// The lines of stderr that are an item's, not ours.
fn of_items(stderr: &str) -> String {
    let lines = stderr.lines().filter(|line| {
        line.split_once("] ")
            .is_some_and(|(prefix, _)| prefix.starts_with("[issue-"))
    });
    lines.fold(String::new(), |all, line| all + line + "\n")
}

#[test]
fn every_line_has_its_items_prefix_on_the_stream_it_was_written_to() {
    let body = r"
printf 'first\nsecond\n'
echo 'to stderr' >&2
echo '[issue-7] I am another item'
echo '[issue-7] I am another item' >&2
echo
printf 'no newline'
printf 'none here either' >&2
";
    let workspace = Workspace::new(&["issue-42"], body);
    let finished = workspace.orchestrate(&["-j4", "w"]).finish().exits(0);
    assert_eq!(
        unprefixed(&finished.stdout, "[issue-42] "),
        [
            "first",
            "second",
            "[issue-7] I am another item",
            "",
            "no newline"
        ]
    );
    assert_eq!(
        unprefixed(&of_items(&finished.stderr), "[issue-42] "),
        [
            "to stderr",
            "[issue-7] I am another item",
            "none here either"
        ]
    );
    let (shown, lines) = (of_items(&finished.stderr), finished.stderr.lines().count());
    assert_eq!(lines, shown.lines().count() + 2, "{}", finished.stderr);
}

#[test]
fn the_prefix_of_each_item_stands_before_its_own_lines() {
    let items: Vec<String> = (1..=8).map(|number| format!("issue-{number}")).collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let body = r#"n=0; while [ $n -lt 200 ]; do echo "$item line $n"; n=$((n+1)); done"#;
    let workspace = Workspace::new(&items, body);
    let finished = workspace.orchestrate(&["-j8", "w"]).finish().exits(0);
    assert_eq!(finished.stdout.lines().count(), 8 * 200);
    for item in items {
        let prefix = format!("[{item}] ");
        let own = finished
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix(&prefix));
        let expected = (0..200).map(|number| format!("{item} line {number}"));
        assert!(own.eq(expected), "{item}");
    }
}

#[test]
fn a_line_that_comes_in_pieces_is_one_line() {
    let body = r#"n=0
while [ $n -lt 200 ]; do
    printf "$n one "; printf 'two '; printf 'three\n'
    n=$((n+1))
done"#;
    let workspace = Workspace::new(&["issue-42"], body);
    let finished = workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    let lines = unprefixed(&finished.stdout, "[issue-42] ");
    // A piece after which the machine stood still for a second is shown by itself, for it may be a prompt.
    assert!(lines.len() < 220, "{} lines of 200", lines.len());
    let expected: Vec<String> = (0..200).map(|n| format!("{n} one two three")).collect();
    assert_eq!(lines.concat(), expected.concat());
}

#[test]
fn an_unfinished_line_is_shown_while_its_item_waits() {
    let workspace = Workspace::new(&["issue-42"], "printf 'Proceed? '; meet up; echo yes");
    let mut gates = workspace.gates(&["issue-42"]);
    let running = workspace.orchestrate(&["-j1", "w"]).start();
    gates.expect("issue-42 up");
    running.wait_for_output("[issue-42] Proceed? ");
    gates.order("issue-42", ":");
    let finished = running.finish().exits(0);
    let lines = unprefixed(&finished.stdout, "[issue-42] ");
    assert_eq!(lines, ["Proceed? ", "yes"]);
}

#[test]
fn a_long_line_is_shown_whole_in_pieces_that_all_have_the_prefix() {
    let long: Vec<String> = (0..20_000).map(|number| format!("{number:09}.")).collect();
    let long = long.concat();
    let workspace = Workspace::new(&["issue-42"], "cat long; echo; echo after; cat long");
    workspace.write("long", &long);
    let finished = workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    let lines = unprefixed(&finished.stdout, "[issue-42] ");
    assert_eq!(long.len(), 200_000);
    assert_eq!(lines.concat(), format!("{long}after{long}"));
    assert!(lines.contains(&"after"));
}

#[test]
fn a_log_holds_the_bytes_that_the_item_wrote() {
    // All bytes but LF, then more than a pipe takes, and no newline at the end.
    let body = r"
cat bytes
cat bytes >&2
n=0; while [ $n -lt 3000 ]; do echo 0123456789012345678901234567890123456789; n=$((n+1)); done
printf end
";
    let workspace = Workspace::new(&["issue-42"], body);
    let bytes: Vec<u8> = (0..=255).filter(|&byte| byte != b'\n').collect();
    fs::write(workspace.root().join("bytes"), &bytes).unwrap();
    let finished = workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    let log = fs::read(workspace.log("issue-42")).unwrap();
    // The two streams are two pipes: what came first on one may be read after the other.
    let line = b"0123456789012345678901234567890123456789\n".repeat(3000);
    let stdout = [&bytes[..], &line, b"end"].concat();
    assert_eq!(log.len(), stdout.len() + bytes.len());
    let at = memchr::memmem::rfind(&log, &bytes).unwrap();
    let without_last = [&log[..at], &log[at + bytes.len()..]].concat();
    let at = memchr::memmem::find(&log, &bytes).unwrap();
    let without_first = [&log[..at], &log[at + bytes.len()..]].concat();
    assert!(without_last == stdout || without_first == stdout);
    for byte in (0..32).filter(|byte| !b"\n\t".contains(byte)) {
        assert!(
            !finished.stdout.as_bytes().contains(&byte),
            "{byte} is shown raw"
        );
    }
}

#[test]
fn line_ends_of_all_kinds_and_broken_text_are_shown_as_lines_of_valid_text() {
    // One write, so that no pause can make a line of its own of a piece.
    let body = r"printf '1%%\r2%%\r100%%\nDOS\r\nzero\000\303\251 \377\nend\r'";
    let workspace = Workspace::new(&["issue-42"], body);
    let (reader, stdout) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let launch = workspace.orchestrate(&["-j1", "w"]);
    let running = launch.stdout(stdout).start();
    let mut shown = Vec::new();
    fs::File::from(reader).read_to_end(&mut shown).unwrap();
    running.finish().exits(0);
    let shown = String::from_utf8(shown).unwrap();
    let lines = unprefixed(&shown, "[issue-42] ");
    // Of a line that was written over, what stood there at last.
    assert_eq!(lines, ["100%", "DOS", "zero\\x00é \u{fffd}", "end"]);
    let log = fs::read(workspace.log("issue-42")).unwrap();
    assert_eq!(log, b"1%\r2%\r100%\nDOS\r\nzero\0\xc3\xa9 \xff\nend\r");
}

#[test]
fn an_item_that_prints_our_words_forges_nothing() {
    let body = r#"
echo '[2/2] b done in 1s'
echo '2 done in 1s' >&2
echo '{"type":"item","id":"b","outcome":"done"}'
printf '"quoted"\\ \033[2J\n' >&2
exit 1"#;
    let workspace = Workspace::new(&["issue-42"], body);
    let finished = workspace.orchestrate(&["-j1", "w"]).finish().exits(1);
    unprefixed(&finished.stdout, "[issue-42] ");
    let forged = finished
        .stderr
        .lines()
        .find(|line| line.starts_with("2 done"));
    assert_eq!(forged, None, "{}", finished.stderr);
    let arguments = ["-j1", "--format", "json", "w"];
    let finished = workspace.orchestrate(&arguments).finish().exits(1);
    let objects: Vec<Value> = finished
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect();
    let types = objects.iter().filter_map(|object| object["type"].as_str());
    let ends: Vec<&str> = types
        .filter(|kind| ["item", "summary"].contains(kind))
        .collect();
    assert_eq!(ends, ["item", "summary"]);
    let tail = &objects.last().unwrap()["failures"][0]["tail"];
    let told: Vec<&str> = tail
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(told.contains(&r#""quoted"\ "#), "{told:?}");
}

#[test]
fn a_closed_stdout_ends_the_display_and_not_the_work() {
    let items = ["a", "b", "c"];
    let body = "n=0; while [ $n -lt 5000 ]; do echo line $n of $item; n=$((n+1)); done";
    let workspace = Workspace::new(&items, body);
    let (reader, stdout) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let running = workspace.orchestrate(&["-j2", "w"]).stdout(stdout).start();
    // What `| head -1` does.
    let mut line = String::new();
    let mut reader = BufReader::new(fs::File::from(reader));
    reader.read_line(&mut line).unwrap();
    drop(reader);
    assert!(line.contains("] line 0 of "), "{line}");
    running.finish().exits(0).says(&["3 done"]);
    assert_eq!(workspace.done(), items);
    for item in items {
        let log = fs::read_to_string(workspace.log(item)).unwrap();
        assert_eq!(log.lines().count(), 5000);
    }
}

#[test]
fn in_a_shell_pipe_head_gets_its_line_and_the_work_goes_on() {
    let workspace = Workspace::new(&["a", "b"], "echo hello; echo again");
    let script = "orchestrate -j1 w | head -n 1";
    let finished = workspace.shell(script).finish().exits(0);
    assert_eq!(finished.stdout, "[a] hello\n");
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn a_json_run_has_objects_on_stdout_and_words_on_stderr() {
    let workspace = Workspace::new(&["a", "b"], "echo from $item; test $item = a");
    let finished = workspace
        .orchestrate(&["-j2", "--format", "json", "w"])
        .finish()
        .exits(1);
    let mut lines: Vec<Value> = finished
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect();
    let summary = lines.pop().unwrap();
    assert_eq!(summary["type"], "summary");
    assert_eq!(
        (&summary["done"], &summary["failed"]),
        (&1.into(), &1.into())
    );
    assert_eq!(summary["exit_status"], 1);
    assert_eq!(summary["failures"][0]["tail"][0], "from b");
    lines.retain(|line| line["type"] == "item");
    lines.sort_by_key(|line| line["id"].as_str().map(str::to_owned));
    let told: Vec<(&Value, &Value)> = lines.iter().map(|it| (&it["id"], &it["outcome"])).collect();
    assert_eq!(
        told,
        [
            (&"a".into(), &"done".into()),
            (&"b".into(), &"failed".into())
        ]
    );
    assert!(
        finished.stderr.contains("[a] from a\n"),
        "{}",
        finished.stderr
    );
    let log = lines[1]["log"].as_str().unwrap();
    assert_eq!(workspace.read(log), "from b\n");
}

#[test]
fn quiet_says_nothing_when_all_goes_well() {
    let workspace = Workspace::new(&["a", "b"], "echo hello; echo hello >&2");
    let finished = workspace.orchestrate(&["-j2", "-q", "w"]).finish().exits(0);
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("", "")
    );
    assert_eq!(
        fs::read_to_string(workspace.log("a")).unwrap(),
        "hello\nhello\n"
    );
}

#[test]
fn what_cannot_be_written_to_stdout_is_told_and_an_answer_is_then_no_success() {
    let workspace = Workspace::new(&["a"], "echo here");
    let full = || {
        let full = File::options().write(true).open("/dev/full");
        OwnedFd::from(full.expect("Linux has it"))
    };
    for (arguments, status) in [
        // What a run is for is its work.
        (&["-j1", "w"][..], 0),
        (&["-j1", "--rerun", "all", "--output", "group", "w"], 0),
        (&["-j1", "--rerun", "all", "--format", "json", "w"], 0),
        (&["status"], 74),
        (&["logs", "a"], 74),
        (&["schema"], 74),
    ] {
        let launch = workspace.orchestrate(arguments).stdout(full());
        let finished = launch.finish().exits(status);
        finished.says(&["stdout cannot be written: No space left on device"]);
    }
    assert_eq!(workspace.done(), ["a"]);
}
