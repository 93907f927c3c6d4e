//! A disk whose power can be cut: an ext4 file system in a file, mounted where only the thread that asks sees it.
//!
//! What a cut takes away is all that the file system holds in memory. What it has written counts as written: the cache
//! of a real disk, which it may lie about, is not played.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use super::WATCHDOG;

/// Enough for the journal of ext4.
const BYTES: u64 = 32 << 20;

/// Waits for its order, so that the cut comes at once. `FS_IOC_SHUTDOWN` of ext4 with `EXT4_GOING_FLAGS_NOLOGFLUSH`:
/// nothing that is in memory is written any more, and everything else fails.
const CUT: &str = r#"
open(my $disk, "<", $ARGV[0]) or die "$ARGV[0]: $!\n";
$| = 1;
print "armed\n";
my ($order, $how) = (scalar <STDIN>, pack("L", 2));
ioctl($disk, 0x8004587d, $how) or die "FS_IOC_SHUTDOWN: $!\n";
"#;

/// A mounted file system. Dropped, it is taken away.
#[derive(Debug)]
pub(crate) struct Disk {
    image: PathBuf,
    place: PathBuf,
    options: String,
}

/// The hand on the switch.
#[derive(Debug)]
pub(crate) struct PowerSwitch(Child);

impl Disk {
    /// Gives this thread, and what it starts, mounts of its own. They go with the last of them.
    ///
    /// Says why not where that is not possible.
    pub(crate) fn leave_the_mounts_of_others() -> Result<(), String> {
        unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| format!("unshare(2): {errno}"))?;
        run("mount", &["--make-rprivate", "/"])
    }

    /// Makes a file system of these `features` (mke2fs(8)) in the file `image` and mounts it at `place` with these
    /// `options` (ext4(5)); says why not where that is not possible.
    pub(crate) fn make(
        image: &Path,
        place: &Path,
        features: &str,
        options: &str,
    ) -> Result<Self, String> {
        let made = std::fs::File::create(image).and_then(|file| file.set_len(BYTES));
        made.expect("a file");
        let not_later = "lazy_itable_init=0,lazy_journal_init=0";
        let words = ["-q", "-F", "-O", features, "-E", not_later, text(image)];
        run("mkfs.ext4", &words)?;
        let disk = Self {
            image: image.to_owned(),
            place: place.to_owned(),
            options: format!("loop,{options}"),
        };
        disk.mount()?;
        Ok(disk)
    }

    /// Writes everything that was written so far.
    pub(crate) fn sync(&self) {
        run("sync", &["-f", text(&self.place)]).expect("a disk that works");
    }

    /// Everything is ready for the cut when it returns.
    pub(crate) fn switch(&self) -> PowerSwitch {
        let mut perl = Command::new("perl")
            .args(["-e", CUT, text(&self.place)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("perl");
        let mut said = String::new();
        let stdout = perl.stdout.take().expect("a pipe");
        let read = BufReader::new(stdout).read_line(&mut said);
        assert!(read.is_ok() && said == "armed\n", "perl says {said:?}");
        PowerSwitch(perl)
    }

    /// After a cut, with nobody there any more who uses it: what reads it again finds what was written.
    #[expect(
        clippy::disallowed_methods,
        reason = "a disk that stays in use must fail the test"
    )]
    pub(crate) fn power_on(&self) {
        let began = Instant::now();
        // The system may let go of the files of the dead a little later.
        while let Err(why) = run("umount", &[text(&self.place)]) {
            assert!(began.elapsed() < WATCHDOG, "{why}");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.mount()
            .expect("a file system that survives a power cut");
    }

    fn mount(&self) -> Result<(), String> {
        let (image, place) = (text(&self.image), text(&self.place));
        run("mount", &["-t", "ext4", "-o", &self.options, image, place])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Only a test that has failed leaves it in use.
        let _gone = run("umount", &["-l", text(&self.place)]);
    }
}

impl PowerSwitch {
    /// Cuts the power.
    pub(crate) fn cut(mut self) {
        let mut order = self.0.stdin.take().expect("a pipe");
        order.write_all(b"now\n").expect("perl waits");
        let status = self.0.wait().expect("a child");
        assert!(status.success(), "the power cannot be cut");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn run(program: &str, words: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", said.trim()))
}
