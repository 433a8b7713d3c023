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
/// hashbrown fills a table to 7/8, but where entries come and go the marks of deleted ones use up
/// the rest in time, and then it doubles unless it is less than half full. What it may become is
/// counted from the start, so that a cache which has filled need not shrink later.
pub(super) const fn of_table(peak: usize) -> usize {
    if peak == 0 {
        return 0;
    }
    let least = (peak * 16).div_ceil(7).next_power_of_two();
    let buckets = if least < 4 { 4 } else { least };
    allocation(buckets * 17 + 16)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn an_entry_is_64_bytes_with_its_links() {
        assert_eq!(size_of::<Entry>(), 32);
        assert_eq!(NODE, 64);
        assert_eq!([0, 24, 25, 56, 70].map(allocation), [32, 32, 48, 64, 80]);
    }

    #[test]
    fn a_table_is_never_larger_than_what_is_counted_for_it() {
        for peak in [
            1, 3, 4, 6, 7, 12, 13, 50, 97, 200, 384, 385, 500, 700, 769, 1000, 1537,
        ] {
            // The standard library's map is hashbrown too. Its capacity is lessened by the marks of
            // deleted entries, so it tells the size of the table when that has just grown.
            let mut map = HashMap::new();
            let (mut grown, mut most) = (0, 0);
            for next in 0..300 * peak as u64 + 2_000 {
                if map.len() == peak {
                    map.remove(&(next - peak as u64));
                } else {
                    grown = map.capacity();
                }
                map.insert(next, 0u64);
                most = most.max(map.capacity());
            }
            let table = |capacity: usize| {
                let buckets = match capacity {
                    0..8 => (capacity + 1).next_power_of_two(),
                    _ => (capacity * 8).div_ceil(7).next_power_of_two(),
                };
                allocation(buckets * 17 + 16)
            };
            assert!(table(most) <= of_table(peak), "{peak}: {most}");
            // Nor is much more counted than what it takes once it has grown.
            assert!(
                of_table(peak) <= 2 * table(grown.max(most)) + 64,
                "{peak}: {grown} {most}"
            );
        }
        assert_eq!(of_table(0), 0);
    }
}
