//! One queue of entries.

use std::hash::{BuildHasher, Hasher};

use lru::LruCache;

use super::entry::Entry;
use super::memory;

/// The keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hashed(u64);

impl BuildHasher for Hashed {
    type Hasher = Hashed;

    fn build_hasher(&self) -> Hashed {
        Hashed(0)
    }
}

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(*octet);
        }
    }
}

/// One queue of entries, with what it takes.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) entries: LruCache<u64, Entry, Hashed>,
    /// Of the entries, the table aside.
    pub(super) bytes: usize,
    /// The most entries it ever held.
    pub(super) peak: usize,
    /// What its table takes.
    pub(super) table: usize,
}

impl Segment {
    pub(super) fn new() -> Segment {
        Segment {
            entries: LruCache::unbounded_with_hasher(Hashed::default()),
            bytes: 0,
            peak: 0,
            table: memory::of_table(0),
        }
    }

    /// Adds an entry that is not there yet, at the young end.
    pub(super) fn push(&mut self, hash: u64, entry: Entry) {
        self.bytes += entry.bytes();
        self.entries.push(hash, entry);
        if self.entries.len() > self.peak {
            self.peak = self.entries.len();
            self.table = memory::of_table(self.peak);
        }
    }

    /// By how much its table grows with one entry more.
    pub(super) fn growth(&self) -> usize {
        match self.entries.len() < self.peak {
            true => 0,
            false => memory::of_table(self.entries.len() + 1) - self.table,
        }
    }

    pub(super) fn remove(&mut self, hash: u64) -> Option<Entry> {
        let entry = self.entries.pop(&hash)?;
        self.bytes -= entry.bytes();
        Some(entry)
    }

    pub(super) fn remove_oldest(&mut self) -> Option<(u64, Entry)> {
        let (hash, entry) = self.entries.pop_lru()?;
        self.bytes -= entry.bytes();
        Some((hash, entry))
    }

    /// Puts `entry` in the place of the one with the same hash.
    pub(super) fn replace(&mut self, hash: u64, entry: Entry) {
        if let Some(place) = self.entries.peek_mut(&hash) {
            self.bytes += entry.bytes();
            self.bytes -= place.bytes();
            *place = entry;
        }
    }

    /// Keeps the entries for which `keep` holds; returns how many went.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) -> usize {
        let before = self.entries.len();
        let bytes = &mut self.bytes;
        self.entries.retain(|_, entry| {
            let kept = keep(entry);
            if !kept {
                *bytes -= entry.bytes();
            }
            kept
        });
        before - self.entries.len()
    }
}
