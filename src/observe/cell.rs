//! Counters that one thread writes and any thread reads.
//!
//! A counter of the hot path has one writer, its worker, so it needs no read-modify-write: a
//! load, an addition and a store, all relaxed, cost a third of a nanosecond where a locked
//! addition costs five, and fifty under contention.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A number with a single writer.
///
/// The writer adds by a load and a store, which loses an addition if two threads do it at once.
/// It cannot happen: the methods that write are private to this module's parent, which calls them
/// only through [`WorkerMetrics`](super::metrics::WorkerMetrics), and that handle is neither
/// `Sync` nor `Clone`, so one thread at most holds it. (Even a breach would lose a count, never
/// tear one or read freed memory.) Readers see some value the writer stored, never a mixture, and
/// successive reads by one thread never go backwards, which is all that a scrape needs; no other
/// memory is published through it, so `Relaxed` is enough.
#[derive(Debug, Default)]
pub(super) struct Cell64(AtomicU64);

impl Cell64 {
    /// Adds `n`; wraps at 2^64. By the single writer only.
    #[inline]
    pub(super) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Puts `value` in place of what was there. By the single writer only.
    #[inline]
    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// What the writer stored last, as far as this thread can see.
    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Keeps what one worker writes out of the cache lines that another one writes: two lines of 64
/// bytes, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Apart<T>(pub(super) T);

/// Upper bounds of the histograms' buckets, in nanoseconds: 10 us to 10 s in steps of about 2.25.
/// The steps are the ones people set objectives at, and at most one of them lies between a power
/// of two and the next, which is what [`Histogram::bucket`] relies on.
pub(super) const BOUNDS: [u64; 19] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// For a number of that many significant bits, the first bucket it may belong to.
const FIRST: [u8; 65] = {
    let mut first = [0; 65];
    let mut bits = 0;
    while bits <= 64 {
        let smallest = if bits == 0 { 0 } else { 1u64 << (bits - 1) };
        let mut bucket = 0;
        while bucket < BOUNDS.len() && BOUNDS[bucket] < smallest {
            bucket += 1;
        }
        first[bits] = bucket as u8;
        bits += 1;
    }
    first
};

/// The bounds, with one for the last bucket that nothing exceeds.
const CEILINGS: [u64; BOUNDS.len() + 1] = {
    let mut ceilings = [u64::MAX; BOUNDS.len() + 1];
    let mut bucket = 0;
    while bucket < BOUNDS.len() {
        ceilings[bucket] = BOUNDS[bucket];
        bucket += 1;
    }
    ceilings
};

/// A histogram of durations with a single writer. The last bucket is for what exceeds every bound.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [Cell64; BOUNDS.len() + 1],
    nanos: Cell64,
}

impl Histogram {
    /// Counts `n` durations of `took` each.
    #[inline]
    pub(super) fn add(&self, took: Duration, n: u64) {
        let nanos = took
            .as_secs()
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(took.subsec_nanos()));
        self.buckets[Self::bucket(nanos)].add(n);
        self.nanos.add(nanos.saturating_mul(n));
    }

    /// Which bucket `nanos` belongs to: the first whose bound is not below it. Without a branch,
    /// because latencies around a bound would have it mispredicted half the time.
    #[inline]
    fn bucket(nanos: u64) -> usize {
        let first = usize::from(FIRST[64 - nanos.leading_zeros() as usize]);
        first + usize::from(CEILINGS[first] < nanos)
    }

    /// Adds what was counted here to `sum`.
    pub(super) fn fold_into(&self, sum: &mut HistogramSum) {
        for (total, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *total = total.wrapping_add(bucket.get());
        }
        sum.nanos = sum.nanos.wrapping_add(self.nanos.get());
    }
}

/// Several workers' histograms added up.
#[derive(Clone, Debug, Default)]
pub(super) struct HistogramSum {
    /// How many fell into each bucket, not cumulative.
    pub(super) buckets: [u64; BOUNDS.len() + 1],
    /// All durations together, in nanoseconds.
    pub(super) nanos: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slowly(nanos: u64) -> usize {
        BOUNDS
            .iter()
            .position(|&bound| nanos <= bound)
            .unwrap_or(BOUNDS.len())
    }

    #[test]
    fn bounds_belong_to_their_own_bucket() {
        for (index, &bound) in BOUNDS.iter().enumerate() {
            assert_eq!(Histogram::bucket(bound), index);
            assert_eq!(Histogram::bucket(bound - 1), index);
            assert_eq!(Histogram::bucket(bound + 1), index + 1);
        }
        assert_eq!(Histogram::bucket(0), 0);
        assert_eq!(Histogram::bucket(u64::MAX), BOUNDS.len());
    }

    proptest! {
        #[test]
        fn the_table_finds_what_a_search_finds(bits in 0u32..64, low in any::<u64>()) {
            let nanos = low >> bits;
            prop_assert_eq!(Histogram::bucket(nanos), slowly(nanos));
        }
    }

    #[test]
    fn n_at_once_is_n_times_one() {
        let (once, each) = (Histogram::default(), Histogram::default());
        once.add(Duration::from_millis(7), 32);
        (0..32).for_each(|_| each.add(Duration::from_millis(7), 1));
        let (mut left, mut right) = (HistogramSum::default(), HistogramSum::default());
        once.fold_into(&mut left);
        each.fold_into(&mut right);
        assert_eq!((left.buckets, left.nanos), (right.buckets, right.nanos));
        assert_eq!(left.nanos, 32 * 7_000_000);
    }

    #[test]
    fn an_endless_duration_is_counted_and_does_not_overflow() {
        let histogram = Histogram::default();
        histogram.add(Duration::MAX, u64::MAX);
        let mut sum = HistogramSum::default();
        histogram.fold_into(&mut sum);
        assert_eq!(sum.buckets[BOUNDS.len()], u64::MAX);
    }
}
