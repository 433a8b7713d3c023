//! Wake-ups for questions in flight.
//!
//! A hashed wheel of millisecond ticks: a question's timer nearly always dies unused because the
//! answer came first, so setting one and cancelling one must cost next to nothing. The wheel's lists
//! are linked through one table, in which the places given back last are used first: under load the
//! same few lines of memory serve all questions.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::Time;

const SLOTS: usize = 4096;
const TICK_NANOS: u64 = 1_000_000;

/// The list of what is being handed out; the wheel's own lists are before it.
const DUE: u32 = SLOTS as u32;

/// Wake-ups by time, exact to a millisecond and never early.
///
/// Memory: as much as the most timers ever set at once took.
#[derive(Debug)]
pub struct Timers<T> {
    /// The heads of the lists, which are circular, and then the timers.
    nodes: Vec<Node<T>>,
    /// Places given back, linked by `after`; 0 ends it.
    free: u32,
    /// Lists that may hold timers. Whoever finds one empty says so.
    occupied: [Cell<u64>; SLOTS / 64],
    /// The first tick that has not been looked at yet.
    cursor: u64,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node<T> {
    at: Time,
    item: T,
    before: u32,
    after: u32,
}

/// A timer that is set: good for one [`Timers::cancel`], until the timer has been handed out.
#[derive(Debug)]
pub struct TimerId(u32);

impl<T: Copy + Default> Timers<T> {
    /// No timers, at `now`.
    pub fn new(now: Time) -> Timers<T> {
        let head = |list| Node {
            at: Time::NEVER,
            item: T::default(),
            before: list,
            after: list,
        };
        Timers {
            nodes: (0..=DUE).map(head).collect(),
            free: 0,
            occupied: std::array::from_fn(|_| Cell::new(0)),
            cursor: now.nanos() / TICK_NANOS,
            len: 0,
        }
    }

    /// Has `item` handed out by [`Timers::expired`] once `at` has come.
    pub fn set(&mut self, at: Time, item: T) -> TimerId {
        let node = Node {
            at,
            item,
            before: 0,
            after: 0,
        };
        let id = match self.free {
            0 => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
            id => {
                self.free = self.nodes[id as usize].after;
                self.nodes[id as usize] = node;
                id
            }
        };
        self.len += 1;
        self.enter(id);
        TimerId(id)
    }

    /// Takes a timer back.
    pub fn cancel(&mut self, id: TimerId) {
        self.remove(id.0);
    }

    /// Something that is due at `now`. To be called until there is nothing more.
    pub fn expired(&mut self, now: Time) -> Option<T> {
        let last = now.nanos() / TICK_NANOS;
        loop {
            let id = self.nodes[DUE as usize].after;
            if id != DUE {
                let Node { at, item, .. } = self.nodes[id as usize];
                if at <= now {
                    self.remove(id);
                    return Some(item);
                }
                // It lies beyond the wheel's horizon.
                self.unlink(id);
                self.enter(id);
                continue;
            }
            match self.next_occupied().filter(|tick| *tick <= last) {
                Some(tick) => {
                    self.cursor = tick + 1;
                    self.hand_out((tick % SLOTS as u64) as usize);
                }
                None => {
                    self.cursor = self.cursor.max(last + 1);
                    return None;
                }
            }
        }
    }

    /// When [`Timers::expired`] should next be called: not after the earliest timer has come.
    pub fn next_due(&self) -> Option<Time> {
        if self.len == 0 {
            return None;
        }
        self.next_occupied()
            .map(|tick| Time::from_nanos(tick * TICK_NANOS))
    }

    /// Timers set, not cancelled and not yet expired.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts a timer into the list of its tick.
    fn enter(&mut self, id: u32) {
        let tick = self.nodes[id as usize].at.nanos().div_ceil(TICK_NANOS);
        // What lies beyond the wheel's horizon waits in its last list and is entered again from there.
        let tick = tick.clamp(self.cursor, self.cursor + SLOTS as u64 - 1);
        let list = (tick % SLOTS as u64) as usize;
        let word = &self.occupied[list / 64];
        word.set(word.get() | 1 << (list % 64));
        let first = self.nodes[list].after;
        (
            self.nodes[id as usize].before,
            self.nodes[id as usize].after,
        ) = (list as u32, first);
        self.nodes[first as usize].before = id;
        self.nodes[list].after = id;
    }

    fn unlink(&mut self, id: u32) {
        let Node { before, after, .. } = self.nodes[id as usize];
        self.nodes[before as usize].after = after;
        self.nodes[after as usize].before = before;
    }

    fn remove(&mut self, id: u32) {
        self.unlink(id);
        self.nodes[id as usize].after = self.free;
        self.free = id;
        self.len -= 1;
    }

    /// Makes all of a list what is being handed out.
    fn hand_out(&mut self, list: usize) {
        let word = &self.occupied[list / 64];
        word.set(word.get() & !(1 << (list % 64)));
        let Node { before, after, .. } = self.nodes[list];
        (self.nodes[list].before, self.nodes[list].after) = (list as u32, list as u32);
        self.nodes[DUE as usize].after = after;
        self.nodes[DUE as usize].before = before;
        self.nodes[after as usize].before = DUE;
        self.nodes[before as usize].after = DUE;
    }

    /// The first tick that has timers.
    fn next_occupied(&self) -> Option<u64> {
        let start = (self.cursor % SLOTS as u64) as usize;
        let words = self.occupied.len();
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mut mask = u64::MAX;
            if step == 0 {
                mask = u64::MAX << (start % 64);
            } else if step == words {
                mask = !(u64::MAX << (start % 64));
            }
            loop {
                let bits = self.occupied[word].get() & mask;
                if bits == 0 {
                    break;
                }
                let list = word * 64 + bits.trailing_zeros() as usize;
                if self.nodes[list].after == list as u32 {
                    // All of its timers were cancelled.
                    let word = &self.occupied[word];
                    word.set(word.get() & !(1 << (list % 64)));
                    continue;
                }
                let ahead = (list + SLOTS - start) % SLOTS;
                return Some(self.cursor + ahead as u64);
            }
        }
        None
    }
}

/// The resolution of [`Timers`].
pub const TICK: Duration = Duration::from_nanos(TICK_NANOS);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Time {
        Time::START + Duration::from_millis(millis)
    }

    #[test]
    fn a_timer_beyond_the_horizon_comes_when_it_should() {
        let mut timers = Timers::new(at(0));
        timers.set(at(60_000), 7u32);
        let mut now = at(0);
        while !timers.is_empty() {
            now = timers.next_due().expect("one timer is set").max(now + TICK);
            if let Some(item) = timers.expired(now) {
                assert_eq!((item, now), (7, at(60_000)));
            }
        }
        assert_eq!(now, at(60_000));
    }

    /// Memory is that of the timers set at once, however many were set before.
    #[test]
    fn places_are_used_again() {
        let mut timers = Timers::new(at(0));
        for round in 0..1000 {
            let ids: Vec<TimerId> = (0..10u32)
                .map(|n| timers.set(at(round + 5000), n))
                .collect();
            ids.into_iter().for_each(|id| timers.cancel(id));
            assert_eq!((timers.next_due(), timers.expired(at(round))), (None, None));
        }
        assert!(timers.nodes.len() <= SLOTS + 1 + 10);
    }

    proptest! {
        /// Long pauses, in which the wheel turns more than once, are among the steps.
        #[test]
        fn every_timer_comes_once_and_never_early_unless_it_is_cancelled(
            plan in prop::collection::vec((0u64..20_000, 0u64..300, 0u32..3, 0u32..50), 1..200),
        ) {
            let mut timers = Timers::new(at(0));
            let mut now = at(0);
            let mut set: HashMap<usize, (Time, TimerId)> = HashMap::new();
            for (index, (delay, step, cancels, pause)) in plan.iter().enumerate() {
                let when = now + Duration::from_micros(delay * 997);
                set.insert(index, (when, timers.set(when, index)));
                if *cancels == 0
                    && let Some(victim) = set.keys().min().copied()
                {
                    let (_, id) = set.remove(&victim).expect("it is set");
                    timers.cancel(id);
                }
                prop_assert_eq!(timers.len(), set.len());
                now = now + Duration::from_millis(if *pause == 0 { 9_000 } else { *step });
                while let Some(index) = timers.expired(now) {
                    let (when, _) = set.remove(&index).expect("once, and not if cancelled");
                    prop_assert!(when <= now);
                }
                prop_assert!(set.values().all(|(when, _)| now.since(*when) < 2 * TICK));
            }
            while let Some(next) = timers.next_due() {
                prop_assert!(set.values().all(|(when, _)| next <= (*when).max(now) + TICK));
                now = next.max(now + TICK);
                while let Some(index) = timers.expired(now) {
                    let (when, _) = set.remove(&index).expect("once, and not if cancelled");
                    prop_assert!(when <= now);
                    prop_assert!(now.since(when) <= 2 * TICK);
                }
            }
            prop_assert!(set.is_empty() && timers.is_empty());
        }
    }
}
