//! How often names were asked for that the cache does not hold.
//!
//! A count-min sketch of four-bit counters (Einziger, Friedman and Manes: TinyLFU, 2017). Entries
//! that are held count for themselves; the sketch remembers those that were evicted, so that a
//! name that keeps coming back is known from one that came once. It is consulted when an answer is
//! stored, never when one is read.

use super::memory::allocation;

/// Counters a hash has, each in another place. The least of them is the estimate.
const ROWS: u32 = 4;
/// The words an empty sketch starts with once something is counted.
const FIRST_WORDS: usize = 64;
/// Spread a hash over the rows: odd constants with well-mixed bits.
const SPREAD: [u64; ROWS as usize] = [
    0x9e37_79b9_7f4a_7c15,
    0xbf58_476d_1ce4_e5b9,
    0x94d0_49bb_1331_11eb,
    0xd6e8_feb8_6659_fd93,
];
/// The most a counter can say.
pub(super) const MOST: u8 = 15;

/// Sixteen counters a word; as many words as there are entries.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    words: Vec<u64>,
}

impl Sketch {
    /// The estimate for `hash`: never below the truth, apart from ageing.
    pub(super) fn estimate(&self, hash: u64) -> u8 {
        if self.words.is_empty() {
            return 0;
        }
        let counters = SPREAD.iter().map(|spread| {
            let (word, shift) = self.place(hash, *spread);
            (self.words[word] >> shift & u64::from(MOST)) as u8
        });
        counters.min().unwrap_or(0)
    }

    /// Makes the estimate for `hash` at least `count`, which is at most [`MOST`]. Counters that say
    /// more already are left alone, which keeps what others share from growing (conservative
    /// update). Before the first [`fit`](Self::fit) there is nothing to raise.
    pub(super) fn raise(&mut self, hash: u64, count: u8) {
        if self.words.is_empty() {
            return;
        }
        for spread in SPREAD {
            let (word, shift) = self.place(hash, spread);
            let counter = (self.words[word] >> shift & u64::from(MOST)) as u8;
            if counter < count {
                self.words[word] += u64::from(count - counter) << shift;
            }
        }
    }

    /// Halves every counter, so that what was popular once does not stay so for ever.
    pub(super) fn age(&mut self) {
        for word in &mut self.words {
            *word = *word >> 1 & 0x7777_7777_7777_7777;
        }
    }

    /// Grows to a word for each of `entries`. Every hash keeps its estimate: a table of twice the
    /// size that repeats itself says the same as the one before.
    pub(super) fn fit(&mut self, entries: usize) {
        if self.words.is_empty() {
            self.words = vec![0; FIRST_WORDS];
        }
        while self.words.len() < entries {
            self.words.reserve_exact(self.words.len());
            self.words.extend_from_within(..);
        }
    }

    /// Bytes of the counters.
    pub(super) fn bytes(&self) -> usize {
        Sketch::bytes_of(self.words.len())
    }

    /// Bytes of the counters once [`fit`](Self::fit) was asked for `entries`.
    pub(super) fn bytes_for(&self, entries: usize) -> usize {
        let words = entries.next_power_of_two().max(FIRST_WORDS);
        Sketch::bytes_of(words.max(self.words.len()))
    }

    fn bytes_of(words: usize) -> usize {
        match words {
            0 => 0,
            words => allocation(words * size_of::<u64>()),
        }
    }

    /// The word and the shift of a counter. The number of words is a power of two.
    fn place(&self, hash: u64, spread: u64) -> (usize, u32) {
        let mixed = hash.wrapping_mul(spread);
        let word = (mixed >> 28) as usize & (self.words.len() - 1);
        (word, (mixed >> 60) as u32 * 4)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    fn hash(n: u64) -> u64 {
        foldhash::quality::FixedState::with_seed(1).hash_one(n)
    }

    #[test]
    fn an_estimate_is_never_below_the_count() {
        let mut sketch = Sketch::default();
        assert_eq!(sketch.estimate(hash(7)), 0);
        for n in 0..5_000 {
            sketch.fit(n as usize);
            sketch.raise(hash(n), (n % 16) as u8);
        }
        for n in 0..5_000 {
            assert!(sketch.estimate(hash(n)) >= (n % 16) as u8, "{n}");
        }
    }

    #[test]
    fn most_names_never_counted_are_estimated_at_nothing() {
        let mut sketch = Sketch::default();
        for n in 0..4_096 {
            sketch.fit(n as usize);
            sketch.raise(hash(n), 1);
        }
        let wrong = (10_000..20_000).filter(|n| sketch.estimate(hash(*n)) > 0);
        assert!(wrong.count() < 500);
    }

    #[test]
    fn growing_changes_no_estimate_and_ageing_halves_it() {
        let mut sketch = Sketch::default();
        sketch.fit(1);
        for n in 0..200 {
            sketch.raise(hash(n), (n % 16) as u8);
        }
        let before: Vec<u8> = (0..400).map(|n| sketch.estimate(hash(n))).collect();
        sketch.fit(5_000);
        let after: Vec<u8> = (0..400).map(|n| sketch.estimate(hash(n))).collect();
        assert_eq!(before, after);
        sketch.age();
        for n in 0..400 {
            assert_eq!(sketch.estimate(hash(n)), before[n as usize] / 2);
        }
    }
}
