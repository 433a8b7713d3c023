//! A resource record where it lies (RFC 1035 section 4.1.3).

use super::effort::Effort;
use super::header;
use super::name;
use super::off_limits::OffLimits;
use super::place::Place;
use super::types::{CLASS_IN, RecordType};

/// What stands between the owner name and the data: type, class, TTL, length.
pub(super) const FIXED: usize = 10;
pub(super) const CUT_SHORT: &str = "a record is cut short";
pub(super) const DATA_RUNS_OFF: &str = "a record's data runs off the message";
/// From a TTL to the data: the TTL itself and the length.
pub(super) const TTL_TO_DATA: usize = 6;

/// Where a record's parts lie in its message. The owner name and all bounds have been checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub owner: usize,
    pub record_type: RecordType,
    pub class: u16,
    /// As on the wire; [`lifetime`] says what it means.
    pub ttl: u32,
    pub ttl_at: usize,
    pub data: usize,
    pub end: usize,
}

impl Record {
    /// Reads the record at `at`, no part of whose owner name may be off limits.
    #[inline]
    pub fn read(
        packet: &[u8],
        at: usize,
        off_limits: Option<&OffLimits>,
    ) -> Result<Record, &'static str> {
        let type_at = name::walk(packet, at, off_limits)?;
        let record = Record::behind(packet, at, type_at).ok_or(CUT_SHORT)?;
        if record.end > packet.len() {
            return Err(DATA_RUNS_OFF);
        }
        Ok(record)
    }

    /// The record at `at` of a message that has been walked.
    #[inline]
    pub fn walked(packet: &[u8], at: usize) -> Option<Record> {
        Record::behind(packet, at, name::end(packet, at))
    }

    /// The record whose TTL is known to be at `ttl_at` and whose owner name is at `owner`, of a
    /// message that has been walked.
    #[inline]
    pub fn noted(packet: &[u8], owner: usize, ttl_at: usize) -> Option<Record> {
        Record::behind(packet, owner, ttl_at.checked_sub(4)?)
    }

    /// The record at `owner` whose type follows its name at `type_at`.
    #[inline]
    fn behind(packet: &[u8], owner: usize, type_at: usize) -> Option<Record> {
        let fixed: &[u8; FIXED] = packet.get(type_at..)?.first_chunk()?;
        let data = type_at + FIXED;
        Some(Record {
            owner,
            record_type: RecordType(u16::from_be_bytes([fixed[0], fixed[1]])),
            class: u16::from_be_bytes([fixed[2], fixed[3]]),
            ttl: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ttl_at: type_at + 4,
            data,
            end: data + usize::from(u16::from_be_bytes([fixed[8], fixed[9]])),
        })
    }

    /// The record's data.
    pub fn data<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.data..self.end).unwrap_or_default()
    }

    /// How many octets its data has.
    pub fn len(&self) -> usize {
        self.end - self.data
    }

    /// Whether this is a record of the Internet class and of this type. The data of types that
    /// are looked into has been checked for that class only.
    #[inline]
    pub fn is(&self, record_type: RecordType) -> bool {
        self.record_type == record_type && self.class == CLASS_IN
    }

    /// Whether `self` and `other` belong to one record set of a message: owner,
    /// type and class, and for signatures also the type they cover (RFC 4034 section 3).
    pub fn same_set(&self, other: &Record, packet: &[u8]) -> bool {
        let covered = |record: &Record| header::word(packet, record.data);
        let owner = |record: &Record| Place::new(packet, record.owner);
        self.record_type == other.record_type
            && self.class == other.class
            && (self.record_type != RecordType::RRSIG || covered(self) == covered(other))
            && owner(self).same(owner(other), &Effort::new())
    }
}

/// What a TTL on the wire means, in seconds: with the top bit set, zero (RFC 2181 section 8).
#[inline]
pub(super) fn lifetime(ttl: u32) -> u32 {
    if ttl > i32::MAX as u32 { 0 } else { ttl }
}

/// The records of one or more sections, one after the other, of a message that has been walked.
pub(super) struct Records<'a> {
    packet: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Records<'a> {
    /// `count` records from `at` on.
    pub fn new(packet: &'a [u8], at: usize, count: usize) -> Records<'a> {
        Records {
            packet,
            at,
            left: count,
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        self.left = self.left.checked_sub(1)?;
        let record = Record::walked(self.packet, self.at)?;
        self.at = record.end;
        Some(record)
    }
}
