//! Identical questions in flight are asked once, whichever worker they came to.
//!
//! The table says which worker leads a question; the followers wait with the leader. Entries are a
//! keyed hash wide: two keys that collide are told apart by the leader, which compares in full.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

    /// Makes `leader` the leader of the question with this hash from `now` on, until what is returned is
    /// dropped.
    ///
    /// # Errors
    /// The leader that it has already.
    pub fn lead(self: &Arc<Self>, hash: u64, leader: Leader, now: Time) -> Result<Lead, Leader> {
        match self.shard(hash).entry(hash) {
            Entry::Occupied(entry) => Err(entry.get().0),
            Entry::Vacant(entry) => {
                entry.insert((leader, now));
                Ok(Lead {
                    table: Arc::clone(self),
                    hash,
                    leader,
                })
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
    fn leave(&self, hash: u64, leader: Leader) {
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

/// The leadership of a question, until dropped: however a question ends, the next who asks it leads it.
#[derive(Debug)]
pub struct Lead {
    table: Arc<InFlight>,
    hash: u64,
    leader: Leader,
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.table.leave(self.hash, self.leader);
    }
}

/// A count with a bound, shared by the workers. What is counted are references to one and the same nothing.
#[derive(Debug)]
pub struct Bounded {
    counted: Arc<()>,
    bound: AtomicUsize,
}

/// Room for one in a [`Bounded`], until dropped.
#[derive(Debug)]
pub struct Room {
    _counted: Arc<()>,
}

impl Bounded {
    fn new(bound: usize) -> Bounded {
        Bounded {
            counted: Arc::new(()),
            bound: AtomicUsize::new(bound),
        }
    }

    /// Room for one more, unless there is none.
    #[must_use]
    pub fn take(&self) -> Option<Room> {
        let room = Room {
            _counted: Arc::clone(&self.counted),
        };
        (self.held() <= self.bound.load(Relaxed)).then_some(room)
    }

    /// Sets another bound. Rooms that are taken stay so.
    pub fn set_bound(&self, bound: usize) {
        self.bound.store(bound, Relaxed);
    }

    /// How many more there may be.
    pub fn left(&self) -> usize {
        self.bound.load(Relaxed).saturating_sub(self.held())
    }

    /// Rooms taken.
    pub fn held(&self) -> usize {
        Arc::strong_count(&self.counted) - 1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_question_has_one_leader_until_it_leaves() {
        let inflight = Arc::new(InFlight::new(2, 2));
        let leader = |worker| Leader {
            worker,
            slot: 1,
            generation: 1,
        };
        let (now, later) = (Time::START, Time::START + Duration::from_secs(1));
        assert_eq!(inflight.since(7), None);
        let first = inflight.lead(7, leader(0), now).expect("nobody leads");
        let refused = inflight.lead(7, leader(1), later).expect_err("it is led");
        assert_eq!(refused, leader(0));
        inflight.leave(7, leader(1));
        assert_eq!(inflight.leader(7), Some(leader(0)), "only the leader can");
        assert_eq!(inflight.since(7), Some(now));
        drop(first);
        let second = inflight.lead(7, leader(1), later).expect("nobody leads");
        assert_eq!(inflight.since(7), Some(later));
        drop(second);
        assert_eq!(inflight.leader(7), None);
    }

    #[test]
    fn a_bound_is_kept_and_rooms_come_back() {
        let bounded = Bounded::new(2);
        let rooms = [bounded.take(), bounded.take()];
        assert!(rooms.iter().all(Option::is_some));
        assert!(bounded.take().is_none());
        assert_eq!(bounded.held(), 2);
        drop(rooms);
        assert_eq!(bounded.held(), 0);
        assert!(bounded.take().is_some());
    }
}
