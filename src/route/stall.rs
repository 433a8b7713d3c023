//! Which routes stall just now.
//!
//! A stall is no verdict: a route with an overdue answer is passed over until something sent later is
//! answered, and what it may share the trouble with comes after what it does not. Most of the time nothing
//! stalls, and every question asks; so the engine keeps the time before which nothing can.

use std::time::Duration;

use super::Route;
use super::engine::Engine;
use super::lane::Lane;
use super::selector::Rank;
use crate::clock::Time;

/// How long a loss after which nothing was answered keeps questions away.
const SILENCE: Duration = Duration::from_secs(1);
/// Attempts that must hang together before a route counts as stalled early.
const HANGING: u32 = 3;

/// Paths and upstreams with a route that stalls: until it is known which of the two is the trouble, the
/// next question rather keeps away from both. Those beyond the 64th are not told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stalls {
    paths: u64,
    upstreams: u64,
}

impl Stalls {
    /// Nothing stalls.
    pub(super) fn is_empty(&self) -> bool {
        self.paths == 0
    }

    fn add(&mut self, route: &Route) {
        self.paths |= Stalls::bit(route.path.0);
        self.upstreams |= Stalls::bit(route.upstream.0);
    }

    /// Whether this route may be one of those that stall.
    pub(super) fn may_be(&self, route: &Route) -> bool {
        self.paths & Stalls::bit(route.path.0) != 0
            && self.upstreams & Stalls::bit(route.upstream.0) != 0
    }

    /// Whether it shares its path or its upstream with one of them.
    pub(super) fn shares(&self, route: &Route) -> bool {
        self.paths & Stalls::bit(route.path.0) != 0
            || self.upstreams & Stalls::bit(route.upstream.0) != 0
    }

    fn bit(index: u16) -> u64 {
        1 << (index % 64)
    }
}

impl Lane {
    /// An answer is overdue and nothing sent after it was answered, or something was lost and nothing
    /// since was answered. Later answers tell a hard question, or a single loss, from a stall.
    pub(super) fn is_stalled(&self, now: Time) -> bool {
        now > self.overdue_after() || self.is_silent(now)
    }

    /// Its oldest answer is overdue after this; [`Time::NEVER`] if none is awaited that would tell.
    pub(super) fn overdue_after(&self) -> Time {
        let oldest = self.queue.oldest;
        if self.answered_sent >= oldest {
            return Time::NEVER;
        }
        let wait = match self.queue.len() >= HANGING {
            true => self.estimate.check_wait(),
            false => self.estimate.hedge_wait(),
        };
        (oldest + wait).max(self.excused)
    }

    fn is_silent(&self, now: Time) -> bool {
        self.lost_sent > self.answered_sent && now.since(self.lost_at) < SILENCE
    }
}

impl Engine {
    /// The host has stalled: until `until` nothing is overdue, for what has come meanwhile is still being
    /// read, by this worker and the others.
    pub fn host_stalled(&mut self, until: Time) {
        for lane in &mut self.lanes {
            lane.excused = lane.excused.max(until);
        }
    }

    /// What stalls at this moment, among the routes that are held for clear.
    pub(super) fn stalls(&mut self, now: Time) -> Stalls {
        let mut stalls = Stalls::default();
        if now <= self.calm_until {
            return stalls;
        }
        self.calm_until = Time::NEVER;
        for lane in &self.lanes {
            if lane.rank >= Rank::Suspect {
                continue;
            }
            if lane.is_stalled(now) {
                stalls.add(&lane.route);
                self.calm_until = Time::default();
            }
            self.calm_until = self.calm_until.min(lane.overdue_after());
        }
        stalls
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::route::testing::grid;
    use crate::route::{AttemptId, AttemptKind, Outcome, RouteId};

    /// Two upstreams over two paths.
    fn engine() -> Engine {
        Engine::new(&grid(2, &["eth1", "eth2"]), Time::START)
    }

    /// What stalls, by a look at every route.
    fn looked(engine: &Engine, now: Time) -> Stalls {
        let mut stalls = Stalls::default();
        let mut lanes = engine.lanes.iter();
        while let Some(lane) = lanes.find(|it| it.rank < Rank::Suspect && it.is_stalled(now)) {
            stalls.add(&lane.route);
        }
        stalls
    }

    fn depart(engine: &mut Engine, route: u16, now: Time) -> AttemptId {
        engine.depart(RouteId(route), AttemptKind::Primary, false, now)
    }

    #[test]
    fn an_overdue_answer_stalls_its_route_until_something_later_is_answered() {
        let (mut engine, start) = (engine(), Time::START);
        depart(&mut engine, 0, start);
        assert!(engine.stalls(start + Duration::from_millis(50)).is_empty());
        let now = start + Duration::from_millis(500);
        let stalls = engine.stalls(now);
        assert!(stalls.may_be(&engine.lanes[0].route));
        assert!(!stalls.may_be(&engine.lanes[1].route) && stalls.shares(&engine.lanes[1].route));
        let later = depart(&mut engine, 0, now);
        let at = now + Duration::from_millis(2);
        engine.land(later, Outcome::Answered, at, at);
        assert!(engine.stalls(now + Duration::from_millis(3)).is_empty());
    }

    proptest! {
        /// Whatever happens, what is skipped because nothing can stall yet is what a look would have found.
        #[test]
        fn no_stall_is_overlooked(
            ops in prop::collection::vec((0u8..10, 0usize..16, 0u64..60), 1..300),
        ) {
            let (mut engine, mut now) = (engine(), Time::START);
            let mut rng = StdRng::seed_from_u64(1);
            let mut under_way: Vec<AttemptId> = Vec::new();
            for (op, which, millis) in ops {
                now = now + Duration::from_millis(millis);
                let chosen = (!under_way.is_empty()).then(|| which % under_way.len());
                match (op, chosen) {
                    // Trust, so that a loss is not a change of verdict at once.
                    (8, _) => {
                        for _ in 0..20 {
                            let id = depart(&mut engine, which as u16 % 4, now);
                            now = now + Duration::from_millis(2);
                            engine.land(id, Outcome::Answered, now, now);
                        }
                    }
                    (9, _) => engine.host_stalled(now + Duration::from_millis(which as u64)),
                    (0..3, _) | (_, None) => under_way.push(depart(&mut engine, which as u16 % 4, now)),
                    (3..5, Some(at)) => engine.land(under_way.remove(at), Outcome::Answered, now, now),
                    (5, Some(at)) => engine.land(under_way.remove(at), Outcome::Unreachable, now, now),
                    (6, Some(at)) => engine.lose(under_way[at], now),
                    (_, Some(at)) => {
                        let id = under_way[at];
                        let route = engine.flights.get(id).map(|attempt| attempt.route);
                        engine.connected(id, route.expect("under way"), now);
                    }
                }
                prop_assert_eq!(engine.stalls(now), looked(&engine, now));
                if which == 0 {
                    engine.tick(now, &mut rng);
                    prop_assert_eq!(engine.stalls(now), looked(&engine, now));
                }
            }
        }
    }
}
