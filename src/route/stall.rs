//! Which routes stall just now.
//!
//! A stall is no verdict: a route with an overdue answer is passed over until something sent later is
//! answered, and what it may share the trouble with comes after what it does not. Every question asks, and
//! the answer seldom changes; so it is kept, in each lane what it makes of its rank, until the time when
//! it changes by itself or something happens to a route that may change it.

use std::time::Duration;

use super::Route;
use super::constants::choose::stalls::*;
use super::engine::Engine;
use super::lane::Lane;
use super::selector::Rank;
use crate::clock::Time;

/// Paths and upstreams with a route that stalls: until it is known which of the two is the trouble, the
/// next question rather keeps away from both. Those beyond the 64th are not told apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stalls {
    paths: u64,
    upstreams: u64,
    /// Until then this holds, and what the lanes have of it, if nothing happens.
    until: Time,
}

impl Stalls {
    /// Something happened that may have ended a stall or begun one.
    pub(super) fn look_again(&mut self) {
        self.until = Time::default();
    }

    /// Another attempt left over this route: one that stalls goes on.
    pub(super) fn departed(&mut self, lane: &Lane) {
        if !lane.stalls() {
            self.until = self.until.min(lane.overdue_after());
        }
    }

    /// This route was answered, or its oldest attempt is another one now: one that stalls may do so no more.
    pub(super) fn moved(&mut self, lane: &Lane) {
        self.until = match lane.stalls() {
            true => Time::default(),
            false => self.until.min(lane.overdue_after()),
        };
    }

    fn is_empty(&self) -> bool {
        self.paths == 0
    }

    fn add(&mut self, route: &Route) {
        self.paths |= Stalls::bit(route.path.0);
        self.upstreams |= Stalls::bit(route.upstream.0);
    }

    /// Whether this route may be one of those that stall.
    fn may_be(&self, route: &Route) -> bool {
        self.paths & Stalls::bit(route.path.0) != 0
            && self.upstreams & Stalls::bit(route.upstream.0) != 0
    }

    /// Whether it shares its path or its upstream with one of them.
    fn shares(&self, route: &Route) -> bool {
        self.paths & Stalls::bit(route.path.0) != 0
            || self.upstreams & Stalls::bit(route.upstream.0) != 0
    }

    fn bit(index: u16) -> u64 {
        1 << (index % 64)
    }
}

impl Lane {
    /// Whether it stalled at the last look.
    fn stalls(&self) -> bool {
        self.rank < Rank::Suspect && self.rank_now == Rank::Suspect
    }

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
        self.lost_sent > self.answered_sent && now <= self.silent_until()
    }

    /// The last moment of the silence after its last loss.
    fn silent_until(&self) -> Time {
        self.lost_at + (SILENCE - Duration::from_nanos(1))
    }
}

impl Engine {
    /// The host has stalled: until `until` nothing is overdue, for what has come meanwhile is still being
    /// read, by this worker and the others.
    pub fn host_stalled(&mut self, until: Time) {
        for lane in &mut self.lanes {
            lane.excused = lane.excused.max(until);
        }
        self.stalls.look_again();
    }

    /// Brings what stalls, among the routes that are held for clear, and each one's
    /// [`rank_now`](Lane::rank_now) up to this moment.
    #[inline]
    pub(super) fn note_stalls(&mut self, now: Time) {
        if now > self.stalls.until {
            self.look_for_stalls(now);
        }
    }

    #[cold]
    fn look_for_stalls(&mut self, now: Time) {
        let mut stalls = Stalls {
            until: Time::NEVER,
            ..Stalls::default()
        };
        for lane in &mut self.lanes {
            lane.rank_now = lane.rank;
            if lane.rank >= Rank::Suspect {
                continue;
            }
            let overdue_after = lane.overdue_after();
            if now > overdue_after {
                // No passing of time ends it.
                stalls.add(&lane.route);
                lane.rank_now = Rank::Suspect;
            } else if lane.is_silent(now) {
                stalls.add(&lane.route);
                lane.rank_now = Rank::Suspect;
                stalls.until = stalls.until.min(lane.silent_until());
            } else {
                stalls.until = stalls.until.min(overdue_after);
            }
        }
        if !stalls.is_empty() {
            let clear = self.lanes.iter_mut().filter(|it| it.rank_now.is_clear());
            for lane in clear.filter(|it| stalls.shares(&it.route)) {
                lane.rank_now = Rank::Doubted;
            }
        }
        self.stalls = stalls;
    }

    /// What a route that takes its share of this question, as if it were clear, ranks as.
    pub(super) fn rank_as_clear(&self, lane: &Lane, now: Time) -> Rank {
        if !self.stalls.shares(&lane.route) {
            Rank::Clear
        } else if self.stalls.may_be(&lane.route) && lane.is_stalled(now) {
            Rank::Suspect
        } else {
            Rank::Doubted
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::observe::said::Reason;
    use crate::route::testing::grid;
    use crate::route::{About, AttemptId, AttemptKind, Outcome, RouteId};

    /// Two upstreams over two paths.
    fn engine() -> Engine {
        Engine::new(&grid(2, &["eth1", "eth2"]), Time::START)
    }

    /// What stalls and what each route ranks as, kept up and by a look at every route.
    fn kept_and_looked(engine: &mut Engine, now: Time) -> [(u64, u64, Vec<Rank>); 2] {
        engine.note_stalls(now);
        let kept = engine.lanes.iter().map(|lane| lane.rank_now).collect();
        let kept = (engine.stalls.paths, engine.stalls.upstreams, kept);
        let mut stalls = Stalls::default();
        let stalled = |lane: &Lane| lane.rank < Rank::Suspect && lane.is_stalled(now);
        for lane in engine.lanes.iter().filter(|lane| stalled(lane)) {
            stalls.add(&lane.route);
        }
        let ranks = engine.lanes.iter().map(|lane| match lane.rank {
            _ if stalled(lane) => Rank::Suspect,
            Rank::Clear if stalls.shares(&lane.route) => Rank::Doubted,
            rank => rank,
        });
        [kept, (stalls.paths, stalls.upstreams, ranks.collect())]
    }

    fn depart(engine: &mut Engine, route: u16, now: Time) -> AttemptId {
        engine.depart(
            RouteId(route),
            AttemptKind::Primary,
            false,
            About::PLAIN,
            now,
        )
    }

    #[test]
    fn an_overdue_answer_stalls_its_route_until_something_later_is_answered() {
        let (mut engine, start) = (engine(), Time::START);
        let ranks = |engine: &mut Engine, now| {
            engine.note_stalls(now);
            [0, 1, 2, 3].map(|index| engine.lanes[index].rank_now)
        };
        depart(&mut engine, 0, start);
        let soon = start + Duration::from_millis(50);
        assert_eq!(ranks(&mut engine, soon), [Rank::Clear; 4]);
        let now = start + Duration::from_millis(500);
        let stalled = [Rank::Suspect, Rank::Doubted, Rank::Doubted, Rank::Clear];
        assert_eq!(ranks(&mut engine, now), stalled);
        let later = depart(&mut engine, 0, now);
        let at = now + Duration::from_millis(2);
        assert_eq!(ranks(&mut engine, at), stalled);
        engine.land(later, Outcome::Answered, at, at);
        assert_eq!(ranks(&mut engine, at), [Rank::Clear; 4]);
    }

    proptest! {
        /// Whatever happens, what is kept of the last look is what another one would find.
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
                    (3..5, Some(at)) => {
                        engine.land(under_way.remove(at), Outcome::Answered, now, now);
                    }
                    (5, Some(at)) => {
                        let refused = Outcome::Unreachable(Reason::REFUSED);
                        engine.land(under_way.remove(at), refused, now, now);
                    }
                    (6, Some(at)) => engine.lose(under_way[at], now),
                    (_, Some(at)) => {
                        let id = under_way[at];
                        let route = engine.flights.get(id).map(|attempt| attempt.route);
                        engine.connected(id, route.expect("under way"), now);
                    }
                }
                let [kept, looked] = kept_and_looked(&mut engine, now);
                prop_assert_eq!(kept, looked);
                if which == 0 {
                    engine.tick(now, &mut rng);
                    let [kept, looked] = kept_and_looked(&mut engine, now);
                    prop_assert_eq!(kept, looked);
                }
            }
        }
    }
}
