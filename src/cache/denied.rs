//! Names that do not exist, whatever the type (RFC 2308 section 5).
//!
//! An NXDOMAIN is held under the question that it answered. What is kept here is where: the type of that
//! question, by a hash of the name and the DO and CD bits. It is a hint, lossy and without a lock: a place
//! that another name has taken costs a question upstream, and what is found is compared in full and must
//! still be an NXDOMAIN. Only a question that nothing is held for looks here.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::wire::RecordType;

/// Bytes of the cache for each place, which takes eight more: an answer takes some two or three hundred.
const SHARE: usize = 1024;
const MOST: usize = 1 << 20;
/// The type, and that there is one.
const LOW: u32 = 17;
const TAKEN: u64 = 1 << 16;

/// The types under which names are known not to exist.
pub(super) struct Denied(Box<[AtomicU64]>);

impl Denied {
    /// None, with places for a cache of `size` bytes; without one, none either.
    pub(super) fn new(size: usize) -> Denied {
        let places = match size {
            0 => 0,
            size => (size / SHARE).next_power_of_two().min(MOST),
        };
        Denied((0..places).map(|_| AtomicU64::new(0)).collect())
    }

    /// The name of this hash does not exist; that is held under `record_type`.
    pub(super) fn note(&self, hash: u64, record_type: RecordType) {
        if let Some(place) = self.place(hash) {
            let noted = hash >> LOW << LOW | TAKEN | u64::from(record_type.0);
            place.store(noted, Ordering::Relaxed);
        }
    }

    /// It exists after all.
    pub(super) fn clear(&self, hash: u64) {
        if self.look(hash).is_some()
            && let Some(place) = self.place(hash)
        {
            place.store(0, Ordering::Relaxed);
        }
    }

    /// Under which type it may be held that the name does not exist.
    #[inline]
    pub(super) fn look(&self, hash: u64) -> Option<RecordType> {
        let noted = self.place(hash)?.load(Ordering::Relaxed);
        let same = noted & TAKEN != 0 && noted >> LOW == hash >> LOW;
        same.then_some(RecordType(noted as u16))
    }

    #[inline]
    fn place(&self, hash: u64) -> Option<&AtomicU64> {
        // The low bits choose the place, the others are compared; of those that are neither there are few.
        self.0.get(hash as usize & self.0.len().wrapping_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_for_one_name() {
        let denied = Denied::new(SHARE * 8);
        assert_eq!(denied.0.len(), 8);
        let (one, other) = (0x1234_5678_9abc_def0, 0x2234_5678_9abc_def0);
        denied.note(one, RecordType::A);
        assert_eq!(denied.look(one), Some(RecordType::A));
        assert_eq!(denied.look(other), None);
        denied.clear(other);
        assert_eq!(denied.look(one), Some(RecordType::A));
        denied.note(other, RecordType(65535));
        assert_eq!(
            (denied.look(one), denied.look(other)),
            (None, Some(RecordType(65535)))
        );
        denied.clear(other);
        assert_eq!(denied.look(other), None);
        assert_eq!(denied.look(0), None, "an empty place is no name's");
    }

    #[test]
    fn without_a_cache_nothing_is_noted() {
        let denied = Denied::new(0);
        denied.note(7, RecordType::A);
        denied.clear(7);
        assert_eq!(denied.look(7), None);
    }
}
