//! What a process has written so far, readable while it runs.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use super::WATCHDOG;

/// One stream, read by a thread until its end.
#[derive(Debug)]
pub(crate) struct Transcript {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    text: Mutex<Text>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    ended: bool,
}

impl Transcript {
    /// Begins to read.
    pub(crate) fn of(stream: OwnedFd) -> Self {
        let shared = Arc::new(Shared::default());
        let filled = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let mut stream = File::from(stream);
            let mut buffer = [0; 16 << 10];
            // A pty whose last process has gone ends with EIO (tty_ioctl(4) of Linux), which is its end of file.
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                let mut text = filled.text.lock().expect("no reader panics");
                text.bytes.extend_from_slice(&buffer[..length]);
                filled.more.notify_all();
            }
            filled.text.lock().expect("no reader panics").ended = true;
            filled.more.notify_all();
        });
        Self {
            shared,
            reader: Some(reader),
        }
    }

    /// A stream that nobody reads.
    pub(crate) fn none() -> Self {
        Self {
            shared: Arc::default(),
            reader: None,
        }
    }

    /// Waits until `needle` has been written.
    pub(crate) fn wait_for(&self, needle: &str) {
        let lacks = |text: &mut Text| {
            memchr::memmem::find(&text.bytes, needle.as_bytes()).is_none() && !text.ended
        };
        let text = self.shared.text.lock().expect("no reader panics");
        let (text, _) = self
            .shared
            .more
            .wait_timeout_while(text, WATCHDOG, lacks)
            .expect("no reader panics");
        let found = memchr::memmem::find(&text.bytes, needle.as_bytes()).is_some();
        let seen = String::from_utf8_lossy(&text.bytes).into_owned();
        drop(text);
        assert!(found, "{needle:?} was not written; seen:\n{seen}");
    }

    /// Waits until this holds for what has been written.
    pub(crate) fn wait_until(&self, mut holds: impl FnMut(&[u8]) -> bool) {
        let mut held = false;
        let lacks = |text: &mut Text| {
            held = holds(&text.bytes);
            !held && !text.ended
        };
        let text = self.shared.text.lock().expect("no reader panics");
        let waited = self.shared.more.wait_timeout_while(text, WATCHDOG, lacks);
        let (text, _) = waited.expect("no reader panics");
        let seen = String::from_utf8_lossy(&text.bytes).into_owned();
        drop(text);
        assert!(held, "what was awaited was not written; seen:\n{seen}");
    }

    /// What has been written so far.
    pub(crate) fn so_far(&self) -> Vec<u8> {
        let text = self.shared.text.lock().expect("no reader panics");
        text.bytes.clone()
    }

    /// Everything, once the stream has ended.
    pub(crate) fn whole(&mut self) -> Vec<u8> {
        if let Some(reader) = self.reader.take() {
            let text = self.shared.text.lock().expect("no reader panics");
            let waited = self
                .shared
                .more
                .wait_timeout_while(text, WATCHDOG, |text| !text.ended);
            let ended = waited.expect("no reader panics").0.ended;
            assert!(ended, "a stream was still open after its process had ended");
            reader.join().expect("no reader panics");
        }
        self.so_far()
    }
}
