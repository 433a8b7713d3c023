//! Names that were evicted not long ago, and how much they were asked for.
//!
//! An entry that is held counts for itself; when it goes, its count stays behind as a ghost. A name
//! that comes back is known by it, and a name that comes once is not: that is what keeps a scan out
//! of the protected segment. It is looked at when an answer is stored, never when one is read.
//!
//! A ghost is 32 bits, of which 20 are part of the hash, so a name is taken for another once in a
//! hundred thousand times and the worst that follows is a place in the cache. A count-min sketch of
//! twice the memory, the usual choice, did worse in both columns of `benches/hit_ratio.rs`: names
//! seen once wear it out, and a scan through many made it take the next for an old acquaintance.

use super::memory::allocation;

/// Ghosts that share a cache line and compete for a place.
const SET: usize = 8;
/// Sets that there are to begin with.
const FIRST_SETS: usize = 8;
/// The most a count can be.
pub(super) const MOST: u8 = 15;

/// As many places as there are entries, or up to twice as many.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    sets: Vec<[Ghost; SET]>,
}

/// Part of a hash (20 bits), the epoch of the count (8) and the count (4). Zero is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ghost(u32);

impl Ghost {
    fn new(hash: u64, epoch: u16, count: u8) -> Ghost {
        let name = (hash >> 44 << 12) as u32;
        Ghost(name | u32::from(epoch as u8) << 4 | u32::from(count))
    }

    fn is_of(self, hash: u64) -> bool {
        (self.0 != 0) & (self.0 >> 12 == (hash >> 44) as u32)
    }

    /// The count, halved for every epoch since.
    fn count(self, epoch: u16) -> u8 {
        (self.0 as u8 & MOST) >> self.epochs_since(epoch).min(4)
    }

    fn epochs_since(self, epoch: u16) -> u8 {
        (epoch as u8).wrapping_sub((self.0 >> 4) as u8)
    }
}

impl Ghosts {
    /// The count that `hash` left behind, as it has become by `epoch`; 0 if it left none. It is a
    /// ghost no longer.
    pub(super) fn take(&mut self, hash: u64, epoch: u16) -> u8 {
        let Some(set) = self.set(hash) else {
            return 0;
        };
        match find(set, hash).and_then(|place| set.get_mut(place)) {
            Some(ghost) => std::mem::take(ghost).count(epoch),
            None => 0,
        }
    }

    /// Remembers that `hash` was asked for `count` times, up to [`MOST`] and at least once, by
    /// `epoch`. The ghost with the lowest count gives way, and of several the oldest.
    pub(super) fn leave(&mut self, hash: u64, epoch: u16, count: u8) {
        let Some(set) = self.set(hash) else {
            return;
        };
        // They stand in the order in which they came.
        let place = find(set, hash).or_else(|| {
            let counts = set.iter().map(|ghost| ghost.count(epoch)).enumerate();
            counts
                .min_by_key(|(_, count)| *count)
                .map(|(place, _)| place)
        });
        if let Some(later) = place.and_then(|place| set.get_mut(place..)) {
            later.rotate_left(1);
            if let Some(last) = later.last_mut() {
                *last = Ghost::new(hash, epoch, count.clamp(1, MOST));
            }
        }
    }

    /// Grows to a place for each of `entries`. Nobody is forgotten: a table of twice the size that
    /// repeats itself finds whatever the one before found.
    pub(super) fn fit(&mut self, entries: usize) {
        if entries <= self.sets.len() * SET {
            return;
        }
        let wanted = sets_for(entries);
        if self.sets.is_empty() {
            self.sets = vec![Default::default(); wanted];
        }
        while self.sets.len() < wanted {
            self.sets.reserve_exact(self.sets.len());
            self.sets.extend_from_within(..);
        }
    }

    /// Bytes they take.
    pub(super) fn bytes(&self) -> usize {
        bytes_of(self.sets.len())
    }

    /// Bytes they take once [`fit`](Self::fit) was asked for `entries`.
    pub(super) fn bytes_for(&self, entries: usize) -> usize {
        bytes_of(sets_for(entries).max(self.sets.len()))
    }

    fn set(&mut self, hash: u64) -> Option<&mut [Ghost; SET]> {
        let index = hash as usize & self.sets.len().wrapping_sub(1);
        self.sets.get_mut(index)
    }
}

/// The place of the ghost of `hash`. All are looked at at once: there is hardly ever one, and to stop at it
/// would cost more than it saves.
fn find(set: &[Ghost; SET], hash: u64) -> Option<usize> {
    let bits = set.iter().enumerate();
    let found = bits.fold(0, |found, (place, ghost)| {
        found | u32::from(ghost.is_of(hash)) << place
    });
    (found != 0).then(|| found.trailing_zeros() as usize)
}

/// A power of two.
fn sets_for(entries: usize) -> usize {
    entries.div_ceil(SET).next_power_of_two().max(FIRST_SETS)
}

fn bytes_of(sets: usize) -> usize {
    match sets {
        0 => 0,
        sets => allocation(sets * SET * size_of::<Ghost>()),
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
    fn a_ghost_is_known_once_and_its_count_fades() {
        let mut ghosts = Ghosts::default();
        ghosts.leave(hash(1), 0, 9);
        assert_eq!(ghosts.take(hash(1), 0), 0, "there is no room yet");
        ghosts.fit(1);
        for (passed, count) in [(0, 9), (1, 4), (2, 2), (3, 1), (4, 0), (200, 0)] {
            ghosts.leave(hash(1), 7, 9);
            assert_eq!(ghosts.take(hash(1), 7 + passed), count);
            assert_eq!(ghosts.take(hash(1), 7 + passed), 0);
        }
        ghosts.leave(hash(1), 300, 0);
        assert_eq!(ghosts.take(hash(1), 300), 1);
        ghosts.leave(hash(1), 300, 200);
        assert_eq!(ghosts.take(hash(1), 301), MOST / 2);
    }

    #[test]
    fn there_is_room_for_about_as_many_as_entries_and_the_latest_are_known() {
        let mut ghosts = Ghosts::default();
        ghosts.fit(1024);
        for n in 0..10_000 {
            ghosts.leave(hash(n), 0, 1);
        }
        let latest = (9_500..10_000)
            .filter(|n| ghosts.take(hash(*n), 0) == 1)
            .count();
        assert!(latest > 430, "{latest}");
        let strangers = (10_000..30_000)
            .filter(|n| ghosts.take(hash(*n), 0) > 0)
            .count();
        assert!(strangers <= 3, "{strangers}");
    }

    #[test]
    fn who_was_asked_for_more_is_remembered_longer() {
        let mut ghosts = Ghosts::default();
        ghosts.fit(1024);
        for n in 0..100 {
            ghosts.leave(hash(n), 0, 5);
        }
        for n in 1_000..20_000 {
            ghosts.leave(hash(n), 0, 1);
        }
        assert_eq!(
            (0..100).filter(|n| ghosts.take(hash(*n), 0) == 5).count(),
            100
        );
    }

    #[test]
    fn growing_forgets_nobody() {
        let mut ghosts = Ghosts::default();
        ghosts.fit(64);
        for n in 0..20 {
            ghosts.leave(hash(n), 0, 3);
        }
        let promised = ghosts.bytes_for(5_000);
        ghosts.fit(5_000);
        assert_eq!(ghosts.bytes(), promised);
        assert_eq!(
            (0..20).filter(|n| ghosts.take(hash(*n), 0) == 3).count(),
            20
        );
    }
}
