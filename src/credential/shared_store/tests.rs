//! Two runs on one machine, by a clock of the tests' own.

mod fixture;
mod processes;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use fixture::{ALONE, LIMITED, Machine, REJECTED, at, limited};

use super::*;
use crate::credential::key::{Report, Standing};
use crate::error::ExitStatus;

fn standing(store: &mut SharedStore, second: u64) -> Standing {
    store.look(0, at(second)).unwrap().standing(at(second))
}

/// Leases the only key, reports, and gives it back.
fn serve(store: &mut SharedStore, second: u64, report: Report) -> Epoch {
    let (epoch, lease) = store.try_lease(0, at(second)).unwrap().expect("a free key");
    store.report(0, epoch, report, at(second), ALONE).unwrap();
    store.release(0, lease, at(second)).unwrap();
    epoch
}

fn is_free(store: &mut SharedStore, second: u64) -> bool {
    let lease = store.try_lease(0, at(second)).unwrap();
    lease.is_some_and(|(_, lease)| store.release(0, lease, at(second)).is_ok())
}

#[test]
fn a_slot_is_leased_to_one_run_at_a_time() {
    let machine = Machine::new();
    for slots in [1, 3] {
        let (mut one, mut other) = (
            machine.run(&["k1"], slots, 0),
            machine.run(&["k1"], slots, 0),
        );
        let mut leases = Vec::new();
        while let Some((_, lease)) = one.try_lease(0, at(1)).unwrap() {
            leases.push(lease);
        }
        let numbers: Vec<usize> = leases.iter().map(SlotLease::number).collect();
        assert_eq!(numbers, (0..slots).collect::<Vec<_>>());
        assert!(!is_free(&mut other, 1));
        for lease in leases {
            one.release(0, lease, at(2)).unwrap();
            assert!(is_free(&mut other, 2));
        }
    }
}

#[test]
fn pools_that_overlap_meet_at_the_key_whatever_its_label() {
    let machine = Machine::new();
    let (mut one, mut other) = (
        machine.run(&["k1", "k2"], 1, 0),
        machine.run(&["k2", "k3"], 1, 0),
    );
    assert_eq!(one.kid(1), other.kid(0));
    assert_ne!(one.kid(0), other.kid(1));
    let kid = one.kid(1).to_string();
    assert!(
        kid.len() == 12 && kid.bytes().all(|b| b.is_ascii_hexdigit()),
        "{kid}"
    );
    let _held = one.try_lease(1, at(1)).unwrap().unwrap();
    assert!(other.try_lease(0, at(1)).unwrap().is_none());
    assert!(other.try_lease(1, at(1)).unwrap().is_some());
    // Another user's salt gives another name.
    assert_ne!(Machine::new().run(&["k2"], 1, 0).kid(0).as_str(), kid);
}

#[test]
fn all_who_begin_at_once_get_the_same_salt() {
    let machine = Machine::new();
    let start = std::sync::Barrier::new(16);
    let kids: std::collections::BTreeSet<Kid> = std::thread::scope(|scope| {
        let begin = || {
            start.wait();
            machine.run(&["k1"], 1, 0).kid(0).clone()
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(begin)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(kids.len(), 1);
}

#[test]
fn what_one_run_learns_all_runs_know_and_the_longer_wait_wins() {
    let machine = Machine::new();
    let (mut one, mut other) = (machine.run(&["k1"], 2, 0), machine.run(&["k1"], 2, 0));
    let (early, _held) = one.try_lease(0, at(1)).unwrap().unwrap();
    let (late, _held_too) = other.try_lease(0, at(1)).unwrap().unwrap();
    assert!(early < late, "every lease has an epoch of its own");
    other.report(0, late, limited(100), at(2), ALONE).unwrap();
    one.report(0, early, limited(1), at(3), ALONE).unwrap();
    for store in [&mut one, &mut other] {
        assert_eq!(standing(store, 4), Standing::Cooling { until: at(102) });
        assert!(!is_free(store, 101));
    }
}

#[test]
fn on_probation_a_key_is_held_once_on_the_whole_machine() {
    let machine = Machine::new();
    let (mut one, mut other) = (machine.run(&["k1"], 3, 0), machine.run(&["k1"], 3, 0));
    let (epoch, old) = one.try_lease(0, at(1)).unwrap().unwrap();
    one.report(0, epoch, limited(20), at(1), ALONE).unwrap();
    assert!(
        other.try_lease(0, at(22)).unwrap().is_none(),
        "an older lease goes on"
    );
    one.release(0, old, at(22)).unwrap();
    let (epoch, trial) = other.try_lease(0, at(22)).unwrap().unwrap();
    assert!(
        one.try_lease(0, at(23)).unwrap().is_none(),
        "it has not proved itself"
    );
    other
        .report(0, epoch, Report::Served, at(23), ALONE)
        .unwrap();
    assert!(one.try_lease(0, at(23)).unwrap().is_some());
    other.release(0, trial, at(23)).unwrap();
}

#[test]
fn a_rejected_key_is_not_used_again_by_any_run_of_that_time_and_once_by_a_later_one() {
    let machine = Machine::new();
    let (mut one, mut other) = (machine.run(&["k1"], 1, 0), machine.run(&["k1"], 1, 0));
    serve(&mut one, 10, REJECTED);
    for store in [&mut one, &mut other] {
        assert_eq!(standing(store, 11), Standing::Retired { since: at(10) });
        assert!(!is_free(store, 11));
    }
    assert!(!is_free(&mut machine.run(&["k1"], 1, 12), 12), "too early");
    let mut later = machine.run(&["k1"], 1, 2000);
    let (epoch, lease) = later.try_lease(0, at(2000)).unwrap().expect("one trial");
    later
        .report(0, epoch, Report::Served, at(2001), ALONE)
        .unwrap();
    later.release(0, lease, at(2001)).unwrap();
    assert_eq!(standing(&mut later, 2001), Standing::Ready);
    for store in [&mut one, &mut other] {
        assert_eq!(standing(store, 2001), Standing::Retired { since: at(10) });
        assert!(!is_free(store, 2001));
    }

    serve(&mut later, 2002, REJECTED);
    serve(&mut machine.run(&["k1"], 1, 4000), 4000, REJECTED);
    assert!(
        !is_free(&mut machine.run(&["k1"], 1, 9000), 9000),
        "rejected twice"
    );
    assert!(
        is_free(&mut machine.run(&["k2"], 1, 9000), 9000),
        "a new value is a new key"
    );
}

#[test]
fn the_trial_of_a_rejected_key_is_not_decided_by_a_lease_of_an_earlier_run() {
    for late in [Report::Served, REJECTED, limited(100)] {
        let machine = Machine::new();
        let mut one = machine.run(&["k1"], 2, 0);
        let (old, held) = one.try_lease(0, at(1)).unwrap().unwrap();
        serve(&mut one, 2, REJECTED);
        let mut later = machine.run(&["k1"], 1, 2000);
        one.report(0, old, late, at(2001), ALONE).unwrap();
        one.release(0, held, at(2001)).unwrap();
        assert_eq!(standing(&mut later, 2002), Standing::Probation, "{late:?}");
    }
}

#[test]
fn who_has_given_a_key_up_does_not_keep_it_from_others() {
    let machine = Machine::new();
    let mut one = machine.run(&["k1"], 1, 0);
    serve(&mut one, 10, REJECTED);
    one.queue_up(&[0], at(2000)).unwrap();
    let mut early = machine.run(&["k1"], 1, 11);
    early.queue_up(&[0], at(2000)).unwrap();
    let mut later = machine.run(&["k1"], 1, 2000);
    assert!(is_free(&mut later, 2000));
    machine.run(&["k1"], 1, 2000).reset(0, at(2001)).unwrap();
    assert!(is_free(&mut one, 2001), "it is of use again");
}

#[test]
fn a_wait_that_is_longer_than_any_is_not_believed() {
    let machine = Machine::new();
    let mut store = machine.run(&["k1"], 1, 0);
    serve(&mut store, 1000, limited(7200));
    let file = machine.key_directory(&store).join("state.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"secs\":8200", "\"secs\":315360000")).unwrap();
    let until = at(2000 + 24 * 3600 + 60);
    assert_eq!(standing(&mut store, 2000), Standing::Spent { until });
}

/// The coordinator is a thread.
#[test]
fn a_store_can_be_moved_to_another_thread() {
    const fn can_be_sent<T: Send>() {}
    can_be_sent::<SharedStore>();
    can_be_sent::<SlotLease>();
}

#[test]
fn a_reset_is_heard_by_all_runs_and_not_undone_by_a_late_report() {
    let machine = Machine::new();
    let (mut one, mut operator) = (machine.run(&["k1"], 2, 0), machine.run(&["k1"], 2, 0));
    let (late, held) = one.try_lease(0, at(1)).unwrap().unwrap();
    serve(&mut one, 2, REJECTED);
    operator.reset(0, at(3)).unwrap();
    let key = one.report(0, late, limited(100), at(4), ALONE).unwrap();
    assert_eq!(key.standing(at(4)), Standing::Ready);
    one.release(0, held, at(4)).unwrap();
    assert!(is_free(&mut one, 4));

    operator.disable(0, true, at(5)).unwrap();
    assert!(!is_free(&mut one, 100_000));
    operator.disable(0, false, at(100_000)).unwrap();
    assert!(is_free(&mut one, 100_000));
}

#[test]
fn within_one_boot_nobody_changes_a_wait_by_setting_the_time() {
    for shift_hours in [-1, 1] {
        let machine = Machine::new();
        serve(&mut machine.run(&["k1"], 1, 0), 1000, limited(100));
        machine.set_wall_hours(shift_hours);
        let mut store = machine.run(&["k1"], 1, 1001);
        assert_eq!(
            standing(&mut store, 1099),
            Standing::Cooling { until: at(1100) }
        );
        assert_eq!(standing(&mut store, 1100), Standing::Probation);
    }
}

#[test]
fn after_a_reboot_wall_time_decides_within_a_day() {
    // What was noted at 10 000 s of the first boot, on the wall clock at 0 h, is read at 50 s of the second.
    let day = 24 * 3600;
    for (wait, hours_later, expected) in [
        (7200, 1, Some(50 + 3600)),
        (7200, 2, None),
        (7200, 30, None),
        // The clock was set back a year in between.
        (7200, -9000, Some(50 + day)),
    ] {
        let mut machine = Machine::new();
        serve(&mut machine.run(&["k1"], 1, 9000), 10_000, limited(wait));
        machine.reboot();
        machine.set_wall_hours(hours_later);
        let mut store = machine.run(&["k1"], 1, 50);
        let found = match standing(&mut store, 50) {
            Standing::Spent { until } => Some(until.0.as_secs()),
            Standing::Probation => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{wait} s, {hours_later} h later");
    }
}

#[test]
fn a_wait_of_ten_years_from_another_boot_is_a_day() {
    let mut machine = Machine::new();
    let mut store = machine.run(&["k1"], 1, 0);
    serve(&mut store, 1000, limited(7200));
    let file = machine.key_directory(&store).join("state.json");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"secs\":8200"), "{text}");
    fs::write(&file, text.replace("\"secs\":8200", "\"secs\":315360000")).unwrap();
    machine.reboot();
    let until = at(7 + 24 * 3600);
    let mut store = machine.run(&["k1"], 1, 7);
    assert_eq!(standing(&mut store, 7), Standing::Spent { until });
}

#[test]
fn a_rejection_outlives_a_reboot() {
    let mut machine = Machine::new();
    serve(&mut machine.run(&["k1"], 1, 0), 10_000, REJECTED);
    machine.reboot();
    machine.set_wall_hours(1);
    let mut store = machine.run(&["k1"], 1, 30);
    assert!(matches!(standing(&mut store, 31), Standing::Retired { .. }));
    assert!(
        is_free(&mut machine.run(&["k1"], 1, 1000), 1000),
        "one trial"
    );
}

#[test]
fn a_damaged_state_is_put_aside_and_the_key_proves_itself() {
    let machine = Machine::new();
    let mut store = machine.run(&["k1"], 4, 0);
    serve(&mut store, 1, LIMITED);
    let directory = machine.key_directory(&store);
    let whole = fs::read(directory.join("state.json")).unwrap();
    let texts: Vec<&[u8]> = vec![
        b"",
        b"{}",
        b"\xff",
        &whole[..whole.len() / 2],
        b"[1]",
        b"{\"format\":0}",
    ];
    for text in texts {
        fs::write(directory.join("state.json"), text).unwrap();
        assert_eq!(standing(&mut store, 2), Standing::Probation);
        assert_eq!(
            fs::read(directory.join("state.json.corrupt")).unwrap(),
            text
        );
        let warnings = store.take_warnings();
        assert!(
            matches!(&warnings[..], [one] if one.contains("state.json` is damaged")),
            "{warnings:?}"
        );
        let mut other = machine.run(&["k1"], 4, 3);
        assert_eq!(
            standing(&mut other, 3),
            Standing::Probation,
            "for everybody"
        );
        let (_, trial) = store.try_lease(0, at(3)).unwrap().unwrap();
        assert!(!is_free(&mut other, 3));
        store.release(0, trial, at(3)).unwrap();
    }
    let huge = format!("{}{}", String::from_utf8_lossy(&whole), " ".repeat(1 << 17));
    fs::write(directory.join("state.json"), huge).unwrap();
    assert_eq!(standing(&mut store, 4), Standing::Probation);
}

#[test]
fn the_state_of_a_later_version_is_left_alone() {
    let machine = Machine::new();
    let mut store = machine.run(&["k1"], 1, 0);
    let file = machine.key_directory(&store).join("state.json");
    fs::write(&file, "{\"format\":3}").unwrap();
    let error = store.look(0, at(1)).unwrap_err();
    assert!(error.to_string().contains("later version"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\"format\":3}");
}

#[test]
fn a_state_that_was_half_written_when_its_writer_was_killed_is_no_obstacle() {
    let machine = Machine::new();
    let mut store = machine.run(&["k1"], 1, 0);
    fs::write(machine.key_directory(&store).join("state.json.new"), "{").unwrap();
    serve(&mut store, 1, LIMITED);
    assert!(matches!(standing(&mut store, 2), Standing::Cooling { .. }));
    assert_eq!(store.take_warnings(), [""; 0]);
}

#[test]
fn everything_is_for_its_owner_only_and_no_key_is_in_it() {
    let machine = Machine::new();
    let mut store = machine.run(&["k1"], 1, 0);
    let (epoch, _held) = store.try_lease(0, at(1)).unwrap().unwrap();
    store
        .report_because(0, epoch, LIMITED, at(1), ALONE, "HTTP 429")
        .unwrap();
    store.queue_up(&[0], at(1)).unwrap();
    let mut directories = vec![machine.path().join("orchestrate")];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&directory), 0o700, "{}", directory.display());
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            let bytes = fs::read(&path).unwrap();
            let shown = String::from_utf8_lossy(&bytes);
            assert!(!shown.contains(fixture::VALUE), "{}", path.display());
            files += 1;
        }
    }
    // The salt and its lock; the key's state, lock and slot; the queue's lock and a ticket.
    assert_eq!(files, 7);
}

#[test]
fn a_place_that_cannot_be_written_or_trusted_is_refused() {
    let refused = |home: &Path| fixture::open(home, &["k1"]).unwrap_err();
    let error = refused(Path::new("/proc"));
    assert_eq!(error.status(), ExitStatus::State);
    assert!(error.to_string().contains("`/proc/orchestrate`"), "{error}");

    let machine = Machine::new();
    fs::create_dir(machine.path().join("elsewhere")).unwrap();
    symlink("elsewhere", machine.path().join("orchestrate")).unwrap();
    assert!(
        refused(machine.path())
            .to_string()
            .contains("is a symbolic link")
    );

    let machine = Machine::new();
    let store = machine.run(&["k1"], 1, 0);
    let salt = machine.path().join("orchestrate/credentials/salt");
    fs::write(&salt, "short").unwrap();
    let error = refused(machine.path());
    assert!(error.to_string().contains("salt` is damaged"), "{error}");
    assert!(error.hint().unwrap().contains("mv "), "{error:?}");
    drop(store);
}

#[test]
fn a_slot_that_cannot_be_used_is_found_when_a_run_begins_and_not_when_it_waits() {
    for (name, reason) in [
        ("slot.0", "is a directory"),
        ("slot.0", "is a symbolic link"),
        ("slot.0", "can be written by others"),
        // No run here wants it, but it counts who holds the key.
        ("slot.1", "is a directory"),
    ] {
        let machine = Machine::new();
        let mut store = machine.run(&["k1"], 1, 0);
        assert!(is_free(&mut store, 1));
        let slot = machine.key_directory(&store).join(name);
        match reason {
            "is a directory" => {
                let _nothing_there = fs::remove_file(&slot);
                fs::create_dir(&slot).unwrap();
            }
            "is a symbolic link" => {
                fs::rename(&slot, slot.with_extension("old")).unwrap();
                symlink(slot.with_extension("old"), &slot).unwrap();
            }
            _ => fs::set_permissions(&slot, fs::Permissions::from_mode(0o666)).unwrap(),
        }
        let error = fixture::open(machine.path(), &["k1"]).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Usage);
        let said = error.to_string();
        assert!(said.contains(reason) && said.contains(name), "{said}");
        assert!(error.hint().is_some(), "{error:?}");
    }
}

#[test]
fn a_directory_without_the_right_to_write_is_refused() {
    if nix::unistd::geteuid().is_root() {
        eprintln!("SKIP: root may write everywhere");
        return;
    }
    let machine = Machine::new();
    let directory = machine.key_directory(&machine.run(&["k1"], 1, 0));
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o500)).unwrap();
    let error = fixture::open(machine.path(), &["k1"]).unwrap_err();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(error.status(), ExitStatus::State);
}

#[test]
fn a_run_with_two_items_gets_its_first_key_within_two_grants() {
    let machine = Machine::new();
    let (mut many, mut few) = (machine.run(&["k1"], 1, 0), machine.run(&["k1"], 1, 0));
    let (_, mut lease) = many.try_lease(0, at(1)).unwrap().unwrap();
    many.queue_up(&[0], at(1)).unwrap();
    few.queue_up(&[0], at(2)).unwrap();
    let mut grants = String::new();
    for second in (4..60).step_by(2) {
        // Both say all the time that they wait; both try, and the one with many items is always faster.
        let (holder, name) = if grants.ends_with('f') {
            (&mut few, 'f')
        } else {
            (&mut many, 'm')
        };
        holder.release(0, lease, at(second)).unwrap();
        holder.queue_up(&[0], at(second)).unwrap();
        let _ = name;
        many.queue_up(&[0], at(second)).unwrap();
        few.queue_up(&[0], at(second)).unwrap();
        lease = if let Some((_, lease)) = many.try_lease(0, at(second)).unwrap() {
            grants.push('m');
            lease
        } else {
            grants.push('f');
            few.try_lease(0, at(second))
                .unwrap()
                .expect("it is first")
                .1
        };
    }
    assert!(grants.starts_with("mf"), "{grants}");
    assert!(
        !grants.contains("mm") && !grants.contains("ff"),
        "they take turns: {grants}"
    );
}

#[test]
fn who_waits_for_one_key_only_does_not_hold_up_those_who_can_use_another() {
    let machine = Machine::new();
    let (mut one, mut other) = (machine.run(&["k1"], 1, 0), machine.run(&["k1", "k2"], 1, 0));
    one.queue_up(&[0], at(1)).unwrap();
    assert!(other.try_lease(0, at(1)).unwrap().is_none());
    assert!(other.try_lease(1, at(1)).unwrap().is_some());
    one.leave_queue();
    assert!(other.try_lease(0, at(1)).unwrap().is_some());
}

#[test]
fn who_stands_in_the_line_and_says_nothing_is_passed_over() {
    let machine = Machine::new();
    let (mut one, mut other) = (machine.run(&["k1"], 1, 0), machine.run(&["k1"], 1, 0));
    one.queue_up(&[0], at(1)).unwrap();
    other.queue_up(&[0], at(1)).unwrap();
    assert!(!is_free(&mut other, 10));
    assert!(is_free(&mut other, 12));
    other.queue_up(&[0], at(12)).unwrap();
    one.queue_up(&[0], at(12)).unwrap();
    assert!(!is_free(&mut other, 12), "its place is kept");
}

#[test]
fn what_is_no_ticket_of_ours_holds_up_nobody_in_the_line() {
    let machine = Machine::new();
    let (mut one, mut other) = (machine.run(&["k1"], 1, 0), machine.run(&["k1"], 1, 0));
    let queue = machine.path().join("orchestrate/credentials/queue");
    let target = machine.path().join("target");
    fs::write(&target, "not ours to lock").unwrap();
    let open_to_all = queue.join("2");
    fs::write(&open_to_all, "").unwrap();
    fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o666)).unwrap();
    let forbidden = queue.join("3");
    fs::write(&forbidden, "").unwrap();
    fs::set_permissions(&forbidden, fs::Permissions::from_mode(0o000)).unwrap();
    fs::create_dir(queue.join("1")).unwrap();
    fs::create_dir(queue.join(u64::MAX.to_string())).unwrap();
    symlink(&target, queue.join("4")).unwrap();
    for name in ["+5", "05", "note"] {
        fs::create_dir(queue.join(name)).unwrap();
    }
    let names = || {
        let entries = fs::read_dir(&queue).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name()).collect();
        names.retain(|name| name != "lock");
        names.sort();
        names
    };
    let before = names();

    one.queue_up(&[0], at(1)).unwrap();
    other.queue_up(&[0], at(1)).unwrap();
    assert!(!is_free(&mut other, 1), "one came first");
    assert!(is_free(&mut one, 1));
    other.leave_queue();
    // Nothing of it was touched; but root may open what is forbidden to all, and takes it for a ticket that is dead.
    let mut expected = before;
    expected.retain(|name| name != "3" || forbidden.exists());
    assert_eq!(names(), expected);
    assert_eq!(fs::read_to_string(&target).unwrap(), "not ours to lock");
}

#[test]
fn a_reason_is_kept_as_long_as_it_is_the_reason() {
    let machine = Machine::new();
    let (mut one, mut other) = (machine.run(&["k1"], 1, 0), machine.run(&["k1"], 1, 0));
    let (epoch, lease) = one.try_lease(0, at(1)).unwrap().unwrap();
    let reason = format!("HTTP 429\n{}", "x".repeat(500));
    one.report_because(0, epoch, limited(100), at(1), ALONE, &reason)
        .unwrap();
    one.release(0, lease, at(1)).unwrap();
    let view = other.view(0, at(2)).unwrap();
    assert_eq!(
        view.key.standing(at(2)),
        Standing::Cooling { until: at(101) }
    );
    assert_eq!(view.since, Some(machine.wall()));
    let kept = view.reason.unwrap();
    assert!(kept.starts_with("HTTP 429x") && kept.len() == 200, "{kept}");
    assert!(
        other.view(0, at(102)).unwrap().reason.is_some(),
        "why it is on probation"
    );
    serve(&mut other, 102, Report::Served);
    assert_eq!(one.view(0, at(103)).unwrap().reason, None);

    other.disable(0, true, at(104)).unwrap();
    assert_eq!(
        one.view(0, at(105)).unwrap().reason.as_deref(),
        Some("orchestrate keys disable")
    );
}

/// What stands in the state of the only key.
fn state_file(machine: &Machine, store: &SharedStore) -> PathBuf {
    machine.key_directory(store).join("state.json")
}

fn last_used(store: &mut SharedStore, second: u64) -> Option<Moment> {
    store.look(0, at(second)).unwrap().usage().last_used
}

#[test]
fn a_lease_that_changes_nothing_by_which_others_decide_replaces_no_file_and_is_counted() {
    let machine = Machine::new();
    let (mut one, mut other) = (machine.run(&["k1"], 2, 0), machine.run(&["k1"], 2, 0));
    let file = state_file(&machine, &one);
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let (before, written) = (inode(&file), fs::read(&file).unwrap());
    let mut last = Epoch::default();
    for second in 1..20 {
        let store = if second % 3 == 0 {
            &mut one
        } else {
            &mut other
        };
        let epoch = serve(store, second, Report::Served);
        assert!(epoch > last, "every lease has an epoch of its own");
        last = epoch;
        for store in [&mut one, &mut other, &mut machine.visitor(&["k1"], second)] {
            assert_eq!(last_used(store, second), Some(at(second)));
        }
    }
    assert_eq!((inode(&file), fs::read(&file).unwrap()), (before, written));
    serve(&mut one, 20, LIMITED);
    assert_ne!(inode(&file), before);
    assert!(matches!(standing(&mut other, 20), Standing::Cooling { .. }));
}

#[test]
fn what_is_written_is_seen_by_all_at_once_however_often() {
    let machine = Machine::new();
    let (mut one, mut other) = (machine.run(&["k1"], 1, 0), machine.run(&["k1"], 1, 0));
    // Files of one length, whose inodes are the same ones again and again.
    for second in 1000..1300 {
        one.disable(0, second % 2 == 0, at(second)).unwrap();
        let expected = one.look(0, at(second)).unwrap();
        assert_eq!(other.look(0, at(second)).unwrap(), expected);
        let (writer, reader) = (&mut other, &mut one);
        writer.reset(0, at(second)).unwrap();
        writer
            .report(0, Epoch::NONE, limited(50 + second % 40), at(second), ALONE)
            .unwrap();
        let until = at(second + 50 + second % 40);
        assert_eq!(standing(reader, second), Standing::Cooling { until });
    }
}

#[test]
fn what_a_version_that_counted_no_leases_has_written_is_read_and_kept() {
    let machine = Machine::new();
    let mut store = machine.run(&["k1"], 2, 0);
    serve(&mut store, 1, Report::Served);
    let (epoch, held) = store.try_lease(0, at(2)).unwrap().unwrap();
    store
        .report_because(0, epoch, limited(100), at(2), ALONE, "HTTP 429")
        .unwrap();
    let (file, lock) = (
        state_file(&machine, &store),
        machine.key_directory(&store).join("lock"),
    );
    let present = fs::read_to_string(&file).unwrap();
    let first = present.replacen("\"format\":2", "\"format\":1", 1);
    assert_ne!(first, present);
    fs::write(&file, &first).unwrap();
    fs::write(&lock, "").unwrap();

    let mut visitor = machine.visitor(&["k1"], 3);
    let seen = visitor.view(0, at(3)).unwrap();
    assert_eq!(seen.key.usage().epoch, epoch);
    assert_eq!(fs::read_to_string(&file).unwrap(), first, "only looked at");
    let mut later = machine.run(&["k1"], 2, 3);
    let kept = later.view(0, at(3)).unwrap();
    assert_eq!(kept, seen);
    assert_eq!(kept.reason.as_deref(), Some("HTTP 429"));
    let written = fs::read_to_string(&file).unwrap();
    let key = |text: &str| text.split_once("\"key\":").map(|it| it.1.to_owned());
    assert_eq!(key(&written), key(&present));
    assert!(written.starts_with("{\"format\":2,"), "{written}");
    store.release(0, held, at(4)).unwrap();
    let (next, _held) = later.try_lease(0, at(102)).unwrap().unwrap();
    assert!(next > epoch);
}

#[test]
fn a_tally_that_is_damaged_anywhere_hides_no_change_and_repeats_no_lease_that_counts() {
    let machine = Machine::new();
    let mut store = machine.run(&["k1"], 1, 0);
    serve(&mut store, 1, limited(5));
    serve(&mut store, 7, Report::Served);
    let last = serve(&mut store, 8, Report::Served);
    let lock = machine.key_directory(&store).join("lock");
    let file = state_file(&machine, &store);
    let (tally, state) = (fs::read(&lock).unwrap(), fs::read(&file).unwrap());
    let cut = (0..tally.len()).map(|length| tally[..length].to_vec());
    let flipped = (0..tally.len()).map(|place| {
        let mut damaged = tally.clone();
        damaged[place] ^= 0x10;
        damaged
    });
    for damaged in cut.chain(flipped).chain([vec![0; tally.len()]]) {
        let what = format!("{damaged:?}");
        fs::write(&lock, &damaged).unwrap();
        fs::write(&file, &state).unwrap();
        let mut witness = machine.visitor(&["k1"], 9);
        let known = witness.look(0, at(9)).unwrap();
        assert_eq!(known.standing(at(9)), Standing::Ready, "{what}");
        // Each record is whole, or the other one is; without either the file counts.
        let whole = damaged.len() == tally.len() && damaged.iter().any(|&byte| byte != 0);
        let behind = last.0 - known.usage().epoch.0;
        assert!(behind <= if whole { 2 } else { 3 }, "{behind} {what}");
        let mut other = machine.run(&["k1"], 1, 9);
        serve(&mut other, 10, limited(50));
        let until = at(60);
        for store in [&mut witness, &mut store, &mut other] {
            assert_eq!(standing(store, 11), Standing::Cooling { until }, "{what}");
        }
        assert_eq!(store.take_warnings(), [""; 0]);
    }
}

#[test]
fn slots_of_a_run_that_was_told_of_more_are_counted() {
    let machine = Machine::new();
    let (mut wide, mut narrow) = (machine.run(&["k1"], 4, 0), machine.run(&["k1"], 2, 0));
    let mut leases: Vec<SlotLease> = (0..4)
        .map(|_| wide.try_lease(0, at(1)).unwrap().unwrap().1)
        .collect();
    for free in [0, 1, 2] {
        assert!(!is_free(&mut narrow, 1), "{free} are free");
        wide.release(0, leases.remove(0), at(1)).unwrap();
        assert_eq!(is_free(&mut narrow, 1), free == 2);
    }
    // The same slots, when they are its own.
    let mut mine = vec![wide.try_lease(0, at(1)).unwrap().unwrap().1];
    mine.push(wide.try_lease(0, at(1)).unwrap().unwrap().1);
    assert!(!is_free(&mut narrow, 1));
    wide.release(0, leases.remove(0), at(2)).unwrap();
    wide.release(0, mine.remove(1), at(2)).unwrap();
    let (_, held) = narrow.try_lease(0, at(2)).unwrap().expect("one is free");
    assert_eq!(held.number(), 1);
    assert!(narrow.try_lease(0, at(2)).unwrap().is_none());
    assert!(is_free(&mut wide, 2));
}
