//! Which routes stall just now, brought up to date.

use crate::clock::Time;
use crate::route::choose::Rank;
use crate::route::engine::Engine;
use crate::route::engine::state::record::RouteRecord;
use crate::route::engine::state::stalls::Stalls;
use crate::route::rules::Rule;

impl Engine {
    /// The host has stalled: until `until` nothing is overdue, for what has come meanwhile is still being
    /// read, by this worker and the others.
    pub fn host_stalled(&mut self, until: Time) {
        if Rule::HostStalls.stands() {
            for record in &mut self.records {
                record.excused = record.excused.max(until);
            }
        }
        self.stalls.look_again();
    }

    /// Brings what stalls, among the routes that are held for clear, and each one's
    /// [`rank_now`](RouteRecord::rank_now) up to this moment.
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
        for record in &mut self.records {
            record.rank_now = record.rank;
            if record.rank >= Rank::Suspect {
                continue;
            }
            let overdue_after = record.overdue_after();
            if now > overdue_after {
                // No passing of time ends it.
                stalls.add(&record.route);
                record.rank_now = Rank::Suspect;
            } else if record.is_silent(now) {
                stalls.add(&record.route);
                record.rank_now = Rank::Suspect;
                stalls.until = stalls.until.min(record.silent_until());
            } else {
                stalls.until = stalls.until.min(overdue_after);
            }
        }
        if !stalls.is_empty() {
            let clear = self.records.iter_mut().filter(|it| it.rank_now.is_clear());
            for record in clear.filter(|it| stalls.shares(&it.route)) {
                record.rank_now = Rank::Doubted;
            }
        }
        self.stalls = stalls;
    }

    /// What a route that takes its share of this question, as if it were clear, ranks as.
    pub(super) fn rank_as_clear(&self, record: &RouteRecord, now: Time) -> Rank {
        if !self.stalls.shares(&record.route) {
            Rank::Clear
        } else if self.stalls.may_be(&record.route) && record.is_stalled(now) {
            Rank::Suspect
        } else {
            Rank::Doubted
        }
    }

    /// Nothing has come back for longer than the host itself may have stalled, of more questions than may hang by
    /// their own doing. Where there is one route only, each answer that is a little late would count as trouble otherwise.
    pub(in crate::route) fn is_silent(&self, record: &RouteRecord, now: Time) -> bool {
        let queue = &record.queue;
        let (more, oldest) = (queue.len(), queue.oldest);
        record.is_stalled(now) && (record.doubts).is_silence_with(more, oldest, self.usual, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::observe::said::Reason;
    use crate::route::about::About;
    use crate::route::ids::RouteId;
    use crate::route::measure::in_flight::AttemptId;
    use crate::route::outcome::{AttemptKind, Outcome};
    use crate::route::testing::grid;

    /// Two upstreams over two paths.
    pub(in crate::route) fn engine() -> Engine {
        Engine::new(&grid(2, &["eth1", "eth2"]), Time::START)
    }

    /// What stalls and what each route ranks as, kept up and by a look at every route.
    fn kept_and_looked(engine: &mut Engine, now: Time) -> [(u64, u64, Vec<Rank>); 2] {
        engine.note_stalls(now);
        let kept = engine
            .records
            .iter()
            .map(|record| record.rank_now)
            .collect();
        let kept = (engine.stalls.paths, engine.stalls.upstreams, kept);
        let mut stalls = Stalls::default();
        let stalled = |record: &RouteRecord| record.rank < Rank::Suspect && record.is_stalled(now);
        for record in engine.records.iter().filter(|record| stalled(record)) {
            stalls.add(&record.route);
        }
        let ranks = engine.records.iter().map(|record| match record.rank {
            _ if stalled(record) => Rank::Suspect,
            Rank::Clear if stalls.shares(&record.route) => Rank::Doubted,
            rank => rank,
        });
        [kept, (stalls.paths, stalls.upstreams, ranks.collect())]
    }

    pub(in crate::route) fn depart(engine: &mut Engine, route: u16, now: Time) -> AttemptId {
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
            [0, 1, 2, 3].map(|index| engine.records[index].rank_now)
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
