//! The cache across a restart.
//!
//! A restart in the middle of an outage must forget nothing, so what the cache holds is written to
//! a file now and then and read back before the first answer. The file is written beside the old
//! one and put in its place when it is on the disk: whatever happens, and whenever, the last
//! complete one is there. It is read to its end, and every answer in it is checked, before
//! anything of it is given to anybody; one that is damaged in any place is refused as a whole.
//!
//! # Format, version 1
//! All numbers are little-endian.
//!
//! | part | octets |
//! |---|---|
//! | header | magic `byway\0cs` (8), version (4), wall clock in seconds since the Unix epoch (8), CRC-32 of these (4) |
//! | block, many | kind (1), length of the contents (4), CRC-32 of kind, length and contents (4), contents |
//! | last block | kind 255; its contents are the number of blocks before it (8), the number of entries (8), the bytes they took in the cache (8) and the CRC-32 of the checksums of all blocks before it (4) |
//!
//! After the last block the file ends. A block of kind 1 holds entries: each the length of the
//! answer (4), its age in milliseconds (8), its count (1), flags (1: DO 1, CD 2, protected 4, asked
//! for 8) and the octets of the [`Answer`](crate::wire::Answer). Blocks of kind 2 hold, one after
//! another, what the caller wants kept besides: the baselines of the routes; blocks of kind 3 likewise what is remembered of
//! names under guard.
//!
//! # Clocks
//! Ages count across a restart by wall clock. If that has gone forward by more than an answer may
//! be stale, the answer is dead and not loaded. If it has gone backward (a machine without a
//! battery starts in the past) nobody knows how much time went by: then every answer is loaded as
//! one that has just expired, at least. It is served if nothing better comes, for at most
//! `stale-max` from now, and whoever asks for it first makes it fresh again.

mod file;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use read::{read, read_within};
pub use write::write;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Answers in the file.
    pub entries: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Answers that are held again.
    pub entries: u64,
    /// Answers that were past their TTL and `stale-max`, or that the rules of the configuration no
    /// longer let in.
    pub expired: u64,
    /// Answers for which there was no room: the cache is smaller than it was.
    pub left_out: u64,
    /// How long ago the snapshot was written, by wall clock. `None` if that lies in the future: the
    /// clock has gone backward, and all answers were loaded as expired.
    pub age: Option<Duration>,
    /// What was kept besides the answers, as it was given to [`write`](fn@write).
    pub baselines: Vec<u8>,
    /// The same of names under guard.
    pub guard: Vec<u8>,
}

/// What is kept besides the answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Besides<'a> {
    /// The baselines of the routes.
    pub baselines: &'a [u8],
    /// What is remembered of names under guard.
    pub guard: &'a [u8],
}

/// Why a snapshot could not be written or read. Each is one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The system would not.
    #[error("cannot {action} the cache snapshot {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not a snapshot that this version reads. Nothing of it was used.
    #[error("the cache snapshot {} is refused: {why}; starting with an empty cache", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: Damage,
    },
}

/// What is wrong with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Another user owns it, who is not the superuser either.
    #[error("it belongs to another user, {0}")]
    Owner(u32),
    /// Others than its owner may write it; its mode.
    #[error("others may write it (mode {0:o}; it should be 600)")]
    Writable(u32),
    /// It does not begin like one.
    #[error("it is not a snapshot of byway's cache")]
    Foreign,
    /// Another version of the format.
    #[error("it has format version {0}, this byway reads version {version}", version = file::VERSION)]
    Version(u32),
    /// It ends too early.
    #[error("it is cut off after {0} bytes")]
    Truncated(u64),
    /// A checksum is wrong.
    #[error("a checksum is wrong in the block at byte {0}")]
    Checksum(u64),
    /// The checksums are right, but what they protect makes no sense.
    #[error("the block at byte {0} makes no sense")]
    Garbled(u64),
    /// There is more behind its end.
    #[error("something follows its end at byte {0}")]
    Trailing(u64),
}
