//! Wake-ups for questions in flight.
//!
//! A hashed wheel of millisecond ticks: a question's timer nearly always dies unused because the
//! answer came first, so setting one must cost next to nothing and cancelling one nothing at all.
//! Whoever is woken looks for itself whether it is due; an entry whose question has gone is ignored.

use std::time::Duration;

use crate::clock::Time;

const SLOTS: usize = 4096;
const TICK_NANOS: u64 = 1_000_000;

/// Wake-ups by time, exact to a millisecond and never early.
///
/// Memory: one entry for each call of [`Timers::set`] until its time has come.
#[derive(Debug)]
pub struct Timers<T> {
    slots: Vec<Vec<(Time, T)>>,
    occupied: [u64; SLOTS / 64],
    /// The first tick that has not been looked at yet.
    cursor: u64,
    len: usize,
}

impl<T> Timers<T> {
    /// No timers, at `now`.
    pub fn new(now: Time) -> Timers<T> {
        Timers {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            occupied: [0; SLOTS / 64],
            cursor: now.nanos() / TICK_NANOS,
            len: 0,
        }
    }

    /// Has `item` handed out by [`Timers::expired`] once `at` has come.
    pub fn set(&mut self, at: Time, item: T) {
        let tick = at.nanos().div_ceil(TICK_NANOS);
        // What lies beyond the wheel's horizon waits in its last slot and is set again from there.
        let tick = tick.clamp(self.cursor, self.cursor + SLOTS as u64 - 1);
        let slot = (tick % SLOTS as u64) as usize;
        self.slots[slot].push((at, item));
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.len += 1;
    }

    /// Moves everything due at `now` to `due`.
    pub fn expired(&mut self, now: Time, due: &mut Vec<T>) {
        let last = now.nanos() / TICK_NANOS;
        let mut later = Vec::new();
        while self.cursor <= last && self.len > 0 {
            let Some(tick) = self.next_occupied() else {
                break;
            };
            if tick > last {
                break;
            }
            self.cursor = tick + 1;
            let slot = (tick % SLOTS as u64) as usize;
            self.occupied[slot / 64] &= !(1 << (slot % 64));
            self.len -= self.slots[slot].len();
            for (at, item) in self.slots[slot].drain(..) {
                if at <= now {
                    due.push(item)
                } else {
                    later.push((at, item))
                }
            }
            // A burst leaves no memory behind.
            if self.slots[slot].capacity() > 1024 {
                self.slots[slot] = Vec::new();
            }
        }
        self.cursor = self.cursor.max(last + 1);
        for (at, item) in later {
            self.set(at, item);
        }
    }

    /// When [`Timers::expired`] should next be called: not after the earliest timer has come.
    pub fn next(&self) -> Option<Time> {
        if self.len == 0 {
            return None;
        }
        self.next_occupied()
            .map(|tick| Time::from_nanos(tick * TICK_NANOS))
    }

    /// Timers set and not yet expired.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn next_occupied(&self) -> Option<u64> {
        let start = (self.cursor % SLOTS as u64) as usize;
        let words = self.occupied.len();
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            } else if step == words {
                bits &= !(u64::MAX << (start % 64));
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + SLOTS - start) % SLOTS;
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
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Time {
        Time::START + Duration::from_millis(millis)
    }

    #[test]
    fn a_timer_beyond_the_horizon_comes_when_it_should() {
        let mut timers = Timers::new(at(0));
        timers.set(at(60_000), 'x');
        let mut due = Vec::new();
        let mut now = at(0);
        while due.is_empty() {
            now = timers.next().expect("one timer is set").max(now + TICK);
            timers.expired(now, &mut due);
        }
        assert_eq!(now, at(60_000));
        assert!(timers.is_empty());
    }

    proptest! {
        #[test]
        fn every_timer_comes_once_and_never_early(
            plan in prop::collection::vec((0u64..20_000, 0u64..300), 1..200),
        ) {
            let mut timers = Timers::new(at(0));
            let (mut now, mut seen) = (at(0), vec![0u32; plan.len()]);
            let mut due = Vec::new();
            let mut wanted = Vec::new();
            for (index, (delay, step)) in plan.iter().enumerate() {
                let when = now + Duration::from_micros(delay * 997);
                wanted.push(when);
                timers.set(when, index);
                now = now + Duration::from_millis(*step);
                timers.expired(now, &mut due);
                for index in due.drain(..) {
                    prop_assert!(wanted[index] <= now);
                    seen[index] += 1;
                }
            }
            while let Some(next) = timers.next() {
                now = next.max(now + TICK);
                timers.expired(now, &mut due);
                for index in due.drain(..) {
                    prop_assert!(wanted[index] <= now);
                    prop_assert!(now.since(wanted[index]) <= 2 * TICK);
                    seen[index] += 1;
                }
            }
            prop_assert!(seen.iter().all(|count| *count == 1), "{seen:?}");
        }
    }
}
