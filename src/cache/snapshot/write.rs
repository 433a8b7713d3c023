//! Writing a snapshot, in pieces and all at once: in pieces, so that no shard is locked for longer
//! than some answers take to copy; all at once, as far as anybody who reads it can tell.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use crc32fast::Hasher;

use crate::clock::Life;
use crate::config;

use super::super::Cache;
use super::super::entry::{Entry, flag};
use super::file::{self, BLOCK_MOST, End, Kind, Record, record};
use super::{Besides, SnapshotError, Written};

/// Entries copied under one hold of a shard's lock: some ten microseconds.
const PIECE: usize = 128;
/// And no more than so many bytes, for answers may be large.
const PIECE_BYTES: usize = 64 * 1024;

/// Writes what `cache` holds at `now`, which the wall clock calls `wall` (seconds since the Unix
/// epoch), and what is kept `besides`, to `path`. The file appears there complete or not
/// at all, readable by its owner only. A cache that is in use is not held up: between two pieces of
/// a hundred entries or so no lock is held, and `pause` is called, which may sleep. Answers that
/// come in meanwhile may or may not be in the file.
///
/// # Errors
/// Whatever the file system says, or that something is at `path` that is no file. What was at `path` before is still there then.
pub fn write(
    path: &Path,
    cache: &Cache,
    besides: Besides<'_>,
    now: Life,
    wall: u64,
    pause: impl FnMut(),
) -> Result<Written, SnapshotError> {
    let _one_at_a_time = cache
        .snapshot
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let temporary = temporary(path);
    let failed = |action| {
        let path = path.to_owned();
        move |source| SnapshotError::Io {
            action,
            path,
            source,
        }
    };
    config::file::replaceable(path).map_err(failed("replace"))?;
    let file = create(&temporary).map_err(failed("create"))?;
    let written = fill(&file, cache, besides, now, wall, pause)
        .and_then(|written| file.sync_all().map(|()| written))
        .map_err(failed("write"))
        .and_then(|written| {
            let renamed = fs::rename(&temporary, path).and_then(|()| sync_directory(path));
            renamed.map(|()| written).map_err(failed("put in place"))
        });
    if written.is_err() {
        // Whether that succeeds changes nothing: the next snapshot removes it first.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Beside the snapshot, for a file is only renamed within a file system. Always the same name, so
/// that what a killed process left behind is found by the next.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Creates the file anew: what is there may be half a snapshot, or somebody's link to elsewhere.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Makes the renaming last. Some file systems know no such thing, and do it by themselves or not at
/// all.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match File::open(directory)?.sync_all() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

fn fill(
    file: &File,
    cache: &Cache,
    besides: Besides<'_>,
    now: Life,
    wall: u64,
    mut pause: impl FnMut(),
) -> io::Result<Written> {
    let mut blocks = Blocks::begin(file, wall)?;
    for shard in &cache.shards {
        shard.lock().start_round();
        loop {
            let more = blocks.collect(&mut shard.lock(), now);
            blocks.write_collected()?;
            pause();
            if !more {
                break;
            }
        }
    }
    for (kind, octets) in [
        (Kind::Baselines, besides.baselines),
        (Kind::Guard, besides.guard),
    ] {
        for piece in octets.chunks(BLOCK_MOST) {
            blocks.write(kind, piece)?;
        }
    }
    blocks.end(cache.stats().bytes)
}

/// A file that is written block by block.
struct Blocks<'a> {
    file: &'a File,
    /// Entries that are to become a block. Its memory is used again and again, so that none is
    /// allocated under a shard's lock.
    collected: Vec<u8>,
    /// What stands before the contents, and the contents: written with one call.
    octets: Vec<u8>,
    blocks: u64,
    entries: u64,
    bytes: u64,
    sums: Hasher,
}

impl<'a> Blocks<'a> {
    fn begin(file: &'a File, wall: u64) -> io::Result<Blocks<'a>> {
        let mut blocks = Blocks {
            file,
            collected: Vec::with_capacity(BLOCK_MOST),
            octets: Vec::with_capacity(BLOCK_MOST + file::BLOCK_HEADER),
            blocks: 0,
            entries: 0,
            bytes: 0,
            sums: Hasher::new(),
        };
        blocks.write_octets(&file::header(wall))?;
        Ok(blocks)
    }

    /// Copies a piece of a shard. Returns whether there may be more.
    fn collect(&mut self, shard: &mut super::super::segments::Segments, now: Life) -> bool {
        let mut left = PIECE;
        shard.visit(|entry, count, protected| {
            // What holds for seconds is not worth a disk.
            if !entry.is_provisional() {
                self.entries += 1;
                self.copy(entry, count, protected, now);
            }
            left -= 1;
            left > 0 && self.collected.len() < PIECE_BYTES
        })
    }

    fn copy(&mut self, entry: &Entry, count: u8, protected: bool, now: Life) {
        let answer = entry.answer.as_bytes();
        let protected = if protected { record::PROTECTED } else { 0 };
        let asked = match entry.flags & flag::ASKED {
            0 => 0,
            _ => record::ASKED,
        };
        let head = Record {
            len: answer.len(),
            age_ms: entry.age_nanos(now) / 1_000_000,
            count,
            flags: entry.flags & (flag::DNSSEC_OK | flag::CHECKING_DISABLED) | protected | asked,
        };
        self.collected.extend_from_slice(&head.to_octets());
        self.collected.extend_from_slice(answer);
    }

    fn write_collected(&mut self) -> io::Result<()> {
        if self.collected.is_empty() {
            return Ok(());
        }
        let mut collected = std::mem::take(&mut self.collected);
        let written = self.write(Kind::Entries, &collected);
        collected.clear();
        self.collected = collected;
        written
    }

    fn write(&mut self, kind: Kind, contents: &[u8]) -> io::Result<()> {
        let len = (contents.len() as u32).to_le_bytes();
        let sum = file::block_sum(kind as u8, len, contents).to_le_bytes();
        let mut octets = std::mem::take(&mut self.octets);
        octets.clear();
        octets.push(kind as u8);
        octets.extend_from_slice(&len);
        octets.extend_from_slice(&sum);
        octets.extend_from_slice(contents);
        let written = self.write_octets(&octets);
        self.octets = octets;
        self.sums.update(&sum);
        self.blocks += 1;
        written
    }

    fn end(mut self, bytes: usize) -> io::Result<Written> {
        let end = End {
            blocks: self.blocks,
            entries: self.entries,
            bytes: bytes as u64,
            sums: std::mem::take(&mut self.sums).finalize(),
        };
        self.write(Kind::End, &end.to_octets())?;
        Ok(Written {
            entries: self.entries,
            bytes: self.bytes,
        })
    }

    fn write_octets(&mut self, octets: &[u8]) -> io::Result<()> {
        let mut file = self.file;
        file.write_all(octets)?;
        self.bytes += octets.len() as u64;
        Ok(())
    }
}
