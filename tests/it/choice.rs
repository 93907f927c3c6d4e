//! Which items run.

use crate::support::workspace::Workspace;

const ISSUES: [&str; 5] = ["7", "42", "100", "110", "121"];

/// Runs with these arguments, and returns the items that were started by it.
#[track_caller]
fn started(workspace: &Workspace, arguments: &[&str]) -> Vec<String> {
    let before = workspace.started().len();
    let arguments = [&["-j1", "w"], arguments].concat();
    workspace.orchestrate(&arguments).finish();
    workspace.started().split_off(before)
}

#[test]
fn items_are_chosen_by_number_range_and_id() {
    for (chosen, expected) in [
        (&["42"][..], &["42"][..]),
        (&["100-120"], &["100", "110"]),
        (&["7", "121"], &["7", "121"]),
        // In the order of the source, each once.
        (&["121", "7", "7-50"], &["7", "42", "121"]),
    ] {
        let workspace = Workspace::new(&ISSUES, "exit 0");
        assert_eq!(started(&workspace, chosen), expected, "{chosen:?}");
        let workspace = Workspace::new(&ISSUES, "exit 0");
        let sequential = [&["w"], chosen].concat();
        workspace.orchestrate(&sequential).finish().exits(0);
        assert_eq!(workspace.started(), expected);
    }
    let workspace = Workspace::new(&["issue-42", "LLD-007"], "exit 0");
    assert_eq!(started(&workspace, &["LLD-007"]), ["LLD-007"]);
}

#[test]
fn a_limit_takes_the_first_that_are_left() {
    let workspace = Workspace::new(&["a", "b", "c", "d", "e"], "exit 0");
    assert_eq!(started(&workspace, &["--limit", "2"]), ["a", "b"]);
    assert_eq!(started(&workspace, &["--limit", "2"]), ["c", "d"]);
    assert_eq!(started(&workspace, &["--limit", "2"]), ["e"]);
}

#[test]
fn only_failed_runs_what_failed_or_was_interrupted() {
    let workspace = Workspace::new(&["a", "b", "c"], "test $item != b");
    assert_eq!(started(&workspace, &["--limit", "2"]), ["a", "b"]);
    assert_eq!(started(&workspace, &["--only", "failed"]), ["b"]);
    workspace.item("exit 0");
    assert_eq!(started(&workspace, &["--only", "failed"]), ["b"]);
    assert_eq!(started(&workspace, &["--only", "failed"]), [""; 0]);
    assert_eq!(started(&workspace, &[]), ["c"]);
}

#[test]
fn a_done_item_runs_again_only_when_asked() {
    let workspace = Workspace::bare();
    let list = |titles: [&str; 2]| {
        let line = |id: &str, title: &str| format!("{{\"id\":\"{id}\",\"title\":\"{title}\"}}\n");
        workspace.write("items.txt", &(line("a", titles[0]) + &line("b", titles[1])));
    };
    list(["one", "two"]);
    workspace.configure("", "");
    workspace.item("exit 0");
    assert_eq!(started(&workspace, &[]), ["a", "b"]);
    assert_eq!(started(&workspace, &[]), [""; 0]);
    assert_eq!(started(&workspace, &["a"]), [""; 0]);
    assert_eq!(started(&workspace, &["--rerun", "changed"]), [""; 0]);
    list(["one", "another two"]);
    assert_eq!(started(&workspace, &[]), [""; 0]);
    assert_eq!(started(&workspace, &["--rerun", "changed"]), ["b"]);
    assert_eq!(started(&workspace, &["--rerun", "changed"]), [""; 0]);
    assert_eq!(started(&workspace, &["--rerun", "all"]), ["a", "b"]);
    assert_eq!(started(&workspace, &["--rerun", "all", "a"]), ["a"]);
}

#[test]
fn a_done_file_says_that_an_item_is_done() {
    let workspace = Workspace::new(&["a", "b"], "exit 0");
    workspace.configure("", "done = \"out/{id}.md\"");
    workspace.write("out/a.md", "");
    assert_eq!(started(&workspace, &[]), ["b"]);
}

#[test]
fn the_place_of_a_result_says_that_an_item_is_done() {
    let workspace = Workspace::new(&["a", "b"], "exit 0");
    workspace.configure("", "output = \"out/{id}.md\"\ndone = \"{output}\"");
    workspace.write("out/a.md", "");
    assert_eq!(started(&workspace, &[]), ["b"]);
}

#[test]
fn a_file_of_a_longer_number_makes_nothing_done() {
    let workspace = Workspace::new(&["1", "10"], "exit 0");
    workspace.configure("", "done = \"out/v1/issue-{number}*.md\"");
    workspace.write("out/v1/issue-10-fixes-1.md", "");
    assert_eq!(started(&workspace, &[]), ["1"]);
}

#[test]
fn of_two_documents_with_one_number_the_tool_gets_the_first() {
    let workspace = Workspace::bare();
    for name in ["LLD-100-b.md", "LLD-100.md", "LLD-101.md"] {
        workspace.write(
            &format!("docs/lld/active/{name}"),
            "* **Status:** Approved\n",
        );
    }
    workspace.write("tools/run_implement_from_lld.py", "");
    let planned = |arguments: &[&str]| {
        let arguments = [&["-n", "-j2", "implement"], arguments].concat();
        workspace.orchestrate(&arguments).finish().exits(0).stdout
    };
    let all = planned(&[]);
    assert_eq!(all.matches("LLD-100 has the number 100 too").count(), 1);
    assert_eq!(all.matches(" pending ").count(), 2, "{all}");
    let alone = planned(&["LLD-100-b"]);
    assert_eq!(alone.matches(" pending ").count(), 1, "{alone}");
}

#[test]
fn an_item_that_stands_twice_in_the_list_runs_once() {
    let workspace = Workspace::new(&["a", "b", "a"], "exit 0");
    assert_eq!(started(&workspace, &[]), ["a", "b"]);
}

#[test]
fn two_ids_that_differ_only_in_case_are_refused() {
    let workspace = Workspace::new(&["a", "A"], "exit 0");
    workspace.orchestrate(&["w"]).finish().exits(69);
    assert_eq!(workspace.started(), [""; 0]);
}

#[test]
fn what_was_done_by_another_command_is_said_and_done_again_on_demand() {
    let workspace = Workspace::new(&["a"], "exit 0");
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    workspace.configure(
        "",
        "command = [\"./item\", \"{id}\", \"{attempt}\", \"--more\"]",
    );
    let dry = workspace.orchestrate(&["-n", "w"]).finish().exits(0);
    assert!(
        dry.stdout.contains("command changed since"),
        "{}",
        dry.stdout
    );
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    assert_eq!(workspace.started(), ["a"], "only on demand");
    let again = workspace.orchestrate(&["-j1", "w", "--rerun", "changed"]);
    again.finish().exits(0);
    assert_eq!(workspace.started(), ["a", "a"]);
    let dry = workspace.orchestrate(&["-n", "w"]).finish().exits(0);
    assert!(!dry.stdout.contains("changed"), "{}", dry.stdout);
}
