//! The parts of the file, as octets.

use crc32fast::Hasher;

use super::super::entry::flag;

pub(super) const MAGIC: &[u8; 8] = b"byway\0cs";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER: usize = 8 + 4 + 8 + 4;
/// What stands before the contents of a block.
pub(super) const BLOCK_HEADER: usize = 1 + 4 + 4;
/// The most a block holds, so that a length that is not true costs no memory. The largest answer
/// fits, with what stands before it.
pub(super) const BLOCK_MOST: usize = 256 * 1024;
/// The most that is kept besides the answers: a line of 250 octets for each of the 4,096 routes that a configuration may
/// make.
pub(super) const BASELINES_MOST: usize = 1024 * 1024;
/// The most that is kept of names under guard: a kilobyte for each of as many as there may be.
pub(super) const GUARD_MOST: usize = 1024 * 1024 * 1024;
/// What stands before the octets of an answer.
pub(super) const RECORD_HEADER: usize = 4 + 8 + 1 + 1;
pub(super) const END: usize = 8 + 8 + 8 + 4;

/// Flags of a record.
pub(super) mod record {
    pub(in super::super) const PROTECTED: u8 = 4;
    pub(in super::super) const ASKED: u8 = 8;
    pub(in super::super) const KNOWN: u8 = 15;
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Entries = 1,
    Baselines = 2,
    Guard = 3,
    End = 255,
}

impl Kind {
    pub(super) fn from_octet(octet: u8) -> Option<Kind> {
        match octet {
            1 => Some(Kind::Entries),
            2 => Some(Kind::Baselines),
            3 => Some(Kind::Guard),
            255 => Some(Kind::End),
            _ => None,
        }
    }
}

/// An entry as it is written: its answer's octets follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) len: usize,
    pub(super) age_ms: u64,
    pub(super) count: u8,
    pub(super) flags: u8,
}

impl Record {
    pub(super) fn to_octets(self) -> [u8; RECORD_HEADER] {
        let mut octets = [0; RECORD_HEADER];
        octets[..4].copy_from_slice(&(self.len as u32).to_le_bytes());
        octets[4..12].copy_from_slice(&self.age_ms.to_le_bytes());
        octets[12] = self.count;
        octets[13] = self.flags;
        octets
    }

    /// The first record of `octets`, its answer and what follows.
    pub(super) fn split(octets: &[u8]) -> Option<(Record, &[u8], &[u8])> {
        let (len, rest) = octets.split_first_chunk()?;
        let (age_ms, rest) = rest.split_first_chunk()?;
        let ([count, flags], rest) = rest.split_first_chunk()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let (answer, rest) = rest.split_at_checked(len)?;
        let record = Record {
            len,
            age_ms: u64::from_le_bytes(*age_ms),
            count: *count,
            flags: *flags,
        };
        (record.flags & !record::KNOWN == 0).then_some((record, answer, rest))
    }

    /// The flags of a question key: its last octet.
    pub(super) fn key_flags(&self) -> u8 {
        self.flags & (flag::DNSSEC_OK | flag::CHECKING_DISABLED)
    }

    pub(super) fn protected(&self) -> bool {
        self.flags & record::PROTECTED != 0
    }

    pub(super) fn asked(&self) -> bool {
        self.flags & record::ASKED != 0
    }
}

pub(super) fn header(wall: u64) -> [u8; HEADER] {
    let mut octets = [0; HEADER];
    octets[..8].copy_from_slice(MAGIC);
    octets[8..12].copy_from_slice(&VERSION.to_le_bytes());
    octets[12..20].copy_from_slice(&wall.to_le_bytes());
    let sum = crc32fast::hash(&octets[..20]);
    octets[20..].copy_from_slice(&sum.to_le_bytes());
    octets
}

pub(super) fn block_sum(kind: u8, len: [u8; 4], contents: &[u8]) -> u32 {
    let mut sum = Hasher::new();
    sum.update(&[kind]);
    sum.update(&len);
    sum.update(contents);
    sum.finalize()
}

/// The contents of the last block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// Blocks before this one.
    pub(super) blocks: u64,
    pub(super) entries: u64,
    /// What the cache took that was written.
    pub(super) bytes: u64,
    /// CRC-32 of the checksums of all blocks before this one.
    pub(super) sums: u32,
}

impl End {
    pub(super) fn to_octets(self) -> [u8; END] {
        let mut octets = [0; END];
        octets[..8].copy_from_slice(&self.blocks.to_le_bytes());
        octets[8..16].copy_from_slice(&self.entries.to_le_bytes());
        octets[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        octets[24..].copy_from_slice(&self.sums.to_le_bytes());
        octets
    }

    pub(super) fn read(octets: &[u8]) -> Option<End> {
        let (blocks, rest) = octets.split_first_chunk()?;
        let (entries, rest) = rest.split_first_chunk()?;
        let (bytes, rest) = rest.split_first_chunk()?;
        Some(End {
            blocks: u64::from_le_bytes(*blocks),
            entries: u64::from_le_bytes(*entries),
            bytes: u64::from_le_bytes(*bytes),
            sums: u32::from_le_bytes(rest.try_into().ok()?),
        })
    }
}
