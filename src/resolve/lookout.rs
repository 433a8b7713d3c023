//! Stalls of the host, as a worker finds them out.
//!
//! While a process or its machine does not run, answers wait in the sockets, and when it runs again they look
//! late: the time at which one is read says only that it came no later. That it came no earlier than the
//! worker's last look is known too, for the sockets were empty then. A worker that runs looks often enough:
//! every question in flight has a timer at the point where its answer is overdue, so true lateness is
//! seen from both sides. A worker that stalls misses the appointment with its own timer, and that is how it
//! knows. No packet costs anything for it, and where a kernel's receive timestamps fail it still holds: a
//! virtual CPU that does not run takes nothing in either.
//!
//! A stall has a shadow: what the machine itself held up arrives a moment after the worker runs again.
//! Until that is over nothing counts as seen, and timers wait.

use std::time::Duration;

use crate::clock::Time;

/// A worker that is so much later than it meant to be was not running. Timers tick in milliseconds, and a
/// busy turn takes some; an excess that is trouble (8 ms) is more.
pub const STALL: Duration = Duration::from_millis(5);

/// The shadow of a stall: time for the kernel to take in what waited before it.
const SHADOW: Duration = Duration::from_millis(3);

/// What a worker knows of its own stalls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookout {
    /// When all sockets were last seen empty, outside of shadows.
    looked: Time,
    /// The last appointment that was missed.
    missed: Time,
    /// The end of the last shadow.
    over: Time,
}

impl Lookout {
    /// A turn begins at `now`, of a worker that was to wake up at `due` at the latest ([`Time::NEVER`] if it
    /// had nothing to do). If it has just come out of a stall, this is when the stall's shadow is over.
    pub fn turn(&mut self, due: Time, now: Time) -> Option<Time> {
        if now <= due + STALL || due == self.missed {
            return None;
        }
        self.missed = due;
        self.over = now + SHADOW;
        Some(self.over)
    }

    /// All sockets were seen empty at `now`.
    pub fn saw_nothing(&mut self, now: Time) {
        if now >= self.over {
            self.looked = now;
        }
    }

    /// What is read at `now` came after this: `now` itself, as far as it matters to anybody, unless the
    /// worker has stalled.
    pub fn looked(&self, now: Time) -> Time {
        match self.shadow(now) {
            Some(_) => self.looked,
            None => now,
        }
    }

    /// When the shadow that lies over `now` is over, if one does.
    pub fn shadow(&self, now: Time) -> Option<Time> {
        (now < self.over).then_some(self.over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::START + Duration::from_millis(millis)
    }

    #[test]
    fn a_worker_in_time_sees_when_things_come() {
        let mut lookout = Lookout::default();
        lookout.saw_nothing(at(0));
        for (due, now) in [(at(10), at(3)), (at(10), at(14)), (Time::NEVER, at(900))] {
            assert_eq!(lookout.turn(due, now), None);
            assert_eq!(lookout.looked(now), now);
        }
    }

    #[test]
    fn after_a_stall_only_the_last_look_before_it_counts_until_its_shadow_is_over() {
        let mut lookout = Lookout::default();
        lookout.saw_nothing(at(2));
        let over = lookout.turn(at(10), at(100)).expect("it was to wake at 10");
        assert_eq!(lookout.turn(at(10), at(101)), None, "it is the same stall");
        for now in [at(100), at(102)] {
            lookout.saw_nothing(now);
            assert_eq!(
                (lookout.looked(now), lookout.shadow(now)),
                (at(2), Some(over))
            );
        }
        assert_eq!((lookout.looked(over), lookout.shadow(over)), (over, None));
        lookout.saw_nothing(over);
        lookout.turn(over + SHADOW, at(200)).expect("another stall");
        assert_eq!(lookout.looked(at(200)), over);
    }
}
