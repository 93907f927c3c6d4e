//! When the system has no room: for processes, memory, descriptors, arguments, or on the disk.

use nix::sys::signal::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::support::cgroup::ControlGroup;
use crate::support::end::End;
use crate::support::fault::faulty;
use crate::support::gates::Gates;
use crate::support::launch::Launch;
use crate::support::running::Running;
use crate::support::schema::check_stdout;
use crate::support::skip::{is_root, skipped};
use crate::support::strace::Strace;
use crate::support::workspace::Workspace;

const THREE: [&str; 3] = ["a", "b", "c"];

const BODY: &str = "echo here; meet up";

/// A run in which `a` and `b` run.
fn two_run<'a>(launch: Launch<'a>, workspace: &Workspace) -> (Running<'a>, Gates) {
    let mut gates = workspace.gates(&THREE);
    let running = launch.at_once(2).start();
    assert_eq!(gates.next_sorted(2), ["a up", "b up"]);
    // Who is heard is known to be there.
    running.wait_for_output("[a] here");
    running.wait_for_output("[b] here");
    (running, gates)
}

/// `b` ends, `c` finds no room, and gets it from `free`; nothing is lost by it.
fn the_third_waits(
    running: Running<'_>,
    mut gates: Gates,
    workspace: &Workspace,
    free: impl FnOnce(),
) {
    gates.order("b", "exit 0");
    running.wait_for("c waits: ");
    free();
    // As many as there was room for are one; it is tried again when that one ends.
    gates.order("a", "exit 0");
    gates.expect("c up");
    gates.order("c", "exit 0");
    let finished = running.finish().exits(0);
    finished.says(&["at most 1 at once until there is room", "3 done"]);
    // What was not started was no attempt, and has left no log in the way.
    assert_eq!(workspace.started().len(), 3);
    assert_eq!(
        std::fs::read_to_string(workspace.log("c")).unwrap(),
        "here\n"
    );
    assert_eq!(workspace.done(), THREE);
}

#[test]
fn an_item_waits_for_room_for_its_process() {
    // Of what `b` gives back, a thread and a process, nothing may be taken, or the thread alone.
    for kept in [0, 1] {
        let Some(group) = ControlGroup::make("pids", "no room for a process") else {
            return;
        };
        let workspace = Workspace::new(&THREE, BODY);
        let script = format!("echo $$ >{}; exec orchestrate -j2 w", group.processes());
        let (running, gates) = two_run(workspace.shell(&script), &workspace);
        let now: u32 = group.read("pids.current").trim().parse().unwrap();
        group.write("pids.max", &(kept * (now - 1)).to_string());
        the_third_waits(running, gates, &workspace, || {
            group.write("pids.max", "max");
        });
    }
}

#[test]
fn a_run_ends_well_without_room_for_a_thread() {
    let Some(group) = ControlGroup::make("pids", "no room for a thread") else {
        return;
    };
    let workspace = Workspace::new(&["a"], "meet up");
    let mut gates = workspace.gates(&["a"]);
    let script = format!("echo $$ >{}; exec orchestrate -j1 w", group.processes());
    let running = workspace.shell(&script).start();
    gates.expect("a up");
    group.write("pids.max", "1");
    gates.order("a", "exit 0");
    running.finish().exits(0).says(&["1 done"]);
}

#[test]
fn an_item_waits_for_memory_for_its_process() {
    let workspace = Workspace::new(&THREE, BODY);
    let launch = workspace.orchestrate(&["-j2", "w"]);
    let (running, gates) = two_run(launch, &workspace);
    let orchestrator = running.orchestrator().unwrap();
    let injection = "clone3,clone,vfork:error=ENOMEM";
    let Some(strace) = Strace::attach(orchestrator, injection, "no memory for a process") else {
        running.signal(Signal::SIGKILL);
        running.finish();
        return;
    };
    the_third_waits(running, gates, &workspace, || drop(strace));
}

#[test]
fn an_item_waits_for_descriptors() {
    let workspace = Workspace::new(&THREE, BODY);
    let launch = workspace.orchestrate(&["-j2", "w"]);
    let (running, gates) = two_run(launch, &workspace);
    let orchestrator = Pid::from_raw(running.orchestrator().unwrap().as_raw());
    let limit = |limits| prlimit(orchestrator, Resource::Nofile, limits).unwrap();
    let before = limit(Rlimit {
        current: Some(8),
        maximum: getrlimit(Resource::Nofile).maximum,
    });
    let free = || {
        limit(before);
    };
    the_third_waits(running, gates, &workspace, free);
}

#[test]
fn few_descriptors_lower_the_width_and_too_few_are_refused() {
    let workspace = Workspace::new(&THREE, "exit 0");
    let refused = workspace.shell("ulimit -n 36; exec orchestrate -j3 w");
    let refused = refused.finish().exits(2);
    refused.says(&["only 36 open files are allowed", "ulimit -n 1024"]);
    assert_eq!(workspace.started(), [""; 0]);
    let lowered = workspace.shell("ulimit -n 40; exec orchestrate -j3 w");
    let lowered = lowered.finish().exits(0);
    lowered.says(&["--parallel 3 is lowered to 1", "ulimit -n 1024", "3 done"]);
    assert_eq!(workspace.done(), THREE);
}

/// A list of three items, the second with this title, given as this argument.
fn with_title(title: &str, argument: &str) -> Workspace {
    let workspace = Workspace::bare();
    let lines = [("a", "fine"), ("b", title), ("c", "also fine")]
        .map(|(id, title)| format!(r#"{{"id":"{id}","title":"{title}"}}"#));
    workspace.write("items.txt", &lines.join("\n"));
    workspace.configure(
        "",
        &format!(r#"command = ["./item", "{{id}}", "1", {argument}]"#),
    );
    workspace.item("exit 0");
    workspace
}

#[test]
fn what_the_system_does_not_take_as_an_argument_fails_its_item_alone() {
    let (long, many) = ("x".repeat(200_000), "x".repeat(100_000));
    for (title, argument, words) in [
        (
            &long,
            r#""{title}""#.to_owned(),
            "takes 200001 bytes, and the system takes at most 131072",
        ),
        // It is in a variable all the same.
        (
            &long,
            r#""{id}""#.to_owned(),
            "ORCHESTRATE_ITEM_TITLE would take 200024 bytes",
        ),
        (
            &many,
            [r#""{title}""#; 60].join(", "),
            "the arguments take more than 2097152 bytes together",
        ),
    ] {
        let workspace = with_title(title, &argument);
        let finished = workspace.orchestrate(&["-j2", "w"]).finish().exits(1);
        finished.says(&["b failed", words, "2 done, 1 failed"]);
        let mut started = workspace.started();
        started.sort();
        assert_eq!(started, ["a", "c"]);
    }
}

#[test]
fn a_nul_in_a_list_is_refused_with_its_line() {
    let workspace = with_title(r"a\u0000b", r#""{title}""#);
    let refused = workspace.orchestrate(&["-j2", "w"]).finish().exits(69);
    refused.says(&["line 2", "has a NUL"]);
    assert_eq!(workspace.started(), [""; 0]);
}

/// Runs `script` where it may mount what nobody else sees; `None`, with a word about it, where it may not.
fn mounting<'a>(workspace: &'a Workspace, script: &str, what: &str) -> Option<Launch<'a>> {
    if !is_root(what) {
        return None;
    }
    let words = ["unshare", "--mount", "sh", "-c"];
    let tried = [&words[..], &["mount -t tmpfs none /mnt"]].concat();
    if workspace.program(&tried).finish().end != End::Exited(0) {
        skipped(what, "nothing can be mounted");
        return None;
    }
    Some(workspace.program(&[&words[..], &[script]].concat()))
}

#[test]
fn a_full_disk_cuts_the_logs_and_not_the_items() {
    let workspace = Workspace::new(&["a", "b"], "cat long; echo last; exit 0");
    workspace.write("long", &"0123456789abcdef\n".repeat(8192));
    let script = "
mkdir -m 700 .orchestrate .orchestrate/runs
mount -t tmpfs -o size=64k,mode=700 none .orchestrate/runs
orchestrate -j2 w
status=$?
cat .orchestrate/runs/*/logs/a.1.log | tail -n 1
exit $status";
    let Some(launch) = mounting(&workspace, script, "a full disk") else {
        return;
    };
    // How the items ended stands in the journal; the record of the run finds no room.
    let finished = launch.at_once(2).finish().exits(74);
    finished.says(&["a done", "b done", "log cut:", "No space left on device"]);
    assert_eq!(workspace.done(), ["a", "b"]);
}

#[test]
fn without_inodes_either_nothing_starts_or_what_ran_is_known() {
    let mut seen = [0, 0];
    for inodes in 2..=10 {
        let workspace = Workspace::new(&["a", "b"], "exit 0");
        let script = format!(
            "
mkdir -m 700 .orchestrate .orchestrate/runs
mount -t tmpfs -o nr_inodes={inodes},mode=700 none .orchestrate/runs
exec orchestrate -j2 w"
        );
        let Some(launch) = mounting(&workspace, &script, "no inodes") else {
            return;
        };
        let finished = launch.at_once(2).finish();
        if workspace.started().is_empty() {
            finished.exits(74).says(&["No space left on device"]);
            seen[0] += 1;
        } else {
            finished.says(&["2 done"]);
            assert_eq!(workspace.done(), ["a", "b"], "{inodes}");
            seen[1] += 1;
        }
    }
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
}

#[test]
fn a_read_only_file_system_is_refused() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let script = r#"
mount --bind . .
mount -o remount,ro,bind .
cd "$PWD"
exec orchestrate -j1 w"#;
    let Some(launch) = mounting(&workspace, script, "a read-only file system") else {
        return;
    };
    let finished = launch.finish().exits(74);
    finished.says(&[".orchestrate", "Read-only file system"]);
    assert_eq!(workspace.started(), [""; 0]);
}

#[test]
fn where_the_run_gets_no_process_of_its_own_it_says_so() {
    let workspace = Workspace::new(&["a"], "exit 0");
    let arguments = ["-j1", "--format", "json", "w"];
    let Some(launch) = faulty(&workspace, &["clone:error=EAGAIN"], None, &arguments) else {
        return;
    };
    let finished = launch.finish().exits(74);
    let reason = "cannot start the process that runs items: Resource";
    assert!(finished.stderr.contains(reason), "{}", finished.stderr);
    let told = check_stdout(&finished.stdout);
    let message = told[0]["message"].as_str().unwrap();
    assert!(message.starts_with(reason), "{message}");
    assert!(workspace.started().is_empty());
}
