//! The room through which everything that an item writes passes: lines, masking, the raw log, the terminal.
//!
//! `mask.rs` `escape.rs` `line.rs` `tail.rs` decide and are pure: bytes in, bytes out. `log_file.rs` and
//! `terminal.rs` touch the world. An item's thread reads blocks from its child's pipes, has a [`line::Stream`]
//! turn each into log bytes and display lines, writes the first to its [`log_file::LogFile`], shows them to its
//! [`tail::Tail`], and hands the second to the terminal's thread. Masking comes first and once, so that no sink
//! behind it ever sees a key.

pub mod escape;
mod glance;
pub mod line;
pub mod log_file;
pub mod mask;
pub mod panic;
pub mod tail;
pub mod terminal;
pub mod workflow_command;

/// One of the two standard streams: where a child wrote, and where we show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

impl Target {
    /// Both, in the order of their descriptors.
    pub const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Stdout => Self::Stderr,
            Self::Stderr => Self::Stdout,
        }
    }

    /// 0 or 1, the place in an array that holds one thing for each.
    const fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}
