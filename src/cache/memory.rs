//! What things really take.
//!
//! A cache that is bounded by bytes is only as honest as its idea of a byte. An allocation costs
//! more than was asked for, an entry of `lru` is an allocation of its own, and a hash table holds
//! room for entries that are not there. All of that is counted here, in one place, by the rules of
//! the GNU allocator and of hashbrown; tests hold both against the real thing.

use super::entry::Entry;

/// What the allocator takes for `asked` bytes: a header of 8, rounded up to 16, at least 32
/// (glibc's malloc on 64-bit machines; musl and mimalloc are within a few bytes of it).
pub(super) const fn allocation(asked: usize) -> usize {
    let taken = (asked + 8).next_multiple_of(16);
    if taken < 32 { 32 } else { taken }
}

/// One entry of an [`lru::LruCache`], its table share aside: key, value and two links.
pub(super) const NODE: usize = allocation(8 + size_of::<Entry>() + 2 * size_of::<usize>());

/// What an answer of `len` bytes takes with its entry.
pub(super) const fn of_entry(len: usize) -> usize {
    NODE + allocation(len)
}

/// The hash table of an [`lru::LruCache`] that has held up to `peak` entries: sixteen bytes a
/// bucket and one of control, in powers of two. It never shrinks.
///
/// hashbrown fills a table to 7/8, but once entries come and go above 3/4 or so the marks of
/// deleted ones use up the rest and it doubles. What it may become is counted from the start.
pub(super) const fn of_table(peak: usize) -> usize {
    if peak == 0 {
        return 0;
    }
    let least = (peak * 4).div_ceil(3).next_power_of_two();
    let buckets = if least < 4 { 4 } else { least };
    allocation(buckets * 17 + 16)
}
