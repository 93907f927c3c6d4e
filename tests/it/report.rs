//! `orchestrate report`: the page about a run, as it is written and as a browser shows it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::workspace::Workspace;

const POOL: &str = "[credentials]\npool = { env = \"POOL\" }\ninject = \"KEY\"";
const KEYS: &str = "k3y-of-the-first k3y-of-the-second";

/// Rows that the table shows, as the texts of their cells.
const ROWS: &str = "[...document.querySelectorAll('#table tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))";

/// A workspace in which four items have run: one failed twice, and one has a title that no page may run.
fn after_a_run() -> Workspace {
    let workspace = Workspace::bare();
    let hostile = "</script><script>document.title = 'run'</script>\u{2028}\"'\u{202e}";
    let items =
        ["a", "b", "c", "d"].map(|id| json!({"id": id, "title": format!("{id} {hostile}")}));
    let lines: Vec<String> = items.iter().map(|item| format!("{item}\n")).collect();
    workspace.write("items.txt", &lines.concat());
    workspace.configure("retries = 1\n", POOL);
    workspace.item("[ \"$item\" != b ] || exit 3");
    let run = workspace.orchestrate(&["-j2", "w"]).env("POOL", KEYS);
    run.finish().exits(1);
    workspace
}

/// Has the page of the newest run written.
fn written(workspace: &Workspace, arguments: &[&str]) -> PathBuf {
    let words = [&["report"], arguments].concat();
    let finished = workspace.orchestrate(&words).finish().exits(0);
    workspace.root().join(finished.stdout.trim_end())
}

#[test]
fn the_page_lies_beside_the_record_for_its_owner_alone() {
    let workspace = after_a_run();
    let page = written(&workspace, &[]);
    assert_eq!(page.file_name().unwrap(), "report.html");
    assert!(page.with_file_name("run.json").exists());
    assert_eq!(page.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let html = fs::read_to_string(&page).unwrap();
    assert_eq!(html.matches("</script>").count(), 2);
    assert!(!html.contains("k3y-of-the"));
    // It is put in the place of the older one.
    assert_eq!(written(&workspace, &[]), page);
}

#[test]
fn the_page_goes_where_it_is_wanted_and_its_links_lead_to_the_logs() {
    let workspace = after_a_run();
    fs::create_dir(workspace.root().join("out")).unwrap();
    let page = written(&workspace, &["--out", "out/night.html"]);
    assert_eq!(page, workspace.root().join("out/night.html"));
    let html = fs::read_to_string(&page).unwrap();
    let (_, data) = html.split_once("id=\"data\">").unwrap();
    let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    let logs = page.parent().unwrap().join(data["logs"].as_str().unwrap());
    for attempt in data["attempts"].as_array().unwrap() {
        assert!(logs.join(attempt[8].as_str().unwrap()).exists());
        assert!(attempt[2].is_number(), "{attempt} has a slot");
    }
    let finished = workspace
        .orchestrate(&["report", "-o", "no/such/night.html"])
        .finish()
        .exits(74);
    assert!(
        finished.stderr.contains("--out FILE"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_dry_run_writes_nothing_and_names_the_page() {
    let workspace = after_a_run();
    let page = written(&workspace, &["--dry-run"]);
    assert_eq!(page.file_name().unwrap(), "report.html");
    assert!(!page.exists());
}

#[test]
fn without_a_run_or_with_a_wrong_name_it_says_so() {
    let workspace = Workspace::new(&["a"], "true");
    let finished = workspace.orchestrate(&["report"]).finish().exits(2);
    assert!(
        finished.stderr.contains("no run yet"),
        "{}",
        finished.stderr
    );
    workspace.orchestrate(&["-j1", "w"]).finish().exits(0);
    let finished = workspace.orchestrate(&["report", "1999"]).finish().exits(2);
    assert!(
        finished.stderr.contains("the newest are"),
        "{}",
        finished.stderr
    );
}

#[test]
fn open_hands_the_page_to_the_desktop_and_says_when_there_is_none() {
    let workspace = after_a_run();
    let headless = workspace
        .orchestrate(&["report", "--open"])
        .finish()
        .exits(0);
    assert!(
        headless.stderr.contains("no display"),
        "{}",
        headless.stderr
    );
    assert!(headless.stderr.contains("xdg-open "), "{}", headless.stderr);
    let programs = workspace.programs();
    let script = "#!/bin/sh\nprintf '%s\\n' \"$#\" \"$1\" >opened.new && mv opened.new opened\n";
    workspace.script("xdg-open", script);
    fs::rename(workspace.root().join("xdg-open"), programs.join("xdg-open")).unwrap();
    let shown = workspace
        .orchestrate(&["report", "--open"])
        .env("DISPLAY", ":0");
    let page = shown.finish().exits(0).stdout;
    workspace.wait_until_written("opened", "report.html");
    let opened = workspace.read("opened");
    assert!(opened.starts_with("1\n/"), "{opened}");
    assert!(opened.trim_end().ends_with(page.trim_end()), "{opened}");
}

#[test]
fn a_run_that_goes_on_and_one_that_was_killed_have_a_page() {
    let workspace = Workspace::new(&["a", "b"], "meet up");
    let mut gates = workspace.gates(&["a", "b"]);
    let running = workspace.orchestrate(&["-j2", "w"]).start();
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    gates.order("a", "exit 0");
    workspace.wait_until_done("a");
    let html = fs::read_to_string(written(&workspace, &[])).unwrap();
    assert!(html.contains("\"live\":true") && html.contains("\"running\""));
    running.kill_orchestrator();
    running.finish();
    let html = fs::read_to_string(written(&workspace, &[])).unwrap();
    assert!(html.contains("\"live\":false") && html.contains("\"cut-off\""));
}

/// The items of the rows that are shown.
fn items_shown(browser: &mut Browser) -> Vec<String> {
    let rows = browser.evaluate(ROWS);
    let cells = rows.as_array().unwrap().iter();
    cells
        .map(|row| row[0].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_browser_shows_the_page_sorts_and_filters_it_and_complains_of_nothing() {
    let workspace = after_a_run();
    let page = written(&workspace, &[]);
    let Some(mut browser) = Browser::start("the page in a browser") else {
        return;
    };
    browser.load(&page);
    assert_eq!(items_shown(&mut browser), ["a", "b", "b", "c", "d"]);
    let title = browser.evaluate("document.title");
    assert!(title.as_str().unwrap().starts_with("w 2"), "{title}");
    let rows = browser.evaluate(ROWS);
    assert!(rows[0][1].as_str().unwrap().contains("</script>"), "{rows}");
    assert!(browser.evaluate("document.querySelectorAll('#slots path.failed').length") == 1);
    assert!(browser.evaluate("document.querySelectorAll('#keys path.lease').length") == 1);

    let head = |column: u8| format!("#table th:nth-child({column}) button");
    browser.click(&head(1));
    browser.click(&head(1));
    assert_eq!(items_shown(&mut browser), ["d", "c", "b", "b", "a"]);
    let sorted = browser.evaluate("document.querySelector('#table th').getAttribute('aria-sort')");
    assert_eq!(sorted, "descending");
    browser.click("#words");
    browser.type_text("exit 3");
    assert_eq!(items_shown(&mut browser), ["b", "b"]);
    browser.click("#filter button[type=reset]");
    browser.evaluate("new Promise(done => setTimeout(done))");
    assert_eq!(items_shown(&mut browser).len(), 5);

    // The middle of the first bar of a failed attempt.
    let bar = "(() => { const svg = document.querySelector('#slots svg'), box = svg.getBoundingClientRect();
        const [, x, y, w, h] = svg.querySelector('path.failed').getAttribute('d').match(/M(.*?) (.*?)h(.*?)v(.*?)h/);
        return [box.x + +x + w / 2, box.y + +y + h / 2]; })()";
    browser.evaluate("window.scrollTo(0, 0)");
    let middle = browser.evaluate(bar);
    browser.point_at(&middle[0], &middle[1]);
    let tip = browser.evaluate("document.getElementById('tip').textContent");
    assert!(tip.as_str().unwrap().contains("b attempt"), "{tip}");
    browser.click_at(&middle[0], &middle[1]);
    assert_eq!(items_shown(&mut browser), ["b", "b"]);
    browser.evaluate("window.scrollTo(0, 0)");
    let whole = browser.evaluate("document.getElementById('span').textContent");
    browser.click("#in");
    assert_ne!(
        browser.evaluate("document.getElementById('span').textContent"),
        whole
    );
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
}

#[test]
fn a_link_leads_to_the_log_and_every_control_has_a_name() {
    let workspace = after_a_run();
    let page = written(&workspace, &[]);
    let Some(mut browser) = Browser::start("links and names in a browser") else {
        return;
    };
    browser.load(&page);
    let nameless = "[...document.querySelectorAll('button, input, select')]
        .filter(it => !(it.textContent.trim() || it.labels?.length)).length
        + document.querySelectorAll('svg[role=img]:not([aria-label])').length";
    assert_eq!(browser.evaluate(nameless), 0);
    let log = browser.evaluate("document.querySelector('#table a').href");
    let log = log
        .as_str()
        .unwrap()
        .strip_prefix("file://")
        .unwrap()
        .to_owned();
    assert!(fs::metadata(&log).is_ok(), "{log}");
}

#[test]
fn the_page_is_light_or_dark_as_the_desktop_is() {
    let workspace = after_a_run();
    let page = written(&workspace, &[]);
    let Some(mut browser) = Browser::start("light and dark in a browser") else {
        return;
    };
    browser.load(&page);
    let ground = "getComputedStyle(document.body).backgroundColor";
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        grounds.push(browser.evaluate(ground));
        browser.picture(&format!("report-{scheme}.png"));
    }
    assert_eq!(grounds, ["rgb(255, 255, 255)", "rgb(15, 19, 24)"]);
    assert_eq!(browser.complaints(), Vec::<&Value>::new());
}
