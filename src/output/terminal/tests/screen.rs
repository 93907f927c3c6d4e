//! What a person sees: the bytes on a pseudo-terminal, drawn by an emulator that wraps lines anew when it is resized, as
//! nearly all terminals do.

use std::io::Write as _;
use std::os::fd::OwnedFd;

use nix::pty::{OpenptyResult, Winsize};
use rustix::termios::{Winsize as Size, tcsetwinsize};

use super::*;

/// A terminal emulator, and what is written to it.
struct Emulator {
    vt: avt::Terminal,
    master: File,
    /// The beginning of a character whose rest has not come yet.
    torn: Vec<u8>,
}

impl Emulator {
    /// Reads and draws until this stands somewhere on the screen.
    fn wait_for(&mut self, mark: &str) {
        while !self.vt.screen().text().iter().any(|it| it.contains(mark)) {
            assert!(self.read(), "{mark} does not come");
        }
    }

    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // The end of a terminal is an error (EIO), not an empty read.
        let Ok(length @ 1..) = self.master.read(&mut bytes) else {
            return false;
        };
        self.torn.extend_from_slice(&bytes[..length]);
        let whole = self
            .torn
            .utf8_chunks()
            .next()
            .map_or(0, |it| it.valid().len());
        let rest = self.torn.split_off(whole);
        let text = String::from_utf8(std::mem::replace(&mut self.torn, rest)).unwrap();
        self.vt.feed(text.as_str());
        true
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        let size = Size {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.master, size).unwrap();
        self.vt.resize(columns.into(), rows.into());
    }

    /// All that is shown, and what has scrolled out of sight, as it was written: a line that was wrapped is one.
    fn lines(&self) -> Vec<String> {
        let mut lines = self.vt.screen().text();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}

fn emulator(columns: u16, rows: u16) -> (Emulator, OwnedFd) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
    let emulator = Emulator {
        vt: avt::Terminal::with_scrollback(columns.into(), rows.into(), None).unwrap(),
        master: master.into(),
        torn: Vec::new(),
    };
    (emulator, slave)
}

/// Shows both streams there.
fn start_on(slave: OwnedFd) -> (Terminal, TerminalHandle) {
    Terminal::start(Outputs {
        stdout: slave.try_clone().unwrap(),
        stderr: slave,
        stdout_is_terminal: true,
        stderr_is_terminal: true,
        reflow: Reflow::Wraps,
    })
    .unwrap()
}

/// Numbers that look random (Knuth's linear congruential generator).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn words(&mut self, columns_max: u64) -> String {
        let mut text = String::new();
        let columns = self.below(columns_max);
        while u64::try_from(text.chars().count()).unwrap() < columns {
            text.push_str(["x", "ab ", "東", "é", "-"][usize::try_from(self.below(5)).unwrap()]);
        }
        text.trim_end().to_owned()
    }
}

/// Says, sends, draws and resizes at random, and returns what should stand on the screen and what does.
fn shown_after_a_random_run(seed: u64) -> (Vec<String>, Vec<String>) {
    let mut random = Random(seed);
    let (mut emulator, slave) = emulator(100, 30);
    let (terminal, handle) = start_on(slave);
    let mut expected = Vec::new();
    for step in 0..60_u32 {
        let line = format!("{step}:{}", random.words(130));
        match random.below(5) {
            0 | 1 => {
                handle.say(Target::Stderr, line.clone());
                expected.push(line);
            }
            2 | 3 => {
                let block = format!("{line}\nnext {step}\n").into_bytes();
                let sent = handle.try_send(Target::Stdout, Masked::of_masked_parts(block));
                sent.unwrap();
                expected.extend([line, format!("next {step}")]);
            }
            _ => {
                // All of it is drawn when this, which ends the last line, is.
                let mark = format!("status{step}");
                let room = emulator.vt.size().0 - mark.len() - 4;
                let mut lines = vec![random.words(u64::try_from(room / 2).unwrap()); 2];
                lines.truncate(usize::try_from(1 + random.below(2)).unwrap());
                lines.last_mut().unwrap().push_str(&mark);
                handle.status(lines);
                emulator.wait_for(&mark);
                let columns = 30 + u16::try_from(random.below(120)).unwrap();
                let rows = 25 + u16::try_from(random.below(10)).unwrap();
                emulator.resize(columns, rows);
            }
        }
    }
    terminal.finish();
    drop(handle);
    while emulator.read() {}
    (expected, emulator.lines())
}

/// A wide character that does not fit leaves an empty column at the end of a row, which the emulator takes for a space.
fn without_spaces(lines: Vec<String>) -> Vec<String> {
    lines
        .into_iter()
        .map(|line| line.replace(' ', ""))
        .collect()
}

#[test]
fn whatever_happens_the_screen_shows_what_was_said_and_no_rest_of_the_status_lines() {
    for seed in 0..20 {
        let (expected, shown) = shown_after_a_random_run(seed);
        assert_eq!(
            without_spaces(shown),
            without_spaces(expected),
            "seed {seed}"
        );
    }
}

#[test]
fn the_status_lines_stand_below_everything_else() {
    let (mut emulator, slave) = emulator(40, 10);
    let (terminal, handle) = start_on(slave);
    handle.status(vec!["counts".to_owned(), "items".to_owned()]);
    handle.say(Target::Stderr, "words");
    handle.say(Target::Stdout, "more words");
    handle.status(vec!["counts 2".to_owned(), "items 2".to_owned()]);
    emulator.wait_for("items 2");
    assert_eq!(
        emulator.lines(),
        ["words", "more words", "counts 2", "items 2"]
    );
    // What was to be written is written when the token is dropped.
    let (token, dropped) = std::sync::mpsc::channel::<()>();
    handle.status(Vec::new());
    handle.say(Target::Stderr, "suspended");
    handle.settle(token);
    assert!(dropped.recv().is_err());
    emulator.wait_for("suspended");
    assert_eq!(emulator.lines(), ["words", "more words", "suspended"]);
    terminal.finish();
}

#[test]
fn ctrl_c_that_the_terminal_shows_leaves_no_rest_of_full_status_lines() {
    let (mut emulator, slave) = emulator(40, 10);
    let (terminal, handle) = start_on(slave);
    handle.say(Target::Stderr, "words");
    handle.status(vec!["counts ".repeat(9), "items ".repeat(9)]);
    emulator.wait_for("item\u{2026}");
    // One by one: a Ctrl-C takes back what was written and not yet read (ISIG without NOFLSH, termios(3)).
    for shown in ["^C", "^C^C"] {
        emulator.master.write_all(b"\x03").unwrap();
        emulator.wait_for(shown);
    }
    handle.say(Target::Stderr, "Ctrl-C: nothing new starts");
    emulator.wait_for("nothing new starts");
    handle.status(Vec::new());
    terminal.finish();
    drop(handle);
    while emulator.read() {}
    assert_eq!(emulator.lines(), ["words", "Ctrl-C: nothing new starts"]);
}
