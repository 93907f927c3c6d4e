//! What of the keys can be learned from how processes are started, and from those that hold them: nothing.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::{Signal, kill};

use crate::support::ordinary_user::{as_ordinary_user, shell_of_ordinary_user};
use crate::support::pool::{KEYS, POOL, with_keys};
use crate::support::workspace::Workspace;

/// Notes what an item sees of the processes above it, and of one beside it.
const LOOK: &str = r#"
see() {
    for file in environ maps auxv mem stack; do
        (exec 3<"/proc/$2/$file") 2>/dev/null && echo "$1 $file"
    done
    ls "/proc/$2/fd" >/dev/null 2>&1 && echo "$1 fd"
    for link in exe cwd root; do
        readlink "/proc/$2/$link" >/dev/null && echo "$1 $link"
    done
    kill -s 0 "$2" && echo "$1 is there"
}
guard=$(cut -d ' ' -f 4 "/proc/$PPID/stat")
sleep 100000 &
see orchestrator "$PPID" >../seen
see guard "$guard" >>../seen
see sibling "$!" >>../seen
kill "$!"
"#;

#[test]
fn an_item_sees_nothing_of_the_processes_that_hold_all_keys() {
    for table in [POOL, ""] {
        let workspace = Workspace::new(&["a"], LOOK);
        workspace.configure("", table);
        let what = "what an item sees of us";
        let Some(launch) = as_ordinary_user(&workspace, &["-j1", "w"], what) else {
            return;
        };
        launch.env("TEST_KEYS", KEYS).finish().exits(0);
        let seen = workspace.read("../seen");
        let seen: Vec<&str> = seen.lines().collect();
        for ours in ["orchestrator", "guard"] {
            let of_ours = seen.iter().filter(|line| line.starts_with(ours));
            assert_eq!(
                of_ours.collect::<Vec<_>>(),
                [&format!("{ours} is there")],
                "{seen:?}"
            );
        }
        // So the item is not blind.
        for file in ["environ", "fd", "exe"] {
            let line = format!("sibling {file}");
            assert!(seen.contains(&line.as_str()), "{seen:?}");
        }
    }
}

#[test]
fn whoever_may_not_look_into_a_run_knows_all_the_same_whether_it_lives() {
    let workspace = with_keys(&["a", "b"], "meet up");
    let mut gates = workspace.gates(&["a", "b"]);
    let what = "a run of somebody who is not root";
    let launch = |arguments: &[&str]| {
        let launch = as_ordinary_user(&workspace, arguments, what)?;
        Some(launch.env("TEST_KEYS", KEYS))
    };
    let Some(first) = launch(&["-j1", "w"]) else {
        return;
    };
    let first = first.start();
    gates.expect("a up");
    let orchestrator = first.orchestrator().unwrap();
    let refused = launch(&["-j1", "w"]).unwrap().finish().exits(75);
    let says = format!(
        "another run holds the workflow `w`: pid {}, started ",
        first.pid()
    );
    refused.says(&[&says, "wait until it ends"]);
    let keys = launch(&["keys", "--workflow", "w"]).unwrap();
    let keys = keys.finish().exits(0).stdout;
    let holder = format!("1 of 1: {orchestrator} orchestrate + ");
    assert!(keys.contains(&holder), "{keys}");

    // Neither gets to know of the other's death.
    first.signal(Signal::SIGSTOP);
    kill(orchestrator, Signal::SIGKILL).unwrap();
    first.signal(Signal::SIGKILL);
    let (finished, survivors) = first.finish_before_its_items();
    finished.dies_by(Signal::SIGKILL);
    let refused = launch(&["-j1", "w"]).unwrap().finish().exits(75);
    refused.says(&[
        "the last run of the workflow `w` was killed, and processes of its items are still",
        "item a 1 (pid ",
    ]);
    survivors.kill();

    let last = launch(&["-j1", "w"]).unwrap().start();
    for item in ["a", "b"] {
        gates.expect(&format!("{item} up"));
        gates.order(item, "exit 0");
    }
    last.finish().exits(0);
}

#[test]
fn no_key_is_in_the_command_line_of_any_process() {
    let workspace = with_keys(&["a", "b"], "meet up");
    let mut gates = workspace.gates(&["a", "b"]);
    let launch = workspace.orchestrate(&["-j2", "--verbose", "w", "--", "argument-of-mine"]);
    let keys = ["a-key-that-no-test-shares-1", "a-key-that-no-test-shares-2"];
    let running = launch.env("TEST_KEYS", &keys.join(",")).start();
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    let mut seen = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // Whoever has ended meanwhile shows nothing.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let has = |word: &str| memchr::memmem::find(&line, word.as_bytes()).is_some();
        seen += usize::from(has("argument-of-mine"));
        let line = String::from_utf8_lossy(&line);
        assert!(!keys.iter().any(|key| has(key)), "{line}");
    }
    assert!(seen >= 4, "guard, orchestrator and two items: {seen}");
    for item in ["a", "b"] {
        gates.order(item, "exit 0");
    }
    running.finish().exits(0);
}

#[test]
fn each_item_has_the_lease_of_its_own_key_and_no_other_open() {
    let items = ["a", "b", "c", "d", "e", "f"];
    let body = r#"
for descriptor in /proc/$$/fd/*; do readlink "$descriptor"; done | grep '/slot\.' >../slots.$item
meet up"#;
    let workspace = with_keys(&items, body);
    let mut gates = workspace.gates(&items);
    let keys = items.map(|item| format!("the-made-up-key-of-{item}"));
    let launch = workspace.orchestrate(&["-j6", "w"]);
    let running = launch.env("TEST_KEYS", &keys.join(",")).start();
    // All at once, so that each was started while others had their leases.
    gates.next_sorted(items.len());
    let slots = items.map(|item| workspace.read(&format!("../slots.{item}")));
    for slot in &slots {
        assert_eq!(slot.lines().count(), 1, "{slots:?}");
    }
    assert_eq!(BTreeSet::from_iter(&slots).len(), items.len(), "{slots:?}");
    for item in items {
        gates.order(item, "exit 0");
    }
    running.finish().exits(0);
}

/// Notes its limit, tries to lift it, and crashes in the root of the workspace.
const CRASH: &str = r"
grep 'core file' /proc/$$/limits >../limits
sh -c '(ulimit -c unlimited) && ulimit -c unlimited; kill -s ABRT $$' 2>/dev/null
exit 0";

/// Where a core file would lie, the kernel says in `core(5)`: with a relative name, where the process was.
fn core_files_lie_where_the_process_was() -> bool {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    !pattern.starts_with(['|', '/'])
}

#[test]
fn an_item_that_crashes_leaves_a_core_file_only_where_that_is_allowed() {
    for (arguments, variable, is_allowed) in [
        (&["-j1", "w"][..], "", false),
        (&["-j1", "w", "--allow-core"], "", true),
        (&["-j1", "w", "--allow-core=false"], "true", false),
        (&["-j1", "w"], "true", true),
        (&["w"], "", true),
    ] {
        let workspace = Workspace::new(&["a"], CRASH);
        // As far as it goes: nothing is shown where the caller's own limit is 0.
        let script = r#"ulimit -S -c "$(ulimit -H -c)"; exec "$@""#;
        let what = "core files of somebody who is not root";
        let Some(launch) = shell_of_ordinary_user(&workspace, script, arguments, what) else {
            return;
        };
        let launch = launch.env("ORCHESTRATE_ALLOW_CORE", variable);
        launch.finish().exits(0);
        let limits = workspace.read("../limits");
        let limits: Vec<&str> = limits.split_whitespace().skip(4).collect();
        let left = fs::read_dir(workspace.root()).unwrap().flatten();
        let left = left.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"core"));
        let left = left.count();
        if is_allowed {
            assert!(limits[0] == limits[1] && limits[0] != "1", "{limits:?}");
            if limits[0] == "unlimited" && core_files_lie_where_the_process_was() {
                assert_eq!(left, 1, "{arguments:?}");
            }
        } else {
            assert!(matches!(limits[..2], ["0" | "1", "0" | "1"]), "{limits:?}");
            assert_eq!(left, 0, "{arguments:?}");
        }
    }
}

#[test]
fn we_leave_no_core_file_whatever_is_allowed() {
    for signal in [Signal::SIGQUIT, Signal::SIGABRT] {
        let workspace = with_keys(&["a"], "meet up");
        let mut gates = workspace.gates(&["a"]);
        let script = "ulimit -S -c \"$(ulimit -H -c)\"; exec orchestrate -j1 --allow-core w";
        let launch = workspace.shell(script).env("TEST_KEYS", KEYS);
        let running = launch.start();
        gates.expect("a up");
        kill(running.orchestrator().unwrap(), signal).unwrap();
        running.finish().dies_by(signal);
        let left = fs::read_dir(workspace.root()).unwrap().flatten();
        let left = left.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"core"));
        assert_eq!(left.count(), 0, "{signal}");
    }
}
