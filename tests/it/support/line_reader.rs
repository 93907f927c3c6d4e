//! Lines from a FIFO that the test itself keeps open.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Reads whole lines, each within a time limit.
#[derive(Debug)]
pub(crate) struct LineReader {
    file: File,
    pending: Vec<u8>,
}

impl LineReader {
    /// Reads from `file`.
    pub(crate) fn new(file: File) -> Self {
        Self {
            file,
            pending: Vec::new(),
        }
    }

    /// The next line, or `None` when there is none within `patience`.
    pub(crate) fn next_line(&mut self, patience: Duration) -> Option<String> {
        loop {
            if let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line = self.pending.drain(..=end).collect::<Vec<u8>>();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let mut polled = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
            if poll(&mut polled, timeout) == Ok(0) {
                return None;
            }
            let mut buffer = [0; 512];
            let length = self.file.read(&mut buffer).expect("a FIFO can be read");
            self.pending.extend_from_slice(&buffer[..length]);
        }
    }
}
