//! Identical questions in flight are asked once, whichever worker they came to.
//!
//! The table says which worker leads a question; the followers wait with the leader. Entries are a
//! keyed hash wide: two keys that collide are told apart by the leader, which compares in full.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::FixedState;

use crate::clock::Time;

const SHARDS: usize = 64;

/// Who leads a question: a worker, and the question's slot and generation there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The worker's index.
    pub worker: u16,
    /// Where that worker keeps the question.
    pub slot: u32,
    /// Tells a slot's successive questions apart.
    pub generation: u32,
}

/// Who leads which question, and since when.
type Led = HashMap<u64, (Leader, Time), FixedState>;

/// Questions in flight and clients waiting, all workers together, both bounded.
#[derive(Debug)]
pub struct InFlight {
    shards: [Mutex<Led>; SHARDS],
    questions: Bounded,
    waiting: Bounded,
}

impl InFlight {
    /// Room for this many distinct questions and waiting clients.
    pub fn new(questions: usize, waiting: usize) -> InFlight {
        InFlight {
            shards: std::array::from_fn(|_| Mutex::default()),
            questions: Bounded::new(questions),
            waiting: Bounded::new(waiting),
        }
    }

    /// Makes `leader` the leader of the question with this hash from `now` on, unless it has one, which is
    /// returned.
    pub fn lead(&self, hash: u64, leader: Leader, now: Time) -> Result<(), Leader> {
        match self.shard(hash).entry(hash) {
            Entry::Occupied(entry) => Err(entry.get().0),
            Entry::Vacant(entry) => {
                entry.insert((leader, now));
                Ok(())
            }
        }
    }

    /// Who leads the question with this hash.
    pub fn leader(&self, hash: u64) -> Option<Leader> {
        self.shard(hash).get(&hash).map(|(leader, _)| *leader)
    }

    /// Since when the question with this hash is being asked, if it is.
    pub fn since(&self, hash: u64) -> Option<Time> {
        self.shard(hash).get(&hash).map(|(_, since)| *since)
    }

    /// `leader` leads the question with this hash no longer.
    pub fn leave(&self, hash: u64, leader: Leader) {
        let mut shard = self.shard(hash);
        if shard.get(&hash).is_some_and(|(leads, _)| *leads == leader) {
            shard.remove(&hash);
        }
    }

    /// Distinct questions in flight or queued.
    pub fn questions(&self) -> &Bounded {
        &self.questions
    }

    /// Clients waiting for an answer.
    pub fn waiting(&self) -> &Bounded {
        &self.waiting
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Led> {
        // The low bits choose the bucket within the table.
        let index = (hash >> 56) as usize % SHARDS;
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A count with a bound, shared by the workers.
#[derive(Debug)]
pub struct Bounded {
    held: AtomicUsize,
    bound: usize,
}

impl Bounded {
    fn new(bound: usize) -> Bounded {
        Bounded {
            held: AtomicUsize::new(0),
            bound,
        }
    }

    /// Takes one place, or says that all are taken.
    #[must_use]
    pub fn take(&self) -> bool {
        let before = self.held.fetch_add(1, Ordering::Relaxed);
        if before >= self.bound {
            self.held.fetch_sub(1, Ordering::Relaxed);
        }
        before < self.bound
    }

    /// Gives `places` back.
    pub fn give(&self, places: usize) {
        self.held.fetch_sub(places, Ordering::Relaxed);
    }

    /// Places taken.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_question_has_one_leader_until_it_leaves() {
        let inflight = InFlight::new(2, 2);
        let (first, second) = (
            Leader {
                worker: 0,
                slot: 1,
                generation: 1,
            },
            Leader {
                worker: 1,
                slot: 1,
                generation: 1,
            },
        );
        let (now, later) = (Time::START, Time::START + Duration::from_secs(1));
        assert_eq!(inflight.since(7), None);
        assert_eq!(inflight.lead(7, first, now), Ok(()));
        assert_eq!(inflight.lead(7, second, later), Err(first));
        inflight.leave(7, second);
        assert_eq!(inflight.leader(7), Some(first), "only the leader can leave");
        assert_eq!(inflight.since(7), Some(now));
        inflight.leave(7, first);
        assert_eq!(inflight.lead(7, second, later), Ok(()));
        assert_eq!(inflight.since(7), Some(later));
    }

    #[test]
    fn a_bound_is_kept_and_places_come_back() {
        let bounded = Bounded::new(2);
        assert!(bounded.take() && bounded.take());
        assert!(!bounded.take());
        assert_eq!(bounded.held(), 2);
        bounded.give(1);
        assert!(bounded.take());
    }
}
