//! How many attempts one route may have in flight.
//!
//! The limit is what takes byway's own load off a server that it overloads itself. It grows when as many
//! answers as it allows have come back at base speed: twofold until a queue or a loss was seen for the first
//! time, so that a cold start does not turn clients away, by a quarter from then on. Once a round it shrinks as
//! answers queue (the gradient of Netflix'
//! concurrency limits, on the low quantile of round trips over the base); a loss takes a tenth off it. But
//! while nothing is clear it does not fall below what the route carries in health at the present round
//! trip, unless byway wants much more than that: somebody else's jam is not relieved by starving, the packet
//! ceiling of [`budget`](crate::route::spend) is for that.

use std::time::Duration;

use crate::clock::Time;
use crate::route::constants::load::limit::*;
use crate::route::rules::Rule;

/// An adaptive limit.
#[derive(Clone, Debug)]
pub struct Limit {
    limit: f32,
    /// The whole of it.
    whole: u32,
    floor: f32,
    ceiling: f32,
    /// Answers since it last changed.
    answers: u32,
    /// No queue and no loss was ever seen.
    untried: bool,
    round: Time,
    backed_off: Time,
}

impl Limit {
    /// A limit that never exceeds `ceiling` (at least the floor of 4).
    pub fn new(ceiling: usize) -> Limit {
        let ceiling = (ceiling as f32).max(FLOOR);
        Limit {
            limit: START.min(ceiling),
            whole: START.min(ceiling) as u32,
            floor: FLOOR,
            ceiling,
            answers: 0,
            untried: true,
            round: Time::default(),
            backed_off: Time::default(),
        }
    }

    /// It never exceeds `ceiling` (at least the floor of 4) from now on.
    pub fn set_ceiling(&mut self, ceiling: usize) {
        self.ceiling = (ceiling as f32).max(FLOOR);
        self.floor = self.floor.min(self.ceiling);
        self.set(self.limit.min(self.ceiling));
    }

    /// Attempts that may be in flight now.
    pub fn get(&self) -> u32 {
        self.whole
    }

    /// Attempts that may be in flight for names that are held stale, and for who has little under way: some more, so that
    /// those of names that fail, or of who asks most, cannot take all the room, but no more than it may ever be.
    pub fn with_room_for_held(&self) -> u32 {
        let more = match Rule::RoomForHeld.stands() {
            true => (self.whole / HELD_PART).max(HELD_ROOM),
            false => 0,
        };
        (self.whole + more).min((self.ceiling as u32).max(self.whole))
    }

    /// Share of the limit in use.
    pub fn load(&self, in_flight: u32) -> f32 {
        in_flight as f32 / self.limit
    }

    /// It is not to fall below what health needs: `rate` packets a second at `rtt_us` each (Little's law).
    pub fn keep_room_for(&mut self, rate: f32, rtt_us: f32) {
        if Rule::KeepRoom.stands() {
            self.floor = (rate * rtt_us / 1e6).clamp(FLOOR, self.ceiling);
            self.set(self.limit.max(self.floor));
        }
    }

    /// A second of health passed: what an earlier trouble took is given back little by little.
    pub fn relax(&mut self) {
        if self.limit < EASY && Rule::Relax.stands() {
            self.set((self.limit * GROWTH + 1.0).min(EASY).min(self.ceiling));
        }
    }

    /// What health needs doesn't matter now: byway's own demand is the trouble.
    pub fn let_go(&mut self) {
        if Rule::LetGo.stands() {
            self.floor = FLOOR;
        }
    }

    /// An answer came after `rtt` while `in_flight` were under way; `stretch` is the recent low round
    /// trip over the base.
    pub fn answered(&mut self, in_flight: u32, stretch: f32, rtt: Duration, now: Time) {
        // What is not used teaches nothing about what the route could carry.
        if (in_flight as f32) < self.limit * IN_USE && Rule::InUse.stands() {
            return;
        }
        self.answers = self.answers.saturating_add(1);
        if now < self.round {
            return;
        }
        let gradient = match Rule::Gradient.stands() {
            true => (TOLERANCE / stretch.max(1.0)).clamp(STEEPEST, 1.0),
            false => 1.0,
        };
        let limit = if gradient < 1.0 {
            self.untried = false;
            let target = self.limit * gradient + QUEUED;
            self.limit + SMOOTHING * (target - self.limit)
        } else if (self.answers as f32) < self.limit && Rule::WholeRounds.stands() {
            // The first answers of a burst come back early however long the queue behind them is.
            return;
        } else if self.untried && Rule::SlowStart.stands() {
            self.limit * FIRST_GROWTH
        } else {
            self.limit * GROWTH
        };
        self.set(limit.clamp(self.floor, self.ceiling));
        self.round = now + rtt.max(ROUND);
        self.answers = 0;
    }

    /// An attempt was lost while at least half the limit was in use.
    pub fn lost(&mut self, in_flight: u32, now: Time) {
        let unused = (in_flight as f32) < self.limit * IN_USE && Rule::InUse.stands();
        let again = now.since(self.backed_off) < ROUND && Rule::LossesOnce.stands();
        if unused || again || !Rule::BackOff.stands() {
            return;
        }
        self.backed_off = now;
        self.untried = false;
        self.set((self.limit * BACK_OFF).max(self.floor));
    }

    fn set(&mut self, limit: f32) {
        (self.limit, self.whole) = (limit, limit as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: Duration = Duration::from_millis(2);

    /// As many rounds, a second apart, with the limit fully used.
    fn answer(limit: &mut Limit, stretch: f32, rounds: u64) {
        let start = limit.round;
        for n in 1..=rounds {
            for _ in 0..limit.get() {
                limit.answered(limit.get(), stretch, TRIP, start + Duration::from_secs(n));
            }
        }
    }

    #[test]
    fn a_queue_shrinks_it_and_an_empty_road_lets_it_grow() {
        let mut limit = Limit::new(1024);
        let start = limit.get();
        answer(&mut limit, 1.0, 5);
        let grown = limit.get();
        assert!(grown > 2 * start, "{start} -> {grown}");
        answer(&mut limit, 10.0, 100);
        // Where half of it plus four is itself.
        assert_eq!(limit.get(), 8);
    }

    #[test]
    fn the_first_answers_of_a_burst_do_not_let_it_grow() {
        let mut limit = Limit::new(1024);
        let start = limit.get();
        for n in 1..start {
            limit.answered(start, 1.0, TRIP, Time::from_secs(n.into()));
        }
        assert_eq!(limit.get(), start);
        limit.answered(start, 1.0, TRIP, Time::from_secs(start.into()));
        assert_eq!(limit.get(), 2 * start);
    }

    #[test]
    fn a_cold_start_over_a_long_way_lets_a_thousand_through_in_half_a_second() {
        let (mut limit, trip) = (Limit::new(1024), Duration::from_millis(100));
        let (mut through, mut now) = (0, Time::from_secs(1));
        for _ in 0..5 {
            now = now + trip;
            let under_way = limit.get();
            through += under_way;
            for _ in 0..under_way {
                limit.answered(under_way, 1.0, trip, now);
            }
        }
        assert!(through >= 1000, "{through}");
        // A queue once seen, it gropes.
        limit.lost(limit.get(), now);
        let before = limit.get() as f32;
        answer(&mut limit, 1.0, 1);
        assert!(limit.get() as f32 <= before * GROWTH);
    }

    #[test]
    fn what_is_not_used_is_not_changed() {
        let mut limit = Limit::new(1024);
        let start = limit.get();
        for n in 1..1000 {
            limit.answered(2, 50.0, TRIP, Time::from_secs(n));
            limit.lost(2, Time::from_secs(n));
        }
        assert_eq!(limit.get(), start);
    }

    #[test]
    fn a_burst_of_losses_is_one_message() {
        let mut limit = Limit::new(1024);
        for _ in 0..100 {
            limit.lost(64, Time::from_secs(1));
        }
        assert_eq!(limit.get(), 57);
    }

    #[test]
    fn health_always_has_room() {
        let mut limit = Limit::new(1024);
        limit.keep_room_for(500.0, 1_000_000.0);
        for n in 1..1000 {
            limit.lost(limit.get(), Time::from_secs(n));
        }
        assert_eq!(limit.get(), 500);
    }

    #[test]
    fn the_operators_ceiling_holds() {
        let mut limit = Limit::new(100);
        answer(&mut limit, 1.0, 1000);
        assert_eq!(limit.get(), 100);
        limit.keep_room_for(1e6, 1e6);
        assert_eq!(limit.get(), 100);
    }
}
