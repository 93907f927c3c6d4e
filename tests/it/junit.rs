//! `JUnit` XML: what stands in it, and that a validator that is not ours takes it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;
use roxmltree::{Document, Node};

use crate::support::pool::with_keys;
use crate::support::skip::skipped;
use crate::support::workspace::Workspace;

/// The form, as `xmllint` reads it.
const FORM: &str = include_str!("../junit.xsd");

/// What xmllint says of a report; nothing when it is not installed.
fn complaints(workspace: &Workspace, report: &str) -> Option<String> {
    if which::which("xmllint").is_err() {
        skipped("JUnit XML against its schema", "xmllint is not installed");
        return None;
    }
    workspace.write("junit.xsd", FORM);
    let words = [
        "xmllint",
        "--nonet",
        "--noout",
        "--schema",
        "junit.xsd",
        report,
    ];
    let finished = workspace.program(&words).finish();
    let last = finished.stderr.lines().last().unwrap_or_default();
    let takes_it = last == format!("{report} validates");
    Some(if takes_it {
        String::new()
    } else {
        finished.stderr
    })
}

/// The report is valid, and has these words.
#[track_caller]
fn holds(workspace: &Workspace, words: &[&str]) {
    let xml = workspace.read("x.xml");
    for word in words {
        assert!(xml.contains(word), "{word}: {xml}");
    }
    if let Some(said) = complaints(workspace, "x.xml") {
        assert_eq!(said, "", "{xml}");
    }
}

/// What the items of these names do.
const GOOD_FLAKY_AND_BAD: &str = r#"echo "<$item> & ]]>"
case $item in
flaky) test "$attempt" = 2 ;;
bad) exit 3 ;;
esac"#;

const ARGUMENTS: [&str; 4] = ["-j1", "w", "--junit", "x.xml"];

#[test]
fn a_report_of_every_outcome_is_valid() {
    let workspace = Workspace::new(&["good", "flaky", "bad"], GOOD_FLAKY_AND_BAD);
    workspace.configure("", "retries = 1");
    workspace.orchestrate(&ARGUMENTS).finish().exits(1);
    holds(
        &workspace,
        &["<flakyFailure ", "<failure ", "<rerunFailure "],
    );
    workspace.item("exit 0");
    for _ in 0..2 {
        workspace.orchestrate(&ARGUMENTS).finish().exits(0);
    }
    holds(&workspace, &["tests=\"0\""]);
    workspace.configure("", "items = { list = \"missing\" }");
    workspace.orchestrate(&ARGUMENTS).finish().exits(2);
    holds(&workspace, &["<error ", "missing"]);

    let workspace = with_keys(&["put-off"], "exit 75");
    let launch = workspace.orchestrate(&[&ARGUMENTS[..], &["--credential-wait", "0s"]].concat());
    launch.env("TEST_KEYS", "a-made-up-key").finish().exits(75);
    holds(&workspace, &["<skipped message=\"deferred: "]);
}

#[test]
fn a_report_of_a_run_that_was_stopped_is_valid() {
    let workspace = Workspace::new(&["a", "b"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    let running = workspace.orchestrate(&ARGUMENTS).start();
    gates.expect("a up");
    running.signal(Signal::SIGTERM);
    running.finish().dies_by(Signal::SIGTERM);
    holds(
        &workspace,
        &["message=\"interrupted: ", "message=\"not started\""],
    );
}

#[test]
fn the_schema_refuses_what_no_reader_would_take() {
    let workspace = Workspace::new(&["a", "b"], "exit 3");
    workspace.orchestrate(&ARGUMENTS).finish().exits(1);
    holds(&workspace, &[]);
    let xml = workspace.read("x.xml");
    for (right, wrong) in [
        ("name=\"b\"", "name=\"a\""),
        ("classname=\"w\"", ""),
        ("type=\"failed\"", ""),
        ("tests=\"2\"", "tests=\"two\""),
        ("<failure", "<skipped/><failure"),
        ("</testcase>", "<verdict/></testcase>"),
    ] {
        let broken = xml.replacen(right, wrong, 1);
        assert_ne!(broken, xml, "{right}");
        workspace.write("broken.xml", &broken);
        let Some(said) = complaints(&workspace, "broken.xml") else {
            return;
        };
        assert!(said.contains("broken.xml"), "{right}: {said}");
    }
}

/// One test case of a report.
fn case<'a>(document: &'a Document<'_>, name: &str) -> Node<'a, 'a> {
    let is_it =
        |node: &Node<'_, '_>| node.has_tag_name("testcase") && node.attribute("name") == Some(name);
    document.descendants().find(is_it).unwrap()
}

#[test]
fn each_item_is_a_test_case_of_the_junit_report() {
    let workspace = Workspace::new(&["good", "flaky", "bad"], GOOD_FLAKY_AND_BAD);
    workspace.configure("junit = \"report.xml\"", "retries = 1");
    workspace.orchestrate(&["-j1", "w"]).finish().exits(1);
    let xml = workspace.read("report.xml");
    let document = Document::parse(&xml).unwrap();
    let suite = document.root_element().first_element_child().unwrap();
    let counts = ["name", "tests", "failures", "errors", "skipped"];
    let counts = counts.map(|name| suite.attribute(name).unwrap());
    assert_eq!(counts, ["w", "3", "1", "0", "0"]);
    let has = |name, tag: &str| {
        case(&document, name)
            .children()
            .any(|it| it.has_tag_name(tag))
    };
    assert!(
        has("flaky", "flakyFailure") && has("bad", "rerunFailure"),
        "{xml}"
    );
    assert!(!has("good", "skipped") && !has("good", "failure"), "{xml}");
    let failure = case(&document, "bad");
    let failure = failure
        .children()
        .find(|it| it.has_tag_name("failure"))
        .unwrap();
    assert_eq!(
        (failure.attribute("message"), failure.text()),
        (Some("exit 3"), Some("<bad> & ]]>"))
    );

    // As any program would write it, and whole.
    let usual = workspace.root().join("usual");
    fs::write(&usual, "").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(workspace.root().join("report.xml")), mode(usual));

    // What is not started is skipped, what is done stands in no later report, and a dry run writes none.
    workspace.write("items.txt", "good\nbad\nlate\n");
    let launch = workspace.orchestrate(&["-j1", "--fail-fast", "--retries", "0", "w"]);
    let launch = launch.env("ORCHESTRATE_JUNIT", "other.xml");
    launch.finish().exits(1);
    let other = workspace.read("other.xml");
    let document = Document::parse(&other).unwrap();
    let late = case(&document, "late");
    assert!(
        late.children().any(|it| it.has_tag_name("skipped")),
        "{other}"
    );
    assert!(other.contains("tests=\"2\""), "{other}");
    workspace.item("exit 0");
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    assert!(workspace.read("report.xml").contains("tests=\"0\""));
    let dry = ["-n", "w", "--junit", "dry.xml"];
    workspace.orchestrate(&dry).finish().exits(0);
    assert!(!workspace.has("dry.xml"));
}

#[test]
fn a_junit_report_that_cannot_be_written_is_told() {
    let workspace = Workspace::new(&["a"], "exit 0");
    for (file, words) in [
        (
            "absent/x.xml",
            &["--junit", "its directory does not exist", "mkdir -p"][..],
        ),
        (".", &["--junit", "this is a directory", "orchestrate.xml"]),
    ] {
        let finished = workspace
            .orchestrate(&["-j1", "w", "--junit", file])
            .finish();
        finished.exits(2).says(words);
    }
    assert_eq!(workspace.started(), [""; 0]);
    workspace.write("orchestrate.toml", "rubbish = 1");
    workspace
        .orchestrate(&["-j1", "w", "--junit", "x.xml"])
        .finish()
        .exits(2);
    workspace.configure("", "");
    workspace.write("items.txt", "{\"id\":1}\n");
    let finished = workspace
        .orchestrate(&["-j1", "w", "--junit", "x.xml"])
        .finish();
    assert_eq!(finished.exits(69).stdout, "");
    let xml = workspace.read("x.xml");
    let document = Document::parse(&xml).unwrap();
    let error = case(&document, "orchestrate")
        .first_element_child()
        .unwrap();
    assert!(error.has_tag_name("error"), "{xml}");
}
