//! The operator's hand, and what the host tells of its paths.

use std::time::Duration;

use crate::clock::Time;
use crate::config::report;
use crate::observe::event::{Event, Subject, Verdict};
use crate::route::engine::Engine;
use crate::route::engine::report::in_order;
use crate::route::engine::state::group::Group;
use crate::route::engine::state::record::RouteRecord;
use crate::route::ids::{PathId, RouteId, UpstreamId};
use crate::route::judge::counts::{Counts, Streak};

/// No path, upstream or route bears the name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no path, upstream or route is called `{}`{}", .name.escape_debug(), .nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
pub struct UnknownName {
    /// The name given.
    pub name: String,
    /// The known name nearest to it, if any is near.
    pub nearest: Option<String>,
}

impl Engine {
    /// Takes a path, an upstream or a route out of use; what is under way is still heard. A path's name
    /// comes before an upstream's if both have it.
    ///
    /// # Errors
    /// If nothing bears the name.
    pub fn drain(
        &mut self,
        name: &str,
        by: &str,
        lasts: Option<Duration>,
        now: Time,
    ) -> Result<Subject, UnknownName> {
        let (subject, changed) = self.set_drained(name, true)?;
        if changed {
            let (told, by) = (subject.clone(), by.into());
            let drained = Event::Drained {
                subject: told,
                by,
                lasts,
            };
            self.tell(now, drained);
            self.settle(now);
        }
        Ok(subject)
    }

    /// Puts it back.
    ///
    /// # Errors
    /// If nothing bears the name.
    pub fn restore(&mut self, name: &str, by: &str, now: Time) -> Result<Subject, UnknownName> {
        let (subject, changed) = self.set_drained(name, false)?;
        if changed {
            let (told, by) = (subject.clone(), by.into());
            self.tell(now, Event::Restored { subject: told, by });
            self.settle(now);
        }
        Ok(subject)
    }

    /// A path's interface or source address is gone from this host, or it has no carrier. Nothing is sent over
    /// it, and what was under way teaches nothing.
    pub fn path_lost(&mut self, path: PathId, why: &str, now: Time) {
        self.leave_lost(path, why, false, now);
    }

    /// The same of one that is not there at the start, about which the log says so already.
    pub fn path_absent(&mut self, path: PathId, why: &str, now: Time) {
        self.leave_lost(path, why, true, now);
    }

    fn leave_lost(&mut self, path: PathId, why: &str, at_start: bool, now: Time) {
        let group = &mut self.paths[path.0 as usize];
        if !group.missing {
            group.missing = true;
            (group.left, group.told) = (now, true);
            let name = group.name.clone();
            self.tell(
                now,
                Event::PathLost {
                    path: name,
                    why: why.to_owned(),
                    at_start,
                },
            );
            self.settle(now);
        }
    }

    /// It is back. While others are clear it is tried first, at once, and used when it earned it; otherwise
    /// questions are the trial.
    pub fn path_found(&mut self, path: PathId, now: Time) {
        let others = !self.is_desperate(|_| true);
        let probation = self.probation;
        let group = &mut self.paths[path.0 as usize];
        if group.missing {
            group.missing = false;
            if others && group.health.verdict() == Verdict::Clear {
                // Not told: that it was lost and found says as much.
                let _ = group
                    .health
                    .accuse(Verdict::Suspect, Counts::default(), now, &probation);
            }
            group.health.try_now(now);
            let name = group.name.clone();
            for record in self
                .records
                .iter_mut()
                .filter(|record| record.route.path == path)
            {
                record.health.try_now(now);
                record.streak = Streak::default();
            }
            self.pools.iter_mut().for_each(|pool| pool.next_trial = now);
            self.tell(now, Event::PathFound { path: name });
            self.settle(now);
        }
    }

    /// An upstream forwards to this very byway, or does not any more. It is not asked for as long as it does.
    pub fn upstream_loops(&mut self, upstream: UpstreamId, loops: bool, now: Time) {
        let group = &mut self.upstreams[upstream.0 as usize];
        if group.loops == loops {
            return;
        }
        group.loops = loops;
        let upstream_name = group.name.clone();
        if !loops {
            group.health.try_now(now);
            let of = |record: &&mut RouteRecord| record.route.upstream == upstream;
            for record in self.records.iter_mut().filter(of) {
                record.health.try_now(now);
            }
        }
        let upstream = upstream_name;
        self.tell(
            now,
            match loops {
                true => Event::LoopFound { upstream },
                false => Event::LoopOver { upstream },
            },
        );
        self.settle(now);
    }

    /// A route over which an upstream can be asked at all, whatever is believed of it.
    pub fn way_to(&self, upstream: UpstreamId) -> Option<RouteId> {
        let open = |record: &RouteRecord| {
            let path = &self.paths[record.route.path.0 as usize];
            let of = &self.upstreams[upstream.0 as usize];
            record.route.upstream == upstream
                && record.seat.is_in()
                && !(record.drained || path.drained || path.missing || of.drained)
        };
        let number = self.records.iter().position(open)?;
        Some(RouteId(number as u16))
    }

    /// Whom the name means, and whether anything changed.
    fn set_drained(&mut self, name: &str, drained: bool) -> Result<(Subject, bool), UnknownName> {
        let find = |group: &&mut Group| group.seat.is_in() && *group.name == *name;
        let (subject, flag) = if let Some(path) = self.paths.iter_mut().find(find) {
            (Subject::Path(path.name.clone()), &mut path.drained)
        } else if let Some(upstream) = self.upstreams.iter_mut().find(find) {
            (
                Subject::Upstream(upstream.name.clone()),
                &mut upstream.drained,
            )
        } else if let Some(record) = self
            .records
            .iter_mut()
            .find(|record| record.seat.is_in() && *record.route.name == *name)
        {
            (
                Subject::Route(record.route.name.clone()),
                &mut record.drained,
            )
        } else {
            return Err(UnknownName {
                name: name.to_owned(),
                nearest: self.nearest(name),
            });
        };
        let changed = std::mem::replace(flag, drained) != drained;
        Ok((subject, changed))
    }

    fn nearest(&self, name: &str) -> Option<String> {
        let paths = in_order(&self.paths).map(|path| &path.name);
        let upstreams = in_order(&self.upstreams).map(|upstream| &upstream.name);
        let routes = self.in_order();
        let routes = routes.iter().map(|&id| &self.record(id).route.name);
        let known = paths.chain(upstreams).chain(routes).map(|name| &**name);
        report::nearest(name, known).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::observe::said::Reason;
    use crate::route::Race;
    use crate::route::about::About;
    use crate::route::ask::{Ask, Purpose, Refused, Step};
    use crate::route::ids::PoolId;
    use crate::route::outcome::Outcome;
    use crate::route::testing::grid;

    /// One upstream over the paths `a` and `b`, in that order of preference.
    struct World {
        engine: Engine,
        rng: StdRng,
        now: Time,
    }

    impl World {
        fn new() -> World {
            let mut config = grid(1, &["a", "b"]);
            config.routing.policy = crate::config::Policy::Ordered;
            World {
                engine: Engine::new(&config, Time::START),
                rng: StdRng::seed_from_u64(1),
                now: Time::START,
            }
        }

        fn race(&mut self, purpose: Purpose) -> Result<(Race, Step), Refused> {
            let ask = Ask {
                purpose,
                about: About::PLAIN,
                deadline: self.now + Duration::from_secs(4),
                again: false,
                light: false,
                pool: PoolId::MAIN,
            };
            Race::start(&mut self.engine, &ask, self.now, &mut self.rng)
        }

        /// Every attempt of the step is answered after 2 ms.
        fn answer(&mut self, race: &mut Race, step: &Step) {
            let later = self.now + Duration::from_millis(2);
            for send in [step.send, step.also].into_iter().flatten() {
                let answered = Outcome::Answered;
                race.outcome(
                    &mut self.engine,
                    send.attempt,
                    answered,
                    later,
                    later,
                    &mut self.rng,
                );
            }
        }

        /// Asks a question, and what the engine wants to know; says which path the question went over.
        fn ask(&mut self) -> u16 {
            let (mut race, step) = self.race(Purpose::Client).expect("a route");
            self.answer(&mut race, &step);
            for route in self.engine.tick(self.now, &mut self.rng).probes {
                let (mut race, step) = self.race(Purpose::Probe(route)).expect("a probe");
                self.answer(&mut race, &step);
            }
            self.now = self.now + Duration::from_millis(50);
            let route = step.send.expect("sent at once").route;
            self.engine.record(route).route.path.0
        }
    }

    #[test]
    fn a_lost_path_carries_nothing_and_is_not_blamed_for_what_was_under_way() {
        let mut world = World::new();
        for _ in 0..10 {
            assert_eq!(world.ask(), 0);
        }
        let mut under_way = Vec::new();
        for _ in 0..5 {
            under_way.push(world.race(Purpose::Client).expect("a route"));
        }
        world.engine.path_lost(PathId(0), "gone", world.now);
        for (mut race, step) in under_way {
            let (now, attempt) = (world.now, step.send.expect("sent").attempt);
            let outcome = Outcome::Unreachable(Reason::PATH_DOWN);
            race.outcome(
                &mut world.engine,
                attempt,
                outcome,
                now,
                now,
                &mut world.rng,
            );
        }
        for _ in 0..10 {
            assert_eq!(world.ask(), 1);
        }
        let report = world.engine.report(world.now);
        assert!(report.paths[0].missing && report.routes[0].missing);
        assert_eq!(report.routes[0].verdict, Verdict::Clear);
        let told: Vec<String> = world
            .engine
            .take_events()
            .map(|(_, event)| event.to_string())
            .collect();
        assert_eq!(told, ["path a lost: gone"]);
    }

    #[test]
    fn a_path_that_was_found_again_is_tried_before_it_is_used() {
        let mut world = World::new();
        world.engine.path_lost(PathId(0), "gone", world.now);
        for _ in 0..10 {
            assert_eq!(world.ask(), 1);
        }
        let found = world.now;
        world.engine.path_found(PathId(0), found);
        assert_eq!(world.ask(), 1, "it is tried first");
        let mut asked = 0;
        while world.ask() != 0 {
            asked += 1;
            assert!(asked < 100, "it stays unused");
        }
        assert!(world.now.since(found) < Duration::from_secs(2));
        let told: Vec<String> = world
            .engine
            .take_events()
            .map(|(_, event)| event.to_string())
            .collect();
        let again = |line: &String| line.starts_with("path a in use again after");
        assert!(told.iter().any(again), "{told:?}");
    }

    #[test]
    fn a_name_that_is_held_finds_room_where_others_have_taken_it_all() {
        let mut world = World::new();
        let mut under_way = Vec::new();
        let mut fill = |world: &mut World, purpose| {
            let before = under_way.len();
            let refused = loop {
                match world.race(purpose) {
                    Ok(race) => under_way.push(race),
                    Err(refused) => break refused,
                }
            };
            (under_way.len() - before, refused)
        };
        let (clients, refused) = fill(&mut world, Purpose::Client);
        assert_eq!(refused, Refused::Busy);
        let (held, refused) = fill(&mut world, Purpose::Renewal);
        assert_eq!(refused, Refused::Busy);
        assert!((8..=clients / 2).contains(&held), "{held} beside {clients}");
    }

    #[test]
    fn with_every_path_lost_there_is_no_route_until_one_is_found() {
        let mut world = World::new();
        for path in [0, 1] {
            world.engine.path_lost(PathId(path), "gone", world.now);
        }
        let refused = world.race(Purpose::Client).err();
        assert_eq!(refused, Some(Refused::NoRoute));
        world.engine.path_found(PathId(1), world.now);
        // Nothing else is clear: the question is the trial.
        assert_eq!(world.ask(), 1);
    }
}
