use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::config::Policy;
use crate::observe::said::Reason;
use crate::route::testing::grid;
use crate::route::{
    About, Ask, AttemptId, Outcome, PoolId, Purpose, Race, Refused, RouteId, Send, Step, Verdict,
};

/// An engine by a configuration that changes, and what its routes do.
struct World {
    config: Config,
    lineup: Lineup,
    engine: Engine,
    rng: StdRng,
    now: Time,
}

impl World {
    fn new(config: Config) -> World {
        World {
            lineup: Lineup::new(&config),
            engine: Engine::new(&config, Time::START),
            config,
            rng: StdRng::seed_from_u64(7),
            now: Time::START,
        }
    }

    fn reload(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        let next = self.lineup.succeed(&self.config, self.now);
        self.lineup = next.expect("there is room");
        self.engine.reshape(&self.lineup, &self.config, self.now);
    }

    fn name(&self, route: RouteId) -> String {
        self.engine.routes()[usize::from(route.0)].name.to_string()
    }

    fn race(&mut self, purpose: Purpose) -> Result<(Race, Step), Refused> {
        let ask = Ask {
            pool: PoolId::MAIN,
            purpose,
            about: About::PLAIN,
            deadline: self.now + Duration::from_secs(4),
            again: false,
            light: false,
        };
        Race::start(&mut self.engine, &ask, self.now, &mut self.rng)
    }

    /// Every attempt of the step is answered after as long as its route takes; `None`: never, and that is noticed.
    fn settle(&mut self, race: &mut Race, step: &Step, takes: &dyn Fn(&str) -> Option<u64>) {
        for Send { attempt, route, .. } in [step.send, step.also].into_iter().flatten() {
            match takes(&self.name(route)) {
                Some(millis) => self.end(race, attempt, Outcome::Answered, millis),
                None => self.end(race, attempt, Outcome::Unreachable(Reason::REFUSED), 1),
            }
        }
    }

    fn end(&mut self, race: &mut Race, attempt: AttemptId, outcome: Outcome, after: u64) {
        let later = self.now + Duration::from_millis(after);
        race.outcome(
            &mut self.engine,
            attempt,
            outcome,
            later,
            later,
            &mut self.rng,
        );
    }

    /// Asks a question, and what the engine wants to know. Which route the question went over first.
    fn ask(&mut self, takes: &dyn Fn(&str) -> Option<u64>) -> Option<String> {
        let first = self.race(Purpose::Client).ok().map(|(mut race, step)| {
            self.settle(&mut race, &step, takes);
            self.name(step.send.expect("sent at once").route)
        });
        for route in self.engine.tick(self.now, &mut self.rng).probes {
            if let Ok((mut race, step)) = self.race(Purpose::Probe(route)) {
                self.settle(&mut race, &step, takes);
            }
        }
        self.now = self.now + Duration::from_millis(25);
        first
    }

    /// Base and verdict of a route that takes part.
    fn known(&self, name: &str) -> (Option<Duration>, Verdict) {
        let report = self.engine.report(self.now);
        let route = report.routes.iter().find(|it| *it.name == *name);
        let route = route.unwrap_or_else(|| panic!("no route {name}"));
        (route.base, route.verdict)
    }

    fn told(&mut self) -> Vec<String> {
        let events = self.engine.take_events();
        events.map(|(_, event)| event.to_string()).collect()
    }
}

fn all_well(name: &str) -> Option<u64> {
    Some(match name {
        "192.0.2.1@a" => 5,
        "192.0.2.2@a" => 7,
        _ => 9,
    })
}

#[test]
fn a_route_that_stays_keeps_what_is_known_of_it_wherever_it_moves() {
    let mut config = grid(3, &["a"]);
    config.routing.policy = Policy::Spread;
    let mut world = World::new(config);
    let dead = |name: &str| all_well(name).filter(|_| !name.starts_with("192.0.2.2"));
    for _ in 0..200 {
        world.ask(&all_well);
    }
    for _ in 0..400 {
        world.ask(&dead);
    }
    let before = ["192.0.2.2@a", "192.0.2.3@a"].map(|name| world.known(name));
    assert!(before[0].1.is_bad(), "{:?}", before[0]);
    assert!(before.iter().all(|(base, _)| base.is_some()), "{before:?}");
    // The first goes, two others come in before those that stay, in another order.
    world.told();
    world.reload(|config| {
        config.upstreams.remove(0);
        config.upstreams.reverse();
        for octet in [8, 9] {
            let upstream = crate::config::UpstreamConfig::at(([192, 0, 2, octet], 53).into());
            config.upstreams.insert(0, upstream);
        }
    });
    let after = ["192.0.2.2@a", "192.0.2.3@a"].map(|name| world.known(name));
    assert_eq!(after, before);
    assert_eq!(world.known("192.0.2.9@a"), (None, Verdict::Unknown));
    let report = world.engine.report(world.now);
    let names: Vec<&str> = report.routes.iter().map(|it| &*it.name).collect();
    assert_eq!(
        names,
        ["192.0.2.9@a", "192.0.2.8@a", "192.0.2.3@a", "192.0.2.2@a"]
    );
    assert_eq!(world.told(), [""; 0], "nothing has happened to them");
    for _ in 0..100 {
        let first = world.ask(&dead).expect("there are routes");
        assert_ne!(first, "192.0.2.1@a");
    }
    assert!(
        world.known("192.0.2.8@a").0.is_some(),
        "the new ones are measured"
    );
}

#[test]
fn what_is_under_way_over_a_route_that_has_gone_ends_and_teaches_nothing() {
    let mut world = World::new(grid(2, &["a"]));
    for _ in 0..100 {
        world.ask(&all_well);
    }
    let mut under_way: Vec<(Race, Step)> = (0..20)
        .map(|_| world.race(Purpose::Client).expect("a route"))
        .collect();
    let gone = world.name(under_way[0].1.send.expect("sent").route);
    world.reload(|config| config.upstreams.retain(|it| !gone.starts_with(&it.name)));
    world.told();
    let stays = world.engine.report(world.now).routes[0].name.clone();
    let before = world.known(&stays);
    // Half of them come back late, half never do.
    for (number, (race, step)) in under_way.iter_mut().enumerate() {
        let send = step.send.expect("sent");
        if world.name(send.route) == gone {
            match number % 2 {
                0 => world.end(race, send.attempt, Outcome::Answered, 2_500),
                _ => world.end(race, send.attempt, Outcome::TimedOut, 3_900),
            }
        }
    }
    let told = world.told();
    assert!(!told.iter().any(|line| line.contains(&gone)), "{told:?}");
    assert_eq!(world.known(&stays), before);
    assert_eq!(
        world.engine.report(world.now).paths[0].verdict,
        Verdict::Clear
    );
    for _ in 0..50 {
        assert_eq!(world.ask(&all_well).as_deref(), Some(&*stays));
    }
}

/// While questions are under way upstreams come, go and change places at random; each answers after a time of its own,
/// so that its base says whether its measurements are its own.
#[test]
fn no_shift_of_the_file_ever_mixes_two_routes() {
    let takes = |name: &str| {
        let octet: u64 = name["192.0.2.".len()..name.len() - 2]
            .parse()
            .expect("an octet");
        Some(2 * octet + u64::from(name.ends_with('b')))
    };
    let mut world = World::new(grid(4, &["a", "b"]));
    world.config.routing.policy = Policy::Spread;
    let mut dice = StdRng::seed_from_u64(3);
    let mut draw = |below: u64| rand::Rng::next_u64(&mut dice) % below;
    let mut left: Vec<(Race, Step, Time)> = Vec::new();
    for _ in 0..60 {
        let (mut order, keep) = ((1..=10u8).collect::<Vec<_>>(), 1 + draw(9) as usize);
        for place in (1..order.len()).rev() {
            order.swap(place, draw(place as u64 + 1) as usize);
        }
        let turned = draw(2) == 1;
        world.reload(|config| {
            let mut next = grid(10, if turned { &["b", "a"] } else { &["a", "b"] });
            next.routing.policy = Policy::Spread;
            let all = next.upstreams.clone();
            next.upstreams = order[..keep]
                .iter()
                .map(|octet| all[usize::from(*octet) - 1].clone())
                .collect();
            *config = next;
        });
        for _ in 0..40 {
            // Some stay under way across reloads.
            if draw(4) == 0
                && let Ok((race, step)) = world.race(Purpose::Client)
            {
                left.push((race, step, world.now));
            }
            world.ask(&takes);
        }
        if draw(2) == 0 {
            for (mut race, step, _) in left.drain(..) {
                for send in [step.send, step.also].into_iter().flatten() {
                    world.end(&mut race, send.attempt, Outcome::Answered, 0);
                }
            }
        }
        for route in world.engine.report(world.now).routes {
            let own = Duration::from_millis(takes(&route.name).expect("answered"));
            // What was left under way took longer, never less.
            assert!(
                route.base.is_none_or(|base| base == own),
                "{}: {:?}",
                route.name,
                route.base
            );
        }
    }
}

#[test]
fn rules_change_without_a_route_being_measured_anew() {
    let mut world = World::new(grid(2, &["a"]));
    for _ in 0..100 {
        world.ask(&all_well);
    }
    let before = ["192.0.2.1@a", "192.0.2.2@a"].map(|name| world.known(name));
    world.reload(|config| {
        config.routing.policy = Policy::Ordered;
        config.upstreams.swap(0, 1);
        config.limits.attempts_per_route = 5;
        config.routing.hedge_max = Duration::from_millis(3);
        config.routing.hedge_min = Duration::from_millis(1);
    });
    let after = ["192.0.2.1@a", "192.0.2.2@a"].map(|name| world.known(name));
    assert_eq!(after, before);
    for _ in 0..20 {
        assert_eq!(
            world.ask(&all_well).as_deref(),
            Some("192.0.2.2@a"),
            "it is the first now"
        );
    }
    for route in world.engine.report(world.now).routes {
        assert!(route.limit <= 5, "{route:?}");
        assert!(route.hedge_wait <= Duration::from_millis(3), "{route:?}");
    }
}

#[test]
fn with_nobody_to_ask_there_is_no_route_until_one_comes() {
    let mut world = World::new(grid(0, &["a"]));
    assert_eq!(world.race(Purpose::Client).err(), Some(Refused::NoRoute));
    world.ask(&all_well);
    world.reload(|config| *config = grid(1, &["a"]));
    assert_eq!(world.ask(&all_well).as_deref(), Some("192.0.2.1@a"));
    world.reload(|config| config.upstreams.clear());
    assert_eq!(world.race(Purpose::Client).err(), Some(Refused::NoRoute));
    world.ask(&all_well);
    // It comes back soon, and is who it was.
    world.reload(|config| *config = grid(1, &["a"]));
    assert_eq!(world.known("192.0.2.1@a").0, Some(Duration::from_millis(5)));
}
