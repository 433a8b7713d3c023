//! How many attempts one route may have in flight.
//!
//! The limit is what takes byway's own load off a server that it overloads itself. It grows by one
//! a round while answers come back at base speed, shrinks when they queue (the gradient of Netflix'
//! concurrency limits and Vegas) and drops by a tenth when packets are lost. It never falls below
//! what the route carries in health at the present round trip: somebody else's jam is not relieved
//! by starving, the packet ceiling of [`budget`](super::budget) is for that.

use std::time::Duration;

use crate::clock::Time;

/// Where it starts.
const START: f32 = 64.0;
/// The least, so that a route can always be measured.
pub const FLOOR: f32 = 4.0;
/// What one loss leaves of it.
const BACK_OFF: f32 = 0.9;
/// The least between two back-offs: losses come in bunches and are one message.
const BACK_OFF_EVERY: Duration = Duration::from_millis(50);

/// An adaptive limit.
#[derive(Clone, Debug)]
pub struct Limit {
    limit: f32,
    floor: f32,
    ceiling: f32,
    backed_off: Time,
    grown: bool,
}

impl Limit {
    /// A limit that never exceeds `ceiling` (at least the floor of 4).
    pub fn new(ceiling: usize) -> Limit {
        let ceiling = (ceiling as f32).max(FLOOR);
        Limit {
            limit: START.min(ceiling),
            floor: FLOOR,
            ceiling,
            backed_off: Time::default(),
            grown: false,
        }
    }

    /// Attempts that may be in flight now.
    pub fn get(&self) -> u32 {
        self.limit as u32
    }

    /// Share of the limit in use.
    pub fn load(&self, in_flight: u32) -> f32 {
        in_flight as f32 / self.limit
    }

    /// It never falls below what health needs: `rate` packets a second at `rtt` each (Little's law).
    pub fn keep_room_for(&mut self, rate: f32, rtt_us: f32) {
        self.floor = (rate * rtt_us / 1e6).clamp(FLOOR, self.ceiling);
        self.limit = self.limit.max(self.floor);
    }

    /// An answer came while `in_flight` were under way; `stretch` is the recent low round trip over
    /// the base.
    pub fn answered(&mut self, in_flight: u32, stretch: f32) {
        if (in_flight as f32) < self.limit / 2.0 {
            // Not used: nothing is learnt about what the route could carry.
            return;
        }
        // Of the attempts in flight this many stand in a queue.
        let queued = in_flight as f32 * (1.0 - 1.0 / stretch.max(1.0));
        let allowed = (self.limit / 8.0).max(FLOOR);
        if queued < allowed {
            let step = if self.grown { 1.0 / self.limit } else { 0.5 };
            self.limit = (self.limit + step).min(self.ceiling);
        } else if queued > 2.0 * allowed {
            self.grown = true;
            self.limit = (self.limit - 1.0 / self.limit.max(1.0)).max(self.floor);
        }
    }

    /// An attempt was lost while at least half the limit was in use.
    pub fn lost(&mut self, in_flight: u32, now: Time) {
        if (in_flight as f32) < self.limit / 2.0 || now.since(self.backed_off) < BACK_OFF_EVERY {
            return;
        }
        self.grown = true;
        self.backed_off = now;
        self.limit = (self.limit * BACK_OFF).max(self.floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_shrinks_it_and_an_empty_road_lets_it_grow() {
        let mut limit = Limit::new(1024);
        let start = limit.get();
        for _ in 0..200 {
            limit.answered(limit.get(), 1.0);
        }
        let grown = limit.get();
        assert!(grown > start);
        for _ in 0..100_000 {
            limit.answered(limit.get(), 10.0);
        }
        assert!(limit.get() < grown / 4, "{}", limit.get());
        assert!(limit.get() >= FLOOR as u32);
    }

    #[test]
    fn what_is_not_used_is_not_changed() {
        let mut limit = Limit::new(1024);
        let start = limit.get();
        for n in 0..1000 {
            limit.answered(2, 50.0);
            limit.lost(2, Time::from_secs(n));
        }
        assert_eq!(limit.get(), start);
    }

    #[test]
    fn health_always_has_room() {
        let mut limit = Limit::new(1024);
        limit.keep_room_for(500.0, 1_000_000.0);
        for n in 0..1000 {
            limit.lost(limit.get(), Time::from_secs(n));
        }
        assert_eq!(limit.get(), 500);
    }

    #[test]
    fn the_operators_ceiling_holds() {
        let mut limit = Limit::new(100);
        for _ in 0..100_000 {
            limit.answered(limit.get(), 1.0);
        }
        limit.keep_room_for(1e6, 1e6);
        assert_eq!(limit.get(), 100);
    }
}
